//! What names of files are made of that is known beforehand: the playbook's folder, the role's, variables of the play.

use super::loader::Loader;
use super::possible::{Pattern, patterns_with};
use super::task::Context;
use crate::program::{Loop, Tree};

/// Variables made of variables, at most this deep.
const DEPTH: usize = 8;

impl Loader<'_> {
    /// All that a name may become where a task stands.
    pub fn possible(&self, name: &Tree, looping: Option<&Loop>, context: &Context) -> Vec<Pattern> {
        patterns_with(name, looping, &|expression| self.known_parts(expression, context, 0))
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
        let layers = std::iter::once(&self.extra).chain(context.known.iter().rev());
        let Some(variable) = layers.into_iter().find_map(|layer| layer.get(expression)) else { return Vec::new() };
        if depth == DEPTH {
            return Vec::new();
        }
        let values = patterns_with(&variable.value, None, &|expression| self.known_parts(expression, context, depth + 1));
        values.into_iter().map(Pattern::guessed).chain([Pattern::hole()]).collect()
    }
}
