//! Modules that Ansible has and we have not. Where a condition decides, their tasks are no mistake: roles for many systems have
//! `yum` beside `apt`, and `when` lets a host reach one of the two.

use std::collections::BTreeSet;

use super::action::Action;
use super::loader::Loader;
use super::modules::short;
use crate::module;
use crate::program::{Argument, Arguments, Block, Keywords, Play, Span, Step, Task, Tree, Value};
use crate::source::{Diagnostic, Node};

/// Modules of `ansible.builtin` that are not there, with what to do instead.
const ABSENT: &[(&str, &str)] = &[
    ("apt_key", "put the key below /etc/apt/keyrings with `copy` and name it in `signed-by`; apt-key is gone from Debian 12"),
    ("async_status", "there are no background jobs (`async`): a long task holds no connection open"),
    ("deb822_repository", "write the .sources file below /etc/apt/sources.list.d with `copy`"),
    ("dnf", "`package` installs with whatever package manager the host has, where it is supported"),
    ("dnf5", "`package` installs with whatever package manager the host has, where it is supported"),
    ("dpkg_selections", "run apt-mark with `command`"),
    ("expect", "there is no terminal to answer on; give the program its input with `stdin` of `command`"),
    ("fetch", "`provision ssh NODE -- cat FILE` gets one; for a task, `command: cat …` with `register` and `changed_when: false`"),
    ("get_url", "name the file as an artifact: it is fetched once, verified, and copied"),
    ("getent", "use `command: getent …` with `changed_when: false`"),
    ("git", "run git with `command` and `creates`"),
    ("iptables", "run iptables with `command`, its `-C` in `when`"),
    ("known_hosts", "write /etc/ssh/ssh_known_hosts with `copy`"),
    ("mount_facts", "`ansible_facts.mounts` has what `setup` finds"),
    ("package_facts", "use `command` with the package manager's list"),
    ("pause", "wait for what you wait for: `wait_for`, or `until` with `retries` and `delay`"),
    ("pip", "run pip with `command`"),
    ("rpm_key", "run rpm --import with `command`"),
    ("service_facts", "`systemd_service` and `service` read the state themselves"),
    ("set_stats", "there are no custom statistics; `set_fact` keeps values over plays"),
    ("subversion", "run svn with `command`"),
    ("sysvinit", "use `service`"),
    ("uri", "use `command: curl …`, or `wait_for` for a port"),
    ("validate_argument_spec", "a role's meta/argument_specs.yml is checked where the role is called"),
    ("wait_for_connection", "the engine waits for a host by itself; after a restart use `reboot`"),
    ("yum", "`package` installs with whatever package manager the host has, where it is supported"),
    ("yum_repository", "write the .repo file below /etc/yum.repos.d with `copy`"),
];

/// Each collection and the short names that ansible-core finds in it: `plugin_routing` of its `config/ansible_builtin_runtime.yml`, 2.19.
const ROUTED: &str = include_str!("routed.txt");

/// What to do instead of a module that Ansible has and we have not. `None`: it is ours, or nobody's.
pub fn instead(name: &str) -> Option<String> {
    if module::find(name).is_some() {
        return None;
    }
    if let Some((_, instead)) = ABSENT.iter().find(|(absent, _)| *absent == short(name)) {
        return Some((*instead).to_owned());
    }
    let of = |collection: &str| format!("modules of the collection {collection} are not there: `command` can do it");
    match name.rsplit_once('.') {
        // Which modules a collection has is not known; what is near to one of ours is a slip.
        Some((collection, _)) if collection.contains('.') && !matches!(collection, "ansible.builtin" | "ansible.legacy") => {
            let ours = module::MODULES.iter().flat_map(|entry| entry.names.iter().copied()).filter(|ours| ours.contains('.'));
            crate::source::suggest::suggest(name, ours).is_none().then(|| of(collection))
        }
        Some(_) => None,
        None => {
            let routed = ROUTED.lines().find(|line| line.split(' ').skip(1).any(|routed| routed == name))?;
            routed.split(' ').next().map(of)
        }
    }
}

/// Tasks of such modules, as they are read.
#[derive(Default)]
pub struct Absent(Vec<Found>);

struct Found {
    task: Span,
    module: String,
    mistake: Diagnostic,
}

impl Loader<'_> {
    /// A task whose module is not there: reached, it fails with what the mistake says.
    pub fn absent_task(&mut self, node: &Node, action: &Action, instead: &str) -> Task {
        let message = format!("the module `{}` is not supported yet", action.name);
        let told = Tree::Literal(Value::text(format!("{message}: {instead}")));
        let mistake = Diagnostic::at(action.key(), message).hint(instead);
        self.absent.0.push(Found { task: node.span, module: action.name.clone(), mistake });
        let arguments = vec![Argument { name: "msg".into(), value: told, span: action.key().span }];
        Task { module: "fail".into(), arguments: Arguments { named: arguments, ..Arguments::default() }, ..Task::default() }
    }

    /// What is surely reached is a mistake; all else is told in one warning. `plays`: each with whether it has hosts.
    pub fn tell_absent<'p>(&mut self, plays: impl Iterator<Item = (&'p Play, bool)>, chosen_by_tags: bool) {
        if self.absent.0.is_empty() {
            return;
        }
        let mut reached = Reached { spans: BTreeSet::new(), wanted: self.absent.0.iter().map(|found| found.task).collect() };
        for (play, has_hosts) in plays {
            if has_hosts && !chosen_by_tags && !is_conditional(&play.keywords) {
                for steps in [&play.pre_tasks, &play.roles, &play.tasks, &play.post_tasks] {
                    reached.steps(steps);
                }
            }
        }
        let (surely, perhaps): (Vec<Found>, Vec<Found>) =
            std::mem::take(&mut self.absent.0).into_iter().partition(|found| reached.spans.contains(&found.task));
        surely.into_iter().for_each(|found| self.mistake(found.mistake));
        let mut perhaps: Vec<Found> = perhaps;
        perhaps.sort_by_key(|found| found.task);
        perhaps.dedup_by_key(|found| found.task);
        let Some(first) = perhaps.first() else { return };
        let names: BTreeSet<&str> = perhaps.iter().map(|found| found.module.as_str()).collect();
        let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
        let hint = match &perhaps[1..] {
            [] => "a host that does reach it fails there".to_owned(),
            others => {
                let shown: Vec<String> = others.iter().take(SHOWN).map(|found| self.files.sources.place(found.mistake.span)).collect();
                let more = others.len().saturating_sub(SHOWN);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                format!("also in {}{more}; a host that does reach one fails there", shown.join(", "))
            }
        };
        let (what, is) = if names.len() == 1 { ("module", "is") } else { ("modules", "are") };
        let message = format!("the {what} {} {is} not supported yet, in tasks that are not surely reached", names.join(", "));
        let mut warning = Diagnostic::warning(message, first.mistake.span, first.mistake.width);
        warning.hint = Some(hint);
        self.mistake(warning);
    }
}

/// Places that a warning names besides the one that it shows.
const SHOWN: usize = 8;

/// Whether something decides at run time.
fn is_conditional(keywords: &Keywords) -> bool {
    let never = |tag: &Tree| match tag {
        Tree::Literal(Value::List(names)) => names.iter().any(|name| name.as_str() == Some("never")),
        Tree::Literal(name) => name.as_str() == Some("never"),
        _ => true,
    };
    let always_true = |condition: &Tree| matches!(condition, Tree::Literal(Value::Bool(true)));
    !keywords.when.iter().all(always_true) || keywords.tags.iter().any(never)
}

/// Whether it runs at least once: what is looped over may be empty.
fn has_rounds(task: &Task) -> bool {
    task.looping.as_ref().is_none_or(|looping| match &looping.items {
        Tree::List(items) => !items.is_empty(),
        Tree::Literal(Value::List(items)) => !items.is_empty(),
        _ => false,
    })
}

/// A walk over what no condition stands above.
struct Reached {
    wanted: BTreeSet<Span>,
    spans: BTreeSet<Span>,
}

impl Reached {
    fn steps(&mut self, steps: &[Step]) {
        for step in steps {
            match step {
                Step::Task(task) => {
                    if self.wanted.contains(&task.span) && !is_conditional(&task.keywords) && has_rounds(task) {
                        self.spans.insert(task.span);
                    }
                }
                Step::Block(block) => self.block(block),
                Step::Include(_) => {}
            }
        }
    }

    /// `rescue` is reached by chance.
    fn block(&mut self, block: &Block) {
        if !is_conditional(&block.keywords) {
            self.steps(&block.block);
            self.steps(&block.always);
        }
    }
}
