//! One loop holds the run's whole state: hosts' places, what they wait for, what they ask.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc, oneshot};

use super::host::{self, Incoming, Patience};
use super::hostvars::HostScope;
use super::order::Place;
use super::told::Told;
use super::{Contents, Failure, Happening, HostResult, HostVariables, Inputs};
use crate::agent::frame::{
    Answer, CHUNK, Down, Ends, Event, GivenUp, ItemResult, Perform, Question, RunMode, Snapshot, Start, Status, Summary, Up,
};
use crate::program::{Bytes, Layer, Map, Play, Position, Program, Tree, Value};

/// After Ctrl-C agents have this long to end what they do (TERM, KILL after 1.5 s) and to say so.
const CANCEL_LIMIT: Duration = Duration::from_millis(2500);

/// Between attempts to reach a host that restarts.
const RETURN_INTERVAL: Duration = Duration::from_millis(500);

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
    session: u64,
    down: Option<mpsc::Sender<Down>>,
    place: Place,
    dirty: bool,
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
    /// Sent before the session was there.
    queued: Vec<Down>,
    /// The attempt to reach it.
    connecting: Option<tokio::task::AbortHandle>,
}

impl Host {
    fn new(program: Option<Arc<Program>>) -> Self {
        let first = program.as_ref().and_then(|program| program.plays.first());
        let place =
            Place { position: Position(first.map(|play| vec![play.index]).unwrap_or_default()), batch: first.map_or(0, |play| play.batch) };
        Self {
            serves: program.is_none(),
            program,
            session: 0,
            down: None,
            place,
            dirty: false,
            wants: None,
            result: None,
            suspended: None,
            published: Told::default(),
            told: Told::default(),
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
}

/// A task that one host does for another.
struct Performing {
    asker: Arc<str>,
    asked: u64,
    on: Arc<str>,
}

/// A question that waits for another host.
struct Pending {
    host: Arc<str>,
    id: u64,
    question: Question,
}

pub struct Coordinator {
    inputs: Inputs,
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
    ran_once: HashMap<(Position, u32), Answer>,
    /// Who runs it.
    runners: HashMap<(Position, u32), Arc<str>>,
    /// Plays that `meta: end_play` ended, for their further batches.
    ended_plays: BTreeSet<u32>,
    /// Requests performed for others, by our id.
    performs: HashMap<u64, Performing>,
    next: u64,
    waiters: Vec<oneshot::Sender<BTreeMap<Arc<str>, HostResult>>>,
    stopped: Option<(Position, Arc<str>)>,
    failures: HashMap<(u32, u32), Vec<Arc<str>>>,
    applying: bool,
    grows: bool,
    cancelled: Option<Instant>,
    inventory: BTreeMap<Arc<str>, HostVariables>,
}

impl Coordinator {
    pub fn new(mut inputs: Inputs, happenings: mpsc::UnboundedSender<Happening>, commands: mpsc::UnboundedReceiver<Command>) -> Self {
        let (to_self, incoming) = mpsc::unbounded_channel();
        let order: Vec<Arc<str>> = inputs.programs.iter().map(|(name, _)| Arc::clone(name)).collect();
        let grows = inputs.programs.iter().any(|(_, program)| program.changes_inventory());
        let programs = std::mem::take(&mut inputs.programs);
        let hosts = programs.into_iter().map(|(name, program)| (name, Host::new(Some(Arc::new(program))))).collect();
        let inventory = std::mem::take(&mut inputs.inventory);
        let applying = inputs.mode == RunMode::Apply;
        Self {
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
            ended_plays: BTreeSet::new(),
            performs: HashMap::new(),
            next: 0,
            waiters: Vec::new(),
            stopped: None,
            failures: HashMap::new(),
            applying,
            grows,
            cancelled: None,
            inventory,
        }
    }

    /// Until the caller ends it.
    pub async fn run(mut self) {
        for host in self.order.clone() {
            self.connect(&host, Patience::Usual);
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
        let downs: Vec<mpsc::Sender<Down>> = self.hosts.values_mut().filter_map(|host| host.down.take()).collect();
        for down in &downs {
            let _ = down.send(Down::End).await;
        }
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
            if host.suspended.is_none() {
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
            mode: if live { self.inputs.mode } else { RunMode::Serve },
            environment: format!("{}-{name}", self.inputs.environment).into(),
            run: self.inputs.identity.clone(),
            journal_key: self.inputs.journal_key.clone(),
            ordered: self.grows || self.order.len() > 1,
            grows: self.grows,
            resume: host.suspended.as_ref().map(|(snapshot, _)| snapshot.clone()),
            become_password: self.inputs.become_passwords.get(name).or(self.inputs.become_password.as_ref()).cloned(),
        }))
    }

    /// To a host; frames wait while it connects. A full queue means content is on its way: then a task waits for room.
    fn send(&mut self, name: &Arc<str>, frame: Down) {
        let Some(host) = self.hosts.get_mut(name) else { return };
        match &host.down {
            Some(down) => {
                if let Err(mpsc::error::TrySendError::Full(frame)) = down.try_send(frame) {
                    let down = down.clone();
                    tokio::spawn(async move {
                        let _ = down.send(frame).await;
                    });
                }
            }
            None => host.queued.push(frame),
        }
    }

    fn answer(&mut self, name: &Arc<str>, id: u64, answer: Answer) {
        self.send(name, Down::Answer { id, answer });
    }

    // ---- what comes from hosts ----

    fn take(&mut self, incoming: Incoming) {
        let is_current =
            |host: &Arc<str>, session: u64, hosts: &BTreeMap<Arc<str>, Host>| hosts.get(host).is_some_and(|host| host.session == session);
        match incoming {
            Incoming::Connected { host, session, down } if is_current(&host, session, &self.hosts) => self.connected(&host, down),
            Incoming::NotConnected { host, session, error } if is_current(&host, session, &self.hosts) => {
                if self.is_returning(&host) {
                    self.try_again(&host);
                } else if self.is_awaited(&host) {
                    self.give_up(&host, GivenUp::Gone(error.message));
                } else {
                    self.unreachable(&host, Failure { message: error.message, hint: error.hint });
                }
            }
            Incoming::Closed { host, session, reason } if is_current(&host, session, &self.hosts) => self.closed(&host, &reason),
            Incoming::Frame { host, session, frame } if is_current(&host, session, &self.hosts) => self.frame(&host, *frame),
            _ => {}
        }
    }

    fn connected(&mut self, name: &Arc<str>, down: mpsc::Sender<Down>) {
        let Some(host) = self.hosts.get_mut(name) else { return };
        host.down = Some(down);
        host.connecting = None;
        let queued = std::mem::take(&mut host.queued);
        for frame in queued {
            self.send(name, frame);
        }
        if self.cancelled.is_some() {
            self.send(name, Down::Cancel);
        }
    }

    fn is_returning(&self, name: &Arc<str>) -> bool {
        self.hosts.get(name).is_some_and(|host| {
            host.suspended
                .as_ref()
                .is_some_and(|(snapshot, since)| since.elapsed().as_secs_f64() < snapshot.reboot.delay + snapshot.reboot.timeout)
        })
    }

    /// Restarting, and not given up yet.
    fn is_awaited(&self, name: &Arc<str>) -> bool {
        let suspended = self.hosts.get(name).and_then(|host| host.suspended.as_ref());
        suspended.is_some_and(|(snapshot, _)| snapshot.reboot.given_up.is_none())
    }

    /// The time for a restart is over: its task fails, and the run goes on from there.
    fn give_up(&mut self, name: &Arc<str>, how: GivenUp) {
        let patience = if matches!(how, GivenUp::Gone(_)) { Patience::StandIn } else { Patience::Usual };
        if let Some(host) = self.hosts.get_mut(name) {
            host.down = None;
            if let Some((snapshot, _)) = &mut host.suspended {
                snapshot.reboot.given_up = Some(how);
            }
        }
        self.connect(name, patience);
    }

    fn try_again(&mut self, name: &Arc<str>) {
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
        let task = tokio::spawn(async move {
            tokio::time::sleep(RETURN_INTERVAL.max(goes_down)).await;
            host::run(of, session, connector, Patience::Once, start, slots, to_self).await;
        });
        if let Some(host) = self.hosts.get_mut(name) {
            host.connecting = Some(task.abort_handle());
        }
    }

    fn closed(&mut self, name: &Arc<str>, reason: &str) {
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
    fn fail_performs_on(&mut self, name: &Arc<str>, reason: &str) {
        let gone: Vec<u64> = self.performs.iter().filter(|(_, performing)| performing.on == *name).map(|(id, _)| *id).collect();
        for id in gone {
            if let Some(Performing { asker, asked, .. }) = self.performs.remove(&id) {
                self.answer(&asker, asked, Answer::Error { message: format!("delegated to {name}: {reason}"), hint: None });
            }
        }
    }

    fn unreachable(&mut self, name: &Arc<str>, failure: Failure) {
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
                        self.answer(
                            &asker,
                            asked,
                            Answer::Error { message: format!("delegated to {name}: {}", failure.message), hint: failure.hint.clone() },
                        );
                    }
                }
                return;
            }
        }
        self.finish(name, result);
    }

    fn finish(&mut self, name: &Arc<str>, result: HostResult) {
        let Some(host) = self.hosts.get_mut(name) else { return };
        if host.result.is_some() {
            return;
        }
        let failed = !result.is_good();
        let position = host.place.position.clone();
        let batch = host.place.batch;
        host.result = Some(result.clone());
        host.wants = None;
        self.tell(Happening::Finished { host: Arc::clone(name), result });
        if failed && let Some(play) = position.play() {
            self.count_failure(name, play, batch, &position);
        }
    }

    /// A batch of which all hosts failed, or more than `max_fail_percentage`, ends the play for all.
    fn count_failure(&mut self, name: &Arc<str>, play: u32, batch: u32, at: &Position) {
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
                after(at),
                batch,
                format!("{percentage:.0} % of the batch failed, more than max_fail_percentage allows").into(),
                Some(name),
            );
        }
    }

    /// Ends the play for all: for the batch from the position on, for others as a whole.
    fn stop(&mut self, position: Position, batch: u32, reason: Arc<str>, except: Option<&Arc<str>>) {
        if self.stopped.is_some() {
            return;
        }
        self.stopped = Some((position.clone(), Arc::clone(&reason)));
        let others: Vec<Arc<str>> =
            self.hosts.iter().filter(|(name, host)| host.is_live() && Some(*name) != except).map(|(name, _)| Arc::clone(name)).collect();
        for name in others {
            let is_of_batch = self.hosts.get(&name).is_some_and(|host| host.batch(&position) == batch);
            let position = if is_of_batch { position.clone() } else { Position(position.play().into_iter().collect()) };
            self.send(&name, Down::Stop { position, reason: Arc::clone(&reason) });
        }
    }

    fn moved(&mut self, name: &Arc<str>, position: &Position) {
        if let Some(host) = self.hosts.get_mut(name) {
            let place = Place { position: position.clone(), batch: host.batch(position) };
            if place.is_past(&host.place) {
                host.place = place;
            }
        }
    }

    fn frame(&mut self, name: &Arc<str>, frame: Up) {
        match frame {
            Up::Hello(hello) => self.hello(name, hello),
            Up::Waiting { holder, doing } => self.tell(Happening::Waiting { host: Arc::clone(name), holder, doing }),
            Up::Event(event) => self.event(name, event),
            Up::Ask { id, question } => self.asked(name, id, question),
            Up::Reached { position, dirty } => {
                self.moved(name, &position);
                if let Some(host) = self.hosts.get_mut(name) {
                    host.dirty |= dirty;
                    host.wants = Some(Place { batch: host.batch(&position), position });
                }
            }
            Up::Performed { id, reply } => {
                if let Some(Performing { asker, asked, .. }) = self.performs.remove(&id) {
                    self.answer(&asker, asked, Answer::Performed(reply));
                }
            }
            Up::Published { position, variables } => {
                if let Some(host) = self.hosts.get_mut(name) {
                    let place = Place { batch: host.batch(&position), position };
                    host.published.tell(&place, variables);
                }
            }
            Up::Suspended(snapshot) => {
                self.moved(name, &snapshot.position);
                if let Some(host) = self.hosts.get_mut(name) {
                    host.suspended = Some((snapshot, Instant::now()));
                }
                self.tell(Happening::Restarting { host: Arc::clone(name) });
                // The session is of no use any more; the machine goes down beneath it.
                self.send(name, Down::End);
            }
            Up::Done(summary) => self.finish(name, HostResult { summary, unreachable: None }),
            Up::Fatal { message, hint } => {
                let summary = Summary { failed: true, reason: Some(message.clone().into()), ..Summary::default() };
                let result = HostResult { summary, unreachable: Some(Failure { message, hint }) };
                self.finish(name, result);
            }
        }
    }

    fn hello(&mut self, name: &Arc<str>, hello: crate::agent::frame::Hello) {
        let mut returned = None;
        if let Some(host) = self.hosts.get_mut(name)
            && let Some((snapshot, since)) = &host.suspended
        {
            if snapshot.reboot.given_up.is_some() {
                host.suspended = None;
                return;
            }
            if snapshot.reboot.boot_id == hello.boot_id {
                // The same boot still: it has not gone down yet.
                host.down = None;
                if self.is_returning(name) {
                    self.try_again(name);
                } else {
                    self.give_up(name, GivenUp::NotRestarted);
                }
                return;
            }
            returned = Some(since.elapsed().as_secs_f64());
            host.suspended = None;
        }
        match returned {
            Some(seconds) => self.tell(Happening::Returned { host: Arc::clone(name), seconds }),
            None => self.tell(Happening::Connected { host: Arc::clone(name), hello }),
        }
    }

    fn event(&mut self, name: &Arc<str>, event: Event) {
        match &event {
            Event::Play { index } => self.moved(name, &Position(vec![*index])),
            Event::Item(ItemResult { position, fatal, status, .. }) => {
                self.moved(name, position);
                if *fatal && matches!(status, Status::Failed | Status::Unreachable) {
                    let batch = self.hosts.get(name).map_or(0, |host| host.batch(position));
                    self.stop(after(position), batch, format!("{name} failed, and any_errors_fatal is set").into(), Some(name));
                }
            }
            Event::Included { position, .. } => self.moved(name, position),
            _ => {}
        }
        self.tell(Happening::Event { host: Arc::clone(name), event });
    }

    // ---- questions ----

    fn asked(&mut self, name: &Arc<str>, id: u64, question: Question) {
        match question {
            Question::Content { sha256 } => self.send_content(name, id, &sha256),
            Question::Lookup { plugin, terms, options } => self.look_up(name, id, plugin, terms, options),
            Question::Clock => self.answer(name, id, Answer::Clock(crate::template::this_clock())),
            Question::Template { path } => self.look_at_template(name, id, &path),
            Question::Delegate { host, request } => self.delegate(name, id, &host, request),
            Question::RanOnce { position, result, facts, failed, ends } => {
                if let Some(play) = position.play().filter(|_| ends == Ends::Play) {
                    self.ended_plays.insert(play);
                }
                let batch = self.hosts.get(name).map_or(0, |host| host.batch(&position));
                self.ran_once.insert((position, batch), Answer::RunOnce { result, facts, failed, ends });
                self.answer(name, id, Answer::Done);
            }
            Question::PlayEnded { play } => {
                let ended = self.ended_plays.contains(&play);
                self.answer(name, id, Answer::Changed(ended));
            }
            Question::SetHostFacts { host, facts } => {
                let place = self.hosts.get(name).map(|host| host.place.clone()).unwrap_or_default();
                let host = self.hosts.entry(host).or_insert_with(|| Host::new(None));
                host.told.tell(&place, facts.clone());
                host.published.tell(&place, facts);
                self.answer(name, id, Answer::Done);
            }
            Question::AddHost { name: added, groups, variables } => {
                let changed = match &mut self.inputs.recompile {
                    Some(recompile) => Answer::Changed(recompile.add_host(&added, &groups, &variables)),
                    None => Answer::Error { message: "hosts cannot be added in this run".to_owned(), hint: None },
                };
                self.answer(name, id, changed);
            }
            Question::GroupBy { group, parents } => {
                let changed = match &mut self.inputs.recompile {
                    Some(recompile) => Answer::Changed(recompile.group_by(name, &group, &parents)),
                    None => Answer::Error { message: "groups cannot be added in this run".to_owned(), hint: None },
                };
                self.answer(name, id, changed);
            }
            Question::BecomePassword => {
                let password = self.inputs.become_passwords.get(name).or(self.inputs.become_password.as_ref()).cloned();
                self.answer(name, id, Answer::Value(password));
            }
            // Who asks at a position is past everything before it: two hosts may ask for each other's variables.
            waiting @ (Question::HostVariable { .. }
            | Question::HostVariables { .. }
            | Question::Told { .. }
            | Question::RunOnce { .. }
            | Question::Program { .. }) => {
                match &waiting {
                    Question::HostVariable { position, .. }
                    | Question::HostVariables { position, .. }
                    | Question::Told { position, .. }
                    | Question::RunOnce { position } => {
                        let position = position.clone();
                        self.moved(name, &position);
                    }
                    Question::Program { from_play } => {
                        let position = Position(vec![*from_play]);
                        self.moved(name, &position);
                    }
                    _ => {}
                }
                self.pending.push(Pending { host: Arc::clone(name), id, question: waiting });
            }
        }
    }

    fn send_content(&mut self, name: &Arc<str>, id: u64, sha256: &Arc<str>) {
        let Some(down) = self.hosts.get(name).and_then(|host| host.down.clone()) else { return };
        match self.inputs.contents.get(sha256).cloned() {
            None => {
                let message = format!("the project has no file of SHA-256 {sha256}");
                self.answer(name, id, Answer::Error { message, hint: None });
            }
            Some(contents) => {
                tokio::spawn(async move {
                    if let Err(error) = stream_content(&down, id, contents).await {
                        let _ = down.send(Down::Answer { id, answer: Answer::Error { message: error, hint: None } }).await;
                    }
                });
            }
        }
    }

    fn look_up(&mut self, name: &Arc<str>, id: u64, plugin: Arc<str>, terms: Vec<Value>, options: Map) {
        if &*plugin == "inventory_hostnames" {
            let names = terms.iter().filter_map(Value::as_str).flat_map(|group| self.hosts_of(group));
            let answer = Answer::List(names.map(Value::text).collect());
            self.answer(name, id, answer);
            return;
        }
        let Some(down) = self.hosts.get(name).and_then(|host| host.down.clone()) else { return };
        tokio::spawn(async move {
            let answer = tokio::task::spawn_blocking(move || super::lookup::answer(&plugin, &terms, &options)).await;
            let answer = match answer {
                Ok(Ok(values)) => Answer::List(values),
                Ok(Err(message)) => Answer::Error { message, hint: None },
                Err(error) => Answer::Error { message: error.to_string(), hint: None },
            };
            let _ = down.send(Down::Answer { id, answer }).await;
        });
    }

    /// Nothing is told of files that the host's program does not hold.
    fn look_at_template(&mut self, name: &Arc<str>, id: u64, path: &Arc<str>) {
        let is_its = |host: &Host| host.program.as_ref().is_some_and(|program| program.files.contains_key(path));
        let about = if self.hosts.get(name).is_some_and(is_its) {
            super::about::template(std::path::Path::new(&**path))
        } else {
            Err(format!("{path} is no file of the program of {name}"))
        };
        let answer = match about {
            Ok(about) => Answer::Template(Box::new(about)),
            Err(message) => Answer::Error { message, hint: None },
        };
        self.answer(name, id, answer);
    }

    fn hosts_of(&self, group: &str) -> Vec<Arc<str>> {
        let magic = self.hosts.values().find_map(|host| host.program.as_ref()).map(|program| &program.magic);
        let groups = magic.and_then(|magic| magic.get("groups")).and_then(|groups| groups.get(group)).and_then(Value::as_list);
        match groups {
            Some(hosts) => hosts.iter().filter_map(|host| host.as_str().map(Arc::from)).collect(),
            None if self.inventory.contains_key(group) => vec![group.into()],
            None => Vec::new(),
        }
    }

    fn delegate(&mut self, asker: &Arc<str>, asked: u64, on: &Arc<str>, request: Box<Perform>) {
        self.next += 1;
        let id = self.next;
        self.performs.insert(id, Performing { asker: Arc::clone(asker), asked, on: Arc::clone(on) });
        let needs_session = self.hosts.get(on).is_none_or(|host| host.down.is_none() && (host.serves || host.result.is_some()));
        if needs_session {
            let connecting = self.hosts.get(on).is_some_and(|host| !host.queued.is_empty());
            let host = self.hosts.entry(Arc::clone(on)).or_insert_with(|| Host::new(None));
            host.queued.push(Down::Perform { id, request });
            if !connecting {
                self.connect(on, Patience::Usual);
            }
            return;
        }
        self.send(on, Down::Perform { id, request });
    }

    /// After each event: who may go on now?
    fn settle(&mut self) {
        self.grant_watermarks();
        self.answer_pending();
        let live = self.hosts.values().any(Host::is_live);
        if !live && !self.waiters.is_empty() {
            let results: BTreeMap<Arc<str>, HostResult> = self
                .hosts
                .iter()
                .filter(|(_, host)| !host.serves)
                .filter_map(|(name, host)| Some((Arc::clone(name), host.result.clone()?)))
                .collect();
            for waiter in self.waiters.drain(..) {
                let _ = waiter.send(results.clone());
            }
        }
    }

    fn others_past(&self, name: &Arc<str>, place: &Place) -> bool {
        self.hosts.iter().filter(|(other, host)| *other != name && host.is_live()).all(|(_, host)| host.place.is_past(place))
    }

    fn grant_watermarks(&mut self) {
        let wanting: Vec<(Arc<str>, Place)> =
            self.hosts.iter().filter_map(|(name, host)| Some((Arc::clone(name), host.wants.clone()?))).collect();
        for (name, place) in wanting {
            if self.others_past(&name, &place) {
                let dirty = self.hosts.iter().any(|(other, host)| *other != name && !host.serves && host.dirty);
                if let Some(host) = self.hosts.get_mut(&name) {
                    host.wants = None;
                }
                self.send(&name, Down::Watermark { position: place.position, dirty });
            }
        }
    }

    fn answer_pending(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        for waiting in pending {
            match self.try_answer(&waiting) {
                Some(answer) => self.answer(&waiting.host, waiting.id, answer),
                None => self.pending.push(waiting),
            }
        }
    }

    fn try_answer(&mut self, waiting: &Pending) -> Option<Answer> {
        match &waiting.question {
            Question::HostVariable { host, name, position } => self.is_told(waiting, host, position).then(|| {
                match self.with_scope(host, &self.place_of(waiting, position), |scope| scope.value(name)) {
                    None => unknown_host(host),
                    Some(Ok(value)) => Answer::Value(value),
                    Some(Err(error)) => match error.unknown_cause() {
                        Some(cause) => Answer::Unknown(Arc::clone(cause)),
                        None => Answer::Error { message: format!("hostvars['{host}']['{name}']: {error}"), hint: error.hint },
                    },
                }
            }),
            Question::HostVariables { host, position } => self.is_told(waiting, host, position).then(|| {
                self.with_scope(host, &self.place_of(waiting, position), |scope| scope.values())
                    .map_or_else(|| unknown_host(host), Answer::Values)
            }),
            Question::Told { name, position } => {
                let place = self.place_of(waiting, position);
                self.others_past(&waiting.host, &place).then(|| {
                    let told = self.hosts.get(&waiting.host).and_then(|host| host.told.get(name, &place));
                    Answer::Value(told.cloned())
                })
            }
            Question::RunOnce { position } => self.run_once(&waiting.host, position),
            Question::Program { from_play } => self.program_anew(&waiting.host, *from_play),
            _ => Some(Answer::Done),
        }
    }

    /// Whether the host has done all before the position, so that what it tells is what linear order shows.
    fn is_told(&self, waiting: &Pending, host: &Arc<str>, position: &Position) -> bool {
        let place = self.place_of(waiting, position);
        let batch = place.batch;
        self.hosts.get(host).is_none_or(|host| !host.is_live() || host.place.is_past(&place) || host.batch(position) > batch)
    }

    /// Where the task is that asks.
    fn place_of(&self, waiting: &Pending, position: &Position) -> Place {
        Place { position: position.clone(), batch: self.hosts.get(&waiting.host).map_or(0, |host| host.batch(position)) }
    }

    /// The variables of a host as a task at `place` sees them.
    fn with_scope<T>(&self, host: &Arc<str>, place: &Place, read: impl FnOnce(&HostScope<'_>) -> T) -> Option<T> {
        let known = self.hosts.get(host);
        let inventory = self.inventory.get(host);
        let fallback;
        let inventory = match (inventory, known) {
            (Some(inventory), _) => inventory,
            (None, Some(known)) => {
                let program = known.program.as_ref();
                fallback = HostVariables {
                    in_folders: program
                        .map(|program| program.in_folders.iter().map(|layers| of_numbers(&program.inventory, layers)).collect())
                        .unwrap_or_default(),
                    magic: program.map(|program| program.magic.clone()).unwrap_or_default(),
                };
                &fallback
            }
            (None, None) => return None,
        };
        let extra = self.hosts.values().find_map(|host| host.program.as_ref()).map(|program| program.extra.clone()).unwrap_or_default();
        let plays = self.hosts.values().filter_map(|host| host.program.as_ref()).flat_map(|program| &program.plays);
        let play = plays.into_iter().find(|play| Some(play.index) == place.position.play());
        let scope = HostScope {
            host,
            inventory,
            folder: play.map_or(0, |play| play.folder as usize),
            extra: &extra,
            published: &known.map_or_else(Map::new, |known| known.published.before(place)),
            depth: RefCell::new(0),
        };
        Some(read(&scope))
    }

    fn run_once(&mut self, asker: &Arc<str>, position: &Position) -> Option<Answer> {
        // Once in each batch.
        let at = (position.clone(), self.hosts.get(asker)?.batch(position));
        if let Some(answer) = self.ran_once.get(&at) {
            return Some(answer.clone());
        }
        let play = self.hosts.get(asker)?.play(position.play()?)?;
        let first = play.batch_hosts.iter().find(|name| self.hosts.get(*name).is_some_and(Host::is_live))?.clone();
        // A host that ran ahead of the position without asking has skipped it for good (its tags or include differ).
        let runner = match self.runners.get(&at) {
            Some(runner) if self.hosts.get(runner).is_some_and(Host::is_live) => Arc::clone(runner),
            _ => first,
        };
        self.runners.insert(at, Arc::clone(&runner));
        (runner == *asker).then_some(Answer::Done)
    }

    fn program_anew(&mut self, asker: &Arc<str>, from_play: u32) -> Option<Answer> {
        // Everybody's additions count: all must be through with the plays before.
        let place = Place { position: Position(vec![from_play]), batch: 0 };
        if !self.others_past(asker, &place) {
            return None;
        }
        let Some(recompile) = &mut self.inputs.recompile else { return Some(Answer::Done) };
        let programs = match recompile.programs() {
            Ok(programs) => programs,
            Err(message) => return Some(Answer::Error { message, hint: None }),
        };
        let mut own = None;
        let mut added = Vec::new();
        for (name, program) in programs {
            let program = Arc::new(program);
            if name == *asker {
                own = Some(Arc::clone(&program));
            }
            match self.hosts.get_mut(&name) {
                Some(host) => host.program = Some(program),
                None => {
                    let mut later = (*program).clone();
                    later.plays.retain(|play| play.index >= from_play);
                    self.order.push(Arc::clone(&name));
                    self.hosts.insert(Arc::clone(&name), Host::new(Some(Arc::new(later))));
                    added.push(name);
                }
            }
        }
        for name in added {
            self.connect(&name, Patience::Usual);
        }
        Some(own.map_or(Answer::Done, |program| Answer::Program(Box::new((*program).clone()))))
    }

    // ---- what the caller says ----

    fn apply(&mut self) {
        self.applying = true;
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
        for name in names {
            if let Some(host) = self.hosts.get_mut(&name) {
                let fresh = Host::new(host.program.clone());
                host.place = fresh.place;
                host.dirty = false;
                host.wants = None;
                host.result = None;
                host.published.clear();
                host.told.clear();
            }
            self.send(&name, Down::Apply);
        }
    }

    fn cancel(&mut self) {
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

    fn give_up_cancelled(&mut self) {
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

fn unknown_host(host: &str) -> Answer {
    Answer::Error { message: format!("hostvars['{host}']: there is no host of this name in the inventory"), hint: None }
}

async fn stream_content(down: &mpsc::Sender<Down>, id: u64, contents: Contents) -> Result<(), String> {
    use tokio::io::AsyncReadExt;
    let closed = |_| "the session is over".to_owned();
    match contents {
        Contents::Memory(bytes) => {
            for chunk in bytes.0.chunks(CHUNK) {
                down.send(Down::Content { id, chunk: Bytes(chunk.into()) }).await.map_err(closed)?;
            }
        }
        Contents::File(path) => {
            let failed = |error: std::io::Error| format!("read {}: {error}", path.display());
            let mut file = tokio::fs::File::open(&path).await.map_err(failed)?;
            loop {
                let mut chunk = vec![0; CHUNK];
                let count = file.read(&mut chunk).await.map_err(failed)?;
                if count == 0 {
                    break;
                }
                chunk.truncate(count);
                down.send(Down::Content { id, chunk: Bytes(chunk.into()) }).await.map_err(closed)?;
            }
        }
    }
    down.send(Down::Content { id, chunk: Bytes::default() }).await.map_err(closed)
}

/// The step after a task.
fn after(position: &Position) -> Position {
    let mut after = position.clone();
    if let Some(last) = after.0.last_mut() {
        *last += 1;
    }
    after
}

/// Layers by their numbers.
fn of_numbers(layers: &[Layer], numbers: &[u32]) -> Vec<Layer> {
    numbers.iter().filter_map(|number| layers.get(*number as usize)).cloned().collect()
}
