//! `include_tasks` and `include_role`: what is spliced in at run time.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::cleared::Nesting;
use super::context::Context;
use super::executor::{Executor, Flow};
use super::frame::Event;
use super::item::ItemRun;
use super::task::{Items, LoopControl, awaits_conditions, summarise};
use crate::program::{
    Block, Fragments, Given, Include, Included, IncludedRole, Keywords, Layer, Map, Position, Role, RoleScope, Step, Task, Tree, Value,
    play::Variable,
};
use crate::template::{Error, Result};

/// What the conditions say of an item.
enum Taken {
    Yes,
    /// Its condition that is false.
    No(Value),
    /// It was done before the machine restarted.
    Before,
}

/// Shown and counted as the task that an include is.
fn as_task(include: &Include) -> Task {
    let module = include.module();
    Task {
        name: include.name.clone(),
        span: include.span,
        keywords: include.keywords.clone(),
        module: module.into(),
        module_as_written: module.into(),
        register: include.register.clone(),
        digest: Arc::clone(&include.digest),
        ..Task::default()
    }
}

impl Executor {
    /// Runs an include over its items.
    pub fn run_include(&mut self, include: &Include, parent: &Context<'_>, at: &Position) -> Flow {
        let context = parent.child(&include.keywords);
        self.folder_of_task = None;
        match self.selected(&context, at) {
            Ok(true) => {}
            Ok(false) => return Flow::Next,
            Err(error) => return self.include_error(include, &context, at, &error),
        }
        if self.resume.is_none() && !self.has_started(include.name.as_ref(), include.module(), &context) {
            return Flow::Next;
        }
        let is_awaited = self.resume.is_none() && self.program.awaits_files.contains_key(&include.span);
        if is_awaited && !matches!(self.conditions(&context, &Map::new(), at), Ok(Some(_))) {
            match self.look_before(include.span, at) {
                Err(ended) => return Flow::Ended(ended),
                Ok(Some(cause)) => return self.include_error(include, &context, at, &Error::unknown(cause)),
                Ok(None) => {}
            }
        }
        let (control, items) = match &include.looping {
            None => (None, Items::Single),
            Some(looping) => {
                let control = match self.loop_control(looping, &context, at) {
                    Ok(control) => control,
                    Err(error) => return self.include_error(include, &context, at, &error),
                };
                match self.found_items(looping, include.module(), &context, at) {
                    Err(ended) => return Flow::Ended(ended),
                    Ok(Ok(items)) => (Some(control), Items::List(items)),
                    Ok(Err(error)) => (Some(control), Items::Error(error)),
                }
            }
        };
        let (items, control) = match (items, control) {
            (Items::List(items), Some(control)) => (items, control),
            (Items::Error(error), _) => {
                return match self.conditions(&context, &Map::new(), at) {
                    Ok(Some(condition)) if awaits_conditions(&error) => {
                        self.include_skipped(include, &context, at, &[ItemRun::without(condition)])
                    }
                    _ => self.include_error(include, &context, at, &error),
                };
            }
            _ => {
                let (locals, inner) = (Map::new(), at.child(0));
                return match self.is_taken(&context, &locals, &inner) {
                    Ok(Taken::Yes) => self.include_once(include, parent, &context, &locals, None, &inner),
                    Ok(Taken::Before) => Flow::Next,
                    Ok(Taken::No(condition)) => self.include_skipped(include, &context, at, &[ItemRun::without(condition)]),
                    Err(error) => self.include_error(include, &context, &inner, &error),
                };
            }
        };
        // As in Ansible all conditions come first: what one item brings decides nothing about the next.
        let (mut taken, mut skipped) = (Vec::new(), Vec::new());
        for (index, item) in items.iter().enumerate() {
            let (locals, inner) = (control.locals(&items, index), at.child(index as u32));
            match self.is_taken(&context, &locals, &inner) {
                Ok(Taken::Yes) => taken.push((locals, inner)),
                Ok(Taken::Before) => {}
                Ok(Taken::No(condition)) => {
                    let mut run = ItemRun::without(condition);
                    run.decorate(&control, item, index, &locals);
                    let label = include.looping.as_ref().and_then(|looping| looping.label.as_ref());
                    let label = label.and_then(|label| self.evaluate(label, &context, &locals, at).ok());
                    run.label = Some(label.unwrap_or_else(|| item.clone()));
                    skipped.push(run);
                }
                Err(error) => return self.include_error(include, &context, &inner, &error),
            }
        }
        if self.resume.is_none() {
            if items.is_empty() {
                return self.include_skipped(include, &context, at, &[ItemRun::without_items()]);
            }
            if taken.is_empty() {
                return self.include_skipped(include, &context, at, &skipped);
            }
            // Ansible counts a loop as skipped where all of it is.
            let task = as_task(include);
            skipped.iter().for_each(|run| self.conclude(&task, &context, at, run, false));
        }
        for (locals, inner) in &taken {
            match self.include_once(include, parent, &context, locals, Some(&control), inner) {
                Flow::Next => {}
                other => return other,
            }
        }
        Flow::Next
    }

    /// Whether the item's conditions take it. What a restart was inside of was taken then.
    fn is_taken(&self, context: &Context<'_>, locals: &Map, at: &Position) -> Result<Taken> {
        match &self.resume {
            Some(resume) if resume.is_inside(at) => return Ok(Taken::Yes),
            Some(resume) if !resume.reaches(at) => return Ok(Taken::Before),
            _ => {}
        }
        Ok(self.conditions(context, locals, at)?.map_or(Taken::Yes, Taken::No))
    }

    fn include_once(
        &mut self,
        include: &Include,
        parent: &Context<'_>,
        own: &Context<'_>,
        locals: &Map,
        control: Option<&LoopControl>,
        at: &Position,
    ) -> Flow {
        // The include's own variables and the loop's: parameters of what is included.
        let mut parameters = include.keywords.vars.clone();
        parameters.origin = "include parameters".into();
        for variable in &mut parameters.variables {
            // Evaluated here where they name the loop's variables; else they stay lazy.
            if control.is_some()
                && let Ok(value) = self.evaluate(&variable.value, own, locals, at)
            {
                variable.value = Arc::new(Tree::Literal(value));
            }
        }
        for (key, value) in locals {
            parameters.variables.push(Variable {
                name: key.text().into_owned().into(),
                value: Arc::new(Tree::Literal(value.clone())),
                span: include.span,
            });
        }
        let nesting = std::mem::replace(&mut self.nesting, Nesting::File);
        let flow = match &include.what {
            Included::Tasks(name) => self.include_tasks(include, name, parent, own, locals, &parameters, at),
            Included::Role { .. } => self.include_role(include, parent, own, locals, &parameters, at),
        };
        self.nesting = nesting;
        match flow {
            Ok(flow) => flow,
            Err(error) => self.include_error(include, own, at, &error),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one call, all of it the include's own scope")]
    fn include_tasks(
        &mut self,
        include: &Include,
        name: &Tree,
        parent: &Context<'_>,
        own: &Context<'_>,
        locals: &Map,
        parameters: &Layer,
        at: &Position,
    ) -> Result<Flow> {
        let Some(file) = self.text_of(name, own, locals, at)? else {
            return Err(Error::failed("include_tasks: no file is named").at(include.span));
        };
        let tasks = &self.program.fragments.tasks;
        let Some((path, steps)) = find(tasks, &include.search, &file) else {
            let error = self.not_found("file", &file, include);
            return Ok(self.refused(include, own, at, &error, false));
        };
        let steps: Arc<Vec<Step>> = Arc::clone(steps);
        if let Some(mistake) = self.program.fragments.mistakes.get(&path).cloned() {
            return Ok(self.refused(include, own, at, &Error::mistake(&mistake), mistake.is_of_text));
        }
        self.port.event(Event::Included { position: at.clone(), name: path });
        // It was counted before the machine restarted inside of it.
        if self.resume.is_none() {
            self.state.recap.ok += 1;
            self.state.tasks += 1;
        }
        let empty = Keywords::default();
        let mut applied = parent.child(&include.apply);
        applied.parameters = Some(parameters);
        let inner = applied.child(&empty);
        Ok(self.run_steps(&steps, &inner, at))
    }

    fn include_role(
        &mut self,
        include: &Include,
        parent: &Context<'_>,
        own: &Context<'_>,
        locals: &Map,
        parameters: &Layer,
        at: &Position,
    ) -> Result<Flow> {
        let Included::Role { name, tasks_from, vars_from, defaults_from, handlers_from, public, rolespec_validate, .. } = &include.what
        else {
            return Ok(Flow::Next);
        };
        let text = |tree: &Option<Tree>, default: &str| match tree {
            Some(tree) => self.text_of(tree, own, locals, at).map(|text| text.unwrap_or_else(|| default.into())),
            None => Ok(default.into()),
        };
        let Some(name) = self.text_of(name, own, locals, at)? else {
            return Err(Error::failed("include_role: no role is named").at(include.span));
        };
        let (tasks, vars, defaults, handlers) =
            (text(tasks_from, "main")?, text(vars_from, "main")?, text(defaults_from, "main")?, text(handlers_from, "main")?);
        let stem =
            |name: &Arc<str>| -> Arc<str> { name.strip_suffix(".yml").or_else(|| name.strip_suffix(".yaml")).unwrap_or(name).into() };
        let fragments = &self.program.fragments;
        let mistake = fragments.mistakes.get(&Fragments::entry_point(&name, &stem(&tasks))).cloned();
        let role: Arc<Role> = match (fragments.roles.get(&name), mistake) {
            (Some(role), None) => Arc::clone(role),
            (Some(_), Some(mistake)) => return Ok(self.refused(include, own, at, &Error::mistake(&mistake), mistake.is_of_text)),
            (None, Some(mistake)) => {
                let error = Error { span: Some(include.named), ..Error::mistake(&mistake) };
                return Ok(self.refused(include, own, at, &error, mistake.is_of_text));
            }
            (None, None) => {
                let error = self.not_found("role", &name, include);
                return Ok(self.refused(include, own, at, &error, false));
            }
        };
        let layer = |table: &BTreeMap<Arc<str>, Arc<str>>, name: &Arc<str>| -> Result<Vec<Arc<Layer>>> {
            match table.get(&stem(name)) {
                Some(path) => Ok(self.program.fragments.vars.get(path).map(Arc::clone).into_iter().collect()),
                None if &**name == "main" => Ok(Vec::new()),
                None => Err(no_part("vars file", name, &role.scope, table.keys()).at(include.named)),
            }
        };
        let scoped = IncludedRole { defaults: layer(&role.defaults, &defaults)?, vars: layer(&role.vars, &vars)? };
        let is_public = public.as_ref().map_or(Ok(false), |tree| self.flag(tree, own, locals, at))?;
        let validates = rolespec_validate.as_ref().map_or(Ok(true), |tree| self.flag(tree, own, locals, at))?;
        let steps = match role.tasks.get(&stem(&tasks)) {
            Some(path) => self.program.fragments.tasks.get(path).map(Arc::clone),
            None if &*tasks == "main" => None,
            None => return Err(no_part("tasks file", &tasks, &role.scope, role.tasks.keys()).at(include.named)),
        };
        let handler_steps = role.handlers.get(&stem(&handlers)).and_then(|path| self.program.fragments.tasks.get(path)).map(Arc::clone);
        self.port.event(Event::Included { position: at.clone(), name: Arc::clone(&name) });
        // It was counted before the machine restarted inside of it.
        if self.resume.is_none() {
            self.state.recap.ok += 1;
            self.state.tasks += 1;
        }
        if is_public {
            self.public_roles.push(scoped.clone());
        }
        if let Some(handlers) = handler_steps {
            self.add_handlers(&role, &handlers, &scoped, include, parent, parameters);
        }
        let mut applied = parent.child(&include.apply);
        applied.parameters = Some(parameters);
        let empty = Keywords::default();
        let mut inner = applied.child(&empty);
        inner.role = Some(&role.scope);
        inner.included = Some(&scoped);
        match self.run_steps(&role.dependencies, &inner, &at.child(0)) {
            Flow::Next => {}
            other => return Ok(other),
        }
        if let Some(validation) = role.validations.get(&tasks).filter(|_| validates) {
            let behind = at.child(0).child(role.dependencies.len() as u32);
            match self.run_steps(std::slice::from_ref(validation), &inner, &behind) {
                Flow::Next => {}
                other => return Ok(other),
            }
        }
        Ok(match steps {
            Some(steps) => match self.run_steps(&steps, &inner, &at.child(1)) {
                Flow::EndRole => Flow::Next,
                other => other,
            },
            None => Flow::Next,
        })
    }

    /// Handlers of an included role join the play's, below all that the include stands in: they see its variables and become its user.
    fn add_handlers(
        &mut self,
        role: &Arc<Role>,
        handlers: &Arc<Vec<Step>>,
        scoped: &IncludedRole,
        include: &Include,
        parent: &Context<'_>,
        parameters: &Layer,
    ) {
        let Some(play) = &self.play else { return };
        let span = include.span;
        let wrapped = |keywords: Keywords, role: Option<RoleScope>, given: Given, block: Vec<Step>| {
            // Handlers run whatever the tags are.
            let keywords = Keywords { tags: Vec::new(), ..keywords };
            let given = (given.parameters.is_some() || given.included.is_some()).then(|| Arc::new(given));
            vec![Step::Block(Box::new(Block { span, keywords, role, given, block, ..Block::default() }))]
        };
        let own = Given { parameters: None, included: Some(scoped.clone()) };
        let mut steps = wrapped(Keywords::default(), Some(role.scope.clone()), own, handlers.to_vec());
        steps = wrapped(include.apply.clone(), None, Given { parameters: Some(parameters.clone()), included: None }, steps);
        for link in parent.chain().filter(|link| link.parent.is_some()) {
            let layer = link.parameter_layer.and_then(|id| self.program.layers.get(id as usize));
            let given = Given { parameters: link.parameters.or(layer).cloned(), included: link.included.cloned() };
            steps = wrapped(link.keywords.clone(), link.role.cloned(), given, steps);
        }
        let mut play = (**play).clone();
        // The same role once more: its handlers stay where they are, with what is given now.
        let before = play.handlers.iter().position(|step| {
            innermost(step).is_some_and(|block| {
                block.given.is_some()
                    && block.block.len() == handlers.len()
                    && block.role.as_ref().is_some_and(|known| known.path == role.scope.path)
            })
        });
        match before {
            Some(index) => play.handlers.splice(index..=index, steps).for_each(drop),
            None => play.handlers.extend(steps),
        }
        self.play = Some(Arc::new(play));
        self.handlers = None;
    }

    /// What was to be included is not there or has a mistake. As in Ansible `ignore_errors` is not for it.
    fn refused(&mut self, include: &Include, own: &Context<'_>, at: &Position, error: &Error, beyond_rescue: bool) -> Flow {
        let task = as_task(include);
        // The include's own place, not that of what it would have brought.
        let at = &Position(at.0[..at.0.len().saturating_sub(1)].to_vec());
        if beyond_rescue {
            self.report_beyond_rescue(&task, own, at, error)
        } else {
            self.report_failure(&task, own, at, ItemRun::failed_with(error))
        }
    }

    /// What was to be included is not there.
    fn not_found(&self, what: &str, name: &str, include: &Include) -> Error {
        let error = Error::failed(format!("there is no {what} `{name}`")).at(include.named);
        match include.search.as_slice() {
            [] => error,
            folders => error.hint(format!("searched in {}", self.shown_folders(folders))),
        }
    }

    fn include_error(&mut self, include: &Include, context: &Context<'_>, at: &Position, error: &Error) -> Flow {
        let task = as_task(include);
        if let Some(cause) = error.unknown_cause() {
            self.state.opaque.get_or_insert_with(|| Arc::clone(cause));
        }
        self.report_error(&task, context, at, error)
    }

    /// Nothing of it is taken: shown, counted and registered as a task that is skipped.
    fn include_skipped(&mut self, include: &Include, context: &Context<'_>, at: &Position, runs: &[ItemRun]) -> Flow {
        let task = as_task(include);
        for (index, run) in runs.iter().enumerate() {
            self.conclude(&task, context, at, run, index + 1 == runs.len());
        }
        let value = match runs {
            [run] if !run.in_loop => run.value.clone(),
            runs => summarise(&runs.iter().map(|run| run.value.clone()).collect::<Vec<_>>(), runs),
        };
        self.after(&task, context, at, value, runs)
    }

    /// Finds a vars file among what was sent.
    pub fn find_vars(&self, search: &[Arc<str>], name: &str) -> Option<(Arc<str>, Arc<Layer>)> {
        find(&self.program.fragments.vars, search, name).map(|(path, layer)| (path, Arc::clone(layer)))
    }

    /// `vars_files` of a play: each entry's first candidate that exists. Called before and after facts: names may hold facts.
    pub fn load_vars_files(&mut self, play: &crate::program::Play, context: &Context<'_>, at: &Position) -> std::result::Result<(), Flow> {
        if !play.vars_files.is_empty()
            && let Some(cause) = self.look_before(play.span, at).map_err(Flow::Ended)?
        {
            self.state.opaque.get_or_insert(cause);
        }
        let mut loaded = Vec::new();
        for entry in &play.vars_files {
            let mut found = None;
            let mut names = Vec::new();
            for candidate in &entry.candidates {
                // Not yet, or not at all: what needs it will say what is missing.
                let Ok(Some(name)) = self.text_of(candidate, context, &Map::new(), at) else { continue };
                let folder = play.magic.get("playbook_dir").and_then(Value::as_str).map(Arc::from);
                let search: Vec<Arc<str>> =
                    folder.into_iter().flat_map(|folder: Arc<str>| [Arc::from(format!("{folder}/vars")), folder]).collect();
                found = self.find_vars(&search, &name);
                names.push(name);
                if found.is_some() {
                    break;
                }
            }
            match found {
                Some((_, layer)) => loaded.push(layer),
                // What is not known may give it.
                None if self.state.opaque.is_some() => {}
                None if names.len() == entry.candidates.len() => {
                    let error = Error::failed(format!("vars_files: none of {} was found", names.join(", "))).at(entry.span);
                    let task =
                        Task { module: "vars_files".into(), module_as_written: "vars_files".into(), span: entry.span, ..Task::default() };
                    return Err(self.report_error(&task, context, at, &error));
                }
                None => {}
            }
        }
        self.state.vars_files = loaded;
        Ok(())
    }
}

/// The block of a role's handlers inside of what the run put around it.
fn innermost(step: &Step) -> Option<&Block> {
    let Step::Block(block) = step else { return None };
    match block.block.as_slice() {
        [inner @ Step::Block(_)] => innermost(inner),
        _ => Some(block),
    }
}

/// A file of a table by name: absolute, or in the folders searched, in order.
pub fn find<'table, T>(table: &'table BTreeMap<Arc<str>, T>, search: &[Arc<str>], name: &str) -> Option<(Arc<str>, &'table T)> {
    let candidates = std::iter::once(PathBuf::from(name)).chain(search.iter().map(|folder| Path::new(&**folder).join(name)));
    candidates.filter(|path| path.is_absolute()).find_map(|path| {
        let path = normal(&path);
        table.get_key_value(&*path).map(|(key, value)| (Arc::clone(key), value))
    })
}

/// Without `.` and `..`.
pub fn normal(path: &Path) -> String {
    let mut parts: Vec<Component<'_>> = Vec::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    parts.iter().collect::<PathBuf>().to_string_lossy().into_owned()
}

/// A part of a role that is not there.
fn no_part<'name>(what: &str, name: &str, role: &RoleScope, known: impl Iterator<Item = &'name Arc<str>>) -> Error {
    let error = Error::failed(format!("role `{}` has no {what} `{name}`", role.name));
    let known: Vec<&str> = known.map(|name| &**name).collect();
    if known.is_empty() { error } else { error.hint(format!("there is {}", known.join(", "))) }
}
