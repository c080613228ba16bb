//! Links to hosts: made, lost, made again after a restart, and given up.

use std::sync::Arc;
use std::time::Duration;

use super::{Coordinator, Host, LEAST_ATTEMPT, Performing, RETURN_INTERVAL, told};
use crate::agent::frame::{Answer, Down, GivenUp, StandsIn, Summary};
use crate::module::{Entry, find};
use crate::program::{Play, Program, Step, Tree};
use crate::run::host::{self, Outbox, Patience};
use crate::run::patience::{self, First};
use crate::run::{Failure, Happening, HostResult};

impl Coordinator {
    pub(super) fn connected(&mut self, name: &Arc<str>, down: Outbox, is_here: bool) {
        let Some(host) = self.hosts.get_mut(name) else { return };
        host.down = Some(down);
        host.is_here = is_here;
        host.connecting = None;
        let queued = std::mem::take(&mut host.queued);
        for frame in queued {
            self.send(name, frame);
        }
        // What was said to a session before this one may have been lost with it.
        let said = self.hosts.get(name).map(|host| (host.stops.clone(), host.fails.clone()));
        if let Some((stops, fails)) = said {
            let stop = stops.map(|(position, reason)| Down::Stop { position, reason });
            let fail = fails.map(|(position, within)| Down::Fail { position, within });
            stop.into_iter().chain(fail).for_each(|frame| self.send(name, frame));
        }
        if self.cancelled.is_some() {
            self.send(name, Down::Cancel);
        }
    }

    pub(super) fn is_returning(&self, name: &Arc<str>) -> bool {
        self.hosts.get(name).is_some_and(|host| {
            host.suspended
                .as_ref()
                .is_some_and(|(snapshot, since)| since.elapsed().as_secs_f64() < snapshot.reboot.delay + snapshot.reboot.timeout)
        })
    }

    /// Restarting, and not given up yet.
    pub(super) fn is_awaited(&self, name: &Arc<str>) -> bool {
        let suspended = self.hosts.get(name).and_then(|host| host.suspended.as_ref());
        suspended.is_some_and(|(snapshot, _)| snapshot.reboot.given_up.is_none())
    }

    /// The time for a restart is over: its task fails, and the run goes on from there.
    pub(super) fn give_up(&mut self, name: &Arc<str>, how: GivenUp) {
        let patience = if matches!(how, GivenUp::Gone(_)) { Patience::StandIn } else { Patience::Usual };
        if let Some(host) = self.hosts.get_mut(name) {
            host.down = None;
            if let GivenUp::Gone(reason) = &how {
                host.stands_in = Some(StandsIn { reason: reason.as_str().into(), waited: None });
            }
            if let Some((snapshot, _)) = &mut host.suspended {
                snapshot.reboot.given_up = Some(how);
            }
        }
        self.connect(name, patience);
    }

    /// Whether some host has plays before this one's first.
    pub(super) fn begins_before(&self, program: &Program) -> bool {
        let first = program.plays.first().map(|play| play.index);
        let begins = |host: &Host| host.program.as_ref().and_then(|program| program.plays.first()).map(|play| play.index);
        self.hosts.values().filter_map(begins).any(|begins| Some(begins) < first)
    }

    /// Whether there is something to do before the host itself is needed, which may even make it.
    pub(super) fn may_do_without(&self, name: &Arc<str>) -> bool {
        let Some(host) = self.hosts.get(name).filter(|host| host.is_live() && host.stands_in.is_none()) else { return false };
        let Some(program) = host.program.as_deref() else { return false };
        // A host that is to be brought back begins anew.
        let is_later = !self.clears && patience::of(program, self.begins_before(program)) != First::Needs;
        is_later || (host.added && is_without_machine(program))
    }

    /// A host that an agent stood in for is needed now.
    pub(super) fn reach_after_all(&mut self, name: &Arc<str>) {
        self.send(name, Down::End);
        if let Some(host) = self.hosts.get_mut(name) {
            (host.down, host.stands_in) = (None, None);
        }
        self.fail_performs_on(name, "it is connected to anew");
        self.connect(name, Patience::Usual);
    }

    /// Its tasks are run on the controller; nothing is delegated to it.
    pub(super) fn stand_in(&mut self, name: &Arc<str>, failure: &Failure) {
        let first =
            self.hosts.get(name).and_then(|host| host.program.as_deref()).map(|program| patience::of(program, self.begins_before(program)));
        let waited = first.and_then(|first| if let First::Waits(limit) = first { Some(limit.as_secs_f64()) } else { None });
        if let Some(host) = self.hosts.get_mut(name) {
            host.stands_in = Some(StandsIn { reason: told(failure), waited });
        }
        self.connect(name, Patience::StandIn);
    }

    pub(super) fn try_again(&mut self, name: &Arc<str>) {
        self.next += 1;
        let session = self.next;
        if let Some(host) = self.hosts.get_mut(name) {
            host.session = session;
            host.down = None;
        }
        let Some(start) = self.start_of(name) else { return };
        let (connector, slots, to_self, of) =
            (Arc::clone(&self.inputs.connector), Arc::clone(&self.slots), self.to_self.clone(), Arc::clone(name));
        let suspended = self.hosts.get(name).and_then(|host| host.suspended.as_ref());
        let goes_down = suspended.map_or(Duration::ZERO, |(snapshot, since)| {
            Duration::from_secs_f64(snapshot.reboot.delay.max(0.0)).saturating_sub(since.elapsed())
        });
        let limit = suspended.and_then(|(snapshot, _)| Duration::try_from_secs_f64(snapshot.reboot.connect_timeout?).ok());
        let limit = limit.map(|limit| limit.max(LEAST_ATTEMPT));
        let task = tokio::spawn(async move {
            tokio::time::sleep(RETURN_INTERVAL.max(goes_down)).await;
            host::run(of, session, connector, Patience::Once(limit), start, slots, to_self).await;
        });
        if let Some(host) = self.hosts.get_mut(name) {
            host.connecting = Some(task.abort_handle());
        }
    }

    pub(super) fn closed(&mut self, name: &Arc<str>, reason: &str) {
        if let Some(host) = self.hosts.get_mut(name) {
            host.down = None;
        }
        if self.is_returning(name) {
            self.try_again(name);
            return;
        }
        if self.cancelled.is_none() && self.is_awaited(name) {
            self.give_up(name, GivenUp::Gone(reason.to_owned()));
            return;
        }
        let Some(host) = self.hosts.get(name) else { return };
        if host.result.is_none() && self.cancelled.is_some() {
            let summary =
                Summary { cancelled: true, reason: Some("it ended before it could say how far it came".into()), ..Summary::default() };
            self.finish(name, HostResult { summary, unreachable: None });
        } else if host.result.is_none() {
            let hint = "run the same command again: what was done is recorded, what was in hand is finished or repaired";
            self.unreachable(name, Failure { message: format!("the link was lost: {reason}"), hint: Some(hint.to_owned()) });
        }
        self.fail_performs_on(name, reason);
    }

    /// Tasks delegated to a host that is gone.
    pub(super) fn fail_performs_on(&mut self, name: &Arc<str>, reason: &str) {
        let gone: Vec<u64> = self.performs.iter().filter(|(_, performing)| performing.on == *name).map(|(id, _)| *id).collect();
        for id in gone {
            if let Some(Performing { asker, asked, .. }) = self.performs.remove(&id) {
                self.answer(&asker, asked, Answer::Unreachable(format!("delegated to {name}: {reason}").into()));
            }
        }
    }

    pub(super) fn unreachable(&mut self, name: &Arc<str>, failure: Failure) {
        let mut result = HostResult { unreachable: Some(failure.clone()), ..HostResult::default() };
        result.summary.recap.unreachable = 1;
        if let Some(host) = self.hosts.get_mut(name) {
            host.down = None;
            host.suspended = None;
            if host.serves {
                let queued = std::mem::take(&mut host.queued);
                for frame in queued {
                    if let Down::Perform { id, .. } = frame
                        && let Some(Performing { asker, asked, .. }) = self.performs.remove(&id)
                    {
                        let hint = failure.hint.as_ref().map(|hint| format!(" (hint: {hint})")).unwrap_or_default();
                        let reason = format!("delegated to {name}: {}{hint}", failure.message);
                        self.answer(&asker, asked, Answer::Unreachable(reason.into()));
                    }
                }
                return;
            }
        }
        self.finish(name, result);
    }

    pub(super) fn finish(&mut self, name: &Arc<str>, mut result: HostResult) {
        let Some(host) = self.hosts.get_mut(name) else { return };
        if host.result.is_some() {
            return;
        }
        result.summary.recap.unreachable += host.lost;
        let failed = !result.is_good();
        result.unreachable = result.unreachable.or_else(|| host.gone.take());
        let position = host.place.position.clone();
        let batch = host.place.batch;
        host.result = Some(result.clone());
        (host.wants, host.failing) = (None, None);
        // What it asked before its link was lost has nobody to be answered to.
        self.pending.retain(|waiting| waiting.host != *name);
        self.tell(Happening::Finished { host: Arc::clone(name), result: result.clone() });
        // A host that waited to be brought back was counted then.
        let is_new = !self.clears || result.unreachable.is_some() || result.summary.reason.is_some();
        if failed
            && is_new
            && let Some(play) = position.play()
        {
            self.count_failure(name, play, batch, &position);
        }
        // A link that was lost tells of no task.
        let is_fatal = |play: &Arc<Play>| matches!(&play.keywords.any_errors_fatal, Some(Tree::Literal(value)) if value.is_truthy());
        let play = position.play().and_then(|play| self.hosts.get(name)?.play(play));
        if result.unreachable.is_some() && play.is_some_and(is_fatal) {
            self.fail_all(name, &position, None);
        }
    }
}

/// A name as `add_host` makes one to keep variables in, which Ansible never connects to: nothing is done on the host's machine, no
/// facts are gathered, tasks are those of the run or delegated.
fn is_without_machine(program: &Program) -> bool {
    fn all(steps: &[Step]) -> bool {
        steps.iter().all(|step| match step {
            Step::Task(task) => task.keywords.delegate_to.is_some() || find(&task.module).is_some_and(Entry::is_of_the_run),
            Step::Block(block) => [&block.block, &block.rescue, &block.always].into_iter().all(|steps| all(steps)),
            Step::Include(_) => true,
        })
    }
    let gathers = |play: &Arc<Play>| !matches!(&play.gather_facts, Some(Tree::Literal(value)) if !value.is_truthy());
    let plays = program.plays.iter().flat_map(|play| [&play.pre_tasks, &play.roles, &play.tasks, &play.post_tasks, &play.handlers]);
    !program.plays.iter().any(gathers) && plays.chain(program.fragments.tasks.values().map(|steps| &**steps)).all(|steps| all(steps))
}
