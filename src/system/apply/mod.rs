//! Does actions on this machine: the only code of ours that changes a node.

mod command;
mod files;
mod ownership;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{Action, ActionOutcome, Command, Error, Result};
use crate::program::Value;
use write::Batch;

/// Shared between who cancels (a signal, a lost link) and who works: set once, never unset.
#[derive(Clone, Debug, Default)]
pub struct Cancel {
    all: Arc<AtomicBool>,
    waits: Arc<AtomicBool>,
    /// Of one task: when its time is over, and how long that was.
    limit: Option<(Instant, Duration)>,
}

impl Cancel {
    /// Ends the work in hand.
    pub fn set(&self) {
        self.all.store(true, Ordering::SeqCst);
    }

    pub fn is_set(&self) -> bool {
        self.all.load(Ordering::SeqCst)
    }

    /// Ends waits only: what is being done is done to its end.
    pub fn end_waits(&self) {
        self.waits.store(true, Ordering::SeqCst);
    }

    pub fn waits_are_over(&self) -> bool {
        self.is_set() || self.waits.load(Ordering::SeqCst)
    }

    /// The same, with a time after which the work in hand fails; it begins now.
    #[must_use]
    pub fn within(&self, time: Option<Duration>) -> Self {
        Self { limit: time.map(|time| (Instant::now() + time, time)), ..self.clone() }
    }

    pub fn check(&self, doing: &str) -> Result<()> {
        if self.is_set() {
            return Err(Error::interrupted(format!("{doing}: interrupted")));
        }
        match self.limit {
            Some((until, time)) if Instant::now() >= until => {
                let seconds = time.as_secs();
                let period = Value::map(crate::map! { "period" => seconds as i64 });
                Err(Error::failed(format!("Timed out after {seconds} second(s).")).detail("timedout", period))
            }
            _ => Ok(()),
        }
    }
}

/// Gives bytes that only the controller has.
pub trait ContentSource {
    /// Writes the content of this SHA-256 (hex) to `sink`; who calls verifies it.
    fn fetch(&mut self, sha256: &str, sink: &mut dyn std::io::Write) -> Result<()>;
}

/// For machines without a controller: every fetch is an error.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoContent;

impl ContentSource for NoContent {
    fn fetch(&mut self, sha256: &str, _sink: &mut dyn std::io::Write) -> Result<()> {
        Err(Error::failed(format!("fetch {sha256}: no controller gives files here")))
    }
}

/// A child as it can be found again after a crash of ours: ids are reused, these three together are not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Child {
    /// Process group, and the child's own process id.
    pub group: i32,
    /// Clock ticks after boot (proc(5), field 22 of `stat`).
    pub start_time: u64,
    pub boot_id: String,
}

impl Child {
    /// Whether that very process (not another of the same id) still runs.
    pub fn is_alive(&self) -> bool {
        command::start_time(self.group).ok() == Some(self.start_time) && super::real::boot_id().is_ok_and(|boot| boot == self.boot_id)
    }

    /// TERM to its group, KILL after 1.5 s; answers whether there was anything to end.
    pub fn end(&self) -> bool {
        let alive = self.is_alive();
        if alive {
            command::end_group(self.group, &mut || !self.is_alive());
        }
        alive
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// Who looks on while actions are done.
pub trait Watch {
    /// A child waits to run the command; an error here and it never does. The journal's place.
    fn starting(&mut self, _command: &Command, _child: &Child) -> Result<()> {
        Ok(())
    }

    /// A line (without its end) of a command that runs.
    fn line(&mut self, _stream: Stream, _line: &str) {}

    /// The action of this index is about to be done, or (`done`) has been; a batch of writes begins one after the other
    /// and is done together.
    fn action(&mut self, _index: usize, _done: bool) -> Result<()> {
        Ok(())
    }
}

/// Looks away.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Watch for Quiet {}

/// Some of the actions were done, then one failed.
#[derive(Debug)]
pub struct Failure {
    /// Outcomes of those before it.
    pub done: Vec<ActionOutcome>,
    /// The index of the one that failed (of the first of a batch of writes that was not renamed).
    pub index: usize,
    pub error: Error,
}

/// Does actions as the user of this process.
pub struct Applier<'run> {
    pub source: &'run mut dyn ContentSource,
    pub watch: &'run mut dyn Watch,
    pub cancel: Cancel,
    /// The task's `environment:`, added to this process's own.
    pub environment: Vec<(String, String)>,
}

impl Applier<'_> {
    /// Does the actions in order. Writes that follow each other become one batch: all temporaries, one sync, all renames.
    pub fn apply(&mut self, actions: &[Action]) -> Result<Vec<ActionOutcome>, Box<Failure>> {
        let mut outcomes: Vec<ActionOutcome> = Vec::new();
        let mut batch = Batch::default();
        for (index, action) in actions.iter().enumerate() {
            let step = self.step(index, action, &mut outcomes, &mut batch);
            if let Err(error) = step {
                // What was prepared before is whole: it is put in place; only the failed action is not done.
                let rest = batch.finish(&mut outcomes, self.watch);
                let index = rest.as_ref().err().map_or(index, |(first, _)| *first);
                outcomes.truncate(index);
                return Err(Box::new(Failure { done: outcomes, index, error }));
            }
        }
        match batch.finish(&mut outcomes, self.watch) {
            Ok(()) => Ok(outcomes),
            Err((index, error)) => {
                outcomes.truncate(index);
                Err(Box::new(Failure { done: outcomes, index, error }))
            }
        }
    }

    fn step(&mut self, index: usize, action: &Action, outcomes: &mut Vec<ActionOutcome>, batch: &mut Batch) -> Result<()> {
        self.cancel.check(&action.describe())?;
        if !batch.takes(action) {
            batch.finish(outcomes, self.watch).map_err(|(_, error)| error)?;
        }
        self.watch.action(index, false)?;
        let started = now();
        let mut outcome = ActionOutcome { started, ended: started, ..ActionOutcome::default() };
        match action {
            Action::WriteFile { .. } => self.prepare(index, action, batch, &mut outcome)?,
            Action::MakeDirectory { path, ownership } => files::make_directory(path, ownership)?,
            Action::Symlink { path, target, ownership } => files::symlink(path, target, ownership)?,
            Action::HardLink { path, target } => files::hard_link(path, target)?,
            Action::SetOwnership { path, ownership, follow } => ownership::set(path, ownership, *follow)?,
            Action::SetTimes { path, accessed, modified } => files::set_times(path, *accessed, *modified)?,
            Action::Remove { path } => files::remove(path)?,
            Action::SetKernelHostname { name } => {
                nix::unistd::sethostname(name).map_err(|errno| Error::io(action.describe(), &errno.into()))?;
            }
            Action::SetSysctl { name, value } => {
                let path = super::real::sysctl_path(name);
                std::fs::write(&path, value).map_err(|error| Error::io(action.describe(), &error))?;
            }
            Action::LoadKernelModule { name, parameters } => {
                let words = ["modprobe", name].into_iter().chain(parameters.split_whitespace());
                outcome = self.run(&Command::new(action.describe(), words))?;
            }
            Action::UnloadKernelModule { name } => {
                outcome = self.run(&Command::new(action.describe(), ["modprobe", "-r", name]))?;
            }
            Action::Run(command) => {
                // Whatever it does, even if it fails: units are read anew.
                super::real::forget_units();
                outcome = self.run(command)?;
                super::real::forget_units();
            }
            Action::Sleep { duration } => {
                let until = Instant::now() + *duration;
                while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                    if self.cancel.waits_are_over() {
                        return Err(Error::interrupted(format!("{}: interrupted", action.describe())));
                    }
                    self.cancel.check(&action.describe())?;
                    std::thread::sleep(left.min(std::time::Duration::from_millis(50)));
                }
            }
            Action::Reboot { delay, message, command, .. } => {
                let minutes = format!("+{}", delay.as_secs() / 60);
                let command = match command {
                    Some(line) => Command::new(action.describe(), ["/bin/sh", "-c", line]),
                    None => Command::new(action.describe(), ["shutdown", "-r", &minutes, message]),
                };
                outcome = self.run(&command)?;
            }
        }
        if outcome.rc.is_none() {
            outcome.ended = now();
        }
        super::real::forget();
        outcomes.push(outcome);
        if !matches!(action, Action::WriteFile { .. }) {
            self.watch.action(index, true)?;
        }
        Ok(())
    }
}

/// Seconds since the epoch.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
