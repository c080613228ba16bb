//! Jinja2 over our own values: minijinja's parser, our evaluator.

use super::evaluate::Evaluator;
use super::syntax::Options;
use super::{Error, ErrorKind, Result, Scope, lookups};
use crate::program::{Map, Template, Text, Tree, Value};

/// Evaluates user trees and expressions in a scope.
pub struct Jinja<'scope> {
    scope: &'scope dyn Scope,
}

impl<'scope> Jinja<'scope> {
    pub fn new(scope: &'scope dyn Scope) -> Self {
        Self { scope }
    }

    /// The tree's value, fully evaluated: nothing lazy is left inside; entries whose value is `omit` are left out of
    /// maps and lists. A leaf that a plan cannot know is [`Value::Unknown`], the rest of the tree keeps its values.
    pub fn evaluate(&self, tree: &Tree) -> Result<Value> {
        Evaluator::new(self.scope).finalized(tree)
    }

    /// A bare expression's value. What a plan cannot know is [`Value::Unknown`] where it was only passed along, an
    /// error of kind [`ErrorKind::Unknown`] where an operation met it.
    pub fn expression(&self, expression: &Template) -> Result<Value> {
        let evaluator = Evaluator::new(self.scope);
        let value = evaluator.expression(expression)?;
        evaluator.finalize(value).map_err(|error| error.at(expression.span))
    }

    /// A condition (`when`, `until`, …): an expression, or a text with templates, as a truth value. Lists hold if all
    /// their members do. As ansible-core 2.19: a result that is not a boolean is an error.
    pub fn condition(&self, tree: &Tree) -> Result<bool> {
        match tree {
            Tree::Literal(Value::Bool(truth)) => Ok(*truth),
            Tree::Literal(Value::List(items)) => self.all(items.iter().cloned().map(Tree::Literal)),
            Tree::List(items) => self.all(items.iter().cloned()),
            Tree::Literal(Value::Text(text)) => {
                let source = Template { source: text.shared(), span: crate::program::Span::default() };
                self.decide(&source)
            }
            Tree::Template(template) | Tree::Expression(template) => self.decide(template),
            Tree::Literal(Value::Null) => Err(empty()),
            Tree::Literal(Value::Unknown(cause)) => Err(Error::unknown(std::sync::Arc::clone(cause))),
            _ => Err(Error::failed("conditional expressions must be strings")),
        }
    }

    fn all(&self, conditions: impl Iterator<Item = Tree>) -> Result<bool> {
        for condition in conditions {
            if !self.condition(&condition)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn decide(&self, template: &Template) -> Result<bool> {
        let evaluator = Evaluator::new(self.scope);
        let text = template.source.trim();
        if text.is_empty() {
            return Err(empty().at(template.span));
        }
        let wrapped = super::reads::wrapped(text);
        let value = if wrapped { evaluator.template(template) } else { evaluator.conditional(template, true) }?;
        let value = evaluator.resolve(value).map_err(|error| error.at(template.span))?;
        match value {
            Value::Bool(truth) => Ok(truth),
            Value::Unknown(cause) => Err(Error::unknown(cause).at(template.span)),
            Value::Undefined(message) => Err(Error::undefined(&*message).at(template.span)),
            Value::Null if wrapped => Err(empty().at(template.span)),
            Value::Text(_) if wrapped => {
                Err(Error::failed(format!("the condition's template gave a text, which is not evaluated once more: {text}"))
                    .hint("write the condition without {{ }}; add `| bool` where the variable holds a text")
                    .at(template.span))
            }
            other => Err(Error::failed(format!(
                "conditional result ({}) was derived from value of type '{}'; conditionals must have a boolean result",
                if other.is_truthy() { "True" } else { "False" },
                other.type_name()
            ))
            .hint(advice(&other))
            .at(template.span)),
        }
    }

    /// A template file's text rendered to text (the `template` module).
    pub fn render(&self, template: &Template) -> Result<String> {
        self.render_with(template, &Options::file()).map(|text| text.as_str().to_owned())
    }

    /// The same with delimiters and white space of one's own; secret where anything secret was read for it.
    pub fn render_with(&self, template: &Template, options: &Options) -> Result<Text> {
        let evaluator = Evaluator::new(self.scope);
        let value = evaluator.rendered(template, options)?;
        let value = evaluator.finalize(value).map_err(|error| error.at(template.span))?;
        let secret = value.holds_secret();
        match value {
            Value::Null => Ok(Text::new("")),
            Value::Omit => Err(Error::failed("a template file cannot be omitted").at(template.span)),
            Value::Text(text) => Ok(text),
            other => super::python::text(&other).map(|text| Text::new(text).with_secrecy(secret)).map_err(|error| error.at(template.span)),
        }
    }

    /// A lookup by name, as `with_<name>` and `lookup()` do it: what needs no I/O here, the rest from the scope.
    pub fn lookup(&self, plugin: &str, terms: &[Value], options: &Map) -> Result<Vec<Value>> {
        let evaluator = Evaluator::new(self.scope);
        lookups::bare(&evaluator, plugin, terms, options)
    }
}

fn empty() -> Error {
    Error::new(ErrorKind::Failed, "empty conditional expressions are not allowed")
}

fn advice(value: &Value) -> &'static str {
    match value {
        Value::Text(_) => "compare it (`x == 'yes'`), ask for its length (`x | length > 0`) or add `| bool`",
        Value::List(_) | Value::Tuple(_) | Value::Map(_) => "ask for its length: `x | length > 0`",
        Value::Null => "ask `x is not none`",
        _ => "compare it (`x > 0`) or add `| bool`",
    }
}
