//! `assert`: conditions that must hold.

use super::{Controlled, Engine, EngineModule, Entry, Outcome};
use crate::program::{Span, Template, Tree, Value};
use crate::system::{Error, Result};

/// The registry's entry.
pub static MODULE: Entry = Entry::engine::<Assert>(&["assert", "ansible.builtin.assert"]);

arguments! {
    /// Fail unless all conditions hold. Arguments and results as in `ansible.builtin.assert`.
    pub struct Assert {
        /// Conditions as in `when`: one, or a list.
        that: Value [required, expression],
        /// What a failure says: a text or a list of texts.
        fail_msg: Value [default("Assertion failed"), aliases(&["msg"])],
        /// What success says: a text or a list of texts.
        success_msg: Value [default("All assertions passed")],
        /// Say nothing when all hold.
        quiet: bool [default("no")],
    }
}

impl EngineModule for Assert {
    fn run(&self, engine: &mut dyn Engine) -> Result<Controlled> {
        for (name, message) in [("fail_msg", &self.fail_msg), ("success_msg", &self.success_msg)] {
            if !is_message(message) {
                return Err(Error::failed(format!("argument `{name}`: a text or a list of texts is required")));
            }
        }
        let written = engine.written("that").unwrap_or_else(|| expression(&self.that));
        for condition in conditions(written, engine)? {
            if !engine.condition(&condition)? {
                let outcome = Outcome { failed: true, ..Outcome::ok() }
                    .with("evaluated_to", false)
                    .with("assertion", source(&condition))
                    .with("msg", self.fail_msg.clone());
                return Ok(Controlled::Done(outcome));
            }
        }
        Ok(Controlled::Done(Outcome::ok().with("msg", self.success_msg.clone())))
    }
}

/// A list's conditions one by one. `that: "{{ name }}"` stands for the list that the variable is, its texts being
/// conditions only if they come from a user's file.
fn conditions(written: Tree, engine: &mut dyn Engine) -> Result<Vec<Tree>> {
    Ok(match written {
        Tree::List(items) => items,
        Tree::Literal(Value::List(items) | Value::Tuple(items)) => items.iter().map(expression).collect(),
        Tree::Literal(value) => vec![expression(&value)],
        Tree::Template(template) => {
            if let Some(list @ (Tree::List(_) | Tree::Literal(Value::List(_)))) =
                single_name(&template.source).and_then(|name| engine.written_variable(name))
            {
                return conditions(list, engine);
            }
            let tree = Tree::Template(template);
            match engine.evaluate(&tree)? {
                Value::List(items) if items.iter().all(|item| matches!(item, Value::Bool(_))) => {
                    items.iter().cloned().map(Tree::Literal).collect()
                }
                Value::List(_) => {
                    return Err(Error::failed("conditions in `that` come from a value that no file of yours holds: they are not evaluated")
                        .hint("write the conditions in the task, or name the variable that holds them: \"{{ name }}\""));
                }
                _ => vec![tree],
            }
        }
        other => vec![other],
    })
}

/// A text of the user's as a condition.
fn expression(value: &Value) -> Tree {
    match value {
        Value::Text(text) => {
            let template = Template { source: text.shared(), span: Span::default() };
            if text.as_str().contains("{{") { Tree::Template(template) } else { Tree::Expression(template) }
        }
        other => Tree::Literal(other.clone()),
    }
}

/// `name` of `{{ name }}`.
fn single_name(source: &str) -> Option<&str> {
    let name = source.trim().strip_prefix("{{")?.strip_suffix("}}")?.trim();
    let is_name = !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    is_name.then_some(name)
}

fn source(condition: &Tree) -> Value {
    match condition {
        Tree::Expression(template) | Tree::Template(template) => Value::text(template.source.clone()),
        Tree::Literal(value) => value.clone(),
        Tree::List(_) | Tree::Map(_) => Value::text("a list or mapping"),
    }
}

fn is_message(value: &Value) -> bool {
    match value {
        Value::Text(_) | Value::Unknown(_) => true,
        Value::List(items) => items.iter().all(|item| matches!(item, Value::Text(_))),
        _ => false,
    }
}
