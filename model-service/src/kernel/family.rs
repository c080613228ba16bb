//! Is a graph of the family? Its nodes are walked from input to output, and every shape is read from them.
//!
//! Gather → Transpose → Conv → \[Add\] → Relu → GlobalMaxPool → hidden → Gemm → \[Div or Mul\] → Sigmoid, where hidden is
//! Flatten → Gemm → Relu, or Conv → Relu → Flatten. The convolutions may be grouped: networks side by side, one answer.

use anyhow::{Context as _, Result, ensure};
use tract_onnx::pb::ModelProto;

use super::scan::LANES;
use super::walk::{Step, Tensor, Walk};
use crate::preprocessing::{POSITIONS, VOCABULARY};

/// Floats of the folded table: 64 MiB, far above what a model of 400 kB can ask for.
const LARGEST_TABLE: usize = 16 * 1024 * 1024;

/// What the graph computes with, scales and temperature multiplied in.
pub(super) struct Weights {
    pub vocabulary: usize,
    pub width: usize,
    /// Networks side by side; each has so many of the following three.
    pub groups: usize,
    pub embedding: usize,
    pub features: usize,
    pub hidden: usize,
    /// Zeros that the convolution puts before and behind.
    pub left: usize,
    pub right: usize,
    /// `[vocabulary][groups][embedding]`
    pub embedded: Vec<f32>,
    /// `[groups][features][embedding][width]`
    pub convolution: Vec<f32>,
    pub convolution_bias: Vec<f32>,
    /// `[groups][hidden][features]`
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

    let Convolution { kernel: convolution, bias: mut convolution_bias, groups, features, width, left, right } =
        walk.convolution(embedding)?;
    ensure!((1..=POSITIONS).contains(&width), "a convolution over {width} positions");
    // Filled up to whole blocks, as `fold` does.
    let table = [vocabulary, width, groups, features.next_multiple_of(LANES)].into_iter().try_fold(1_usize, usize::checked_mul);
    ensure!(table.is_some_and(|floats| floats <= LARGEST_TABLE), "the table would be too large");
    if let Some(add) = walk.optional(&["Add"])? {
        let added = walk.tensor(add.other())?;
        ensure!(matches!(added.dims[..], [1, _, 1] | [_, 1]), "Add is not a bias of each feature");
        let added = added.vector(convolution_bias.len(), "the added bias")?;
        for (bias, added) in convolution_bias.iter_mut().zip(added) {
            *bias += added;
        }
    }
    walk.next("Relu")?;
    walk.next("GlobalMaxPool")?;
    let (hidden_weights, hidden_bias) = walk.hidden(groups, features)?;
    let (mut output, output_bias) = walk.gemm(hidden_bias.len())?;
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
        width,
        groups,
        embedding: embedding / groups,
        features,
        hidden: hidden_bias.len() / groups,
        left,
        right,
        embedded: embedded.values,
        convolution,
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

/// A convolution along the one axis there is.
struct Convolution {
    /// `[groups][features][channels / groups][width]`
    kernel: Vec<f32>,
    bias: Vec<f32>,
    groups: usize,
    /// Of each group.
    features: usize,
    width: usize,
    left: usize,
    right: usize,
}

impl Step<'_> {
    fn keeps_rows(&self) -> Result<()> {
        ensure!(self.integer("axis", 1) == 1, "Flatten does not keep rows");
        Ok(())
    }
}

impl Walk<'_> {
    fn convolution(&mut self, channels: usize) -> Result<Convolution> {
        let convolve = self.next("Conv")?;
        ensure!(convolve.carries(0), "Conv does not convolve what comes in");
        let kernel = self.tensor(convolve.input(1))?;
        let [features, of, width] = kernel.shape("the convolution")?;
        let groups = usize::try_from(convolve.integer("group", 1))?;
        ensure!(groups > 0 && features > 0 && features % groups == 0, "a convolution of {features} features in {groups} groups");
        ensure!(of.checked_mul(groups) == Some(channels), "a convolution of {of} channels in {groups} groups after {channels}");
        ensure!(convolve.text("auto_pad").is_none_or(|pad| pad == "NOTSET" || pad == "VALID"), "the convolution pads by itself");
        for name in ["strides", "dilations"] {
            ensure!(matches!(convolve.integers(name), [] | [1]), "the convolution has {name}");
        }
        let (left, right) = match convolve.integers("pads") {
            [] => (0, 0),
            [left @ 0..=200, right @ 0..=200] => (*left as usize, *right as usize),
            other => anyhow::bail!("the convolution pads {other:?}"),
        };
        let bias = match convolve.input(2) {
            "" => vec![0.0; features],
            name => self.tensor(name)?.vector(features, "the convolution's bias")?,
        };
        Ok(Convolution { kernel: kernel.values, bias, groups, features: features / groups, width, left, right })
    }

    /// Weights `[groups][hidden][features]` and bias of the layer after the maximum, with its Relu, up to the values in a row.
    fn hidden(&mut self, groups: usize, features: usize) -> Result<(Vec<f32>, Vec<f32>)> {
        if let Some(flatten) = self.optional(&["Flatten"])? {
            flatten.keeps_rows()?;
            ensure!(groups == 1, "a layer reads all of a convolution of {groups} groups");
            let layer = self.gemm(features)?;
            self.next("Relu")?;
            return Ok(layer);
        }
        let layer = self.convolution(groups * features)?;
        ensure!(layer.groups == groups, "a layer of {} groups after {groups}", layer.groups);
        ensure!((layer.width, layer.left, layer.right) == (1, 0, 0), "a layer looks beside its place");
        self.next("Relu")?;
        self.next("Flatten")?.keeps_rows()?;
        Ok((layer.kernel, layer.bias))
    }

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
