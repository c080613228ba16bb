//! ed25519 key pairs in OpenSSH's format, made in this process.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use russh::keys::PrivateKey;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::Ed25519Keypair;

/// A new key pair: the private key's file, and the public key as one line without its end.
pub struct Pair {
    pub private: String,
    pub public: String,
}

/// Make a pair from the kernel's random numbers.
pub fn generate(comment: &str) -> Result<Pair> {
    let mut seed = [0u8; 32];
    fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut seed)).context("reading /dev/urandom")?;
    let mut key = PrivateKey::from(Ed25519Keypair::from_seed(&seed));
    key.set_comment(comment);
    let private = key.to_openssh(LineEnding::LF).context("writing a new ed25519 key")?.to_string();
    let public = key.public_key().to_openssh().context("writing a new ed25519 key")?;
    Ok(Pair { private, public })
}

/// The public line of the private key at `path`; a new key is made there (mode 0600, with `.pub` beside it) if there is none.
pub fn ensure(path: &Path, comment: &str) -> Result<String> {
    if path.exists() {
        let key = PrivateKey::read_openssh_file(path).with_context(|| format!("reading the SSH key {}", path.display()))?;
        return Ok(key.public_key().to_openssh()?);
    }
    let pair = generate(comment)?;
    write(path, 0o600, &pair.private)?;
    write(&path.with_added_extension("pub"), 0o644, &format!("{}\n", pair.public))?;
    Ok(pair.public)
}

/// Write a new file with its mode from the first byte on, replacing an old one.
pub fn write(path: &Path, mode: u32, text: &str) -> Result<()> {
    let temporary = path.with_added_extension("new");
    _ = fs::remove_file(&temporary);
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&temporary, path))
        .with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("id_ed25519");
        let first = ensure(&path, "provision dev").unwrap();
        assert!(first.starts_with("ssh-ed25519 AAAA"), "{first}");
        assert_eq!(ensure(&path, "provision dev").unwrap(), first);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(folder.path().join("id_ed25519.pub")).unwrap(), format!("{first}\n"));
    }
}
