//! One error: what we were doing, on what; the cause; what to type next.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a caller may choose by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Addresses or names that another environment or this machine uses already.
    Overlap,
    /// Root is needed and `sudo` did not give it.
    Privilege,
    /// The base root file system could not be built.
    Image,
    /// A node did not come up.
    Boot,
    /// A node exists and was made with another address or image.
    Changed,
    /// All else: a command or a file operation of this machine.
    Machine,
}

/// A failed operation on a machine. `Display` is one line without the hint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    pub kind: Kind,
    /// A lowercase phrase: what we were doing and on what.
    pub doing: String,
    /// Why it failed, from near to far.
    pub causes: Vec<String>,
    /// The next command, or what to change.
    pub hint: Option<String>,
}

impl Error {
    pub fn new(kind: Kind, doing: impl Into<String>) -> Self {
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

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.doing)?;
        self.causes.iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl std::error::Error for Error {}

impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(own) => own,
            Err(other) => {
                let mut chain = other.chain().map(ToString::to_string);
                let doing = chain.next().unwrap_or_default();
                Self { kind: Kind::Machine, doing, causes: chain.collect(), hint: None }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_of_causes_is_kept() {
        let error = anyhow::anyhow!("no space left").context("writing /x").context("making node web-1");
        assert_eq!(Error::from(error).to_string(), "making node web-1: writing /x: no space left");
    }

    #[test]
    fn an_own_error_keeps_kind_and_hint() {
        let own = Error::new(Kind::Overlap, "checking networks").hint("change it");
        assert_eq!(Error::from(anyhow::Error::from(own.clone())), own);
        let deeper = Error::from(anyhow::Error::from(own).context("starting a"));
        assert_eq!((deeper.kind, deeper.hint.as_deref()), (Kind::Overlap, Some("change it")));
        assert_eq!(deeper.to_string(), "checking networks");
    }
}
