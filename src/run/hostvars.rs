//! `hostvars` as the controller answers it: inventory, and what the host has told since.

use std::sync::Arc;

use super::lookup::Lookups;
use super::{Failure, HostVariables};
use crate::agent::frame::PLAYBOOK_DIR;
use crate::program::{Key, Layer, Map, Tree, Value};
use crate::template::jinja::Jinja;
use crate::template::{Error, Result, Scope};

/// One host's variables, evaluated on demand in its own scope. Not the play's: those belong to tasks.
pub struct HostScope<'run> {
    pub host: &'run str,
    pub inventory: &'run HostVariables,
    /// The folder of the playbook whose play asks ([`crate::program::Play::folder`]).
    pub folder: usize,
    pub extra: &'run Layer,
    /// Facts, registered variables, `set_fact`.
    pub published: &'run Map,
    /// How many hosts read each other to get here, so that a circle is told.
    pub depth: u32,
    pub others: &'run dyn Others,
    pub lookups: &'run Lookups,
    /// Of the play that asks.
    pub playbook_dir: Option<&'run str>,
}

/// The hosts that a variable of one may read by `hostvars`.
pub trait Others {
    /// Reads in another host's scope; an error where there is none, or where it has not come so far yet.
    fn read(&self, host: &str, depth: u32, read: &mut dyn FnMut(&HostScope<'_>)) -> Result<()>;

    /// All of them.
    fn names(&self) -> Vec<Arc<str>>;
}

/// More hosts than this in a row read each other in a circle.
const DEEPEST: u32 = 30;

impl HostScope<'_> {
    fn find(&self, name: &str) -> Option<Arc<Tree>> {
        let of_layer = |layer: &Layer| layer.get(name).map(|variable| Arc::clone(&variable.value));
        let literal = |value: &Value| Arc::new(Tree::Literal(value.clone()));
        of_layer(self.extra)
            .or_else(|| self.published.get(name).map(literal))
            .or_else(|| self.layers().iter().rev().find_map(of_layer))
            .or_else(|| self.inventory.magic.get(name).map(literal))
            .or_else(|| match name {
                "inventory_hostname" => Some(literal(&Value::text(self.host))),
                "inventory_hostname_short" => Some(literal(&Value::text(self.host.split('.').next().unwrap_or_default()))),
                "ansible_facts" => Some(literal(&Value::map(self.facts()))),
                // In a plan, of a host that cannot be reached yet.
                _ if name.starts_with("ansible_") => {
                    self.published.get("ansible_facts").filter(|facts| matches!(facts, Value::Unknown(_))).map(literal)
                }
                _ => None,
            })
    }

    fn layers(&self) -> &[Layer] {
        self.inventory.in_folders.get(self.folder).map_or(&[], Vec::as_slice)
    }

    fn facts(&self) -> Map {
        let facts = self.published.iter().filter_map(|(key, value)| {
            let name = key.text();
            name.strip_prefix("ansible_").map(|short| (Key::from(short), value.clone()))
        });
        facts.collect()
    }

    fn in_scope<T>(&self, host: &str, read: impl Fn(&HostScope<'_>) -> Result<T>) -> Result<T> {
        if host == self.host {
            return read(self);
        }
        if self.depth >= DEEPEST {
            return Err(Error::failed(format!("variables of {} and {host} read each other in a circle", self.host)));
        }
        let mut found = None;
        self.others.read(host, self.depth + 1, &mut |scope| found = Some(read(scope)))?;
        found.unwrap_or_else(|| Err(Error::failed(format!("hostvars['{host}'] was not read"))))
    }

    /// The value; `None`: no such variable.
    pub fn value(&self, name: &str) -> Result<Option<Value>> {
        match self.find(name) {
            Some(tree) => Jinja::new(self).evaluate(&tree).map(Some),
            None => Ok(None),
        }
    }

    /// All of them. What cannot be evaluated here (it reads a play's variables) is left out, as Ansible leaves it a template.
    pub fn values(&self) -> Map {
        self.names().into_iter().filter_map(|name| Some((Key::from(Arc::clone(&name)), self.value(&name).ok()??))).collect()
    }
}

impl Scope for HostScope<'_> {
    fn variable(&self, name: &str) -> Result<Option<Arc<Tree>>> {
        Ok(self.find(name))
    }

    fn names(&self) -> Vec<Arc<str>> {
        let layers = self.layers().iter().chain([self.extra]);
        let mut names: Vec<Arc<str>> = layers.flat_map(|layer| layer.variables.iter().map(|variable| Arc::clone(&variable.name))).collect();
        names.extend(self.published.keys().chain(self.inventory.magic.keys()).map(|key| Arc::from(&*key.text())));
        names.extend(["inventory_hostname", "inventory_hostname_short", "ansible_facts"].map(Arc::from));
        names.sort_unstable();
        names.dedup();
        names
    }

    fn host_variable(&self, host: &str, name: &str) -> Result<Option<Value>> {
        self.in_scope(host, |scope| scope.value(name))
    }

    fn host_variables(&self, host: &str) -> Result<Map> {
        self.in_scope(host, |scope| Ok(scope.values()))
    }

    fn hosts(&self) -> Vec<Arc<str>> {
        self.others.names()
    }

    fn lookup(&self, plugin: &str, terms: &[Value], options: &Map) -> Result<Vec<Value>> {
        let mut options = options.clone();
        options.insert(PLAYBOOK_DIR.into(), self.playbook_dir.map_or(Value::Null, Value::text));
        self.lookups.answer(plugin, terms, &options).map_err(|Failure { message, hint }| {
            let error = Error::failed(message);
            match hint {
                Some(hint) => error.hint(hint),
                None => error,
            }
        })
    }
}
