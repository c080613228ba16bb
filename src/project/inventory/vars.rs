//! `group_vars/` and `host_vars/` beside inventories and playbooks.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::program::Layer;
use crate::project::Files;
use crate::source::{Diagnostic, suggest};

/// Endings of vars files, in the order they are looked for.
const ENDINGS: [&str; 4] = ["", ".yml", ".yaml", ".json"];

/// The variables beside one inventory or playbook.
#[derive(Clone, Debug, Default)]
pub struct Adjacent {
    pub groups: BTreeMap<Arc<str>, Vec<Layer>>,
    pub hosts: BTreeMap<Arc<str>, Vec<Layer>>,
}

impl Adjacent {
    pub fn group(&self, name: &str) -> &[Layer] {
        self.groups.get(name).map_or(&[], Vec::as_slice)
    }

    pub fn host(&self, name: &str) -> &[Layer] {
        self.hosts.get(name).map_or(&[], Vec::as_slice)
    }

    /// What was read of the hosts and groups of an inventory stays.
    pub(super) fn keep(&mut self, before: &Self, inventory: &super::Inventory) {
        fn keep<'name>(
            now: &mut BTreeMap<Arc<str>, Vec<Layer>>,
            before: &BTreeMap<Arc<str>, Vec<Layer>>,
            known: impl Iterator<Item = &'name Arc<str>>,
        ) {
            for name in known {
                match before.get(name) {
                    Some(layers) => drop(now.insert(Arc::clone(name), layers.clone())),
                    None => drop(now.remove(name)),
                }
            }
        }
        keep(&mut self.groups, &before.groups, inventory.groups.keys());
        keep(&mut self.hosts, &before.hosts, inventory.hosts.keys());
    }
}

/// Reads both folders below `folder` for the names that exist. A file that nearly has a name is warned of: Ansible would
/// leave it out in silence.
pub(super) fn read(files: &mut Files, folder: &Path, groups: &[Arc<str>], hosts: &[Arc<str>]) -> Adjacent {
    Adjacent {
        groups: of_kind(files, &folder.join("group_vars"), "group", groups),
        hosts: of_kind(files, &folder.join("host_vars"), "host", hosts),
    }
}

fn of_kind(files: &mut Files, folder: &Path, kind: &str, names: &[Arc<str>]) -> BTreeMap<Arc<str>, Vec<Layer>> {
    let mut found = BTreeMap::new();
    if !folder.exists() {
        return found;
    }
    if !folder.is_dir() {
        let name = files.name(folder);
        files.warn(format!("`{name}` is not a folder"), format!("variables of a {kind} stand in `{name}/NAME.yml`"));
        return found;
    }
    for name in names.iter().filter(|name| !name.starts_with('/')) {
        let layers: Vec<Layer> = paths(files, folder, name)
            .iter()
            .filter_map(|path| files.vars_file(path))
            .filter(|layer| !layer.variables.is_empty())
            .collect();
        if !layers.is_empty() {
            found.insert(Arc::clone(name), layers);
        }
    }
    let known: HashSet<&str> = names.iter().map(|name| &**name).collect();
    for entry in listed(folder) {
        let stem = ENDINGS.iter().rev().find_map(|ending| entry.strip_suffix(ending)).unwrap_or(&entry);
        if known.contains(stem) || entry.starts_with('.') || entry.ends_with('~') {
            continue;
        }
        if let Some(near) = suggest(stem, names.iter().map(|name| &**name)) {
            let name = files.name(&folder.join(&entry));
            let ending = &entry[stem.len()..];
            files.diagnostics.push(
                Diagnostic::nowhere(format!("`{name}` is read for no {kind}: none is called `{stem}`"))
                    .hint(format!("did you mean `{near}{ending}`?"))
                    .as_warning(),
            );
        }
    }
    found
}

/// The files of a name: the first that exists of `name` (a file, or a folder with all in it), `name.yml`, `name.yaml`, `name.json`.
fn paths(files: &mut Files, folder: &Path, name: &str) -> Vec<PathBuf> {
    let candidates: Vec<PathBuf> =
        ENDINGS.iter().map(|ending| folder.join(format!("{name}{ending}"))).filter(|path| path.exists()).collect();
    let Some((first, others)) = candidates.split_first() else { return Vec::new() };
    for other in others {
        let (read, unread) = (files.name(first), files.name(other));
        files.diagnostics.push(
            Diagnostic::nowhere(format!("`{unread}` is not read, because `{read}` exists"))
                .hint("Ansible takes the first of them only: move all into one folder")
                .as_warning(),
        );
    }
    if first.is_dir() { inside(first) } else { vec![first.clone()] }
}

/// All vars files of a folder, sorted, folders without an ending included.
fn inside(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for name in listed(folder) {
        if name.starts_with('.') || name.ends_with('~') {
            continue;
        }
        let path = folder.join(&name);
        let ending = path.extension().map(|ending| format!(".{}", ending.to_string_lossy())).unwrap_or_default();
        if path.is_dir() {
            if ending.is_empty() {
                found.extend(inside(&path));
            }
        } else if ENDINGS.contains(&ending.as_str()) {
            found.push(path);
        }
    }
    found
}

fn listed(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> = entries.filter_map(Result::ok).filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}
