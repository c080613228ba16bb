//! `service`: services, whatever manages them.

use super::systemd::{State, Systemd, linked};
use super::{Context, Entry, Module, Next, Outcome, Plan};
use crate::program::Value;
use crate::system::{Accept, Action, Command, Effect, Error, Result};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Service>(&["service", "ansible.builtin.service"]);

arguments! {
    /// Control services: units where systemd runs, init scripts elsewhere. Arguments and results as in
    /// `ansible.builtin.service`; on systemd also those of `systemd_service`.
    pub struct Service {
        systemd: Systemd,
        /// The service manager, if not the one that runs: `systemd`, `sysvinit`.
        manager as "use": String [default("auto")],
        /// Seconds between stop and start of a restart; init scripts only.
        sleep: Option<i64>,
        /// What to look for among processes where a script has no `status`; not used.
        pattern: Option<String>,
        /// Run level; not used.
        runlevel: String [default("default")],
        /// Further words for an init script.
        arguments: String [default(""), aliases(&["args"])],
    }
    rules { required_by("state", &["name"]), required_by("enabled", &["name"]), required_by("masked", &["name"]) }
}

impl Module for Service {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let manager = if self.manager == "auto" { context.system.init()? } else { self.manager.clone() };
        let short = manager.rsplit('.').next().unwrap_or(&manager);
        if matches!(short, "systemd" | "systemd_service") {
            let mut plan = self.systemd.plan(context)?;
            let unused = [("pattern", self.pattern.is_some()), ("sleep", self.sleep.is_some()), ("arguments", !self.arguments.is_empty())];
            for (argument, _) in unused.iter().filter(|(_, given)| *given) {
                plan.predicted.warnings.push(format!("Ignoring \"{argument}\" as it is not used in \"systemd\""));
            }
            return Ok(plan);
        }
        // What systemd answers for itself, a script does not.
        let name = self.systemd.name.as_deref().ok_or_else(|| Error::failed("argument `name`: missing, and it is required"))?;
        if self.systemd.state.is_none() && self.systemd.enabled.is_none() {
            return Err(Error::failed("one of the following is required: state, enabled"));
        }
        let script = context.system.metadata(&std::path::Path::new("/etc/init.d").join(name))?;
        if script.is_none() {
            let missing = Error::failed(format!("Could not find the requested service {name}: host"));
            return Err(missing.hint(format!("this machine's service manager is `{manager}`: units of systemd and scripts in /etc/init.d are known")));
        }
        self.script(name, context)
    }
}

impl Service {
    /// Links first, then the state, for which the script itself has to be asked.
    fn script(&self, name: &str, context: &Context<'_>) -> Result<Plan> {
        let mut actions = Vec::new();
        let mut outcome = Outcome::ok().with("name", name);
        if let Some(wanted) = self.systemd.enabled {
            if linked(name, context.system)? != wanted {
                let verb = if wanted { "enable" } else { "disable" };
                let defaults = wanted && context.system.list(std::path::Path::new("/etc/rc2.d"))?.is_none_or(|links| !links.iter().any(|link| link.get(3..) == Some(name)));
                if defaults {
                    actions.push(run(&format!("link {name}"), &["update-rc.d", name, "defaults"]));
                }
                actions.push(run(&format!("{verb} {name}"), &["update-rc.d", name, verb]));
                outcome.changed = true;
            }
            outcome = outcome.with("enabled", wanted);
        }
        let Some(state) = self.systemd.state else { return Ok(Plan::act(actions, outcome)) };
        outcome = outcome.with("state", if state == State::Stopped { "stopped" } else { "started" });
        let words: Vec<String> = self.arguments.split_whitespace().map(str::to_owned).collect();
        let name = name.to_owned();
        let script = move |verb: &str| {
            let argv = ["service", &name, verb].into_iter().map(str::to_owned).chain(words.clone());
            Command::new(format!("{verb} {name}"), argv).effect(Effect::Opaque)
        };
        let mut ask = script("status").effect(Effect::None);
        ask.accept = Accept::Any;
        ask.label = format!("ask whether {} runs", self.systemd.name.as_deref().unwrap_or_default());
        let mut predicted = outcome.clone();
        if !predicted.changed {
            predicted = Outcome { changed: true, ..predicted }.with("changed", Value::unknown("whether it runs"));
        }
        let sleep = std::time::Duration::from_secs(self.sleep.unwrap_or(0).max(0) as u64);
        let asked = actions.len();
        actions.push(Action::Run(ask));
        let mut plan = Plan::act(actions, predicted).then(move |outcomes, _| {
            let runs = outcomes.get(asked).and_then(|outcome| outcome.rc) == Some(0);
            let verbs: &[&str] = match state {
                State::Started if !runs => &["start"],
                State::Stopped if runs => &["stop"],
                State::Started | State::Stopped => &[],
                _ if !runs => &["start"],
                State::Restarted if !sleep.is_zero() => &["stop", "start"],
                State::Restarted => &["restart"],
                State::Reloaded => &["reload"],
            };
            let mut actions: Vec<Action> = verbs.iter().map(|verb| Action::Run(script(verb))).collect();
            if verbs.len() == 2 {
                actions.insert(1, Action::Sleep { duration: sleep });
            }
            let mut outcome = outcome;
            outcome.changed |= !actions.is_empty();
            Ok(if actions.is_empty() { Next::Done(outcome) } else { Next::Again(Plan::act(actions, outcome)) })
        });
        // Only the question, if it stands alone.
        plan.always = plan.actions.len() == 1;
        Ok(plan)
    }
}

fn run(label: &str, words: &[&str]) -> Action {
    Action::Run(Command::new(label, words.iter().copied()).effect(Effect::None))
}
