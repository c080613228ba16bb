//! Inventories in INI format.

use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;

use super::graph::{Graph, Owner};
use super::words::Word;
use super::{address, literal, words};
use crate::program::{Span, Template, Tree, Value, Variable};
use crate::source::{Diagnostic, Diagnostics, has_template};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Hosts,
    Children,
    Vars,
}

/// A group that is spoken of before it is declared.
struct Pending {
    span: Span,
    /// `Children`: as whose child; `Vars`: it was given variables.
    parents: Vec<String>,
    vars: bool,
}

/// The file that is read.
#[derive(Clone, Copy)]
pub(super) struct Origin<'file> {
    pub file: u32,
    pub name: &'file str,
    pub path: &'file Path,
    /// It was encrypted: its texts are secret.
    pub secret: bool,
}

/// Adds a file's hosts and groups.
pub(super) fn read(graph: &mut Graph, origin: Origin, text: &str, diagnostics: &mut Diagnostics) {
    let mut reader =
        Reader { graph, origin, diagnostics, group: "ungrouped".to_owned(), section: Section::Hosts, pending: IndexMap::new() };
    for (index, line) in text.lines().enumerate() {
        reader.line(index as u32 + 1, line);
    }
    reader.finish();
}

struct Reader<'out> {
    graph: &'out mut Graph,
    origin: Origin<'out>,
    diagnostics: &'out mut Diagnostics,
    group: String,
    section: Section,
    pending: IndexMap<String, Pending>,
}

impl Reader<'_> {
    fn line(&mut self, number: u32, whole: &str) {
        let line = whole.trim();
        if line.is_empty() || line.starts_with([';', '#']) {
            return;
        }
        let indentation = whole.chars().take_while(|letter| letter.is_whitespace()).count();
        let span = Span { file: self.origin.file, line: number, column: indentation as u32 + 1 };
        if let Some((group, section)) = header(line) {
            self.begin(group, section, span, line);
            return;
        }
        if line.starts_with('[') && !line.contains(']') {
            self.diagnostics.push(Diagnostic::error("a section that is not closed", span, width(line)).label(format!("write `{line}]`")));
            return;
        }
        if line.starts_with('[') && line.ends_with(']') {
            let hint = "no blanks inside: `[group]`, `[group:children]` or `[group:vars]`";
            self.diagnostics.push(Diagnostic::error(format!("`{line}` is no section"), span, width(line)).hint(hint));
            return;
        }
        match self.section {
            Section::Hosts => self.hosts(line, span),
            Section::Vars => self.variable(line, span),
            Section::Children => self.child(line, span),
        }
    }

    fn begin(&mut self, group: &str, section: Option<&str>, span: Span, line: &str) {
        group.clone_into(&mut self.group);
        self.section = match section {
            None | Some("hosts") => Section::Hosts,
            Some("children") => Section::Children,
            Some("vars") => Section::Vars,
            Some(other) => {
                let start = line.find(':').map_or(0, |colon| colon + 1);
                let place = Span { column: span.column + width(&line[..start]), ..span };
                let mistake = Diagnostic::error(format!("`{other}` is no kind of section"), place, width(other))
                    .label("the kinds are `hosts`, `children` and `vars`")
                    .suggest(other, ["hosts", "children", "vars"]);
                self.diagnostics.push(mistake);
                // What follows is no host, and the group is not held to be undeclared on top of it.
                self.section = Section::Vars;
                self.graph.add_group(group, span);
                return;
            }
        };
        if !self.graph.has_group(group) {
            if self.section == Section::Vars && !self.pending.contains_key(group) {
                let place = Span { column: span.column + 1, ..span };
                self.pending.insert(group.to_owned(), Pending { span: place, parents: Vec::new(), vars: true });
            }
            self.graph.add_group(group, Span { column: span.column + 1, ..span });
        }
        if self.section != Section::Vars
            && let Some(pending) = self.pending.shift_remove(group)
        {
            for parent in pending.parents {
                self.below(&parent, group, pending.span);
            }
        }
    }

    fn below(&mut self, parent: &str, child: &str, span: Span) {
        if let Err(diagnostic) = self.graph.add_child(parent, child, span, width(child)) {
            self.diagnostics.push(*diagnostic);
        }
    }

    fn child(&mut self, line: &str, span: Span) {
        let child = line.split('#').next().unwrap_or_default().trim();
        if child.contains(|letter: char| letter.is_whitespace() || letter == ':' || letter == ']') {
            self.diagnostics.push(
                Diagnostic::error("a line of `:children` is the name of one group", span, width(child))
                    .hint("variables of a group stand in its section `[group:vars]`"),
            );
            return;
        }
        // `[g:vars]` alone makes no group; it is still to be declared.
        if self.graph.has_group(child) && !self.pending.get(child).is_some_and(|pending| pending.vars) {
            let group = self.group.clone();
            self.below(&group, child, span);
        } else {
            let pending = self.pending.entry(child.to_owned()).or_insert(Pending { span, parents: Vec::new(), vars: false });
            pending.parents.push(self.group.clone());
        }
    }

    fn variable(&mut self, line: &str, span: Span) {
        let Some((name, value)) = line.split_once('=') else {
            self.diagnostics.push(Diagnostic::error("a line of `:vars` is `name=value`", span, width(line)));
            return;
        };
        let start = name.len() + 1 + (value.len() - value.trim_start().len());
        let place = Span { column: span.column + width(&line[..start.min(line.len())]), ..span };
        let value = typed(value.trim(), place, self.origin.secret);
        let variable = Variable { name: name.trim().into(), value: Arc::new(value), span };
        let group = self.group.clone();
        if let Some(diagnostic) = bad_priority(&variable) {
            self.diagnostics.push(diagnostic);
        }
        self.graph.set(Owner::Group(&group), self.origin.name, variable);
    }

    fn hosts(&mut self, line: &str, span: Span) {
        let words = match words::split(line) {
            Ok(words) => words,
            Err((column, phrase)) => {
                self.diagnostics.push(Diagnostic::error(phrase, Span { column: span.column + column as u32, ..span }, 1));
                return;
            }
        };
        let Some((host, variables)) = words.split_first() else { return };
        let (names, port) = match address::expand(&host.text) {
            Ok(expanded) => expanded,
            Err(phrase) => {
                self.diagnostics.push(Diagnostic::error(phrase, span, width(&host.text)));
                return;
            }
        };
        if host.text == "---" {
            self.diagnostics
                .push(Diagnostic::error("`---` begins YAML, and this inventory is read as INI", span, 3).hint("name the file `.yml`"));
            return;
        }
        let group = self.group.clone();
        for name in &names {
            self.graph.add_host(name, &group, port, span, Some(self.origin.path));
        }
        for word in variables {
            let place = |column: usize| Span { column: span.column + column as u32, ..span };
            let Some((name, value)) = word.text.split_once('=') else {
                let start = word.columns.first().copied().unwrap_or(0);
                let mut mistake =
                    Diagnostic::error(format!("`{}` is neither a host nor `name=value`", word.text), place(start), width(&word.text));
                if self.pending.contains_key(&word.text) || names.len() == 1 && address::parse(&word.text).is_some() {
                    mistake = mistake.label("one host a line; what follows it are its variables");
                }
                self.diagnostics.push(mistake);
                continue;
            };
            let value = Arc::new(typed(value, place(word.column(name.len() + 1)), self.origin.secret));
            let variable = Variable { name: name.into(), value, span: place(first_column(word)) };
            for host in &names {
                self.graph.set(Owner::Host(host), self.origin.name, variable.clone());
            }
        }
    }

    fn finish(self) {
        for (name, pending) in &self.pending {
            let known: Vec<&str> = self.graph.group_names().filter(|group| *group != name).collect();
            let message = if pending.vars {
                format!("variables for the group `{name}`, which is not declared")
            } else {
                format!("the group `{name}` is a child of `{}`, and is not declared", pending.parents.join("`, `"))
            };
            let mistake =
                Diagnostic::error(message, pending.span, width(name)).hint(format!("declare it: a line `[{name}]`, with hosts or without"));
            self.diagnostics.push(mistake.suggest(name, known));
        }
    }
}

fn first_column(word: &Word) -> usize {
    word.columns.first().copied().unwrap_or(0)
}

fn width(text: &str) -> u32 {
    text.chars().count() as u32
}

/// `[group]`, `[group:kind]`, and a comment behind it.
fn header(line: &str) -> Option<(&str, Option<&str>)> {
    let (inner, rest) = line.strip_prefix('[')?.split_once(']')?;
    let rest = rest.trim_start();
    if !rest.is_empty() && !rest.starts_with('#') {
        return None;
    }
    let (group, kind) = inner.split_once(':').map_or((inner, None), |(group, kind)| (group, Some(kind)));
    let plain = !group.is_empty() && !group.contains(char::is_whitespace);
    let word = kind.is_none_or(|kind| !kind.is_empty() && kind.chars().all(|letter| letter.is_alphanumeric() || letter == '_'));
    (plain && word).then_some((group, kind))
}

/// A value as Python reads it, a text where it is no literal; texts with Jinja2 are templates.
fn typed(text: &str, span: Span, secret: bool) -> Tree {
    let value = literal::parse(text).unwrap_or_else(|| Value::text(text));
    // The place of a text in quotes is behind the quote.
    let quoted = text.starts_with(['\'', '"']) && matches!(value, Value::Text(_));
    let value = if secret { value.into_secret() } else { value };
    templated(value, if quoted { Span { column: span.column + 1, ..span } } else { span }).folded()
}

/// Templates in a value; their place is the value's.
pub(super) fn templated(value: Value, span: Span) -> Tree {
    match value {
        Value::Text(text) if has_template(text.as_str()) => Tree::Template(Template { source: text.shared(), span }),
        Value::List(items) => Tree::List(items.iter().map(|item| templated(item.clone(), span)).collect()),
        Value::Map(map) => Tree::Map(map.iter().map(|(key, value)| (Tree::Literal(key.value()), templated(value.clone(), span))).collect()),
        other => Tree::Literal(other),
    }
}

/// `ansible_group_priority` must be a number.
pub(super) fn bad_priority(variable: &Variable) -> Option<Diagnostic> {
    let wrong = &*variable.name == "ansible_group_priority"
        && !matches!(variable.value.literal(), Some(Value::Int(_)))
        && variable.value.literal().and_then(Value::as_str).is_none_or(|text| text.trim().parse::<i64>().is_err());
    wrong.then(|| Diagnostic::error("`ansible_group_priority` must be a whole number", variable.span, width(&variable.name)))
}
