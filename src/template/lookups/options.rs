//! What a lookup is told besides its terms: beside them, or, in the older form, inside of them.

use super::super::arguments::{integer, text};
use super::super::{Error, Result, operators, suggest};
use crate::program::{Map, Value};

/// Given options of the known ones; others beside the terms are passed over, as ansible-core does.
pub struct Options {
    lookup: &'static str,
    known: &'static [&'static str],
    given: Map,
}

impl Options {
    pub fn new(lookup: &'static str, known: &'static [&'static str], given: &Map) -> Self {
        Self { lookup, known, given: given.clone() }
    }

    /// Sets one that stands inside of a term: it holds for the terms behind it, too.
    pub fn set(&mut self, name: &str, value: Value) -> Result<()> {
        if !self.known.contains(&name) {
            let error = Error::failed(format!("the '{}' lookup has no option '{name}'", self.lookup));
            let hint = suggest::hint(name, self.known.iter().copied()).unwrap_or_else(|| format!("it has {}", self.known.join(", ")));
            return Err(error.hint(hint));
        }
        self.given.insert(name.into(), value);
        Ok(())
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        self.given.get(name)
    }

    pub fn text(&self, name: &str, default: &str) -> Result<String> {
        self.get(name).filter(|value| !matches!(value, Value::Null)).map_or_else(|| Ok(default.to_owned()), text)
    }

    pub fn integer(&self, name: &str, default: i64) -> Result<i64> {
        let wrong = || Error::failed(format!("'{name}' of the '{}' lookup is a whole number", self.lookup));
        self.get(name).filter(|value| !matches!(value, Value::Null)).map_or(Ok(default), |value| {
            operators::known(value)?;
            integer(value).map_err(|_| wrong())
        })
    }

    /// As Ansible reads a truth: `yes`, `on`, `1`, …
    pub fn truth(&self, name: &str, default: bool) -> Result<bool> {
        let Some(value) = self.get(name).filter(|value| !matches!(value, Value::Null)) else { return Ok(default) };
        operators::known(value)?;
        let word = value.as_str().map(str::to_lowercase);
        Ok(match word.as_deref() {
            Some(word) => matches!(word, "yes" | "true" | "on" | "1" | "y" | "t"),
            None => value.is_truthy(),
        })
    }
}
