//! What `add_host` and `group_by` add to the inventory in mid-run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Adjacent, Group, Host, Inventory, vars};
use crate::program::Layer;
use crate::project::Files;
use crate::source::NOWHERE;

impl Inventory {
    /// Folders that `group_vars` and `host_vars` may lie in.
    pub fn vars_folders(&self) -> impl Iterator<Item = &Path> {
        self.source_folders.iter().chain(self.beside_playbooks.keys()).map(PathBuf::as_path)
    }

    /// Adds a host to groups, which are made where they are not there. False: it was there, with these groups and variables.
    pub fn add_host(&mut self, files: &mut Files, name: &str, groups: &[Arc<str>], variables: Layer) -> bool {
        let name: Arc<str> = name.into();
        let mut changed = false;
        if !self.hosts.contains_key(&name) {
            let host = Host { name: Arc::clone(&name), span: NOWHERE, groups: Vec::new(), vars: Vec::new(), source: None, implicit: false };
            self.hosts.insert(Arc::clone(&name), host);
            // Ansible puts it into `all` itself, before what comes from other groups.
            if let Some(all) = self.groups.get_mut("all") {
                all.hosts.insert(self.first_of_all.min(all.hosts.len()), Arc::clone(&name));
                self.first_of_all += 1;
            }
            if groups.is_empty() {
                self.member("ungrouped", &name);
            }
            self.read_more(files, None, Some(&name));
            changed = true;
        }
        for group in groups {
            changed |= self.add_to_group(files, &name, group, &[]);
        }
        let host = self.hosts.get_mut(&name).expect("it was just added");
        let known = |layer: &Layer| {
            layer.variables.iter().map(|variable| (Arc::clone(&variable.name), format!("{:?}", variable.value))).collect::<Vec<_>>()
        };
        if !variables.variables.is_empty() && host.vars.last().is_none_or(|last| known(last) != known(&variables)) {
            host.vars.push(variables);
            changed = true;
        }
        changed
    }

    /// Adds a host to a group (`group_by`); a new group hangs below `parents`, or `all`. False: it was in it.
    pub fn add_to_group(&mut self, files: &mut Files, host: &str, group: &str, parents: &[Arc<str>]) -> bool {
        let host: Arc<str> = host.into();
        let mut changed = false;
        for parent in parents {
            changed |= self.make_group(files, parent, "all");
        }
        let above: Vec<&str> = if parents.is_empty() { vec!["all"] } else { parents.iter().map(|parent| &**parent).collect() };
        for parent in above {
            changed |= self.make_group(files, group, parent);
        }
        changed |= self.member(group, &host);
        for ancestor in self.ancestors(group) {
            self.member(&ancestor, &host);
        }
        if let Some(ungrouped) = self.groups.get_mut("ungrouped") {
            ungrouped.hosts.retain(|known| *known != host);
        }
        let mut names: Vec<Arc<str>> = self
            .groups
            .values()
            .filter(|group| &*group.name != "all" && group.hosts.contains(&host))
            .map(|group| Arc::clone(&group.name))
            .collect();
        names.sort_by_key(|name| self.groups.get(name).map(|group| (group.depth, group.priority, Arc::clone(&group.name))));
        if let Some(known) = self.hosts.get_mut(&host) {
            known.groups = names;
        }
        changed
    }

    fn make_group(&mut self, files: &mut Files, name: &str, parent: &str) -> bool {
        let depth = self.groups.get(parent).map_or(1, |parent| parent.depth + 1);
        let key: Arc<str> = name.into();
        let mut changed = false;
        if let Some(group) = self.groups.get_mut(&key) {
            // A group that hangs below `all` already is not linked there again.
            if parent == "all" {
                return false;
            }
            group.depth = group.depth.max(depth);
        } else {
            let group = Group {
                name: Arc::clone(&key),
                span: NOWHERE,
                hosts: Vec::new(),
                children: Vec::new(),
                depth,
                priority: 1,
                vars: Vec::new(),
            };
            self.groups.insert(Arc::clone(&key), group);
            self.read_more(files, Some(&key), None);
            changed = true;
        }
        if let Some(parent) = self.groups.get_mut(parent)
            && !parent.children.contains(&key)
        {
            parent.children.push(Arc::clone(&key));
            changed = true;
        }
        let hosts = self.groups.get(&key).map(|group| group.hosts.clone()).unwrap_or_default();
        for host in hosts {
            self.member(parent, &host);
        }
        changed
    }

    fn member(&mut self, group: &str, host: &Arc<str>) -> bool {
        let Some(group) = self.groups.get_mut(group) else { return false };
        if group.hosts.contains(host) {
            return false;
        }
        group.hosts.push(Arc::clone(host));
        true
    }

    /// Moves a group's host before those that come after it in the inventory.
    pub fn put_in_order(&mut self, group: &str, host: &str) {
        let Some(group) = self.groups.get_mut(group) else { return };
        let Some(at) = group.hosts.iter().position(|known| **known == *host) else { return };
        let moved = group.hosts.remove(at);
        let place = |name: &Arc<str>| self.hosts.get_index_of(name);
        let before = group.hosts[..at].iter().position(|known| place(known) > place(&moved)).unwrap_or(at);
        group.hosts.insert(before, moved);
    }

    fn ancestors(&self, name: &str) -> Vec<Arc<str>> {
        let mut found: Vec<Arc<str>> = Vec::new();
        let mut open: Vec<Arc<str>> = vec![name.into()];
        while let Some(name) = open.pop() {
            for group in self.groups.values().filter(|group| group.children.contains(&name)) {
                if !found.contains(&group.name) {
                    found.push(Arc::clone(&group.name));
                    open.push(Arc::clone(&group.name));
                }
            }
        }
        found
    }

    /// `group_vars` and `host_vars` of a new name.
    fn read_more(&mut self, files: &mut Files, group: Option<&Arc<str>>, host: Option<&Arc<str>>) {
        // What is in these folders was warned of when they were read first.
        let diagnostics = files.diagnostics.clone();
        let read = |files: &mut Files, folder: &Path| {
            vars::read(
                files,
                folder,
                group.map(std::slice::from_ref).unwrap_or_default(),
                host.map(std::slice::from_ref).unwrap_or_default(),
            )
        };
        let folders: Vec<PathBuf> = self.source_folders.clone();
        for (known, folder) in self.beside_sources.iter_mut().zip(&folders) {
            extend(known, read(files, folder));
        }
        for (folder, known) in &mut self.beside_playbooks {
            extend(known, read(files, folder));
        }
        files.diagnostics = diagnostics;
    }
}

fn extend(known: &mut Adjacent, more: Adjacent) {
    known.groups.extend(more.groups);
    known.hosts.extend(more.hosts);
}
