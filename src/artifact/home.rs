//! Whose home what we keep and what builds keep goes to: root that was given an ordinary user's HOME (`sudo -E`) has root's own, since
//! nothing in a user's home is to end up root's.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User, geteuid};

use super::error::{Error, Result};

/// The user's cache folder of this program: `~/.cache/provision`.
pub fn user_folder() -> Result<PathBuf> {
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    let base = base.ok_or_else(|| Error::other("find the cache folder", "neither HOME nor XDG_CACHE_HOME is set"))?;
    Ok(roots_own(&base).map_or(base, |home| home.join(".cache")).join("provision"))
}

/// The home to give to programs that keep things there; `None`: the one that is set.
pub(super) fn other_home() -> Option<PathBuf> {
    roots_own(&absolute("HOME")?)
}

fn absolute(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// Root's home, where we are root and the folder, or what it will be made in, is another's.
fn roots_own(folder: &Path) -> Option<PathBuf> {
    let there = folder.ancestors().find_map(|folder| fs::metadata(folder).ok())?;
    let is_others = geteuid().is_root() && there.uid() != 0;
    is_others.then(|| User::from_uid(Uid::from_raw(0)).ok().flatten().map(|root| root.dir)).flatten()
}
