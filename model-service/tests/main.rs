//! One binary: the shared vectors, the shipped model, the real server on loopback, the image, the training.

#![expect(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

mod http;
mod image;
mod model;
mod training;
mod vectors;

use std::path::PathBuf;

/// The shipped model's file.
fn shipped() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models/v2.onnx")
}
