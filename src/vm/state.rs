//! Files of ours: who owns them, locks, atomic writes, removal.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::keys;
use super::process::Process;

/// Who shall own what we make in the user's folder: the folder's owner, even when we are root through sudo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

impl Owner {
    /// The owner of a folder; where that is root but sudo says who asked, that user.
    pub fn of(folder: &Path) -> Result<Self> {
        let data = fs::metadata(folder).with_context(|| format!("reading {}", folder.display()))?;
        let asked = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
        Ok(match (data.uid(), asked("SUDO_UID"), asked("SUDO_GID")) {
            // Root's own folder (root's home, say) stays root's.
            (0, Some(uid), Some(gid)) if !root_only(folder) => Self { uid, gid },
            (uid, _, _) => Self { uid, gid: data.gid() },
        })
    }

    /// Give a file or folder to the owner; nothing to do for an ordinary user.
    pub fn give(&self, path: &Path) -> Result<()> {
        if nix::unistd::geteuid().is_root() {
            chown(path, Some(self.uid), Some(self.gid)).with_context(|| format!("giving {} to its owner", path.display()))?;
        }
        Ok(())
    }

    /// Make a folder and those above it; each new one is the owner's.
    pub fn make_folder(&self, path: &Path) -> Result<()> {
        let missing: Vec<&Path> = path.ancestors().take_while(|folder| !folder.exists()).collect();
        fs::create_dir_all(path).with_context(|| format!("making {}", path.display()))?;
        missing.into_iter().try_for_each(|folder| self.give(folder))
    }
}

fn root_only(folder: &Path) -> bool {
    folder.starts_with("/root")
}

/// An exclusive lock on a file, given up when dropped.
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Wait for the lock. Its file may have been removed meanwhile: then try the new one.
    pub fn take(path: &Path) -> Result<Self> {
        loop {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
            }
            let file = match open_lock(path) {
                Ok(file) => file,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => {
                    return Err(error).with_context(|| format!("opening {}", path.display()));
                }
            };
            file.lock().with_context(|| format!("locking {}", path.display()))?;
            if same_file(&file, path) {
                return Ok(Self { file, path: path.to_owned() });
            }
        }
    }

    /// The lock, or none when another process has it.
    pub fn try_take(path: &Path) -> Result<Option<Self>> {
        let file = open_lock(path).with_context(|| format!("opening {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { file, path: path.to_owned() })),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error).with_context(|| format!("locking {}", path.display())),
        }
    }

    /// Tell who has the lock, for those who ask [`Lock::holder`].
    pub fn sign(&self, holder: Process) -> Result<()> {
        let text = serde_json::to_vec(&holder)?;
        self.file.set_len(0)?;
        self.file.write_all_at(&text, 0).with_context(|| format!("writing {}", self.path.display()))
    }

    /// The process that signed the lock and lives.
    pub fn holder(path: &Path) -> Option<Process> {
        read::<Process>(path).filter(Process::alive)
    }

    /// Whether some process has the lock now. Reading is enough: an ordinary user may ask.
    pub fn is_held(path: &Path) -> bool {
        File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock)))
    }

    /// Give the lock up and remove its file.
    pub fn remove(self) {
        _ = fs::remove_file(&self.path);
        drop(self.file);
    }
}

fn open_lock(path: &Path) -> std::io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(false).open(path)
}

fn same_file(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(there)) => ours.ino() == there.ino() && ours.dev() == there.dev(),
        _ => false,
    }
}

/// Read a JSON file of ours; none when it is not there or not readable as one (a cache, not the truth).
pub fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Write a JSON file in one step.
pub fn write<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    keys::write(path, 0o644, &format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// Remove a folder with all in it, if it is there. Never follows links and never leaves the file system it begins on.
pub fn remove_tree(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        Ok(_) => {}
    }
    super::process::run("rm", &["-rf".as_ref(), "--one-file-system".as_ref(), path.as_os_str()])
        .with_context(|| format!("removing {}", path.display()))
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_seen_by_others_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert!(!Lock::is_held(&path));
        let lock = Lock::try_take(&path).unwrap();
        assert!(lock.is_some() && Lock::is_held(&path));
        assert!(Lock::try_take(&path).unwrap().is_none());
        drop(lock);
        assert!(!Lock::is_held(&path));
    }
}
