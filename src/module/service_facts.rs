//! `service_facts`: the services of the machine as facts.

use super::{Context, Entry, Module, Outcome, Plan};
use crate::program::{Map, Value};
use crate::system::Result;

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<ServiceFacts>(&["service_facts", "ansible.builtin.service_facts"]);

arguments! {
    /// Find the machine's services. Results as in `ansible.builtin.service_facts`: `ansible_facts.services`, each by its name with
    /// `name`, `state`, `status` and `source`.
    pub struct ServiceFacts {}
}

impl Module for ServiceFacts {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let services: Value = match context.system.services() {
            Ok(services) if services.is_empty() => {
                let message = "Failed to find any services. This can be due to privileges or some other configuration issue.";
                return Ok(Plan::done(Outcome { skipped: true, ..Outcome::ok() }.with("msg", message)));
            }
            Ok(services) => services.into(),
            // What an earlier task of a plan changes.
            Err(error) => match error.unknown_cause() {
                Some(cause) => Value::unknown(std::sync::Arc::clone(cause)),
                None => return Err(error),
            },
        };
        let facts: Map = [("services".into(), services)].into_iter().collect();
        Ok(Plan::done(Outcome { facts: Some(facts), ..Outcome::ok() }))
    }
}
