//! What a template reads, found without evaluating it: names, other hosts' variables, lookups, and its mistakes.
//!
//! The compiler of playbooks uses it to report mistakes before any connection, and to send a node only what its own
//! program can read.

use std::collections::BTreeSet;
use std::sync::Arc;

use minijinja::machinery::ast::BinOpKind;

use super::syntax::{self, Argument, Body, For, Kind, Macro, Node, Options, Parsed, Statement, Target};
use super::{ErrorKind, Result, filters, functions, suggest, tests};
use crate::program::{Span, Value};

/// What kind of text it is.
#[derive(Clone, Copy, Debug)]
pub enum Form<'options> {
    /// A text with templates inside.
    Template,
    /// A bare expression.
    Expression,
    /// `when` and its like: an expression, or a text that is one template throughout.
    Condition,
    /// A template file.
    File(&'options Options),
}

/// A place relative to the text's start: both from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub line: u32,
    pub column: u32,
}

impl Place {
    /// The place in the user's file, where the text starts at `start`. A block scalar's indentation is not known here:
    /// callers add it to the columns of all lines but the first.
    pub fn in_file(self, start: Span) -> Span {
        syntax::relative(start, self.line, self.column)
    }
}

/// What a text reads, and what is wrong with it.
#[derive(Clone, Debug, Default)]
pub struct Analysis {
    /// Free names, each place where one is read.
    pub names: Vec<Read>,
    /// Variables of other hosts.
    pub hosts: Vec<HostRead>,
    pub lookups: Vec<Lookup>,
    /// Template files that are included, imported or extended: `None` where the name is computed.
    pub templates: Vec<(Option<Arc<str>>, Place)>,
    /// Whether all variables are read at once (`vars` as a whole).
    pub everything: bool,
    /// Names that are defined wherever this condition holds.
    pub defined_if_true: BTreeSet<Arc<str>>,
    /// Syntax errors, unknown filters and tests, arguments that a filter does not take.
    pub problems: Vec<Problem>,
}

/// A name that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    pub name: Arc<str>,
    pub place: Place,
    /// Whether the text copes with it being undefined: by `default`, `is defined`, or a branch of such a test.
    pub guarded: bool,
}

/// A read of `hostvars`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRead {
    /// The host, where it is written out.
    pub host: Option<Arc<str>>,
    /// The variable, where it is written out; else it may be any.
    pub variable: Option<Arc<str>>,
    pub place: Place,
}

/// A use of `lookup` or `query`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The plugin's short name, where it is written out.
    pub plugin: Option<Arc<str>>,
    /// The first term, where it is written out.
    pub term: Option<Arc<str>>,
    pub place: Place,
}

/// A mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub message: String,
    pub hint: Option<String>,
    pub place: Place,
}

/// Reads a text.
pub fn analyze(source: &Arc<str>, form: Form) -> Analysis {
    let mut analysis = Analysis::default();
    let standard = Options::default();
    let parsed: Result<Arc<Parsed>> = match form {
        Form::Template => syntax::template(source, &standard),
        Form::File(options) => syntax::template(source, options),
        Form::Condition if wrapped(source) => syntax::template(source, &standard),
        Form::Expression | Form::Condition => syntax::expression(source),
    };
    match parsed {
        Ok(parsed) => {
            let mut walk = Walk {
                analysis: &mut analysis,
                parsed: &parsed,
                locals: vec![BTreeSet::new()],
                guards: Vec::new(),
                embedded: matches!(form, Form::Condition),
            };
            match &parsed.body {
                Body::Template(statements) => {
                    walk.statements(statements);
                    if let (Form::Condition, [Statement::Emit(node)]) = (form, &statements[..]) {
                        analysis.defined_if_true = defined_if(node, true);
                    }
                }
                Body::Expression(node) => {
                    walk.node(node, false);
                    analysis.defined_if_true = defined_if(node, true);
                }
            }
        }
        Err(error) => {
            let place = error.span.map_or(Place { line: 1, column: 1 }, |span| Place { line: span.line, column: span.column });
            analysis.problems.push(Problem { message: error.message, hint: error.hint, place });
        }
    }
    analysis
}

/// Whether a condition's text is one template throughout.
pub(super) fn wrapped(source: &str) -> bool {
    let text = source.trim();
    ["{{", "{%", "{#"].iter().any(|start| text.starts_with(start)) && ["}}", "%}", "#}"].iter().any(|end| text.ends_with(end))
}

/// The name at the root of `name.member[key]`, through filters that hand undefined values on.
fn root(node: &Node) -> Option<&Arc<str>> {
    match &node.kind {
        Kind::Name(name) => Some(name),
        Kind::Attribute(base, _) | Kind::Item(base, _) => root(base),
        Kind::Filter { input: Some(input), .. } => root(input),
        _ => None,
    }
}

/// The names that are defined if the node's truth is `holds`.
fn defined_if(node: &Node, holds: bool) -> BTreeSet<Arc<str>> {
    match &node.kind {
        Kind::Test { name, input, .. } if (&**name == "defined" && holds) || (&**name == "undefined" && !holds) => {
            root(input).into_iter().cloned().collect()
        }
        Kind::Not(inner) => defined_if(inner, !holds),
        Kind::Binary(BinOpKind::ScAnd | BinOpKind::ScOr, left, right) => {
            let all = matches!(node.kind, Kind::Binary(BinOpKind::ScAnd, ..)) == holds;
            let (left, right) = (defined_if(left, holds), defined_if(right, holds));
            if all { left.union(&right).cloned().collect() } else { left.intersection(&right).cloned().collect() }
        }
        _ => BTreeSet::new(),
    }
}

fn literal(node: &Node) -> Option<Arc<str>> {
    match &node.kind {
        Kind::Const(Value::Text(text)) => Some(text.shared()),
        _ => None,
    }
}

struct Walk<'run> {
    analysis: &'run mut Analysis,
    parsed: &'run Parsed,
    locals: Vec<BTreeSet<Arc<str>>>,
    /// Names known to be defined where the walk stands.
    guards: Vec<BTreeSet<Arc<str>>>,
    /// Whether string constants with templates inside are rendered.
    embedded: bool,
}

impl Walk<'_> {
    fn place(&self, at: u32) -> Place {
        let (line, column) = self.parsed.place(at);
        Place { line, column }
    }

    fn is_local(&self, name: &str) -> bool {
        self.locals.iter().any(|frame| frame.contains(name))
    }

    fn bind(&mut self, name: &Arc<str>) {
        if let Some(frame) = self.locals.last_mut() {
            frame.insert(Arc::clone(name));
        }
    }

    fn target(&mut self, target: &Target) {
        match target {
            Target::Name(name) => self.bind(name),
            Target::Attribute(..) => {}
            Target::Tuple(targets) => targets.iter().for_each(|target| self.target(target)),
        }
    }

    fn scoped(&mut self, run: impl FnOnce(&mut Self)) {
        self.locals.push(BTreeSet::new());
        run(self);
        self.locals.pop();
    }

    fn guarded(&mut self, names: BTreeSet<Arc<str>>, run: impl FnOnce(&mut Self)) {
        self.guards.push(names);
        run(self);
        self.guards.pop();
    }

    fn problem(&mut self, error: super::Error, at: u32) {
        let place = self.place(at);
        self.analysis.problems.push(Problem { message: error.message, hint: error.hint, place });
    }

    fn read(&mut self, name: &Arc<str>, at: u32, guarded: bool) {
        if self.is_local(name) || matches!(&**name, "omit" | "loop" | "self" | "super" | "caller" | "varargs" | "kwargs") {
            return;
        }
        let place = self.place(at);
        match &**name {
            "hostvars" => self.analysis.hosts.push(HostRead { host: None, variable: None, place }),
            "vars" => self.analysis.everything = true,
            _ => {
                let guarded = guarded || self.guards.iter().any(|names| names.contains(name));
                self.analysis.names.push(Read { name: Arc::clone(name), place, guarded });
            }
        }
    }

    /// `guarded`: an undefined value does no harm here.
    fn node(&mut self, node: &Node, guarded: bool) {
        if self.host_read(node, None) || self.variable_read(node, guarded) {
            return;
        }
        match &node.kind {
            Kind::Const(_) => {}
            Kind::Embedded(text) => {
                if self.embedded {
                    self.inner(text, node.at);
                }
            }
            Kind::Name(name) => self.read(name, node.at, guarded),
            Kind::Slice { of, start, stop, step } => {
                self.node(of, guarded);
                for part in [start, stop, step].into_iter().flatten() {
                    self.node(part, false);
                }
            }
            Kind::Not(inner) | Kind::Negate(inner) => self.node(inner, false),
            Kind::Binary(BinOpKind::ScAnd, left, right) => {
                self.node(left, false);
                self.guarded(defined_if(left, true), |walk| walk.node(right, guarded));
            }
            Kind::Binary(BinOpKind::ScOr, left, right) => {
                self.node(left, false);
                self.guarded(defined_if(left, false), |walk| walk.node(right, guarded));
            }
            Kind::Binary(_, left, right) => {
                self.node(left, false);
                self.node(right, false);
            }
            Kind::Compare(first, rest) => {
                self.node(first, false);
                rest.iter().for_each(|(_, next)| self.node(next, false));
            }
            Kind::If { test, then, otherwise } => {
                self.node(test, false);
                self.guarded(defined_if(test, true), |walk| walk.node(then, guarded));
                if let Some(otherwise) = otherwise {
                    self.guarded(defined_if(test, false), |walk| walk.node(otherwise, guarded));
                }
            }
            Kind::Filter { name, input, arguments } => self.filter(node.at, name, input.as_deref(), arguments, guarded),
            Kind::Test { name, input, arguments } => {
                if tests::find(name).is_none() {
                    self.problem(tests::unknown(name), node.at);
                }
                self.node(input, matches!(&**name, "defined" | "undefined"));
                self.arguments(arguments, false);
            }
            Kind::Attribute(base, _) => self.node(base, guarded),
            Kind::Item(base, key) => {
                self.node(base, guarded);
                self.node(key, false);
            }
            Kind::Call(callee, arguments) => self.call(node.at, callee, arguments, guarded),
            Kind::List(items) | Kind::Tuple(items) => items.iter().for_each(|item| self.node(item, false)),
            Kind::Map(entries) => entries.iter().for_each(|(key, value)| {
                self.node(key, false);
                self.node(value, false);
            }),
        }
    }

    fn arguments(&mut self, arguments: &[Argument], guarded: bool) {
        for argument in arguments {
            match argument {
                Argument::Positional(node) | Argument::Named(_, node) | Argument::Spread(node) | Argument::SpreadNamed(node) => {
                    self.node(node, guarded);
                }
            }
        }
    }

    fn filter(&mut self, at: u32, name: &Arc<str>, input: Option<&Node>, arguments: &[Argument], guarded: bool) {
        let defaults = matches!(&**name, "default" | "d");
        match filters::find(name) {
            None => self.problem(filters::unknown(name), at),
            Some(filter) if !filter.parameters.contains(&"**") => {
                for argument in arguments {
                    let Argument::Named(given, node) = argument else { continue };
                    let known = filter.parameters.iter().map(|parameter| parameter.trim_end_matches('!')).filter(|name| *name != "*");
                    if !known.clone().any(|known| known == &**given) {
                        let mut error = super::Error::new(ErrorKind::Syntax, format!("the filter '{name}' has no argument '{given}'"));
                        error.hint = suggest::hint(given, known);
                        self.problem(error, node.at);
                    }
                }
            }
            Some(_) => {}
        }
        // `map('extract', hostvars, 'name')`, and the names of filters and tests that are handed on.
        let positional: Vec<&Node> = arguments
            .iter()
            .filter_map(|argument| match argument {
                Argument::Positional(node) => Some(node),
                _ => None,
            })
            .collect();
        let is_hostvars = |node: &Node| matches!(&node.kind, Kind::Name(name) if &**name == "hostvars");
        let mut skip = 0;
        let handed = match &**name {
            "map" => positional.first().and_then(|node| literal(node)).map(|name| (name, true)),
            "select" | "reject" => positional.first().and_then(|node| literal(node)).map(|name| (name, false)),
            "selectattr" | "rejectattr" => positional.get(1).and_then(|node| literal(node)).map(|name| (name, false)),
            _ => None,
        };
        if let Some((handed, is_filter)) = &handed {
            let short = syntax::short_name(handed);
            let missing = if *is_filter { filters::find(&short).is_none() } else { tests::find(&short).is_none() };
            if missing {
                self.problem(if *is_filter { filters::unknown(handed) } else { tests::unknown(handed) }, at);
            }
        }
        let extract = match &**name {
            "extract" => Some(0),
            "map" if handed.as_ref().is_some_and(|(name, _)| &**name == "extract") => Some(1),
            _ => None,
        };
        if let Some(first) = extract
            && positional.get(first).is_some_and(|node| is_hostvars(node))
            && !self.is_local("hostvars")
        {
            let variable = positional.get(first + 1).and_then(|node| match &node.kind {
                Kind::List(path) => path.first().and_then(literal),
                _ => literal(node),
            });
            let place = self.place(at);
            let host = if first == 0 { input.and_then(literal) } else { None };
            self.analysis.hosts.push(HostRead { host, variable, place });
            skip = first + 1;
        }
        if let Some(input) = input {
            let hands_on = filters::find(name).is_some_and(|filter| filter.reads != filters::Reads::Nothing);
            self.node(input, defaults || (guarded && hands_on));
        }
        self.arguments(&arguments[skip.min(arguments.len())..], defaults && guarded);
    }

    fn call(&mut self, at: u32, callee: &Node, arguments: &[Argument], guarded: bool) {
        if let Kind::Name(name) = &callee.kind {
            if !self.is_local(name) {
                if matches!(&**name, "lookup" | "query" | "q") {
                    self.lookup(at, arguments);
                    return;
                }
                if !functions::NAMES.contains(&&**name) {
                    self.read(name, callee.at, guarded);
                }
            }
            self.arguments(arguments, false);
            return;
        }
        if let Kind::Attribute(base, method) = &callee.kind {
            // `hostvars[host].get('name')`
            if &**method == "get"
                && let Some(Argument::Positional(first)) = arguments.first()
                && self.host_read(base, Some(literal(first)))
            {
                self.arguments(arguments, false);
                return;
            }
            self.node(base, guarded);
        } else {
            self.node(callee, guarded);
        }
        self.arguments(arguments, false);
    }

    fn lookup(&mut self, at: u32, arguments: &[Argument]) {
        let mut positional = arguments.iter().filter_map(|argument| match argument {
            Argument::Positional(node) => Some(node),
            _ => None,
        });
        let plugin = positional.next().and_then(literal).map(|name| syntax::short_name(&name));
        let term = positional.next().and_then(literal);
        let place = self.place(at);
        if plugin.as_deref() == Some("vars") {
            for argument in &arguments[1.min(arguments.len())..] {
                match argument {
                    Argument::Positional(node) => match literal(node) {
                        Some(name) => {
                            let guarded =
                                arguments.iter().any(|argument| matches!(argument, Argument::Named(name, _) if &**name == "default"));
                            self.read(&name, node.at, guarded);
                        }
                        None => self.analysis.everything = true,
                    },
                    Argument::Spread(_) | Argument::SpreadNamed(_) => self.analysis.everything = true,
                    Argument::Named(..) => {}
                }
            }
        }
        if plugin.as_deref() == Some("varnames") {
            self.analysis.everything = true;
        }
        self.analysis.lookups.push(Lookup { plugin, term, place });
        let before = std::mem::replace(&mut self.embedded, true);
        self.arguments(arguments, false);
        self.embedded = before;
    }

    /// `hostvars[host].name` in its spellings. With `called`, the node is `hostvars[host]` and the variable is known or not.
    #[expect(clippy::option_option, reason = "called or not, and if so with a name that is written out or not")]
    fn host_read(&mut self, node: &Node, called: Option<Option<Arc<str>>>) -> bool {
        if self.is_local("hostvars") {
            return false;
        }
        let member = |node: &Node| -> Option<(Option<Arc<str>>, bool)> {
            // The host of `hostvars[host]`, and whether its key is an expression of its own.
            match &node.kind {
                Kind::Attribute(base, host) if matches!(&base.kind, Kind::Name(name) if &**name == "hostvars") => {
                    Some((Some(Arc::clone(host)), false))
                }
                Kind::Item(base, key) if matches!(&base.kind, Kind::Name(name) if &**name == "hostvars") => Some((literal(key), true)),
                _ => None,
            }
        };
        let place = self.place(node.at);
        let keys = |walk: &mut Self, node: &Node| {
            if let Kind::Item(_, key) = &node.kind {
                walk.node(key, false);
            }
        };
        if let Some(variable) = called {
            let Some((host, _)) = member(node) else { return false };
            self.analysis.hosts.push(HostRead { host, variable, place });
            keys(self, node);
            return true;
        }
        if let Some((host, _)) = member(node) {
            self.analysis.hosts.push(HostRead { host, variable: None, place });
            keys(self, node);
            return true;
        }
        let (base, variable) = match &node.kind {
            Kind::Attribute(base, name) => (base, Some(Arc::clone(name))),
            Kind::Item(base, key) => (base, literal(key)),
            _ => return false,
        };
        let Some((host, _)) = member(base) else { return false };
        self.analysis.hosts.push(HostRead { host, variable, place });
        keys(self, base);
        if let Kind::Item(_, key) = &node.kind {
            self.node(key, false);
        }
        true
    }

    /// `vars['name']` and `vars.name`.
    fn variable_read(&mut self, node: &Node, guarded: bool) -> bool {
        let (base, name) = match &node.kind {
            Kind::Attribute(base, name) => (base, Some(Arc::clone(name))),
            Kind::Item(base, key) => (base, literal(key)),
            _ => return false,
        };
        if !matches!(&base.kind, Kind::Name(name) if &**name == "vars") || self.is_local("vars") {
            return false;
        }
        match name {
            Some(name) => self.read(&name, node.at, guarded),
            None => {
                self.analysis.everything = true;
                if let Kind::Item(_, key) = &node.kind {
                    self.node(key, false);
                }
            }
        }
        true
    }

    /// A string constant that is itself a template.
    fn inner(&mut self, text: &Arc<str>, at: u32) {
        let place = self.place(at);
        let inner = analyze(text, Form::Template);
        let analysis = &mut *self.analysis;
        analysis.names.extend(inner.names.into_iter().map(|read| Read { place, ..read }));
        analysis.hosts.extend(inner.hosts.into_iter().map(|read| HostRead { place, ..read }));
        analysis.lookups.extend(inner.lookups.into_iter().map(|lookup| Lookup { place, ..lookup }));
        analysis.problems.extend(inner.problems.into_iter().map(|problem| Problem { place, ..problem }));
        analysis.everything |= inner.everything;
    }

    fn statements(&mut self, statements: &[Statement]) {
        statements.iter().for_each(|statement| self.statement(statement));
    }

    fn statement(&mut self, statement: &Statement) {
        match statement {
            Statement::Text(_) => {}
            Statement::Emit(node) => self.node(node, false),
            Statement::For(repeat) => self.repeat(repeat),
            Statement::If { test, then, otherwise } => {
                self.node(test, false);
                self.guarded(defined_if(test, true), |walk| walk.statements(then));
                self.guarded(defined_if(test, false), |walk| walk.statements(otherwise));
            }
            Statement::With(assignments, body) => {
                assignments.iter().for_each(|(_, value)| self.node(value, false));
                self.scoped(|walk| {
                    assignments.iter().for_each(|(target, _)| walk.target(target));
                    walk.statements(body);
                });
            }
            Statement::Set(target, value) => {
                self.node(value, false);
                self.target(target);
            }
            Statement::SetBlock(target, filter, body) => {
                if let Some(filter) = filter {
                    self.node(filter, false);
                }
                self.scoped(|walk| walk.statements(body));
                self.target(target);
            }
            Statement::Scope(body) => self.scoped(|walk| walk.statements(body)),
            Statement::Filter(filter, body) => {
                self.node(filter, false);
                self.scoped(|walk| walk.statements(body));
            }
            Statement::Block(_, body) => self.scoped(|walk| walk.statements(body)),
            Statement::Extends(name) | Statement::Include { name, .. } => self.template(name),
            Statement::Import(name, alias) => {
                self.template(name);
                self.bind(alias);
            }
            Statement::FromImport(name, names) => {
                self.template(name);
                names.iter().for_each(|(_, alias)| self.bind(alias));
            }
            Statement::Macro(definition) => {
                self.bind(&definition.name);
                self.macro_body(definition);
            }
            Statement::CallBlock(call, definition) => {
                self.node(call, false);
                self.macro_body(definition);
            }
            Statement::Do(node) => {
                let error = super::Error::syntax("encountered unknown tag 'do'").hint("write `{% set _ = … %}`");
                self.problem(error, node.at);
            }
        }
    }

    fn template(&mut self, name: &Node) {
        let place = self.place(name.at);
        match &name.kind {
            Kind::List(names) | Kind::Tuple(names) => {
                for name in names {
                    self.analysis.templates.push((literal(name), place));
                }
            }
            _ => self.analysis.templates.push((literal(name), place)),
        }
        self.node(name, false);
    }

    fn repeat(&mut self, repeat: &For) {
        self.node(&repeat.iterable, false);
        self.scoped(|walk| {
            walk.target(&repeat.target);
            walk.bind(&"loop".into());
            if let Some(condition) = &repeat.condition {
                walk.node(condition, false);
            }
            walk.statements(&repeat.body);
        });
        self.scoped(|walk| walk.statements(&repeat.otherwise));
    }

    fn macro_body(&mut self, definition: &Macro) {
        definition.parameters.iter().filter_map(|(_, default)| default.as_ref()).for_each(|default| self.node(default, false));
        self.scoped(|walk| {
            definition.parameters.iter().for_each(|(name, _)| walk.bind(name));
            walk.statements(&definition.body);
        });
    }
}

#[cfg(test)]
mod examples {
    use super::*;

    fn names(analysis: &Analysis) -> Vec<(&str, bool)> {
        analysis.names.iter().map(|read| (&*read.name, read.guarded)).collect()
    }

    fn expression(source: &str) -> Analysis {
        analyze(&source.into(), Form::Condition)
    }

    fn template(source: &str) -> Analysis {
        analyze(&source.into(), Form::Template)
    }

    #[test]
    fn names_are_guarded_by_default_and_by_tests() {
        assert_eq!(names(&expression("a == 1")), [("a", false)]);
        assert_eq!(names(&expression("a.b | default(c)")), [("a", true), ("c", false)]);
        assert_eq!(names(&expression("a | upper | default('')")), [("a", true)]);
        assert_eq!(names(&expression("a is defined and a.b == c")), [("a", true), ("a", true), ("c", false)]);
        assert_eq!(names(&expression("a is not defined or a == 1")), [("a", true), ("a", true)]);
        assert_eq!(names(&expression("a is defined or a == 1")), [("a", true), ("a", false)]);
        assert_eq!(names(&template("{% if a is defined %}{{ a }}{% else %}{{ a }}{% endif %}")), [("a", true), ("a", true), ("a", false)]);
        assert_eq!(names(&template("{{ b if b is defined else omit }}")), [("b", true), ("b", true)]);
        assert_eq!(expression("a is defined and not (b is undefined)").defined_if_true.len(), 2);
    }

    #[test]
    fn local_names_are_not_free() {
        assert_eq!(names(&template("{% for x in y %}{{ x }}{{ loop.index }}{% endfor %}{{ x }}")), [("y", false), ("x", false)]);
        assert_eq!(names(&template("{% set a = b %}{{ a }}")), [("b", false)]);
        assert_eq!(names(&template("{% macro m(p, q=d) %}{{ p }}{{ f }}{% endmacro %}{{ m(1) }}")), [("d", false), ("f", false)]);
    }

    #[test]
    fn reads_of_other_hosts_name_host_and_variable() {
        let read = |source: &str| {
            let found = expression(source).hosts;
            found
                .iter()
                .map(|read| (read.host.as_deref().map(str::to_owned), read.variable.as_deref().map(str::to_owned)))
                .collect::<Vec<_>>()
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read("hostvars['web'].port"), [(some("web"), some("port"))]);
        assert_eq!(read("hostvars[item]['port'].x"), [(None, some("port"))]);
        assert_eq!(read("hostvars.web.port"), [(some("web"), some("port"))]);
        assert_eq!(read("hostvars[item].get('port', 1)"), [(None, some("port"))]);
        assert_eq!(read("hostvars[item]"), [(None, None)]);
        assert_eq!(read("hostvars | length"), [(None, None)]);
        assert_eq!(read("groups.web | map('extract', hostvars, ['facts', 'ip']) | list"), [(None, some("facts"))]);
        assert_eq!(names(&expression("hostvars[item].port")), [("item", false)]);
    }

    #[test]
    fn lookups_show_plugin_and_first_term() {
        let found = template("{{ lookup('ansible.builtin.file', 'a.txt') }}{{ query('env', name) }}{{ lookup('vars', 'x', default=1) }}");
        let plain: Vec<_> = found.lookups.iter().map(|lookup| (lookup.plugin.as_deref(), lookup.term.as_deref())).collect();
        assert_eq!(plain, [(Some("file"), Some("a.txt")), (Some("env"), None), (Some("vars"), Some("x"))]);
        assert_eq!(names(&found), [("name", false), ("x", true)]);
    }

    #[test]
    fn mistakes_have_a_place_and_a_suggestion() {
        let found = template("one\n  {{ name | uper }}");
        assert_eq!(found.problems[0].message, "no filter named 'uper'");
        assert_eq!(found.problems[0].hint.as_deref(), Some("did you mean `upper`?"));
        assert_eq!(found.problems[0].place, Place { line: 2, column: 13 });
        let found = expression("name is matches('x')");
        assert_eq!(found.problems[0].message, "no test named 'matches'");
        let found = expression("a == ");
        assert_eq!(found.problems[0].place.line, 1);
        let found = template("{{ users | map('uper') | selectattr('a', 'definde') }}");
        assert_eq!(found.problems.len(), 2);
        let found = template("{{ x | regex_replace(patern='a') }}");
        assert_eq!(found.problems[0].hint.as_deref(), Some("did you mean `pattern`?"));
        let found = template("{{ 'a\\'b' | no }}");
        assert_eq!(found.problems[0].place, Place { line: 1, column: 13 });
    }
}
