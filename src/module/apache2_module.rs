//! `apache2_module`: modules of Debian's Apache, by a2enmod(8) and a2dismod(8).
//!
//! What is loaded is read from the files that Apache would read, so that a plan knows it; after a change Apache itself is asked, which says
//! too what is wrong with its configuration.

use std::path::{Path, PathBuf};

use super::{Context, Entry, Mode, Module, Next, Outcome, Plan, State};
use crate::system::{Accept, Action, ActionOutcome, Command, Effect, Error, Ownership, Result, System};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Apache2Module>(&["apache2_module", "community.general.apache2_module"]);

const AVAILABLE: &str = "/etc/apache2/mods-available";
const ENABLED: &str = "/etc/apache2/mods-enabled";
/// What Debian builds in: `apache2ctl -l`.
const BUILT_IN: [&str; 8] =
    ["core_module", "so_module", "watchdog_module", "http_module", "log_config_module", "logio_module", "version_module", "unixd_module"];

arguments! {
    /// Enable and disable modules of Apache. Arguments and results as in `community.general.apache2_module`.
    pub struct Apache2Module {
        /// The module, as a2enmod takes it.
        name: String [required],
        /// Its name inside of Apache; by default the name with `_module`, as most have it.
        identifier: Option<String>,
        /// Disable it though Debian warns.
        force: bool [default("no")],
        /// Whether it is enabled.
        state: State [default("present")],
        /// Apache's configuration may be wrong afterwards, as between two `mpm_` modules.
        ignore_configcheck: bool [default("no")],
        /// Warn where no `mpm_` module is left.
        warn_mpm_absent: bool [default("yes")],
    }
}

impl Module for Apache2Module {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let (system, name) = (context.system, self.name.as_str());
        let present = self.state == State::Present;
        let Some(control) = program(&["apache2ctl", "apachectl"], system)? else {
            let message = "Neither of apache2ctl nor apachectl found. At least one apache control binary is necessary.";
            return Err(Error::failed(message).hint("install it: `package: {name: apache2}`"));
        };
        if name == "cgi" && present && is_threaded(system)? {
            return Err(
                Error::failed("Your MPM seems to be threaded, therefore enabling cgi module is not allowed.").hint("`cgid` is for those")
            );
        }
        let word = if present { "enabled" } else { "disabled" };
        let outcome = Outcome::ok().with("result", format!("Module {name} {word}"));
        if self.is_loaded(system)? == present {
            return Ok(Plan::done(outcome));
        }
        let outcome = Outcome { changed: true, ..outcome };
        let tool = if present { "a2enmod" } else { "a2dismod" };
        let Some(path) = program(&[tool], system)?.or_else(|| (context.mode == Mode::Check).then(|| tool.to_owned())) else {
            return Err(Error::failed(format!("{tool} not found. Perhaps this system does not use {tool} to manage apache")));
        };
        let mut links = Vec::new();
        if present {
            self.find(name, &mut Vec::new(), &mut links, system)?;
        } else {
            for path in files(ENABLED, name) {
                if system.metadata(&path)?.is_some() {
                    links.push(Action::Remove { path });
                }
            }
        }
        let words = [Some(path.as_str()), (!present && self.force).then_some("-f"), Some(name)].into_iter().flatten();
        let verb = if present { "enable" } else { "disable" };
        let mut change = Command::new(format!("{verb} Apache's module {name}"), words).effect(Effect::Leaves(links));
        let mut ask = Command::new("ask Apache for its modules", [control.as_str(), "-M"]).effect(Effect::None);
        (change.accept, ask.accept) = (Accept::Any, Accept::Any);
        let module = self.clone();
        Ok(Plan::act(vec![Action::Run(change), Action::Run(ask)], outcome.clone()).then(move |outcomes, _| {
            let [change, ask] = outcomes else { return Err(Error::failed("two commands were to be run")) };
            module.judge(outcome, change, ask, &control).map(Next::Done)
        }))
    }
}

impl Apache2Module {
    /// What Apache calls it.
    fn identifier(&self) -> String {
        let name = self.name.as_str();
        if let Some(given) = self.identifier.as_ref().filter(|given| !given.is_empty()) {
            return given.clone();
        }
        let is_version = |letter: char| letter.is_ascii_digit() || letter == '.';
        let version = name.strip_prefix("php").filter(|version| version.starts_with(is_version));
        match version {
            _ if name.contains("shib") => "mod_shib".to_owned(),
            _ if name.contains("evasive") => "evasive20_module".to_owned(),
            // Since 8 all are one.
            Some(_) if name.contains("php8") => "php_module".to_owned(),
            Some(version) if version[1..].starts_with('.') && !version.starts_with('.') => format!("php{}_module", &version[..1]),
            _ => format!("{name}_module"),
        }
    }

    /// Whether Apache would load it.
    fn is_loaded(&self, system: &dyn System) -> Result<bool> {
        let wanted = self.identifier();
        if BUILT_IN.iter().any(|name| name.starts_with(&wanted)) {
            return Ok(true);
        }
        for name in system.list(Path::new(ENABLED))?.unwrap_or_default() {
            if name.rsplit_once('.').is_none_or(|(_, ending)| ending != "load") {
                continue;
            }
            let text = system.read(&Path::new(ENABLED).join(name))?.unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let loads = |line: &str| {
                let mut words = line.split_whitespace();
                words.next().is_some_and(|word| word.eq_ignore_ascii_case("LoadModule"))
                    && words.next().is_some_and(|name| name.starts_with(&wanted))
            };
            if text.lines().any(loads) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The links that a2enmod makes: of the module, and of those that it says it depends on.
    fn find(&self, name: &str, seen: &mut Vec<String>, links: &mut Vec<Action>, system: &dyn System) -> Result<()> {
        if seen.iter().any(|known| known == name) {
            return Ok(());
        }
        seen.push(name.to_owned());
        let load = Path::new(AVAILABLE).join(format!("{name}.load"));
        let Some(text) = system.read(&load)? else {
            return Err(Error::failed(format!("enable Apache's module {}: there is no {}", self.name, load.display()))
                .hint("the package that brings the module is to be installed first"));
        };
        for needed in
            String::from_utf8_lossy(&text).lines().filter_map(|line| line.strip_prefix("# Depends:")).flat_map(str::split_whitespace)
        {
            self.find(needed, seen, links, system)?;
        }
        for (available, enabled) in files(AVAILABLE, name).into_iter().zip(files(ENABLED, name)) {
            if system.metadata(&available)?.is_some() && system.metadata(&enabled)?.is_none() {
                let target = Path::new("../mods-available").join(available.file_name().unwrap_or_default());
                links.push(Action::Symlink { path: enabled, target, ownership: Ownership::default() });
            }
        }
        Ok(())
    }

    /// What Apache says afterwards.
    fn judge(&self, mut outcome: Outcome, change: &ActionOutcome, ask: &ActionOutcome, control: &str) -> Result<Outcome> {
        let text = |bytes: &crate::program::Bytes| String::from_utf8_lossy(&bytes.0).into_owned();
        let (name, present) = (self.name.as_str(), self.state == State::Present);
        let (said, complaint) = (text(&ask.stdout), text(&ask.stderr));
        let mut is_loaded = said.contains(&format!(" {}", self.identifier()));
        if ask.rc != Some(0) {
            let message = format!("Error executing {control}: {complaint}");
            let is_without_mpm = complaint.contains("AH00534") && name.contains("mpm_");
            if !self.ignore_configcheck {
                return Err(Error::failed(message).hint("`ignore_configcheck: true` goes on, where a next task mends it"));
            }
            if !is_without_mpm {
                outcome.warnings.push(message);
            } else if self.warn_mpm_absent {
                let warning =
                    "No MPM module loaded! apache2 reload AND other module actions will fail if no MPM module is loaded immediately.";
                outcome.warnings.push(warning.to_owned());
            }
            is_loaded = false;
        }
        if is_loaded == present {
            return Ok(outcome);
        }
        let (stdout, stderr) = (text(&change.stdout), text(&change.stderr));
        let message = format!(
            "Failed to set module {name} to {}:\n{stdout}\nMaybe the module identifier ({}) was guessed incorrectly.Consider setting the \
             \"identifier\" option.",
            if present { "enabled" } else { "disabled" },
            self.identifier()
        );
        Err(Error::failed(message).detail("rc", i64::from(change.rc.unwrap_or(-1))).output(&stdout, &stderr))
    }
}

fn files(folder: &str, name: &str) -> [PathBuf; 2] {
    ["load", "conf"].map(|ending| Path::new(folder).join(format!("{name}.{ending}")))
}

fn program(names: &[&str], system: &dyn System) -> Result<Option<String>> {
    for name in names {
        if let Some(path) = system.executable(name)? {
            return Ok(Some(path.to_string_lossy().into_owned()));
        }
    }
    Ok(None)
}

fn is_threaded(system: &dyn System) -> Result<bool> {
    for name in ["mpm_worker", "mpm_event"] {
        if system.metadata(&files(ENABLED, name)[0])?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
