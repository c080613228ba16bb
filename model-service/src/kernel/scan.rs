//! The arithmetic of one URL, over blocks of lanes that the compiler puts into vector registers.

use super::fold::Folded;

/// Features that are carried through the whole URL at once.
pub(super) const LANES: usize = 32;
pub(super) type Block = [f32; LANES];

/// The logit of a sequence of characters, each as the place of its rows in the table; `features` is a buffer for the strongest answer of each feature.
pub(super) fn logit(folded: &Folded, sequence: &[u32], features: &mut Vec<Block>) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        #[expect(unsafe_code, reason = "the processor was asked for AVX2 in the line above")]
        return unsafe { with_avx2(folded, sequence, features) };
    }
    compute(folded, sequence, features)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn with_avx2(folded: &Folded, sequence: &[u32], features: &mut Vec<Block>) -> f32 {
    compute(folded, sequence, features)
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "it is to be compiled with the instructions of each caller")]
fn compute(folded: &Folded, sequence: &[u32], features: &mut Vec<Block>) -> f32 {
    features.clear();
    for (block, bias) in folded.bias.iter().enumerate() {
        let strongest = strongest(folded, block, sequence);
        features.push(std::array::from_fn(|lane| (strongest[lane] + bias[lane]).max(0.0)));
    }
    // Lane by lane to the end: a sum across lanes in between would keep the compiler from vector registers.
    let mut answers = [0.0; LANES];
    let (inputs, hidden) = (features.as_flattened(), folded.output.len() / folded.groups);
    let inputs = inputs.chunks_exact(inputs.len() / folded.groups);
    let layers = folded.hidden.chunks_exact(folded.hidden.len() / folded.groups);
    let ends = folded.hidden_bias.chunks_exact(hidden).zip(folded.output.chunks_exact(hidden));
    for ((inputs, layer), (bias, output)) in inputs.zip(layers).zip(ends) {
        for ((weights, bias), output) in layer.chunks_exact(inputs.len()).zip(bias).zip(output) {
            let mut sum = *bias;
            for (input, row) in inputs.iter().zip(weights) {
                for lane in 0..LANES {
                    sum[lane] += input * row[lane];
                }
            }
            for lane in 0..LANES {
                answers[lane] += sum[lane].max(0.0) * output[lane];
            }
        }
    }
    folded.output_bias + answers.iter().sum::<f32>()
}

/// For each lane of a block of features the largest sum of `width` rows over all windows of the sequence.
#[inline(always)]
#[expect(clippy::inline_always, reason = "it is to be compiled with the instructions of each caller")]
fn strongest(folded: &Folded, block: usize, sequence: &[u32]) -> Block {
    let rows = &folded.table[block * folded.width..];
    let mut strongest = [f32::NEG_INFINITY; LANES];
    for window in sequence.windows(folded.width) {
        let mut sum = [0.0; LANES];
        for (place, start) in window.iter().enumerate() {
            let row = &rows[*start as usize + place];
            for lane in 0..LANES {
                sum[lane] += row[lane];
            }
        }
        for lane in 0..LANES {
            // Not f32::max: its care for NaN costs, and weights are finite.
            strongest[lane] = if sum[lane] > strongest[lane] { sum[lane] } else { strongest[lane] };
        }
    }
    strongest
}
