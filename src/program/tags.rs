//! `--tags`, `--skip-tags`, `--start-at-task`.

use std::sync::Arc;

use super::glob::glob;
use super::{Tree, Value};

/// Ansible's rule: which tasks a choice of tags takes.
pub fn takes(tags: &[String], only: &[Arc<str>], skip: &[Arc<str>]) -> bool {
    let has = |tag: &str| if tags.is_empty() { tag == "untagged" } else { tags.iter().any(|own| own == tag) };
    let in_list = |list: &[Arc<str>], tag: &str| list.iter().any(|own| **own == *tag);
    let shares = |list: &[Arc<str>]| list.iter().any(|tag| has(tag));
    let all = only.is_empty() || in_list(only, "all");
    let taken = has("always") || (all && !has("never")) || shares(only) || (in_list(only, "tagged") && !tags.is_empty() && !has("never"));
    if !taken || skip.is_empty() {
        return taken;
    }
    if in_list(skip, "all") {
        return has("always") && !in_list(skip, "always");
    }
    !(shares(skip) || (in_list(skip, "tagged") && !tags.is_empty()))
}

/// A name as it is written, templates unevaluated.
pub fn written(name: &Tree) -> Option<&str> {
    match name {
        Tree::Template(template) | Tree::Expression(template) => Some(&*template.source),
        name => name.literal().and_then(Value::as_str),
    }
}

/// Whether `--start-at-task` means the task: its name as it is written, or what Ansible calls a task without one, its module.
pub fn is_named(wanted: &str, name: Option<&Tree>, module: &str, role: Option<&str>) -> bool {
    let is = |name: &str| wanted == name || glob(wanted, name);
    let name = name.and_then(written);
    match role {
        Some(role) => name.is_some_and(is) || is(&format!("{role} : {}", name.unwrap_or(module))),
        None => is(name.unwrap_or(module)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_choose_as_ansible_does() {
        let list = |words: &[&str]| words.iter().map(|word| Arc::from(*word)).collect::<Vec<Arc<str>>>();
        let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
        let cases: &[(&[&str], &[&str], &[&str], bool)] = &[
            (&[], &[], &[], true),
            (&["never"], &[], &[], false),
            (&["never", "a"], &["a"], &[], true),
            (&["a"], &["b"], &[], false),
            (&["always"], &["b"], &[], true),
            (&[], &["untagged"], &[], true),
            (&["a"], &["tagged"], &[], true),
            (&[], &["tagged"], &[], false),
            (&["a"], &[], &["a"], false),
            (&["always"], &[], &["all"], true),
            (&["always"], &[], &["always"], false),
            (&["a"], &[], &["tagged"], false),
            (&[], &[], &["untagged"], false),
        ];
        for (tags, only, skip, expected) in cases {
            assert_eq!(takes(&own(tags), &list(only), &list(skip)), *expected, "{tags:?} only {only:?} skip {skip:?}");
        }
    }
}
