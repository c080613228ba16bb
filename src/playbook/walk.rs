//! Every tree that tasks evaluate, and every name that they define.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::possible::{Pattern, patterns};
use crate::program::{Block, Fragments, Include, Included, Keywords, Layer, Loop, Play, Span, Step, Task, Tree, Value};

/// A name that is notified.
pub struct Notified<'p> {
    pub name: &'p Tree,
    /// Where the task or block stands that says so.
    pub span: Span,
    /// No condition lies before it.
    pub sure: bool,
}

/// What a walk finds.
#[derive(Default)]
pub struct Found<'p> {
    /// Trees that are evaluated when the task runs.
    pub roots: Vec<&'p Tree>,
    /// Those of them that are evaluated in every run: no condition lies before them.
    pub sure: Vec<&'p Tree>,
    /// A condition lies before what is being walked.
    may_be_left_out: bool,
    /// Variables given in tasks and blocks: evaluated when they are read.
    pub vars: Vec<&'p Layer>,
    /// Those of them that not every run reads: a condition lies before them.
    pub perhaps_vars: Vec<&'p Layer>,
    /// Names that tasks define: `register`, `set_fact`, loop variables.
    pub defined: BTreeSet<Arc<str>>,
    /// Names that they define as far as these are known.
    pub patterns: Vec<Pattern>,
    /// Something may define any name.
    pub open: bool,
    /// Handlers: names and topics.
    pub handlers: Vec<&'p Tree>,
    pub notified: Vec<Notified<'p>>,
    pub tasks: Vec<&'p Task>,
    /// Those of them that are done in every run.
    pub sure_tasks: Vec<&'p Task>,
    /// `delegate_facts` stands somewhere: hosts may set each other's variables.
    pub delegates_facts: bool,
    /// Names that `set_fact` sets.
    pub facts: BTreeSet<Arc<str>>,
}

impl<'p> Found<'p> {
    pub fn play(&mut self, play: &'p Play) {
        self.keywords(&play.keywords, play.span);
        self.evaluated(
            play.name.iter().chain(&play.gather_facts).chain(&play.gather_subset).chain(&play.gather_timeout).chain(&play.fact_path),
        );
        self.evaluated(play.force_handlers.iter().chain(&play.max_fail_percentage));
        self.evaluated(play.vars_files.iter().flat_map(|file| &file.candidates));
        self.may_be_left_out = !play.keywords.when.is_empty();
        for section in [&play.pre_tasks, &play.roles, &play.tasks, &play.post_tasks] {
            self.steps(section, false);
        }
        self.may_be_left_out = true;
        self.steps(&play.handlers, true);
        self.may_be_left_out = false;
    }

    /// `certain`: keys of those that are run wherever their plays are.
    pub fn fragments(&mut self, fragments: &'p Fragments, certain: &BTreeSet<Arc<str>>) {
        for (key, steps) in &fragments.tasks {
            let handlers = key.contains("/handlers/") || key.ends_with("/handlers");
            self.may_be_left_out = handlers || !certain.contains(key);
            self.steps(steps, handlers);
        }
        self.may_be_left_out = true;
        for role in fragments.roles.values() {
            self.steps(&role.dependencies, false);
            role.validations.values().for_each(|step| self.steps(std::slice::from_ref(step), false));
        }
        self.may_be_left_out = false;
    }

    fn evaluated(&mut self, trees: impl IntoIterator<Item = &'p Tree>) {
        for tree in trees {
            self.roots.push(tree);
            if !self.may_be_left_out {
                self.sure.push(tree);
            }
        }
    }

    fn steps(&mut self, steps: &'p [Step], handlers: bool) {
        for step in steps {
            match step {
                Step::Task(task) => self.task(task, handlers),
                Step::Block(block) => self.block(block, handlers),
                Step::Include(include) => self.include(include, handlers),
            }
        }
    }

    fn block(&mut self, block: &'p Block, handlers: bool) {
        let around = self.may_be_left_out;
        self.keywords(&block.keywords, block.span);
        self.steps(&block.block, handlers);
        self.steps(&block.always, handlers);
        self.may_be_left_out = true;
        self.steps(&block.rescue, handlers);
        self.may_be_left_out = around;
    }

    fn keywords(&mut self, keywords: &'p Keywords, span: Span) {
        if !keywords.vars.variables.is_empty() {
            self.vars.push(&keywords.vars);
        }
        self.may_be_left_out |= is_never(keywords);
        self.evaluated(&keywords.tags);
        // The first condition is looked at wherever the task is met, another one only where those before it hold.
        for condition in &keywords.when {
            self.evaluated([condition]);
            self.may_be_left_out |= !holds(condition);
        }
        self.evaluated(&keywords.environment);
        let notified = keywords.notify.iter().flatten();
        self.evaluated(notified.clone());
        let sure = !self.may_be_left_out;
        self.notified.extend(notified.map(|name| Notified { name, span, sure }));
        if !sure && !keywords.vars.variables.is_empty() {
            self.perhaps_vars.push(&keywords.vars);
        }
        self.evaluated(keywords.module_defaults.iter().map(|(_, arguments)| arguments));
        let single = [
            &keywords.become_,
            &keywords.become_user,
            &keywords.become_method,
            &keywords.become_flags,
            &keywords.become_exe,
            &keywords.check_mode,
            &keywords.diff,
            &keywords.no_log,
            &keywords.ignore_errors,
            &keywords.ignore_unreachable,
            &keywords.any_errors_fatal,
            &keywords.run_once,
            &keywords.delegate_to,
            &keywords.delegate_facts,
            &keywords.connection,
            &keywords.remote_user,
            &keywords.port,
            &keywords.timeout,
            &keywords.throttle,
        ];
        self.evaluated(single.into_iter().flatten());
        self.delegates_facts |= keywords.delegate_facts.is_some();
    }

    pub fn task(&mut self, task: &'p Task, handlers: bool) {
        let around = self.may_be_left_out;
        self.tasks.push(task);
        self.around(&task.keywords, task.span, task.looping.as_ref());
        if !self.may_be_left_out {
            self.sure_tasks.push(task);
        }
        self.evaluated(task.name.iter().chain(&task.arguments.free_form).chain(&task.arguments.splat));
        self.evaluated(task.arguments.named.iter().map(|argument| &argument.value));
        self.evaluated(task.background.iter().chain(&task.poll));
        self.evaluated(task.changed_when.iter().chain(&task.failed_when).chain(&task.until).chain(&task.retries).chain(&task.delay));
        self.evaluated(&task.listen);
        self.may_be_left_out = around;
        self.defined.extend(task.register.clone());
        if handlers {
            self.handlers.extend(task.name.iter().chain(&task.listen));
        }
        match super::modules::short(&task.module_as_written) {
            "package_facts" => self.defined.extend([Arc::from("packages")]),
            "service_facts" => self.defined.extend([Arc::from("services")]),
            // What else would define is not known (see `absent`).
            name if name.ends_with("_facts") => self.open |= &*task.module == "fail",
            _ => {}
        }
        match &*task.module {
            "set_fact" => {
                self.open |= task.arguments.splat.is_some() || task.arguments.free_form.is_some();
                for argument in &task.arguments.named {
                    self.facts.insert(Arc::clone(&argument.name));
                    self.name(&argument.name);
                }
            }
            "include_vars" => {
                if let Some(name) = task.arguments.named.iter().find(|argument| &*argument.name == "name")
                    && let Some(text) = name.value.literal().and_then(Value::as_str)
                {
                    self.defined.insert(text.into());
                }
                self.open |= task.arguments.splat.is_some();
            }
            "add_host" => {
                self.open |= task.arguments.splat.is_some();
                self.defined.extend(task.arguments.named.iter().map(|argument| Arc::clone(&argument.name)));
            }
            "getent" => {
                self.open |= task.arguments.splat.is_some();
                let database = task.arguments.named.iter().find(|argument| &*argument.name == "database");
                let known = database.and_then(|argument| argument.value.literal()).and_then(Value::as_str);
                self.name(&format!("getent_{}", known.unwrap_or("{{ database }}")).into());
            }
            _ => {}
        }
    }

    /// A defined name, which may be a template.
    fn name(&mut self, name: &Arc<str>) {
        if !crate::source::node::has_template(name) {
            self.defined.insert(Arc::clone(name));
            return;
        }
        let tree = Tree::Template(crate::program::Template { source: Arc::clone(name), span: Span::default() });
        for pattern in patterns(&tree, None) {
            if pattern.is_open() {
                self.open = true;
            }
            self.patterns.push(pattern);
        }
    }

    pub fn include(&mut self, include: &'p Include, handlers: bool) {
        let around = self.may_be_left_out;
        self.around(&include.keywords, include.span, include.looping.as_ref());
        self.keywords(&include.apply, include.span);
        self.evaluated(include.name.iter().chain(&include.listen));
        self.defined.extend(include.register.clone());
        if handlers {
            self.handlers.extend(include.name.iter().chain(&include.listen));
        }
        match &include.what {
            Included::Tasks(name) => self.evaluated([name]),
            Included::Role { name, tasks_from, vars_from, defaults_from, handlers_from, public, allow_duplicates, rolespec_validate } => {
                self.evaluated([name]);
                let optional = [tasks_from, vars_from, defaults_from, handlers_from, public, allow_duplicates, rolespec_validate];
                self.evaluated(optional.into_iter().flatten());
            }
        }
        self.may_be_left_out = around;
    }

    /// Keywords and loop of a task. Its conditions are those of its items, and there may be none.
    fn around(&mut self, keywords: &'p Keywords, span: Span, looping: Option<&'p Loop>) {
        let around = self.may_be_left_out;
        self.may_be_left_out |= looping.is_some_and(|looping| !has_items(looping));
        self.keywords(keywords, span);
        self.may_be_left_out = around || may_leave_out(keywords);
        self.looping(looping);
    }

    fn looping(&mut self, looping: Option<&'p Loop>) {
        let Some(looping) = looping else { return };
        self.evaluated([&looping.items]);
        self.may_be_left_out |= !has_items(looping);
        self.evaluated(
            looping
                .label
                .iter()
                .chain(&looping.pause)
                .chain(&looping.extended)
                .chain(&looping.extended_allitems)
                .chain(&looping.break_when),
        );
        self.defined.insert("item".into());
        self.defined.insert("ansible_loop".into());
        for name in [&looping.loop_var, &looping.index_var].into_iter().flatten() {
            match name.literal().and_then(Value::as_str) {
                Some(name) => {
                    self.defined.insert(name.into());
                }
                None => {
                    self.open = true;
                    self.evaluated([name]);
                }
            }
        }
    }
}

/// Surely one or more.
fn has_items(looping: &Loop) -> bool {
    match &looping.items {
        Tree::List(items) => items.iter().any(|item| item.literal().is_some()),
        Tree::Literal(Value::List(items)) => !items.is_empty(),
        _ => false,
    }
}

fn may_leave_out(keywords: &Keywords) -> bool {
    is_never(keywords) || !keywords.when.iter().all(holds)
}

fn holds(condition: &Tree) -> bool {
    condition.literal() == Some(&Value::Bool(true))
}

fn is_never(keywords: &Keywords) -> bool {
    keywords.tags.iter().any(|tag| tag.literal().and_then(Value::as_str) == Some("never"))
}
