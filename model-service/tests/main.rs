//! One binary: the shared vectors, the shipped model, the real server on loopback, its page in a real browser, the journal, the image, the
//! training.

#![expect(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

mod app;
#[path = "../../tests/environment/browser.rs"]
mod browser;
mod http;
mod image;
mod journal;
mod model;
mod monitoring;
mod release;
mod training;
mod vectors;

use std::path::PathBuf;

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
