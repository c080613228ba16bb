//! The user's cache: files by their SHA-256, and what each recipe gave.
//!
//! ```text
//! blobs/SHA256                  a file, read-only
//! index/RECIPE/VARIANT.json     what a recipe (a hash of all that makes it) gave: an [`Entry`]
//! locks/NAME.lock               held by the process that makes it
//! work/PID-…                    unfinished things of a process
//! cargo/PACKAGE                 what Cargo keeps of a build for the next one
//! ```
//!
//! A file is hashed when it is put here and not again, as long as its inode, size and times stay what they were then.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::{Error, ErrorKind, Result};
use super::progress::{Cancel, Progress, Teller};

/// How often a lock that another process holds is asked for again.
const LOCK_INTERVAL: Duration = Duration::from_millis(100);

/// A folder with everything that was fetched or built. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Cache {
    root: Arc<Path>,
}

/// What a recipe gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The artifact's name.
    pub name: String,
    pub version: String,
    pub architecture: String,
    /// `upstream`, `built from its Go module`.
    pub source: String,
    pub files: Vec<EntryFile>,
    /// Of an image: what containerd will list.
    pub image: Option<ImageInfo>,
}

/// One file of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryFile {
    pub name: String,
    pub mode: u32,
    pub sha256: Arc<str>,
    pub seen: Seen,
}

/// An image's identity in containerd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageInfo {
    /// Registry, name and tag.
    pub reference: String,
    /// `sha256:…` of the manifest, as `ctr images ls` shows it.
    pub digest: String,
}

/// A file's identity at the moment when it was hashed: as long as it is the same, so is the content. Times in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    pub size: u64,
    device: u64,
    inode: u64,
    modified: i128,
    changed: i128,
}

impl Seen {
    fn of(path: &Path) -> std::io::Result<Self> {
        let about = fs::metadata(path)?;
        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Ok(Self {
            size: about.size(),
            device: about.dev(),
            inode: about.ino(),
            modified: nanoseconds(about.mtime(), about.mtime_nsec()),
            changed: nanoseconds(about.ctime(), about.ctime_nsec()),
        })
    }
}

/// A file that is put into the cache.
pub(super) struct Fresh {
    pub name: String,
    pub mode: u32,
    /// In a work folder of this cache: it is moved away from there.
    pub path: PathBuf,
    /// Where who wrote the file hashed it on the way.
    pub sha256: Option<String>,
}

/// A folder for unfinished things, removed when this is dropped.
#[derive(Debug)]
pub(super) struct Work(pub PathBuf);

impl Drop for Work {
    fn drop(&mut self) {
        // What stays is found by the next process: its name holds our pid.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A lock of the cache, let go when this is dropped or its process ends.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Cache {
    /// `provision/artifacts` in the user's cache folder (`XDG_CACHE_HOME`, or `~/.cache`).
    pub fn of_user() -> Result<Self> {
        Self::at(&super::home::user_folder()?.join("artifacts"))
    }

    /// A cache in a folder, which is made where it is missing.
    pub fn at(root: &Path) -> Result<Self> {
        for part in ["blobs", "index", "locks", "work"] {
            let folder = root.join(part);
            fs::create_dir_all(&folder).map_err(|error| Error::other(format!("make {}", folder.display()), error))?;
        }
        let cache = Self { root: root.into() };
        cache.sweep();
        Ok(cache)
    }

    pub fn folder(&self) -> &Path {
        &self.root
    }

    /// For the target folders of Cargo.
    pub(super) fn cargo(&self) -> PathBuf {
        self.root.join("cargo")
    }

    /// Removes what processes that are no more left unfinished.
    fn sweep(&self) {
        for entry in fs::read_dir(self.root.join("work")).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let alive = name.split('-').next().is_some_and(|pid| Path::new("/proc").join(pid).exists());
            if !alive {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    pub(super) fn work(&self) -> Result<Work> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let path = self.root.join("work").join(format!("{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
        // What lies there is of an earlier process with our pid.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).map_err(|error| Error::other(format!("make {}", path.display()), error))?;
        Ok(Work(path))
    }

    /// Waits for a lock that another process may hold.
    pub(super) async fn lock(&self, name: &str, told: &str, teller: &Teller, cancel: &Cancel) -> Result<Lock> {
        let path = self.root.join("locks").join(format!("{}.lock", name.replace('/', "-")));
        let doing = || format!("lock {}", path.display());
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|error| Error::other(doing(), error))?;
        let mut waiting = false;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {
                    // Who has just got it has not yet said who it is.
                    let holder = fs::read_to_string(&path).unwrap_or_default();
                    if !waiting && !holder.trim().is_empty() {
                        waiting = true;
                        let _ = teller.send(Progress::Waiting {
                            name: told.to_owned(),
                            what: format!("process {} has the lock on {name}", holder.trim()),
                        });
                    }
                    let pause = async {
                        tokio::time::sleep(LOCK_INTERVAL).await;
                        Ok(())
                    };
                    cancel.unless(&doing(), pause).await?;
                }
                Err(TryLockError::Error(error)) => return Err(Error::other(doing(), error)),
            }
        }
        // For who waits; nothing hangs on it.
        let _ = file.set_len(0).and_then(|()| (&file).write_all(std::process::id().to_string().as_bytes()));
        Ok(Lock { _file: file })
    }

    fn blob(&self, sha256: &str) -> PathBuf {
        self.root.join("blobs").join(sha256)
    }

    /// Where a file of an entry lies.
    pub fn path(&self, file: &EntryFile) -> PathBuf {
        self.blob(&file.sha256)
    }

    fn index(&self, recipe: &str, variant: &str) -> PathBuf {
        self.root.join("index").join(recipe).join(format!("{variant}.json"))
    }

    /// What a recipe gave: with this variant (a toolchain's version), or with `None` the newest of any.
    /// An entry whose files are gone or that cannot be read is none; one with a file that changed is an error that names it.
    pub(super) fn find(&self, recipe: &str, variant: Option<&str>) -> Result<Option<Entry>> {
        let path = match variant {
            Some(variant) => Some(self.index(recipe, variant)),
            None => newest(&self.root.join("index").join(recipe)),
        };
        let Some(path) = path else { return Ok(None) };
        let Some(mut entry) = read_entry(&path) else { return Ok(None) };
        let mut again = false;
        for file in &mut entry.files {
            let blob = self.blob(&file.sha256);
            let Ok(seen) = Seen::of(&blob) else { return Ok(None) };
            if seen == file.seen {
                continue;
            }
            let found = hash(&blob)?;
            if *found != *file.sha256 {
                return Err(damaged(&entry.name, &file.name, &blob, &file.sha256, &found));
            }
            file.seen = seen;
            again = true;
        }
        if again {
            write_entry(&path, &entry)?;
        }
        Ok(Some(entry))
    }

    /// Moves files in and remembers what the recipe gave.
    pub(super) fn put(&self, recipe: &str, variant: &str, mut entry: Entry, files: Vec<Fresh>) -> Result<Entry> {
        for fresh in files {
            let sha256 = match fresh.sha256 {
                Some(sha256) => sha256,
                None => hash(&fresh.path)?,
            };
            let blob = self.blob(&sha256);
            let store = || -> std::io::Result<Seen> {
                fs::set_permissions(&fresh.path, fs::Permissions::from_mode(if fresh.mode & 0o111 == 0 { 0o444 } else { 0o555 }))?;
                File::open(&fresh.path)?.sync_all()?;
                fs::rename(&fresh.path, &blob)?;
                Seen::of(&blob)
            };
            let seen =
                store().map_err(|error| Error::other(format!("store {} of {} in {}", fresh.name, entry.name, blob.display()), error))?;
            entry.files.push(EntryFile { name: fresh.name, mode: fresh.mode, sha256: sha256.into(), seen });
        }
        write_entry(&self.index(recipe, variant), &entry)?;
        Ok(entry)
    }

    fn entries(&self) -> impl Iterator<Item = (PathBuf, Entry)> {
        let recipes = fs::read_dir(self.root.join("index")).into_iter().flatten().flatten();
        let files = recipes.flat_map(|recipe| fs::read_dir(recipe.path()).into_iter().flatten().flatten());
        files.filter_map(|file| Some((file.path(), read_entry(&file.path())?)))
    }

    /// Everything that lies here, by name.
    pub fn list(&self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = self.entries().map(|(_, entry)| entry).collect();
        entries.sort_by(|a, b| (&a.name, &a.version, &a.architecture).cmp(&(&b.name, &b.version, &b.architecture)));
        entries
    }

    /// Removes artifacts of all versions; with no name, everything. The names of what was removed, and the bytes that came free.
    pub fn clean(&self, names: &[String]) -> Result<(BTreeSet<String>, u64)> {
        let mut removed = BTreeSet::new();
        let mut kept: BTreeSet<Arc<str>> = BTreeSet::new();
        for (path, entry) in self.entries().collect::<Vec<_>>() {
            if names.is_empty() || names.contains(&entry.name) {
                fs::remove_file(&path).map_err(|error| Error::other(format!("remove {}", path.display()), error))?;
                let _ = path.parent().map(fs::remove_dir);
                removed.insert(entry.name);
            } else {
                kept.extend(entry.files.into_iter().map(|file| file.sha256));
            }
        }
        let mut bytes = 0;
        for blob in fs::read_dir(self.root.join("blobs")).into_iter().flatten().flatten() {
            if !kept.contains(&*blob.file_name().to_string_lossy()) {
                bytes += blob.metadata().map_or(0, |about| about.len());
                fs::remove_file(blob.path()).map_err(|error| Error::other(format!("remove {}", blob.path().display()), error))?;
            }
        }
        if names.is_empty() && self.cargo().exists() {
            bytes += size(&self.cargo());
            fs::remove_dir_all(self.cargo()).map_err(|error| Error::other(format!("remove {}", self.cargo().display()), error))?;
        }
        Ok((removed, bytes))
    }
}

fn write_entry(path: &Path, entry: &Entry) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let folder = path.parent().expect("an index has a folder");
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&serde_json::to_vec_pretty(entry)?)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|error| Error::other(format!("write {}", path.display()), error))
}

fn read_entry(path: &Path) -> Option<Entry> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn newest(folder: &Path) -> Option<PathBuf> {
    let files = fs::read_dir(folder).ok()?.flatten().filter(|file| file.path().extension().is_some_and(|extension| extension == "json"));
    files.max_by_key(|file| file.metadata().and_then(|about| about.modified()).ok()).map(|file| file.path())
}

/// Bytes of all files below a folder.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(about) if about.is_dir() => size(&entry.path()),
        Ok(about) => about.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

fn damaged(artifact: &str, file: &str, blob: &Path, wanted: &str, found: &str) -> Error {
    let doing =
        if artifact == file { format!("check `{artifact}` in the cache") } else { format!("check `{file}` of `{artifact}` in the cache") };
    Error::new(ErrorKind::Damaged, doing)
        .because(format!("{} is damaged: its SHA-256 is {found}, not {wanted}", blob.display()))
        .hint(format!("run `provision cache clean {artifact}`; it is fetched again by the next run"))
}

/// SHA-256 of a file, in hexadecimal.
pub(super) fn hash(path: &Path) -> Result<String> {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let mut digest = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(hex::encode(digest.finalize())),
                count => digest.update(&buffer[..count]),
            }
        }
    };
    read().map_err(|error| Error::other(format!("read {}", path.display()), error))
}
