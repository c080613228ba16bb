use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::shipped;

fn write(folder: &Path, name: &str) -> (Vec<u8>, String) {
    let binary = folder.join("binary");
    fs::write(&binary, b"not really a program").unwrap();
    let output = folder.join(name);
    let made = Command::new(env!("CARGO_BIN_EXE_model-service"))
        .args(["image", "--reference", "registry.example:5000/model-service:1.2.3", "--binary"])
        .args([&binary, Path::new("--model"), &shipped(), Path::new("--output"), &output])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (fs::read(&output).unwrap(), String::from_utf8(made.stdout).unwrap().trim().to_owned())
}

pub fn files(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        found.insert(entry.path().unwrap().display().to_string(), content);
    }
    found
}

pub fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

#[test]
fn same_input_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    assert!(write(folder.path(), "a.tar") == write(folder.path(), "b.tar"));
}

#[test]
fn every_digest_names_its_content_and_the_user_is_not_root() {
    let folder = tempfile::tempdir().unwrap();
    let (archive, said) = write(folder.path(), "image.tar");
    let files = files(&archive);
    let json = |content: &[u8]| serde_json::from_slice::<Value>(content).unwrap();
    let blob = |digest: &Value| &files[&format!("blobs/{}", digest.as_str().unwrap().replace(':', "/"))];

    for (path, content) in files.iter().filter(|(path, content)| path.starts_with("blobs/sha256/") && !content.is_empty()) {
        assert_eq!(format!("sha256:{}", path.rsplit('/').next().unwrap()), digest(content));
    }
    let index = json(&files["index.json"]);
    let listed = &index["manifests"][0];
    assert_eq!(listed["digest"], said);
    assert_eq!(listed["annotations"]["io.containerd.image.name"], "registry.example:5000/model-service:1.2.3");
    assert_eq!(listed["annotations"]["org.opencontainers.image.ref.name"], "1.2.3");
    let manifest = json(blob(&listed["digest"]));
    let config = json(blob(&manifest["config"]["digest"]));
    assert_eq!(config["config"]["User"], "65532:65532");
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 2);
    for (layer, diff) in layers.iter().zip(config["rootfs"]["diff_ids"].as_array().unwrap()) {
        assert_eq!(&layer["digest"], diff);
        assert_eq!(layer["size"], blob(diff).len());
    }
    let program = self::files(blob(&layers[0]["digest"]));
    assert_eq!(program["model-service"], b"not really a program");
    assert!(program.contains_key("journal/"), "where a volume is mounted");
    assert_eq!(self::files(blob(&layers[1]["digest"]))["models/model.onnx"], fs::read(shipped()).unwrap());
}

fn made(arguments: &[&str], folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let (binary, output) = (folder.join("binary"), folder.join("made.tar"));
    fs::write(&binary, b"not really a program").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_model-service"));
    let done = command.arg("image").args(arguments).arg("--binary").arg(&binary).arg("--output").arg(&output).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    files(&fs::read(output).unwrap())
}

#[test]
fn several_tags_are_one_image_and_a_bill_of_materials_refers_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let bill = folder.path().join("bill.json");
    fs::write(&bill, "{}\n").unwrap();
    let references = ["v1.2.3", "v1.2.latest", "v1.latest", "latest"].map(|tag| format!("registry.example:5000/app:{tag}"));
    let bill = bill.display().to_string();
    let arguments =
        ["--part", "app", "--variant", "v1", "--sbom", &bill, "--repository", "registry.example:5000/app", "--release", "v1.2.3"];
    let files = made(&arguments, folder.path());
    let json = |content: &[u8]| serde_json::from_slice::<Value>(content).unwrap();
    let blob = |descriptor: &Value| {
        let content = &files[&format!("blobs/{}", descriptor["digest"].as_str().unwrap().replace(':', "/"))];
        assert_eq!((&descriptor["digest"], &descriptor["size"]), (&digest(content).into(), &content.len().into()));
        content
    };
    let index = json(&files["index.json"]);
    let [images @ .., referrer] = index["manifests"].as_array().unwrap().as_slice() else { panic!("{index}") };
    let first = &images[0];
    assert_eq!(images.len(), references.len());
    for (listed, reference) in images.iter().zip(references) {
        assert_eq!(listed["annotations"]["io.containerd.image.name"], *reference);
        assert_eq!(listed["annotations"]["org.opencontainers.image.ref.name"], reference.rsplit_once(':').unwrap().1);
        assert_eq!(listed["digest"], first["digest"]);
    }
    let about = json(blob(referrer));
    assert_eq!(about["subject"]["digest"], first["digest"]);
    assert_eq!(about["subject"]["size"], blob(&about["subject"]).len());
    assert_eq!((&about["artifactType"], &referrer["artifactType"]), (&about["layers"][0]["mediaType"], &about["artifactType"]));
    assert_eq!(blob(&about["layers"][0]), b"{}\n");
    assert_eq!(blob(&about["config"]), b"{}");
    let manifest = json(blob(first));
    let config = json(blob(&manifest["config"]));
    assert_eq!(config["config"]["Entrypoint"], serde_json::json!(["/model-service", "app"]));
    assert_eq!(config["config"]["Env"], serde_json::json!(["VARIANT=v1"]));
    assert_eq!((manifest["layers"].as_array().unwrap().len(), &config["config"]["User"]), (1, &"65532:65532".into()));
}

#[test]
fn a_program_without_a_model_is_no_service() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_model-service"));
    let done = command.args(["image", "--output"]).arg(folder.path().join("a.tar")).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(!done.status.success() && said.contains("--model"), "{said}");
}

/// Needs skopeo (Debian's package, which tests/run installs).
#[test]
fn skopeo_reads_it_as_oci_and_as_docker_archive() {
    let folder = tempfile::tempdir().unwrap();
    let (_, said) = write(folder.path(), "image.tar");
    for (kind, same) in [("oci-archive", true), ("docker-archive", false)] {
        let place = format!("{kind}:{}", folder.path().join("image.tar").display());
        let seen = Command::new("skopeo").args(["inspect", &place]).output().unwrap_or_else(|error| panic!("run skopeo: {error}"));
        assert!(seen.status.success(), "{}", String::from_utf8_lossy(&seen.stderr));
        let inspected: Value = serde_json::from_slice(&seen.stdout).unwrap();
        assert_eq!(inspected["Layers"].as_array().unwrap().len(), 2);
        // As a Docker archive the manifest is made anew by the reader, so only the OCI one has the digest that we tell.
        assert_eq!(inspected["Digest"] == said.as_str(), same);
    }
}
