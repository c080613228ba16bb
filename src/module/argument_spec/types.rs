//! Types of arguments: what a value is as one of them, or why it cannot be.

use std::sync::Arc;

use super::python;
use crate::module::arguments::{article, boolean, text};
use crate::program::{Key, Map, Tree, Value};
use crate::template::bytes_of;

/// Ansible's names of types.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Type {
    #[default]
    Text,
    List,
    Dict,
    Bool,
    Int,
    Float,
    Path,
    Raw,
    Json,
    Bytes,
    Bits,
    /// None of them: whatever is given is refused.
    Unknown(Arc<str>),
}

impl Type {
    pub const NAMES: &'static [&'static str] =
        &["str", "list", "dict", "bool", "int", "float", "path", "raw", "jsonarg", "json", "bytes", "bits"];

    pub fn named(name: &str) -> Self {
        match name {
            "str" => Type::Text,
            "list" => Type::List,
            "dict" => Type::Dict,
            "bool" => Type::Bool,
            "int" => Type::Int,
            "float" => Type::Float,
            "path" => Type::Path,
            "raw" => Type::Raw,
            "json" | "jsonarg" => Type::Json,
            "bytes" => Type::Bytes,
            "bits" => Type::Bits,
            other => Type::Unknown(other.into()),
        }
    }

    pub fn name(&self) -> &str {
        match self {
            Type::Text => "str",
            Type::List => "list",
            Type::Dict => "dict",
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Float => "float",
            Type::Path => "path",
            Type::Raw => "raw",
            Type::Json => "json",
            Type::Bytes => "bytes",
            Type::Bits => "bits",
            Type::Unknown(name) => name,
        }
    }

    /// Whether no value is refused.
    pub fn takes_anything(&self) -> bool {
        matches!(self, Type::Text | Type::Path | Type::Raw)
    }

    /// The value as this type; what is not known stays so.
    pub fn converted(&self, value: &Value) -> Result<Value, String> {
        if let Value::Unknown(_) = value {
            return Ok(value.clone());
        }
        match self {
            Type::Raw => Ok(value.clone()),
            Type::Text | Type::Path => match value {
                Value::Text(_) => Ok(value.clone()),
                Value::Null => Ok(Value::text("")),
                other => text(other).map(Value::text),
            },
            Type::List => list(value),
            Type::Dict => dict(value),
            Type::Bool => match value {
                // Ansible's words, of which these are none.
                Value::Text(text) if matches!(text.as_str().trim(), "1.0" | "0.0") => Err(format!("{:?} is not a boolean", text.as_str())),
                other => boolean(other).map(Value::Bool),
            },
            Type::Int => int(value),
            Type::Float => float(value),
            Type::Json => match value {
                Value::Text(text) => Ok(Value::text(text.as_str().trim())),
                Value::List(_) | Value::Tuple(_) | Value::Map(_) => Ok(Value::text(value.to_json(true).to_string())),
                other => Err(format!("expected JSON, not {}", article(other))),
            },
            Type::Bytes | Type::Bits => {
                let text = text(value)?;
                let size = bytes_of(&text, None, *self == Type::Bits);
                let example = if *self == Type::Bits { "10 Mb" } else { "10 MB" };
                size.map(Value::Int).map_err(|_| format!("{text:?} is no size such as {example}"))
            }
            Type::Unknown(name) => Err(format!("`{name}` is no type: {}", Type::NAMES.join(", "))),
        }
    }
}

fn list(value: &Value) -> Result<Value, String> {
    match value {
        Value::List(_) => Ok(value.clone()),
        Value::Tuple(items) => Ok(Value::List(Arc::clone(items))),
        Value::Text(text) => Ok(Value::list(text.as_str().split(',').map(Value::text).collect())),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => Ok(Value::list(vec![Value::text(text(value)?)])),
        other => Err(format!("expected a list, not {}", article(other))),
    }
}

fn dict(value: &Value) -> Result<Value, String> {
    let given = match value {
        Value::Map(_) => return Ok(value.clone()),
        Value::Text(text) => text.as_str(),
        other => return Err(format!("expected a mapping, not {}", article(other))),
    };
    if given.starts_with('{') {
        let json = serde_json::from_str::<serde_json::Value>(given).ok().map(Value::from);
        return match json.or_else(|| python::mapping(given)) {
            Some(map @ Value::Map(_)) => Ok(map),
            _ => Err("expected a mapping: the text is neither JSON nor Python's".to_owned()),
        };
    }
    if !given.contains('=') {
        return Err("expected a mapping: the text is neither JSON nor key=value".to_owned());
    }
    let mut entries = Map::new();
    for field in fields(given) {
        let (name, value) = field.split_once('=').ok_or_else(|| format!("expected key=value, not {field:?}"))?;
        entries.insert(Key::from(name), Value::text(value));
    }
    Ok(entries.into())
}

/// Parts between blanks and commas, quotes taken off.
fn fields(text: &str) -> Vec<String> {
    let (mut fields, mut field) = (Vec::new(), String::new());
    let (mut quote, mut escaped) = (None, false);
    for letter in text.trim().chars() {
        match letter {
            _ if escaped => {
                field.push(letter);
                escaped = false;
            }
            '\\' => escaped = true,
            '\'' | '"' if quote.is_none() => quote = Some(letter),
            _ if quote == Some(letter) => quote = None,
            ',' | ' ' if quote.is_none() => fields.push(std::mem::take(&mut field)),
            _ => field.push(letter),
        }
    }
    fields.push(field);
    fields.retain(|field| !field.is_empty());
    fields
}

fn int(value: &Value) -> Result<Value, String> {
    match value {
        Value::Int(_) | Value::Bool(_) => Ok(value.clone()),
        Value::Float(number) if number.fract() == 0.0 => Ok(Value::Int(*number as i64)),
        Value::Float(number) => Err(format!("{number} is not an integer")),
        Value::Text(text) => whole(text.as_str()).ok_or_else(|| format!("{:?} is not an integer", text.as_str())),
        other => Err(format!("expected an integer, not {}", article(other))),
    }
}

/// A decimal number that is whole, as Python's `Decimal` reads it: `12`, `1_000`, `3.0`, `2e3`.
fn whole(text: &str) -> Option<Value> {
    let text = text.trim().replace('_', "").to_ascii_lowercase();
    let (mantissa, exponent) = match text.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text.as_str(), 0),
    };
    let (negative, digits) = match mantissa.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (before, behind) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{before}{behind}");
    if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let point = i64::try_from(before.len()).ok()? + i64::from(exponent);
    let point = usize::try_from(point.max(0)).ok()?;
    if all.bytes().skip(point).any(|byte| byte != b'0') {
        return None;
    }
    let mut digits: String = all.chars().take(point).collect();
    // More digits than any number of ours has: it is whole all the same.
    if point > 400 {
        return Some(Value::Float(f64::INFINITY));
    }
    digits.extend(std::iter::repeat_n('0', point.saturating_sub(all.len())));
    let sign = if negative { "-" } else { "" };
    let number = format!("{sign}{}", if digits.is_empty() { "0" } else { &digits });
    Some(number.parse().map_or_else(|_| Value::Float(number.parse().unwrap_or(f64::INFINITY)), Value::Int))
}

fn float(value: &Value) -> Result<Value, String> {
    match value {
        Value::Text(text) => {
            let number = text.as_str().trim().replace('_', "").parse().map_err(|_| format!("{:?} is not a number", text.as_str()))?;
            Ok(Value::Float(number))
        }
        other => {
            let number = other.number().ok_or_else(|| format!("expected a number, not {}", article(other)))?;
            Ok(Value::Float(number.float()))
        }
    }
}

/// The value of what a user wrote, as far as it is known before the run: templates are not.
pub fn holes(tree: &Tree) -> Value {
    match tree {
        Tree::Literal(value) => value.clone(),
        Tree::Template(_) | Tree::Expression(_) => Value::unknown("a template"),
        Tree::List(items) => Value::list(items.iter().map(holes).collect()),
        Tree::Map(entries) => entries
            .iter()
            .map(|(key, value)| Some((Key::from_value(key.literal()?)?, holes(value))))
            .collect::<Option<Map>>()
            .map_or_else(|| Value::unknown("a template"), Value::map),
    }
}
