//! Roles: where they are found, what they bring, and the block that one becomes.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use super::absent::is_conditional;
use super::keyword::{self, Place};
use super::loader::Loader;
use super::task::Context;
use crate::module::Kind;
use crate::program::{Block, Keywords, Layer, LayerId, Origin, RoleScope, Span, Step, Tree, Value, Variable, collection_role};
use crate::project::files::normal;
use crate::source::{Diagnostic, Node, NodeKind};

/// Extensions of a role's files, in Ansible's order.
const EXTENSIONS: [&str; 4] = [".yml", ".yaml", ".json", ""];

/// A role around a list of tasks.
#[derive(Debug)]
pub struct RoleContext {
    pub name: String,
    pub path: PathBuf,
    /// The role that depends on this one or imports it.
    pub parent: Option<Rc<RoleContext>>,
}

impl RoleContext {
    /// This role's folder, then those of the roles around it: where its files are searched.
    pub fn chain(&self) -> Vec<PathBuf> {
        let mut chain = vec![self.path.clone()];
        let mut around = self.parent.as_deref();
        while let Some(role) = around {
            chain.push(role.path.clone());
            around = role.parent.as_deref();
        }
        chain
    }
}

/// What a role's folder says, read once.
#[derive(Debug)]
pub struct LoadedRole {
    pub path: PathBuf,
    pub defaults: Vec<LayerId>,
    pub vars: Vec<LayerId>,
    pub allow_duplicates: bool,
    pub collections: Rc<Vec<String>>,
    /// Entries of `dependencies:`.
    pub dependencies: Vec<Node>,
    /// `argument_specs:`.
    pub argument_specs: Option<Node>,
    pub secret: bool,
}

/// One use of a role.
pub struct Call<'node> {
    pub node: &'node Node,
    pub name: String,
    pub keywords: Keywords,
    pub parameters: Layer,
    pub tasks_from: Option<String>,
    pub vars_from: Option<String>,
    pub defaults_from: Option<String>,
    pub handlers_from: Option<String>,
    /// `None`: as the role's meta says.
    pub allow_duplicates: Option<bool>,
    /// Its defaults and vars are the whole play's.
    pub public: bool,
    pub validate: bool,
    pub kind: CallKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// In a play's `roles:`.
    Play,
    Dependency,
    Import,
    /// `include_role`: for fragments.
    Include,
}

impl<'node> Call<'node> {
    pub fn new(node: &'node Node, name: String, kind: CallKind) -> Self {
        Self {
            node,
            name,
            keywords: Keywords::default(),
            parameters: Layer::default(),
            tasks_from: None,
            vars_from: None,
            defaults_from: None,
            handlers_from: None,
            allow_duplicates: None,
            public: true,
            validate: true,
            kind,
        }
    }
}

/// What a call of a role becomes.
pub struct RoleParts {
    /// Its own defaults and vars are the last of the scope's.
    pub own_defaults: Vec<LayerId>,
    pub own_vars: Vec<LayerId>,
    pub scope: RoleScope,
    pub dependencies: Vec<Step>,
    pub tasks: Vec<Step>,
    pub handlers: Vec<Step>,
}

/// Handlers with the keywords of what brought them.
fn around(handlers: &mut [Step], span: Span, keywords: &Keywords, role: Option<&RoleScope>) {
    // They run whatever the tags are.
    let keywords = Keywords { tags: Vec::new(), ..keywords.clone() };
    for handlers in handlers {
        let block = vec![std::mem::replace(handlers, Step::Block(Box::default()))];
        *handlers = Step::Block(Box::new(Block { span, keywords: keywords.clone(), role: role.cloned(), block, ..Block::default() }));
    }
}

impl Loader<'_> {
    /// An entry of `roles:` or `dependencies:` as a block.
    pub fn role_entry(&mut self, node: &Node, context: &Context, kind: CallKind, public: bool) -> Option<Block> {
        let mut call;
        match &node.kind {
            NodeKind::Scalar(scalar) if !node.is_null() => {
                let name = self.static_text(node, context, "a role's name")?;
                // `dependencies: [src,version,name]` is for ansible-galaxy, the name is the last.
                let name = if kind == CallKind::Dependency && scalar.text.contains(',') {
                    name.rsplit(',').next().unwrap_or_default().trim().to_owned()
                } else {
                    name
                };
                call = Call::new(node, name, kind);
            }
            NodeKind::Map(entries) => {
                let name = entries
                    .iter()
                    .find(|(key, _)| key.text() == Some("role"))
                    .or_else(|| entries.iter().find(|(key, _)| key.text() == Some("name")));
                let Some((_, name)) = name else {
                    self.mistake(Diagnostic::at(node, "a role without a name").hint("write `role: NAME`"));
                    return None;
                };
                let text = self.static_text(name, context, "a role's name")?;
                call = Call::new(name, text, kind);
                call.parameters.origin = format!("parameters of the role {}", call.name).into();
                for (key, value) in entries {
                    self.role_key(&mut call, key, value, context);
                }
            }
            _ => {
                self.mistake(Diagnostic::at(node, format!("a role must be a name or a mapping, found {}", node.describe())));
                return None;
            }
        }
        call.public = public;
        self.role_block(call, context)
    }

    fn role_key(&mut self, call: &mut Call, key: &Node, value: &Node, context: &Context) {
        let Some(name) = key.text() else { return };
        if matches!(name, "role" | "name") {
            return;
        }
        if keyword::find(name).is_some_and(|known| known.places.contains(&Place::Role)) {
            if self.keyword_allowed(key, value, Place::Role) {
                let origin = format!("vars of the role {}", call.name);
                self.shared_keyword(&mut call.keywords, key, value, context.secret, &origin);
            }
            return;
        }
        // Everything else is a parameter; a slip of a keyword looks like one.
        if let Some(near) = crate::source::suggest::suggest(name, keyword::names(Place::Role).filter(|word| word.len() > 4)) {
            self.mistake(
                Diagnostic::at(key, format!("`{name}` is taken as a parameter of the role `{}`", call.name))
                    .label(format!("did you mean the keyword `{near}`?"))
                    .as_warning(),
            );
        }
        let value = self.tree(value, context.secret);
        call.parameters.variables.push(Variable { name: name.into(), value: Arc::new(value), span: key.span });
    }

    /// The block that a call of a role becomes.
    pub fn role_block(&mut self, call: Call, context: &Context) -> Option<Block> {
        let keywords = call.keywords.clone();
        let (span, kind) = (call.node.span, call.kind);
        let before = self.play.import_handlers.len();
        let before_of_roles = self.play.role_handlers.len();
        let parts = self.role_parts(call, context)?;
        let scope = parts.scope.clone();
        self.around_handlers(before, span, &keywords, Some(&scope));
        // Those of the roles that this one depends on.
        around(&mut self.play.role_handlers[before_of_roles..], span, &keywords, Some(&scope));
        if !parts.handlers.is_empty() {
            let handlers = Block {
                span,
                // Handlers take the role's keywords too, not its conditions' absence: they hang below the same role.
                keywords: keywords.clone(),
                role: Some(scope.clone()),
                block: parts.handlers,
                ..Block::default()
            };
            let handlers = Step::Block(Box::new(handlers));
            match kind {
                CallKind::Import | CallKind::Include => self.play.import_handlers.push(handlers),
                CallKind::Play | CallKind::Dependency => self.play.role_handlers.push(handlers),
            }
        }
        let mut block = parts.dependencies;
        block.extend(parts.tasks);
        Some(Block { span, keywords, origin: Origin::Role, role: Some(scope), block, ..Block::default() })
    }

    /// Handlers of roles that were imported inside of a block, a file or a role hang below it, as their tasks do.
    pub fn around_handlers(&mut self, before: usize, span: Span, keywords: &Keywords, role: Option<&RoleScope>) {
        around(&mut self.play.import_handlers[before..], span, keywords, role);
    }

    /// What a call of a role brings.
    pub fn role_parts(&mut self, call: Call, context: &Context) -> Option<RoleParts> {
        let path = self.find_role(&call, context)?;
        let role = self.load_role(&call, &path)?;
        let inner = Rc::new(RoleContext {
            name: call.name.clone(),
            path: path.clone(),
            parent: if call.kind == CallKind::Play { None } else { context.role.clone() },
        });
        let mut inside = Context {
            role: Some(Rc::clone(&inner)),
            folders: Vec::new(),
            collections: Rc::clone(&role.collections),
            secret: role.secret,
            handlers: false,
            in_block: false,
            may_be_left_out: context.may_be_left_out || is_conditional(&call.keywords),
            forgives: context.forgives || call.keywords.ignore_errors.is_some(),
            ..context.clone()
        };
        if matches!(call.kind, CallKind::Play | CallKind::Dependency) {
            if let Some(start) = context.importing.iter().position(|importing| *importing == path) {
                let mut names: Vec<String> =
                    context.importing[start..].iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect();
                names.push(call.name.clone());
                self.mistake(Diagnostic::at(call.node, format!("role `{}` depends on itself", call.name)).label(names.join(" → ")));
                return None;
            }
            inside.importing.push(path.clone());
        }

        // Found by its short name in a collection, it has the full one too.
        let name = match collection_role(&path.to_string_lossy()) {
            Some((collection, role)) => format!("{collection}.{role}"),
            None => call.name.clone(),
        };
        let mut scope = RoleScope {
            name: name.into(),
            path: path.display().to_string().into(),
            allow_duplicates: call.allow_duplicates.unwrap_or(role.allow_duplicates),
            ..RoleScope::default()
        };
        if !call.parameters.variables.is_empty() {
            scope.parameters = Some(self.add_layer(call.parameters.clone()));
        }

        // The role's own variables are known to imports inside.
        let own_defaults = match &call.defaults_from {
            Some(from) => self.role_layers(&call, &path, "defaults", from, context),
            None => role.defaults.clone(),
        };
        let own_vars = match &call.vars_from {
            Some(from) => self.role_layers(&call, &path, "vars", from, context),
            None => role.vars.clone(),
        };

        let mut dependencies = Vec::new();
        for dependency in &role.dependencies {
            if let Some(block) = self.role_entry(dependency, &inside, CallKind::Dependency, call.public) {
                if let Some(of) = &block.role {
                    scope.defaults.extend(of.defaults.iter().copied());
                    scope.vars.extend(of.vars.iter().copied());
                }
                dependencies.push(Step::Block(Box::new(block)));
            }
        }
        scope.defaults.extend(own_defaults.iter().copied());
        scope.vars.extend(own_vars.iter().copied());
        if call.public {
            for id in &scope.defaults {
                push_new(&mut self.play.role_defaults, *id);
            }
            for id in &scope.vars {
                push_new(&mut self.play.role_vars, *id);
            }
        }
        match call.kind {
            CallKind::Dependency if !call.public => {}
            CallKind::Dependency => push_new(&mut self.play.dependency_names, call.name.clone()),
            CallKind::Play | CallKind::Import => self.play.role_names.push(call.name.clone()),
            CallKind::Include => {}
        }
        for id in own_defaults.iter().chain(&own_vars) {
            let layer = Arc::new(self.layer(*id).clone());
            inside.known.push(layer);
        }
        if let Some(id) = scope.parameters {
            inside.known.push(Arc::new(self.layer(id).clone()));
        }
        inside.known.push(Arc::new(call.keywords.vars.clone()));
        for layer in &inside.known[context.known.len()..] {
            self.lookups_of_layer(layer, &inside);
        }

        let mut tasks = Vec::new();
        // An include decides about it when it runs.
        if call.validate && call.kind != CallKind::Include {
            tasks.extend(self.validation(&call, &role, &inside));
            self.note_validation(&call, &role, &call.keywords.vars, true, &inside);
        }
        let tasks_file = self.role_file(&path, "tasks", call.tasks_from.as_deref());
        match (&tasks_file, &call.tasks_from) {
            (None, Some(from)) => {
                let message = format!("role `{}` has no tasks file `{from}`", call.name);
                self.missing_from(&call, &path, "tasks", message);
            }
            (Some(file), _) => tasks.extend(self.task_file(file, &inside, call.node)),
            (None, None) => {}
        }
        let mut handlers = Vec::new();
        let handlers_file = self.role_file(&path, "handlers", call.handlers_from.as_deref());
        match (&handlers_file, &call.handlers_from) {
            (None, Some(from)) => {
                let message = format!("role `{}` has no handlers file `{from}`", call.name);
                self.missing_from(&call, &path, "handlers", message);
            }
            (Some(file), _) => {
                let of_handlers = Context { handlers: true, ..inside.clone() };
                handlers = self.task_file(file, &of_handlers, call.node);
            }
            (None, None) => {}
        }
        Some(RoleParts { own_defaults, own_vars, scope, dependencies, tasks, handlers })
    }

    /// A file of tasks that is being imported; a cycle is a mistake.
    pub fn task_file(&mut self, file: &Path, context: &Context, wanted: &Node) -> Vec<Step> {
        if context.importing.iter().any(|importing| importing == file) {
            let names: Vec<String> =
                context.importing.iter().skip_while(|importing| *importing != file).map(|path| self.shown(path)).collect();
            self.mistake(
                Diagnostic::at(wanted, format!("{} imports itself", self.shown(file)))
                    .label(format!("{} → {}", names.join(" → "), self.shown(file)))
                    .hint("`include_tasks` is decided at run time and may end by its `when`"),
            );
            return Vec::new();
        }
        let Some(document) = self.document(file, Some(wanted)) else { return Vec::new() };
        let node = &document.node;
        let mut inside = context.clone();
        inside.importing.push(file.to_owned());
        inside.secret |= document.secret;
        let what = self.shown(file);
        self.steps(node, &inside, &what)
    }

    /// The role's folder: `roles/` beside the playbook, the configured paths, beside the calling role, beside the playbook.
    fn find_role(&mut self, call: &Call, context: &Context) -> Option<PathBuf> {
        let folders = self.role_folders(context);
        let found = self.role_path(&call.name, &folders, context);
        if found.is_some() {
            return found;
        }
        self.incomplete = true;
        let names = self.role_names(&folders);
        let mut mistake =
            Diagnostic::at(call.node, format!("there is no role `{}`", call.name)).suggest(&call.name, names.iter().map(String::as_str));
        let parts: Vec<&str> = call.name.split('.').collect();
        if let [namespace, collection, _, ..] = parts.as_slice() {
            let searched: Vec<String> = self.collection_folders(context).iter().map(|folder| self.shown(folder)).collect();
            mistake = mistake.hint(format!(
                "`ansible-galaxy collection install {namespace}.{collection}` brings it; searched in {}",
                searched.join(", ")
            ));
        } else {
            let searched: Vec<String> =
                folders.iter().map(|folder| self.shown(folder)).map(|name| if name.is_empty() { ".".to_owned() } else { name }).collect();
            mistake = mistake.hint(format!("searched in {}", searched.join(", ")));
        }
        self.mistake(mistake);
        None
    }

    /// A role's folder by its name: in the collection that the name begins with or that are named around it, then in the folders.
    pub fn role_path(&self, name: &str, folders: &[PathBuf], context: &Context) -> Option<PathBuf> {
        let full = std::iter::once(name.to_owned()).filter(|name| name.matches('.').count() > 1);
        let names = full.chain(context.collections.iter().map(|collection| format!("{collection}.{name}")));
        let of_collections = names.flat_map(|name| self.in_collections(&name, "roles", context));
        of_collections.chain(folders.iter().map(|folder| normal(&folder.join(name)))).find(|path| path.is_dir())
    }

    /// Where `NAMESPACE.COLLECTION.NAME` may lie in a collection's folder of the kind, first first.
    pub fn in_collections(&self, name: &str, kind: &str, context: &Context) -> Vec<PathBuf> {
        let mut parts = name.splitn(3, '.');
        let (Some(namespace), Some(collection), Some(last)) = (parts.next(), parts.next(), parts.next()) else { return Vec::new() };
        let below: PathBuf = [namespace, collection, kind].iter().collect();
        self.collection_folders(context).iter().map(|folder| normal(&folder.join(&below).join(last.replace('.', "/")))).collect()
    }

    /// Folders `ansible_collections`: beside the playbook, the configured ones, the one that the role around lies in.
    fn collection_folders(&self, context: &Context) -> Vec<PathBuf> {
        const NAME: &str = "ansible_collections";
        let mut folders: Vec<PathBuf> = Vec::new();
        let beside = context.playbook_dir.join("collections");
        for folder in std::iter::once(&beside).chain(&self.collections_path) {
            push_new(&mut folders, if folder.ends_with(NAME) { folder.clone() } else { folder.join(NAME) });
        }
        let around = context.role.iter().flat_map(|role| role.path.ancestors()).find(|folder| folder.ends_with(NAME));
        around.into_iter().for_each(|folder| push_new(&mut folders, folder.to_owned()));
        folders
    }

    pub fn role_folders(&self, context: &Context) -> Vec<PathBuf> {
        let mut folders = vec![context.playbook_dir.join("roles")];
        folders.extend(self.roles_path.iter().cloned());
        if let Some(parent) = context.role.as_ref().and_then(|role| role.path.parent()) {
            folders.push(parent.to_owned());
        }
        folders.push(context.playbook_dir.clone());
        let mut unique: Vec<PathBuf> = Vec::new();
        folders.into_iter().for_each(|folder| push_new(&mut unique, folder));
        unique
    }

    /// Names of folders that are roles, for suggestions and run-time names.
    pub fn role_names(&self, folders: &[PathBuf]) -> Vec<String> {
        const PARTS: [&str; 6] = ["tasks", "handlers", "defaults", "vars", "meta", "templates"];
        let mut names = Vec::new();
        for folder in folders {
            let Ok(entries) = std::fs::read_dir(folder) else { continue };
            for entry in entries.flatten() {
                if PARTS.iter().any(|part| entry.path().join(part).is_dir()) {
                    push_new(&mut names, entry.file_name().to_string_lossy().into_owned());
                }
            }
        }
        names.sort();
        names
    }

    pub fn load_role(&mut self, call: &Call, path: &Path) -> Option<Rc<LoadedRole>> {
        if let Some(known) = self.roles.get(path).map(Rc::clone) {
            self.tell_again(path);
            return Some(known);
        }
        let role = Rc::new(self.once(path, |loader| loader.read_role(call, path)));
        self.roles.insert(path.to_owned(), Rc::clone(&role));
        Some(role)
    }

    fn read_role(&mut self, call: &Call, path: &Path) -> LoadedRole {
        let mut role = LoadedRole {
            path: path.to_owned(),
            defaults: Vec::new(),
            vars: Vec::new(),
            allow_duplicates: false,
            collections: Rc::default(),
            dependencies: Vec::new(),
            argument_specs: None,
            secret: false,
        };
        for (folder, layers) in [("defaults", &mut role.defaults), ("vars", &mut role.vars)] {
            for file in role_vars_files(&path.join(folder), None) {
                layers.extend(self.layer_of_file(&file, &format!("role {folder} of {}", call.name), Some(call.node)));
            }
        }
        if let Some(file) = self.role_file(path, "meta", None)
            && let Some(document) = self.document(&file, Some(call.node))
        {
            role.secret |= document.secret;
            self.meta(&mut role, &document.node);
        }
        if let Some((own, _)) = collection_role(&path.to_string_lossy()) {
            let named = role.collections.iter().filter(|named| **named != own).cloned();
            role.collections = Rc::new(std::iter::once(own.clone()).chain(named).collect());
        }
        for extension in &EXTENSIONS[..3] {
            let file = path.join("meta").join(format!("argument_specs{extension}"));
            if file.is_file()
                && let Some(document) = self.document(&file, Some(call.node))
            {
                role.argument_specs = document.node.get("argument_specs").cloned();
                break;
            }
        }
        role
    }

    fn meta(&mut self, role: &mut LoadedRole, node: &Node) {
        const KEYS: &[&str] =
            &["allow_duplicates", "dependencies", "galaxy_info", "argument_specs", "collections", "galaxy_tags", "namespace", "role_name"];
        if node.is_null() {
            return;
        }
        let Some(entries) = node.as_map() else {
            self.mistake(Diagnostic::at(node, format!("a role's meta file must be a mapping, found {}", node.describe())));
            return;
        };
        for (key, value) in entries {
            match key.text() {
                Some("allow_duplicates") => match self.typed(key, value, &Kind::Bool, false) {
                    Some(Tree::Literal(value)) => role.allow_duplicates = crate::module::arguments::boolean(&value).unwrap_or(false),
                    _ => role.allow_duplicates = false,
                },
                Some("dependencies") => match &value.kind {
                    NodeKind::List(items) => role.dependencies.clone_from(items),
                    _ if value.is_null() => {}
                    _ => self.mistake(Diagnostic::at(value, format!("`dependencies` must be a list of roles, found {}", value.describe()))),
                },
                Some("argument_specs") => role.argument_specs = Some(value.clone()),
                Some("collections") => role.collections = self.collections(value),
                Some(name)
                    if !KEYS.contains(&name)
                    // Ansible takes every keyword that a play has here, without any effect.
                    && keyword::find(name).is_none() =>
                {
                    self.mistake(
                        Diagnostic::at(key, format!("unknown key `{name}` in a role's meta file")).suggest(name, KEYS.iter().copied()),
                    );
                }
                _ => {}
            }
        }
    }

    /// `tasks/main.yml`, or the file that `tasks_from` names.
    pub fn role_file(&self, role: &Path, folder: &str, from: Option<&str>) -> Option<PathBuf> {
        role_files(&role.join(folder), from, false).into_iter().next()
    }

    /// Layers of `vars_from` and `defaults_from`.
    fn role_layers(&mut self, call: &Call, path: &Path, folder: &str, from: &str, _context: &Context) -> Vec<LayerId> {
        let files = role_vars_files(&path.join(folder), Some(from));
        if files.is_empty() {
            let message = format!("role `{}` has no {folder} file `{from}`", call.name);
            self.missing_from(call, path, folder, message);
        }
        let origin = format!("role {folder} of {}", call.name);
        files.iter().filter_map(|file| self.layer_of_file(file, &origin, Some(call.node))).collect()
    }

    fn missing_from(&mut self, call: &Call, path: &Path, folder: &str, message: String) {
        let from = match folder {
            "tasks" => &call.tasks_from,
            "vars" => &call.vars_from,
            "defaults" => &call.defaults_from,
            _ => &call.handlers_from,
        };
        let names = file_stems(&path.join(folder));
        let wanted = from.as_deref().unwrap_or_default();
        let mistake = Diagnostic::at(call.node, message).suggest(wanted, names.iter().map(String::as_str));
        let searched = self.shown(&path.join(folder));
        self.mistake(if mistake.label.is_none() { mistake.hint(format!("searched in {searched}")) } else { mistake });
    }
}

/// Files that a name in a role's folder means: `main` or NAME, with or without an extension; the whole folder of that
/// name where `directories`.
fn role_files(folder: &Path, from: Option<&str>, directories: bool) -> Vec<PathBuf> {
    let (name, extensions) = match from {
        None => ("main", EXTENSIONS),
        Some(name) => (name, ["", ".yml", ".yaml", ".json"]),
    };
    for extension in extensions {
        let path = normal(&folder.join(format!("{name}{extension}")));
        if path.is_dir() {
            if directories {
                return vars_below(&path);
            }
        } else if path.is_file() {
            return vec![path];
        }
    }
    Vec::new()
}

/// The same for `vars` and `defaults`, where `main` may be a folder.
pub fn role_vars_files(folder: &Path, from: Option<&str>) -> Vec<PathBuf> {
    role_files(folder, from, true)
}

/// Vars files of a folder, recursively, in order of their names.
pub fn vars_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || name.ends_with('~') {
            continue;
        }
        let extension = path.extension().map(|extension| extension.to_string_lossy().into_owned());
        if path.is_dir() {
            if extension.is_none() {
                files.extend(vars_below(&path));
            }
        } else if extension.is_none_or(|extension| matches!(extension.as_str(), "yml" | "yaml" | "json")) {
            files.push(path);
        }
    }
    files
}

/// `install.yml` → `install`.
pub fn stem(name: &str) -> &str {
    [".yml", ".yaml", ".json"].iter().find_map(|extension| name.strip_suffix(extension)).unwrap_or(name)
}

fn file_stems(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> = entries.flatten().map(|entry| stem(&entry.file_name().to_string_lossy()).to_owned()).collect();
    names.sort();
    names
}

pub fn push_new<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

/// A literal text.
pub fn text_value(text: &str) -> Tree {
    Tree::Literal(Value::text(text))
}
