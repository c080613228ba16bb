//! YAML text → [`Value`], typed as Helm types it; the tree with its places is `source`'s.

use std::path::Path;
use std::rc::Rc;

use super::print;
use super::scalar;
use super::value::Value;
use crate::source::{Diagnostics, Node, NodeKind, Sources, yaml};

/// A node's value. A key that is no text becomes one, as in JSON: `yes:` is `"true"`.
pub fn value(node: &Node) -> Value {
    match &node.kind {
        NodeKind::Scalar(scalar) => match node.tag.as_deref() {
            Some("!!str" | "!!binary") => Value::text(&*scalar.text),
            Some("!!int" | "!!float" | "!!bool" | "!!null") => scalar::plain(&scalar.text),
            _ if scalar.plain => scalar::plain(&scalar.text),
            _ => Value::text(&*scalar.text),
        },
        NodeKind::List(items) => Value::list(items.iter().map(value).collect()),
        NodeKind::Map(entries) => Value::map(entries.iter().map(|(key, entry)| (key_text(key), value(entry))).collect()),
    }
}

fn key_text(key: &Node) -> Rc<str> {
    match value(key) {
        Value::Text(text) => text,
        // `1000000:` is a whole number there, not `1e+06`.
        Value::Float(number) if number.fract() == 0.0 => format!("{number:.0}").into(),
        Value::Nil => "null".into(),
        other => print::plain(&other).into(),
    }
}

/// The first document of a text that a template made: `fromYaml`. The error is one sentence.
pub fn from_text(text: &str) -> Result<Value, String> {
    let mut sources = Sources::default();
    let mut diagnostics = Diagnostics::default();
    let file = sources.add("the text", Path::new("the text"), text);
    if let Some(documents) = yaml::documents(&sources, file, &mut diagnostics) {
        return Ok(documents.first().map(value).unwrap_or_default());
    }
    let first = diagnostics.iter().next();
    Err(first.map_or_else(|| "no YAML".to_owned(), |found| format!("line {}: {}", found.span.line, found.message)))
}
