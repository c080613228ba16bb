//! Writes of files: all temporaries, one sync, all renames.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::files::beside;
use super::{Applier, Cancel, Watch, now, ownership};
use crate::system::{Accept, Action, ActionOutcome, Command, Content, Effect, Error, Ownership, Result};

/// Above so many files one sync of the whole file system is less work than one each.
const FEW: usize = 3;

/// Writes that wait for their renames.
#[derive(Default)]
pub(super) struct Batch {
    waiting: Vec<Waiting>,
}

struct Waiting {
    index: usize,
    temporary: PathBuf,
    file: File,
    path: PathBuf,
    ownership: Ownership,
    unsafe_writes: bool,
    /// Removes the temporary unless it was renamed.
    guard: Guard,
}

struct Guard(Option<PathBuf>);

impl Guard {
    /// The file is in its place: what is under its former name from now on is another's.
    fn release(&mut self) {
        self.0 = None;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Batch {
    /// Whether the action can be done before the renames of this batch.
    pub(super) fn takes(&self, action: &Action) -> bool {
        let Action::WriteFile { path, content, validate, .. } = action else {
            return self.waiting.is_empty() || matches!(action, Action::MakeDirectory { .. });
        };
        let reads = match content {
            Content::Node(source) => Some(source),
            _ => None,
        };
        // A validator may read the other files of the batch.
        validate.is_none() && !self.waiting.iter().any(|waiting| waiting.path == *path || Some(&waiting.path) == reads)
    }

    /// Syncs, renames, syncs the folders. The error comes with the index of the first write that is not in place.
    pub(super) fn finish(&mut self, outcomes: &mut [ActionOutcome], watch: &mut dyn Watch) -> Result<(), (usize, Error)> {
        let waiting = std::mem::take(&mut self.waiting);
        let Some(first) = waiting.first().map(|waiting| waiting.index) else { return Ok(()) };
        sync(&waiting).map_err(|error| (first, error))?;
        let mut folders = BTreeSet::new();
        for mut write in waiting {
            let index = write.index;
            place(&mut write).map_err(|error| (index, error))?;
            folders.insert(write.path.parent().unwrap_or(Path::new("/")).to_owned());
            if let Some(outcome) = outcomes.get_mut(index) {
                outcome.ended = now();
            }
            watch.action(index, true).map_err(|error| (index, error))?;
        }
        for folder in folders {
            let synced = File::open(&folder).and_then(|folder| folder.sync_all());
            synced.map_err(|error| (first, Error::io(format_args!("sync {}", folder.display()), &error)))?;
        }
        Ok(())
    }
}

fn sync(waiting: &[Waiting]) -> Result<()> {
    let mut devices = BTreeSet::new();
    for write in waiting {
        let doing = |error: &std::io::Error| Error::io(format_args!("sync {}", write.temporary.display()), error);
        if waiting.len() <= FEW {
            write.file.sync_all().map_err(|error| doing(&error))?;
        } else if devices.insert(write.file.metadata().map_err(|error| doing(&error))?.dev()) {
            rustix::fs::syncfs(&write.file).map_err(|errno| doing(&errno.into()))?;
        }
    }
    Ok(())
}

fn place(write: &mut Waiting) -> Result<()> {
    let Waiting { temporary, path, ownership, unsafe_writes, guard, .. } = write;
    match std::fs::rename(&*temporary, &*path) {
        Ok(()) => guard.release(),
        // A bind mount (`/etc/hosts` in a container) can only be written in place.
        Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy || (*unsafe_writes && !path.is_dir()) => {
            let mut content = File::open(&*temporary).map_err(|error| Error::io(format_args!("read {}", temporary.display()), &error))?;
            in_place(path, &mut content, ownership)?;
        }
        Err(error) => return Err(Error::io(format_args!("write {}", path.display()), &error)),
    }
    match &ownership.attributes {
        Some(attributes) => ownership::set_attributes(path, attributes),
        None => Ok(()),
    }
}

fn in_place(path: &Path, content: &mut File, wanted: &Ownership) -> Result<()> {
    let failed = |error: &std::io::Error| Error::io(format_args!("write {} in place", path.display()), error);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path).map_err(|error| failed(&error))?;
    std::io::copy(content, &mut file).map_err(|error| failed(&error))?;
    file.sync_all().map_err(|error| failed(&error))?;
    let without_attributes = Ownership { attributes: None, ..wanted.clone() };
    ownership::set(path, &without_attributes, true)
}

impl Applier<'_> {
    /// Everything of a write but its rename.
    pub(super) fn prepare(&mut self, index: usize, action: &Action, batch: &mut Batch, outcome: &mut ActionOutcome) -> Result<()> {
        let Action::WriteFile { path, content, ownership, backup, unsafe_writes, validate } = action else {
            return Err(Error::failed(format!("{} is no write", action.describe())));
        };
        let former = match std::fs::symlink_metadata(path) {
            Ok(found) if found.is_dir() => return Err(Error::failed(format!("write {}: there is a directory", path.display()))),
            Ok(found) => Some(found),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(Error::io(format_args!("write {}", path.display()), &error)),
        };
        if *backup && path.exists() {
            let name = |moment| {
                let moment = crate::system::clock::format(moment, "%Y-%m-%d@%H:%M:%S");
                PathBuf::from(format!("{}.{}.{moment}~", path.display(), std::process::id()))
            };
            // Several of one second: the next second that is free.
            let mut moment = now() as i64;
            while name(moment).exists() {
                moment += 1;
            }
            outcome.backup = Some(ownership::preserved_copy(path, &name(moment))?);
        }
        let (temporary, guard, mut file) = match temporary(path) {
            Ok(made) => made,
            Err(_) if *unsafe_writes && former.is_some() => {
                return self.write_through(path, content, ownership);
            }
            Err(error) => return Err(Error::io(format_args!("write {}", path.display()), &error)),
        };
        self.fill(&mut file, &temporary, content)?;
        match former {
            Some(found) if found.is_file() => ownership::inherit(&file, &temporary, path)?,
            _ => {
                let mode = 0o666 & !umask();
                let permissions = std::fs::Permissions::from_mode(ownership.mode.unwrap_or(mode));
                file.set_permissions(permissions)
                    .map_err(|error| Error::io(format_args!("change the mode of {}", temporary.display()), &error))?;
            }
        }
        ownership::set_open(&file, &temporary, ownership)?;
        if let Some(context) = &ownership.context {
            ownership::set(&temporary, &Ownership { context: Some(context.clone()), ..Ownership::default() }, false)?;
        }
        if let Some(line) = validate {
            let said = self.validate(line, &temporary)?;
            (outcome.rc, outcome.stdout, outcome.stderr) = (said.rc, said.stdout, said.stderr);
        }
        let (path, ownership, unsafe_writes) = (path.clone(), ownership.clone(), *unsafe_writes);
        batch.waiting.push(Waiting { index, temporary, file, path, ownership, unsafe_writes, guard });
        Ok(())
    }

    /// The folder does not take a temporary file, the user allowed to do without.
    fn write_through(&mut self, path: &Path, content: &Content, wanted: &Ownership) -> Result<()> {
        let folder = std::env::temp_dir().join(format!("provision-{}", std::process::id()));
        let (temporary, _guard, mut file) = temporary(&folder).map_err(|error| Error::io("make a temporary file", &error))?;
        self.fill(&mut file, &temporary, content)?;
        let mut content = File::open(&temporary).map_err(|error| Error::io(format_args!("read {}", temporary.display()), &error))?;
        in_place(path, &mut content, wanted)?;
        wanted.attributes.as_deref().map_or(Ok(()), |attributes| ownership::set_attributes(path, attributes))
    }

    fn fill(&mut self, file: &mut File, temporary: &Path, content: &Content) -> Result<()> {
        let failed = |error: &std::io::Error| Error::io(format_args!("write {}", temporary.display()), error);
        match content {
            Content::Inline(bytes) => file.write_all(&bytes.0).map_err(|error| failed(&error)),
            Content::Digest { sha256, size } => {
                let mut sink = Verified { file, digest: Sha256::new(), count: 0, cancel: self.cancel.clone() };
                self.source.fetch(sha256, &mut sink)?;
                let (count, found) = (sink.count, hex::encode(sink.digest.finalize()));
                if found != **sha256 || count != *size {
                    return Err(Error::failed(format!("fetch {sha256}: {count} bytes of SHA-256 {found} came, {size} were announced")));
                }
                Ok(())
            }
            Content::Node(source) => {
                let reading = |error: &std::io::Error| Error::io(format_args!("read {}", source.display()), error);
                let mut from = File::open(source).map_err(|error| reading(&error))?;
                let mut buffer = vec![0; 1 << 16];
                loop {
                    self.cancel.check(&format!("copy {}", source.display()))?;
                    let count = from.read(&mut buffer).map_err(|error| reading(&error))?;
                    if count == 0 {
                        return Ok(());
                    }
                    file.write_all(&buffer[..count]).map_err(|error| failed(&error))?;
                }
            }
        }
    }

    /// `%s` is the new file's path; words as a shell would split them.
    fn validate(&mut self, line: &str, temporary: &Path) -> Result<ActionOutcome> {
        if !line.contains("%s") {
            return Err(Error::failed(format!("validate must contain %s: {line}")));
        }
        let filled = line.replace("%s", &temporary.to_string_lossy()).replace("%%", "%");
        let words = crate::system::words::split(&filled).map_err(Error::failed)?;
        let mut command = Command::new(format!("check with `{line}`"), words).effect(Effect::None);
        command.accept = Accept::Any;
        let outcome = self.run(&command)?;
        let text = |bytes: &crate::program::Bytes| String::from_utf8_lossy(&bytes.0).into_owned();
        match outcome.rc {
            Some(0) => Ok(outcome),
            rc => Err(Error::failed("failed to validate")
                .detail("exit_status", i64::from(rc.unwrap_or(-1)))
                .output(&text(&outcome.stdout), &text(&outcome.stderr))),
        }
    }
}

/// A new file beside the path: under the one name that a killed run's has, which is replaced, or under a name of this process where
/// another one, of a host that is the same machine, is at the path now. Who writes holds a lock on its file.
fn temporary(path: &Path) -> std::io::Result<(PathBuf, Guard, File)> {
    use rustix::fs::{CWD, FlockOperation, Mode, OFlags, RenameFlags, flock, renameat_with};
    static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let usual = beside(path);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let own = usual.with_extension(format!("provision-{}-{count}", std::process::id()));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&own)?;
    let mut guard = Guard(Some(own.clone()));
    // File systems without locks have no others either: their files are taken for left over.
    let _ = flock(&file, FlockOperation::NonBlockingLockExclusive);
    for _ in 0..3 {
        match renameat_with(CWD, &own, CWD, &usual, RenameFlags::NOREPLACE) {
            Ok(()) => {
                guard.0 = Some(usual.clone());
                return Ok((usual, guard, file));
            }
            Err(rustix::io::Errno::EXIST) => {}
            Err(_) => break,
        }
        // Anybody who may write to the folder may have put it there: a link is not followed, a pipe not waited for.
        let former = match rustix::fs::open(&usual, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()) {
            Ok(former) => File::from(former),
            Err(rustix::io::Errno::NOENT) => continue,
            Err(_) => break,
        };
        if !former.metadata()?.is_file() || flock(&former, FlockOperation::NonBlockingLockExclusive).is_err() {
            break;
        }
        // Another one may have replaced it before the lock was ours: only what is locked is removed.
        let id = |found: &std::fs::Metadata| (found.dev(), found.ino());
        let is_it = std::fs::symlink_metadata(&usual).is_ok_and(|found| former.metadata().is_ok_and(|locked| id(&locked) == id(&found)));
        if is_it && std::fs::remove_file(&usual).is_err() {
            break;
        }
    }
    Ok((own, guard, file))
}

/// The process's umask, read without changing it.
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    line.and_then(|text| u32::from_str_radix(text.trim(), 8).ok()).unwrap_or(0o022)
}

/// Counts and digests what goes through.
struct Verified<'file> {
    file: &'file mut File,
    digest: Sha256,
    count: u64,
    cancel: Cancel,
}

impl Write for Verified<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.cancel.is_set() {
            return Err(std::io::Error::other("interrupted"));
        }
        let count = self.file.write(bytes)?;
        self.digest.update(&bytes[..count]);
        self.count += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
