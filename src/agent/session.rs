//! One session with a controller: greet, take the lock, plan, apply, serve other hosts' tasks.

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::executor::{Executor, Flow};
use super::frame::{CallMode, Event, GivenUp, Hello, PROTOCOL, Perform, PerformReply, RunMode, Start, Summary, Up};
use super::journal::{Journal, Repair, SharedJournal};
use super::link::Link;
use super::lock::Lock;
use super::machine::Machine;
use super::mask::{HIDDEN, Masker};
use super::performers::{Performers, Target, Writes};
use super::port::{Ended, Port};
use super::reboot::Suspended;
use crate::program::{Position, Program, Value};
use crate::system::{Child, Command, ContentSource, Error, Result, Stream, System, Watch};

/// Runs a session over stdin and stdout until it ends.
pub fn run() {
    let signals = super::signals::hold_back();
    let link = Link::new(Box::new(std::io::stdin()), Box::new(std::io::stdout()));
    let cancelled = link.clone();
    super::signals::on_any(signals, move || cancelled.cancel_all());
    serve(&link);
    link.drain();
}

/// The same over a link of one's own.
pub fn serve(link: &Link) {
    let port: Arc<dyn Port> = Arc::new(link.clone());
    let probe = crate::system::Real::new(port.cancel());
    let boot_id: Arc<str> = probe.boot_id().unwrap_or_default().into();
    let user = probe.whoami().ok();
    port.send(Up::Hello(Hello {
        protocol: PROTOCOL,
        pid: std::process::id(),
        user: user.as_ref().map_or("?", |user| &user.name).into(),
        uid: user.as_ref().map_or(u32::MAX, |user| user.uid),
        boot_id: Arc::clone(&boot_id),
        architecture: std::env::consts::ARCH.into(),
    }));
    let Ok(start) = link.start() else { return };
    if start.protocol != PROTOCOL {
        let message = format!("this agent speaks protocol {PROTOCOL}, the controller {}", start.protocol);
        port.send(Up::Fatal { message, hint: None });
        return;
    }
    // The controller reached us before the machine went down: it sees the boot in our greeting and tries again.
    let given_up = start.resume.as_ref().and_then(|snapshot| snapshot.reboot.given_up.as_ref());
    if start.resume.as_ref().is_some_and(|snapshot| snapshot.reboot.boot_id == boot_id) && given_up.is_none() {
        let _ = link.until_end();
        return;
    }
    let lock = match take_lock(link, &port, &start) {
        Ok(lock) => lock.map(Arc::new),
        Err(ended) => {
            let summary = Summary { cancelled: ended == Ended::Cancelled, reason: Some(ended.to_string().into()), ..Summary::default() };
            port.send(Up::Done(summary));
            return;
        }
    };
    let writes = Arc::new(Writes::default());
    let service = serve_others(link, &port, &start, Arc::clone(&writes));
    match &start.program {
        Some(program) if start.mode != RunMode::Serve => {
            run_program(link, &port, &start, Arc::clone(program), &boot_id, lock.clone(), writes);
        }
        _ => {}
    }
    // Other hosts may still need this one.
    let _ = link.until_end();
    let _ = service.join();
}

/// Why the machine that this agent stands in for cannot be reached.
fn gone(start: &Start) -> Option<Arc<str>> {
    let Some(snapshot) = &start.resume else { return start.stands_in.as_ref().map(|of| Arc::clone(&of.reason)) };
    match &snapshot.reboot.given_up {
        Some(GivenUp::Gone(reason)) if snapshot.reboot.boot_id.is_empty() => Some(reason.as_str().into()),
        Some(GivenUp::Gone(reason)) => Some(format!("the machine is gone since it was to restart: {reason}").into()),
        _ => None,
    }
}

/// Whether the machine was reached, or tried, in mid-run, and the journal is there.
fn is_gone_since(start: &Start) -> bool {
    start.resume.is_some() && gone(start).is_some()
}

fn machine(port: &Arc<dyn Port>, journal: SharedJournal, masker: Masker) -> Machine {
    Machine::new(port.cancel(), Box::new(PortContent(Arc::clone(port))), Box::new(PortWatcher { port: Arc::clone(port), journal, masker }))
}

fn take_lock(link: &Link, port: &Arc<dyn Port>, start: &Start) -> std::result::Result<Option<Lock>, Ended> {
    if start.mode == RunMode::Serve || is_gone_since(start) {
        return Ok(None);
    }
    let mut told = None;
    let mut unanswered = 0;
    loop {
        match Lock::take(&start.run) {
            Ok(Ok(lock)) => return Ok(Some(lock)),
            // It may just be going.
            Ok(Err(None)) if unanswered < 20 => unanswered += 1,
            Ok(Err(holding)) => {
                let holding = holding.unwrap_or_default();
                if told.as_ref() != Some(&holding) {
                    port.send(Up::Waiting { holder: holding.run.clone(), doing: Arc::clone(&holding.doing) });
                    told = Some(holding);
                }
            }
            // No abstract sockets here (another kernel's emulation): go on without a lock rather than not at all.
            Err(error) => {
                port.event(Event::Warning { message: format!("no lock on this node: {error}") });
                return Ok(None);
            }
        }
        std::thread::sleep(Duration::from_millis(100));
        if let Some(ended) = link.ended(&Position(vec![u32::MAX])) {
            return Err(ended);
        }
    }
}

/// Tasks that other hosts delegate here, beside this host's own.
fn serve_others(link: &Link, port: &Arc<dyn Port>, start: &Start, writes: Arc<Writes>) -> std::thread::JoinHandle<()> {
    let link = link.clone();
    let port = Arc::clone(port);
    let password = start.become_password.clone();
    let gone = gone(start);
    std::thread::spawn(move || {
        let mut performers: Option<Performers> = None;
        // Handles of plans belong to the user who made them.
        let mut owners: std::collections::HashMap<u64, (Target, u64)> = std::collections::HashMap::new();
        let mut next = 1;
        while let Some((id, request)) = link.next_perform() {
            let performers = performers.get_or_insert_with(|| {
                let nothing: SharedJournal = Arc::new(Mutex::new(Journal::none()));
                // What is secret in another host's task is not known here: nothing that its programs print is shown.
                let masker = Masker::default();
                masker.set_silent(true);
                let mut performers = Performers::new(
                    machine(&port, Arc::clone(&nothing), masker.clone()),
                    Arc::clone(&port),
                    password.clone(),
                    nothing,
                    masker,
                    false,
                    Arc::clone(&writes),
                );
                performers.gone.clone_from(&gone);
                performers
            });
            let (target, request) = match request {
                Perform::Plan(call) => (call.become_.clone().map_or(Target::Login, Target::User), Perform::Plan(call)),
                Perform::Apply { handle } => match owners.remove(&handle) {
                    Some((target, own)) => (target, Perform::Apply { handle: own }),
                    None => (Target::Login, Perform::Apply { handle }),
                },
                Perform::Drop { handle } => match owners.remove(&handle) {
                    Some((target, own)) => (target, Perform::Drop { handle: own }),
                    None => (Target::Login, Perform::Drop { handle }),
                },
                Perform::Read { path, offset, become_ } => {
                    (become_.clone().map_or(Target::Login, Target::User), Perform::Read { path, offset, become_ })
                }
                other @ Perform::Absorb { .. } => (Target::Login, other),
            };
            let mode = if let Perform::Plan(call) = &request { call.mode } else { CallMode::Apply };
            let reply = performers.perform(&target, request);
            reply.iter().for_each(|reply| writes.note(mode, reply));
            let reply = match reply {
                Ok(PerformReply::Planned(mut planned)) => {
                    if let Some(own) = planned.handle {
                        owners.insert(next, (target, own));
                        planned.handle = Some(next);
                        next += 1;
                    }
                    PerformReply::Planned(planned)
                }
                Ok(reply) => reply,
                Err(ended) => PerformReply::Failed { outcome: crate::module::Outcome::failed(ended.to_string()), interrupted: true },
            };
            port.send(Up::Performed { id, reply });
        }
    })
}

fn run_program(
    link: &Link,
    port: &Arc<dyn Port>,
    start: &Start,
    program: Arc<Program>,
    boot_id: &Arc<str>,
    lock: Option<Arc<Lock>>,
    writes: Arc<Writes>,
) {
    let masker = Masker::default();
    let journal: SharedJournal = Arc::new(Mutex::new(Journal::none()));
    let machine = machine(port, Arc::clone(&journal), masker.clone());
    let mut performers =
        Performers::new(machine, Arc::clone(port), start.become_password.clone(), Arc::clone(&journal), masker, lock.is_some(), writes);
    performers.gone = gone(start);
    let mut executor = Executor::new(program, Arc::clone(port), performers, journal, start.ordered);
    executor.grows = start.grows;
    executor.clears = start.clears;
    executor.given_up = start.stands_in.as_ref().filter(|_| start.resume.is_none()).and_then(|of| of.waited);
    executor.lock.clone_from(&lock);
    let now_doing = |what: &str| lock.iter().for_each(|lock| lock.doing(what));
    now_doing("planning");
    // The journal is the machine's own.
    let keeps_journal = !executor.program.settings.check && !is_gone_since(start);
    let open_journal = || -> std::result::Result<Journal, String> {
        let path = journal_path(&start.environment).ok_or("no home folder to keep the journal in")?;
        Journal::open(&path, start.journal_key.clone(), Arc::clone(&start.run.id), Arc::clone(boot_id))
            .map_err(|error| format!("read the journal {}: {error}", path.display()))
    };
    let with_journal = |executor: &mut Executor| -> bool {
        match open_journal() {
            Ok(journal) => {
                *executor.journal() = journal;
                let alone = lock.as_ref().is_some_and(|lock| !lock.is_shared());
                wait_for_orphans(link, port, executor, alone)
            }
            Err(message) => {
                port.send(Up::Fatal {
                    message,
                    hint: Some("free some space or mend the rights of the login user's ~/.local/state".to_owned()),
                });
                false
            }
        }
    };
    if let Some(snapshot) = &start.resume {
        match rmp_serde::from_slice::<Suspended>(&snapshot.state.0) {
            Ok(suspended) => {
                executor.masker.learn(&Value::map(suspended.state.variables.clone()));
                suspended.state.included.iter().for_each(|layer| executor.masker.learn_layer(layer));
                executor.state = suspended.state;
                executor.public_roles = suspended.public_roles;
                executor.suspended_play = suspended.play;
                executor.resume = Some(suspended.resume);
                executor.predictions = suspended.predictions;
                executor.ran_roles = suspended.ran_roles;
                let given_up = snapshot.reboot.given_up.as_ref().filter(|_| !snapshot.needed);
                executor.given_up = given_up.map(|_| snapshot.reboot.timeout);
            }
            Err(error) => {
                port.send(Up::Fatal { message: format!("the run's state before the restart cannot be read: {error}"), hint: None });
                return;
            }
        }
    } else if start.mode == RunMode::Plan {
        if keeps_journal && !with_journal(&mut executor) {
            return;
        }
        port.send(Up::Done(executor.plan()));
        now_doing("waiting for its plan to be confirmed");
        match link.confirmed() {
            Ok(true) => {}
            _ => return,
        }
        executor.prepare_apply();
    }
    if keeps_journal && !with_journal(&mut executor) {
        return;
    }
    now_doing("beginning");
    if keeps_journal && let Err(flow) = executor.repair() {
        let cancelled = flow == Flow::Ended(Ended::Cancelled);
        port.send(Up::Done(Summary {
            cancelled,
            failed: !cancelled,
            reason: Some("while it repaired what an interrupted run left".into()),
            ..Summary::default()
        }));
        return;
    }
    // A machine that restarts says so itself.
    if let Some(summary) = executor.run() {
        port.send(Up::Done(summary));
    }
    now_doing("nothing more: it waits for the others of its run");
}

/// A program that an interrupted run started may still go on, and so may its workers: they are waited for, never joined.
/// `alone`: no other agent of this run works on this machine.
fn wait_for_orphans(link: &Link, port: &Arc<dyn Port>, executor: &Executor, alone: bool) -> bool {
    let mut told = None;
    loop {
        let program = executor.journal().orphans().first().map(|orphan| format!("{} (process {})", orphan.label, orphan.pid));
        let worker = || super::lock::workers().first().filter(|_| alone).map(|worker| format!("its worker {worker}"));
        let Some(what) = program.or_else(worker) else { return true };
        if told.as_ref() != Some(&what) {
            port.event(Event::Warning { message: format!("waiting for what an interrupted run has started: {what}") });
            link.flush();
            told = Some(what);
        }
        std::thread::sleep(Duration::from_millis(50));
        if let Some(ended) = link.ended(&Position(vec![u32::MAX])) {
            let summary = Summary { cancelled: ended == Ended::Cancelled, reason: Some(ended.to_string().into()), ..Summary::default() };
            port.send(Up::Done(summary));
            return false;
        }
    }
}

/// `~/.local/state/provision/NAME.journal` of the login user.
fn journal_path(environment: &str) -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let state = state.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state")))?;
    let name: String =
        environment.chars().map(|letter| if letter.is_ascii_alphanumeric() || "-_.".contains(letter) { letter } else { '_' }).collect();
    Some(state.join("provision").join(format!("{name}.journal")))
}

struct PortContent(Arc<dyn Port>);

impl ContentSource for PortContent {
    fn fetch(&mut self, sha256: &str, sink: &mut dyn Write) -> Result<()> {
        self.0.content(sha256, sink).map_err(|ended| Error::failed(format!("fetch content {sha256}: {ended}")))
    }
}

/// Tells the journal which program runs for the intent in hand, and the controller what it prints.
struct PortWatcher {
    port: Arc<dyn Port>,
    journal: SharedJournal,
    masker: Masker,
}

impl Watch for PortWatcher {
    fn starting(&mut self, command: &Command, child: &Child) -> Result<()> {
        let label = self.masker.line(&command.label).unwrap_or_else(|| HIDDEN.to_owned());
        let mut journal = self.journal.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        journal.child(child, &label, Repair::of(command, None)).map_err(|error| Error::io("write the journal", &error))
    }

    fn line(&mut self, stream: Stream, line: &str) {
        if let Some(line) = self.masker.line(line) {
            self.port.event(Event::Output { position: Position::default(), line: line.into(), error: stream == Stream::Stderr });
        }
    }
}
