//! Helm charts: loaded, their values merged and checked, their templates rendered to Kubernetes objects, without Helm.
//!
//! gotmpl parses the Go templates (with [`scan`] mending what it takes in silence), [`evaluate`] runs its tree over values that are
//! shared and change as Go's do, [`write`] is byte for byte Helm's `toYaml`. What a chart may use and this renderer has not
//! (sub-charts, hooks other than tests, random functions) is refused by name, never left out.

mod evaluate;
mod fault;
mod function;
mod ignore;
mod load;
mod manifest;
mod merge;
mod parse;
mod print;
mod read;
mod render;
mod scalar;
mod scan;
pub mod schema;
mod value;
mod write;

pub use fault::{Refused, Result};
pub use load::{Chart, read_values};
pub use manifest::{INSTALL_ORDER, Object};
pub use render::Release;
