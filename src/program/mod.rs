//! What a node is sent: plays, tasks, scopes, values.
//!
//! Everything here is data: no I/O, no evaluation. The controller builds it (`playbook`), the agent runs it.

pub mod asks;
pub mod free_form;
pub mod glob;
pub mod host_names;
pub mod play;
pub mod position;
pub mod tags;
pub mod timestamp;
pub mod tree;
pub mod value;
pub mod zone;

pub use asks::Asks;
pub use play::*;
pub use position::Position;
pub use tree::{Span, Template, Tree};
pub use value::{Key, Map, Text, Value};
pub use zone::{Clock, Zone};
