//! The run's story in order: hosts run ahead of each other, their results are told task by task.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{failure, json, live, text};
use crate::agent::frame::{Event, ItemResult, Status};
use crate::playbook::compile::PlaySummary;
use crate::program::Position;
use crate::run::plan::Plan;
use crate::run::prepare::Prepared;
use crate::run::{Happening, HostResult};

/// How it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
}

impl Format {
    /// What `--json` says.
    pub fn of(json: bool) -> Self {
        if json { Format::Json } else { Format::Text }
    }
}

/// Tells what happens.
pub struct Story {
    format: Format,
    verbosity: u8,
    hosts: Vec<Arc<str>>,
    plays: Vec<PlaySummary>,
    sources: Vec<Arc<str>>,
    /// Results not yet told.
    waiting: BTreeMap<Position, Vec<(Arc<str>, ItemResult)>>,
    /// Everything before it is known of the host; finished ones are not here.
    places: BTreeMap<Arc<str>, Position>,
    told_plays: BTreeSet<u32>,
    told_task: Option<Position>,
    /// One line for each task that changed something, and what fails: `up` tells layers, not tasks.
    brief: bool,
    changes: usize,
    progress: Option<Progress>,
}

/// How far hosts are, for the terminal's last line.
#[derive(Default)]
struct Progress {
    /// Tasks that the plan looked at, and the ones that are behind a host.
    hosts: Vec<(Arc<str>, u32, BTreeSet<Position>)>,
    doing: String,
}

impl Progress {
    fn hear(&mut self, happening: &Happening) {
        let Happening::Event { host, event } = happening else { return };
        match event {
            Event::Item(result) => {
                if let Some((_, _, behind)) = self.hosts.iter_mut().find(|(name, ..)| name == host) {
                    behind.insert(result.position.clone());
                }
            }
            Event::Started { name, .. } => {
                self.doing = format!("{host}: {name}");
            }
            _ => return,
        }
        let hosts: Vec<String> =
            self.hosts.iter().map(|(name, all, behind)| format!("{name} {}/{}", behind.len().min(*all as usize), all)).collect();
        live::show("hosts", &format!("{}   {}", hosts.join(" · "), self.doing));
    }
}

impl Story {
    /// Tells only what changes and what fails.
    #[must_use]
    pub fn brief(mut self) -> Self {
        self.brief = self.verbosity == 0;
        self
    }

    /// Items that changed something so far.
    pub fn changes(&self) -> usize {
        self.changes
    }

    pub fn new(format: Format, verbosity: u8) -> Self {
        Self {
            format,
            verbosity,
            hosts: Vec::new(),
            plays: Vec::new(),
            sources: Vec::new(),
            waiting: BTreeMap::new(),
            places: BTreeMap::new(),
            told_plays: BTreeSet::new(),
            told_task: None,
            brief: false,
            changes: 0,
            progress: None,
        }
    }

    pub fn begin(&mut self, prepared: &Prepared) {
        self.hosts = prepared.inputs.programs.iter().map(|(name, _)| Arc::clone(name)).collect();
        self.plays.clone_from(&prepared.plays);
        self.sources.clone_from(&prepared.sources);
        self.places = self.hosts.iter().map(|host| (Arc::clone(host), Position::default())).collect();
    }

    /// What is applied from now on was planned: a terminal shows how far it is.
    pub fn planned(&mut self, plan: &Plan) {
        if self.format == Format::Text && live::is_shown() {
            let hosts = plan.hosts.iter().map(|(name, plan)| (Arc::clone(name), plan.result.summary.tasks, BTreeSet::new()));
            self.progress = Some(Progress { hosts: hosts.collect(), doing: String::new() });
        }
    }

    pub fn tell(&mut self, happening: &Happening) {
        if let Some(progress) = &mut self.progress {
            progress.hear(happening);
        }
        if self.format == Format::Json {
            if let Happening::Event { event: Event::Item(result), .. } = happening {
                self.changes += usize::from(result.status == Status::Changed);
            }
            json::line(happening);
            return;
        }
        match happening {
            Happening::Event { host, event } => match event {
                Event::Item(result) => {
                    self.changes += usize::from(result.status == Status::Changed);
                    self.moved(host, &result.position);
                    self.waiting.entry(result.position.clone()).or_default().push((Arc::clone(host), result.clone()));
                }
                Event::Play { index } => self.moved(host, &Position(vec![*index])),
                Event::Included { position, name } => {
                    self.moved(host, position);
                    if self.verbosity > 0 {
                        text::included(host, name);
                    }
                }
                Event::Warning { message } => text::warning(host, message),
                Event::Started { position, doing: Some(doing), .. } => {
                    self.moved(host, position);
                    if self.verbosity > 1 {
                        text::doing(host, doing);
                    }
                }
                Event::Started { position, .. } => self.moved(host, position),
                Event::Output { line, .. } => {
                    if self.verbosity > 1 {
                        text::output(host, line);
                    }
                }
            },
            Happening::Finished { host, result } => {
                self.places.remove(host);
                self.tell_known();
                text::finished(host, result);
            }
            Happening::Waiting { host, holder, doing } => text::waiting(host, holder, doing),
            Happening::Restarting { host } => text::note(host, "restarting"),
            Happening::Returned { host, seconds } => text::note(host, &format!("back after {seconds:.0} s")),
            Happening::Connected { host, hello } if self.verbosity > 1 => {
                text::note(host, &format!("connected as {}, agent process {}", hello.user, hello.pid));
            }
            Happening::Connecting { .. } | Happening::Connected { .. } => {}
        }
        self.tell_known();
    }

    fn moved(&mut self, host: &Arc<str>, position: &Position) {
        if let Some(place) = self.places.get_mut(host)
            && *place < *position
        {
            *place = position.clone();
        }
    }

    /// Tells the tasks that every host is through with, in order.
    fn tell_known(&mut self) {
        let known = self.places.values().min().cloned();
        while let Some(entry) = self.waiting.first_entry() {
            let position = entry.key().clone();
            let complete = known.as_ref().is_none_or(|known| position < *known);
            // A result is told while other hosts are still at its task, never before an earlier task.
            if !complete && known.as_ref() != Some(&position) {
                return;
            }
            if self.brief {
                let failed = entry.get().iter().any(|(_, result)| failure::is_failure(result));
                if !complete && !failed {
                    return;
                }
                let results = entry.remove();
                text::changed(&results);
                for (host, result) in results.iter().filter(|(_, result)| failure::is_failure(result)) {
                    failure::told(host, result, &self.sources);
                }
                continue;
            }
            let results = entry.remove();
            self.banner(&position, &results);
            for (host, result) in &results {
                text::result(host, result, self.verbosity, &self.sources);
            }
        }
    }

    fn banner(&mut self, position: &Position, results: &[(Arc<str>, ItemResult)]) {
        if let Some(index) = position.play()
            && self.told_plays.insert(index)
        {
            let name = self.plays.get(index as usize).map_or("", |play| &play.name);
            text::play(name);
        }
        if self.told_task.as_ref() == Some(position) {
            return;
        }
        self.told_task = Some(position.clone());
        if let Some((_, result)) = results.first() {
            text::task(result);
        }
    }

    /// Every host is through: what is still held back is told.
    pub fn settle(&mut self) {
        self.places.clear();
        if self.format == Format::Text {
            self.tell_known();
        }
    }

    /// PLAY RECAP.
    pub fn recap(&mut self, results: &BTreeMap<Arc<str>, HostResult>) {
        live::clear();
        self.places.clear();
        if self.format == Format::Json {
            json::recap(results);
            return;
        }
        self.tell_known();
        if self.brief {
            return;
        }
        for (index, play) in self.plays.iter().enumerate() {
            if self.told_plays.insert(index as u32) {
                text::play(&play.name);
                if play.batches.iter().all(Vec::is_empty) {
                    text::no_hosts();
                }
            }
        }
        text::recap(&self.hosts, results);
    }
}
