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
                let hint = other.chain().find_map(|cause| hint(cause.downcast_ref::<std::io::Error>()?.kind()));
                Self { kind: Kind::Machine, doing, causes: chain.collect(), hint: hint.map(str::to_owned) }
            }
        }
    }
}

/// What to do about a failed operation on a file.
fn hint(kind: std::io::ErrorKind) -> Option<&'static str> {
    match kind {
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            Some("use a folder that you may write to: what is known of its machines is kept in `.provision/` beside provision.yaml")
        }
        std::io::ErrorKind::StorageFull => {
            Some("make room on this disk: `df -h .` shows it, `provision cache clean` frees what was downloaded")
        }
        _ => None,
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
    fn a_folder_that_cannot_be_written_and_a_full_disk_have_a_hint() {
        for (kind, word) in [(std::io::ErrorKind::PermissionDenied, "write"), (std::io::ErrorKind::StorageFull, "room")] {
            let error = Error::from(anyhow::Error::from(std::io::Error::from(kind)).context("making /x"));
            assert!(error.hint.as_ref().is_some_and(|hint| hint.contains(word)), "{error:?}");
        }
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
