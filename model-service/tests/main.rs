//! One binary: the shared vectors, the shipped model, the real server on loopback, its page in a real browser, the journal, models that
//! come and go, the image, the training.

#![expect(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

mod app;
#[path = "../../tests/environment/browser.rs"]
mod browser;
mod http;
mod image;
mod journal;
mod model;
mod monitoring;
mod properties;
mod release;
mod server;
mod swap;
mod training;
mod vectors;

use std::path::PathBuf;

/// Numbers that look drawn and are the same in every run (xorshift64).
struct Numbers(u64);

impl Numbers {
    fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// A Python with these packages (`name==version`), made once in the user's cache folder, where it is called `name`.
fn python(name: &str, packages: &[&str]) -> std::process::Command {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/support/venv.sh");
    let made = std::process::Command::new("sh").arg(script).arg(name).args(packages).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::process::Command::new(String::from_utf8(made.stdout).unwrap().trim())
}

/// The file with more metadata behind it; what is said twice counts as it was said last.
fn with_metadata(file: &[u8], told: &[(&str, &str)]) -> Vec<u8> {
    use prost::Message as _;
    use tract_onnx::pb::{ModelProto, StringStringEntryProto};
    let metadata_props = told.iter().map(|(key, value)| StringStringEntryProto { key: (*key).into(), value: (*value).into() }).collect();
    let more = ModelProto { metadata_props, ..ModelProto::default() };
    [file, &more.encode_to_vec()].concat()
}

/// Every model of the repository.
fn models() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models");
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "onnx"))
        .collect();
    found.sort();
    assert!(found.contains(&shipped()) && found.len() >= 2, "{found:?}");
    found
}

/// The file of the model that is in the image.
fn shipped() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models/v2.onnx")
}
