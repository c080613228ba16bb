//! What can go wrong between a manifest and a file, in sentences.

use std::fmt;

use super::manifest::SourceKind;

/// What a caller may choose by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The manifest has no such artifact.
    Unknown,
    /// A file of the cache is not what it was when it was put there.
    Damaged,
    /// No source gave it.
    NoSource,
    /// The caller cancelled.
    Cancelled,
    /// All else: a file operation, a command of this machine.
    Other,
}

/// A failed operation on artifacts. `Display` is the sentence, its cause, and a line for each source that was tried.
#[derive(Clone, Debug)]
pub struct Error {
    pub kind: ErrorKind,
    /// A lowercase phrase: what we were doing and on what.
    pub doing: String,
    /// Why it failed, from near to far.
    pub causes: Vec<String>,
    /// Each source that was asked, in order, and why it did not give it.
    pub tried: Vec<Tried>,
    /// What to type next.
    pub hint: Option<String>,
}

/// A source that did not give an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    pub artifact: String,
    pub source: SourceKind,
    /// `https://dl.k8s.io/…`, `k8s.io/kubernetes v1.36.4`; empty where the source has but one place.
    pub place: String,
    pub cause: String,
}

/// The result of this part of the crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(kind: ErrorKind, doing: impl Into<String>) -> Self {
        Self { kind, doing: doing.into(), causes: Vec::new(), tried: Vec::new(), hint: None }
    }

    /// An error of this machine: a file operation, a command.
    pub fn other(doing: impl Into<String>, cause: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Other, doing).because(cause)
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

    pub(super) fn cancelled(doing: impl Into<String>) -> Self {
        Self::new(ErrorKind::Cancelled, doing).because("cancelled")
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let space = if self.place.is_empty() { "" } else { " " };
        write!(f, "{}{space}{}: {}", self.source, self.place, self.cause)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.doing)?;
        self.causes.iter().try_for_each(|cause| write!(f, ": {cause}"))?;
        self.tried.iter().try_for_each(|tried| write!(f, "\n  {tried}"))
    }
}

impl std::error::Error for Error {}
