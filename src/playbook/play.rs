//! Plays and playbooks: files → plays as every host has them, before hosts are chosen.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use super::keyword::Place;
use super::loader::{Loader, PlayParts};
use super::modules::short;
use super::role::CallKind;
use super::task::Context;
use crate::module::Kind;
use crate::program::{Keywords, Layer, Play, Step, Strategy, Tree, Value, Variable, VarsFile};
use crate::project::files::{is_variable_name, normal};
use crate::source::{Diagnostic, Node, NodeKind, suggest};

/// A play before hosts are chosen: everything that is the same on all hosts.
pub struct LoadedPlay {
    pub play: Play,
    /// `hosts:`, as it was written.
    pub hosts: Node,
    pub serial: Option<Node>,
    pub order: Order,
    /// The playbook that the command line named, and the one that this play stands in.
    pub playbook: PathBuf,
    pub file: PathBuf,
    pub playbook_dir: PathBuf,
    /// Variables for `hosts`, `serial` and names: the play's own, lowest precedence first.
    pub known: Vec<Arc<Layer>>,
    pub role_names: Vec<String>,
    pub dependency_names: Vec<String>,
    /// `strategy:` was given.
    pub has_strategy: bool,
    /// Key of what it may bring in at run time.
    pub owner: Arc<str>,
    pub secret: bool,
}

/// `order:`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    Inventory,
    ReverseInventory,
    Sorted,
    ReverseSorted,
    Shuffle,
}

/// What `import_playbook` gives to the plays it imports.
#[derive(Clone, Default)]
struct Inherited {
    keywords: Keywords,
    /// Files that are being imported, for cycles.
    importing: Vec<PathBuf>,
}

const PLAY_TASKS: [&str; 5] = ["pre_tasks", "tasks", "post_tasks", "handlers", "roles"];

impl Loader<'_> {
    /// All plays of a playbook, its imports in their places.
    pub fn playbook(&mut self, path: &Path) -> Vec<LoadedPlay> {
        let path = normal(&self.files.root.join(path));
        let mut plays = Vec::new();
        self.playbook_file(&path, &path, None, &Inherited::default(), &mut plays);
        plays
    }

    fn playbook_file(&mut self, top: &Path, path: &Path, wanted: Option<&Node>, inherited: &Inherited, plays: &mut Vec<LoadedPlay>) {
        let Some(document) = self.document(path, wanted) else { return };
        let node = &document.node;
        let Some(items) = node.as_list() else {
            let what = if node.is_null() { "is empty".to_owned() } else { format!("must be a list of plays, found {}", node.describe()) };
            self.mistake(Diagnostic::at(node, format!("the playbook {what}")));
            return;
        };
        let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
        for item in items {
            let Some(entries) = item.as_map() else {
                self.mistake(Diagnostic::at(item, format!("a play must be a mapping, found {}", item.describe())));
                continue;
            };
            match entries.iter().find(|(key, _)| key.text().is_some_and(|name| short(name) == "import_playbook")) {
                Some((key, value)) => self.import_playbook(top, &folder, entries, key, value, inherited, plays, document.secret),
                None => {
                    if let Some(mut play) = self.play(item, entries, path, &folder, document.secret, inherited) {
                        top.clone_into(&mut play.playbook);
                        plays.push(play);
                    }
                }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one call, and each is something else")]
    fn import_playbook(
        &mut self,
        top: &Path,
        folder: &Path,
        entries: &[(Node, Node)],
        key: &Node,
        value: &Node,
        inherited: &Inherited,
        plays: &mut Vec<LoadedPlay>,
        secret: bool,
    ) {
        let mut inside = inherited.clone();
        for (other, value) in entries {
            if std::ptr::eq(other, key) || !self.keyword_allowed(other, value, Place::Import) {
                continue;
            }
            let mut own = Keywords::default();
            if !self.shared_keyword(&mut own, other, value, secret, "vars of import_playbook") {
                continue;
            }
            match other.text() {
                Some("vars") => inside.keywords.vars.variables.extend(own.vars.variables),
                Some("when") => inside.keywords.when.extend(own.when),
                Some("tags") => inside.keywords.tags.extend(own.tags),
                Some("name") => {}
                Some(word) => self.mistake(
                    Diagnostic::at(other, format!("`{word}` on `import_playbook` does nothing"))
                        .hint("write it in the plays themselves")
                        .as_warning(),
                ),
                None => {}
            }
        }
        let known = vec![Arc::new(inside.keywords.vars.clone())];
        let context = self.context(folder, known, secret);
        let Some(name) = self.static_text(value, &context, "the file of `import_playbook`") else { return };
        let mut path = normal(&folder.join(&name));
        if !path.is_file() {
            let of_collections = self.in_collections(&name, "playbooks", &context);
            let found =
                of_collections.iter().flat_map(|path| ["yml", "yaml", "json"].map(|extension| path.with_added_extension(extension)));
            path = found.into_iter().find(|path| path.is_file()).unwrap_or(path);
        }
        if !path.is_file() {
            self.missing_file(value, &name, &[folder.to_owned()]);
            return;
        }
        if inside.importing.contains(&path) || path == top {
            let shown = self.shown(&path);
            self.mistake(Diagnostic::at(value, format!("{shown} imports itself")));
            return;
        }
        inside.importing.push(path.clone());
        self.playbook_file(top, &path, Some(value), &inside, plays);
    }

    pub fn context(&self, folder: &Path, known: Vec<Arc<Layer>>, secret: bool) -> Context {
        Context {
            playbook_dir: folder.to_owned(),
            role: None,
            handlers: false,
            in_block: false,
            folders: Vec::new(),
            known,
            importing: Vec::new(),
            collections: Rc::default(),
            secret,
            owner: format!("play {}", self.plays).into(),
            place: format!("play {}", self.plays).into(),
            may_be_left_out: false,
            forgives: false,
        }
    }

    fn play(
        &mut self,
        node: &Node,
        entries: &[(Node, Node)],
        path: &Path,
        folder: &Path,
        secret: bool,
        inherited: &Inherited,
    ) -> Option<LoadedPlay> {
        self.play = PlayParts::default();
        self.plays += 1;
        let mut play = Play { span: node.span, ..Play::default() };
        let mut hosts = None;
        let mut serial = None;
        let mut order = Order::default();
        let mut prompted = Layer::default();
        let mut collections = Rc::default();
        let mut vars_files = Vec::new();
        for (key, value) in entries {
            let name = key.text().unwrap_or_default();
            // Tasks at a play's level are the most usual slip.
            if super::keyword::find(name).is_none() && super::modules::is_known(name) {
                self.mistake(
                    Diagnostic::at(key, format!("the module `{name}` stands where a play's keywords stand"))
                        .hint("put it into the list `tasks:`"),
                );
                continue;
            }
            if !self.keyword_allowed(key, value, Place::Play) || PLAY_TASKS.contains(&name) {
                continue;
            }
            let mut keywords = std::mem::take(&mut play.keywords);
            let shared = self.shared_keyword(&mut keywords, key, value, secret, "play vars");
            play.keywords = keywords;
            if shared {
                continue;
            }
            match name {
                "name" => play.name = self.typed(key, value, &Kind::Text, secret),
                "hosts" => hosts = Some(value.clone()),
                "user" => play.keywords.remote_user = self.typed(key, value, &Kind::Text, secret),
                "gather_facts" => play.gather_facts = self.typed(key, value, &Kind::Bool, secret),
                "gather_subset" => play.gather_subset = self.typed(key, value, &Kind::List(Box::new(Kind::Text)), secret),
                "gather_timeout" => play.gather_timeout = self.typed(key, value, &Kind::Int, secret),
                "fact_path" => play.fact_path = self.typed(key, value, &Kind::Text, secret),
                "force_handlers" => play.force_handlers = self.typed(key, value, &Kind::Bool, secret),
                "max_fail_percentage" => play.max_fail_percentage = self.percentage(value, secret),
                "serial" => serial = Some(value.clone()),
                "order" => order = self.order(value),
                "strategy" => play.strategy = self.strategy(value),
                "collections" => collections = self.collections(value),
                "vars_files" => vars_files = value.items().to_vec(),
                "vars_prompt" => prompted = self.prompts(value, secret),
                _ => {}
            }
        }
        play.keywords.vars.variables.extend(prompted.variables);
        if play.keywords.vars.origin.is_empty() {
            play.keywords.vars.origin = "play vars".into();
        }
        play.keywords.vars.variables.extend(inherited.keywords.vars.variables.iter().cloned());
        play.keywords.when.splice(0..0, inherited.keywords.when.iter().cloned());
        play.keywords.tags.splice(0..0, inherited.keywords.tags.iter().cloned());
        let Some(hosts) = hosts else {
            let is_import = |key: &Node| suggest(key.text().unwrap_or_default(), ["import_playbook", "hosts"]).is_some();
            if !node.entries().any(|(key, _)| is_import(key)) {
                self.mistake(Diagnostic::at(node, "a play without `hosts`").hint("add `hosts: all`, or the name of a group"));
            }
            return None;
        };

        let mut known = vec![Arc::new(play.keywords.vars.clone())];
        self.task_in_hand = Some(play.span);
        for entry in &vars_files {
            self.vars_file(entry, &mut play, &mut known, folder, secret);
        }
        self.task_in_hand = None;
        let mut context = self.context(folder, known.clone(), secret);
        context.collections = collections;
        context.may_be_left_out = super::absent::is_conditional(&play.keywords);
        context.forgives = super::task::forgives(entries);

        for layer in known.clone() {
            self.lookups_of_layer(&layer, &context);
        }
        let get = |name: &str| entries.iter().find(|(key, _)| key.text() == Some(name)).map(|(_, value)| value);
        if let Some(roles) = get("roles") {
            match &roles.kind {
                NodeKind::List(items) => {
                    for item in items {
                        if let Some(block) = self.role_entry(item, &context, CallKind::Play, true) {
                            play.roles.push(Step::Block(Box::new(block)));
                        }
                    }
                }
                _ if roles.is_null() => {}
                _ => self.mistake(Diagnostic::at(roles, format!("`roles` must be a list of roles, found {}", roles.describe()))),
            }
        }
        // Imports see the roles' variables too.
        let of_roles: Vec<Arc<Layer>> = self.play.role_defaults.iter().map(|id| Arc::new(self.layer(*id).clone())).collect();
        context.known.splice(0..0, of_roles);
        let of_roles: Vec<Arc<Layer>> = self.play.role_vars.iter().map(|id| Arc::new(self.layer(*id).clone())).collect();
        context.known.extend(of_roles);

        let own_handlers = match get("handlers") {
            Some(value) => self.steps(value, &Context { handlers: true, ..context.clone() }, "`handlers`"),
            None => Vec::new(),
        };
        let imported_by_roles = std::mem::take(&mut self.play.import_handlers);
        // The order in which Ansible reads them decides which handler of a name is the last.
        if let Some(value) = get("post_tasks") {
            play.post_tasks = self.steps(value, &context, "`post_tasks`");
        }
        if let Some(value) = get("pre_tasks") {
            play.pre_tasks = self.steps(value, &context, "`pre_tasks`");
        }
        if let Some(value) = get("tasks") {
            play.tasks = self.steps(value, &context, "`tasks`");
        }
        self.read_pending();
        let parts = std::mem::take(&mut self.play);
        play.handlers = parts.role_handlers;
        play.handlers.extend(own_handlers);
        play.handlers.extend(imported_by_roles);
        play.handlers.extend(parts.import_handlers);
        play.role_defaults = parts.role_defaults;
        play.role_vars = parts.role_vars;
        Some(LoadedPlay {
            play,
            hosts,
            serial,
            order,
            playbook: path.to_owned(),
            file: path.to_owned(),
            playbook_dir: folder.to_owned(),
            known,
            role_names: parts.role_names,
            dependency_names: parts.dependency_names,
            owner: Arc::clone(&context.owner),
            secret,
            has_strategy: get("strategy").is_some(),
        })
    }

    fn percentage(&mut self, value: &Node, secret: bool) -> Option<Tree> {
        if let Some(text) = value.text().filter(|_| !value.is_template())
            && text.trim_end_matches('%').trim().parse::<f64>().is_err()
        {
            self.mistake(Diagnostic::at(value, format!("`max_fail_percentage` must be a number, found {text:?}")));
            return None;
        }
        Some(self.tree(value, secret))
    }

    fn order(&mut self, value: &Node) -> Order {
        const WORDS: [(&str, Order); 5] = [
            ("inventory", Order::Inventory),
            ("reverse_inventory", Order::ReverseInventory),
            ("sorted", Order::Sorted),
            ("reverse_sorted", Order::ReverseSorted),
            ("shuffle", Order::Shuffle),
        ];
        let text = value.text().unwrap_or_default();
        match WORDS.iter().find(|(word, _)| *word == text) {
            Some((_, order)) => *order,
            None => {
                self.mistake(
                    Diagnostic::at(
                        value,
                        format!("unknown order `{text}`: it is inventory, reverse_inventory, sorted, reverse_sorted or shuffle"),
                    )
                    .suggest(text, WORDS.iter().map(|(word, _)| *word)),
                );
                Order::default()
            }
        }
    }

    fn strategy(&mut self, value: &Node) -> Strategy {
        match value.text().map(short) {
            Some("linear") => Strategy::Linear,
            Some("free" | "host_pinned") => Strategy::Free,
            Some("debug") => {
                self.mistake(
                    Diagnostic::at(value, "the strategy `debug` is not supported").hint("the interactive debugger stops a run at a prompt"),
                );
                Strategy::Linear
            }
            text => {
                let text = text.unwrap_or_default();
                self.mistake(
                    Diagnostic::at(value, format!("unknown strategy `{text}`: it is linear, free or host_pinned"))
                        .suggest(text, ["linear", "free", "host_pinned"]),
                );
                Strategy::Linear
            }
        }
    }

    /// Variables that Ansible asks for: given with `-e`, or their defaults.
    fn prompts(&mut self, value: &Node, secret: bool) -> Layer {
        const KEYS: &[&str] = &["name", "prompt", "default", "private", "confirm", "encrypt", "salt_size", "salt", "unsafe"];
        let mut layer = Layer { origin: "vars_prompt".into(), variables: Vec::new() };
        for item in value.items() {
            for (key, _) in item.entries() {
                let word = key.text().unwrap_or_default();
                if !KEYS.contains(&word) {
                    self.mistake(Diagnostic::at(key, format!("unknown key `{word}` in `vars_prompt`")).suggest(word, KEYS.iter().copied()));
                }
            }
            let Some((key, name)) = item.entry("name").and_then(|(key, node)| Some((key, node.text()?))) else {
                self.mistake(Diagnostic::at(item, "an entry of `vars_prompt` needs `name`"));
                continue;
            };
            if !is_variable_name(name) {
                self.mistake(Diagnostic::at(key, format!("`{name}` cannot be a variable's name")));
                continue;
            }
            if self.extra.get(name).is_some() {
                continue;
            }
            match item.get("default") {
                Some(default) => {
                    let value = Arc::new(self.tree(default, secret));
                    layer.variables.push(Variable { name: name.into(), value, span: key.span });
                }
                None => self.mistake(
                    Diagnostic::at(item, format!("nothing is asked during a run: the variable `{name}` is not given"))
                        .hint(format!("add `-e {name}=VALUE`")),
                ),
            }
        }
        layer
    }

    /// One entry of `vars_files`: a name, or a list of which the first that is there is read.
    fn vars_file(&mut self, entry: &Node, play: &mut Play, known: &mut Vec<Arc<Layer>>, folder: &Path, secret: bool) {
        let mut candidates = Vec::new();
        let mut found = false;
        let mut open = false;
        for item in entry.items() {
            if item.text().is_none() {
                self.mistake(Diagnostic::at(item, format!("an entry of `vars_files` must be a file's name, found {}", item.describe())));
                continue;
            }
            let tree = self.tree(item, secret);
            for pattern in super::possible::patterns(&tree, None) {
                let exact = pattern.exact().is_some();
                open |= !exact;
                for path in self.matching(&pattern, &vars_folders(folder)) {
                    self.named_by_task(&path.to_string_lossy());
                    let is_first = exact && !found;
                    found = true;
                    let origin = self.shown(&path);
                    let owner: Arc<str> = format!("play {}", self.plays).into();
                    if let Some(id) = self.vars_fragment(&path, &origin, Some(item), &owner) {
                        self.included_vars.entry(path.display().to_string().into()).or_default().insert(owner);
                        if is_first {
                            known.push(Arc::new(self.layer(id).clone()));
                        }
                    }
                }
            }
            candidates.push(tree);
        }
        if !found && !candidates.is_empty() {
            let name = entry.items().first().and_then(Node::text).unwrap_or_default();
            if open {
                let shown = name.to_owned();
                let mistake = Diagnostic::at(&entry.items()[0], format!("no file matches `{shown}`"));
                self.awaited_file(mistake.hint("nothing that the template can become is there"), &shown);
            } else {
                self.missing_file(&entry.items()[0], name, &vars_folders(folder));
            }
        }
        play.vars_files.push(VarsFile { candidates, span: entry.span });
    }
}

/// Where `vars_files` are searched.
fn vars_folders(folder: &Path) -> Vec<PathBuf> {
    vec![folder.join("vars"), folder.to_owned()]
}

/// The text of a tree that is one.
pub fn text_of(tree: Option<&Tree>) -> Option<&str> {
    tree.and_then(Tree::literal).and_then(Value::as_str)
}
