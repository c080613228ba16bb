//! The family's weights, arranged for the scan: in blocks of lanes, the last one filled up with zeros.

use super::family::Weights;
use super::scan::{Block, LANES};

pub(super) struct Folded {
    /// `[vocabulary][groups][features / LANES][width]` blocks: what a URL needs lies in as few runs as it has different characters, and a
    /// processor whose caches are cold fetches a run faster than its pieces. The last of the vocabulary is the convolution's own padding:
    /// nothing.
    pub table: Vec<Block>,
    /// `[groups][features / LANES]` blocks.
    pub bias: Vec<Block>,
    pub width: usize,
    /// The id that adds nothing.
    pub nothing: u16,
    pub left: usize,
    pub right: usize,
    pub groups: usize,
    /// `[groups][hidden / LANES][features]` blocks; features filled up to whole blocks.
    pub hidden: Vec<Block>,
    /// `[groups][hidden / LANES]` blocks, and so `output`.
    pub hidden_bias: Vec<Block>,
    pub output: Vec<Block>,
    pub output_bias: f32,
}

impl Folded {
    pub(super) fn new(weights: &Weights) -> Self {
        let Weights { vocabulary, width, groups, embedding: e, features, hidden: h, .. } = *weights;
        let [feature_blocks, hidden_blocks] = [features, h].map(|count| count.div_ceil(LANES));
        let each = |blocks: usize| (0..groups).flat_map(move |group| (0..blocks).map(move |block| (group, block)));
        let mut table = Vec::with_capacity((vocabulary + 1) * groups * feature_blocks * width);
        for row in weights.embedded.chunks_exact(groups * e) {
            for (group, block) in each(feature_blocks) {
                let row = &row[group * e..][..e];
                for place in 0..width {
                    table.push(lanes(block, features, |feature| {
                        let kernel = &weights.convolution[(group * features + feature) * e * width..];
                        // In double precision: the table is rounded once.
                        row.iter().enumerate().map(|(at, value)| f64::from(*value) * f64::from(kernel[at * width + place])).sum::<f64>()
                            as f32
                    }));
                }
            }
        }
        table.extend(std::iter::repeat_n([0.0; LANES], groups * feature_blocks * width));
        let blocks = |values: &[f32], count: usize| {
            each(count.div_ceil(LANES)).map(|(group, block)| lanes(block, count, |at| values[group * count + at])).collect()
        };
        let hidden = each(hidden_blocks)
            .flat_map(|(group, block)| (0..feature_blocks * LANES).map(move |feature| (group, block, feature)))
            .map(|(group, block, feature)| {
                lanes(
                    block,
                    h,
                    |unit| {
                        if feature < features { weights.hidden_weights[(group * h + unit) * features + feature] } else { 0.0 }
                    },
                )
            })
            .collect();
        Self {
            table,
            bias: blocks(&weights.convolution_bias, features),
            width,
            nothing: vocabulary as u16,
            left: weights.left,
            right: weights.right,
            groups,
            hidden,
            hidden_bias: blocks(&weights.hidden_bias, h),
            output: blocks(&weights.output, h),
            output_bias: weights.output_bias,
        }
    }
}

/// Block number `block` of `count` values; zero past their end.
fn lanes(block: usize, count: usize, value: impl Fn(usize) -> f32) -> Block {
    std::array::from_fn(|lane| {
        let at = block * LANES + lane;
        if at < count { value(at) } else { 0.0 }
    })
}
