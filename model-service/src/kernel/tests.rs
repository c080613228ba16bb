//! The kernel beside tract, on graphs of the family as other exporters write them.

use std::fs;

use prost::Message as _;
use tract_onnx::pb::{AttributeProto, ModelProto, NodeProto, TensorProto, tensor_proto::DataType};

use super::Kernel;
use crate::model::Runtime as _;
use crate::preprocessing::{POSITIONS, ids};
use crate::tract::Tract;

fn shipped() -> ModelProto {
    let file = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/models/v2.onnx")).expect("the model is shipped");
    ModelProto::decode(file.as_slice()).expect("the model is ONNX")
}

fn node<'a>(model: &'a mut ModelProto, kind: &str) -> &'a mut NodeProto {
    model.graph.as_mut().expect("a graph").node.iter_mut().find(|node| node.op_type == kind).expect("a node of this kind")
}

fn floats(name: &str, dims: &[i64], values: Vec<f32>) -> TensorProto {
    TensorProto { name: name.into(), dims: dims.into(), data_type: DataType::Float as i32, float_data: values, ..TensorProto::default() }
}

fn tensor<'a>(model: &'a mut ModelProto, name: &str) -> &'a mut TensorProto {
    model.graph.as_mut().expect("a graph").initializer.iter_mut().find(|tensor| tensor.name == name).expect("a tensor of this name")
}

fn values(tensor: &TensorProto) -> Vec<f32> {
    tensor.raw_data.chunks_exact(4).map(|word| f32::from_le_bytes(word.try_into().expect("four bytes"))).collect()
}

/// A node after the first one of `kind`, which reads its value and `constant`.
fn insert(model: &mut ModelProto, kind: &str, op_type: &str, constant: Option<TensorProto>) {
    let graph = model.graph.as_mut().expect("a graph");
    let at = graph.node.iter().position(|node| node.op_type == kind).expect("a node of this kind");
    let value = std::mem::replace(&mut graph.node[at].output[0], "between".into());
    let mut input = vec!["between".to_owned()];
    if let Some(constant) = constant {
        input.push(constant.name.clone());
        graph.initializer.push(constant);
    }
    graph.node.insert(at + 1, NodeProto { op_type: op_type.into(), input, output: vec![value], ..NodeProto::default() });
}

fn urls() -> Vec<[i32; POSITIONS]> {
    let long = "x%20y/".repeat(60);
    let cut = "a.example/".repeat(20);
    let mut urls = vec!["", "a", "http://www.bbc.co.uk/news/", "http://192.0.2.7/paypal/webscr/login.php", "bücher.example/ä", &long];
    urls.extend((185..=200).map(|length| &cut[..length]));
    urls.into_iter().map(|url| ids(url.as_bytes())).collect()
}

fn largest_difference(model: &ModelProto) -> f32 {
    let (kernel, tract) = (Kernel::new(model).expect("of the family"), Tract::new(model).expect("tract runs it"));
    let (ours, theirs) = (kernel.probabilities(&urls()).expect("computed"), tract.probabilities(&urls()).expect("computed"));
    ours.iter().zip(theirs).map(|(ours, theirs)| (ours - theirs).abs()).fold(0.0, f32::max)
}

fn refusal(model: &ModelProto) -> String {
    Kernel::new(model).err().expect("another family").to_string()
}

#[test]
fn padded_convolution_is_computed_as_tract_does() {
    for pads in [[3, 4], [0, 7], [9, 0]] {
        let mut model = shipped();
        node(&mut model, "Conv").attribute.push(AttributeProto {
            name: "pads".into(),
            ints: pads.into(),
            r#type: 7,
            ..AttributeProto::default()
        });
        let difference = largest_difference(&model);
        assert!(difference <= 1e-5, "{pads:?}: {difference}");
    }
}

#[test]
fn bias_as_a_node_of_its_own_is_folded() {
    let mut model = shipped();
    let bias = values(tensor(&mut model, "convolution.bias"));
    node(&mut model, "Conv").input.pop();
    let added = floats("added", &[1, bias.len() as i64, 1], bias);
    insert(&mut model, "Conv", "Add", Some(added));
    assert!(largest_difference(&model) <= 1e-5);
}

#[test]
fn temperature_and_scaled_layers_are_folded() {
    for (kind, by) in [("Div", 1.7), ("Mul", 0.3)] {
        let mut model = shipped();
        let last = model.graph.as_mut().expect("a graph").node.iter_mut().rfind(|node| node.op_type == "Gemm").expect("two layers");
        last.op_type = "Last".into();
        for (name, f) in [("alpha", 1.5), ("beta", -2.0)] {
            last.attribute.push(AttributeProto { name: name.into(), f, r#type: 1, ..AttributeProto::default() });
        }
        insert(&mut model, "Last", kind, Some(floats("temperature", &[], vec![by])));
        node(&mut model, "Last").op_type = "Gemm".into();
        let difference = largest_difference(&model);
        assert!(difference <= 1e-5, "{kind}: {difference}");
    }
}

/// The first network of the shipped ones as a graph of its own, with a hidden layer as others write one: Flatten → Gemm → Relu.
fn one_network() -> ModelProto {
    let mut model = shipped();
    let hidden = &tensor(&mut model, "hidden.weight").dims;
    let (rows, columns) = (hidden[0] as usize, hidden[1] as usize);
    let conv = node(&mut model, "Conv").attribute.iter().find(|attribute| attribute.name == "group").expect("groups");
    let groups = conv.i as usize;
    assert!(groups > 1, "the shipped model is of several networks");
    let (hidden, features) = (rows / groups, columns);
    let embedding = tensor(&mut model, "convolution.weight").dims[1] as usize;
    for (name, kept) in
        [("convolution.weight", features), ("convolution.bias", features), ("hidden.weight", hidden), ("hidden.bias", hidden)]
    {
        let tensor = tensor(&mut model, name);
        let whole = tensor.dims[0] as usize;
        tensor.raw_data.truncate(tensor.raw_data.len() / whole * kept);
        tensor.dims[0] = kept as i64;
    }
    tensor(&mut model, "hidden.weight").dims = vec![hidden as i64, features as i64];
    for (name, kept) in [("embedding.weight", embedding), ("output.weight", hidden)] {
        let tensor = tensor(&mut model, name);
        let (all, whole) = (values(tensor), tensor.dims[1] as usize);
        let (rows, cut) = (tensor.dims[0], all.chunks_exact(whole).flat_map(|row| row[..kept].to_vec()).collect());
        *tensor = floats(name, &[rows, kept as i64], cut);
    }
    let nodes = &mut model.graph.as_mut().expect("a graph").node;
    nodes.iter_mut().for_each(|node| node.attribute.retain(|attribute| attribute.name != "group"));
    let at = nodes.iter().rposition(|node| node.op_type == "Conv").expect("the hidden layer");
    let [pooled, weights, bias] = nodes[at].input.clone().try_into().expect("three inputs");
    let relu = nodes[at + 1].clone();
    let flat = nodes[at + 2].output.clone();
    let new =
        |kind: &str, input: Vec<String>, output: Vec<String>| NodeProto { op_type: kind.into(), input, output, ..NodeProto::default() };
    let transposed = AttributeProto { name: "transB".into(), i: 1, r#type: 2, ..AttributeProto::default() };
    let layer = new("Gemm", vec!["flat".into(), weights, bias], relu.input.clone());
    let layer = NodeProto { attribute: vec![transposed], ..layer };
    nodes.splice(at..at + 3, [new("Flatten", vec![pooled], vec!["flat".into()]), layer, new("Relu", relu.input, flat)]);
    model
}

#[test]
fn layer_is_read_in_whichever_way_it_is_stored() {
    let mut model = one_network();
    assert!(largest_difference(&model) <= 1e-5);
    let hidden = tensor(&mut model, "hidden.weight");
    let [outputs, inputs] = [hidden.dims[0] as usize, hidden.dims[1] as usize];
    let stored = values(hidden);
    let turned = (0..inputs * outputs).map(|at| stored[at % outputs * inputs + at / outputs]).collect();
    *hidden = floats("hidden.weight", &[inputs as i64, outputs as i64], turned);
    node(&mut model, "Gemm").attribute.clear();
    assert!(largest_difference(&model) <= 1e-5);
}

#[test]
fn networks_side_by_side_are_the_mean_that_tract_computes() {
    assert!(largest_difference(&shipped()) <= 1e-5);
}

#[test]
fn other_graphs_are_refused_with_what_differs() {
    let mut model = shipped();
    insert(&mut model, "Flatten", "Identity", None);
    assert_eq!(refusal(&model), "Identity stands where Gemm is known");

    let mut model = shipped();
    node(&mut model, "Conv").attribute.push(AttributeProto { name: "dilations".into(), ints: vec![2], ..AttributeProto::default() });
    assert_eq!(refusal(&model), "the convolution has dilations");

    for (kind, expected) in [
        ("Transpose", "a convolution of 24 channels in 1 groups after 120"),
        ("GlobalMaxPool", "a convolution of 64 channels in 1 groups after 320"),
    ] {
        let mut model = shipped();
        let nodes = &mut model.graph.as_mut().expect("a graph").node;
        let before = nodes.iter().position(|node| node.op_type == kind).expect("a node of this kind");
        nodes[before + 1].attribute.retain(|attribute| attribute.name != "group");
        assert_eq!(refusal(&model), expected);
    }

    let mut model = shipped();
    let hidden = model.graph.as_mut().expect("a graph").node.iter_mut().rfind(|node| node.op_type == "Conv").expect("the hidden layer");
    hidden.attribute.push(AttributeProto { name: "pads".into(), ints: vec![1, 0], r#type: 7, ..AttributeProto::default() });
    assert_eq!(refusal(&model), "a layer looks beside its place");

    let mut model = shipped();
    tensor(&mut model, "embedding.weight").dims[0] = 95;
    assert!(refusal(&model).contains("`embedding.weight` is of shape [95, "), "{}", refusal(&model));

    let mut model = shipped();
    tensor(&mut model, "output.bias").raw_data = f32::NAN.to_le_bytes().to_vec();
    assert_eq!(refusal(&model), "a weight is not finite");

    let mut model = shipped();
    let graph = model.graph.as_mut().expect("a graph");
    graph.output.push(graph.output[0].clone());
    assert!(refusal(&model).contains("is not the graph's only output"));
}
