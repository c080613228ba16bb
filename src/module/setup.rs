//! `setup`: facts of the machine.

use std::time::Duration;

use super::arguments::PathText;
use super::{Context, Entry, Module, Outcome, Plan};
use crate::program::Map;
use crate::system::{FactRequest, Result};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Setup>(&["setup", "ansible.builtin.setup", "gather_facts", "ansible.builtin.gather_facts"]);

arguments! {
    /// Gather facts of the machine. Arguments and results as in `ansible.builtin.setup`.
    pub struct Setup {
        /// Which facts: `all`, `min`, names of collectors or facts, with `!` before what is left out.
        gather_subset: Vec<String> [default("all")],
        /// Seconds that a file system may take to answer.
        gather_timeout: i64 [default("10")],
        /// Shell patterns of names to return.
        filter: Vec<String>,
        /// Folder of local facts (`*.fact`).
        fact_path: PathText [default("/etc/ansible/facts.d")],
        /// Gathering is one step here; taken for `gather_facts`.
        parallel: Option<bool>,
    }
}

impl Module for Setup {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let mut facts = context.system.facts(&FactRequest {
            subset: self.gather_subset.clone(),
            filter: self.filter.iter().filter(|pattern| !pattern.is_empty()).cloned().collect(),
            fact_path: Some(self.fact_path.path().to_owned()),
            timeout: Duration::from_secs(self.gather_timeout.max(0) as u64),
        })?;
        // `environment:` of the task is the module's environment.
        if let Some(environment) = facts.get("ansible_env").and_then(|environment| environment.as_map()).cloned() {
            let mut environment: Map = environment;
            environment.extend(context.environment.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())));
            facts.insert("ansible_env".into(), environment.into());
        }
        let mut outcome = Outcome::ok();
        outcome.facts = Some(facts);
        Ok(Plan::done(outcome))
    }
}
