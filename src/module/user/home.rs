//! Home folders: new ones as copies of the skeleton, and moved ones.

use std::path::Path;

use super::User;
use super::defaults::Defaults;
use crate::module::file_arguments::{Draft, followed};
use crate::system::{Action, Content, Effect, FileKind, Metadata, Ownership, Result, System, User as Found};

/// More objects than that are moved without being foreseen one by one.
const MANY: usize = 500;

/// Whose the copies are, by names.
pub(super) struct Owner {
    pub user: String,
    pub group: String,
}

impl User {
    /// Folders above a home that is named, which useradd does not make.
    pub(super) fn parents_of_home(&self, draft: &mut Draft<'_>) -> Result<()> {
        let parent = self.home.as_ref().filter(|_| self.create_home).and_then(|home| home.path().parent());
        parent.map_or(Ok(()), |parent| make_folders(parent, draft))
    }

    /// The actions that make a home: the folder, then what the skeleton holds.
    pub(super) fn new_home(&self, home: &Path, owner: &Owner, defaults: &Defaults, system: &dyn System) -> Result<Vec<Action>> {
        let ownership = Ownership {
            mode: Some(defaults.home_mode(self.umask.as_deref())),
            owner: Some(owner.user.clone()),
            group: Some(owner.group.clone()),
            ..Ownership::default()
        };
        let mut actions = vec![Action::MakeDirectory { path: home.to_owned(), ownership }];
        let skeleton = Path::new(self.skeleton.as_deref().unwrap_or("/etc/skel"));
        copies(skeleton, home, Some(owner), system, &mut actions)?;
        Ok(actions)
    }

    /// A user who is there without a home gets one.
    pub(super) fn missing_home(&self, user: &Found, draft: &mut Draft<'_>) -> Result<()> {
        let home = self.home.as_ref().map_or_else(|| user.home.clone(), |home| home.path().to_owned());
        if !self.create_home || followed(&home, &draft.system)?.is_some() {
            return Ok(());
        }
        if let Some(parent) = home.parent() {
            make_folders(parent, draft)?;
        }
        let owner = self.owner(user, &draft.system)?;
        for action in self.new_home(&home, &owner, &Defaults::read(&draft.system)?, &draft.system)? {
            draft.push(action);
        }
        Ok(())
    }

    /// The user and its primary group, by names.
    pub(super) fn owner(&self, user: &Found, system: &dyn System) -> Result<Owner> {
        let group = system.group(&user.gid.to_string())?.filter(|group| group.gid == user.gid);
        Ok(Owner { user: self.name.clone(), group: group.map_or_else(|| user.gid.to_string(), |group| group.name) })
    }
}

fn make_folders(path: &Path, draft: &mut Draft<'_>) -> Result<()> {
    let mut missing = Vec::new();
    for folder in path.ancestors().filter(|folder| !folder.as_os_str().is_empty()) {
        if followed(folder, &draft.system)?.is_some() {
            break;
        }
        missing.push(folder);
    }
    for folder in missing.into_iter().rev() {
        draft.push(Action::MakeDirectory { path: folder.to_owned(), ownership: Ownership::default() });
    }
    Ok(())
}

/// Copies of everything in a folder, folders before what is in them. Without an owner everybody keeps theirs.
fn copies(from: &Path, to: &Path, owner: Option<&Owner>, system: &dyn System, actions: &mut Vec<Action>) -> Result<()> {
    for name in system.list(from)?.unwrap_or_default() {
        let (source, path) = (from.join(&name), to.join(&name));
        let Some(found) = system.metadata(&source)? else { continue };
        let ownership = owned(&found, owner);
        match found.kind {
            FileKind::Directory => {
                actions.push(Action::MakeDirectory { path: path.clone(), ownership });
                copies(&source, &path, owner, system, actions)?;
            }
            FileKind::Symlink => {
                let target = system.read_link(&source)?.unwrap_or_default();
                actions.push(Action::Symlink { path, target, ownership: Ownership { mode: None, ..ownership } });
            }
            FileKind::File => {
                let content = Content::Node(source);
                actions.push(Action::write(path, content, ownership));
            }
            _ => {}
        }
    }
    Ok(())
}

fn owned(found: &Metadata, owner: Option<&Owner>) -> Ownership {
    Ownership {
        mode: Some(found.mode),
        owner: Some(owner.map_or_else(|| found.uid.to_string(), |owner| owner.user.clone())),
        group: Some(owner.map_or_else(|| found.gid.to_string(), |owner| owner.group.clone())),
        ..Ownership::default()
    }
}

/// What `usermod -m` leaves: the old folder at the new place, where nothing is there yet.
pub(super) fn moved(from: &Path, to: &Path, system: &dyn System) -> Result<Option<Effect>> {
    let Some(found) = followed(from, system)?.filter(|found| found.kind == FileKind::Directory) else { return Ok(None) };
    if followed(to, system)?.is_some() {
        return Ok(None);
    }
    let mut actions = vec![Action::MakeDirectory { path: to.to_owned(), ownership: owned(&found, None) }];
    copies(from, to, None, system, &mut actions)?;
    if actions.len() > MANY {
        actions.truncate(1);
        actions.push(Action::Remove { path: from.to_owned() });
        return Ok(Some(Effect::All(vec![Effect::Leaves(actions), Effect::Opaque])));
    }
    actions.push(Action::Remove { path: from.to_owned() });
    Ok(Some(Effect::Leaves(actions)))
}
