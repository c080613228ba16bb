//! `wait_for`: until a port, a file or a text in it is there, or gone.
//!
//! A read that takes time: it has no actions. Where waiting can help (a live machine that is being worked on), it polls and
//! can be cancelled between polls; a plan looks once, and what does not hold yet is not known.

use std::time::{Duration, SystemTime};

use super::arguments::PathText;
use super::{Context, Entry, Mode, Module, Outcome, Plan};
use crate::program::{Key, Map, Value};
use crate::system::{Error, Result, System};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<WaitFor>(&["wait_for", "ansible.builtin.wait_for"]);

arguments! {
    /// Wait for a condition. Arguments and results as in `ansible.builtin.wait_for`.
    pub struct WaitFor {
        /// Name or address.
        host: String [default("127.0.0.1")],
        /// Seconds at most.
        timeout: i64 [default("300")],
        /// Seconds of one attempt to connect.
        connect_timeout: i64 [default("5")],
        /// Seconds before the first look.
        delay: i64 [default("0")],
        /// TCP port.
        port: Option<i64>,
        /// States that count as active for `drained`.
        active_connection_states: Vec<String> [default("ESTABLISHED,FIN_WAIT1,FIN_WAIT2,SYN_RECV,SYN_SENT,TIME_WAIT")],
        /// File or folder.
        path: Option<PathText>,
        /// Regular expression for the file's content, or for what the port says.
        search_regex: Option<String>,
        /// What is waited for.
        state: State [default("started")],
        /// Hosts whose connections do not count for `drained`.
        exclude_hosts: Option<Vec<String>>,
        /// Seconds between looks.
        sleep: i64 [default("1")],
        /// What to say when the time is over.
        msg: Option<String>,
    }
}

choices! {
    /// What is waited for.
    pub enum State {
        /// The file is gone, the port closed.
        Absent = "absent",
        /// No connections to the port are left.
        Drained = "drained",
        /// The file is there.
        Present = "present",
        /// The port is open.
        Started = "started",
        /// The port is closed.
        Stopped = "stopped",
    }
}

/// Ansible's numbers for what it counts.
const STATES: [&str; 6] = ["ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT"];

/// What a text in a file matched.
#[derive(Default)]
struct Matched {
    groups: Vec<Value>,
    named: Map,
}

impl Module for WaitFor {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        self.check()?;
        if context.mode == Mode::Check {
            let mut outcome = Outcome::ok().with("msg", "remote module (wait_for) does not support check mode");
            outcome.skipped = true;
            return Ok(Plan::done(outcome));
        }
        let system = context.system;
        let pattern = self.search_regex.as_deref().map(|text| {
            // As `re.MULTILINE`.
            let pattern = fancy_regex::RegexBuilder::new(text).multi_line(true).build();
            pattern.map_err(|error| Error::failed(format!("Invalid regular expression: {error}")))
        });
        let pattern = pattern.transpose()?;
        let waits = context.mode == Mode::Apply && system.is_live();
        let start = system.now();
        if waits && self.delay > 0 {
            system.sleep(seconds(self.delay))?;
        }
        if self.port.is_none() && self.path.is_none() && self.state != State::Drained {
            if waits {
                system.sleep(seconds(self.timeout))?;
            }
            return Ok(Plan::done(self.report(Matched::default(), elapsed(start, system))));
        }
        loop {
            let left = seconds(self.timeout).saturating_sub(system.now().duration_since(start).unwrap_or_default());
            if waits && left.is_zero() {
                return Ok(Plan::done(self.too_late(elapsed(start, system))));
            }
            if let Some(matched) = self.holds(pattern.as_ref(), left, system)? {
                let outcome = self.report(matched, elapsed(start, system));
                return Ok(Plan::done(match &self.path {
                    Some(path) => super::file_arguments::add_path_info(outcome, path.path(), system)?,
                    None => outcome,
                }));
            }
            if !waits {
                return match context.mode {
                    Mode::Plan => Err(Error::unknown(format!("waiting: {}", self.sentence()))),
                    _ => Ok(Plan::done(self.too_late(self.timeout))),
                };
            }
            system.sleep(seconds(self.sleep))?;
        }
    }
}

impl WaitFor {
    fn check(&self) -> Result<()> {
        let fail = |message: &str| Err(Error::failed(message).detail("elapsed", 0i64));
        if self.port.is_some() && self.path.is_some() {
            return fail("port and path parameter can not both be passed to wait_for");
        }
        if self.path.is_some() && matches!(self.state, State::Stopped | State::Drained) {
            let word = super::Choice::word(self.state);
            return fail(&format!("state={word} should only be used for checking a port in the wait_for module"));
        }
        if self.exclude_hosts.is_some() && self.state != State::Drained {
            return fail("exclude_hosts should only be with state=drained");
        }
        if self.state == State::Drained && self.port.is_none() {
            return fail("state=drained needs a port");
        }
        if self.port.is_some_and(|port| u16::try_from(port).is_err()) {
            return fail("a port is a number from 0 to 65535");
        }
        match self.active_connection_states.iter().find(|state| !STATES.contains(&state.as_str())) {
            Some(unknown) => fail(&format!("unknown active_connection_state ({unknown}) defined")),
            None => Ok(()),
        }
    }

    /// One look.
    fn holds(&self, pattern: Option<&fancy_regex::Regex>, left: Duration, system: &dyn System) -> Result<Option<Matched>> {
        let yes = |truth: bool| truth.then(Matched::default);
        if let Some(path) = &self.path {
            // Links are followed: what they point to must be there.
            let there = match system.metadata(path.path())? {
                Some(found) if found.kind == crate::system::FileKind::Symlink => {
                    system.metadata(&system.canonical(path.path())?)?.is_some_and(|target| target.kind != crate::system::FileKind::Symlink)
                }
                found => found.is_some(),
            };
            return match (self.state, pattern) {
                (State::Absent, _) => Ok(yes(!there)),
                (_, None) => Ok(yes(there)),
                (_, Some(_)) if !there => Ok(None),
                (_, Some(pattern)) => Ok(matched(pattern, &system.read(path.path()).unwrap_or_default().unwrap_or_default())),
            };
        }
        let port = self.port.and_then(|port| u16::try_from(port).ok()).unwrap_or_default();
        let attempt = seconds(self.connect_timeout);
        // A plan does not hang on a port that says nothing.
        let attempt = if left.is_zero() { attempt } else { attempt.min(left.max(Duration::from_millis(1))) };
        match (self.state, &self.search_regex) {
            (State::Absent | State::Stopped, _) => Ok(yes(!system.connects(&self.host, port, attempt)?)),
            (State::Drained, _) => {
                let excluded = self.exclude_hosts.clone().unwrap_or_default();
                let active = system.connections(&self.host, port)?.into_iter().filter(|connection| {
                    let (remote, state) = connection.split_once(' ').unwrap_or((connection, "ESTABLISHED"));
                    !excluded.iter().any(|host| host == remote) && self.active_connection_states.iter().any(|known| known == state)
                });
                Ok(yes(active.count() == 0))
            }
            (_, None) => Ok(yes(system.connects(&self.host, port, attempt)?)),
            (_, Some(text)) => {
                let span = if system.is_live() { left.max(attempt) } else { attempt };
                Ok(yes(system.port_says(&self.host, port, text, span)?))
            }
        }
    }

    fn report(&self, matched: Matched, elapsed: i64) -> Outcome {
        Outcome::ok()
            .with("state", super::Choice::word(self.state))
            .with("port", self.port)
            .with("search_regex", self.search_regex.clone())
            .with("match_groups", matched.groups)
            .with("match_groupdict", matched.named)
            .with("path", self.path.as_ref().map(|path| path.0.clone()))
            .with("elapsed", elapsed)
    }

    fn too_late(&self, elapsed: i64) -> Outcome {
        Outcome::failed(self.msg.clone().unwrap_or_else(|| format!("Timeout when waiting for {}", self.sentence()))).with("elapsed", elapsed)
    }

    /// What is waited for, in Ansible's words.
    fn sentence(&self) -> String {
        let place = match (&self.path, self.port) {
            (Some(path), _) => path.0.clone(),
            (None, Some(port)) => format!("{}:{port}", self.host),
            (None, None) => self.host.clone(),
        };
        match (self.state, &self.search_regex, &self.path) {
            (State::Drained, ..) => format!("{place} to drain"),
            (State::Absent | State::Stopped, _, Some(_)) => format!("{place} to be absent."),
            (State::Absent | State::Stopped, _, None) => format!("{place} to stop."),
            (_, Some(text), _) => format!("search string {text} in {place}"),
            (_, None, Some(_)) => format!("file {place}"),
            (_, None, None) => place,
        }
    }
}

/// What the pattern found in a file, with its groups.
fn matched(pattern: &fancy_regex::Regex, content: &[u8]) -> Option<Matched> {
    let text = String::from_utf8_lossy(content);
    let captures = pattern.captures(&*text).ok().flatten()?;
    let value = |group: Option<fancy_regex::Match<'_>>| group.map(|group| group.as_str().to_owned()).into();
    let groups = (1..captures.len()).map(|index| value(captures.get(index))).collect();
    let names = pattern.capture_names().flatten();
    let named = names.map(|name| (Key::from(name), value(captures.name(name)))).collect();
    Some(Matched { groups, named })
}

fn seconds(number: i64) -> Duration {
    Duration::from_secs(number.max(0) as u64)
}

fn elapsed(start: SystemTime, system: &dyn System) -> i64 {
    system.now().duration_since(start).unwrap_or_default().as_secs() as i64
}
