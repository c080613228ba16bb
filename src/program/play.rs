//! A program: what one host is sent for a whole run.
//!
//! The structure keeps Ansible's own: plays with sections, blocks, tasks; roles and imports are blocks with scopes.
//! Keywords stay where the user wrote them and stay unevaluated; the agent inherits and evaluates them at the point of use.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::tree::{Span, Tree};
use super::value::{Map, Value};

/// Everything that one host's agent runs, and all that it may read.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Program {
    /// `inventory_hostname`.
    pub host: Arc<str>,
    /// The project's folder on the controller, absolute: what relative names in `sources` are relative to.
    pub root: Arc<str>,
    /// Names of the user's files, indexed by [`Span::file`], relative to the project's folder where they lie in it.
    pub sources: Vec<Arc<str>>,
    pub settings: Settings,
    /// Inventory variables of this host, from beside the inventories and beside all playbooks.
    pub inventory: Vec<Layer>,
    /// What of them holds in plays of each folder of playbooks ([`Play::folder`]): indices, lowest precedence first.
    pub in_folders: Vec<Vec<u32>>,
    /// `-e`.
    pub extra: Layer,
    /// Magic variables that hold for the whole run: `groups`, `group_names`, `inventory_dir`, `playbook_dir` (per play
    /// in [`Play::magic`]), `ansible_version`, `omit` is the evaluator's own.
    pub magic: Map,
    pub plays: Vec<Arc<Play>>,
    /// Layers that steps refer to by index: role defaults, role vars, parameters.
    pub layers: Vec<Layer>,
    /// What may be included at run time.
    pub fragments: Fragments,
    /// The user's files that modules and lookups may read, by the path that `src` resolution ends in
    /// (absolute, on the controller).
    pub files: BTreeMap<Arc<str>, File>,
    /// Variables of this host that other hosts' programs read through `hostvars`.
    pub published: Published,
    /// Its session is on the controller.
    pub is_local: bool,
    /// Other hosts of the run work on this machine too: other names of it, or tasks that are delegated to the controller.
    pub shares: bool,
    /// As whom it is logged in, if something says so.
    pub login: Option<Arc<str>>,
    /// Variables that other hosts may set for this one (`delegate_facts`): who reads one asks the controller.
    pub told: BTreeSet<Arc<str>>,
    /// Inventory names of the controller.
    pub here: BTreeSet<Arc<str>>,
    /// Tasks that may write files on the controller: by where they stand.
    pub writes_files: BTreeSet<Span>,
    /// Tasks that read files of the controller which the run may write.
    pub awaits_files: BTreeMap<Span, Awaits>,
    /// Something in it may name a file of the controller by what the run gives: a registered path.
    pub takes_found: bool,
    /// So it is with some program of the run.
    pub finds_files: bool,
    /// Something reads what Python is on its machine, in `ansible_facts`.
    pub reads_python: bool,
    /// What its agent may ask for: the controller's.
    #[serde(skip)]
    pub asks: super::Asks,
}

/// When a task reads files which others write, by numbers of tasks in the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Awaits {
    /// Its own number, the first where it stands more than once.
    pub turn: u32,
    /// The last number at which one of the others may be done.
    pub writer: u32,
}

impl Program {
    /// Inventory variables that hold in a play, lowest precedence first: group_vars/all … host_vars, connection variables too. Before
    /// any play those of the first one's folder.
    pub fn inventory_in(&self, play: Option<&Play>) -> impl DoubleEndedIterator<Item = &Layer> {
        let indices = self.in_folders.get(play.map_or(0, |play| play.folder as usize)).map_or(&[][..], Vec::as_slice);
        indices.iter().filter_map(|index| self.inventory.get(*index as usize))
    }

    /// What another program of the host says of the inventory.
    pub fn take_inventory(&mut self, from: &Program) {
        self.inventory.clone_from(&from.inventory);
        self.in_folders.clone_from(&from.in_folders);
        self.magic.clone_from(&from.magic);
    }

    /// Files and files of variables that are new, or other ones than before.
    pub fn take_files(&mut self, files: &BTreeMap<Arc<str>, File>, vars: &BTreeMap<Arc<str>, Arc<Layer>>) {
        self.files.extend(files.iter().map(|(path, file)| (Arc::clone(path), file.clone())));
        vars.keys().for_each(|path| drop(self.fragments.mistakes.remove(path)));
        self.fragments.vars.extend(vars.iter().map(|(path, layer)| (Arc::clone(path), Arc::clone(layer))));
    }

    /// Whether any task may add hosts or groups, or read the inventory anew.
    pub fn changes_inventory(&self) -> bool {
        self.has_task(|task| matches!(&*task.module, "add_host" | "group_by") || task.meta() == Some("refresh_inventory"))
    }

    /// Whether a task may bring back hosts that failed.
    pub fn clears_errors(&self) -> bool {
        self.has_task(|task| task.meta() == Some("clear_host_errors"))
    }

    fn has_task(&self, is: fn(&Task) -> bool) -> bool {
        fn any(steps: &[Step], is: fn(&Task) -> bool) -> bool {
            steps.iter().any(|step| match step {
                Step::Task(task) => is(task),
                Step::Block(block) => [&block.block, &block.rescue, &block.always].into_iter().any(|steps| any(steps, is)),
                Step::Include(_) => false,
            })
        }
        let plays = self.plays.iter().flat_map(|play| [&play.pre_tasks, &play.roles, &play.tasks, &play.post_tasks, &play.handlers]);
        plays.chain(self.fragments.tasks.values().map(|steps| &**steps)).any(|steps| any(steps, is))
    }
}

/// Settings of a run, as the command line gave them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Settings {
    /// `--check`: Ansible's own mode.
    pub check: bool,
    pub diff: bool,
    pub tags: Vec<Arc<str>>,
    pub skip_tags: Vec<Arc<str>>,
    pub start_at_task: Option<Arc<str>>,
    /// 0 … 4.
    pub verbosity: u8,
    /// `--become`, `--become-user`, `--user`: lower than any keyword and variable.
    pub become_: bool,
    pub become_user: Option<Arc<str>>,
    pub become_method: Option<Arc<str>>,
    /// `--force-handlers`.
    pub force_handlers: bool,
    /// `ansible_managed` of ansible.cfg, as it stands there.
    pub managed: Option<Arc<str>>,
}

/// Which of a host's facts and registered variables are sent up as they change.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub enum Published {
    #[default]
    Nothing,
    Names(Vec<Arc<str>>),
    Everything,
}

/// Variables from one place, unevaluated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// What the user would call it: `group_vars/all.yaml`, `role defaults of nginx`, `extra vars`.
    pub origin: Arc<str>,
    pub variables: Vec<Variable>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Variable {
    pub name: Arc<str>,
    pub value: Arc<Tree>,
    pub span: Span,
}

impl Layer {
    /// The last definition of the name.
    pub fn get(&self, name: &str) -> Option<&Variable> {
        self.variables.iter().rev().find(|variable| &*variable.name == name)
    }
}

/// Index into [`Program::layers`].
pub type LayerId = u32;

/// Index into [`Fragments::roles`].
pub type RoleId = u32;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Play {
    pub name: Option<Tree>,
    pub span: Span,
    /// As the user wrote `hosts:`.
    pub pattern: Arc<str>,
    /// Index in the list of the run's plays: the first step of every [`super::Position`]. The same on all hosts.
    pub index: u32,
    /// The folder of its playbook, by number: index into [`Program::in_folders`].
    pub folder: u32,
    /// All hosts of the play, in inventory order.
    pub hosts: Arc<Vec<Arc<str>>>,
    /// This host's batch (`serial`): its number, and its hosts. One batch: all hosts.
    pub batch: u32,
    pub batch_hosts: Arc<Vec<Arc<str>>>,
    /// `--start-at-task` is in it: the run begins there.
    pub begins: bool,
    /// Earlier plays have other hosts: they may end the run for all, and what they do may be what this one's tasks look at or wait for.
    pub waits: bool,
    /// `None`: by default (true).
    pub gather_facts: Option<Tree>,
    pub gather_subset: Option<Tree>,
    pub gather_timeout: Option<Tree>,
    /// Where local facts are on the node (`fact_path`).
    pub fact_path: Option<Tree>,
    pub keywords: Keywords,
    pub vars_files: Vec<VarsFile>,
    /// `playbook_dir`, `role_names`, `ansible_play_name` …
    pub magic: Map,
    pub force_handlers: Option<Tree>,
    pub max_fail_percentage: Option<Tree>,
    pub strategy: Strategy,
    /// Layers every task of the play reads: all roles' defaults and vars (Ansible shares them over the play unless private).
    pub role_defaults: Vec<LayerId>,
    pub role_vars: Vec<LayerId>,
    pub pre_tasks: Vec<Step>,
    pub roles: Vec<Step>,
    pub tasks: Vec<Step>,
    pub post_tasks: Vec<Step>,
    /// The play's own and its roles' handlers. The last one of a name wins; `listen` topics reach all.
    pub handlers: Vec<Step>,
}

impl Play {
    /// Whether a failure of some hosts may end it for the others: `max_fail_percentage`, `any_errors_fatal` anywhere in it.
    pub fn is_ended_by_failures(&self) -> bool {
        let ends = |keywords: &Keywords| keywords.any_errors_fatal.is_some();
        let sections = [&self.pre_tasks, &self.roles, &self.tasks, &self.post_tasks];
        self.max_fail_percentage.is_some() || ends(&self.keywords) || sections.into_iter().any(|steps| any_keywords(steps, &ends))
    }
}

/// Whether one of the steps, or of those inside of them, has such keywords.
pub fn any_keywords(steps: &[Step], holds: &dyn Fn(&Keywords) -> bool) -> bool {
    steps.iter().any(|step| match step {
        Step::Task(task) => holds(&task.keywords),
        Step::Block(block) => {
            holds(&block.keywords) || [&block.block, &block.rescue, &block.always].into_iter().any(|steps| any_keywords(steps, holds))
        }
        Step::Include(include) => holds(&include.keywords) || holds(&include.apply),
    })
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Strategy {
    #[default]
    Linear,
    /// No order between hosts.
    Free,
}

/// One entry of `vars_files`: candidates, the first that exists is read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VarsFile {
    pub candidates: Vec<Tree>,
    pub span: Span,
}

/// Keywords that plays, roles, blocks and tasks share, where the user wrote them. `None` inherits.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Keywords {
    pub vars: Layer,
    /// All must hold; added to the parents' conditions.
    pub when: Vec<Tree>,
    /// Added to the parents' tags.
    pub tags: Vec<Tree>,
    pub environment: Vec<Tree>,
    /// Handler names or `listen` topics; of a block: for the tasks inside that have none of their own.
    pub notify: Option<Vec<Tree>>,
    pub module_defaults: Vec<(Tree, Tree)>,
    pub become_: Option<Tree>,
    pub become_user: Option<Tree>,
    pub become_method: Option<Tree>,
    pub become_flags: Option<Tree>,
    pub become_exe: Option<Tree>,
    pub check_mode: Option<Tree>,
    pub diff: Option<Tree>,
    pub no_log: Option<Tree>,
    pub ignore_errors: Option<Tree>,
    pub ignore_unreachable: Option<Tree>,
    pub any_errors_fatal: Option<Tree>,
    pub run_once: Option<Tree>,
    pub delegate_to: Option<Tree>,
    pub delegate_facts: Option<Tree>,
    pub connection: Option<Tree>,
    pub remote_user: Option<Tree>,
    pub port: Option<Tree>,
    pub timeout: Option<Tree>,
    pub throttle: Option<Tree>,
}

/// One entry of a list of tasks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Step {
    Task(Box<Task>),
    Block(Box<Block>),
    /// `include_tasks`, `include_role`: decided at run time.
    Include(Box<Include>),
}

impl Step {
    pub fn span(&self) -> Span {
        match self {
            Step::Task(task) => task.span,
            Step::Block(block) => block.span,
            Step::Include(include) => include.span,
        }
    }
}

/// A block; also what a role, `import_tasks` and `import_role` compile to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Block {
    pub name: Option<Tree>,
    pub span: Span,
    pub keywords: Keywords,
    /// Set where the block is a role: its scope holds inside.
    pub role: Option<RoleScope>,
    pub origin: Origin,
    /// Variables given to an import (`import_tasks: … vars:`): as include parameters.
    pub parameters: Option<LayerId>,
    /// What the run itself put around handlers of a role that it included.
    pub given: Option<Arc<Given>>,
    pub block: Vec<Step>,
    pub rescue: Vec<Step>,
    pub always: Vec<Step>,
}

/// What a block was written as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    #[default]
    Block,
    /// `import_tasks`, `import_role`.
    Import,
    /// A role of `roles`, or one that a role depends on.
    Role,
}

/// What an include gave, for its role's handlers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Given {
    pub parameters: Option<Layer>,
    pub included: Option<IncludedRole>,
}

/// The scope of a role that came by `include_role`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct IncludedRole {
    pub defaults: Vec<Arc<Layer>>,
    pub vars: Vec<Arc<Layer>>,
}

/// What a role brings into scope for its own tasks and handlers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RoleScope {
    pub name: Arc<str>,
    /// The role's folder: `role_path`, and where `files/`, `templates/`, `tasks/`, `vars/` are searched first.
    pub path: Arc<str>,
    /// Defaults, its dependencies' first.
    pub defaults: Vec<LayerId>,
    pub vars: Vec<LayerId>,
    /// `roles: [{role: x, a: 1}]`.
    pub parameters: Option<LayerId>,
    /// A dependency or a role that ran before with the same parameters is skipped unless `allow_duplicates`.
    pub allow_duplicates: bool,
}

impl RoleScope {
    /// Without its collection: `role_name`.
    pub fn short_name(&self) -> Arc<str> {
        collection_role(&self.path).map_or_else(|| Arc::clone(&self.name), |(_, name)| name.into())
    }
}

/// The collection of a role that lies in one, and its name there: `…/ansible_collections/a/b/roles/c` → `a.b`, `c`.
pub fn collection_role(path: &str) -> Option<(String, String)> {
    let (_, rest) = path.rsplit_once("/ansible_collections/")?;
    let mut parts = rest.splitn(4, '/');
    let (namespace, collection, kind, role) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    (kind == "roles").then(|| (format!("{namespace}.{collection}"), role.replace('/', ".")))
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Task {
    pub name: Option<Tree>,
    pub span: Span,
    pub keywords: Keywords,
    /// Canonical short name: `copy` for `ansible.builtin.copy`, `sysctl` for `ansible.posix.sysctl`.
    pub module: Arc<str>,
    /// As the user wrote it.
    pub module_as_written: Arc<str>,
    pub arguments: Arguments,
    pub looping: Option<Loop>,
    pub register: Option<Arc<str>>,
    pub changed_when: Vec<Tree>,
    pub failed_when: Vec<Tree>,
    pub until: Vec<Tree>,
    /// Default 3 where `until` is given.
    pub retries: Option<Tree>,
    /// Seconds; default 5.
    pub delay: Option<Tree>,
    /// `async` with `poll: 0`: the task goes on by itself, so many seconds at most.
    pub background: Option<Tree>,
    /// Where only the run knows it: anything but 0, and the task is waited for.
    pub poll: Option<Tree>,
    /// For a handler.
    pub listen: Vec<Tree>,
    /// Digest of the task's source text, for the journal.
    pub digest: Arc<str>,
    /// What is wrong with it: who reaches it fails there.
    pub mistake: Option<Box<Mistake>>,
    /// The folder of the file it stands in, on the controller, where that is neither the playbook's nor a role's `tasks`: what it names
    /// is searched there too.
    pub folder: Option<Arc<str>>,
}

impl Task {
    /// What a `meta` task does.
    pub fn meta(&self) -> Option<&str> {
        let word = self.arguments.free_form.as_ref().filter(|_| &*self.module == "meta")?;
        word.literal()?.as_str()
    }
}

/// A user's mistake, in the place of what could not be made of the text: not every host need reach it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mistake {
    /// As the report before the run says it.
    pub message: Arc<str>,
    pub hint: Option<Arc<str>>,
    pub span: Span,
    /// A file itself is wrong, not what it names: Ansible ends the run where it is included, and no `rescue` takes that.
    pub is_of_text: bool,
}

/// A task's arguments before evaluation.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Arguments {
    /// Free text (`command: ls -l`), after `key=value` pairs that the module's `free_form` knows were taken out.
    pub free_form: Option<Tree>,
    pub named: Vec<Argument>,
    /// `args: "{{ mapping }}"` or a module's whole argument as a template: evaluated, then merged below `named`.
    pub splat: Option<Tree>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Argument {
    pub name: Arc<str>,
    pub value: Tree,
    pub span: Span,
}

/// `loop` or one of the `with_*`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Loop {
    /// `None` for `loop:`; `items`, `dict`, `fileglob`, … for `with_…`.
    pub with: Option<Arc<str>>,
    pub items: Tree,
    pub span: Span,
    /// `loop_control`.
    pub loop_var: Option<Tree>,
    pub index_var: Option<Tree>,
    pub label: Option<Tree>,
    pub pause: Option<Tree>,
    pub extended: Option<Tree>,
    pub extended_allitems: Option<Tree>,
    pub break_when: Vec<Tree>,
}

impl Loop {
    /// `loop:` without a `loop_control`.
    pub fn over(items: Tree, span: Span) -> Self {
        Self {
            with: None,
            items,
            span,
            loop_var: None,
            index_var: None,
            label: None,
            pause: None,
            extended: None,
            extended_allitems: None,
            break_when: Vec::new(),
        }
    }
}

/// `include_tasks`, `include_role`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Include {
    pub name: Option<Tree>,
    pub span: Span,
    pub keywords: Keywords,
    pub looping: Option<Loop>,
    pub register: Option<Arc<str>>,
    pub what: Included,
    /// `apply:`, inherited by what is included.
    pub apply: Keywords,
    /// For a handler.
    pub listen: Vec<Tree>,
    /// Where a relative name is searched, first first (absolute folders on the controller).
    pub search: Vec<Arc<str>>,
    /// Where the user named what is included.
    pub named: Span,
    pub digest: Arc<str>,
}

impl Include {
    /// The module that it is written with.
    pub fn module(&self) -> &'static str {
        if matches!(self.what, Included::Tasks(_)) { "include_tasks" } else { "include_role" }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "a few in a program, each made once")]
pub enum Included {
    /// A task file's name.
    Tasks(Tree),
    Role {
        name: Tree,
        tasks_from: Option<Tree>,
        vars_from: Option<Tree>,
        defaults_from: Option<Tree>,
        handlers_from: Option<Tree>,
        public: Option<Tree>,
        allow_duplicates: Option<Tree>,
        rolespec_validate: Option<Tree>,
    },
}

impl Default for Included {
    fn default() -> Self {
        Included::Tasks(Tree::Literal(Value::Null))
    }
}

/// Files that may be included at run time, by absolute path on the controller.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Fragments {
    pub tasks: BTreeMap<Arc<str>, Arc<Vec<Step>>>,
    /// Vars files: `include_vars`, `vars_files`, roles' `vars_from` and `defaults_from`.
    pub vars: BTreeMap<Arc<str>, Arc<Layer>>,
    /// Roles that `include_role` may name.
    pub roles: BTreeMap<Arc<str>, Arc<Role>>,
    /// What is wrong with some of them: by the path of a file, or an entry point of a role ([`Fragments::entry_point`]). Nothing of these
    /// is done.
    pub mistakes: BTreeMap<Arc<str>, Mistake>,
}

impl Fragments {
    /// What stands for a role's tasks file: `role web install`.
    pub fn entry_point(role: &str, tasks: &str) -> Arc<str> {
        format!("role {role} {tasks}").into()
    }
}

/// A role as `include_role` needs it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Role {
    pub scope: RoleScope,
    /// Dependencies, as blocks with their own scopes; run before the tasks.
    pub dependencies: Vec<Step>,
    /// The task that validates arguments before those of an entry point, by `tasks_from` as the include has it.
    pub validations: BTreeMap<Arc<str>, Step>,
    /// Keys into [`Fragments::tasks`]: file stem (`main`, `install`, …) to path.
    pub tasks: BTreeMap<Arc<str>, Arc<str>>,
    /// Keys into [`Fragments::vars`].
    pub vars: BTreeMap<Arc<str>, Arc<str>>,
    pub defaults: BTreeMap<Arc<str>, Arc<str>>,
    /// Keys into [`Fragments::tasks`].
    pub handlers: BTreeMap<Arc<str>, Arc<str>>,
}

/// The key of an artifact's files in [`Program::files`]: a folder that is no path of the controller.
pub fn artifact_key(name: &str) -> String {
    format!("artifact:{name}")
}

/// A file or folder on the controller that a program names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum File {
    /// Its bytes are asked for only when they are needed.
    Plain {
        sha256: Arc<str>,
        /// Bytes.
        size: u64,
        /// Permission bits, for `mode: preserve`.
        mode: u32,
        /// Sent along where the bytes are always needed (templates, small files for lookups).
        content: Option<Bytes>,
        /// SHA-256 and size of a vault file as it lies there, where a task takes it so (`decrypt: false`).
        sealed: Option<(Arc<str>, u64)>,
    },
    Directory {
        mode: u32,
        /// Names inside, sorted; each one's path is a key of [`Program::files`] too.
        entries: Vec<Arc<str>>,
    },
    Symlink {
        target: Arc<str>,
    },
}

impl File {
    /// Whether these are its bytes, or those that lie on the controller.
    pub fn is_of(&self, digest: &str) -> bool {
        match self {
            Self::Plain { sha256, sealed, .. } => **sha256 == *digest || sealed.as_ref().is_some_and(|(sealed, _)| **sealed == *digest),
            Self::Directory { .. } | Self::Symlink { .. } => false,
        }
    }

    /// Its bytes as they lie on the controller.
    pub fn seal(&mut self) {
        if let File::Plain { sha256, size, content, sealed, .. } = self
            && let Some((digest, length)) = sealed.take()
        {
            (*sha256, *size, *content) = (digest, length, None);
        }
    }
}

/// Bytes that travel as bytes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Bytes(pub Arc<[u8]>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Bytes;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.into()))
            }
            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                Ok(Bytes(bytes.into()))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Bytes, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = seq.next_element()? {
                    bytes.push(byte);
                }
                Ok(Bytes(bytes.into()))
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}
