//! `add_host`: a host of this run only.

use super::{Controlled, Engine, EngineModule, Entry, Outcome, Rest};
use crate::map;
use crate::program::{Map, Value};
use crate::system::{Error, Result};

/// The registry's entry.
pub static MODULE: Entry = Entry::engine::<AddHost>(&["add_host", "ansible.builtin.add_host"]);

arguments! {
    /// Add a host and its groups to the run's inventory. Arguments and results as in `ansible.builtin.add_host`; every other
    /// argument is a variable of the host.
    pub struct AddHost [open] {
        /// The host's name, with `:port` if need be.
        name: Option<String> [aliases(&["hostname"])],
        /// The same; Ansible keeps it as a variable too.
        host: Option<String>,
        /// Its groups: a list, or names with commas.
        groupname: Option<Value> [aliases(&["groups"]), kind(super::Kind::List(Box::new(super::Kind::Text)))],
        /// The same; Ansible keeps it as a variable too.
        group: Option<Value> [kind(super::Kind::List(Box::new(super::Kind::Text)))],
        /// The host's variables.
        variables: Rest,
    }
    rules { required_one_of(&["name", "host"]) }
}

impl EngineModule for AddHost {
    fn run(&self, engine: &mut dyn Engine) -> Result<Controlled> {
        let given = self.name.as_ref().or(self.host.as_ref()).ok_or_else(|| Error::failed("name, host or hostname needs to be provided"))?;
        let (name, port) = address(given);
        // What a host is reached with is nobody's to read.
        let is_password = |name: &str| name.starts_with("ansible_") && (name.ends_with("_password") || name.ends_with("_pass"));
        let variables = self.variables.0.iter();
        let mut variables: Map = variables
            .map(|(name, value)| (name.clone(), if is_password(&name.text()) { value.clone().into_secret() } else { value.clone() }))
            .collect();
        if let Some(host) = &self.host {
            variables.insert("host".into(), host.as_str().into());
        }
        if let Some(group) = &self.group {
            variables.insert("group".into(), group.clone());
        }
        if let Some(port) = port {
            variables.insert("ansible_ssh_port".into(), i64::from(port).into());
        }
        let groups = groups(self.groupname.as_ref().or(self.group.as_ref()))?;
        let changed = engine.add_host(&name, &groups, variables.clone())?;
        let added = map! { "host_name" => name, "groups" => groups, "host_vars" => variables };
        Ok(Controlled::Done(Outcome { changed, ..Outcome::ok() }.with("add_host", added)))
    }
}

fn groups(given: Option<&Value>) -> Result<Vec<String>> {
    let mut groups: Vec<String> = Vec::new();
    let mut add = |name: &str| {
        if !groups.iter().any(|known| known == name.trim()) {
            groups.push(name.trim().to_owned());
        }
    };
    match given {
        None | Some(Value::Null) => {}
        Some(Value::List(items) | Value::Tuple(items)) => {
            for item in items.iter() {
                add(&super::arguments::text(item).map_err(Error::failed)?);
            }
        }
        Some(Value::Text(text)) if text.as_str().is_empty() => {}
        Some(Value::Text(text)) => text.as_str().split(',').for_each(add),
        Some(_) => return Err(Error::failed("Groups must be specified as a list.")),
    }
    Ok(groups)
}

/// `host:22`, `[::1]:22`; a bare IPv6 address has no port.
fn address(given: &str) -> (String, Option<u16>) {
    let whole = || (given.to_owned(), None);
    if let Some((host, port)) = given.strip_prefix('[').and_then(|rest| rest.split_once("]:")) {
        return port.parse().map_or_else(|_| whole(), |port| (host.to_owned(), Some(port)));
    }
    match given.split_once(':') {
        Some((host, port)) if !port.contains(':') && !host.is_empty() => {
            port.parse().map_or_else(|_| whole(), |port| (host.to_owned(), Some(port)))
        }
        _ => whole(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_split_off_names_and_bracketed_addresses() {
        assert_eq!(address("web:2222"), ("web".to_owned(), Some(2222)));
        assert_eq!(address("[fe80::1]:22"), ("fe80::1".to_owned(), Some(22)));
        assert_eq!(address("fe80::1"), ("fe80::1".to_owned(), None));
        assert_eq!(address("web"), ("web".to_owned(), None));
        assert_eq!(address("web:name"), ("web:name".to_owned(), None));
    }
}
