//! What is mounted: /proc/self/mountinfo, as proc(5) describes it.

use std::path::{Path, PathBuf};

use crate::system::{FileKind, Result, System};

pub const MOUNTINFO: &str = "/proc/self/mountinfo";

/// Every mount, those on top of others last.
#[derive(Default)]
pub struct Table {
    text: String,
    mounts: Vec<Mount>,
}

struct Mount {
    id: u64,
    parent: u64,
    device: String,
    /// What of the file system is seen there.
    root: String,
    path: String,
    /// As mount(8) shows it.
    source: String,
}

/// What is to be mounted.
pub struct New<'mount> {
    pub path: &'mount Path,
    pub source: &'mount str,
    pub fstype: &'mount str,
    pub is_bind: bool,
}

impl Table {
    /// `None` where the kernel does not say.
    pub fn read(system: &dyn System) -> Result<Option<Self>> {
        let text = system.read(Path::new(MOUNTINFO))?;
        Ok(text.map(|bytes| {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            Self { mounts: text.lines().filter_map(Mount::of).collect(), text }
        }))
    }

    /// Whether it is where another file system begins: what lstat(2) shows of devices.
    pub fn is_mount_point(&self, path: &Path, system: &dyn System) -> Result<bool> {
        let canonical = system.canonical(path)?;
        let Some(mount) = self.top(&canonical) else { return Ok(false) };
        let Some(parent) = canonical.parent() else { return Ok(true) };
        let enclosing = self.around(parent);
        let is_other = enclosing.is_none_or(|(enclosing, root)| enclosing.device != mount.device || root == Path::new(&mount.root));
        // A mount point's own metadata need not be asked for: nothing is mounted on a link.
        Ok(is_other && (canonical == path || system.metadata(path)?.is_none_or(|found| found.kind != FileKind::Symlink)))
    }

    /// Whether something is mounted at this very path.
    pub fn has(&self, path: &str) -> bool {
        self.mounts.iter().any(|mount| mount.path == path)
    }

    /// Whether what is mounted there comes from this source; a bind mount's is the folder that it shows.
    pub fn is_from(&self, path: &str, source: &str) -> bool {
        let mut roots: Vec<String> = self.mounts.iter().map(|mount| mount.root.clone()).collect();
        let mut found = None;
        for (index, mount) in self.mounts.iter().enumerate() {
            // Process 1 of a machine that has started by itself sees the first of them as 1.
            let parent = self.mounts.iter().position(|other| mount.parent != 1 && other.id == mount.parent);
            if let Some(parent) = parent {
                // Each is seen through its parent, which may have been seen through its own before.
                let rest = roots[index].strip_prefix(&roots[parent]).filter(|rest| roots[parent].len() > 1 && rest.starts_with('/'));
                if let Some(rest) = rest.map(str::to_owned) {
                    roots[index] = rest;
                }
                if self.mounts[parent].path != "/" {
                    roots[index] = format!("{}{}", self.mounts[parent].path, roots[index]);
                }
            }
            if mount.path == path {
                found = Some(if parent.is_some() { roots[index].clone() } else { mount.source.clone() });
            }
        }
        found.as_deref() == Some(source)
    }

    /// Whether mount(8) would list this source there.
    pub fn lists(&self, path: &str, source: &str) -> bool {
        self.mounts.iter().any(|mount| mount.path == path && mount.source == source)
    }

    /// The kernel's text after a mount. The new one has no parent: its source is then the one it was asked for by.
    pub fn with(&self, new: &New<'_>) -> String {
        let id = 1 + self.mounts.iter().map(|mount| mount.id).max().unwrap_or_default();
        let shown = if new.is_bind { self.around(Path::new(new.source)) } else { None };
        let device = shown.as_ref().map_or(format!("planned:{id}"), |(mount, _)| mount.device.clone());
        let root = shown.map_or("/".to_owned(), |(_, root)| root.display().to_string());
        let [root, path, source] = [&root, &new.path.display().to_string(), new.source].map(escaped);
        format!("{}{id} 0 {device} {root} {path} rw - {} {source} rw\n", self.text, new.fstype)
    }

    /// The kernel's text after the topmost mount there is gone.
    pub fn without(&self, path: &Path) -> String {
        let gone = self.top(path).map(|mount| mount.id);
        let stays = |line: &&str| Mount::of(line).is_none_or(|mount| Some(mount.id) != gone);
        self.text.split_inclusive('\n').filter(stays).collect()
    }

    fn top(&self, path: &Path) -> Option<&Mount> {
        self.mounts.iter().rfind(|mount| Path::new(&mount.path) == path)
    }

    /// The mount that a path lies in, and where in its file system that is.
    fn around(&self, path: &Path) -> Option<(&Mount, PathBuf)> {
        path.ancestors().find_map(|above| {
            let mount = self.top(above)?;
            let rest = path.strip_prefix(above).ok()?;
            let root = Path::new(&mount.root);
            Some((mount, if rest.as_os_str().is_empty() { root.to_owned() } else { root.join(rest) }))
        })
    }
}

impl Mount {
    fn of(line: &str) -> Option<Self> {
        let (place, system) = line.split_once(" - ")?;
        let mut place = place.split(' ');
        let (id, parent) = (place.next()?.parse().ok()?, place.next()?.parse().ok()?);
        let device = place.next()?.to_owned();
        let (root, path) = (plain(place.next()?), plain(place.next()?));
        Some(Self { id, parent, device, root, path, source: plain(system.split(' ').nth(1)?) })
    }
}

const ESCAPES: [(char, &str); 4] = [('\\', "\\134"), (' ', "\\040"), ('\t', "\\011"), ('\n', "\\012")];

fn escaped(text: &str) -> String {
    ESCAPES.iter().fold(text.to_owned(), |text, (letter, escape)| text.replace(*letter, escape))
}

fn plain(text: &str) -> String {
    ESCAPES.iter().rev().fold(text.to_owned(), |text, (letter, escape)| text.replace(escape, &letter.to_string()))
}
