//! `--tags`, `--skip-tags`, and shell patterns.

use std::sync::Arc;

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

/// fnmatch(3) over `*`, `?` and `[…]`.
pub fn glob(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    matches(&pattern, &text)
}

fn matches(pattern: &[char], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('*', rest)) => (0..=text.len()).any(|skip| matches(rest, &text[skip..])),
        Some(('?', rest)) => !text.is_empty() && matches(rest, &text[1..]),
        Some(('[', rest)) => match (rest.iter().skip(1).position(|letter| *letter == ']'), text.split_first()) {
            (Some(end), Some((letter, after))) => {
                let set = &rest[..=end];
                let (negated, set) = match set.split_first() {
                    Some(('!' | '^', set)) => (true, set),
                    _ => (false, set),
                };
                let mut found = false;
                let mut index = 0;
                while index < set.len() {
                    if index + 2 < set.len() && set[index + 1] == '-' {
                        found |= (set[index]..=set[index + 2]).contains(letter);
                        index += 3;
                    } else {
                        found |= set[index] == *letter;
                        index += 1;
                    }
                }
                found != negated && matches(&rest[end + 2..], after)
            }
            _ => text.first() == Some(&'[') && matches(rest, &text[1..]),
        },
        Some((letter, rest)) => text.first() == Some(letter) && matches(rest, &text[1..]),
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
