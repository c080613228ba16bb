//! `set_stats`: statistics of a run.

use super::{Controlled, Engine, EngineModule, Entry, Outcome};
use crate::program::{Map, Value};
use crate::system::Result;

/// The registry's entry.
pub static MODULE: Entry = Entry::engine::<SetStats>(&["set_stats", "ansible.builtin.set_stats"]);

arguments! {
    /// Say numbers of a run. Arguments and results as in `ansible.builtin.set_stats`; they stand in the task's result (`--json`), as with
    /// Ansible where `show_custom_stats` is off.
    pub struct SetStats {
        /// Names and values.
        data: Map [required],
        /// Of each host by itself.
        per_host: bool [default("no")],
        /// Together with former values of the same name.
        aggregate: bool [default("yes")],
    }
}

impl EngineModule for SetStats {
    fn run(&self, _engine: &mut dyn Engine) -> Result<Controlled> {
        let stats = crate::map! { "data" => self.data.clone(), "per_host" => self.per_host, "aggregate" => self.aggregate };
        Ok(Controlled::Done(Outcome::ok().with("ansible_stats", Value::map(stats))))
    }
}
