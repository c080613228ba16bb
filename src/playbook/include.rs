//! `import_tasks`, `import_role` (read now), `include_tasks`, `include_role` (decided at run time; what they may name is read too).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::absent::may_be_left_out;
use super::action::{Action, WrittenValue};
use super::keyword::{self, Place};
use super::loader::{Loader, digest};
use super::modules::short;
use super::role::{Call, CallKind};
use super::task::{Context, forgives};
use crate::module::Kind;
use crate::program::{Block, Include, Included, Keywords, Layer, Origin, Step, Tree, Value};
use crate::project::files::normal;
use crate::source::node::has_template;
use crate::source::{Diagnostic, Node};

/// An include whose files are still to be read.
pub struct Pending {
    pub include: Include,
    pub context: Context,
    /// The node that names it, for mistakes.
    pub node: Node,
}

const TASKS: &[&str] = &["file", "apply"];
const ROLE: &[&str] = &[
    "name",
    "role",
    "tasks_from",
    "vars_from",
    "defaults_from",
    "handlers_from",
    "apply",
    "public",
    "allow_duplicates",
    "rolespec_validate",
];
/// Keywords that Ansible takes for `include_…`.
const OF_INCLUDES: &[&str] = &[
    "action",
    "args",
    "collections",
    "debugger",
    "ignore_errors",
    "loop",
    "loop_control",
    "name",
    "no_log",
    "register",
    "run_once",
    "tags",
    "timeout",
    "vars",
    "when",
    "local_action",
];
/// Keywords that mean nothing on an import: it is gone when tasks run.
const NOT_OF_IMPORTS: &[&str] = &["register", "until", "retries", "delay", "changed_when", "failed_when", "listen"];

/// What was given to an include or import, by name.
struct Options<'node> {
    entries: Vec<(String, Given<'node>)>,
}

struct Given<'node> {
    node: &'node Node,
    /// Text of `key=value`.
    text: Option<String>,
}

impl<'node> Options<'node> {
    fn get(&self, name: &str) -> Option<&Given<'node>> {
        self.entries.iter().find(|(known, _)| known == name).map(|(_, place)| place)
    }
}

impl Loader<'_> {
    fn options<'node>(&mut self, action: &Action<'node>, known: &[&str], free: Option<&str>) -> Options<'node> {
        let written = self.written(action);
        let mut options = Options { entries: Vec::new() };
        if let Some(splat) = written.splat {
            self.mistake(Diagnostic::at(splat, format!("the arguments of `{}` cannot be a template", action.name)));
        }
        for argument in written.named {
            let name = argument.name.as_str();
            let name = if name == "_raw_params" { free.unwrap_or(name) } else { name };
            let place = match argument.value {
                WrittenValue::Node(node) => Given { node, text: None },
                WrittenValue::Text(text, ..) => Given { node: action.key(), text: Some(text) },
            };
            if known.contains(&name) {
                options.entries.push((name.to_owned(), place));
            } else {
                let at = argument.key_node.unwrap_or(place.node);
                self.mistake(
                    Diagnostic::at(at, format!("`{}` has no argument `{name}`", action.name)).slip_of(name, known.iter().copied()),
                );
            }
        }
        if let Some((text, _, _, node)) = written.free {
            match free {
                Some(name) => options.entries.insert(0, (name.to_owned(), Given { node, text: Some(text.trim().to_owned()) })),
                None => {
                    self.mistake(Diagnostic::at(node, format!("`{}` takes no free text", action.name)).hint("write `name: ROLE` below it"));
                }
            }
        }
        options
    }

    fn option_tree(&mut self, place: &Given, secret: bool) -> Tree {
        match (&place.text, place.node.scalar()) {
            (Some(text), Some(scalar)) => Self::text_tree(text, scalar, 0, secret),
            _ => self.tree(place.node, secret),
        }
    }

    fn literal_bool(&mut self, options: &Options, name: &str) -> Option<bool> {
        let place = options.get(name)?;
        match self.option_tree(place, false) {
            Tree::Literal(value) => match crate::module::arguments::boolean(&value) {
                Ok(truth) => Some(truth),
                Err(message) => {
                    self.mistake(Diagnostic::at(place.node, format!("`{name}`: {message}")));
                    None
                }
            },
            _ => {
                self.mistake(Diagnostic::at(place.node, format!("`{name}` of an import must be known beforehand, not a template")));
                None
            }
        }
    }

    /// `import_tasks: file.yml`.
    pub fn import_tasks(&mut self, node: &Node, entries: &[(Node, Node)], action: &Action, context: &Context) -> Vec<Step> {
        let options = self.options(action, &["file"], Some("file"));
        let (keywords, name, inside) = self.import_keywords(entries, action, context);
        let Some(place) = options.get("file") else {
            self.mistake(Diagnostic::at(action.key(), format!("`{}` names no file", action.name)));
            return Vec::new();
        };
        let text = place.text.clone();
        let Some(target) = self.static_name(place.node, text.as_deref(), &inside, "the file of an import") else { return Vec::new() };
        let folders = include_folders(context, true);
        let Some(file) = folders.iter().map(|folder| normal(&folder.join(&target))).find(|path| path.is_file()) else {
            self.missing_file(place.node, &target, &folders);
            return Vec::new();
        };
        let mut inside = inside;
        inside.folders = below(context, &target);
        let before = self.play.import_handlers.len();
        let block = self.task_file(&file, &inside, place.node);
        self.around_handlers(before, node.span, &keywords, None);
        vec![Step::Block(Box::new(Block { name, span: node.span, keywords, origin: Origin::Import, block, ..Block::default() }))]
    }

    /// `import_role: {name: x, tasks_from: y}`.
    pub fn import_role(&mut self, node: &Node, entries: &[(Node, Node)], action: &Action, context: &Context) -> Vec<Step> {
        if context.handlers {
            self.mistake(Diagnostic::at(action.key(), format!("`{}` cannot be a handler", action.name)));
            return Vec::new();
        }
        let options = self.options(action, ROLE, None);
        let (keywords, name, inside) = self.import_keywords(entries, action, context);
        if let Some(place) = options.get("apply") {
            self.mistake(Diagnostic::at(place.node, "`apply` is for `include_role`: an import's keywords reach its tasks already"));
        }
        let Some(place) = options.get("name").or_else(|| options.get("role")) else {
            self.mistake(Diagnostic::at(action.key(), format!("`{}` names no role", action.name)));
            return Vec::new();
        };
        let text = place.text.clone();
        let Some(role) = self.static_name(place.node, text.as_deref(), &inside, "the name of an imported role") else { return Vec::new() };
        let mut call = Call::new(place.node, role, CallKind::Import);
        call.keywords = keywords;
        for (option, from) in [
            ("tasks_from", &mut call.tasks_from),
            ("vars_from", &mut call.vars_from),
            ("defaults_from", &mut call.defaults_from),
            ("handlers_from", &mut call.handlers_from),
        ] {
            if let Some(place) = options.get(option) {
                let text = place.text.clone();
                *from = self.static_name(place.node, text.as_deref(), &inside, &format!("`{option}` of an import"));
            }
        }
        call.allow_duplicates = Some(self.literal_bool(&options, "allow_duplicates").unwrap_or(true));
        call.public = self.literal_bool(&options, "public").unwrap_or(true);
        call.validate = self.literal_bool(&options, "rolespec_validate").unwrap_or(true);
        let Some(mut block) = self.role_block(call, &inside) else { return Vec::new() };
        block.name = name;
        block.origin = Origin::Import;
        block.span = node.span;
        vec![Step::Block(Box::new(block))]
    }

    /// An import's keywords: its tasks inherit them, as from a block.
    fn import_keywords(&mut self, entries: &[(Node, Node)], action: &Action, context: &Context) -> (Keywords, Option<Tree>, Context) {
        let mut keywords = Keywords::default();
        let mut name = None;
        let mut inside = context.clone();
        for (key, value) in entries {
            let Some(word) = key.text() else { continue };
            if action.is_key(key) || word == "args" {
                continue;
            }
            if word == "loop" || word.starts_with("with_") || word == "loop_control" {
                if word != "loop_control" {
                    let instead = short(&action.name).replace("import", "include");
                    self.mistake(
                        Diagnostic::at(key, format!("`{}` is read beforehand and cannot loop", action.name))
                            .hint(format!("write `{instead}`")),
                    );
                }
                continue;
            }
            if !self.keyword_allowed(key, value, context.place()) {
                continue;
            }
            if self.shared_keyword(&mut keywords, key, value, context.secret, &format!("vars of {}", short(&action.name))) {
                continue;
            }
            match word {
                "name" => name = self.typed(key, value, &Kind::Text, context.secret),
                "collections" => inside.collections = self.collections(value),
                _ if NOT_OF_IMPORTS.contains(&word) => self.mistake(
                    Diagnostic::at(key, format!("`{word}` on `{}` does nothing: there is no task left of an import", action.name))
                        .as_warning(),
                ),
                _ => {}
            }
        }
        self.lookups_of_layer(&keywords.vars, context);
        if !keywords.vars.variables.is_empty() {
            inside.known.push(Arc::new(keywords.vars.clone()));
        }
        inside.may_be_left_out |= may_be_left_out(entries);
        inside.forgives |= forgives(entries);
        (keywords, name, inside)
    }

    /// `include_tasks`, `include_role`.
    pub fn include(&mut self, node: &Node, entries: &[(Node, Node)], action: &Action, context: &Context) -> Vec<Step> {
        let is_role = short(&action.name) == "include_role";
        if is_role && context.handlers {
            self.mistake(Diagnostic::at(action.key(), format!("`{}` cannot be a handler", action.name)));
            return Vec::new();
        }
        let mut include = Include { span: node.span, digest: digest(node), ..Include::default() };
        let options = if is_role { self.options(action, ROLE, None) } else { self.options(action, TASKS, Some("file")) };
        for (key, value) in entries {
            let Some(word) = key.text() else { continue };
            if action.is_key(key) || matches!(word, "args" | "loop" | "loop_control") || word.starts_with("with_") {
                continue;
            }
            let of_handlers = context.handlers && word == "listen";
            if !OF_INCLUDES.contains(&word) && !of_handlers {
                if keyword::find(word).is_some() {
                    self.mistake(
                        Diagnostic::at(key, format!("`{word}` cannot stand at `{}`", action.name))
                            .hint(format!("give it to what is included: `apply: {{{word}: …}}`")),
                    );
                } else {
                    self.keyword_allowed(key, value, context.place());
                }
                continue;
            }
            if !self.keyword_allowed(key, value, context.place())
                || self.shared_keyword(&mut include.keywords, key, value, context.secret, &format!("vars of {}", short(&action.name)))
            {
                continue;
            }
            match word {
                "name" => include.name = self.typed(key, value, &Kind::Text, context.secret),
                "register" => include.register = self.register(key, value),
                "listen" => include.listen = self.names(value, word, context.secret),
                _ => {}
            }
        }
        include.looping = self.looping(entries, context.secret);
        if let Some(place) = options.get("apply") {
            include.apply = self.apply(place.node, context);
        }
        let naming;
        if is_role {
            let Some(place) = options.get("name").or_else(|| options.get("role")) else {
                self.mistake(Diagnostic::at(action.key(), format!("`{}` names no role", action.name)));
                return Vec::new();
            };
            naming = place.node.clone();
            let mut tree = |name: &str| options.get(name).map(|place| self.option_tree(place, context.secret));
            include.what = Included::Role {
                name: tree("name").or_else(|| tree("role")).unwrap_or(Tree::Literal(Value::Null)),
                tasks_from: tree("tasks_from"),
                vars_from: tree("vars_from"),
                defaults_from: tree("defaults_from"),
                handlers_from: tree("handlers_from"),
                public: tree("public"),
                allow_duplicates: tree("allow_duplicates"),
                rolespec_validate: tree("rolespec_validate"),
            };
            include.search = self.role_folders(context).iter().map(|folder| folder.display().to_string().into()).collect();
        } else {
            let Some(place) = options.get("file") else {
                self.mistake(Diagnostic::at(action.key(), format!("`{}` names no file", action.name)));
                return Vec::new();
            };
            naming = place.node.clone();
            include.what = Included::Tasks(self.option_tree(place, context.secret));
            include.search = include_folders(context, false).iter().map(|folder| folder.display().to_string().into()).collect();
        }
        include.named = naming.span;
        let mut inside = context.clone();
        inside.may_be_left_out |= may_be_left_out(entries) || context.handlers;
        self.task_in_hand = Some(include.span);
        self.in_doubt(&inside, |loader| {
            let mut found = super::walk::Found::default();
            found.include(&include, context.handlers);
            found.roots.iter().for_each(|root| loader.lookups_of_tree(root, context, false));
            found.vars.iter().for_each(|layer| loader.lookups_of_layer(layer, context));
            if let Some(looping) = &include.looping {
                loader.files_of_loop(looping, context);
            }
        });
        self.task_in_hand = None;
        inside.forgives |= forgives(entries);
        if !include.keywords.vars.variables.is_empty() {
            inside.known.push(Arc::new(include.keywords.vars.clone()));
        }
        self.pending.push(Pending { include: include.clone(), context: inside, node: naming });
        vec![Step::Include(Box::new(include))]
    }

    fn apply(&mut self, node: &Node, context: &Context) -> Keywords {
        let mut keywords = Keywords::default();
        let Some(entries) = node.as_map() else {
            self.mistake(Diagnostic::at(node, format!("`apply` must be a mapping of keywords, found {}", node.describe())));
            return keywords;
        };
        for (key, value) in entries {
            if self.keyword_allowed(key, value, Place::Block)
                && !self.shared_keyword(&mut keywords, key, value, context.secret, "vars of apply")
            {
                let word = key.text().unwrap_or_default();
                if word != "name" && word != "collections" {
                    self.mistake(Diagnostic::at(key, format!("`{word}` cannot be applied to what is included")));
                }
            }
        }
        keywords
    }

    pub fn missing_file(&mut self, node: &Node, target: &str, folders: &[PathBuf]) {
        self.incomplete = true;
        let wanted = Path::new(target);
        let name = wanted.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut near: Vec<String> = Vec::new();
        for folder in folders {
            let folder = folder.join(wanted.parent().unwrap_or(Path::new("")));
            let Ok(entries) = std::fs::read_dir(folder) else { continue };
            near.extend(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()));
        }
        near.sort();
        let searched: Vec<String> =
            folders.iter().map(|folder| self.shown(folder)).map(|name| if name.is_empty() { ".".to_owned() } else { name }).collect();
        let mistake = Diagnostic::at(node, format!("there is no file `{target}`")).suggest(&name, near.iter().map(String::as_str));
        self.awaited_file(mistake.hint(format!("searched in {}", searched.join(", "))), target);
    }

    /// Tells that a file of variables or tasks is not there, unless the run makes it before it is read.
    pub fn awaited_file(&mut self, mut mistake: Diagnostic, name: &str) {
        self.incomplete = true;
        if self.task_in_hand.is_some() {
            mistake.awaits = Some((name.to_owned(), self.task_in_hand));
            self.named_by_task(name);
        }
        self.mistake(mistake);
    }

    /// A name that must be known before the run: a text, or a template over variables known so early.
    pub fn static_text(&mut self, node: &Node, context: &Context, what: &str) -> Option<String> {
        self.static_name(node, None, context, what)
    }

    fn static_name(&mut self, node: &Node, text: Option<&str>, context: &Context, what: &str) -> Option<String> {
        let Some(text) = text.or_else(|| node.text()) else {
            self.mistake(Diagnostic::at(node, format!("{what} must be a text, found {}", node.describe())));
            return None;
        };
        if text.trim().is_empty() || node.is_null() {
            self.mistake(Diagnostic::at(node, format!("{what} is empty")));
            return None;
        }
        if !has_template(text) {
            return Some(text.to_owned());
        }
        let layers: Vec<Arc<Layer>> = context.known.clone();
        match super::early::evaluate_text(self, text, node, &layers, &context.playbook_dir) {
            Ok(text) => Some(text),
            Err(error) => {
                self.mistake(Diagnostic::at(node, format!("{what} must be known before the run: {}", error.message)).hint(
                    "imports and roles are read beforehand: only play variables, vars_files, role variables and `-e` are known then; \
                     use `include_tasks` or `include_role` for names that a host decides",
                ));
                None
            }
        }
    }
}

/// Folders where an include's or import's relative name is searched, first first.
pub fn include_folders(context: &Context, import: bool) -> Vec<PathBuf> {
    let kind = if context.handlers { "handlers" } else { "tasks" };
    let base = match &context.role {
        Some(role) => role.path.join(kind),
        None => context.playbook_dir.clone(),
    };
    let mut nested = Vec::new();
    let mut cumulative = PathBuf::new();
    for folder in &context.folders {
        cumulative = if cumulative.is_absolute() { cumulative } else { folder.join(&cumulative) };
        nested.push(normal(&base.join(&cumulative)));
    }
    let mut folders = Vec::new();
    if context.role.is_some() && !import {
        folders.push(base.clone());
        folders.extend(nested);
    } else {
        folders.extend(nested);
        folders.push(base);
    }
    if let Some(role) = &context.role {
        if context.handlers {
            folders.push(role.path.join("tasks"));
        }
        folders.push(role.path.clone());
        folders.push(context.playbook_dir.join(kind));
    }
    folders.push(context.playbook_dir.clone());
    let mut unique: Vec<PathBuf> = Vec::new();
    for folder in folders {
        if !unique.contains(&folder) {
            unique.push(folder);
        }
    }
    unique
}

/// The folders around the tasks of an included file.
pub fn below(context: &Context, target: &str) -> Vec<PathBuf> {
    let mut folders = vec![Path::new(target).parent().map(Path::to_owned).unwrap_or_default()];
    folders.extend(context.folders.iter().cloned());
    folders
}
