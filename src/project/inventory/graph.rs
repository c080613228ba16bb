//! Groups and hosts while sources are read, by Ansible's rules; then [`Inventory`].

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};

use super::{Group, Host, Inventory};
use crate::program::{Layer, Span, Tree, Value, Variable};
use crate::source::{Diagnostic, NOWHERE};

/// What one source after the other adds to.
#[derive(Debug)]
pub(super) struct Graph {
    groups: IndexMap<String, RawGroup>,
    hosts: IndexMap<String, RawHost>,
}

#[derive(Debug)]
struct RawGroup {
    span: Span,
    hosts: IndexSet<String>,
    children: IndexSet<String>,
    parents: IndexSet<String>,
    vars: Vec<Layer>,
    priority: i64,
}

#[derive(Debug)]
struct RawHost {
    span: Span,
    vars: Vec<Layer>,
    source: Option<PathBuf>,
}

/// A host or a group that gets a variable.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner<'name> {
    Host(&'name str),
    Group(&'name str),
}

impl Graph {
    /// `all` and `ungrouped` are always there.
    pub fn new() -> Self {
        let mut graph = Self { groups: IndexMap::new(), hosts: IndexMap::new() };
        graph.add_group("all", NOWHERE);
        graph.add_group("ungrouped", NOWHERE);
        graph.link("all", "ungrouped");
        graph
    }

    pub fn has_group(&self, name: &str) -> bool {
        self.groups.contains_key(name)
    }

    pub fn has_host(&self, name: &str) -> bool {
        self.hosts.contains_key(name)
    }

    pub fn group_names(&self) -> impl Iterator<Item = &str> {
        self.groups.keys().map(String::as_str)
    }

    pub fn add_group(&mut self, name: &str, span: Span) {
        let new = || RawGroup {
            span,
            hosts: IndexSet::new(),
            children: IndexSet::new(),
            parents: IndexSet::new(),
            vars: Vec::new(),
            priority: 1,
        };
        self.groups.entry(name.to_owned()).or_insert_with(new);
    }

    /// A host, in a group that exists. The port holds only where the host is new.
    pub fn add_host(&mut self, name: &str, group: &str, port: Option<u16>, span: Span, source: Option<&Path>) {
        if !self.hosts.contains_key(name) {
            self.hosts.insert(name.to_owned(), RawHost { span, vars: Vec::new(), source: source.map(Path::to_owned) });
            if let Some(port) = port {
                let value = Arc::new(Tree::Literal(Value::Int(port.into())));
                self.set(Owner::Host(name), "inventory", Variable { name: "ansible_port".into(), value, span });
            }
        }
        if let Some(group) = self.groups.get_mut(group) {
            group.hosts.insert(name.to_owned());
        }
    }

    /// A group below another; a circle is a mistake.
    pub fn add_child(&mut self, group: &str, child: &str, span: Span, width: u32) -> Result<(), Box<Diagnostic>> {
        if group == child {
            return Err(Box::new(Diagnostic::error(format!("the group `{group}` cannot be its own child"), span, width)));
        }
        if self.ancestors(group).contains(child) {
            let message = format!("the group `{child}` cannot be a child of `{group}`, which is below it");
            return Err(Box::new(Diagnostic::error(message, span, width).label("this closes a circle")));
        }
        self.link(group, child);
        Ok(())
    }

    fn link(&mut self, group: &str, child: &str) {
        if let Some(parent) = self.groups.get_mut(group) {
            parent.children.insert(child.to_owned());
        }
        if let Some(below) = self.groups.get_mut(child) {
            below.parents.insert(group.to_owned());
        }
    }

    fn ancestors(&self, group: &str) -> HashSet<&str> {
        let mut seen = HashSet::new();
        let mut open: Vec<&str> =
            self.groups.get(group).map(|group| group.parents.iter().map(String::as_str).collect()).unwrap_or_default();
        while let Some(name) = open.pop() {
            if seen.insert(name)
                && let Some(group) = self.groups.get(name)
            {
                open.extend(group.parents.iter().map(String::as_str));
            }
        }
        seen
    }

    /// Sets a variable of a source; the last one of a name holds. `ansible_group_priority` orders a group.
    pub fn set(&mut self, owner: Owner, origin: &str, variable: Variable) {
        let layers = match owner {
            Owner::Host(name) => self.hosts.get_mut(name).map(|host| &mut host.vars),
            Owner::Group(name) => match self.groups.get_mut(name) {
                Some(group) if &*variable.name == "ansible_group_priority" => {
                    if let Some(priority) = priority(&variable.value) {
                        group.priority = priority;
                    }
                    return;
                }
                group => group.map(|group| &mut group.vars),
            },
        };
        let Some(layers) = layers else { return };
        if layers.last().is_none_or(|layer| &*layer.origin != origin) {
            layers.push(Layer { origin: origin.into(), variables: Vec::new() });
        }
        if let Some(layer) = layers.last_mut() {
            layer.variables.push(variable);
        }
    }

    /// The inventory: groups without a parent are below `all`, hosts without a group in `ungrouped`; and what looks wrong.
    pub fn finish(mut self) -> (Inventory, Vec<Diagnostic>) {
        let names: Vec<String> = self.groups.keys().cloned().collect();
        for name in &names {
            if name != "all" && self.groups[name].parents.is_empty() {
                self.link("all", name);
            }
        }
        for host in self.hosts.keys() {
            let elsewhere =
                self.groups.iter().any(|(name, group)| !matches!(name.as_str(), "all" | "ungrouped") && group.hosts.contains(host));
            let ungrouped = self.groups.get_mut("ungrouped").expect("made in `new`");
            if elsewhere {
                ungrouped.hosts.shift_remove(host);
            } else {
                ungrouped.hosts.insert(host.clone());
            }
        }
        let depths = self.depths();
        let mut warnings = Vec::new();
        for (name, host) in &self.hosts {
            if let Some(group) = self.groups.get(name).filter(|group| group.span != NOWHERE) {
                warnings.push(
                    Diagnostic::warning(format!("`{name}` is both a host and a group"), host.span, name.chars().count() as u32)
                        .label("this is the host")
                        .other(group.span, name.chars().count() as u32, "this is the group"),
                );
            }
        }
        let mut member_of: HashMap<&str, Vec<&str>> = HashMap::new();
        let all_hosts: BTreeMap<&str, Vec<Arc<str>>> = names.iter().map(|name| (name.as_str(), self.hosts_below(name))).collect();
        for name in &names {
            for host in &self.groups[name].hosts {
                member_of.entry(host).or_default().push(name);
            }
        }
        let order = |name: &str| (depths.get(name).copied().unwrap_or(0), self.groups[name].priority, name.to_owned());
        let hosts = self.hosts.iter().map(|(name, host)| {
            let mut groups: HashSet<&str> = HashSet::new();
            for group in member_of.get(name.as_str()).into_iter().flatten() {
                groups.insert(group);
                groups.extend(self.ancestors(group));
            }
            groups.remove("all");
            let mut groups: Vec<&str> = groups.into_iter().collect();
            groups.sort_by_key(|name| order(name));
            let groups = groups.into_iter().map(Arc::from).collect();
            let name: Arc<str> = name.as_str().into();
            (
                Arc::clone(&name),
                Host { name, span: host.span, groups, vars: host.vars.clone(), source: host.source.clone(), implicit: false },
            )
        });
        let groups = self.groups.iter().map(|(name, group)| {
            let key: Arc<str> = name.as_str().into();
            let group = Group {
                name: Arc::clone(&key),
                span: group.span,
                hosts: all_hosts[name.as_str()].clone(),
                children: group.children.iter().map(|child| child.as_str().into()).collect(),
                depth: depths.get(name.as_str()).copied().unwrap_or(0),
                priority: group.priority,
                vars: group.vars.clone(),
            };
            (key, group)
        });
        let first_of_all = self.groups["all"].hosts.len();
        (Inventory { hosts: hosts.collect(), groups: groups.collect(), first_of_all, ..Inventory::default() }, warnings)
    }

    /// The longest way from `all` to each group.
    fn depths(&self) -> HashMap<&str, u32> {
        let mut depths: HashMap<&str, u32> = HashMap::from([("all", 0)]);
        let mut open = VecDeque::from(["all"]);
        while let Some(name) = open.pop_front() {
            let below = depths[name] + 1;
            for child in &self.groups[name].children {
                if depths.get(child.as_str()).is_none_or(|depth| *depth < below) {
                    depths.insert(child, below);
                    open.push_back(child);
                }
            }
        }
        depths
    }

    /// Own hosts, then those of the groups below, level by level.
    fn hosts_below(&self, group: &str) -> Vec<Arc<str>> {
        let mut hosts: IndexSet<&str> = IndexSet::new();
        let mut seen = HashSet::from([group]);
        let mut open = VecDeque::from([group]);
        while let Some(name) = open.pop_front() {
            let group = &self.groups[name];
            hosts.extend(group.hosts.iter().map(String::as_str));
            open.extend(group.children.iter().map(String::as_str).filter(|child| seen.insert(child)));
        }
        hosts.into_iter().map(Arc::from).collect()
    }
}

fn priority(value: &Tree) -> Option<i64> {
    match value.literal()? {
        Value::Int(number) => Some(*number),
        Value::Text(text) => text.as_str().trim().parse().ok(),
        _ => None,
    }
}
