//! `artifact`: files of an artifact of artifacts.yaml, from the controller's cache to a place on the node.

use std::path::{Path, PathBuf};

use super::file_arguments::{Draft, FileArguments, followed, fresh, is_directory, text};
use super::{Context, Entry, Mode, Module, Next, Outcome, PathText, Plan};
use crate::program::{File, Value};
use crate::system::{Action, Content, Digest, Error, FileKind, Result, System as _};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Artifact>(&["artifact", "provision.artifact"]);

arguments! {
    /// Put files of an artifact on the node: a program, an archive's members, an image. Which version and where it came from
    /// stand in artifacts.yaml, never in the task. Ours, not one of Ansible's modules.
    pub struct Artifact {
        /// As artifacts.yaml names it: `kubelet`, `image/coredns`.
        name: String [required],
        /// Where to: a folder if it ends with a slash, if one is there or if the artifact has several files.
        dest: PathText [required],
        /// Only these of its files.
        files: Option<Vec<String>>,
        file: FileArguments,
    }
}

impl Module for Artifact {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let Some(source) = context.source else {
            let message = format!("the artifact {} is not in the cache", self.name);
            return Err(match context.mode {
                Mode::Plan | Mode::Check => Error::unknown(format!("{message} yet")),
                Mode::Apply => Error::failed(message).hint(format!("run `provision cache fetch {}`", self.name)),
            });
        };
        let prefix = format!("{}/", source.path);
        let there: Vec<(&str, &File)> = source.below.iter().filter_map(|(path, file)| Some((path.strip_prefix(&prefix)?, file))).collect();
        let chosen = self.chosen(&there)?;
        let mut draft = Draft::new(context.system);
        let folder = self.dest.0.ends_with('/') || chosen.len() > 1 || is_directory(Path::new(&self.dest.0), &draft.system)?;
        let mut placed = Vec::new();
        for (name, file) in chosen {
            let path = if folder { Path::new(&self.dest.0).join(name) } else { PathBuf::from(&self.dest.0) };
            if folder && let Some(parent) = path.parent() && followed(parent, &draft.system)?.is_none() {
                draft.make_directories(parent, &self.file.with_mode(None))?;
            }
            self.place(&mut draft, &path, file)?;
            placed.push(Value::text(text(&path)));
        }
        let changed = !draft.actions.is_empty();
        let outcome = Outcome { changed, ..Outcome::ok() }.with("dest", self.dest.0.as_str()).with("artifact", self.name.as_str());
        let outcome = outcome.with("files", Value::list(placed));
        if !changed {
            return Ok(Plan::done(outcome));
        }
        let done = outcome.clone();
        Ok(Plan::act(draft.actions, outcome).then(move |_, _| Ok(Next::Done(done.clone()))))
    }
}

impl Artifact {
    /// The wanted files among those that are there.
    fn chosen<'run>(&self, there: &[(&'run str, &'run File)]) -> Result<Vec<(&'run str, &'run File)>> {
        let Some(wanted) = &self.files else { return Ok(there.to_vec()) };
        let find = |name: &String| {
            there.iter().copied().find(|(known, _)| known == name).ok_or_else(|| {
                let names: Vec<&str> = there.iter().map(|(name, _)| *name).collect();
                Error::failed(format!("the artifact {} has no file {name}", self.name)).hint(format!("it has {}", names.join(", ")))
            })
        };
        wanted.iter().map(find).collect()
    }

    /// One file: its bytes by digest, its mode the manifest's unless the task says another.
    fn place(&self, draft: &mut Draft<'_>, path: &Path, file: &File) -> Result<()> {
        let File::Plain { sha256, size, mode, .. } = file else { return Ok(()) };
        let wanted = match &self.file.mode {
            Some(_) => self.file.clone(),
            None => self.file.with_mode(Some(Value::Int(i64::from(*mode)))),
        };
        let there = followed(path, &draft.system)?.filter(|found| found.kind == FileKind::File);
        // The size first: it spares reading what cannot be equal.
        let equal = there.as_ref().is_some_and(|found| found.size == *size) && draft.system.digest(path, Digest::Sha256)?.as_deref() == Some(&**sha256);
        if equal {
            return draft.own(path, &wanted);
        }
        let ownership = match &there {
            Some(_) => wanted.difference(path, &draft.system)?,
            None => wanted.wanted(path, &fresh(FileKind::File), &draft.system)?,
        };
        draft.push(Action::WriteFile {
            path: path.to_owned(),
            content: Content::Digest { sha256: sha256.clone(), size: *size },
            ownership,
            backup: false,
            unsafe_writes: self.file.unsafe_writes,
            validate: None,
        });
        Ok(())
    }
}
