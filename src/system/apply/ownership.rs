//! Owner, group, mode, attributes, SELinux context of an object.

use std::fs::File;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown, lchown};
use std::path::{Path, PathBuf};

use rustix::fs::{IFlags, XattrFlags};

use crate::system::{Error, Ownership, Real, Result, System};

const SELINUX: &str = "security.selinux";

/// Sets what is given. `follow`: of what a link points to; else a link's own owner (it has no mode).
pub(super) fn set(path: &Path, wanted: &Ownership, follow: bool) -> Result<()> {
    if *wanted == Ownership::default() {
        return Ok(());
    }
    let object = if follow { Real::default().canonical(path)? } else { path.to_owned() };
    let about = |doing: &str| format!("{doing} {}", object.display());
    let (uid, gid) = ids(wanted)?;
    if uid.is_some() || gid.is_some() {
        lchown(&object, uid, gid).map_err(|error| Error::io(about("change the owner of"), &error))?;
    }
    let is_link = std::fs::symlink_metadata(&object).is_ok_and(|found| found.is_symlink());
    if let Some(mode) = wanted.mode.filter(|_| !is_link) {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&object, permissions).map_err(|error| Error::io(about("change the mode of"), &error))?;
    }
    if let Some(context) = &wanted.context {
        set_context(&object, context)?;
    }
    if let Some(attributes) = &wanted.attributes {
        set_attributes(&object, attributes)?;
    }
    Ok(())
}

/// The same for an open file of ours, before it takes its place. Attributes come after that: an immutable file cannot be
/// renamed.
pub(super) fn set_open(file: &File, path: &Path, wanted: &Ownership) -> Result<()> {
    let (uid, gid) = ids(wanted)?;
    if uid.is_some() || gid.is_some() {
        fchown(file, uid, gid).map_err(|error| Error::io(format_args!("change the owner of {}", path.display()), &error))?;
    }
    if let Some(mode) = wanted.mode {
        file.set_permissions(std::fs::Permissions::from_mode(mode))
            .map_err(|error| Error::io(format_args!("change the mode of {}", path.display()), &error))?;
    }
    Ok(())
}

/// Names looked up; numbers need no entry.
fn ids(wanted: &Ownership) -> Result<(Option<u32>, Option<u32>)> {
    let system = Real::default();
    let uid = wanted.owner.as_deref().map(|owner| match owner.parse() {
        Ok(uid) => Ok(uid),
        Err(_) => {
            system.user(owner)?.map(|user| user.uid).ok_or_else(|| Error::failed(format!("chown failed: failed to look up user {owner}")))
        }
    });
    let gid = wanted.group.as_deref().map(|group| match group.parse() {
        Ok(gid) => Ok(gid),
        Err(_) => system
            .group(group)?
            .map(|group| group.gid)
            .ok_or_else(|| Error::failed(format!("chgrp failed: failed to look up group {group}"))),
    });
    Ok((uid.transpose()?, gid.transpose()?))
}

/// Gives a new file what the one it replaces had: owner, extended attributes (ACLs are such), mode, attribute letters.
/// What this user may not set is left, as `cp -p` leaves it.
pub(super) fn inherit(file: &File, path: &Path, former: &Path) -> Result<()> {
    let doing = |error: &std::io::Error| Error::io(format_args!("keep the ownership of {}", former.display()), error);
    let found = std::fs::metadata(former).map_err(|error| doing(&error))?;
    let made = file.metadata().map_err(|error| doing(&error))?;
    if (made.uid(), made.gid()) != (found.uid(), found.gid()) {
        match fchown(file, Some(found.uid()), Some(found.gid())) {
            Err(error) if error.kind() != std::io::ErrorKind::PermissionDenied => return Err(doing(&error)),
            _ => {}
        }
    }
    // The mode first: an ACL's mask is the mode's group part, and setting the ACL sets both.
    file.set_permissions(std::fs::Permissions::from_mode(found.mode() & 0o7777)).map_err(|error| doing(&error))?;
    for name in extended_attributes(former) {
        let mut value = vec![0; 1 << 16];
        if let Ok(length) = rustix::fs::getxattr(former, name.as_str(), &mut value[..]) {
            // ENOTSUP, EPERM: another file system, an attribute that only root may set.
            let _ = rustix::fs::setxattr(path, name.as_str(), &value[..length], XattrFlags::empty());
        }
    }
    if let (Ok(old), Ok(new)) = (open_flags(former), rustix::fs::ioctl_getflags(file)) {
        // Those that forbid renames are not copied: the former file would have refused its replacement.
        let kept = (old & IFlags::from_bits_retain(0x0080_00cd)) | (new & !IFlags::from_bits_retain(0x0080_00cd));
        if kept != new {
            let _ = rustix::fs::ioctl_setflags(file, kept);
        }
    }
    Ok(())
}

fn extended_attributes(path: &Path) -> Vec<String> {
    let mut list = vec![0; 1 << 16];
    let Ok(length) = rustix::fs::listxattr(path, &mut list[..]) else { return Vec::new() };
    let names = list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names.map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}

fn open_flags(path: &Path) -> std::io::Result<IFlags> {
    let file = std::fs::OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
    Ok(rustix::fs::ioctl_getflags(&file)?)
}

/// `+i`, `-a`, `=e` (or `e`), as chattr(1).
pub(super) fn set_attributes(path: &Path, wanted: &str) -> Result<()> {
    let failed = |error: &std::io::Error| Error::io(format_args!("chattr failed: {}", path.display()), error);
    let (operator, letters) = match wanted.chars().next() {
        Some(operator @ ('+' | '-' | '=')) => (operator, &wanted[1..]),
        _ => ('=', wanted),
    };
    let flags = crate::system::real::flags(letters)?;
    let file = std::fs::OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path).map_err(|error| failed(&error))?;
    let before = rustix::fs::ioctl_getflags(&file).map_err(|errno| failed(&errno.into()))?;
    // Extents and flags without a letter are the file system's own.
    let settable = crate::system::real::flags("suSDiadAcjtTC")?;
    let after = match operator {
        '+' => before | flags,
        '-' => before - flags,
        _ => (before - settable) | flags,
    };
    if after == before { Ok(()) } else { rustix::fs::ioctl_setflags(&file, after).map_err(|errno| failed(&errno.into())) }
}

/// User, role, type, level: those that are not given stay.
fn set_context(path: &Path, wanted: &[Option<String>; 4]) -> Result<()> {
    let mut value = vec![0; 4096];
    let failed = |errno: rustix::io::Errno| Error::io(format_args!("set the SELinux context of {}", path.display()), &errno.into());
    let length = rustix::fs::lgetxattr(path, SELINUX, &mut value[..]).map_err(failed)?;
    let text = String::from_utf8_lossy(&value[..length]).trim_end_matches('\0').to_owned();
    let mut parts: Vec<&str> = text.splitn(4, ':').collect();
    for (index, part) in wanted.iter().enumerate() {
        if let Some(part) = part {
            while parts.len() <= index {
                parts.push("s0");
            }
            parts[index] = part;
        }
    }
    rustix::fs::lsetxattr(path, SELINUX, parts.join(":").as_bytes(), XattrFlags::empty()).map_err(failed)
}

/// A copy with owner, mode, times and extended attributes: the backup of a former file.
pub(super) fn preserved_copy(former: &Path, copy: &Path) -> Result<PathBuf> {
    let failed = |error: &std::io::Error| Error::io(format_args!("back up {} to {}", former.display(), copy.display()), error);
    let mut from = File::open(former).map_err(|error| failed(&error))?;
    let mut to = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(copy).map_err(|error| failed(&error))?;
    std::io::copy(&mut from, &mut to).map_err(|error| failed(&error))?;
    inherit(&to, copy, former)?;
    let found = from.metadata().map_err(|error| failed(&error))?;
    let times = std::fs::FileTimes::new()
        .set_accessed(found.accessed().map_err(|error| failed(&error))?)
        .set_modified(found.modified().map_err(|error| failed(&error))?);
    to.set_times(times).map_err(|error| failed(&error))?;
    to.sync_all().map_err(|error| failed(&error))?;
    Ok(copy.to_owned())
}
