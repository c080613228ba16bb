//! Hosts that failed, and `meta: clear_host_errors`, which brings them back.

use std::sync::Arc;

use super::{Coordinator, Host};
use crate::agent::frame::{Answer, RunMode};
use crate::module::{Entry, find};
use crate::program::{Play, Position, Program, Step, Task, Tree, Value};
use crate::run::host::Patience;
use crate::run::order::Place;

/// A host that failed.
pub(super) struct Failing {
    /// Where it goes on in its play.
    resumes: Option<Position>,
    /// Brought back, in its place or after the others; in a plan only perhaps, because of this.
    cleared: Option<(Turn, Option<Arc<str>>)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// The others come to where it goes on.
    Same,
    /// They are past that: it follows when they are through with the play.
    Next,
}

impl Coordinator {
    /// A host has failed: nobody waits for it any more.
    pub(super) fn failed(&mut self, name: &Arc<str>, position: &Position, resumes: Option<&Position>, is_new: bool) {
        let Some(host) = self.hosts.get_mut(name) else { return };
        let mut waits = host.place_of(position);
        waits.position.0.truncate(1);
        waits.lap = u32::MAX;
        let at = std::mem::replace(&mut host.place, waits);
        host.wants = None;
        host.runs_handlers = false;
        host.failing = Some(Failing { resumes: resumes.cloned(), cleared: None });
        if is_new && let Some(play) = position.play() {
            self.count_failure(name, play, at.batch, &at.position);
        }
    }

    /// `meta: clear_host_errors` by one host for its batch.
    pub(super) fn clear_errors(&mut self, by: &Arc<str>, position: &Position, unknown: Option<&Arc<str>>) {
        let Some(Place { batch, lap, .. }) = self.hosts.get(by).map(|host| host.place_of(position)) else { return };
        let mut back = Vec::new();
        for (name, host) in &mut self.hosts {
            let is_of_batch = host.place.position.play() == position.play() && host.place.batch == batch;
            let Some(failing) = host.failing.as_mut().filter(|_| is_of_batch && host.result.is_none()) else { continue };
            let turn = match &failing.resumes {
                Some(resumes) if resumes > position => {
                    host.place = Place { position: resumes.clone(), batch, lap };
                    Turn::Same
                }
                _ => {
                    host.place.lap = lap + 1;
                    Turn::Next
                }
            };
            failing.cleared = Some((turn, unknown.cloned()));
            back.push(Arc::clone(name));
        }
        let play = position.play().unwrap_or_default();
        back.iter().for_each(|name| self.forget_failure(name, play, batch));
    }

    /// The same of hosts that could not be reached: they are tried once more, behind the others. In the apply of a plan they stay away: a
    /// new agent has no plan to be held to.
    pub(super) fn clear_unreachable(&mut self, by: &Arc<str>, position: &Position) {
        let at = self.hosts.get(by).map(|host| host.place_of(position)).unwrap_or_default();
        let Some(play) = position.play().filter(|_| self.stopped.is_none() && self.cancelled.is_none()) else { return };
        if self.applying && self.inputs.mode == RunMode::Plan {
            return;
        }
        let mut back = Vec::new();
        for (name, host) in &mut self.hosts {
            let Some(failure) = host.result.as_ref().and_then(|result| result.unreachable.clone()).filter(|_| !host.serves) else {
                continue;
            };
            if host.play(play).is_none_or(|play| play.batch != at.batch) {
                continue;
            }
            let has_later = host.program.as_ref().is_some_and(|program| program.plays.iter().any(|later| later.index > play));
            let for_one = host.back_for_one || host.place.position.play() != Some(play);
            let Some(program) = again(host, play, for_one) else { continue };
            *host = Host {
                place: Place { position: Position(vec![play]), batch: at.batch, lap: at.lap + 1 },
                lap: (play, at.lap + 1),
                lost: host.lost + 1,
                gone: (for_one && has_later).then_some(failure),
                back_for_one: for_one,
                session: host.session,
                added: host.added,
                published: std::mem::take(&mut host.published),
                told: std::mem::take(&mut host.told),
                ..Host::new(Some(Arc::new(program)))
            };
            back.push(Arc::clone(name));
        }
        for name in back {
            self.forget_failure(&name, play, at.batch);
            self.fail_performs_on(&name, "it is connected to anew");
            self.connect(&name, Patience::Usual);
        }
    }

    /// `None`: it may still be brought back.
    pub(super) fn is_cleared(&mut self, name: &Arc<str>) -> Option<Answer> {
        let host = self.hosts.get(name)?;
        let cleared = host.failing.as_ref()?.cleared.clone();
        if cleared.as_ref().is_none_or(|(turn, _)| *turn == Turn::Next) && !self.others_past(name, &host.place) {
            return None;
        }
        let host = self.hosts.get_mut(name)?;
        host.failing = None;
        Some(match cleared {
            Some((_, unknown)) => {
                host.lap = (host.place.position.play().unwrap_or_default(), host.place.lap);
                Answer::Cleared(unknown)
            }
            None => Answer::Done,
        })
    }
}

/// What ansible-core still does on a host that it did not reach: a play after the task that it tried first, and a later play as a
/// whole, but none behind that. A host that was lost in mid-play has lost what it knew too: it has the plays behind.
fn again(host: &Host, play: u32, for_one: bool) -> Option<Program> {
    let mut program = (**host.program.as_ref()?).clone();
    let is_here = host.place.position.play() == Some(play);
    let was_lost = is_here && host.greeted;
    program.plays.retain(|other| other.index >= play + u32::from(was_lost) && (!for_one || other.index == play));
    let first = program.plays.first_mut()?;
    if is_here && !was_lost {
        leave_out_first(Arc::make_mut(first));
    }
    Some(program)
}

/// The first task that needs the machine.
fn leave_out_first(play: &mut Play) {
    fn leave_out(steps: &mut [Step]) -> bool {
        steps.iter_mut().any(|step| match step {
            Step::Task(task) if find(&task.module).is_some_and(Entry::is_of_the_run) => false,
            Step::Task(task) => {
                let keywords = crate::program::Keywords { tags: vec![Tree::Literal(Value::text("never"))], ..Default::default() };
                **task = Task { keywords, module: "meta".into(), ..Task::default() };
                true
            }
            Step::Block(block) => leave_out(&mut block.block),
            // It may hold the task that was tried; another must not be taken for it.
            Step::Include(_) => true,
        })
    }
    if !matches!(&play.gather_facts, Some(Tree::Literal(value)) if !value.is_truthy()) {
        play.gather_facts = Some(Tree::Literal(false.into()));
        return;
    }
    let sections = [&mut play.pre_tasks, &mut play.roles, &mut play.tasks, &mut play.post_tasks];
    let _ = sections.into_iter().any(|steps| leave_out(steps));
}
