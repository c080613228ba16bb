//! Where tasks on the controller find and make files, by what their own text and the inventory say, whatever a node makes of it.

use std::path::Path;
use std::sync::Arc;

use super::fetch::{Destination, completed};
use super::loader::Loader;
use super::made::Made;
use super::task::Context;
use crate::program::{Layer, Span, Task};

/// Arguments that name files.
const NAMES: [&str; 4] = ["path", "paths", "dest", "destfile"];

/// One task's.
#[derive(Clone, Debug)]
pub struct Naming {
    module: Arc<str>,
    span: Span,
    /// Of a command its text.
    names: Vec<Destination>,
}

/// A task as a host asks to have it done.
#[derive(Clone, Copy, Debug)]
pub struct Request<'request> {
    pub module: &'request str,
    /// A command's text.
    pub line: Option<&'request str>,
}

impl Naming {
    /// Whether a path in the result of such a task is there by the user's words.
    pub fn tells(&self, request: &Request<'_>, path: &Path) -> bool {
        if *self.module != *request.module {
            return false;
        }
        match request.module {
            "command" | "shell" => request.line.is_some_and(|line| self.names.iter().any(|name| name.is_exactly(line))),
            _ => self.names.iter().any(|name| name.bounds(path)),
        }
    }
}

#[cfg(test)]
impl Naming {
    /// Of a playbook in `/p`.
    pub fn of(module: &str, written: &str) -> Self {
        let tree = crate::program::Tree::Template(crate::program::Template { source: written.into(), span: Span::default() });
        Self { module: module.into(), span: Span::default(), names: vec![Destination::of(Path::new("/p"), &tree)] }
    }
}

impl Loader<'_> {
    /// Notes which files a task names, wherever it is done.
    pub fn naming_of_task(&mut self, task: &Task, context: &Context) {
        let is_command = matches!(&*task.module, "command" | "shell");
        let named = task.arguments.named.iter();
        let named = named.filter(|argument| if is_command { *argument.name == *"cmd" } else { NAMES.contains(&&*argument.name) });
        let trees = named.map(|argument| &argument.value).chain(task.arguments.free_form.as_ref().filter(|_| is_command));
        let names: Vec<Destination> = trees.map(|tree| self.destination(tree, task.looping.as_ref(), context)).collect();
        if !names.is_empty() {
            self.namings.push(Naming { module: Arc::clone(&task.module), span: task.span, names });
        }
    }

    /// Those of tasks that may be done on the controller, with what variables of the inventory make of them.
    pub fn namings(&mut self, made: &Made, inventory: &[Layer], folders: &[std::path::PathBuf]) -> Vec<Naming> {
        let namings = std::mem::take(&mut self.namings).into_iter().filter(|naming| made.here_tasks.contains(&naming.span));
        namings.map(|naming| Naming { names: completed(naming.names, inventory, folders), ..naming }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naming(module: &str, written: &str) -> Naming {
        Naming::of(module, written)
    }

    #[test]
    fn a_node_cannot_have_looked_up_what_no_task_names() {
        let tells = |module: &str, written: &str, path: &str| {
            naming(module, written).tells(&Request { module: "stat", line: None }, Path::new(path))
        };
        assert!(tells("stat", "/srv/a", "/srv/a") && tells("stat", "/srv", "/srv/a/b") && tells("stat", "there", "/p/there/x"));
        assert!(tells("stat", "/srv/{{ x }}.crt", "/srv/a.crt") && tells("stat", "there/{{ x }}", "/p/there/a"));
        assert!(!tells("stat", "/srv/a", "/srv/b") && !tells("find", "/srv/a", "/srv/a") && !tells("stat", "/srv/a", "/srv"));
        for open in ["{{ x }}", "/{{ x }}", "{{ x }}/there", "a/../{{ x }}", "~{{ x }}"] {
            for path in ["/etc/shadow", "/p/vault.yml", "/p/there", "/root/a"] {
                assert!(!tells("stat", open, path), "{open} {path}");
            }
        }
    }

    #[test]
    fn a_command_prints_what_it_is_written_to() {
        let tells =
            |written: &str, line: Option<&str>| naming("command", written).tells(&Request { module: "command", line }, Path::new("/x"));
        assert!(tells("mktemp -d", Some("mktemp -d")));
        assert!(!tells("mktemp -d", Some("echo /x")) && !tells("ls {{ x }}", Some("ls /x")) && !tells("mktemp -d", None));
    }
}
