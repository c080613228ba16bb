//! Files of nodes that are kept on this machine (`fetch`): where, whose they are, and their bytes part by part.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sha1::Digest as _;

use super::Failure;
use crate::module::engine::{Fetched, Parcel, Step};
use crate::playbook::fetch::{Destination, normal, resolve};

/// What is asked for, done; `host` is the one whose task it is. Whether it may have what lies there now: it has brought it, or it
/// lies where the playbook has files of this host, or of this task, and nothing else. The playbook's own folder is none of these: a
/// node could name any file of the project there.
pub fn keep(destinations: &[Destination], host: &str, parcel: &Parcel) -> Result<(Fetched, bool), Failure> {
    let (path, is_own) = place(destinations, host, parcel)?;
    let failed = |error: std::io::Error| Failure { message: format!("keep {}: {error}", path.display()), hint: None };
    match &parcel.step {
        Step::Look => {}
        Step::Part { offset, bytes } => write(&path, host, *offset, &bytes.0).map_err(failed)?,
        Step::End => finish(&path, host).map_err(failed)?,
    }
    let (sha1, md5) = match &parcel.step {
        Step::Part { .. } => (None, None),
        _ => digests(&path).map_err(failed)?.unzip(),
    };
    let is_its = match &parcel.step {
        Step::Look => is_own,
        Step::Part { .. } => false,
        Step::End => true,
    };
    Ok((Fetched { path: path.to_string_lossy().into(), sha1: sha1.map(Into::into), md5: md5.map(Into::into) }, is_its))
}

/// The file's path here, as Ansible makes it, and whether none but files of `fetch` lie around it. A node's word stays below what the
/// playbook says.
fn place(destinations: &[Destination], host: &str, parcel: &Parcel) -> Result<(PathBuf, bool), Failure> {
    let (folder, dest) = (Path::new(&*parcel.playbook_dir), &*parcel.dest);
    let bounds: Vec<PathBuf> = destinations.iter().flat_map(|destination| destination.folders(folder, dest)).collect();
    if bounds.is_empty() {
        return Err(Failure { message: format!("keep a file of {host}: no task of `fetch` has the `dest` {dest}"), hint: None });
    }
    let refuse = |message: String| Err(Failure { message, hint: None });
    let base = resolve(folder, dest);
    let path = if parcel.flat {
        if base.is_dir() && !dest.ends_with('/') {
            return refuse("dest is an existing directory, use a trailing slash if you want to fetch src into that directory".to_owned());
        }
        if dest.ends_with('/') {
            let path = normal(&base.join(parcel.source.rsplit('/').next().unwrap_or_default()));
            if path.is_dir() {
                return refuse(format!(
                    "calculated dest '{}' is an existing directory, use another path that does not point to an existing directory",
                    path.display()
                ));
            }
            path
        } else {
            base
        }
    } else {
        let own = base.join(host);
        let path = normal(Path::new(&format!("{}/{}", own.display(), parcel.source)));
        if !path.starts_with(&own) || path == own {
            return refuse(format!(
                "Detected directory traversal, expected to be contained in '{}' but got '{}'",
                own.display(),
                path.display()
            ));
        }
        path
    };
    let is_folder_of_project = |bound: &PathBuf| folder.starts_with(bound);
    let is_own = bounds.iter().any(|bound| !is_folder_of_project(bound) && path.starts_with(bound));
    if !bounds.iter().any(|bound| path.starts_with(bound)) {
        let shown: Vec<String> = bounds.iter().map(|bound| bound.display().to_string()).collect();
        return Err(Failure {
            message: format!("keep {}: it is not below {}, which is what the playbook says of `dest`", path.display(), shown.join(" or ")),
            hint: Some("write the folder at the beginning of `dest`, or set it in the inventory".to_owned()),
        });
    }
    // Variables of hosts may lie in folders of their names.
    let is_of_inventory = path.iter().any(|part| part == "host_vars" || part == "group_vars");
    Ok((path, (is_own || !parcel.flat) && !is_of_inventory))
}

/// Where the bytes are until all of them are there.
fn part_of(path: &Path, host: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{host}.part"))
}

fn write(path: &Path, host: &str, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
    let part = part_of(path, host);
    if offset == 0 {
        let folder = path.parent().unwrap_or(Path::new("/"));
        make(folder, 0o777)?;
        if let Err(error) = fs::remove_file(&part)
            && error.kind() != ErrorKind::NotFound
        {
            return Err(error);
        }
        // What a file of the node may hold is nobody else's before it has the former file's mode.
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
    }
    let mut file = OpenOptions::new().write(true).custom_flags(nix::libc::O_NOFOLLOW).open(&part)?;
    file.set_len(offset)?;
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(bytes)
}

/// The folder with those above it, one host after the other: each takes the owner of the one above, which another may just have made.
pub(super) fn make(folder: &Path, mode: u32) -> std::io::Result<()> {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let missing: Vec<&Path> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
    fs::DirBuilder::new().recursive(true).mode(mode).create(folder)?;
    missing.into_iter().rev().try_for_each(give)
}

/// All bytes are there: the file takes its place, with the former one's owner and mode.
fn finish(path: &Path, host: &str) -> std::io::Result<()> {
    let part = part_of(path, host);
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    match fs::metadata(&path) {
        Ok(former) => {
            fs::set_permissions(&part, former.permissions())?;
            if nix::unistd::geteuid().is_root() {
                chown(&part, Some(former.uid()), Some(former.gid()))?;
            }
        }
        Err(_) => {
            fs::set_permissions(&part, std::os::unix::fs::PermissionsExt::from_mode(0o666 & !umask()))?;
            give(&part)?;
        }
    }
    fs::rename(&part, &path)
}

/// This process's, where it is told; asking the kernel would change it for a moment.
fn umask() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("Umask:")).and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok());
    mask.unwrap_or(0o022)
}

/// Nothing that is made for a user is root's, who we may be by sudo: it is the folder's owner's, or who asked sudo.
pub(super) fn give(path: &Path) -> std::io::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let owner: Metadata = fs::metadata(path.parent().unwrap_or(Path::new("/")))?;
    let asked = |name: &str| std::env::var(name).ok().and_then(|number| number.parse::<u32>().ok());
    match (owner.uid(), asked("SUDO_UID"), asked("SUDO_GID")) {
        (0, Some(uid), Some(gid)) if !path.starts_with("/root") => chown(path, Some(uid), Some(gid)),
        (uid, ..) => chown(path, Some(uid), Some(owner.gid())),
    }
}

/// SHA-1 and MD5 in hexadecimal; `None`: no file is there.
fn digests(path: &Path) -> std::io::Result<Option<(String, String)>> {
    if !path.is_file() {
        return Ok(None);
    }
    let mut file = File::open(path)?;
    let (mut sha1, mut md5) = (sha1::Sha1::new(), md5::Md5::new());
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        sha1.update(&buffer[..count]);
        md5.update(&buffer[..count]);
    }
    let hexadecimal = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Ok(Some((hexadecimal(&sha1.finalize()), hexadecimal(&md5.finalize()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_many_make_at_once_are_the_owners() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        chown(folder.path(), Some(4321), Some(4321)).expect("is given");
        for round in 0..500 {
            let above = folder.path().join(round.to_string());
            std::thread::scope(|scope| {
                for host in ["a", "b", "c"] {
                    let below = above.join(host).join("root");
                    scope.spawn(move || make(&below, 0o777).expect("is made"));
                }
            });
            for host in ["a", "b", "c"] {
                assert_eq!(fs::metadata(above.join(host).join("root")).expect("is there").uid(), 4321, "{round} {host}");
            }
        }
    }
}
