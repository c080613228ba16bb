//! Files that the run itself makes on the controller: `fetch` brings them, tasks that are done here write them. They need not be there
//! before, and what is there before may be another one when a task reads it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::compile::PlaySummary;
use super::loader::Loader;
use crate::program::{Awaits, Fragments, Keywords, Loop, Span, Step, Task, Tree, Value};
use crate::source::{Diagnostic, Severity};

/// What tasks that may write on the controller say.
#[derive(Debug, Default)]
pub struct Made {
    texts: Vec<(Turn, Span, Arc<str>)>,
    /// Where the plays' own tasks stand in the order in which they run.
    tasks: HashMap<Span, Turn>,
    /// How many they are so far.
    count: u32,
    /// Tasks that are met now have their turn somewhere in this: handlers, and what the run includes.
    sometime: Option<Turn>,
    /// Tasks that may write here, and those of them that may write files which they do not name.
    pub writers: BTreeSet<Span>,
    open: Vec<(Turn, Span)>,
    /// All tasks that may be done here.
    pub here_tasks: BTreeSet<Span>,
    /// Inventory names of the controller.
    here: BTreeSet<Arc<str>>,
}

/// Numbers of the first and the last place where a task stands, or may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Turn {
    first: u32,
    last: u32,
}

/// Of what the run includes.
const SOMETIME: Turn = Turn { first: 0, last: u32::MAX };

/// Modules that write no files but those which their arguments name.
const WRITERS: [&str; 13] = [
    "fetch",
    "copy",
    "template",
    "get_url",
    "file",
    "lineinfile",
    "blockinfile",
    "replace",
    "assemble",
    "uri",
    "tempfile",
    "known_hosts",
    "ini_file",
];

/// Modules that write no file of a project.
const QUIET: [&str; 37] = [
    "add_host",
    "apt",
    "apt_key",
    "apt_repository",
    "assert",
    "async_status",
    "cron",
    "debug",
    "dnf",
    "fail",
    "find",
    "getent",
    "group",
    "group_by",
    "hostname",
    "include_vars",
    "meta",
    "modprobe",
    "mount",
    "package",
    "package_facts",
    "pause",
    "ping",
    "reboot",
    "service",
    "service_facts",
    "set_fact",
    "set_stats",
    "setup",
    "slurp",
    "stat",
    "sysctl",
    "systemd",
    "timezone",
    "validate_argument_spec",
    "wait_for",
    "wait_for_connection",
];

impl Made {
    /// `here`: hosts that are the controller.
    pub fn of(plays: &[PlaySummary], fragments: &Fragments, here: BTreeSet<Arc<str>>) -> Self {
        let mut made = Self { here, ..Self::default() };
        let mut anywhere = false;
        for summary in plays.iter().filter(|summary| !summary.batches.is_empty()) {
            let play = &summary.play;
            let here = play.hosts.iter().any(|host| made.here.contains(host)) || made.may_be_here(&play.keywords);
            anywhere |= here;
            let first = made.count + 1;
            // Its files of variables are read before its first task.
            made.tasks.entry(play.span).and_modify(|turn| turn.last = first).or_insert(Turn { first, last: first });
            for steps in [&play.pre_tasks, &play.roles, &play.tasks, &play.post_tasks] {
                made.steps(steps, here);
            }
            made.count += 1;
            made.sometime = Some(Turn { first, last: made.count });
            made.steps(&play.handlers, here);
            made.sometime = None;
        }
        made.sometime = Some(SOMETIME);
        fragments.tasks.values().for_each(|steps| made.steps(steps, anywhere));
        made
    }

    fn steps(&mut self, steps: &[Step], here: bool) {
        for step in steps {
            match step {
                Step::Task(task) => self.task(task, here),
                Step::Block(block) => {
                    let here = here || self.may_be_here(&block.keywords);
                    [&block.block, &block.rescue, &block.always].into_iter().for_each(|steps| self.steps(steps, here));
                }
                Step::Include(include) => _ = self.number(include.span),
            }
        }
    }

    /// The turn of what stands here.
    fn number(&mut self, span: Span) -> Turn {
        let now = self.sometime.unwrap_or_else(|| {
            self.count += 1;
            Turn { first: self.count, last: self.count }
        });
        // A role that stands in two places has its tasks there twice.
        *self.tasks.entry(span).and_modify(|turn| turn.last = turn.last.max(now.last)).or_insert(now)
    }

    fn task(&mut self, task: &Task, here: bool) {
        let turn = self.number(task.span);
        let is_here = here || self.may_be_here(&task.keywords);
        if is_here {
            self.here_tasks.insert(task.span);
        }
        if QUIET.contains(&&*task.module) || (&*task.module != "fetch" && !is_here) {
            return;
        }
        self.writers.insert(task.span);
        let names = |name: &str| matches!(name, "dest" | "path" | "destfile" | "name");
        let is_named = |value: &Tree| value.is_literal();
        let named = task.arguments.named.iter().filter(|argument| names(&argument.name));
        let is_open = !WRITERS.contains(&&*task.module);
        if is_open || task.arguments.splat.is_some() || !named.map(|argument| &argument.value).all(is_named) {
            self.open.push((turn, task.span));
        }
        let mut found = Vec::new();
        // What `fetch` brings has the name that it has there.
        let is_said = |name: &str| name != "src" || &*task.module == "fetch";
        let arguments = task.arguments.named.iter().filter(|argument| is_said(&argument.name)).map(|argument| &argument.value);
        // What a `script` is called is read, not written.
        let line = task.arguments.free_form.as_ref().filter(|_| &*task.module != "script");
        arguments.chain(line).for_each(|tree| texts(tree, &mut found));
        task.keywords.vars.variables.iter().for_each(|variable| texts(&variable.value, &mut found));
        // Items are names of what is written where an argument but `src` takes them.
        let takes_items = |looping: &Loop| looping.loop_var.is_some() || found.iter().any(|text| text.contains("item"));
        if let Some(looping) = task.looping.as_ref().filter(|looping| takes_items(looping)) {
            texts(&looping.items, &mut found);
        }
        self.texts.extend(found.into_iter().map(|text| (turn, task.span, text)));
    }

    /// Of a task that reads: of those that are not known nothing is known.
    fn turn(&self, task: Option<Span>) -> Turn {
        task.and_then(|task| self.tasks.get(&task)).copied().unwrap_or(SOMETIME)
    }

    /// The turns of tasks before this one that say the name of a file or folder.
    fn sayers(&self, name: &str, task: Option<Span>) -> impl Iterator<Item = Turn> {
        let reader = self.turn(task);
        let is_part = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.');
        let is_whole = move |text: &str, at: usize| {
            let (before, after) = (text[..at].chars().next_back(), text[at + name.len()..].chars().next());
            !before.is_some_and(is_part) && !after.is_some_and(is_part)
        };
        let texts = self.texts.iter().filter(move |(turn, of, _)| !name.is_empty() && turn.first < reader.last && Some(*of) != task);
        texts.filter(move |(_, _, text)| text.match_indices(name).any(|(at, _)| is_whole(text, at))).map(|(turn, _, _)| *turn)
    }

    /// The turns of tasks before this one that may write files which they do not name.
    fn open_before(&self, task: Option<Span>) -> impl Iterator<Item = Turn> {
        let reader = self.turn(task);
        self.open.iter().filter(move |(turn, of)| turn.first < reader.last && Some(*of) != task).map(|(turn, _)| *turn)
    }

    /// Whether tasks with these keywords may be done on the controller.
    fn may_be_here(&self, keywords: &Keywords) -> bool {
        let text = |tree: &Tree| tree.literal().and_then(Value::as_str).map(str::to_owned);
        let is_local = |tree: &Tree| text(tree).is_none_or(|word| word.rsplit('.').next() == Some("local"));
        let is_here = |host: String| matches!(&*host, "localhost" | "127.0.0.1") || self.here.contains(&*host);
        keywords.delegate_to.as_ref().is_some_and(|tree| text(tree).is_none_or(is_here))
            || keywords.connection.as_ref().is_some_and(is_local)
    }
}

fn texts(tree: &Tree, found: &mut Vec<Arc<str>>) {
    fn of_value(value: &Value, found: &mut Vec<Arc<str>>) {
        match value {
            Value::Text(text) => found.push(text.shared()),
            Value::List(items) => items.iter().for_each(|item| of_value(item, found)),
            Value::Map(entries) => entries.values().for_each(|value| of_value(value, found)),
            _ => {}
        }
    }
    match tree {
        Tree::Literal(value) => of_value(value, found),
        Tree::Template(template) | Tree::Expression(template) => found.push(Arc::clone(&template.source)),
        Tree::List(items) => items.iter().for_each(|item| texts(item, found)),
        Tree::Map(entries) => entries.iter().for_each(|(_, value)| texts(value, found)),
    }
}

impl Loader<'_> {
    /// Notes what the task in hand names: the last part of a path, as it was found.
    pub fn named_by_task(&mut self, name: &str) {
        let name = name.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        if let Some(task) = self.task_in_hand.filter(|_| !name.is_empty()) {
            self.named.insert((task, name.into()));
        }
    }

    /// What is not there and may be made is no mistake. Gives the tasks that are to look again when their turn comes.
    pub fn await_files(&mut self, made: &Made) -> BTreeMap<Span, Awaits> {
        if made.writers.is_empty() {
            return BTreeMap::new();
        }
        let last = |name: &str| name.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
        self.files.diagnostics.review(|diagnostic: &mut Diagnostic| {
            let Some((name, task)) = &diagnostic.awaits else { return true };
            if made.sayers(&last(name), *task).next().is_some() {
                return false;
            }
            // Nobody writes a file right into the project's own folders without its name.
            if name.contains('/') && diagnostic.severity == Severity::Error && made.open_before(*task).next().is_some() {
                diagnostic.severity = Severity::Warning;
                let hint = diagnostic.hint.take().map(|hint| format!("{hint}; ")).unwrap_or_default();
                diagnostic.hint = Some(format!("{hint}the run goes on, for a task before may make it on this machine"));
            }
            true
        });
        let mut awaits: BTreeMap<Span, Awaits> = BTreeMap::new();
        for (task, name) in std::mem::take(&mut self.named) {
            let writers = made.sayers(&name, Some(task)).chain(made.open_before(Some(task)));
            if let Some(writer) = writers.map(|turn| turn.last).max() {
                let known = awaits.entry(task).or_insert(Awaits { turn: made.turn(Some(task)).first, writer });
                known.writer = known.writer.max(writer);
            }
        }
        awaits
    }
}
