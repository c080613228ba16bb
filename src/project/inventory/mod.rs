//! The inventory: hosts, groups, and each host's variables in Ansible's order.

mod address;
mod change;
mod graph;
mod ini;
mod literal;
mod pattern;
mod sources;
mod vars;
mod words;
mod yaml;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;

use self::graph::{Graph, Owner};
pub use self::pattern::{Miss, Selection};
pub use self::vars::Adjacent;
use super::Files;
use crate::program::{Key, Layer, Map, Span, Tree, Value, Variable};
use crate::source::NOWHERE;

/// Names that mean this machine where no inventory names them.
const LOCALHOST: [&str; 3] = ["127.0.0.1", "localhost", "::1"];

#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// In the order of the sources.
    pub hosts: IndexMap<Arc<str>, Host>,
    /// `all` and `ungrouped` first.
    pub groups: IndexMap<Arc<str>, Group>,
    /// The sources, absolute, or as they were written where they are lists of hosts.
    pub sources: Vec<String>,
    /// `group_vars` and `host_vars` beside each source, in the sources' order.
    beside_sources: Vec<Adjacent>,
    /// Their folders.
    source_folders: Vec<PathBuf>,
    /// Beside playbooks, by the playbook's folder.
    beside_playbooks: BTreeMap<PathBuf, Adjacent>,
    /// So many hosts of `all` are its own, not those of groups below: they come first.
    first_of_all: usize,
}

#[derive(Clone, Debug)]
pub struct Host {
    pub name: Arc<str>,
    /// Where it was named first.
    pub span: Span,
    /// All groups it is in, `all` left out, lowest precedence first (depth, priority, name).
    pub groups: Vec<Arc<str>>,
    /// Variables from inventory sources.
    pub vars: Vec<Layer>,
    /// The file that named it first: `inventory_file`.
    pub source: Option<PathBuf>,
    /// It stands in no inventory: this machine.
    pub implicit: bool,
}

#[derive(Clone, Debug)]
pub struct Group {
    pub name: Arc<str>,
    pub span: Span,
    /// Its own and those of the groups below it, in order.
    pub hosts: Vec<Arc<str>>,
    /// Groups directly below it.
    pub children: Vec<Arc<str>>,
    /// Steps from `all`, the longest way.
    pub depth: u32,
    /// `ansible_group_priority`, default 1.
    pub priority: i64,
    /// Variables from inventory sources.
    pub vars: Vec<Layer>,
}

/// A host that does not come from an inventory source: a machine of `vms/`.
#[derive(Clone, Debug)]
pub struct Extra {
    pub name: String,
    pub span: Span,
    pub groups: Vec<(String, Span)>,
    pub vars: Layer,
}

impl Inventory {
    /// Reads all sources (paths relative to `base`, or lists of hosts with commas) in order, after the machines.
    pub fn load(files: &mut Files, base: &Path, written: &[String], machines: &[Extra]) -> Self {
        let mut graph = Graph::new();
        for machine in machines {
            graph.add_host(&machine.name, "all", None, machine.span, None);
            for (group, span) in &machine.groups {
                graph.add_group(group, *span);
                graph.add_host(&machine.name, group, None, machine.span, None);
            }
            for variable in &machine.vars.variables {
                graph.set(Owner::Host(&machine.name), &machine.vars.origin, variable.clone());
            }
        }
        let mut folders = Vec::new();
        let mut named = Vec::new();
        for source in written {
            let path = files.resolve(base, source);
            named.push(if !path.exists() && source.contains(',') { source.clone() } else { path.display().to_string() });
            folders.extend(sources::read(&mut graph, files, base, source));
        }
        let (mut inventory, warnings) = graph.finish();
        for warning in warnings {
            files.diagnostics.push(warning);
        }
        inventory.sources = named;
        folders.dedup();
        for folder in folders {
            let adjacent = inventory.adjacent(files, &folder);
            inventory.beside_sources.push(adjacent);
            inventory.source_folders.push(folder);
        }
        inventory
    }

    /// The same sources as they are now, and the files of variables of who was known as they were.
    #[must_use]
    pub fn again(&self, files: &mut Files, base: &Path, written: &[String], machines: &[Extra]) -> Self {
        for source in written {
            let path = files.resolve(base, source);
            files.sources.forget(|known| known.starts_with(&path) && !is_of_variables(known));
        }
        let mut fresh = Self::load(files, base, written, machines);
        for folder in self.beside_playbooks.keys() {
            fresh.load_beside_playbook(files, folder);
        }
        let sources = self.source_folders.iter().zip(&self.beside_sources);
        for (folder, known) in sources.chain(&self.beside_playbooks) {
            let at = fresh.source_folders.iter().position(|other| other == folder);
            let sources = at.map(|at| &mut fresh.beside_sources[at]);
            for adjacent in sources.into_iter().chain(fresh.beside_playbooks.get_mut(folder)) {
                adjacent.keep(known, self);
            }
        }
        fresh
    }

    fn adjacent(&self, files: &mut Files, folder: &Path) -> Adjacent {
        let groups: Vec<Arc<str>> = self.groups.keys().cloned().collect();
        let mut hosts: Vec<Arc<str>> = self.hosts.keys().cloned().collect();
        if !self.hosts.contains_key("localhost") {
            hosts.push("localhost".into());
        }
        vars::read(files, folder, &groups, &hosts)
    }

    /// Reads `group_vars` and `host_vars` beside a playbook, for [`Inventory::layers`].
    pub fn load_beside_playbook(&mut self, files: &mut Files, folder: &Path) {
        if !self.beside_playbooks.contains_key(folder) {
            let adjacent = self.adjacent(files, folder);
            self.beside_playbooks.insert(folder.to_owned(), adjacent);
        }
    }

    /// The host, or this machine where a name of it stands in no inventory.
    pub fn host(&self, name: &str) -> Option<Host> {
        self.hosts.get(name).cloned().or_else(|| LOCALHOST.contains(&name).then(|| implicit(name)))
    }

    /// A host's variables, lowest precedence first, for plays of a playbook in the folder (Ansible's order):
    /// inventory `all`, inventory groups, `group_vars/all` beside inventory, beside playbook, the same for groups,
    /// inventory host, `host_vars` beside inventory, beside playbook.
    pub fn layers(&self, host: &str, playbook_folder: Option<&Path>) -> Vec<Layer> {
        let Some(host) = self.host(host) else { return Vec::new() };
        let nothing = Adjacent::default();
        let play = playbook_folder.and_then(|folder| self.beside_playbooks.get(folder)).unwrap_or(&nothing);
        let mut layers: Vec<&Layer> = Vec::new();
        layers.extend(self.groups.get("all").into_iter().flat_map(|all| &all.vars));
        for group in &host.groups {
            layers.extend(&self.groups[group].vars);
        }
        for adjacent in self.beside_sources.iter().chain([play]) {
            layers.extend(adjacent.group("all"));
        }
        for adjacent in self.beside_sources.iter().chain([play]) {
            for group in &host.groups {
                layers.extend(adjacent.group(group));
            }
        }
        layers.extend(&host.vars);
        for adjacent in self.beside_sources.iter().chain([play]) {
            layers.extend(adjacent.host(&host.name));
        }
        layers.into_iter().cloned().collect()
    }

    /// A host's own magic variables: `inventory_hostname`, `inventory_hostname_short`, `group_names`, `inventory_file`, `inventory_dir`.
    pub fn magic(&self, host: &str) -> Map {
        let mut magic = Map::new();
        let Some(host) = self.host(host) else { return magic };
        let address = host.name.parse::<std::net::IpAddr>().is_ok();
        let short = if address { &*host.name } else { host.name.split('.').next().unwrap_or_default() };
        let mut names: Vec<Arc<str>> = host.groups.clone();
        names.sort();
        let path = |path: Option<&Path>| path.map_or(Value::Null, |path| Value::text(path.display().to_string()));
        magic.insert(Key::from("inventory_hostname"), Value::text(Arc::clone(&host.name)));
        magic.insert(Key::from("inventory_hostname_short"), Value::text(short));
        magic.insert(Key::from("group_names"), Value::list(names.into_iter().map(Value::text).collect()));
        magic.insert(Key::from("inventory_file"), path(host.source.as_deref()));
        magic.insert(Key::from("inventory_dir"), path(host.source.as_deref().and_then(Path::parent)));
        magic
    }

    /// Of groups and their hosts alone.
    pub fn of_groups(groups: impl Iterator<Item = (Arc<str>, Vec<Arc<str>>)>) -> Self {
        let mut inventory = Self::default();
        for (name, hosts) in groups {
            for host in &hosts {
                let known = inventory.hosts.entry(Arc::clone(host)).or_insert_with(|| Host {
                    name: Arc::clone(host),
                    span: NOWHERE,
                    groups: Vec::new(),
                    vars: Vec::new(),
                    source: None,
                    implicit: false,
                });
                known.groups.push(Arc::clone(&name));
            }
            let group =
                Group { name: Arc::clone(&name), span: NOWHERE, hosts, children: Vec::new(), depth: 0, priority: 1, vars: Vec::new() };
            inventory.groups.insert(name, group);
        }
        inventory
    }

    /// `groups`: each group's hosts.
    pub fn groups_value(&self) -> Value {
        let hosts = |group: &Group| Value::list(group.hosts.iter().map(|host| Value::text(Arc::clone(host))).collect());
        Value::map(self.groups.values().map(|group| (Key::from(Arc::clone(&group.name)), hosts(group))).collect())
    }
}

fn is_of_variables(path: &Path) -> bool {
    path.components().any(|part| matches!(part.as_os_str().to_str(), Some("group_vars" | "host_vars")))
}

fn implicit(name: &str) -> Host {
    let variable =
        |name: &str, value: &str| Variable { name: name.into(), value: Arc::new(Tree::Literal(Value::text(value))), span: NOWHERE };
    let vars = Layer { origin: "implicit localhost".into(), variables: vec![variable("ansible_connection", "local")] };
    Host { name: name.into(), span: NOWHERE, groups: Vec::new(), vars: vec![vars], source: None, implicit: true }
}
