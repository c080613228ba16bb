//! `--tags`, `--skip-tags`, `--start-at-task`, and shell patterns.

use std::sync::Arc;

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

/// fnmatch(3) over `*`, `?` and `[…]`.
pub fn glob(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    matches(&pattern, &text)
}

/// Only the last `*` is ever taken back: the time is the product of both lengths at most.
fn matches(pattern: &[char], text: &[char]) -> bool {
    let (mut at, mut letter) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while letter < text.len() {
        if pattern.get(at) == Some(&'*') {
            at += 1;
            star = Some((at, letter));
        } else if let Some(length) = one(&pattern[at..], text[letter]) {
            at += length;
            letter += 1;
        } else if let Some((behind, from)) = star {
            (at, letter) = (behind, from + 1);
            star = Some((behind, letter));
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|left| *left == '*')
}

/// How much of the pattern the letter takes; `None` where it does not match.
fn one(pattern: &[char], letter: char) -> Option<usize> {
    let (first, rest) = pattern.split_first()?;
    match (first, rest.iter().skip(1).position(|letter| *letter == ']')) {
        ('?', _) => Some(1),
        ('[', Some(end)) => {
            let set = &rest[..=end];
            let (negated, set) = match set.split_first() {
                Some(('!' | '^', set)) => (true, set),
                _ => (false, set),
            };
            let mut found = false;
            let mut index = 0;
            while index < set.len() {
                if index + 2 < set.len() && set[index + 1] == '-' {
                    found |= (set[index]..=set[index + 2]).contains(&letter);
                    index += 3;
                } else {
                    found |= set[index] == letter;
                    index += 1;
                }
            }
            (found != negated).then_some(end + 3)
        }
        (plain, _) => (*plain == letter).then_some(1),
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

    #[test]
    fn many_stars_end_soon() {
        let text = "a".repeat(2000);
        assert!(glob(&"*a".repeat(30), &text));
        assert!(!glob(&format!("{}b", "*a".repeat(30)), &text));
    }

    #[test]
    fn patterns_match_as_the_shell_does() {
        for (pattern, text, expected) in [
            ("*.conf", "a.conf", true),
            ("[a-c]?", "b1", true),
            ("[!a]x", "ax", false),
            ("[!a]x", "bx", true),
            ("a*b*c", "axxbyyc", true),
            ("[", "[", true),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }
}
