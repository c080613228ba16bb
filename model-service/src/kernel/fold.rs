//! The family's weights, arranged for the scan: in blocks of lanes, the last one filled up with zeros.

use super::family::Weights;
use super::scan::{Block, LANES};

pub(super) struct Folded {
    /// `[vocabulary][features / LANES][width]` blocks: what a URL needs lies in as few runs as it has different characters, and a
    /// processor whose caches are cold fetches a run faster than its pieces. The last of the vocabulary is the convolution's own padding:
    /// nothing.
    pub table: Vec<Block>,
    /// `[features / LANES]` blocks.
    pub bias: Vec<Block>,
    pub width: usize,
    /// The id that adds nothing.
    pub nothing: u16,
    pub left: usize,
    pub right: usize,
    /// `[hidden / LANES][features]` blocks; features filled up to whole blocks.
    pub hidden: Vec<Block>,
    pub hidden_bias: Vec<Block>,
    pub output: Vec<Block>,
    pub output_bias: f32,
}

impl Folded {
    pub(super) fn new(weights: &Weights) -> Self {
        let Weights { vocabulary, embedding: e, features, width, hidden: h, .. } = *weights;
        let feature_blocks = features.div_ceil(LANES);
        let mut table = Vec::with_capacity((vocabulary + 1) * feature_blocks * width);
        for row in weights.embedded.chunks_exact(e) {
            for (block, place) in (0..feature_blocks).flat_map(|block| (0..width).map(move |place| (block, place))) {
                table.push(lanes(block, features, |feature| {
                    let kernel = &weights.convolution[feature * e * width..];
                    // In double precision: the table is rounded once.
                    row.iter().enumerate().map(|(at, value)| f64::from(*value) * f64::from(kernel[at * width + place])).sum::<f64>() as f32
                }));
            }
        }
        table.extend(std::iter::repeat_n([0.0; LANES], feature_blocks * width));
        let blocks = |values: &[f32]| (0..values.len().div_ceil(LANES)).map(|block| lanes(block, values.len(), |at| values[at])).collect();
        let hidden = (0..h.div_ceil(LANES))
            .flat_map(|block| (0..feature_blocks * LANES).map(move |feature| (block, feature)))
            .map(|(block, feature)| {
                lanes(block, h, |unit| if feature < features { weights.hidden_weights[unit * features + feature] } else { 0.0 })
            })
            .collect();
        Self {
            table,
            bias: blocks(&weights.convolution_bias),
            width,
            nothing: vocabulary as u16,
            left: weights.left,
            right: weights.right,
            hidden,
            hidden_bias: blocks(&weights.hidden_bias),
            output: blocks(&weights.output),
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
