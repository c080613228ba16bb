//! `group`: groups of users.

use super::{Context, Entry, Mode, Module, Outcome, Plan, State};
use crate::program::{Bytes, Value};
use crate::system::overlay::FIRST_UNKNOWN_ID;
use crate::system::{Action, ActionOutcome, Command, Effect, Error, Result, System};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Group>(&["group", "ansible.builtin.group"]);

arguments! {
    /// Add, change and remove groups. Arguments and results as in `ansible.builtin.group`. Source: groupadd(8), groupmod(8),
    /// groupdel(8).
    pub struct Group {
        /// The group.
        name: String [required],
        /// Whether it is there.
        state: State [default("present")],
        /// Remove it even if it is some user's primary group.
        force: bool [default("no")],
        /// Its number; without it the machine chooses.
        gid: Option<i64>,
        /// A system group: the machine chooses among their numbers.
        system: bool [default("no")],
        /// Only /etc/group counts, changed by the tools of libuser (`lgroupadd`).
        local: bool [default("no")],
        /// The number may be another group's too.
        non_unique: bool [default("no")],
        /// Smallest number to choose.
        gid_min: Option<i64>,
        /// Greatest number to choose.
        gid_max: Option<i64>,
    }
    rules { required_if("non_unique", "true", &["gid"]) }
}

impl Module for Group {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        self.check()?;
        let system = context.system;
        let found = self.find(system)?;
        let command = match (self.state, &found) {
            (State::Absent, Some(_)) => Some(self.removal()),
            (State::Present, None) => {
                self.need_free(context, "groupadd")?;
                Some(self.addition())
            }
            (State::Present, Some(group)) if self.wanted_gid()?.is_some_and(|gid| gid != group.gid) => {
                self.need_free(context, "groupmod")?;
                Some(self.change())
            }
            _ => None,
        };
        let Some(command) = command else { return Ok(Plan::done(self.report(found.map(|group| group.gid), &[]))) };
        let gid = match self.state {
            State::Absent => None,
            State::Present => Some(self.wanted_gid()?.unwrap_or(FIRST_UNKNOWN_ID)),
        };
        let predicted = Outcome { changed: true, ..self.report(gid, &[]) };
        let group = self.clone();
        Ok(Plan::act(vec![Action::Run(command)], predicted).then(move |outcomes, system| {
            let gid = group.find(system)?.map(|group| group.gid);
            Ok(super::Next::Done(Outcome { changed: true, ..group.report(gid, outcomes) }))
        }))
    }
}

impl Group {
    fn check(&self) -> Result<()> {
        for (name, given) in [("gid_min", self.gid_min), ("gid_max", self.gid_max)] {
            if self.local && given.is_some() {
                return Err(Error::failed(format!("'{name}' can not be used with 'local'")));
            }
        }
        if self.force && self.local {
            return Err(Error::failed("force is not a valid option for local, force=True and local=True are mutually exclusive"));
        }
        self.wanted_gid().map(drop)
    }

    fn wanted_gid(&self) -> Result<Option<u32>> {
        let number = |gid| u32::try_from(gid).map_err(|_| Error::failed(format!("argument `gid`: {gid} is no number of a group")));
        self.gid.map(number).transpose()
    }

    /// The group of this name; a number is no name here.
    fn find(&self, system: &dyn System) -> Result<Option<crate::system::Group>> {
        if self.local {
            return Ok(system.groups()?.into_iter().find(|group| group.name == self.name));
        }
        Ok(system.group(&self.name)?.filter(|group| group.name == self.name))
    }

    /// What the program would fail with is said beforehand.
    fn need_free(&self, context: &Context<'_>, program: &str) -> Result<()> {
        let Some(gid) = self.wanted_gid()?.filter(|_| !self.non_unique && context.mode != Mode::Check) else { return Ok(()) };
        match context.system.group(&gid.to_string())?.filter(|group| group.gid == gid) {
            Some(other) if self.local => Err(Error::failed(format!("GID '{gid}' already exists with group '{}'", other.name))),
            Some(other) => Err(Error::failed(format!("{program}: GID '{gid}' already exists\n"))
                .hint(format!("group {} has it; `non_unique: true` shares it", other.name))
                .detail("name", self.name.as_str())),
            None => Ok(()),
        }
    }

    fn command(&self, verb: &str, program: &str, options: Vec<String>) -> Command {
        let program = if self.local { format!("l{program}") } else { program.to_owned() };
        let words = std::iter::once(program).chain(options).chain([self.name.clone()]);
        let gid = self.gid.and_then(|gid| u32::try_from(gid).ok());
        let effect = Effect::Group { name: self.name.clone(), present: self.state == State::Present, gid };
        Command::new(format!("{verb} group {}", self.name), words).effect(effect)
    }

    fn number(&self) -> Vec<String> {
        let Some(gid) = self.gid else { return Vec::new() };
        let mut options = vec!["-g".to_owned(), gid.to_string()];
        if self.non_unique {
            options.push("-o".to_owned());
        }
        options
    }

    fn addition(&self) -> Command {
        let mut options = self.number();
        if self.system {
            options.push("-r".to_owned());
        }
        for (name, limit) in [("GID_MIN", self.gid_min), ("GID_MAX", self.gid_max)] {
            if let Some(limit) = limit {
                options.extend(["-K".to_owned(), format!("{name}={limit}")]);
            }
        }
        self.command("add", "groupadd", options)
    }

    fn change(&self) -> Command {
        self.command("change", "groupmod", self.number())
    }

    fn removal(&self) -> Command {
        let options = if self.force { vec!["-f".to_owned()] } else { Vec::new() };
        self.command("remove", "groupdel", options)
    }

    fn report(&self, gid: Option<u32>, outcomes: &[ActionOutcome]) -> Outcome {
        let outcome = Outcome::ok().with("name", self.name.as_str()).with("state", super::Choice::word(self.state));
        let outcome = said(outcome, outcomes);
        match gid {
            Some(gid) => outcome.with("system", self.system).with("gid", number(gid, "group")),
            None => outcome,
        }
    }
}

/// An id as a result has it: one that the machine has yet to choose is unknown.
pub(super) fn number(id: u32, of: &str) -> Value {
    if id >= FIRST_UNKNOWN_ID { Value::unknown(format!("the new {of}'s id")) } else { i64::from(id).into() }
}

/// Adds what programs said: `stdout`, `stderr` and their lines, where there is something.
pub(super) fn said(mut outcome: Outcome, outcomes: &[ActionOutcome]) -> Outcome {
    let all = |get: fn(&ActionOutcome) -> &Bytes| outcomes.iter().map(|done| String::from_utf8_lossy(&get(done).0)).collect::<String>();
    for (name, text) in [("stdout", all(|done| &done.stdout)), ("stderr", all(|done| &done.stderr))] {
        if !text.is_empty() {
            let lines = crate::system::words::lines(&text);
            outcome = outcome.with(&format!("{name}_lines"), lines).with(name, text);
        }
    }
    outcome
}
