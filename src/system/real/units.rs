//! systemd units of this machine, by `systemctl show`.

use std::collections::HashMap;
use std::process::{Command, Output, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::system::{Error, Result, Unit, UnitScope};

/// A unit may change by itself: what was read holds only for one task's plan.
const HOLDS: Duration = Duration::from_millis(500);

type Known = HashMap<(UnitScope, String), (Instant, Unit)>;

static CACHE: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);

/// After a command ran, units are read again.
pub(in crate::system) fn forget() {
    CACHE.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

pub(super) fn unit(name: &str, scope: UnitScope) -> Result<Unit> {
    let key = (scope, name.to_owned());
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((read, unit)) = cache.get(&key)
        && read.elapsed() < HOLDS
    {
        return Ok(unit.clone());
    }
    let unit = match scope {
        UnitScope::Global => global(name)?,
        _ => show(name, scope)?,
    };
    cache.insert(key, (Instant::now(), unit.clone()));
    Ok(unit)
}

fn show(name: &str, scope: UnitScope) -> Result<Unit> {
    let output = systemctl(scope, &["show", "--no-pager", "--", name])?;
    let said = String::from_utf8_lossy(&output.stderr);
    // A chroot's systemctl says that it ignores the request, with success.
    let ignored = output.stdout.is_empty() && (said.contains("ignoring request") || said.contains("ignoring command"));
    if !output.status.success() || ignored {
        return offline(name, scope, &said);
    }
    let properties = properties(&String::from_utf8_lossy(&output.stdout));
    let property = |name: &str| properties.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).unwrap_or_default();
    Ok(Unit {
        load_state: property("LoadState"),
        active_state: property("ActiveState"),
        unit_file_state: property("UnitFileState"),
        properties,
    })
}

/// What the unit files alone say, where no manager answers.
fn offline(name: &str, scope: UnitScope, said: &str) -> Result<Unit> {
    let state = file_state(name, scope)?;
    if state.is_empty() && !said.contains("ignoring") {
        return Err(Error::failed(format!("systemctl show {name}: {}", said.trim())));
    }
    let load_state = if state.is_empty() { "not-found" } else { "loaded" };
    Ok(Unit { load_state: load_state.to_owned(), active_state: String::new(), unit_file_state: state, properties: Vec::new() })
}

/// `--global` has no manager to ask: only links of unit files.
fn global(name: &str) -> Result<Unit> {
    let state = file_state(name, UnitScope::Global)?;
    let load_state = if state.is_empty() { "not-found" } else { "loaded" }.to_owned();
    let properties =
        vec![("Id".to_owned(), name.to_owned()), ("LoadState".to_owned(), load_state.clone()), ("UnitFileState".to_owned(), state.clone())];
    Ok(Unit { load_state, active_state: String::new(), unit_file_state: state, properties })
}

/// `systemctl is-enabled`'s word; empty where there is no unit file.
fn file_state(name: &str, scope: UnitScope) -> Result<String> {
    let output = systemctl(scope, &["is-enabled", "--", name])?;
    let word = String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().trim().to_owned();
    Ok(if word == "not-found" { String::new() } else { word })
}

fn systemctl(scope: UnitScope, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(super::files::executable("systemctl").ok_or_else(|| {
        Error::failed("there is no systemctl on this machine").hint("units need systemd; `service` also knows init scripts")
    })?);
    match scope {
        UnitScope::System => {}
        UnitScope::User => drop(command.arg("--user")),
        UnitScope::Global => drop(command.arg("--global")),
    }
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        command.env("XDG_RUNTIME_DIR", format!("/run/user/{}", nix::unistd::geteuid()));
    }
    command.args(arguments).env("LC_ALL", "C").stdin(Stdio::null());
    command.output().map_err(|error| Error::io(format_args!("systemctl {}", arguments.join(" ")), &error))
}

/// `Name=value` lines; values of `Exec…` that open a brace go on to the line that closes it.
fn properties(text: &str) -> Vec<(String, String)> {
    let mut properties: Vec<(String, String)> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        if open {
            if let Some((_, value)) = properties.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
            open = !line.trim_end().ends_with('}');
        } else if let Some((name, value)) = line.split_once('=') {
            open = name.starts_with("Exec") && value.trim_start().starts_with('{') && !value.trim_end().ends_with('}');
            properties.push((name.to_owned(), value.trim().to_owned()));
        }
    }
    // One property may be printed more than once (`ExecStart`): the last is shown, as in Ansible.
    let mut last: Vec<(String, String)> = Vec::new();
    for (name, value) in properties {
        match last.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => last.push((name, value)),
        }
    }
    last
}

/// What process 1 is, as `ansible_service_mgr` has it.
pub(super) fn init() -> Result<String> {
    super::facts::service_manager()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_hold_lines_together_only_in_commands() {
        let text = "Id=a.service\nDescription={not closed\nExecStart={ path=/bin/sh ; argv[]=/bin/sh -c echo\nmore ; }\nLoadState=loaded\n";
        let properties = properties(text);
        let names: Vec<&str> = properties.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["Id", "Description", "ExecStart", "LoadState"]);
        assert!(properties[2].1.ends_with("\nmore ; }"));
    }
}
