//! One item of one task: conditions, arguments, attempts, the module, the verdict.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::context::Context;
use super::controlled::EngineHandle;
use super::executor::{Executor, Flow, Pass};
use super::frame::{Become, Call, CallMode, Event, Perform, PerformReply, Planned, Question, Status, Up};
use super::journal::Intent;
use super::performers::Target;
use super::port::Ended;
use super::task::{LoopControl, awaits_conditions};
use crate::module::{ActionKind, Controlled, Diff, Entry, Failure, Outcome, engine::Meta};
use crate::program::{Key, Map, Position, Span, Task, Tree, Value};
use crate::system::{Action, Effect};
use crate::template::{Error, Result};

/// What an item runs with.
pub struct Item<'run> {
    pub task: &'run Task,
    pub context: &'run Context<'run>,
    pub locals: &'run Map,
    pub at: &'run Position,
    pub index: u32,
    pub in_loop: bool,
    /// The loop could not be evaluated: raised unless the condition is false.
    pub loop_error: Option<&'run Error>,
}

/// What an item came to.
#[derive(Clone, Debug, Default)]
pub struct ItemRun {
    /// What `register` holds.
    pub value: Value,
    pub status: Status,
    pub changed: bool,
    pub failed: bool,
    pub skipped: bool,
    pub ignored: bool,
    pub no_log: bool,
    pub really: bool,
    pub sentences: Vec<String>,
    pub digests: Vec<Arc<str>>,
    pub diff: Vec<Diff>,
    pub elapsed: Duration,
    pub attempts: u32,
    pub delegated_to: Option<Arc<str>>,
    pub label: Option<Value>,
    pub index: u32,
    pub in_loop: bool,
    pub locals: Map,
    pub span: Option<Span>,
    /// After it the plan's picture is uncertain: a command's name.
    pub opaque: Option<String>,
    /// Other hosts may do the same thing on the same machine: whose turn comes first is not planned.
    pub is_met: bool,
}

impl ItemRun {
    pub fn skipped(value: Map) -> Self {
        Self { value: value.into(), status: Status::Skipped, skipped: true, attempts: 1, ..Self::default() }
    }

    /// Skipped for a condition that is false.
    pub fn without(condition: Value) -> Self {
        Self::skipped(crate::map! {
            "changed" => false, "skipped" => true, "skip_reason" => "Conditional result was False", "false_condition" => condition,
        })
    }

    /// A loop over nothing.
    pub fn without_items() -> Self {
        Self::skipped(crate::map! {
            "changed" => false, "skipped" => true, "skipped_reason" => "No items in the list", "results" => Vec::<Value>::new(),
        })
    }

    pub fn unknown(cause: &Arc<str>) -> Self {
        Self { value: Value::Unknown(Arc::clone(cause)), status: Status::Unknown(Arc::clone(cause)), attempts: 1, ..Self::default() }
    }

    /// A read that a plan could not make: its value is unknown, but nothing is changed by it.
    pub fn unknown_read(cause: &Arc<str>) -> Self {
        // It may fail, and then a rescue runs that no plan has seen.
        Self { value: Value::Unknown(Arc::clone(cause)), attempts: 1, opaque: Some(cause.to_string()), ..Self::default() }
    }

    pub fn failed_with(error: &Error) -> Self {
        let mut outcome = Outcome::failed(error.message.clone());
        if let Some(hint) = &error.hint {
            outcome = outcome.with("hint", hint.as_str());
        }
        Self { value: outcome.value(), status: Status::Failed, failed: true, attempts: 1, span: error.span, ..Self::default() }
    }

    /// As much of it as its result shows.
    pub fn from_result(value: &Value, ignored: bool) -> Self {
        let flag = |name: &str| value.get(name).is_some_and(Value::is_truthy);
        let (changed, failed, skipped) = (flag("changed"), flag("failed"), flag("skipped"));
        let status = match (failed, skipped, changed) {
            (true, ..) => Status::Failed,
            (_, true, _) => Status::Skipped,
            (_, _, true) => Status::Changed,
            _ => Status::Ok,
        };
        // The item, by the names under which it stands in its result.
        let named = |name: &str| {
            let name = value.get(name)?.as_str()?;
            Some((Key::from(name), value.get(name)?.clone()))
        };
        Self {
            value: value.clone(),
            status,
            changed,
            failed,
            skipped,
            ignored: failed && ignored,
            attempts: 1,
            in_loop: true,
            locals: named("ansible_loop_var").into_iter().chain(named("ansible_index_var")).collect(),
            ..Self::default()
        }
    }

    /// Makes it a failure after all.
    pub fn fail(&mut self, message: &str) {
        self.failed = true;
        self.status = Status::Failed;
        if let Value::Map(entries) = &self.value {
            let mut entries = (**entries).clone();
            entries.insert("failed".into(), true.into());
            entries.insert("msg".into(), message.into());
            self.value = entries.into();
        }
    }

    /// Adds the loop's variables to the result.
    pub fn decorate(&mut self, control: &LoopControl, item: &Value, index: usize, locals: &Map) {
        self.index = index as u32;
        self.in_loop = true;
        self.locals.clone_from(locals);
        if let Value::Map(entries) = &self.value {
            let mut entries = (**entries).clone();
            entries.insert(Key::from(&*control.variable), item.clone());
            entries.insert("ansible_loop_var".into(), Value::text(Arc::clone(&control.variable)));
            if let Some(name) = &control.index {
                entries.insert(Key::from(&**name), Value::Int(index as i64));
                entries.insert("ansible_index_var".into(), Value::text(Arc::clone(name)));
            }
            if let Some(extended) = locals.get("ansible_loop") {
                entries.insert("ansible_loop".into(), extended.clone());
            }
            self.value = entries.into();
        }
    }

    fn of(outcome: &Outcome) -> Self {
        let status = match outcome {
            Outcome { failed: true, .. } => Status::Failed,
            Outcome { skipped: true, .. } => Status::Skipped,
            Outcome { changed: true, .. } => Status::Changed,
            _ => Status::Ok,
        };
        Self {
            value: outcome.value(),
            status,
            changed: outcome.changed,
            failed: outcome.failed,
            skipped: outcome.skipped,
            diff: outcome.diff.clone(),
            attempts: 1,
            ..Self::default()
        }
    }
}

/// What one attempt gave.
struct Attempt {
    outcome: Outcome,
    sentences: Vec<String>,
    digests: Vec<Arc<str>>,
    diff: Vec<Diff>,
    opaque: Option<String>,
    unknown: Option<Arc<str>>,
    span: Option<Span>,
    unreachable: bool,
    is_met: bool,
}

impl From<Outcome> for Attempt {
    fn from(outcome: Outcome) -> Self {
        Self {
            outcome,
            sentences: Vec::new(),
            digests: Vec::new(),
            diff: Vec::new(),
            opaque: None,
            unknown: None,
            span: None,
            unreachable: false,
            is_met: false,
        }
    }
}

impl Attempt {
    /// Ansible's result where a host cannot be reached.
    fn unreachable(ended: &Ended) -> Self {
        Self { unreachable: true, ..Outcome::ok().with("msg", ended.to_string()).with("unreachable", true).into() }
    }
}

/// An item's keywords, evaluated.
pub struct Settings {
    no_log: bool,
    ignore_errors: bool,
    ignore_unreachable: bool,
    diff: bool,
    /// `changed_when: false`: it reads.
    reads: bool,
    pub mode: CallMode,
    really: bool,
    pub environment: Vec<(String, String)>,
    pub target: Target,
    /// The target is the controller, for its host itself (`connection: local`).
    pub locally: bool,
    timeout: Option<Duration>,
    /// Not waited for: for so long at most.
    background: Option<Duration>,
}

impl Executor {
    pub fn run_item(&mut self, item: &Item<'_>) -> std::result::Result<ItemRun, Flow> {
        self.run_item_with(item, &[])
    }

    /// `results`: of the loop's items before, for a snapshot.
    pub fn run_item_with(&mut self, item: &Item<'_>, results: &[Value]) -> std::result::Result<ItemRun, Flow> {
        let started = Instant::now();
        (self.acted, self.wrote, self.looks_here) = (false, false, false);
        self.take_missed();
        let mut tried = self.try_item(item, results);
        // What was done is not done again for a file that its judgement wants.
        while !self.acted && is_bad(&tried) {
            match self.look_for_missed(item.at).map_err(Flow::Ended)? {
                Some(Ok(true)) => tried = self.try_item(item, results),
                Some(Err(unknown)) => {
                    tried = Err(unknown);
                    break;
                }
                None | Some(Ok(false)) => break,
            }
        }
        if matches!(&tried, Err(error) if error.unknown_cause().is_some()) {
            self.wrote = true;
        }
        self.tell_written(item);
        let mut run = match tried {
            Ok(run) => {
                let run = run?;
                self.tell_found(&run.value);
                run
            }
            Err(error) => match error.unknown_cause() {
                Some(cause) => self.unknown_item(item, &Arc::clone(cause)),
                None => {
                    let mut run = ItemRun::failed_with(&error);
                    run.ignored =
                        self.keyword_flag(|keywords| keywords.ignore_errors.as_ref(), item.context, item.locals, item.at).unwrap_or(false);
                    run.no_log =
                        self.keyword_flag(|keywords| keywords.no_log.as_ref(), item.context, item.locals, item.at).unwrap_or(false);
                    run
                }
            },
        };
        run.index = item.index;
        run.in_loop = item.in_loop;
        run.elapsed = started.elapsed();
        Ok(run)
    }

    /// What a plan cannot know of an item. A read changes nothing, whatever it will give. Modules of the run change nothing on any machine: there it is no change.
    pub fn unknown_item(&mut self, item: &Item<'_>, cause: &Arc<str>) -> ItemRun {
        let entry = crate::module::find(&item.task.module);
        if entry.is_some_and(|entry| {
            matches!(entry.action, ActionKind::Engine(_)) && !matches!(entry.name(), "template" | "group_by" | "add_host" | "meta")
        }) {
            match entry.map(Entry::name) {
                Some("set_fact") => {
                    for argument in &item.task.arguments.named {
                        self.state.set_variable(&argument.name, Value::Unknown(Arc::clone(cause)));
                    }
                }
                Some("include_vars") => self.state.opaque = Some(Arc::clone(cause)),
                // Whether the play ends here is not known.
                Some("fail" | "assert" | "validate_argument_spec") => return ItemRun::unknown(cause),
                // What the controller will keep is not known either.
                Some("fetch") => {
                    self.state.dirty = true;
                    return ItemRun::unknown(cause);
                }
                _ => {}
            }
            return ItemRun { value: Value::Unknown(Arc::clone(cause)), status: Status::Ok, attempts: 1, ..ItemRun::default() };
        }
        if is_read(item.task) || &*item.task.module == "setup" {
            return ItemRun::unknown_read(cause);
        }
        if item.task.meta() == Some("clear_host_errors") {
            // What ends the link is seen at the next step.
            let _ = self.clear_host_errors(item.at, Some(cause));
        }
        self.absorb_opaque(cause);
        ItemRun::unknown(cause)
    }

    fn try_item(&mut self, item: &Item<'_>, results: &[Value]) -> Result<std::result::Result<ItemRun, Flow>> {
        let (context, locals, at) = (item.context, item.locals, item.at);
        let is_refresh = item.task.meta() == Some("refresh_inventory");
        if is_refresh && !item.task.keywords.when.is_empty() && self.warned.insert("refresh_inventory".to_owned()) {
            self.warn("refresh_inventory task does not support when conditional");
        }
        if let Some(error) = item.loop_error.filter(|error| !awaits_conditions(error)) {
            return Err(error.clone());
        }
        match self.conditions(context, locals, at) {
            _ if is_refresh => {}
            Ok(Some(condition)) => {
                return Ok(Ok(ItemRun::without(condition)));
            }
            Ok(None) => {}
            Err(error) => return Err(item.loop_error.cloned().unwrap_or(error)),
        }
        if let Some(error) = item.loop_error {
            return Err(error.clone());
        }
        self.delegate = None;
        if let Some(mistake) = &item.task.mistake {
            return Err(Error::mistake(mistake));
        }
        let settings = self.settings(item)?;
        if let Target::Host(host) = &settings.target
            && !settings.locally
        {
            self.delegate = Some(Arc::clone(host));
        }
        let entry = crate::module::find(&item.task.module)
            .ok_or_else(|| Error::failed(format!("there is no module {}", item.task.module_as_written)).at(item.task.span))?;
        let arguments = self.arguments(item, entry)?;
        self.masker.learn(&Value::map(arguments.clone()));

        let text = |tree: &Option<Tree>| tree.as_ref().map_or(Ok(None), |tree| self.text_of(tree, context, locals, at));
        let number = |name: &str, text: Option<Arc<str>>| match text {
            Some(text) => text.trim().parse::<f64>().map(Some).map_err(|_| Error::failed(format!("{name}: {text:?} is not a number"))),
            None => Ok(None),
        };
        let retries = number("retries", text(&item.task.retries)?)?;
        let delay = number("delay", text(&item.task.delay)?)?.filter(|delay| *delay >= 0.0).unwrap_or(if item.task.delay.is_some() {
            1.0
        } else {
            5.0
        });
        let attempts = 1 + match retries {
            Some(retries) => retries.max(0.0) as u32,
            None if item.task.until.is_empty() => 0,
            None => 3,
        };
        let mut attempt_number = 0;
        loop {
            attempt_number += 1;
            let attempt = match self.attempt(item, entry, arguments.clone(), &settings, results) {
                Ok(attempt) => attempt,
                Err(Stop::Flow(flow)) => return Ok(Err(flow)),
                Err(Stop::Error(error)) => return Err(error),
                Err(Stop::Unreachable(Ended::Gone(reason))) => match self.needs_machine(item, reason, results) {
                    Ok(attempt) => attempt,
                    Err(Stop::Flow(flow)) => return Ok(Err(flow)),
                    Err(Stop::Error(error)) => return Err(error),
                    Err(Stop::Unreachable(ended)) => Attempt::unreachable(&ended),
                },
                Err(Stop::Unreachable(ended)) => Attempt::unreachable(&ended),
            };
            let mut run = ItemRun::of(&attempt.outcome);
            run.sentences = attempt.sentences;
            run.digests = attempt.digests;
            run.diff.extend(attempt.diff);
            run.opaque = attempt.opaque;
            run.span = attempt.span;
            run.is_met = attempt.is_met;
            run.no_log = settings.no_log;
            run.really = settings.really;
            run.attempts = attempt_number;
            if attempt.unreachable {
                run.status = Status::Unreachable;
            }
            run.delegated_to.clone_from(&self.delegate);
            if let Some(cause) = attempt.unknown {
                run.status = Status::Unknown(cause);
                run.changed = false;
            } else if !run.skipped && !attempt.unreachable {
                self.judge(item, &mut run, attempts > 1)?;
            }
            let again = attempts > 1 && !attempt.unreachable && self.pass == Pass::Apply && !self.is_over(item, &run)? && !run.skipped;
            if again && attempt_number < attempts {
                self.port.event(Event::Started {
                    position: at.clone(),
                    name: self.task_name(item),
                    doing: Some(format!("attempt {attempt_number} of {attempts} was not enough, again in {delay} s").into()),
                });
                if let Err(ended) = self.wait(Duration::from_secs_f64(delay)) {
                    return Ok(Err(Flow::Ended(ended)));
                }
                continue;
            }
            if again {
                run.fail_attempts(attempts - 1);
            }
            if run.failed {
                run.ignored = settings.ignore_errors;
            }
            if run.status == Status::Unreachable {
                run.ignored = settings.ignore_unreachable;
            }
            return Ok(Ok(run));
        }
    }

    /// Whether `until` (or success, with `retries` alone) ends the attempts.
    fn is_over(&self, item: &Item<'_>, run: &ItemRun) -> Result<bool> {
        if item.task.until.is_empty() {
            return Ok(!run.failed);
        }
        let locals = self.with_result(item, &run.value);
        for tree in &item.task.until {
            if !self.condition(tree, item.context, &locals, item.at)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn with_result(&self, item: &Item<'_>, value: &Value) -> Map {
        let mut locals = item.locals.clone();
        if let Some(name) = &item.task.register {
            locals.insert(Key::from(&**name), self.mark_secrets(value.clone()));
        }
        locals
    }

    /// `changed_when` and `failed_when`.
    fn judge(&mut self, item: &Item<'_>, run: &mut ItemRun, retrying: bool) -> Result<()> {
        let Value::Map(entries) = &run.value else { return Ok(()) };
        let mut entries = (**entries).clone();
        if retrying {
            entries.insert("attempts".into(), Value::Int(i64::from(run.attempts)));
        }
        let mut unknown = None;
        if !item.task.changed_when.is_empty() {
            let locals = self.with_result(item, &Value::map(entries.clone()));
            match self.all(&item.task.changed_when, item, &locals) {
                Ok(changed) => {
                    run.changed = changed;
                    entries.insert("changed".into(), changed.into());
                }
                Err(error) => match error.unknown_cause() {
                    Some(cause) => {
                        entries.insert("changed".into(), Value::Unknown(Arc::clone(cause)));
                        unknown = Some(Arc::clone(cause));
                    }
                    None => {
                        run.failed = true;
                        entries.insert("failed".into(), true.into());
                        entries.insert("changed_when_result".into(), error.to_string().into());
                        entries.entry("msg".into()).or_insert_with(|| error.to_string().into());
                    }
                },
            }
        }
        if !item.task.failed_when.is_empty() {
            let locals = self.with_result(item, &Value::map(entries.clone()));
            match self.all(&item.task.failed_when, item, &locals) {
                Ok(failed) => {
                    run.failed = failed;
                    entries.insert("failed".into(), failed.into());
                    entries.insert("failed_when_result".into(), failed.into());
                }
                Err(error) if error.unknown_cause().is_some() => {
                    run.failed = false;
                }
                Err(error) => {
                    run.failed = true;
                    entries.insert("failed".into(), true.into());
                    entries.insert("failed_when_result".into(), error.to_string().into());
                    entries.entry("msg".into()).or_insert_with(|| error.to_string().into());
                }
            }
        }
        run.value = entries.into();
        if run.status != Status::Unreachable {
            run.status = match (run.failed, unknown, run.changed) {
                (true, ..) => Status::Failed,
                (_, Some(cause), _) => Status::Unknown(cause),
                (_, _, true) => Status::Changed,
                _ => Status::Ok,
            };
        }
        Ok(())
    }

    fn all(&self, conditions: &[Tree], item: &Item<'_>, locals: &Map) -> Result<bool> {
        for tree in conditions {
            if !self.condition(tree, item.context, locals, item.at)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn settings(&self, item: &Item<'_>) -> Result<Settings> {
        let (context, locals, at) = (item.context, item.locals, item.at);
        let flag = |get: fn(&crate::program::Keywords) -> Option<&Tree>| self.keyword_flag(get, context, locals, at);
        let number = |name: &str, text: Arc<str>| {
            let seconds = text.trim().parse::<u64>();
            seconds.map_err(|_| Error::failed(format!("`{name}` must be a number of seconds, found `{text}`")))
        };
        let background = item.task.background.as_ref().map_or(Ok(None), |tree| self.text_of(tree, context, locals, at))?;
        let mut background = background.map(|text| number("async", text)).transpose()?.map(Duration::from_secs);
        let poll = item.task.poll.as_ref().map(|tree| self.text_of(tree, context, locals, at)).transpose()?;
        let waits = poll.is_some_and(|poll| poll.is_none_or(|poll| poll.trim() != "0"));
        let waited = background.take_if(|_| waits);
        let reads = is_read(item.task) && background.is_none();
        let never_check = context.keyword(|keywords| keywords.check_mode.as_ref()).is_some() && !self.is_check(context, at);
        let mode = self.call_mode(context, at);
        let delegate = self.keyword_text(|keywords| keywords.delegate_to.as_ref(), context, locals, at)?;
        let delegate = delegate.filter(|host| **host != *self.program.host);
        let locally = delegate.is_none() && self.is_done_locally(item)?;
        let become_ = match self.become_of(item, delegate.is_some())? {
            None if delegate.is_none() && !locally => self.other_login(item)?,
            become_ => become_,
        };
        let timeout = self.keyword_text(|keywords| keywords.timeout.as_ref(), context, locals, at)?;
        let timeout = timeout.map(|text| number("timeout", text)).transpose()?.filter(|seconds| *seconds > 0).map(Duration::from_secs);
        let timeout = timeout.or(waited.filter(|limit| !limit.is_zero()));
        let mut environment = self.environment(item)?;
        let is_about_a_job = background.is_some() || *item.task.module == *crate::module::async_status::MODULE.name();
        if is_about_a_job && let Some(folder) = self.variable_text("ansible_async_dir", context, locals, at)? {
            environment.push((crate::module::async_status::VARIABLE.to_owned(), folder.to_string()));
        }
        Ok(Settings {
            timeout,
            background,
            no_log: flag(|keywords| keywords.no_log.as_ref())?,
            ignore_errors: flag(|keywords| keywords.ignore_errors.as_ref())?,
            ignore_unreachable: flag(|keywords| keywords.ignore_unreachable.as_ref())?,
            diff: match context.keyword(|keywords| keywords.diff.as_ref()) {
                Some(tree) => self.flag(tree, context, locals, at)?,
                None => self.program.settings.diff,
            },
            reads,
            mode,
            really: mode == CallMode::Plan && (reads || never_check),
            environment,
            locally,
            target: match (delegate.or_else(|| locally.then(|| "localhost".into())), become_) {
                (Some(host), _) => Target::Host(host),
                (None, Some(user)) => Target::User(user),
                (None, None) => Target::Login,
            },
        })
    }

    /// Whether `connection` has it done on the controller although its host is elsewhere.
    fn is_done_locally(&self, item: &Item<'_>) -> Result<bool> {
        let (context, locals, at) = (item.context, item.locals, item.at);
        let given = match self.variable_text("ansible_connection", context, locals, at)? {
            None => self.keyword_text(|keywords| keywords.connection.as_ref(), context, locals, at)?,
            given => given,
        };
        let Some(given) = given else { return Ok(false) };
        match given.rsplit('.').next() {
            Some("local") => Ok(!self.program.is_local),
            Some("ssh" | "smart" | "paramiko" | "paramiko_ssh") if !self.program.is_local => Ok(false),
            Some("ssh" | "smart" | "paramiko" | "paramiko_ssh") => {
                Err(Error::failed(format!("`connection: {given}` is not possible here: all plays of {} are local", self.program.host))
                    .hint("say `connection: local` at the tasks that are for this machine, and nothing at their play"))
            }
            _ => Err(Error::failed(format!("the connection `{given}` is not supported"))
                .hint("hosts are reached over `ssh`, and this machine with `local`")),
        }
    }

    /// `remote_user`, where the host's session is another's: root acts as anybody.
    fn other_login(&self, item: &Item<'_>) -> Result<Option<Become>> {
        let (context, locals, at) = (item.context, item.locals, item.at);
        if self.program.is_local || context.keyword(|keywords| keywords.remote_user.as_ref()).is_none() {
            return Ok(None);
        }
        for name in ["ansible_user", "ansible_ssh_user"] {
            if self.variable_text(name, context, locals, at)?.is_some() {
                return Ok(None);
            }
        }
        let wanted = self.keyword_text(|keywords| keywords.remote_user.as_ref(), context, locals, at)?;
        let login = self.program.login.as_deref();
        let Some(wanted) = wanted.filter(|wanted| login != Some(&**wanted)) else { return Ok(None) };
        if login == Some("root") {
            return Ok(Some(Become { method: "su".into(), user: wanted, flags: None, exe: None }));
        }
        let session = login.unwrap_or("another user");
        Err(Error::failed(format!("`remote_user: {wanted}`: the run's one session on {} is {session}'s", self.program.host))
            .hint(format!("say `become: true` and `become_user: {wanted}`, or run this play by a command of its own")))
    }

    /// How to act as another user: variables beat keywords, keywords beat the command line.
    pub fn become_of(&self, item: &Item<'_>, delegated: bool) -> Result<Option<Become>> {
        let (context, locals, at) = (item.context, item.locals, item.at);
        let keyword = |get: fn(&crate::program::Keywords) -> Option<&Tree>| self.keyword_text(get, context, locals, at);
        let variable = |name: &str| if delegated { Ok(None) } else { self.variable_text(name, context, locals, at) };
        let wanted = match variable("ansible_become")? {
            Some(text) => crate::module::arguments::boolean(&Value::text(text)).map_err(Error::failed)?,
            None => match context.keyword(|keywords| keywords.become_.as_ref()) {
                Some(tree) => self.flag(tree, context, locals, at)?,
                None => self.program.settings.become_,
            },
        };
        if !wanted {
            return Ok(None);
        }
        let settings = &self.program.settings;
        let user = variable("ansible_become_user")?
            .or(keyword(|keywords| keywords.become_user.as_ref())?)
            .or_else(|| settings.become_user.clone())
            .unwrap_or_else(|| "root".into());
        let method = variable("ansible_become_method")?
            .or(keyword(|keywords| keywords.become_method.as_ref())?)
            .or_else(|| settings.become_method.clone())
            .unwrap_or_else(|| "sudo".into());
        Ok(Some(Become {
            method: method.strip_prefix("ansible.builtin.").map_or(Arc::clone(&method), Arc::from),
            user,
            flags: variable("ansible_become_flags")?.or(keyword(|keywords| keywords.become_flags.as_ref())?),
            exe: variable("ansible_become_exe")?.or(keyword(|keywords| keywords.become_exe.as_ref())?),
        }))
    }

    fn environment(&self, item: &Item<'_>) -> Result<Vec<(String, String)>> {
        let mut merged: Vec<(String, String)> = Vec::new();
        for tree in item.context.gathered(|keywords| &keywords.environment) {
            let value = self.evaluate(tree, item.context, item.locals, item.at)?;
            let maps = value.as_list().map_or_else(|| vec![value.clone()], <[Value]>::to_vec);
            for map in &maps {
                match map {
                    Value::Null | Value::Omit => {}
                    Value::Text(text) if text.as_str().is_empty() => {}
                    Value::Unknown(cause) => return Err(Error::unknown(Arc::clone(cause))),
                    Value::Map(entries) => {
                        for (key, value) in entries.iter() {
                            if let Value::Unknown(cause) = value {
                                return Err(Error::unknown(Arc::clone(cause)));
                            }
                            self.masker.learn(value);
                            let name = key.text().into_owned();
                            merged.retain(|(known, _)| *known != name);
                            merged.push((name, crate::module::arguments::text(value).map_err(Error::failed)?));
                        }
                    }
                    other => {
                        return Err(Error::failed(format!(
                            "environment: expected a mapping, not {}",
                            crate::module::arguments::article(other)
                        )));
                    }
                }
            }
        }
        Ok(merged)
    }

    /// The task's arguments, evaluated: `module_defaults`, then `args: "{{ … }}"`, then the named ones; `omit` left out.
    fn arguments(&self, item: &Item<'_>, entry: &Entry) -> Result<Map> {
        let (context, locals, at) = (item.context, item.locals, item.at);
        let spec = entry.spec();
        let mut arguments = Map::new();
        for link in context.chain().collect::<Vec<_>>().into_iter().rev() {
            for (names, defaults) in &link.keywords.module_defaults {
                let name = self.text_of(names, context, locals, at)?;
                if name.is_some_and(|name| entry.names.contains(&&*name)) {
                    let value = self.evaluate(defaults, context, locals, at)?;
                    for (key, value) in value.as_map().into_iter().flatten() {
                        arguments.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        if let Some(splat) = &item.task.arguments.splat {
            match self.evaluate(splat, context, locals, at)? {
                Value::Map(entries) => arguments.extend(entries.iter().map(|(key, value)| (key.clone(), value.clone()))),
                Value::Unknown(cause) => return Err(Error::unknown(cause)),
                Value::Null | Value::Omit => {}
                other => return Err(Error::failed(format!("args: expected a mapping, not {}", crate::module::arguments::article(&other)))),
            }
        }
        for argument in &item.task.arguments.named {
            let field = spec.field(&argument.name);
            let value = if field.is_some_and(|field| field.expression) {
                // Raw: the module asks the engine to evaluate it as an expression.
                Value::text(&*argument.name)
            } else {
                self.evaluate(&argument.value, context, locals, at).map_err(|error| error.at(argument.span))?
            };
            let name = if argument.name.contains("{{") {
                let template = Tree::Template(crate::program::Template { source: Arc::clone(&argument.name), span: argument.span });
                self.text_of(&template, context, locals, at)?.unwrap_or_else(|| Arc::clone(&argument.name))
            } else {
                Arc::clone(&argument.name)
            };
            // One argument under two names: the later one stands.
            if let Some(field) = field {
                for known in field.names() {
                    arguments.shift_remove(known);
                }
            }
            arguments.insert(Key::from(name), value);
        }
        if let Some(free_form) = &item.task.arguments.free_form {
            let name = spec.free_form.unwrap_or("_raw_params");
            let value = self.evaluate(free_form, context, locals, at)?;
            arguments.entry(Key::from(name)).or_insert(value);
        }
        arguments.retain(|_, value| !matches!(value, Value::Omit));
        for field in &spec.fields {
            let given = field.secret_if.and_then(|name| arguments.get(name));
            if !field.secret && !given.is_some_and(|given| crate::module::arguments::boolean(given).unwrap_or(true)) {
                continue;
            }
            for name in field.names() {
                if let Some(value) = arguments.get_mut(name) {
                    *value = value.clone().into_secret();
                }
            }
        }
        Ok(arguments)
    }

    pub fn task_name(&self, item: &Item<'_>) -> Arc<str> {
        let name = item.task.name.as_ref().and_then(|name| self.text_of(name, item.context, item.locals, item.at).ok().flatten());
        name.map_or_else(|| Arc::clone(&item.task.module), |name| self.masker.mask(&name).into())
    }

    pub fn wait(&self, duration: Duration) -> std::result::Result<(), Ended> {
        let until = Instant::now() + duration;
        while Instant::now() < until {
            if let Some(ended) = self.port.ended(&Position(vec![u32::MAX])) {
                return Err(ended);
            }
            std::thread::sleep(Duration::from_millis(20).min(until.saturating_duration_since(Instant::now())));
        }
        Ok(())
    }

    // ---- one attempt ----

    fn attempt(
        &mut self,
        item: &Item<'_>,
        entry: &'static Entry,
        arguments: Map,
        settings: &Settings,
        results: &[Value],
    ) -> std::result::Result<Attempt, Stop> {
        match entry.action {
            ActionKind::System(_) => match self.idle_job(entry, &arguments) {
                Some(outcome) => Ok(outcome.into()),
                None => self.attempt_system(item, entry.name(), arguments, settings, results),
            },
            ActionKind::Engine(run) => {
                if let Some(cause) = arguments.values().find_map(Value::first_unknown)
                    && !matches!(entry.name(), "debug" | "set_fact" | "validate_argument_spec")
                {
                    return Err(Stop::Error(Error::unknown(Arc::clone(cause))));
                }
                let mut raw = arguments;
                let mut handle = EngineHandle::new(self, item, settings);
                let controlled = run(&mut raw, &mut handle);
                let (flow, ended, sentences) = (handle.flow.take(), handle.ended.take(), std::mem::take(&mut handle.sentences));
                let mistake = handle.mistake.take();
                if let Some(flow) = flow {
                    return Err(Stop::Flow(flow));
                }
                // Others may read what it brings.
                self.wrote |= entry.name() == "fetch" && !sentences.is_empty();
                self.state.dirty |= self.pass == Pass::Plan && entry.name() == "fetch" && !sentences.is_empty();
                if let Some(ended) = ended {
                    return Err(ended.into());
                }
                match controlled {
                    // What the module says of what it names has neither place nor hint.
                    Ok(Controlled::Done(outcome)) if outcome.failed && mistake.is_some() => {
                        let (span, hint) = mistake.map_or((None, None), |mistake| (mistake.span, mistake.hint));
                        let outcome = hint.into_iter().fold(outcome, |outcome, hint| outcome.with("hint", hint));
                        Ok(Attempt { span, ..outcome.into() })
                    }
                    Ok(Controlled::Done(mut outcome)) => {
                        if let Some(facts) = outcome.facts.take() {
                            outcome.result.insert("ansible_facts".into(), facts.into());
                        }
                        let digests = sentences.iter().map(|sentence| told(sentence)).collect();
                        Ok(Attempt { sentences, digests, ..outcome.into() })
                    }
                    Ok(Controlled::Onward { module, arguments }) => {
                        self.masker.learn(&Value::map(arguments.clone()));
                        self.attempt_system(item, module, arguments, settings, results)
                    }
                    Ok(Controlled::Meta(meta)) => self.meta(item, meta),
                    Ok(Controlled::Reconnect { delay, timeout }) => self.reconnect(item, settings, delay, timeout, results),
                    Err(failure) => mistake.map_or_else(|| failed(failure, item), |mistake| Err(mistake.into())),
                }
            }
        }
    }

    fn meta(&mut self, item: &Item<'_>, meta: Meta) -> std::result::Result<Attempt, Stop> {
        let done = || Ok(Outcome::ok().into());
        match meta {
            Meta::Noop => done(),
            Meta::FlushHandlers => match self.flush_handlers(
                &super::context::Context::root(&item.context.chain().last().unwrap_or(item.context).keywords.clone()),
                item.at,
            ) {
                Flow::Next => done(),
                flow => Err(Stop::Flow(flow)),
            },
            Meta::ClearFacts => {
                self.state.clear_facts();
                done()
            }
            Meta::RefreshInventory => {
                if self.pass == Pass::Plan && self.is_anything_dirty(item)? {
                    return Err(Stop::Error(Error::unknown("the inventory, after the steps before it is read again")));
                }
                self.refresh_inventory(item.at)?;
                done()
            }
            Meta::ClearHostErrors => self.clear_host_errors(item.at, None).map_or_else(|ended| Err(ended.into()), |()| done()),
            Meta::EndHost => {
                if self.ordered {
                    self.port.ask(Question::Leaves { position: item.at.clone() })?;
                }
                Err(Stop::Flow(Flow::EndHost))
            }
            Meta::EndPlay | Meta::EndBatch => Err(Stop::Flow(Flow::EndPlay)),
            Meta::EndRole => Err(Stop::Flow(Flow::EndRole)),
            Meta::ResetConnection => {
                self.performers.reset();
                done()
            }
        }
    }

    fn attempt_system(
        &mut self,
        item: &Item<'_>,
        module: &'static str,
        arguments: Map,
        settings: &Settings,
        results: &[Value],
    ) -> std::result::Result<Attempt, Stop> {
        if let Some(cause) = arguments.values().find_map(Value::first_unknown) {
            return Err(Stop::Error(Error::unknown(Arc::clone(cause))));
        }
        if self.performers.gone.is_some()
            && let Some(since) = self.returned(item)
            && let Some(outcome) = self.gave_up(since)
        {
            return Ok(outcome.into());
        }
        self.looks_here = !matches!(settings.target, Target::Host(_));
        let is_met = self.waits_for_others(item, settings)?;
        let (source, sources) = self.sources_of(item, module, &arguments)?;
        if settings.really && self.is_anything_dirty(item)? {
            let cause = format!("the steps before \"{}\"", self.task_name(item));
            return Err(Stop::Error(Error::unknown(cause)));
        }
        let call = Call {
            module: module.into(),
            arguments,
            mode: if settings.really { CallMode::Apply } else { settings.mode },
            diff: settings.diff && !settings.no_log,
            environment: settings.environment.clone(),
            become_: match &settings.target {
                Target::User(user) => Some(user.clone()),
                Target::Host(_) => self.become_of(item, !settings.locally)?,
                Target::Login => None,
            },
            source,
            sources,
            label: self.task_name(item),
            host: Arc::clone(&self.program.host),
            really: settings.really,
            timeout: settings.timeout,
            background: None,
        };
        let background = settings.background.map(|limit| {
            let environment = call.environment.iter().map(|(_, value)| Value::text(value.as_str()));
            let given = environment.chain([Value::map(call.arguments.clone())]).collect();
            super::frame::Background { limit, secrets: self.masker.within(&Value::list(given)) }
        });
        let call = Call { background, ..call };
        let digest = self.journal().digest(&item.task.digest, &call);
        let planned = match self.performers.perform(&settings.target, Perform::Plan(Box::new(call)))? {
            PerformReply::Planned(planned) => *planned,
            PerformReply::Unknown(cause) => return Err(Stop::Error(Error::unknown(cause))),
            PerformReply::Failed { outcome, .. } => return Ok(outcome.into()),
            PerformReply::Applied { .. } | PerformReply::Part(_) | PerformReply::Done => {
                return Err(Stop::Error(Error::failed("the worker answered out of turn")));
            }
        };
        self.learn_facts(item, &planned.outcome)?;
        let Some(handle) = planned.handle else {
            let attempt = Attempt { is_met, ..self.recalled(planned, &digest) };
            return Ok(if settings.background.is_some() { self.idle(attempt) } else { attempt });
        };
        self.wrote |= self.is_on_controller(settings);
        if settings.mode == CallMode::Plan && !settings.really {
            return Ok(Attempt { is_met, ..self.predicted(planned, settings) });
        }
        if settings.mode == CallMode::Check {
            self.drop_plan(settings, handle);
            let mut attempt = Attempt::from(without_unknowns(planned.outcome));
            attempt.diff = planned.diff;
            return Ok(if settings.background.is_some() { self.idle(attempt) } else { attempt });
        }
        if let Some(Action::Reboot { delay, test_command, timeout, connect_timeout, .. }) =
            planned.actions.iter().find(|action| matches!(action, Action::Reboot { .. }))
        {
            let settle =
                planned.actions.iter().map(|action| if let Action::Sleep { duration } = action { *duration } else { Duration::ZERO });
            let request = super::reboot::Request {
                test_command: test_command.clone(),
                timeout: *timeout,
                connect_timeout: *connect_timeout,
                delay: *delay,
                settle: settle.sum(),
            };
            return self.reboot(item, settings, &request, &planned, handle, &digest, results);
        }
        let quiet = settings.reads || settings.really || planned.actions.iter().all(|action| matches!(action, Action::Sleep { .. }));
        // The machine that a former run has made may be gone since: who stands in for it gives nothing back.
        let finished = if quiet || self.performers.gone.is_some() { None } else { self.journal().finished(&digest) };
        if let Some(outcome) = finished {
            self.drop_plan(settings, handle);
            return Ok(outcome.into());
        }
        if !quiet && let Err(message) = self.predictions.allows(item.at, item.index, &planned.digests) {
            self.drop_plan(settings, handle);
            let message: Arc<str> = format!("{message}: {}; run `provision plan` again", planned.sentences.join(", ")).into();
            self.refusal = Some(Arc::clone(&message));
            return Err(Stop::Flow(Flow::Ended(Ended::Refused(message.to_string()))));
        }
        self.may_act(item, settings, handle)?;
        let mut attempt = self.apply(item, settings, &planned, handle, &digest, quiet)?;
        // The apply runs it once more, or goes on with it: what comes after it may then be otherwise.
        if (settings.really && !settings.reads) || settings.background.is_some() {
            attempt.opaque = planned.sentences.first().cloned();
        }
        Ok(attempt)
    }

    /// Whether a call is done on the controller.
    fn is_on_controller(&self, settings: &Settings) -> bool {
        match &settings.target {
            Target::Host(host) => settings.locally || &**host == "127.0.0.1" || self.program.here.contains(host),
            Target::Login | Target::User(_) => self.program.is_local,
        }
    }

    fn may_act(&mut self, item: &Item<'_>, settings: &Settings, handle: u64) -> std::result::Result<(), Stop> {
        self.turn(item).map_err(|ended| {
            self.drop_plan(settings, handle);
            Stop::Flow(Flow::Ended(ended))
        })
    }

    /// Whether a change that is no machine's may be done: it was planned, and the other hosts are past what comes before it.
    pub fn may_tell(&mut self, item: &Item<'_>, sentences: &[String]) -> std::result::Result<(), Flow> {
        let digests: Vec<Arc<str>> = sentences.iter().map(|sentence| told(sentence)).collect();
        if let Err(message) = self.predictions.allows(item.at, item.index, &digests) {
            let message: Arc<str> = format!("{message}: {}; run `provision plan` again", sentences.join(", ")).into();
            self.refusal = Some(Arc::clone(&message));
            return Err(Flow::Ended(Ended::Refused(message.to_string())));
        }
        self.acted = true;
        self.turn(item).map_err(Flow::Ended)
    }

    /// A task sees what the others' tasks before it did on its machine: where they may have done something there, it waits until they
    /// are through. Whether others may do the same thing there in this very task.
    fn waits_for_others(&mut self, item: &Item<'_>, settings: &Settings) -> std::result::Result<bool, Stop> {
        let is_elsewhere = matches!(settings.target, Target::Host(_));
        let may_differ = is_elsewhere || self.program.shares;
        if !may_differ && !self.is_visited {
            return Ok(false);
        }
        self.turn(item).map_err(|ended| Stop::Flow(Flow::Ended(ended)))?;
        self.is_visited &= is_elsewhere;
        if self.pass == Pass::Plan && !is_elsewhere && self.performers.is_planned_by_others() {
            self.predictions.taint(item.at, item.index, "what other hosts do on this machine");
        }
        let is_once = self.keyword_flag(|keywords| keywords.run_once.as_ref(), item.context, item.locals, item.at)?;
        let is_alone = self.play.as_deref().is_none_or(|play| play.batch_hosts.len() < 2);
        Ok(may_differ && self.keeps_order() && !is_once && !is_alone)
    }

    /// Waits for the other hosts where their order counts; the run may have ended meanwhile.
    fn turn(&mut self, item: &Item<'_>) -> std::result::Result<(), Ended> {
        let waited = if self.keeps_order() && self.finishing == 0 { self.port.reach(item.at, self.state.dirty).map(drop) } else { Ok(()) };
        waited.err().or_else(|| self.must_end(item.at)).map_or(Ok(()), Err)
    }

    fn intent(&self, item: &Item<'_>, digest: &Arc<str>, actions: &[Action]) -> Intent {
        let handlers = item.context.notify().iter().filter_map(|tree| self.evaluate(tree, item.context, item.locals, item.at).ok());
        let handlers = handlers.flat_map(|value| value.as_list().map_or_else(|| vec![value.clone()], <[Value]>::to_vec));
        Intent {
            digest: Arc::clone(digest),
            name: self.task_name(item),
            notify: handlers.filter_map(|value| value.as_str().map(Arc::from)).collect(),
            play: self.play_name(),
            restarts: actions.iter().any(|action| matches!(action, Action::Reboot { .. })),
        }
    }

    fn apply(
        &mut self,
        item: &Item<'_>,
        settings: &Settings,
        planned: &Planned,
        handle: u64,
        digest: &Arc<str>,
        quiet: bool,
    ) -> std::result::Result<Attempt, Stop> {
        let doing = planned
            .sentences
            .first()
            .map(|sentence| Arc::from(if settings.no_log { "(hidden by no_log)".to_owned() } else { self.masker.mask(sentence) }));
        self.port.event(Event::Started { position: item.at.clone(), name: self.task_name(item), doing });
        if let Some(lock) = &self.lock {
            lock.doing(&self.task_name(item));
        }
        if !quiet {
            if planned.actions.iter().any(|action| matches!(action, Action::Run(command) if command.effect == Effect::Opaque)) {
                self.journal().outdate();
            }
            let intent = self.intent(item, digest, &planned.actions);
            self.journal().intend(&intent).map_err(|error| Stop::Error(Error::failed(format!("write the journal: {error}"))))?;
        }
        self.masker.set_silent(settings.no_log);
        self.acted = true;
        let reply = self.performers.perform(&settings.target, Perform::Apply { handle });
        self.masker.set_silent(false);
        super::fault::point("before the record", &self.task_name(item));
        let reply = reply?;
        if !quiet {
            self.state.dirty = true;
        }
        let (outcome, interrupted) = match reply {
            PerformReply::Applied { outcome, .. } => (outcome, false),
            PerformReply::Failed { outcome, interrupted } => (outcome, interrupted),
            PerformReply::Unknown(cause) => return Err(Stop::Error(Error::unknown(cause))),
            _ => return Err(Stop::Error(Error::failed("the worker answered out of turn"))),
        };
        let learnt = self.learn_facts(item, &outcome);
        if !quiet {
            let storable = !interrupted
                && !outcome.failed
                && planned.actions.iter().any(|action| matches!(action, Action::Run(command) if command.effect == Effect::Opaque));
            let storable = storable && !settings.no_log && !self.masker.finds_in(&outcome.value());
            self.journal()
                .done(digest, &outcome, storable, interrupted)
                .map_err(|error| Stop::Error(Error::failed(format!("write the journal: {error}"))))?;
        }
        learnt?;
        if interrupted && let Some(ended) = self.port.ended(item.at) {
            return Err(Stop::Flow(Flow::Ended(ended)));
        }
        let mut attempt = Attempt::from(outcome);
        attempt.sentences.clone_from(&planned.sentences);
        attempt.digests.clone_from(&planned.digests);
        attempt.diff.clone_from(&planned.diff);
        Ok(attempt)
    }

    /// Nothing to do now; but after a run that did not end, "was changed" is given back: in a plan too, or the handlers that it
    /// brings would be none of its predictions.
    fn recalled(&mut self, planned: Planned, digest: &Arc<str>) -> Attempt {
        let mut outcome = planned.outcome;
        if !outcome.failed && !outcome.changed && self.journal().was_changed(digest) {
            outcome.changed = true;
        }
        let mut attempt = Attempt::from(outcome);
        attempt.diff = planned.diff;
        attempt
    }

    fn predicted(&mut self, planned: Planned, settings: &Settings) -> Attempt {
        let quiet = planned.actions.iter().all(|action| matches!(action, Action::Sleep { .. }));
        if !quiet && !settings.reads {
            self.state.dirty = true;
        }
        let begun = || super::job::begun(Value::unknown("the job that is begun"), Value::unknown("the job that is begun"));
        let outcome = if settings.background.is_some() { begun() } else { planned.outcome };
        let mut attempt = Attempt::from(outcome);
        attempt.sentences = planned.sentences;
        attempt.digests = planned.digests;
        attempt.diff = planned.diff;
        // Whatever comes next may find it half done.
        if settings.background.is_some()
            || planned.actions.iter().any(|action| matches!(action, Action::Run(command) if command.effect == Effect::Opaque))
        {
            attempt.opaque = attempt.sentences.first().cloned();
        }
        if let Some(cause) = attempt.outcome.result.get("changed").and_then(Value::first_unknown) {
            attempt.unknown = Some(Arc::clone(cause));
        }
        attempt
    }

    /// A background job that has nothing to do, or only says what it would do, is none: its result is kept for whoever asks.
    fn idle(&mut self, mut attempt: Attempt) -> Attempt {
        let id = format!("j{}.0", self.state.idle_jobs.len());
        self.state.idle_jobs.insert(Key::from(&*id), attempt.outcome.value());
        for (name, value) in [("started", Value::from(true)), ("finished", Value::from(true)), ("ansible_job_id", Value::from(id))] {
            attempt.outcome.result.insert(name.into(), value);
        }
        attempt
    }

    /// What `async_status` finds of such a job.
    fn idle_job(&self, entry: &Entry, arguments: &Map) -> Option<Outcome> {
        let id = arguments.get("jid").filter(|_| entry.name() == crate::module::async_status::MODULE.name())?.as_str()?;
        let done = self.state.idle_jobs.get(id)?.as_map()?;
        Some(crate::module::async_status::status(id, "", done.clone()))
    }

    fn drop_plan(&mut self, settings: &Settings, handle: u64) {
        // A plan that is not dropped costs memory only.
        let _ = self.performers.perform(&settings.target, Perform::Drop { handle });
    }

    /// The other host whose facts a task finds or sets (`delegate_to` with `delegate_facts`).
    pub fn facts_for(&self, item: &Item<'_>) -> Result<Option<Arc<str>>> {
        let (context, locals, at) = (item.context, item.locals, item.at);
        if !self.keyword_flag(|keywords| keywords.delegate_facts.as_ref(), context, locals, at)? {
            return Ok(None);
        }
        let delegate = self.keyword_text(|keywords| keywords.delegate_to.as_ref(), context, locals, at)?;
        Ok(delegate.filter(|host| **host != *self.program.host).map(|host| Arc::from(&*host)))
    }

    fn learn_facts(&mut self, item: &Item<'_>, outcome: &Outcome) -> std::result::Result<(), Stop> {
        let Some(facts) = &outcome.facts else { return Ok(()) };
        if let Some(host) = self.facts_for(item)? {
            self.port.ask(Question::SetHostFacts { host, facts: facts.clone() })?;
            return Ok(());
        }
        self.state.add_facts(facts);
        self.publish(item.at, facts);
        Ok(())
    }

    /// Whether this host or, in a plan, another one before this position has changed (or would have).
    fn is_anything_dirty(&mut self, item: &Item<'_>) -> std::result::Result<bool, Stop> {
        if self.state.dirty {
            return Ok(true);
        }
        if self.keeps_order() {
            return self.port.reach(item.at, false).map_err(|ended| Stop::Flow(Flow::Ended(ended)));
        }
        Ok(false)
    }

    pub fn play_name(&self) -> Arc<str> {
        self.play.as_deref().map_or_else(|| "".into(), name_of)
    }

    /// Where the run was suspended for this item: when its restart was asked for.
    fn returned(&mut self, item: &Item<'_>) -> Option<f64> {
        let is_here = |resume: &mut super::resume::Resume| resume.position == *item.at && resume.item == item.index && !resume.needed;
        self.resume.take_if(is_here).map(|resume| resume.since)
    }

    /// The task needs the machine that this agent stands in for. What came before may have made it: it is tried once more, now that all
    /// that is done, and the run goes on there.
    fn needs_machine(&mut self, item: &Item<'_>, reason: Arc<str>, results: &[Value]) -> std::result::Result<Attempt, Stop> {
        let is_here = |resume: &mut super::resume::Resume| resume.position == *item.at && resume.item == item.index;
        if self.resume.take_if(is_here).is_some() {
            return Ok(Attempt::unreachable(&Ended::Gone(reason)));
        }
        if self.pass == Pass::Plan {
            if !self.is_anything_dirty(item)? {
                return Ok(Attempt::unreachable(&Ended::Gone(reason)));
            }
            let host = Arc::clone(&self.program.host);
            if self.warned.insert(reason.to_string()) {
                self.warn(format!("{host} cannot be reached yet: {reason}"));
            }
            let cause: Arc<str> = format!("{host}, which cannot be reached yet").into();
            if &*item.task.module == "setup" {
                self.state.unknown_facts = Some(Arc::clone(&cause));
                self.publish(item.at, &Map::from_iter([("ansible_facts".into(), Value::Unknown(Arc::clone(&cause)))]));
            }
            return Err(Stop::Error(Error::unknown(cause)));
        }
        if self.keeps_order() {
            self.port.reach(item.at, self.state.dirty).map_err(|ended| Stop::Flow(Flow::Ended(ended)))?;
        }
        let snapshot = super::reboot::needing(self, item, results)?;
        self.end_own_journal()?;
        self.port.send(Up::Suspended(Box::new(snapshot)));
        Err(Stop::Flow(Flow::Suspended))
    }

    /// What a restart gives that was waited for in vain, as in Ansible: a failure, which may be rescued or ignored.
    fn gave_up(&mut self, since: f64) -> Option<Outcome> {
        let seconds = self.given_up.take()?;
        let outcome = Outcome::failed(format!("Timed out waiting for last boot time check (timeout={seconds})"));
        let outcome = outcome.with("rebooted", true).with("elapsed", seconds_since(since));
        Some(outcome.with("hint", "raise `reboot_timeout`, or look at its console"))
    }

    #[expect(clippy::too_many_arguments, reason = "an attempt's own parts")]
    fn reboot(
        &mut self,
        item: &Item<'_>,
        settings: &Settings,
        request: &super::reboot::Request,
        planned: &Planned,
        handle: u64,
        digest: &Arc<str>,
        results: &[Value],
    ) -> std::result::Result<Attempt, Stop> {
        let journal_failed = |error: std::io::Error| Stop::Error(Error::failed(format!("write the journal: {error}")));
        let since = match self.returned(item) {
            Some(since) => Some(since),
            // By a run that was broken off meanwhile: it need not restart again.
            None => self.journal().restarted(digest),
        };
        if let Some(since) = since {
            self.drop_plan(settings, handle);
            self.performers.reset();
            let outcome = match self.gave_up(since) {
                Some(outcome) => outcome,
                None => self.settled(settings, request)?.with("rebooted", true).with("elapsed", seconds_since(since)),
            };
            self.journal().done(digest, &outcome, false, false).map_err(journal_failed)?;
            let mut attempt = Attempt::from(outcome);
            attempt.sentences.clone_from(&planned.sentences);
            return Ok(attempt);
        }
        let refused = |message: &str| Ok(Outcome::failed(message).with("rebooted", false).into());
        if matches!(settings.target, Target::Host(_)) {
            return refused("reboot cannot be delegated: a play over that host restarts it");
        }
        if std::env::var_os("SSH_CONNECTION").is_none() {
            return refused("Running reboot with local connection would reboot the control node.");
        }
        if let Err(message) = self.predictions.allows(item.at, item.index, &planned.digests) {
            self.drop_plan(settings, handle);
            self.refusal = Some(message.as_str().into());
            return Err(Stop::Flow(Flow::Ended(Ended::Refused(message))));
        }
        self.may_act(item, settings, handle)?;
        self.state.dirty = true;
        let snapshot = super::reboot::snapshot(self, item, request, results)?;
        let intent = self.intent(item, digest, &planned.actions);
        self.journal().intend(&intent).map_err(journal_failed)?;
        match self.performers.perform(&settings.target, Perform::Apply { handle })? {
            PerformReply::Failed { outcome, interrupted } => {
                self.journal().done(digest, &outcome, false, interrupted).map_err(journal_failed)?;
                return Ok(outcome.into());
            }
            PerformReply::Unknown(cause) => return Err(Stop::Error(Error::unknown(cause))),
            _ => {}
        }
        self.port.send(Up::Suspended(Box::new(snapshot)));
        Err(Stop::Flow(Flow::Suspended))
    }

    /// From here on the machine keeps its own journal; what is done is not to be given back to a machine that comes anew.
    fn end_own_journal(&mut self) -> std::result::Result<(), Stop> {
        let ended = self.journal().end(super::journal::Ending::Complete { plays: &[] }, &[]);
        ended.map_err(|error| Stop::Error(Error::failed(format!("write the journal: {error}"))))
    }

    /// Whether the controller came here over SSH, or is to come: this agent stands in for the machine.
    fn is_reached_for(&self) -> bool {
        std::env::var_os("SSH_CONNECTION").is_some() || self.performers.gone.is_some()
    }

    /// The controller leaves this machine and comes again (`wait_for_connection`).
    fn reconnect(
        &mut self,
        item: &Item<'_>,
        settings: &Settings,
        delay: Duration,
        timeout: Duration,
        results: &[Value],
    ) -> std::result::Result<Attempt, Stop> {
        let since = match self.returned(item) {
            Some(since) => since,
            None if self.given_up.is_some() => super::journal::now() - self.given_up.unwrap_or_default(),
            None if self.is_reached_for() && !matches!(settings.target, Target::Host(_)) => {
                let request = super::reboot::Request { test_command: None, timeout, connect_timeout: None, delay, settle: Duration::ZERO };
                let mut snapshot = super::reboot::snapshot(self, item, &request, results)?;
                // Whether it restarts meanwhile does not count.
                snapshot.reboot.boot_id = "".into();
                if self.performers.gone.is_some() {
                    self.end_own_journal()?;
                }
                self.port.send(Up::Suspended(Box::new(snapshot)));
                return Err(Stop::Flow(Flow::Suspended));
            }
            None => {
                let since = super::journal::now();
                self.wait(delay)?;
                since
            }
        };
        self.performers.reset();
        let elapsed = |outcome: Outcome| outcome.with("elapsed", seconds_since(since)).into();
        if self.given_up.take().is_some() {
            let reason = self.performers.gone.as_deref().unwrap_or("no answer").to_owned();
            return Ok(elapsed(Outcome::failed(format!("timed out waiting for ping module test: {reason}"))));
        }
        let become_ = match &settings.target {
            Target::User(user) => Some(user.clone()),
            Target::Host(_) => self.become_of(item, true)?,
            Target::Login => None,
        };
        let ping = Call { module: "ping".into(), mode: CallMode::Apply, label: self.task_name(item), become_, ..Call::default() };
        match self.performers.perform(&settings.target, Perform::Plan(Box::new(ping)))? {
            PerformReply::Planned(planned) if !planned.outcome.failed => Ok(elapsed(Outcome::ok())),
            PerformReply::Planned(planned) => Ok(planned.outcome.into()),
            PerformReply::Failed { outcome, .. } => Ok(outcome.into()),
            _ => Err(Stop::Error(Error::failed("the worker answered out of turn"))),
        }
    }

    /// The machine is back: what the task waits for beyond that.
    fn settled(&mut self, settings: &Settings, request: &super::reboot::Request) -> std::result::Result<Outcome, Stop> {
        self.wait(request.settle)?;
        let Some(test) = &request.test_command else { return Ok(Outcome::changed()) };
        let until = Instant::now() + request.timeout;
        loop {
            let call = Call {
                module: "shell".into(),
                arguments: crate::map! { "cmd" => test.as_str() },
                mode: CallMode::Apply,
                label: "the test of the restarted machine".into(),
                become_: if let Target::User(user) = &settings.target { Some(user.clone()) } else { None },
                ..Call::default()
            };
            let reply = match self.performers.perform(&settings.target, Perform::Plan(Box::new(call)))? {
                PerformReply::Planned(planned) => match planned.handle {
                    Some(handle) => self.performers.perform(&settings.target, Perform::Apply { handle })?,
                    None => PerformReply::Applied { outcome: planned.outcome, sentences: Vec::new() },
                },
                other => other,
            };
            if matches!(&reply, PerformReply::Applied { outcome, .. } if !outcome.failed) {
                return Ok(Outcome::changed());
            }
            if Instant::now() >= until {
                let seconds = request.timeout.as_secs();
                return Ok(Outcome::failed(format!("Timed out waiting for post-reboot test command (timeout={seconds})")));
            }
            self.wait(Duration::from_secs(1))?;
        }
    }
}

/// The digest of a change that a module of the run tells of.
fn told(sentence: &str) -> Arc<str> {
    crate::system::describe::sha256(sentence.as_bytes()).into()
}

fn is_bad(tried: &Result<std::result::Result<ItemRun, Flow>>) -> bool {
    match tried {
        Ok(Ok(run)) => run.failed,
        Ok(Err(_)) => false,
        Err(error) => error.unknown_cause().is_none(),
    }
}

fn seconds_since(since: f64) -> i64 {
    (super::journal::now() - since).max(0.0) as i64
}

/// What a play is called in the journal.
pub fn name_of(play: &crate::program::Play) -> Arc<str> {
    match &play.name {
        Some(Tree::Literal(Value::Text(text))) => text.shared(),
        _ => Arc::clone(&play.pattern),
    }
}

impl ItemRun {
    fn fail_attempts(&mut self, retries: u32) {
        self.failed = true;
        self.status = Status::Failed;
        if let Value::Map(entries) = &self.value {
            let mut entries = (**entries).clone();
            entries.insert("failed".into(), true.into());
            entries.insert("attempts".into(), Value::Int(i64::from(retries)));
            entries.entry("msg".into()).or_insert_with(|| "the task's `until` never held".into());
            self.value = entries.into();
        }
    }
}

/// A program that is said to change nothing. A file that is written is written, whatever is said of it.
pub fn is_read(task: &Task) -> bool {
    let never_changed = |value: &Value| crate::module::arguments::boolean(value) == Ok(false);
    matches!(&*task.module, "command" | "shell") && matches!(task.changed_when.as_slice(), [Tree::Literal(value)] if never_changed(value))
}

/// Why an attempt gave no outcome.
pub enum Stop {
    Flow(Flow),
    Error(Error),
    /// The machine, or the one that the task is delegated to, is out of reach.
    Unreachable(Ended),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Error(error)
    }
}

impl From<Ended> for Stop {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Refused(message) => Stop::Error(Error::failed(message)),
            Ended::Gone(_) | Ended::Unreachable(_) => Stop::Unreachable(ended),
            other => Stop::Flow(Flow::Ended(other)),
        }
    }
}

fn failed(failure: Failure, item: &Item<'_>) -> std::result::Result<Attempt, Stop> {
    let (outcome, span) = match failure {
        Failure::System(error) => {
            if let Some(cause) = error.unknown_cause() {
                return Err(Stop::Error(Error::unknown(Arc::clone(cause))));
            }
            (outcome_of(&error), None)
        }
        Failure::Arguments(error) => {
            let span = error
                .argument
                .as_ref()
                .and_then(|name| item.task.arguments.named.iter().find(|argument| *argument.name == **name))
                .map(|argument| argument.span);
            let mut outcome = Outcome::failed(error.to_string());
            if let Some(hint) = error.hint {
                outcome = outcome.with("hint", hint);
            }
            (outcome, span)
        }
    };
    let mut attempt = Attempt::from(outcome);
    attempt.span = span;
    Ok(attempt)
}

/// A failure as a module's result.
pub fn outcome_of(error: &crate::system::Error) -> Outcome {
    let mut outcome = Outcome::failed(error.message.clone());
    if let Some(hint) = &error.hint {
        outcome = outcome.with("hint", hint.as_str());
    }
    for (key, value) in error.details.iter() {
        outcome.result.insert(key.clone(), value.clone());
    }
    outcome
}

/// Check mode registers what is known; the rest is left out, as Ansible's modules leave it out.
fn without_unknowns(mut outcome: Outcome) -> Outcome {
    outcome.result.retain(|_, value| value.first_unknown().is_none());
    outcome
}

/// Asks another host's agent; used by [`super::performers::Performers`].
pub fn delegate(host: &Arc<str>, request: Perform) -> Question {
    Question::Delegate { host: Arc::clone(host), request: Box::new(request) }
}
