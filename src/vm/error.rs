//! What can go wrong with machines.

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

/// A failed operation on a machine.
pub type Error = crate::error::Error<Kind>;

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
