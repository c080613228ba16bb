//! Files of the user's that modules and lookups read: found beforehand, by what names them, and carried by digest.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::free_form;
use super::loader::{Loader, reason};
use super::possible::Pattern;
use super::task::Context;
use crate::program::{Arguments, Bytes, File, Layer, Loop, Span, Task, Template, Tree, Value};
use crate::project::files::normal;
use crate::project::vault;
use crate::source::Diagnostic;
use crate::template::Options;
use crate::template::reads::{self, Lookup};

/// Where the bytes of a digest are.
#[derive(Clone)]
pub enum Content {
    Path(PathBuf),
    /// Decrypted: never on disk.
    Secret(Arc<[u8]>),
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Content::Path(path) => write!(f, "{}", path.display()),
            Content::Secret(_) => f.write_str("***"),
        }
    }
}

/// How a template file is written, as the task that uses it says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Syntax {
    Usual,
    /// With delimiters of its own.
    Own(Arc<Options>),
    /// With delimiters that an expression gives.
    Unknown,
    /// A file that ends in `.hbs`.
    Handlebars,
}

impl Syntax {
    /// What the arguments of a `template` task say.
    fn of(arguments: &Arguments) -> Self {
        let mut options = Options::file();
        for argument in arguments.named.iter().filter(|argument| Options::DELIMITERS.contains(&&*argument.name)) {
            let Some(text) = argument.value.literal().and_then(Value::as_str) else { return Self::Unknown };
            options.set_delimiter(&argument.name, text);
        }
        if options == Options::file() { Self::Usual } else { Self::Own(Arc::new(options)) }
    }
}

/// A template file that some task or lookup names.
#[derive(Clone, Debug)]
pub struct TemplateFile {
    pub text: Template,
    /// In the order in which they were met.
    pub syntaxes: Vec<Syntax>,
    /// Where it is named without a condition before it: [`Context::place`].
    pub places: BTreeSet<Arc<str>>,
    /// Some name means it; otherwise it only lies where one of which nothing is known may lead.
    pub is_meant: bool,
}

/// How a module or lookup uses a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// `files`, `templates`, `vars`: the folder that is searched first.
    pub kind: &'static str,
    /// Its bytes are always needed: they are sent along.
    pub inline: bool,
    /// A vault file is opened (`decrypt`, by default).
    pub decrypt: bool,
    /// It is taken as it lies there too.
    pub sealed: bool,
    /// Of a template.
    pub syntax: Syntax,
    /// The folder of the template that a task or lookup named: what it includes is searched there last.
    pub beside: Option<PathBuf>,
    /// Nothing is known of the name: the file need not be meant.
    pub is_guess: bool,
}

impl Use {
    pub const FILE: Self =
        Self { kind: "files", inline: false, decrypt: true, sealed: false, syntax: Syntax::Usual, beside: None, is_guess: false };
    pub const TEMPLATE: Self = Self { kind: "templates", inline: true, ..Self::FILE };
    /// `lookup('file', …)`.
    pub const TEXT: Self = Self { inline: true, ..Self::FILE };

    /// The folders that a name is searched in, first first.
    fn folders(&self, context: &Context) -> Vec<PathBuf> {
        let mut folders = search_folders(context, self.kind);
        for folder in self.beside.iter().flat_map(|folder| [folder.join(self.kind), folder.clone()]) {
            super::role::push_new(&mut folders, folder);
        }
        folders
    }
}

/// The terms that `with_…` gives its lookup.
fn terms_of(looping: &Loop) -> Vec<Tree> {
    match &looping.items {
        Tree::List(items) => items.clone(),
        Tree::Literal(Value::List(items)) => items.iter().cloned().map(Tree::Literal).collect(),
        single => vec![single.clone()],
    }
}

/// `file=NAME` in the words of a lookup.
fn file_in(words: &str) -> Option<String> {
    let tokens = free_form::split(words).ok()?;
    let file = tokens.iter().find_map(|token| token.text.trim().strip_prefix("file=").map(str::to_owned))?;
    Some(free_form::unquote(&file).to_owned())
}

/// Larger texts are fetched when they are needed.
const INLINE_LIMIT: u64 = 256 << 10;

/// All files that were found, by path on the controller.
#[derive(Default)]
pub struct Catalog {
    pub files: BTreeMap<Arc<str>, File>,
    pub contents: HashMap<Arc<str>, Content>,
    /// Template files, for the analysis of what they read.
    pub templates: BTreeMap<Arc<str>, TemplateFile>,
    /// How each path was read: opened, sealed, sent along.
    read: BTreeSet<(Arc<str>, bool, bool, bool)>,
}

impl Loader<'_> {
    /// Notes the files that a task names; what is not there is a mistake.
    pub fn files_of_task(&mut self, task: &Task, context: &Context) {
        if &*task.module == "fetch" {
            self.destination_of_task(task, context);
        }
        self.naming_of_task(task, context);
        let argument = |name: &str| task.arguments.named.iter().find(|argument| *argument.name == *name);
        let literal =
            |name: &str| argument(name).map(|argument| argument.value.literal().map(|value| crate::module::arguments::boolean(value).ok()));
        // Another machine's file, or perhaps one. `copy` is the contrary's old name in `unarchive`.
        let old = || literal("copy").map(|known| known.map(|truth| truth.map(|truth| !truth)));
        let usual = (&*task.module == "assemble").then_some(Some(Some(true)));
        let remote = literal("remote_src").or_else(old).or(usual);
        if matches!(remote, Some(Some(Some(true)))) {
            return;
        }
        let unsure = matches!(remote, Some(None | Some(None)));
        let decrypt = literal("decrypt");
        let file = Use {
            decrypt: !matches!(decrypt, Some(Some(Some(false)))),
            sealed: !matches!(decrypt, None | Some(Some(Some(true)))),
            ..Use::FILE
        };
        match &*task.module {
            "copy" | "unarchive" | "assemble" | "uri" | "template" => {
                self.parts_of_task(task, context, unsure);
                if let Some(src) = argument("src") {
                    let of = if &*task.module == "template" { Use { syntax: Syntax::of(&task.arguments), ..Use::TEMPLATE } } else { file };
                    self.named_files(&src.value, src.span, &of, task.looping.as_ref(), context, unsure);
                }
            }
            "script" => {
                let line = task.arguments.free_form.as_ref().map(|line| (line, task.span));
                if let Some((line, span)) = line.or_else(|| argument("cmd").map(|argument| (&argument.value, argument.span))) {
                    let names = self.possible(line, task.looping.as_ref(), context).iter().map(Pattern::first_word).collect();
                    self.files_of_patterns(names, span, &file, task.looping.as_ref(), context, unsure);
                }
            }
            "include_vars" => self.vars_of_task(task, context),
            "artifact" => self.artifacts_of_task(task, context),
            _ => {}
        }
        if let Some(looping) = &task.looping {
            self.files_of_loop(looping, context);
        }
    }

    /// Files that a request of `uri` sends as parts of its body.
    fn parts_of_task(&mut self, task: &Task, context: &Context, unsure: bool) {
        let body = task.arguments.named.iter().find(|argument| &*task.module == "uri" && *argument.name == *"body");
        let Some((body, span)) = body.map(|body| (body.value.clone(), body.span)) else { return };
        let parts: Vec<Tree> = match body {
            Tree::Map(parts) => parts.into_iter().map(|(_, part)| part).collect(),
            Tree::Literal(Value::Map(parts)) => parts.values().cloned().map(Tree::Literal).collect(),
            _ => return,
        };
        for part in parts {
            if let (Some(file), None) = (part.get("filename"), part.get("content")) {
                self.named_files(&file, span, &Use::FILE, task.looping.as_ref(), context, unsure);
            }
        }
    }

    /// Notes the files that lookups inside a tree name. `unsure`: it may never be read, so nothing is missing.
    pub fn lookups_of_tree(&mut self, tree: &Tree, context: &Context, unsure: bool) {
        let mut found = Vec::new();
        let cache = &mut self.cache;
        tree.templates(&mut |template, expression| {
            if let Some(reads) = cache.reads(template, expression) {
                found.extend(reads.lookups.iter().cloned());
            }
        });
        for lookup in found {
            self.lookup(&lookup, context, unsure);
        }
    }

    pub fn lookups_of_layer(&mut self, layer: &Layer, context: &Context) {
        for variable in &layer.variables {
            self.lookups_of_tree(&variable.value, context, true);
        }
    }

    /// Lookups in inventory variables: any play may read them.
    pub fn lookups_of_inventory(&mut self, plays: &[super::play::LoadedPlay], layers: &[Layer]) {
        for play in plays {
            let mut context = self.context(&play.playbook_dir, Vec::new(), false);
            context.owner = Arc::clone(&play.owner);
            layers.iter().for_each(|layer| self.lookups_of_layer(layer, &context));
        }
    }

    fn lookup(&mut self, lookup: &Lookup, context: &Context, unsure: bool) {
        let (span, terms, unsure) = (lookup.span, &lookup.terms, unsure || lookup.optional);
        match &*lookup.plugin {
            "file" => terms.iter().for_each(|term| self.named_files(term, span, &Use::TEXT, None, context, unsure)),
            "template" | "include" => terms.iter().for_each(|term| self.named_files(term, span, &Use::TEMPLATE, None, context, unsure)),
            "unvault" => {
                terms.iter().for_each(|term| self.named_files(term, span, &Use { decrypt: true, ..Use::TEXT }, None, context, unsure));
            }
            "fileglob" => {
                for pattern in terms.iter().flat_map(|term| self.possible(term, None, context)).collect::<Vec<_>>() {
                    self.globbed(&pattern, context);
                }
            }
            "first_found" => self.first_found(&Tree::List(terms.clone()), context),
            "ini" | "csvfile" => self.table(&lookup.plugin, terms, span, context, unsure),
            "password" => terms.iter().for_each(|term| self.password(term, None, context)),
            _ => {}
        }
    }

    /// The file that `ini` or `csvfile` reads: said beside the terms, or in one of them.
    fn table(&mut self, plugin: &str, terms: &[Tree], span: Span, context: &Context, unsure: bool) {
        let mut files: Vec<Tree> = terms.iter().filter_map(|term| term.get("file")).collect();
        let keys = terms.iter().filter(|term| term.get("file").is_none());
        // A key that is not written out may say it, too.
        let mut may_say = false;
        for key in keys {
            match key {
                Tree::Literal(Value::Text(text)) => files.extend(file_in(text.as_str()).map(|file| Tree::Literal(file.into()))),
                Tree::Template(template) => match file_in(&template.source) {
                    Some(file) => files.push(Tree::Template(Template { source: file.into(), span: template.span })),
                    None => may_say = true,
                },
                Tree::Literal(_) => {}
                _ => may_say = true,
            }
        }
        if files.is_empty() {
            let usual = if plugin == "ini" { "ansible.ini" } else { "ansible.csv" };
            files.push(Tree::Literal(usual.into()));
        } else {
            may_say = false;
        }
        files.iter().for_each(|file| self.named_files(file, span, &Use::TEXT, None, context, unsure || may_say));
    }

    fn first_found(&mut self, items: &Tree, context: &Context) {
        for pattern in self.first_found_parts(items, context, 0) {
            for kind in ["files", "templates", "vars", "tasks"] {
                let of = Use { kind, ..Use::FILE };
                for path in self.matching(&pattern, &search_folders(context, kind)) {
                    self.want(&path, &of, context);
                }
            }
        }
    }

    /// `with_fileglob`, `with_file`, `with_first_found`.
    pub fn files_of_loop(&mut self, looping: &Loop, context: &Context) {
        match looping.with.as_deref() {
            Some("file") => self.named_files(&looping.items, looping.span, &Use::TEXT, None, context, false),
            Some("template") => self.named_files(&looping.items, looping.span, &Use::TEMPLATE, None, context, false),
            Some("fileglob") => {
                for pattern in self.possible(&looping.items, None, context) {
                    self.globbed(&pattern, context);
                }
            }
            Some("first_found") => self.first_found(&looping.items, context),
            Some("unvault") => self.named_files(&looping.items, looping.span, &Use::TEXT, None, context, false),
            Some(plugin @ ("ini" | "csvfile")) => self.table(plugin, &terms_of(looping), looping.span, context, false),
            Some("password") => terms_of(looping).iter().for_each(|term| self.password(term, None, context)),
            _ => {}
        }
    }

    /// Files that `fileglob` finds: `*`, `?` and `[…]` are the user's own wildcards.
    pub fn globbed(&mut self, pattern: &Pattern, context: &Context) {
        let (start, _) = pattern.folder();
        // Everything in the folder that the literal part names: the glob itself is read on the node.
        // A pattern that is written out beside the playbook means its own files alone, where other folders of the project lie too.
        let flat = pattern.exact().filter(|exact| !exact.contains('/')).map(str::to_owned);
        let cut = start.find(['*', '?', '[']).map_or(start.len(), |position| start[..position].rfind('/').map_or(0, |slash| slash + 1));
        self.named_by_task(&start[..cut]);
        for folder in search_folders(context, "files") {
            let folder = normal(&folder.join(&start[..cut]));
            if folder == Path::new("/") || !folder.is_dir() || (start[..cut].is_empty() && flat.is_none() && !folder.ends_with("files")) {
                continue;
            }
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            let is_meant = |path: &Path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                flat.as_ref().is_none_or(|flat| crate::program::glob::glob(flat, &name))
            };
            for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file() && is_meant(path)) {
                self.want(&path, &Use::FILE, context);
            }
        }
    }

    /// Files that a tree may name. `unsure`: it may mean another machine's file, so nothing is missing.
    pub fn named_files(&mut self, name: &Tree, span: Span, of: &Use, looping: Option<&Loop>, context: &Context, unsure: bool) {
        let names = self.possible(name, looping, context);
        self.files_of_patterns(names, span, of, looping, context, unsure);
    }

    fn files_of_patterns(&mut self, names: Vec<Pattern>, span: Span, of: &Use, looping: Option<&Loop>, context: &Context, unsure: bool) {
        let folders = of.folders(context);
        let any = looping.is_some_and(|looping| looping.with.as_deref() == Some("first_found"));
        for pattern in names {
            let Some(exact) = pattern.exact() else {
                self.may_be_found(&pattern, context);
                // A path that starts with what is not known cannot be the project's unless it is below a searched folder.
                let is_guess = of.is_guess || pattern.is_open();
                let of = &Use { is_guess, ..of.clone() };
                for path in self.matching(&pattern, &folders) {
                    self.named_by_task(&path.to_string_lossy());
                    if is_guess {
                        self.guessing(|loader| loader.want(&path, of, context));
                    } else {
                        self.want(&path, of, context);
                    }
                }
                continue;
            };
            if exact.is_empty() {
                continue;
            }
            let home = Pattern::literal(&self.files.resolve(Path::new(""), exact).to_string_lossy());
            let pattern = if exact.starts_with('~') { home } else { pattern.clone() };
            match self.matching(&pattern, &folders).into_iter().next() {
                Some(path) => {
                    self.named_by_task(exact);
                    self.want(&path, of, context);
                }
                None if unsure || any || pattern.is_guess() => {}
                None => self.file_is_missing(exact, span, of, &folders),
            }
        }
    }

    /// Notes that a name is what the run gives.
    fn may_be_found(&mut self, pattern: &Pattern, context: &Context) {
        if pattern.is_hole_first() {
            self.uses.entry(Arc::clone(&context.owner)).or_default().takes_found = true;
        }
    }

    fn file_is_missing(&mut self, name: &str, span: Span, of: &Use, folders: &[PathBuf]) {
        let wanted = Path::new(name);
        let file = wanted.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut near: Vec<String> = Vec::new();
        for folder in folders {
            let Ok(entries) = std::fs::read_dir(folder.join(wanted.parent().unwrap_or(Path::new("")))) else { continue };
            near.extend(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()));
        }
        near.sort();
        let searched: Vec<String> =
            folders.iter().map(|folder| self.shown(folder)).map(|name| if name.is_empty() { ".".to_owned() } else { name }).collect();
        let what = if of.kind == "templates" { "template" } else { "file" };
        let mut mistake = Diagnostic::error(format!("there is no {what} `{name}`"), span, name.chars().count() as u32)
            .suggest(&file, near.iter().map(String::as_str));
        mistake = mistake.hint(format!("searched in {}", searched.join(", ")));
        mistake.awaits = Some((name.to_owned(), self.task_in_hand));
        self.named_by_task(name);
        self.mistake(mistake);
    }

    /// `include_vars`: files become fragments.
    fn vars_of_task(&mut self, task: &Task, context: &Context) {
        let folders = search_folders(context, "vars");
        let argument = |name: &str| task.arguments.named.iter().find(|argument| *argument.name == *name);
        let file = task
            .arguments
            .free_form
            .as_ref()
            .map(|tree| (tree, task.span))
            .or_else(|| argument("file").map(|argument| (&argument.value, argument.span)));
        if let Some((name, span)) = file {
            let any = task.looping.as_ref().is_some_and(|looping| looping.with.as_deref() == Some("first_found"));
            for pattern in self.possible(name, task.looping.as_ref(), context) {
                let found = self.matching(&pattern, &folders);
                if found.is_empty()
                    && !any
                    && !pattern.is_guess()
                    && let Some(exact) = pattern.exact()
                {
                    let exact = exact.to_owned();
                    let span = if span == task.span { name_span(name).unwrap_or(span) } else { span };
                    // What it defines is not known.
                    self.incomplete = true;
                    self.file_is_missing(&exact, span, &Use { kind: "vars", ..Use::FILE }, &folders);
                }
                self.may_be_found(&pattern, context);
                // Where nothing is known of the name, nothing is known of what the file defines.
                self.vars_unknown |= !any && pattern == Pattern::hole();
                // Which of them it is a host says.
                let unsure = pattern.exact().is_none();
                let of_file = Context { may_be_left_out: context.may_be_left_out || unsure, ..context.clone() };
                for path in found {
                    self.named_by_task(&path.to_string_lossy());
                    self.vars_file_of_task(&path, unsure, &of_file);
                }
            }
        }
        if let Some(dir) = argument("dir") {
            for pattern in self.possible(&dir.value, task.looping.as_ref(), context) {
                self.may_be_found(&pattern, context);
                let found: Vec<PathBuf> = folders
                    .iter()
                    .flat_map(|folder| match pattern.exact() {
                        Some(exact) => vec![normal(&folder.join(exact))],
                        // What is not known is no reason to take a whole role for variables.
                        None => Some(folder).filter(|folder| folder.ends_with("vars")).cloned().into_iter().collect(),
                    })
                    .filter(|path| path.is_dir())
                    .take(1)
                    .collect();
                if found.is_empty()
                    && !pattern.is_guess()
                    && let Some(exact) = pattern.exact()
                {
                    let message = format!("there is no folder `{exact}`");
                    let mistake = Diagnostic::error(message, dir.span, exact.chars().count() as u32);
                    let exact = exact.to_owned();
                    self.awaited_file(mistake, &exact);
                }
                for folder in found {
                    self.named_by_task(&folder.to_string_lossy());
                    for path in super::role::vars_below(&folder) {
                        self.vars_file_of_task(&path, false, context);
                        self.want(&folder, &Use { kind: "vars", ..Use::FILE }, context);
                    }
                }
            }
        }
    }

    /// A file that `include_vars` may read. `guessed`: it is one of several that the name may mean.
    fn vars_file_of_task(&mut self, path: &Path, guessed: bool, context: &Context) {
        let (_, mistake) = self.in_doubt(context, |loader| {
            let is_none = |loader: &mut Self| loader.document_of_guess(path).is_none_or(|document| document.node.as_map().is_none());
            if guessed && is_none(loader) {
                return None;
            }
            let origin = loader.shown(path);
            loader.vars_fragment(path, &origin, None, &context.owner)
        });
        if let Some(mistake) = mistake {
            self.broken_vars(path, &context.owner, mistake);
        }
        let places = self.included_vars.entry(path.display().to_string().into()).or_default();
        if !context.may_be_left_out {
            places.insert(Arc::clone(&context.place));
        }
    }

    /// Puts a file, or a folder with all below it, into the catalog and the play's list.
    pub fn want(&mut self, path: &Path, of: &Use, context: &Context) {
        self.uses.entry(Arc::clone(&context.owner)).or_default().files.insert(path.to_owned());
        self.catalog(path, of);
        if of.kind == "templates"
            && !of.is_guess
            && let Some(file) = self.files_found.templates.get_mut(path.to_string_lossy().as_ref())
        {
            file.is_meant = true;
            if !context.may_be_left_out {
                file.places.insert(Arc::clone(&context.place));
            }
        }
        // A template's own lookups and includes, once for each owner.
        if of.kind == "templates"
            && (!of.is_guess || looks_like_template(path))
            && self.followed.insert((Arc::clone(&context.owner), path.to_owned(), of.syntax.clone(), of.folders(context), of.is_guess))
        {
            let key: Arc<str> = path.display().to_string().into();
            if let Some(file) = self.files_found.templates.get_mut(&key) {
                let handlebars = path.extension().is_some_and(|extension| extension == "hbs");
                let syntax = if handlebars { Syntax::Handlebars } else { of.syntax.clone() };
                if !file.syntaxes.contains(&syntax) {
                    file.syntaxes.push(syntax);
                }
                if handlebars {
                    return;
                }
                let text = file.text.clone();
                let beside = of.beside.clone().or_else(|| path.parent().map(Path::to_owned));
                self.lookups_of_file(&text, &Use { beside, ..of.clone() }, context);
            }
        }
    }

    /// What a template includes is written as it is.
    fn lookups_of_file(&mut self, text: &Template, of: &Use, context: &Context) {
        let reads = match &of.syntax {
            Syntax::Usual => self.cache.reads(text, false),
            Syntax::Own(options) => reads::of_file(text, options).ok().map(Rc::new),
            Syntax::Handlebars | Syntax::Unknown => None,
        };
        for lookup in reads.iter().flat_map(|reads| &reads.lookups) {
            if &*lookup.plugin == "include" {
                lookup.terms.iter().for_each(|term| self.named_files(term, lookup.span, of, None, context, lookup.optional));
            } else {
                self.lookup(lookup, context, false);
            }
        }
    }

    /// Puts a file, or a folder with all below it, into the catalog.
    pub fn catalog(&mut self, path: &Path, of: &Use) {
        let key: Arc<str> = path.display().to_string().into();
        let found = &mut self.files_found;
        let is_read = |inline| found.read.contains(&(Arc::clone(&key), of.decrypt, of.sealed, inline));
        if is_read(true) || is_read(of.inline) {
            return;
        }
        found.read.insert((Arc::clone(&key), of.decrypt, of.sealed, of.inline));
        let failed = |loader: &mut Self, error: &std::io::Error| {
            let message = format!("read {}: {}", loader.shown(path), reason(error));
            loader.mistake(Diagnostic::nowhere(message));
        };
        let metadata = match std::fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) => return failed(self, &error),
        };
        let mode = metadata.permissions().mode() & 0o7777;
        if metadata.is_dir() {
            let mut entries: Vec<Arc<str>> = Vec::new();
            match std::fs::read_dir(path) {
                Ok(list) => entries.extend(list.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned().into())),
                Err(error) => return failed(self, &error),
            }
            entries.sort();
            self.files_found.files.insert(key, File::Directory { mode, entries: entries.clone() });
            for entry in entries {
                let inner = path.join(&*entry);
                match std::fs::read_link(&inner) {
                    Ok(target) => {
                        let link: Arc<str> = inner.display().to_string().into();
                        self.files_found.files.insert(link, File::Symlink { target: target.display().to_string().into() });
                        let aim = normal(&path.join(&target));
                        if aim.exists() && !aim.starts_with(path) && !path.starts_with(&aim) {
                            self.catalog(&aim, of);
                        }
                    }
                    Err(_) => self.catalog(&inner, of),
                }
            }
            return;
        }
        if !metadata.is_file() {
            return;
        }
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) => return failed(self, &error),
        };
        let digest = |bytes: &[u8]| Arc::<str>::from(hex::encode(Sha256::digest(bytes)));
        let is_encrypted = vault::is_encrypted(&bytes);
        let known = self.files_found.files.get(&key).cloned();
        let mut sealed = match &known {
            Some(File::Plain { sealed, .. }) => sealed.clone(),
            _ => None,
        };
        if is_encrypted && of.sealed {
            let (sha256, size) = sealed.insert((digest(&bytes), bytes.len() as u64)).clone();
            self.files_found.contents.insert(Arc::clone(&sha256), Content::Path(path.to_owned()));
            if !of.decrypt {
                let file = match known {
                    Some(File::Plain { sha256, size, mode, content, .. }) => File::Plain { sha256, size, mode, content, sealed },
                    _ => File::Plain { sha256, size, mode, content: None, sealed },
                };
                self.files_found.files.insert(key, file);
                return;
            }
        }
        let secret = of.decrypt && is_encrypted;
        let bytes: Arc<[u8]> = if secret {
            match self.files.vault.open_bytes(&bytes) {
                Ok(plain) => plain.into(),
                Err(refusal) => {
                    let mut mistake = Diagnostic::nowhere(format!("{}: {}", self.shown(path), refusal.message));
                    mistake.hint = refusal.hint;
                    return self.mistake(mistake);
                }
            }
        } else {
            bytes.into()
        };
        let sha256 = digest(&bytes);
        let size = bytes.len() as u64;
        let content = match known {
            Some(File::Plain { content: content @ Some(_), .. }) => content,
            _ => (of.inline && size <= INLINE_LIMIT).then(|| Bytes(Arc::clone(&bytes))),
        };
        if of.kind == "templates"
            && let Ok(text) = std::str::from_utf8(&bytes)
        {
            let name = self.shown(path);
            let file = if secret { self.files.sources.add_secret(name, path, text) } else { self.files.sources.add(name, path, text) };
            let text = Template { source: text.into(), span: Span { file, line: 1, column: 1 } };
            let known = TemplateFile { text, syntaxes: Vec::new(), places: BTreeSet::new(), is_meant: false };
            self.files_found.templates.insert(Arc::clone(&key), known);
        }
        let place = if secret { Content::Secret(Arc::clone(&bytes)) } else { Content::Path(path.to_owned()) };
        self.files_found.contents.insert(Arc::clone(&sha256), place);
        self.files_found.files.insert(key, File::Plain { sha256, size, mode, content, sealed });
    }
}

/// Whether a file that nobody names is a template by its name or its place.
fn looks_like_template(path: &Path) -> bool {
    let is_in = |folder: &Path| folder.ends_with("templates");
    path.extension().is_some_and(|extension| extension == "j2" || extension == "hbs") || path.ancestors().skip(1).any(is_in)
}

fn name_span(tree: &Tree) -> Option<Span> {
    match tree {
        Tree::Template(template) => Some(template.span),
        _ => None,
    }
}

/// Folders that a task's relative names are searched in, first first: those of the roles around it, the task file's, the
/// playbook's.
///
/// Source: `DataLoader.path_dwim_relative_stack` and `Base.get_search_path` of ansible-core 2.19.
pub fn search_folders(context: &Context, kind: &str) -> Vec<PathBuf> {
    let mut stack: Vec<PathBuf> = context.role.as_ref().map(|role| role.chain()).unwrap_or_default();
    stack.extend(context.folder_of_tasks().map(Path::to_owned));
    let mut folders = Vec::new();
    for folder in &stack {
        folders.push(folder.join(kind));
        folders.push(folder.clone());
        if folder.ends_with("tasks") {
            continue;
        }
        folders.push(folder.join("tasks").join(kind));
        folders.push(folder.join("tasks"));
    }
    folders.push(context.playbook_dir.join(kind));
    folders.push(context.playbook_dir.clone());
    let mut seen = BTreeSet::new();
    folders.retain(|folder| seen.insert(folder.clone()));
    folders
}

/// The catalog's part that a list of files and folders means, with what links in it point to.
pub fn part<'path>(catalog: &Catalog, wanted: impl Iterator<Item = &'path PathBuf>) -> BTreeMap<Arc<str>, File> {
    let mut files = BTreeMap::new();
    let mut open: Vec<PathBuf> = wanted.cloned().collect();
    while let Some(path) = open.pop() {
        let key: Arc<str> = path.display().to_string().into();
        if files.contains_key(&key) {
            continue;
        }
        if let Some(file) = catalog.files.get(&key) {
            if matches!(file, File::Directory { .. }) {
                let prefix = format!("{key}/");
                let below = catalog.files.range(Arc::from(prefix.as_str())..).take_while(|(path, _)| path.starts_with(&prefix));
                for (inner, file) in below {
                    if let File::Symlink { target } = file {
                        open.push(normal(&Path::new(&**inner).parent().unwrap_or(Path::new("/")).join(&**target)));
                    }
                    files.insert(Arc::clone(inner), file.clone());
                }
            }
            files.insert(key, file.clone());
        }
    }
    files
}
