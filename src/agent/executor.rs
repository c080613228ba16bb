//! One host's run: plays, their sections, their steps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock};

use super::cleared::Nesting;
use super::clock::Told;
use super::context::Context;
use super::frame::{Answer, Call, CallMode, Event, FoundFiles, Missed, Perform, PerformReply, Question, Summary};
use super::handlers::HandlerTable;
use super::journal::{Ending, Journal, Repair, SharedJournal};
use super::lock::Lock;
use super::mask::Masker;
use super::performers::{Performers, Target};
use super::port::{Ended, Port};
use super::predictions::Predictions;
use super::resume::Resume;
use super::scope::TaskScope;
use super::state::State;
use crate::module::Outcome;
use crate::program::{Block, IncludedRole, Keywords, Map, Play, Position, Program, Published, RoleScope, Step, Strategy, Tree, Value};
use crate::template::jinja::Jinja;

/// What this pass over the program does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Predict on the overlay.
    Plan,
    /// Do it. With predictions of a plan, only what they allow.
    Apply,
}

/// How a list of steps ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flow {
    Next,
    /// A task failed and nothing rescued it.
    Failed,
    EndRole,
    EndPlay,
    EndHost,
    /// From outside.
    Ended(Ended),
    /// The machine restarts.
    Suspended,
}

/// One host's run of its program.
pub struct Executor {
    pub program: Arc<Program>,
    /// As it was before the run added to the inventory.
    begun: Arc<Program>,
    pub port: Arc<dyn Port>,
    pub pass: Pass,
    pub state: State,
    pub play: Option<Arc<Play>>,
    /// [`Task::folder`](crate::program::Task::folder) of the task in hand.
    pub folder_of_task: Option<Arc<str>>,
    /// Of the item in hand: the host that it is delegated to.
    pub delegate: Option<Arc<str>>,
    /// What the controller said of hosts that are gone, and where it was asked.
    pub gone_hosts: Mutex<Option<(Position, Vec<Arc<str>>)>>,
    /// Variables that the item in hand has read, and what gave them: with `-vv`.
    pub noted: Mutex<BTreeMap<Arc<str>, Arc<str>>>,
    /// Roles that came by `include_role` with `public`, for the rest of the play.
    pub public_roles: Vec<IncludedRole>,
    /// Roles that have run in this play, with what they were called with: they are not run again, also where one of them came by an
    /// include.
    pub ran_roles: BTreeSet<String>,
    /// The play in hand may end for all by one host's failure: each task waits for the others.
    pub lockstep: bool,
    /// The play was ended by another host; what must run nevertheless is being run.
    pub finishing: u32,
    pub performers: Performers,
    pub journal: SharedJournal,
    pub predictions: Predictions,
    /// As far as something has read it.
    pub controllers_clock: OnceLock<Told>,
    /// What the machine's Python says of itself, as far as something has read it.
    pub python: OnceLock<Result<Map, String>>,
    pub masker: Masker,
    pub handlers: Option<Arc<HandlerTable>>,
    /// Some host's tasks may add hosts or groups.
    pub grows: bool,
    /// The last task was of these.
    pub adds: bool,
    /// Some host's tasks may bring back hosts that failed.
    pub clears: bool,
    /// Passes of such a task.
    pub clearings: u32,
    /// Blocks around the task in hand that would do something about a failure.
    pub catches: u32,
    pub nesting: Nesting,
    /// This play brings the host back no more.
    pub given_up_here: bool,
    /// Other hosts' order matters.
    pub ordered: bool,
    /// Since this host last waited for the others, their tasks may have been delegated to it.
    pub is_visited: bool,
    /// Since this host last waited for the others, they may have done what it could see from afar.
    pub is_behind: bool,
    /// Files of the controller that were looked for and not there.
    pub missed: Mutex<Option<Missed>>,
    /// Files of the controller that the task in hand has asked for by what the run has found.
    pub found: FoundFiles,
    /// The item in hand looks at this machine, which is the controller.
    pub looks_here: bool,
    /// The item in hand has changed something.
    pub acted: bool,
    /// The item in hand has something to do on the controller, if not more.
    pub wrote: bool,
    /// The number of the last task before which the controller's files were looked at ([`Awaits`]).
    pub looked: u32,
    pub resume: Option<Resume>,
    /// The machine was waited for in vain, so many seconds, after its restart or before anything else.
    pub given_up: Option<f64>,
    /// The play as it was when the machine restarted: with handlers of roles that it had included.
    pub suspended_play: Option<Arc<Play>>,
    /// Tells who comes second what goes on.
    pub lock: Option<Arc<Lock>>,
    /// Set where the plan was left: why.
    pub refusal: Option<Arc<str>>,
    pub handling: bool,
    /// Tasks of the blocks around the one in hand whose `rescue` would take a failure, the innermost last.
    pub rescues: Vec<Position>,
    /// What failed is no task but the text: neither `rescue` nor `always` follows.
    pub beyond_rescue: bool,
    /// What modules' results warned of, each told once.
    pub warned: BTreeSet<String>,
}

/// Sections of a play, in positions.
pub mod section {
    pub const FACTS: u32 = 0;
    pub const PRE_TASKS: u32 = 1;
    pub const PRE_HANDLERS: u32 = 2;
    pub const ROLES: u32 = 3;
    pub const TASKS: u32 = 4;
    pub const HANDLERS: u32 = 5;
    pub const POST_TASKS: u32 = 6;
    pub const POST_HANDLERS: u32 = 7;
    pub const END: u32 = 8;
}

impl Executor {
    /// A run that has not begun.
    pub fn new(program: Arc<Program>, port: Arc<dyn Port>, performers: Performers, journal: SharedJournal, ordered: bool) -> Self {
        let masker = performers.masker();
        masker.learn_program(&program);
        Self {
            begun: Arc::clone(&program),
            program,
            port,
            pass: Pass::Apply,
            state: State::default(),
            play: None,
            public_roles: Vec::new(),
            ran_roles: BTreeSet::new(),
            lockstep: false,
            finishing: 0,
            performers,
            journal,
            predictions: Predictions::default(),
            controllers_clock: OnceLock::new(),
            python: OnceLock::new(),
            masker,
            handlers: None,
            grows: false,
            adds: false,
            clears: false,
            clearings: 0,
            catches: 0,
            nesting: Nesting::default(),
            given_up_here: false,
            ordered,
            is_visited: false,
            is_behind: false,
            missed: Mutex::default(),
            found: FoundFiles::default(),
            looks_here: false,
            acted: false,
            wrote: false,
            looked: 0,
            resume: None,
            warned: BTreeSet::new(),
            given_up: None,
            suspended_play: None,
            lock: None,
            refusal: None,
            handling: false,
            folder_of_task: None,
            delegate: None,
            gone_hosts: Mutex::default(),
            noted: Mutex::default(),
            rescues: Vec::new(),
            beyond_rescue: false,
        }
    }

    /// Predicts the whole program. Nothing of the machine is changed; what it predicts binds the apply that follows.
    pub fn plan(&mut self) -> Summary {
        self.pass = Pass::Plan;
        self.predictions = Predictions::begin();
        // A plan restarts nothing.
        self.run().unwrap_or_default()
    }

    /// Forgets what the plan has seen of the machine, but not what it has predicted.
    pub fn prepare_apply(&mut self) {
        self.performers.forget_plan();
        self.gone_hosts = Mutex::default();
        self.program = Arc::clone(&self.begun);
        self.adds = false;
        self.pass = Pass::Apply;
        self.state = State::default();
        self.handlers = None;
        self.refusal = None;
        self.looked = 0;
        self.public_roles.clear();
    }

    /// The journal; shared with who watches programs start.
    pub fn journal(&self) -> std::sync::MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Runs the whole program; `None`: the machine restarts.
    pub fn run(&mut self) -> Option<Summary> {
        let flow = self.run_plays();
        (flow != Flow::Suspended).then(|| self.summary(&flow))
    }

    /// What interrupted actions of former runs need before anything else. A repair that fails is told, and the run goes on: the
    /// action itself will say what is wrong.
    pub fn repair(&mut self) -> Result<(), Flow> {
        // What another machine's journal would tell is not for the one that stands in.
        let repairs = if self.performers.gone.is_some() { Vec::new() } else { self.journal().repairs() };
        for repair in &repairs {
            self.warn(format!("a former run was interrupted: {}", repair.label));
            if let Some(lock) = &self.lock {
                lock.doing(&repair.label);
            }
            match self.run_repair(repair) {
                Ok(None) => {}
                Ok(Some(message)) => self.warn(format!("{}: {message}", repair.label)),
                Err(ended) => return Err(Flow::Ended(ended)),
            }
            if let Some(ended) = self.port.ended(&Position(vec![u32::MAX])) {
                return Err(Flow::Ended(ended));
            }
        }
        if !repairs.is_empty()
            && let Err(error) = self.journal().repaired()
        {
            self.warn(format!("the journal was not written: {error}"));
        }
        Ok(())
    }

    /// `Some`: why it failed.
    fn run_repair(&mut self, repair: &Repair) -> Result<Option<String>, Ended> {
        let target = repair.become_.clone().map_or(Target::Login, Target::User);
        let call = Call {
            module: "command".into(),
            arguments: crate::map! { "argv" => repair.argv.clone() },
            mode: CallMode::Apply,
            environment: repair.environment.clone(),
            become_: repair.become_.clone(),
            label: repair.label.as_str().into(),
            ..Call::default()
        };
        let failed = |outcome: &Outcome| {
            Some(outcome.result.get("stderr").or(outcome.result.get("msg")).and_then(Value::as_str).unwrap_or("it failed").to_owned())
        };
        let reply = match self.performers.perform(&target, Perform::Plan(Box::new(call)))? {
            PerformReply::Planned(planned) => match planned.handle {
                Some(handle) => self.performers.perform(&target, Perform::Apply { handle })?,
                None => return Ok(None),
            },
            other => other,
        };
        Ok(match reply {
            PerformReply::Failed { outcome, .. } => failed(&outcome),
            PerformReply::Applied { outcome, .. } if outcome.failed => failed(&outcome),
            _ => None,
        })
    }

    fn summary(&mut self, flow: &Flow) -> Summary {
        let failed = *flow == Flow::Failed || self.state.has_failed() || self.state.is_unreachable();
        if self.pass == Pass::Apply && !self.is_check_run() {
            let plays: Vec<Arc<str>> = self.program.plays.iter().map(|play| super::item::name_of(play)).collect();
            let ending = match flow {
                Flow::Ended(Ended::Cancelled | Ended::Lost) | Flow::Suspended => Ending::BrokenOff,
                Flow::Next | Flow::EndHost | Flow::EndPlay | Flow::EndRole if !failed => Ending::Complete { plays: &plays },
                _ => Ending::Failed,
            };
            let ended = self.journal().end(ending, &self.state.notified);
            if let Err(error) = ended {
                self.warn(format!("the journal was not closed: {error}"));
            }
        }
        Summary {
            recap: self.state.recap.clone(),
            failed,
            unreachable: self.state.is_unreachable(),
            cancelled: *flow == Flow::Ended(Ended::Cancelled),
            reason: match flow {
                Flow::Ended(ended) => Some(ended.to_string().into()),
                _ => self.refusal.clone(),
            },
            pending_handlers: self.state.notified.iter().map(|notification| Arc::clone(&notification.name)).collect(),
            tasks: self.state.tasks,
        }
    }

    fn run_plays(&mut self) -> Flow {
        let mut index = self.program.plays.first().map_or(0, |play| play.index);
        // It failed in an earlier play, and only waits to be brought back.
        let mut carries_failure = false;
        loop {
            // Plays to come may match other hosts now: every host asks, also one that has had its last play.
            if self.grows
                && index > 0
                && self.resume.is_none()
                && let Err(ended) = self.renew_program(index)
            {
                return Flow::Ended(ended);
            }
            let program = Arc::clone(&self.program);
            let Some(play) = program.plays.iter().find(|play| play.index >= index) else {
                return if carries_failure { Flow::Failed } else { Flow::Next };
            };
            if self.grows && self.resume.is_none() && play.index > index {
                // Plays between that are others': what these add counts in this one.
                index = play.index;
                continue;
            }
            index = play.index + 1;
            if self.resume.as_ref().is_some_and(|resume| resume.position.play() > Some(play.index)) {
                continue;
            }
            let flow = if carries_failure { Flow::Failed } else { self.run_play(play) };
            match flow {
                Flow::Next | Flow::EndRole => {}
                Flow::Failed if self.clears => match self.is_brought_back(play, !carries_failure) {
                    Ok(is_back) => {
                        carries_failure = !is_back;
                        self.port.passed(&Position(vec![play.index]).child(section::END), self.state.dirty);
                    }
                    Err(flow) => return flow,
                },
                // The play is over for this host, the next one may have it again.
                Flow::EndPlay | Flow::EndHost => {
                    self.port.passed(&Position(vec![play.index]).child(section::END), self.state.dirty);
                }
                other => return other,
            }
            if self.state.has_failed() && !carries_failure {
                return Flow::Failed;
            }
        }
    }

    fn run_play(&mut self, play: &Arc<Play>) -> Flow {
        let play = &self.suspended_play.take().unwrap_or_else(|| Arc::clone(play));
        self.play = Some(Arc::clone(play));
        (self.nesting, self.given_up_here, self.beyond_rescue) = (Nesting::Play, false, false);
        self.state.started |= !play.begins;
        if self.resume.is_none() {
            self.public_roles.clear();
            self.ran_roles.clear();
        }
        self.handlers = None;
        self.lockstep = play.strategy == Strategy::Linear && play.is_ended_by_failures();
        if self.resume.is_none() {
            self.state.vars_files.clear();
            self.state.notified.clear();
            self.port.event(Event::Play { index: play.index });
        }
        let flow = self.run_sections(play);
        self.play = None;
        flow
    }

    fn run_sections(&mut self, play: &Arc<Play>) -> Flow {
        let root = Position(vec![play.index]);
        let context = Context::root(&play.keywords);
        if self.resume.is_none() {
            let at = root.child(section::FACTS);
            // A play begins when those before it are through, a further batch when the one before is: everybody waits at its first step.
            if (play.batch > 0 || play.waits) && self.ordered {
                let waited = self.port.reach(&at, self.state.dirty);
                match waited.and_then(|_| self.port.ask(Question::PlayEnded { play: play.index })) {
                    Ok(Answer::Changed(true)) => return Flow::EndPlay,
                    Ok(_) => self.is_behind = false,
                    Err(ended) => return Flow::Ended(ended),
                }
            }
            if let Err(flow) = self.load_vars_files(play, &context, &at) {
                return flow;
            }
        }
        // The machine may have been reached for this.
        let facts = root.child(section::FACTS);
        if self.resume.as_ref().is_none_or(|resume| resume.position == facts) {
            match self.gather_facts(play, &context, &facts) {
                Flow::Next => {}
                other => return other,
            }
            if let Err(flow) = self.load_vars_files(play, &context, &facts) {
                return flow;
            }
        }
        let sections: [(u32, Option<&[Step]>); 7] = [
            (section::PRE_TASKS, Some(&play.pre_tasks)),
            (section::PRE_HANDLERS, None),
            (section::ROLES, Some(&play.roles)),
            (section::TASKS, Some(&play.tasks)),
            (section::HANDLERS, None),
            (section::POST_TASKS, Some(&play.post_tasks)),
            (section::POST_HANDLERS, None),
        ];
        for (number, steps) in sections {
            let at = root.child(number);
            if self.resume.as_ref().is_some_and(|resume| !resume.reaches(&at)) {
                continue;
            }
            if number == section::HANDLERS && self.resume.is_none() {
                // Owed since a run that did not get to them.
                let owed = self.journal().pending_handlers(play);
                owed.into_iter().for_each(|name| self.state.notify(name, None));
            }
            let flow = match steps {
                Some(steps) => self.run_steps(steps, &context, &at),
                None => self.flush_handlers(&context, &at),
            };
            match flow {
                Flow::Next | Flow::EndRole => {}
                // A handler that failed in the play's own flush ends it.
                Flow::Failed if steps.is_none() => return flow,
                Flow::Failed | Flow::EndPlay | Flow::EndHost | Flow::Ended(Ended::Stopped(_))
                    if self.forces_handlers(play, &context, &at) =>
                {
                    let stopped = matches!(flow, Flow::Ended(_));
                    if flow == Flow::Failed
                        && let Err(ended) = self.port.ask(super::frame::Question::RunsHandlers)
                    {
                        return Flow::Ended(ended);
                    }
                    if stopped || flow == Flow::Failed {
                        self.finishing += u32::from(stopped);
                        self.flush_handlers(&context, &root.child(section::POST_HANDLERS));
                        self.finishing -= u32::from(stopped);
                    }
                    return flow;
                }
                other => return other,
            }
        }
        self.forget_notified();
        self.port.passed(&root.child(section::END), self.state.dirty);
        Flow::Next
    }

    fn forces_handlers(&self, play: &Play, context: &Context<'_>, at: &Position) -> bool {
        self.program.settings.force_handlers
            || play.force_handlers.as_ref().is_some_and(|tree| self.flag(tree, context, &Map::new(), at).unwrap_or(false))
    }

    /// Runs a list of steps; the first that ends otherwise than well ends it.
    pub fn run_steps(&mut self, steps: &[Step], context: &Context<'_>, at: &Position) -> Flow {
        let mut goes_on_at = 0;
        for (index, step) in steps.iter().enumerate() {
            if index < goes_on_at {
                continue;
            }
            let position = at.child(index as u32);
            if self.resume.as_ref().is_some_and(|resume| !resume.reaches(&position)) {
                continue;
            }
            self.leave_resume(&position);
            // Where one host's failure ends the play for others, nobody runs ahead of it.
            if self.lockstep
                && self.ordered
                && self.finishing == 0
                && let Err(ended) = self.port.reach(&position, self.state.dirty)
            {
                return Flow::Ended(ended);
            }
            if let Some(ended) = self.must_end(&position) {
                return Flow::Ended(ended);
            }
            if let Err(ended) = self.take_additions(&position) {
                return Flow::Ended(ended);
            }
            let flow = match step {
                Step::Task(task) => self.run_task(task, context, &position),
                Step::Block(block) => self.run_block(block, context, &position),
                Step::Include(include) => self.run_include(include, context, &position),
            };
            // Also where this host was skipped, or its block did not fail.
            self.is_behind |= self.may_be_seen(step);
            if flow != Flow::Next {
                match self.goes_on(flow, steps, index, at) {
                    Ok(next) => goes_on_at = next,
                    Err(flow) => return flow,
                }
            }
        }
        Flow::Next
    }

    /// At the end of a block whose `rescue` takes the failures of others too: they may still fail in it.
    fn wait_for_failures(&self, end: &Position) -> Flow {
        if !self.lockstep || !self.ordered || self.finishing > 0 {
            return Flow::Next;
        }
        self.port.reach(end, self.state.dirty).map_or_else(Flow::Ended, |_| Flow::Next)
    }

    /// Why nothing may run at the position; what is finished after a stop (`always`, forced handlers) may.
    pub fn must_end(&self, position: &Position) -> Option<Ended> {
        self.port.ended(position).filter(|ended| self.finishing == 0 || !matches!(ended, Ended::Stopped(_) | Ended::Failed(_)))
    }

    /// A step after the one that restarted the machine: from here on nothing is skipped.
    pub fn leave_resume(&mut self, position: &Position) {
        if self.resume.as_ref().is_some_and(|resume| !resume.is_inside(position) && *position > resume.position) {
            self.resume = None;
        }
    }

    fn run_block(&mut self, block: &Block, context: &Context<'_>, at: &Position) -> Flow {
        let inner = context.of_block(block);
        let role = block.role.as_ref().map(|role| (role, self.call_of_role(block, role)));
        if let Some((role, call)) = &role
            && !role.allow_duplicates
            && self.resume.is_none()
            && self.ran_roles.contains(call)
        {
            return Flow::Next;
        }
        let parts = [at.child(0), at.child(1), at.child(2)];
        let resumes_in = |part: &Position, executor: &Self| executor.resume.as_ref().is_some_and(|resume| resume.is_inside(part));
        let mut flow = Flow::Next;
        let nesting = self.nesting;
        self.nesting = nesting.inside(block.origin);
        let (rescues, finishes) = (!block.rescue.is_empty(), u32::from(!block.always.is_empty()));
        let outer = self.rescues.len();
        if self.resume.is_none() || resumes_in(&parts[0], self) {
            self.rescues.extend(rescues.then(|| parts[0].clone()));
            self.catches += u32::from(rescues) | finishes;
            flow = self.run_steps(&block.block, &inner, &parts[0]);
            if rescues && flow == Flow::Next {
                flow = self.wait_for_failures(&parts[0].child(block.block.len() as u32));
            }
            self.rescues.truncate(outer);
            self.catches -= u32::from(rescues) | finishes;
        }
        // Another host's failure is no result of this one's.
        let by_other = flow == Flow::Ended(Ended::Failed(parts[0].clone()));
        if by_other {
            self.port.rescued();
            flow = Flow::Failed;
        }
        if flow == Flow::Failed && self.beyond_rescue {
            self.nesting = nesting;
            return flow;
        }
        let failed_here = flow == Flow::Failed;
        if (failed_here && !block.rescue.is_empty()) || resumes_in(&parts[1], self) {
            if failed_here && !by_other {
                self.state.recap.failed = self.state.recap.failed.saturating_sub(1);
                self.state.recap.rescued += 1;
            }
            self.catches += finishes;
            flow = self.run_steps(&block.rescue, &inner, &parts[1]);
            self.catches -= finishes;
        }
        let stopped = matches!(flow, Flow::Ended(Ended::Stopped(_) | Ended::Failed(_)));
        if stopped || matches!(flow, Flow::Next | Flow::Failed) || resumes_in(&parts[2], self) {
            self.finishing += u32::from(stopped);
            let clearings = self.clearings;
            match self.run_steps(&block.always, &inner, &parts[2]) {
                Flow::Next if flow == Flow::Failed && self.clearings > clearings => {
                    self.state.clear_errors();
                    flow = Flow::Next;
                }
                Flow::Next => {}
                other => flow = other,
            }
            self.finishing -= u32::from(stopped);
        }
        self.nesting = nesting;
        let Some((_, call)) = role else { return flow };
        if matches!(flow, Flow::Next | Flow::EndRole) {
            self.ran_roles.insert(call);
            return Flow::Next;
        }
        flow
    }

    /// A role with all that it was called with.
    fn call_of_role(&self, block: &Block, role: &RoleScope) -> String {
        let parameters = role.parameters.and_then(|id| self.program.layers.get(id as usize));
        format!("{} {:?} {parameters:?}", role.path, block.keywords)
    }

    // ---- evaluation, at the point of use ----

    pub fn scope<'run>(&'run self, context: &'run Context<'run>, locals: &'run Map, at: &'run Position) -> TaskScope<'run> {
        TaskScope::new(self, context, locals, at)
    }

    pub fn evaluate(&self, tree: &Tree, context: &Context<'_>, locals: &Map, at: &Position) -> crate::template::Result<Value> {
        if let Tree::Literal(value) = tree {
            return Ok(value.clone());
        }
        let scope = self.scope(context, locals, at);
        Jinja::new(&scope).evaluate(tree)
    }

    pub fn condition(&self, tree: &Tree, context: &Context<'_>, locals: &Map, at: &Position) -> crate::template::Result<bool> {
        let scope = self.scope(context, locals, at);
        Jinja::new(&scope).condition(tree)
    }

    /// A keyword that is a boolean.
    pub fn flag(&self, tree: &Tree, context: &Context<'_>, locals: &Map, at: &Position) -> crate::template::Result<bool> {
        let value = self.evaluate(tree, context, locals, at)?;
        if let Value::Unknown(cause) = &value {
            return Err(crate::template::Error::unknown(Arc::clone(cause)));
        }
        crate::module::arguments::boolean(&value).map_err(crate::template::Error::failed)
    }

    /// An inherited keyword that is a boolean; absent: false.
    pub fn keyword_flag(
        &self,
        get: impl for<'a> Fn(&'a Keywords) -> Option<&'a Tree>,
        context: &Context<'_>,
        locals: &Map,
        at: &Position,
    ) -> crate::template::Result<bool> {
        context.keyword(get).map_or(Ok(false), |tree| self.flag(tree, context, locals, at))
    }

    /// An inherited keyword that is a text; absent, null or empty: `None`.
    pub fn keyword_text(
        &self,
        get: impl for<'a> Fn(&'a Keywords) -> Option<&'a Tree>,
        context: &Context<'_>,
        locals: &Map,
        at: &Position,
    ) -> crate::template::Result<Option<Arc<str>>> {
        let Some(tree) = context.keyword(get) else { return Ok(None) };
        self.text_of(tree, context, locals, at)
    }

    /// A tree as a text; null, `omit` and empty are `None`.
    pub fn text_of(&self, tree: &Tree, context: &Context<'_>, locals: &Map, at: &Position) -> crate::template::Result<Option<Arc<str>>> {
        Ok(match self.evaluate(tree, context, locals, at)? {
            Value::Null | Value::Omit => None,
            Value::Unknown(cause) => return Err(crate::template::Error::unknown(cause)),
            value => Some(crate::module::arguments::text(&value).map_err(crate::template::Error::failed)?)
                .filter(|text| !text.is_empty())
                .map(Arc::from),
        })
    }

    /// A variable of this scope as a text.
    pub fn variable_text(
        &self,
        name: &str,
        context: &Context<'_>,
        locals: &Map,
        at: &Position,
    ) -> crate::template::Result<Option<Arc<str>>> {
        match self.scope(context, locals, at).find(name) {
            Some((tree, _)) => self.text_of(&tree, context, locals, at),
            None => Ok(None),
        }
    }

    /// Whether `--check` (or `check_mode: true`) holds for a task.
    pub fn is_check(&self, context: &Context<'_>, at: &Position) -> bool {
        match context.keyword(|keywords| keywords.check_mode.as_ref()) {
            Some(Tree::Literal(value)) => crate::module::arguments::boolean(value).unwrap_or(self.program.settings.check),
            Some(tree) => self.flag(tree, context, &Map::new(), at).unwrap_or(self.program.settings.check),
            None => self.program.settings.check,
        }
    }

    pub fn is_check_run(&self) -> bool {
        self.program.settings.check
    }

    /// How modules are called for a task.
    pub fn call_mode(&self, context: &Context<'_>, at: &Position) -> CallMode {
        match self.pass {
            Pass::Plan => CallMode::Plan,
            Pass::Apply if self.is_check(context, at) => CallMode::Check,
            Pass::Apply => CallMode::Apply,
        }
    }

    /// Whether the play's tasks keep to the order of the other hosts.
    pub fn keeps_order(&self) -> bool {
        self.ordered && self.play.as_deref().is_none_or(|play| play.strategy == Strategy::Linear)
    }

    pub fn warn(&self, message: impl Into<String>) {
        self.port.event(Event::Warning { message: self.masker.mask(&message.into()) });
    }

    /// Sends what other hosts read.
    pub fn publish(&self, at: &Position, variables: &Map) {
        let wanted: Map = match &self.program.published {
            Published::Nothing => return,
            Published::Everything => variables.clone(),
            Published::Names(names) => variables
                .iter()
                .filter(|(key, _)| {
                    let key = key.text();
                    let is_of_facts = |name: &str| name == "ansible_facts" && key.starts_with("ansible_");
                    // Where none is known, none of them is.
                    let is_unknown = |name: &str| *key == *"ansible_facts" && name.starts_with("ansible_");
                    names.iter().any(|name| **name == *key || is_of_facts(name) || is_unknown(name))
                })
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
        };
        if !wanted.is_empty() {
            self.port.publish(at, wanted);
        }
    }

    fn renew_program(&mut self, from_play: u32) -> Result<(), Ended> {
        use super::frame::{Answer, Question};
        self.adds = false;
        match self.port.ask(Question::Program { from_play })? {
            Answer::Program(program) => {
                self.masker.learn_program(&program);
                self.program = Arc::new(*program);
                Ok(())
            }
            Answer::Error { message, .. } => Err(Ended::Refused(message)),
            _ => Ok(()),
        }
    }
}
