//! Where a checkout is, and where git keeps its own files of it.

use std::path::{Component, Path, PathBuf};

use crate::module::file_arguments::{followed, is_directory, text};
use crate::system::{Error, FileKind, Result, System};

/// A checkout's place.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The files.
    pub dest: PathBuf,
    /// Git's own.
    pub folder: PathBuf,
}

impl Place {
    /// None: only the remote is asked.
    pub fn nowhere() -> Self {
        Self { dest: PathBuf::new(), folder: PathBuf::new() }
    }

    /// `.git` may be a file that says where the folder is.
    pub fn of(dest: PathBuf, bare: bool, system: &dyn System) -> Result<Self> {
        let folder = if bare { dest.clone() } else { dest.join(".git") };
        if followed(&folder, system)?.is_none_or(|found| found.kind != FileKind::File) {
            return Ok(Self { dest, folder });
        }
        let says = system.read(&folder)?.unwrap_or_default();
        let says = String::from_utf8_lossy(&says).trim_end().to_owned();
        let lost = |why: String| {
            let message = "Current repo does not have a valid reference to a separate Git dir or it refers to the invalid path";
            Error::failed(message).detail("details", why)
        };
        let path = says.strip_prefix("gitdir: ").ok_or_else(|| lost(".git file has invalid git dir reference format".to_owned()))?;
        let folder = normal_path(&text(&dest.join(path)));
        if is_directory(&folder, system)? { Ok(Self { dest, folder }) } else { Err(lost(format!("{} is not a directory", folder.display()))) }
    }

    pub fn shown(&self) -> String {
        text(&self.dest)
    }

    pub fn is_repository(&self, system: &dyn System) -> Result<bool> {
        Ok(followed(&self.folder.join("config"), system)?.is_some())
    }

    /// The branch that HEAD is, or, where it is a commit, the remote's own.
    pub fn branch(&self, remote: &str, system: &dyn System) -> Result<Option<String>> {
        let head = line(&self.folder.join("HEAD"), system)?;
        if let Some(branch) = head.as_deref().and_then(|head| head.strip_prefix("ref: refs/heads/")) {
            return Ok(Some(branch.to_owned()));
        }
        let remotes = line(&self.folder.join("refs/remotes").join(remote).join("HEAD"), system)?;
        Ok(remotes.and_then(|head| head.strip_prefix(&format!("ref: refs/remotes/{remote}/")).map(str::to_owned)))
    }
}

fn line(path: &Path, system: &dyn System) -> Result<Option<String>> {
    let content = system.read(path)?;
    Ok(content.and_then(|content| String::from_utf8_lossy(&content).lines().next().map(|line| line.trim().to_owned())))
}

/// Two addresses of one repository are the same here: as Ansible has it, paths without needless slashes and dots.
pub(super) fn normal(address: &str) -> String {
    text(&normal_path(address))
}

/// Without `.`, `..` and needless slashes.
pub(super) fn normal_path(path: &str) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in Path::new(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if normal.file_name().is_some() => {
                normal.pop();
            }
            part => normal.push(part),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_compared_as_paths() {
        assert_eq!(normal("https://host/a/../b/"), normal("https://host/b"));
        assert_ne!(normal("https://host/a"), normal("https://host/b"));
        assert_eq!(normal_path("/srv/./app//x/"), PathBuf::from("/srv/app/x"));
    }
}
