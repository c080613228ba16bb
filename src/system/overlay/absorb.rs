//! What each action leaves behind, as far as it is known before it is done.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Bytes, Entry, Found, Node, Object, Overlay};
use crate::system::paths::Last;
use crate::system::{Action, Content, Effect, FileKind, KernelModule, Metadata, Ownership, System};

impl Overlay<'_> {
    /// From now on reads answer as after this action; `cause` is the name of the task that does it.
    pub fn absorb(&mut self, action: &Action, cause: &str) {
        self.absorbed.push((action.clone(), cause.to_owned()));
        self.fold(action, &cause.into());
    }

    fn fold(&mut self, action: &Action, cause: &Arc<str>) {
        self.step += 1;
        let cause = Arc::clone(cause);
        match action {
            Action::WriteFile { path, content, ownership, backup: _, .. } => {
                let Some(path) = self.place(path, Last::Kept, &cause) else { return };
                let (content, size) = self.content(content);
                let former = self.former(&path);
                let node = self.new_node(&former, FileKind::File, size, content, ownership, &cause);
                self.put(path, node);
            }
            Action::MakeDirectory { path, ownership } => {
                // One that is there by then, or a link to one, stays.
                let Some(there) = self.place(path, Last::Followed, &cause) else { return };
                if let Some(mut node) = self.node_of(&there).filter(|node| node.metadata.kind == FileKind::Directory) {
                    self.own(&mut node, ownership, &cause);
                    return self.put(there, node);
                }
                let Some(path) = self.place(path, Last::Kept, &cause) else { return };
                let node = self.new_node(&Former::Absent, FileKind::Directory, 4096, Bytes::None, ownership, &cause);
                self.put(path, node);
            }
            Action::Symlink { path, target, ownership } => {
                let Some(path) = self.place(path, Last::Kept, &cause) else { return };
                let size = target.as_os_str().len() as u64;
                let node = self.new_node(&Former::Absent, FileKind::Symlink, size, Bytes::Target(target.clone()), ownership, &cause);
                self.put(path, node);
            }
            Action::HardLink { path, target } => {
                let (Some(path), Some(target)) = (self.place(path, Last::Kept, &cause), self.place(target, Last::Kept, &cause)) else {
                    return;
                };
                let object = match self.node_of(&target) {
                    Some(mut node) => {
                        node.metadata.links = node.metadata.links.max(1) + 1;
                        self.change(target, node.clone());
                        node
                    }
                    None => return self.forget(path, &cause),
                };
                self.put(path, object);
            }
            Action::SetOwnership { ownership, .. } if *ownership == Ownership::default() => {}
            Action::SetOwnership { path, ownership, follow } => {
                let last = if *follow { Last::Followed } else { Last::Kept };
                let Some(path) = self.place(path, last, &cause) else { return };
                match self.node_of(&path) {
                    Some(mut node) => {
                        self.own(&mut node, ownership, &cause);
                        self.change(path, node);
                    }
                    None => self.forget(path, &cause),
                }
            }
            Action::SetTimes { path, accessed, modified } => {
                let Some(path) = self.place(path, Last::Followed, &cause) else { return };
                match self.node_of(&path) {
                    Some(mut node) => {
                        node.metadata.accessed = accessed.unwrap_or(node.metadata.accessed);
                        node.metadata.modified = modified.unwrap_or(node.metadata.modified);
                        self.change(path, node);
                    }
                    None => self.forget(path, &cause),
                }
            }
            Action::Remove { path } => {
                let Some(path) = self.place(path, Last::Kept, &cause) else { return };
                self.entries.retain(|below, _| !below.starts_with(&path));
                self.acls.retain(|below, _| !below.starts_with(&path));
                self.entries.insert(path, Entry { since: self.step, object: Object::Absent });
            }
            Action::SetKernelHostname { name } => self.hostname = Some(name.clone()),
            Action::SetSysctl { name, value } => {
                let value = value.split_whitespace().collect::<Vec<_>>().join("\t");
                self.sysctl.insert(crate::system::real::sysctl_path(name), value);
            }
            Action::LoadKernelModule { name, .. } => {
                self.modules.insert(name.replace('-', "_"), KernelModule::Loaded);
            }
            Action::UnloadKernelModule { name } => {
                self.modules.insert(name.replace('-', "_"), KernelModule::Absent);
            }
            Action::Run(command) => self.effect(&command.effect, &cause),
            Action::Sleep { .. } => {}
            Action::Reboot { .. } => {
                self.rebooted = Some(Arc::clone(&cause));
                self.opaque(&cause);
            }
        }
    }

    fn effect(&mut self, effect: &Effect, cause: &Arc<str>) {
        match effect {
            Effect::None | Effect::UnitsReloaded => {}
            Effect::Opaque => self.opaque(cause),
            Effect::Named(folder) | Effect::Below(folder) => {
                let Some(folder) = self.place(folder, Last::Followed, cause) else { return };
                let clouds = if matches!(effect, Effect::Below(_)) { &mut self.below } else { &mut self.named };
                clouds.insert(folder, (self.step, Arc::clone(cause)));
            }
            Effect::PackagesManual(names) => self.manual.extend(names.iter().cloned()),
            Effect::PackageSelection { name, selection } => _ = self.selections.insert(name.clone(), selection.clone()),
            Effect::PackageLists => {
                self.lists = Some(Arc::clone(cause));
                self.touch_lists(cause);
            }
            Effect::Packages { present, absent } => {
                for (name, version) in present {
                    let version = version.clone().or_else(|| self.package_candidate(name).ok().flatten());
                    self.packages.insert(name.clone(), Some(version.unwrap_or_default()));
                }
                for name in absent {
                    self.packages.insert(name.clone(), None);
                }
                self.opaque(cause);
            }
            Effect::Unit { name, active_state, unit_file_state, load_state } => {
                let known = self.units.entry(name.clone()).or_default();
                for (new, old) in [
                    (active_state, &mut known.active_state),
                    (unit_file_state, &mut known.unit_file_state),
                    (load_state, &mut known.load_state),
                ] {
                    if new.is_some() {
                        old.clone_from(new);
                    }
                }
                self.network = Some(Arc::clone(cause));
            }
            Effect::User { name, account } => self.plan_user(name, account.as_deref().cloned()),
            Effect::Group { name, present, gid } => self.plan_group(name, *present, *gid),
            Effect::Acls(lists) => {
                for (path, acl) in lists {
                    let Some(path) = self.place(path, Last::Followed, cause) else { continue };
                    if let Some(mut node) = self.node_of(&path) {
                        let ownership = Ownership::mode(node.metadata.mode & !0o777 | acl.mode());
                        self.own(&mut node, &ownership, cause);
                        self.change(path.clone(), node);
                    }
                    self.acls.insert(path, acl.clone());
                }
            }
            Effect::Leaves(actions) => actions.iter().for_each(|action| self.fold(action, cause)),
            Effect::Unsure(paths) => {
                for path in paths {
                    if let Some(path) = self.place(path, Last::Kept, cause) {
                        self.forget(path, cause);
                    }
                }
            }
            Effect::All(effects) => effects.iter().for_each(|effect| self.effect(effect, cause)),
        }
    }

    /// When the package lists were read is a file's time: now, whenever that will be.
    fn touch_lists(&mut self, cause: &Arc<str>) {
        let (stamp, folder) = (Path::new("/var/lib/apt/periodic/update-success-stamp"), Path::new("/var/lib/apt/lists"));
        let path = if matches!(self.metadata(stamp), Ok(Some(_))) { stamp } else { folder };
        let node = match self.node_of(path) {
            Some(mut node) => {
                node.metadata.modified = f64::NAN;
                node
            }
            None => self.new_node(&Former::Absent, FileKind::Directory, 4096, Bytes::None, &Ownership::default(), cause),
        };
        self.put(path.to_owned(), node);
    }

    /// Anything may be there from now on.
    fn opaque(&mut self, cause: &Arc<str>) {
        self.opaque = Some((self.step, Arc::clone(cause)));
        self.network = Some(Arc::clone(cause));
    }

    /// The path without links; where links cannot be known, everything below its known part is forgotten.
    fn place(&mut self, path: &Path, last: Last, cause: &Arc<str>) -> Option<PathBuf> {
        if let Ok(place) = self.resolved(path, last) {
            return Some(place);
        }
        self.opaque(cause);
        None
    }

    fn put(&mut self, path: PathBuf, node: Node) {
        if node.metadata.kind != FileKind::Directory {
            self.entries.retain(|below, _| below == &path || !below.starts_with(&path));
        }
        self.entries.insert(path, Entry { since: self.step, object: Object::Node(node) });
    }

    /// The same for what was there before and is changed in part: its other names show that too.
    fn change(&mut self, path: PathBuf, node: Node) {
        if node.metadata.kind != FileKind::Directory && node.metadata.links > 1 {
            let inode = (node.metadata.device, node.metadata.inode);
            for entry in self.entries.values_mut() {
                if let Object::Node(other) = &mut entry.object
                    && (other.metadata.device, other.metadata.inode) == inode
                {
                    *other = node.clone();
                }
            }
            self.changed.insert(inode, node.clone());
        }
        self.put(path, node);
    }

    /// Something is there, but what is not known.
    fn forget(&mut self, path: PathBuf, cause: &Arc<str>) {
        self.entries.insert(path, Entry { since: self.step, object: Object::Unknown(Arc::clone(cause)) });
    }

    fn former(&self, path: &Path) -> Former {
        match self.metadata(path) {
            Ok(Some(found)) if found.kind == FileKind::File => Former::File(found, self.attributes(path).unwrap_or_default()),
            Ok(_) => Former::Absent,
            Err(_) => Former::Unknown,
        }
    }

    /// What is there now, to be changed in part.
    fn node_of(&self, path: &Path) -> Option<Node> {
        if let Ok(Found::Node(node)) = self.find(path) {
            return Some(node.clone());
        }
        let metadata = self.metadata(path).ok()??;
        let content = match metadata.kind {
            FileKind::Symlink => Bytes::Target(self.read_link(path).ok()??),
            FileKind::File => Bytes::Base(path.to_owned()),
            _ => Bytes::None,
        };
        let fresh = false;
        Some(Node { metadata, content, attributes: self.attributes(path).unwrap_or_default(), unsure: None, fresh })
    }

    fn content(&self, content: &Content) -> (Bytes, u64) {
        match content {
            Content::Inline(bytes) => (Bytes::Known(Arc::clone(&bytes.0)), bytes.0.len() as u64),
            Content::Digest { sha256, size } => (Bytes::Sha256(Arc::clone(sha256)), *size),
            Content::Node(path) => {
                let Ok(path) = self.resolved(path, Last::Followed) else { return (Bytes::None, 0) };
                match self.node_of(&path) {
                    Some(node) => (node.content, node.metadata.size),
                    None => (Bytes::Unknown, 0),
                }
            }
        }
    }

    fn new_node(&self, former: &Former, kind: FileKind, size: u64, content: Bytes, ownership: &Ownership, cause: &Arc<str>) -> Node {
        let acting = self.whoami().ok();
        let (mode, uid, gid, attributes) = if let Former::File(found, attributes) = former {
            (found.mode, found.uid, found.gid, attributes.clone())
        } else {
            let mode = match kind {
                FileKind::Directory => 0o755,
                FileKind::Symlink => 0o777,
                _ => 0o644,
            };
            (mode, acting.as_ref().map_or(0, |user| user.uid), acting.as_ref().map_or(0, |user| user.gid), String::new())
        };
        let (device, inode) = (0, super::FIRST_UNKNOWN_INODE + self.step);
        let time = f64::NAN;
        let metadata = Metadata {
            kind,
            mode,
            uid,
            gid,
            size,
            links: if kind == FileKind::Directory { 2 } else { 1 },
            inode,
            device,
            rdev: 0,
            blocks: size.div_ceil(4096) * 8,
            block_size: 4096,
            accessed: time,
            modified: time,
            changed: time,
            born: None,
        };
        let mut node = Node { metadata, content, attributes, unsure: None, fresh: true };
        let all_given = ownership.mode.is_some() && ownership.owner.is_some() && ownership.group.is_some();
        if (matches!(former, Former::Unknown) || acting.is_none()) && !all_given {
            node.unsure = Some(Arc::clone(cause));
        }
        self.own(&mut node, ownership, cause);
        node
    }

    fn own(&self, node: &mut Node, ownership: &Ownership, cause: &Arc<str>) {
        if node.metadata.kind != FileKind::Symlink {
            node.metadata.mode = ownership.mode.unwrap_or(node.metadata.mode);
        }
        node.metadata.changed = f64::NAN;
        if let Some(owner) = &ownership.owner {
            match self.user(owner) {
                Ok(Some(user)) => node.metadata.uid = user.uid,
                _ => match owner.parse() {
                    Ok(uid) => node.metadata.uid = uid,
                    Err(_) => node.unsure = Some(Arc::clone(cause)),
                },
            }
        }
        if let Some(group) = &ownership.group {
            match self.group(group) {
                Ok(Some(group)) => node.metadata.gid = group.gid,
                _ => match group.parse() {
                    Ok(gid) => node.metadata.gid = gid,
                    Err(_) => node.unsure = Some(Arc::clone(cause)),
                },
            }
        }
        if let Some(wanted) = &ownership.attributes {
            node.attributes = super::attributes_after(&node.attributes, wanted);
        }
    }
}

/// What stood where a file is written.
enum Former {
    Absent,
    File(Metadata, String),
    Unknown,
}
