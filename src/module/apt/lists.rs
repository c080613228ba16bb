//! The package lists: how old they are, and reading them anew with retries.

use std::path::Path;
use std::time::Duration;

use super::command::{environment, text};
use super::{Apt, Progress};
use crate::module::{Next, Outcome, Plan};
use crate::system::{Accept, Action, ActionOutcome, Command, Effect, Result, System};

/// The engine bounds a plan's stages; apt's own retries (`Acquire::Retries`) come on top.
const MOST_ATTEMPTS: i64 = 5;

/// When the lists were last read, in seconds since the epoch; 0 if never. In a plan that reads them: now.
pub(super) fn read_at(system: &dyn System) -> Result<i64> {
    for path in ["/var/lib/apt/periodic/update-success-stamp", "/var/lib/apt/lists"] {
        if let Some(found) = system.metadata(Path::new(path))? {
            return Ok(if found.modified.is_nan() { now(system) } else { found.modified as i64 });
        }
    }
    Ok(0)
}

fn now(system: &dyn System) -> i64 {
    system.now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() as i64
}

/// Any index that cannot be read is an error: old lists would be taken for new ones.
pub(in crate::module) fn read_lists() -> Action {
    let mut command = Command::new("read the package lists anew", ["apt-get", "update", "-o", "APT::Update::Error-Mode=any"]);
    command.environment = environment();
    command.effect = Effect::PackageLists;
    command.accept = Accept::Any;
    Action::Run(command)
}

/// What apt-get said where it could not read them.
fn said_in_vain(outcomes: &[ActionOutcome]) -> Option<String> {
    let said = super::command::call(outcomes).map(|outcome| (outcome.rc.unwrap_or(0), text(&outcome.stderr)));
    said.filter(|(rc, _)| *rc != 0).map(|(_, stderr)| stderr)
}

fn reason(stderr: &str) -> &str {
    stderr.lines().rfind(|line| line.starts_with("E:")).unwrap_or("unknown reason")
}

/// Why the lists could not be read; `None`: they were.
pub(in crate::module) fn newest_error(outcomes: &[ActionOutcome]) -> Option<String> {
    said_in_vain(outcomes).map(|stderr| reason(&stderr).to_owned())
}

impl Apt {
    /// Whether they are to be read anew now.
    pub(super) fn lists_are_due(&self, system: &dyn System) -> Result<bool> {
        if self.update_cache != Some(true) && self.cache_valid_time == 0 {
            return Ok(false);
        }
        Ok(self.cache_valid_time == 0 || read_at(system)? + self.cache_valid_time < now(system))
    }

    /// After an attempt: again a little later, or on to the packages.
    pub(super) fn after_lists(self, before: i64, attempt: i64, outcomes: &[ActionOutcome], system: &dyn System) -> Result<Next> {
        let Some(stderr) = said_in_vain(outcomes) else {
            let after = read_at(system)?;
            let progress = Progress { lists_read: after != before, lists_read_at: after };
            return self.packages(progress, crate::module::Mode::Apply, false, system).map(Next::Again);
        };
        let attempts = self.update_cache_retries.clamp(1, MOST_ATTEMPTS);
        if attempt >= attempts {
            let outcome = Outcome::failed(format!("Failed to update apt cache after {attempt} retries: {}", reason(&stderr)));
            return Ok(Next::Done(outcome.with("stderr", stderr.as_str())));
        }
        // Who holds the lock needs his time; a server that did not answer may do so soon.
        let locked = stderr.contains("Could not get lock");
        let delay = if locked { self.lock_timeout / attempts } else { (1 << (attempt - 1).min(16)).min(self.update_cache_retry_max_delay) };
        let actions = vec![Action::Sleep { duration: Duration::from_secs(delay.max(1) as u64) }, read_lists()];
        let plan = Plan::act(actions, Outcome::changed());
        Ok(Next::Again(plan.then(move |outcomes, system| self.after_lists(before, attempt + 1, outcomes, system))))
    }
}
