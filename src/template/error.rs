//! What can go wrong when a template is evaluated.

use std::fmt;
use std::sync::Arc;

use crate::program::{Mistake, Span};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An evaluation that ended without a value.
#[derive(Clone, Debug)]
pub struct Error {
    pub kind: ErrorKind,
    /// A lowercase phrase: "'foo' is undefined", "unsupported operand types for +: 'int' and 'str'".
    pub message: String,
    /// Where in the user's file, as near as it is known.
    pub span: Option<Span>,
    /// What to type instead, where that is known.
    pub hint: Option<String>,
}

/// What a caller decides by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    Syntax,
    /// A name or attribute without a value.
    Undefined,
    /// Not an error of the user: a plan cannot know this value; the text is the cause.
    Unknown(Arc<str>),
    /// Everything else: types, arguments, a filter's or lookup's own failure.
    Failed,
}

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), span: None, hint: None }
    }

    /// A user's mistake, where a host reaches it.
    pub fn mistake(mistake: &Mistake) -> Self {
        let error = Self::failed(&*mistake.message).at(mistake.span);
        match &mistake.hint {
            Some(hint) => error.hint(&**hint),
            None => error,
        }
    }

    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failed, message)
    }

    pub fn syntax(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Syntax, message)
    }

    pub fn undefined(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Undefined, message)
    }

    pub fn unknown(cause: impl Into<Arc<str>>) -> Self {
        let cause = cause.into();
        Self::new(ErrorKind::Unknown(Arc::clone(&cause)), format!("not known before: {cause}"))
    }

    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.span.get_or_insert(span);
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint.get_or_insert(hint.into());
        self
    }

    pub fn is_undefined(&self) -> bool {
        self.kind == ErrorKind::Undefined
    }

    pub fn unknown_cause(&self) -> Option<&Arc<str>> {
        match &self.kind {
            ErrorKind::Unknown(cause) => Some(cause),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
