//! Every service of this machine, by the programs that manage them.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use super::files::executable;
use crate::program::{Map, Value};
use crate::system::{Error, Result};

/// Words of `systemctl list-units` that say more than its third column.
const BAD: [&str; 3] = ["not-found", "masked", "failed"];

/// State, status, source.
type Service = (String, Option<String>, &'static str);
type Services = BTreeMap<String, Service>;

/// Services of init scripts and of systemd, as ansible-core's `service_facts` finds them.
pub(super) fn services(init: &str) -> Result<Map> {
    let mut found = Services::new();
    // `chkconfig` and `rc-status` are of systems without Debian's `service --status-all`.
    if executable("service").is_some() && executable("chkconfig").is_none() && executable("rc-status").is_none() {
        scripts(&said("service", &["--status-all"])?, &mut found);
    }
    if init == "systemd" && executable("systemctl").is_some() {
        units(&said("systemctl", &["list-units", "--no-pager", "--type", "service", "--all", "--plain"])?, &mut found);
        let others = unit_files(&said("systemctl", &["list-unit-files", "--no-pager", "--type", "service", "--all"])?, &mut found);
        states(others, &mut found)?;
    }
    let fields = |(name, (state, status, source)): (String, Service)| {
        let mut fields: Map = [("name".into(), Value::text(name.as_str())), ("state".into(), Value::text(state))].into_iter().collect();
        if let Some(status) = status {
            fields.insert("status".into(), Value::text(status));
        }
        fields.insert("source".into(), Value::text(source));
        (name.as_str().into(), fields.into())
    };
    Ok(found.into_iter().map(fields).collect())
}

/// What a program prints, whatever its exit status.
fn said(program: &str, arguments: &[&str]) -> Result<String> {
    let Some(path) = executable(program) else { return Ok(String::new()) };
    let output = Command::new(path).args(arguments).env("LC_ALL", "C").stdin(Stdio::null()).output();
    let output = output.map_err(|error| Error::io(format_args!("{program} {}", arguments.join(" ")), &error))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// ` [ + ]  ssh`; `?` says nothing.
fn scripts(text: &str, found: &mut Services) {
    for line in text.lines().map(str::trim_start) {
        for (mark, state) in [("[ + ]", "running"), ("[ - ]", "stopped")] {
            if let Some(name) = line.strip_prefix(mark).map(str::trim_start).filter(|name| !name.is_empty()) {
                found.insert(name.to_owned(), (state.to_owned(), None, "sysv"));
            }
        }
    }
}

/// `ssh.service loaded active running OpenBSD Secure Shell server`.
fn units(text: &str, found: &mut Services) {
    for line in text.lines().filter(|line| line.contains(".service")) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (Some(name), Some(active), Some(sub)) = (fields.first(), fields.get(2), fields.get(3)) else { continue };
        // The description is not looked at, but for all its words without the last: as Ansible.
        let bad = BAD.into_iter().find(|bad| fields[..fields.len() - 1].contains(bad));
        let state = if *sub == "running" { "running" } else { "stopped" };
        found.insert((*name).to_owned(), (state.to_owned(), Some(bad.unwrap_or(active).to_owned()), "systemd"));
    }
}

/// `ssh.service enabled enabled`: the final status; those that no unit is loaded of come back.
fn unit_files(text: &str, found: &mut Services) -> Vec<(String, String)> {
    let mut others = Vec::new();
    for line in text.lines().filter(|line| line.contains(".service")) {
        let mut fields = line.split_whitespace();
        let (Some(name), Some(status)) = (fields.next(), fields.next()) else { continue };
        match found.get_mut(name) {
            Some((_, Some(known), _)) if BAD.contains(&known.as_str()) => {}
            Some((_, known, _)) => *known = Some(status.to_owned()),
            None => others.push((name.to_owned(), status.to_owned())),
        }
    }
    others
}

/// Asks for the state of all of them at once; templates have none.
fn states(others: Vec<(String, String)>, found: &mut Services) -> Result<()> {
    let (templates, units): (Vec<_>, Vec<_>) = others.into_iter().partition(|(name, _)| name.contains("@."));
    found.extend(templates.into_iter().map(|(name, status)| (name, ("unknown".to_owned(), Some(status), "systemd"))));
    if units.is_empty() {
        return Ok(());
    }
    let arguments: Vec<&str> =
        ["show", "--property=Names,ActiveState", "--"].into_iter().chain(units.iter().map(|(name, _)| name.as_str())).collect();
    let said = said("systemctl", &arguments)?;
    for (name, status) in units {
        let state = state(&said, &name).to_owned();
        found.insert(name, (state, Some(status), "systemd"));
    }
    Ok(())
}

/// A unit's state among blocks of `Names=` and `ActiveState=`, aliases among the names. What systemd cannot load has no block.
fn state<'text>(said: &'text str, name: &str) -> &'text str {
    let property = |block: &'text str, property: &str| block.lines().find_map(|line| line.strip_prefix(property));
    let is_its = |block: &&'text str| property(block, "Names=").is_some_and(|names| names.split(' ').any(|other| other == name));
    said.split("\n\n").find(is_its).and_then(|block| property(block, "ActiveState=")).unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::{Services, scripts, state, unit_files, units};

    #[test]
    fn states_are_found_by_every_name() {
        let said = "Names=b.service alias.service\nActiveState=active\n\nActiveState=inactive\nNames=a.service\n";
        let names = ["a.service", "alias.service", "b.service", "gone.service"];
        assert_eq!(names.map(|name| state(said, name)), ["inactive", "active", "active", "unknown"]);
    }

    #[test]
    fn columns_become_states() {
        let mut found = Services::new();
        scripts(" [ + ]  cron\n [ - ]  dbus\n [ ? ]  odd\n", &mut found);
        units(
            "UNIT LOAD ACTIVE SUB DESCRIPTION\n\
             ssh.service loaded active running OpenBSD Secure Shell server\n\
             gone.service not-found inactive dead gone.service\n\
             broken.service loaded failed failed Broken\n\
             once.service loaded active exited Once\n",
            &mut found,
        );
        let others = unit_files(
            "UNIT FILE STATE PRESET\nssh.service enabled enabled\nbroken.service enabled enabled\ngetty@.service enabled enabled\n",
            &mut found,
        );
        let shown: Vec<String> = found
            .iter()
            .map(|(name, (state, status, source))| format!("{name} {state} {} {source}", status.as_deref().unwrap_or("-")))
            .collect();
        assert_eq!(
            shown,
            [
                "broken.service stopped failed systemd",
                "cron running - sysv",
                "dbus stopped - sysv",
                "gone.service stopped not-found systemd",
                "once.service stopped active systemd",
                "ssh.service running enabled systemd",
            ]
        );
        assert_eq!(others, [("getty@.service".to_owned(), "enabled".to_owned())]);
    }
}
