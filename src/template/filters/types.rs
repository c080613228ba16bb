//! Types: defaults, conversions, choices.

use super::super::arguments::{Bound, text};
use super::super::evaluate::Context;
use super::super::{Error, Result, operators, python};
use super::Filter;
use crate::program::Value;
use crate::program::value::Number;

pub const FILTERS: &[Filter] = &[
    Filter::new("bool", &[], boolean).top(),
    Filter::new("d", &["default_value", "boolean"], default).nothing(),
    Filter::new("default", &["default_value", "boolean"], default).nothing(),
    Filter::new("float", &["default"], float),
    Filter::new("int", &["default", "base"], int),
    Filter::new("mandatory", &["msg"], mandatory).nothing(),
    Filter::new("string", &[], |_, input, _| text(&input).map(Value::text)),
    Filter::new("ternary", &["true_val!", "false_val!", "none_val"], ternary).nothing(),
    Filter::new("type_debug", &[], type_debug).nothing(),
];

fn default(context: &Context, input: Value, given: Bound) -> Result<Value> {
    if matches!(input, Value::Undefined(_)) {
        return Ok(given.value(0, Value::text("")));
    }
    if given.truth(1, false)? {
        let resolved = context.evaluator.resolve(input.clone())?;
        operators::known(&resolved)?;
        if !resolved.is_truthy() {
            return Ok(given.value(0, Value::text("")));
        }
    }
    Ok(input)
}

fn mandatory(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let Value::Undefined(message) = &input else { return Ok(input) };
    if let Some(told) = given.some(0) {
        return Err(Error::failed(text(told)?));
    }
    let name = message.strip_suffix(" is undefined").map_or_else(String::new, |name| format!("{name} "));
    Err(Error::failed(format!("Mandatory variable {name}not defined.")))
}

fn ternary(context: &Context, input: Value, given: Bound) -> Result<Value> {
    let input = context.evaluator.resolve(input)?;
    operators::known(&input)?;
    if matches!(input, Value::Null)
        && let Some(value) = given.some(2)
    {
        return Ok(value.clone());
    }
    Ok(given.value(usize::from(!input.is_truthy()), Value::Null))
}

fn type_debug(_: &Context, input: Value, _: Bound) -> Result<Value> {
    if let Value::Unknown(cause) = &input {
        return Err(Error::unknown(std::sync::Arc::clone(cause)));
    }
    Ok(Value::text(match input {
        Value::Undefined(_) => "UndefinedMarker",
        ref other => other.type_name(),
    }))
}

/// Ansible's reading of texts as booleans: `yes`, `on`, `true`, `1` hold, all else not.
fn boolean(_: &Context, input: Value, _: Bound) -> Result<Value> {
    Ok(Value::Bool(match &input {
        Value::Bool(truth) => *truth,
        Value::Int(number) => *number == 1,
        Value::Float(number) => *number == 1.0,
        Value::Text(text) => matches!(text.as_str().to_lowercase().as_str(), "yes" | "on" | "true" | "1"),
        _ => false,
    }))
}

fn int(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let base = u32::try_from(given.integer(1, 10)?).unwrap_or(10);
    let parsed = match &input {
        Value::Text(text) => parse_integer(text.as_str(), base).or_else(|| {
            let number: f64 = text.as_str().trim().replace('_', "").parse().ok()?;
            number.is_finite().then_some(number as i64)
        }),
        other => match other.number() {
            Some(Number::Int(number)) => Some(number),
            Some(Number::Float(number)) if number.is_finite() => Some(number as i64),
            _ => None,
        },
    };
    Ok(parsed.map_or_else(|| given.value(0, Value::Int(0)), Value::Int))
}

/// Python's `int(text, base)`.
pub fn parse_integer(text: &str, base: u32) -> Option<i64> {
    let text = text.trim().replace('_', "");
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(&text)),
    };
    let lower = digits.to_lowercase();
    let prefix = match (base, lower.get(..2)) {
        (16 | 0, Some("0x")) => Some(16),
        (8 | 0, Some("0o")) => Some(8),
        (2 | 0, Some("0b")) => Some(2),
        _ => None,
    };
    let (digits, base) = match prefix {
        Some(base) => (&lower[2..], base),
        None => (&lower[..], if base == 0 { 10 } else { base }),
    };
    if !(2..=36).contains(&base) || digits.starts_with(['+', '-']) {
        return None;
    }
    let number = i64::from_str_radix(digits, base).ok()?;
    Some(if negative { -number } else { number })
}

fn float(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let parsed = match &input {
        Value::Text(text) => text.as_str().trim().replace('_', "").parse::<f64>().ok(),
        other => other.number().map(Number::float),
    };
    Ok(parsed.map_or_else(|| given.value(0, Value::Float(0.0)), Value::Float))
}

/// For error messages: the value as Python shows it.
pub fn shown(value: &Value) -> String {
    python::repr(value).unwrap_or_else(|_| format!("<{}>", value.type_name()))
}
