//! What a template reads, found without evaluating it: names, other hosts' variables, lookups; and what it uses that is not there.

use std::collections::BTreeSet;
use std::sync::Arc;

use minijinja::machinery::ast::BinOpKind;

use super::syntax::{self, Argument, Body, Kind, Macro, Node, Options, Parsed, Statement, Target};
use super::{Result, filters, lookups, tests};
use crate::program::{Span, Template, Tree, Value};

/// What one text reads.
#[derive(Clone, Debug, Default)]
pub struct Reads {
    pub names: Vec<Name>,
    pub hosts: Vec<HostRead>,
    pub lookups: Vec<Lookup>,
    pub unknown: Vec<Unknown>,
    /// Names that are tested with `is defined` or `is undefined` somewhere in the text.
    pub tested: BTreeSet<Arc<str>>,
    /// It may read any variable: `vars` as a whole, `lookup('vars', name)` with a name that is not written out.
    pub everything: bool,
}

/// A variable that is read.
#[derive(Clone, Debug)]
pub struct Name {
    pub name: Arc<str>,
    pub span: Span,
    /// Byte in the text.
    pub at: u32,
    /// It need not be defined: `default`, `is defined` stand beside it.
    pub guarded: bool,
}

/// `hostvars[host].variable`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRead {
    /// `None`: a host that is not written out.
    pub host: Option<Arc<str>>,
    /// `None`: all of its variables.
    pub variable: Option<Arc<str>>,
}

/// `lookup('plugin', term, …)`.
#[derive(Clone, Debug)]
pub struct Lookup {
    pub plugin: Arc<str>,
    /// Terms as far as they are written out; others are templates.
    pub terms: Vec<Tree>,
    pub span: Span,
}

/// A filter, test, lookup or function that is not there.
#[derive(Clone, Debug)]
pub struct Unknown {
    /// "filter", "test", "lookup".
    pub what: &'static str,
    pub name: Arc<str>,
    pub span: Span,
    /// Byte in the text.
    pub at: u32,
}

/// Lookups that need the controller or the program's files: the agent answers them.
pub const FILE_LOOKUPS: &[&str] = &[
    "config",
    "csvfile",
    "env",
    "file",
    "fileglob",
    "filetree",
    "first_found",
    "ini",
    "inventory_hostnames",
    "lines",
    "password",
    "pipe",
    "random_choice",
    "template",
    "unvault",
    "url",
];

/// All lookups that are there.
pub fn lookup_names() -> impl Iterator<Item = &'static str> {
    FILE_LOOKUPS.iter().chain(lookups::NAMES).copied()
}

/// Names that the evaluator itself knows, and functions.
const GLOBALS: &[&str] = &[
    "True",
    "False",
    "None",
    "true",
    "false",
    "none",
    "omit",
    "range",
    "dict",
    "lipsum",
    "cycler",
    "joiner",
    "namespace",
    "lookup",
    "query",
    "q",
    "now",
    "undef",
    "loop",
    "self",
    "super",
    "caller",
    "varargs",
    "kwargs",
    "hostvars",
    "vars",
];

/// What a text with templates reads.
pub fn of_template(template: &Template, options: &Options) -> Result<Reads> {
    syntax::template(&template.source, options).map(|parsed| read(&parsed, template.span)).map_err(|error| error.at(template.span))
}

/// What a bare expression (or a condition that holds templates) reads.
pub fn of_expression(template: &Template) -> Result<Reads> {
    syntax::expression(&template.source).map(|parsed| read(&parsed, template.span)).map_err(|error| error.at(template.span))
}

fn read(parsed: &Parsed, span: Span) -> Reads {
    let mut reader = Reader { parsed, span, reads: Reads::default(), local: BTreeSet::new() };
    match &parsed.body {
        Body::Template(statements) => {
            reader.collect(statements);
            reader.statements(statements);
        }
        Body::Expression(node) => reader.node(node, false),
    }
    let tested = &reader.reads.tested;
    for name in &mut reader.reads.names {
        name.guarded |= tested.contains(&name.name);
    }
    reader.reads
}

struct Reader<'text> {
    parsed: &'text Parsed,
    span: Span,
    reads: Reads,
    /// Names that the text itself sets, anywhere.
    local: BTreeSet<Arc<str>>,
}

impl Reader<'_> {
    fn at(&self, node: &Node) -> Span {
        self.parsed.span(self.span, node.at)
    }

    /// Names that statements set.
    fn collect(&mut self, statements: &[Statement]) {
        for statement in statements {
            match statement {
                Statement::Text(_) | Statement::Emit(_) | Statement::Extends(_) | Statement::Include { .. } | Statement::Do(_) => {}
                Statement::For(each) => {
                    self.target(&each.target);
                    self.collect(&each.body);
                    self.collect(&each.otherwise);
                }
                Statement::If { then, otherwise, .. } => {
                    self.collect(then);
                    self.collect(otherwise);
                }
                Statement::With(assignments, body) => {
                    assignments.iter().for_each(|(target, _)| self.target(target));
                    self.collect(body);
                }
                Statement::Set(target, _) => self.target(target),
                Statement::SetBlock(target, _, body) => {
                    self.target(target);
                    self.collect(body);
                }
                Statement::Scope(body) | Statement::Filter(_, body) => self.collect(body),
                Statement::Block(_, body) => self.collect(body),
                Statement::Import(_, name) => {
                    self.local.insert(Arc::clone(name));
                }
                Statement::FromImport(_, names) => self.local.extend(names.iter().map(|(_, name)| Arc::clone(name))),
                Statement::Macro(of) | Statement::CallBlock(_, of) => {
                    self.local.insert(Arc::clone(&of.name));
                    self.local.extend(of.parameters.iter().map(|(name, _)| Arc::clone(name)));
                    self.collect(&of.body);
                }
            }
        }
    }

    fn target(&mut self, target: &Target) {
        match target {
            Target::Name(name) => {
                self.local.insert(Arc::clone(name));
            }
            Target::Attribute(..) => {}
            Target::Tuple(targets) => targets.iter().for_each(|target| self.target(target)),
        }
    }

    fn statements(&mut self, statements: &[Statement]) {
        for statement in statements {
            match statement {
                Statement::Text(_) => {}
                Statement::Emit(node) | Statement::Do(node) | Statement::Extends(node) | Statement::Set(_, node) => self.node(node, false),
                Statement::For(each) => {
                    self.node(&each.iterable, false);
                    each.condition.iter().for_each(|node| self.node(node, false));
                    self.statements(&each.body);
                    self.statements(&each.otherwise);
                }
                Statement::If { test, then, otherwise } => {
                    self.node(test, false);
                    self.statements(then);
                    self.statements(otherwise);
                }
                Statement::With(assignments, body) => {
                    assignments.iter().for_each(|(_, node)| self.node(node, false));
                    self.statements(body);
                }
                Statement::SetBlock(_, filter, body) => {
                    filter.iter().for_each(|node| self.node(node, false));
                    self.statements(body);
                }
                Statement::Scope(body) => self.statements(body),
                Statement::Filter(node, body) => {
                    self.node(node, false);
                    self.statements(body);
                }
                Statement::Block(_, body) => self.statements(body),
                Statement::Include { name, .. } | Statement::Import(name, _) | Statement::FromImport(name, _) => {
                    self.included(name);
                    self.node(name, false);
                }
                Statement::Macro(of) => self.macro_body(of),
                Statement::CallBlock(call, of) => {
                    self.node(call, false);
                    self.macro_body(of);
                }
            }
        }
    }

    fn macro_body(&mut self, of: &Macro) {
        of.parameters.iter().filter_map(|(_, default)| default.as_ref()).for_each(|node| self.node(node, false));
        self.statements(&of.body);
    }

    /// `{% include 'file' %}`: as a lookup of a template file.
    fn included(&mut self, name: &Node) {
        let terms = vec![self.term(name)];
        self.reads.lookups.push(Lookup { plugin: "include".into(), terms, span: self.at(name) });
    }

    fn nodes<'node>(&mut self, nodes: impl IntoIterator<Item = &'node Node>, guarded: bool) {
        nodes.into_iter().for_each(|node| self.node(node, guarded));
    }

    fn arguments(&mut self, arguments: &[Argument]) {
        for argument in arguments {
            let (Argument::Positional(node) | Argument::Named(_, node) | Argument::Spread(node) | Argument::SpreadNamed(node)) = argument;
            self.node(node, false);
        }
    }

    fn node(&mut self, node: &Node, guarded: bool) {
        match &node.kind {
            Kind::Const(_) => {}
            Kind::Embedded(text) => {
                let inner = Template { source: Arc::clone(text), span: self.at(node) };
                if let Ok(mut reads) = of_template(&inner, &Options::default()) {
                    reads.names.iter_mut().for_each(|name| name.at = node.at);
                    reads.unknown.iter_mut().for_each(|unknown| unknown.at = node.at);
                    self.join(reads);
                }
            }
            Kind::Name(name) => self.name(name, node, guarded),
            Kind::Slice { of, start, stop, step } => {
                self.node(of, guarded);
                self.nodes([start, stop, step].into_iter().flatten().map(|node| &**node), false);
            }
            Kind::Not(inner) | Kind::Negate(inner) => self.node(inner, guarded),
            // `a or b`: an undefined `a` is an error, as in Ansible; nothing is guarded by it.
            Kind::Binary(_, left, right) => self.nodes([&**left, &**right], guarded),
            Kind::Compare(first, rest) => {
                self.node(first, guarded);
                self.nodes(rest.iter().map(|(_, node)| node), guarded);
            }
            Kind::If { test, then, otherwise } => {
                self.node(test, false);
                self.node(then, guarded);
                otherwise.iter().for_each(|node| self.node(node, guarded));
            }
            Kind::Filter { name, input, arguments } => self.filter(node, name, input.as_deref(), arguments, guarded),
            Kind::Test { name, input, arguments } => {
                let defined = matches!(&**name, "defined" | "undefined");
                if defined && let Some(tested) = base(input) {
                    self.reads.tested.insert(Arc::clone(tested));
                }
                if !tests::names().contains(&&**name) {
                    self.unknown("test", name, node);
                }
                self.node(input, defined);
                self.arguments(arguments);
            }
            Kind::Attribute(..) | Kind::Item(..) => self.member(node, guarded),
            Kind::Call(callee, arguments) => self.call(node, callee, arguments),
            Kind::List(items) | Kind::Tuple(items) => self.nodes(items, guarded),
            Kind::Map(entries) => entries.iter().for_each(|(key, value)| {
                self.node(key, false);
                self.node(value, guarded);
            }),
        }
    }

    fn name(&mut self, name: &Arc<str>, node: &Node, guarded: bool) {
        match &**name {
            "hostvars" => self.reads.hosts.push(HostRead { host: None, variable: None }),
            "vars" => self.reads.everything = true,
            _ if self.local.contains(name) || GLOBALS.contains(&&**name) => {}
            _ => self.reads.names.push(Name { name: Arc::clone(name), span: self.at(node), at: node.at, guarded }),
        }
    }

    fn filter(&mut self, node: &Node, name: &Arc<str>, input: Option<&Node>, arguments: &[Argument], guarded: bool) {
        let short = name.strip_prefix("ansible.builtin.").unwrap_or(name);
        let defaulting = matches!(short, "default" | "d");
        if !filters::names().contains(&short) {
            self.unknown("filter", name, node);
        }
        if let Some(input) = input {
            self.node(input, guarded || defaulting);
        }
        // `hosts | map('extract', hostvars, 'name')`.
        let positional: Vec<&Node> =
            arguments.iter().filter_map(|argument| if let Argument::Positional(node) = argument { Some(node) } else { None }).collect();
        let extract = if short == "extract" {
            Some(0)
        } else {
            (matches!(short, "map") && constant(positional.first()).as_deref() == Some("extract")).then_some(1)
        };
        if let Some(index) = extract
            && positional.get(index).is_some_and(|node| matches!(&node.kind, Kind::Name(name) if &**name == "hostvars"))
        {
            let variable = match positional.get(index + 1).map(|node| &node.kind) {
                Some(Kind::List(items)) => constant(items.first().as_ref()),
                _ => constant(positional.get(index + 1)),
            };
            self.reads.hosts.push(HostRead { host: None, variable });
            for node in positional.iter().skip(index + 1) {
                self.node(node, false);
            }
            return;
        }
        // Filters and tests that other filters are given by name.
        if matches!(short, "map" | "select" | "reject" | "selectattr" | "rejectattr") {
            let at = usize::from(matches!(short, "selectattr" | "rejectattr"));
            if let Some(inner) = constant(positional.get(at)) {
                let known = if short == "map" {
                    filters::names().contains(&inner.strip_prefix("ansible.builtin.").unwrap_or(&inner))
                } else {
                    tests::names().contains(&&*inner)
                };
                if !known {
                    self.unknown(if short == "map" { "filter" } else { "test" }, &inner, positional[at]);
                }
            }
        }
        self.arguments(arguments);
    }

    /// `hostvars['x'].y`, `vars['y']`, or any other member.
    fn member(&mut self, node: &Node, guarded: bool) {
        let (of, key) = parts(node).expect("an attribute or item");
        if let Kind::Name(name) = &of.kind {
            match &**name {
                "hostvars" => {
                    self.host(key, None);
                    return;
                }
                "vars" => {
                    match key.literal() {
                        Some(name) => self.reads.names.push(Name { name, span: self.at(node), at: node.at, guarded }),
                        None => self.reads.everything = true,
                    }
                    self.key(key);
                    return;
                }
                _ => {}
            }
        }
        if let Some((inner, host)) = parts(of)
            && matches!(&inner.kind, Kind::Name(name) if &**name == "hostvars")
        {
            self.host(host, Some(key));
            self.key(key);
            return;
        }
        self.node(of, guarded);
        self.key(key);
    }

    fn key(&mut self, key: Member<'_>) {
        if let Member::Item(node) = key {
            self.node(node, false);
        }
    }

    fn host(&mut self, host: Member<'_>, variable: Option<Member<'_>>) {
        let variable = match variable {
            Some(member) => member.literal(),
            None => None,
        };
        // `hostvars[inventory_hostname]` is this host itself.
        let own = matches!(host, Member::Item(node) if matches!(&node.kind, Kind::Name(name) if &**name == "inventory_hostname"));
        if own {
            match &variable {
                Some(name) => {
                    let span = self.span;
                    self.reads.names.push(Name { name: Arc::clone(name), span, at: 0, guarded: true });
                }
                None => self.reads.everything = true,
            }
        } else {
            self.reads.hosts.push(HostRead { host: host.literal(), variable });
        }
        self.key(host);
    }

    fn call(&mut self, node: &Node, callee: &Node, arguments: &[Argument]) {
        if let Kind::Name(name) = &callee.kind
            && matches!(&**name, "lookup" | "query" | "q")
            && !self.local.contains(name)
        {
            self.lookup(node, arguments);
            self.arguments(arguments);
            return;
        }
        match &callee.kind {
            // A method: `x.get('a', default)`, `hostvars[h].get('y')`.
            Kind::Attribute(of, method) => {
                if &**method == "get"
                    && let Some(Argument::Positional(first)) = arguments.first()
                    && let Some(name) = constant(Some(&first))
                {
                    match &of.kind {
                        Kind::Name(of) if &**of == "vars" => {
                            self.reads.names.push(Name { name, span: self.at(node), at: node.at, guarded: true });
                            self.arguments(arguments);
                            return;
                        }
                        _ => {
                            if let Some((inner, host)) = parts(of)
                                && matches!(&inner.kind, Kind::Name(of) if &**of == "hostvars")
                            {
                                self.host(host, Some(Member::Name(&name)));
                                self.arguments(arguments);
                                return;
                            }
                        }
                    }
                }
                self.node(of, false);
            }
            Kind::Name(name) if !self.local.contains(name) && !GLOBALS.contains(&&**name) => self.unknown("function", name, callee),
            _ => self.node(callee, false),
        }
        self.arguments(arguments);
    }

    fn lookup(&mut self, node: &Node, arguments: &[Argument]) {
        let positional: Vec<&Node> =
            arguments.iter().filter_map(|argument| if let Argument::Positional(node) = argument { Some(node) } else { None }).collect();
        let Some(plugin) = constant(positional.first()) else {
            self.reads.everything = true;
            return;
        };
        let short = syntax::short_name(&plugin);
        if !lookup_names().any(|name| name == &*short) {
            self.unknown("lookup", &plugin, positional[0]);
            return;
        }
        let guarded =
            arguments.iter().any(|argument| matches!(argument, Argument::Named(name, _) if &**name == "default" || &**name == "errors"));
        match &*short {
            "vars" => {
                for term in &positional[1..] {
                    match constant(Some(term)) {
                        Some(name) => self.reads.names.push(Name { name, span: self.at(term), at: term.at, guarded }),
                        None => self.reads.everything = true,
                    }
                }
            }
            "varnames" => self.reads.everything = true,
            _ => {
                let mut terms: Vec<Tree> = positional[1..].iter().map(|term| self.term(term)).collect();
                for argument in arguments {
                    if let Argument::Named(name, node) = argument
                        && matches!(&**name, "files" | "paths")
                    {
                        terms.push(Tree::Map(vec![(Tree::Literal(Value::text(Arc::clone(name))), self.term(node))]));
                    }
                }
                self.reads.lookups.push(Lookup { plugin: short, terms, span: self.at(node) });
            }
        }
    }

    /// A term as a tree: constants, texts joined with `~` or `+`, lists and mappings of these; anything else is a hole.
    fn term(&self, node: &Node) -> Tree {
        match &node.kind {
            Kind::Const(value) => Tree::Literal(value.clone()),
            Kind::Name(name) => Tree::Template(Template { source: format!("{{{{ {name} }}}}").into(), span: self.at(node) }),
            Kind::Embedded(text) => Tree::Template(Template { source: Arc::clone(text), span: self.at(node) }),
            Kind::List(items) | Kind::Tuple(items) => Tree::List(items.iter().map(|item| self.term(item)).collect()),
            Kind::Map(entries) => Tree::Map(entries.iter().map(|(key, value)| (self.term(key), self.term(value))).collect()),
            Kind::Binary(BinOpKind::Concat | BinOpKind::Add, ..) => {
                let mut text = String::new();
                Self::pieces(node, &mut text);
                Tree::Template(Template { source: text.into(), span: self.at(node) })
            }
            _ => Tree::Template(Template { source: "{{ }}".into(), span: self.at(node) }),
        }
    }

    fn pieces(node: &Node, text: &mut String) {
        match &node.kind {
            Kind::Const(Value::Text(part)) => text.push_str(part.as_str()),
            Kind::Name(name) => text.push_str(&format!("{{{{ {name} }}}}")),
            Kind::Binary(BinOpKind::Concat | BinOpKind::Add, left, right) => {
                Self::pieces(left, text);
                Self::pieces(right, text);
            }
            _ => text.push_str("{{ }}"),
        }
    }

    fn unknown(&mut self, what: &'static str, name: &Arc<str>, node: &Node) {
        let span = self.at(node);
        self.reads.unknown.push(Unknown { what, name: Arc::clone(name), span, at: node.at });
    }

    fn join(&mut self, reads: Reads) {
        self.reads.names.extend(reads.names);
        self.reads.hosts.extend(reads.hosts);
        self.reads.lookups.extend(reads.lookups);
        self.reads.unknown.extend(reads.unknown);
        self.reads.tested.extend(reads.tested);
        self.reads.everything |= reads.everything;
    }
}

#[derive(Clone, Copy)]
enum Member<'node> {
    Name(&'node Arc<str>),
    Item(&'node Node),
}

impl Member<'_> {
    fn literal(self) -> Option<Arc<str>> {
        match self {
            Member::Name(name) => Some(Arc::clone(name)),
            Member::Item(node) => constant(Some(&node)),
        }
    }
}

fn parts(node: &Node) -> Option<(&Node, Member<'_>)> {
    match &node.kind {
        Kind::Attribute(of, name) => Some((of, Member::Name(name))),
        Kind::Item(of, key) => Some((of, Member::Item(key))),
        _ => None,
    }
}

/// The variable that a chain of members starts with.
fn base(node: &Node) -> Option<&Arc<str>> {
    match &node.kind {
        Kind::Name(name) => Some(name),
        Kind::Attribute(of, _) | Kind::Item(of, _) => base(of),
        Kind::Filter { input: Some(input), .. } => base(input),
        _ => None,
    }
}

fn constant(node: Option<&&Node>) -> Option<Arc<str>> {
    match &node?.kind {
        Kind::Const(Value::Text(text)) => Some(text.shared()),
        _ => None,
    }
}

#[cfg(test)]
mod cases {
    use super::*;

    fn reads(source: &str) -> Reads {
        of_template(&Template { source: source.into(), span: Span { file: 0, line: 1, column: 1 } }, &Options::default()).expect("parses")
    }

    fn names(source: &str) -> Vec<String> {
        reads(source).names.iter().map(|name| format!("{}{}", name.name, if name.guarded { "?" } else { "" })).collect()
    }

    #[test]
    fn names_are_found_and_guards_are_seen() {
        assert_eq!(names("{{ a.b[c] | default(d) }}"), ["a?", "c", "d"]);
        assert_eq!(names("{% if x is defined %}{{ x }}{% endif %}{{ y }}"), ["x?", "x?", "y"]);
        assert_eq!(names("{% for i in items %}{{ i }}{{ loop.index }}{% endfor %}{% set z = 1 %}{{ z }}"), ["items"]);
        assert_eq!(names("{{ range(n) | list }}{{ omit }}"), ["n"]);
        assert_eq!(names("{{ lookup('vars', 'a') }}{{ vars['b'] }}"), ["a", "b"]);
        assert!(reads("{{ lookup('vars', a) }}").everything && reads("{{ vars }}").everything);
    }

    #[test]
    fn other_hosts_are_seen() {
        let host = |source: &str| {
            reads(source)
                .hosts
                .iter()
                .map(|read| (read.host.as_deref().map(str::to_owned), read.variable.as_deref().map(str::to_owned)))
                .collect::<Vec<_>>()
        };
        assert_eq!(host("{{ hostvars['a'].x.y }}"), [(Some("a".to_owned()), Some("x".to_owned()))]);
        assert_eq!(host("{{ hostvars[groups['m'][0]]['x'] }}"), [(None, Some("x".to_owned()))]);
        assert_eq!(
            host("{{ groups['m'] | map('extract', hostvars, ['ansible_host', 'y']) | list }}"),
            [(None, Some("ansible_host".to_owned()))]
        );
        assert_eq!(host("{{ hostvars }}"), [(None, None)]);
        assert_eq!(host("{{ hostvars[inventory_hostname].x }}"), []);
        assert_eq!(host("{{ hostvars[h].get('x', 1) }}"), [(None, Some("x".to_owned()))]);
    }

    #[test]
    fn what_is_not_there_is_seen_with_its_place() {
        let all = reads("{{ a | jsn_query('x') }}{{ lookup('fil', 'x') }}{% if b is odd2 %}{% endif %}").unknown;
        let shown: Vec<String> = all.iter().map(|unknown| format!("{} {} {}", unknown.what, unknown.name, unknown.span.column)).collect();
        assert_eq!(shown.len(), 3, "{shown:?}");
        assert!(shown[0].starts_with("filter jsn_query") && shown[1].starts_with("lookup fil") && shown[2].starts_with("test odd2"));
    }
}
