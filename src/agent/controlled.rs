//! The engine as modules of the run see it.

use std::sync::Arc;
use std::time::Duration;

use super::executor::{Executor, Flow};
use super::frame::{Answer, Become, Call, CallMode, Event, Perform, PerformReply, Question};
use super::include::find;
use super::item::{Item, Settings};
use super::performers::Target;
use super::port::Ended;
use super::scope::TaskScope;
use super::sources::at_source;
use crate::module::engine::{Fetched, Parcel};
use crate::module::{Engine, Mode, Outcome};
use crate::program::{Bytes, Clock, Key, Layer, Map, Template, Tree, Value};
use crate::system::{Error, Result};
use crate::template::Scope as _;
use crate::template::jinja::Jinja;

/// One call's way into the executor.
pub struct EngineHandle<'run, 'item> {
    executor: &'run mut Executor,
    item: &'run Item<'item>,
    settings: &'run Settings,
    /// Set where the run ends because of what was asked.
    pub flow: Option<Flow>,
    /// Set where a machine could not be asked.
    pub ended: Option<Ended>,
    /// What was told of changes.
    pub sentences: Vec<String>,
    /// Set where what the task names is not there, or has a mistake.
    pub mistake: Option<crate::template::Error>,
}

impl<'run, 'item> EngineHandle<'run, 'item> {
    pub fn new(executor: &'run mut Executor, item: &'run Item<'item>, settings: &'run Settings) -> Self {
        Self { executor, item, settings, flow: None, ended: None, sentences: Vec::new(), mistake: None }
    }

    /// Asks the task's machine, as the user who acts there.
    fn perform(&mut self, request: Perform) -> Result<PerformReply> {
        match self.executor.performers.perform(&self.settings.target, request) {
            Ok(PerformReply::Unknown(cause)) => Err(Error::unknown(cause)),
            Ok(PerformReply::Failed { outcome, .. }) => {
                Err(Error::failed(outcome.result.get("msg").and_then(Value::as_str).unwrap_or("it failed").to_owned()))
            }
            Ok(reply) => Ok(reply),
            Err(ended) => {
                let error = Error::failed(ended.to_string());
                self.ended = Some(ended);
                Err(error)
            }
        }
    }

    /// Who acts there.
    fn become_(&self) -> Result<Option<Become>> {
        match &self.settings.target {
            Target::User(user) => Ok(Some(user.clone())),
            Target::Host(_) => self.executor.become_of(self.item, !self.settings.locally).map_err(failure),
            Target::Login => Ok(None),
        }
    }

    fn scope(&self) -> TaskScope<'_> {
        TaskScope::new(self.executor, self.item.context, self.item.locals, self.item.at)
    }

    fn ask(&mut self, question: Question) -> Result<Answer> {
        match self.executor.port.ask(question) {
            Ok(Answer::Error { message, hint }) => {
                let error = Error::failed(message);
                Err(match hint {
                    Some(hint) => error.hint(hint),
                    None => error,
                })
            }
            Ok(Answer::Unknown(cause)) => Err(Error::unknown(cause)),
            Ok(answer) => Ok(answer),
            Err(ended) => {
                let error = Error::failed(ended.to_string());
                self.flow = Some(Flow::Ended(ended));
                Err(error)
            }
        }
    }
}

/// Every word inside `{{ … }}`: those that are variables of the scope are what a Handlebars template may read.
fn mustache_names(text: &str) -> std::collections::BTreeSet<&str> {
    let inside = text.split("{{").skip(1).filter_map(|part| part.split("}}").next());
    inside
        .flat_map(|part| part.split(|letter: char| !(letter.is_alphanumeric() || letter == '_')))
        .filter(|word| !word.is_empty())
        .collect()
}

/// A template's error as a module's.
pub fn failure(error: crate::template::Error) -> Error {
    if let Some(cause) = error.unknown_cause() {
        return Error::unknown(Arc::clone(cause));
    }
    let mut failure = Error::failed(error.message);
    failure.hint = error.hint;
    failure
}

impl Engine for EngineHandle<'_, '_> {
    fn evaluate(&mut self, tree: &Tree) -> Result<Value> {
        let scope = self.scope();
        Jinja::new(&scope).evaluate(tree).map_err(failure)
    }

    fn evaluate_expression(&mut self, expression: &str) -> Result<Value> {
        let template = Template { source: expression.into(), span: self.item.task.span };
        let scope = self.scope();
        match Jinja::new(&scope).expression(&template) {
            Err(error) if error.is_undefined() => Ok(Value::Undefined(expression.into())),
            other => other.map_err(failure),
        }
    }

    fn condition(&mut self, condition: &Tree) -> Result<bool> {
        let scope = self.scope();
        Jinja::new(&scope).condition(condition).map_err(failure)
    }

    fn written(&self, argument: &str) -> Option<Tree> {
        let task = self.item.task;
        let named = task.arguments.named.iter().rev().find(|given| *given.name == *argument).map(|given| given.value.clone());
        named.or_else(|| task.arguments.splat.as_ref().and_then(|splat| splat.get(argument)))
    }

    fn written_variable(&self, name: &str) -> Option<Tree> {
        if self.item.locals.contains_key(name)
            || self.executor.state.variables.contains_key(name)
            || self.executor.state.injected.contains_key(name)
        {
            return None;
        }
        self.scope().find(name).map(|(tree, _)| (*tree).clone())
    }

    fn variable(&mut self, name: &str) -> Result<Option<Value>> {
        let scope = self.scope();
        let value = match scope.variable(name) {
            Ok(Some(tree)) => Jinja::new(&scope).evaluate(&tree).map(Some),
            other => other.map(|_| None),
        };
        match value {
            Err(error) => match error.unknown_cause() {
                Some(cause) => Ok(Some(Value::Unknown(Arc::clone(cause)))),
                None => Err(failure(error)),
            },
            Ok(value) => Ok(value),
        }
    }

    fn is_registered(&self) -> bool {
        self.item.task.register.is_some()
    }

    fn verbosity(&self) -> u8 {
        self.executor.program.settings.verbosity
    }

    fn find_source(&mut self, kind: &str, name: &str) -> Result<Arc<str>> {
        if kind == "vars" {
            if let Some((path, _)) = find(&self.executor.found.vars, &[], name) {
                return Ok(path);
            }
            let folders = self.executor.search_folders(kind, self.item.context);
            if let Some((path, _)) = self.executor.find_vars(&folders, name) {
                return Ok(path);
            }
            self.executor.miss(|missed| &mut missed.vars, name);
        }
        match self.executor.find_file(kind, name, self.item.context).map(|(path, _)| path) {
            Ok(path) => Ok(path),
            Err(error) => {
                let error = at_source(error, self.item.task);
                self.mistake = Some(error.clone());
                Err(failure(error))
            }
        }
    }

    fn source_mode(&mut self, path: &str) -> Result<u32> {
        match self.executor.file_at(path) {
            Some(crate::program::File::Plain { mode, .. } | crate::program::File::Directory { mode, .. }) => Ok(*mode),
            _ => Err(Error::failed(format!("the mode of {path} was not sent with the program"))),
        }
    }

    fn source_bytes(&mut self, path: &str) -> Result<Arc<[u8]>> {
        self.executor.file_bytes(path).map_err(failure)
    }

    fn source_files(&mut self, path: &str) -> Result<Vec<String>> {
        let prefix = format!("{}/", path.trim_end_matches('/'));
        let program = &self.executor.program;
        let files = program.files.iter().chain(&self.executor.found.files);
        let names = files.filter(|(_, file)| matches!(file, crate::program::File::Plain { .. })).map(|(path, _)| path);
        let mut found: Vec<String> =
            names.chain(program.fragments.vars.keys()).filter_map(|path| path.strip_prefix(&prefix)).map(str::to_owned).collect();
        found.sort();
        found.dedup();
        Ok(found)
    }

    fn vars_file(&mut self, path: &str) -> Result<Arc<Layer>> {
        if let Some(layer) = self.executor.found.vars.get(path) {
            return Ok(Arc::clone(layer));
        }
        if let Some(mistake) = self.executor.program.fragments.mistakes.get(path) {
            let error = crate::template::Error::mistake(mistake);
            self.mistake = Some(error.clone());
            return Err(failure(error));
        }
        let layer = self.executor.program.fragments.vars.get(path).map(Arc::clone);
        layer.ok_or_else(|| {
            self.executor.miss(|missed| &mut missed.vars, path);
            Error::failed(format!("{path} was not sent with the program as a file of variables"))
        })
    }

    fn include_vars(&mut self, layer: Arc<Layer>) -> Result<()> {
        self.executor.masker.learn_layer(&layer);
        self.executor.state.included.push(layer);
        Ok(())
    }

    fn render_file(&mut self, path: &str, options: &crate::template::Options, extra: Map) -> Result<String> {
        let bytes = self.executor.file_bytes(path).map_err(failure)?;
        let text = String::from_utf8(bytes.to_vec()).map_err(|_| Error::failed(format!("template {path} is not UTF-8 text")))?;
        let mut locals = self.item.locals.clone();
        locals.extend(extra);
        let scope = TaskScope::new(self.executor, self.item.context, &locals, self.item.at).inside(path);
        let template = Template { source: text.into(), span: crate::program::Span { file: u32::MAX, line: 1, column: 1 } };
        let rendered = Jinja::new(&scope).render_with(&template, options).map_err(|error| {
            let place = error.span.filter(|span| span.file == u32::MAX).map(|span| format!("{path}:{}:{}: ", span.line, span.column));
            let mut error = error;
            if let Some(place) = place {
                error.message = format!("{place}{}", error.message);
            }
            failure(error)
        })?;
        if rendered.is_secret() {
            self.executor.masker.add(rendered.as_str());
        }
        Ok(rendered.as_str().to_owned())
    }

    fn render_handlebars(&mut self, path: &str, extra: Map) -> Result<String> {
        let bytes = self.executor.file_bytes(path).map_err(failure)?;
        let text = String::from_utf8(bytes.to_vec()).map_err(|_| Error::failed(format!("template {path} is not UTF-8 text")))?;
        let mut data = Map::new();
        {
            let scope = self.scope().inside(path);
            let jinja = Jinja::new(&scope);
            for name in mustache_names(&text) {
                let tree = match (scope.of_template(name).map_err(failure)?, scope.find(name)) {
                    (Some(value), _) => Some(Arc::new(Tree::Literal(value))),
                    (None, Some((tree, _))) => Some(tree),
                    (None, None) if name == "ansible_managed" => Some(Arc::new(scope.managed().map_err(failure)?)),
                    (None, None) => None,
                };
                if let Some(tree) = tree {
                    data.insert(Key::from(name), jinja.evaluate(&tree).map_err(failure)?);
                }
            }
        }
        data.extend(extra);
        self.executor.masker.learn(&Value::map(data.clone()));
        crate::template::handlebars::render(path, &text, &data).map_err(failure)
    }

    fn set_facts(&mut self, facts: Map, cacheable: bool) -> Result<()> {
        if let Some(host) = self.executor.facts_for(self.item).map_err(failure)? {
            self.ask(Question::SetHostFacts { host, facts })?;
            return Ok(());
        }
        for (key, value) in &facts {
            self.executor.masker.learn(value);
            self.executor.state.variables.insert(key.clone(), value.clone());
        }
        if cacheable {
            self.executor.state.add_facts(&facts);
        }
        self.executor.publish(self.item.at, &facts);
        Ok(())
    }

    fn group_by(&mut self, group: &str, parents: &[String]) -> Result<bool> {
        let parents = parents.iter().map(|parent| Arc::from(parent.as_str())).collect();
        let answer = self.ask(Question::GroupBy { group: group.into(), parents })?;
        Ok(matches!(answer, Answer::Changed(true)) && self.settings.mode != CallMode::Check)
    }

    fn mode(&self) -> Mode {
        match self.settings.mode {
            CallMode::Plan => Mode::Plan,
            CallMode::Apply => Mode::Apply,
            CallMode::Check => Mode::Check,
        }
    }

    fn read(&mut self, module: &'static str, arguments: Map) -> Result<Outcome> {
        let call = Call {
            module: module.into(),
            arguments,
            mode: self.settings.mode,
            environment: self.settings.environment.clone(),
            become_: self.become_()?,
            label: self.executor.task_name(self.item),
            ..Call::default()
        };
        match self.perform(Perform::Plan(Box::new(call)))? {
            PerformReply::Planned(planned) => Ok(planned.outcome),
            _ => Err(Error::failed("the worker answered out of turn")),
        }
    }

    fn part(&mut self, path: &str, offset: u64) -> Result<Bytes> {
        let become_ = self.become_()?;
        match self.perform(Perform::Read { path: path.into(), offset, become_ })? {
            PerformReply::Part(bytes) => Ok(bytes),
            _ => Err(Error::failed("the worker answered out of turn")),
        }
    }

    fn keep(&mut self, parcel: Parcel) -> Result<Fetched> {
        let folder = self.executor.playbook_dir().unwrap_or_default();
        match self.ask(Question::Keep(Box::new(Parcel { playbook_dir: folder, ..parcel })))? {
            Answer::Fetched(fetched) => Ok(fetched),
            _ => Err(Error::failed("the controller answered out of turn")),
        }
    }

    fn clock(&mut self) -> Result<Clock> {
        match self.ask(Question::Clock)? {
            Answer::Clock(clock) => Ok(clock),
            _ => Err(Error::failed("the controller answered out of turn")),
        }
    }

    fn wait(&mut self, duration: Duration, doing: &str) -> Result<()> {
        let name = self.executor.task_name(self.item);
        let doing = self.executor.masker.mask(doing).into();
        self.executor.port.event(Event::Started { position: self.item.at.clone(), name, doing: Some(doing) });
        self.executor.wait(duration).map_err(|ended| {
            let error = Error::failed(ended.to_string());
            self.flow = Some(Flow::Ended(ended));
            error
        })
    }

    fn warn(&mut self, message: &str) {
        self.executor.warn(message);
    }

    fn prompt(&mut self, text: &str, echo: bool) -> Result<Option<Value>> {
        let name = self.executor.task_name(self.item);
        let text: Arc<str> = format!("[{name}]\n{}", self.executor.masker.mask(text)).into();
        match self.ask(Question::Prompt { text, echo })? {
            Answer::Value(typed) => {
                typed.iter().for_each(|typed| self.executor.masker.learn(typed));
                Ok(typed)
            }
            _ => Err(Error::failed("the controller answered out of turn")),
        }
    }

    fn act(&mut self, sentence: String) -> Result<bool> {
        self.sentences.push(sentence);
        if self.settings.mode != CallMode::Apply {
            return Ok(false);
        }
        match self.executor.may_tell(self.item, &self.sentences) {
            Ok(()) => Ok(true),
            Err(flow) => {
                self.flow = Some(flow);
                Err(Error::failed("the run ends here"))
            }
        }
    }

    fn add_host(&mut self, name: &str, groups: &[String], variables: Map) -> Result<bool> {
        let groups = groups.iter().map(|group| Arc::from(group.as_str())).collect();
        let answer = self.ask(Question::AddHost { name: name.into(), groups, variables })?;
        Ok(matches!(answer, Answer::Changed(true)))
    }
}
