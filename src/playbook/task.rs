//! Lists of tasks: tasks, blocks, handlers; includes and imports are in `include`.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use super::absent::may_be_left_out;
use super::action::Action;
use super::inherit::Async;
use super::keyword::{self, Place};
use super::loader::{Loader, digest};
use super::modules::{is_known, short};
use super::role::RoleContext;
use crate::module::Kind;
use crate::program::{Block, Keywords, Layer, Loop, Step, Task, Tree};
use crate::project::files::is_variable_name;
use crate::source::{Diagnostic, Node, NodeKind};
use crate::template::lookups::table::{self, Support};

/// `with_ansible.builtin.items`, `with_community.general.flattened`: the lookup's own name.
fn plugin(name: &str) -> &str {
    name.strip_prefix("community.general.").unwrap_or_else(|| short(name))
}

/// Keywords of a task that Ansible looks at where it runs an item, whatever it then finds in them.
const OF_ITEMS: [&str; 13] = [
    "any_errors_fatal",
    "become",
    "check_mode",
    "delay",
    "diff",
    "environment",
    "ignore_errors",
    "ignore_unreachable",
    "no_log",
    "port",
    "retries",
    "run_once",
    "timeout",
];

/// What holds around a list of tasks while it is read.
#[derive(Clone)]
pub struct Context {
    pub playbook_dir: PathBuf,
    pub role: Option<Rc<RoleContext>>,
    /// Tasks here are handlers.
    pub handlers: bool,
    /// They stand in a block.
    pub in_block: bool,
    /// Folders that the includes around were written with, innermost first (`sub` of `import_tasks: sub/a.yml`).
    pub folders: Vec<PathBuf>,
    /// What names of static imports may be made of, lowest precedence first.
    pub known: Vec<Arc<Layer>>,
    /// Files and roles that are being imported, for cycles.
    pub importing: Vec<PathBuf>,
    pub collections: Rc<Vec<String>>,
    /// The file was encrypted as a whole.
    pub secret: bool,
    /// Whose files these are: `play 0`, or the key of a fragment.
    pub owner: Arc<str>,
    /// What is run as a whole: the same, but for each tasks file of a role (`role web install`).
    pub place: Arc<str>,
    /// A condition around this list decides whether it is run.
    pub may_be_left_out: bool,
    /// A failure here ends nothing: it is rescued or ignored.
    pub forgives: bool,
}

impl Context {
    /// The folder of the file of tasks around.
    pub fn folder_of_tasks(&self) -> Option<&Path> {
        self.importing.iter().rev().find(|path| path.extension().is_some())?.parent()
    }

    /// The same, where it is neither the playbook's nor the role's own.
    pub fn unusual_folder(&self) -> Option<&Path> {
        let folder = self.folder_of_tasks()?;
        let is_usual = self.role.as_ref().map_or(folder == self.playbook_dir, |role| folder.parent() == Some(&role.path));
        (!is_usual).then_some(folder)
    }

    pub fn place(&self) -> Place {
        if self.handlers { Place::Handler } else { Place::Task }
    }
}

/// Whether what stands in a task, block or play rescues or ignores failures of what is inside.
pub fn forgives(entries: &[(Node, Node)]) -> bool {
    entries.iter().any(|(key, _)| matches!(key.text(), Some("rescue" | "ignore_errors")))
}

impl Loader<'_> {
    /// A list of tasks. Null is an empty list.
    pub fn steps(&mut self, node: &Node, context: &Context, what: &str) -> Vec<Step> {
        match &node.kind {
            NodeKind::List(items) => {
                let mut steps = Vec::new();
                for item in items {
                    // PyYAML gives None for an empty entry (`-`); Ansible refuses it.
                    steps.extend(self.step(item, context));
                }
                steps
            }
            _ if node.is_null() => Vec::new(),
            _ => {
                let mistake = Diagnostic::at(node, format!("{what} must be a list of tasks, found {}", node.describe()));
                self.mistake(if node.as_map().is_some() { mistake.hint("begin each task with `- `") } else { mistake });
                Vec::new()
            }
        }
    }

    fn step(&mut self, node: &Node, context: &Context) -> Vec<Step> {
        let NodeKind::Map(entries) = &node.kind else {
            self.mistake(Diagnostic::at(node, format!("a task must be a mapping, found {}", node.describe())));
            return Vec::new();
        };
        if entries.iter().any(|(key, _)| matches!(key.text(), Some("block" | "rescue" | "always"))) {
            return self.block(node, entries, context).into_iter().map(|block| Step::Block(Box::new(block))).collect();
        }
        let Some(action) = self.action(node, entries, context) else {
            self.other_keywords(entries, context);
            return Vec::new();
        };
        match short(&action.name) {
            "import_tasks" => self.import_tasks(node, entries, &action, context),
            "import_role" => self.import_role(node, entries, &action, context),
            "include_tasks" | "include_role" => self.include(node, entries, &action, context),
            _ => self.task(node, entries, action, context).map(|task| Step::Task(Box::new(task))).into_iter().collect(),
        }
    }

    /// What else is wrong in a task whose module is not known.
    fn other_keywords(&mut self, entries: &[(Node, Node)], context: &Context) {
        let mut keywords = Keywords::default();
        for (key, value) in entries {
            if key.text() == Some("register") {
                let register = self.register(key, value);
                self.defined_anyway.extend(register);
                continue;
            }
            if key.text().is_some_and(|name| keyword::find(name).is_some()) && self.keyword_allowed(key, value, context.place()) {
                self.shared_keyword(&mut keywords, key, value, context.secret, "");
            }
        }
    }

    fn block(&mut self, node: &Node, entries: &[(Node, Node)], context: &Context) -> Option<Block> {
        if context.handlers && context.in_block {
            self.mistake(
                Diagnostic::at(node, "a block inside of a block cannot hold handlers")
                    .hint("take its tasks out of it, or put them into a file: `include_tasks` as a handler runs several tasks"),
            );
            return None;
        }
        let mut block = Block { span: node.span, ..Block::default() };
        let mut inside = Context { in_block: true, ..context.clone() };
        for (key, value) in entries {
            if !self.keyword_allowed(key, value, Place::Block) {
                continue;
            }
            if self.shared_keyword(&mut block.keywords, key, value, context.secret, "vars of a block") {
                continue;
            }
            match key.text() {
                Some("name") => block.name = self.typed(key, value, &Kind::Text, context.secret),
                Some("collections") => inside.collections = self.collections(value),
                _ => {}
            }
        }
        self.lookups_of_layer(&block.keywords.vars, context);
        if !block.keywords.vars.variables.is_empty() {
            inside.known.push(Arc::new(block.keywords.vars.clone()));
        }
        inside.may_be_left_out |= may_be_left_out(entries);
        inside.forgives |= forgives(entries);
        let in_rescue = Context { may_be_left_out: true, ..inside.clone() };
        let before = self.play.import_handlers.len();
        for (key, value) in entries {
            match key.text() {
                Some("block") => block.block = self.steps(value, &inside, "`block`"),
                Some("rescue") => block.rescue = self.steps(value, &in_rescue, "`rescue`"),
                Some("always") => block.always = self.steps(value, &inside, "`always`"),
                _ => {}
            }
        }
        self.around_handlers(before, node.span, &block.keywords, None);
        let has = |name: &str| entries.iter().any(|(key, _)| key.text() == Some(name));
        if !has("block") {
            let (key, _) = entries.iter().find(|(key, _)| matches!(key.text(), Some("rescue" | "always")))?;
            self.mistake(Diagnostic::at(key, format!("`{}` without `block`", key.text().unwrap_or_default())));
            return None;
        }
        Some(block)
    }

    fn task(&mut self, node: &Node, entries: &[(Node, Node)], action: Action, context: &Context) -> Option<Task> {
        let noted = self.absent.len();
        let may_be_left_out = context.may_be_left_out || context.handlers || may_be_left_out(entries);
        let own = &Context { may_be_left_out, ..context.clone() };
        let mut task = match self.absent_task(node, entries, &action, context) {
            Some(mistake) => {
                Task { module: crate::module::fail::MODULE.name().into(), mistake: Some(Box::new(mistake)), ..Task::default() }
            }
            None => {
                let Some(entry) = self.module_in(&action, context) else {
                    self.other_keywords(entries, context);
                    if short(&action.name) == "set_fact" {
                        self.incomplete = true;
                    }
                    return None;
                };
                let written = self.written(&action);
                let (arguments, mistake) = if entry.name() == "meta" {
                    // What is to be done to the run itself is known beforehand.
                    (self.arguments(entry, &action, written, context.secret), None)
                } else {
                    self.in_doubt(own, |loader| loader.arguments(entry, &action, written, context.secret))
                };
                Task { module: entry.name().into(), arguments, mistake: mistake.map(Box::new), ..Task::default() }
            }
        };
        task.span = node.span;
        task.module_as_written = action.name.as_str().into();
        task.digest = digest(node);
        task.folder = context.unusual_folder().map(|folder| folder.display().to_string().into());
        if action.local {
            task.keywords.delegate_to = Some(Tree::Literal("localhost".into()));
        }
        task.looping = self.looping(entries, context.secret);
        for (key, value) in entries {
            let Some(name) = key.text() else { continue };
            if action.is_key(key) || name.starts_with("with_") || matches!(name, "args" | "loop" | "loop_control") {
                continue;
            }
            if !self.keyword_allowed(key, value, context.place()) {
                continue;
            }
            if OF_ITEMS.contains(&name) {
                let ((), mistake) = self.in_doubt(own, |loader| match name {
                    "retries" => task.retries = loader.typed(key, value, &Kind::Int, context.secret),
                    "delay" => task.delay = loader.typed(key, value, &Kind::Float, context.secret),
                    _ => _ = loader.shared_keyword(&mut task.keywords, key, value, context.secret, "vars of the task"),
                });
                task.mistake = task.mistake.or(mistake.map(Box::new));
                continue;
            }
            if self.shared_keyword(&mut task.keywords, key, value, context.secret, "vars of the task") {
                continue;
            }
            match name {
                "name" => task.name = self.typed(key, value, &Kind::Text, context.secret),
                "register" => task.register = self.register(key, value),
                "changed_when" => task.changed_when = self.conditions(value, name, context.secret),
                "failed_when" => task.failed_when = self.conditions(value, name, context.secret),
                "until" => task.until = self.conditions(value, name, context.secret),
                "listen" => task.listen = self.names(value, name, context.secret),
                _ => {}
            }
        }
        let (asynchronous, mistake) = self.in_doubt(own, |loader| loader.asynchronous(&task.module, entries, context));
        task.mistake = task.mistake.or(mistake.map(Box::new));
        match asynchronous {
            Some(Async::Waits(seconds)) => _ = task.keywords.timeout.get_or_insert(seconds),
            Some(Async::GoesOn(seconds)) => task.background = Some(seconds),
            Some(Async::Either { seconds, poll }) => (task.background, task.poll) = (Some(seconds), Some(poll)),
            None => {}
        }
        if self.absent.len() > noted {
            // Nothing makes a success of a task that cannot be done.
            task.keywords.ignore_errors = None;
            (task.retries, task.delay) = (None, None);
            [&mut task.changed_when, &mut task.failed_when, &mut task.until].into_iter().for_each(Vec::clear);
        }
        self.task_in_hand = Some(task.span);
        let ((), mistake) = self.in_doubt(own, |loader| loader.files_of_task(&task, own));
        if &*task.module == "artifact" && task.looping.is_none() {
            task.mistake = task.mistake.or(mistake.map(Box::new));
        }
        self.in_doubt(own, |loader| loader.lookups_of_task(&task, own));
        self.task_in_hand = None;
        if context.handlers && task.name.is_none() && task.listen.is_empty() && context.owner.starts_with("play ") {
            self.mistake(
                Diagnostic::at(node, "a handler without `name` and `listen` can never be notified").hint("give it a `name`").as_warning(),
            );
        }
        Some(task)
    }

    pub fn lookups_of_task(&mut self, task: &Task, context: &Context) {
        let mut found = super::walk::Found::default();
        found.task(task, context.handlers);
        found.roots.iter().for_each(|root| self.lookups_of_tree(root, context, false));
        found.vars.iter().for_each(|layer| self.lookups_of_layer(layer, context));
    }

    /// `register: name`.
    pub fn register(&mut self, key: &Node, value: &Node) -> Option<Arc<str>> {
        let text = value.text().filter(|_| !value.is_null());
        match text {
            Some(text) if is_variable_name(text) => Some(text.into()),
            Some(text) if value.is_template() => {
                self.mistake(Diagnostic::at(value, format!("`register` takes a variable's name, not the template `{text}`")));
                None
            }
            Some(text) => {
                self.mistake(
                    Diagnostic::at(value, format!("`{text}` cannot be a variable's name"))
                        .hint("a name has letters, digits and underscores, does not start with a digit and is no word of Python's"),
                );
                None
            }
            None => {
                self.mistake(Diagnostic::at(key, "`register` needs a variable's name"));
                None
            }
        }
    }

    /// One name or a list of them (`notify`, `listen`).
    pub fn names(&mut self, value: &Node, what: &str, secret: bool) -> Vec<Tree> {
        let mut names = Vec::new();
        for item in value.items() {
            if item.scalar().is_some() {
                let tree = self.tree(item, secret);
                names.push(match (&tree, item.text()) {
                    // `notify: 1` means the handler of that name.
                    (Tree::Literal(value), Some(text)) if value.as_str().is_none() => Tree::Literal(text.into()),
                    _ => tree,
                });
            } else {
                self.mistake(Diagnostic::at(item, format!("`{what}` takes names, found {}", item.describe())));
            }
        }
        names
    }

    pub fn collections(&mut self, value: &Node) -> Rc<Vec<String>> {
        Rc::new(value.items().iter().filter_map(Node::text).map(str::to_owned).collect())
    }

    /// `loop`, `with_…` and `loop_control`.
    pub fn looping(&mut self, entries: &[(Node, Node)], secret: bool) -> Option<Loop> {
        let mut found: Option<(&Node, Loop)> = None;
        for (key, value) in entries {
            let Some(name) = key.text() else { continue };
            let with = name.strip_prefix("with_");
            if with.is_none() && name != "loop" {
                continue;
            }
            if let Some(with) = with {
                let with = plugin(with);
                let known = table::find(with).map(|lookup| &lookup.support);
                if let Some(Support::No { reason, instead }) = known {
                    self.mistake(Diagnostic::at(key, format!("the lookup `{with}` is not supported: {reason}")).hint(*instead));
                    continue;
                }
                if known.is_none() {
                    let mistake = Diagnostic::at(key, format!("there is no lookup `{with}` to loop with"));
                    let names: Vec<String> = table::names().map(|name| format!("with_{name}")).collect();
                    self.mistake(match with {
                        "filetree" => mistake.hint("`copy` takes a whole folder: `src: folder/`; `with_fileglob` loops over one's files"),
                        _ => mistake.suggest(name, names.iter().map(String::as_str)),
                    });
                    continue;
                }
            }
            if value.is_null() {
                self.mistake(Diagnostic::at(key, format!("`{name}` needs a value")));
                continue;
            }
            if with.is_none() && value.as_list().is_none() && !value.is_template() {
                self.mistake(Diagnostic::at(value, format!("`loop` must be a list, found {}", value.describe())).hint(
                    if value.as_map().is_some() {
                        "loop over a mapping with `loop: \"{{ mapping | dict2items }}\"`"
                    } else {
                        "write it as a list: `loop: [a, b]`"
                    },
                ));
                continue;
            }
            if let Some((first, _)) = &found {
                self.mistake(Diagnostic::at(key, "a task has one loop only").other(first.span, first.width, "the first is here"));
                continue;
            }
            let items = self.loop_items(value, secret);
            let looping = Loop { with: with.map(|with| plugin(with).into()), ..Loop::over(items, value.span) };
            found = Some((key, looping));
        }
        let control = entries.iter().find(|(key, _)| key.text() == Some("loop_control"));
        let mut looping = found.map(|(_, looping)| looping);
        if let Some((key, value)) = control {
            let mut unused = Loop::over(Tree::Literal(crate::program::Value::Null), value.span);
            self.loop_control(key, value, looping.as_mut().unwrap_or(&mut unused), secret);
        }
        looping
    }

    /// Bare names in `with_items: packages` were variables once; ansible-core 2.19 takes them as texts, and so do we.
    fn loop_items(&mut self, value: &Node, secret: bool) -> Tree {
        self.tree(value, secret)
    }

    fn loop_control(&mut self, key: &Node, value: &Node, looping: &mut Loop, secret: bool) {
        const KEYS: &[&str] = &["loop_var", "index_var", "label", "pause", "extended", "extended_allitems", "break_when"];
        let Some(entries) = value.as_map() else {
            self.mistake(Diagnostic::at(
                if value.is_null() { key } else { value },
                format!("`loop_control` must be a mapping, found {}", value.describe()),
            ));
            return;
        };
        for (key, value) in entries {
            match key.text() {
                Some("loop_var") => looping.loop_var = self.loop_name(key, value, secret),
                Some("index_var") => looping.index_var = self.loop_name(key, value, secret),
                Some("label") => looping.label = Some(self.tree(value, secret)),
                Some("pause") => looping.pause = self.typed(key, value, &Kind::Float, secret),
                Some("extended") => looping.extended = self.typed(key, value, &Kind::Bool, secret),
                Some("extended_allitems") => looping.extended_allitems = self.typed(key, value, &Kind::Bool, secret),
                Some("break_when") => looping.break_when = self.conditions(value, "break_when", secret),
                name => {
                    let name = name.unwrap_or_default();
                    self.mistake(
                        Diagnostic::at(key, format!("unknown key `{name}` in `loop_control`")).suggest(name, KEYS.iter().copied()),
                    );
                }
            }
        }
    }

    fn loop_name(&mut self, key: &Node, value: &Node, secret: bool) -> Option<Tree> {
        match value.text() {
            Some(text) if !value.is_template() && !is_variable_name(text) => {
                self.mistake(Diagnostic::at(value, format!("`{text}` cannot be a variable's name")));
                None
            }
            _ => self.typed(key, value, &Kind::Text, secret),
        }
    }

    /// Which of a task's keys are neither keywords nor `with_…`: its module, or mistakes.
    pub fn candidates(entries: &[(Node, Node)]) -> Vec<&(Node, Node)> {
        entries
            .iter()
            .filter(|(key, _)| {
                key.text().is_none_or(|name| {
                    let of_tasks = keyword::find(name).is_some_and(|known| !matches!(known.places, [Place::Import]));
                    !(of_tasks || name.starts_with("with_")) || (name == "user" && is_known(name))
                })
            })
            .collect()
    }
}
