//! Failures that end a play for a whole batch.

use std::sync::Arc;

use super::{Coordinator, Host};
use crate::agent::frame::Down;
use crate::program::{Position, Tree};

impl Coordinator {
    /// A batch of which all hosts failed, or more than `max_fail_percentage`, ends the play for all.
    pub(super) fn count_failure(&mut self, name: &Arc<str>, play: u32, batch: u32, at: &Position) {
        let failed = self.failures.entry((play, batch)).or_default();
        if !failed.contains(name) {
            failed.push(Arc::clone(name));
        }
        let failed = failed.len();
        let Some(of) = self.hosts.get(name).and_then(|host| host.play(play)).map(Arc::clone) else { return };
        let size = of.batch_hosts.len().max(1);
        let limit = match &of.max_fail_percentage {
            Some(Tree::Literal(value)) => value.number().map(crate::program::value::Number::float),
            _ => None,
        };
        let percentage = 100.0 * failed as f64 / size as f64;
        if failed >= size {
            self.stop(Position(vec![play]), batch, format!("all hosts of the batch failed in play {:?}", of.pattern).into(), Some(name));
        } else if limit.is_some_and(|limit| percentage > limit) {
            self.stop(
                at.after(),
                batch,
                format!("{percentage:.0} % of the batch failed, more than max_fail_percentage allows").into(),
                Some(name),
            );
        }
    }

    pub(super) fn forget_failure(&mut self, name: &Arc<str>, play: u32, batch: u32) {
        if let Some(failed) = self.failures.get_mut(&(play, batch)) {
            failed.retain(|failed| failed != name);
        }
    }

    /// A host's failure is one of its whole batch (`any_errors_fatal`).
    pub(super) fn fail_all(&mut self, name: &Arc<str>, position: &Position, rescued: Option<&Position>) {
        let batch = self.hosts.get(name).map_or(0, |host| host.batch(position));
        let Some(within) = rescued else {
            self.stop(position.after(), batch, format!("{name} failed, and any_errors_fatal is set").into(), Some(name));
            return;
        };
        let is_of_batch = |host: &Host| host.is_live() && host.batch(position) == batch;
        let others = self.hosts.iter().filter(|(other, host)| *other != name && is_of_batch(host));
        let others: Vec<Arc<str>> = others.map(|(other, _)| Arc::clone(other)).collect();
        for other in others {
            if let Some(host) = self.hosts.get_mut(&other) {
                host.fails = Some((position.after(), within.clone()));
            }
            self.send(&other, Down::Fail { position: position.after(), within: within.clone() });
        }
    }

    /// Ends the play for all: for the batch from the position on, for others as a whole.
    pub(super) fn stop(&mut self, position: Position, batch: u32, reason: Arc<str>, except: Option<&Arc<str>>) {
        if self.stopped.is_some() {
            return;
        }
        self.stopped = Some((position.clone(), Arc::clone(&reason)));
        let others: Vec<Arc<str>> =
            self.hosts.iter().filter(|(name, host)| host.is_live() && Some(*name) != except).map(|(name, _)| Arc::clone(name)).collect();
        for name in others {
            let is_of_batch = self.hosts.get(&name).is_some_and(|host| host.batch(&position) == batch);
            let position = if is_of_batch { position.clone() } else { Position(position.play().into_iter().collect()) };
            if let Some(host) = self.hosts.get_mut(&name) {
                host.stops = Some((position.clone(), Arc::clone(&reason)));
            }
            self.send(&name, Down::Stop { position, reason: Arc::clone(&reason) });
        }
    }
}
