//! What agents say and ask.

use std::sync::Arc;
use std::time::Instant;

use super::{Coordinator, Host, Pending, Performing};
use crate::agent::frame::{
    Answer, CHUNK, CallMode, Down, Ends, Event, GivenUp, ItemResult, Perform, PerformReply, Question, Status, Summary, Up,
};
use crate::module::engine::Parcel;
use crate::program::{Asks, Bytes, Map, Position, Value};
use crate::run::found::Called;
use crate::run::host::{Incoming, Outbox, Patience};
use crate::run::lookup::Lookups;
use crate::run::{Contents, Failure, Happening, HostResult};

impl Coordinator {
    pub(super) fn moved(&mut self, name: &Arc<str>, position: &Position) {
        if let Some(host) = self.hosts.get_mut(name) {
            let place = host.place_of(position);
            if place.is_past(&host.place) {
                host.place = place;
            }
        }
    }

    pub(super) fn frame(&mut self, name: &Arc<str>, frame: Up) {
        match frame {
            Up::Hello(hello) => self.hello(name, hello),
            Up::Waiting { holder, doing } => self.tell(Happening::Waiting { host: Arc::clone(name), holder, doing }),
            Up::Event(event) => self.event(name, event),
            Up::Ask { id, question } => self.asked(name, id, question),
            Up::Reached { position, dirty } => {
                self.moved(name, &position);
                if let Some(host) = self.hosts.get_mut(name) {
                    host.dirty |= dirty;
                    host.wants = Some(host.place_of(&position));
                }
            }
            Up::Wrote => {
                self.written += 1;
                if let Some(host) = self.hosts.get_mut(name) {
                    host.wrote = true;
                }
            }
            Up::Found { paths } => {
                if self.hosts.get(name).is_some_and(|host| host.is_here) {
                    self.found.learn(name, paths);
                }
            }
            Up::Performed { id, reply } => {
                if let Some(Performing { asker, asked, on, plans, called }) = self.performs.remove(&id) {
                    self.performed(&asker, &on, called, &reply);
                    let answer = self.delegated(&on, plans, reply);
                    self.answer(&asker, asked, answer);
                }
            }
            Up::Published { position, variables } => {
                self.found.share(name, variables.values());
                if let Some(host) = self.hosts.get_mut(name) {
                    let place = host.place_of(&position);
                    host.published.tell(&place, variables);
                }
            }
            Up::Suspended(snapshot) => {
                self.moved(name, &snapshot.position);
                let (restarts, is_needed) = (!snapshot.reboot.boot_id.is_empty(), snapshot.needed);
                if let Some(host) = self.hosts.get_mut(name) {
                    host.suspended = Some((snapshot, Instant::now()));
                }
                if restarts {
                    self.tell(Happening::Restarting { host: Arc::clone(name) });
                }
                if is_needed {
                    self.reach_after_all(name);
                } else {
                    // The session is of no use any more; the machine goes down beneath it.
                    self.send(name, Down::End);
                }
            }
            Up::Done(summary) => self.finish(name, HostResult { summary, unreachable: None }),
            Up::Fatal { message, hint } => {
                let summary = Summary { failed: true, reason: Some(message.clone().into()), ..Summary::default() };
                let result = HostResult { summary, unreachable: Some(Failure { message, hint }) };
                self.finish(name, result);
            }
        }
    }

    pub(super) fn hello(&mut self, name: &Arc<str>, hello: crate::agent::frame::Hello) {
        let mut returned = None;
        if let Some(host) = self.hosts.get_mut(name) {
            host.greeted = true;
        }
        if let Some(host) = self.hosts.get_mut(name)
            && let Some((snapshot, since)) = &host.suspended
        {
            if snapshot.reboot.given_up.is_some() {
                host.suspended = None;
                return;
            }
            let restarts = !snapshot.reboot.boot_id.is_empty();
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
            returned = Some(since.elapsed().as_secs_f64()).filter(|_| restarts);
            (host.suspended, host.stands_in) = (None, None);
        }
        match returned {
            Some(seconds) => self.tell(Happening::Returned { host: Arc::clone(name), seconds }),
            None => self.tell(Happening::Connected { host: Arc::clone(name), hello }),
        }
    }

    pub(super) fn event(&mut self, name: &Arc<str>, event: Event) {
        match &event {
            Event::Play { index } => self.moved(name, &Position(vec![*index])),
            Event::Item(ItemResult { position, fatal, status, rescued, .. }) => {
                self.moved(name, position);
                if *fatal && matches!(status, Status::Failed | Status::Unreachable) {
                    self.fail_all(name, position, rescued.as_ref());
                }
            }
            Event::Included { position, .. } => self.moved(name, position),
            _ => {}
        }
        self.tell(Happening::Event { host: Arc::clone(name), event });
    }

    // ---- questions ----

    /// Why a question is not answered: nothing in the program of its host asks it.
    fn is_foreign(&self, name: &Arc<str>, question: &Question) -> Option<String> {
        let nothing = Asks::default();
        let asks = self.hosts.get(name).and_then(|host| host.program.as_ref()).map_or(&nothing, |program| &program.asks);
        let has = |modules: &[&str]| modules.iter().any(|module| asks.modules.contains(*module));
        let what = match question {
            Question::HostVariable { host, name: variable, .. } if !asks.may_read(host, Some(variable)) => {
                format!("hostvars['{host}']['{variable}']")
            }
            Question::HostVariables { host, .. } if !asks.may_read(host, None) => format!("hostvars['{host}']"),
            Question::Delegate { host, request } => match &**request {
                Perform::Plan(call) if !asks.may_delegate(host, &call.module) => format!("a task of `{}` delegated to {host}", call.module),
                Perform::Read { .. } if !has(&["fetch"]) => format!("a file of {host}"),
                _ if !asks.is_delegate(host) => format!("a task delegated to {host}"),
                _ => return None,
            },
            Question::SetHostFacts { host, .. } if !asks.sets_facts || !asks.is_delegate(host) => format!("to set variables of {host}"),
            Question::AddHost { .. } if !has(&["add_host"]) => "`add_host`".to_owned(),
            Question::GroupBy { .. } if !has(&["group_by"]) => "`group_by`".to_owned(),
            Question::Prompt { .. } if !has(&["pause"]) => "`pause`".to_owned(),
            Question::Content { sha256 } if !self.may_take(name, sha256) => format!("a file of SHA-256 {sha256}"),
            Question::Lookup { plugin, terms, .. } => {
                let plugin = plugin.strip_prefix("ansible.builtin.").unwrap_or(plugin);
                let is_bound = matches!(plugin, "pipe" | "lines" | "env");
                (is_bound && !asks.may_look_up(plugin, terms)).then(|| format!("such a lookup of '{plugin}'"))?
            }
            _ => return None,
        };
        Some(format!("{name} asks for {what}, and nothing in its program does"))
    }

    /// Whether a file is one of a host's program, or of one whose tasks are being done there. What is in no program is no host's own:
    /// artifacts.
    fn may_take(&self, name: &Arc<str>, sha256: &str) -> bool {
        let in_program = |host: &Host| host.program.as_ref().is_some_and(|program| program.files.values().any(|file| file.is_of(sha256)));
        let holds = |host: &Host| host.is_here || host.given.contains(sha256) || in_program(host);
        let is_in = |host: &Arc<str>| self.hosts.get(host).is_some_and(holds);
        let is_asked = || self.performs.values().filter(|performing| performing.on == *name).any(|performing| is_in(&performing.asker));
        is_in(name) || is_asked() || !self.hosts.values().any(in_program)
    }

    pub(super) fn asked(&mut self, name: &Arc<str>, id: u64, question: Question) {
        if let Some(message) = self.is_foreign(name, &question) {
            let hint = Some("the node, or what says that it is its agent, does not do what this run's files say: look at it".to_owned());
            self.answer(name, id, Answer::Error { message, hint });
            return;
        }
        match question {
            Question::Content { sha256 } => self.send_content(name, id, &sha256),
            Question::Lookup { plugin, terms, options } => self.look_up(name, id, plugin, terms, options),
            Question::Clock => self.answer(name, id, Answer::Clock(crate::template::this_clock())),
            Question::Template { path } => self.look_at_template(name, id, &path),
            Question::Keep(parcel) => self.keep(name, id, parcel),
            Question::Prompt { text, echo } => self.prompt(name, id, &text, echo),
            Question::Delegate { host, request } => self.delegate(name, id, &host, request),
            Question::RanOnce { position, result, facts, failed, ends } => {
                self.found.share(name, std::iter::once(&result).chain(facts.values()));
                let place = self.hosts.get(name).map(|host| host.place_of(&position)).unwrap_or_default();
                if let Some(play) = position.play().filter(|_| ends == Ends::Play) {
                    self.ended_plays.entry(play).or_insert(place.batch);
                }
                self.ran_once.insert(place, Answer::RunOnce { result, facts, failed, ends });
                self.answer(name, id, Answer::Done);
            }
            Question::TurnOver { position } => {
                if let Some(running) = self.turns.get_mut(&position) {
                    running.remove(name);
                }
                self.answer(name, id, Answer::Done);
            }
            Question::RunsHandlers => {
                if let Some(host) = self.hosts.get_mut(name) {
                    host.runs_handlers = true;
                }
                self.answer(name, id, Answer::Done);
            }
            Question::Leaves { position } => {
                if let Some(host) = self.hosts.get_mut(name) {
                    host.left = Some(position);
                }
                self.answer(name, id, Answer::Done);
            }
            Question::PlayEnded { play } => {
                // A host of the same batch that comes later still does what stands before the end.
                let batch = self.hosts.get(name).map_or(0, |host| host.batch(&Position(vec![play])));
                let ended = self.ended_plays.get(&play).is_some_and(|by| *by < batch);
                self.answer(name, id, Answer::Changed(ended));
            }
            Question::Refresh => {
                let answer = self.refresh();
                self.answer(name, id, answer);
            }
            Question::ClearErrors { position, unknown } => {
                self.clear_errors(name, &position, unknown.as_ref());
                if unknown.is_none() {
                    self.clear_unreachable(name, &position);
                }
                self.answer(name, id, Answer::Done);
            }
            Question::SetHostFacts { host, facts } => {
                self.found.share(name, facts.values());
                let place = self.hosts.get(name).map(|host| host.place.clone()).unwrap_or_default();
                let host = self.hosts.entry(host).or_insert_with(|| Host::new(None));
                host.told.tell(&place, facts.clone());
                host.published.tell(&place, facts);
                self.answer(name, id, Answer::Done);
            }
            Question::AddHost { name: added, groups, variables } => {
                let changed = match &mut self.inputs.recompile {
                    Some(recompile) => self.growth.changed(recompile.add_host(&added, &groups, &variables)),
                    None => Answer::Error { message: "hosts cannot be added in this run".to_owned(), hint: None },
                };
                self.answer(name, id, changed);
            }
            Question::GroupBy { group, parents } => {
                let changed = match &mut self.inputs.recompile {
                    Some(recompile) => self.growth.changed(recompile.group_by(name, &group, &parents)),
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
            | Question::Turn { .. }
            | Question::Failed { .. }
            | Question::Inventory { .. }
            | Question::Files { .. }
            | Question::Gone { .. }
            | Question::Program { .. }) => {
                match &waiting {
                    Question::HostVariable { position, .. }
                    | Question::HostVariables { position, .. }
                    | Question::Told { position, .. }
                    | Question::RunOnce { position }
                    | Question::Gone { position }
                    | Question::Inventory { position: Some(position) }
                    | Question::Files { position: Some(position), .. }
                    | Question::Turn { position, .. } => {
                        let position = position.clone();
                        self.moved(name, &position);
                    }
                    Question::Program { from_play } => {
                        let position = Position(vec![*from_play]);
                        self.moved(name, &position);
                    }
                    Question::Failed { position, resumes, is_new } => self.failed(name, position, resumes.as_ref(), *is_new),
                    _ => {}
                }
                self.pending.push(Pending { host: Arc::clone(name), id, question: waiting });
            }
        }
    }

    pub(super) fn send_content(&mut self, name: &Arc<str>, id: u64, sha256: &Arc<str>) {
        let Some(down) = self.hosts.get(name).and_then(|host| host.down.clone()) else { return };
        match self.inputs.contents.get(sha256).cloned() {
            None => {
                let message = format!("the project has no file of SHA-256 {sha256}");
                self.answer(name, id, Answer::Error { message, hint: None });
            }
            Some(contents) => {
                tokio::spawn(async move {
                    if let Err(error) = stream_content(&down, id, contents).await {
                        down.send(Down::Answer { id, answer: Answer::Error { message: error, hint: None } });
                    }
                });
            }
        }
    }

    pub(super) fn look_up(&mut self, name: &Arc<str>, id: u64, plugin: Arc<str>, terms: Vec<Value>, options: Map) {
        let Some(down) = self.hosts.get(name).and_then(|host| host.down.clone()) else { return };
        let lookups = self.lookups(name);
        tokio::spawn(async move {
            let answer = tokio::task::spawn_blocking(move || lookups.answer(&plugin, &terms, &options)).await;
            let answer = match answer {
                Ok(Ok(values)) => Answer::List(values),
                Ok(Err(Failure { message, hint })) => Answer::Error { message, hint },
                Err(error) => Answer::Error { message: error.to_string(), hint: None },
            };
            down.send(Down::Answer { id, answer });
        });
    }

    /// Asks the person, on a thread that nothing waits for when the run ends.
    pub(super) fn prompt(&mut self, name: &Arc<str>, id: u64, text: &str, echo: bool) {
        let Some(down) = self.hosts.get(name).and_then(|host| host.down.clone()) else { return };
        let Some(ask) = self.inputs.ask.clone() else {
            self.answer(name, id, Answer::Value(None));
            return;
        };
        let question = crate::ssh::Question { prompt: text.to_owned(), echo };
        std::thread::spawn(move || {
            let typed = ask(&question).map(|text| if echo { Value::text(text.as_str()) } else { Value::Text(text) });
            down.send(Down::Answer { id, answer: Answer::Value(typed) });
        });
    }

    pub(super) fn keep(&mut self, name: &Arc<str>, id: u64, parcel: Box<Parcel>) {
        let Some(down) = self.hosts.get(name).and_then(|host| host.down.clone()) else { return };
        let (destinations, host, to_self) = (Arc::clone(&self.inputs.destinations), Arc::clone(name), self.to_self.clone());
        tokio::spawn(async move {
            let keeper = Arc::clone(&host);
            let answer = tokio::task::spawn_blocking(move || crate::run::fetch::keep(&destinations, &keeper, &parcel)).await;
            let answer = match answer {
                Ok(Ok((fetched, is_its))) => {
                    if is_its {
                        // Before the agent can ask for it. The coordinator may be gone: then nobody asks.
                        let _ = to_self.send(Incoming::Kept { host, path: Arc::clone(&fetched.path) });
                    }
                    Answer::Fetched(fetched)
                }
                Ok(Err(Failure { message, hint })) => Answer::Error { message, hint },
                Err(error) => Answer::Error { message: error.to_string(), hint: None },
            };
            down.send(Down::Answer { id, answer });
        });
    }

    /// Nothing is told of files that the host's program does not hold.
    pub(super) fn look_at_template(&mut self, name: &Arc<str>, id: u64, path: &Arc<str>) {
        let is_its = |host: &Host| host.program.as_ref().is_some_and(|program| program.files.contains_key(path));
        let about = if self.hosts.get(name).is_some_and(is_its) || self.may_have(name, path) {
            crate::run::about::template(std::path::Path::new(&**path))
        } else {
            Err(format!("{path} is no file of the program of {name}"))
        };
        let answer = match about {
            Ok(about) => Answer::Template(Box::new(about)),
            Err(message) => Answer::Error { message, hint: None },
        };
        self.answer(name, id, answer);
    }

    /// What lookups for a host are made with.
    pub(super) fn lookups(&self, name: &str) -> Lookups {
        let program = self.hosts.get(name).and_then(|host| host.program.as_ref());
        let groups = program.and_then(|program| program.magic.get("groups")).cloned().unwrap_or_default();
        let checks = program.is_some_and(|program| program.settings.check);
        let of_controller = Arc::clone(&self.inputs.of_controller);
        Lookups { passwords: Arc::clone(&self.passwords), of_controller, acts: self.applying && !checks, groups }
    }

    /// What a task came to on another host. A plan that reads there sees nothing of what that host's own tasks are to change before.
    fn delegated(&self, on: &Arc<str>, plans: bool, reply: PerformReply) -> Answer {
        let is_to_change = plans && self.hosts.get(on).is_some_and(|host| !host.serves && host.dirty);
        if is_to_change && is_read(&reply) {
            return Answer::Unknown(format!("what is done on {on} before").into());
        }
        Answer::Performed(reply)
    }

    pub(super) fn delegate(&mut self, asker: &Arc<str>, asked: u64, on: &Arc<str>, request: Box<Perform>) {
        if let Some(of) = self.hosts.get(on).and_then(|host| host.stands_in.as_ref()) {
            let reason = format!("delegated to {on}: {}", of.reason);
            self.answer(asker, asked, Answer::Unreachable(reason.into()));
            return;
        }
        self.next += 1;
        let id = self.next;
        let plans = matches!(&*request, Perform::Plan(call) if call.mode == CallMode::Plan);
        let called = match &*request {
            Perform::Plan(call) => Some(Called::of(call)),
            Perform::Apply { handle } | Perform::Drop { handle } => self.planned_here.remove(&(Arc::clone(on), *handle)),
            Perform::Absorb { .. } | Perform::Read { .. } => None,
        };
        self.performs.insert(id, Performing { asker: Arc::clone(asker), asked, on: Arc::clone(on), plans, called });
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
}

/// Whether it tells how the machine is, rather than what is to be done there.
fn is_read(reply: &PerformReply) -> bool {
    match reply {
        PerformReply::Planned(planned) => planned.actions.is_empty(),
        reply => matches!(reply, PerformReply::Failed { .. }),
    }
}

pub(super) fn unknown_host(host: &str) -> Answer {
    Answer::Error { message: format!("hostvars['{host}']: there is no host of this name in the inventory"), hint: None }
}

pub(super) async fn stream_content(down: &Outbox, id: u64, contents: Contents) -> Result<(), String> {
    use tokio::io::AsyncReadExt;
    let send = async |bytes: Bytes| if down.send_chunk(id, bytes).await { Ok(()) } else { Err("the session is over".to_owned()) };
    match contents {
        Contents::Memory(bytes) => {
            for chunk in bytes.0.chunks(CHUNK) {
                send(Bytes(chunk.into())).await?;
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
                send(Bytes(chunk.into())).await?;
            }
        }
    }
    send(Bytes::default()).await
}
