//! Hosts and groups that tasks add to the inventory in mid-run (`add_host`, `group_by`), as far as their names are known beforehand.

use super::possible::{Pattern, patterns};
use crate::program::Task;

/// The names that they may have.
#[derive(Debug, Default)]
pub struct Newcomers {
    names: Vec<Pattern>,
}

impl Newcomers {
    pub fn of<'task>(tasks: impl Iterator<Item = &'task Task>) -> Self {
        let mut newcomers = Self::default();
        for task in tasks {
            match &*task.module {
                // Spaces become dashes.
                "group_by" => newcomers.named(task, &["key"], &["key", "parents"], &|text| vec![text.replace(' ', "-")]),
                // A name may have its port with it, and a text be several groups.
                "add_host" => newcomers.named(
                    task,
                    &["name", "hostname", "host"],
                    &["name", "hostname", "host", "groupname", "groups", "group"],
                    &|text| {
                        text.split(',')
                            .map(str::trim)
                            .flat_map(|name| [Some(name), name.rsplit_once(':').map(|(name, _)| name)])
                            .flatten()
                            .map(str::to_owned)
                            .collect()
                    },
                ),
                _ => {}
            }
        }
        newcomers
    }

    /// What the arguments may name; without one that is needed the names come from where nobody sees them now.
    fn named(&mut self, task: &Task, needed: &[&str], names: &[&str], parts: &dyn Fn(&str) -> Vec<String>) {
        let given = || task.arguments.named.iter();
        if task.arguments.splat.is_some() || !given().any(|argument| needed.contains(&&*argument.name)) {
            self.names.push(Pattern::hole());
        }
        for argument in given().filter(|argument| names.contains(&&*argument.name)) {
            for pattern in patterns(&argument.value, task.looping.as_ref()) {
                match pattern.exact() {
                    Some(text) => self.names.extend(parts(text).iter().map(|name| Pattern::literal(name))),
                    // Where a blank, comma or colon is cut off is not known beside a hole.
                    None if pattern.shown().contains([' ', ',', ':']) => self.names.push(Pattern::hole()),
                    None => self.names.push(pattern),
                }
            }
        }
    }

    /// Whether there may be any.
    pub fn are_any(&self) -> bool {
        !self.names.is_empty()
    }

    /// Whether one of them may be what a part of `hosts:` names.
    pub fn may_be(&self, part: &str) -> bool {
        let is_index = |inner: &str| inner.chars().all(|letter| letter.is_ascii_digit() || ":-".contains(letter));
        let name = match part.strip_suffix(']').and_then(|rest| rest.split_once('[')) {
            Some((name, inner)) if is_index(inner) => name,
            _ => part,
        };
        let is_open = name.starts_with('~') || name.contains(['*', '?', '[']);
        if is_open { self.are_any() } else { self.names.iter().any(|pattern| pattern.matches(name)) }
    }
}
