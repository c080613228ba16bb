//! Where a run is: a path, since includes splice in at run time. Compared as text books compare chapters.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Play index, then step indices from the outermost list inwards. `1.0.3 < 1.0.3.0 < 1.0.4`.
/// The first index after the play's is the section: 0 facts, 1 pre_tasks, 2 their handlers, 3 roles, 4 tasks,
/// 5 handlers, 6 post_tasks, 7 their handlers, 8 the end of the play.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position(pub Vec<u32>);

impl Position {
    #[must_use]
    pub fn child(&self, index: u32) -> Self {
        let mut path = self.0.clone();
        path.push(index);
        Self(path)
    }

    /// The step after it.
    #[must_use]
    pub fn after(&self) -> Self {
        let mut path = self.0.clone();
        if let Some(last) = path.last_mut() {
            *last += 1;
        }
        Self(path)
    }

    pub fn play(&self) -> Option<u32> {
        self.0.first().copied()
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            write!(f, "{}{step}", if index == 0 { "" } else { "." })?;
        }
        Ok(())
    }
}
