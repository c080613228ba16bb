//! Arguments against their specification.

use std::sync::Arc;

use super::{Declared, Specification, Type};
use crate::module::arguments::{boolean, text};
use crate::program::{Key, Map, Value};

/// What a validation found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// A sentence each, in Ansible's order.
    pub errors: Vec<String>,
    /// Why it cannot be known whether there are more.
    pub unknown: Option<Arc<str>>,
}

impl Specification {
    /// Holds all arguments against it. A name that is not declared is an error.
    pub fn validate(&self, given: Map) -> Verdict {
        let mut validation = Validation::default();
        let mut given = given;
        validation.mapping(self, None, &mut given, &[]);
        if !validation.undeclared.is_empty() {
            validation.undeclared.sort_unstable();
            validation.errors.push(format!("no such argument: {}", validation.undeclared.join("; ")));
        }
        Verdict { errors: validation.errors, unknown: validation.presence.unknown }
    }

    /// Holds one argument by itself against its declaration: no rules over several, nothing about those that are missing.
    pub fn validate_one(&self, name: &str, value: &Value) -> Verdict {
        let Some((name, declared)) = self.find(name) else { return Verdict::default() };
        let declared = Declared { required: false, ..declared.clone() };
        let only = Self { arguments: std::iter::once((Arc::clone(name), declared)).collect() };
        only.validate(crate::map! { &**name => value.clone() })
    }
}

/// Which arguments are there, as far as a plan knows.
#[derive(Default)]
pub(super) struct Presence {
    pub unknown: Option<Arc<str>>,
}

impl Presence {
    /// Whether the value is not known, which is noted: the verdict depends on it.
    pub fn is_unknown(&mut self, value: &Value) -> bool {
        let cause = value.first_unknown();
        if let Some(cause) = cause {
            self.unknown.get_or_insert_with(|| Arc::clone(cause));
        }
        cause.is_some()
    }

    /// More than one of them; one that is not known may be left out yet.
    fn several(&mut self, given: &Map, names: &[Arc<str>]) -> bool {
        let there = names.iter().filter_map(|name| given.get(&**name));
        let (unknown, known): (Vec<&Value>, Vec<&Value>) = there.partition(|value| matches!(value, Value::Unknown(_)));
        if known.len() < 2 && known.len() + unknown.len() > 1 {
            unknown.iter().for_each(|value| _ = self.is_unknown(value));
        }
        known.len() > 1
    }

    /// Any of them, and not all.
    pub fn is_torn(&mut self, given: &Map, names: &[Arc<str>]) -> bool {
        if names.iter().all(|name| given.contains_key(&**name)) {
            return false;
        }
        let there = names.iter().filter_map(|name| given.get(&**name));
        let (unknown, known): (Vec<&Value>, Vec<&Value>) = there.partition(|value| matches!(value, Value::Unknown(_)));
        if known.is_empty() {
            unknown.iter().for_each(|value| _ = self.is_unknown(value));
        }
        !known.is_empty()
    }
}

#[derive(Default)]
struct Validation {
    errors: Vec<String>,
    undeclared: Vec<String>,
    presence: Presence,
}

impl Validation {
    /// One level: the arguments of a role, or of one mapping inside. `around`: whose `options` these are.
    fn mapping(&mut self, specification: &Specification, around: Option<&Declared>, given: &mut Map, path: &[String]) {
        let arguments = &specification.arguments;
        // The last of the aliases wins, over the name itself too.
        for (name, declared) in arguments {
            for alias in &declared.aliases {
                if let Some(value) = given.get(&**alias).cloned() {
                    given.insert(Key::from(Arc::clone(name)), value);
                }
            }
        }
        let declares = |key: &Key| specification.names().any(|name| name == key.text());
        let names = || specification.names().collect::<Vec<_>>().join(", ");
        let undeclared = given.keys().filter(|key| !declares(key));
        self.undeclared.extend(undeclared.map(|key| format!("{} (there are {})", inside(path, &key.text()), names())));
        let rules = around.map(|declared| &declared.rules);
        let exclusive = rules.map(|rules| rules.mutually_exclusive.as_slice()).unwrap_or_default();
        let both: Vec<String> =
            exclusive.iter().filter(|names| self.presence.several(given, names)).map(|names| names.join(", ")).collect();
        if !both.is_empty() {
            self.error(path, format!("exclude each other: {}", both.join("; ")));
        }
        for (name, declared) in arguments {
            if !matches!(declared.default, Value::Null) && !given.contains_key(&**name) {
                given.insert(Key::from(Arc::clone(name)), declared.default.clone());
            }
        }
        let mut missing: Vec<&str> = arguments
            .iter()
            .filter(|(name, declared)| declared.required && !given.contains_key(&***name))
            .map(|(name, _)| &**name)
            .collect();
        missing.sort_unstable();
        if !missing.is_empty() {
            self.error(path, format!("required, and missing: {}", missing.join(", ")));
        }
        for (name, declared) in arguments {
            self.kind(name, declared, given, path);
        }
        for (name, declared) in arguments {
            self.choice(name, declared, given, path);
        }
        if let Some(rules) = rules {
            for message in super::rules::broken(rules, given, &mut self.presence) {
                self.error(path, message);
            }
        }
        for (name, declared) in arguments {
            self.options(name, declared, given, path);
        }
    }

    fn error(&mut self, path: &[String], message: String) {
        self.errors.push(if path.is_empty() { message } else { format!("in `{}`: {message}", path.concat()) });
    }

    fn kind(&mut self, name: &Arc<str>, declared: &Declared, given: &mut Map, path: &[String]) {
        let Some(value) = given.get(&**name) else { return };
        if matches!(value, Value::Null) && !declared.required && matches!(declared.default, Value::Null) {
            return;
        }
        if let Value::Unknown(_) = value {
            if !declared.kind.takes_anything() {
                self.presence.is_unknown(value);
            }
            return;
        }
        let converted = match declared.kind.converted(value) {
            Ok(converted) => converted,
            Err(reason) => {
                let reason = if declared.hides(value) { format!("the value is no {}", declared.kind.name()) } else { reason };
                self.errors.push(format!("argument `{}`: {reason}", inside(path, name)));
                return;
            }
        };
        let converted = match &declared.elements {
            None => converted,
            Some(elements) => match &converted {
                Value::List(items) => Value::list(self.elements(name, declared, elements, items, path)),
                _ => {
                    self.errors.push(format!("argument `{}`: it is no list, and has `elements`", inside(path, name)));
                    converted
                }
            },
        };
        given.insert(Key::from(Arc::clone(name)), converted);
    }

    fn elements(&mut self, name: &str, declared: &Declared, kind: &Type, items: &[Value], path: &[String]) -> Vec<Value> {
        let mut converted = Vec::new();
        for (index, item) in items.iter().enumerate() {
            if matches!(item, Value::Unknown(_)) && !kind.takes_anything() {
                self.presence.is_unknown(item);
            }
            match kind.converted(item) {
                Ok(item) => converted.push(item),
                Err(reason) => {
                    let reason = if declared.hides(item) { format!("the value is no {}", kind.name()) } else { reason };
                    self.errors.push(format!("argument `{}[{index}]`: {reason}", inside(path, name)));
                }
            }
        }
        converted
    }

    fn choice(&mut self, name: &Arc<str>, declared: &Declared, given: &mut Map, path: &[String]) {
        let (Some(choices), Some(value)) = (&declared.choices, given.get(&**name)) else { return };
        let shown = |value: &Value| if declared.hides(value) { "***".to_owned() } else { shown(value) };
        let wrong: Vec<String> = match value {
            Value::List(items) => {
                let items = items.iter().filter(|item| !self.presence.is_unknown(item));
                items.filter(|item| !choices.contains(item)).map(shown).collect()
            }
            value if self.presence.is_unknown(value) || choices.contains(value) => Vec::new(),
            value => match word_of_truth(value, choices) {
                Some(choice) => {
                    let choice = choice.clone();
                    given.insert(Key::from(Arc::clone(name)), choice);
                    Vec::new()
                }
                None => vec![shown(value)],
            },
        };
        if !wrong.is_empty() {
            let choices: Vec<String> = choices.iter().map(self::shown).collect();
            let (what, of) = (wrong.join(", "), choices.join(", "));
            let is = if wrong.len() == 1 { "is" } else { "are" };
            self.errors.push(format!("argument `{}`: {what} {is} none of {of}", inside(path, name)));
        }
    }

    /// What is inside of a mapping, or of each of a list.
    fn options(&mut self, name: &Arc<str>, declared: &Declared, given: &mut Map, path: &[String]) {
        let Some(specification) = &declared.inside else { return };
        let empty = matches!(given.get(&**name), None | Some(Value::Null));
        if empty && declared.apply_defaults {
            given.insert(Key::from(Arc::clone(name)), Map::new().into());
        }
        match given.get(&**name) {
            None | Some(Value::Null) => {}
            Some(Value::List(items)) => {
                for (index, item) in items.clone().iter().enumerate() {
                    self.inner(specification, declared, item, &format!("{name}[{index}]"), path);
                }
            }
            Some(value) => {
                let value = value.clone();
                self.inner(specification, declared, &value, name, path);
            }
        }
    }

    fn inner(&mut self, specification: &Specification, declared: &Declared, value: &Value, name: &str, path: &[String]) {
        match value {
            Value::Map(entries) => {
                let mut below = path.to_vec();
                below.push(if path.is_empty() { name.to_owned() } else { format!(".{name}") });
                self.mapping(specification, Some(declared), &mut (**entries).clone(), &below);
            }
            // Another type was told of already.
            _ => _ = self.presence.is_unknown(value),
        }
    }
}

impl Declared {
    fn hides(&self, value: &Value) -> bool {
        self.secret || value.holds_secret()
    }
}

fn inside(path: &[String], name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{}.{name}", path.concat()) }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        other => text(other).unwrap_or_default(),
    }
}

/// `yes` and `no` that YAML made truths of, where one choice alone is such a word.
fn word_of_truth<'choice>(value: &Value, choices: &'choice [Value]) -> Option<&'choice Value> {
    let truth = match value.as_str()? {
        "True" => true,
        "False" => false,
        _ => return None,
    };
    // Ansible's set has its words in small letters, and numbers.
    let is_word = |choice: &&Value| match choice {
        Value::Text(text) => matches!(text.as_str(), "y" | "yes" | "on" | "1" | "true" | "t" | "n" | "no" | "off" | "0" | "false" | "f"),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => true,
        _ => false,
    };
    let mut words: Vec<&Value> = Vec::new();
    for choice in choices.iter().filter(is_word).filter(|choice| boolean(choice) == Ok(truth)) {
        if !words.contains(&choice) {
            words.push(choice);
        }
    }
    match words.as_slice() {
        [one] => Some(one),
        _ => None,
    }
}
