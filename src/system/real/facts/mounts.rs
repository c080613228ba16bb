//! `ansible_mounts`: what is mounted from devices and over the network, and how full it is.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use super::{exists, names, text};
use crate::map;
use crate::program::{Map, Value};

pub(super) fn mounts(timeout: Duration) -> Map {
    let table = if exists("/etc/mtab") { text("/etc/mtab") } else { text("/proc/mounts") }.unwrap_or_default();
    let bound = bound(&text("/proc/self/mountinfo").unwrap_or_default());
    // Asked in threads: a file server that does not answer must not hold up the rest.
    let asked: Vec<_> = entries(&table)
        .into_iter()
        .map(|entry| {
            let (sender, receiver) = mpsc::channel();
            let (mount, device) = (entry.mount.clone(), entry.device.clone());
            if entry.is_remote() {
                std::thread::spawn(move || sender.send((size(&mount), identifier(&device))));
            } else {
                // The receiver is held beside: nothing is lost.
                let _ = sender.send((size(&mount), identifier(&device)));
            }
            (entry, receiver)
        })
        .collect();
    let timeout = if timeout.is_zero() { Duration::from_secs(10) } else { timeout };
    let mut shown: indexmap::IndexMap<String, Value> = indexmap::IndexMap::new();
    for (entry, receiver) in asked {
        let mut facts = entry.facts(bound.contains(&entry.mount));
        match receiver.recv_timeout(timeout) {
            Ok((size, identifier)) => {
                facts.extend(size);
                facts.insert("uuid".into(), identifier.unwrap_or_else(|| "N/A".to_owned()).into());
            }
            Err(_) => drop(facts.insert("note".into(), "Could not get extra information due to timeout".into())),
        }
        // The last one mounted at a place is the one that is seen.
        shown.insert(entry.mount, facts.into());
    }
    map! { "mounts" => shown.into_values().collect::<Vec<_>>() }
}

struct Entry {
    device: String,
    mount: String,
    kind: String,
    options: String,
    dump: i64,
    pass: i64,
}

impl Entry {
    fn is_remote(&self) -> bool {
        self.device.contains(":/") || self.device.starts_with("//") || self.kind.starts_with("fuse")
    }

    fn facts(&self, bound: bool) -> Map {
        let said = self.options.contains("bind");
        map! {
            "mount" => self.mount.as_str(),
            "device" => self.device.as_str(),
            "fstype" => self.kind.as_str(),
            "options" => if bound && !said { format!("{},bind", self.options) } else { self.options.clone() },
            "dump" => self.dump,
            "passno" => self.pass,
        }
    }
}

/// Lines of fstab(5) whose device is a path or a server's.
fn entries(table: &str) -> Vec<Entry> {
    let parse = |line: &str| {
        let fields: Vec<String> = line.split_whitespace().map(unescaped).collect();
        let field = |index: usize| fields.get(index).cloned();
        let number = |index: usize| field(index).and_then(|text| text.parse().ok()).unwrap_or(0);
        Some(Entry { device: field(0)?, mount: field(1)?, kind: field(2)?, options: field(3)?, dump: number(4), pass: number(5) })
    };
    let is_device = |entry: &Entry| (entry.device.starts_with(['/', '\\']) || entry.device.contains(":/")) && entry.kind != "none";
    table.lines().filter_map(parse).filter(is_device).collect()
}

/// Places where a folder of a file system is mounted, not its root: proc_pid_mountinfo(5).
fn bound(table: &str) -> BTreeSet<String> {
    let fields = table.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    fields.filter(|fields| fields.len() > 4 && fields[3] != "/").map(|fields| unescaped(fields[4])).collect()
}

/// `\040` is a space.
fn unescaped(field: &str) -> String {
    let mut plain = Vec::new();
    let bytes = field.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let octal = (bytes[at] == b'\\').then(|| field.get(at + 1..at + 4)).flatten().and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(octal.unwrap_or(bytes[at]));
        at += if octal.is_some() { 4 } else { 1 };
    }
    String::from_utf8_lossy(&plain).into_owned()
}

fn size(mount: &str) -> Map {
    let Ok(stat) = nix::sys::statvfs::statvfs(mount) else { return Map::new() };
    // The types of these differ between C libraries.
    let number = |count: u64| count as i64;
    let fragment = number(stat.fragment_size());
    let (blocks, free) = (number(stat.blocks()), number(stat.blocks_available()));
    let (files, free_files) = (number(stat.files()), number(stat.files_available()));
    map! {
        "size_total" => fragment * blocks,
        "size_available" => fragment * free,
        "block_size" => number(stat.block_size()),
        "block_total" => blocks,
        "block_available" => free,
        "block_used" => blocks - free,
        "inode_total" => files,
        "inode_available" => free_files,
        "inode_used" => files - free_files,
    }
}

/// The file system's UUID as udev knows it.
fn identifier(device: &str) -> Option<String> {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let metadata = std::fs::metadata(device).ok().filter(|metadata| metadata.file_type().is_block_device())?;
    let (major, minor) = (nix::sys::stat::major(metadata.rdev()), nix::sys::stat::minor(metadata.rdev()));
    let known = text(format!("/run/udev/data/b{major}:{minor}")).unwrap_or_default();
    if let Some(uuid) = known.lines().find_map(|line| line.strip_prefix("E:ID_FS_UUID=")) {
        return Some(uuid.to_owned());
    }
    let real = std::fs::canonicalize(device).ok()?;
    names("/dev/disk/by-uuid")
        .into_iter()
        .find(|name| std::fs::canonicalize(Path::new("/dev/disk/by-uuid").join(name)).is_ok_and(|target| target == real))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_devices_and_servers_are_listed_and_spaces_come_back() {
        let table = "proc /proc proc rw 0 0\n/dev/vda1 / ext4 rw,relatime 0 1\nnas:/home /mnt/my\\040home nfs4 rw 0 0\n";
        let entries = entries(table);
        assert_eq!(entries.iter().map(|entry| entry.mount.as_str()).collect::<Vec<_>>(), ["/", "/mnt/my home"]);
        assert!(!entries[0].is_remote() && entries[1].is_remote());
        assert_eq!(entries[0].pass, 1);
    }

    #[test]
    fn a_mounted_folder_is_a_bind() {
        let table = "28 1 254:0 / / rw - ext4 /dev/vda rw\n30 28 254:0 /srv /mnt rw - ext4 /dev/vda rw\n";
        assert_eq!(bound(table).into_iter().collect::<Vec<_>>(), ["/mnt"]);
    }
}
