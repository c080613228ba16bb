//! A walk along a graph that is one chain: each value is read by one node.

use std::collections::HashMap;

use anyhow::{Context as _, Result, bail, ensure};
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto, tensor_proto::DataType};

pub(super) struct Walk<'a> {
    readers: HashMap<&'a str, Vec<&'a NodeProto>>,
    constants: HashMap<&'a str, &'a TensorProto>,
    outputs: Vec<&'a str>,
    /// The value that was reached.
    at: &'a str,
}

/// A node of the way.
pub(super) struct Step<'a> {
    node: &'a NodeProto,
    /// The value that came in on the way.
    from: &'a str,
}

/// Floats of an initializer or a Constant.
pub(super) struct Tensor {
    pub dims: Vec<usize>,
    pub values: Vec<f32>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(graph: &'a GraphProto) -> Result<Self> {
        let mut constants: HashMap<&str, &TensorProto> = graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        let mut readers: HashMap<&str, Vec<&NodeProto>> = HashMap::new();
        for node in &graph.node {
            ensure!(node.domain.is_empty() || node.domain == "ai.onnx", "`{}` is of domain `{}`", node.op_type, node.domain);
            if node.op_type == "Constant" {
                if let (Some(name), Some(value)) = (node.output.first(), attribute(node, "value").and_then(|found| found.t.as_ref())) {
                    constants.insert(name, value);
                }
                continue;
            }
            for input in &node.input {
                readers.entry(input.as_str()).or_default().push(node);
            }
        }
        let inputs: Vec<&str> = graph.input.iter().map(|input| input.name.as_str()).filter(|name| !constants.contains_key(name)).collect();
        let [at] = inputs[..] else { bail!("the graph has {} inputs", inputs.len()) };
        Ok(Self { readers, constants, outputs: graph.output.iter().map(|output| output.name.as_str()).collect(), at })
    }

    fn peek(&self) -> Result<&'a NodeProto> {
        match self.readers.get(self.at).map_or(&[][..], Vec::as_slice) {
            [only] => Ok(only),
            [] => bail!("nothing reads `{}`", self.at),
            several => bail!("{} nodes read `{}`", several.len(), self.at),
        }
    }

    fn take(&mut self, node: &'a NodeProto) -> Result<Step<'a>> {
        let [output] = &node.output[..] else { bail!("{} has {} outputs", node.op_type, node.output.len()) };
        Ok(Step { node, from: std::mem::replace(&mut self.at, output) })
    }

    /// The next node, which must be of this kind.
    pub(super) fn next(&mut self, kind: &str) -> Result<Step<'a>> {
        let node = self.peek()?;
        ensure!(node.op_type == kind, "{} stands where {kind} is known", node.op_type);
        self.take(node)
    }

    /// The next node if it is of one of these kinds.
    pub(super) fn optional(&mut self, kinds: &[&str]) -> Result<Option<Step<'a>>> {
        let node = self.peek()?;
        if kinds.contains(&node.op_type.as_str()) { self.take(node).map(Some) } else { Ok(None) }
    }

    pub(super) fn end(&self) -> Result<()> {
        ensure!(self.outputs == [self.at] && !self.readers.contains_key(self.at), "`{}` is not the graph's only output", self.at);
        Ok(())
    }

    pub(super) fn tensor(&self, name: &str) -> Result<Tensor> {
        let proto = self.constants.get(name).with_context(|| format!("`{name}` is computed, not given"))?;
        ensure!(proto.data_type == DataType::Float as i32 && proto.external_data.is_empty(), "`{name}` is not float32 in this file");
        let dims: Vec<usize> = proto.dims.iter().map(|dim| usize::try_from(*dim)).collect::<Result<_, _>>()?;
        let values = if proto.raw_data.is_empty() {
            proto.float_data.clone()
        } else {
            let (words, rest) = proto.raw_data.as_chunks::<4>();
            ensure!(rest.is_empty(), "`{name}` is cut");
            words.iter().map(|word| f32::from_le_bytes(*word)).collect()
        };
        let count = dims.iter().try_fold(1_usize, |product, dim| product.checked_mul(*dim));
        ensure!(count == Some(values.len()), "`{name}` is of shape {dims:?} and has {} numbers", values.len());
        Ok(Tensor { dims, values })
    }
}

impl<'a> Step<'a> {
    pub(super) fn kind(&self) -> &'a str {
        &self.node.op_type
    }

    /// The input's name, empty where there is none.
    pub(super) fn input(&self, at: usize) -> &'a str {
        self.node.input.get(at).map_or("", String::as_str)
    }

    /// Whether the way comes in at this input, and there only.
    pub(super) fn carries(&self, at: usize) -> bool {
        self.node.input.iter().enumerate().all(|(index, name)| (name == self.from) == (index == at))
    }

    /// Of two inputs the one that is not on the way.
    pub(super) fn other(&self) -> &'a str {
        self.input(usize::from(self.carries(0)))
    }

    pub(super) fn integer(&self, name: &str, default: i64) -> i64 {
        attribute(self.node, name).map_or(default, |found| found.i)
    }

    pub(super) fn float(&self, name: &str, default: f32) -> f32 {
        attribute(self.node, name).map_or(default, |found| found.f)
    }

    pub(super) fn integers(&self, name: &str) -> &'a [i64] {
        attribute(self.node, name).map_or(&[], |found| &found.ints)
    }

    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        attribute(self.node, name).and_then(|found| std::str::from_utf8(&found.s).ok())
    }
}

impl Tensor {
    pub(super) fn shape<const N: usize>(&self, what: &str) -> Result<[usize; N]> {
        <[usize; N]>::try_from(self.dims.as_slice()).ok().with_context(|| format!("{what} is of shape {:?}", self.dims))
    }

    /// As `count` numbers in a row, whatever the dimensions of one are.
    pub(super) fn vector(self, count: usize, what: &str) -> Result<Vec<f32>> {
        ensure!(self.values.len() == count, "{what} has {} numbers, not {count}", self.values.len());
        Ok(self.values)
    }
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}
