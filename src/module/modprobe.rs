//! `modprobe`: kernel modules, now and at boot.

use std::path::{Path, PathBuf};

use super::{Context, Entry, Module, Outcome, Plan, State};
use crate::system::{Action, Error, FileKind, KernelModule, Ownership, Result, System};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Modprobe>(&["modprobe", "community.general.modprobe"]);

const LOADED_AT_BOOT: &str = "/etc/modules-load.d";
const PARAMETERS: &str = "/etc/modprobe.d";

arguments! {
    /// Load and unload kernel modules. Arguments and results as in `community.general.modprobe`.
    pub struct Modprobe {
        /// The module.
        name: String [required],
        /// Whether it is loaded now.
        state: State [default("present")],
        /// Its parameters: `numdummies=2`.
        params: String [default("")],
        /// Whether files say that it is loaded at boot, with these parameters.
        persistent: Persistent [default("disabled")],
    }
}

choices! {
    /// What files say of the boot.
    pub enum Persistent {
        /// Whatever they say.
        Disabled = "disabled",
        /// It is loaded.
        Present = "present",
        /// It is not.
        Absent = "absent",
    }
}

impl Module for Modprobe {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let system = context.system;
        let name = self.name.trim();
        let mut actions = Vec::new();
        match (self.state, system.kernel_module(name)?) {
            (State::Present, KernelModule::Absent) => {
                actions.push(Action::LoadKernelModule { name: name.to_owned(), parameters: self.params.clone() });
            }
            (State::Absent, KernelModule::Loaded) => actions.push(Action::UnloadKernelModule { name: name.to_owned() }),
            (State::Absent, KernelModule::BuiltIn) => {
                return Err(Error::failed(format!("unload kernel module {name}: it is built into this kernel")));
            }
            _ => {}
        }
        match self.persistent {
            Persistent::Disabled => {}
            Persistent::Present => self.load_at_boot(name, system, &mut actions)?,
            Persistent::Absent => {
                comment_out(LOADED_AT_BOOT, &|line| content(line) == name, system, &mut actions)?;
                comment_out(PARAMETERS, &|line| parameter(line, name).is_some(), system, &mut actions)?;
            }
        }
        let state = super::Choice::word(self.state);
        let outcome = Outcome { changed: !actions.is_empty(), ..Outcome::ok() };
        Ok(Plan::act(actions, outcome.with("name", name).with("params", self.params.as_str()).with("state", state)))
    }
}

impl Modprobe {
    fn load_at_boot(&self, name: &str, system: &dyn System, actions: &mut Vec<Action>) -> Result<()> {
        let listed = files(LOADED_AT_BOOT, system)?.iter().any(|(_, text)| text.lines().any(|line| content(line) == name));
        if !listed {
            write(LOADED_AT_BOOT, name, &format!("{name}\n"), system, actions)?;
        }
        let mut wanted: Vec<&str> = self.params.split_whitespace().collect();
        let all = files(PARAMETERS, system)?;
        let mut known: Vec<&str> = all.iter().flat_map(|(_, text)| text.lines()).filter_map(|line| parameter(line, name)).collect();
        for list in [&mut wanted, &mut known] {
            list.sort_unstable();
            list.dedup();
        }
        if wanted != known {
            let own = Path::new(PARAMETERS).join(format!("{name}.conf"));
            comment_out(PARAMETERS, &|line| parameter(line, name).is_some(), system, actions)?;
            // The module's own file is written anew, whatever was commented out in it.
            actions.retain(|action| !matches!(action, Action::WriteFile { path, .. } if *path == own));
            let lines: Vec<String> = self.params.split_whitespace().map(|parameter| format!("options {name} {parameter}\n")).collect();
            write(PARAMETERS, name, &lines.concat(), system, actions)?;
        }
        Ok(())
    }
}

/// What is left of a line without its comment.
fn content(line: &str) -> &str {
    line.split(['#', ';']).next().unwrap_or_default().trim()
}

/// `name=value` of `options MODULE name=value`.
fn parameter<'line>(line: &'line str, module: &str) -> Option<&'line str> {
    let mut words = content(line).split_whitespace();
    let is_ours = words.next() == Some("options") && words.next() == Some(module);
    let parameter = words.next().filter(|parameter| is_ours && parameter.contains('='))?;
    words.next().is_none().then_some(parameter)
}

/// Regular files of a folder with their text.
fn files(folder: &str, system: &dyn System) -> Result<Vec<(PathBuf, String)>> {
    let mut files = Vec::new();
    for name in system.list(Path::new(folder))?.unwrap_or_default() {
        let path = Path::new(folder).join(name);
        let is_file = system.metadata(&path)?.is_some_and(|found| matches!(found.kind, FileKind::File | FileKind::Symlink));
        if let Some(bytes) = if is_file { system.read(&path)? } else { None } {
            files.push((path, String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
    Ok(files)
}

fn comment_out(folder: &str, is_it: &dyn Fn(&str) -> bool, system: &dyn System, actions: &mut Vec<Action>) -> Result<()> {
    for (path, text) in files(folder, system)? {
        if text.lines().any(is_it) {
            let text: String = text.lines().map(|line| if is_it(line) { format!("#{line}\n") } else { format!("{line}\n") }).collect();
            actions.push(Action::write(path, text.into(), Ownership::default()));
        }
    }
    Ok(())
}

fn write(folder: &str, name: &str, text: &str, system: &dyn System, actions: &mut Vec<Action>) -> Result<()> {
    if system.metadata(Path::new(folder))?.is_none() {
        actions.push(Action::MakeDirectory { path: folder.into(), ownership: Ownership::default() });
    }
    actions.push(Action::write(Path::new(folder).join(format!("{name}.conf")), text.to_owned().into(), Ownership::default()));
    Ok(())
}
