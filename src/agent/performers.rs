//! Who acts: this process as the login user, a worker for each become user, another host's agent.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::frame::{Answer, Become, Call, CallMode, Perform, PerformReply};
use super::journal::{Repair, SharedJournal};
use super::machine::Machine;
use super::mask::{HIDDEN, Masker};
use super::port::{Ended, Port};
use super::worker::Worker;
use crate::program::Value;
use crate::system::Action;

/// Where a call goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Login,
    User(Become),
    Host(Arc<str>),
}

/// What this process has written for several hosts: its own tasks, and those that others delegate here. Who planned before another one
/// wrote plans again, so that nobody's line is lost.
#[derive(Default)]
pub struct Writes {
    turn: Mutex<()>,
    count: AtomicU64,
    /// Others would change this machine, by the plan.
    is_planned: AtomicBool,
}

impl Writes {
    /// What another host's task came to here.
    pub fn note(&self, mode: CallMode, reply: &PerformReply) {
        if let PerformReply::Planned(planned) = reply
            && mode == CallMode::Plan
            && !planned.actions.is_empty()
        {
            self.is_planned.store(true, Ordering::Release);
        }
    }
}

/// A plan that writes files, as it was asked for.
struct Prepared {
    target: Target,
    handle: u64,
    call: Box<Call>,
    /// [`Writes::count`] before it.
    count: u64,
}

/// The ways to act on this node and others.
pub struct Performers {
    machine: Machine,
    workers: HashMap<Become, Worker>,
    port: Arc<dyn Port>,
    password: Option<Value>,
    /// What a plan did so far, for workers that come later.
    absorbed: Vec<(Vec<Action>, Arc<str>)>,
    is_root: bool,
    journal: SharedJournal,
    masker: Masker,
    has_lock: bool,
    writes: Arc<Writes>,
    prepared: Vec<Prepared>,
    /// This agent stands in for a machine that cannot be reached, for this reason.
    pub gone: Option<Arc<str>>,
}

impl Performers {
    pub fn new(
        machine: Machine,
        port: Arc<dyn Port>,
        password: Option<Value>,
        journal: SharedJournal,
        masker: Masker,
        has_lock: bool,
        writes: Arc<Writes>,
    ) -> Self {
        password.iter().for_each(|password| masker.learn(password));
        Self {
            machine,
            workers: HashMap::new(),
            port,
            password,
            absorbed: Vec::new(),
            is_root: nix::unistd::geteuid().is_root(),
            journal,
            masker,
            has_lock,
            writes,
            prepared: Vec::new(),
            gone: None,
        }
    }

    /// What is secret in this run; a clone shares it.
    pub fn masker(&self) -> Masker {
        self.masker.clone()
    }

    /// Sends the request where it belongs and waits.
    pub fn perform(&mut self, target: &Target, request: Perform) -> Result<PerformReply, Ended> {
        if matches!(target, Target::Host(_)) {
            return self.hand(target, request);
        }
        match request {
            Perform::Plan(call) if call.mode == CallMode::Apply => {
                let count = self.writes.count.load(Ordering::Acquire);
                let reply = self.hand(target, Perform::Plan(call.clone()))?;
                if let PerformReply::Planned(planned) = &reply
                    && let Some(handle) = planned.handle
                    && planned.actions.iter().any(|action| matches!(action, Action::WriteFile { .. }))
                {
                    self.prepared.push(Prepared { target: target.clone(), handle, call, count });
                }
                Ok(reply)
            }
            Perform::Apply { handle } => match self.prepared(target, handle) {
                Some(prepared) => self.write(prepared),
                None => self.hand(target, Perform::Apply { handle }),
            },
            Perform::Drop { handle } => {
                self.prepared(target, handle);
                self.hand(target, Perform::Drop { handle })
            }
            other => self.hand(target, other),
        }
    }

    fn prepared(&mut self, target: &Target, handle: u64) -> Option<Prepared> {
        let index = self.prepared.iter().position(|prepared| prepared.handle == handle && prepared.target == *target)?;
        Some(self.prepared.swap_remove(index))
    }

    /// One at a time in this process.
    fn write(&mut self, prepared: Prepared) -> Result<PerformReply, Ended> {
        let Prepared { target, mut handle, call, count } = prepared;
        let writes = Arc::clone(&self.writes);
        let _turn = writes.turn.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if writes.count.load(Ordering::Acquire) != count {
            self.hand(&target, Perform::Drop { handle })?;
            handle = match self.hand(&target, Perform::Plan(call))? {
                PerformReply::Planned(planned) => match planned.handle {
                    Some(handle) => handle,
                    // Another one has done it.
                    None => return Ok(PerformReply::Applied { outcome: planned.outcome, sentences: Vec::new() }),
                },
                other => return Ok(other),
            };
        }
        let reply = self.hand(&target, Perform::Apply { handle });
        writes.count.fetch_add(1, Ordering::Release);
        reply
    }

    fn hand(&mut self, target: &Target, request: Perform) -> Result<PerformReply, Ended> {
        if let Some(reason) = self.gone.as_ref().filter(|_| !matches!(target, Target::Host(_))) {
            return Err(Ended::Gone(Arc::clone(reason)));
        }
        let planned = matches!(request, Perform::Plan(_));
        let cause = match &request {
            Perform::Plan(call) => Arc::clone(&call.label),
            _ => "".into(),
        };
        let overlays = matches!(&request, Perform::Plan(call) if call.mode == super::frame::CallMode::Plan && !call.really);
        let reply = match target {
            Target::Login => self.machine.perform(request),
            Target::User(user) if self.is_root && &*user.user == "root" && user.flags.is_none() => self.machine.perform(request),
            Target::User(user) => {
                self.worker(user)?;
                let (journal, masker) = (Arc::clone(&self.journal), self.masker.clone());
                let watch = |child: &crate::system::Child, command: &crate::system::Command| {
                    let label = masker.line(&command.label).unwrap_or_else(|| HIDDEN.to_owned());
                    // A journal that cannot be written stops the run at its next intent.
                    let _ = journal.lock().unwrap_or_else(std::sync::PoisonError::into_inner).child(
                        child,
                        &label,
                        Repair::of(command, Some(user)),
                    );
                };
                let worker = self.workers.get_mut(user).ok_or_else(|| Ended::Refused("the worker is gone".to_owned()))?;
                worker.perform(request, &self.port, &self.masker, &watch)?
            }
            Target::Host(host) => match self.port.ask(super::item::delegate(host, request))? {
                Answer::Performed(reply) => reply,
                Answer::Unknown(cause) => PerformReply::Unknown(cause),
                Answer::Unreachable(reason) => return Err(Ended::Unreachable(reason)),
                Answer::Error { message, hint } => {
                    return Err(Ended::Refused(hint.map_or(message.clone(), |hint| format!("{message} (hint: {hint})"))));
                }
                _ => return Err(Ended::Refused("the controller answered out of turn".to_owned())),
            },
        };
        // What one user's plan does, the others see.
        if planned
            && overlays
            && !matches!(target, Target::Host(_))
            && let PerformReply::Planned(planned) = &reply
        {
            let actions = planned.actions.clone();
            self.spread(target, &actions, &cause);
        }
        Ok(reply)
    }

    /// Whether the plan has other hosts' tasks change this machine.
    pub fn is_planned_by_others(&self) -> bool {
        self.writes.is_planned.load(Ordering::Acquire)
    }

    fn is_own(&self, target: &Target) -> bool {
        match target {
            Target::Login => true,
            Target::User(user) => self.is_root && &*user.user == "root" && user.flags.is_none(),
            Target::Host(_) => false,
        }
    }

    fn spread(&mut self, from: &Target, actions: &[Action], cause: &Arc<str>) {
        if actions.is_empty() {
            return;
        }
        self.absorbed.push((actions.to_vec(), Arc::clone(cause)));
        if !self.is_own(from) {
            self.machine.absorb(actions, cause);
        }
        for (user, worker) in &mut self.workers {
            if *from != Target::User(user.clone()) {
                // A worker that died says so at its next call.
                let _ = worker.perform(
                    Perform::Absorb { actions: actions.to_vec(), cause: Arc::clone(cause) },
                    &self.port,
                    &self.masker,
                    &|_, _| {},
                );
            }
        }
    }

    /// A plan goes on as if these were done.
    pub fn absorb(&mut self, actions: &[Action], cause: &Arc<str>) {
        self.machine.absorb(actions, cause);
        self.spread(&Target::Login, actions, cause);
    }

    /// The plan is over: reads show the machine again.
    pub fn forget_plan(&mut self) {
        self.absorbed.clear();
        self.machine.forget_plan();
        self.workers.clear();
        self.prepared.clear();
    }

    /// New workers from here on (`meta: reset_connection`): new groups of a user count.
    pub fn reset(&mut self) {
        self.workers.clear();
        self.prepared.clear();
    }

    pub fn machine(&mut self) -> &mut Machine {
        &mut self.machine
    }

    fn worker(&mut self, user: &Become) -> Result<(), Ended> {
        if !self.workers.contains_key(user) {
            if self.password.is_none() {
                self.password = match self.port.ask(super::frame::Question::BecomePassword) {
                    Ok(Answer::Value(password)) => password,
                    _ => None,
                };
                self.password.iter().for_each(|password| self.masker.learn(password));
            }
            let mut worker = Worker::start(user, self.password.as_ref(), self.port.cancel(), self.has_lock).map_err(Ended::Refused)?;
            for (actions, cause) in &self.absorbed {
                worker.perform(
                    Perform::Absorb { actions: actions.clone(), cause: Arc::clone(cause) },
                    &self.port,
                    &self.masker,
                    &|_, _| {},
                )?;
            }
            self.workers.insert(user.clone(), worker);
        }
        Ok(())
    }
}
