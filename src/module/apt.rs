//! `apt`: Debian packages.
//!
//! In order: an interrupted dpkg is finished; the package lists are read anew if that is due; then one of upgrade, package
//! files, named packages, cleaning up. What is installed is read from dpkg's database: a task with nothing to do starts no
//! process. `apt-get` does all work (Ansible prefers aptitude for upgrades where that is installed).

mod command;
mod deb;
mod lists;
mod select;
mod version;

pub(super) use lists::{newest_error, read_lists};

use super::arguments::PathText;
use super::{Context, Diff, Entry, Mode, Module, Next, Outcome, Plan};
use crate::program::Value;
use crate::system::{Action, Command, Effect, Error, Result, System};
use command::{call, configure, environment, is_interrupted, listed, text};
use select::{Chosen, How};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Apt>(&["apt", "ansible.builtin.apt"]);

arguments! {
    /// Install, upgrade and remove Debian packages. Arguments and results as in `ansible.builtin.apt`.
    pub struct Apt {
        /// Names: with `=version`, `>=version`, `/release` or shell patterns if need be. `*` with `latest` upgrades all.
        package: Vec<String> [aliases(&["pkg", "name"])],
        /// What they should be.
        state: State [default("present")],
        /// Read the package lists anew first.
        update_cache: Option<bool> [aliases(&["update-cache"])],
        /// How often that is tried (5 times at most).
        update_cache_retries: i64 [default("5")],
        /// Seconds between tries at most.
        update_cache_retry_max_delay: i64 [default("12")],
        /// Seconds for which the lists count as fresh; if given, older ones are read anew.
        cache_valid_time: i64 [default("0")],
        /// Remove configuration files too.
        purge: bool [default("no")],
        /// Package files (`.deb`) on the machine or URLs, with commas between.
        deb: Option<PathText>,
        /// Release to prefer: `bookworm-backports`.
        default_release: Option<String> [aliases(&["default-release"])],
        /// Install what packages recommend; by default as apt is configured.
        install_recommends: Option<bool> [aliases(&["install-recommends"])],
        /// Use `--force-yes`.
        force: bool [default("no")],
        /// Upgrade all packages; `dist` and `full` may remove some.
        upgrade: Upgrade [default("no")],
        /// Options of dpkg, with commas between.
        dpkg_options: String [default("force-confdef,force-confold")],
        /// Remove packages that nothing needs any more.
        autoremove: bool [default("no")],
        /// Remove downloaded packages that are gone from the lists.
        autoclean: bool [default("no")],
        /// Fail rather than remove a package.
        fail_on_autoremove: bool [default("no")],
        /// What `policy-rc.d` answers meanwhile: 101 forbids services to start.
        policy_rc_d: Option<i64>,
        /// Leave out what is not installed.
        only_upgrade: bool [default("no")],
        /// Always so here.
        force_apt_get: bool [default("no")],
        /// Remove all downloaded packages first.
        clean: bool [default("no")],
        /// Take packages whose source cannot be verified.
        allow_unauthenticated: bool [default("no"), aliases(&["allow-unauthenticated"])],
        /// Take an older version.
        allow_downgrade: bool [default("no"), aliases(&["allow-downgrade", "allow_downgrades", "allow-downgrades"])],
        /// Change held packages too.
        allow_change_held_packages: bool [default("no")],
        /// Seconds to wait for dpkg's lock.
        lock_timeout: i64 [default("60")],
        /// Nothing is needed here.
        auto_install_module_deps: bool [default("yes")],
    }
    rules { mutually_exclusive(&["deb", "package", "upgrade"]) }
}

choices! {
    /// What the named packages should be.
    pub enum State {
        /// Not installed.
        Absent = "absent",
        /// What is needed to build them installed.
        BuildDep = "build-dep",
        /// Installed, broken dependencies repaired.
        Fixed = "fixed",
        /// The newest version installed.
        Latest = "latest",
        /// Installed.
        Present = "present",
    }
}

choices! {
    /// How all packages are upgraded.
    pub enum Upgrade {
        /// Removing some if need be.
        Dist = "dist",
        /// The same.
        Full = "full",
        /// Not.
        No = "no",
        /// Removing none.
        Safe = "safe",
        /// The same.
        Yes = "yes",
    }
}

/// What became of the package lists.
#[derive(Clone, Copy, Debug)]
struct Progress {
    lists_read: bool,
    lists_read_at: i64,
}

impl Progress {
    fn on(self, outcome: Outcome) -> Outcome {
        outcome.with("cache_updated", self.lists_read).with("cache_update_time", self.lists_read_at)
    }
}

impl Module for Apt {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let system = context.system;
        let mut first = Vec::new();
        if is_interrupted(system)? {
            first.push(Action::Run(configure()));
        }
        if self.clean {
            let mut clean = Command::new("remove downloaded packages", ["apt-get", "clean"]).effect(Effect::None);
            clean.environment = environment();
            first.push(Action::Run(clean));
        }
        let read_at = lists::read_at(system)?;
        let due = self.lists_are_due(system)?;
        let only_clean = self.clean && self.package.is_empty() && self.upgrade == Upgrade::No && self.deb.is_none();
        if only_clean && !due {
            let outcome = Outcome::changed().with("msg", "").with("stdout", "").with("stderr", "");
            return Ok(Plan::act(first, outcome));
        }
        let progress = Progress { lists_read: due, lists_read_at: read_at };
        if context.mode == Mode::Apply && (due || !first.is_empty()) {
            let apt = self.clone();
            if due {
                first.push(lists::read_lists());
                let mut plan = Plan::act(first, progress.on(Outcome::changed()));
                plan.predicted.result.insert("cache_update_time".into(), Value::unknown("the package lists, read anew"));
                return Ok(plan.then(move |outcomes, system| apt.after_lists(read_at, 1, outcomes, system)));
            }
            let (mode, diff) = (context.mode, context.diff);
            let plan = Plan::act(first, progress.on(Outcome::changed()));
            return Ok(plan.then(move |_, system| apt.packages(progress, mode, diff, system).map(Next::Again)));
        }
        if due {
            first.push(lists::read_lists());
        }
        // A plan shows all that will be done, as far as it is known before the lists are read.
        let mut plan = match self.packages(progress, context.mode, context.diff, system) {
            Ok(plan) => plan,
            // What the old lists lack, the new ones may have.
            Err(error) if due => {
                let mut outcome = Outcome::changed();
                outcome.result.insert("stdout".into(), Value::unknown(format!("the package lists, read anew first ({})", error.message)));
                Plan::act(Vec::new(), outcome)
            }
            Err(error) => return Err(error),
        };
        if due {
            plan.predicted.result.insert("cache_update_time".into(), Value::unknown("the package lists, read anew"));
        }
        plan.always &= first.is_empty();
        plan.actions.splice(0..0, first);
        if due {
            plan.then = None;
        }
        Ok(plan)
    }
}

impl Apt {
    /// Everything after the package lists.
    fn packages(&self, progress: Progress, mode: Mode, diff: bool, system: &dyn System) -> Result<Plan> {
        let all = self.package.iter().any(|name| name == "*");
        let names: Vec<String> = self.package.iter().map(|name| name.trim().to_owned()).filter(|name| name != "*").collect();
        if self.upgrade != Upgrade::No {
            return self.upgrade_all(matches!(self.upgrade, Upgrade::Dist | Upgrade::Full), progress, mode, system);
        }
        if let Some(files) = &self.deb {
            return self.files(&files.0, progress, system);
        }
        if all && self.state == State::Latest {
            if !names.is_empty() {
                return Err(Error::failed("unable to install additional packages when upgrading all installed packages"));
            }
            return self.upgrade_all(false, progress, mode, system);
        }
        if names.is_empty() {
            if self.autoclean {
                return Ok(self.simulated("remove outdated downloads", &["autoclean"], &[], "Del ", true, progress));
            }
            if self.autoremove {
                return Ok(self.simulated("remove packages that nothing needs", &["autoremove"], &[], "The following packages will be REMOVED", true, progress));
            }
            return Ok(Plan::done(progress.on(Outcome { changed: progress.lists_read, ..Outcome::ok() })));
        }
        match self.state {
            State::Absent => self.remove(&names, diff, system),
            State::BuildDep => {
                let label = format!("install what {} is built with", listed(&names));
                Ok(self.simulated(&label, &["build-dep"], &names, "\n0 upgraded, 0 newly installed, 0 to remove", false, progress))
            }
            _ => self.install(&names, progress, mode, diff, system),
        }
    }

    fn install(&self, names: &[String], progress: Progress, mode: Mode, diff: bool, system: &dyn System) -> Result<Plan> {
        let specs = select::expanded(names, system)?;
        let planning = mode != Mode::Apply;
        let how = How { latest: self.state == State::Latest, only_upgrade: self.only_upgrade, release: self.default_release.as_deref(), planning };
        let chosen = select::chosen(&specs, how, system)?;
        self.refuse_held(&chosen)?;
        let mut actions = Vec::new();
        if !chosen.is_empty() {
            let arguments: Vec<String> = chosen.iter().map(|one| one.argument.clone()).collect();
            let (new, old): (Vec<&Chosen>, Vec<&Chosen>) = chosen.iter().partition(|one| one.before.is_none());
            let words = |list: &[&Chosen]| listed(&list.iter().map(|one| one.argument.clone()).collect::<Vec<_>>());
            let label = match (new.is_empty(), old.is_empty()) {
                (false, true) => format!("install {}", words(&new)),
                (true, _) => format!("upgrade {}", words(&old)),
                (false, false) => format!("install {} and upgrade {}", words(&new), words(&old)),
            };
            // Without a version the newest is meant: the action is the same before and after the lists are read.
            let present = chosen.iter().map(|one| (one.name.clone(), one.after.clone().filter(|_| one.argument.contains('=')))).collect();
            let command = self.apt_get(label, &self.install_options(), &["install"], &arguments);
            actions.extend(self.guarded(command.effect(Effect::Packages { present, absent: Vec::new() }), system)?);
        }
        let mut automatic = Vec::new();
        for spec in &specs {
            if system.package(&spec.name).is_ok_and(|package| package.is_some_and(|package| package.automatic)) {
                automatic.push(spec.name.clone());
            }
        }
        if !automatic.is_empty() {
            let words = ["apt-mark", "manual"].into_iter().map(str::to_owned).chain(automatic.iter().cloned());
            let mut mark = Command::new(format!("mark {} as wanted", listed(&automatic)), words).effect(Effect::PackagesManual(automatic.clone()));
            mark.environment = environment();
            actions.push(Action::Run(mark));
        }
        let mut outcome = Outcome { changed: !chosen.is_empty(), ..Outcome::ok() };
        if diff {
            outcome.diff.extend(difference(&chosen));
        }
        if chosen.is_empty() {
            return Ok(Plan::act(actions, progress.on(outcome)));
        }
        Ok(self.acting(actions, progress.on(outcome)))
    }

    fn remove(&self, names: &[String], diff: bool, system: &dyn System) -> Result<Plan> {
        let specs = match select::expanded(names, system) {
            Err(error) if error.message.starts_with("No package(s) matching") => Vec::new(),
            other => other?,
        };
        let removed = select::removed(&specs, self.purge, system)?;
        if removed.is_empty() {
            return Ok(Plan::done(Outcome::ok()));
        }
        self.refuse_held(&removed)?;
        let names: Vec<String> = removed.iter().map(|one| one.argument.clone()).collect();
        let mut options = vec!["-q"];
        for (given, option) in
            [(self.purge, "--purge"), (self.autoremove, "--auto-remove"), (self.allow_change_held_packages, "--allow-change-held-packages")]
        {
            if given {
                options.push(option);
            }
        }
        let label = format!("{} {}", if self.purge { "purge" } else { "remove" }, listed(&names));
        // `-t` means nothing to a removal.
        let apt = Self { default_release: None, ..self.clone() };
        let effect = Effect::Packages { present: Vec::new(), absent: names.clone() };
        let command = apt.apt_get(label, &options, &["remove"], &names).effect(effect);
        let mut outcome = Outcome::changed();
        if diff {
            outcome.diff.extend(difference(&removed));
        }
        Ok(self.acting(self.guarded(command, system)?, outcome))
    }

    fn upgrade_all(&self, dist: bool, progress: Progress, mode: Mode, system: &dyn System) -> Result<Plan> {
        let names = match system.upgradable(dist) {
            Ok(names) if names.is_empty() && !(progress.lists_read && mode != Mode::Apply) => {
                return Ok(Plan::done(progress.on(Outcome::ok().with("msg", "").with("stdout", "").with("stderr", ""))));
            }
            Ok(names) => names,
            Err(error) if error.unknown_cause().is_some() && mode != Mode::Apply => Vec::new(),
            Err(error) => return Err(error),
        };
        let mut options = Vec::new();
        for (given, option) in [
            (self.fail_on_autoremove, "--no-remove"),
            (self.allow_unauthenticated, "--allow-unauthenticated"),
            (self.allow_downgrade, "--allow-downgrades"),
        ] {
            if given {
                options.push(option);
            }
        }
        let mut verb = if dist { vec!["dist-upgrade"] } else { vec!["upgrade", "--with-new-pkgs"] };
        if self.autoremove {
            verb.push("--auto-remove");
        }
        let label = if names.is_empty() { "upgrade all packages".to_owned() } else { format!("upgrade {}", listed(&names)) };
        let present = names.into_iter().map(|name| (name, None)).collect();
        let command = self.apt_get(label, &options, &verb, &[]).effect(Effect::Packages { present, absent: Vec::new() });
        let mut plan = self.acting(self.guarded(command, system)?, progress.on(Outcome::changed()));
        plan.predicted.result.insert("msg".into(), Value::unknown("what apt-get says"));
        Ok(plan.with_message())
    }

    /// Asks apt-get what it would do; does it only if that is something. `sign` in its answer says so, or (`found` false)
    /// says that it is nothing.
    fn simulated(&self, label: &str, verb: &[&str], names: &[String], sign: &'static str, found: bool, progress: Progress) -> Plan {
        let purge: &[&str] = if self.purge { &["--purge"] } else { &[] };
        let options: Vec<&str> = if found { purge.to_vec() } else { self.install_options() };
        let mut ask = self.apt_get(format!("ask what it takes to {label}"), &options, &[&["--simulate", "-o", "Debug::NoLocking=1"], verb].concat(), names);
        ask.effect = Effect::None;
        ask.repair = None;
        let act = self.apt_get(label.to_owned(), &options, verb, names).effect(Effect::Opaque);
        let mut predicted = progress.on(Outcome::changed());
        for name in ["changed", "stdout"] {
            predicted.result.insert(name.into(), Value::unknown("what apt-get says"));
        }
        let apt = self.clone();
        let mut plan = Plan::act(vec![Action::Run(ask)], predicted).then(move |outcomes, system| {
            let said = call(outcomes).map(|outcome| text(&outcome.stdout)).unwrap_or_default();
            if said.contains(sign) != found {
                return Ok(Next::Done(progress.on(Outcome::ok().with("stdout", said).with("stderr", ""))));
            }
            Ok(Next::Again(apt.acting(apt.guarded(act, system)?, progress.on(Outcome::changed()))))
        });
        plan.always = true;
        plan
    }

    /// The calls, and a report of what they said.
    fn acting(&self, actions: Vec<Action>, mut outcome: Outcome) -> Plan {
        let judged = self.policy_rc_d.is_some();
        let known = outcome.clone();
        outcome.result.insert("stdout".into(), Value::unknown("what apt-get says"));
        outcome.result.insert("stderr".into(), Value::unknown("what apt-get says"));
        let label = actions.iter().find_map(|action| match action {
            Action::Run(command) => Some(command.clone()),
            _ => None,
        });
        Plan::act(actions, outcome).reporting(move |outcomes| {
            let said = outcomes.iter().find(|outcome| outcome.rc.is_some()).cloned().unwrap_or_default();
            if let Some(command) = label.filter(|_| judged && said.rc != Some(0)) {
                return Err(Error::command(&command, &said));
            }
            Ok(known.with("stdout", text(&said.stdout)).with("stderr", text(&said.stderr)))
        })
    }

    /// apt-get would refuse it, after it had asked for everything else.
    fn refuse_held(&self, chosen: &[Chosen]) -> Result<()> {
        let held = chosen.iter().find(|one| one.before.as_ref().is_some_and(|package| package.selection == "hold"));
        match held.filter(|_| !self.allow_change_held_packages && !self.force) {
            Some(held) => Err(Error::failed(format!("{} is held at {}", held.name, held.before.as_ref().map_or("", |package| &package.version)))
                .hint("`allow_change_held_packages: true`, or `apt-mark unhold` first")),
            None => Ok(()),
        }
    }
}

impl Plan {
    /// `msg` is what apt-get printed, as Ansible has it for upgrades.
    fn with_message(mut self) -> Self {
        if let Some(then) = self.then.take() {
            self.then = Some(Box::new(move |outcomes, system| {
                Ok(match then(outcomes, system)? {
                    Next::Done(outcome) => {
                        let said = outcome.result.get("stdout").cloned().unwrap_or_default();
                        let nothing = said.as_str().is_some_and(|said| said.contains("\n0 upgraded, 0 newly installed, 0 to remove"));
                        Next::Done(Outcome { changed: !nothing, ..outcome.with("msg", said) })
                    }
                    again @ Next::Again(_) => again,
                })
            }));
        }
        self
    }
}

/// Packages with their versions, before and after.
fn difference(chosen: &[Chosen]) -> Option<Diff> {
    if chosen.is_empty() {
        return None;
    }
    let line = |name: &str, version: Option<&str>| version.map(|version| format!("{name} {version}\n")).unwrap_or_default();
    let before = chosen.iter().map(|one| line(&one.name, one.before.as_ref().map(|package| package.version.as_str()))).collect();
    let after = chosen.iter().map(|one| line(&one.name, one.after.as_deref())).collect();
    Some(Diff { before, after, before_header: "installed packages".to_owned(), after_header: "installed packages".to_owned() })
}
