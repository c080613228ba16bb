//! The bundled layout inside of this program: it stands in for default paths that a user's folder has not, and `provision init`
//! writes it out.
//!
//! Playbooks, charts and sources are files to all who read them, so they are unpacked, to a folder of the user's cache that is named
//! by their content. What was changed there is put right by the next run: a user's own copy is what `provision init` makes.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};

static PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/built_in.tar.gz"));

/// What of it is a user's to have: the rest is what Cargo needs to build the model service.
const LAYOUT: [&str; 5] = ["provision.yaml", "vms", "inventory", "playbooks", "charts"];

/// Below the cache: a folder for each version of this program.
const FOLDER: &str = "built-in";

/// A file of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltIn {
    /// Below the folder: `playbooks/site.yaml`.
    pub path: PathBuf,
    pub content: Vec<u8>,
}

/// Every file, in the order of paths.
fn all() -> Vec<BuiltIn> {
    let mut archive = tar::Archive::new(GzDecoder::new(PACKED));
    let entries = archive.entries().expect("build.rs packed it");
    let files = entries.map(|entry| {
        let mut entry = entry.expect("build.rs packed it");
        let path = entry.path().expect("build.rs named it").into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("build.rs packed it");
        BuiltIn { path, content }
    });
    files.collect()
}

/// The bundled environment: `provision.yaml`, and what it names.
pub fn layout() -> Vec<BuiltIn> {
    all().into_iter().filter(|file| LAYOUT.iter().any(|part| file.path.starts_with(part))).collect()
}

/// Unpacks everything below `cache` (the user's cache folder of this program) and answers where.
pub fn unpack(cache: &Path) -> Result<PathBuf> {
    let folder = folder(cache);
    for file in all() {
        let path = folder.join(&file.path);
        if fs::read(&path).is_ok_and(|there| there == file.content) {
            continue;
        }
        write(&path, &file.content, 0o444)?;
    }
    Ok(folder)
}

/// Where this program's own is unpacked.
fn folder(cache: &Path) -> PathBuf {
    let digest = hex::encode(Sha256::digest(PACKED));
    cache.join(FOLDER).join(&digest[..16])
}

/// Removes what other versions of this program unpacked; answers how many they were.
pub fn clean(cache: &Path) -> Result<usize> {
    let (own, mut removed) = (folder(cache), 0);
    for entry in fs::read_dir(cache.join(FOLDER)).into_iter().flatten().flatten().filter(|entry| entry.path() != own) {
        fs::remove_dir_all(entry.path()).with_context(|| format!("remove {}", entry.path().display()))?;
        removed += 1;
    }
    Ok(removed)
}

/// Writes a file whole or not at all.
pub fn write(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let doing = || format!("write {}", path.display());
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
    let mut file = tempfile::NamedTempFile::new_in(parent).with_context(doing)?;
    std::io::Write::write_all(&mut file, content).with_context(doing)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(mode)).with_context(doing)?;
    file.persist(path).map(drop).with_context(doing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_in_the_cache_is_put_right() {
        let cache = tempfile::tempdir().expect("a folder");
        let folder = unpack(cache.path()).expect("unpacked");
        let site = folder.join("playbooks/site.yaml");
        let content = fs::read(&site).expect("it is there");
        fs::remove_file(folder.join("provision.yaml")).expect("removed");
        write(&site, b"- hosts: all\n", 0o644).expect("written");
        assert_eq!(unpack(cache.path()).expect("unpacked"), folder);
        assert_eq!(fs::read(&site).expect("it is there"), content);
        assert!(folder.join("provision.yaml").exists());
    }

    #[test]
    fn what_other_versions_unpacked_is_cleaned_and_ours_stays() {
        let cache = tempfile::tempdir().expect("a folder");
        let folder = unpack(cache.path()).expect("unpacked");
        let old = folder.with_file_name("0123456789abcdef");
        write(&old.join("playbooks/site.yaml"), b"", 0o444).expect("written");
        assert_eq!(clean(cache.path()).expect("cleaned"), 1);
        assert!(!old.exists() && folder.join("provision.yaml").exists());
        assert_eq!(clean(cache.path()).expect("cleaned"), 0);
    }
}
