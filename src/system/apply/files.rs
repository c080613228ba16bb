//! Directories, links, times and removal.

use std::path::{Path, PathBuf};

use super::ownership;
use crate::system::{Error, Ownership, Result};

pub(super) fn make_directory(path: &Path, wanted: &Ownership) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = std::fs::DirBuilder::new();
    // Never wider than it will be.
    builder.mode(wanted.mode.map_or(0o777, |mode| mode & 0o700));
    match builder.create(path) {
        // Someone else made it since the plan looked.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && path.is_dir() => {}
        other => other.map_err(|error| Error::io(format_args!("make directory {}", path.display()), &error))?,
    }
    ownership::set(path, wanted, true)
}

/// Replaces what is there in one step; a directory only if it is empty.
pub(super) fn symlink(path: &Path, target: &Path, wanted: &Ownership) -> Result<()> {
    replace(path, |place| std::os::unix::fs::symlink(target, place))
        .map_err(|error| Error::io(format_args!("link {} -> {}", path.display(), target.display()), &error))?;
    ownership::set(path, wanted, false)
}

pub(super) fn hard_link(path: &Path, target: &Path) -> Result<()> {
    replace(path, |place| std::fs::hard_link(target, place))
        .map_err(|error| Error::io(format_args!("hard link {} -> {}", path.display(), target.display()), &error))
}

fn replace(path: &Path, make: impl Fn(&Path) -> std::io::Result<()>) -> std::io::Result<()> {
    let is_directory = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return make(path),
        Err(error) => return Err(error),
        Ok(found) => found.is_dir(),
    };
    let temporary = beside(path);
    let _ = std::fs::remove_file(&temporary);
    make(&temporary)?;
    // Only when the link could be made does the folder go.
    let cleared = if is_directory { std::fs::remove_dir(path) } else { Ok(()) };
    let renamed = cleared.and_then(|()| std::fs::rename(&temporary, path));
    // Two names of one inode: rename(2) leaves both.
    let _ = std::fs::remove_file(&temporary);
    renamed
}

/// A name of ours in the same folder. Always the same for a path: what a killed run left is found and replaced. It begins
/// with a dot and has an ending of ours, so that folders of snippets (`*.d`) do not read it.
pub(super) fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let short = if name.len() > 200 { crate::system::describe::sha256(name.as_bytes()) } else { name.into_owned() };
    path.with_file_name(format!(".{short}.provision-new"))
}

pub(super) fn set_times(path: &Path, accessed: Option<f64>, modified: Option<f64>) -> Result<()> {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT};
    let time = |seconds: Option<f64>| match seconds {
        Some(seconds) => {
            Timespec { tv_sec: seconds.floor() as i64, tv_nsec: (((seconds - seconds.floor()) * 1e9).round() as i64).min(999_999_999) }
        }
        None => Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
    };
    let times = Timestamps { last_access: time(accessed), last_modification: time(modified) };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::empty())
        .map_err(|errno| Error::io(format_args!("set times of {}", path.display()), &errno.into()))
}

/// Gone already is as good.
pub(super) fn remove(path: &Path) -> Result<()> {
    let removed = match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(format_args!("remove {}", path.display()), &error)),
        _ => Ok(()),
    }
}
