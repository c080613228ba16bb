//! What names of files are made of that is known beforehand: the playbook's folder, the role's, variables of the play.

use super::loader::Loader;
use super::possible::{Pattern, first_found, patterns_with};
use super::task::Context;
use crate::program::{Loop, Span, Template, Tree};
use crate::template::reads::{self, Form};

/// Variables made of variables, at most this deep.
const DEPTH: usize = 8;

impl Loader<'_> {
    /// All that a name may become where a task stands.
    pub fn possible(&self, name: &Tree, looping: Option<&Loop>, context: &Context) -> Vec<Pattern> {
        let written = looping
            .filter(|looping| looping.with.as_deref() == Some("first_found"))
            .map(|looping| Loop { items: self.with_values(&looping.items, context, 0), ..looping.clone() });
        patterns_with(name, written.as_ref().or(looping), &|expression| self.known_parts(expression, context, 0))
    }

    /// What an expression may be: the folders for certain; a variable's value as a guess beside anything else, since a host or the
    /// run may set it too.
    pub fn known_parts(&self, expression: &str, context: &Context, depth: usize) -> Vec<Pattern> {
        let path = |path: &std::path::Path| vec![Pattern::literal(&path.to_string_lossy())];
        match expression {
            "playbook_dir" => return path(&context.playbook_dir),
            "role_path" => return context.role.as_ref().map(|role| path(&role.path)).unwrap_or_default(),
            _ => {}
        }
        if depth == DEPTH {
            return Vec::new();
        }
        let values: Vec<Pattern> = self
            .definitions(expression, context)
            .flat_map(|value| patterns_with(value, None, &|expression| self.known_parts(expression, context, depth + 1)))
            .collect();
        let values = match terms_of_first_found(expression) {
            _ if !values.is_empty() => values,
            Some(terms) => self.first_found_parts(&Tree::List(terms), context, depth + 1),
            None => return Vec::new(),
        };
        values.into_iter().map(Pattern::guessed).chain([Pattern::hole()]).collect()
    }

    /// Names that `first_found` may give where a task stands.
    pub fn first_found_parts(&self, terms: &Tree, context: &Context, depth: usize) -> Vec<Pattern> {
        first_found(&self.with_values(terms, context, depth), &|expression| self.known_parts(expression, context, depth))
    }

    /// What a variable is by its definition nearest to a task.
    fn variable<'context>(&'context self, name: &'context str, context: &'context Context) -> Option<&'context Tree> {
        self.definitions(name, context).next()
    }

    /// All definitions of a variable around a task, the nearest first: a play's beats a role's default.
    fn definitions<'context>(&'context self, name: &'context str, context: &'context Context) -> impl Iterator<Item = &'context Tree> {
        let layers = std::iter::once(&self.extra).chain(context.known.iter().rev());
        layers.filter_map(move |layer| layer.get(name)).map(|variable| &*variable.value)
    }

    /// A tree with the values of the variables that stand in it by themselves.
    fn with_values(&self, tree: &Tree, context: &Context, depth: usize) -> Tree {
        match tree {
            Tree::Template(template) if depth < DEPTH => {
                let name = template.source.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")).map(str::trim);
                let value = name.and_then(|name| self.variable(name, context));
                value.map_or_else(|| tree.clone(), |value| self.with_values(value, context, depth + 1))
            }
            Tree::List(items) => Tree::List(items.iter().map(|item| self.with_values(item, context, depth)).collect()),
            Tree::Map(entries) => {
                Tree::Map(entries.iter().map(|(key, value)| (key.clone(), self.with_values(value, context, depth))).collect())
            }
            _ => tree.clone(),
        }
    }
}

/// The terms of `lookup('first_found', …)`, `query('first_found', …)` and their like.
fn terms_of_first_found(expression: &str) -> Option<Vec<Tree>> {
    ["lookup(", "query(", "q("].iter().any(|start| expression.starts_with(start)).then_some(())?;
    let template = Template { source: expression.into(), span: Span::default() };
    let lookups = reads::of(&template, Form::Condition).ok()?.lookups;
    match lookups.as_slice() {
        [lookup] if &*lookup.plugin == "first_found" => Some(lookup.terms.clone()),
        _ => None,
    }
}
