//! What a template that names a file may become: its literal parts, with `*` where a value is not known.

use crate::program::{Loop, Tree, Value};

/// A name as far as it is known: `setup-*.yml`. `*` stands for anything, slashes too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// Literal parts; between each two of them is a hole.
    parts: Vec<String>,
    /// Made of a variable's value that the run may have replaced: it need not be there.
    guess: bool,
}

/// What an expression of a name may be, as far as it is known beforehand; nothing: anything.
pub type Known<'known> = &'known dyn Fn(&str) -> Vec<Pattern>;

/// Nothing is known.
pub const NOTHING: Known<'static> = &|_| Vec::new();

impl Pattern {
    pub fn literal(text: &str) -> Self {
        Self { parts: vec![text.to_owned()], guess: false }
    }

    /// Anything.
    pub fn hole() -> Self {
        Self { parts: vec![String::new(), String::new()], guess: false }
    }

    #[must_use]
    pub fn guessed(self) -> Self {
        Self { guess: true, ..self }
    }

    pub fn is_guess(&self) -> bool {
        self.guess
    }

    /// The whole name, if it has no hole.
    pub fn exact(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [whole] => Some(whole),
            _ => None,
        }
    }

    /// Whether nothing of it is known but an extension.
    pub fn is_open(&self) -> bool {
        self.exact().is_none() && self.parts.iter().all(|part| part.is_empty() || part == ".yml" || part == ".yaml" || part == ".j2")
    }

    /// Whether nothing is known of its beginning.
    pub fn is_hole_first(&self) -> bool {
        self.exact().is_none() && self.parts.first().is_some_and(String::is_empty)
    }

    pub fn matches(&self, name: &str) -> bool {
        let Some((first, rest)) = self.parts.split_first() else { return false };
        let Some(mut name) = name.strip_prefix(first.as_str()) else { return false };
        let Some((last, middle)) = rest.split_last() else { return name.is_empty() };
        for part in middle {
            let Some(position) = name.find(part.as_str()) else { return false };
            name = &name[position + part.len()..];
        }
        name.ends_with(last.as_str())
    }

    /// This, and the other after it.
    fn joined(&self, other: &Self) -> Self {
        let mut joined = self.clone();
        let (first, rest) = other.parts.split_first().expect("a pattern has a part");
        joined.parts.last_mut().expect("a pattern has a part").push_str(first);
        joined.parts.extend(rest.iter().cloned());
        joined.guess |= other.guess;
        joined
    }

    /// Whether a folder is written in it.
    pub fn has_folder(&self) -> bool {
        self.parts.iter().any(|part| part.contains('/'))
    }

    /// As shown to a user: `setup-*.yml`.
    pub fn shown(&self) -> String {
        self.parts.join("*")
    }

    /// Up to the first blank that is in no quotes: a program's name, where this is a line of a shell. What is not known has no blanks.
    #[must_use]
    pub fn first_word(&self) -> Self {
        let mut word = Self { parts: Vec::new(), guess: self.guess };
        let mut quote = None;
        for part in self.parts.iter().enumerate().map(|(index, part)| if index == 0 { part.trim_start() } else { part }) {
            let mut literal = String::new();
            let mut characters = part.chars();
            let is_over = loop {
                match characters.next() {
                    None => break false,
                    Some(character) if quote == Some(character) => quote = None,
                    Some(character @ ('"' | '\'')) if quote.is_none() => quote = Some(character),
                    Some('\\') if quote != Some('\'') => literal.extend(characters.next()),
                    Some(character) if quote.is_none() && character.is_whitespace() => break true,
                    Some(character) => literal.push(character),
                }
            };
            word.parts.push(literal);
            if is_over {
                break;
            }
        }
        word
    }

    /// The literal folder that all matches lie in, and the rest of the pattern.
    pub fn folder(&self) -> (&str, Self) {
        let first = self.parts.first().map_or("", String::as_str);
        let cut = first.rfind('/').map_or(0, |position| position + 1);
        let mut rest = self.clone();
        if let Some(part) = rest.parts.first_mut() {
            part.drain(..cut);
        }
        (&first[..cut], rest)
    }
}

/// All that the tree may become as a name: of a loop's items where the name is the loop's variable.
pub fn patterns(tree: &Tree, looping: Option<&Loop>) -> Vec<Pattern> {
    patterns_with(tree, looping, NOTHING)
}

/// The same where some expressions are known.
pub fn patterns_with(tree: &Tree, looping: Option<&Loop>, known: Known<'_>) -> Vec<Pattern> {
    let mut found = Vec::new();
    match tree {
        Tree::Literal(value) => texts(value, &mut found),
        Tree::Template(template) => found = of_text(&template.source, looping, known),
        Tree::Expression(_) => found.push(Pattern::hole()),
        Tree::List(items) => items.iter().for_each(|item| found.extend(patterns_with(item, looping, known))),
        Tree::Map(entries) => entries.iter().for_each(|(_, item)| found.extend(patterns_with(item, looping, known))),
    }
    let mut unique = Vec::new();
    for pattern in found {
        if !unique.contains(&pattern) {
            unique.push(pattern);
        }
    }
    unique
}

fn texts(value: &Value, found: &mut Vec<Pattern>) {
    match value {
        Value::Text(text) => found.push(Pattern::literal(text.as_str())),
        Value::Int(number) => found.push(Pattern::literal(&number.to_string())),
        Value::List(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Map(entries) => entries.values().for_each(|item| texts(item, found)),
        _ => {}
    }
}

fn of_text(source: &str, looping: Option<&Loop>, known: Known<'_>) -> Vec<Pattern> {
    if source.contains("{%") {
        return vec![Pattern::hole()];
    }
    let mut found = vec![Pattern::literal("")];
    let mut rest = source;
    while let Some(start) = rest.find("{{") {
        let Some(length) = rest[start..].find("}}") else { break };
        append(&mut found, &rest[..start]);
        let expression = rest[start + 2..start + length].trim_matches(['-', '+', ' ', '\n', '\t']);
        let mut values = looping.and_then(|looping| of_item(expression, looping, known)).unwrap_or_else(|| known(expression));
        if values.is_empty() {
            values.push(Pattern::hole());
        }
        found = found.iter().flat_map(|before| values.iter().map(|value| before.joined(value))).collect();
        rest = &rest[start + length + 2..];
    }
    append(&mut found, rest);
    found
}

fn append(found: &mut [Pattern], text: &str) {
    for pattern in found {
        pattern.parts.last_mut().expect("a pattern has a part").push_str(text);
    }
}

/// Values of the loop's variable, or of one member of it, where the items are written out.
fn of_item(expression: &str, looping: &Loop, known: Known<'_>) -> Option<Vec<Pattern>> {
    let name = match &looping.loop_var {
        None => "item",
        Some(Tree::Literal(value)) => value.as_str()?,
        Some(_) => return None,
    };
    let rest = expression.strip_prefix(name)?;
    let member = match rest {
        "" => None,
        _ => Some(rest.strip_prefix('.').or_else(|| rest.strip_prefix("['").and_then(|rest| rest.strip_suffix("']")))?),
    };
    if member.is_some_and(|member| !member.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())) {
        return None;
    }
    let items: Vec<Tree> = match &looping.items {
        Tree::Literal(Value::List(items)) => items.iter().cloned().map(Tree::Literal).collect(),
        Tree::List(items) => items.clone(),
        tree if looping.with.is_some() => vec![tree.clone()],
        _ => return None,
    };
    let mut values = Vec::new();
    for item in &items {
        match (member, looping.with.as_deref()) {
            (None, Some("first_found")) => values.extend(first_found(item, known)),
            (None, Some("fileglob")) => values.push(Pattern::hole()),
            (None, None | Some("items" | "list" | "flattened")) => values.extend(patterns_with(item, None, known)),
            (Some(member), None | Some("items" | "list" | "flattened")) => {
                let value = item.get(member)?;
                values.extend(patterns_with(&value, None, known));
            }
            _ => return None,
        }
    }
    (!values.is_empty()).then_some(values)
}

/// Names that `with_first_found` may give: its texts, or `files` in `paths`.
pub fn first_found(item: &Tree, known: Known<'_>) -> Vec<Pattern> {
    let list = |name: &str| -> Vec<Pattern> {
        item.get(name)
            .map(|tree| patterns_with(&tree, None, known))
            .unwrap_or_default()
            .into_iter()
            // A text is split at commas, semicolons and, for paths, colons.
            .flat_map(|pattern| match pattern.exact() {
                Some(text) => {
                    let parts = text.split([',', ';']).map(|part| Pattern::literal(part.trim()));
                    parts.map(|part| Pattern { guess: pattern.guess, ..part }).collect::<Vec<_>>()
                }
                None => vec![pattern],
            })
            .collect()
    };
    match item {
        Tree::Map(_) | Tree::Literal(Value::Map(_)) => {
            let (files, paths) = (list("files"), list("paths"));
            if paths.is_empty() {
                return files;
            }
            let mut joined = Vec::new();
            for path in &paths {
                for file in &files {
                    let slash = if path.parts.last().is_some_and(|last| last.ends_with('/')) { "" } else { "/" };
                    joined.push(path.joined(&Pattern::literal(slash)).joined(file));
                }
            }
            joined
        }
        Tree::List(items) => items.iter().flat_map(|item| first_found(item, known)).collect(),
        Tree::Literal(Value::List(items)) => items.iter().flat_map(|item| first_found(&Tree::Literal(item.clone()), known)).collect(),
        other => patterns_with(other, None, known),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::{Span, Template};

    fn template(text: &str) -> Tree {
        Tree::Template(Template { source: text.into(), span: Span::default() })
    }

    fn shown(tree: &Tree, looping: Option<&Loop>) -> Vec<String> {
        patterns(tree, looping).iter().map(Pattern::shown).collect()
    }

    fn over(with: Option<&str>, items: Tree) -> Loop {
        Loop { with: with.map(Into::into), ..Loop::over(items, Span::default()) }
    }

    #[test]
    fn holes_match_anything_between_the_known_parts() {
        let pattern = &patterns(&template("setup-{{ ansible_facts['os_family'] }}.yml"), None)[0];
        assert_eq!(pattern.shown(), "setup-*.yml");
        assert!(pattern.matches("setup-Debian.yml") && pattern.matches("setup-.yml"));
        assert!(!pattern.matches("setup.yml") && !pattern.matches("a-setup-x.yml"));
        assert!(!pattern.is_open() && patterns(&template("{{ x }}.yml"), None)[0].is_open());
    }

    #[test]
    fn a_line_of_a_shell_begins_with_a_program() {
        for (line, word) in [
            ("setup.sh a b", "setup.sh"),
            (" {{ item }}.sh a", "*.sh"),
            ("'my {{ x }} script.sh' a", "my * script.sh"),
            ("\"a \\\" b\".sh\tc", "a \" b.sh"),
            ("a\\ b 'c", "a b"),
            ("{{ x }} {{ y }}.sh", "*"),
            ("files/{{ x }}", "files/*"),
        ] {
            assert_eq!(patterns(&template(line), None)[0].first_word().shown(), word, "{line}");
        }
    }

    #[test]
    fn a_loop_over_written_items_gives_exact_names() {
        let looping = over(None, Tree::Literal(vec!["a", "b"].into()));
        assert_eq!(shown(&template("{{ item }}.yml"), Some(&looping)), ["a.yml", "b.yml"]);
        assert_eq!(
            shown(&template("{{ item.src }}"), Some(&over(None, Tree::Literal(vec![Value::map(crate::map! {"src" => "x"})].into())))),
            ["x"]
        );
        assert_eq!(shown(&template("{{ item }}"), Some(&over(None, template("{{ list }}")))), ["*"]);
    }

    #[test]
    fn first_found_joins_its_files_and_paths() {
        let items = Tree::List(vec![Tree::Map(vec![
            ("files".into_tree(), Tree::List(vec![template("{{ ansible_distribution }}.yml"), "default.yml".into_tree()])),
            ("paths".into_tree(), Tree::Literal(vec!["../vars"].into())),
        ])]);
        assert_eq!(shown(&template("{{ item }}"), Some(&over(Some("first_found"), items))), ["../vars/*.yml", "../vars/default.yml"]);
    }

    trait IntoTree {
        fn into_tree(self) -> Tree;
    }

    impl IntoTree for &str {
        fn into_tree(self) -> Tree {
            Tree::Literal(self.into())
        }
    }
}
