//! `sysctl`: kernel parameters, in a file and in the running kernel.

use super::arguments::PathText;
use super::file_arguments::{FileArguments, fresh};
use super::{Context, Entry, Module, Outcome, Plan, State};
use crate::program::Bytes;
use crate::system::{Action, Content, Error, FileKind, Ownership, Result, System};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Sysctl>(&["sysctl", "ansible.posix.sysctl"]);

arguments! {
    /// Keep kernel parameters. Arguments and results as in `ansible.posix.sysctl`.
    pub struct Sysctl {
        /// The parameter, dotted: `net.ipv4.ip_forward`.
        name: String [required, aliases(&["key"])],
        /// Its value; `yes` and `no` are 1 and 0.
        value: Option<String> [aliases(&["val"])],
        /// Whether the file has it.
        state: State [default("present")],
        /// Load the file's values into the kernel when something changed.
        reload: bool [default("yes")],
        /// Set the value in the running kernel too.
        sysctl_set: bool [default("no")],
        /// A parameter that this kernel has not is no error.
        ignoreerrors: bool [default("no")],
        /// The file.
        sysctl_file: PathText [default("/etc/sysctl.conf")],
        file: FileArguments,
    }
    rules { required_if("state", "present", &["value"]) }
}

impl Module for Sysctl {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let name = self.name.trim();
        let value = value(self.value.as_deref().unwrap_or_default());
        let present = self.state == State::Present;
        if name.is_empty() {
            return Err(Error::failed("name cannot be blank"));
        }
        if present && value.is_empty() {
            return Err(Error::failed("value cannot be blank"));
        }
        let system = context.system;
        let path = self.sysctl_file.path();
        let former = system.read(path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let lines = rewritten(&former, name, present.then_some(value.as_str()));
        let in_file = settings(&former).into_iter().rfind(|(known, _)| known == name).map(|(_, value)| value);
        let running = system.sysctl(name)?;
        let running_is_right = running.as_deref().is_some_and(|running| same(running, &value));
        let writes = match &in_file {
            None => present,
            Some(known) => !present || *known != value,
        };
        let wants_kernel = present && !running_is_right && (self.reload || self.sysctl_set);
        if wants_kernel && running.is_none() && !self.ignoreerrors {
            return Err(Error::failed(format!("setting {name} failed: this kernel has no such parameter"))
                .hint("its module is not loaded yet (`modprobe` first), or `ignoreerrors: true`"));
        }
        let mut actions = Vec::new();
        let mut warnings = Vec::new();
        if wants_kernel && running.is_some() {
            actions.push(Action::SetSysctl { name: name.to_owned(), value: value.clone() });
        }
        let found = system.metadata(path)?;
        if writes {
            let like = found.unwrap_or_else(|| fresh(FileKind::File));
            actions.push(Action::WriteFile {
                path: path.to_owned(),
                content: Content::Inline(Bytes(lines.clone().into_bytes().into())),
                ownership: self.file.wanted(path, &like, system)?,
                backup: false,
                unsafe_writes: self.file.unsafe_writes,
                validate: None,
            });
        } else if found.is_some() {
            let ownership = self.file.difference(path, system)?;
            if ownership != Ownership::default() {
                actions.push(Action::SetOwnership { path: path.to_owned(), ownership, follow: true });
            }
        }
        if self.reload && !actions.is_empty() {
            let others = settings(&lines).into_iter().filter(|(known, _)| known != name);
            reload(others, system, &mut actions, &mut warnings)?;
        }
        let outcome = Outcome { changed: !actions.is_empty(), warnings, ..Outcome::ok() };
        Ok(Plan::act(actions, outcome))
    }
}

/// What `sysctl -p FILE` would set besides: every other line whose value the kernel has not yet.
fn reload(others: impl Iterator<Item = (String, String)>, system: &dyn System, actions: &mut Vec<Action>, warnings: &mut Vec<String>) -> Result<()> {
    let mut last: indexmap::IndexMap<String, String> = indexmap::IndexMap::new();
    last.extend(others);
    for (name, value) in last {
        let (name, optional) = name.strip_prefix('-').map_or((name.as_str(), false), |name| (name.trim(), true));
        match system.sysctl(name) {
            Ok(Some(running)) if same(&running, &value) => {}
            Ok(None) if optional => {}
            Ok(None) => warnings.push(format!("this kernel has no parameter {name}, which the file sets")),
            Ok(Some(_)) => actions.push(Action::SetSysctl { name: name.to_owned(), value }),
            Err(error) if error.unknown_cause().is_some() => return Err(error),
            // A parameter that can only be written.
            Err(_) => actions.push(Action::SetSysctl { name: name.to_owned(), value }),
        }
    }
    Ok(())
}

/// Ansible's words of truth become digits.
fn value(text: &str) -> String {
    match text.trim().to_lowercase().as_str() {
        "y" | "yes" | "on" | "1" | "true" | "t" | "1.0" => "1".to_owned(),
        "n" | "no" | "off" | "0" | "false" | "f" | "0.0" => "0".to_owned(),
        _ => text.trim().to_owned(),
    }
}

/// The same numbers, whatever stands between them.
fn same(running: &str, wanted: &str) -> bool {
    running.split_whitespace().eq(wanted.split_whitespace())
}

/// Name and value of a line that is no comment.
fn setting(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    let (name, value) = line.split_once('=').filter(|_| !line.starts_with(['#', ';']))?;
    Some((name.trim(), value.trim()))
}

fn settings(text: &str) -> Vec<(String, String)> {
    text.lines().filter_map(setting).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The whole file with the parameter set (or not): each name once, at its first place, as `name=value`.
fn rewritten(former: &str, name: &str, value: Option<&str>) -> String {
    let mut seen: Vec<&str> = Vec::new();
    let mut text = String::new();
    let mut add = |line: &str| {
        text.push_str(line.trim());
        text.push('\n');
    };
    for line in former.lines() {
        let Some((known, old)) = setting(line) else {
            add(line);
            continue;
        };
        if seen.contains(&known) {
            continue;
        }
        seen.push(known);
        let new = if known == name { value } else { Some(old) };
        if let Some(new) = new {
            add(&format!("{known}={new}"));
        }
    }
    if let Some(value) = value.filter(|_| !seen.contains(&name)) {
        add(&format!("{name}={value}"));
    }
    text
}
