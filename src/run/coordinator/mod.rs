//! One loop holds the run's whole state: hosts' places, what they wait for, what they ask.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc, oneshot};

use super::found::{Called, Found};
use super::host::{self, Incoming, Outbox, Patience};
use super::order::Place;
use super::password::Passwords;
use super::patience::{self, First};
use super::told::Told;
use super::{Failure, Happening, HostResult, HostVariables, Inputs};
use crate::agent::frame::{Answer, Down, GivenUp, Question, RunMode, Snapshot, StandsIn, Start};
use crate::program::{Play, Position, Program};

mod cleared;
mod end;
mod failures;
mod found;
mod frames;
mod links;
mod turns;

/// After Ctrl-C agents have this long to end what they do (TERM, KILL after 1.5 s) and to say so.
const CANCEL_LIMIT: Duration = Duration::from_millis(2500);

/// Between attempts to reach a host that restarts.
const RETURN_INTERVAL: Duration = Duration::from_millis(500);

/// An attempt is also the login and the start of the agent, which no `connect_timeout` of a playbook has in mind.
const LEAST_ATTEMPT: Duration = Duration::from_secs(10);

/// What the caller says.
#[derive(Debug)]
pub enum Command {
    Finished(oneshot::Sender<BTreeMap<Arc<str>, HostResult>>),
    Apply,
    Cancel,
    End,
}

/// One host of the run.
struct Host {
    program: Option<Arc<Program>>,
    /// Its program before the run changed the inventory.
    begun: Option<Arc<Program>>,
    /// [`Growth::compiled`] of the inventory and the plays that were sent to it since it began; 0: none.
    knows: (u64, u64),
    session: u64,
    down: Option<Outbox>,
    place: Place,
    dirty: bool,
    /// A task of it that may write on the controller has something to do.
    wrote: bool,
    /// What it was told of others' failures: [`Down::Stop`] and [`Down::Fail`].
    stops: Option<(Position, Arc<str>)>,
    fails: Option<(Position, Position)>,
    /// Where it left a play.
    left: Option<Position>,
    /// It has failed, and runs its handlers before it goes.
    runs_handlers: bool,
    /// It has failed, and waits whether it is brought back.
    failing: Option<cleared::Failing>,
    /// In which play it was brought back, and how often.
    lap: (u32, u32),
    /// How often it could not be reached, before it was brought back.
    lost: u32,
    /// It was brought back for one play only.
    back_for_one: bool,
    /// Why it is gone again behind that.
    gone: Option<Failure>,
    /// Its agent has said something.
    greeted: bool,
    /// Waits to act here.
    wants: Option<Place>,
    result: Option<HostResult>,
    /// Restarting: what it goes on with.
    suspended: Option<(Box<Snapshot>, Instant)>,
    /// Only performs for others.
    serves: bool,
    /// Its facts, registered and set variables, as far as others read them.
    published: Told,
    /// Variables that other hosts have set for it.
    told: Told,
    /// It came by `add_host`.
    added: bool,
    /// Its agent is on the controller: why it was not reached.
    stands_in: Option<StandsIn>,
    /// The session that it has, or had last, is on the controller.
    is_here: bool,
    /// Digests of files that it was told of in the run.
    given: BTreeSet<Arc<str>>,
    /// Sent before the session was there.
    queued: Vec<Down>,
    /// The attempt to reach it.
    connecting: Option<tokio::task::AbortHandle>,
}

impl Host {
    fn new(program: Option<Arc<Program>>) -> Self {
        let first = program.as_ref().and_then(|program| program.plays.first());
        let place = Place {
            position: Position(first.map(|play| vec![play.index]).unwrap_or_default()),
            batch: first.map_or(0, |play| play.batch),
            lap: 0,
        };
        Self {
            serves: program.is_none(),
            begun: program.clone(),
            program,
            knows: (0, 0),
            session: 0,
            down: None,
            place,
            dirty: false,
            wrote: false,
            stops: None,
            fails: None,
            left: None,
            runs_handlers: false,
            failing: None,
            lap: (0, 0),
            lost: 0,
            back_for_one: false,
            gone: None,
            greeted: false,
            wants: None,
            result: None,
            suspended: None,
            published: Told::default(),
            told: Told::default(),
            added: false,
            stands_in: None,
            is_here: false,
            given: BTreeSet::new(),
            queued: Vec::new(),
            connecting: None,
        }
    }

    fn is_live(&self) -> bool {
        !self.serves && self.result.is_none()
    }

    fn play(&self, index: u32) -> Option<&Arc<Play>> {
        self.program.as_ref()?.plays.iter().find(|play| play.index == index)
    }

    fn batch(&self, position: &Position) -> u32 {
        position.play().and_then(|index| self.play(index)).map_or(0, |play| play.batch)
    }

    fn place_of(&self, position: &Position) -> Place {
        let lap = if position.play() == Some(self.lap.0) { self.lap.1 } else { 0 };
        Place { position: position.clone(), batch: self.batch(position), lap }
    }
}

/// A task that one host does for another.
struct Performing {
    asker: Arc<str>,
    asked: u64,
    on: Arc<str>,
    /// A plan asks.
    plans: bool,
    /// What is done, where that is on the controller.
    called: Option<Called>,
}

/// A question that waits for another host.
struct Pending {
    host: Arc<str>,
    id: u64,
    question: Question,
}

/// How often the inventory had changed, in this pass of the run.
#[derive(Default)]
struct Growth {
    /// By now.
    now: u64,
    /// In what was compiled last.
    compiled: u64,
    /// In the plays that hosts have.
    played: u64,
}

impl Growth {
    fn changed(&mut self, changed: bool) -> Answer {
        self.now += u64::from(changed);
        Answer::Changed(changed)
    }
}

pub struct Coordinator {
    inputs: Inputs,
    growth: Growth,
    passwords: Arc<Passwords>,
    /// All programs as they were compiled last.
    latest: BTreeMap<Arc<str>, Arc<Program>>,
    hosts: BTreeMap<Arc<str>, Host>,
    /// Inventory order.
    order: Vec<Arc<str>>,
    happenings: mpsc::UnboundedSender<Happening>,
    commands: mpsc::UnboundedReceiver<Command>,
    incoming: mpsc::UnboundedReceiver<Incoming>,
    to_self: mpsc::UnboundedSender<Incoming>,
    slots: Arc<Semaphore>,
    pending: Vec<Pending>,
    /// Results of `run_once` tasks of this pass.
    ran_once: HashMap<Place, Answer>,
    /// Who runs it.
    runners: HashMap<Place, Arc<str>>,
    /// Who runs a task that only so many run at once.
    turns: HashMap<Position, BTreeSet<Arc<str>>>,
    /// Plays that `meta: end_play` ended, for the batches behind the one that it stands here with.
    ended_plays: BTreeMap<u32, u32>,
    /// Requests performed for others, by our id.
    performs: HashMap<u64, Performing>,
    /// Plans of them that were made on the controller, by host and handle.
    planned_here: HashMap<(Arc<str>, u64), Called>,
    found: Found,
    next: u64,
    waiters: Vec<oneshot::Sender<BTreeMap<Arc<str>, HostResult>>>,
    stopped: Option<(Position, Arc<str>)>,
    failures: HashMap<(u32, u32), Vec<Arc<str>>>,
    applying: bool,
    grows: bool,
    clears: bool,
    /// The inventory was read again.
    refreshed: bool,
    /// Programs as they are with the files that were there after so many tasks had written some; at this place, where one was not there.
    read: HashMap<Arc<str>, Program>,
    read_at: Option<(u64, Option<Place>)>,
    /// How many tasks have written on the controller.
    written: u64,
    cancelled: Option<Instant>,
    inventory: Arc<BTreeMap<Arc<str>, HostVariables>>,
    /// As it was before the run changed it.
    begun: Arc<BTreeMap<Arc<str>, HostVariables>>,
}

/// A failure as an agent tells it.
pub fn told(failure: &Failure) -> Arc<str> {
    match &failure.hint {
        Some(hint) => format!("{} (hint: {hint})", failure.message).into(),
        None => failure.message.as_str().into(),
    }
}

impl Coordinator {
    pub fn new(mut inputs: Inputs, happenings: mpsc::UnboundedSender<Happening>, commands: mpsc::UnboundedReceiver<Command>) -> Self {
        let (to_self, incoming) = mpsc::unbounded_channel();
        let order: Vec<Arc<str>> = inputs.programs.iter().map(|(name, _)| Arc::clone(name)).collect();
        let grows = inputs.programs.iter().any(|(_, program)| program.changes_inventory());
        let clears = inputs.programs.iter().any(|(_, program)| program.clears_errors());
        let programs = std::mem::take(&mut inputs.programs);
        let hosts = programs.into_iter().map(|(name, program)| (name, Host::new(Some(Arc::new(program))))).collect();
        let inventory = Arc::new(std::mem::take(&mut inputs.inventory));
        let applying = inputs.mode == RunMode::Apply;
        Self {
            growth: Growth::default(),
            passwords: Arc::new(Passwords::new(Arc::clone(&inputs.passwords))),
            latest: BTreeMap::new(),
            read: HashMap::new(),
            read_at: None,
            written: 0,
            slots: Arc::new(Semaphore::new(inputs.forks.max(1))),
            inputs,
            hosts,
            order,
            happenings,
            commands,
            incoming,
            to_self,
            pending: Vec::new(),
            ran_once: HashMap::new(),
            runners: HashMap::new(),
            turns: HashMap::new(),
            ended_plays: BTreeMap::new(),
            performs: HashMap::new(),
            planned_here: HashMap::new(),
            found: Found::default(),
            next: 0,
            waiters: Vec::new(),
            stopped: None,
            failures: HashMap::new(),
            applying,
            grows,
            clears,
            refreshed: false,
            cancelled: None,
            begun: Arc::clone(&inventory),
            inventory,
        }
    }

    /// Until the caller ends it.
    pub async fn run(mut self) {
        for host in self.order.clone() {
            let program = self.hosts.get(&host).and_then(|host| host.program.as_deref());
            let patience = program.map_or(Patience::Usual, |program| match patience::of(program, self.begins_before(program)) {
                First::Needs => Patience::Usual,
                First::Waits(limit) => Patience::UpTo(limit),
                // Where hosts are brought back none stands in for this one: it is waited for as usual.
                First::Other if self.clears => Patience::Usual,
                First::Other => Patience::Once(None),
            });
            self.connect(&host, patience);
        }
        self.settle();
        loop {
            let limit = self.cancelled.map_or(Duration::from_secs(3600), |since| CANCEL_LIMIT.saturating_sub(since.elapsed()));
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Finished(waiter)) => self.waiters.push(waiter),
                    Some(Command::Apply) => self.apply(),
                    Some(Command::Cancel) => self.cancel(),
                    Some(Command::End) | None => break,
                },
                Some(incoming) = self.incoming.recv() => self.take(incoming),
                () = tokio::time::sleep(limit), if self.cancelled.is_some() => self.give_up_cancelled(),
            }
            self.settle();
        }
        let downs: Vec<Outbox> = self.hosts.values_mut().filter_map(|host| host.down.take()).collect();
        downs.iter().for_each(|down| down.send(Down::End));
        // The agents' last words: their streams close.
        let until = tokio::time::Instant::now() + Duration::from_secs(2);
        let mut open = downs.len();
        while open > 0 {
            match tokio::time::timeout_at(until, self.incoming.recv()).await {
                Ok(Some(Incoming::Closed { .. })) => open -= 1,
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
    }

    fn tell(&self, happening: Happening) {
        // Nobody listening is no reason to stop.
        let _ = self.happenings.send(happening);
    }

    fn connect(&mut self, name: &Arc<str>, patience: Patience) {
        self.next += 1;
        let session = self.next;
        if let Some(host) = self.hosts.get_mut(name) {
            host.session = session;
            host.knows = (0, 0);
            if host.suspended.is_none() && host.stands_in.is_none() {
                self.tell(Happening::Connecting { host: Arc::clone(name) });
            }
        }
        let Some(start) = self.start_of(name) else { return };
        let connector = Arc::clone(&self.inputs.connector);
        let task =
            tokio::spawn(host::run(Arc::clone(name), session, connector, patience, start, Arc::clone(&self.slots), self.to_self.clone()));
        if let Some(host) = self.hosts.get_mut(name) {
            host.connecting = Some(task.abort_handle());
        }
    }

    /// What the host's agent begins with.
    fn start_of(&self, name: &Arc<str>) -> Option<Box<Start>> {
        let host = self.hosts.get(name)?;
        let live = host.is_live();
        Some(Box::new(Start {
            protocol: crate::agent::frame::PROTOCOL,
            program: host.program.as_ref().filter(|_| live).map(Arc::clone),
            mode: match (live, self.applying) {
                (false, _) => RunMode::Serve,
                // A host that was not there when the others planned has no plan.
                (true, true) => RunMode::Apply,
                (true, false) => self.inputs.mode,
            },
            environment: format!("{}-{name}", self.inputs.environment).into(),
            run: self.inputs.identity.clone(),
            journal_key: self.inputs.journal_key.clone(),
            ordered: self.grows || self.order.len() > 1,
            grows: self.grows,
            clears: self.clears,
            resume: host.suspended.as_ref().map(|(snapshot, _)| snapshot.clone()),
            stands_in: host.stands_in.clone(),
            become_password: self.inputs.become_passwords.get(name).or(self.inputs.become_password.as_ref()).cloned(),
        }))
    }

    /// To a host; frames wait while it connects. A full queue means content is on its way: then a task waits for room.
    fn send(&mut self, name: &Arc<str>, frame: Down) {
        let Some(host) = self.hosts.get_mut(name) else { return };
        match &host.down {
            Some(down) => down.send(frame),
            None => host.queued.push(frame),
        }
    }

    fn answer(&mut self, name: &Arc<str>, id: u64, answer: Answer) {
        self.found.tell(name, &answer);
        self.send(name, Down::Answer { id, answer });
    }

    // ---- what comes from hosts ----

    fn take(&mut self, incoming: Incoming) {
        let is_current =
            |host: &Arc<str>, session: u64, hosts: &BTreeMap<Arc<str>, Host>| hosts.get(host).is_some_and(|host| host.session == session);
        match incoming {
            Incoming::Connected { host, session, down, is_here } if is_current(&host, session, &self.hosts) => {
                self.connected(&host, down, is_here);
            }
            Incoming::NotConnected { host, session, error } if is_current(&host, session, &self.hosts) => {
                if self.is_returning(&host) {
                    self.try_again(&host);
                } else if self.is_awaited(&host) {
                    self.give_up(&host, GivenUp::Gone(told(&Failure { message: error.message, hint: error.hint }).to_string()));
                } else if self.may_do_without(&host) {
                    self.stand_in(&host, &Failure { message: error.message, hint: error.hint });
                } else {
                    self.unreachable(&host, Failure { message: error.message, hint: error.hint });
                }
            }
            Incoming::Closed { host, session, reason } if is_current(&host, session, &self.hosts) => self.closed(&host, &reason),
            Incoming::Frame { host, session, frame } if is_current(&host, session, &self.hosts) => self.frame(&host, *frame),
            Incoming::Kept { host, path } => self.found.learn(&host, BTreeSet::from([path])),
            _ => {}
        }
    }
}
