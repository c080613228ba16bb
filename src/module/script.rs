//! `script`: run a script of the controller on the node.

use std::path::{Path, PathBuf};

use super::file_arguments::is_directory;
use super::{Context, Entry, Mode, Module, Outcome, Plan, Source};
use crate::program::File;
use crate::system::{Accept, Action, Command, Content, Error, FileKind, Ownership, Result, System, words};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Script>(&["script", "ansible.builtin.script"]);

arguments! {
    /// Push a script to the node, run it there, remove it. Arguments and results as in `ansible.builtin.script`.
    pub struct Script [free_form("_raw_params")] {
        /// The script's path on the controller and its words, as free text.
        raw_params as "_raw_params": Option<String>,
        /// The same.
        cmd: Option<String>,
        /// Do not run if this path exists.
        creates: Option<String>,
        /// Do not run if this path does not exist.
        removes: Option<String>,
        /// Folder to run in: absolute.
        chdir: Option<String>,
        /// What to run it with: a name or path, with its own words.
        executable: Option<String>,
        /// Open it if it is encrypted by vault.
        decrypt: bool [default("yes")],
    }
    rules { required_one_of(&["_raw_params", "cmd"]), mutually_exclusive(&["_raw_params", "cmd"]) }
}

impl Module for Script {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        if let Some(reason) = self.reason_not_to(context.system)? {
            return Ok(Plan::done(Outcome { skipped: true, ..Outcome::ok() }.with("msg", reason)));
        }
        if let Some(folder) = self.chdir.as_deref().filter(|folder| !folder.starts_with('/')) {
            return Err(Error::failed(format!("chdir {folder} must be an absolute path for a Unix-aware remote node")));
        }
        let line = self.line();
        let name = source_name(line)?;
        let Some(Source { path, file: File::Plain { sha256, size, .. }, .. }) = context.source else {
            return Err(Error::failed(format!("could not find or access '{name}' on the controller")));
        };
        if context.mode == Mode::Check {
            return Ok(Plan::done(if self.creates.is_some() || self.removes.is_some() {
                Outcome::changed()
            } else {
                Outcome { skipped: true, ..Outcome::ok() }.with("msg", "Check mode is not supported for this task.")
            }));
        }
        let place = place(path, sha256, context)?;
        let shown = line.lines().next().unwrap_or_default();
        let mut command = Command::new(format!("run {shown}"), ["/bin/sh", "-c", &self.call(line, &name, &place)]);
        command.accept = Accept::Any;
        command.directory = self.chdir.as_ref().map(PathBuf::from);
        let content = Content::Digest { sha256: sha256.clone(), size: *size };
        let because = command.label.clone();
        let actions = vec![
            Action::write(&place, content, Ownership::mode(0o700)),
            Action::Run(command),
            Action::Remove { path: place },
        ];
        Ok(Plan::act(actions, super::raw::unknown(&because)).reporting(|outcomes| Ok(super::raw::report(outcomes.get(1)))))
    }
}

impl Script {
    fn line(&self) -> &str {
        self.raw_params.as_deref().or(self.cmd.as_deref()).unwrap_or_default().trim()
    }

    fn reason_not_to(&self, system: &dyn System) -> Result<Option<String>> {
        let there = |path: &str| -> Result<bool> {
            let path = super::expand::expand(path, system, &[])?;
            Ok(super::file_arguments::followed(Path::new(&path), system)?.is_some())
        };
        if let Some(path) = self.creates.as_deref().filter(|path| !path.is_empty())
            && there(path)?
        {
            return Ok(Some(format!("{path} exists, matching creates option")));
        }
        if let Some(path) = self.removes.as_deref().filter(|path| !path.is_empty())
            && !there(path)?
        {
            return Ok(Some(format!("{path} does not exist, matching removes option")));
        }
        Ok(None)
    }

    /// The user's line with the script's place on the node instead of its name; the rest keeps its quotes.
    fn call(&self, line: &str, name: &str, place: &Path) -> String {
        let place = words::join(&[place.to_string_lossy().into_owned()]);
        let quoted = [name.to_owned(), format!("'{name}'"), format!("\"{name}\""), name.replace(' ', "\\ ")];
        let rest = quoted.iter().find_map(|written| line.strip_prefix(written.as_str()).filter(|rest| rest.is_empty() || rest.starts_with(' ')));
        let call = match rest {
            Some(rest) => format!("{place}{rest}"),
            None => line.replacen(name, &place, 1),
        };
        self.executable.as_ref().map_or(call.clone(), |executable| format!("{executable} {call}"))
    }
}

/// The first word: what the controller has to send.
pub fn source_name(line: &str) -> Result<String> {
    let first = words::split(line.trim()).map_err(Error::failed)?.into_iter().next();
    first.ok_or_else(|| Error::failed("argument `cmd`: a script and its words"))
}

/// Below the acting user's home, as programs may not be run from everywhere; else in /tmp.
fn place(source: &str, sha256: &str, context: &Context<'_>) -> Result<PathBuf> {
    let system = context.system;
    let user = system.whoami()?;
    let owned = is_directory(&user.home, system)? && system.access(&user.home)?.write;
    let folder = if owned { user.home } else { PathBuf::from("/tmp") };
    let name = source.rsplit('/').next().unwrap_or("script");
    let path = folder.join(format!(".provision-{}-{name}", &super::passing(context.host, sha256)[..12]));
    match system.metadata(&path)?.map(|found| found.kind) {
        None | Some(FileKind::File) => Ok(path),
        Some(_) => Err(Error::failed(format!("push {source} to {}: something else is there", path.display())).hint("remove it on the node")),
    }
}
