//! Reading that leaves no access time behind: the first read of a file after a change of it would write its inode, and a run that
//! changes nothing writes nothing.
//!
//! Only a file's owner and root may ask for it (open(2), `O_NOATIME`); others read as usual.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Result};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// A file or folder, opened for reading.
pub fn open(path: impl AsRef<Path>) -> Result<File> {
    open_with(path.as_ref(), OFlags::empty())
}

fn open_with(path: &Path, flags: OFlags) -> Result<File> {
    let open = |flags: OFlags| OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path);
    match open(flags | OFlags::NOATIME) {
        Err(error) if error.raw_os_error() == Some(nix::libc::EPERM) => open(flags),
        other => other,
    }
}

pub fn read(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    let mut file = open(path)?;
    let mut bytes = Vec::with_capacity(file.metadata().map_or(0, |found| found.len() as usize));
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Names in a folder, in no order.
pub fn names(folder: impl AsRef<Path>) -> Result<Vec<OsString>> {
    let opened = open_with(folder.as_ref(), OFlags::DIRECTORY)?;
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::new(opened)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name));
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn reads_leave_no_access_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        std::fs::write(&file, "text").expect("written");
        // As relatime has it, a read after a change is noted.
        let old = std::fs::FileTimes::new().set_accessed(std::time::SystemTime::UNIX_EPOCH);
        for path in [&file, folder.path()] {
            File::open(path).and_then(|opened| opened.set_times(old)).expect("set");
        }
        assert_eq!(read(&file).expect("read"), b"text");
        assert_eq!(names(folder.path()).expect("listed"), ["file"]);
        for path in [&file, folder.path()] {
            assert_eq!(std::fs::metadata(path).expect("there").atime(), 0, "{}", path.display());
        }
        assert!(open(folder.path().join("none")).is_err());
    }
}
