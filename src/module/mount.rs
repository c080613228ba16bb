//! `mount`: file systems, in fstab and mounted.

mod fstab;
mod table;

use std::path::Path;

use super::{Context, Entry, Mode, Module, Next, Outcome, PathText, Plan};
use crate::program::{Text, Value};
use crate::system::{Accept, Action, ActionOutcome, Command, Effect, Error, Ownership, Result, System};
use table::{MOUNTINFO, New, Table};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Mount>(&["mount", "ansible.posix.mount"]);

const FSTAB: &str = "/etc/fstab";
const DEFAULTS: &str = "defaults";

arguments! {
    /// Keep file systems in fstab, and mounted. Arguments and results as in `ansible.posix.mount`.
    pub struct Mount {
        /// Where it is mounted.
        path: PathText [required, aliases(&["name"])],
        /// The device, the folder (`bind`), the remote place.
        src: Option<PathText>,
        /// Its kind: `ext4`, `nfs`, `tmpfs`, `none`.
        fstype: Option<String>,
        /// Options by commas, as in fstab(5); default `defaults`.
        opts: Option<String> [secret_if("opts_no_log")],
        /// The options are not shown.
        opts_no_log: bool [default("no")],
        /// The fifth field of fstab.
        dump: String [default("0")],
        /// The sixth field of fstab.
        passno: String [default("0")],
        /// What is wanted.
        state: Wanted [required],
        /// The file instead of /etc/fstab.
        fstab: Option<String>,
        /// Whether it is mounted at boot; else `noauto` joins the options.
        boot: bool [default("yes")],
        /// Keep a copy of the file before a change.
        backup: bool [default("no")],
    }
    rules {
        required_if("state", "mounted", &["src", "fstype"]),
        required_if("state", "present", &["src", "fstype"]),
        required_if("state", "ephemeral", &["src", "fstype"]),
    }
}

choices! {
    /// What is wanted of a mount.
    pub enum Wanted {
        /// Neither in fstab nor mounted, and no folder.
        Absent = "absent",
        /// Not in fstab, mounted or not.
        AbsentFromFstab = "absent_from_fstab",
        /// In fstab and mounted.
        Mounted = "mounted",
        /// In fstab, mounted or not.
        Present = "present",
        /// Not mounted, in fstab or not.
        Unmounted = "unmounted",
        /// Mounted anew, each time.
        Remounted = "remounted",
        /// Mounted each time, in fstab or not.
        Ephemeral = "ephemeral",
    }
}

impl Module for Mount {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let system = context.system;
        let table = Table::read(system)?;
        let mut outcome = self.outcome();
        if table.is_none() {
            outcome.warnings.push(format!("Cannot open file {MOUNTINFO}. Bind mounts might be misinterpreted."));
        }
        let table = table.unwrap_or_default();
        let actions = match self.state {
            Wanted::Present => self.enter(system)?,
            Wanted::AbsentFromFstab => self.strike(system)?,
            Wanted::Absent => self.clear(&table, system)?,
            Wanted::Unmounted if self.is_mounted(&table, system)? => vec![Action::Run(self.command(Way::Unmount, &table, system)?)],
            Wanted::Unmounted => Vec::new(),
            Wanted::Remounted => return self.attempt(outcome, Vec::new()).go(Way::Remount, Vec::new(), &table, system),
            Wanted::Mounted | Wanted::Ephemeral => return self.mount(&table, outcome, context),
        };
        outcome.changed = !actions.is_empty();
        // Ansible tells of a copy only where it adds.
        let copy = actions.iter().position(|action| matches!(action, Action::WriteFile { .. }) && self.state == Wanted::Present);
        let predicted = outcome.clone();
        Ok(Plan::act(actions, predicted).reporting(move |outcomes| Ok(with_copy(outcome, copy, outcomes))))
    }
}

/// What mount(8) and umount(8) are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Mount,
    Remount,
    Unmount,
}

impl Mount {
    fn outcome(&self) -> Outcome {
        let hidden = |text: &str| Value::Text(Text::new(text).with_secrecy(self.opts_no_log));
        let mut outcome = Outcome::ok()
            .with("name", self.path.0.as_str())
            .with("opts", hidden(&self.options()))
            .with("dump", self.dump.as_str())
            .with("passno", self.passno.as_str())
            .with("fstab", self.fstab())
            .with("boot", if self.boot || self.is_noauto() { "yes" } else { "no" })
            .with("backup_file", "");
        for (name, value) in [("src", self.src.as_ref().map(|src| &src.0)), ("fstype", self.fstype.as_ref())] {
            if let Some(value) = value {
                outcome = outcome.with(name, value.as_str());
            }
        }
        if self.boot && self.is_noauto() {
            outcome.warnings.push("Ignore the 'boot' due to 'opts' contains 'noauto'.".to_owned());
        }
        outcome
    }

    fn is_noauto(&self) -> bool {
        self.given_options().split(',').any(|option| option == "noauto")
    }

    fn given_options(&self) -> &str {
        self.opts.as_deref().unwrap_or(DEFAULTS)
    }

    fn options(&self) -> String {
        let given = self.given_options();
        if self.boot { given.to_owned() } else { format!("{given},noauto") }
    }

    fn fstab(&self) -> &str {
        self.fstab.as_deref().unwrap_or(FSTAB)
    }

    fn source(&self) -> &str {
        self.src.as_ref().map(|src| src.0.as_str()).unwrap_or_default()
    }

    /// Its line in fstab.
    fn enter(&self, system: &dyn System) -> Result<Vec<Action>> {
        let former = self.former(system)?;
        let options = self.options();
        let fstype = self.fstype.as_deref().unwrap_or_default();
        let (dump, passno) = (self.dump.as_str(), self.passno.as_str());
        let line = fstab::Line { src: self.source(), path: &self.path.0, fstype, opts: &options, dump, passno };
        let Some(text) = line.set(former.as_deref().unwrap_or_default()) else { return Ok(Vec::new()) };
        let folder = Path::new(self.fstab()).parent().unwrap_or(Path::new("/"));
        let mut actions = missing(folder, system)?;
        actions.push(self.write(text, self.backup && former.is_some(), system)?);
        Ok(actions)
    }

    /// Its line not in fstab.
    fn strike(&self, system: &dyn System) -> Result<Vec<Action>> {
        let former = self.former(system)?.unwrap_or_default();
        let src = self.src.as_ref().map(|src| src.0.as_str());
        let kept = fstab::unset(&former, &self.path.0, src);
        kept.map(|text| self.write(text, self.backup, system)).into_iter().collect()
    }

    fn former(&self, system: &dyn System) -> Result<Option<String>> {
        let former = system.read(Path::new(self.fstab()))?;
        Ok(former.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn write(&self, text: String, backup: bool, system: &dyn System) -> Result<Action> {
        Ok(Action::WriteFile {
            path: system.canonical(Path::new(self.fstab()))?,
            content: text.into(),
            ownership: Ownership::default(),
            backup,
            unsafe_writes: false,
            validate: None,
        })
    }

    /// Neither line nor mount nor folder; without a line the rest is not looked at, as with Ansible.
    fn clear(&self, table: &Table, system: &dyn System) -> Result<Vec<Action>> {
        let mut actions = self.strike(system)?;
        if actions.is_empty() {
            return Ok(actions);
        }
        if self.is_mounted(table, system)? {
            actions.push(Action::Run(self.command(Way::Unmount, table, system)?));
        } else if !exists(self.path.path(), system)? {
            return Ok(actions);
        }
        let gone = Effect::Leaves(vec![Action::Remove { path: self.path.path().to_owned() }]);
        // Only an empty folder goes.
        actions.push(Action::Run(Command::new(format!("remove the folder {}", self.path.0), ["rmdir", &self.path.0]).effect(gone)));
        Ok(actions)
    }

    /// Whether anything is mounted there.
    fn is_mounted(&self, table: &Table, system: &dyn System) -> Result<bool> {
        Ok(table.has(&self.path.0) || table.is_mount_point(self.path.path(), system)?)
    }

    /// Mounted, with its line in fstab unless it is ephemeral.
    fn mount(&self, table: &Table, mut outcome: Outcome, context: &Context<'_>) -> Result<Plan> {
        let (system, path) = (context.system, self.path.path());
        let is_ephemeral = self.state == Wanted::Ephemeral;
        let lines = if is_ephemeral { Vec::new() } else { self.enter(system)? };
        let is_there = table.is_from(&self.path.0, self.source());
        let is_point = table.is_mount_point(path, system)?;
        let way = match (is_point || is_there, is_ephemeral) {
            (false, _) => Some(Way::Mount),
            (true, false) => (!lines.is_empty()).then_some(Way::Remount),
            (true, true) if is_there || table.lists(&self.path.0, self.source()) => Some(Way::Remount),
            (true, true) => {
                return Err(Error::failed(format!(
                    "Ephemeral mount point {} is already mounted with a different source than {}.",
                    self.path.0,
                    self.source()
                ))
                .hint("`state: unmounted` before it, or another `path`"));
            }
        };
        let Some(way) = way else { return Ok(Plan::done(outcome)) };
        outcome.changed = true;
        let folders = if way == Way::Mount && context.mode != Mode::Check { missing(path, system)? } else { Vec::new() };
        let mut undo: Vec<Action> = Vec::new();
        if !lines.is_empty() {
            undo.push(match self.former(system)? {
                Some(former) => self.write(former, false, system)?,
                None => Action::Remove { path: Path::new(self.fstab()).to_owned() },
            });
        }
        let made = folders.iter().rev().filter_map(|action| match action {
            Action::MakeDirectory { path, .. } => Some(Action::Remove { path: path.clone() }),
            _ => None,
        });
        undo.extend(made);
        self.attempt(outcome, undo).go(way, folders.into_iter().chain(lines).collect(), table, system)
    }

    fn attempt(&self, mut outcome: Outcome, undo: Vec<Action>) -> Attempt {
        outcome.changed = true;
        Attempt { mount: self.clone(), outcome, undo }
    }

    fn command(&self, way: Way, table: &Table, system: &dyn System) -> Result<Command> {
        let path = system.canonical(self.path.path())?;
        let mut words: Vec<String> = Vec::new();
        let mut add = |more: &[&str]| words.extend(more.iter().map(ToString::to_string));
        let options = self.options();
        add(&[if way == Way::Unmount { "umount" } else { "mount" }]);
        if way == Way::Remount {
            let with_options = self.state == Wanted::Remounted && options != DEFAULTS;
            add(&["-o", &if with_options { format!("remount,{options}") } else { "remount".to_owned() }]);
        }
        let fstype = self.fstype.as_deref().unwrap_or_default();
        if way != Way::Unmount && self.state == Wanted::Ephemeral {
            add(&["-t", fstype]);
            if options != DEFAULTS {
                add(&["-o", &options]);
            }
            add(&[self.source()]);
        } else if way != Way::Unmount && !matches!(self.fstab(), "" | FSTAB) {
            add(&["-T", self.fstab()]);
        }
        add(&[&self.path.0]);
        let verb = match way {
            Way::Mount => "mount",
            Way::Remount => "remount",
            Way::Unmount => "unmount",
        };
        let is_bind = options.split(',').any(|option| matches!(option, "bind" | "rbind"));
        let text = match way {
            Way::Mount => table.with(&New { path: &path, source: self.source(), fstype, is_bind }),
            Way::Unmount => table.without(&path),
            Way::Remount => return Ok(Command::new(format!("{verb} {}", self.path.0), words).effect(Effect::None)),
        };
        let mounts = Effect::Leaves(vec![Action::write(MOUNTINFO, text.into(), Ownership::default())]);
        // Another folder is seen there then, with what is in it.
        let seen = Effect::Unsure(vec![path]);
        Ok(Command::new(format!("{verb} {}", self.path.0), words).effect(Effect::All(vec![mounts, seen])))
    }
}

/// Mounting under way: what cannot be remounted is unmounted and mounted; what fails is undone.
struct Attempt {
    mount: Mount,
    outcome: Outcome,
    undo: Vec<Action>,
}

impl Attempt {
    fn go(mut self, way: Way, mut actions: Vec<Action>, table: &Table, system: &dyn System) -> Result<Plan> {
        let mut command = self.mount.command(way, table, system)?;
        command.accept = Accept::Any;
        let copy = actions.iter().position(|action| matches!(action, Action::WriteFile { .. }));
        actions.push(Action::Run(command));
        Ok(Plan::act(actions, self.outcome.clone()).then(move |outcomes, system| {
            if copy.is_some() {
                self.outcome = with_copy(self.outcome, copy, outcomes);
            }
            self.after(way, outcomes, system)
        }))
    }

    fn after(self, way: Way, outcomes: &[ActionOutcome], system: &dyn System) -> Result<Next> {
        let message = outcomes.last().filter(|outcome| outcome.rc != Some(0)).map(|outcome| {
            let text = |bytes: &crate::program::Bytes| String::from_utf8_lossy(&bytes.0).into_owned();
            text(&outcome.stdout) + &text(&outcome.stderr)
        });
        let is_remounted = self.mount.state == Wanted::Remounted;
        let next = match (way, message) {
            (Way::Mount | Way::Remount, None) => return Ok(Next::Done(self.outcome)),
            (Way::Unmount, None) => Way::Mount,
            (Way::Remount, Some(message)) if is_remounted && self.mount.options() != DEFAULTS => {
                let path = &self.mount.path.0;
                return Err(Error::failed(format!("remount {path} with the options given: {}", message.trim_end()))
                    .hint("`state: unmounted` and then `state: mounted` with all of its options"));
            }
            (Way::Remount, Some(_)) => Way::Unmount,
            (Way::Mount | Way::Unmount, Some(message)) => {
                let doing = if is_remounted { "remounting" } else { "mounting" };
                let failed = Outcome::failed(format!("Error {doing} {}: {message}", self.mount.path.0));
                return Ok(if self.undo.is_empty() { Next::Done(failed) } else { Next::Again(Plan::act(self.undo, failed)) });
            }
        };
        let table = Table::read(system)?.unwrap_or_default();
        self.go(next, Vec::new(), &table, system).map(Next::Again)
    }
}

/// With where the file's copy is, if it was written and one was wanted.
fn with_copy(outcome: Outcome, written: Option<usize>, outcomes: &[ActionOutcome]) -> Outcome {
    let copy = written.and_then(|index| outcomes.get(index)?.kept());
    outcome.with("backup_file", copy.unwrap_or_default())
}

/// The folders that are not there yet, from the top.
fn missing(folder: &Path, system: &dyn System) -> Result<Vec<Action>> {
    let mut actions = Vec::new();
    for above in folder.ancestors().filter(|above| !above.as_os_str().is_empty()) {
        if exists(above, system)? {
            break;
        }
        actions.push(Action::MakeDirectory { path: above.to_owned(), ownership: Ownership::default() });
    }
    actions.reverse();
    Ok(actions)
}

fn exists(path: &Path, system: &dyn System) -> Result<bool> {
    Ok(system.metadata(&system.canonical(path)?)?.is_some())
}
