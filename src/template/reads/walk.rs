//! Expressions: what they read, and what they use that is not there.

use std::sync::Arc;

use minijinja::machinery::ast::BinOpKind;

use super::members::{parts, positional};
use super::scopes::{Bound, Names, Scopes, defined_if, in_vars, root};
use super::terms::literal;
use super::{Form, HostRead, Name, Problem, Reads};
use crate::program::{Span, Template};
use crate::template::filters::{self, Filter};
use crate::template::syntax::{Argument, Kind, Node, Parsed, short_name};
use crate::template::{Error, functions, suggest, tests};

/// Names that the evaluator itself knows, if no variable is called so.
const GLOBALS: &[&str] = &["loop", "self", "super", "caller", "varargs", "kwargs"];

pub struct Walk<'text> {
    parsed: &'text Parsed,
    start: Span,
    pub reads: Reads,
    pub scopes: Scopes,
    /// Whether string constants with templates inside are rendered here.
    pub embedded: bool,
    /// Whether another text sees what this one sets.
    pub hands_on: bool,
}

impl<'text> Walk<'text> {
    pub fn new(parsed: &'text Parsed, start: Span, embedded: bool) -> Self {
        Self { parsed, start, reads: Reads::default(), scopes: Scopes::default(), embedded, hands_on: false }
    }

    pub fn finish(mut self) -> Reads {
        if self.hands_on {
            self.reads.tested.append(&mut self.scopes.ever);
        }
        self.reads
    }

    pub fn span(&self, node: &Node) -> Span {
        self.parsed.span(self.start, node.at)
    }

    /// The place in the whole text, a `#jinja2:` line counted.
    pub fn byte(&self, at: u32) -> u32 {
        at + self.parsed.skipped
    }

    pub fn problem(&mut self, error: Error, word: &Arc<str>, at: u32) {
        let at = self.byte(at);
        self.reads.problems.push(Problem { message: error.message, hint: error.hint, word: Arc::clone(word), at });
    }

    pub fn guarded(&mut self, names: Names, run: impl FnOnce(&mut Self)) {
        self.scopes.guard(names);
        run(self);
        self.scopes.unguard();
    }

    /// A name as it is written.
    pub fn read(&mut self, name: &Arc<str>, at: u32, guarded: bool) {
        let bound = self.scopes.bound(name);
        if bound == Bound::Surely || &**name == "omit" {
            return;
        }
        let known = GLOBALS.contains(&&**name) || functions::NAMES.contains(&&**name);
        self.read_variable(name, at, guarded || known || bound == Bound::Perhaps);
    }

    /// A variable, whatever the text calls so itself.
    pub fn read_variable(&mut self, name: &Arc<str>, at: u32, guarded: bool) {
        match &**name {
            "hostvars" => self.reads.hosts.push(HostRead { host: None, variable: None }),
            "vars" => self.reads.everything = true,
            _ => {
                // A condition that copes with it: its author knows that it may be missing.
                if guarded && self.embedded {
                    self.reads.tested.insert(Arc::clone(name));
                }
                let guarded = guarded || self.scopes.is_guarded(name);
                let at = self.byte(at);
                self.reads.names.push(Name { name: Arc::clone(name), at, guarded });
            }
        }
    }

    /// `'name' in vars`.
    fn asks_for(&mut self, node: &Node) -> bool {
        let Some(name) = in_vars(node).filter(|_| self.scopes.bound("vars") == Bound::Free) else { return false };
        self.reads.tested.insert(Arc::clone(&name));
        self.read_variable(&name, node.at, true);
        true
    }

    /// `guarded`: an undefined value does no harm here.
    pub fn node(&mut self, node: &Node, guarded: bool) {
        match &node.kind {
            Kind::Const(_) => {}
            Kind::Embedded(text) => self.inner(text, node),
            Kind::Name(name) => self.read(name, node.at, guarded),
            Kind::Slice { of, start, stop, step } => {
                self.node(of, guarded);
                [start, stop, step].into_iter().flatten().for_each(|part| self.node(part, false));
            }
            Kind::Not(inner) | Kind::Negate(inner) => self.node(inner, false),
            Kind::Binary(operator @ (BinOpKind::ScAnd | BinOpKind::ScOr), left, right) => {
                self.node(left, false);
                self.guarded(defined_if(left, matches!(operator, BinOpKind::ScAnd)), |walk| walk.node(right, guarded));
            }
            Kind::Binary(..) | Kind::Compare(..) if self.asks_for(node) => {}
            Kind::Binary(_, left, right) => [left, right].into_iter().for_each(|side| self.node(side, false)),
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
            Kind::Filter { name, input, arguments } => self.filter(node, name, input.as_deref(), arguments, guarded),
            Kind::Test { name, input, arguments } => {
                if tests::find(name).is_none() {
                    self.problem(tests::unknown(name), name, node.at);
                }
                let asks = matches!(&**name, "defined" | "undefined");
                if asks && let Some(tested) = root(input) {
                    self.reads.tested.insert(Arc::clone(tested));
                }
                self.node(input, asks || guarded);
                self.arguments(arguments, guarded);
            }
            Kind::Attribute(..) | Kind::Item(..) => {
                if let Some((of, key)) = parts(node) {
                    self.member(node, of, key, guarded);
                }
            }
            Kind::Call(callee, arguments) => self.call(node, callee, arguments, guarded),
            // One member may be asked for: `[a, b] | select('defined') | first`, `[a] | first | default('')`.
            Kind::List(items) | Kind::Tuple(items) => items.iter().for_each(|item| self.node(item, guarded)),
            Kind::Map(entries) => entries.iter().for_each(|(key, value)| {
                self.node(key, false);
                self.node(value, guarded);
            }),
        }
    }

    pub fn arguments(&mut self, arguments: &[Argument], guarded: bool) {
        for argument in arguments {
            let (Argument::Positional(node) | Argument::Named(_, node) | Argument::Spread(node) | Argument::SpreadNamed(node)) = argument;
            self.node(node, guarded);
        }
    }

    fn filter(&mut self, node: &Node, name: &Arc<str>, input: Option<&Node>, arguments: &[Argument], guarded: bool) {
        let filter = filters::find(name);
        match filter {
            None => self.problem(filters::unknown(name), name, node.at),
            Some(filter) => self.parameters(node, filter, arguments),
        }
        let positional: Vec<&Node> = positional(arguments);
        let handed = self.handed_on(node, name, &positional);
        let done = match (&**name, handed.as_deref()) {
            ("extract", _) => self.extracted(input, &positional, false),
            ("map", Some("extract")) => self.extracted(input, &positional, true),
            _ => 0,
        };
        // A container is defined whatever is in it.
        let whole = !input.is_some_and(|input| matches!(input.kind, Kind::List(_) | Kind::Tuple(_) | Kind::Map(_)));
        let copes = match (&**name, handed.as_deref()) {
            ("default" | "d", _) => whole,
            ("map", Some("default" | "d")) | ("select", Some("defined")) | ("reject", Some("undefined")) => true,
            _ => false,
        };
        // All others give an undefined value back.
        let guarded = guarded && &**name != "mandatory";
        if let Some(input) = input {
            self.node(input, copes || guarded);
        }
        self.arguments(&arguments[done.min(arguments.len())..], guarded);
    }

    /// Arguments that a filter does not take.
    fn parameters(&mut self, node: &Node, filter: &Filter, arguments: &[Argument]) {
        if filter.parameters.contains(&"**") {
            return;
        }
        let known = filter.parameters.iter().map(|parameter| parameter.trim_end_matches('!')).filter(|name| *name != "*");
        for argument in arguments {
            if let Argument::Named(given, _) = argument
                && !known.clone().any(|known| known == &**given)
            {
                let mut error = Error::syntax(format!("the filter '{}' has no argument '{given}'", filter.name));
                error.hint = suggest::hint(given, known.clone());
                self.problem(error, given, node.at);
            }
        }
    }

    /// The filter or test that another filter is given by name.
    fn handed_on(&mut self, node: &Node, name: &str, positional: &[&Node]) -> Option<Arc<str>> {
        let at = match name {
            "map" | "select" | "reject" => 0,
            "selectattr" | "rejectattr" => 1,
            _ => return None,
        };
        let given = literal(positional.get(at)?)?;
        let short = short_name(&given);
        if name == "map" {
            if filters::find(&short).is_none() {
                self.problem(filters::unknown(&given), &given, node.at);
            }
        } else if tests::find(&short).is_none() {
            self.problem(tests::unknown(&given), &given, node.at);
        }
        Some(short)
    }

    fn call(&mut self, node: &Node, callee: &Node, arguments: &[Argument], guarded: bool) {
        match &callee.kind {
            Kind::Name(name) if matches!(&**name, "lookup" | "query" | "q") && self.scopes.bound(name) == Bound::Free => {
                return self.lookup(node, arguments, guarded);
            }
            Kind::Name(name) if functions::NAMES.contains(&&**name) => {}
            // A method; a mapping's `get` reads one member.
            Kind::Attribute(of, method) => {
                let name = match arguments.first() {
                    Some(Argument::Positional(first)) if &**method == "get" => literal(first),
                    _ => None,
                };
                if !name.is_some_and(|name| self.got(callee, of, &name)) {
                    self.node(of, guarded);
                }
            }
            _ => self.node(callee, guarded),
        }
        self.arguments(arguments, guarded);
    }

    /// A string constant that is itself a template.
    fn inner(&mut self, text: &Arc<str>, node: &Node) {
        if !self.embedded {
            return;
        }
        let at = self.byte(node.at);
        match super::of(&Template { source: Arc::clone(text), span: self.span(node) }, Form::Template) {
            Ok(inner) => {
                self.reads.names.extend(inner.names.into_iter().map(|name| Name { at, ..name }));
                self.reads.hosts.extend(inner.hosts);
                self.reads.lookups.extend(inner.lookups);
                self.reads.unknown.extend(inner.unknown.into_iter().map(|unknown| super::Unknown { at, ..unknown }));
                self.reads.problems.extend(inner.problems.into_iter().map(|problem| Problem { at, ..problem }));
                self.reads.tested.extend(inner.tested);
                self.reads.everything |= inner.everything;
            }
            Err(problem) => self.reads.problems.push(Problem { at, ..problem }),
        }
    }
}
