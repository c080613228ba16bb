//! Statements: what they read, and the names that they set.

use std::sync::Arc;

use super::scopes::defined_if;
use super::walk::Walk;
use super::{Lookup, terms};
use crate::template::Error;
use crate::template::syntax::{For, Kind, Macro, Node, Statement};

impl Walk<'_> {
    /// A whole text.
    pub fn text(&mut self, statements: &[Statement]) {
        self.scopes.open(statements);
        self.statements(statements);
        self.scopes.close();
    }

    fn statements(&mut self, statements: &[Statement]) {
        statements.iter().for_each(|statement| self.statement(statement));
    }

    fn scoped(&mut self, body: &[Statement], before: impl FnOnce(&mut Self)) {
        self.scopes.open(body);
        before(self);
        self.statements(body);
        self.scopes.close();
    }

    fn statement(&mut self, statement: &Statement) {
        match statement {
            Statement::Text(_) => {}
            Statement::Emit(node) => self.node(node, false),
            Statement::For(repeat) => self.repeat(repeat),
            Statement::If { test, then, otherwise } => self.choice(test, then, otherwise),
            Statement::With(assignments, body) => {
                assignments.iter().for_each(|(_, value)| self.node(value, false));
                self.scoped(body, |walk| assignments.iter().for_each(|(target, _)| walk.scopes.assign(target)));
            }
            Statement::Set(target, value) => {
                self.node(value, false);
                self.scopes.assign(target);
            }
            Statement::SetBlock(target, filter, body) => {
                filter.iter().for_each(|filter| self.node(filter, false));
                self.scoped(body, |_| {});
                self.scopes.assign(target);
            }
            Statement::Scope(body) => self.scoped(body, |_| {}),
            Statement::Filter(filter, body) => {
                self.node(filter, false);
                self.scoped(body, |_| {});
            }
            // Another text, which extends this one or is extended by it, decides when.
            Statement::Block(_, body) => {
                self.scopes.postpone();
                self.scoped(body, |walk| ["self", "super"].map(Arc::from).iter().for_each(|name| walk.scopes.bind(name)));
                self.scopes.catch_up();
            }
            Statement::Extends(name) => self.other_text(name, false),
            Statement::Include { name, ignore_missing } => self.other_text(name, *ignore_missing),
            Statement::Import(name, alias) => {
                self.other_text(name, false);
                self.scopes.bind(alias);
            }
            Statement::FromImport(name, names) => {
                self.other_text(name, false);
                names.iter().for_each(|(_, alias)| self.scopes.bind(alias));
            }
            Statement::Macro(definition) => {
                self.scopes.bind(&definition.name);
                self.body_of(definition);
            }
            Statement::CallBlock(call, definition) => {
                self.node(call, false);
                self.body_of(definition);
            }
            Statement::Do(node) => {
                let error = Error::syntax("encountered unknown tag 'do'").hint("write `{% set _ = … %}`");
                self.problem(error, &"".into(), node.at);
                self.node(node, false);
            }
        }
    }

    fn choice(&mut self, test: &Node, then: &[Statement], otherwise: &[Statement]) {
        self.node(test, false);
        let start = self.scopes.branch();
        self.guarded(defined_if(test, true), |walk| walk.statements(then));
        let first = self.scopes.other_branch(&start);
        self.guarded(defined_if(test, false), |walk| walk.statements(otherwise));
        self.scopes.join(&first);
    }

    fn repeat(&mut self, repeat: &For) {
        self.node(&repeat.iterable, false);
        self.scoped(&repeat.body, |walk| {
            walk.scopes.assign(&repeat.target);
            walk.scopes.bind(&"loop".into());
            repeat.condition.iter().for_each(|condition| walk.node(condition, false));
        });
        self.scoped(&repeat.otherwise, |_| {});
    }

    fn body_of(&mut self, definition: &Macro) {
        definition.parameters.iter().filter_map(|(_, default)| default.as_ref()).for_each(|default| self.node(default, false));
        self.scopes.postpone();
        self.scoped(&definition.body, |walk| {
            definition.parameters.iter().for_each(|(name, _)| walk.scopes.bind(name));
            ["caller", "varargs", "kwargs"].map(Arc::from).iter().for_each(|name| walk.scopes.bind(name));
        });
        self.scopes.catch_up();
    }

    /// `{% include 'file' %}` and its like: as a lookup of a template file. Of a list, the first that is there is taken.
    fn other_text(&mut self, name: &Node, ignore_missing: bool) {
        let optional = ignore_missing || matches!(name.kind, Kind::List(_) | Kind::Tuple(_));
        let (terms, span) = (vec![terms::term(name, &|node| self.span(node))], self.span(name));
        self.reads.lookups.push(Lookup { plugin: "include".into(), terms, optional, span });
        self.hands_on = true;
        self.node(name, false);
    }
}
