//! `group_by`: groups made from variables.

use super::{Controlled, Engine, EngineModule, Entry, Outcome};
use crate::program::Value;
use crate::system::Result;

/// The registry's entry.
pub static MODULE: Entry = Entry::engine::<GroupBy>(&["group_by", "ansible.builtin.group_by"]);

arguments! {
    /// Put this host into a group, for the plays that follow. Arguments and results as in `ansible.builtin.group_by`.
    pub struct GroupBy {
        /// The group's name; spaces become dashes.
        key: String [required],
        /// Its parent groups.
        parents: Option<Value> [default("all"), kind(super::Kind::List(Box::new(super::Kind::Text)))],
    }
}

impl EngineModule for GroupBy {
    fn run(&self, engine: &mut dyn Engine) -> Result<Controlled> {
        let group = self.key.replace(' ', "-");
        let parents: Vec<String> = match &self.parents {
            Some(Value::List(items)) => items.iter().filter_map(|item| super::arguments::text(item).ok()).collect(),
            // One text is one group, commas and all.
            Some(other) => super::arguments::text(other).into_iter().collect(),
            None => Vec::new(),
        };
        let parents: Vec<String> = parents.iter().map(|name| name.replace(' ', "-")).collect();
        let changed = engine.group_by(&group, &parents)?;
        Ok(Controlled::Done(Outcome { changed, ..Outcome::ok() }.with("add_group", group).with("parent_groups", parents)))
    }
}
