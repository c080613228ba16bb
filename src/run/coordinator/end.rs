//! The apply after a plan, and the end of a run that is cancelled.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{CANCEL_LIMIT, Coordinator, Growth, Host};
use crate::agent::frame::{Down, Summary};
use crate::run::{Failure, HostResult};

impl Coordinator {
    pub(super) fn apply(&mut self) {
        self.applying = true;
        // Tasks that the plan has predicted add anew.
        if let Some(recompile) = &mut self.inputs.recompile {
            recompile.restart();
        }
        self.growth = Growth::default();
        self.latest.clear();
        self.inventory = Arc::clone(&self.begun);
        self.refreshed = false;
        self.ran_once.clear();
        self.runners.clear();
        self.ended_plays.clear();
        self.failures.clear();
        self.stopped = None;
        let gone = |host: &Host| !host.serves && host.down.is_none() && host.result.as_ref().is_some_and(HostResult::is_good);
        let lost: Vec<Arc<str>> = self.hosts.iter().filter(|(_, host)| gone(host)).map(|(name, _)| Arc::clone(name)).collect();
        let names: Vec<Arc<str>> =
            self.hosts.iter().filter(|(_, host)| !host.serves && host.down.is_some()).map(|(name, _)| Arc::clone(name)).collect();
        for name in lost {
            if let Some(host) = self.hosts.get_mut(&name) {
                host.result = None;
            }
            let hint = Some("run the same command again: nothing was changed on it".to_owned());
            self.unreachable(&name, Failure { message: "the link was lost between plan and apply".to_owned(), hint });
        }
        (self.written, self.read_at) = (0, None);
        for name in names {
            if let Some(host) = self.hosts.get_mut(&name) {
                host.program.clone_from(&host.begun);
                host.knows = (0, 0);
                let fresh = Host::new(host.program.clone());
                host.place = fresh.place;
                (host.failing, host.runs_handlers, host.left, host.lap) = (None, false, None, (0, 0));
                (host.stops, host.fails) = (None, None);
                (host.dirty, host.wrote) = (false, false);
                host.wants = None;
                host.result = None;
                host.published.clear();
                host.told.clear();
            }
            self.send(&name, Down::Apply);
        }
    }

    pub(super) fn cancel(&mut self) {
        if self.cancelled.is_some() {
            return;
        }
        self.cancelled = Some(Instant::now());
        let names: Vec<Arc<str>> = self.hosts.keys().cloned().collect();
        for name in names {
            if let Some(host) = self.hosts.get_mut(&name) {
                host.suspended = None;
            }
            if self.hosts.get(&name).is_some_and(|host| host.down.is_some()) {
                self.send(&name, Down::Cancel);
            } else {
                // Its start goes out with the connection: an attempt that went on would begin to work.
                if let Some(connecting) = self.hosts.get_mut(&name).and_then(|host| host.connecting.take()) {
                    connecting.abort();
                }
                let summary = Summary { cancelled: true, ..Summary::default() };
                self.finish(&name, HostResult { summary, unreachable: None });
            }
        }
    }

    pub(super) fn give_up_cancelled(&mut self) {
        if self.cancelled.is_none_or(|since| since.elapsed() < CANCEL_LIMIT) {
            return;
        }
        let names: Vec<Arc<str>> = self.hosts.iter().filter(|(_, host)| host.is_live()).map(|(name, _)| Arc::clone(name)).collect();
        for name in names {
            let summary = Summary { cancelled: true, reason: Some("it did not answer the cancel in time".into()), ..Summary::default() };
            self.finish(&name, HostResult { summary, unreachable: None });
        }
        self.cancelled = Some(Instant::now() + Duration::from_secs(3600));
    }
}
