//! `meta/argument_specs.yml`: the task that validates a role's arguments, and what is certain of it beforehand.
//!
//! Source: `playbook/role/__init__.py` of ansible-core 2.19.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use super::check::is_defined;
use super::closure::Definitions;
use super::loader::{Loader, digest};
use super::role::{Call, LoadedRole, text_value};
use super::task::Context;
use super::walk::Found;
use crate::module::argument_spec::{Specification, Weight, holes};
use crate::module::validate_argument_spec::MODULE;
use crate::program::{Argument, Arguments, Keywords, Layer, Span, Step, Task, Tree, Value, Variable, collection_role};
use crate::source::suggest::{is_slip_of, suggest};
use crate::source::{Diagnostic, Node};

/// Rules that an entry point may have beside its `options`, where Ansible does not look at them.
const RULES: &[&str] = &["mutually_exclusive", "required_together", "required_one_of", "required_if", "required_by"];

/// What else stands there.
const KEYS: &[&str] = &["options", "short_description", "description", "author", "version_added"];

/// A specification and the places of its arguments.
#[derive(Debug, Default)]
pub struct Declared {
    specification: Specification,
    places: HashMap<Arc<str>, (Span, u32)>,
}

/// A call of a role whose arguments are validated.
pub struct Validated {
    role: String,
    call: (Span, u32),
    declared: Rc<Declared>,
    /// What the entry of `roles:` gives: nothing comes before it.
    parameters: Layer,
    /// `vars` of an import or include.
    vars: Layer,
    /// `set_fact` and the like come before these.
    is_import: bool,
    /// Whose call it is: [`Context::place`].
    place: Arc<str>,
    /// A failure of it ends the play wherever its place is run.
    sure: bool,
}

/// Variables that a task reads because its specification names them; `None`: any.
pub fn variables(task: &Task) -> Option<Vec<Arc<str>>> {
    if *task.module != *MODULE.name() {
        return Some(Vec::new());
    }
    let given = |argument: &&Argument| &*argument.name == "argument_spec";
    let specification = task.arguments.named.iter().find(given).filter(|_| task.arguments.splat.is_none())?;
    match holes(&specification.value) {
        Value::Map(entries) => Some(entries.keys().map(|key| Arc::from(&*key.text())).collect()),
        Value::Unknown(_) => None,
        _ => Some(Vec::new()),
    }
}

/// What a role declares for the file of tasks that a call names: under that very name, as Ansible looks it up.
fn entry_point<'role>(call: &Call, role: &'role LoadedRole) -> Option<&'role Node> {
    let specification = role.argument_specs.as_ref()?.get(call.tasks_from.as_deref().unwrap_or("main"))?;
    let is_empty = specification.is_null() || specification.as_map().is_some_and(<[_]>::is_empty);
    (!is_empty).then_some(specification)
}

impl Loader<'_> {
    /// The task that comes before the role's own, or none where its entry point declares nothing.
    pub fn validation(&mut self, call: &Call, role: &LoadedRole, context: &Context) -> Option<Step> {
        let specification = entry_point(call, role)?.clone();
        self.declared(&specification);
        let file = call.tasks_from.as_deref().unwrap_or("main");
        let mut name = format!("Validating arguments against arg spec '{file}'");
        if let Some(description) = specification.get("short_description").and_then(Node::text) {
            name = format!("{name} - {description}");
        }
        let options = match specification.get("options") {
            Some(options) => self.tree(options, role.secret),
            None => Tree::Map(Vec::new()).folded(),
        };
        let parameters = call.parameters.variables.iter();
        let parameters = parameters.map(|given| (text_value(&given.name), (*given.value).clone())).collect();
        let path = role.path.display().to_string();
        let name_of_role = collection_role(&path).map_or_else(|| call.name.clone(), |(_, name)| name);
        let about = crate::map! {
            "type" => "role", "name" => name_of_role, "argument_spec_name" => file, "path" => path,
        };
        let argument = |name: &str, value| Argument { name: name.into(), value, span: specification.span };
        let task = Task {
            name: Some(text_value(&name)),
            span: specification.span,
            keywords: Keywords { tags: vec![text_value("always")], ..Keywords::default() },
            module: MODULE.name().into(),
            module_as_written: "ansible.builtin.validate_argument_spec".into(),
            arguments: Arguments {
                named: vec![
                    argument("argument_spec", options),
                    argument("provided_arguments", Tree::Map(parameters).folded()),
                    argument("validate_args_context", Tree::Literal(about.into())),
                ],
                ..Arguments::default()
            },
            digest: digest(&specification),
            ..Task::default()
        };
        self.lookups_of_task(&task, context);
        Some(Step::Task(Box::new(task)))
    }

    /// Notes what a call gives, for what is told of it when everything was read. `vars`: of the import or include.
    pub fn note_validation(&mut self, call: &Call, role: &LoadedRole, vars: &Layer, is_import: bool, context: &Context) {
        let Some(specification) = entry_point(call, role).cloned() else { return };
        let declared = self.declared(&specification);
        self.validated.push(Validated {
            role: call.name.clone(),
            call: (call.node.span, call.node.width),
            declared,
            parameters: call.parameters.clone(),
            vars: vars.clone(),
            is_import,
            place: Arc::clone(&context.place),
            sure: !context.may_be_left_out && !context.forgives && !context.handlers,
        });
    }

    /// A specification, read once; its mistakes are told.
    fn declared(&mut self, specification: &Node) -> Rc<Declared> {
        if let Some(known) = self.declared.get(&specification.span) {
            return Rc::clone(known);
        }
        let mut declared = Declared::default();
        if specification.as_map().is_none() {
            let message = format!("an entry point of `argument_specs` must be a mapping, found {}", specification.describe());
            self.mistake(Diagnostic::at(specification, message));
        }
        for (key, _) in specification.entries() {
            let word = key.text().unwrap_or_default();
            if RULES.contains(&word) {
                let mistake = Diagnostic::at(key, format!("`{word}` says nothing beside the `options` of an entry point"));
                self.mistake(mistake.hint("it is a rule over the `options` of one argument: write it beside those").as_warning());
            } else if !KEYS.contains(&word)
                && let Some(near) = suggest(word, KEYS.iter().copied())
            {
                let mistake = Diagnostic::at(key, format!("`{word}` says nothing in an entry point of `argument_specs`"));
                self.mistake(mistake.label(format!("did you mean `{near}`?")).as_warning());
            }
        }
        if let Some(options) = specification.get("options") {
            declared = self.specification(options);
        }
        let declared = Rc::new(declared);
        self.declared.insert(specification.span, Rc::clone(&declared));
        declared
    }

    /// A mapping of arguments as a user wrote it; its mistakes are told.
    pub fn specification(&mut self, options: &Node) -> Declared {
        let tree = self.tree(options, false);
        let (specification, problems) = Specification::read(&holes(&tree));
        for problem in problems {
            let (mut at, mut key) = (options, options);
            for part in &problem.path {
                let Some((name, value)) = at.entry(part) else { break };
                (at, key) = (value, name);
            }
            let is_key = problem.word.as_ref().is_some_and(|(word, _)| problem.path.last() == Some(word));
            let mut mistake = Diagnostic::at(if is_key || at.is_null() { key } else { at }, problem.message);
            if let Some((word, known)) = &problem.word {
                // `string` is none, and means `str`.
                let near = suggest(word, known.iter().copied()).or_else(|| known.iter().copied().find(|known| word.starts_with(known)));
                match near {
                    Some(near) => mistake = mistake.label(format!("did you mean `{near}`?")),
                    None if problem.weight == Weight::Idle => continue,
                    None => mistake = mistake.hint(format!("there are {}", known.join(", "))),
                }
            }
            self.mistake(if problem.weight == Weight::Idle { mistake.as_warning() } else { mistake });
        }
        let places = options.entries().filter_map(|(key, _)| Some((key.text()?.into(), (key.span, key.width)))).collect();
        Declared { specification, places }
    }
}

/// What is certain of the arguments of roles before any host is asked. `all`: every layer of variables.
pub fn check(loader: &mut Loader, found: &Found, definitions: &Definitions, all: &[&Layer], certain: &BTreeSet<Arc<str>>) {
    let validated = std::mem::take(&mut loader.validated);
    let mut told = Told::default();
    for call in &validated {
        let sure = call.sure && certain.contains(&call.place);
        for given in &call.parameters.variables {
            told.all(parameter(call, given), sure);
        }
        let may_be_set = |name: &str| found.open || sets(found, name);
        for given in &call.vars.variables {
            let stands = loader.extra.get(&given.name).is_none() && !(call.is_import && may_be_set(&given.name));
            if stands && call.declared.specification.arguments.contains_key(&given.name) {
                told.all(refused(call, given), sure);
            }
        }
        if found.open {
            continue;
        }
        for (name, declared) in &call.declared.specification.arguments {
            let gives = |given: &Variable| call.declared.specification.find(&given.name).is_some_and(|(known, _)| known == name);
            if call.parameters.variables.iter().any(gives) || call.vars.get(name).is_some() || loader.defined_anyway.contains(name) {
                continue;
            }
            if !is_defined(name, found, definitions) {
                if declared.required && !loader.files.mistaken().names(name) {
                    told.all(missing(loader, call, name, found, definitions), sure);
                }
                continue;
            }
            let givens: Vec<&Variable> = all.iter().flat_map(|layer| &layer.variables).filter(|given| given.name == *name).collect();
            if givens.is_empty() || may_be_set(name) || loader.incomplete || loader.files.unknown {
                continue;
            }
            let refused: Vec<Vec<Diagnostic>> = givens.iter().map(|given| refused(call, given)).collect();
            // A host that has none of them is content where the argument is not required.
            if refused.iter().all(|refused| !refused.is_empty()) {
                told.all(refused.into_iter().flatten(), sure && declared.required);
            }
        }
    }
    told.0.into_values().for_each(|mistake| loader.mistake(mistake));
}

/// Whether the run itself may set the variable.
fn sets(found: &Found, name: &str) -> bool {
    found.defined.contains(name) || found.patterns.iter().any(|pattern| pattern.matches(name))
}

/// Each place once: an error before a warning.
#[derive(Default)]
struct Told(BTreeMap<(Span, String), Diagnostic>);

impl Told {
    fn all(&mut self, mistakes: impl IntoIterator<Item = Diagnostic>, sure: bool) {
        for mut mistake in mistakes {
            let key = (mistake.span, mistake.message.clone());
            if sure {
                self.0.insert(key, mistake);
                continue;
            }
            mistake.message.push_str(": a host that reaches it fails there");
            self.0.entry(key).or_insert_with(|| mistake.as_warning());
        }
    }
}

/// An entry's parameter that is not declared, or whose value is refused.
fn parameter(call: &Validated, given: &Variable) -> Vec<Diagnostic> {
    let specification = &call.declared.specification;
    if specification.find(&given.name).is_some() {
        return refused(call, given);
    }
    let message = format!("the role `{}` declares no argument `{}`", call.role, given.name);
    let mistake = Diagnostic::error(message, given.span, width(&given.name)).suggest(&given.name, specification.names());
    vec![if mistake.label.is_none() {
        let names: Vec<&str> = specification.names().collect();
        mistake.hint(format!("its meta/argument_specs has {}; `vars:` gives it variables that are no arguments", names.join(", ")))
    } else {
        mistake
    }]
}

/// A value that is refused whatever its templates give.
fn refused(call: &Validated, given: &Variable) -> Vec<Diagnostic> {
    let verdict = call.declared.specification.validate_one(&given.name, &holes(&given.value));
    let told = verdict.errors.iter().map(|error| {
        let message = format!("the role `{}` refuses this: {error}", call.role);
        call.declares(&given.name, Diagnostic::error(message, given.span, width(&given.name)))
    });
    told.collect()
}

fn missing(loader: &Loader, call: &Validated, name: &str, found: &Found, definitions: &Definitions) -> Option<Diagnostic> {
    let names = definitions.keys().copied().chain(found.defined.iter().map(|name| &**name));
    let near = suggest(name, names).filter(|near| is_slip_of(name, near));
    if loader.files.unknown || (near.is_none() && loader.incomplete) {
        return None;
    }
    let message = format!("the role `{}` requires `{name}`, which nothing defines", call.role);
    let mut mistake = Diagnostic::error(message, call.call.0, call.call.1);
    mistake = match near {
        Some(near) => mistake.label(format!("defined and similar: `{near}`")),
        None => mistake.hint("give it a value where the role is called, or in a file of variables"),
    };
    Some(call.declares(name, mistake))
}

impl Validated {
    /// Shows where the argument is declared.
    fn declares(&self, name: &str, mistake: Diagnostic) -> Diagnostic {
        let found = self.declared.specification.find(name).and_then(|(name, _)| self.declared.places.get(name));
        match found {
            Some((span, width)) => mistake.other(*span, *width, "declared here"),
            None => mistake,
        }
    }
}

fn width(name: &str) -> u32 {
    name.chars().count() as u32
}
