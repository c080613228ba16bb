//! What a role's `argument_specs` say of its arguments: read from YAML, held against values.
//!
//! A specification and values may hold [`Value::Unknown`]: what a template gives is not known before the run, and what a command
//! will print is not known in a plan. Such a value is never an error; whether it decides is in [`Verdict::unknown`].
//!
//! Source of what is refused, and in which order: `module_utils/common/arg_spec.py`, `parameters.py` and `validation.py` of ansible-core 2.19.

mod python;
mod read;
mod rules;
mod types;
mod verdict;

use std::sync::Arc;

use indexmap::IndexMap;

pub use read::{KEYS, Problem, Weight};
use rules::Rules;
pub use types::{Type, holes};
pub use verdict::Verdict;

use crate::program::Value;

/// Arguments by their names, in the order in which they are declared.
#[derive(Clone, Debug, Default)]
pub struct Specification {
    pub arguments: IndexMap<Arc<str>, Declared>,
}

/// One argument as it is declared.
#[derive(Clone, Debug, Default)]
pub struct Declared {
    pub kind: Type,
    /// What each item of a list must be.
    pub elements: Option<Type>,
    pub required: bool,
    /// What rules and choices see where the argument is not given; a variable gets no value by it. Null: none.
    pub default: Value,
    pub choices: Option<Vec<Value>>,
    pub aliases: Vec<Arc<str>>,
    /// Its value is in no message.
    pub secret: bool,
    /// A mapping that is not given is validated as an empty one.
    pub apply_defaults: bool,
    /// Of a mapping, or of each mapping of a list.
    pub inside: Option<Specification>,
    /// Rules over the arguments inside.
    rules: Rules,
}

impl Specification {
    /// The argument that a name or alias means.
    pub fn find(&self, name: &str) -> Option<(&Arc<str>, &Declared)> {
        let aliased = || self.arguments.iter().find(|(_, declared)| declared.aliases.iter().any(|alias| **alias == *name));
        self.arguments.get_key_value(name).or_else(aliased)
    }

    /// Every name and alias.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.arguments.iter().flat_map(|(name, declared)| std::iter::once(&**name).chain(declared.aliases.iter().map(|alias| &**alias)))
    }
}

#[cfg(test)]
mod tests;
