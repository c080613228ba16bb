//! Is a graph of the family? Its nodes are walked from input to output, and every shape is read from them.
//!
//! Gather → Transpose → Conv → \[Add\] → Relu → GlobalMaxPool → Flatten → Gemm → Relu → Gemm → \[Div or Mul\] → Sigmoid.

use anyhow::{Context as _, Result, ensure};
use tract_onnx::pb::ModelProto;

use super::walk::{Tensor, Walk};
use crate::preprocessing::{POSITIONS, VOCABULARY};

/// Floats of the folded table: 64 MiB, far above what a model of 400 kB can ask for.
const LARGEST_TABLE: usize = 16 * 1024 * 1024;

/// What the graph computes with, scales and temperature multiplied in.
pub(super) struct Weights {
    pub vocabulary: usize,
    pub embedding: usize,
    pub features: usize,
    pub width: usize,
    pub hidden: usize,
    /// Zeros that the convolution puts before and behind.
    pub left: usize,
    pub right: usize,
    /// `[vocabulary][embedding]`
    pub embedded: Vec<f32>,
    /// `[features][embedding][width]`
    pub convolution: Vec<f32>,
    pub convolution_bias: Vec<f32>,
    /// `[hidden][features]`
    pub hidden_weights: Vec<f32>,
    pub hidden_bias: Vec<f32>,
    pub output: Vec<f32>,
    pub output_bias: f32,
}

/// # Errors
/// The first thing in which the graph differs from the family.
pub(super) fn read(model: &ModelProto) -> Result<Weights> {
    let graph = model.graph.as_ref().context("the file has no graph")?;
    let mut walk = Walk::new(graph)?;

    let gather = walk.next("Gather")?;
    ensure!(gather.integer("axis", 0) == 0 && gather.carries(1), "Gather does not look ids up in rows");
    let embedded = walk.tensor(gather.input(0))?;
    let [vocabulary, embedding] = embedded.shape("the embedding")?;
    ensure!((VOCABULARY..usize::from(u16::MAX)).contains(&vocabulary), "the embedding has {vocabulary} rows, ids need {VOCABULARY}");

    let transpose = walk.next("Transpose")?;
    ensure!(transpose.integers("perm") == [0, 2, 1], "Transpose does not bring channels forward");

    let convolve = walk.next("Conv")?;
    ensure!(convolve.carries(0), "Conv does not convolve the embedded ids");
    let convolution = walk.tensor(convolve.input(1))?;
    let [features, channels, width] = convolution.shape("the convolution")?;
    ensure!(channels == embedding && convolve.integer("group", 1) == 1, "the convolution is grouped");
    ensure!(features > 0 && (1..=POSITIONS).contains(&width), "a convolution of {features} features over {width} positions");
    ensure!(convolve.text("auto_pad").is_none_or(|pad| pad == "NOTSET" || pad == "VALID"), "the convolution pads by itself");
    for name in ["strides", "dilations"] {
        ensure!(matches!(convolve.integers(name), [] | [1]), "the convolution has {name}");
    }
    let (left, right) = match convolve.integers("pads") {
        [] => (0, 0),
        [left @ 0..=200, right @ 0..=200] => (*left as usize, *right as usize),
        other => anyhow::bail!("the convolution pads {other:?}"),
    };
    let table = vocabulary.checked_mul(width).and_then(|rows| rows.checked_mul(features));
    ensure!(table.is_some_and(|floats| floats <= LARGEST_TABLE), "the table would be too large");
    let mut convolution_bias = match convolve.input(2) {
        "" => vec![0.0; features],
        name => walk.tensor(name)?.vector(features, "the convolution's bias")?,
    };
    if let Some(add) = walk.optional(&["Add"])? {
        let added = walk.tensor(add.other())?;
        ensure!(matches!(added.dims[..], [1, _, 1] | [_, 1]), "Add is not a bias of each feature");
        for (bias, added) in convolution_bias.iter_mut().zip(added.vector(features, "the added bias")?) {
            *bias += added;
        }
    }
    walk.next("Relu")?;
    walk.next("GlobalMaxPool")?;
    let flatten = walk.next("Flatten")?;
    ensure!(flatten.integer("axis", 1) == 1, "Flatten does not keep rows");

    let (hidden_weights, hidden_bias) = walk.gemm(features)?;
    let hidden = hidden_bias.len();
    walk.next("Relu")?;
    let (mut output, output_bias) = walk.gemm(hidden)?;
    ensure!(output_bias.len() == 1, "the last layer gives {} numbers", output_bias.len());
    let mut output_bias = output_bias[0];
    if let Some(scale) = walk.optional(&["Div", "Mul"])? {
        ensure!(scale.kind() == "Mul" || scale.carries(0), "Div divides by the logit");
        let by = walk.tensor(scale.other())?.vector(1, "the temperature")?[0];
        let factor = if scale.kind() == "Mul" { by } else { 1.0 / by };
        output.iter_mut().chain([&mut output_bias]).for_each(|weight| *weight *= factor);
    }
    walk.next("Sigmoid")?;
    walk.end()?;

    let weights = Weights {
        vocabulary,
        embedding,
        features,
        width,
        hidden,
        left,
        right,
        embedded: embedded.values,
        convolution: convolution.values,
        convolution_bias,
        hidden_weights,
        hidden_bias,
        output,
        output_bias,
    };
    ensure!(weights.all().all(|weight| weight.is_finite()), "a weight is not finite");
    Ok(weights)
}

impl Weights {
    fn all(&self) -> impl Iterator<Item = &f32> {
        [&self.embedded, &self.convolution, &self.convolution_bias, &self.hidden_weights, &self.hidden_bias, &self.output]
            .into_iter()
            .flatten()
            .chain([&self.output_bias])
    }
}

impl Walk<'_> {
    /// Weights `[outputs][inputs]` and bias of the next layer, alpha and beta multiplied in.
    fn gemm(&mut self, inputs: usize) -> Result<(Vec<f32>, Vec<f32>)> {
        let gemm = self.next("Gemm")?;
        ensure!(gemm.carries(0) && gemm.integer("transA", 0) == 0, "Gemm does not multiply the rows");
        let Tensor { dims, values } = self.tensor(gemm.input(1))?;
        let transposed = gemm.integer("transB", 0) != 0;
        let outputs = match dims[..] {
            [outputs, of] if transposed && of == inputs => outputs,
            [of, outputs] if !transposed && of == inputs => outputs,
            _ => anyhow::bail!("a layer of shape {dims:?} after {inputs} numbers"),
        };
        ensure!(outputs > 0, "a layer gives nothing");
        let alpha = gemm.float("alpha", 1.0);
        let at = |output, input| if transposed { values[output * inputs + input] } else { values[input * outputs + output] };
        let weights =
            (0..outputs).flat_map(|output| (0..inputs).map(move |input| (output, input))).map(|(o, i)| alpha * at(o, i)).collect();
        let beta = gemm.float("beta", 1.0);
        let bias = match gemm.input(2) {
            "" => vec![0.0; outputs],
            name => self.tensor(name)?.vector(outputs, "a layer's bias")?.iter().map(|bias| beta * bias).collect(),
        };
        Ok((weights, bias))
    }
}
