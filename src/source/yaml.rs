//! YAML text → [`Node`]s with places: anchors, aliases, merge keys and duplicates as PyYAML and Ansible treat them.
//!
//! The events are saphyr's (YAML 1.2, strict); types are resolved later, as YAML 1.1 (see [`super::resolve`]). What libyaml,
//! and so Ansible, reads more liberally is mended in the text before it is given up (see [`super::lenient`]).

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span as Marks, Tag};

use super::lenient::Mended;
use super::lines::Lines;
use super::{Diagnostic, Diagnostics, Node, NodeKind, Scalar, Sources, explain};
use crate::program::{Key, Span};

/// How deep lists and mappings may nest: far above any user's file, far below the stack's end.
const DEPTH: usize = 100;
/// How many nodes a file's aliases may bring: "billion laughs" files end here.
const ALIASED: usize = 100_000;
/// Tags that Ansible's loader knows; PyYAML's own are the `!!` ones.
const TAGS: [&str; 3] = ["!vault", "!unsafe", "!vault-encrypted"];
const YAML_TAGS: [&str; 12] = [
    "!!str",
    "!!int",
    "!!float",
    "!!bool",
    "!!null",
    "!!binary",
    "!!seq",
    "!!map",
    "!!set",
    "!!timestamp",
    "!!python/unicode",
    "!!python/dict",
];

/// All documents of a text; a file that is empty has none. A syntax error is reported and gives none either.
pub fn parse(sources: &mut Sources, name: &str, path: &Path, text: &str, diagnostics: &mut Diagnostics) -> Vec<Node> {
    let file = sources.add(name, path, text);
    documents(sources, file, diagnostics).unwrap_or_default()
}

/// The one document of a file that was added; an empty file's is null. `None` after a syntax error, which is reported.
/// More than one document is a mistake, as it is for Ansible.
pub fn document(sources: &Sources, file: u32, diagnostics: &mut Diagnostics) -> Option<Node> {
    let mut documents = documents(sources, file, diagnostics)?.into_iter();
    let Some(first) = documents.next() else { return Some(null(Span { file, line: 1, column: 1 }, 1)) };
    if let Some(second) = documents.next() {
        diagnostics.push(
            Diagnostic::at(&second, "more than one YAML document in a file")
                .label("a second document begins here")
                .hint("remove the `---` line above it, or move it to a file of its own"),
        );
        return None;
    }
    Some(first)
}

/// All documents of a file that was added; `None` after a syntax error, which is reported.
pub fn documents(sources: &Sources, file: u32, diagnostics: &mut Diagnostics) -> Option<Vec<Node>> {
    let text = Arc::clone(&sources.file(file)?.text);
    if let Some(zero) = text.find('\0') {
        let before = &text[..zero];
        let line = before.matches('\n').count() as u32 + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() as u32 + 1;
        let mistake = Diagnostic::error("a zero byte: this is no text in UTF-8", Span { file, line, column }, 1);
        let utf_16 = text.matches('\0').count() > text.len() / 3;
        diagnostics.push(if utf_16 { mistake.hint("it looks like UTF-16: convert it with `iconv -f utf-16le -t utf-8`") } else { mistake });
        return None;
    }
    // JSON is read as YAML; its tabs, which YAML forbids in places, are spaces to it (inside strings it has none).
    let json = text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
    let text = if json && text.contains('\t') { text.replace('\t', " ").into() } else { text };
    let text = if json { whole_characters(&text).map_or(text, Arc::from) } else { text };
    let mut mended = Mended::new(&text);
    let mut first: Option<explain::Slipped> = None;
    loop {
        let mut found = Diagnostics::default();
        match attempt(file, &mended, json, &mut found) {
            Ok(documents) => {
                diagnostics.extend(found);
                return Some(documents);
            }
            Err(None) => {
                diagnostics.extend(found);
                return None;
            }
            Err(Some(slipped)) => {
                if mended.mend(&slipped) {
                    first.get_or_insert(slipped);
                    continue;
                }
                // A bracket that is never closed slips first on the line below it: that is where to look.
                let slipped = first.filter(|first| first.open.is_some() && first.open == slipped.open).unwrap_or(slipped);
                diagnostics.push(explain::syntax(&Lines::new(&text), file, &slipped));
                return None;
            }
        }
    }
}

/// JSON's `\ud83d\ude00` as YAML's `\U0001f600`; `None` where there is none. (Places behind it on its line are two columns early.)
fn whole_characters(text: &str) -> Option<String> {
    let half = |at: usize, range: std::ops::Range<u32>| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u32::from_str_radix(digits, 16).ok().filter(|code| range.contains(code))
    };
    let mut out = String::new();
    let mut done = 0;
    let mut from = 0;
    while let Some(at) = text[from..].find('\\').map(|at| from + at) {
        match (half(at, 0xd800..0xdc00), half(at + 6, 0xdc00..0xe000)) {
            (Some(high), Some(low)) => {
                let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                out.push_str(&text[done..at]);
                let _ = write!(out, "\\U{code:08x}");
                done = at + 12;
                from = done;
            }
            // A backslash escapes what follows it: `\\\\ud83d` is none.
            _ => from = (at + 2).min(text.len()),
        }
        if !text.is_char_boundary(from) {
            from += 1;
            while !text.is_char_boundary(from) {
                from += 1;
            }
        }
    }
    (done > 0).then(|| out + &text[done..])
}

/// Parses the text as it is mended so far. The error is a slip of the syntax, or `None` for a mistake that was reported.
fn attempt(file: u32, mended: &Mended, json: bool, diagnostics: &mut Diagnostics) -> Result<Vec<Node>, Option<explain::Slipped>> {
    let text = mended.text();
    let lines = Lines::new(&text);
    let mut builder =
        Builder { file, lines, mended, json, open: Vec::new(), done: Vec::new(), anchors: HashMap::new(), aliased: 0, diagnostics };
    let mut parser = Parser::new_from_str(&text);
    while let Some(event) = parser.next_event() {
        match event {
            Ok((event, marks)) => builder.event(event, marks).map_err(|Stop| None)?,
            Err(error) => {
                let (line, column) = (error.marker().line(), error.marker().col());
                let column = column.saturating_sub(mended.shift(line));
                return Err(Some(explain::Slipped { line, column, info: error.info().to_owned(), open: builder.open_flow() }));
            }
        }
    }
    Ok(builder.done)
}

/// A null where nothing is written.
fn null(span: Span, width: u32) -> Node {
    let scalar = Scalar { text: "".into(), plain: true, content: span, indent: 0 };
    Node { span, width, tag: None, kind: NodeKind::Scalar(scalar) }
}

/// A fatal mistake was reported.
struct Stop;

struct Builder<'text, 'out> {
    file: u32,
    lines: Lines<'text>,
    mended: &'text Mended<'text>,
    json: bool,
    open: Vec<Open>,
    done: Vec<Node>,
    /// `None`: the anchored node is not complete yet. The number counts the nodes inside.
    anchors: HashMap<usize, Option<(Node, usize)>>,
    aliased: usize,
    diagnostics: &'out mut Diagnostics,
}

/// A collection whose end has not come yet.
struct Open {
    start: Marker,
    tag: Option<Arc<str>>,
    anchor: usize,
    list: bool,
    /// Items of a list; keys and values in turn of a mapping.
    nodes: Vec<Node>,
    /// Nodes inside, aliases expanded.
    count: usize,
}

impl Builder<'_, '_> {
    fn event(&mut self, event: Event, marks: Marks) -> Result<(), Stop> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tag = self.tag(tag.as_deref(), marks)?;
                let node = self.scalar(&text, style, tag, marks);
                self.close(node, anchor, 1);
            }
            Event::SequenceStart(anchor, tag) => self.start(true, anchor, tag.as_deref(), marks)?,
            Event::MappingStart(anchor, tag) => self.start(false, anchor, tag.as_deref(), marks)?,
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    let (anchor, count) = (open.anchor, open.count + 1);
                    let node = self.collection(open, marks)?;
                    self.close(node, anchor, count);
                }
            }
            Event::Alias(anchor) => self.alias(anchor, marks)?,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {}
        }
        Ok(())
    }

    /// The innermost bracket or brace that is not closed yet.
    fn open_flow(&self) -> Option<Span> {
        let open = self.open.last()?;
        let (line, column) = self.lines.skip_properties(open.start.line(), open.start.col());
        matches!(self.lines.at(line, column), Some('{' | '[')).then(|| self.at(line, column))
    }

    fn span(&self, marks: Marks) -> Span {
        self.at(marks.start.line(), marks.start.col())
    }

    /// The place in the user's text.
    fn at(&self, line: usize, column: usize) -> Span {
        Span { file: self.file, line: line as u32, column: column.saturating_sub(self.mended.shift(line)) as u32 + 1 }
    }

    /// Characters from the start to the end, or to the end of the first line.
    fn width(&self, marks: Marks) -> u32 {
        let (start, end) = (marks.start, marks.end);
        let width = if start.line() == end.line() {
            end.col().saturating_sub(start.col())
        } else {
            self.lines.length(start.line()).saturating_sub(start.col())
        };
        (width as u32).max(1)
    }

    fn tag(&mut self, tag: Option<&Tag>, marks: Marks) -> Result<Option<Arc<str>>, Stop> {
        let Some(tag) = tag else { return Ok(None) };
        let name = if tag.handle == "tag:yaml.org,2002:" {
            format!("!!{}", tag.suffix)
        } else if tag.handle == "!" || tag.handle.is_empty() {
            format!("!{}", tag.suffix.trim_start_matches('!'))
        } else {
            format!("{}{}", tag.handle, tag.suffix)
        };
        let name = name.strip_prefix("!tag:yaml.org,2002:").map_or(name.clone(), |suffix| format!("!!{suffix}"));
        // libyaml resolves `! 12` as it does `12`.
        if name == "!" {
            return Ok(None);
        }
        if TAGS.contains(&name.as_str()) || YAML_TAGS.contains(&name.as_str()) {
            return Ok(Some(name.into()));
        }
        let span = self.span(marks);
        let shown = name.trim_start_matches('!');
        let known = TAGS.iter().chain(&YAML_TAGS).map(|tag| tag.trim_start_matches('!'));
        let near = super::suggest(shown, known);
        let label = near.and_then(|near| TAGS.iter().chain(&YAML_TAGS).find(|tag| tag.trim_start_matches('!') == near));
        let mut diagnostic = Diagnostic::error(format!("unknown tag `{name}`"), span, name.chars().count() as u32);
        diagnostic.label = label.map(|tag| format!("did you mean `{tag}`?"));
        if label.is_none() {
            diagnostic.label = Some(format!("for a text write \"{name}\"; the tags are `!vault` and `!unsafe`"));
        }
        self.diagnostics.push(diagnostic);
        Err(Stop)
    }

    fn scalar(&self, text: &str, style: ScalarStyle, tag: Option<Arc<str>>, marks: Marks) -> Node {
        let span = self.span(marks);
        let (line, column) = self.lines.skip_properties(marks.start.line(), marks.start.col());
        let at = |line: usize, column: usize| self.at(line, column);
        let mut tag = tag;
        let (content, indent) = match style {
            ScalarStyle::Plain => {
                // JSON's `1e3` is a number; YAML 1.1's is not.
                if self.json && tag.is_none() && text.contains(['e', 'E']) && text.parse::<f64>().is_ok() {
                    tag = Some("!!float".into());
                }
                (at(line, column), 0)
            }
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => (at(line, column + 1), 0),
            ScalarStyle::Literal | ScalarStyle::Folded => {
                // The event starts at the content's first line that is not blank, or at a tag before the `|`.
                let tagged = matches!(self.lines.at(marks.start.line(), marks.start.col()), Some('!' | '&')) && tag.is_some();
                let mut line = if tagged { line + 1 } else { line };
                if tagged {
                    while line < self.lines.count() && self.lines.text(line).trim().is_empty() {
                        line += 1;
                    }
                }
                let spaces = |text: &str| text.chars().take_while(|letter| *letter == ' ').count();
                let first = text.trim_start_matches('\n');
                let indent = spaces(self.lines.text(line)).saturating_sub(spaces(first));
                let blank = text.len() - first.len();
                (at(line.saturating_sub(blank).max(1), indent), indent as u32)
            }
        };
        let scalar = Scalar { text: text.into(), plain: style == ScalarStyle::Plain, content, indent };
        Node { span, width: self.width(marks), tag, kind: NodeKind::Scalar(scalar) }
    }

    fn start(&mut self, list: bool, anchor: usize, tag: Option<&Tag>, marks: Marks) -> Result<(), Stop> {
        let tag = self.tag(tag, marks)?;
        let span = self.span(marks);
        if self.open.len() >= DEPTH {
            self.diagnostics.push(Diagnostic::error(format!("lists and mappings nested more than {DEPTH} deep"), span, 1));
            return Err(Stop);
        }
        if anchor != 0 {
            self.anchors.insert(anchor, None);
        }
        self.open.push(Open { start: marks.start, tag, anchor, list, nodes: Vec::new(), count: 0 });
        Ok(())
    }

    fn alias(&mut self, anchor: usize, marks: Marks) -> Result<(), Stop> {
        let span = self.span(marks);
        let width = self.width(marks);
        let Some(Some((node, count))) = self.anchors.get(&anchor) else {
            self.diagnostics.push(Diagnostic::error("an alias inside of what it refers to", span, width));
            return Err(Stop);
        };
        let (node, count) = (node.clone(), *count);
        self.aliased += count;
        if self.aliased > ALIASED {
            self.diagnostics.push(
                Diagnostic::error(format!("aliases that expand to more than {ALIASED} values"), span, width)
                    .hint("this is the shape of a file that is made to fill memory"),
            );
            return Err(Stop);
        }
        self.close(node, 0, count);
        Ok(())
    }

    /// A node is complete: it goes into what is open, or is a document.
    fn close(&mut self, node: Node, anchor: usize, count: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, Some((node.clone(), count)));
        }
        match self.open.last_mut() {
            Some(open) => {
                open.count += count;
                open.nodes.push(node);
            }
            None => self.done.push(node),
        }
    }

    fn collection(&mut self, open: Open, end: Marks) -> Result<Node, Stop> {
        let Open { start, tag, list, nodes, .. } = open;
        let span = self.at(start.line(), start.col());
        let flow = matches!(self.lines.at_after_properties(start.line(), start.col()), Some('{' | '['));
        let width = if flow {
            self.width(Marks::new(start, end.end))
        } else if list {
            1
        } else {
            nodes.first().filter(|key| key.span.line == span.line).map_or(1, |key| key.width)
        };
        let kind = if list { NodeKind::List(nodes) } else { NodeKind::Map(self.entries(nodes, flow.then_some((span, width)))?) };
        Ok(Node { span, width, tag, kind })
    }

    /// A mapping's entries: merge keys first, own ones over them; the last of duplicates holds.
    fn entries(&mut self, nodes: Vec<Node>, flow: Option<(Span, u32)>) -> Result<Vec<(Node, Node)>, Stop> {
        let mut own: Vec<(Key, Node, Node)> = Vec::new();
        let mut index: HashMap<Key, usize> = HashMap::new();
        let mut merged: Vec<(Key, Node, Node)> = Vec::new();
        let mut nodes = nodes.into_iter();
        while let (Some(key), Some(mut value)) = (nodes.next(), nodes.next()) {
            let Some(name) = key.key() else {
                let diagnostic = explain::unhashable(&Lines::new(self.mended.original()), &key, flow);
                self.diagnostics.push(diagnostic);
                return Err(Stop);
            };
            if value.scalar().is_some_and(|scalar| scalar.plain && scalar.text.is_empty()) && value.tag.is_none() {
                // Nothing is written: the key is what can be shown.
                value = null(key.span, key.width);
            }
            if is_merge(&key) {
                self.merge(&key, value, &mut merged)?;
                continue;
            }
            if let Some(&place) = index.get(&name) {
                let first = &own[place].1;
                self.diagnostics.push(
                    Diagnostic::at(&key, format!("the key `{}` is given twice", name.text())).as_warning().label("this one holds").other(
                        first.span,
                        first.width,
                        "this one is lost",
                    ),
                );
                own[place] = (name, key, value);
            } else {
                index.insert(name.clone(), own.len());
                own.push((name, key, value));
            }
        }
        for (name, key, value) in own {
            match merged.iter_mut().find(|(known, ..)| *known == name) {
                Some(entry) => *entry = (name, key, value),
                None => merged.push((name, key, value)),
            }
        }
        Ok(merged.into_iter().map(|(_, key, value)| (key, value)).collect())
    }

    /// `<<: *a` or `<<: [*a, *b]`, of which the earlier wins.
    fn merge(&mut self, key: &Node, value: Node, merged: &mut Vec<(Key, Node, Node)>) -> Result<(), Stop> {
        let maps = match value.kind {
            NodeKind::List(items) => items,
            _ => vec![value],
        };
        for map in maps.into_iter().rev() {
            let NodeKind::Map(entries) = map.kind else {
                self.diagnostics.push(Diagnostic::at(key, "the merge key `<<` takes a mapping or a list of mappings").other(
                    map.span,
                    map.width,
                    format!("this is {}", describe(&map.kind)),
                ));
                return Err(Stop);
            };
            for (key, value) in entries {
                let Some(name) = key.key() else { continue };
                match merged.iter_mut().find(|(known, ..)| *known == name) {
                    Some(entry) => *entry = (name, key, value),
                    None => merged.push((name, key, value)),
                }
            }
        }
        Ok(())
    }
}

fn describe(kind: &NodeKind) -> &'static str {
    match kind {
        NodeKind::Scalar(_) => "a text",
        NodeKind::List(_) => "a list",
        NodeKind::Map(_) => "a mapping",
    }
}

fn is_merge(key: &Node) -> bool {
    key.tag.is_none() && key.scalar().is_some_and(|scalar| scalar.plain && &*scalar.text == "<<")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::{Template, Tree, Value};
    use crate::source::{Opener, Reading, Refusal, Sealed};

    fn read(text: &str) -> (Option<Node>, Diagnostics, Sources) {
        let (mut sources, mut diagnostics) = (Sources::default(), Diagnostics::default());
        let file = sources.add("a.yml", Path::new("/a.yml"), text);
        let node = document(&sources, file, &mut diagnostics);
        (node, diagnostics, sources)
    }

    fn good(text: &str) -> Node {
        let (node, diagnostics, sources) = read(text);
        assert!(diagnostics.is_empty(), "{}", diagnostics.render(&sources));
        node.expect("parsed")
    }

    fn json(text: &str) -> String {
        good(text).value().to_json(true).to_string()
    }

    fn report(text: &str) -> String {
        let (_, diagnostics, sources) = read(text);
        diagnostics.render(&sources)
    }

    #[test]
    fn scalars_lists_and_mappings_are_typed() {
        assert_eq!(
            json("a: 1\nb: [x, 'y', \"1\", yes, ~, 0644]\nc:\n- d: |\n    one\n    two\n- {}\n1: z\n"),
            r#"{"a":1,"b":["x","y","1",true,null,420],"c":[{"d":"one\ntwo\n"},{}],"1":"z"}"#
        );
        assert_eq!(json(""), "null");
        assert_eq!(json("# nothing\n---\n"), "null");
        assert_eq!(json("{\n\t\"a\": [1e3, \"x\\/y\"]\n}\n"), r#"{"a":[1000.0,"x/y"]}"#);
        assert_eq!(json(r#"{"a": "\ud83d\ude00 \\ud83d \u00e9"}"#), r#"{"a":"😀 \\ud83d é"}"#);
        assert_eq!(json("a: !!str 12\nb: !!int '3'\nc: !!binary aGk=\nd: !unsafe 12"), r#"{"a":"12","b":3,"c":"hi","d":12}"#);
    }

    #[test]
    fn anchors_and_merge_keys_are_resolved_as_pyyaml_does() {
        assert_eq!(json("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3, z: 4}"), r#"{"a":{"x":1,"y":2},"b":{"x":3,"y":2,"z":4}}"#);
        assert_eq!(
            json("- &a {x: 1, y: 1}\n- &b {x: 2, w: 2}\n- {<<: [*a, *b], z: 0}"),
            r#"[{"x":1,"y":1},{"x":2,"w":2},{"x":1,"w":2,"y":1,"z":0}]"#
        );
    }

    #[test]
    fn aliases_cannot_fill_memory_nor_contain_themselves() {
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..9 {
            let before = vec![format!("*a{}", level - 1); 10].join(",");
            let _ = writeln!(bomb, "a{level}: &a{level} [{before}]");
        }
        assert!(report(&bomb).contains("aliases that expand to more than 100000 values"));
        assert!(report("a: &a [*a]").contains("an alias inside of what it refers to"));
        assert!(report(&"[".repeat(500)).contains("nested"));
    }

    #[test]
    fn places_are_exact() {
        let node =
            good("a:\n  - 'ä': \"{{ x }}\"\n    b: !unsafe |2\n\n       one\n      two\n    e:\n    f: >-\n      folded\n      text\n");
        let item = &node.get("a").and_then(Node::as_list).expect("list")[0];
        let place = |span: Span| (span.line, span.column);
        assert_eq!(place(item.span), (2, 5));
        let (key, value) = item.entry("ä").expect("key");
        assert_eq!((place(key.span), key.width), ((2, 5), 3));
        assert_eq!((place(value.span), value.width), ((2, 10), 9));
        assert_eq!(place(value.scalar().expect("scalar").content), (2, 11));
        let block = item.get("b").expect("b");
        assert_eq!(place(block.span), (3, 8));
        let scalar = block.scalar().expect("scalar");
        assert_eq!((&*scalar.text, place(scalar.content), scalar.indent), ("\n one\ntwo\n", (4, 7), 6));
        // A value that is not written is shown by its key.
        assert_eq!(place(item.get("e").expect("e").span), (7, 5));
        assert_eq!(place(item.get("f").and_then(Node::scalar).expect("f").content), (9, 7));
    }

    struct Reverse;
    impl Opener for Reverse {
        fn open(&self, text: &str) -> Result<String, Refusal> {
            Ok(text.chars().rev().collect())
        }
    }

    #[test]
    fn trees_hold_templates_secrets_and_literals() {
        let node = good("a: '{{ x }}'\nb: !unsafe '{{ x }}'\nc: !vault abc\nd: [1, '{% raw %}']\ne: !unsafe ['{{ y }}']\nf: [1, 2]\n");
        let mut diagnostics = Diagnostics::default();
        let tree = node.tree(Reading::new(&Reverse), &mut diagnostics);
        assert!(matches!(tree.get("a"), Some(Tree::Template(template)) if template.span.column == 5));
        assert!(matches!(tree.get("b"), Some(Tree::Literal(Value::Text(text))) if text.as_str() == "{{ x }}"));
        assert!(matches!(tree.get("c"), Some(Tree::Literal(Value::Text(text))) if text.as_str() == "cba" && text.is_secret()));
        assert!(matches!(tree.get("d"), Some(Tree::List(_))));
        assert!(tree.get("e").is_some_and(|tree| tree.is_literal()));
        assert!(tree.get("f").is_some_and(|tree| tree.is_literal()));
        assert!(diagnostics.is_empty());
        let secret = node.tree(Reading { opener: &Reverse, secret: true }, &mut diagnostics);
        assert!(matches!(secret.get("b"), Some(Tree::Literal(Value::Text(text))) if text.is_secret()));
        node.tree(Reading::new(&Sealed), &mut diagnostics);
        assert!(diagnostics.has_errors());
    }

    #[test]
    fn a_place_in_a_template_leads_back_to_the_file_in_every_style() {
        let styles = [
            "a: x {{ HERE }}\n",
            "a: 'it''s {{ HERE }}'\n",
            "a: \"say \\\"{{ HERE }}\\\"\"\n",
            "a: |\n  one\n\n    two {{ HERE }}\n",
            "a: >\n  one\n  two\n\n  three {{ HERE }}\n",
            "a: one\n  two {{ HERE }}\n",
            "a: \"one\n   two \\\n   {{ HERE }}\"\n",
            "a: &x !!str\n  'one\n\n    {{ HERE }}'\n",
            "a: >-\n  one\n    more\n  {{ HERE }}\n",
        ];
        for text in styles {
            let (node, diagnostics, sources) = read(text);
            assert!(diagnostics.is_empty(), "{}", diagnostics.render(&sources));
            let scalar = node.as_ref().and_then(|node| node.get("a")).and_then(Node::scalar).expect("scalar");
            let template = Template { source: Arc::clone(&scalar.text), span: scalar.content };
            let span = sources.locate(&template, scalar.text.find("HERE").expect("marked"));
            let line = sources.line(span).expect("line");
            assert!(line[span.column as usize - 1..].starts_with("HERE"), "{text:?} gave {}:{}", span.line, span.column);
        }
    }

    #[test]
    fn a_key_given_twice_is_a_warning_with_both_places_and_the_last_holds() {
        let (node, diagnostics, sources) = read("a: 1\nb: 2\na: 3\n");
        assert_eq!(node.expect("parsed").value().to_json(true).to_string(), r#"{"a":3,"b":2}"#);
        assert!(!diagnostics.has_errors());
        assert_eq!(
            diagnostics.render(&sources),
            "warning: the key `a` is given twice\n  ┌─ a.yml:3:1\n3 │ a: 3\n  │ ^ this one holds\n  ┌─ a.yml:1:1\n1 │ a: 1\n  │ - this one is lost\n\n1 warning\n"
        );
    }
}
