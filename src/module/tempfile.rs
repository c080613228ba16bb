//! `tempfile`: a new file or folder of a name that nobody knows before.

use std::path::Path;

use super::file_arguments::{add_path_info, is_directory, text};
use super::{Context, Entry, Mode, Module, Next, Outcome, PathText, Plan};
use crate::program::Value;
use crate::system::{Action, Command, Effect, Error, Result};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Tempfile>(&["tempfile", "ansible.builtin.tempfile"]);

arguments! {
    /// Make a temporary file or folder, for the acting user only. Arguments and results as in `ansible.builtin.tempfile`.
    pub struct Tempfile {
        /// A file or a folder.
        state: State [default("file")],
        /// Where; default: the acting user's folder of temporary files.
        path: Option<PathText>,
        /// How its name begins.
        prefix: String [default("ansible."), checked(check_name)],
        /// How its name ends.
        suffix: String [default(""), checked(check_name)],
    }
}

choices! {
    /// What is made.
    pub enum State {
        /// A file.
        File = "file",
        /// A folder.
        Directory = "directory",
    }
}

fn check_name(name: &str) -> std::result::Result<(), String> {
    if name.contains('/') { Err("a part of a name has no slash".to_owned()) } else { Ok(()) }
}

impl Module for Tempfile {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        if context.mode == Mode::Check {
            let mut outcome = Outcome::ok().with("msg", "remote module (tempfile) does not support check mode");
            outcome.skipped = true;
            return Ok(Plan::done(outcome));
        }
        for (argument, given) in [("prefix", &self.prefix), ("suffix", &self.suffix)] {
            if given.contains('/') {
                return Err(Error::failed(format!("{argument} must be a valid file name component, got '{given}'")));
            }
        }
        let folder = match &self.path {
            Some(path) => path.0.clone(),
            None => default_folder(context)?,
        };
        let shown = folder.trim_end_matches('/').to_owned();
        let folder = Path::new(&folder);
        if !is_directory(folder, context.system)? {
            return Err(Error::failed(format!("No usable temporary directory found in ['{}']", text(folder))).hint("make it with a `file` task"));
        }
        let name = match self.state {
            State::File => "file",
            State::Directory => "directory",
        };
        let mut words = vec!["mktemp".to_owned()];
        if self.state == State::Directory {
            words.push("--directory".to_owned());
        }
        words.push(format!("--suffix={}", self.suffix));
        words.push("--".to_owned());
        // Eight letters, as Python has them. A template may not begin with a dash by itself: the folder stands before it.
        words.push(format!("{shown}/{}XXXXXXXX", self.prefix));
        let label = format!("make a temporary {name} in {}", text(folder));
        let command = Command::new(label.clone(), words).effect(Effect::Named(folder.to_owned()));
        let mode = match self.state {
            State::File => 0o600,
            State::Directory => 0o700,
        };
        // It is the acting user's alone; how big a new folder is the file system says.
        let user = context.system.whoami()?;
        let group = context.system.group(&user.gid.to_string())?.filter(|group| group.gid == user.gid);
        let size = if self.state == State::File { Value::Int(0) } else { Value::unknown("the size of a new directory") };
        let predicted = Outcome::changed()
            .with("path", Value::unknown(label))
            .with("uid", i64::from(user.uid))
            .with("gid", i64::from(user.gid))
            .with("owner", user.name)
            .with("group", group.map_or_else(|| user.gid.to_string(), |group| group.name))
            .with("mode", format!("0{mode:o}"))
            .with("state", name)
            .with("size", size);
        Ok(Plan::act(vec![Action::Run(command)], predicted).then(|outcomes, system| {
            let path = outcomes.first().map(|outcome| String::from_utf8_lossy(&outcome.stdout.0).trim_end_matches('\n').to_owned());
            let path = path.unwrap_or_default();
            let outcome = Outcome::changed().with("path", path.as_str());
            Ok(Next::Done(add_path_info(outcome, Path::new(&path), system)?))
        }))
    }
}

/// Python's order: `TMPDIR`, `TEMP`, `TMP`, then the usual folders that the acting user may write to.
pub fn default_folder(context: &Context<'_>) -> Result<String> {
    let variable = |name: &str| {
        let given = context.environment.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        given.or_else(|| context.system.environment(name)).filter(|value| !value.is_empty())
    };
    let named = ["TMPDIR", "TEMP", "TMP"].iter().filter_map(|name| variable(name));
    let candidates: Vec<String> = named.chain(["/tmp", "/var/tmp", "/usr/tmp"].map(str::to_owned)).collect();
    for candidate in &candidates {
        let path = Path::new(candidate);
        if is_directory(path, context.system)? && context.system.access(path)?.write {
            return Ok(candidate.clone());
        }
    }
    Err(Error::failed(format!("No usable temporary directory found in {candidates:?}")))
}
