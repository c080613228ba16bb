//! What may be included at run time: every file and role that an include can name, read beforehand.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::include::{Pending, below};
use super::loader::Loader;
use super::possible::{Pattern, patterns};
use super::role::{Call, CallKind, RoleParts, role_vars_files, stem};
use super::task::Context;
use crate::program::{Fragments, Include, Included, Layer, LayerId, Mistake, Role, Tree};
use crate::project::files::normal;
use crate::source::{Diagnostic, Node};

/// Files that a pattern without any literal part may bring in, at most.
const OPEN_LIMIT: usize = 2000;

impl Loader<'_> {
    /// Reads what the includes found so far may name, and what those include, until nothing is left.
    pub fn read_pending(&mut self) {
        while let Some(Pending { include, context, node }) = self.pending.pop() {
            match &include.what {
                Included::Tasks(name) => self.included_tasks(name, &include, &context, &node),
                Included::Role { .. } => self.included_role(&include, &context, &node),
            }
        }
    }

    fn included_tasks(&mut self, name: &Tree, include: &Include, context: &Context, node: &Node) {
        let folders: Vec<PathBuf> = include.search.iter().map(|folder| PathBuf::from(&**folder)).collect();
        let mut found = false;
        let mut holes = None;
        for pattern in self.possible(name, include.looping.as_ref(), context) {
            if let Some(exact) = pattern.exact() {
                match folders.iter().map(|folder| normal(&folder.join(exact))).find(|path| path.is_file()) {
                    Some(path) => {
                        found = true;
                        self.task_fragment(&path, exact, context, node, true);
                    }
                    // One of several names of `with_first_found` need not be there.
                    None if pattern.is_guess() => {}
                    None if include.looping.as_ref().is_some_and(|looping| looping.with.as_deref() == Some("first_found")) => {}
                    None => {
                        found = true;
                        self.in_doubt(context, |loader| loader.missing_file(node, exact, &folders));
                    }
                }
                continue;
            }
            let open = pattern.is_open();
            let (start, _) = pattern.folder();
            let context = &Context { may_be_left_out: true, ..context.clone() };
            for path in self.matching(&pattern, &folders) {
                if start.is_empty() && is_no_task_file(&path, &pattern, context) {
                    continue;
                }
                found = true;
                let target = folders.iter().find_map(|folder| path.strip_prefix(folder).ok()).unwrap_or(&path).to_owned();
                self.task_fragment(&path, &target.to_string_lossy(), context, node, !open);
            }
            holes = Some(pattern.shown());
        }
        if !found {
            let shown = holes.unwrap_or_else(|| node.text().unwrap_or_default().to_owned());
            let searched: Vec<String> =
                folders.iter().map(|folder| self.shown(folder)).map(|name| if name.is_empty() { ".".to_owned() } else { name }).collect();
            let mistake = Diagnostic::at(node, format!("no file matches `{shown}`")).hint(format!("searched in {}", searched.join(", ")));
            self.in_doubt(context, |loader| loader.mistake(mistake));
        }
    }

    /// One file of tasks that may be included. `wanted`: it was meant, so what is no list of tasks is a mistake.
    fn task_fragment(&mut self, path: &Path, target: &str, context: &Context, node: &Node, wanted: bool) {
        let key: Arc<str> = path.display().to_string().into();
        self.runs_wherever(context, &key);
        if self.fragments.tasks.contains_key(&key) {
            self.uses.entry(Arc::clone(&context.owner)).or_default().fragments.insert(key);
            return;
        }
        let mut inside = context.clone();
        inside.owner = Arc::clone(&key);
        inside.place = Arc::clone(&key);
        inside.may_be_left_out = false;
        inside.folders = below(context, target);
        inside.importing = Vec::new();
        inside.in_block = false;
        if !wanted {
            // Nothing says that this file is meant: only what is clearly a list of tasks is taken.
            let (document, mistake) = self.in_doubt(&inside, |loader| loader.document_of_guess(path));
            let tasks = document.as_ref().and_then(|document| document.node.as_list()).is_some_and(|items| {
                items.iter().all(|item| {
                    item.as_map()
                        .is_some_and(|entries| !entries.iter().any(|(key, _)| matches!(key.text(), Some("hosts" | "import_playbook"))))
                })
            });
            if !tasks && mistake.is_none() {
                return;
            }
        }
        self.fragments.tasks.insert(Arc::clone(&key), Arc::default());
        self.uses.entry(Arc::clone(&context.owner)).or_default().fragments.insert(Arc::clone(&key));
        let (steps, mistake) = self.in_doubt(&inside, |loader| loader.task_file(path, &inside, node));
        self.fragments.mistakes.extend(mistake.map(|mistake| (Arc::clone(&key), mistake)));
        self.fragments.tasks.insert(key, Arc::new(steps));
    }

    /// Notes that a place is run wherever another one is, if nothing may leave it out.
    fn runs_wherever(&mut self, context: &Context, place: &Arc<str>) {
        if !context.may_be_left_out {
            self.certain.entry(Arc::clone(&context.place)).or_default().insert(Arc::clone(place));
        }
    }

    fn included_role(&mut self, include: &Include, context: &Context, node: &Node) {
        let Included::Role { name, tasks_from, vars_from, defaults_from, handlers_from, rolespec_validate, .. } = &include.what else {
            return;
        };
        let folders = self.role_folders(context);
        let mut unsure = tasks_from.iter().any(|from| patterns(from, include.looping.as_ref()).iter().any(|from| from.exact().is_none()));
        let mut names = Vec::new();
        for pattern in self.possible(name, include.looping.as_ref(), context) {
            match pattern.exact() {
                Some(exact) if pattern.is_guess() => {
                    unsure = true;
                    names.extend(self.role_path(exact, &folders, context).map(|_| exact.to_owned()));
                }
                Some(exact) => names.push(exact.to_owned()),
                None => {
                    unsure = true;
                    let matching: Vec<String> = self.role_names(&folders).into_iter().filter(|name| pattern.matches(name)).collect();
                    if matching.is_empty() && names.is_empty() {
                        let mistake = Diagnostic::at(node, format!("no role matches `{}`", pattern.shown()));
                        self.in_doubt(context, |loader| loader.mistake(mistake));
                    }
                    names.extend(matching);
                }
            }
        }
        let context = &Context { may_be_left_out: context.may_be_left_out || unsure, ..context.clone() };
        let validate = !matches!(rolespec_validate, Some(Tree::Literal(value)) if !value.is_truthy());
        for name in names {
            let path = self.role_path(&name, &folders, context);
            let stems = |folder: &str, from: &Option<Tree>| -> Vec<Option<String>> {
                let Some(from) = from else { return vec![None] };
                let mut stems = Vec::new();
                for pattern in patterns(from, include.looping.as_ref()) {
                    match (pattern.exact(), &path) {
                        (Some(exact), _) => stems.push(Some(exact.to_owned())),
                        (None, Some(path)) => stems.extend(names_below(&path.join(folder), &pattern).into_iter().map(Some)),
                        (None, None) => {}
                    }
                }
                stems
            };
            let tasks = stems("tasks", tasks_from);
            let handlers = stems("handlers", handlers_from);
            let vars = stems("vars", vars_from);
            let defaults = stems("defaults", defaults_from);
            for tasks_from in &tasks {
                let mut call = Call::new(node, name.clone(), CallKind::Include);
                call.tasks_from.clone_from(tasks_from);
                call.handlers_from = handlers.first().cloned().flatten();
                call.vars_from = vars.first().cloned().flatten();
                call.defaults_from = defaults.first().cloned().flatten();
                call.public = false;
                call.allow_duplicates = Some(true);
                let place = Fragments::entry_point(&name, tasks_from.as_deref().map_or("main", stem));
                // That it is not there is a mistake of who includes it, what is wrong in it is its own.
                let inside = match &path {
                    Some(_) => Context { place: Arc::clone(&place), may_be_left_out: false, ..context.clone() },
                    None => context.clone(),
                };
                let ((), mistake) = self.in_doubt(&inside, |loader| {
                    if validate
                        && let Some(path) = &path
                        && let Some(role) = loader.load_role(&call, path)
                    {
                        loader.note_validation(&call, &role, &include.keywords.vars, false, context);
                    }
                    loader.role_fragment(call, context, path.as_deref());
                });
                self.fragments.mistakes.extend(mistake.map(|mistake| (place, mistake)));
            }
            let Some(path) = path else { continue };
            let shown = name.as_str();
            for (folder, from) in [("vars", &vars), ("defaults", &defaults)] {
                for stem_name in from.iter().flatten() {
                    for file in role_vars_files(&path.join(folder), Some(stem_name)) {
                        let origin = format!("role {folder} of {shown}");
                        let owner: Arc<str> = format!("role {shown}").into();
                        self.in_doubt(context, |loader| loader.vars_fragment(&file, &origin, Some(node), &owner));
                        let key: Arc<str> = file.display().to_string().into();
                        if let Some(role) = self.fragments.roles.get_mut(shown) {
                            let role = Arc::make_mut(role);
                            let map = if folder == "vars" { &mut role.vars } else { &mut role.defaults };
                            map.insert(stem(stem_name).into(), key);
                        }
                    }
                }
            }
        }
    }

    fn role_fragment(&mut self, call: Call, context: &Context, path: Option<&Path>) {
        let (name, tasks_from, handlers_from) = (call.name.clone(), call.tasks_from.clone(), call.handlers_from.clone());
        let entry_point: Arc<str> = tasks_from.as_deref().map_or("main", stem).into();
        let owner: Arc<str> = format!("role {name}").into();
        self.uses.entry(Arc::clone(&context.owner)).or_default().fragments.insert(Arc::clone(&owner));
        let place = Fragments::entry_point(&name, &entry_point);
        self.runs_wherever(context, &place);
        self.validation_fragment(&call, context, path);
        if self.fragments.roles.get(name.as_str()).is_some_and(|role| role.tasks.contains_key(&entry_point)) {
            return;
        }
        // Marked before it is read: a role may include itself.
        let role = Arc::make_mut(self.fragments.roles.entry(name.as_str().into()).or_default());
        role.tasks.insert(Arc::clone(&entry_point), "".into());
        let mut outside = context.clone();
        outside.importing = Vec::new();
        outside.owner = Arc::clone(&owner);
        outside.place = Arc::clone(&place);
        outside.may_be_left_out = false;
        let (known, known_of_roles) = (self.play.import_handlers.len(), self.play.role_handlers.len());
        let from = [("defaults", call.defaults_from.clone()), ("vars", call.vars_from.clone())];
        let Some(RoleParts { own_defaults, own_vars, mut scope, dependencies, tasks, handlers }) = self.role_parts(call, &outside) else {
            self.fragments.roles.remove(name.as_str());
            return;
        };
        // Handlers of roles that this one imports come with the role, not with the play.
        let mut imported = self.play.role_handlers.split_off(known_of_roles);
        imported.extend(self.play.import_handlers.split_off(known));
        imported.extend(handlers);
        let key = |folder: &str, from: Option<&str>, loader: &Self| -> Arc<str> {
            path.and_then(|path| loader.role_file(path, folder, from))
                .map_or_else(|| format!("{name}/{folder}").into(), |file| file.display().to_string().into())
        };
        let tasks_key = key("tasks", tasks_from.as_deref(), self);
        let handlers_key = key("handlers", handlers_from.as_deref(), self);
        self.certain.entry(place).or_default().insert(Arc::clone(&tasks_key));
        self.fragments.tasks.insert(Arc::clone(&tasks_key), Arc::new(tasks));
        self.uses.entry(Arc::clone(&owner)).or_default().fragments.extend([Arc::clone(&tasks_key), Arc::clone(&handlers_key)]);
        // Which of its own files an include reads is decided by the include (`vars_from`).
        scope.defaults.truncate(scope.defaults.len() - own_defaults.len());
        scope.vars.truncate(scope.vars.len() - own_vars.len());
        for ((folder, from), own) in from.iter().zip([own_defaults, own_vars]) {
            if own.is_empty() {
                continue;
            }
            let stem_name = from.as_deref().map_or("main", stem);
            let key: Arc<str> = format!("{}/{folder}/{stem_name}", scope.path).into();
            let mut merged = self.layer(own[0]).clone();
            for id in &own[1..] {
                merged.variables.extend(self.layer(*id).variables.iter().cloned());
            }
            self.fragments.vars.insert(Arc::clone(&key), Arc::new(merged));
            self.uses.entry(Arc::clone(&owner)).or_default().vars.insert(Arc::clone(&key));
            let role = Arc::make_mut(self.fragments.roles.entry(name.as_str().into()).or_default());
            let map = if *folder == "vars" { &mut role.vars } else { &mut role.defaults };
            map.insert(stem_name.into(), key);
        }
        let role: &mut Role = Arc::make_mut(self.fragments.roles.entry(name.as_str().into()).or_default());
        role.tasks.insert(entry_point, tasks_key);
        role.scope = scope;
        role.dependencies = dependencies;
        if !imported.is_empty() {
            role.handlers.insert(handlers_from.as_deref().map_or("main", stem).into(), Arc::clone(&handlers_key));
            self.fragments.tasks.insert(handlers_key, Arc::new(imported));
        }
    }

    /// The task that validates arguments before the tasks of an entry point, where an include wants it.
    fn validation_fragment(&mut self, call: &Call, context: &Context, path: Option<&Path>) {
        let exact: Arc<str> = call.tasks_from.as_deref().unwrap_or("main").into();
        let Some(path) = path else { return };
        if self.fragments.roles.get(call.name.as_str()).is_some_and(|role| role.validations.contains_key(&exact)) {
            return;
        }
        let Some(role) = self.load_role(call, path) else { return };
        let owner: Arc<str> = format!("role {}", call.name).into();
        let inside = Context { owner: Arc::clone(&owner), place: owner, secret: role.secret, handlers: false, ..context.clone() };
        if let Some(step) = self.validation(call, &role, &inside) {
            let role = Arc::make_mut(self.fragments.roles.entry(call.name.as_str().into()).or_default());
            role.validations.insert(exact, step);
        }
    }

    /// A vars file that may be read at run time.
    pub fn vars_fragment(&mut self, path: &Path, origin: &str, wanted: Option<&Node>, owner: &Arc<str>) -> Option<LayerId> {
        let id = self.layer_of_file(path, origin, wanted)?;
        let key: Arc<str> = path.display().to_string().into();
        self.uses.entry(Arc::clone(owner)).or_default().vars.insert(Arc::clone(&key));
        if !self.fragments.vars.contains_key(&key) {
            let layer = Arc::new(self.layer(id).clone());
            self.fragments.vars.insert(key, layer);
        }
        Some(id)
    }

    /// A vars file with a mistake: who reads it fails.
    pub fn broken_vars(&mut self, path: &Path, owner: &Arc<str>, mistake: Mistake) {
        let key: Arc<str> = path.display().to_string().into();
        self.uses.entry(Arc::clone(owner)).or_default().vars.insert(Arc::clone(&key));
        self.fragments.vars.entry(Arc::clone(&key)).or_insert_with(|| Arc::new(Layer::default()));
        self.fragments.mistakes.insert(key, mistake);
    }

    /// Files that the pattern may mean, searched in the folders: an exact name's first, all that match a pattern's.
    pub fn matching(&self, pattern: &Pattern, folders: &[PathBuf]) -> Vec<PathBuf> {
        if let Some(exact) = pattern.exact() {
            return folders.iter().map(|folder| normal(&folder.join(exact))).find(|path| path.exists()).into_iter().collect();
        }
        let (start, rest) = pattern.folder();
        let mut found = Vec::new();
        let open = pattern.is_open() && start.is_empty();
        for (index, folder) in folders.iter().enumerate() {
            // What is wholly open means the nearest folder, not the whole project. A role's file or template may be replaced by one
            // beside the playbook.
            let replaces = folder.ends_with("templates") || folder.ends_with("files");
            if open && index > 0 && !found.is_empty() && !replaces {
                continue;
            }
            let base = normal(&folder.join(start));
            if base == Path::new("/") {
                continue;
            }
            // A name without any folder in it: folders of a kind are taken whole, others only flat. Below a playbook are other
            // roles' files, which it never means.
            let kind = base
                .file_name()
                .is_some_and(|name| matches!(name.to_str(), Some("files" | "templates" | "vars" | "tasks" | "handlers" | "defaults")));
            let listed = if start.is_empty() && !rest.has_folder() && !kind { files_in(&base) } else { files_below(&base) };
            for path in listed {
                let relative = path.strip_prefix(&base).map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
                if rest.matches(&relative) && !found.contains(&path) {
                    found.push(path);
                }
                if found.len() > OPEN_LIMIT {
                    return found;
                }
            }
        }
        found
    }
}

/// Whether a file lies where variables, handlers or files are, or in a role that is not the one around: `{{ kind }}/main.yml` never
/// means these.
fn is_no_task_file(path: &Path, pattern: &Pattern, context: &Context) -> bool {
    let first = |path: &Path| path.components().next().and_then(|part| part.as_os_str().to_str().map(str::to_owned));
    if let Some(inside) = context.role.as_ref().and_then(|role| path.strip_prefix(&role.path).ok()) {
        const OTHERS: &[&str] = &["defaults", "vars", "meta", "handlers", "files", "templates", "molecule", "tests"];
        return first(inside).is_some_and(|first| OTHERS.contains(&&*first));
    }
    let of_others = || path.strip_prefix(&context.playbook_dir).ok().and_then(first);
    let shown = pattern.shown();
    shown.starts_with('*') && !shown.contains("roles/") && of_others().is_some_and(|first| matches!(&*first, "roles" | "collections"))
}

/// Stems of files below the folder that match.
fn names_below(folder: &Path, pattern: &Pattern) -> Vec<String> {
    files_below(folder)
        .iter()
        .filter_map(|path| {
            let name = path.strip_prefix(folder).ok()?.to_string_lossy().into_owned();
            (pattern.matches(&name) || pattern.matches(stem(&name))).then_some(name)
        })
        .collect()
}

/// The folder's own files, sorted.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// Every file below the folder, sorted; hidden folders are left out.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && !hidden && files.len() < 20_000 => {
                    open.push(path);
                }
                _ if path.is_file() => files.push(path),
                _ => {}
            }
        }
    }
    files.sort();
    files
}
