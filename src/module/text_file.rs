//! A file that a module edits: what it held, and what to do that it holds something else.

use std::path::{Path, PathBuf};

use super::file_arguments::{Draft, FileArguments, followed, fresh};
use super::{Context, Mode, Outcome, Plan};
use crate::program::{Bytes, Value};
use crate::system::{Action, ActionOutcome, Content, Error, FileKind, Ownership, Result, System};

/// The file before: `None` where nothing is (a link to nothing is nothing). `name` is Ansible's word for it in messages.
pub fn read(path: &Path, name: &str, create: bool, system: &dyn System) -> Result<Option<Vec<u8>>> {
    let fail = |rc: i64, what: &str| Error::failed(format!("{name} {} {what} !", path.display())).detail("rc", rc);
    match followed(path, system)? {
        Some(found) if found.kind == FileKind::Directory => {
            Err(Error::failed(format!("Path {} is a directory !", path.display())).detail("rc", 256_i64))
        }
        Some(_) => {
            let former = system.read(path)?;
            former.map(Some).ok_or_else(|| Error::failed(format!("read {}: nothing is there any more", path.display())))
        }
        None if create => Ok(None),
        None => Err(fail(257, "does not exist").hint("`create: true` makes it, where the module has that")),
    }
}

/// `%s` is where the new file's path goes.
pub fn check_validate(line: &str) -> std::result::Result<(), String> {
    if line.contains("%s") { Ok(()) } else { Err("validate must contain %s, the new file's path".to_owned()) }
}

/// What an editing module has decided.
pub struct Edit<'module> {
    pub path: &'module Path,
    pub file: &'module FileArguments,
    pub validate: Option<&'module String>,
    pub backup: bool,
    pub former: Option<Vec<u8>>,
    /// What it is to hold; `None`: what it holds.
    pub content: Option<Vec<u8>>,
    /// What happened to the content, in Ansible's words.
    pub message: String,
}

impl Edit<'_> {
    /// The plan. `report` makes the result of message and backup; the message says of ownership what Ansible's does.
    pub fn plan(self, context: &Context<'_>, report: impl Fn(String, Option<String>) -> Outcome + Send + 'static) -> Result<Plan> {
        let check = context.mode == Mode::Check;
        let mut message = self.message;
        let mut draft = Draft::new(context.system);
        let mut backup = None;
        if let Some(content) = self.content {
            let target = draft.system.canonical(self.path)?;
            if let Some(line) = self.validate.filter(|line| check_validate(line).is_err() && !check) {
                return Err(Error::failed(format!("validate must contain %s: {line}")));
            }
            let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).map(PathBuf::from);
            if let Some(folder) = folder.filter(|_| self.former.is_none() && !check) {
                draft.make_directories(&folder, &FileArguments::none())?;
            }
            let is_link = target != self.path && draft.system.metadata(self.path)?.is_some_and(|found| found.kind == FileKind::Symlink);
            let keeps = self.backup && self.former.is_some();
            let write = |ownership| Action::WriteFile {
                path: target.clone(),
                content: Content::Inline(Bytes(content.clone().into())),
                ownership,
                backup: keeps,
                unsafe_writes: self.file.unsafe_writes,
                validate: self.validate.cloned(),
            };
            // What the bare write would leave is what Ansible compares owner and mode with; here they come with the write.
            let mut bare = Draft::new(&draft.system);
            bare.push(write(Ownership::default()));
            // A new file has no owner in check mode, nor in Ansible's.
            let late = if check && self.former.is_none() { Ownership::default() } else { self.file.difference(self.path, &bare.system)? };
            drop(bare);
            if late != Ownership::default() {
                message += " and ";
                message += OWNERSHIP;
            }
            backup = keeps.then_some(draft.actions.len());
            if is_link {
                draft.push(write(Ownership::default()));
                draft.own(self.path, self.file)?;
            } else if self.former.is_none() && !check {
                // Whatever the umask is.
                let like = fresh(FileKind::File);
                draft.push(write(self.file.wanted(self.path, &like, context.system)?));
            } else {
                draft.push(write(late));
            }
        } else if followed(self.path, &draft.system)?.is_some() || draft.system.metadata(self.path)?.is_some() {
            draft.own(self.path, self.file)?;
            if !draft.actions.is_empty() {
                message += OWNERSHIP;
            }
        }
        let changed = !draft.actions.is_empty();
        let predicted = Outcome { changed, ..report(message.clone(), None) };
        if !changed {
            return Ok(Plan::done(predicted));
        }
        Ok(Plan::act(draft.actions, predicted).reporting(move |outcomes| {
            let kept = backup.and_then(|index| outcomes.get(index)).and_then(ActionOutcome::kept);
            Ok(Outcome { changed: true, ..report(message, kept) })
        }))
    }
}

const OWNERSHIP: &str = "ownership, perms or SE linux context changed";

/// A result that has `backup_file` only where there is one.
pub fn with_backup(outcome: Outcome, backup: Option<String>) -> Outcome {
    match backup {
        Some(backup) => outcome.with("backup_file", Value::text(backup)),
        None => outcome,
    }
}
