//! `--list-tasks`, `--list-tags`, `--list-hosts`: what a run would do, in Ansible's form.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::compile::{Compiled, PlaySummary};
use super::play::text_of;
use crate::program::{Block, Include, Included, Keywords, Settings, Step, Tree};

/// What is to be listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    pub hosts: bool,
    pub tasks: bool,
    pub tags: bool,
}

/// The listing. `names`: the playbooks as the command line named them, in its order.
pub fn list(compiled: &Compiled, names: &[(PathBuf, String)], settings: &Settings, lists: Lists) -> String {
    let mut out = String::new();
    let selection = Selection::new(settings, lists.tags);
    for (path, name) in names {
        let _ = writeln!(out, "\nplaybook: {name}");
        for (index, play) in compiled.plays.iter().filter(|play| play.playbook == *path).enumerate() {
            out.push_str(&one_play(index + 1, play, &selection, lists));
        }
    }
    out
}

fn one_play(number: usize, summary: &PlaySummary, selection: &Selection, lists: Lists) -> String {
    let play = &summary.play;
    let own: BTreeSet<String> = tags_of(&play.keywords);
    let mut out = format!("\n  play #{number} ({}): {}\tTAGS: [{}]\n", summary.pattern, summary.name, joined(&own, ","));
    if lists.hosts {
        let _ = write!(out, "    pattern: ['{}']\n    hosts ({}):", summary.pattern.replace(',', "', '"), play.hosts.len());
        for host in play.hosts.iter() {
            let _ = write!(out, "\n      {host}");
        }
        out.push('\n');
    }
    if !lists.tasks && !lists.tags {
        return out;
    }
    let mut lines = Vec::new();
    for section in [&play.pre_tasks, &play.roles, &play.tasks, &play.post_tasks] {
        steps(section, None, &own, selection, &mut lines);
    }
    if lists.tasks {
        out.push_str("    tasks:\n");
        for (name, tags) in &lines {
            let _ = writeln!(out, "      {name}\tTAGS: [{}]", joined(tags, ", "));
        }
    }
    if lists.tags {
        let mut all = own;
        lines.iter().for_each(|(_, tags)| all.extend(tags.iter().cloned()));
        let _ = writeln!(out, "      TASK TAGS: [{}]", joined(&all, ", "));
    }
    out
}

fn joined(tags: &BTreeSet<String>, separator: &str) -> String {
    tags.iter().map(String::as_str).collect::<Vec<_>>().join(separator)
}

fn tags_of(keywords: &Keywords) -> BTreeSet<String> {
    keywords
        .tags
        .iter()
        .map(|tree| match tree {
            Tree::Literal(value) => crate::module::arguments::text(value).unwrap_or_default(),
            Tree::Template(template) | Tree::Expression(template) => template.source.to_string(),
            _ => String::new(),
        })
        .collect()
}

fn steps(list: &[Step], role: Option<&str>, around: &BTreeSet<String>, selection: &Selection, lines: &mut Vec<(String, BTreeSet<String>)>) {
    for step in list {
        match step {
            Step::Block(block) => {
                let tags = with(around, &block.keywords);
                let role = inner_role(block).or(role);
                // As Ansible lists: neither `rescue` nor `always`.
                steps(&block.block, role, &tags, selection, lines);
            }
            Step::Task(task) => {
                let tags = with(around, &task.keywords);
                if selection.takes(&tags) {
                    lines.push((named(role, shown(task.name.as_ref()), || task.module_as_written.to_string()), tags));
                }
            }
            Step::Include(include) => {
                let tags = with(around, &include.keywords);
                if selection.takes(&tags) {
                    lines.push((named(role, shown(include.name.as_ref()), || include_name(include)), tags));
                }
            }
        }
    }
}

fn inner_role(block: &Block) -> Option<&str> {
    block.role.as_ref().map(|role| &*role.name)
}

fn with(around: &BTreeSet<String>, keywords: &Keywords) -> BTreeSet<String> {
    let mut tags = around.clone();
    tags.extend(tags_of(keywords));
    tags
}

fn named(role: Option<&str>, name: Option<&str>, action: impl Fn() -> String) -> String {
    match (role, name.filter(|name| !name.is_empty())) {
        (Some(role), Some(name)) => format!("{role} : {name}"),
        (None, Some(name)) => name.to_owned(),
        (_, None) => action(),
    }
}

/// A name, a template as it was written.
fn shown(name: Option<&Tree>) -> Option<&str> {
    match name {
        Some(Tree::Template(template)) => Some(&template.source),
        other => text_of(other),
    }
}

fn include_name(include: &Include) -> String {
    match &include.what {
        Included::Tasks(_) => "include_tasks".to_owned(),
        Included::Role { .. } => "include_role".to_owned(),
    }
}

/// `--tags` and `--skip-tags`.
struct Selection {
    only: BTreeSet<String>,
    skip: BTreeSet<String>,
}

impl Selection {
    fn new(settings: &Settings, list_tags: bool) -> Self {
        let words = |words: &[std::sync::Arc<str>]| words.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
        let (mut only, skip) = (words(&settings.tags), words(&settings.skip_tags));
        if only.is_empty() {
            only.insert("all".to_owned());
            // Ansible lists tags of tasks that never run, too.
            if list_tags && skip.is_empty() {
                only.insert("never".to_owned());
            }
        }
        Self { only, skip }
    }

    /// Source: `Taggable.evaluate_tags` of ansible-core 2.19.
    fn takes(&self, tags: &BTreeSet<String>) -> bool {
        let untagged = tags.is_empty();
        let has = |tag: &str| tags.contains(tag) || (untagged && tag == "untagged");
        let any = |of: &BTreeSet<String>| of.iter().any(|tag| has(tag));
        let run = has("always")
            || (self.only.contains("all") && !has("never"))
            || any(&self.only)
            || (self.only.contains("tagged") && !untagged && !has("never"));
        let skipped = if self.skip.contains("all") {
            !has("always") || self.skip.contains("always")
        } else {
            any(&self.skip) || (self.skip.contains("tagged") && !untagged)
        };
        run && !skipped
    }
}
