//! One binary: the shared vectors, the shipped model, the real server on loopback, its page in a real browser, the journal, the image.

#![expect(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

mod app;
#[path = "../../tests/environment/browser.rs"]
mod browser;
mod http;
mod image;
mod journal;
mod model;
mod vectors;

use std::path::PathBuf;

/// The shipped model's file.
fn shipped() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models/v2.onnx")
}
