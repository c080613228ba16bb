//! Gathering facts at the beginning of a play, as the task that Ansible shows.

use std::sync::Arc;

use super::context::Context;
use super::executor::{Executor, Flow};
use crate::program::{Argument, Arguments, Keywords, Map, Play, Position, Task, Tree, Value};

impl Executor {
    /// Runs `setup` unless the play says no; once a run where the play does not say either way is Ansible's "smart", which
    /// it gave up: every play gathers.
    pub fn gather_facts(&mut self, play: &Play, context: &Context<'_>, at: &Position) -> Flow {
        let wanted = match &play.gather_facts {
            Some(tree) => self.flag(tree, context, &Map::new(), at).unwrap_or(true),
            None => true,
        };
        if !wanted {
            return Flow::Next;
        }
        let argument =
            |name: &str, tree: &Option<Tree>| tree.clone().map(|value| Argument { name: Arc::from(name), value, span: play.span });
        let task = Task {
            name: Some(Tree::Literal(Value::text("Gathering Facts"))),
            span: play.span,
            keywords: Keywords {
                // A play with tags of its own gathers with them (ansible-core, playbook/play_iterator.py).
                tags: if play.keywords.tags.is_empty() { vec![Tree::Literal(Value::text("always"))] } else { Vec::new() },
                check_mode: Some(Tree::Literal(Value::Bool(false))),
                ..Keywords::default()
            },
            module: "setup".into(),
            module_as_written: "setup".into(),
            arguments: Arguments {
                named: argument("gather_subset", &play.gather_subset)
                    .into_iter()
                    .chain(argument("gather_timeout", &play.gather_timeout))
                    .collect(),
                ..Arguments::default()
            },
            digest: "facts".into(),
            ..Task::default()
        };
        // Facts are looked at even where `--start-at-task` has not been reached.
        let started = std::mem::replace(&mut self.state.started, true);
        let flow = self.run_task(&task, context, at);
        self.state.started = started;
        flow
    }
}
