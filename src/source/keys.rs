//! Reading mappings of our own formats: known keys, typed values, each mistake with its place.

use super::{Diagnostic, Diagnostics, Node};
use crate::program::Value;

/// A mapping that is read key by key. `what` names it in messages: ``machine `control` ``.
pub struct Keys<'node> {
    node: &'node Node,
    what: String,
}

impl<'node> Keys<'node> {
    /// Anything but a mapping is a mistake; so are keys that are not `known`. Null is an empty mapping.
    pub fn new(node: &'node Node, what: impl Into<String>, known: &[&str], diagnostics: &mut Diagnostics) -> Self {
        let what = what.into();
        if node.as_map().is_none() && !node.is_null() {
            diagnostics.push(expected(node, &what, "a mapping"));
        }
        for (key, _) in node.entries() {
            let name = key.text().unwrap_or_default();
            if !known.contains(&name) {
                let mistake = Diagnostic::at(key, format!("unknown key `{name}` in {what}")).label(format!("known: {}", known.join(", ")));
                diagnostics.push(mistake.suggest(name, known.iter().copied()));
            }
        }
        Self { node, what }
    }

    /// The value of a key that is written and not null.
    pub fn get(&self, name: &str) -> Option<&'node Node> {
        self.node.get(name).filter(|value| !value.is_null())
    }

    fn wrong(&self, name: &str, value: &Node, wanted: &str) -> Diagnostic {
        expected(value, &format!("`{name}` of {}", self.what), wanted)
    }

    /// A text (a number is taken as the text it is written as).
    pub fn text(&self, name: &str, diagnostics: &mut Diagnostics) -> Option<&'node str> {
        let value = self.get(name)?;
        let text = value.text();
        if text.is_none() {
            diagnostics.push(self.wrong(name, value, "a text"));
        }
        text
    }

    pub fn whole(&self, name: &str, diagnostics: &mut Diagnostics) -> Option<u32> {
        let value = self.get(name)?;
        match value.value() {
            Value::Int(number) if u32::try_from(number).is_ok() => u32::try_from(number).ok(),
            _ => {
                diagnostics.push(self.wrong(name, value, "a whole number"));
                None
            }
        }
    }

    /// A truth value; false where it is not written.
    pub fn truth(&self, name: &str, diagnostics: &mut Diagnostics) -> bool {
        match self.get(name).map(|value| (value, value.value())) {
            None => false,
            Some((_, Value::Bool(truth))) => truth,
            Some((value, _)) => {
                diagnostics.push(self.wrong(name, value, "true or false"));
                false
            }
        }
    }

    /// The entries of a mapping; nothing where it is not written.
    pub fn entries(&self, name: &str, diagnostics: &mut Diagnostics) -> &'node [(Node, Node)] {
        let Some(value) = self.get(name) else { return &[] };
        if value.as_map().is_none() {
            diagnostics.push(self.wrong(name, value, "a mapping"));
        }
        value.as_map().unwrap_or_default()
    }

    /// A list of texts, or one text alone.
    pub fn texts(&self, name: &str, diagnostics: &mut Diagnostics) -> Option<Vec<(&'node str, &'node Node)>> {
        let value = self.get(name)?;
        if value.as_map().is_some() {
            diagnostics.push(self.wrong(name, value, "a text or a list of texts"));
            return None;
        }
        let mut texts = Vec::new();
        for item in value.items() {
            match item.text() {
                Some(text) => texts.push((text, item)),
                None => diagnostics.push(self.wrong(name, item, "a text")),
            }
        }
        Some(texts)
    }

    /// A value of its own type; its error is a lowercase phrase.
    pub fn parsed<T>(&self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>, diagnostics: &mut Diagnostics) -> Option<T> {
        let value = self.get(name)?;
        let text = self.text(name, diagnostics)?;
        match parse(text) {
            Ok(parsed) => Some(parsed),
            Err(phrase) => {
                diagnostics.push(Diagnostic::at(value, phrase));
                None
            }
        }
    }
}

fn expected(value: &Node, what: &str, wanted: &str) -> Diagnostic {
    Diagnostic::at(value, format!("{what} is {wanted}, this is {}", value.describe()))
}
