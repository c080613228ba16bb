//! What a release is made of: release.sh run with the program that is there, its files against their schemas, compose.yaml.
//!
//! `compose-spec.json` is the schema of compose-go v2.9.0 (github.com/compose-spec/compose-go, Apache-2.0), unchanged.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::image::{digest, files};

const IMAGES: [&str; 4] = ["app-v1", "app-v2", "model-service-v1", "model-service-v2"];

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn release(tag: &str, folder: &Path, limit: Option<&str>) -> Output {
    let mut command = Command::new(here("release.sh"));
    // The binary of the tests is neither static nor small.
    let binary = folder.with_file_name("binary");
    if !binary.exists() {
        let stripped = Command::new("strip").arg("-o").arg(&binary).arg(env!("CARGO_BIN_EXE_model-service")).status().unwrap();
        assert!(stripped.success());
    }
    command.arg(tag).arg(folder).env("REGISTRY", "registry.example:5000/phishing").env("BINARY", binary);
    if let Some(limit) = limit {
        command.env("LIMIT", limit);
    }
    command.output().unwrap()
}

const ANY_SIZE: Option<&str> = Some("1000000000");

/// What a validator of tests/release/validate.py says.
fn wrong(words: &[&Path]) -> String {
    let packages = ["cyclonedx-python-lib[json-validation]==11.5.0", "jsonschema==4.25.1", "pyyaml==6.0.3"];
    let done = crate::python("schemas", &packages).arg(here("tests/release/validate.py")).args(words).output().unwrap();
    String::from_utf8(done.stderr).unwrap()
}

fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap())).collect()
}

#[test]
fn a_tag_becomes_four_images_with_their_tags_and_what_they_are_made_of() {
    let folder = tempfile::tempdir().unwrap();
    let (once, again) = (folder.path().join("once"), folder.path().join("again"));
    for output in [&once, &again] {
        let done = release("v1.2.3", output, ANY_SIZE);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    let made = contents(&once);
    assert!(made == contents(&again), "the same bytes again");
    let sums = String::from_utf8(made["SHA256SUMS"].clone()).unwrap();
    let program = files(&fs::read(once.join("app-v1.tar")).unwrap());
    let manifest = |files: &BTreeMap<String, Vec<u8>>| -> Value { serde_json::from_slice(&files["manifest.json"]).unwrap() };
    for image in IMAGES {
        assert!(sums.contains(&format!("{}  {image}.tar", &digest(&made[&format!("{image}.tar")])[7..])), "{sums}");
        let archive = files(&made[&format!("{image}.tar")]);
        let tags = ["v1.2.3", "v1.2.latest", "v1.latest", "latest"].map(|tag| format!("registry.example:5000/phishing/{image}:{tag}"));
        assert_eq!(manifest(&archive)[0]["RepoTags"], serde_json::json!(tags));
        // The binary is one layer, the same in all.
        assert_eq!(manifest(&archive)[0]["Layers"][0], manifest(&program)[0]["Layers"][0]);

        let bill = &made[&format!("{image}.cdx.json")];
        assert!(archive.values().any(|blob| blob == bill), "it is attached too");
        assert_eq!(wrong(&[Path::new("cyclonedx"), &once.join(format!("{image}.cdx.json"))]), "");
        let bill: Value = serde_json::from_slice(bill).unwrap();
        assert_eq!(bill["metadata"]["component"]["version"], "1.2.3");
        let component = |name: &str| bill["components"].as_array().unwrap().iter().find(|one| one["name"] == name).cloned();
        let axum = component("axum").expect("a crate that it serves with");
        assert_eq!((&axum["licenses"][0]["expression"], axum["hashes"][0]["content"].as_str().unwrap().len()), (&"MIT".into(), 64));
        assert_eq!(component("tempfile"), None, "what only tests need is not in it");
        let model =
            image.strip_prefix("model-service-").map(|version| (version, fs::read(here(&format!("models/{version}.onnx"))).unwrap()));
        for version in ["v1", "v2"] {
            let known = component(version).map(|model| model["hashes"][0]["content"].as_str().unwrap().to_owned());
            assert_eq!(known, model.as_ref().filter(|(own, _)| *own == version).map(|(_, file)| digest(file)[7..].to_owned()));
        }
    }
}

/// Into layouts, which take the place of a registry: needs skopeo and jq.
#[test]
fn what_is_pushed_has_the_digest_that_its_attached_sbom_refers_to() {
    let folder = tempfile::tempdir().unwrap();
    let (output, pushed) = (folder.path().join("files"), folder.path().join("pushed"));
    fs::create_dir(&pushed).unwrap();
    assert!(release("v1.2.3", &output, ANY_SIZE).status.success());
    let done = Command::new(here("push.sh")).arg(&output).arg(format!("oci:{}", pushed.display())).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    for image in IMAGES {
        let json = |content: &[u8]| serde_json::from_slice::<Value>(content).unwrap();
        let built = json(&files(&fs::read(output.join(format!("{image}.tar"))).unwrap())["index.json"]);
        let digest = built["manifests"][0]["digest"].as_str().unwrap();
        let index = json(&fs::read(pushed.join(image).join("index.json")).unwrap());
        let listed = |tag: &str| {
            let mut manifests = index["manifests"].as_array().unwrap().iter();
            let found = manifests.find(|one| one["annotations"]["org.opencontainers.image.ref.name"] == tag);
            found.unwrap_or_else(|| panic!("{tag} is not in {index}"))["digest"].clone()
        };
        for tag in ["v1.2.3", "v1.2.latest", "v1.latest", "latest"] {
            assert_eq!(listed(tag), digest, "{image}:{tag}");
        }
        let blob = |digest: &Value| fs::read(pushed.join(image).join("blobs").join(digest.as_str().unwrap().replace(':', "/"))).unwrap();
        let referrer = json(&blob(&listed(&format!("{}.sbom", digest.replace(':', "-")))));
        assert_eq!(referrer["subject"]["digest"], digest);
        assert!(blob(&referrer["layers"][0]["digest"]) == fs::read(output.join(format!("{image}.cdx.json"))).unwrap());
    }
}

#[test]
fn a_pre_release_moves_no_other_tag_and_what_is_no_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("files");
    let done = release("v1.2.3-rc.1", &output, ANY_SIZE);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let archive = files(&fs::read(output.join("app-v2.tar")).unwrap());
    let manifest: Value = serde_json::from_slice(&archive["manifest.json"]).unwrap();
    assert_eq!(manifest[0]["RepoTags"], serde_json::json!(["registry.example:5000/phishing/app-v2:v1.2.3-rc.1"]));
    for tag in ["1.2.3", "v1.2", "v01.2.3", "latest"] {
        let refused = release(tag, &folder.path().join("refused"), ANY_SIZE);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains(tag) && said.contains("write a version as v1.2.3"), "{said}");
    }
    let heavy = release("v1.2.3", &folder.path().join("heavy"), None);
    let said = String::from_utf8_lossy(&heavy.stderr);
    assert!(!heavy.status.success() && said.contains("bytes unpacked, more than 30000000"), "{said}");
}

/// In a repository of its own, with a Cargo that says what it was to build: the version is the tag's, and nothing but the tag is built.
#[test]
fn only_what_the_tag_names_is_built_and_its_version_is_the_tags() {
    let folder = tempfile::tempdir().unwrap();
    let [repository, programs, output] = ["repository", "programs", "output"].map(|name| folder.path().join(name));
    fs::create_dir_all(repository.join("model-service")).unwrap();
    fs::create_dir(&programs).unwrap();
    fs::copy(here("release.sh"), repository.join("model-service/release.sh")).unwrap();
    let (cargo, program) = (programs.join("cargo"), folder.path().join("where"));
    // What it builds tells the path of its source, as every panic does.
    fs::write(
        &cargo,
        "#!/bin/sh\necho \"building $PROVISION_VERSION: $*\" >&2\nrustc $RUSTFLAGS -o \"$PROGRAM\" \"$SOURCE\" >&2 || exit 4\nexit 3\n",
    )
    .unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    let git = |words: &[&str]| {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=Test", "-c", "user.email=test@example.com"]).args(words).current_dir(&repository);
        let done = command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").output().unwrap();
        assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    let released = |tag: &str| {
        let path = std::env::join_paths(std::iter::once(programs.clone()).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())));
        let mut command = Command::new(repository.join("model-service/release.sh"));
        // Git does not see it there.
        let source = repository.join(".git/where.rs");
        fs::write(&source, "fn main() { println!(\"{}\", std::panic::Location::caller().file()) }").unwrap();
        command.arg(tag).arg(&output).env_remove("BINARY").env_remove("CARGO_TARGET_DIR").env("PATH", path.unwrap());
        let done = command.env("SOURCE", &source).env("PROGRAM", &program).output().unwrap();
        fs::remove_file(source).unwrap();
        (done.status.code().unwrap(), String::from_utf8(done.stderr).unwrap())
    };
    let refused = |tag: &str| {
        let (code, said) = released(tag);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(&format!("this checkout is not the tag {tag}")) && !said.contains("building"), "{said}");
    };
    git(&["init", "--quiet"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "--message", "One"]);
    refused("v1.2.3");
    git(&["tag", "--annotate", "--message", "One", "v1.2.3"]);
    let (code, said) = released("v1.2.3");
    assert_eq!(code, 3, "{said}");
    assert!(said.starts_with("building 1.2.3: build --locked --package model-service --profile service"), "{said}");
    let told = Command::new(&program).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&told.stdout), "/source/.git/where.rs\n", "a path of this machine is in the binary");
    refused("v1.2.4");
    fs::write(repository.join("more"), "").unwrap();
    refused("v1.2.3");
    git(&["add", "."]);
    git(&["commit", "--quiet", "--message", "Two"]);
    refused("v1.2.3");
    assert!(fs::read_dir(&output).unwrap().next().is_none());
}

#[test]
fn compose_is_valid_and_runs_the_images_of_a_release_without_a_right_too_many() {
    let file = here("compose.yaml");
    assert_eq!(wrong(&[Path::new("compose"), &here("tests/release/compose-spec.json"), &file]), "");
    // The check can fail.
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(&file).unwrap();
    let broken = folder.path().join("compose.yaml");
    fs::write(&broken, text.replace("read_only: true", "readonly: true")).unwrap();
    assert!(wrong(&[Path::new("compose"), &here("tests/release/compose-spec.json"), &broken]).contains("readonly"));
    for image in ["model-service-${MODEL:-v2}", "app-${VARIANT:-v2}"] {
        assert!(text.contains(&format!("image: ${{REGISTRY:-provision.local}}/{image}:${{TAG:-latest}}")), "{image}");
    }
    assert!(text.contains("test: [CMD, /model-service, health]"));
}

/// By actionlint, which also reads the scripts of its steps where there is a shellcheck. It is a Go module: without a Go here, CI has one.
#[test]
fn the_release_workflow_is_valid_and_runs_the_same_scripts() {
    let workflow = here("../.github/workflows/release.yaml");
    let mut lint = Command::new("go");
    lint.args(["run", "github.com/rhysd/actionlint/cmd/actionlint@v1.7.7"]).arg(&workflow).current_dir(std::env::temp_dir());
    match lint.env_remove("GOFLAGS").output() {
        Ok(done) => assert!(done.status.success(), "{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr)),
        Err(error) => assert!(std::env::var_os("CI").is_none(), "run go: {error}"),
    }
    let text = fs::read_to_string(workflow).unwrap();
    for script in ["model-service/release.sh \"$GITHUB_REF_NAME\" release", "model-service/push.sh release \"docker://${REGISTRY,,}\""] {
        assert!(text.contains(script), "{text}");
    }
}
