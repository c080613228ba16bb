//! What a program can read: the closure of names from its tasks over its variables. What nothing reads is not sent.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use super::walk::Found;
use crate::program::{Asks, File, Keywords, Layer, Program, Published, Span, Step, Template, Tree, Value};
use crate::template::Options;
use crate::template::reads::{self, Form, HostRead, Problem, Reads};

/// Reads of texts, found once.
#[derive(Default)]
pub struct Cache {
    known: HashMap<(Arc<str>, Span, bool), Result<Rc<Reads>, Problem>>,
}

impl Cache {
    /// What a text reads; `None`: its syntax is wrong.
    pub fn reads(&mut self, template: &Template, expression: bool) -> Option<Rc<Reads>> {
        self.found(template, expression).ok()
    }

    /// What a text reads, or its mistake of syntax.
    pub fn found(&mut self, template: &Template, expression: bool) -> Result<Rc<Reads>, Problem> {
        let key = (Arc::clone(&template.source), template.span, expression);
        let form = if expression { Form::Condition } else { Form::Template };
        self.known.entry(key).or_insert_with(|| reads::of(template, form).map(Rc::new)).clone()
    }
}

/// Everything that can be read.
#[derive(Debug, Default)]
pub struct Closure {
    pub names: BTreeSet<Arc<str>>,
    /// Any variable may be read.
    pub everything: bool,
    /// Variables of other hosts.
    pub hosts: Vec<HostRead>,
    /// Lookups that only the controller can make.
    lookups: BTreeSet<(Arc<str>, Vec<Option<Arc<str>>>)>,
    /// Some text reads what Python is on the machine, in `ansible_facts`.
    pub reads_python: bool,
}

/// Variables by name, with all their definitions.
pub type Definitions<'p> = HashMap<&'p str, Vec<&'p Arc<Tree>>>;

/// Adds a layer's variables.
pub fn define<'p>(definitions: &mut Definitions<'p>, layer: &'p Layer) {
    for variable in &layer.variables {
        definitions.entry(&variable.name).or_default().push(&variable.value);
    }
}

/// Follows names from the roots through their definitions.
pub fn close<'p>(
    cache: &mut Cache,
    roots: impl IntoIterator<Item = &'p Tree>,
    templates: &[Template],
    definitions: &Definitions<'p>,
) -> Closure {
    let mut closure = Closure::default();
    let mut open: Vec<Arc<str>> = Vec::new();
    for root in roots {
        tree(cache, root, &mut closure, &mut open);
    }
    for template in templates {
        if let Some(reads) = cache.reads(template, false) {
            add(&reads, &mut closure, &mut open);
        }
    }
    follow(cache, &mut closure, open, definitions);
    closure
}

/// Goes on from more names.
pub fn follow(cache: &mut Cache, closure: &mut Closure, mut open: Vec<Arc<str>>, definitions: &Definitions<'_>) {
    while let Some(name) = open.pop() {
        if !closure.names.insert(Arc::clone(&name)) {
            continue;
        }
        for definition in definitions.get(&*name).into_iter().flatten() {
            tree(cache, definition, closure, &mut open);
        }
    }
}

fn tree(cache: &mut Cache, tree: &Tree, closure: &mut Closure, open: &mut Vec<Arc<str>>) {
    tree.templates(&mut |template, expression| {
        if let Some(reads) = cache.reads(template, expression) {
            add(&reads, closure, open);
        }
    });
}

fn add(reads: &Reads, closure: &mut Closure, open: &mut Vec<Arc<str>>) {
    open.extend(reads.names.iter().map(|name| Arc::clone(&name.name)));
    closure.everything |= reads.everything;
    for host in &reads.hosts {
        if !closure.hosts.contains(host) {
            closure.hosts.push(host.clone());
        }
    }
    let terms = |terms: &[Tree]| terms.iter().map(word).collect();
    closure.lookups.extend(reads.lookups.iter().map(|lookup| (Arc::clone(&lookup.plugin), terms(&lookup.terms))));
}

/// A term of a lookup that is written out: no template in it.
fn word(term: &Tree) -> Option<Arc<str>> {
    term.literal().and_then(Value::as_str).filter(|text| !text.contains("{{") && !text.contains("{%")).map(Arc::from)
}

/// A program's own closure: from its plays and fragments over all variables that it has.
pub fn of_program(cache: &mut Cache, program: &Program) -> Closure {
    let mut found = Found::default();
    program.plays.iter().for_each(|play| found.play(play));
    found.fragments(&program.fragments, &BTreeSet::new());
    let mut definitions = Definitions::new();
    let layers = program.inventory.iter().chain(&program.layers).chain([&program.extra]);
    let fragments = program.fragments.vars.values().map(|layer| &**layer);
    layers.chain(fragments).chain(found.vars.iter().copied()).for_each(|layer| define(&mut definitions, layer));
    let mut closure = close(cache, found.roots.iter().copied(), &templates(program), &definitions);
    // `debug: var="{{ name }}"` reads whatever the name is.
    let named_at_run_time = |task: &&crate::program::Task| {
        &*task.module == "debug"
            && task.arguments.named.iter().any(|argument| &*argument.name == "var" && matches!(argument.value, Tree::Template(_)))
    };
    closure.everything |= found.tasks.iter().any(named_at_run_time);
    // Handlebars, and templates with delimiters of their own: every word may be a name.
    let own_delimiters = found.tasks.iter().any(|task| {
        &*task.module == "template" && task.arguments.named.iter().any(|argument| Options::DELIMITERS.contains(&&*argument.name))
    });
    // Under one name, or in its result, a file's variables are read whatever they are called.
    let takes_whole_files = |task: &&crate::program::Task| {
        let arguments = &task.arguments;
        &*task.module == "include_vars"
            && (task.register.is_some() || arguments.splat.is_some() || arguments.named.iter().any(|argument| &*argument.name == "name"))
    };
    let mut words = Vec::new();
    for task in &found.tasks {
        match super::argument_specs::variables(task) {
            Some(names) => words.extend(names),
            None => closure.everything = true,
        }
    }
    if found.tasks.iter().any(takes_whole_files) {
        let layers = program.fragments.vars.values();
        words.extend(layers.flat_map(|layer| layer.variables.iter().map(|variable| Arc::clone(&variable.name))));
    }
    for (path, file) in &program.files {
        if let File::Plain { content: Some(content), .. } = file
            && let Ok(text) = std::str::from_utf8(&content.0)
            && (own_delimiters
                || path.ends_with(".hbs")
                || cache.reads(&Template { source: text.into(), span: Span::default() }, false).is_none())
        {
            words.extend(
                text.split(|letter: char| letter != '_' && !letter.is_alphanumeric()).filter(|word| !word.is_empty()).map(Arc::<str>::from),
            );
        }
    }
    follow(cache, &mut closure, words, &definitions);
    closure.reads_python = cache.known.keys().any(|(source, ..)| source.contains("python") && source.contains("ansible_facts"));
    // What ansible.cfg gives for the variable is a template itself, after Python's `format`, which halves braces.
    if let Some(managed) = program.settings.managed.as_ref().filter(|_| closure.names.contains("ansible_managed")) {
        let source = managed.replace("{{", "{").replace("}}", "}").into();
        let mut names = Vec::new();
        if let Some(reads) = cache.reads(&Template { source, span: Span::default() }, false) {
            add(&reads, &mut closure, &mut names);
        }
        follow(cache, &mut closure, names, &definitions);
    }
    closure
}

/// Texts of the program's files that are templates.
fn templates(program: &Program) -> Vec<Template> {
    program
        .files
        .values()
        .filter_map(|file| match file {
            File::Plain { content: Some(content), .. } => std::str::from_utf8(&content.0).ok(),
            _ => None,
        })
        .map(|text| Template { source: text.into(), span: Span::default() })
        .collect()
}

/// Names that the agent reads by itself.
fn always(name: &str) -> bool {
    // How a host is reached and its passwords are the controller's.
    const CONTROLLERS: &[&str] = &[
        "ansible_password",
        "ansible_ssh_pass",
        "ansible_ssh_password",
        "ansible_become_password",
        "ansible_become_pass",
        "ansible_sudo_pass",
        "ansible_sudo_password",
        "ansible_ssh_private_key_file",
        "ansible_private_key_file",
        "ansible_ssh_args",
        "ansible_ssh_common_args",
        "ansible_ssh_extra_args",
    ];
    name.starts_with("ansible_") && !CONTROLLERS.contains(&name)
}

/// Names of variables that a program may set for other hosts.
fn told(program: &Program) -> BTreeSet<Arc<str>> {
    let mut found = Found::default();
    program.plays.iter().for_each(|play| found.play(play));
    found.fragments(&program.fragments, &BTreeSet::new());
    if found.delegates_facts { found.facts } else { BTreeSet::new() }
}

/// What a text asks of the controller where it is a template.
pub fn asked_by(text: &str) -> Asks {
    asked(&Tree::Template(Template { source: text.into(), span: Span::default() }))
}

/// What variables of a file ask of it.
pub fn asked_by_layer(layer: &Layer) -> Asks {
    let mut all = Asks::default();
    layer.variables.iter().for_each(|variable| all.extend(&asked(&variable.value)));
    all
}

fn asked(value: &Tree) -> Asks {
    let (mut closure, mut names, mut is_open) = (Closure::default(), Vec::new(), false);
    let mut cache = Cache::default();
    value.templates(&mut |template, expression| match cache.reads(template, expression) {
        Some(reads) => add(&reads, &mut closure, &mut names),
        // Of another syntax.
        None => is_open |= template.source.contains(HOSTS),
    });
    is_open |= names.iter().any(|name| &**name == HOSTS);
    let reads = closure.hosts.into_iter().map(|read| (read.host, read.variable));
    Asks {
        variables: reads.chain(is_open.then_some((None, None))).collect(),
        lookups: closure.lookups,
        looks_up_anything: closure.everything,
        ..Asks::default()
    }
}

/// The variable that holds those of other hosts.
const HOSTS: &str = "hostvars";

/// What a program's agent may ask of the controller.
fn asks(cache: &mut Cache, program: &Program, closure: &Closure) -> Asks {
    let mut found = Found::default();
    program.plays.iter().for_each(|play| found.play(play));
    found.fragments(&program.fragments, &BTreeSet::new());
    let mut definitions = Definitions::new();
    let layers = program.inventory.iter().chain(&program.layers).chain([&program.extra]);
    let fragments = program.fragments.vars.values().map(|layer| &**layer);
    layers.chain(fragments).chain(found.vars.iter().copied()).for_each(|layer| define(&mut definitions, layer));
    // Some the agent reads by itself; what may read any variable may evaluate any of them.
    let mut all = Closure::default();
    let names = definitions.keys().filter(|name| closure.everything || always(name));
    follow(cache, &mut all, names.map(|name| Arc::from(*name)).collect(), &definitions);
    let reads = closure.hosts.iter().chain(&all.hosts);
    let mut asks = Asks {
        variables: reads.map(|read| (read.host.clone(), read.variable.clone())).collect(),
        modules: found.tasks.iter().map(|task| Arc::clone(&task.module)).collect(),
        sets_facts: found.delegates_facts,
        lookups: closure.lookups.union(&all.lookups).cloned().collect(),
        // A lookup whose name only the run knows reads whatever there is.
        looks_up_anything: closure.everything || all.everything,
        ..Asks::default()
    };
    // A name on its own, as in a loop or a text of another syntax.
    if closure.names.contains(HOSTS) || all.names.contains(HOSTS) {
        asks.variables.insert((None, None));
    }
    for looping in found.tasks.iter().filter_map(|task| task.looping.as_ref()) {
        if let Some(plugin) = &looping.with {
            asks.lookups.insert((Arc::clone(plugin), vec![word(&looping.items)]));
        }
    }
    for play in &program.plays {
        let around = visit(&mut asks, &play.keywords);
        for steps in [&play.pre_tasks, &play.roles, &play.tasks, &play.post_tasks, &play.handlers] {
            visits(&mut asks, steps, around);
        }
    }
    // Whatever is included from a place where tasks are delegated is.
    let fragments = program.fragments.tasks.values().map(|steps| &***steps);
    let roles = program.fragments.roles.values().map(|role| role.dependencies.as_slice());
    fragments.chain(roles).for_each(|steps| visits(&mut asks, steps, false));
    asks
}

/// The module by which another one looks at its machine, or acts there.
fn ends_in(module: &str) -> Option<&'static str> {
    match module {
        "template" => Some("copy"),
        "fetch" => Some("stat"),
        "wait_for_connection" => Some("ping"),
        "reboot" => Some("shell"),
        _ => None,
    }
}

/// Where tasks with these keywords are done besides their own host. Whether there is any such place.
fn visit(asks: &mut Asks, keywords: &Keywords) -> bool {
    let text = |tree: &Tree| tree.literal().and_then(Value::as_str).map(Arc::<str>::from);
    asks.delegates.extend(keywords.delegate_to.as_ref().map(text));
    let is_local = |tree: &Tree| text(tree).is_none_or(|word| word.rsplit('.').next() == Some("local"));
    let is_local = keywords.connection.as_ref().is_some_and(is_local);
    asks.delegates.extend(is_local.then(|| Some("localhost".into())));
    is_local || keywords.delegate_to.is_some()
}

fn visits(asks: &mut Asks, steps: &[Step], around: bool) {
    for step in steps {
        match step {
            Step::Task(task) => {
                if visit(asks, &task.keywords) || around {
                    asks.delegated.insert(Some(Arc::clone(&task.module)));
                    asks.delegated.extend(ends_in(&task.module).map(|module| Some(module.into())));
                }
            }
            Step::Block(block) => {
                let around = visit(asks, &block.keywords) || around;
                [&block.block, &block.rescue, &block.always].into_iter().for_each(|steps| visits(asks, steps, around));
            }
            Step::Include(include) => {
                let (own, applied) = (visit(asks, &include.keywords), visit(asks, &include.apply));
                asks.delegated.extend((own || applied || around).then_some(None));
            }
        }
    }
}

/// Takes out of each program what it cannot read, and says what each host must publish for the others and what they may tell it.
pub fn prune<'p>(programs: impl Iterator<Item = &'p mut Program>) {
    let mut cache = Cache::default();
    let mut programs: Vec<&mut Program> = programs.collect();
    if programs.len() > 1 {
        let all: Vec<_> = programs.iter().map(|program| told(program)).collect();
        let all: BTreeSet<Arc<str>> = all.into_iter().flatten().collect();
        programs.iter_mut().for_each(|program| program.told.clone_from(&all));
    }
    let mut programs: Vec<(&mut Program, Closure)> = programs
        .into_iter()
        .map(|program| {
            let closure = of_program(&mut cache, program);
            (program, closure)
        })
        .collect();
    let mut asked: BTreeMap<Option<Arc<str>>, Vec<(Arc<str>, Option<Arc<str>>)>> = BTreeMap::new();
    for (program, closure) in &programs {
        for read in &closure.hosts {
            asked.entry(read.host.clone()).or_default().push((Arc::clone(&program.host), read.variable.clone()));
        }
    }
    for (program, closure) in &mut programs {
        program.reads_python = closure.reads_python;
        let host = Arc::clone(&program.host);
        let mut by_others: BTreeSet<Option<Arc<str>>> = BTreeSet::new();
        by_others.extend(asked.get(&Some(Arc::clone(&host))).into_iter().flatten().map(|(_, variable)| variable.clone()));
        // A host that is not written out may be the reader itself: nothing of it is sent up for that alone.
        by_others
            .extend(asked.get(&None).into_iter().flatten().filter(|(reader, _)| *reader != host).map(|(_, variable)| variable.clone()));
        // What it reads of itself through `hostvars[name]`.
        let own = closure
            .hosts
            .iter()
            .filter(|read| read.host.as_ref().is_none_or(|host| *host == program.host))
            .map(|read| read.variable.clone())
            .collect::<Vec<_>>();
        let mut definitions = Definitions::new();
        let inventory = program.inventory.clone();
        let extra = program.extra.clone();
        inventory.iter().chain([&extra]).for_each(|layer| define(&mut definitions, layer));
        // Inventory variables of every host are the controller's; from this host it needs what the run finds out: facts,
        // registered and set variables, also those that the inventory's own templates read.
        if by_others.contains(&None) {
            program.published = Published::Everything;
        } else if !by_others.is_empty() {
            let mut published = Closure::default();
            follow(&mut cache, &mut published, by_others.iter().flatten().cloned().collect(), &definitions);
            let all = published.everything || published.names.contains("ansible_facts");
            program.published = if all { Published::Everything } else { Published::Names(published.names.into_iter().collect()) };
        }
        for variable in own {
            match variable {
                Some(name) => follow(&mut cache, closure, vec![name], &definitions),
                None => closure.everything = true,
            }
        }
        program.asks = asks(&mut cache, program, closure);
        if closure.everything {
            // The controller's own: how a host is reached is not a task's business even then.
            for layer in &mut program.inventory {
                layer.variables.retain(|variable| {
                    !variable.name.starts_with("ansible_") || always(&variable.name) || closure.names.contains(&variable.name)
                });
            }
            continue;
        }
        let keeps = |name: &Arc<str>| always(name) || closure.names.contains(name);
        let layers = program.inventory.iter_mut().chain(&mut program.layers).chain([&mut program.extra]);
        for layer in layers {
            layer.variables.retain(|variable| keeps(&variable.name));
        }
        // Their places count: nothing is taken out.
        program.inventory.iter_mut().filter(|layer| layer.variables.is_empty()).for_each(|layer| layer.origin = Arc::default());
        for layer in program.fragments.vars.values_mut() {
            if layer.variables.iter().any(|variable| !keeps(&variable.name)) {
                Arc::make_mut(layer).variables.retain(|variable| keeps(&variable.name));
            }
        }
        for play in &mut program.plays {
            if play.keywords.vars.variables.iter().any(|variable| !keeps(&variable.name)) {
                Arc::make_mut(play).keywords.vars.variables.retain(|variable| keeps(&variable.name));
            }
        }
    }
}
