use std::fs;
use std::path::Path;
use std::process::Command;

use model_service::model::{Model, Wanted};
use model_service::preprocessing::POSITIONS;
use prost::Message as _;
use serde_json::Value;
use tract_onnx::pb::{ModelProto, NodeProto};

use crate::{Numbers, models, shipped, training};

/// The URLs of the model's self-test, and what onnxruntime answered.
fn known(model: &ModelProto) -> Vec<(String, f64)> {
    let known = model.metadata_props.iter().find(|entry| entry.key == "self_test").unwrap();
    let known: Value = serde_json::from_str(&known.value).unwrap();
    let of = |known: &Value| (known["url"].as_str().unwrap().to_owned(), known["probability"].as_f64().unwrap());
    known.as_array().unwrap().iter().map(of).collect()
}

/// The URLs of the shared vectors, of the model's self-test, and 2,000 made up of a fixed sequence of numbers.
fn urls(model: &ModelProto) -> Vec<Vec<u8>> {
    let vectors: Value = serde_json::from_str(include_str!("../../vectors/preprocessing.json")).unwrap();
    let mut urls: Vec<Vec<u8>> =
        vectors["vectors"].as_array().unwrap().iter().map(|vector| hex::decode(vector[0].as_str().unwrap()).unwrap()).collect();
    urls.extend(known(model).into_iter().map(|(url, _)| url.into_bytes()));

    let mut numbers = Numbers::new();
    let mut below = |limit: usize| numbers.below(limit);
    let parts =
        ["http://", "www.", "login", "paypal", ".com", "/", "?", "id=", "&", "%20", "a", "7", "-", "ü", "例え", "\u{1f600}", " ", "Z"];
    let lengths = [0, 1, 2, 5, 10, 20, 40, 80, 120];
    for _ in 0..2_000 {
        let length = lengths[below(lengths.len())];
        urls.push((0..length).flat_map(|_| parts[below(parts.len())].bytes()).collect());
    }
    assert!(urls.iter().any(Vec::is_empty) && urls.iter().any(|url| url.len() > 2 * POSITIONS) && urls.iter().any(|url| !url.is_ascii()));
    urls
}

#[test]
fn kernel_says_what_tract_says() {
    for path in models() {
        let file = fs::read(&path).unwrap();
        let urls = urls(&ModelProto::decode(file.as_slice()).unwrap());
        let [kernel, tract] = [Wanted::Kernel, Wanted::Tract].map(|wanted| Model::from_bytes_with(&file, wanted).unwrap());
        assert_eq!((kernel.runtime(), tract.runtime()), ("kernel", "tract"));
        let (ours, theirs) = (kernel.probabilities(&urls).unwrap(), tract.probabilities(&urls).unwrap());
        for ((url, ours), theirs) in urls.iter().zip(ours).zip(theirs) {
            assert!((ours - theirs).abs() <= 1e-5, "{}: {ours} and {theirs}", String::from_utf8_lossy(url));
        }
    }
}

#[test]
fn graph_that_the_kernel_does_not_know_is_computed_by_tract_or_refused() {
    let mut model = ModelProto::decode(fs::read(shipped()).unwrap().as_slice()).unwrap();
    let graph = model.graph.as_mut().unwrap();
    let last = graph.node.iter_mut().find(|node| node.op_type == "Sigmoid").unwrap();
    let logit = std::mem::replace(&mut last.input[0], "same".into());
    graph.node.push(NodeProto { op_type: "Identity".into(), input: vec![logit], output: vec!["same".into()], ..NodeProto::default() });
    let file = model.encode_to_vec();
    assert_eq!(Model::from_bytes(&file).unwrap().runtime(), "tract");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    fs::write(&path, file).unwrap();
    let ended = Command::new(env!("CARGO_BIN_EXE_model-service")).args(["check", "--runtime", "kernel"]).arg(&path).output().unwrap();
    assert!(!ended.status.success());
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("hint: serve it with --runtime tract: Identity stands where Sigmoid is known"), "{said}");
}

/// Strides, dilation, two poolings and a hyperbolic tangent, which the kernel has not: what comes after this family needs no new service.
#[test]
fn graph_of_another_shape_is_computed_by_tract_as_onnxruntime_did() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/model");
    let file = fs::read(here.join("d2.onnx")).unwrap();
    let proto = ModelProto::decode(file.as_slice()).unwrap();
    let refused = Model::from_bytes_with(&file, Wanted::Kernel).err().unwrap();
    assert!(format!("{refused:#}").contains("the convolution has strides"), "{refused:#}");
    let model = Model::from_bytes(&file).unwrap();
    assert_eq!(model.runtime(), "tract");
    let (urls, theirs): (Vec<_>, Vec<_>) = known(&proto).into_iter().unzip();
    assert!(urls.len() >= 8, "{urls:?}");
    assert!(theirs.iter().enumerate().all(|(place, one)| theirs[..place].iter().all(|other| (one - other).abs() > 1e-3)), "{theirs:?}");
    let alone = urls.iter().map(|url| model.probabilities(&[url]).unwrap()[0]);
    for (ours, theirs) in model.probabilities(&urls).unwrap().into_iter().zip(alone).zip(&theirs) {
        assert!((f64::from(ours.0) - theirs).abs() <= 1e-5 && (f64::from(ours.1) - theirs).abs() <= 1e-5, "{ours:?} and {theirs}");
    }

    // The file is its script's, the answers' last digit apart, which may be another on another processor.
    let Some(programs) = training::programs() else { return };
    let again = tempfile::NamedTempFile::new().unwrap();
    let mut script = Command::new(programs.join("python"));
    script.arg(here.join("d2.py")).arg(again.path());
    script.env("PYTHONPATH", here.join("../../training")).env("PYTHONDONTWRITEBYTECODE", "1");
    let ended = script.output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let again = ModelProto::decode(fs::read(again.path()).unwrap().as_slice()).unwrap();
    assert_eq!(again.graph, proto.graph);
    for ((url, one), (again, other)) in known(&proto).into_iter().zip(known(&again)) {
        assert!(url == again && (one - other).abs() <= 1e-5, "{url}: {one} and {other}");
    }
}
