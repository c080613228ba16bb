//! An environment's identity, and every name and path that follows from it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::{Error, Kind};
use super::machines::{NodeName, check_label};

/// Where root keeps the disks of nodes.
pub const DATA_FOLDER: &str = "/var/lib/provision";
/// Where root keeps base root file systems, shared by all environments: a cache, left by `destroy`.
pub const IMAGE_FOLDER: &str = "/var/cache/provision/images";

/// A folder's environment: `name` of provision.yaml, and the folder itself, canonical.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    pub name: String,
    pub folder: PathBuf,
}

impl Environment {
    /// The folder must exist; the name is an RFC 1123 label.
    pub fn new(name: &str, folder: &Path) -> Result<Self, Error> {
        let wrong = |cause: String| Error::new(Kind::Machine, format!("naming the environment of {}", folder.display())).because(cause);
        check_label(name).map_err(wrong)?;
        let folder = folder.canonicalize().map_err(|error| wrong(error.to_string()))?;
        Ok(Self { name: name.to_owned(), folder })
    }

    /// `dev-1a2b3c`: the name and a short hash of the folder, so that two folders never meet.
    pub fn id(&self) -> String {
        format!("{}-{}", self.name, short_hash(&self.folder.to_string_lossy(), 6))
    }

    /// `<folder>/.provision/<name>`: keys and logs, owned by the folder's owner.
    pub fn state_folder(&self) -> PathBuf {
        self.folder.join(".provision").join(&self.name)
    }

    /// The file by which other tools know the nodes' keys: `provision ssh-config` writes it.
    pub fn known_hosts(&self) -> PathBuf {
        self.state_folder().join("known_hosts")
    }

    /// Removes the folders of our state where nothing is kept in them any more.
    pub fn leave_folder(&self) {
        let folder = self.state_folder();
        _ = std::fs::remove_dir(&folder);
        _ = folder.parent().map(std::fs::remove_dir);
    }

    /// The private key that logs in to every node, mode 0600.
    pub fn key(&self) -> PathBuf {
        self.state_folder().join("id_ed25519")
    }

    /// What a node's supervisor and its console said.
    pub fn log(&self, node: &NodeName) -> PathBuf {
        self.state_folder().join("logs").join(format!("{node}.log"))
    }

    /// The names on this machine.
    pub fn names(&self) -> Names {
        Names { id: self.id() }
    }
}

/// What an environment is called on this machine; interface names have at most 15 characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    pub id: String,
}

impl Names {
    pub fn data_folder(&self) -> PathBuf {
        Path::new(DATA_FOLDER).join(&self.id)
    }

    pub fn node_folder(&self, node: &NodeName) -> PathBuf {
        self.data_folder().join("nodes").join(node.as_str())
    }

    pub fn bridge(&self) -> String {
        format!("pvb{}", short_hash(&self.id, 8))
    }

    /// The workstation's end of a node's link.
    pub fn link(&self, node: &NodeName) -> String {
        format!("pvn{}", short_hash(&format!("{}/{node}", self.id), 8))
    }

    pub fn table(&self) -> String {
        format!("provision_{}", short_hash(&self.id, 8))
    }

    pub fn cgroup(&self, node: &NodeName) -> String {
        format!("provision-{}-{node}", self.id)
    }

    /// systemd-nspawn's machine name: a host name of at most 64 characters.
    pub fn machine(&self, node: &NodeName) -> String {
        let name = format!("{}-{node}", self.id);
        if name.len() <= 64 { name } else { format!("provision-{}", short_hash(&name, 16)) }
    }
}

/// The first `digits` hexadecimal digits of a SHA-256.
pub fn short_hash(text: &str, digits: usize) -> String {
    let mut hash = hex::encode(Sha256::digest(text.as_bytes()));
    hash.truncate(digits);
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_names_fit_and_folders_never_meet() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let one = Environment::new("dev", one.path()).unwrap().names();
        let two = Environment::new("dev", two.path()).unwrap().names();
        let node = NodeName::try_from("worker-1").unwrap();
        assert!(one.bridge().len() <= 15 && one.link(&node).len() <= 15);
        assert_ne!(one.bridge(), two.bridge());
        assert_ne!(one.link(&node), two.link(&node));
        let long = NodeName::try_from("w".repeat(63)).unwrap();
        assert!(one.machine(&long).len() <= 64);
    }
}
