//! `json_query` of `community.general`: JMESPath (jmespath.org) on values, answered as Python's jmespath does.

use std::cmp::Ordering;
use std::sync::Arc;

use jmespath::ast::{Ast, Comparator};

use super::super::arguments::{Bound, strict_text};
use super::super::evaluate::Context;
use super::super::{Error, Result, operators};
use super::Filter;
use crate::program::value::Number;
use crate::program::{Key, Map, Value};

pub const COLLECTIONS: &[&str] = &["community.general"];

pub const FILTERS: &[Filter] = &[Filter::new("json_query", &["expr!"], json_query)];

fn json_query(_: &Context, input: Value, bound: Bound) -> Result<Value> {
    let query = bound.value(0, Value::Null);
    let query = strict_text(&query)?;
    let parsed = jmespath::parse(&with_quotes(query)).map_err(|error| Error::failed(format!("JMESPath {query}: {error}")))?;
    evaluate(&parsed, &input)
}

/// Between backticks stands JSON; a bare word there is a text, as it once was.
fn with_quotes(query: &str) -> String {
    let (mut text, mut rest) = (String::new(), query);
    while let Some(start) = rest.find(['`', '\'', '"']) {
        let quote = rest[start..].chars().next().unwrap_or('`');
        let Some(length) = ending(&rest[start + 1..], quote) else { break };
        let (before, inside) = (&rest[..start], &rest[start + 1..start + 1 + length]);
        text.push_str(before);
        let literal = inside.replace("\\`", "`");
        if quote == '`' && serde_json::from_str::<serde_json::Value>(literal.trim()).is_err() {
            text.push_str(&format!("`\"{}\"`", inside.trim_start()));
        } else {
            text.push_str(&rest[start..start + length + 2]);
        }
        rest = &rest[start + length + 2..];
    }
    text + rest
}

/// Where the quoted part ends: at the quote that no backslash stands before.
fn ending(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, letter)| {
        let ends = letter == quote && !escaped;
        escaped = letter == '\\' && !escaped;
        ends.then_some(at)
    })
}

fn evaluate(ast: &Ast, value: &Value) -> Result<Value> {
    Ok(match ast {
        Ast::Identity { .. } => value.clone(),
        Ast::Field { name, .. } => value.as_map().and_then(|map| map.get(name.as_str())).cloned().unwrap_or_default(),
        Ast::Index { idx, .. } => value.as_list().and_then(|list| operators::nth(list, (*idx).into())).cloned().unwrap_or_default(),
        Ast::Slice { start, stop, step, .. } => match value.as_list() {
            Some(_) => operators::slice(value, start.map(i64::from), stop.map(i64::from), Some((*step).into()))?,
            None => Value::Null,
        },
        Ast::Literal { value, .. } => {
            let json = serde_json::to_value(value).map_err(|error| Error::failed(error.to_string()))?;
            Value::from(json)
        }
        Ast::Subexpr { lhs, rhs, .. } => evaluate(rhs, &evaluate(lhs, value)?)?,
        Ast::Projection { lhs, rhs, .. } => match evaluate(lhs, value)?.as_list() {
            Some(list) => {
                let each = list.iter().map(|item| evaluate(rhs, item)).filter(|item| !matches!(item, Ok(Value::Null)));
                Value::list(each.collect::<Result<Vec<_>>>()?)
            }
            None => Value::Null,
        },
        Ast::Condition { predicate, then, .. } if is_true(&evaluate(predicate, value)?) => evaluate(then, value)?,
        Ast::Condition { .. } => Value::Null,
        Ast::Flatten { node, .. } => match evaluate(node, value)?.as_list() {
            Some(list) => Value::list(
                list.iter().flat_map(|item| item.as_list().map_or_else(|| vec![item.clone()], <[Value]>::to_vec)).collect::<Vec<_>>(),
            ),
            None => Value::Null,
        },
        Ast::ObjectValues { node, .. } => match evaluate(node, value)?.as_map() {
            Some(map) => Value::list(map.values().cloned().collect::<Vec<_>>()),
            None => Value::Null,
        },
        Ast::MultiList { .. } | Ast::MultiHash { .. } if matches!(value, Value::Null) => Value::Null,
        Ast::MultiList { elements, .. } => {
            Value::list(elements.iter().map(|element| evaluate(element, value)).collect::<Result<Vec<_>>>()?)
        }
        Ast::MultiHash { elements, .. } => {
            let pairs = elements.iter().map(|pair| Ok((Key::from(pair.key.as_str()), evaluate(&pair.value, value)?)));
            Value::map(pairs.collect::<Result<Map>>()?)
        }
        Ast::And { lhs, rhs, .. } => {
            let left = evaluate(lhs, value)?;
            if is_true(&left) { evaluate(rhs, value)? } else { left }
        }
        Ast::Or { lhs, rhs, .. } => {
            let left = evaluate(lhs, value)?;
            if is_true(&left) { left } else { evaluate(rhs, value)? }
        }
        Ast::Not { node, .. } => (!is_true(&evaluate(node, value)?)).into(),
        Ast::Comparison { comparator, lhs, rhs, .. } => compare(comparator, &evaluate(lhs, value)?, &evaluate(rhs, value)?)?,
        Ast::Function { name, args, .. } => call(name, args, value)?,
        Ast::Expref { .. } => return Err(Error::failed("JMESPath: `&` stands outside of a function")),
    })
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Text(text) => !text.as_str().is_empty(),
        other => other.as_list().is_none_or(|list| !list.is_empty()) && other.as_map().is_none_or(|map| !map.is_empty()),
    }
}

fn compare(comparator: &Comparator, left: &Value, right: &Value) -> Result<Value> {
    // Truths are no numbers.
    let same = || left == right && matches!(left, Value::Bool(_)) == matches!(right, Value::Bool(_));
    let holds = match comparator {
        Comparator::Equal => return Ok(same().into()),
        Comparator::NotEqual => return Ok((!same()).into()),
        Comparator::LessThan => Ordering::is_lt,
        Comparator::LessThanEqual => Ordering::is_le,
        Comparator::GreaterThan => Ordering::is_gt,
        Comparator::GreaterThanEqual => Ordering::is_ge,
    };
    if !["number", "string"].contains(&kind(left)) || !["number", "string"].contains(&kind(right)) {
        return Ok(Value::Null);
    }
    Ok(order(left, right)?.is_some_and(holds).into())
}

/// JMESPath's names of types.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Int(_) | Value::Float(_) => "number",
        Value::Text(_) => "string",
        other if other.as_list().is_some() => "array",
        other if other.as_map().is_some() => "object",
        other => other.type_name(),
    }
}

/// Of two numbers or two texts; a number that is none has no place.
fn order(left: &Value, right: &Value) -> Result<Option<Ordering>> {
    match (left, right) {
        (Value::Text(left), Value::Text(right)) => Ok(Some(left.as_str().cmp(right.as_str()))),
        (Value::Int(left), Value::Int(right)) => Ok(Some(left.cmp(right))),
        _ if kind(left) == "number" && kind(right) == "number" => Ok(float(left).partial_cmp(&float(right))),
        _ => Err(Error::failed(format!("JMESPath: {} and {} have no order", kind(left), kind(right)))),
    }
}

fn float(value: &Value) -> f64 {
    match value.number() {
        Some(Number::Int(number)) => number as f64,
        Some(Number::Float(number)) => number,
        None => f64::NAN,
    }
}

/// A function's arguments, evaluated and of the types it takes.
struct Call<'query> {
    name: &'query str,
    values: Vec<Value>,
    /// Of an argument `&expression`.
    by: Option<&'query Ast>,
}

fn call(name: &str, arguments: &[Ast], value: &Value) -> Result<Value> {
    let mut call = Call { name, values: Vec::new(), by: None };
    for argument in arguments {
        match argument {
            Ast::Expref { ast, .. } => call.by = Some(ast),
            other => call.values.push(evaluate(other, value)?),
        }
    }
    let (count, takes_by, least) = match name {
        "abs" | "avg" | "ceil" | "floor" | "keys" | "length" | "max" | "min" | "reverse" | "sort" | "sum" | "to_array" | "to_number"
        | "to_string" | "type" | "values" => (Some(1), false, 1),
        "contains" | "ends_with" | "join" | "starts_with" => (Some(2), false, 2),
        "map" | "max_by" | "min_by" | "sort_by" => (Some(1), true, 1),
        "merge" | "not_null" => (None, false, 1),
        _ => return Err(Error::failed(format!("JMESPath has no function {name}()"))),
    };
    let by_stands_right = !takes_by || matches!(arguments.get(usize::from(name != "map")), Some(Ast::Expref { .. }));
    if takes_by != call.by.is_some()
        || !by_stands_right
        || call.values.len() < least
        || count.is_some_and(|count| call.values.len() != count)
    {
        return Err(Error::failed(format!("JMESPath: {name}() has other arguments")));
    }
    call.answer()
}

impl Call<'_> {
    fn wrong(&self, value: &Value) -> Error {
        Error::failed(format!("JMESPath: {}() takes no {}", self.name, kind(value)))
    }

    fn number(&self, at: usize) -> Result<&Value> {
        Some(&self.values[at]).filter(|value| kind(value) == "number").ok_or_else(|| self.wrong(&self.values[at]))
    }

    fn text(&self, at: usize) -> Result<&str> {
        self.values[at].as_str().ok_or_else(|| self.wrong(&self.values[at]))
    }

    fn list(&self, at: usize) -> Result<&[Value]> {
        self.values[at].as_list().ok_or_else(|| self.wrong(&self.values[at]))
    }

    fn map(&self, at: usize) -> Result<&Map> {
        self.values[at].as_map().ok_or_else(|| self.wrong(&self.values[at]))
    }

    /// A list all of one of the kinds.
    fn list_of(&self, at: usize, kinds: &[&str]) -> Result<&[Value]> {
        let list = self.list(at)?;
        let fits = |wanted: &str| list.iter().all(|item| kind(item) == wanted);
        if kinds.iter().any(|kind| fits(kind)) { Ok(list) } else { Err(self.wrong(&self.values[at])) }
    }

    fn answer(&self) -> Result<Value> {
        const NUMBERS: &[&str] = &["number"];
        const EITHER: &[&str] = &["number", "string"];
        Ok(match self.name {
            "abs" => match self.number(0)? {
                Value::Int(number) => Value::Int(number.saturating_abs()),
                other => Value::Float(float(other).abs()),
            },
            "avg" => {
                let list = self.list_of(0, NUMBERS)?;
                if list.is_empty() { Value::Null } else { Value::Float(list.iter().map(float).sum::<f64>() / list.len() as f64) }
            }
            "sum" => sum(self.list_of(0, NUMBERS)?),
            "ceil" => whole(self.number(0)?, f64::ceil),
            "floor" => whole(self.number(0)?, f64::floor),
            "contains" => match (&self.values[0], &self.values[1]) {
                (Value::Text(text), Value::Text(part)) => text.as_str().contains(part.as_str()).into(),
                (value, wanted) if value.as_list().is_some() => self.list(0)?.contains(wanted).into(),
                (value, wanted) => return Err(self.wrong(if kind(value) == "string" { wanted } else { value })),
            },
            "starts_with" => self.text(0)?.starts_with(self.text(1)?).into(),
            "ends_with" => self.text(0)?.ends_with(self.text(1)?).into(),
            "join" => {
                let parts: Vec<&str> = self.list_of(1, &["string"])?.iter().filter_map(Value::as_str).collect();
                parts.join(self.text(0)?).into()
            }
            "keys" => Value::list(self.map(0)?.keys().map(Key::value).collect::<Vec<_>>()),
            "values" => Value::list(self.map(0)?.values().cloned().collect::<Vec<_>>()),
            "length" => {
                let value = &self.values[0];
                let length = value.as_str().map(|text| text.chars().count()).or(value.as_list().map(<[Value]>::len));
                let length = length.or(value.as_map().map(Map::len)).ok_or_else(|| self.wrong(value))?;
                Value::Int(length as i64)
            }
            "map" => Value::list(self.keyed()?.into_iter().map(|(key, _)| key).collect::<Vec<_>>()),
            "max" => extreme(self.list_of(0, EITHER)?.iter().map(|item| (item.clone(), item)), Ordering::is_gt)?,
            "min" => extreme(self.list_of(0, EITHER)?.iter().map(|item| (item.clone(), item)), Ordering::is_lt)?,
            "max_by" => extreme(self.ordered()?.into_iter(), Ordering::is_gt)?,
            "min_by" => extreme(self.ordered()?.into_iter(), Ordering::is_lt)?,
            "sort" => sorted(self.list_of(0, EITHER)?.iter().map(|item| (item.clone(), item)).collect()),
            "sort_by" => sorted(self.ordered()?),
            "merge" => {
                let mut all = Map::new();
                for at in 0..self.values.len() {
                    all.extend(self.map(at)?.clone());
                }
                Value::map(all)
            }
            "not_null" => self.values.iter().find(|value| !matches!(value, Value::Null)).cloned().unwrap_or_default(),
            "reverse" => match &self.values[0] {
                Value::Text(text) => text.as_str().chars().rev().collect::<String>().into(),
                _ => Value::list(self.list(0)?.iter().rev().cloned().collect::<Vec<_>>()),
            },
            "to_array" => match &self.values[0] {
                value if value.as_list().is_some() => value.clone(),
                value => Value::list(vec![value.clone()]),
            },
            "to_number" => match &self.values[0] {
                value @ (Value::Int(_) | Value::Float(_)) => value.clone(),
                Value::Text(text) => {
                    let text = text.as_str().trim();
                    text.parse().map(Value::Int).or_else(|_| text.parse().map(Value::Float)).unwrap_or_default()
                }
                _ => Value::Null,
            },
            "to_string" => match &self.values[0] {
                value @ Value::Text(_) => value.clone(),
                value => ascii(&value.to_json(true).to_string()).into(),
            },
            "type" => kind(&self.values[0]).into(),
            other => return Err(Error::failed(format!("JMESPath has no function {other}()"))),
        })
    }

    /// Each item with what the expression gives for it.
    fn keyed(&self) -> Result<Vec<(Value, &Value)>> {
        let by = self.by.ok_or_else(|| Error::failed(format!("JMESPath: {}() takes `&expression`", self.name)))?;
        self.list(0)?.iter().map(|item| Ok((evaluate(by, item)?, item))).collect()
    }

    /// The same where all keys are numbers, or all texts.
    fn ordered(&self) -> Result<Vec<(Value, &Value)>> {
        let keyed = self.keyed()?;
        let first = keyed.first().map_or("number", |(key, _)| kind(key));
        match keyed.iter().find(|(key, _)| kind(key) != first || !["number", "string"].contains(&first)) {
            Some((key, _)) => Err(self.wrong(key)),
            None => Ok(keyed),
        }
    }
}

fn sum(list: &[Value]) -> Value {
    let whole = list.iter().try_fold(0_i64, |sum, item| if let Value::Int(number) = item { sum.checked_add(*number) } else { None });
    whole.map_or_else(|| Value::Float(list.iter().map(float).sum()), Value::Int)
}

fn whole(value: &Value, round: fn(f64) -> f64) -> Value {
    match value {
        Value::Int(_) => value.clone(),
        other => Value::Int(round(float(other)) as i64),
    }
}

/// The first of those that no other goes beyond.
fn extreme<'list>(items: impl Iterator<Item = (Value, &'list Value)>, beyond: fn(Ordering) -> bool) -> Result<Value> {
    let mut found: Option<(Value, &Value)> = None;
    for (key, item) in items {
        let better = match &found {
            Some((best, _)) => order(&key, best)?.is_some_and(beyond),
            None => true,
        };
        if better {
            found = Some((key, item));
        }
    }
    Ok(found.map(|(_, item)| item.clone()).unwrap_or_default())
}

/// By their keys, which are all of one kind; equals keep their order.
fn sorted(mut items: Vec<(Value, &Value)>) -> Value {
    items.sort_by(|(left, _), (right, _)| order(left, right).ok().flatten().unwrap_or(Ordering::Equal));
    Value::List(items.into_iter().map(|(_, item)| item.clone()).collect::<Vec<_>>().into())
}

/// JSON with what is not ASCII escaped.
fn ascii(json: &str) -> Arc<str> {
    let mut text = String::new();
    for letter in json.chars() {
        if letter.is_ascii() {
            text.push(letter);
        } else {
            letter.encode_utf16(&mut [0; 2]).iter().for_each(|unit| text.push_str(&format!("\\u{unit:04x}")));
        }
    }
    text.into()
}
