//! Values as a Go template sees them: integers apart from floats, maps that are shared and can be changed, nil.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// The entries of a map. Templates meet them in the order of their names, as Go's do.
pub type Entries = BTreeMap<Rc<str>, Value>;

/// A value of a template. Numbers of YAML are floats, as in Helm; numbers of a template's own text are integers.
#[derive(Clone, Debug, Default)]
pub enum Value {
    #[default]
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Rc<str>),
    List(Rc<Vec<Value>>),
    /// Shared: `set` on one holder is seen by all, which charts rely on.
    Map(Rc<RefCell<Entries>>),
    /// What Helm brings: an unknown field of it is a mistake, where a map's would be nil.
    Object(Rc<Object>),
}

/// One of Helm's own objects: `.Chart`, `.Release`, `.Files`, …
#[derive(Debug)]
pub struct Object {
    /// As a user writes it: `.Release`.
    pub name: &'static str,
    pub fields: BTreeMap<&'static str, Value>,
    /// `.Files.Get` and the like; they are called with arguments.
    pub methods: &'static [&'static str],
    /// What the methods work on: a chart's other files by path, or versions of the API.
    pub content: Rc<BTreeMap<String, Rc<[u8]>>>,
}

impl Value {
    pub fn text(text: impl Into<Rc<str>>) -> Self {
        Self::Text(text.into())
    }

    pub fn list(items: Vec<Value>) -> Self {
        Self::List(Rc::new(items))
    }

    pub fn map(entries: Entries) -> Self {
        Self::Map(Rc::new(RefCell::new(entries)))
    }

    /// From JSON as Go's decoder gives it: every number is a float.
    pub fn from_json(json: &serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Nil,
            serde_json::Value::Bool(truth) => Self::Bool(*truth),
            serde_json::Value::Number(number) => Self::Float(number.as_f64().unwrap_or(f64::NAN)),
            serde_json::Value::String(text) => Self::text(text.as_str()),
            serde_json::Value::Array(items) => Self::list(items.iter().map(Self::from_json).collect()),
            serde_json::Value::Object(entries) => {
                Self::map(entries.iter().map(|(key, value)| (Rc::from(key.as_str()), Self::from_json(value))).collect())
            }
        }
    }

    /// To JSON; a whole float is an integer, as Go writes it. Infinite numbers have no JSON: `None`.
    pub fn to_json(&self) -> Option<serde_json::Value> {
        Some(match self {
            Self::Nil => serde_json::Value::Null,
            Self::Bool(truth) => (*truth).into(),
            Self::Int(number) => (*number).into(),
            Self::Float(number) if number.fract() == 0.0 && number.abs() < 9.2e18 => (*number as i64).into(),
            Self::Float(number) => serde_json::Number::from_f64(*number)?.into(),
            Self::Text(text) => text.as_ref().into(),
            Self::List(items) => serde_json::Value::Array(items.iter().map(Self::to_json).collect::<Option<_>>()?),
            Self::Map(entries) => {
                let entries = entries.borrow();
                let pairs = entries.iter().map(|(key, value)| Some((key.to_string(), value.to_json()?)));
                serde_json::Value::Object(pairs.collect::<Option<_>>()?)
            }
            Self::Object(object) => {
                let pairs = object.fields.iter().map(|(key, value)| Some(((*key).to_owned(), value.to_json()?)));
                serde_json::Value::Object(pairs.collect::<Option<_>>()?)
            }
        })
    }

    /// `if`: not the zero value of its type.
    pub fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(truth) => *truth,
            Self::Int(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Map(entries) => !entries.borrow().is_empty(),
            Self::Object(_) => true,
        }
    }

    /// Go's name of its type, for messages and `typeOf`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::List(_) => "[]interface {}",
            Self::Map(_) => "map[string]interface {}",
            Self::Object(object) => object.name,
        }
    }

    /// Go's kind, for `kindOf`.
    pub fn kind_name(&self) -> &'static str {
        match self {
            Self::Nil => "invalid",
            Self::List(_) => "slice",
            Self::Map(_) => "map",
            Self::Object(_) => "struct",
            other => other.type_name(),
        }
    }

    /// What it is, in a user's words.
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Nil => "nothing",
            Self::Bool(_) => "a truth value",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
            Self::Object(_) => "one of Helm's objects",
        }
    }

    /// Go's `reflect.DeepEqual`: the types must agree too.
    pub fn deep_equal(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Nil, Self::Nil) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(b).is_some_and(std::cmp::Ordering::is_eq),
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::List(a), Self::List(b)) => a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.deep_equal(b)),
            (Self::Map(a), Self::Map(b)) => {
                Rc::ptr_eq(a, b) || {
                    let (a, b) = (a.borrow(), b.borrow());
                    a.len() == b.len() && a.iter().zip(b.iter()).all(|((k, v), (l, w))| k == l && v.deep_equal(w))
                }
            }
            (Self::Object(a), Self::Object(b)) => Rc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// A copy that shares nothing that can be changed.
    #[must_use]
    pub fn deep_copy(&self) -> Self {
        match self {
            Self::List(items) => Self::list(items.iter().map(Self::deep_copy).collect()),
            Self::Map(entries) => Self::map(entries.borrow().iter().map(|(key, value)| (Rc::clone(key), value.deep_copy())).collect()),
            other => other.clone(),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}
