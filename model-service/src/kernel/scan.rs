//! The arithmetic of one URL, over blocks of lanes that the compiler puts into vector registers.

use super::fold::Folded;

/// Features that are carried through the whole URL at once.
pub(super) const LANES: usize = 32;
pub(super) type Block = [f32; LANES];

/// The logit of a sequence of table rows; `features` is a buffer for the strongest answer of each feature.
pub(super) fn logit(folded: &Folded, sequence: &[u16], features: &mut Vec<Block>) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        #[expect(unsafe_code, reason = "the processor was asked for AVX2 in the line above")]
        return unsafe { with_avx2(folded, sequence, features) };
    }
    compute(folded, sequence, features)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn with_avx2(folded: &Folded, sequence: &[u16], features: &mut Vec<Block>) -> f32 {
    compute(folded, sequence, features)
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "it is to be compiled with the instructions of each caller")]
fn compute(folded: &Folded, sequence: &[u16], features: &mut Vec<Block>) -> f32 {
    features.clear();
    for (table, bias) in folded.table.chunks_exact(folded.width * folded.vocabulary).zip(&folded.bias) {
        let strongest = strongest(table, folded.vocabulary, folded.width, sequence);
        features.push(std::array::from_fn(|lane| (strongest[lane] + bias[lane]).max(0.0)));
    }
    let inputs = features.as_flattened();
    let mut logit = folded.output_bias;
    for ((weights, bias), output) in folded.hidden.chunks_exact(inputs.len()).zip(&folded.hidden_bias).zip(&folded.output) {
        let mut sum = *bias;
        for (input, row) in inputs.iter().zip(weights) {
            for lane in 0..LANES {
                sum[lane] += input * row[lane];
            }
        }
        for lane in 0..LANES {
            logit += sum[lane].max(0.0) * output[lane];
        }
    }
    logit
}

/// For each lane the largest sum of `width` rows over all windows of the sequence.
#[inline(always)]
#[expect(clippy::inline_always, reason = "it is to be compiled with the instructions of each caller")]
fn strongest(table: &[Block], vocabulary: usize, width: usize, sequence: &[u16]) -> Block {
    let mut strongest = [f32::NEG_INFINITY; LANES];
    for window in sequence.windows(width) {
        let mut sum = [0.0; LANES];
        for (rows, id) in table.chunks_exact(vocabulary).zip(window) {
            let row = &rows[usize::from(*id)];
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
