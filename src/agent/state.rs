//! What a run has learnt on its host: facts, registered variables, notified handlers, counts.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::frame::Recap;
use crate::program::{Key, Layer, Map, Value};

/// All of it travels in a snapshot when the machine restarts in mid-play.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// In a plan: why no facts are known of the machine.
    pub unknown_facts: Option<Arc<str>>,
    /// `ansible_facts`, without the `ansible_` prefix.
    pub facts: Map,
    /// Facts as they read at the top level, with the prefix; also cacheable `set_fact`.
    pub injected: Map,
    /// `set_fact` and `register`.
    pub variables: Map,
    /// `include_vars`, in order.
    pub included: Vec<Arc<Layer>>,
    /// `vars_files` of the play in hand.
    pub vars_files: Vec<Arc<Layer>>,
    /// Variables that an unknown step of a plan may have set: then nothing is certainly undefined.
    pub opaque: Option<Arc<str>>,
    /// Handler names and topics notified and not yet run, in order, for the play in hand.
    pub notified: Vec<Notification>,
    pub recap: Recap,
    /// How many failed tasks and unreachable hosts of the recap `meta: clear_host_errors` made good.
    pub cleared: (u32, u32),
    /// Tasks and items looked at.
    pub tasks: u32,
    /// This host has planned or done a change in this run.
    pub dirty: bool,
    /// `--start-at-task` was reached.
    pub started: bool,
    /// Results of background jobs that had nothing to do, by their ids: none was begun.
    pub idle_jobs: Map,
}

/// A handler to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// The handler's name or a topic.
    pub name: Arc<str>,
    /// In a plan: only possibly notified, because of this.
    pub unknown: Option<Arc<str>>,
    /// A flush has taken it up.
    pub taken: bool,
    /// Handlers that a flush ran for it although it came in its midst: where they stand.
    pub done: Vec<Vec<u32>>,
}

impl State {
    /// Facts of `setup` or another module: under `ansible_facts` without the prefix, at the top level as they are.
    pub fn add_facts(&mut self, facts: &Map) {
        for (key, value) in facts {
            let name = key.text();
            let short = name.strip_prefix("ansible_").unwrap_or(&name);
            self.facts.insert(Key::from(short), value.clone());
            // Ansible leaves this one its whole name.
            if short == "local" {
                self.facts.insert(key.clone(), value.clone());
            }
            self.injected.insert(key.clone(), value.clone());
        }
    }

    /// What `set_fact` gave is no fact to this.
    pub fn clear_facts(&mut self) {
        self.facts.clear();
        self.injected.clear();
    }

    /// Whether it has failed and was not brought back.
    pub fn has_failed(&self) -> bool {
        self.recap.failed > self.cleared.0
    }

    /// The same of what it could not reach.
    pub fn is_unreachable(&self) -> bool {
        self.recap.unreachable > self.cleared.1
    }

    pub fn clear_errors(&mut self) {
        self.cleared = (self.recap.failed, self.recap.unreachable);
    }

    /// `set_fact` and `register`.
    pub fn set_variable(&mut self, name: &str, value: Value) {
        self.variables.insert(Key::from(name), value);
    }

    pub fn notify(&mut self, name: Arc<str>, unknown: Option<Arc<str>>) {
        match self.notified.iter_mut().find(|notification| notification.name == name && !notification.taken) {
            Some(known) if unknown.is_none() => known.unknown = None,
            Some(_) => {}
            None => self.notified.push(Notification { name, unknown, taken: false, done: Vec::new() }),
        }
    }
}
