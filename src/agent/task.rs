//! One task: tags, loop, items, the registered value, notifications.

use std::sync::Arc;
use std::time::Duration;

use super::context::Context;
use super::executor::{Executor, Flow, Pass};
use super::frame::{Answer, CallMode, Ends, Event, FoundFiles, ItemResult, Question, Status};
use super::item::{Item, ItemRun, is_read};
use super::port::Ended;
use super::predictions::Prediction;
use crate::module::{Entry, find};
use crate::program::{Key, Loop, Map, Position, Step, Strategy, Task, Tree, Value, tags};
use crate::template::{Error, ErrorKind, Result};

/// The items of a loop, or why there are none yet.
pub enum Items {
    /// No loop.
    Single,
    List(Vec<Value>),
    Error(Error),
}

/// Whether a loop that cannot be evaluated matters only where the conditions hold: as in Ansible, where something is undefined.
pub fn awaits_conditions(error: &Error) -> bool {
    error.kind == ErrorKind::Undefined || error.unknown_cause().is_some()
}

/// Modules that may do something on other machines than their own.
const AFAR: [&str; 5] = ["command", "shell", "raw", "script", "uri"];

/// Modules whose result hangs on the time at which they look, or on what other machines have to give.
const WATCHES: [&str; 6] = ["wait_for", "wait_for_connection", "pause", "git", "get_url", "uri"];

/// Modules that look at nothing but variables, or wait for the others by themselves.
const WITHIN: [&str; 14] = [
    "add_host",
    "assert",
    "async_status",
    "debug",
    "fail",
    "group_by",
    "include_vars",
    "meta",
    "ping",
    "set_fact",
    "set_stats",
    "validate_argument_spec",
    "command",
    "shell",
];

/// What a `meta` task may end for all hosts.
fn ends(task: &Task) -> Ends {
    match task.meta() {
        Some("end_play") => Ends::Play,
        Some("end_batch") => Ends::Batch,
        _ => Ends::Nothing,
    }
}

impl Executor {
    /// Runs a task over its items.
    pub fn run_task(&mut self, task: &Task, parent: &Context<'_>, at: &Position) -> Flow {
        let context = parent.child(&task.keywords);
        self.folder_of_task.clone_from(&task.folder);
        self.delegate = None;
        let resumed = self.resume.as_ref().is_some_and(|resume| resume.position == *at);
        if !resumed {
            match self.selected(&context, at) {
                Ok(true) => {}
                Ok(false) => return Flow::Next,
                Err(error) => return self.report_error(task, &context, at, &error),
            }
            if !self.has_started(task.name.as_ref(), &task.module_as_written, &context) {
                return Flow::Next;
            }
        }
        // As in Ansible, one host adds a host for all, and one ends the play for all.
        let is_end = ends(task) != Ends::Nothing;
        let is_for_all = is_end || matches!(task.meta(), Some("clear_host_errors" | "clear_facts" | "refresh_inventory"));
        let run_once = match &*task.module {
            "add_host" => Ok(true),
            // With a strategy of no order each host waits for itself.
            "pause" if self.play.as_deref().is_some_and(|play| play.strategy == Strategy::Linear) => Ok(true),
            "meta" if is_for_all && self.play.as_deref().is_some_and(|play| play.strategy == Strategy::Linear) => Ok(true),
            _ => self.keyword_flag(|keywords| keywords.run_once.as_ref(), &context, &Map::new(), at),
        };
        let flow = match run_once {
            Ok(true) if self.play.as_deref().is_some_and(|play| play.batch_hosts.len() > 1 || (is_end && play.hosts.len() > 1)) => {
                self.run_once(task, &context, at)
            }
            Ok(_) => self.run_in_turn(task, &context, at),
            Err(error) => self.report_error(task, &context, at, &error),
        };
        // Also where this host was skipped: others may have added, or been here.
        self.adds |= matches!(&*task.module, "add_host" | "group_by");
        let delegate = context.keyword(|keywords| keywords.delegate_to.as_ref());
        self.is_visited |= delegate.is_some_and(|tree| tree.literal().is_none_or(|name| name.as_str() == Some(&*self.program.host)));
        flow
    }

    /// `throttle`: so many hosts run it at once. A plan does nothing that could be too much.
    fn run_in_turn(&mut self, task: &Task, context: &Context<'_>, at: &Position) -> Flow {
        let most = match self.keyword_text(|keywords| keywords.throttle.as_ref(), context, &Map::new(), at) {
            Ok(text) => text.map(|text| text.trim().parse::<u32>().map_err(|_| text)),
            Err(error) => return self.report_error(task, context, at, &error),
        };
        let most = match most {
            Some(Err(text)) => {
                let error = Error::failed(format!("`throttle` must be a number of hosts, found `{text}`"));
                return self.report_error(task, context, at, &error);
            }
            Some(Ok(most)) => most,
            None => 0,
        };
        let hosts = self.play.as_deref().map_or(0, |play| play.batch_hosts.len());
        if most == 0 || hosts <= most as usize || self.call_mode(context, at) != CallMode::Apply {
            return self.run_items(task, context, at).0;
        }
        self.port.passed(at, self.state.dirty);
        if let Err(ended) = self.port.ask(Question::Turn { position: at.clone(), most }) {
            return Flow::Ended(ended);
        }
        let flow = self.run_items(task, context, at).0;
        match self.port.ask(Question::TurnOver { position: at.clone() }) {
            Err(ended) if flow == Flow::Next => Flow::Ended(ended),
            _ => flow,
        }
    }

    /// `run_once`: one host of the batch runs it, the others take its result.
    fn run_once(&mut self, task: &Task, context: &Context<'_>, at: &Position) -> Flow {
        self.port.passed(at, self.state.dirty);
        match self.port.ask(Question::RunOnce { position: at.clone() }) {
            Ok(Answer::RunOnce { ends: Ends::Batch | Ends::Play, .. }) => Flow::EndPlay,
            Ok(Answer::RunOnce { result, facts, failed, .. }) => {
                self.state.tasks += 1;
                if let Err(ended) = self.follow_meta(task, at, &result) {
                    return Flow::Ended(ended);
                }
                if let Some(name) = &task.register {
                    self.state.set_variable(name, result);
                }
                for (key, value) in &facts {
                    self.state.variables.insert(key.clone(), value.clone());
                }
                if failed { Flow::Failed } else { Flow::Next }
            }
            Ok(Answer::Unknown(cause)) => {
                self.unknown_task(task, context, at, &cause);
                Flow::Next
            }
            Ok(_) => {
                let before = self.state.variables.clone();
                let (flow, result) = self.run_items(task, context, at);
                let facts: Map = self
                    .state
                    .variables
                    .iter()
                    .filter(|(key, value)| before.get(*key) != Some(value) && task.register.as_deref() != Some(&*key.text()))
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect();
                let failed = flow == Flow::Failed;
                let ends = if flow == Flow::EndPlay { ends(task) } else { Ends::Nothing };
                let told = self.port.ask(Question::RanOnce { position: at.clone(), result, facts, failed, ends });
                match told {
                    Err(ended) if flow == Flow::Next => Flow::Ended(ended),
                    _ => flow,
                }
            }
            Err(ended) => Flow::Ended(ended),
        }
    }

    /// Whether a step may do what other hosts can see: a command may reach any machine, and what it writes here any host may read.
    pub fn may_be_seen(&self, step: &Step) -> bool {
        match step {
            Step::Task(task) => AFAR.contains(&&*task.module) || self.program.writes_files.contains(&task.span),
            Step::Block(block) => [&block.block, &block.rescue, &block.always].into_iter().flatten().any(|step| self.may_be_seen(step)),
            Step::Include(_) => true,
        }
    }

    /// Waits for the other hosts where what they do before this task may be what it sees, as all wait for all in Ansible: before what
    /// watches or waits, and before what looks at its machine after a task that may reach any.
    fn follow(&mut self, task: &Task, context: &Context<'_>, at: &Position) -> std::result::Result<(), Ended> {
        let watches = !task.until.is_empty() || task.retries.is_some() || WATCHES.contains(&&*task.module);
        let follows = watches || (self.is_behind && !WITHIN.contains(&&*task.module));
        if !follows || !self.keeps_order() || self.finishing > 0 || self.surely_skipped(task, context, at) {
            return Ok(());
        }
        let others_dirty = self.port.reach(at, self.state.dirty)?;
        self.is_behind = false;
        if self.pass == Pass::Plan && others_dirty {
            self.predictions.taint(at, 0, "what other hosts do before it");
        }
        Ok(())
    }

    /// The items of a loop, which may read files that the run has made.
    pub fn found_items(
        &mut self,
        looping: &Loop,
        module: &str,
        context: &Context<'_>,
        at: &Position,
    ) -> std::result::Result<Result<Vec<Value>>, Ended> {
        self.take_missed();
        loop {
            let items = self.items(looping, module, context, at);
            if items.is_ok() {
                return Ok(items);
            }
            match self.look_for_missed(at)? {
                Some(Ok(true)) => {}
                Some(Err(unknown)) => return Ok(Err(unknown)),
                None | Some(Ok(false)) => return Ok(items),
            }
        }
    }

    /// Runs all items; answers the registered value too.
    fn run_items(&mut self, task: &Task, context: &Context<'_>, at: &Position) -> (Flow, Value) {
        // Another task may have written them since.
        self.found = FoundFiles::default();
        if let Err(ended) = self.follow(task, context, at) {
            return (Flow::Ended(ended), Value::Null);
        }
        if self.program.awaits_files.contains_key(&task.span) && !self.surely_skipped(task, context, at) {
            match self.look_before(task.span, at) {
                Err(ended) => return (Flow::Ended(ended), Value::Null),
                Ok(Some(cause)) => {
                    let locals = Map::new();
                    let item = Item { task, context, locals: &locals, at, index: 0, in_loop: false, loop_error: None };
                    let run = self.unknown_item(&item, &cause);
                    self.conclude(task, context, at, &run, true);
                    let value = run.value.clone();
                    return (self.after(task, context, at, value.clone(), &[run]), value);
                }
                Ok(None) => {}
            }
        }
        let items = match &task.looping {
            None => Items::Single,
            Some(looping) => match self.found_items(looping, &task.module, context, at) {
                Ok(Ok(items)) => Items::List(items),
                Ok(Err(error)) => Items::Error(error),
                Err(ended) => return (Flow::Ended(ended), Value::Null),
            },
        };
        match items {
            Items::Single => self.run_single(task, context, at, None),
            Items::Error(error) => match error.unknown_cause() {
                Some(cause) if !self.surely_skipped(task, context, at) => {
                    let cause = Arc::clone(cause);
                    self.unknown_task(task, context, at, &cause);
                    (Flow::Next, Value::Unknown(cause))
                }
                _ => self.run_single(task, context, at, Some(&error)),
            },
            Items::List(items) => self.run_list(task, context, at, items),
        }
    }

    /// An `assert` that keeps its message to itself where all is well.
    fn is_quiet(&self, task: &Task, context: &Context<'_>, locals: &Map, at: &Position) -> bool {
        let quiet = task.arguments.named.iter().find(|argument| &*argument.name == "quiet");
        let value = quiet.and_then(|quiet| self.evaluate(&quiet.value, context, locals, at).ok());
        value.is_some_and(|value| crate::module::arguments::boolean(&value).unwrap_or(false))
    }

    fn surely_skipped(&self, task: &Task, context: &Context<'_>, at: &Position) -> bool {
        let _ = task;
        matches!(self.conditions(context, &Map::new(), at), Ok(Some(_)))
    }

    fn run_single(&mut self, task: &Task, context: &Context<'_>, at: &Position, loop_error: Option<&Error>) -> (Flow, Value) {
        let locals = Map::new();
        let item = Item { task, context, locals: &locals, at, index: 0, in_loop: false, loop_error };
        let run = match self.run_item(&item) {
            Ok(run) => run,
            Err(flow) => return (flow, Value::Null),
        };
        self.conclude(task, context, at, &run, true);
        let value = run.value.clone();
        (self.after(task, context, at, value.clone(), &[run]), value)
    }

    fn run_list(&mut self, task: &Task, context: &Context<'_>, at: &Position, items: Vec<Value>) -> (Flow, Value) {
        let Some(looping) = &task.looping else { return (Flow::Next, Value::Null) };
        let control = match self.loop_control(looping, context, at) {
            Ok(control) => control,
            Err(error) => return (self.report_error(task, context, at, &error), Value::Null),
        };
        let (mut results, first) = match self.resume.take_if(|resume| resume.position == *at) {
            Some(resume) => {
                let first = resume.item as usize;
                let results = resume.results.clone();
                self.resume = Some(resume);
                (results, first)
            }
            None => (Vec::new(), 0),
        };
        if items.is_empty() {
            let run = ItemRun::without_items();
            self.conclude(task, context, at, &run, true);
            let value = run.value.clone();
            return (self.after(task, context, at, value.clone(), &[run]), value);
        }
        let count = items.len();
        // Of items before a restart only the results are left.
        let ignores =
            !results.is_empty() && self.keyword_flag(|keywords| keywords.ignore_errors.as_ref(), context, &Map::new(), at).unwrap_or(false);
        let mut runs: Vec<ItemRun> = results.iter().map(|value| ItemRun::from_result(value, ignores)).collect();
        for (index, item) in items.iter().enumerate().skip(first) {
            if index > first && control.pause > 0.0 && self.pass == Pass::Apply {
                // Why it ended early is looked at below.
                let _ = self.wait(Duration::from_secs_f64(control.pause));
            }
            if let Some(ended) = self.port.ended(at) {
                return (Flow::Ended(ended), Value::Null);
            }
            let mut locals = control.locals(&items, index);
            let run = {
                let item = Item { task, context, locals: &locals, at, index: index as u32, in_loop: true, loop_error: None };
                match self.run_item_with(&item, &results) {
                    Ok(run) => run,
                    Err(flow) => return (flow, Value::Null),
                }
            };
            let mut run = run;
            if let (Some(name), value) = (&task.register, &run.value) {
                locals.insert(Key::from(&**name), value.clone());
            }
            let label = match looping.label.as_ref().map(|label| self.evaluate(label, context, &locals, at)) {
                Some(Ok(label)) => label,
                Some(Err(error)) if error.unknown_cause().is_none() => {
                    run.fail(&format!("Failed to template loop_control.label: {error}"));
                    item.clone()
                }
                _ => item.clone(),
            };
            run.decorate(&control, item, index, &locals);
            run.label = Some(label);
            let is_break = !looping.break_when.is_empty() && {
                if let Some(name) = &task.register {
                    locals.insert(Key::from(&**name), run.value.clone());
                }
                looping.break_when.iter().all(|tree| self.condition(tree, context, &locals, at).unwrap_or(false))
            };
            let last = index + 1 == count || is_break;
            self.conclude(task, context, at, &run, last);
            results.push(run.value.clone());
            runs.push(run);
            if is_break {
                break;
            }
        }
        let value = summarise(&results, &runs);
        (self.after(task, context, at, value.clone(), &runs), value)
    }

    /// Counts, registers, notifies; answers how the task ended.
    pub fn after(&mut self, task: &Task, context: &Context<'_>, at: &Position, value: Value, runs: &[ItemRun]) -> Flow {
        if self.resume.as_ref().is_some_and(|resume| resume.position == *at) {
            self.resume = None;
        }
        let value = self.mark_secrets(value);
        if let Some(name) = &task.register {
            self.state.set_variable(name, value.clone());
            self.publish(at, &Map::from_iter([(Key::from(&**name), value.clone())]));
        }
        self.state.tasks += 1;
        let failed = runs.iter().any(|run| run.failed && !run.ignored);
        let unreachable = runs.iter().any(|run| run.status == Status::Unreachable && !run.ignored);
        let ignored = !failed && runs.iter().any(|run| (run.failed || run.status == Status::Unreachable) && run.ignored);
        let changed = runs.iter().any(|run| run.changed);
        let skipped = !runs.is_empty() && runs.iter().all(|run| run.skipped);
        let unknown = runs.iter().find_map(|run| match &run.status {
            Status::Unknown(cause) => Some(Arc::clone(cause)),
            _ => None,
        });
        let recap = &mut self.state.recap;
        match () {
            () if failed => recap.failed += 1,
            () if unreachable => recap.unreachable += 1,
            () if unknown.is_some() => recap.unknown += 1,
            // Ansible counts nothing that is done to the run itself.
            () if &*task.module == "meta" => {}
            () if skipped => recap.skipped += 1,
            () => {
                recap.ok += 1;
                recap.changed += u32::from(changed);
                recap.ignored += u32::from(ignored);
            }
        }
        if let Some(reason) = self.performers.gone.as_ref().filter(|_| unreachable) {
            // Nothing rescues it, and nothing more of the play is its own.
            return Flow::Ended(Ended::Gone(Arc::clone(reason)));
        }
        if failed {
            // Where nothing rescues, nothing is told of it, as in Ansible.
            if !self.rescues.is_empty()
                && let Err(error) = self.remember_failure(task, context, at, value)
            {
                self.warn(error.to_string());
            }
            return Flow::Failed;
        }
        if let Some(run) = runs.iter().find(|run| run.status == Status::Unreachable && !run.ignored) {
            // As Ansible counts it: out of reach is the host that the task is for.
            let message = run.value.get("msg").and_then(Value::as_str).unwrap_or_default();
            return Flow::Ended(Ended::Unreachable(message.into()));
        }
        // As Ansible: one item's change notifies for all that were not skipped, and a failure for none, ignored or not.
        let is_notified = (changed || unknown.is_some()) && !runs.iter().any(|run| run.failed);
        let unknown = unknown.filter(|_| !changed);
        for run in runs.iter().filter(|run| is_notified && !run.skipped) {
            let unanswered = match self.notify(context, at, &run.locals, unknown.clone()) {
                Ok(None) => continue,
                Ok(Some(name)) => Ok(name),
                Err(error) => Err(error),
            };
            self.state.recap.ok = self.state.recap.ok.saturating_sub(1);
            return match unanswered {
                Ok(name) => {
                    let error = Error::failed(format!("no handler is named `{name}`"))
                        .hint("handlers stand in `handlers:` of the play or in a role's handlers/main.yml");
                    self.report_beyond_rescue(task, context, at, &error)
                }
                Err(error) => self.report_error(task, context, at, &error),
            };
        }
        Flow::Next
    }

    fn remember_failure(&mut self, task: &Task, context: &Context<'_>, at: &Position, result: Value) -> Result<()> {
        let name = match &task.name {
            Some(name) => self.text_of(name, context, &Map::new(), at).unwrap_or(None),
            None => None,
        };
        let task_value = crate::map! {
            "name" => name.map_or_else(|| Value::text(Arc::clone(&task.module_as_written)), Value::text),
            "action" => Arc::clone(&task.module_as_written),
        };
        self.state.set_variable("ansible_failed_task", task_value.into());
        self.state.set_variable("ansible_failed_result", result);
        Ok(())
    }

    /// The item's event, and its place in the plan.
    pub fn conclude(&mut self, task: &Task, context: &Context<'_>, at: &Position, run: &ItemRun, last: bool) {
        if self.pass == Pass::Plan {
            let prediction = match &run.status {
                Status::Unknown(cause) => Prediction::Unknown(Arc::clone(cause)),
                _ if run.is_met => Prediction::Unknown("what other hosts do on the same machine".into()),
                _ if run.digests.is_empty() => Prediction::Unchanged,
                _ => Prediction::Actions(run.digests.clone()),
            };
            self.predictions.record(at, run.index, prediction);
            if let Status::Unknown(cause) = &run.status {
                self.predictions.taint(at, run.index, cause);
            }
            if let Some(cause) = &run.opaque {
                self.predictions.taint(at, run.index, cause);
            }
            // Who reads what is to change here is to know it.
            if self.state.dirty {
                self.port.passed(at, true);
            }
        }
        let name = task.name.as_ref().and_then(|name| self.text_of(name, context, &run.locals, at).ok().flatten());
        let name = name.map_or_else(|| Arc::clone(&task.module_as_written), |name| Arc::from(self.masker.mask(&name)));
        let is_bad = run.failed || run.status == Status::Unreachable;
        let tells = match &*task.module {
            "debug" => true,
            "assert" => run.status == Status::Ok && !self.is_quiet(task, context, &run.locals, at),
            _ => false,
        };
        let shows = run.changed || is_bad || self.program.settings.verbosity > 0 || tells || !run.diff.is_empty();
        let result = (shows && !run.no_log).then(|| self.masker.mask_value(&run.value));
        let result = if run.no_log && is_bad {
            Some(Value::map(crate::map! {
                "censored" => "the output has been hidden due to the fact that 'no_log: true' was specified for this result",
                "changed" => run.changed,
            }))
        } else {
            result
        };
        if self.pass != Pass::Plan && !run.no_log {
            let warnings = match run.value.get("warnings") {
                Some(Value::List(warnings)) => warnings.to_vec(),
                _ => Vec::new(),
            };
            for warning in warnings.iter().filter_map(Value::as_str) {
                if self.warned.insert(warning.to_owned()) {
                    self.warn(warning);
                }
            }
        }
        let hidden = |text: &String| if run.no_log { "(hidden by no_log)".to_owned() } else { self.masker.mask(text) };
        self.port.event(Event::Item(ItemResult {
            position: at.clone(),
            name: Some(name),
            role: context.role().map(|role| Arc::clone(&role.name)),
            label: run
                .label
                .as_ref()
                .map(|label| if run.no_log { Value::text("(hidden by no_log)") } else { self.masker.mask_value(label) }),
            item: run.in_loop.then_some(run.index),
            status: run.status.clone(),
            ignored: run.ignored,
            handler: self.handling,
            actions: run.sentences.iter().map(hidden).collect(),
            digests: if self.pass == Pass::Plan { run.digests.clone() } else { Vec::new() },
            diff: if run.no_log {
                Vec::new()
            } else {
                let mask = |text: &str| self.masker.mask(text);
                run.diff
                    .iter()
                    .map(|diff| (mask(&diff.before), mask(&diff.after), mask(&diff.before_header), mask(&diff.after_header)))
                    .collect()
            },
            result,
            elapsed: run.elapsed.as_millis() as u64,
            delegated_to: run.delegated_to.clone(),
            attempts: run.attempts,
            last,
            of_the_run: find(&task.module).is_some_and(Entry::is_of_the_run),
            ran: run.really && self.pass == Pass::Plan,
            rescued: self.rescues.last().filter(|_| !self.beyond_rescue).cloned(),
            fatal: is_bad
                && !run.ignored
                && self.keyword_flag(|keywords| keywords.any_errors_fatal.as_ref(), context, &Map::new(), at).unwrap_or(false),
            span: run.failed.then_some(run.span.unwrap_or(task.span)),
            reads: std::mem::take(self.noted.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner)).into_iter().collect(),
        }));
    }

    /// A failure that is the text's: nothing ignores or rescues it.
    pub fn report_beyond_rescue(&mut self, task: &Task, context: &Context<'_>, at: &Position, error: &Error) -> Flow {
        self.beyond_rescue = true;
        self.report_failure(task, context, at, ItemRun::failed_with(error))
    }

    /// A failure before any item ran.
    pub fn report_error(&mut self, task: &Task, context: &Context<'_>, at: &Position, error: &Error) -> Flow {
        if let Some(cause) = error.unknown_cause() {
            let cause = Arc::clone(cause);
            self.unknown_task(task, context, at, &cause);
            return Flow::Next;
        }
        let mut run = ItemRun::failed_with(error);
        run.ignored = self.keyword_flag(|keywords| keywords.ignore_errors.as_ref(), context, &Map::new(), at).unwrap_or(false);
        self.report_failure(task, context, at, run)
    }

    pub fn report_failure(&mut self, task: &Task, context: &Context<'_>, at: &Position, run: ItemRun) -> Flow {
        self.conclude(task, context, at, &run, true);
        let value = run.value.clone();
        self.after(task, context, at, value, &[run])
    }

    /// A plan cannot know what the task does.
    pub fn unknown_task(&mut self, task: &Task, context: &Context<'_>, at: &Position, cause: &Arc<str>) {
        let run = if is_read(task) {
            ItemRun::unknown_read(cause)
        } else {
            self.absorb_opaque(cause);
            ItemRun::unknown(cause)
        };
        self.conclude(task, context, at, &run, true);
        let flow = self.after(task, context, at, Value::Unknown(Arc::clone(cause)), &[run]);
        debug_assert!(flow == Flow::Next, "an unknown is no failure");
    }

    // ---- selection ----

    /// Whether `--tags` and `--skip-tags` take the task.
    pub fn selected(&self, context: &Context<'_>, at: &Position) -> Result<bool> {
        let settings = &self.program.settings;
        let trees = context.gathered(|keywords| &keywords.tags);
        if settings.tags.is_empty() && settings.skip_tags.is_empty() && trees.is_empty() {
            return Ok(true);
        }
        let mut tags: Vec<String> = Vec::new();
        for tree in trees {
            let value = self.evaluate(tree, context, &Map::new(), at)?;
            let values = value.as_list().map_or_else(|| vec![value.clone()], <[Value]>::to_vec);
            for value in &values {
                let text = crate::module::arguments::text(value).map_err(Error::failed)?;
                tags.extend(text.split(',').map(|tag| tag.trim().to_owned()).filter(|tag| !tag.is_empty()));
            }
        }
        Ok(tags::takes(&tags, &settings.tags, &settings.skip_tags))
    }

    /// Whether `--start-at-task` has been reached.
    pub fn has_started(&mut self, name: Option<&Tree>, module: &str, context: &Context<'_>) -> bool {
        if !self.state.started {
            let wanted = self.program.settings.start_at_task.as_deref();
            let role = context.role().map(|role| &*role.name);
            self.state.started = wanted.is_none_or(|wanted| tags::is_named(wanted, name, module, role));
        }
        self.state.started
    }

    // ---- loops ----

    /// The items of `loop` or `with_*` of a task of this module.
    pub fn items(&self, looping: &Loop, module: &str, context: &Context<'_>, at: &Position) -> Result<Vec<Value>> {
        let locals = Map::new();
        let value = self.evaluate(&looping.items, context, &locals, at)?;
        if let Value::Unknown(cause) = &value {
            return Err(Error::unknown(Arc::clone(cause)).at(looping.span));
        }
        match &looping.with {
            None => match value {
                Value::List(items) | Value::Tuple(items) => Ok(items.to_vec()),
                other => Err(Error::failed(format!("The `loop` value must resolve to a 'list', not '{}'.", other.type_name()))
                    .at(looping.span)
                    .hint("give a list, or use `query('…')`, or `| list`")),
            },
            Some(plugin) => {
                // As Ansible: `with_x: one` is a list of one term; `with_items` and most take the list as the terms.
                let terms = match value {
                    Value::List(items) | Value::Tuple(items) => items.to_vec(),
                    other => vec![other],
                };
                let mut options = Map::new();
                if &**plugin == "first_found" {
                    options.insert(super::lookup::FOLDER.into(), super::lookup::folder_of(module).into());
                }
                let scope = self.scope(context, &locals, at);
                crate::template::jinja::Jinja::new(&scope).lookup(plugin, &terms, &options).map_err(|error| error.at(looping.span))
            }
        }
    }

    pub fn loop_control(&self, looping: &Loop, context: &Context<'_>, at: &Position) -> Result<LoopControl> {
        let locals = Map::new();
        let text = |tree: &Option<Tree>| tree.as_ref().map_or(Ok(None), |tree| self.text_of(tree, context, &locals, at));
        let flag = |tree: &Option<Tree>, default: bool| tree.as_ref().map_or(Ok(default), |tree| self.flag(tree, context, &locals, at));
        Ok(LoopControl {
            variable: text(&looping.loop_var)?.unwrap_or_else(|| "item".into()),
            index: text(&looping.index_var)?,
            pause: match text(&looping.pause)? {
                Some(text) => text.parse().map_err(|_| Error::failed(format!("loop_control.pause: {text:?} is no number of seconds")))?,
                None => 0.0,
            },
            extended: flag(&looping.extended, false)?,
            all_items: flag(&looping.extended_allitems, true)?,
        })
    }

    /// The conditions around and at a task; `Some` holds the first that is false, as it was written.
    pub fn conditions(&self, context: &Context<'_>, locals: &Map, at: &Position) -> Result<Option<Value>> {
        for tree in context.gathered(|keywords| &keywords.when) {
            if !self.condition(tree, context, locals, at)? {
                return Ok(Some(match tree {
                    Tree::Expression(template) | Tree::Template(template) => Value::text(Arc::clone(&template.source)),
                    Tree::Literal(value) => value.clone(),
                    _ => Value::Null,
                }));
            }
        }
        Ok(None)
    }

    /// What an item notifies: the names may hold it. Answers a name that no handler has.
    fn notify(&mut self, context: &Context<'_>, at: &Position, locals: &Map, unknown: Option<Arc<str>>) -> Result<Option<Arc<str>>> {
        for tree in context.notify() {
            let value = self.evaluate(tree, context, locals, at)?;
            let names = value.as_list().map_or_else(|| vec![value.clone()], <[Value]>::to_vec);
            for name in &names {
                let Some(name) = name.as_str() else { continue };
                if !self.handler_exists(name, context, at) {
                    return Ok(Some(name.into()));
                }
                self.state.notify(name.into(), unknown.clone());
            }
        }
        Ok(None)
    }

    /// Texts of a result that hold a known secret are secret.
    pub fn mark_secrets(&self, value: Value) -> Value {
        match value {
            Value::Text(text) if !text.is_secret() && self.masker.finds(text.as_str()) => Value::Text(text.with_secrecy(true)),
            Value::List(items) => Value::list(items.iter().map(|item| self.mark_secrets(item.clone())).collect()),
            Value::Map(entries) => Value::map(entries.iter().map(|(key, item)| (key.clone(), self.mark_secrets(item.clone()))).collect()),
            other => other,
        }
    }

    /// A step whose effects a plan cannot see: on all workers of this host.
    pub fn absorb_opaque(&mut self, cause: &Arc<str>) {
        if self.pass == Pass::Plan {
            self.state.dirty = true;
            let action = crate::system::Action::Run(crate::system::Command::new(&**cause, Vec::<String>::new()));
            self.performers.absorb(&[action], cause);
        }
    }

    pub fn ended(&self, ended: Ended) -> Flow {
        Flow::Ended(ended)
    }
}

/// `loop_control`, evaluated.
#[derive(Clone, Debug)]
pub struct LoopControl {
    pub variable: Arc<str>,
    pub index: Option<Arc<str>>,
    /// Seconds.
    pub pause: f64,
    pub extended: bool,
    pub all_items: bool,
}

impl LoopControl {
    /// The variables of one round.
    pub fn locals(&self, items: &[Value], index: usize) -> Map {
        let count = items.len();
        let mut locals = crate::map! { "ansible_loop_var" => Arc::clone(&self.variable), &*self.variable => items[index].clone() };
        if let Some(name) = &self.index {
            locals.insert("ansible_index_var".into(), Value::text(Arc::clone(name)));
            locals.insert(Key::from(&**name), Value::Int(index as i64));
        }
        if self.extended {
            let mut extended = crate::map! {
                "index" => index as i64 + 1,
                "index0" => index as i64,
                "first" => index == 0,
                "last" => index + 1 == count,
                "length" => count as i64,
                "revindex" => (count - index) as i64,
                "revindex0" => (count - index - 1) as i64,
            };
            if self.all_items {
                extended.insert("allitems".into(), Value::list(items.to_vec()));
            }
            if let Some(next) = items.get(index + 1) {
                extended.insert("nextitem".into(), next.clone());
            }
            if let Some(previous) = index.checked_sub(1).and_then(|index| items.get(index)) {
                extended.insert("previtem".into(), previous.clone());
            }
            locals.insert("ansible_loop".into(), extended.into());
        }
        locals
    }
}

/// The registered value of a loop.
pub fn summarise(results: &[Value], runs: &[ItemRun]) -> Value {
    let any = |is: fn(&ItemRun) -> bool| runs.iter().any(is);
    let flag = |value: &Value, name: &str| value.get(name).is_some_and(Value::is_truthy);
    let failed = results.iter().any(|result| flag(result, "failed"));
    let mut value = Map::new();
    let skipped = results.iter().all(|result| flag(result, "skipped"));
    value.insert("results".into(), Value::list(results.to_vec()));
    value.insert("skipped".into(), skipped.into());
    value.insert(
        "msg".into(),
        if failed {
            "One or more items failed"
        } else if skipped {
            "All items skipped"
        } else {
            "All items completed"
        }
        .into(),
    );
    value.insert("changed".into(), results.iter().any(|result| flag(result, "changed")).into());
    if failed || any(|run| run.failed) {
        value.insert("failed".into(), failed.into());
    } else if !skipped {
        value.insert("failed".into(), false.into());
    }
    Value::map(value)
}
