//! Files, directories, links and attributes of this machine.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use rustix::fs::IFlags;
use sha2::Digest as _;

use crate::system::paths::{Last, resolve};
use crate::system::{Access, Acl, Digest, Error, FileKind, Metadata, Result, acl, traceless};

/// Where Ansible looks after PATH, too (`get_bin_path`).
const USUAL_FOLDERS: [&str; 3] = ["/sbin", "/usr/sbin", "/usr/local/sbin"];

/// `chattr`'s letters in `lsattr`'s order.
const LETTERS: [(IFlags, char); 16] = [
    (IFlags::from_bits_retain(0x1), 's'),
    (IFlags::from_bits_retain(0x2), 'u'),
    (IFlags::from_bits_retain(0x8), 'S'),
    (IFlags::from_bits_retain(0x0001_0000), 'D'),
    (IFlags::from_bits_retain(0x10), 'i'),
    (IFlags::from_bits_retain(0x20), 'a'),
    (IFlags::from_bits_retain(0x40), 'd'),
    (IFlags::from_bits_retain(0x80), 'A'),
    (IFlags::from_bits_retain(0x4), 'c'),
    (IFlags::from_bits_retain(0x800), 'E'),
    (IFlags::from_bits_retain(0x4000), 'j'),
    (IFlags::from_bits_retain(0x1000), 'I'),
    (IFlags::from_bits_retain(0x8000), 't'),
    (IFlags::from_bits_retain(0x0002_0000), 'T'),
    (IFlags::from_bits_retain(0x0008_0000), 'e'),
    (IFlags::from_bits_retain(0x0080_0000), 'C'),
];

pub(super) fn metadata(path: &Path) -> Result<Option<Metadata>> {
    let Some(found) = present(std::fs::symlink_metadata(path), "stat", path)? else { return Ok(None) };
    let kind = found.file_type();
    let kind = if kind.is_file() {
        FileKind::File
    } else if kind.is_dir() {
        FileKind::Directory
    } else if kind.is_symlink() {
        FileKind::Symlink
    } else if kind.is_block_device() {
        FileKind::Block
    } else if kind.is_char_device() {
        FileKind::Character
    } else if kind.is_fifo() {
        FileKind::Fifo
    } else {
        FileKind::Socket
    };
    let seconds = |whole: i64, nanoseconds: i64| whole as f64 + 1e-9 * nanoseconds as f64;
    let born = found.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map(|since| since.as_secs_f64());
    Ok(Some(Metadata {
        kind,
        mode: found.mode() & 0o7777,
        uid: found.uid(),
        gid: found.gid(),
        size: found.size(),
        links: found.nlink(),
        inode: found.ino(),
        device: found.dev(),
        rdev: found.rdev(),
        blocks: found.blocks(),
        block_size: found.blksize(),
        accessed: seconds(found.atime(), found.atime_nsec()),
        modified: seconds(found.mtime(), found.mtime_nsec()),
        changed: seconds(found.ctime(), found.ctime_nsec()),
        born,
    }))
}

pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    present(traceless::read(path), "read", path)
}

/// The bytes of a file from there on; fewer than asked for end it.
pub(super) fn part(path: &Path, offset: u64, count: u64) -> Result<Vec<u8>> {
    let io = |error: std::io::Error| Error::io(format_args!("read {}", path.display()), &error);
    let mut file =
        present(traceless::open(path), "read", path)?.ok_or_else(|| Error::failed(format!("read {}: it is gone", path.display())))?;
    file.seek(std::io::SeekFrom::Start(offset)).map_err(io)?;
    let mut bytes = Vec::new();
    file.take(count).read_to_end(&mut bytes).map_err(io)?;
    Ok(bytes)
}

pub(super) fn digest(path: &Path, algorithm: Digest) -> Result<Option<String>> {
    let Some(mut file) = present(traceless::open(path), "read", path)? else { return Ok(None) };
    let digest = match algorithm {
        Digest::Md5 => hash(md5::Md5::new(), &mut file),
        Digest::Sha1 => hash(sha1::Sha1::new(), &mut file),
        Digest::Sha224 => hash(sha2::Sha224::new(), &mut file),
        Digest::Sha256 => hash(sha2::Sha256::new(), &mut file),
        Digest::Sha384 => hash(sha2::Sha384::new(), &mut file),
        Digest::Sha512 => hash(sha2::Sha512::new(), &mut file),
    };
    digest.map(Some).map_err(|error| Error::io(format_args!("read {}", path.display()), &error))
}

fn hash<D: sha2::Digest>(mut digest: D, file: &mut File) -> std::io::Result<String> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hex::encode(digest.finalize())),
            Ok(count) => digest.update(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

pub(super) fn read_link(path: &Path) -> Result<Option<PathBuf>> {
    match std::fs::read_link(path) {
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(None),
        other => present(other, "read the link", path),
    }
}

pub(super) fn list(path: &Path) -> Result<Option<Vec<String>>> {
    let Some(names) = present(traceless::names(path), "list", path)? else { return Ok(None) };
    let mut names: Vec<String> = names.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(Some(names))
}

/// Python's `realpath`: what exists is resolved, what does not is kept; a loop stays as it is.
pub(super) fn canonical(path: &Path) -> Result<PathBuf> {
    let absolute = std::path::absolute(path).map_err(|error| Error::io(format_args!("resolve {}", path.display()), &error))?;
    resolve(&absolute, Last::Followed, &mut |link| Ok(std::fs::read_link(link).ok()))
}

pub(super) fn access(path: &Path) -> Result<Access> {
    use nix::unistd::AccessFlags;
    let may = |flags| nix::unistd::access(path, flags).is_ok();
    Ok(Access { read: may(AccessFlags::R_OK), write: may(AccessFlags::W_OK), execute: may(AccessFlags::X_OK) })
}

/// Files and directories only: opening a device or a pipe would do something.
fn open_quietly(path: &Path) -> Option<File> {
    let found = std::fs::symlink_metadata(path).ok()?;
    if !found.is_file() && !found.is_dir() {
        return None;
    }
    let flags = (rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW).bits();
    std::fs::OpenOptions::new().read(true).custom_flags(flags as i32).open(path).ok()
}

pub(super) fn acl(path: &Path) -> Result<Acl> {
    let doing = || format!("read the access control list of {}", path.display());
    let found = std::fs::metadata(path).map_err(|error| Error::io(doing(), &error))?;
    let list = |name: &str| {
        let mut value = vec![0; 1 << 16];
        match rustix::fs::getxattr(path, name, &mut value[..]) {
            Ok(length) => acl::entries(&value[..length]).map(Some).ok_or_else(|| Error::failed(format!("{}: it is no such list", doing()))),
            Err(rustix::io::Errno::NODATA | rustix::io::Errno::OPNOTSUPP) => Ok(None),
            Err(errno) => Err(Error::io(doing(), &errno.into())),
        }
    };
    let plain = Acl::of_mode(found.permissions().mode());
    Ok(Acl { access: list(acl::ACCESS)?.unwrap_or(plain.access), default: list(acl::DEFAULT)?.unwrap_or_default() })
}

pub(super) fn attributes(path: &Path) -> Result<String> {
    let Some(flags) = open_quietly(path).and_then(|file| rustix::fs::ioctl_getflags(&file).ok()) else {
        return Ok(String::new());
    };
    Ok(LETTERS.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, letter)| *letter).collect())
}

/// The flags of letters.
pub(in crate::system) fn flags(letters: &str) -> Result<IFlags> {
    letters.chars().try_fold(IFlags::empty(), |flags, letter| {
        let known = LETTERS.iter().find(|(_, known)| *known == letter);
        known.map(|(flag, _)| flags | *flag).ok_or_else(|| Error::failed(format!("{letter:?} is no file attribute of chattr(1)")))
    })
}

/// ext4's inode generation, what `lsattr -v` prints.
mod version {
    nix::ioctl_read!(get, b'v', 1, nix::libc::c_long);
}

#[expect(unsafe_code, reason = "an ioctl that no library wraps; it writes one number that lives here")]
pub(super) fn generation(path: &Path) -> Result<Option<u64>> {
    use std::os::fd::AsRawFd;
    let Some(file) = open_quietly(path) else { return Ok(None) };
    let mut number = 0;
    // SAFETY: the descriptor is open, `number` outlives the call. The kernel writes an int.
    let answer = unsafe { version::get(file.as_raw_fd(), &raw mut number) };
    Ok(answer.ok().map(|_| number as u64 & 0xffff_ffff))
}

pub(super) fn security_context(path: &Path) -> Result<Option<String>> {
    if !Path::new("/sys/fs/selinux/enforce").exists() {
        return Ok(None);
    }
    let mut value = vec![0; 4096];
    match rustix::fs::lgetxattr(path, "security.selinux", &mut value[..]) {
        Ok(length) => Ok(Some(String::from_utf8_lossy(&value[..length]).trim_end_matches('\0').to_owned())),
        Err(_) => Ok(None),
    }
}

/// The program knows hundreds of formats; without it Ansible says `unknown` too.
pub(super) fn mime(path: &Path) -> Result<Option<(String, String)>> {
    let Some(program) = executable("file") else { return Ok(None) };
    let output =
        std::process::Command::new(program).args(["--mime-type", "--mime-encoding"]).arg(path).stdin(std::process::Stdio::null()).output();
    let Ok(output) = output.as_ref().map(|output| String::from_utf8_lossy(&output.stdout)) else { return Ok(None) };
    let answer = output.rsplit_once(':').and_then(|(_, answer)| answer.split_once(';'));
    Ok(answer.and_then(|(kind, rest)| Some((kind.trim().to_owned(), rest.split_once('=')?.1.trim().to_owned()))))
}

pub(super) fn executable(name: &str) -> Option<PathBuf> {
    let runs = |path: &Path| path.is_file() && nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok();
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|path| runs(path));
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    std::env::split_paths(&path).chain(USUAL_FOLDERS.iter().map(PathBuf::from)).map(|folder| folder.join(name)).find(|path| runs(path))
}

/// `None` where nothing is (or a file stands where a directory is named).
fn present<T>(result: std::io::Result<T>, doing: &str, path: &Path) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(Error::io(format_args!("{doing} {}", path.display()), &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_none() {
        let absent = Path::new("/no/such/path/of/provision");
        assert_eq!(metadata(absent).expect("reads"), None);
        assert_eq!(read(Path::new("/etc/passwd/below")).expect("reads"), None);
        assert_eq!(list(absent).expect("reads"), None);
        assert_eq!(digest(absent, Digest::Sha1).expect("reads"), None);
    }

    #[test]
    fn links_are_resolved_as_far_as_the_path_exists() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let root = canonical(folder.path()).expect("resolves");
        std::fs::create_dir(root.join("real")).expect("directory");
        std::os::unix::fs::symlink("real", root.join("link")).expect("link");
        std::os::unix::fs::symlink("loop", root.join("loop")).expect("link");
        assert_eq!(canonical(&root.join("link/new/../file")).expect("resolves"), root.join("real/file"));
        assert_eq!(read_link(&root.join("real")).expect("reads"), None);
        assert!(canonical(&root.join("loop")).is_ok());
    }

    #[test]
    fn digests_are_lowercase_hex() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").expect("writes");
        assert_eq!(digest(&path, Digest::Md5).expect("reads").as_deref(), Some("900150983cd24fb0d6963f7d28e17f72"));
        assert_eq!(digest(&path, Digest::Sha1).expect("reads").as_deref(), Some("a9993e364706816aba3e25717850c26c9cd0d89d"));
    }
}
