//! Does actions to the fake.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::script::{CommandScript, PackageScript, UnitScript};
use super::{Fake, Kind, Node, sysctl_key};
use crate::program::Bytes;
use crate::system::paths::Last;
use crate::system::{Accept, Account, Action, ActionOutcome, Command, Content, Effect, Error, Group, Ownership, Result, System, User};

impl Fake {
    /// Does it, or fails as the real machine would.
    pub fn apply(&mut self, action: &Action) -> Result<ActionOutcome> {
        let mut outcome = ActionOutcome { started: self.now, ended: self.now + 1.0, ..ActionOutcome::default() };
        match action {
            Action::WriteFile { path, content, ownership, backup, .. } => {
                let bytes = self.bytes(content)?;
                let path = self.resolve(path, Last::Kept)?;
                self.need_folder(&path)?;
                let former = self.nodes.get(&path).cloned();
                if former.as_ref().is_some_and(|node| node.kind == Kind::Directory) {
                    return Err(Error::failed(format!("write {}: Is a directory (os error 21)", path.display())));
                }
                if let Some(former) = former.clone().filter(|_| *backup) {
                    let copy = PathBuf::from(format!("{}.1.2023-11-14@22:13:20~", path.display()));
                    self.nodes.insert(copy.clone(), former);
                    outcome.backup = Some(copy);
                }
                // A rename replaces a link by a file with fresh ownership; a file's own ownership is kept.
                let kept = former.filter(|node| matches!(node.kind, Kind::File(_)));
                let node = self.node(Kind::File(bytes), kept.as_ref(), 0o644)?;
                self.nodes.insert(path.clone(), node);
                self.own(&path, ownership)?;
            }
            Action::MakeDirectory { path, ownership } => {
                let there = self.resolve(path, Last::Followed)?;
                if self.nodes.get(&there).is_some_and(|node| node.kind == Kind::Directory) {
                    self.own(&there, ownership)?;
                } else {
                    let path = self.resolve(path, Last::Kept)?;
                    self.need_folder(&path)?;
                    if self.nodes.contains_key(&path) {
                        return Err(Error::failed(format!("make directory {}: File exists (os error 17)", path.display())));
                    }
                    let node = self.node(Kind::Directory, None, 0o755)?;
                    self.nodes.insert(path.clone(), node);
                    self.own(&path, ownership)?;
                }
            }
            Action::Symlink { path, target, ownership } => {
                let path = self.resolve(path, Last::Kept)?;
                self.need_folder(&path)?;
                self.clear(&path)?;
                let node = self.node(Kind::Symlink(target.clone()), None, 0o777)?;
                self.nodes.insert(path.clone(), node);
                self.own(&path, ownership)?;
            }
            Action::HardLink { path, target } => {
                let path = self.resolve(path, Last::Kept)?;
                let target = self.resolve(target, Last::Kept)?;
                self.need_folder(&path)?;
                self.clear(&path)?;
                let node = self.nodes.get(&target).cloned().ok_or_else(|| absent("link", &target))?;
                self.nodes.insert(path, node);
            }
            Action::SetOwnership { path, ownership, follow } => {
                let path = self.resolve(path, if *follow { Last::Followed } else { Last::Kept })?;
                self.own(&path, ownership)?;
            }
            Action::SetTimes { path, accessed, modified } => {
                let path = self.resolve(path, Last::Followed)?;
                let node = self.nodes.get_mut(&path).ok_or_else(|| absent("set times of", &path))?;
                node.accessed = accessed.unwrap_or(node.accessed);
                node.modified = modified.unwrap_or(node.modified);
            }
            Action::Remove { path } => {
                let path = self.resolve(path, Last::Kept)?;
                if !self.nodes.contains_key(&path) {
                    return Err(absent("remove", &path));
                }
                self.nodes.retain(|below, _| !below.starts_with(&path));
            }
            Action::SetKernelHostname { name } => self.script.kernel_hostname = Some(name.clone()),
            Action::SetSysctl { name, value } => {
                self.script.sysctl.insert(sysctl_key(name), Some(value.split_whitespace().collect::<Vec<_>>().join("\t")));
            }
            Action::LoadKernelModule { name, .. } => {
                self.script.modules.insert(name.replace('-', "_"), "loaded".into());
            }
            Action::UnloadKernelModule { name } => {
                self.script.modules.insert(name.replace('-', "_"), "absent".into());
            }
            Action::Run(command) => self.run(command, &mut outcome)?,
            Action::Sleep { .. } => {}
            Action::Reboot { .. } => {
                self.script.boot_id = Some(format!("after-{}", self.script.boot_id.as_deref().unwrap_or("boot")));
            }
        }
        self.now += 1.0;
        Ok(outcome)
    }

    fn bytes(&self, content: &Content) -> Result<Arc<[u8]>> {
        match content {
            Content::Inline(bytes) => Ok(Arc::clone(&bytes.0)),
            Content::Digest { sha256, .. } => {
                self.contents.get(&**sha256).cloned().ok_or_else(|| Error::failed(format!("the case has no content {sha256}")))
            }
            Content::Node(path) => self.read(path)?.map(Into::into).ok_or_else(|| absent("read", path)),
        }
    }

    fn node(&mut self, kind: Kind, kept: Option<&Node>, mode: u32) -> Result<Node> {
        let user = self.whoami()?;
        Ok(Node {
            kind,
            mode: kept.map_or(mode, |node| node.mode),
            uid: kept.map_or(user.uid, |node| node.uid),
            gid: kept.map_or(user.gid, |node| node.gid),
            inode: self.new_inode(),
            accessed: self.now,
            modified: self.now,
            attributes: kept.map(|node| node.attributes.clone()).unwrap_or_default(),
        })
    }

    fn need_folder(&self, path: &Path) -> Result<()> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        let is_there = self.nodes.get(folder).is_some_and(|node| node.kind == Kind::Directory);
        if is_there { Ok(()) } else { Err(absent("write into", folder)) }
    }

    /// Room for a link: what is there goes, a directory only if it is empty.
    fn clear(&mut self, path: &Path) -> Result<()> {
        if self.nodes.get(path).is_some_and(|node| node.kind == Kind::Directory)
            && self.nodes.keys().any(|below| below.parent() == Some(path))
        {
            return Err(Error::failed(format!("replace {}: Directory not empty (os error 39)", path.display())));
        }
        self.nodes.remove(path);
        Ok(())
    }

    fn own(&mut self, path: &Path, ownership: &Ownership) -> Result<()> {
        let uid = ownership.owner.as_deref().map(|owner| self.uid(owner)).transpose()?;
        let gid = ownership.group.as_deref().map(|group| self.gid(group)).transpose()?;
        let node = self.nodes.get_mut(path).ok_or_else(|| absent("set", path))?;
        let is_link = matches!(node.kind, Kind::Symlink(_));
        node.mode = ownership.mode.filter(|_| !is_link).unwrap_or(node.mode);
        node.uid = uid.unwrap_or(node.uid);
        node.gid = gid.unwrap_or(node.gid);
        if let Some(attributes) = &ownership.attributes {
            node.attributes = crate::system::overlay::attributes_after(&node.attributes, attributes);
        }
        let (inode, after) = (node.inode, node.clone());
        for other in self.nodes.values_mut().filter(|other| other.inode == inode) {
            *other = after.clone();
        }
        Ok(())
    }

    fn run(&mut self, command: &Command, outcome: &mut ActionOutcome) -> Result<()> {
        let scripted = self.script.commands.iter().find(|(key, _)| CommandScript::is_for(key, command)).map(|(_, script)| script.clone());
        let script = match scripted {
            Some(script) => script,
            None if command.effect == Effect::Opaque => {
                return Err(Error::failed(format!("the case does not script the command: add `commands: {{{:?}: {{…}}}}`", command.label)));
            }
            None => CommandScript::default(),
        };
        if let Some(wanted) = &script.stdin {
            let given = command.stdin.as_ref().map(|bytes| String::from_utf8_lossy(&bytes.0).into_owned());
            if given.as_deref() != Some(wanted) {
                return Err(Error::failed(format!("{}: stdin is {given:?}, the case wants {wanted:?}", command.label)));
            }
        }
        outcome.rc = Some(script.rc);
        outcome.stdout = Bytes(script.stdout.as_bytes().into());
        outcome.stderr = Bytes(script.stderr.as_bytes().into());
        let accepted = match &command.accept {
            Accept::Zero => script.rc == 0,
            Accept::Any => true,
            Accept::Codes(codes) => codes.contains(&script.rc),
        };
        if !accepted {
            return Err(Error::command(command, outcome));
        }
        // Files that the case gives are all that it leaves.
        let told = !script.files.is_empty() && matches!(command.effect, Effect::Unsure(_));
        if script.rc == 0 && !told {
            self.take_effect(&command.effect)?;
        }
        for (path, file) in &script.files {
            self.put_scripted(path, file)?;
        }
        for path in &script.removes {
            self.nodes.retain(|below, _| !below.starts_with(path));
        }
        self.script.packages.extend(script.packages);
        self.script.units.extend(script.units);
        self.script.candidates.extend(script.candidates);
        self.script.modules.extend(script.modules);
        self.script.sysctl.extend(script.sysctl);
        self.script.upgradable = script.upgradable.or(self.script.upgradable.take());
        self.script.dist_upgradable = script.dist_upgradable.or(self.script.dist_upgradable.take());
        Ok(())
    }

    fn take_effect(&mut self, effect: &Effect) -> Result<()> {
        match effect {
            Effect::Opaque | Effect::None | Effect::Named(_) | Effect::Below(_) | Effect::PackageLists | Effect::UnitsReloaded => {}
            Effect::PackagesManual(names) => {
                for name in names {
                    if let Some(Some(package @ PackageScript::Full { .. })) = self.script.packages.get_mut(name)
                        && let PackageScript::Full { version, selection, .. } = package.clone()
                    {
                        *package = PackageScript::Full { version, selection, automatic: false };
                    }
                }
            }
            Effect::PackageSelection { name, selection } => {
                if let Some(package) = self.package(name)? {
                    let (version, selection) = (package.version, Some(selection.clone()));
                    let package = PackageScript::Full { version, selection, automatic: package.automatic };
                    self.script.packages.insert(name.clone(), Some(package));
                }
            }
            Effect::Packages { present, absent } => {
                for (name, version) in present {
                    let version = version.clone().or_else(|| self.script.candidates.get(name).cloned().flatten());
                    let version = version.unwrap_or_else(|| "1".into());
                    self.script.packages.insert(name.clone(), Some(PackageScript::Version(version)));
                    for list in [&mut self.script.upgradable, &mut self.script.dist_upgradable].into_iter().flatten() {
                        list.retain(|other| other != name);
                    }
                }
                for name in absent {
                    self.script.packages.insert(name.clone(), None);
                }
            }
            Effect::Unit { name, active_state, unit_file_state, load_state } => {
                let unit = self.script.units.entry(name.clone()).or_default().get_or_insert_with(UnitScript::default);
                for (new, old) in [
                    (active_state, &mut unit.active_state),
                    (unit_file_state, &mut unit.unit_file_state),
                    (load_state, &mut unit.load_state),
                ] {
                    if new.is_some() {
                        old.clone_from(new);
                    }
                }
            }
            Effect::User { name, account } => self.set_user(name, account.as_deref())?,
            Effect::Group { name, present, gid } => {
                let former = self.groups.iter().find(|group| group.name == *name).cloned();
                self.groups.retain(|group| group.name != *name);
                if *present {
                    let next = 1 + self.groups.iter().map(|group| group.gid).max().unwrap_or_default().max(999);
                    let gid = gid.or(former.as_ref().map(|group| group.gid)).unwrap_or(next);
                    self.groups.push(Group { name: name.clone(), gid, members: former.map(|group| group.members).unwrap_or_default() });
                }
            }
            Effect::Acls(lists) => {
                for (path, acl) in lists {
                    let path = self.resolve(path, Last::Followed)?;
                    if let Some(node) = self.nodes.get_mut(&path) {
                        node.mode = node.mode & !0o777 | acl.mode();
                    }
                    self.acls.insert(path, acl.clone());
                }
            }
            Effect::Leaves(actions) => {
                for action in actions {
                    self.apply(action)?;
                }
            }
            Effect::Unsure(paths) => {
                for path in paths.iter().filter(|path| !self.nodes.contains_key(*path)).cloned().collect::<Vec<_>>() {
                    let node = self.node(Kind::File(b"new".as_slice().into()), None, 0o600)?;
                    self.nodes.insert(path, node);
                }
            }
            Effect::All(effects) => {
                for effect in effects {
                    self.take_effect(effect)?;
                }
            }
        }
        Ok(())
    }

    fn set_user(&mut self, name: &str, account: Option<&Account>) -> Result<()> {
        let former = self.users.iter().find(|user| user.name == name).map(|user| user.uid);
        self.users.retain(|user| user.name != name);
        self.shadows.remove(name);
        for group in &mut self.groups {
            let before = former.is_some() && group.members.iter().any(|member| member == name);
            group.members.retain(|member| member != name);
            if account.is_some_and(|account| account.groups.has(&group.name, before)) {
                group.members.push(name.to_owned());
            }
        }
        if let Some(account) = account {
            let next = 1 + self.users.iter().map(|user| user.uid).max().unwrap_or_default().max(999);
            self.users.push(User {
                name: name.to_owned(),
                uid: account.uid.or(former).unwrap_or(next),
                gid: self.gid(&account.group)?,
                gecos: account.gecos.clone(),
                home: account.home.clone(),
                shell: account.shell.clone(),
            });
            self.shadows.insert(name.to_owned(), account.shadow.clone());
        }
        Ok(())
    }
}

fn absent(doing: &str, path: &Path) -> Error {
    Error::failed(format!("{doing} {}: No such file or directory (os error 2)", path.display()))
}
