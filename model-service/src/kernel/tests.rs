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

#[test]
fn layer_that_is_stored_the_other_way_round_is_read_so() {
    let mut model = shipped();
    let hidden = tensor(&mut model, "hidden.weight");
    let [outputs, inputs] = [hidden.dims[0] as usize, hidden.dims[1] as usize];
    let stored = values(hidden);
    let turned = (0..inputs * outputs).map(|at| stored[at % outputs * inputs + at / outputs]).collect();
    *hidden = floats("hidden.weight", &[inputs as i64, outputs as i64], turned);
    node(&mut model, "Gemm").attribute.clear();
    assert!(largest_difference(&model) <= 1e-5);
}

#[test]
fn other_graphs_are_refused_with_what_differs() {
    let mut model = shipped();
    insert(&mut model, "Flatten", "Identity", None);
    assert_eq!(refusal(&model), "Identity stands where Gemm is known");

    let mut model = shipped();
    node(&mut model, "Conv").attribute.push(AttributeProto { name: "dilations".into(), ints: vec![2], ..AttributeProto::default() });
    assert_eq!(refusal(&model), "the convolution has dilations");

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
