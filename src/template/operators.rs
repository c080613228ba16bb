//! Python's operators on values.

use std::cmp::Ordering;

use super::{Error, Result, format, python};
use crate::program::value::Number;
use crate::program::{Key, Value};

/// Fails for what no operation may look into: unknown and undefined values.
pub fn known(value: &Value) -> Result<()> {
    match value {
        Value::Unknown(cause) => Err(Error::unknown(std::sync::Arc::clone(cause))),
        Value::Undefined(message) => Err(Error::undefined(&**message)),
        _ => Ok(()),
    }
}

fn known_throughout(value: &Value) -> Result<()> {
    match value.first_unknown() {
        Some(cause) => Err(Error::unknown(std::sync::Arc::clone(cause))),
        None => known(value),
    }
}

fn unsupported(operator: &str, left: &Value, right: &Value) -> Error {
    Error::failed(format!("unsupported operand type(s) for {operator}: '{}' and '{}'", left.type_name(), right.type_name()))
}

fn overflow() -> Error {
    Error::failed("the integer result is too large (over 64 bits)")
}

fn whole(result: Option<i64>) -> Result<Value> {
    result.map(Value::Int).ok_or_else(overflow)
}

pub fn add(left: &Value, right: &Value) -> Result<Value> {
    match (left, right) {
        (Value::Text(a), Value::Text(b)) => Ok(Value::text(format!("{}{}", a.as_str(), b.as_str()))),
        (Value::List(a), Value::List(b)) => Ok(Value::list(a.iter().chain(b.iter()).cloned().collect())),
        (Value::Tuple(a), Value::Tuple(b)) => Ok(Value::Tuple(a.iter().chain(b.iter()).cloned().collect::<Vec<_>>().into())),
        (Value::Text(_), other) => Err(Error::failed(format!("can only concatenate str (not \"{}\") to str", other.type_name()))
            .hint("use `~` to join values of any type as text")),
        (Value::List(_), other) => Err(Error::failed(format!("can only concatenate list (not \"{}\") to list", other.type_name()))),
        _ => arithmetic("+", left, right, |a, b| whole(a.checked_add(b)), |a, b| Ok(Value::Float(a + b))),
    }
}

fn arithmetic(
    operator: &str,
    left: &Value,
    right: &Value,
    integers: impl Fn(i64, i64) -> Result<Value>,
    floats: impl Fn(f64, f64) -> Result<Value>,
) -> Result<Value> {
    match (left.number(), right.number()) {
        (Some(Number::Int(a)), Some(Number::Int(b))) => integers(a, b),
        (Some(a), Some(b)) => floats(a.float(), b.float()),
        _ => Err(unsupported(operator, left, right)),
    }
}

pub fn subtract(left: &Value, right: &Value) -> Result<Value> {
    // Times are texts here; `now() - x` is not among what playbooks do without `to_datetime`.
    arithmetic("-", left, right, |a, b| whole(a.checked_sub(b)), |a, b| Ok(Value::Float(a - b)))
}

pub fn multiply(left: &Value, right: &Value) -> Result<Value> {
    let times = |count: i64| usize::try_from(count.max(0)).unwrap_or(0);
    match (left, right) {
        (Value::Text(text), Value::Int(count)) | (Value::Int(count), Value::Text(text)) => {
            if text.as_str().len().saturating_mul(times(*count)) > 64 << 20 {
                return Err(Error::failed("the repeated text would be over 64 MiB"));
            }
            Ok(Value::text(text.as_str().repeat(times(*count))))
        }
        (Value::List(items), Value::Int(count)) | (Value::Int(count), Value::List(items)) => {
            if items.len().saturating_mul(times(*count)) > 10_000_000 {
                return Err(Error::failed("the repeated list would have over ten million items"));
            }
            Ok(Value::list(std::iter::repeat_n(items.iter(), times(*count)).flatten().cloned().collect()))
        }
        _ => arithmetic("*", left, right, |a, b| whole(a.checked_mul(b)), |a, b| Ok(Value::Float(a * b))),
    }
}

pub fn divide(left: &Value, right: &Value) -> Result<Value> {
    let zero = || Error::failed("division by zero");
    arithmetic(
        "/",
        left,
        right,
        |a, b| if b == 0 { Err(zero()) } else { Ok(Value::Float(a as f64 / b as f64)) },
        |a, b| if b == 0.0 { Err(Error::failed("float division by zero")) } else { Ok(Value::Float(a / b)) },
    )
}

pub fn divide_floor(left: &Value, right: &Value) -> Result<Value> {
    arithmetic(
        "//",
        left,
        right,
        |a, b| if b == 0 { Err(Error::failed("integer division or modulo by zero")) } else { whole(floor_division(a, b)) },
        |a, b| if b == 0.0 { Err(Error::failed("float floor division by zero")) } else { Ok(Value::Float((a / b).floor())) },
    )
}

fn floor_division(a: i64, b: i64) -> Option<i64> {
    let quotient = a.checked_div(b)?;
    if a % b != 0 && (a < 0) != (b < 0) { quotient.checked_sub(1) } else { Some(quotient) }
}

pub fn remainder(left: &Value, right: &Value) -> Result<Value> {
    if let Value::Text(pattern) = left {
        return format::percent(pattern.as_str(), right).map(Value::text);
    }
    arithmetic(
        "%",
        left,
        right,
        |a, b| {
            if b == 0 {
                return Err(Error::failed("integer modulo by zero"));
            }
            let quotient = floor_division(a, b).ok_or_else(overflow)?;
            Ok(Value::Int(a.wrapping_sub(quotient.wrapping_mul(b))))
        },
        |a, b| if b == 0.0 { Err(Error::failed("float modulo")) } else { Ok(Value::Float(a - (a / b).floor() * b)) },
    )
}

pub fn power(left: &Value, right: &Value) -> Result<Value> {
    arithmetic(
        "** or pow()",
        left,
        right,
        |a, b| match u32::try_from(b) {
            Ok(exponent) => whole(a.checked_pow(exponent)),
            Err(_) if b < 0 => Ok(Value::Float((a as f64).powf(b as f64))),
            Err(_) => Err(overflow()),
        },
        |a, b| Ok(Value::Float(a.powf(b))),
    )
}

pub fn negate(value: &Value) -> Result<Value> {
    match value.number() {
        Some(Number::Int(number)) => whole(number.checked_neg()),
        Some(Number::Float(number)) => Ok(Value::Float(-number)),
        None => Err(Error::failed(format!("bad operand type for unary -: '{}'", value.type_name()))),
    }
}

/// `~`: both as text.
pub fn concatenate(left: &Value, right: &Value) -> Result<Value> {
    Ok(Value::text(python::text(left)? + &python::text(right)?))
}

/// `==`.
pub fn equals(left: &Value, right: &Value) -> Result<bool> {
    known_throughout(left)?;
    known_throughout(right)?;
    Ok(left == right)
}

/// `<` and its like; `None` where a NaN is not comparable.
pub fn compare(operator: &str, left: &Value, right: &Value) -> Result<Option<Ordering>> {
    known_throughout(left)?;
    known_throughout(right)?;
    match (left, right) {
        (Value::Text(a), Value::Text(b)) => Ok(Some(a.as_str().cmp(b.as_str()))),
        (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
            for (a, b) in a.iter().zip(b.iter()) {
                if a != b {
                    return compare(operator, a, b);
                }
            }
            Ok(Some(a.len().cmp(&b.len())))
        }
        _ => match (left.number(), right.number()) {
            (Some(Number::Int(a)), Some(Number::Int(b))) => Ok(Some(a.cmp(&b))),
            (Some(a), Some(b)) => Ok(a.float().partial_cmp(&b.float())),
            _ => Err(Error::failed(format!(
                "'{operator}' not supported between instances of '{}' and '{}'",
                left.type_name(),
                right.type_name()
            ))
            .hint("compare values of one type: `| int`, `| string`, or the test `is version(…)`")),
        },
    }
}

/// `item in container`.
pub fn contains(container: &Value, item: &Value) -> Result<bool> {
    known(container)?;
    known(item)?;
    match container {
        Value::Text(text) => match item {
            Value::Text(part) => Ok(text.as_str().contains(part.as_str())),
            other => Err(Error::failed(format!("'in <string>' requires string as left operand, not {}", other.type_name()))),
        },
        Value::List(items) | Value::Tuple(items) => {
            if items.contains(item) {
                return Ok(true);
            }
            // Not among the known ones: an unknown one could be it.
            items.iter().find_map(Value::first_unknown).map_or(Ok(false), |cause| Err(Error::unknown(std::sync::Arc::clone(cause))))
        }
        Value::Map(entries) => match Key::from_value(item) {
            Some(key) => Ok(entries.contains_key(&key)),
            None => Err(Error::failed(format!("unhashable type: '{}'", item.type_name()))),
        },
        other => Err(Error::failed(format!("argument of type '{}' is not iterable", other.type_name()))),
    }
}

/// The items that iteration gives: of a list its items, of a mapping its keys, of a text its characters.
pub fn items(value: &Value) -> Result<Vec<Value>> {
    known(value)?;
    match value {
        Value::List(items) | Value::Tuple(items) => Ok(items.to_vec()),
        Value::Map(entries) => Ok(entries.keys().map(Key::value).collect()),
        Value::Text(text) => {
            let secret = text.is_secret();
            let letters =
                text.as_str().chars().map(|letter| Value::Text(crate::program::Text::new(letter.to_string()).with_secrecy(secret)));
            Ok(letters.collect())
        }
        other => Err(Error::failed(format!("'{}' object is not iterable", other.type_name()))),
    }
}

/// The length as Python's `len`.
pub fn length(value: &Value) -> Result<usize> {
    known(value)?;
    match value {
        Value::List(items) | Value::Tuple(items) => Ok(items.len()),
        Value::Map(entries) => Ok(entries.len()),
        Value::Text(text) => Ok(text.as_str().chars().count()),
        other => Err(Error::failed(format!("object of type '{}' has no len()", other.type_name()))),
    }
}

/// A sequence's item by index, negative from the end.
pub fn nth(items: &[Value], index: i64) -> Option<&Value> {
    let index = if index < 0 { index.checked_add(items.len() as i64)? } else { index };
    items.get(usize::try_from(index).ok()?)
}

/// Python's slice of a list, tuple or text.
pub fn slice(value: &Value, start: Option<i64>, stop: Option<i64>, step: Option<i64>) -> Result<Value> {
    known(value)?;
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(Error::failed("slice step cannot be zero"));
    }
    let pick = |length: usize| -> Vec<usize> {
        let length = length as i64;
        let clamp = |index: i64, low: i64, high: i64| (if index < 0 { index + length } else { index }).clamp(low, high);
        let mut chosen = Vec::new();
        if step > 0 {
            let mut at = start.map_or(0, |start| clamp(start, 0, length));
            let end = stop.map_or(length, |stop| clamp(stop, 0, length));
            while at < end {
                chosen.push(at as usize);
                at += step;
            }
        } else {
            let mut at = start.map_or(length - 1, |start| clamp(start, -1, length - 1));
            let end = stop.map_or(-1, |stop| clamp(stop, -1, length - 1));
            while at > end {
                chosen.push(at as usize);
                at += step;
            }
        }
        chosen
    };
    match value {
        Value::List(items) => Ok(Value::list(pick(items.len()).into_iter().map(|index| items[index].clone()).collect())),
        Value::Tuple(items) => Ok(Value::Tuple(pick(items.len()).into_iter().map(|index| items[index].clone()).collect::<Vec<_>>().into())),
        Value::Text(text) => {
            let letters: Vec<char> = text.as_str().chars().collect();
            Ok(Value::text(pick(letters.len()).into_iter().map(|index| letters[index]).collect::<String>()))
        }
        other => Err(Error::failed(format!("'{}' object is not subscriptable", other.type_name()))),
    }
}
