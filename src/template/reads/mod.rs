//! What a template reads, and what is wrong with it, found without evaluating it.
//!
//! The compiler of playbooks reports mistakes by it before any connection, finds the files that lookups name, and sends a node only what
//! its own program can read. So a read that may happen counts as one, and a name is [`Name::guarded`] wherever it may be missing.

#[cfg(test)]
mod cases;
mod members;
mod scopes;
mod statements;
mod terms;
mod walk;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::syntax::{self, Body, Options, Parsed};
use super::{Error, lookups};
use crate::program::{Span, Template, Tree};

/// What kind of text it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// A text with templates inside.
    Template,
    /// A bare expression. As `when` has it, it may be a text that is one template throughout, and string constants that hold templates
    /// are rendered.
    Condition,
}

/// What one text reads.
#[derive(Clone, Debug, Default)]
pub struct Reads {
    /// Free names, each place where one is read.
    pub names: Vec<Name>,
    /// Variables of other hosts.
    pub hosts: Vec<HostRead>,
    pub lookups: Vec<Lookup>,
    /// Lookups that are not there.
    pub unknown: Vec<Unknown>,
    /// Filters and tests that are not there, arguments that a filter does not take.
    pub problems: Vec<Problem>,
    /// Names whose author knows that they may be missing: tested with `is defined` somewhere, or set for a text that is included.
    pub tested: BTreeSet<Arc<str>>,
    /// It may read any variable: `vars` as a whole, `lookup('vars', name)` with a name that is not written out.
    pub everything: bool,
}

/// A variable that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub name: Arc<str>,
    /// Byte in the text; inside of a string constant, the constant's.
    pub at: u32,
    /// The text copes with it being undefined: by `default`, `is defined`, a branch of such a test, or a value of its own.
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

/// `lookup('plugin', term, …)`; templates that are included, imported or extended are lookups of the plugin `include`.
#[derive(Clone, Debug)]
pub struct Lookup {
    pub plugin: Arc<str>,
    /// Terms as far as they are written out; others are templates.
    pub terms: Vec<Tree>,
    /// Nothing is wrong where none of them is there.
    pub optional: bool,
    pub span: Span,
}

/// A lookup that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    pub name: Arc<str>,
    /// As [`Name::at`].
    pub at: u32,
}

/// A mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub message: String,
    pub hint: Option<String>,
    /// What it is about, which stands at `at` or shortly behind it. Empty: that place only.
    pub word: Arc<str>,
    /// As [`Name::at`].
    pub at: u32,
}

/// All lookups that are there.
pub fn lookup_names() -> impl Iterator<Item = &'static str> {
    lookups::table::names()
}

/// What a text reads; or its mistake of syntax.
pub fn of(template: &Template, form: Form) -> Result<Reads, Problem> {
    let parsed = match form {
        Form::Condition if !wrapped(&template.source) => syntax::expression(&template.source),
        Form::Template | Form::Condition => syntax::template(&template.source, &Options::default()),
    };
    walked(parsed, template, form == Form::Condition)
}

/// What a template file with delimiters of its own reads; or its mistake of syntax.
pub fn of_file(template: &Template, options: &Options) -> Result<Reads, Problem> {
    walked(syntax::template(&template.source, options), template, false)
}

fn walked(parsed: super::Result<Arc<Parsed>>, template: &Template, condition: bool) -> Result<Reads, Problem> {
    let parsed = parsed.map_err(|error| malformed(error, &template.source))?;
    let mut walk = walk::Walk::new(&parsed, template.span, condition);
    match &parsed.body {
        Body::Template(statements) => walk.text(statements),
        Body::Expression(node) => walk.node(node, false),
    }
    Ok(walk.finish())
}

/// Whether a condition's text is one template throughout.
pub fn wrapped(source: &str) -> bool {
    let text = source.trim();
    ["{{", "{%", "{#"].iter().any(|start| text.starts_with(start)) && ["}}", "%}", "#}"].iter().any(|end| text.ends_with(end))
}

/// A syntax error, whose place is a line and a column of the text.
fn malformed(error: Error, source: &str) -> Problem {
    let at = error.span.map_or(0, |place| {
        let lines = source.split_inclusive('\n');
        let line: usize = lines.clone().take(place.line.saturating_sub(1) as usize).map(str::len).sum();
        let rest = &source[line..];
        line + rest.char_indices().nth(place.column.saturating_sub(1) as usize).map_or(rest.len(), |(index, _)| index)
    });
    Problem { message: error.message, hint: error.hint, word: "".into(), at: at as u32 }
}
