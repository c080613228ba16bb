//! Mistakes inside templates, found before anything runs: syntax, filters and tests that are not there, variables that nothing
//! could define, handlers that nobody wrote.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use super::closure::{Cache, Definitions, define};
use super::file::{Syntax, TemplateFile};
use super::loader::Loader;
use super::modules::short;
use super::newcomers::Newcomers;
use super::play::LoadedPlay;
use super::role::vars_below;
use super::walk::{Found, Notified};
use crate::module;
use crate::program::{Layer, Span, Task, Template, Tree, Value};
use crate::source::Diagnostic;
use crate::source::suggest::{is_slip_of, suggest};
use crate::template::lookups::table::{self, Support};
use crate::template::reads::{self, Problem, Reads, Unknown};
use crate::template::{function_names, handlebars};

/// Variables that the engine defines by itself.
const MAGIC: &[&str] = &[
    "groups",
    "group_names",
    "hostvars",
    "inventory_hostname",
    "inventory_hostname_short",
    "inventory_file",
    "inventory_dir",
    "playbook_dir",
    "role_path",
    "role_name",
    "role_names",
    "role_uuid",
    "play_hosts",
    "omit",
    "environment",
    "vars",
    "item",
    "undef",
    "artifacts",
    "template_host",
    "template_uid",
    "template_mtime",
    "template_run_date",
    "template_path",
    "template_fullpath",
    "template_destpath",
];

/// Checks all plays, everything they may include, and the variables that these read. `inventory`: all layers of all hosts.
/// Says which hosts and groups tasks may add to the inventory; then variables of groups that are not there yet (in the
/// folders) count too.
pub fn check(loader: &mut Loader, plays: &[LoadedPlay], inventory: &[Layer], folders: &[PathBuf]) -> Newcomers {
    let fragments = loader.fragments.clone();
    let mut found = Found::default();
    plays.iter().for_each(|play| found.play(&play.play));
    let certain = loader.certain_places(plays.iter());
    loader.settle(&certain);
    loader.incomplete |= loader.vars_unknown;
    found.fragments(&fragments, &certain);

    let newcomers = Newcomers::of(found.tasks.iter().copied());
    let mut later: Vec<Layer> = Vec::new();
    if newcomers.are_any() {
        for path in folders.iter().flat_map(|folder| ["group_vars", "host_vars"].map(|kind| folder.join(kind))) {
            later.extend(vars_below(&path).iter().filter_map(|file| loader.files.vars_file(file)));
        }
    }
    let mut definitions = Definitions::new();
    let layers = loader.layers.clone();
    let extra = Arc::clone(&loader.extra);
    let of_fragments = fragments.vars.values().map(|layer| &**layer);
    let all: Vec<&Layer> =
        inventory.iter().chain(&later).chain(&layers).chain([&*extra]).chain(of_fragments).chain(found.vars.iter().copied()).collect();
    all.iter().for_each(|layer| define(&mut definitions, layer));

    let mut places: BTreeMap<&str, Span> = BTreeMap::new();
    for variable in all.iter().flat_map(|layer| &layer.variables) {
        places.entry(&variable.name).or_insert(variable.span);
    }

    let read_perhaps = |key: &Arc<str>| loader.included_vars.get(key).is_some_and(|places| places.is_disjoint(&certain));
    let perhaps = fragments.vars.iter().filter(|(key, _)| read_perhaps(key)).map(|(_, layer)| &**layer);
    let perhaps = perhaps.chain(found.perhaps_vars.iter().copied()).flat_map(|layer| &layer.variables);
    let mut checker = Checker { perhaps: perhaps.map(|variable| Arc::as_ptr(&variable.value)).collect(), ..Checker::default() };
    let mut followed: BTreeSet<Arc<str>> = BTreeSet::new();
    let templates: Vec<TemplateFile> = loader.files_found.templates.values().cloned().collect();
    let (meant, guessed): (Vec<_>, Vec<_>) = templates.into_iter().partition(|file| file.is_meant);
    let (sure, perhaps): (Vec<_>, Vec<_>) = meant.into_iter().partition(|file| !file.places.is_disjoint(&certain));
    // What a validation reads may be missing: only what it is made of counts.
    let validated =
        |tasks: &[&Task]| -> Vec<Arc<str>> { tasks.iter().filter_map(|task| super::argument_specs::variables(task)).flatten().collect() };
    let (surely, all_validated) = (validated(&found.sure_tasks), validated(&found.tasks));
    for (roots, names, templates, unsure) in [(&found.sure, surely, sure, false), (&found.roots, all_validated, perhaps, true)] {
        checker.unsure = unsure;
        checker.read(loader, roots, names, templates, &definitions, &mut followed);
    }

    let mut guesses = Checker { unsure: true, ..Checker::default() };
    loader.guessing(|loader| guesses.read(loader, &[], Vec::new(), guessed, &Definitions::new(), &mut followed));
    checker.tested.extend(guesses.tested.iter().cloned());
    guesses.tested.clone_from(&checker.tested);

    super::argument_specs::check(loader, &found, &definitions, &all, &certain);
    if !found.open {
        undefined(loader, &checker, &found, &definitions, &places);
        loader.guessing(|loader| undefined(loader, &guesses, &found, &definitions, &places));
    }
    for play in plays {
        handlers(loader, play, &certain);
    }
    let surely: HashSet<*const Task> = found.sure_tasks.iter().map(|task| std::ptr::from_ref(*task)).collect();
    for task in found.sure_tasks.iter().chain(&found.tasks) {
        if let Some(mistake) = rules(loader, task) {
            if surely.contains(&std::ptr::from_ref(*task)) { loader.mistake(mistake) } else { loader.perhaps(mistake) }
        }
    }
    newcomers
}

#[derive(Default)]
struct Checker {
    cache: Cache,
    /// Names that some text tests with `is defined`: their author knows that they may be missing.
    tested: BTreeSet<Arc<str>>,
    /// Names that are read without a guard.
    reads: Vec<Read>,
    /// What is read now lies behind conditions.
    unsure: bool,
    /// Values of variables that only what lies behind conditions gives.
    perhaps: HashSet<*const Tree>,
    /// Names that those of them read which a sure text names.
    later: Vec<Arc<str>>,
    seen: HashSet<(Arc<str>, Span, bool)>,
}

/// A name that is read without a guard.
struct Read {
    name: Arc<str>,
    /// The text that it stands in, and where in it.
    template: Template,
    at: u32,
    /// It is read in every run.
    sure: bool,
}

impl Checker {
    /// Reads trees and template files, and what defines the variables that they read.
    fn read(
        &mut self,
        loader: &mut Loader,
        roots: &[&Tree],
        names: Vec<Arc<str>>,
        templates: Vec<TemplateFile>,
        definitions: &Definitions,
        followed: &mut BTreeSet<Arc<str>>,
    ) {
        let mut open = names;
        open.append(&mut self.later);
        for root in roots {
            self.tree(loader, root, &mut open);
        }
        for TemplateFile { text, syntaxes, .. } in templates {
            for syntax in syntaxes {
                match syntax {
                    Syntax::Usual => self.text(loader, &text, false, &mut open),
                    Syntax::Own(options) => self.found(loader, &text, reads::of_file(&text, &options).map(Rc::new), &mut open),
                    Syntax::Handlebars => self.found(loader, &text, handlebars::reads::of(&text.source).map(Rc::new), &mut open),
                    // Which words are variables shows at run time.
                    Syntax::Unknown => {}
                }
            }
        }
        while let Some(name) = open.pop() {
            if !followed.insert(Arc::clone(&name)) {
                continue;
            }
            for definition in definitions.get(&*name).into_iter().flatten() {
                if self.unsure || !self.perhaps.contains(&Arc::as_ptr(definition)) {
                    self.tree(loader, definition, &mut open);
                    continue;
                }
                let mut later = std::mem::take(&mut self.later);
                self.unsure = true;
                self.tree(loader, definition, &mut later);
                (self.unsure, self.later) = (false, later);
            }
        }
    }

    fn problem(&self, loader: &mut Loader, template: &Template, problem: &Problem) {
        let span = place(loader, template, problem.at, &problem.word);
        let mut mistake = Diagnostic::error(problem.message.clone(), span, (problem.word.chars().count() as u32).max(1));
        mistake.hint.clone_from(&problem.hint);
        let near = problem.hint.as_deref().and_then(|hint| hint.strip_prefix("did you mean `")?.strip_suffix("`?"));
        mistake.is_slip = near.is_some_and(|near| is_slip_of(&problem.word, near));
        self.tell(loader, mistake);
    }

    fn tell(&self, loader: &mut Loader, mistake: Diagnostic) {
        if self.unsure { loader.perhaps(mistake) } else { loader.mistake(mistake) }
    }

    fn tree(&mut self, loader: &mut Loader, tree: &Tree, open: &mut Vec<Arc<str>>) {
        tree.templates(&mut |template, expression| self.text(loader, template, expression, open));
    }

    fn text(&mut self, loader: &mut Loader, template: &Template, expression: bool, open: &mut Vec<Arc<str>>) {
        if !self.seen.insert((Arc::clone(&template.source), template.span, expression)) {
            return;
        }
        let found = self.cache.found(template, expression);
        self.found(loader, template, found, open);
    }

    fn found(&mut self, loader: &mut Loader, template: &Template, found: Result<Rc<Reads>, Problem>, open: &mut Vec<Arc<str>>) {
        let found = match found {
            Ok(found) => found,
            Err(problem) => return self.problem(loader, template, &problem),
        };
        found.problems.iter().for_each(|problem| self.problem(loader, template, problem));
        found.unknown.iter().for_each(|unknown| {
            let mistake = unknown_lookup(loader, template, unknown);
            self.tell(loader, mistake);
        });
        self.tested.extend(found.tested.iter().cloned());
        for name in &found.names {
            open.push(Arc::clone(&name.name));
            if !name.guarded {
                let (name, at) = (Arc::clone(&name.name), name.at);
                self.reads.push(Read { name, template: template.clone(), at, sure: !self.unsure });
            }
        }
    }
}

/// A lookup that ansible-core has and this program has not.
fn refused(name: &str) -> Option<(&'static str, &'static str)> {
    match table::find(short(name))?.support {
        Support::No { reason, instead } => Some((reason, instead)),
        Support::Yes => None,
    }
}

fn unknown_lookup(loader: &Loader, template: &Template, unknown: &Unknown) -> Diagnostic {
    let span = place(loader, template, unknown.at, &unknown.name);
    if let Some((reason, instead)) = refused(&unknown.name) {
        let message = format!("the lookup `{}` is not supported: {reason}", unknown.name);
        return Diagnostic::error(message, span, unknown.name.chars().count() as u32).hint(instead);
    }
    let mistake = Diagnostic::error(format!("unknown lookup `{}`", unknown.name), span, unknown.name.chars().count() as u32);
    let mistake = mistake.suggest(&unknown.name, reads::lookup_names());
    match unknown.name.rsplit_once('.') {
        Some((collection, _)) if mistake.label.is_none() => mistake.hint(format!("plugins of the collection {collection} are not there")),
        _ => mistake,
    }
}

/// The file's place of a word that stands at or after the byte of a template.
fn place(loader: &Loader, template: &Template, at: u32, word: &str) -> Span {
    let at = at as usize;
    // The parser's places are those of expressions: the word is at it or shortly behind it (`x | filter`).
    let offset = template.source.get(at..).and_then(|rest| rest.find(word)).map_or(at, |position| at + position);
    loader.files.sources.locate(template, offset)
}

/// Whether anything may define the variable.
pub fn is_defined(name: &str, found: &Found, definitions: &Definitions) -> bool {
    name.starts_with("ansible_")
        || name.starts_with('_')
        || MAGIC.contains(&name)
        || definitions.contains_key(name)
        || found.defined.contains(name)
        || found.patterns.iter().any(|pattern| pattern.matches(name))
}

fn undefined(loader: &mut Loader, checker: &Checker, found: &Found, definitions: &Definitions, places: &BTreeMap<&str, Span>) {
    let known = |name: &str| is_defined(name, found, definitions) || checker.tested.contains(name);
    let names: Vec<&str> = definitions.keys().copied().chain(found.defined.iter().map(|name| &**name)).collect();
    let mistaken = loader.files.mistaken();
    let mut warned: BTreeMap<&str, (Diagnostic, Vec<Span>)> = BTreeMap::new();
    for Read { name, template, at, sure } in &checker.reads {
        if known(name) || loader.files.unknown || loader.defined_anyway.contains(name) || mistaken.names(name) {
            continue;
        }
        let span = place(loader, template, *at, name);
        let mut mistake = Diagnostic::error(format!("undefined variable `{name}`"), span, name.chars().count() as u32);
        let mut is_slip = false;
        let functions = function_names().map(|name: &str| name).filter(|_| is_called(template, *at, name));
        if let Some(near) = suggest(name, names.iter().copied().chain(functions).chain(MAGIC.iter().copied())) {
            let whence = match places.get(near) {
                Some(span) if loader.files.sources.file(span.file).is_some() => {
                    format!(" ({}:{})", loader.files.sources.file(span.file).map_or("", |file| &file.name), span.line)
                }
                _ => String::new(),
            };
            is_slip = is_slip_of(name, near);
            mistake = mistake.label(format!("defined and similar: `{near}`{whence}"));
        } else if loader.incomplete {
            continue;
        } else {
            mistake = mistake.hint("no inventory, variable file, play, role or task defines it: give it a value, or write `| default(…)`");
        }
        if *sure || is_slip {
            loader.mistake(mistake);
            continue;
        }
        match warned.get_mut(&**name) {
            Some((_, others)) => others.push(span),
            None => {
                mistake.message.push_str(": the task fails on a host that reaches it");
                warned.insert(name, (mistake.as_warning(), Vec::new()));
            }
        }
    }
    for (warning, others) in warned.into_values() {
        let warning = elsewhere(loader, warning, &others);
        loader.mistake(warning);
    }
}

/// A warning that holds for other places too.
fn elsewhere(loader: &Loader, warning: Diagnostic, others: &[Span]) -> Diagnostic {
    let Some(first) = others.first() else { return warning };
    let mut label = warning.label.as_ref().map(|label| format!("{label}; ")).unwrap_or_default();
    label.push_str(&format!("also at {}", loader.files.sources.place(*first)));
    if others.len() > 1 {
        label.push_str(&format!(" and {} more", others.len() - 1));
    }
    warning.label(label)
}

/// Whether the word at or after the byte is called: `name(…)`.
fn is_called(template: &Template, at: u32, word: &str) -> bool {
    let rest = template.source.get(at as usize..).and_then(|rest| rest.split_once(word));
    rest.is_some_and(|(_, rest)| rest.trim_start().starts_with('('))
}

/// `notify` of a handler that nobody wrote.
fn handlers(loader: &mut Loader, loaded: &LoadedPlay, certain: &BTreeSet<Arc<str>>) {
    let fragments = loader.fragments.clone();
    let reach = super::compile::reach(loader, [Arc::clone(&loaded.owner)].into_iter());
    let mut found = Found::default();
    found.play(&loaded.play);
    let own = crate::program::Fragments {
        tasks: fragments.tasks.into_iter().filter(|(key, _)| reach.fragments.contains(key)).collect(),
        vars: BTreeMap::new(),
        roles: fragments.roles.into_iter().filter(|(name, _)| reach.fragments.contains(format!("role {name}").as_str())).collect(),
        mistakes: BTreeMap::new(),
    };
    found.fragments(&own, certain);
    let text = |tree: &Tree| tree.literal().and_then(Value::as_str).map(str::to_owned);
    if found.handlers.iter().any(|tree| text(tree).is_none()) {
        return;
    }
    let names: BTreeSet<String> = found.handlers.iter().filter_map(|tree| text(tree)).collect();
    let mistaken = loader.files.mistaken();
    found.notified.sort_by_key(|notified| !notified.sure);
    for Notified { name, span: start, sure } in &found.notified {
        let Some(name) = text(name) else { continue };
        // `role : handler` names a role's handler.
        let bare = name.split_once(" : ").map_or(name.as_str(), |(_, bare)| bare);
        if names.contains(&name) || names.contains(bare) || mistaken.names(bare) {
            continue;
        }
        let span = find_line(loader, *start, &name).unwrap_or(*start);
        let mistake = Diagnostic::error(format!("no handler is named `{name}`"), span, name.chars().count() as u32);
        let mistake = mistake.suggest(&name, names.iter().map(String::as_str));
        let mistake = if mistake.label.is_none() {
            mistake.hint("handlers stand in `handlers:` of the play or in a role's handlers/main.yml")
        } else {
            mistake
        };
        if *sure { loader.mistake(mistake) } else { loader.perhaps(mistake) }
    }
}

/// Where a word stands in a task or block, from its first line on.
fn find_line(loader: &Loader, start: Span, word: &str) -> Option<Span> {
    let file = loader.files.sources.file(start.file)?;
    for (index, line) in file.text.lines().enumerate().skip(start.line.checked_sub(1)? as usize).take(80) {
        if let Some(position) = line.find(word)
            && (index + 1 > start.line as usize || line.contains("notify"))
            && !line.trim_start().starts_with("- name:")
        {
            return Some(Span { file: start.file, line: index as u32 + 1, column: line[..position].chars().count() as u32 + 1 });
        }
    }
    None
}

/// Rules over several arguments, where nothing is hidden behind a template.
fn rules(loader: &Loader, task: &Task) -> Option<Diagnostic> {
    let entry = module::find(&task.module)?;
    let arguments = &task.arguments;
    if arguments.splat.is_some() || loader.has_module_defaults || loader.broken.contains(&task.span) {
        return None;
    }
    let spec = entry.spec();
    let mut given: Vec<String> = arguments.named.iter().map(|argument| argument.name.to_string()).collect();
    if arguments.free_form.is_some() {
        given.extend(spec.free_form.map(str::to_owned));
    }
    // `omit` may take an argument away: only literals are surely there, and only what is not written is surely missing.
    for field in &spec.fields {
        if field.required && !field.names().any(|name| given.iter().any(|given| given == name)) {
            let mistake = Diagnostic::error(format!("module `{}` needs the argument `{}`", entry.name(), field.name), task.span, 1);
            return Some(mistake.hint(format!("`{}`: {}", field.name, first_line(field.documentation))));
        }
    }
    let holes = arguments.named.iter().any(|argument| !matches!(argument.value, Tree::Literal(_) | Tree::Expression(_)));
    if holes {
        return None;
    }
    let values: crate::module::Raw = arguments
        .named
        .iter()
        .filter_map(|argument| Some((crate::program::Key::from(Arc::clone(&argument.name)), argument.value.literal()?.clone())))
        .collect();
    let (message, hint) = match module::arguments::finish(spec, &given, &crate::module::Raw::new(), &values) {
        Err(error) => (error.message, error.hint),
        Ok(()) => entry.check(values).map(|error| (error.message, error.hint))?,
    };
    let mut mistake = Diagnostic::error(format!("module `{}`: {message}", entry.name()), task.span, 1);
    mistake.hint = hint;
    Some(mistake)
}

fn first_line(documentation: &str) -> String {
    documentation.trim().lines().next().unwrap_or_default().trim().to_owned()
}
