//! `.helmignore`, and patterns of file names.
//!
//! Source: helm 4 pkg/ignore/rules.go. The first rule that matches decides; a rule with `!` ignores what it does not match.

use fancy_regex::Regex;

/// The rules of a chart, in order.
#[derive(Debug)]
pub struct Rules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    negate: bool,
    only_folders: bool,
    /// Only the last part of the path is looked at.
    by_name: bool,
    pattern: Regex,
}

impl Rules {
    /// The rules of a file's text, and Helm's own: hidden files in `templates/` are none. The error is the number of a line from 1 on
    /// and what is wrong with it.
    pub fn read(text: &str) -> Result<Self, (usize, &'static str)> {
        let mut rules = Vec::new();
        for (index, line) in text.trim_start_matches('\u{feff}').lines().chain(["templates/.?*"]).enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if line.contains("**") {
                return Err((index + 1, "`**` is not known in .helmignore"));
            }
            let (negate, line) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest));
            let (only_folders, line) = line.strip_suffix('/').map_or((false, line), |rest| (true, rest));
            let pattern = glob(line.strip_prefix('/').unwrap_or(line), false).ok_or((index + 1, "a pattern that is not closed"))?;
            rules.push(Rule { negate, only_folders, by_name: !line.contains('/'), pattern });
        }
        Ok(Self(rules))
    }

    /// Whether a path, relative to the chart and with `/`, is left out.
    pub fn ignores(&self, path: &str, is_folder: bool) -> bool {
        for rule in &self.0 {
            let name = if rule.by_name { path.rsplit('/').next().unwrap_or(path) } else { path };
            let matches = rule.pattern.is_match(name).unwrap_or(false);
            if rule.negate {
                if (rule.only_folders && !is_folder) || !matches {
                    return true;
                }
            } else if matches && (is_folder || !rule.only_folders) {
                return true;
            }
        }
        false
    }
}

/// A pattern as Go's `filepath.Match` has it; with `deep`, `**` crosses folders and `{a,b}` chooses, as in `.Files.Glob`.
/// `None` where a bracket is not closed.
pub fn glob(pattern: &str, deep: bool) -> Option<Regex> {
    let mut out = "^".to_owned();
    let mut letters = pattern.chars().peekable();
    let mut braces = 0;
    while let Some(letter) = letters.next() {
        match letter {
            '*' if deep && letters.next_if_eq(&'*').is_some() => out.push_str(".*"),
            '*' => out.push_str("[^/]*"),
            '?' => out.push_str("[^/]"),
            '[' => {
                let mut class = String::new();
                loop {
                    match letters.next()? {
                        ']' if !class.is_empty() => break,
                        '\\' => class.extend(['\\', letters.next()?]),
                        inner @ ('[' | '&' | '~') => class.extend(['\\', inner]),
                        inner => class.push(inner),
                    }
                }
                let class = class.strip_prefix('!').map_or(class.clone(), |rest| format!("^{rest}"));
                out.extend(["[", &class, "]"]);
            }
            '{' if deep => {
                braces += 1;
                out.push_str("(?:");
            }
            '}' if deep && braces > 0 => {
                braces -= 1;
                out.push(')');
            }
            ',' if braces > 0 => out.push('|'),
            '\\' => out.push_str(&fancy_regex::escape(&letters.next()?.to_string())),
            other => out.push_str(&fancy_regex::escape(&other.to_string())),
        }
    }
    out.push('$');
    if braces > 0 {
        return None;
    }
    Regex::new(&format!("(?s){out}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_leave_out_what_helm_leaves_out() {
        let rules = Rules::read("# no\n*.bak\n.git/\n/root.txt\nsub/x?.md\n").expect("rules");
        for (path, folder, expected) in [
            ("a.bak", false, true),
            ("deep/a.bak", false, true),
            (".git", true, true),
            (".git", false, false),
            ("root.txt", false, true),
            ("sub/root.txt", false, false),
            ("sub/x1.md", false, true),
            ("x1.md", false, false),
            ("templates/.hidden", false, true),
            ("values.yaml", false, false),
        ] {
            assert_eq!(rules.ignores(path, folder), expected, "{path}");
        }
        assert_eq!(Rules::read("a\n**/b").expect_err("refused").0, 2);
        assert!(Rules::read("[a").is_err());
    }

    #[test]
    fn deep_patterns_cross_folders() {
        let matches = |pattern: &str, path: &str| glob(pattern, true).expect("a pattern").is_match(path).expect("matched");
        assert!(matches("config/**", "config/a/b.yaml") && matches("*.{yaml,json}", "a.json") && matches("[!a]?", "bc"));
        assert!(!matches("config/*", "config/a/b.yaml") && !matches("a.c", "abc"));
    }
}
