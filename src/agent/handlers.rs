//! Handlers: found by name or topic, run in the order they stand in.

use std::sync::Arc;

use super::context::Context;
use super::executor::{Executor, Flow, Pass};
use super::state::Notification;
use crate::program::{Map, Position, Step, Tree, Value};

/// The names and topics that a play's handlers answer to.
#[derive(Clone, Debug, Default)]
pub struct HandlerTable {
    /// In order: where it stands, its names, its topics.
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    /// Indices into [`crate::program::Play::handlers`] and the blocks inside.
    path: Vec<u32>,
    /// `restart nginx`, and with its role: `web : restart nginx`.
    names: Vec<Arc<str>>,
    topics: Vec<Arc<str>>,
}

impl HandlerTable {
    fn answers(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.is(name))
    }

    /// The handlers a notification reaches: all that listen, and the last one of the name. Of several that listen under one name the
    /// last one counts too: a role that comes again brings its handlers again.
    fn reached(&self, name: &str) -> Vec<&Entry> {
        let named = self.entries.iter().rev().find(|entry| entry.names.iter().any(|own| **own == *name));
        let mut listening: Vec<&Entry> = Vec::new();
        for entry in self.entries.iter().rev().filter(|entry| entry.topics.iter().any(|topic| **topic == *name)) {
            if !listening.iter().any(|later| entry.names.first().is_some_and(|own| later.names.first() == Some(own))) {
                listening.push(entry);
            }
        }
        listening.into_iter().rev().chain(named).collect()
    }
}

impl Entry {
    fn is(&self, name: &str) -> bool {
        self.names.iter().chain(&self.topics).any(|own| **own == *name)
    }
}

impl Executor {
    /// The play's handlers by name; names with templates are evaluated in the play's scope.
    fn handler_table(&mut self) -> Arc<HandlerTable> {
        if let Some(table) = &self.handlers {
            return Arc::clone(table);
        }
        let mut table = HandlerTable::default();
        if let Some(play) = self.play.clone() {
            let root = Context::root(&play.keywords);
            self.collect_handlers(&play.handlers, &root, &Position(vec![play.index]), &mut Vec::new(), &mut table);
        }
        let table = Arc::new(table);
        self.handlers = Some(Arc::clone(&table));
        table
    }

    fn collect_handlers(&self, steps: &[Step], context: &Context<'_>, at: &Position, path: &mut Vec<u32>, table: &mut HandlerTable) {
        for (index, step) in steps.iter().enumerate() {
            path.push(index as u32);
            let (name, listen, role) = match step {
                Step::Task(task) => (task.name.as_ref(), task.listen.as_slice(), context.role()),
                Step::Include(include) => (include.name.as_ref(), include.listen.as_slice(), context.role()),
                Step::Block(block) => {
                    let inner = context.of_block(block);
                    self.collect_handlers(&block.block, &inner, at, path, table);
                    path.pop();
                    continue;
                }
            };
            let text = |tree: &Tree| self.text_of(tree, context, &Map::new(), at).ok().flatten();
            let names = name.and_then(text).into_iter().flat_map(|name| {
                let full = role.map(|role| Arc::from(format!("{} : {name}", role.name)));
                let short = role.map(|role| Arc::from(format!("{} : {name}", role.short_name())));
                let short = short.filter(|short| full.as_ref() != Some(short));
                std::iter::once(name).chain(full).chain(short)
            });
            let topics = listen.iter().flat_map(|tree| match self.evaluate(tree, context, &Map::new(), at) {
                Ok(Value::List(topics)) => topics.iter().filter_map(|topic| topic.as_str().map(Arc::from)).collect(),
                Ok(Value::Text(text)) => vec![text.shared()],
                _ => Vec::new(),
            });
            table.entries.push(Entry { path: path.clone(), names: names.collect(), topics: topics.collect() });
            path.pop();
        }
    }

    /// Whether a notification reaches anything.
    pub fn handler_exists(&mut self, name: &str, _context: &Context<'_>, _at: &Position) -> bool {
        self.handler_table().answers(name)
    }

    /// Runs every notified handler once, in the order they stand in; those that they notify too, where they stand further down. What
    /// is notified of others waits for the next flush, as in Ansible: handlers that notify each other come to an end.
    pub fn flush_handlers(&mut self, context: &Context<'_>, at: &Position) -> Flow {
        // Where a handler restarted the machine, the flush that it was in goes on.
        let goes_on = self.resume.as_ref().is_some_and(|resume| resume.is_inside(at) && resume.position != *at);
        if !goes_on {
            self.state.notified.iter_mut().for_each(|notification| notification.taken = true);
        }
        let Some(play) = self.play.clone() else { return Flow::Next };
        // Also those that only others were notified of.
        self.is_behind |= play.handlers.iter().any(|step| self.may_be_seen(step));
        if self.state.notified.is_empty() {
            return Flow::Next;
        }
        let root = if context.parent.is_none() { *context } else { Context::root(&play.keywords) };
        self.handling = true;
        let flow = self.run_notified(&root, at);
        self.handling = false;
        if flow != Flow::Next {
            return flow;
        }
        let table = self.handler_table();
        let is_left = |notification: &Notification| {
            !notification.taken && table.reached(&notification.name).iter().any(|entry| !notification.done.contains(&entry.path))
        };
        let (left, done) = std::mem::take(&mut self.state.notified).into_iter().partition(is_left);
        self.state.notified = left;
        self.handled(&done);
        Flow::Next
    }

    fn run_notified(&mut self, context: &Context<'_>, at: &Position) -> Flow {
        let mut last = None;
        while let Some((path, unknown)) = self.next_notified(last.as_ref()) {
            let position = at.child(0).child(path[0]);
            let path = &*last.insert(path);
            if self.resume.as_ref().is_some_and(|resume| !resume.reaches(&position)) {
                continue;
            }
            self.leave_resume(&position);
            if let Some(ended) = self.must_end(&position) {
                return Flow::Ended(ended);
            }
            // A handler may have brought more of them.
            let Some(play) = self.play.clone() else { return Flow::Next };
            let flow = self.run_handler(&play.handlers, path, context, &position, unknown.as_ref());
            if matches!(flow, Flow::Next | Flow::Failed) {
                self.ran_notified(path);
            }
            if flow != Flow::Next {
                return flow;
            }
        }
        Flow::Next
    }

    /// The first notified handler behind a place, and why it may not be notified at all.
    fn next_notified(&mut self, after: Option<&Vec<u32>>) -> Option<(Vec<u32>, Option<Arc<str>>)> {
        let table = self.handler_table();
        let mut next: Option<(Vec<u32>, Option<Arc<str>>)> = None;
        for notification in &self.state.notified {
            for entry in table.reached(&notification.name) {
                if after.is_some_and(|after| entry.path <= *after) || notification.done.contains(&entry.path) {
                    continue;
                }
                match &mut next {
                    Some((path, unknown)) if *path == entry.path => *unknown = unknown.take().filter(|_| notification.unknown.is_some()),
                    Some((path, _)) if *path < entry.path => {}
                    _ => next = Some((entry.path.clone(), notification.unknown.clone())),
                }
            }
        }
        next
    }

    /// A handler has run or failed: no flush runs it for the same notification again.
    fn ran_notified(&mut self, path: &[u32]) {
        let table = self.handler_table();
        let notified = self.state.notified.iter_mut();
        notified
            .filter(|notification| table.reached(&notification.name).iter().any(|entry| *entry.path == *path))
            .for_each(|notification| notification.done.push(path.to_vec()));
    }

    /// What is still notified at a play's end never runs, as in Ansible.
    pub fn forget_notified(&mut self) {
        let left = std::mem::take(&mut self.state.notified);
        self.handled(&left);
    }

    fn handled(&mut self, notifications: &[Notification]) {
        if self.pass != Pass::Apply {
            return;
        }
        let play = self.play_name();
        for notification in notifications {
            if self.state.notified.iter().any(|left| left.name == notification.name) {
                continue;
            }
            if let Err(error) = self.journal().handled(&notification.name, &play) {
                self.warn(format!("the journal was not written: {error}"));
            }
        }
    }

    fn run_handler(&mut self, steps: &[Step], path: &[u32], context: &Context<'_>, at: &Position, unknown: Option<&Arc<str>>) -> Flow {
        let Some(step) = path.first().and_then(|index| steps.get(*index as usize)) else { return Flow::Next };
        if let Err(ended) = self.take_additions(at) {
            return Flow::Ended(ended);
        }
        match step {
            Step::Block(block) => {
                let inner = context.of_block(block);
                let index = path.get(1).copied().unwrap_or_default();
                self.run_handler(&block.block, &path[1..], &inner, &at.child(index), unknown)
            }
            Step::Task(task) => match unknown {
                // Only possibly notified: what it would do is not certain.
                Some(cause) => {
                    self.unknown_task(task, &context.child(&task.keywords), at, cause);
                    Flow::Next
                }
                None => self.run_task(task, context, at),
            },
            Step::Include(include) => self.run_include(include, context, at),
        }
    }
}
