//! Symlinks and `..` in a path, the same way for the real machine, the overlay and the fake.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use super::Result;

/// The kernel gives up here too (ELOOP).
const MOST_LINKS: u32 = 40;

/// What to do with a path whose last part is a symlink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    Followed,
    Kept,
}

/// The path without symlinks, `.` and `..`, as Python's `realpath` (or, with [`Last::Kept`], that of its folder): what
/// exists is resolved, what does not is kept, a loop stays as it is. `link` answers the target of a symlink.
pub fn resolve(path: &Path, last: Last, link: &mut dyn FnMut(&Path) -> Result<Option<PathBuf>>) -> Result<PathBuf> {
    let parts = |path: &Path| path.components().rev().map(|part| part.as_os_str().to_owned()).collect::<Vec<OsString>>();
    let mut resolved = PathBuf::new();
    let mut rest = parts(path);
    let mut links = 0;
    while let Some(part) = rest.pop() {
        match Path::new(&part).components().next() {
            Some(Component::RootDir) => resolved = PathBuf::from("/"),
            Some(Component::ParentDir) => {
                resolved.pop();
            }
            Some(Component::Normal(name)) => {
                let next = resolved.join(name);
                let follow = (last == Last::Followed || !rest.is_empty()) && links < MOST_LINKS;
                match if follow { link(&next)? } else { None } {
                    Some(target) => {
                        links += 1;
                        rest.extend(parts(&target));
                    }
                    None => resolved = next,
                }
            }
            _ => {}
        }
    }
    Ok(resolved)
}
