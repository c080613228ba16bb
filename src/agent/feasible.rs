//! What stands in the way of a plan's actions: it is said by the plan, not found out half-way through the apply.

use std::collections::BTreeSet;
use std::path::Path;

use crate::system::{Action, Error, FileKind, System};

/// The first action that cannot be done, as the error it would end in. What cannot be known is no obstacle.
pub fn obstacle(actions: &[Action], system: &dyn System) -> Option<Error> {
    // Paths that earlier actions of the same plan leave otherwise than they are.
    let mut touched: BTreeSet<&Path> = BTreeSet::new();
    for action in actions {
        let (path, doing) = match action {
            Action::WriteFile { path, .. } => (path, "write"),
            Action::MakeDirectory { path, .. } => (path, "make directory"),
            Action::Symlink { path, .. } | Action::HardLink { path, .. } => (path, "link"),
            Action::Remove { path } | Action::SetOwnership { path, .. } => {
                touched.insert(path);
                continue;
            }
            // What a program makes shows when it has run: `useradd` makes a home.
            Action::Run(_) => return None,
            _ => continue,
        };
        if let Some(parent) = path.parent()
            && !parent.ancestors().any(|ancestor| touched.contains(ancestor))
            && let Some(why) = not_a_folder(parent, system)
        {
            return Some(Error::failed(format!("{doing} {}: {why}", path.display())));
        }
        touched.insert(path);
    }
    None
}

fn not_a_folder(path: &Path, system: &dyn System) -> Option<String> {
    let canonical = system.canonical(path).ok()?;
    match system.metadata(&canonical).ok()? {
        None => Some(format!("{} does not exist", path.display())),
        Some(found) if found.kind != FileKind::Directory => Some(format!("{} is not a directory", path.display())),
        Some(_) => None,
    }
}
