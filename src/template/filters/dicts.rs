//! Mappings: combining, converting, reaching into.

use super::super::arguments::{Bound, text};
use super::super::evaluate::Context;
use super::super::{Error, Result, operators, python};
use super::{Filter, lists};
use crate::program::{Key, Map, Value};

pub const FILTERS: &[Filter] = &[
    Filter::new("attr", &["name!"], attr).top(),
    Filter::new("combine", &["*", "**"], combine),
    Filter::new("dict2items", &["key_name", "value_name"], dict2items).top(),
    Filter::new("dictsort", &["case_sensitive", "by", "reverse"], dictsort),
    Filter::new("extract", &["container!", "morekeys"], extract).top(),
    Filter::new("items", &[], items).top(),
    Filter::new("items2dict", &["key_name", "value_name"], items2dict).top(),
    Filter::new("rekey_on_member", &["key!", "duplicates"], rekey),
    Filter::new("xmlattr", &["autospace"], xmlattr),
];

fn attr(context: &Context, input: Value, given: Bound) -> Result<Value> {
    let name = given.text(0, "")?;
    match &input {
        // Members are no attributes: only what Python's object itself has.
        Value::Map(entries) if !super::time::is_time(entries) => {
            Ok(Value::Undefined(format!("object of type 'dict' has no attribute {}", python::quoted(&name)).into()))
        }
        other => context.evaluator.attribute(other, &name),
    }
}

fn map_of(value: &Value) -> Result<&Map> {
    operators::known(value)?;
    value.as_map().ok_or_else(|| Error::failed(format!("expected a dictionary, got '{}'", value.type_name())))
}

/// How `combine` merges lists.
#[derive(Clone, Copy)]
enum ListMerge {
    Replace,
    Keep,
    Append,
    Prepend,
    AppendNew,
    PrependNew,
}

fn combine(_: &Context, input: Value, mut given: Bound) -> Result<Value> {
    let recursive = given.further.shift_remove("recursive").is_some_and(|value| value.is_truthy());
    let how = given.further.shift_remove("list_merge").map_or_else(|| Ok("replace".to_owned()), |value| text(&value))?;
    if !given.further.is_empty() {
        return Err(Error::failed("'recursive' and 'list_merge' are the only valid keyword arguments"));
    }
    let how = match how.as_str() {
        "replace" => ListMerge::Replace,
        "keep" => ListMerge::Keep,
        "append" => ListMerge::Append,
        "prepend" => ListMerge::Prepend,
        "append_rp" => ListMerge::AppendNew,
        "prepend_rp" => ListMerge::PrependNew,
        other => {
            return Err(Error::failed(format!(
                "merge_hash: 'list_merge' argument can only be equal to 'replace', 'keep', 'append', 'prepend', 'append_rp' or 'prepend_rp', not '{other}'"
            )));
        }
    };
    let mut terms = vec![input];
    terms.append(&mut given.rest);
    let mut terms = lists::flattened(&terms, Some(1), true).into_iter();
    let Some(mut result) = terms.next() else { return Ok(Value::map(Map::new())) };
    for term in terms {
        let (low, high) = (map_of(&result).map_err(not_mergeable)?, map_of(&term).map_err(not_mergeable)?);
        result = Value::map(merge(low, high, recursive, how));
    }
    Ok(result)
}

fn not_mergeable(error: Error) -> Error {
    if error.unknown_cause().is_some() { error } else { Error::failed(format!("failed to combine variables: {}", error.message)) }
}

fn merge(low: &Map, high: &Map, recursive: bool, how: ListMerge) -> Map {
    if low.is_empty() || low == high {
        return high.clone();
    }
    let mut merged = low.clone();
    if !recursive && matches!(how, ListMerge::Replace) {
        merged.extend(high.iter().map(|(key, value)| (key.clone(), value.clone())));
        return merged;
    }
    for (key, value) in high {
        let joined = match (merged.get(key), value) {
            (None, value) => value.clone(),
            (Some(Value::Map(low)), Value::Map(high)) if recursive => Value::map(merge(low, high, recursive, how)),
            (Some(Value::Map(_)), value) => value.clone(),
            (Some(Value::List(low)), Value::List(high)) => {
                let without =
                    |items: &[Value], other: &[Value]| items.iter().filter(|item| !other.contains(item)).cloned().collect::<Vec<_>>();
                Value::list(match how {
                    ListMerge::Replace => high.to_vec(),
                    ListMerge::Keep => low.to_vec(),
                    ListMerge::Append => [&low[..], &high[..]].concat(),
                    ListMerge::Prepend => [&high[..], &low[..]].concat(),
                    ListMerge::AppendNew => [without(low, high), high.to_vec()].concat(),
                    ListMerge::PrependNew => [high.to_vec(), without(low, high)].concat(),
                })
            }
            (Some(_), value) => value.clone(),
        };
        merged.insert(key.clone(), joined);
    }
    merged
}

fn dict2items(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let Value::Map(entries) = &input else {
        return Err(Error::failed(format!("dict2items requires a dictionary, got {} instead.", input.type_name())));
    };
    let (key_name, value_name) = (given.text(0, "key")?, given.text(1, "value")?);
    let items = entries.iter().map(|(key, value)| {
        let mut item = Map::new();
        item.insert(key_name.clone().into(), key.value());
        item.insert(value_name.clone().into(), value.clone());
        Value::map(item)
    });
    Ok(Value::list(items.collect()))
}

fn items2dict(context: &Context, input: Value, given: Bound) -> Result<Value> {
    let (Value::List(items) | Value::Tuple(items)) = &input else {
        return Err(Error::failed(format!("items2dict requires a list, got {} instead.", input.type_name())));
    };
    let (key_name, value_name) = (given.text(0, "key")?, given.text(1, "value")?);
    let mut map = Map::new();
    for item in items.iter() {
        let item = context.evaluator.resolve(item.clone())?;
        let Value::Map(entries) = &item else {
            return Err(Error::failed("items2dict requires a list of dictionaries").hint("each item needs a key and a value"));
        };
        let (Some(key), Some(value)) = (entries.get(&*key_name), entries.get(&*value_name)) else {
            return Err(Error::failed(format!(
                "items2dict requires each dictionary in the list to contain the keys '{key_name}' and '{value_name}'"
            )));
        };
        let key = context.evaluator.unfolded(key.clone())?;
        operators::known(&key)?;
        let key = Key::from_value(&key).ok_or_else(|| Error::failed(format!("unhashable type: '{}'", key.type_name())))?;
        map.insert(key, value.clone());
    }
    Ok(Value::map(map))
}

fn items(_: &Context, input: Value, _: Bound) -> Result<Value> {
    let Value::Map(entries) = &input else {
        return Err(Error::failed("can only get item pairs from a mapping"));
    };
    Ok(Value::list(entries.iter().map(|(key, value)| lists::tuple(vec![key.value(), value.clone()])).collect()))
}

fn dictsort(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let case_sensitive = given.truth(0, false)?;
    let by_value = match given.text(1, "key")?.as_str() {
        "key" => false,
        "value" => true,
        _ => return Err(Error::failed("you can only sort by either \"key\" or \"value\"")),
    };
    let reverse = given.truth(2, false)?;
    let mut failure = None;
    let mut pairs: Vec<(Value, Value)> = map_of(&input)?.iter().map(|(key, value)| (key.value(), value.clone())).collect();
    let fold = |value: &Value| match value {
        Value::Text(text) if !case_sensitive => Value::text(text.as_str().to_lowercase()),
        other => other.clone(),
    };
    pairs.sort_by(|a, b| {
        let (a, b) = if by_value { (&a.1, &b.1) } else { (&a.0, &b.0) };
        match operators::compare("<", &fold(a), &fold(b)) {
            Ok(order) => {
                let order = order.unwrap_or(std::cmp::Ordering::Equal);
                if reverse { order.reverse() } else { order }
            }
            Err(error) => {
                failure.get_or_insert(error);
                std::cmp::Ordering::Equal
            }
        }
    });
    match failure {
        Some(error) => Err(error),
        None => Ok(Value::list(pairs.into_iter().map(|(key, value)| lists::tuple(vec![key, value])).collect())),
    }
}

fn extract(context: &Context, input: Value, given: Bound) -> Result<Value> {
    let mut value = given.value(0, Value::Null);
    let mut keys = vec![input];
    match given.some(1) {
        Some(Value::List(more)) => keys.extend(more.iter().cloned()),
        Some(single) => keys.push(single.clone()),
        None => {}
    }
    for key in keys {
        value = context.evaluator.item(&value, &key)?;
    }
    Ok(value)
}

fn rekey(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let key = given.value(0, Value::Null);
    let overwrite = match given.text(1, "error")?.as_str() {
        "error" => false,
        "overwrite" => true,
        other => return Err(Error::failed(format!("duplicates parameter to rekey_on_member has unknown value {}", python::quoted(other)))),
    };
    let items: Vec<Value> = match &input {
        Value::Map(entries) => entries.values().cloned().collect(),
        Value::List(items) => items.to_vec(),
        _ => return Err(Error::failed("Type is not a valid list, set, or dict")),
    };
    let mut map = Map::new();
    for item in items {
        let Value::Map(entries) = &item else { return Err(Error::failed("List item is not a valid dict")) };
        let member = Key::from_value(&key)
            .and_then(|key| entries.get(&key))
            .ok_or_else(|| Error::failed(format!("Key {} was not found.", python::repr(&key).unwrap_or_default())))?;
        let name = Key::from_value(member).ok_or_else(|| Error::failed(format!("unhashable type: '{}'", member.type_name())))?;
        if !overwrite && map.contains_key(&name) {
            return Err(Error::failed(format!("Key {} is not unique, cannot convert to dict.", python::key_repr(&name))));
        }
        map.insert(name, item);
    }
    Ok(Value::map(map))
}

fn xmlattr(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let mut output = String::new();
    for (key, value) in map_of(&input)? {
        if !matches!(value, Value::Null | Value::Undefined(_)) {
            if !output.is_empty() {
                output.push(' ');
            }
            output += &format!("{}=\"{}\"", super::strings::escaped(&key.text()), super::strings::escaped(&text(value)?));
        }
    }
    if given.truth(0, true)? && !output.is_empty() {
        output.insert(0, ' ');
    }
    Ok(Value::text(output))
}
