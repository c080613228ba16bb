//! The fake's file system: objects by path, links resolved as the kernel does.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::script::{Details, FileDetails, FileScript, LinkScript, Script, mode};
use super::{Fake, file_kind};
use crate::system::paths::{Last, resolve};
use crate::system::{Error, FileKind, Metadata, Result};

/// One object.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub kind: Kind,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// The same for hard links of each other.
    pub inode: u64,
    pub accessed: f64,
    pub modified: f64,
    /// `chattr`'s letters.
    pub attributes: String,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    File(Arc<[u8]>),
    Directory,
    Symlink(PathBuf),
    Special(FileKind),
}

impl Fake {
    pub(super) fn lay_out(&mut self, script: &Script) -> Result<()> {
        self.make_parents(Path::new("/any"));
        for (path, details) in &script.directories {
            self.make_parents(Path::new(path));
            let details = details.clone().unwrap_or_default();
            self.place(path, Kind::Directory, 0o755, &details)?;
        }
        for (path, file) in &script.files {
            self.put_scripted(path, file)?;
        }
        for (path, link) in &script.links {
            self.make_parents(Path::new(path));
            let (target, owner, group) = match link.clone() {
                LinkScript::Target(target) => (target, None, None),
                LinkScript::Full { target, owner, group } => (target, owner, group),
            };
            self.place(path, Kind::Symlink(target.into()), 0o777, &Details { owner, group, ..Details::default() })?;
        }
        for (path, kind) in &script.special {
            self.make_parents(Path::new(path));
            self.place(path, Kind::Special(file_kind(kind)?), 0o644, &Details::default())?;
        }
        Ok(())
    }

    /// A file as a script has it.
    pub(super) fn put_scripted(&mut self, path: &str, file: &FileScript) -> Result<()> {
        let details = match file.clone() {
            FileScript::Text(content) => FileDetails { content, ..FileDetails::default() },
            FileScript::Full(details) => details,
        };
        let bytes = match &details.hex {
            Some(text) => hex::decode(text).map_err(|error| Error::failed(format!("hex of {path}: {error}")))?,
            None => details.content.into_bytes(),
        };
        self.make_parents(Path::new(path));
        let FileDetails { mode, owner, group, modified, accessed, attributes, .. } = details;
        self.place(path, Kind::File(bytes.into()), 0o644, &Details { mode, owner, group, modified, accessed, attributes })
    }

    fn place(&mut self, path: &str, kind: Kind, default_mode: u32, details: &Details) -> Result<()> {
        let mode = details.mode.as_deref().map_or(Ok(default_mode), mode)?;
        let uid = details.owner.as_deref().map_or(Ok(0), |name| self.uid(name))?;
        let gid = details.group.as_deref().map_or(Ok(0), |name| self.gid(name))?;
        let node = Node {
            kind,
            mode,
            uid,
            gid,
            inode: self.new_inode(),
            accessed: details.accessed.unwrap_or(1_600_000_000.0),
            modified: details.modified.unwrap_or(1_600_000_000.0),
            attributes: details.attributes.clone(),
        };
        self.nodes.insert(path.into(), node);
        Ok(())
    }

    pub(super) fn new_inode(&mut self) -> u64 {
        self.next_inode += 1;
        self.next_inode
    }

    pub(super) fn uid(&self, name: &str) -> Result<u32> {
        let found = crate::system::System::user(self, name)?.map(|user| user.uid).or_else(|| name.parse().ok());
        found.ok_or_else(|| Error::failed(format!("no user {name} on the fake")))
    }

    pub(super) fn gid(&self, name: &str) -> Result<u32> {
        let found = crate::system::System::group(self, name)?.map(|group| group.gid).or_else(|| name.parse().ok());
        found.ok_or_else(|| Error::failed(format!("no group {name} on the fake")))
    }

    /// The directories that lead to a scripted path.
    fn make_parents(&mut self, path: &Path) {
        for parent in path.ancestors().skip(1) {
            if !self.nodes.contains_key(parent) {
                let node = Node {
                    kind: Kind::Directory,
                    mode: 0o755,
                    uid: 0,
                    gid: 0,
                    inode: self.new_inode(),
                    accessed: 1_600_000_000.0,
                    modified: 1_600_000_000.0,
                    attributes: String::new(),
                };
                self.nodes.insert(parent.to_owned(), node);
            }
        }
    }

    pub(super) fn resolve(&self, path: &Path, last: Last) -> Result<PathBuf> {
        if !path.is_absolute() {
            return Err(Error::failed(format!("the fake has no working directory for the relative path {}", path.display())));
        }
        resolve(path, last, &mut |link| {
            Ok(self.nodes.get(link).and_then(|node| match &node.kind {
                Kind::Symlink(target) => Some(target.clone()),
                _ => None,
            }))
        })
    }

    pub(super) fn describe_node(&self, path: &Path, node: &Node) -> Metadata {
        let children = || self.nodes.iter().filter(|(below, child)| below.parent() == Some(path) && child.kind == Kind::Directory).count();
        let (kind, size, links) = match &node.kind {
            Kind::File(bytes) => {
                let links = self.nodes.values().filter(|other| other.inode == node.inode).count();
                (FileKind::File, bytes.len() as u64, links)
            }
            Kind::Directory => (FileKind::Directory, 4096, 2 + children()),
            Kind::Symlink(target) => (FileKind::Symlink, target.as_os_str().len() as u64, 1),
            Kind::Special(kind) => (*kind, 0, 1),
        };
        Metadata {
            kind,
            mode: node.mode,
            uid: node.uid,
            gid: node.gid,
            size,
            links: links as u64,
            inode: node.inode,
            device: 2049,
            rdev: 0,
            blocks: size.div_ceil(4096) * 8,
            block_size: 4096,
            accessed: node.accessed,
            modified: node.modified,
            changed: node.modified,
            born: None,
        }
    }
}
