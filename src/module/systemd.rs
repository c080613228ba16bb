//! `systemd`: units started, stopped, enabled, masked.

use super::{Context, Entry, Mode, Module, Next, Outcome, Plan};
use crate::program::{Map, Value};
use crate::system::{Action, Command, Effect, Error, Result, System, Unit, UnitScope};

/// The registry's entry.
pub static MODULE: Entry =
    Entry::system::<Systemd>(&["systemd_service", "ansible.builtin.systemd_service", "systemd", "ansible.builtin.systemd"]);

arguments! {
    /// Control systemd units. Arguments and results as in `ansible.builtin.systemd_service`.
    pub struct Systemd {
        /// The unit; without an ending it is a `.service`.
        name: Option<String> [aliases(&["service", "unit"])],
        /// `started` and `stopped` only if need be; `restarted` and `reloaded` always.
        state: Option<State>,
        /// Whether it starts at boot.
        enabled: Option<bool>,
        /// Override conflicting links.
        force: Option<bool>,
        /// Whether it cannot be started at all.
        masked: Option<bool>,
        /// Read unit files again first.
        daemon_reload: bool [default("no"), aliases(&["daemon-reload"])],
        /// Start systemd itself anew first.
        daemon_reexec: bool [default("no"), aliases(&["daemon-reexec"])],
        /// Whose units: the machine's, the acting user's, all users'.
        scope: Scope [default("system")],
        /// Do not wait until the unit is there.
        no_block: bool [default("no")],
    }
    rules {
        required_by("state", &["name"]),
        required_by("enabled", &["name"]),
        required_by("masked", &["name"]),
    }
}

choices! {
    /// What a unit should be or do.
    pub enum State {
        /// Always asked to read its configuration; started if it does not run.
        Reloaded = "reloaded",
        /// Always stopped and started.
        Restarted = "restarted",
        /// Running.
        Started = "started",
        /// Not running.
        Stopped = "stopped",
    }
}

choices! {
    /// Whose manager.
    pub enum Scope {
        /// The machine's.
        System = "system",
        /// The acting user's.
        User = "user",
        /// That of all users: only enabling.
        Global = "global",
    }
}

impl Module for Systemd {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        if let Some(name) = &self.name
            && let Some(letter) = name.chars().find(|letter| matches!(letter, '*' | '?' | '['))
        {
            return Err(Error::failed(format!(
                "This module does not currently support using glob patterns, found '{letter}' in service name: {name}"
            )));
        }
        let mut first = Vec::new();
        if self.daemon_reload {
            first.push(self.run("read unit files again", "daemon-reload", None, Effect::UnitsReloaded));
        }
        if self.daemon_reexec {
            first.push(self.run("start systemd itself anew", "daemon-reexec", None, Effect::UnitsReloaded));
        }
        let Some(name) = self.name.as_deref().filter(|_| self.state.is_some() || self.enabled.is_some() || self.masked.is_some()) else {
            return self.managers_only(first, context.system);
        };
        let system = context.system;
        let unit = system.unit(&full_name(name), self.scope())?;
        // A unit that systemd does not know yet may be there once it has read its files again.
        if unit.load_state == "not-found" && !first.is_empty() && context.mode != Mode::Check {
            let (again, mode) = (self.clone(), context.mode);
            let mut predicted = Outcome::changed().with("name", name);
            predicted.result.insert("status".into(), Value::unknown("the unit files, read again first"));
            return Ok(Plan::act(first, predicted).then(move |_, system| {
                let context = Context { system, mode, diff: false, source: None, environment: &[], host: "" };
                Systemd { daemon_reload: false, daemon_reexec: false, ..again }.plan(&context).map(Next::Again)
            }));
        }
        let (actions, outcome) = self.decide(name, &unit, system)?;
        Ok(Plan::act(first.into_iter().chain(actions).collect(), outcome))
    }
}

impl Systemd {
    fn scope(&self) -> UnitScope {
        match self.scope {
            Scope::System => UnitScope::System,
            Scope::User => UnitScope::User,
            Scope::Global => UnitScope::Global,
        }
    }

    /// Nothing but the managers' own reload, which Ansible does not count as a change.
    fn managers_only(&self, actions: Vec<Action>, system: &dyn System) -> Result<Plan> {
        let status = match &self.name {
            Some(name) => status(&system.unit(&full_name(name), self.scope())?),
            None => Map::new(),
        };
        Ok(Plan::act(actions, Outcome::ok().with("name", self.name.clone()).with("status", status)))
    }

    /// What to do with the unit as it is, and what Ansible would report.
    fn decide(&self, name: &str, unit: &Unit, system: &dyn System) -> Result<(Vec<Action>, Outcome)> {
        let script = system.metadata(&std::path::Path::new("/etc/init.d").join(name))?.is_some();
        let known = unit.load_state != "not-found";
        let found = known || script;
        let mut outcome = Outcome::ok().with("name", name).with("status", status(unit));
        if script && !known {
            outcome.warnings.push(format!("The service ({name}) is actually an init script but the system is managed by systemd"));
        }
        let broken = unit.properties.iter().find(|(property, value)| property == "LoadError" && !value.is_empty());
        if let Some((_, said)) = broken.filter(|_| known && unit.load_state != "masked") {
            return Err(Error::failed(format!("Error loading unit file '{name}': {said}")));
        }
        let missing = || {
            Err(Error::failed(format!("Could not find the requested service {name}: host"))
                .hint("the unit's package is not installed, or its file is new: `daemon_reload: true` reads it"))
        };
        let mut actions = Vec::new();
        let is_masked = unit.unit_file_state == "masked";
        if let Some(masked) = self.masked
            && masked != is_masked
        {
            let (verb, file_state, load_state) = if masked { ("mask", "masked", "masked") } else { ("unmask", "disabled", "loaded") };
            let effect = self.effect(name, None, Some(file_state), Some(load_state));
            actions.push(self.run(&format!("{verb} {name}"), verb, Some(name), effect));
            outcome.changed = true;
        }
        if let Some(wanted) = self.enabled {
            if !found {
                return missing();
            }
            let enabled = is_enabled(unit, name, script, system)?;
            if enabled != wanted {
                let (verb, file_state) = if wanted { ("enable", "enabled") } else { ("disable", "disabled") };
                let effect = self.effect(name, None, Some(file_state), None);
                actions.push(self.run(&format!("{verb} {name}"), verb, Some(name), effect));
                outcome.changed = true;
            }
            outcome = outcome.with("enabled", wanted);
        }
        if let Some(state) = self.state {
            if !found {
                return missing();
            }
            if unit.active_state.is_empty() {
                if self.scope == Scope::Global {
                    return Err(Error::failed("Service is in unknown state").hint("`scope: global` knows only `enabled` and `masked`"));
                }
                outcome.warnings.push("Target is a chroot or systemd is offline. This can lead to false positives or prevent the init system tools from working.".to_owned());
                return Ok((actions, outcome.with("state", word(state))));
            }
            let runs = matches!(unit.active_state.as_str(), "active" | "activating");
            let verb = match state {
                State::Started => (!runs).then_some("start"),
                State::Stopped => (runs || unit.active_state == "deactivating").then_some("stop"),
                _ if !runs => Some("start"),
                State::Restarted => Some("restart"),
                State::Reloaded => Some("reload"),
            };
            if let Some(verb) = verb {
                let active = if verb == "stop" { "inactive" } else { "active" };
                let effect = self.effect(name, Some(active), None, None);
                actions.push(self.run(&format!("{verb} {name}"), verb, Some(name), effect));
                outcome.changed = true;
            }
            let reported = if state == State::Stopped { "stopped" } else { "started" };
            outcome = outcome.with("state", reported);
        }
        Ok((actions, outcome))
    }

    fn effect(&self, name: &str, active: Option<&str>, file: Option<&str>, load: Option<&str>) -> Effect {
        let name = match self.scope {
            Scope::System => full_name(name),
            Scope::User => format!("user:{}", full_name(name)),
            Scope::Global => format!("global:{}", full_name(name)),
        };
        let text = |word: Option<&str>| word.map(str::to_owned);
        Effect::Unit { name, active_state: text(active), unit_file_state: text(file), load_state: text(load) }
    }

    fn run(&self, label: &str, verb: &str, unit: Option<&str>, effect: Effect) -> Action {
        let mut words = vec!["systemctl"];
        match self.scope {
            Scope::System => {}
            Scope::User => words.push("--user"),
            Scope::Global => words.push("--global"),
        }
        if self.no_block {
            words.push("--no-block");
        }
        if self.force == Some(true) {
            words.push("--force");
        }
        words.push(verb);
        words.extend(unit);
        let mut command = Command::new(label, words).effect(effect);
        command.environment.push(("LC_ALL".to_owned(), "C".to_owned()));
        Action::Run(command)
    }
}

fn word(state: State) -> &'static str {
    super::Choice::word(state)
}

/// systemd's own rule: a name without the ending of a unit's kind is a service.
pub(super) fn full_name(name: &str) -> String {
    const KINDS: [&str; 11] =
        ["service", "socket", "target", "timer", "mount", "automount", "swap", "path", "slice", "scope", "device"];
    let has_kind = name.rsplit_once('.').is_some_and(|(_, kind)| KINDS.contains(&kind));
    if has_kind { name.to_owned() } else { format!("{name}.service") }
}

fn status(unit: &Unit) -> Map {
    unit.properties.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect()
}

/// `systemctl is-enabled` by the state it prints; an init script by its links.
fn is_enabled(unit: &Unit, name: &str, script: bool, system: &dyn System) -> Result<bool> {
    match unit.unit_file_state.as_str() {
        "enabled" | "static" | "transient" => Ok(true),
        "generated" | "" | "bad" if script => linked(name, system),
        "generated" => Ok(true),
        _ => Ok(false),
    }
}

/// Whether a run level starts the init script.
pub(super) fn linked(name: &str, system: &dyn System) -> Result<bool> {
    for level in 2..=5 {
        let names = system.list(std::path::Path::new(&format!("/etc/rc{level}.d")))?.unwrap_or_default();
        if names.iter().any(|link| link.strip_prefix('S').and_then(|rest| rest.get(2..)) == Some(name)) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_a_kind_are_services() {
        assert_eq!(full_name("nginx"), "nginx.service");
        assert_eq!(full_name("ssh.socket"), "ssh.socket");
        assert_eq!(full_name("openvpn@client.conf"), "openvpn@client.conf.service");
    }
}
