//! A specification as YAML gives it, and what is wrong with it.

use std::sync::Arc;

use super::rules::{self, Rules};
use super::{Declared, Specification, Type};
use crate::module::arguments::{article, boolean};
use crate::program::Value;

/// What may stand in an argument's declaration. Other words say nothing.
pub const KEYS: &[&str] = &[
    "type",
    "elements",
    "required",
    "default",
    "choices",
    "options",
    "aliases",
    "mutually_exclusive",
    "required_together",
    "required_one_of",
    "required_if",
    "required_by",
    "no_log",
    "apply_defaults",
    "description",
    "version_added",
];

/// How much a mistake in a specification matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// It says nothing: Ansible passes over it.
    Idle,
    /// Whoever gives the argument fails.
    WhereGiven,
    /// Every validation fails.
    Always,
}

/// A mistake in a specification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Keys from the mapping of arguments on.
    pub path: Vec<Arc<str>>,
    pub message: String,
    pub weight: Weight,
    /// A word that may be a slip of one of these.
    pub word: Option<(Arc<str>, &'static [&'static str])>,
}

impl Specification {
    /// Reads a mapping of names to declarations.
    pub fn read(value: &Value) -> (Self, Vec<Problem>) {
        let mut reader = Reader::default();
        let specification = reader.specification(value);
        (specification, reader.problems)
    }
}

#[derive(Default)]
pub(super) struct Reader {
    path: Vec<Arc<str>>,
    problems: Vec<Problem>,
}

impl Reader {
    pub fn problem(&mut self, weight: Weight, message: String) {
        self.problems.push(Problem { path: self.path.clone(), message, weight, word: None });
    }

    /// The same of a key or value that may be a slip.
    fn slip(&mut self, weight: Weight, message: String, word: &str, of: &'static [&'static str]) {
        self.problems.push(Problem { path: self.path.clone(), message, weight, word: Some((word.into(), of)) });
    }

    /// Reads what stands below a key; nothing where it is not there or not known.
    pub fn below<T>(&mut self, of: &Value, key: &str, read: impl FnOnce(&mut Self, &Value) -> T) -> Option<T> {
        let value = of.get(key).filter(|value| !matches!(value, Value::Null | Value::Unknown(_)))?;
        self.path.push(key.into());
        let read = read(self, value);
        self.path.pop();
        Some(read)
    }

    /// A list of texts, or one text.
    pub fn names(&mut self, value: &Value) -> Vec<Arc<str>> {
        let one = std::slice::from_ref(value);
        let mut names = Vec::new();
        for item in value.as_list().unwrap_or(one) {
            match item {
                Value::Unknown(_) => {}
                Value::Text(text) => names.push(text.shared()),
                other => self.problem(Weight::Always, format!("expected names of arguments, found {}", article(other))),
            }
        }
        names
    }

    fn specification(&mut self, value: &Value) -> Specification {
        let mut specification = Specification::default();
        match value {
            Value::Unknown(_) => {}
            Value::Map(entries) => {
                for (key, declaration) in entries.iter() {
                    let name: Arc<str> = (*key.text()).into();
                    self.path.push(Arc::clone(&name));
                    let declared = self.declared(&name, declaration);
                    self.path.pop();
                    specification.arguments.insert(name, declared);
                }
            }
            other => self.problem(Weight::Always, format!("expected a mapping of arguments, found {}", article(other))),
        }
        specification
    }

    fn declared(&mut self, name: &str, value: &Value) -> Declared {
        if let Value::Unknown(_) = value {
            return Declared { kind: Type::Raw, ..Declared::default() };
        }
        let Some(entries) = value.as_map() else {
            let message = format!("the argument `{name}` must be declared by a mapping, found {}", article(value));
            self.problem(Weight::Always, message);
            return Declared { kind: Type::Raw, ..Declared::default() };
        };
        for key in entries.keys() {
            let word = key.text();
            if !KEYS.contains(&&*word) {
                self.path.push((*word).into());
                self.slip(Weight::Idle, format!("`{word}` says nothing in an argument's declaration"), &word, KEYS);
                self.path.pop();
            }
        }
        let truth = |reader: &mut Self, key: &str| {
            let truth = reader.below(value, key, |reader, value| {
                boolean(value).unwrap_or_else(|message| {
                    reader.problem(Weight::Always, format!("`{key}`: {message}"));
                    false
                })
            });
            truth.unwrap_or(false)
        };
        let unknown = |key: &str| matches!(value.get(key), Some(Value::Unknown(_)));
        let mut declared = Declared {
            kind: if unknown("type") { Type::Raw } else { self.kind(value, "type").unwrap_or_default() },
            elements: self.kind(value, "elements"),
            required: truth(self, "required"),
            default: value.get("default").cloned().unwrap_or_default(),
            secret: truth(self, "no_log"),
            apply_defaults: truth(self, "apply_defaults"),
            aliases: self.below(value, "aliases", Self::list_of_names).unwrap_or_default(),
            choices: self.below(value, "choices", Self::choices).flatten(),
            inside: self.below(value, "options", Self::specification),
            rules: Rules::default(),
        };
        declared.rules = rules::read(self, value);
        if declared.required && !matches!(declared.default, Value::Null) {
            self.problem(Weight::Always, format!("the argument `{name}` is required and has a default: one of them must go"));
        }
        if declared.elements.is_some() && declared.kind != Type::List && !unknown("type") {
            self.path.push("elements".into());
            self.problem(Weight::WhereGiven, format!("the argument `{name}` has `elements` and is no list: write `type: list`"));
            self.path.pop();
        }
        let nests = declared.kind == Type::Dict || (declared.kind == Type::List && declared.elements == Some(Type::Dict));
        if declared.inside.is_some() && !nests && !unknown("type") && !unknown("elements") {
            self.path.push("options".into());
            let message = format!("the `options` of `{name}` say nothing: it is no `dict`, and no `list` with `elements: dict`");
            self.problem(Weight::Idle, message);
            self.path.pop();
            declared.inside = None;
        }
        declared
    }

    fn kind(&mut self, value: &Value, key: &str) -> Option<Type> {
        self.below(value, key, |reader, value| {
            let kind = match value.as_str() {
                Some(name) => Type::named(name),
                None => Type::Unknown(article(value).into()),
            };
            if let Type::Unknown(name) = &kind {
                reader.slip(Weight::WhereGiven, format!("unknown type `{name}`"), name, Type::NAMES);
            }
            kind
        })
    }

    fn list_of_names(&mut self, value: &Value) -> Vec<Arc<str>> {
        if value.as_list().is_none() {
            self.problem(Weight::Always, format!("expected a list of names, found {}", article(value)));
            return Vec::new();
        }
        self.names(value)
    }

    fn choices(&mut self, value: &Value) -> Option<Vec<Value>> {
        let choices = value.as_list().map(<[Value]>::to_vec);
        if choices.is_none() {
            self.problem(Weight::Always, format!("`choices` must be a list, found {}", article(value)));
        }
        choices.filter(|choices| choices.iter().all(|choice| choice.first_unknown().is_none()))
    }
}
