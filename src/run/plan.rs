//! What a run would do, host by host: collected from the agents' predictions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::session::Results;
use super::{Happening, HostResult};
use crate::agent::frame::{Event, ItemResult, Status};

/// The prediction for every host of a run.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// In inventory order.
    pub hosts: Vec<(Arc<str>, HostPlan)>,
    pub elapsed: Duration,
}

/// The prediction for one host: items that would act, that cannot be known, that fail, or that were really run.
#[derive(Clone, Debug, Default)]
pub struct HostPlan {
    pub items: Vec<ItemResult>,
    pub result: HostResult,
}

/// What a plan says of one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// It acts.
    Change,
    /// It may act: what it depends on is known only when that was done.
    Unknown,
    /// It fails, as far as can be seen.
    Failure,
    /// It changes the run itself (`add_host`, `group_by`), and no machine.
    OfTheRun,
    /// It was run for the plan, and says that it changed nothing.
    Ran,
    Unchanged,
}

impl Word {
    pub fn of(item: &ItemResult) -> Self {
        match &item.status {
            Status::Unknown(_) => Word::Unknown,
            Status::Failed | Status::Unreachable if !item.ignored => Word::Failure,
            _ if item.of_the_run && (item.status == Status::Changed || !item.actions.is_empty()) => Word::OfTheRun,
            Status::Changed => Word::Change,
            _ if item.ran => Word::Ran,
            // `changed_when: false` does not undo what is done.
            _ if !item.actions.is_empty() => Word::Change,
            _ => Word::Unchanged,
        }
    }
}

impl HostPlan {
    pub fn count(&self, word: Word) -> usize {
        self.items.iter().filter(|item| Word::of(item) == word).count()
    }

    /// Whether it ends well as far as can be seen.
    pub fn is_good(&self) -> bool {
        self.result.is_good()
    }
}

impl Plan {
    pub fn count(&self, word: Word) -> usize {
        self.hosts.iter().map(|(_, host)| host.count(word)).sum()
    }

    /// Tasks looked at, over all hosts.
    pub fn tasks(&self) -> u32 {
        self.hosts.iter().map(|(_, host)| host.result.summary.tasks).sum()
    }

    /// Whether every host was reached and no task fails.
    pub fn is_good(&self) -> bool {
        self.hosts.iter().all(|(_, host)| host.is_good())
    }

    /// Proven: nothing acts, and nothing is unknown.
    pub fn proves_no_change(&self) -> bool {
        self.is_good() && self.count(Word::Change) == 0 && self.count(Word::Unknown) == 0
    }
}

/// Gathers what agents predict while they do.
#[derive(Debug, Default)]
pub struct Gathering {
    items: BTreeMap<Arc<str>, Vec<ItemResult>>,
}

impl Gathering {
    pub fn hear(&mut self, happening: &Happening) {
        if let Happening::Event { host, event: Event::Item(item) } = happening
            && Word::of(item) != Word::Unchanged
        {
            self.items.entry(Arc::clone(host)).or_default().push(item.clone());
        }
    }

    /// `order` is the inventory's.
    pub fn plan(mut self, order: &[Arc<str>], mut results: Results, elapsed: Duration) -> Plan {
        let mut names = order.to_vec();
        names.extend(results.keys().filter(|name| !order.contains(name)).cloned());
        let hosts = names.into_iter().filter_map(|name| {
            let plan = HostPlan { items: self.items.remove(&name).unwrap_or_default(), result: results.remove(&name)? };
            Some((name, plan))
        });
        Plan { hosts: hosts.collect(), elapsed }
    }
}
