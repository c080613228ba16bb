//! Files that the run itself makes on the controller: `fetch` brings them, tasks that are done here write them. They need not be there
//! before, and what is there before may be another one when a task reads it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::compile::PlaySummary;
use super::loader::Loader;
use crate::program::{Fragments, Keywords, Loop, Span, Step, Task, Tree, Value};
use crate::source::{Diagnostic, Severity};

/// What tasks that may write on the controller say.
#[derive(Debug, Default)]
pub struct Made {
    /// With the number of the task: tasks that are included when the run comes to them have 0.
    texts: Vec<(usize, Span, Arc<str>)>,
    /// Numbers of the plays' own tasks, in the order in which they run.
    tasks: HashMap<Span, usize>,
    /// Tasks that the run includes are looked at.
    is_included: bool,
    /// Some task writes here.
    pub is_any: bool,
    /// The first task that may write files here which it does not name.
    open: Option<usize>,
}

/// Modules that write files which their arguments name.
const WRITERS: [&str; 12] =
    ["fetch", "copy", "template", "get_url", "file", "lineinfile", "blockinfile", "replace", "assemble", "uri", "tempfile", "known_hosts"];

/// Modules that write files which nothing need name.
const OPEN: [&str; 8] = ["command", "shell", "raw", "script", "expand", "git", "unarchive", "pip"];

impl Made {
    /// `is_here`: the play's hosts are the controller.
    pub fn of(plays: &[PlaySummary], fragments: &Fragments, is_here: impl Fn(&PlaySummary) -> bool) -> Self {
        let mut made = Self::default();
        let mut anywhere = false;
        for summary in plays.iter().filter(|summary| !summary.batches.is_empty()) {
            let play = &summary.play;
            let here = is_here(summary) || may_be_here(&play.keywords);
            anywhere |= here;
            for steps in [&play.pre_tasks, &play.roles, &play.tasks, &play.post_tasks, &play.handlers] {
                made.steps(steps, here);
            }
        }
        made.is_included = true;
        fragments.tasks.values().for_each(|steps| made.steps(steps, anywhere));
        made
    }

    fn steps(&mut self, steps: &[Step], here: bool) {
        for step in steps {
            match step {
                Step::Task(task) => self.task(task, here),
                Step::Block(block) => {
                    let here = here || may_be_here(&block.keywords);
                    [&block.block, &block.rescue, &block.always].into_iter().for_each(|steps| self.steps(steps, here));
                }
                Step::Include(_) => {}
            }
        }
    }

    fn task(&mut self, task: &Task, here: bool) {
        let number = if self.is_included {
            0
        } else {
            let next = self.tasks.len() + 1;
            *self.tasks.entry(task.span).or_insert(next)
        };
        if &*task.module != "fetch" && !here && !may_be_here(&task.keywords) {
            return;
        }
        let (writes, is_open) = (WRITERS.contains(&&*task.module), OPEN.contains(&&*task.module));
        if !writes && !is_open {
            return;
        }
        self.is_any = true;
        let names = |name: &str| matches!(name, "dest" | "path" | "destfile" | "name");
        let is_named = |value: &Tree| value.is_literal();
        let named = task.arguments.named.iter().filter(|argument| names(&argument.name));
        if is_open || task.arguments.splat.is_some() || !named.map(|argument| &argument.value).all(is_named) {
            self.open = Some(self.open.map_or(number, |first| first.min(number)));
        }
        let mut found = Vec::new();
        let arguments = task.arguments.named.iter().filter(|argument| *argument.name != *"src").map(|argument| &argument.value);
        // What a `script` is called is read, not written.
        let line = task.arguments.free_form.as_ref().filter(|_| &*task.module != "script");
        arguments.chain(line).for_each(|tree| texts(tree, &mut found));
        task.keywords.vars.variables.iter().for_each(|variable| texts(&variable.value, &mut found));
        // Items are names of what is written where an argument but `src` takes them.
        let takes_items = |looping: &Loop| looping.loop_var.is_some() || found.iter().any(|text| text.contains("item"));
        if let Some(looping) = task.looping.as_ref().filter(|looping| takes_items(looping)) {
            texts(&looping.items, &mut found);
        }
        self.texts.extend(found.into_iter().map(|text| (number, task.span, text)));
    }

    /// Of a task that reads: those that are not known come last.
    fn number(&self, task: Option<Span>) -> usize {
        task.and_then(|task| self.tasks.get(&task)).copied().unwrap_or(usize::MAX)
    }

    /// Whether some task before this one says the name of a file or folder.
    fn says(&self, name: &str, task: Option<Span>) -> bool {
        let reader = self.number(task);
        let is_part = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.');
        let is_whole = |text: &str, at: usize| {
            let (before, after) = (text[..at].chars().next_back(), text[at + name.len()..].chars().next());
            !before.is_some_and(is_part) && !after.is_some_and(is_part)
        };
        !name.is_empty()
            && self.texts.iter().any(|(number, of, text)| {
                *number < reader && Some(*of) != task && text.match_indices(name).any(|(at, _)| is_whole(text, at))
            })
    }
}

/// Whether tasks with these keywords may be done on the controller.
fn may_be_here(keywords: &Keywords) -> bool {
    let text = |tree: &Tree| tree.literal().and_then(Value::as_str).map(str::to_owned);
    let is_local = |tree: &Tree| text(tree).is_none_or(|word| word.rsplit('.').next() == Some("local"));
    keywords.delegate_to.as_ref().is_some_and(|tree| text(tree).is_none_or(|host| matches!(&*host, "localhost" | "127.0.0.1")))
        || keywords.connection.as_ref().is_some_and(is_local)
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
    pub fn await_files(&mut self, made: &Made) -> BTreeSet<Span> {
        if !made.is_any {
            return BTreeSet::new();
        }
        let last = |name: &str| name.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
        self.files.diagnostics.review(|diagnostic: &mut Diagnostic| {
            let Some((name, task)) = &diagnostic.awaits else { return true };
            if made.says(&last(name), *task) {
                return false;
            }
            // Nobody writes a file right into the project's own folders without its name.
            if name.contains('/') && diagnostic.severity == Severity::Error && made.open.is_some_and(|first| first < made.number(*task)) {
                diagnostic.severity = Severity::Warning;
                let hint = diagnostic.hint.take().map(|hint| format!("{hint}; ")).unwrap_or_default();
                diagnostic.hint = Some(format!("{hint}the run goes on, for a task before may make it on this machine"));
            }
            true
        });
        std::mem::take(&mut self.named).into_iter().filter(|(task, name)| made.says(name, Some(*task))).map(|(task, _)| task).collect()
    }
}
