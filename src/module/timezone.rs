//! `timezone`: the machine's time zone, and what its hardware clock shows.
//!
//! Where systemd runs, /etc/localtime says the zone (localtime(5)), and it is set there: timedated, which Ansible asks to do that, tells the
//! kernel besides, and the first time since the boot the kernel takes that for the hardware clock's zone and moves its clock by hours. From
//! inside of a container that is the clock of the machine around it. Elsewhere Debian's own files and tools do it. What the hardware clock
//! shows is read from the third line of adjtime (hwclock(8)).

use std::path::Path;

use serde_json::json;

use super::file_arguments::{followed, fresh};
use super::{Choice, Context, Diff, Entry, Mode, Module, Next, Outcome, Plan};
use crate::system::{Action, Command, Effect, Error, FileKind, Ownership, Result, System};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Timezone>(&["timezone", "community.general.timezone"]);

const ZONES: &str = "/usr/share/zoneinfo";
const LOCALTIME: &str = "/etc/localtime";
const ZONE_FILE: &str = "/etc/timezone";
const CLOCK_FILE: &str = "/etc/default/rcS";
const ADJTIME: &str = "/etc/adjtime";
/// systemd names the kind of container that it runs in here.
const CONTAINER: &str = "/run/systemd/container";
/// What holds where files say nothing that is known.
const NOTHING: &str = "n/a";

arguments! {
    /// Set the time zone. Arguments and results as in `community.general.timezone`.
    pub struct Timezone {
        /// What the hardware clock shows.
        hwclock: Option<Clock> [aliases(&["rtc"])],
        /// The zone: `Europe/Berlin`.
        name: Option<String>,
    }
    rules { required_one_of(&["hwclock", "name"]) }
}

choices! {
    /// What a hardware clock shows.
    pub enum Clock {
        /// The time of the zone.
        Local = "local",
        /// UTC.
        Utc = "UTC",
    }
}

/// What keeps the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// systemd's files.
    Systemd,
    /// Debian's files and tools.
    Debian,
}

/// What is set: `hwclock` before `name`, as Ansible has them.
type Values = Vec<(&'static str, String)>;

impl Module for Timezone {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let system = context.system;
        let way = Way::of(system)?;
        if let Some(zone) = &self.name {
            let is_zone = followed(&Path::new(ZONES).join(zone), system)?.is_some_and(|found| found.kind == FileKind::File);
            if !is_zone || zone.is_empty() {
                return Err(Error::failed(format!("Error message:\ngiven timezone \"{zone}\" is not available"))
                    .hint(format!("zones are the files below {ZONES}, of the package tzdata")));
            }
        }
        let wanted = self.wanted();
        let before = way.values(&wanted, system)?;
        let mut outcome = Outcome { changed: before != wanted, ..Outcome::ok() };
        if context.diff && outcome.changed {
            let state = |values: &Values| values.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
            outcome.diff.push(Diff::of_values(&state(&before), &state(&wanted)));
        }
        let (mut actions, mut messages) = (Vec::new(), Vec::new());
        for ((name, value), _) in wanted.iter().zip(&before).filter(|(wanted, before)| wanted != before) {
            match (*name, way) {
                ("name", Way::Systemd) => zone_by_systemd(value, system, &mut actions)?,
                ("name", Way::Debian) => zone_by_debian(value, system, &mut actions, &mut messages)?,
                (_, Way::Systemd) => clock_by_systemd(value, system, &mut actions, &mut messages)?,
                (_, Way::Debian) => clock_by_debian(value, system, &mut actions, &mut messages)?,
            }
        }
        if !messages.is_empty() && context.mode != Mode::Check {
            outcome = outcome.with("msg", messages.join("\n"));
        }
        if actions.is_empty() {
            return Ok(Plan::done(outcome));
        }
        let predicted = outcome.clone();
        Ok(Plan::act(actions, predicted).then(move |_, system| {
            let after = way.values(&wanted, system)?;
            if after == wanted {
                return Ok(Next::Done(outcome));
            }
            // As Python writes a mapping.
            let shown = |values: &Values| values.iter().map(|(name, value)| format!("'{name}': '{value}'")).collect::<Vec<_>>().join(", ");
            let message = format!(
                "Error message:\nstill not desired state, though changes have made - planned: {{{}}}, after: {{{}}}\nOther message(s):\n{}",
                shown(&wanted),
                shown(&after),
                messages.join("\n")
            );
            Err(Error::failed(message))
        }))
    }
}

impl Timezone {
    fn wanted(&self) -> Values {
        let clock = self.hwclock.map(|clock| ("hwclock", clock.word().to_owned()));
        clock.into_iter().chain(self.name.clone().map(|name| ("name", name))).collect()
    }
}

impl Way {
    fn of(system: &dyn System) -> Result<Self> {
        Ok(if system.init()? == "systemd" { Way::Systemd } else { Way::Debian })
    }

    /// What holds of what is wanted.
    fn values(self, wanted: &Values, system: &dyn System) -> Result<Values> {
        let value = |(name, wanted): &(&'static str, String)| {
            let value = match (*name, self) {
                ("name", Way::Systemd) => linked_zone(system)?.unwrap_or_else(|| NOTHING.to_owned()),
                ("name", Way::Debian) => zone_of_files(wanted, system)?,
                (_, Way::Systemd) => clock_of_adjtime(system)?,
                (_, Way::Debian) => clock_of_files(wanted, system)?,
            };
            Ok((*name, value))
        };
        wanted.iter().map(value).collect()
    }
}

fn text(path: &str, system: &dyn System) -> Result<Option<String>> {
    Ok(system.read(Path::new(path))?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// The zone that /etc/localtime leads to, as timedated reads it: no link at all is UTC.
fn linked_zone(system: &dyn System) -> Result<Option<String>> {
    let path = Path::new(LOCALTIME);
    match system.metadata(path)? {
        None => return Ok(Some("UTC".to_owned())),
        Some(found) if found.kind != FileKind::Symlink => return Ok(None),
        Some(_) => {}
    }
    let target = system.read_link(path)?.unwrap_or_default();
    let zone = ["/usr/share/zoneinfo/", "../usr/share/zoneinfo/"].into_iter().find_map(|folder| target.strip_prefix(folder).ok());
    let Some(zone) = zone else { return Ok(None) };
    let is_there = followed(&Path::new(ZONES).join(zone), system)?.is_some();
    Ok(is_there.then(|| zone.to_string_lossy().into_owned()))
}

/// The first word at the beginning of a line of /etc/timezone; where it is the wanted one, /etc/localtime has to say the same.
fn zone_of_files(wanted: &str, system: &dyn System) -> Result<String> {
    let file = text(ZONE_FILE, system)?.unwrap_or_default();
    let first = file.lines().find(|line| names_zone(line)).and_then(|line| line.split_whitespace().next());
    let Some(first) = first else { return Ok(NOTHING.to_owned()) };
    if first != wanted {
        return Ok(first.to_owned());
    }
    let path = Path::new(LOCALTIME);
    if let Some(target) = system.read_link(path)? {
        let target = target.to_string_lossy().into_owned();
        let behind = |folder: &str| target.find(folder).map(|at| target[at + folder.len()..].to_owned());
        let zone = behind("/usr/share/zoneinfo/").or_else(|| behind("/etc/zoneinfo/"));
        let is_there = followed(path, system)?.is_some();
        return Ok(zone.filter(|_| is_there).unwrap_or_else(|| NOTHING.to_owned()));
    }
    let same = system.read(path)?.is_some_and(|found| system.read(&Path::new(ZONES).join(wanted)).ok().flatten() == Some(found));
    Ok(if same { wanted.to_owned() } else { NOTHING.to_owned() })
}

fn names_zone(line: &str) -> bool {
    line.starts_with(|letter: char| !letter.is_whitespace())
}

fn clock_of_adjtime(system: &dyn System) -> Result<String> {
    let file = text(ADJTIME, system)?.unwrap_or_default();
    let word = file.lines().find(|line| matches!(*line, "UTC" | "LOCAL"));
    Ok(if word == Some("LOCAL") { Clock::Local } else { Clock::Utc }.word().to_owned())
}

/// What Debian's file says; where that is the wanted one, adjtime has to say the same.
fn clock_of_files(wanted: &str, system: &dyn System) -> Result<String> {
    let file = text(CLOCK_FILE, system)?.unwrap_or_default();
    let word = file.lines().find_map(clock_word);
    let Some(word) = word else { return Ok(NOTHING.to_owned()) };
    let is_utc = super::arguments::boolean(&crate::program::Value::text(word)).unwrap_or(false);
    let value = if is_utc { Clock::Utc } else { Clock::Local }.word();
    if value == wanted { clock_of_adjtime(system) } else { Ok(value.to_owned()) }
}

/// `yes` of `UTC=yes`.
fn clock_word(line: &str) -> Option<&str> {
    line.strip_prefix("UTC")?.trim_start().strip_prefix('=')?.split_whitespace().next()
}

fn link(target: String) -> Action {
    Action::Symlink { path: LOCALTIME.into(), target: target.into(), ownership: Ownership::default() }
}

fn executed(words: &[String]) -> String {
    format!("executed `{}`", words.join(" "))
}

fn zone_by_systemd(zone: &str, system: &dyn System, actions: &mut Vec<Action>) -> Result<()> {
    actions.push(link(format!("../usr/share/zoneinfo/{zone}")));
    // Debian's programs read it too, where it is there.
    let file = system.canonical(Path::new(ZONE_FILE))?;
    if system.metadata(&file)?.is_some() {
        actions.push(Action::write(file, format!("{zone}\n").into(), Ownership::default()));
    }
    Ok(())
}

/// The hardware clock is one for the machine and all containers on it.
fn outside(system: &dyn System) -> Result<()> {
    if system.metadata(Path::new(CONTAINER))?.is_none() {
        return Ok(());
    }
    Err(Error::failed("set the hardware clock: this is a container, the clock is that of the machine around it")
        .hint("set it on that machine, and `name` alone here"))
}

fn clock_by_systemd(value: &str, system: &dyn System, actions: &mut Vec<Action>, messages: &mut Vec<String>) -> Result<()> {
    outside(system)?;
    let Some(program) = system.executable("timedatectl")? else {
        return Err(Error::failed("Failed to find required executable \"timedatectl\"").hint("it is systemd's"));
    };
    let program = program.to_string_lossy();
    let is_local = value == Clock::Local.word();
    let words = [&*program, "set-local-rtc", if is_local { "yes" } else { "no" }].map(str::to_owned);
    messages.push(executed(&words));
    let path = Path::new(ADJTIME);
    let former = text(ADJTIME, system)?;
    let mut lines: Vec<&str> = former.as_deref().unwrap_or("0.0 0 0\n0\nUTC\n").lines().collect();
    lines.resize(lines.len().max(3), "");
    lines[2] = if is_local { "LOCAL" } else { "UTC" };
    let content = lines.join("\n") + "\n";
    // What says nothing is removed.
    let leaves = if content == "0.0 0 0\n0\nUTC\n" {
        Action::Remove { path: path.into() }
    } else {
        Action::write(path, content.into(), Ownership::default())
    };
    let label = format!("let the hardware clock show {value} time");
    actions.push(Action::Run(Command::new(label, words).effect(Effect::Leaves(vec![leaves]))));
    Ok(())
}

fn zone_by_debian(zone: &str, system: &dyn System, actions: &mut Vec<Action>, messages: &mut Vec<String>) -> Result<()> {
    let Some(reconfigure) = system.executable("dpkg-reconfigure")? else {
        return Err(Error::failed("set the time zone: neither systemd runs here, nor is there dpkg-reconfigure")
            .hint("dpkg-reconfigure is in Debian's package debconf"));
    };
    actions.push(edit(ZONE_FILE, names_zone, &format!("{zone}\n"), system, messages)?);
    actions.push(link(format!("{ZONES}/{zone}")));
    let words = [reconfigure.to_string_lossy().into_owned(), "--frontend".to_owned(), "noninteractive".to_owned(), "tzdata".to_owned()];
    let answers = Effect::Unsure(vec!["/var/cache/debconf/config.dat".into()]);
    actions.push(Action::Run(Command::new("configure the package tzdata", words).effect(answers)));
    Ok(())
}

fn clock_by_debian(value: &str, system: &dyn System, actions: &mut Vec<Action>, messages: &mut Vec<String>) -> Result<()> {
    outside(system)?;
    let Some(program) = system.executable("hwclock")? else {
        return Err(
            Error::failed("Failed to find required executable \"hwclock\"").hint("it is in the package util-linux-extra, or util-linux")
        );
    };
    let (word, option) = if value == Clock::Local.word() { ("no", "--localtime") } else { ("yes", "--utc") };
    actions.push(edit(CLOCK_FILE, |line| clock_word(line).is_some(), &format!("UTC={word}\n"), system, messages)?);
    let words = [program.to_string_lossy().into_owned(), "--systohc".to_owned(), option.to_owned()];
    messages.push(executed(&words));
    let label = format!("let the hardware clock show {value} time");
    actions.push(Action::Run(Command::new(label, words).effect(Effect::Unsure(vec![ADJTIME.into()]))));
    Ok(())
}

/// The file with this line in place of all that say the same.
fn edit(path: &str, says: impl Fn(&str) -> bool, line: &str, system: &dyn System, messages: &mut Vec<String>) -> Result<Action> {
    let former = text(path, system)?.unwrap_or_default();
    let mut lines: Vec<&str> = former.split_inclusive('\n').collect();
    let first = lines.iter().position(|line| says(line)).unwrap_or(0);
    let count = lines.len();
    lines.retain(|line| !says(line));
    messages.push(format!("Added 1 line and deleted {} line(s) on {path}", count - lines.len()));
    lines.insert(first, line);
    let path = system.canonical(Path::new(path))?;
    let is_new = system.metadata(&path)?.is_none();
    let ownership = if is_new { Ownership::mode(fresh(FileKind::File).mode) } else { Ownership::default() };
    Ok(Action::write(path, lines.concat().into(), ownership))
}
