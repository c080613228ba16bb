//! After each event: who may go on, and who gets the answer it waits for.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::frames::unknown_host;
use super::{Coordinator, Host, Pending};
use crate::agent::frame::{Answer, Down, FoundFiles, Missed, NewFiles, Question};
use crate::program::{File, Layer, Map, Position, Value};
use crate::run::host::Patience;
use crate::run::hostvars::{HostScope, Others};
use crate::run::order::Place;
use crate::run::told::Told;
use crate::run::{HostResult, HostVariables};
use crate::template::{Error, Result};

impl Coordinator {
    /// After each event: who may go on now?
    pub(super) fn settle(&mut self) {
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

    pub(super) fn others_past(&self, name: &Arc<str>, place: &Place) -> bool {
        self.hosts.iter().filter(|(other, host)| *other != name && host.is_live()).all(|(_, host)| host.place.is_past(place))
    }

    pub(super) fn grant_watermarks(&mut self) {
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

    pub(super) fn answer_pending(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        for waiting in pending {
            match self.try_answer(&waiting) {
                Some(answer) => self.answer(&waiting.host, waiting.id, answer),
                None => self.pending.push(waiting),
            }
        }
    }

    pub(super) fn try_answer(&mut self, waiting: &Pending) -> Option<Answer> {
        match &waiting.question {
            Question::HostVariable { host, name, position } => {
                Asked::new(self, waiting, position).answer(host, |scope| match scope.value(name) {
                    Ok(value) => Answer::Value(value),
                    Err(error) => match error.unknown_cause() {
                        Some(cause) => Answer::Unknown(Arc::clone(cause)),
                        None => Answer::Error { message: format!("hostvars['{host}']['{name}']: {error}"), hint: error.hint },
                    },
                })
            }
            Question::HostVariables { host, position } => {
                Asked::new(self, waiting, position).answer(host, |scope| Answer::Values(scope.values()))
            }
            Question::Told { name, position } => {
                let place = self.place_of(waiting, position);
                self.others_past(&waiting.host, &place).then(|| {
                    let told = self.hosts.get(&waiting.host).and_then(|host| host.told.get(name, &place));
                    Answer::Value(told.cloned())
                })
            }
            Question::Gone { position } => {
                let place = self.place_of(waiting, position);
                let has_bad_end = |host: &Host| host.result.as_ref().is_some_and(|result| !result.is_good());
                let has_left = |host: &Host| host.left.as_ref().is_some_and(|left| left.play() == position.play() && left < position);
                let is_gone = |host: &Host| host.runs_handlers || host.failing.is_some() || has_left(host) || has_bad_end(host);
                self.others_past(&waiting.host, &place).then(|| {
                    let gone = self.hosts.iter().filter(|(_, host)| !host.serves && is_gone(host));
                    Answer::List(gone.map(|(name, _)| Value::text(Arc::clone(name))).collect())
                })
            }
            Question::RunOnce { position } => self.run_once(&waiting.host, position),
            Question::Failed { .. } => self.is_cleared(&waiting.host),
            Question::Turn { position, most } => self.turn(&waiting.host, position, *most as usize),
            Question::Program { from_play } => self.program_anew(&waiting.host, *from_play),
            Question::Inventory { position } => {
                let place = position.as_ref().map(|position| self.place_of(waiting, position));
                let is_due = place.is_none_or(|place| self.others_past(&waiting.host, &place));
                is_due.then(|| self.inventory_anew(&waiting.host))
            }
            Question::Files { position, missed } => {
                let place = position.as_ref().map(|position| self.place_of(waiting, position));
                let is_due = place.as_ref().is_none_or(|place| self.others_past(&waiting.host, place));
                is_due.then(|| self.files_anew(&waiting.host, place, missed.as_ref()))
            }
            _ => Some(Answer::Done),
        }
    }

    /// Whether the host has done all before the position, so that what it tells is what linear order shows.
    pub(super) fn is_told(&self, waiting: &Pending, host: &str, position: &Position) -> bool {
        let place = self.place_of(waiting, position);
        let batch = place.batch;
        self.hosts.get(host).is_none_or(|host| !host.is_live() || host.place.is_past(&place) || host.batch(position) > batch)
    }

    /// Where the task is that asks.
    pub(super) fn place_of(&self, waiting: &Pending, position: &Position) -> Place {
        self.hosts.get(&waiting.host).map_or_else(Place::default, |host| host.place_of(position))
    }

    /// The variables of a host as the task that asks sees them.
    fn with_scope<T>(&self, host: &str, asked: &Asked<'_>, depth: u32, read: impl FnOnce(&HostScope<'_>) -> T) -> Option<T> {
        let known = self.hosts.get(host);
        let inventory = self.inventory.get(host);
        let fallback;
        let inventory = match (inventory, known) {
            (Some(inventory), _) => inventory,
            (None, Some(known)) if !known.added => {
                let program = known.program.as_ref();
                fallback = HostVariables {
                    in_folders: program
                        .map(|program| program.in_folders.iter().map(|layers| of_numbers(&program.inventory, layers)).collect())
                        .unwrap_or_default(),
                    magic: program.map(|program| program.magic.clone()).unwrap_or_default(),
                };
                &fallback
            }
            (None, _) => return None,
        };
        let extra = self.hosts.values().find_map(|host| host.program.as_ref()).map(|program| program.extra.clone()).unwrap_or_default();
        let plays = self.hosts.values().filter_map(|host| host.program.as_ref()).flat_map(|program| &program.plays);
        let play = plays.into_iter().find(|play| Some(play.index) == asked.place.position.play());
        let scope = HostScope {
            host,
            inventory,
            folder: play.map_or(0, |play| play.folder as usize),
            extra: &extra,
            published: &known.map_or_else(Map::new, |known| known.published.before(&asked.place)),
            depth,
            others: asked,
            lookups: &self.lookups(&asked.waiting.host),
            playbook_dir: play.and_then(|play| play.magic.get("playbook_dir")).and_then(Value::as_str),
        };
        Some(read(&scope))
    }

    pub(super) fn run_once(&mut self, asker: &Arc<str>, position: &Position) -> Option<Answer> {
        // Once in each batch, and once more by those that were brought back.
        let at = self.hosts.get(asker)?.place_of(position);
        if let Some(answer) = self.ran_once.get(&at) {
            return Some(answer.clone());
        }
        let play = self.hosts.get(asker)?.play(position.play()?)?;
        // A host that ran ahead of the position without asking has skipped it for good (its tags or include differ).
        let comes = |host: &Host| host.is_live() && host.failing.is_none() && at.is_past(&host.place);
        let first = play.batch_hosts.iter().find(|name| self.hosts.get(*name).is_some_and(comes))?.clone();
        let runner = match self.runners.get(&at) {
            Some(runner) if self.hosts.get(runner).is_some_and(comes) => Arc::clone(runner),
            _ => first,
        };
        self.runners.insert(at, Arc::clone(&runner));
        (runner == *asker).then_some(Answer::Done)
    }

    /// A host that is gone is through; one that restarted in its turn still has it.
    fn turn(&mut self, asker: &Arc<str>, position: &Position, most: usize) -> Option<Answer> {
        let running = self.turns.entry(position.clone()).or_default();
        running.retain(|host| self.hosts.get(host).is_some_and(Host::is_live));
        if !running.contains(asker) && running.len() >= most {
            return None;
        }
        running.insert(Arc::clone(asker));
        Some(Answer::Done)
    }

    pub(super) fn program_anew(&mut self, asker: &Arc<str>, from_play: u32) -> Option<Answer> {
        // Everybody's additions count: all must be through with the plays before.
        let place = Place { position: Position(vec![from_play]), ..Place::default() };
        if !self.others_past(asker, &place) {
            return None;
        }
        // What is left to a host that was brought back was decided then.
        if self.hosts.get(asker).is_some_and(|host| host.lost > 0) {
            return Some(Answer::Done);
        }
        if let Err(message) = self.compile_anew() {
            return Some(Answer::Error { message, hint: None });
        }
        let growth = self.growth.compiled;
        if self.growth.played != growth {
            self.growth.played = growth;
            self.hand_out_plays(from_play);
        }
        let latest = self.latest.get(asker).cloned();
        let host = self.hosts.get_mut(asker)?;
        if latest.is_none() && (self.refreshed || host.added) {
            // The inventory has it no more.
            let mut rest = host.program.as_deref().cloned()?;
            rest.plays.retain(|play| play.index < from_play);
            return Some(Answer::Program(Box::new(rest)));
        }
        Some(match latest {
            Some(program) if host.knows.1 != growth => {
                host.knows = (growth, growth);
                Answer::Program(Box::new((*program).clone()))
            }
            _ => Answer::Done,
        })
    }

    /// Later plays are those of the inventory as it now is, and hosts that it has more take part in them.
    fn hand_out_plays(&mut self, from_play: u32) {
        let mut added = Vec::new();
        for (name, program) in &self.latest {
            match self.hosts.get_mut(name) {
                Some(host) if host.lost > 0 => {}
                Some(host) if !host.serves => host.program = Some(Arc::clone(program)),
                known => {
                    // It may have done tasks for others: nobody is in the midst of one here.
                    let (mut published, mut told) = (Told::default(), Told::default());
                    if let Some(host) = known {
                        (published, told) = (std::mem::take(&mut host.published), std::mem::take(&mut host.told));
                        if let Some(down) = host.down.take() {
                            down.send(Down::End);
                        }
                    }
                    let mut later = (**program).clone();
                    later.plays.retain(|play| play.index >= from_play);
                    self.order.push(Arc::clone(name));
                    self.hosts.insert(Arc::clone(name), Host { added: true, published, told, ..Host::new(Some(Arc::new(later))) });
                    added.push(Arc::clone(name));
                }
            }
        }
        for name in added {
            self.connect(&name, Patience::Usual);
        }
    }

    /// A host's part of the inventory, where it does not know it yet.
    fn inventory_anew(&mut self, asker: &Arc<str>) -> Answer {
        if let Err(message) = self.compile_anew() {
            return Answer::Error { message, hint: None };
        }
        let growth = self.growth.compiled;
        match self.hosts.get_mut(asker) {
            Some(Host { program: Some(program), knows, .. }) if knows.0 != growth => {
                knows.0 = growth;
                Answer::Program(Box::new((**program).clone()))
            }
            _ => Answer::Done,
        }
    }

    /// The inventory as its sources now are.
    pub(super) fn refresh(&mut self) -> Answer {
        let Some(recompile) = &mut self.inputs.recompile else { return Answer::Done };
        if let Err(message) = recompile.refresh() {
            return Answer::Error { message, hint: None };
        }
        self.growth.now += 1;
        self.refreshed = true;
        match self.compile_anew() {
            Ok(()) => Answer::Done,
            Err(message) => Answer::Error { message, hint: None },
        }
    }

    /// What the program of a host reads of this machine's files, as they now are. They are read once for all hosts, and again only after
    /// some task has written there. What is missed and the run has found is read each time.
    fn files_anew(&mut self, asker: &Arc<str>, place: Option<Place>, missed: Option<&Missed>) -> Answer {
        let mut new = NewFiles { dirty: self.hosts.values().any(|host| host.wrote), ..NewFiles::default() };
        let missed = match missed.map(|missed| self.found_files(asker, missed)) {
            None => false,
            Some(Err(message)) => return Answer::Error { message, hint: None },
            Some(Ok(found)) => {
                new.found = found;
                if new.found != FoundFiles::default() {
                    return Answer::Files(Box::new(new));
                }
                true
            }
        };
        // A place in a play, not its beginning: tasks of a play without an order share that.
        let now = (self.written, place.filter(|place| missed && place.position.0.len() > 1));
        let is_same = |read: &(u64, _)| if missed { now.1.is_some() && *read == now } else { read.0 == now.0 };
        let is_read = self.read_at.as_ref().map_or(self.written == 0 && !missed, is_same);
        if !is_read {
            let Some(recompile) = &mut self.inputs.recompile else { return Answer::Done };
            let programs = self.hosts.values().filter_map(|host| host.program.as_ref());
            recompile.forget(&programs.flat_map(|program| program.fragments.vars.keys().cloned()).collect());
            let again = match recompile.again() {
                Ok(again) => again,
                Err(message) => return Answer::Error { message, hint: None },
            };
            self.inputs.contents.extend(again.contents);
            self.read = again.programs.into_iter().collect();
            self.read_at = Some(now);
        }
        let known = self.hosts.get_mut(asker).and_then(|host| host.program.as_mut());
        if let (Some(known), Some(read)) = (known, self.read.get(asker)) {
            let is_new = |path: &Arc<str>, file: &File| known.files.get(path) != Some(file);
            new.files =
                read.files.iter().filter(|(path, file)| is_new(path, file)).map(|(path, file)| (Arc::clone(path), file.clone())).collect();
            let vars = read.fragments.vars.iter().filter(|(path, layer)| known.fragments.vars.get(*path) != Some(*layer));
            new.vars = vars.map(|(path, layer)| (Arc::clone(path), Arc::clone(layer))).collect();
            if !new.files.is_empty() || !new.vars.is_empty() {
                let known = Arc::make_mut(known);
                known.take_files(&new.files, &new.vars);
                known.asks.extend(&read.asks);
            }
        }
        Answer::Files(Box::new(new))
    }

    /// Compiles with what has changed in the inventory, if anything has. A host's plays are those that it began with, until the next one
    /// begins.
    fn compile_anew(&mut self) -> std::result::Result<(), String> {
        let Some(recompile) = self.inputs.recompile.as_mut().filter(|_| self.growth.compiled != self.growth.now) else { return Ok(()) };
        let again = recompile.again()?;
        self.growth.compiled = self.growth.now;
        self.inputs.contents.extend(again.contents);
        self.inventory = Arc::new(again.inventory);
        self.inputs.become_passwords = again.become_passwords;
        self.latest = again.programs.into_iter().map(|(name, program)| (name, Arc::new(program))).collect();
        for (name, latest) in &self.latest {
            if let Some(program) = self.hosts.get_mut(name).and_then(|host| host.program.as_mut()) {
                Arc::make_mut(program).take_inventory(latest);
            }
        }
        Ok(())
    }
}

/// Layers by their numbers.
pub(super) fn of_numbers(layers: &[Layer], numbers: &[u32]) -> Vec<Layer> {
    numbers.iter().filter_map(|number| layers.get(*number as usize)).cloned().collect()
}

/// A question about a host's variables, which may read those of others.
struct Asked<'c> {
    coordinator: &'c Coordinator,
    waiting: &'c Pending,
    position: &'c Position,
    place: Place,
    /// A host that it reads is not past the place yet.
    early: Cell<bool>,
}

impl<'c> Asked<'c> {
    fn new(coordinator: &'c Coordinator, waiting: &'c Pending, position: &'c Position) -> Self {
        Self { coordinator, waiting, position, place: coordinator.place_of(waiting, position), early: Cell::new(false) }
    }

    /// `None`: it is too early to answer.
    fn answer(&self, host: &str, read: impl Fn(&HostScope<'_>) -> Answer) -> Option<Answer> {
        let mut answer = None;
        let known = self.read(host, 0, &mut |scope| answer = Some(read(scope)));
        if self.early.get() {
            return None;
        }
        Some(known.ok().and(answer).unwrap_or_else(|| unknown_host(host)))
    }
}

impl Others for Asked<'_> {
    fn read(&self, host: &str, depth: u32, read: &mut dyn FnMut(&HostScope<'_>)) -> Result<()> {
        // The one that asks is where its task is.
        if *host != *self.waiting.host && !self.coordinator.is_told(self.waiting, host, self.position) {
            self.early.set(true);
            return Err(Error::failed(format!("hostvars['{host}'] is not there yet")));
        }
        let read = self.coordinator.with_scope(host, self, depth, |scope| read(scope));
        read.ok_or_else(|| Error::failed(format!("hostvars['{host}']: there is no host of this name in the inventory")))
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.coordinator.inventory.keys().cloned().collect()
    }
}
