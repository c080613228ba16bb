//! Where a run goes on after its machine restarted.

use serde::{Deserialize, Serialize};

use crate::program::{Position, Value};

/// The task that restarted the machine or needed it, and what its loop had so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Resume {
    pub position: Position,
    pub item: u32,
    /// Results of the items before.
    pub results: Vec<Value>,
    /// Seconds since the epoch when the restart was asked for.
    pub since: f64,
    /// The machine was to be reached for the task, which has not begun.
    pub needed: bool,
}

impl Resume {
    /// Whether the step at `position` is the one, around it, or after it. (Steps before it are done.)
    pub fn reaches(&self, position: &Position) -> bool {
        *position >= self.position || self.is_inside(position)
    }

    /// Whether the task lies at or inside `position`.
    pub fn is_inside(&self, position: &Position) -> bool {
        self.position.0.starts_with(&position.0)
    }
}
