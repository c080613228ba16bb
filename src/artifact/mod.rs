//! What nodes are given: one manifest of versions and checksums, several sources in order, one cache.
//!
//! A playbook names an artifact and does not know where it came from: the cache, a mirror, upstream, the same version built
//! from its Go module, this machine's apt; what this project builds itself, from Cargo. Files are checked on their way into the cache, by SHA-256 or by module sum; images
//! are made of artifacts here, under upstream's names, so that manifests stay upstream's own.

pub mod cache;
mod cargo;
mod child;
mod debian;
mod download;
mod error;
mod go;
mod home;
pub mod manifest;
mod oci;
mod pause;
mod progress;
mod read;
mod store;

pub use cache::{Cache, ImageInfo};
pub use error::{Error, ErrorKind, Result, Tried};
pub use home::user_folder;
pub use manifest::{Architecture, Manifest, SourceKind};
pub use progress::{Cancel, Progress};
pub use store::{Artifact, ArtifactFile, Lack, Settings, Store};
