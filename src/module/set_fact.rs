//! `set_fact`: variables of this host from here on.

use super::{Controlled, Engine, EngineModule, Entry, Outcome, Rest};
use crate::program::{Key, Map, Span, Template, Tree};
use crate::system::{Error, Result};

/// The registry's entry.
pub static MODULE: Entry = Entry::engine::<SetFact>(&["set_fact", "ansible.builtin.set_fact"]);

arguments! {
    /// Set variables of this host for the rest of the run. Arguments and results as in `ansible.builtin.set_fact`.
    pub struct SetFact [open] {
        /// Also set as a fact, at the precedence of facts, kept where facts are cached.
        cacheable: bool [default("no")],
        /// The variables.
        key_value: Rest,
    }
}

impl EngineModule for SetFact {
    fn run(&self, engine: &mut dyn Engine) -> Result<Controlled> {
        if self.key_value.0.is_empty() {
            return Err(Error::failed("No key/value pairs provided, at least one is required for this action to succeed"));
        }
        let mut facts = Map::new();
        for (key, value) in &self.key_value.0 {
            let name = name(&key.text(), engine)?;
            facts.insert(Key::from(name), value.clone());
        }
        engine.set_facts(facts.clone(), self.cacheable)?;
        Ok(Controlled::Done(Outcome::ok().with("ansible_facts", facts)))
    }
}

/// The name, which may be a template if the user wrote it as one.
fn name(key: &str, engine: &mut dyn Engine) -> Result<String> {
    let name = if key.contains("{{") && engine.written(key).is_some() {
        let value = engine.evaluate(&Tree::Template(Template { source: key.into(), span: Span::default() }))?;
        super::arguments::text(&value).map_err(Error::failed)?
    } else {
        key.to_owned()
    };
    if is_variable_name(&name) {
        return Ok(name);
    }
    Err(Error::failed(format!("Invalid variable name '{name}'."))
        .hint("a name starts with a letter or underscore and holds only letters, digits and underscores"))
}

/// Ansible's names of variables: Python's identifiers in ASCII, keywords left out.
fn is_variable_name(name: &str) -> bool {
    const KEYWORDS: &[&str] = &[
        "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif", "else",
        "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise",
        "return", "try", "while", "with", "yield",
    ];
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        && !KEYWORDS.contains(&name)
}
