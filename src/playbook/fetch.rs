//! Where tasks of `fetch` may write on the controller: what a playbook says, and nothing that a node makes of it.

use std::path::{Path, PathBuf};

use super::loader::Loader;
use super::possible::{Pattern, patterns_with};
use super::task::Context;
use crate::program::{Layer, Loop, Task, Tree};
pub use crate::project::files::normal;

/// How deep variables of the inventory are followed.
const DEPTH: usize = 5;

/// The `dest` of a task.
#[derive(Clone, Debug)]
pub struct Destination {
    playbook_dir: PathBuf,
    dest: Tree,
    looping: Option<Loop>,
    patterns: Vec<Pattern>,
}

impl Destination {
    /// The folders of this machine that the task may write below, if it may have said `dest`.
    pub fn folders(&self, playbook_dir: &Path, dest: &str) -> Vec<PathBuf> {
        let patterns = self.patterns.iter().filter(|pattern| self.playbook_dir == playbook_dir && pattern.matches(dest));
        let mut folders: Vec<PathBuf> = patterns.map(|pattern| resolve(playbook_dir, pattern.folder().0)).collect();
        folders.sort();
        folders.dedup();
        folders
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

    /// All of them, with what variables of the inventory make of them.
    pub fn destinations(&mut self, inventory: &[Layer]) -> Vec<Destination> {
        let mut all = std::mem::take(&mut self.destinations);
        for destination in &mut all {
            let known = |expression: &str| of_inventory(expression, inventory, 0);
            destination.patterns.extend(patterns_with(&destination.dest, destination.looping.as_ref(), &known));
        }
        all
    }
}

fn of_inventory(expression: &str, layers: &[Layer], depth: usize) -> Vec<Pattern> {
    if depth == DEPTH {
        return Vec::new();
    }
    let values = layers.iter().filter_map(|layer| layer.get(expression));
    values.flat_map(|variable| patterns_with(&variable.value, None, &|inner| of_inventory(inner, layers, depth + 1))).collect()
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
