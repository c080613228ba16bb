//! Plans and applies module calls on this machine, as the user of this process.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::frame::{Call, CallMode, Perform, PerformReply, Planned};
use super::item::outcome_of;
use crate::module::engine::PART;
use crate::module::{ActionKind, Context, Failure, Kind, Mode, Next, Outcome, Plan, Source};
use crate::program::{Map, Value};
use crate::system::{Action, Applier, Cancel, ContentSource, ErrorKind, Overlay, Real, System, Watch};

/// Rounds of "plan again" that no honest module needs; waits do not count.
const MOST_STAGES: usize = 64;

/// A plan that may be applied.
struct Pending {
    plan: Plan,
    call: Call,
}

/// This machine as one user acts on it.
pub struct Machine {
    real: &'static Real,
    overlay: Overlay<'static>,
    cancel: Cancel,
    pending: HashMap<u64, Pending>,
    next: u64,
    content: Box<dyn ContentSource + Send>,
    watcher: Box<dyn Watch + Send>,
}

impl Machine {
    /// One for a process: what it reads through lives as long as the process.
    pub fn new(cancel: Cancel, content: Box<dyn ContentSource + Send>, watcher: Box<dyn Watch + Send>) -> Self {
        let real: &'static Real = Box::leak(Box::new(Real::new(cancel.clone())));
        Self { real, overlay: Overlay::new(real), cancel, pending: HashMap::new(), next: 1, content, watcher }
    }

    /// The machine as it is.
    pub fn system(&self) -> &'static Real {
        self.real
    }

    pub fn perform(&mut self, request: Perform) -> PerformReply {
        match request {
            Perform::Plan(call) => self.plan(*call),
            Perform::Apply { handle } => self.apply(handle),
            Perform::Drop { handle } => {
                self.pending.remove(&handle);
                PerformReply::Done
            }
            Perform::Absorb { actions, cause } => {
                self.absorb(&actions, &cause);
                PerformReply::Done
            }
            Perform::Read { path, offset, .. } => match self.real.part(Path::new(&*path), offset, PART) {
                Ok(bytes) => PerformReply::Part(bytes),
                Err(error) => PerformReply::Failed { outcome: outcome_of(&error), interrupted: false },
            },
        }
    }

    /// The plan's picture of the machine after these.
    pub fn absorb(&mut self, actions: &[Action], cause: &Arc<str>) {
        for action in actions {
            self.overlay.absorb(action, cause);
        }
    }

    pub fn forget_plan(&mut self) {
        self.overlay = Overlay::new(self.real);
        self.pending.clear();
    }

    fn plan(&mut self, call: Call) -> PerformReply {
        let plan = match self.planned(&call) {
            Ok(plan) => plan,
            Err(reply) => return reply,
        };
        let system: &dyn System = if call.mode == CallMode::Plan { &self.overlay } else { self.real };
        if call.mode != CallMode::Check
            && let Some(error) = super::feasible::obstacle(&plan.actions, system)
        {
            return PerformReply::Failed { outcome: outcome_of(&error), interrupted: false };
        }
        let mut diff = plan.predicted.diff.clone();
        if call.diff && diff.is_empty() {
            for action in &plan.actions {
                match action.diffs(system, &mut *self.content) {
                    Ok(diffs) => diff.extend(diffs.into_iter().map(|diff| crate::module::Diff {
                        before: diff.before,
                        after: diff.after,
                        before_header: diff.before_header,
                        after_header: diff.after_header,
                    })),
                    // A difference that cannot be shown is no reason not to plan.
                    Err(error) => tracing::debug!(%error, "no diff"),
                }
            }
        }
        let mut planned = Planned {
            outcome: plan.predicted.clone(),
            sentences: plan.actions.iter().map(Action::describe).collect(),
            digests: plan.actions.iter().map(|action| Arc::from(action.digest())).collect(),
            actions: plan.actions.iter().map(without_content).collect(),
            diff,
            handle: None,
        };
        planned.outcome.diff.clear();
        if plan.actions.is_empty() && plan.then.is_none() {
            return PerformReply::Planned(Box::new(planned));
        }
        if call.mode == CallMode::Plan {
            for action in &plan.actions {
                self.overlay.absorb(action, &call.label);
            }
        }
        let handle = self.next;
        self.next += 1;
        planned.handle = Some(handle);
        // A read that a module itself asks for, in check mode too.
        let always = plan.always && call.mode == CallMode::Check;
        if call.mode == CallMode::Apply || always {
            self.pending.insert(handle, Pending { plan, call });
        }
        if always {
            let diff = std::mem::take(&mut planned.diff);
            return match self.apply(handle) {
                PerformReply::Applied { outcome, .. } => PerformReply::Planned(Box::new(Planned { outcome, diff, ..Planned::default() })),
                other => other,
            };
        }
        PerformReply::Planned(Box::new(planned))
    }

    /// The module's plan, or what to answer instead.
    #[expect(clippy::result_large_err, reason = "the error is an answer on its way to the link, made once a call")]
    fn planned(&self, call: &Call) -> Result<Plan, PerformReply> {
        let failed = |outcome: Outcome| PerformReply::Failed { outcome, interrupted: false };
        let Some(entry) = crate::module::find(&call.module) else {
            return Err(failed(Outcome::failed(format!("this agent has no module {}", call.module))));
        };
        let ActionKind::System(make) = entry.action else {
            return Err(failed(Outcome::failed(format!("{} is no module of the machine", call.module))));
        };
        let system: &dyn System = if call.mode == CallMode::Plan { &self.overlay } else { self.real };
        let mut raw = self.expand(entry.spec(), &call.arguments);
        let source = call.source.as_ref().and_then(|path| call.sources.get_key_value(path)).map(|(path, file)| Source {
            path,
            file,
            below: &call.sources,
        });
        let context = Context {
            system,
            mode: match call.mode {
                CallMode::Plan => Mode::Plan,
                CallMode::Apply => Mode::Apply,
                CallMode::Check => Mode::Check,
            },
            diff: call.diff,
            source,
            environment: &call.environment,
            host: &call.host,
        };
        make(&mut raw, &context).map_err(|failure| match failure {
            Failure::System(error) => match error.unknown_cause() {
                Some(cause) => PerformReply::Unknown(Arc::clone(cause)),
                None => failed(outcome_of(&error)),
            },
            Failure::Arguments(error) => {
                let mut outcome = Outcome::failed(error.to_string());
                if let Some(hint) = error.hint {
                    outcome = outcome.with("hint", hint);
                }
                failed(outcome)
            }
        })
    }

    /// `~` and `$VARIABLE` in paths, as the acting user has them.
    fn expand(&self, spec: &crate::module::Spec, arguments: &Map) -> Map {
        let mut expanded = arguments.clone();
        for field in &spec.fields {
            let is_path = field.kind == Kind::Path || field.kind == Kind::List(Box::new(Kind::Path));
            if !is_path && field.inside.is_none() {
                continue;
            }
            for name in field.names() {
                if let Some(value) = expanded.get_mut(name) {
                    *value = field.inside.map_or_else(|| self.expand_value(value), |inside| self.expand_inside(&inside(), value));
                }
            }
        }
        expanded
    }

    /// The same in mappings inside of an argument.
    fn expand_inside(&self, spec: &crate::module::Spec, value: &Value) -> Value {
        match value {
            Value::Map(entries) => Value::map(self.expand(spec, entries)),
            Value::List(items) => Value::list(items.iter().map(|item| self.expand_inside(spec, item)).collect()),
            other => other.clone(),
        }
    }

    fn expand_value(&self, value: &Value) -> Value {
        match value {
            Value::Text(text) => Value::Text(crate::program::Text::new(self.expand_path(text.as_str())).with_secrecy(text.is_secret())),
            Value::List(items) => Value::list(items.iter().map(|item| self.expand_value(item)).collect()),
            other => other.clone(),
        }
    }

    fn expand_path(&self, text: &str) -> String {
        let mut path = text.to_owned();
        if let Some(rest) = text.strip_prefix('~') {
            let (user, rest) = rest.split_once('/').map_or((rest, None), |(user, rest)| (user, Some(rest)));
            let home: Option<PathBuf> = if user.is_empty() {
                self.real.whoami().ok().map(|user| user.home)
            } else {
                self.real.user(user).ok().flatten().map(|user| user.home)
            };
            if let Some(home) = home {
                path = match rest {
                    Some(rest) => home.join(rest).to_string_lossy().into_owned(),
                    None => home.to_string_lossy().into_owned(),
                };
            }
        }
        if !path.contains('$') {
            return path;
        }
        let mut expanded = String::new();
        let mut rest = path.as_str();
        while let Some(start) = rest.find('$') {
            expanded.push_str(&rest[..start]);
            let after = &rest[start + 1..];
            let (name, end) = if let Some(braced) = after.strip_prefix('{') {
                match braced.find('}') {
                    Some(end) => (&braced[..end], end + 2),
                    None => ("", 0),
                }
            } else {
                let end = after.find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_')).unwrap_or(after.len());
                (&after[..end], end)
            };
            match self.real.environment(name).filter(|_| !name.is_empty()) {
                Some(value) => expanded.push_str(&value),
                None => expanded.push_str(&rest[start..=start + end]),
            }
            rest = &after[end..];
        }
        expanded.push_str(rest);
        expanded
    }

    fn apply(&mut self, handle: u64) -> PerformReply {
        let Some(Pending { plan, call }) = self.pending.remove(&handle) else {
            return PerformReply::Failed { outcome: Outcome::failed("the plan to apply is not here any more"), interrupted: false };
        };
        if call.background.is_some() && call.mode == CallMode::Apply {
            return match super::job::begin(&call) {
                Ok(outcome) => PerformReply::Applied { outcome, sentences: plan.actions.iter().map(Action::describe).collect() },
                Err(message) => PerformReply::Failed { outcome: Outcome::failed(message), interrupted: false },
            };
        }
        let mut sentences = Vec::new();
        let mut plan = plan;
        let mut stages = 0;
        let cancel = self.cancel.within(call.timeout);
        loop {
            if let Some(Action::Reboot { delay, message, command, .. }) =
                plan.actions.iter().find(|action| matches!(action, Action::Reboot { .. }))
            {
                return match super::reboot::restart(*delay, message, command.as_deref()) {
                    Ok(()) => PerformReply::Applied { outcome: Outcome::changed(), sentences },
                    Err(message) => PerformReply::Failed { outcome: Outcome::failed(message), interrupted: false },
                };
            }
            if !plan.actions.iter().all(|action| matches!(action, Action::Sleep { .. })) {
                stages += 1;
            }
            sentences.extend(plan.actions.iter().map(Action::describe));
            let mut applier = Applier {
                source: &mut *self.content,
                watch: &mut *self.watcher,
                cancel: cancel.clone(),
                environment: call.environment.clone(),
            };
            let outcomes = match applier.apply(&plan.actions) {
                Ok(outcomes) => outcomes,
                Err(failure) => {
                    let interrupted = failure.error.kind == ErrorKind::Interrupted || self.cancel.is_set();
                    return PerformReply::Failed { outcome: outcome_of(&failure.error), interrupted };
                }
            };
            let interrupted = self.cancel.is_set();
            let next = match plan.then {
                None => Ok(Next::Done(plan.predicted)),
                Some(then) => then(&outcomes, self.real),
            };
            match next {
                Ok(Next::Done(outcome)) if interrupted => return PerformReply::Failed { outcome, interrupted },
                Ok(Next::Done(outcome)) if outcome.failed => return PerformReply::Failed { outcome, interrupted: false },
                Ok(Next::Done(outcome)) => return PerformReply::Applied { outcome, sentences },
                Ok(Next::Again(again)) if stages < MOST_STAGES && !interrupted => {
                    if let Err(error) = cancel.check(&call.label) {
                        return PerformReply::Failed { outcome: outcome_of(&error), interrupted: false };
                    }
                    plan = again;
                }
                Ok(Next::Again(_)) => {
                    let message = if interrupted {
                        "interrupted".to_owned()
                    } else {
                        format!("{} did not settle after {MOST_STAGES} rounds", call.module)
                    };
                    return PerformReply::Failed { outcome: Outcome::failed(message), interrupted };
                }
                Err(error) => return PerformReply::Failed { outcome: outcome_of(&error), interrupted },
            }
        }
    }
}

/// The action as the engine needs it: what is written where, without large contents (the plan keeps them).
fn without_content(action: &Action) -> Action {
    action.clone()
}
