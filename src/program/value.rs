//! The values of variables and results: Ansible's (JSON's) types, with secrecy carried by each text.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use indexmap::IndexMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::tree::Tree;

/// A value. `Lazy`, `HostVars` and `Host` occur only while an expression is evaluated, never in a result;
/// `Unknown` occurs only in plans.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub enum Value {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Text),
    List(Arc<Vec<Value>>),
    /// Python's tuple: a list that renders as `(1, 2)`.
    Tuple(Arc<Vec<Value>>),
    Map(Arc<Map>),
    /// Ansible's `omit`: the argument it is given to is left out.
    Omit,
    /// Not known before something was done; the text says because of what.
    Unknown(Arc<str>),
    /// A user's tree that is evaluated part by part when it is read.
    #[serde(skip)]
    Lazy(Arc<Tree>),
    /// `hostvars`.
    #[serde(skip)]
    HostVars,
    /// `hostvars[name]`.
    #[serde(skip)]
    Host(Arc<str>),
    /// A name without a value; using it is an error, `default` and `is defined` accept it. Holds what was looked up.
    #[serde(skip)]
    Undefined(Arc<str>),
}

/// A string and whether it is (made from) a secret.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text {
    text: Arc<str>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    secret: bool,
}

impl Text {
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self { text: text.into(), secret: false }
    }

    pub fn secret(text: impl Into<Arc<str>>) -> Self {
        Self { text: text.into(), secret: true }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn is_secret(&self) -> bool {
        self.secret
    }

    /// The same text, secret if it was or `secret` is true.
    #[must_use]
    pub fn with_secrecy(mut self, secret: bool) -> Self {
        self.secret |= secret;
        self
    }

    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.secret { f.write_str("\"***\"") } else { fmt::Debug::fmt(&*self.text, f) }
    }
}

/// A mapping's key: what YAML and Python allow as hashable scalars.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Text(Arc<str>),
    Int(i64),
    Bool(bool),
    Null,
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            // Just as `str` hashes, so that a map is looked up by `&str` (see `Equivalent` below).
            Key::Text(text) => (**text).hash(state),
            Key::Int(number) => (1u8, number).hash(state),
            Key::Bool(truth) => (2u8, truth).hash(state),
            Key::Null => 3u8.hash(state),
        }
    }
}

impl indexmap::Equivalent<Key> for str {
    fn equivalent(&self, key: &Key) -> bool {
        matches!(key, Key::Text(text) if **text == *self)
    }
}

impl Key {
    /// The key as a value.
    pub fn value(&self) -> Value {
        match self {
            Key::Text(text) => Value::text(Arc::clone(text)),
            Key::Int(number) => Value::Int(*number),
            Key::Bool(truth) => Value::Bool(*truth),
            Key::Null => Value::Null,
        }
    }

    /// The value as a key; `None` for what Python cannot hash, and for floats that are no integers.
    pub fn from_value(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Text(text) => Key::Text(text.shared()),
            Value::Int(number) => Key::Int(*number),
            Value::Float(number) if number.fract() == 0.0 => Key::Int(*number as i64),
            Value::Bool(truth) => Key::Bool(*truth),
            Value::Null => Key::Null,
            _ => return None,
        })
    }

    /// As text: how the key reads in a path or a JSON document.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Key::Text(text) => Cow::Borrowed(text),
            Key::Int(number) => Cow::Owned(number.to_string()),
            Key::Bool(truth) => Cow::Borrowed(if *truth { "True" } else { "False" }),
            Key::Null => Cow::Borrowed("None"),
        }
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Key::Text(text.into())
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Key::Text(text.into())
    }
}

impl From<Arc<str>> for Key {
    fn from(text: Arc<str>) -> Self {
        Key::Text(text)
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // A tagged text keeps maps with non-text keys writable in any format.
        match self {
            Key::Text(text) if !text.starts_with('\u{1}') => serializer.serialize_str(text),
            Key::Text(text) => serializer.collect_str(&format_args!("\u{1}t{text}")),
            Key::Int(number) => serializer.collect_str(&format_args!("\u{1}i{number}")),
            Key::Bool(truth) => serializer.collect_str(&format_args!("\u{1}b{truth}")),
            Key::Null => serializer.serialize_str("\u{1}n"),
        }
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let Some(tagged) = text.strip_prefix('\u{1}') else { return Ok(text.into()) };
        let bad = || serde::de::Error::custom(format!("malformed key {text:?}"));
        let mut letters = tagged.chars();
        match letters.next() {
            Some('t') => Ok(letters.as_str().into()),
            Some('i') => letters.as_str().parse().map(Key::Int).map_err(|_| bad()),
            Some('b') => letters.as_str().parse().map(Key::Bool).map_err(|_| bad()),
            Some('n') => Ok(Key::Null),
            _ => Err(bad()),
        }
    }
}

/// An ordered mapping.
pub type Map = IndexMap<Key, Value>;

impl Value {
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Value::Text(Text::new(text))
    }

    pub fn list(items: Vec<Value>) -> Self {
        Value::List(Arc::new(items))
    }

    pub fn map(entries: Map) -> Self {
        Value::Map(Arc::new(entries))
    }

    pub fn unknown(cause: impl Into<Arc<str>>) -> Self {
        Value::Unknown(cause.into())
    }

    /// The text of a string value (a secret one too: the caller is the one who shows it or not).
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        }
    }

    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Value::List(items) | Value::Tuple(items) => Some(items),
            _ => None,
        }
    }

    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// A member of a mapping by its text key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_map()?.get(key)
    }

    /// Python's truth.
    pub fn is_truthy(&self) -> bool {
        match self {
            Value::Null | Value::Undefined(_) | Value::Omit => false,
            Value::Bool(truth) => *truth,
            Value::Int(number) => *number != 0,
            Value::Float(number) => *number != 0.0,
            Value::Text(text) => !text.as_str().is_empty(),
            Value::List(items) | Value::Tuple(items) => !items.is_empty(),
            Value::Map(entries) => !entries.is_empty(),
            Value::Unknown(_) | Value::Lazy(_) | Value::HostVars | Value::Host(_) => true,
        }
    }

    /// Python's name of the type, as error messages of templates show it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "NoneType",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::Text(_) => "str",
            Value::List(_) => "list",
            Value::Tuple(_) => "tuple",
            Value::Map(_) | Value::HostVars | Value::Host(_) => "dict",
            Value::Omit => "omit",
            Value::Unknown(_) => "unknown",
            Value::Lazy(tree) => match &**tree {
                Tree::List(_) => "list",
                Tree::Map(_) => "dict",
                _ => "str",
            },
            Value::Undefined(_) => "undefined",
        }
    }

    /// Whether any text inside is secret.
    pub fn holds_secret(&self) -> bool {
        match self {
            Value::Text(text) => text.is_secret(),
            Value::List(items) | Value::Tuple(items) => items.iter().any(Value::holds_secret),
            Value::Map(entries) => entries.values().any(Value::holds_secret),
            _ => false,
        }
    }

    /// The same value with every text inside marked secret.
    #[must_use]
    pub fn into_secret(self) -> Self {
        match self {
            Value::Text(text) => Value::Text(text.with_secrecy(true)),
            Value::List(items) => Value::list(items.iter().cloned().map(Value::into_secret).collect()),
            Value::Tuple(items) => Value::Tuple(Arc::new(items.iter().cloned().map(Value::into_secret).collect())),
            Value::Map(entries) => Value::map(entries.iter().map(|(key, value)| (key.clone(), value.clone().into_secret())).collect()),
            other => other,
        }
    }

    /// The first cause of an unknown inside, if there is one.
    pub fn first_unknown(&self) -> Option<&Arc<str>> {
        match self {
            Value::Unknown(cause) => Some(cause),
            Value::List(items) | Value::Tuple(items) => items.iter().find_map(Value::first_unknown),
            Value::Map(entries) => entries.values().find_map(Value::first_unknown),
            _ => None,
        }
    }

    /// As JSON: tuples are lists, keys are texts, secrets are `***` unless `reveal`.
    pub fn to_json(&self, reveal: bool) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            Value::Null | Value::Omit | Value::Undefined(_) => Json::Null,
            Value::Bool(truth) => Json::Bool(*truth),
            Value::Int(number) => (*number).into(),
            Value::Float(number) => serde_json::Number::from_f64(*number).map_or(Json::Null, Json::Number),
            Value::Text(text) if text.is_secret() && !reveal => Json::String("***".to_owned()),
            Value::Text(text) => Json::String(text.as_str().to_owned()),
            Value::List(items) | Value::Tuple(items) => Json::Array(items.iter().map(|item| item.to_json(reveal)).collect()),
            Value::Map(entries) => {
                Json::Object(entries.iter().map(|(key, value)| (key.text().into_owned(), value.to_json(reveal))).collect())
            }
            Value::Unknown(cause) => Json::String(format!("<unknown: {cause}>")),
            Value::Lazy(_) | Value::HostVars | Value::Host(_) => Json::String("<not evaluated>".to_owned()),
        }
    }
}

/// Python's equality: `1 == 1.0`, `True == 1`, lists and tuples differ, maps by content.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) | (Value::Omit, Value::Omit) | (Value::HostVars, Value::HostVars) => true,
            (Value::Text(a), Value::Text(b)) => a.as_str() == b.as_str(),
            (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => a == b,
            (Value::Map(a), Value::Map(b)) => a == b,
            (Value::Host(a), Value::Host(b)) => a == b,
            (Value::Unknown(a), Value::Unknown(b)) => a == b,
            (Value::Undefined(_), Value::Undefined(_)) => true,
            (a, b) => match (a.number(), b.number()) {
                (Some(Number::Int(a)), Some(Number::Int(b))) => a == b,
                (Some(a), Some(b)) => a.float() == b.float(),
                _ => false,
            },
        }
    }
}

/// A value as Python's arithmetic sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    Int(i64),
    Float(f64),
}

impl Number {
    pub fn float(self) -> f64 {
        match self {
            Number::Int(number) => number as f64,
            Number::Float(number) => number,
        }
    }
}

impl Value {
    /// Integers, floats and booleans as numbers.
    pub fn number(&self) -> Option<Number> {
        match self {
            Value::Int(number) => Some(Number::Int(*number)),
            Value::Float(number) => Some(Number::Float(*number)),
            Value::Bool(truth) => Some(Number::Int(i64::from(*truth))),
            _ => None,
        }
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Value::Bool(truth)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Int(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Value::Float(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::text(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::text(text)
    }
}

impl From<Arc<str>> for Value {
    fn from(text: Arc<str>) -> Self {
        Value::text(text)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Self {
        Value::list(items.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

impl From<Map> for Value {
    fn from(entries: Map) -> Self {
        Value::map(entries)
    }
}

impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match json {
            Json::Null => Value::Null,
            Json::Bool(truth) => Value::Bool(truth),
            Json::Number(number) => number.as_i64().map_or_else(|| Value::Float(number.as_f64().unwrap_or(f64::NAN)), Value::Int),
            Json::String(text) => Value::text(text),
            Json::Array(items) => Value::list(items.into_iter().map(Value::from).collect()),
            Json::Object(entries) => Value::map(entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect()),
        }
    }
}

/// A [`Map`] written in place: `map! { "name" => value, … }`, each value anything that is `Into<Value>`.
#[macro_export]
macro_rules! map {
    ($($key:expr => $value:expr),* $(,)?) => {{
        #[allow(unused_mut, reason = "an empty map is written too")]
        let mut entries = $crate::program::Map::new();
        $(entries.insert($crate::program::Key::from($key), $crate::program::Value::from($value));)*
        entries
    }};
}
