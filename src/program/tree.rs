//! A user's YAML as the program carries it: data in which texts may be templates that are not evaluated yet.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::value::{Key, Value};

/// A place in a user's text: index into the program's (or project's) list of file names, 1-based line and column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span {
    pub file: u32,
    pub line: u32,
    pub column: u32,
}

/// A text from a user's file that holds Jinja2 (`{{`, `{%` or `{#`), or a bare expression (`when:`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Template {
    pub source: Arc<str>,
    pub span: Span,
}

/// A user's value before evaluation. Only what comes from a user's file is ever a `Template`: values that
/// come from a node are `Literal` and never templated again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Tree {
    /// No template inside.
    Literal(Value),
    /// A text with Jinja2 inside: rendered, or native where it is one single `{{ expression }}`.
    Template(Template),
    /// A bare Jinja2 expression, as `when`, `until`, `changed_when`, `failed_when` and `that` have.
    Expression(Template),
    List(Vec<Tree>),
    /// Keys are literal or templates.
    Map(Vec<(Tree, Tree)>),
}

impl Tree {
    /// Whether evaluation cannot change it.
    pub fn is_literal(&self) -> bool {
        matches!(self, Tree::Literal(_))
    }

    pub fn literal(&self) -> Option<&Value> {
        match self {
            Tree::Literal(value) => Some(value),
            _ => None,
        }
    }

    /// A member of a mapping by a literal text key.
    pub fn get(&self, name: &str) -> Option<Tree> {
        match self {
            Tree::Map(entries) => {
                entries.iter().find(|(key, _)| key.literal().and_then(Value::as_str) == Some(name)).map(|(_, value)| value.clone())
            }
            Tree::Literal(value) => value.get(name).cloned().map(Tree::Literal),
            _ => None,
        }
    }

    /// The same tree with literal sub-trees folded into one literal value (keys must be hashable scalars).
    #[must_use]
    pub fn folded(self) -> Self {
        match self {
            Tree::List(items) => {
                let items: Vec<Tree> = items.into_iter().map(Tree::folded).collect();
                if items.iter().all(Tree::is_literal) {
                    Tree::Literal(Value::list(items.iter().filter_map(Tree::literal).cloned().collect()))
                } else {
                    Tree::List(items)
                }
            }
            Tree::Map(entries) => {
                let entries: Vec<(Tree, Tree)> = entries.into_iter().map(|(key, value)| (key, value.folded())).collect();
                let literal = |(key, value): &(Tree, Tree)| Some((Key::from_value(key.literal()?)?, value.literal()?.clone()));
                match entries.iter().map(literal).collect() {
                    Some(folded) => Tree::Literal(Value::map(folded)),
                    None => Tree::Map(entries),
                }
            }
            other => other,
        }
    }

    /// Calls `visit` for each template and expression inside.
    pub fn templates<'tree>(&'tree self, visit: &mut dyn FnMut(&'tree Template, bool)) {
        match self {
            Tree::Literal(_) => {}
            Tree::Template(template) => visit(template, false),
            Tree::Expression(template) => visit(template, true),
            Tree::List(items) => items.iter().for_each(|item| item.templates(visit)),
            Tree::Map(entries) => entries.iter().for_each(|(key, value)| {
                key.templates(visit);
                value.templates(visit);
            }),
        }
    }
}

impl From<Value> for Tree {
    fn from(value: Value) -> Self {
        Tree::Literal(value)
    }
}
