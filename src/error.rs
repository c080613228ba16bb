//! A failed operation: what we were doing, on what; the cause; what to type next.

use std::fmt;

use serde::{Deserialize, Serialize};

/// `K` is what a caller may choose by. `Display` is one line, without the hint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error<K> {
    pub kind: K,
    /// A lowercase phrase: what we were doing and on what.
    pub doing: String,
    /// Why it failed, from near to far.
    pub causes: Vec<String>,
    /// The next command, or what to change.
    pub hint: Option<String>,
}

impl<K> Error<K> {
    pub fn new(kind: K, doing: impl Into<String>) -> Self {
        Self { kind, doing: doing.into(), causes: Vec::new(), hint: None }
    }

    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.causes.push(cause.to_string());
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl<K> fmt::Display for Error<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.doing)?;
        self.causes.iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl<K: fmt::Debug> std::error::Error for Error<K> {}
