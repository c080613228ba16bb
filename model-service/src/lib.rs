//! The inference service: is a URL phishing?
//!
//! One request's way: `request` (bytes → URLs, or a clear 4xx) → `service` (a place in the bounded queue) → `preprocessing`
//! (URL → ids) → `model` (ids → probability, through a `Runtime`: `kernel` or `tract`) → JSON, or the `page`. `training/` makes the model;
//! `vectors/preprocessing.json` holds its pre-processing and ours to one another. `oci` writes the image.

mod kernel;
pub mod metrics;
pub mod model;
pub mod oci;
pub mod page;
pub mod preprocessing;
pub mod request;
pub mod service;
mod tract;
