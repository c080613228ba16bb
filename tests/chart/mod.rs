//! Charts: rendered as real Helm does (recorded, and run again where `helm` is), refused with their places, and the bundled one.

mod bundled;
mod parity;
mod refused;

use std::path::{Path, PathBuf};

use provision::chart::Release;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chart/fixtures").join(name)
}

fn release() -> Release {
    Release { name: "rel".to_owned(), namespace: "ns".to_owned(), revision: 1, is_install: true, kube_version: "v1.36.4".to_owned() }
}
