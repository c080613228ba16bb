//! The inference service: is a URL phishing?
//!
//! One request's way: `request` (bytes → URLs, or a clear 4xx) → `service` (a place in the bounded queue) → `preprocessing`
//! (URL → ids) → `model` (ids → probability, through a `Runtime`: `kernel` or `tract`) → `journal` (on the disk) → JSON. The `app` stands
//! before it, in the same process or in one of its own, and makes a page of it for people. `training/` makes the model;
//! `vectors/preprocessing.json` holds its pre-processing and ours to one another. `swap` changes the model while it serves. `oci` writes
//! the images of `image`, `sbom` says what is in them, `health` asks a server how it is.

pub mod app;
pub mod explain;
mod front;
pub mod health;
pub mod image;
pub mod journal;
mod kernel;
pub mod listen;
pub mod metrics;
pub mod model;
pub mod oci;
pub mod preprocessing;
mod pulse;
mod quiet;
pub mod request;
pub mod sbom;
pub mod server;
pub mod service;
pub mod swap;
mod tract;
mod unread;

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;
