//! Where tasks of `fetch` and lookups of `password` may write on the controller: what a playbook says, and nothing that a node makes of it.

use std::path::{Path, PathBuf};

use super::loader::Loader;
use super::possible::{Pattern, patterns_with};
use super::task::Context;
use crate::program::{Layer, Loop, Task, Tree};
pub use crate::project::files::normal;

/// How deep variables of the inventory are followed.
const DEPTH: usize = 5;

/// The `dest` of a task, or the term of a lookup.
#[derive(Clone, Debug)]
pub struct Destination {
    playbook_dir: PathBuf,
    dest: Tree,
    looping: Option<Loop>,
    patterns: Vec<Pattern>,
}

impl Destination {
    /// The folders of this machine in which the lookup's file may be, if it may have said `term`.
    pub fn folders_of_password(&self, playbook_dir: &Path, term: &str) -> Vec<PathBuf> {
        let patterns = self.patterns.iter().filter(|pattern| self.playbook_dir == playbook_dir && pattern.matches(term));
        patterns.map(|pattern| resolve(playbook_dir, pattern.first_word().folder().0)).collect()
    }

    /// The folders of this machine that the task may write below, if it may have said `dest`.
    pub fn folders(&self, playbook_dir: &Path, dest: &str) -> Vec<PathBuf> {
        let patterns = self.patterns.iter().filter(|pattern| self.playbook_dir == playbook_dir && pattern.matches(dest));
        let mut folders: Vec<PathBuf> = patterns.map(|pattern| resolve(playbook_dir, pattern.folder().0)).collect();
        folders.sort();
        folders.dedup();
        folders
    }

    /// Whether it is this text that is written, with nothing in it that a host gives.
    pub fn is_exactly(&self, text: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.exact() == Some(text))
    }

    /// Whether what is written names the file, a folder above it, or the folder at the beginning of names that hosts give.
    pub fn bounds(&self, path: &Path) -> bool {
        let is_in = |folder: &Path| folder.parent().is_some() && path.starts_with(folder);
        self.patterns.iter().any(|pattern| match pattern.exact() {
            Some(exact) => is_in(&resolve(&self.playbook_dir, exact)),
            None => {
                let folder = resolve(&self.playbook_dir, pattern.folder().0);
                !self.playbook_dir.starts_with(&folder) && is_in(&folder)
            }
        })
    }

    #[cfg(test)]
    pub fn of(playbook_dir: &Path, dest: &Tree) -> Self {
        Self { playbook_dir: playbook_dir.to_owned(), dest: dest.clone(), looping: None, patterns: super::possible::patterns(dest, None) }
    }
}

/// A path of this machine as Ansible takes it: `~` is the user's home, what is relative begins at the playbook.
pub fn resolve(playbook_dir: &Path, path: &str) -> PathBuf {
    let home = || std::env::var_os("HOME").map(PathBuf::from);
    let path = match path.strip_prefix('~').map(|rest| rest.strip_prefix('/').or_else(|| rest.is_empty().then_some(rest))) {
        Some(Some(rest)) => home().map_or_else(|| PathBuf::from(path), |home| home.join(rest)),
        _ => PathBuf::from(path),
    };
    normal(&playbook_dir.join(path))
}

impl Loader<'_> {
    /// Notes where a task of `fetch` writes.
    pub fn destination_of_task(&mut self, task: &Task, context: &Context) {
        let dest = task.arguments.named.iter().find(|argument| *argument.name == *"dest").map(|argument| argument.value.clone());
        // Without one it is in what `args` or `module_defaults` will be.
        let patterns = dest.as_ref().map_or_else(|| vec![Pattern::hole()], |dest| self.possible(dest, task.looping.as_ref(), context));
        let dest = dest.unwrap_or(Tree::Literal(crate::program::Value::Null));
        self.destinations.push(Destination { playbook_dir: context.playbook_dir.clone(), dest, looping: task.looping.clone(), patterns });
    }

    /// Notes where a lookup of `password` reads and writes.
    pub fn password(&mut self, term: &Tree, looping: Option<&Loop>, context: &Context) {
        let destination = self.destination(term, looping, context);
        self.passwords.push(destination);
    }

    /// A name, with what is known of it where a task stands.
    pub fn destination(&self, name: &Tree, looping: Option<&Loop>, context: &Context) -> Destination {
        let patterns = self.possible(name, looping, context);
        Destination { playbook_dir: context.playbook_dir.clone(), dest: name.clone(), looping: looping.cloned(), patterns }
    }

    /// All of them, with what variables of the inventory and its folders make of them.
    pub fn destinations(&mut self, inventory: &[Layer], folders: &[PathBuf]) -> Vec<Destination> {
        completed(std::mem::take(&mut self.destinations), inventory, folders)
    }

    /// The same of passwords.
    pub fn password_files(&mut self, inventory: &[Layer], folders: &[PathBuf]) -> Vec<Destination> {
        completed(std::mem::take(&mut self.passwords), inventory, folders)
    }
}

pub fn completed(mut all: Vec<Destination>, inventory: &[Layer], folders: &[PathBuf]) -> Vec<Destination> {
    for destination in &mut all {
        let known = |expression: &str| of_inventory(expression, inventory, folders, &destination.playbook_dir, 0);
        destination.patterns.extend(patterns_with(&destination.dest, destination.looping.as_ref(), &known));
    }
    all
}

fn of_inventory(expression: &str, layers: &[Layer], folders: &[PathBuf], playbook_dir: &Path, depth: usize) -> Vec<Pattern> {
    let path = |path: &Path| Pattern::literal(&path.to_string_lossy());
    match expression {
        "inventory_dir" => return folders.iter().map(|folder| path(folder)).collect(),
        "playbook_dir" => return vec![path(playbook_dir)],
        _ if depth == DEPTH => return Vec::new(),
        _ => {}
    }
    let values = layers.iter().filter_map(|layer| layer.get(expression));
    let known = |inner: &str| of_inventory(inner, layers, folders, playbook_dir, depth + 1);
    values.flat_map(|variable| patterns_with(&variable.value, None, &known)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::{Span, Template};

    fn of(dest: &str) -> Destination {
        let dest = Tree::Template(Template { source: dest.into(), span: Span::default() });
        let patterns = super::super::possible::patterns(&dest, None);
        Destination { playbook_dir: "/p".into(), dest, looping: None, patterns }
    }

    #[test]
    fn a_node_cannot_lead_out_of_the_written_folder() {
        let folders = |written: &str, said: &str| of(written).folders(Path::new("/p"), said);
        assert_eq!(folders("logs/{{ x }}/", "logs/a/../../etc/"), [Path::new("/p/logs")]);
        assert_eq!(folders("logs/{{ x }}/", "other/a/"), Vec::<PathBuf>::new());
        assert_eq!(folders("{{ x }}", "/etc/cron.d/a"), [Path::new("/p")]);
        assert_eq!(folders("/srv/{{ x }}.txt", "/srv/a.sh"), Vec::<PathBuf>::new());
        assert_eq!(of("a").folders(Path::new("/q"), "a"), Vec::<PathBuf>::new());
    }
}
