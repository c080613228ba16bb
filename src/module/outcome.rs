//! What a module plans and what it returns.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::program::{Map, Value};
pub use crate::system::Diff;
use crate::system::{Action, ActionOutcome, Result, System};

/// What `register` holds: typed where the engine needs it, Ansible's own fields in `result`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    pub changed: bool,
    pub failed: bool,
    /// The module itself skipped (`creates` exists): `skip_reason` or `msg` is in `result`.
    pub skipped: bool,
    /// The module's documented return values (`dest`, `rc`, `stdout`, …) in Ansible's order; without `changed`, `failed`.
    pub result: Map,
    /// `ansible_facts`.
    pub facts: Option<Map>,
    pub warnings: Vec<String>,
    pub diff: Vec<Diff>,
}

impl Outcome {
    /// Unchanged.
    pub fn ok() -> Self {
        Self::default()
    }

    /// Changed.
    pub fn changed() -> Self {
        Self { changed: true, ..Self::default() }
    }

    /// Failed, with Ansible's `msg`.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { failed: true, ..Self::default() }.with("msg", message.into())
    }

    /// Adds a return value.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.result.insert(name.into(), value.into());
        self
    }

    /// As `register` holds it: the result with `changed`, `failed` and the rest in Ansible's places.
    pub fn value(&self) -> Value {
        let mut entries = self.result.clone();
        // Of a plan it may be unknown.
        if self.result.get("changed").and_then(Value::first_unknown).is_none() {
            entries.insert("changed".into(), self.changed.into());
        }
        if self.skipped {
            entries.insert("skipped".into(), true.into());
        }
        entries.insert("failed".into(), self.failed.into());
        if let Some(facts) = &self.facts {
            entries.insert("ansible_facts".into(), facts.clone().into());
        }
        if !self.warnings.is_empty() {
            entries.insert("warnings".into(), self.warnings.clone().into());
        }
        Value::Map(Arc::new(entries))
    }
}

/// What comes after a plan's actions.
pub enum Next {
    /// The report.
    Done(Outcome),
    /// Plan again, on the machine as it is now (bounded by the engine: 8 stages).
    Again(Plan),
}

type Then = Box<dyn FnOnce(&[ActionOutcome], &dyn System) -> Result<Next> + Send>;

/// A module's decision: nothing, or actions and what to report after them.
pub struct Plan {
    pub actions: Vec<Action>,
    /// What `register` holds in a plan or in check mode, when actions are not done: [`Value::Unknown`] where a value is
    /// not known before. Without actions: the outcome itself.
    pub predicted: Outcome,
    /// Report from what the actions gave; `None`: `predicted` is also the outcome.
    pub then: Option<Then>,
    /// Done in check mode too, as Ansible does (a read that needs a command).
    pub always: bool,
}

impl Plan {
    /// Nothing to do.
    pub fn done(outcome: Outcome) -> Self {
        Self { actions: Vec::new(), predicted: outcome, then: None, always: false }
    }

    /// Actions whose outcome is known beforehand.
    pub fn act(actions: Vec<Action>, predicted: Outcome) -> Self {
        Self { actions, predicted, then: None, always: false }
    }

    /// Reports from the actions' outcomes; the outcomes are in the actions' order.
    #[must_use]
    pub fn reporting(self, then: impl FnOnce(&[ActionOutcome]) -> Result<Outcome> + Send + 'static) -> Self {
        self.then(move |outcomes, _| then(outcomes).map(Next::Done))
    }

    /// Reports or plans again from the actions' outcomes and the machine as it is then.
    #[must_use]
    pub fn then(mut self, then: impl FnOnce(&[ActionOutcome], &dyn System) -> Result<Next> + Send + 'static) -> Self {
        self.then = Some(Box::new(then));
        self
    }
}
