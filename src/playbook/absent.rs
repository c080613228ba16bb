//! Modules that Ansible has and we have not. Where a condition decides, their tasks are no mistake: roles for many systems have
//! `yum` beside `apt`, and `when` lets a host reach one of the two.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::action::Action;
use super::loader::Loader;
use super::modules::short;
use super::play::LoadedPlay;
use super::task::Context;
use crate::module;
use crate::program::{Keywords, Mistake, Span, Tree, Value};
use crate::source::suggest::suggest;
use crate::source::{Diagnostic, Node, NodeKind};

/// Modules of `ansible.builtin` that are not there, with what to do instead.
const ABSENT: &[(&str, &str)] = &[
    ("dnf", "`package` installs with whatever package manager the host has, where it is supported"),
    ("dnf5", "`package` installs with whatever package manager the host has, where it is supported"),
    ("expect", "there is no terminal to answer on; give the program its input with `stdin` of `command`"),
    ("iptables", "run iptables with `command`, its `-C` in `when`"),
    ("mount_facts", "`ansible_facts.mounts` has what `setup` finds"),
    ("rpm_key", "run rpm --import with `command`"),
    ("subversion", "run svn with `command`"),
    ("sysvinit", "use `service`"),
    ("yum", "`package` installs with whatever package manager the host has, where it is supported"),
    ("yum_repository", "write the .repo file below /etc/yum.repos.d with `copy`"),
];

/// Each collection and the short names that ansible-core finds in it: `plugin_routing` of its `config/ansible_builtin_runtime.yml`, 2.19.
const ROUTED: &str = include_str!("routed.txt");

/// `community.general.ufw` → its collection, and its name there. Builtins have none.
fn of_collection(name: &str) -> Option<(&str, &str)> {
    let (collection, last) = short(name).rsplit_once('.')?;
    collection.contains('.').then_some((collection, last))
}

/// Where ansible-core finds a short name.
fn routed(name: &str) -> Option<&'static str> {
    let line = ROUTED.lines().find(|line| line.split(' ').skip(1).any(|routed| routed == name))?;
    line.split(' ').next()
}

/// Modules of a collection that are here, by their names in it.
fn present(collection: &str) -> Vec<&'static str> {
    let names = module::MODULES.iter().flat_map(|entry| entry.names.iter().copied());
    names.filter_map(|name| name.strip_prefix(collection)?.strip_prefix('.')).collect()
}

/// A name of ours that a name in a collection is a slip of. Which modules a collection has is known of a part only.
pub fn near_in_collection(name: &str) -> Option<String> {
    let (collection, last) = of_collection(name).filter(|(collection, last)| routed(last) != Some(collection))?;
    suggest(last, present(collection)).map(|near| format!("{collection}.{near}"))
}

/// What to do instead of a module that Ansible has and we have not. `None`: it is ours, or nobody's.
pub fn instead(name: &str) -> Option<String> {
    if module::find(name).is_some() {
        return None;
    }
    if let Some((_, instead)) = ABSENT.iter().find(|(absent, _)| *absent == short(name)) {
        return Some((*instead).to_owned());
    }
    let collection = match of_collection(name) {
        Some((collection, _)) => Some(collection).filter(|_| near_in_collection(name).is_none()),
        None => routed(name),
    };
    collection.map(of)
}

fn of(collection: &str) -> String {
    match present(collection).as_slice() {
        [] => format!("modules of the collection {collection} are not there: `command` can do it"),
        names => format!("of the modules of the collection {collection} only {} are there: `command` can do it", names.join(", ")),
    }
}

/// The same below the keyword `collections`: what is neither ours, nor near to one of ours, is a module of theirs.
pub fn instead_in(name: &str, collections: &[String]) -> Option<String> {
    let ours = |name: &str| module::find(name).is_some();
    if ours(name) || (!name.contains('.') && collections.iter().any(|collection| ours(&format!("{collection}.{name}")))) {
        return None;
    }
    let theirs = || collections.iter().find(|collection| !["ansible.builtin", "ansible.legacy"].contains(&collection.as_str()));
    let names = || module::MODULES.iter().flat_map(|entry| entry.names.iter().copied());
    let unknown = |_: &&String| !name.contains('.') && suggest(name, names()).is_none();
    instead(name).or_else(|| theirs().filter(unknown).map(|collection| of(collection)))
}

/// A task with such a module.
pub struct Absent {
    task: Span,
    module: String,
    mistake: Diagnostic,
    /// Whose task it is: [`Context::place`].
    place: Arc<str>,
    /// It runs wherever its place is run.
    sure: bool,
}

/// Places that a warning names besides the one that it shows.
const SHOWN: usize = 8;

/// Whether a task, block or include may be left out by what stands in it: a condition, a loop over what may be nothing, the tag `never`.
pub fn may_be_left_out(entries: &[(Node, Node)]) -> bool {
    let may_be_nothing = |item: &Node| item.is_template() || item.is_null();
    entries.iter().any(|(key, value)| match key.text() {
        Some("when") => value.items().iter().any(|item| item.value() != Value::Bool(true)),
        Some("loop" | "with_items" | "with_list") => match &value.kind {
            NodeKind::List(items) => items.iter().all(may_be_nothing),
            _ => may_be_nothing(value),
        },
        Some("tags") => value.items().iter().any(|tag| tag.is_template() || tag.text() == Some("never")),
        Some(name) => name.starts_with("with_"),
        None => false,
    })
}

/// The same of a play or a role.
pub fn is_conditional(keywords: &Keywords) -> bool {
    let never = |tag: &Tree| match tag {
        Tree::Literal(Value::List(names)) => names.iter().any(|name| name.as_str() == Some("never")),
        Tree::Literal(name) => name.as_str() == Some("never"),
        _ => true,
    };
    !keywords.when.iter().all(|condition| condition.literal() == Some(&Value::Bool(true))) || keywords.tags.iter().any(never)
}

impl Loader<'_> {
    /// Notes a task whose module is not there. Answers what a host is told that reaches it.
    pub fn absent_task(&mut self, node: &Node, entries: &[(Node, Node)], action: &Action, context: &Context) -> Option<Mistake> {
        let name = action.name.clone();
        let instead = instead_in(&name, &context.collections)?;
        let message = format!("the module `{name}` is not supported yet");
        let carried = Mistake { message: format!("{message}: {instead}").into(), hint: None, span: action.key().span, is_of_text: false };
        self.absent.push(Absent {
            task: node.span,
            module: name,
            mistake: Diagnostic::at(action.key(), message).hint(instead),
            place: Arc::clone(&context.place),
            sure: !context.may_be_left_out && !context.handlers && !may_be_left_out(entries),
        });
        Some(carried)
    }

    /// Places that are run wherever these plays are.
    pub fn certain_places<'l>(&self, plays: impl Iterator<Item = &'l LoadedPlay>) -> BTreeSet<Arc<str>> {
        let mut certain: BTreeSet<Arc<str>> = BTreeSet::new();
        let mut open: Vec<Arc<str>> = plays.map(|play| Arc::clone(&play.owner)).collect();
        while let Some(place) = open.pop() {
            if certain.insert(Arc::clone(&place)) {
                open.extend(self.certain.get(&place).into_iter().flatten().cloned());
            }
        }
        certain
    }

    /// What is surely reached is a mistake; all else is told in one warning.
    pub fn tell_absent(&mut self, certain: &BTreeSet<Arc<str>>) {
        let all = std::mem::take(&mut self.absent).into_iter();
        let (mut surely, mut perhaps): (Vec<Absent>, Vec<Absent>) = all.partition(|task| task.sure && certain.contains(&task.place));
        surely.sort_by_key(|task| task.task);
        surely.dedup_by_key(|task| task.task);
        let told: BTreeSet<Span> = surely.iter().map(|task| task.task).collect();
        surely.into_iter().for_each(|task| self.mistake(task.mistake));
        perhaps.retain(|task| !told.contains(&task.task));
        perhaps.sort_by_key(|task| task.task);
        perhaps.dedup_by_key(|task| task.task);
        let Some(first) = perhaps.first() else { return };
        let names: BTreeSet<&str> = perhaps.iter().map(|task| task.module.as_str()).collect();
        let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
        let hint = match &perhaps[1..] {
            [] => "a host that does reach it fails there".to_owned(),
            others => {
                let shown: Vec<String> = others.iter().take(SHOWN).map(|task| self.files.sources.place(task.mistake.span)).collect();
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
