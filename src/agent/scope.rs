//! Variables as one task sees them, by Ansible's precedence, with a record of what was read.

use std::cell::{OnceCell, RefCell};
use std::sync::Arc;

use super::context::Context;
use super::executor::{Executor, Pass};
use super::frame::{Answer, Question, TemplateFile};
use crate::program::{Key, Layer, Map, Position, Tree, Value, collection_role};
use crate::template::{Error, Result, Scope};

/// What an evaluation read.
#[derive(Clone, Debug, Default)]
pub struct Reads {
    /// Names, with the origin of the value that won.
    pub names: Vec<(Arc<str>, Arc<str>)>,
    /// Other hosts.
    pub hosts: Vec<Arc<str>>,
}

/// The scope of a task (and, in a loop, of an item).
pub struct TaskScope<'run> {
    pub executor: &'run Executor,
    pub context: &'run Context<'run>,
    /// Loop variables and what the engine adds for the moment: they beat everything.
    pub locals: &'run Map,
    pub position: &'run Position,
    pub reads: RefCell<Reads>,
    /// The template file that is being rendered, by its path on the controller.
    pub template: Option<&'run str>,
    /// What the controller told of that file: asked for once while it is rendered.
    pub about: OnceCell<TemplateFile>,
}

/// From this verbosity on a result says where the variables come from that it hangs on.
const NOTES: u8 = 2;

impl<'run> TaskScope<'run> {
    pub fn new(executor: &'run Executor, context: &'run Context<'run>, locals: &'run Map, position: &'run Position) -> Self {
        Self { executor, context, locals, position, reads: RefCell::default(), template: None, about: OnceCell::new() }
    }

    /// The same scope inside of a template file.
    #[must_use]
    pub fn inside(self, template: &'run str) -> Self {
        Self { template: Some(template), about: OnceCell::new(), ..self }
    }

    fn record(&self, name: &str, origin: &Arc<str>) {
        if self.executor.program.settings.verbosity >= NOTES {
            let mut noted = self.executor.noted.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            noted.insert(name.into(), Arc::clone(origin));
        }
        let mut reads = self.reads.borrow_mut();
        if !reads.names.iter().any(|(known, _)| **known == *name) {
            reads.names.push((name.into(), Arc::clone(origin)));
        }
    }

    /// The layers of users' files that come before facts, highest precedence first, from task vars down to play vars.
    fn find_in_files(&self, name: &str) -> Option<(Arc<Tree>, Arc<str>)> {
        let program = &self.executor.program;
        let layer = |id: u32| program.layers.get(id as usize);
        let found = |layer: &Layer| layer.get(name).map(|variable| (Arc::clone(&variable.value), Arc::clone(&layer.origin)));
        // Task and block vars, innermost first; a role's own vars lie below all block vars of its tasks.
        let mut roles = Vec::new();
        for context in self.context.chain() {
            if context.parent.is_some()
                && let Some(hit) = found(&context.keywords.vars)
            {
                return Some(hit);
            }
            roles.push(context);
        }
        for context in &roles {
            if let Some(included) = context.included
                && let Some(hit) = included.vars.iter().rev().find_map(|layer| found(layer))
            {
                return Some(hit);
            }
            if let Some(role) = context.role
                && let Some(hit) = role.vars.iter().rev().find_map(|id| found(layer(*id)?))
            {
                return Some(hit);
            }
        }
        let play = self.executor.play.as_deref();
        if let Some(hit) = play.and_then(|play| play.role_vars.iter().rev().find_map(|id| found(layer(*id)?))) {
            return Some(hit);
        }
        if let Some(hit) = self.executor.public_roles.iter().rev().flat_map(|role| role.vars.iter().rev()).find_map(|layer| found(layer)) {
            return Some(hit);
        }
        if let Some(hit) = self.executor.state.vars_files.iter().rev().find_map(|layer| found(layer)) {
            return Some(hit);
        }
        found(&play?.keywords.vars)
    }

    fn find_defaults(&self, name: &str) -> Option<(Arc<Tree>, Arc<str>)> {
        let program = &self.executor.program;
        let found = |layer: &Layer| layer.get(name).map(|variable| (Arc::clone(&variable.value), Arc::clone(&layer.origin)));
        for context in self.context.chain() {
            if let Some(included) = context.included
                && let Some(hit) = included.defaults.iter().rev().find_map(|layer| found(layer))
            {
                return Some(hit);
            }
            if let Some(role) = context.role
                && let Some(hit) = role.defaults.iter().rev().find_map(|id| found(program.layers.get(*id as usize)?))
            {
                return Some(hit);
            }
        }
        let play = self.executor.play.as_deref();
        play.and_then(|play| play.role_defaults.iter().rev().find_map(|id| found(program.layers.get(*id as usize)?)))
            .or_else(|| self.executor.public_roles.iter().rev().flat_map(|role| role.defaults.iter().rev()).find_map(|layer| found(layer)))
    }

    fn find_parameters(&self, name: &str) -> Option<(Arc<Tree>, Arc<str>)> {
        let program = &self.executor.program;
        let found = |layer: &Layer| layer.get(name).map(|variable| (Arc::clone(&variable.value), Arc::clone(&layer.origin)));
        self.context.chain().find_map(|context| {
            let of = |id: Option<u32>| id.and_then(|id| program.layers.get(id as usize)).and_then(found);
            context
                .parameters
                .and_then(found)
                .or_else(|| of(context.parameter_layer))
                .or_else(|| of(context.role.and_then(|role| role.parameters)))
        })
    }

    /// The variable with the origin of what won, highest precedence first; not what other hosts may have told.
    pub fn find(&self, name: &str) -> Option<(Arc<Tree>, Arc<str>)> {
        self.find_set(name).or_else(|| self.find_given(name))
    }

    /// A variable that another host has set for this one (`delegate_facts`).
    fn find_told(&self, name: &str) -> Result<Option<(Arc<Tree>, Arc<str>)>> {
        if !self.executor.program.told.contains(name) {
            return Ok(None);
        }
        match self.ask(Question::Told { name: name.into(), position: self.position.clone() })? {
            Answer::Value(Some(value)) => Ok(Some((Arc::new(Tree::Literal(value)), Arc::from("another host's task")))),
            _ => Ok(None),
        }
    }

    /// What is set by the loop, the command line, the task or the run itself.
    fn find_set(&self, name: &str) -> Option<(Arc<Tree>, Arc<str>)> {
        let executor = self.executor;
        let literal = |value: &Value, origin: &str| (Arc::new(Tree::Literal(value.clone())), Arc::from(origin));
        if let Some(value) = self.locals.get(name) {
            return Some(literal(value, "the loop"));
        }
        if let Some(value) = self.magic(name) {
            return Some((Arc::new(Tree::Literal(value)), Arc::from("the run")));
        }
        if let Some(variable) = executor.program.extra.get(name) {
            return Some((Arc::clone(&variable.value), Arc::clone(&executor.program.extra.origin)));
        }
        if let Some(hit) = self.find_parameters(name) {
            return Some(hit);
        }
        executor.state.variables.get(name).map(|value| literal(value, "set_fact or register"))
    }

    /// What files, facts and the inventory give.
    fn find_given(&self, name: &str) -> Option<(Arc<Tree>, Arc<str>)> {
        let executor = self.executor;
        let literal = |value: &Value, origin: &str| (Arc::new(Tree::Literal(value.clone())), Arc::from(origin));
        let of_layer = |layer: &Layer| layer.get(name).map(|variable| (Arc::clone(&variable.value), Arc::clone(&layer.origin)));
        if let Some(hit) = executor.state.included.iter().rev().find_map(|layer| of_layer(layer)) {
            return Some(hit);
        }
        if let Some(hit) = self.find_in_files(name) {
            return Some(hit);
        }
        if let Some(value) = executor.state.injected.get(name) {
            return Some(literal(value, "facts"));
        }
        if let Some(hit) = executor.program.inventory_in(executor.play.as_deref()).rev().find_map(of_layer) {
            return Some(hit);
        }
        self.find_defaults(name)
    }

    /// What the run itself defines.
    fn magic(&self, name: &str) -> Option<Value> {
        let executor = self.executor;
        let play = executor.play.as_deref();
        let names = |hosts: &[Arc<str>]| Value::list(hosts.iter().map(|host| Value::text(Arc::clone(host))).collect());
        Some(match name {
            "hostvars" => Value::HostVars,
            "inventory_hostname" => Value::text(Arc::clone(&executor.program.host)),
            "inventory_hostname_short" => Value::text(executor.program.host.split('.').next().unwrap_or_default()),
            "ansible_facts" => match (executor.state.variables.get("ansible_facts"), &executor.state.unknown_facts) {
                // `set_fact: {ansible_facts: …}`.
                (Some(set), _) => set.clone(),
                (None, Some(cause)) => Value::Unknown(Arc::clone(cause)),
                (None, None) => Value::map(self.with_python(executor.state.facts.clone())),
            },
            "ansible_check_mode" => Value::Bool(executor.is_check(self.context, self.position)),
            "role_path" => Value::text(Arc::clone(&self.context.role()?.path)),
            "ansible_role_name" => Value::text(Arc::clone(&self.context.role()?.name)),
            "role_name" => Value::text(self.context.role()?.short_name()),
            "ansible_collection_name" => Value::text(collection_role(&self.context.role()?.path)?.0),
            "ansible_parent_role_names" => {
                let parents: Vec<Value> = self.context.roles().skip(1).map(|role| Value::text(Arc::clone(&role.name))).collect();
                if parents.is_empty() {
                    return None;
                }
                Value::list(parents)
            }
            "ansible_parent_role_paths" => {
                let parents: Vec<Value> = self.context.roles().skip(1).map(|role| Value::text(Arc::clone(&role.path))).collect();
                if parents.is_empty() {
                    return None;
                }
                Value::list(parents)
            }
            "ansible_play_hosts_all" => names(&play?.hosts),
            // Of one host: others may be gone from a play of more.
            "ansible_play_hosts" => names(&play?.hosts),
            "ansible_play_batch" | "play_hosts" => names(&play?.batch_hosts),
            _ => return play.and_then(|play| play.magic.get(name)).or_else(|| executor.program.magic.get(name)).cloned(),
        })
    }

    /// The play's hosts of which none has failed or was out of reach before this task.
    fn of_play(&self, name: &str) -> Result<Option<Value>> {
        let play = self.executor.play.as_deref().filter(|play| play.hosts.len() > 1);
        let hosts = match (name, play) {
            ("ansible_play_hosts", Some(play)) => &play.hosts,
            ("ansible_play_batch" | "play_hosts", Some(play)) => &play.batch_hosts,
            _ => return Ok(None),
        };
        let gone = self.gone()?;
        let left = hosts.iter().filter(|host| !gone.contains(*host));
        Ok(Some(Value::list(left.map(|host| Value::text(Arc::clone(host))).collect())))
    }

    fn gone(&self) -> Result<Vec<Arc<str>>> {
        let mut known = self.executor.gone_hosts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, gone)) = known.as_ref().filter(|(position, _)| position == self.position) {
            return Ok(gone.clone());
        }
        let gone = match self.ask(Question::Gone { position: self.position.clone() })? {
            Answer::List(names) => names.iter().filter_map(Value::as_str).map(Arc::from).collect(),
            _ => Vec::new(),
        };
        *known = Some((self.position.clone(), gone));
        Ok(known.as_ref().map(|(_, gone)| gone.clone()).unwrap_or_default())
    }

    /// Of the host that a task acts on, where the inventory gives this one none: its name, if it has no other.
    fn address(&self) -> Result<Value> {
        let Some(host) = &self.executor.delegate else { return Ok(Value::text(Arc::clone(&self.executor.program.host))) };
        let given =
            match self.ask(Question::HostVariable { host: Arc::clone(host), name: "ansible_host".into(), position: self.position.clone() })
            {
                Ok(Answer::Value(given)) => given,
                // A host that no inventory has.
                _ => None,
            };
        Ok(given.unwrap_or_else(|| Value::text(Arc::clone(host))))
    }

    pub fn ask(&self, question: Question) -> Result<Answer> {
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
            Err(error) => Err(Error::failed(error.to_string())),
        }
    }
}

impl Scope for TaskScope<'_> {
    fn variable(&self, name: &str) -> Result<Option<Arc<Tree>>> {
        if let Some(value) = self.of_template(name)?.or(self.of_play(name)?) {
            return Ok(Some(Arc::new(Tree::Literal(value))));
        }
        let found = match self.find_set(name) {
            Some(found) => Some(found),
            None => self.find_told(name)?.or_else(|| self.find_given(name)),
        };
        match found {
            Some((tree, origin)) => {
                self.record(name, &origin);
                Ok(Some(tree))
            }
            None if let Some(fact) = self.python_fact(name) => Ok(Some(Arc::new(Tree::Literal(fact)))),
            None if name == "ansible_managed" && self.template.is_some() => Ok(Some(Arc::new(self.managed()?))),
            None if name == "ansible_host" => self.address().map(|address| Some(Arc::new(Tree::Literal(address)))),
            None if name == "ansible_connection" => {
                let keyword = self.context.keyword(|keywords| keywords.connection.as_ref()).cloned();
                Ok(Some(Arc::new(
                    keyword.unwrap_or_else(|| Tree::Literal(if self.executor.program.is_local { "local" } else { "ssh" }.into())),
                )))
            }
            None => match (&self.executor.state.opaque, &self.executor.state.unknown_facts) {
                (Some(cause), _) => Err(Error::unknown(Arc::clone(cause))),
                (None, Some(cause)) if name.starts_with("ansible_") => Err(Error::unknown(Arc::clone(cause))),
                _ => Ok(None),
            },
        }
    }

    fn names(&self) -> Vec<Arc<str>> {
        let executor = self.executor;
        let program = &executor.program;
        let mut names: Vec<Arc<str>> = Vec::new();
        let mut add = |layer: &Layer| names.extend(layer.variables.iter().map(|variable| Arc::clone(&variable.name)));
        for context in self.context.chain() {
            add(&context.keywords.vars);
            if let Some(layer) = context.parameters {
                add(layer);
            }
            let ids = context
                .role
                .iter()
                .flat_map(|role| role.defaults.iter().chain(&role.vars).chain(&role.parameters))
                .chain(&context.parameter_layer);
            ids.filter_map(|id| program.layers.get(*id as usize)).for_each(&mut add);
            if let Some(included) = &context.included {
                included.defaults.iter().chain(&included.vars).for_each(|layer| add(layer));
            }
        }
        if let Some(play) = executor.play.as_deref() {
            play.role_defaults.iter().chain(&play.role_vars).filter_map(|id| program.layers.get(*id as usize)).for_each(&mut add);
        }
        program.inventory_in(executor.play.as_deref()).chain([&program.extra]).for_each(&mut add);
        executor.state.included.iter().chain(&executor.state.vars_files).for_each(|layer| add(layer));
        executor.public_roles.iter().flat_map(|role| role.defaults.iter().chain(&role.vars)).for_each(|layer| add(layer));
        let maps = [self.locals, &executor.state.variables, &executor.state.injected, &program.magic];
        let keys = maps.into_iter().chain(executor.play.as_deref().map(|play| &play.magic)).flat_map(Map::keys);
        names.extend(keys.map(|key| Arc::from(&*key.text())));
        names.extend(["hostvars", "inventory_hostname", "inventory_hostname_short", "ansible_facts", "ansible_check_mode"].map(Arc::from));
        names.sort_unstable();
        names.dedup();
        names
    }

    fn host_variable(&self, host: &str, name: &str) -> Result<Option<Value>> {
        if *host == *self.executor.program.host {
            return self.own_variable(name);
        }
        self.reads.borrow_mut().hosts.push(host.into());
        match self.ask(Question::HostVariable { host: host.into(), name: name.into(), position: self.position.clone() })? {
            Answer::Value(value) => Ok(value),
            _ => Err(Error::failed(format!("no variable of host {host} was given"))),
        }
    }

    fn host_variables(&self, host: &str) -> Result<Map> {
        if *host == *self.executor.program.host {
            let mut all = Map::new();
            for name in self.names() {
                if let Some(value) = self.own_variable(&name)? {
                    all.insert(Key::from(name), value);
                }
            }
            return Ok(all);
        }
        self.reads.borrow_mut().hosts.push(host.into());
        match self.ask(Question::HostVariables { host: host.into(), position: self.position.clone() })? {
            Answer::Values(values) => Ok(values),
            _ => Err(Error::failed(format!("no variables of host {host} were given"))),
        }
    }

    fn hosts(&self) -> Vec<Arc<str>> {
        let all = self.executor.program.magic.get("groups").and_then(|groups| groups.get("all")).and_then(Value::as_list);
        all.unwrap_or_default().iter().filter_map(Value::as_str).map(Arc::from).collect()
    }

    fn lookup(&self, plugin: &str, terms: &[Value], options: &Map) -> Result<Vec<Value>> {
        super::lookup::lookup(self, plugin, terms, options)
    }

    fn clock(&self) -> Result<crate::program::Clock> {
        self.executor.clock()
    }

    fn template_source(&self, name: &str) -> Result<Option<crate::program::Template>> {
        let mut folders = self.executor.search_folders("templates", self.context);
        // What is included may lie beside the file that includes it, too.
        if let Some((folder, _)) = self.template.and_then(|path| path.rsplit_once('/')) {
            folders.extend([format!("{folder}/templates").into(), folder.into()]);
        }
        let Some((path, _)) = super::include::find(&self.executor.program.files, &folders, name) else { return Ok(None) };
        let bytes = self.executor.file_bytes(&path)?;
        let text = String::from_utf8(bytes.to_vec()).map_err(|_| Error::failed(format!("template {path} is not UTF-8 text")))?;
        Ok(Some(crate::program::Template { source: text.into(), span: crate::program::Span::default() }))
    }

    fn path_test(&self, test: &str, paths: &[&str]) -> Result<bool> {
        let terms: Vec<Value> = std::iter::once(test).chain(paths.iter().copied()).map(Value::from).collect();
        Ok(self.ask_lookup("provision.path_test", &terms, &Map::new())?.first().is_some_and(Value::is_truthy))
    }

    fn path_filter(&self, filter: &str, path: &str) -> Result<String> {
        let answer = self.ask_lookup("provision.path_filter", &[Value::from(filter), Value::from(path)], &Map::new())?;
        answer.first().and_then(Value::as_str).map(str::to_owned).ok_or_else(|| Error::failed(format!("{filter} of {path}: no answer")))
    }
}

impl TaskScope<'_> {
    /// `hostvars[inventory_hostname][name]`: inventory, facts, registered variables, extra vars; not the play's.
    fn own_variable(&self, name: &str) -> Result<Option<Value>> {
        let executor = self.executor;
        let of_layer = |layer: &Layer| layer.get(name).map(|variable| Arc::clone(&variable.value));
        let literal = |value: &Value| Arc::new(Tree::Literal(value.clone()));
        let set = of_layer(&executor.program.extra).or_else(|| executor.state.variables.get(name).map(literal));
        let told = if set.is_some() { None } else { self.find_told(name)?.map(|(tree, _)| tree) };
        let tree = set
            .or(told)
            .or_else(|| executor.state.included.iter().rev().find_map(|layer| of_layer(layer)))
            .or_else(|| executor.state.injected.get(name).map(literal))
            .or_else(|| executor.program.inventory_in(executor.play.as_deref()).rev().find_map(of_layer))
            .or_else(|| match name {
                "inventory_hostname" | "inventory_hostname_short" | "ansible_facts" | "group_names" | "groups" => {
                    self.magic(name).map(|value| Arc::new(Tree::Literal(value)))
                }
                _ => None,
            });
        match tree {
            Some(tree) => crate::template::jinja::Jinja::new(self).evaluate(&tree).map(Some),
            None => Ok(None),
        }
    }

    /// Asks the controller for a lookup.
    pub fn ask_lookup(&self, plugin: &str, terms: &[Value], options: &Map) -> Result<Vec<Value>> {
        let looks = !matches!(plugin, "env" | "inventory_hostnames" | "provision.path_filter");
        let may_come = looks && self.follows()? && matches!(plugin, "pipe" | "lines");
        match self.ask(Question::Lookup { plugin: plugin.into(), terms: terms.to_vec(), options: options.clone() }) {
            Ok(Answer::List(values)) => Ok(values),
            Ok(_) => Err(Error::failed(format!("lookup {plugin}: the controller gave no list"))),
            Err(error) if may_come && error.unknown_cause().is_none() => Err(Error::unknown("what steps before do on the controller")),
            Err(error) => Err(error),
        }
    }

    /// Waits for the others where their tasks before this one may do something on the controller. Whether they are still to do it.
    fn follows(&self) -> Result<bool> {
        let executor = self.executor;
        let is_planned = executor.pass == Pass::Plan && !executor.program.writes_files.is_empty();
        if !executor.is_behind || !executor.keeps_order() || executor.finishing > 0 {
            return Ok(is_planned && executor.state.dirty);
        }
        match executor.port.reach(self.position, executor.state.dirty) {
            Ok(others_dirty) => Ok(is_planned && (others_dirty || executor.state.dirty)),
            Err(ended) => Err(Error::failed(ended.to_string())),
        }
    }
}
