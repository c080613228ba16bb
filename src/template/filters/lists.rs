//! Lists: selecting, mapping, sorting, grouping, flattening, combining.

use std::cmp::Ordering;
use std::sync::Arc;

use super::super::arguments::{Arguments, Bound, integer, strict_text, text};
use super::super::evaluate::Context;
use super::super::{Error, Result, operators, python, tests};
use super::Filter;
use crate::program::{Key, Value};

pub const FILTERS: &[Filter] = &[
    Filter::new("batch", &["linecount!", "fill_with"], batch).top(),
    Filter::new("combinations", &["r!"], combinations),
    Filter::new("count", &[], length).top(),
    Filter::new("first", &[], first).top(),
    Filter::new("flatten", &["levels", "skip_nulls"], flatten),
    Filter::new("groupby", &["attribute!", "default", "case_sensitive"], group_by),
    Filter::new("join", &["d", "attribute"], join),
    Filter::new("last", &[], last).top(),
    Filter::new("length", &[], length).top(),
    Filter::new("list", &[], list).top(),
    Filter::new("map", &["*", "**"], map).top(),
    Filter::new("max", &["case_sensitive", "attribute"], |context, input, given| extreme(context, &input, &given, Ordering::Greater)),
    Filter::new("min", &["case_sensitive", "attribute"], |context, input, given| extreme(context, &input, &given, Ordering::Less)),
    Filter::new("permutations", &["r"], permutations),
    Filter::new("product", &["*", "**"], cartesian),
    Filter::new("reject", &["*", "**"], |context, input, given| select(context, &input, given, false, false)).top(),
    Filter::new("rejectattr", &["*", "**"], |context, input, given| select(context, &input, given, true, false)).top(),
    Filter::new("reverse", &[], reverse).top(),
    Filter::new("select", &["*", "**"], |context, input, given| select(context, &input, given, false, true)).top(),
    Filter::new("selectattr", &["*", "**"], |context, input, given| select(context, &input, given, true, true)).top(),
    Filter::new("slice", &["slices!", "fill_with"], slices).top(),
    Filter::new("sort", &["reverse", "case_sensitive", "attribute"], sorted),
    Filter::new("subelements", &["subelements!", "skip_missing"], subelements),
    Filter::new("sum", &["attribute", "start"], sum),
    Filter::new("unique", &["case_sensitive", "attribute"], unique),
    Filter::new("zip", &["*", "**"], |_, input, given| zip(input, given, false)).top(),
    Filter::new("zip_longest", &["*", "**"], |_, input, given| zip(input, given, true)).top(),
];

pub fn tuple(items: Vec<Value>) -> Value {
    Value::Tuple(Arc::new(items))
}

/// A member by Jinja2's dotted path (`a.b`, `a.0`).
pub fn by_path(context: &Context, item: &Value, path: &Value) -> Result<Value> {
    let evaluator = context.evaluator;
    match path {
        Value::Text(path) => {
            let mut value = item.clone();
            for part in path.as_str().split('.') {
                let key = part.parse::<i64>().map_or_else(|_| Value::text(part), Value::Int);
                value = evaluator.item(&value, &key)?;
            }
            evaluator.unfolded(value)
        }
        other => evaluator.item(item, other),
    }
}

/// As [`by_path`], with a default, and an error where the member is undefined.
fn key_of(context: &Context, item: &Value, path: Option<&Value>, default: Option<&Value>) -> Result<Value> {
    let Some(path) = path else { return Ok(item.clone()) };
    let value = by_path(context, item, path)?;
    match (&value, default) {
        (Value::Undefined(_), Some(default)) => Ok(default.clone()),
        _ => {
            operators::known(&value)?;
            context.evaluator.deep(value)
        }
    }
}

fn folded(value: Value, case_sensitive: bool) -> Value {
    match &value {
        Value::Text(text) if !case_sensitive => Value::text(text.as_str().to_lowercase()),
        _ => value,
    }
}

fn first(context: &Context, input: Value, _: Bound) -> Result<Value> {
    match operators::items(&input)?.into_iter().next() {
        Some(item) => context.evaluator.unfolded(item),
        None => Ok(Value::Undefined("no first item, sequence was empty".into())),
    }
}

fn last(context: &Context, input: Value, _: Bound) -> Result<Value> {
    match operators::items(&input)?.pop() {
        Some(item) => context.evaluator.unfolded(item),
        None => Ok(Value::Undefined("no last item, sequence was empty".into())),
    }
}

fn length(_: &Context, input: Value, _: Bound) -> Result<Value> {
    operators::length(&input).map(|length| Value::Int(length as i64))
}

fn list(_: &Context, input: Value, _: Bound) -> Result<Value> {
    match input {
        Value::List(_) => Ok(input),
        other => operators::items(&other).map(Value::list),
    }
}

fn reverse(_: &Context, input: Value, _: Bound) -> Result<Value> {
    match &input {
        Value::Text(text) => Ok(Value::text(text.as_str().chars().rev().collect::<String>())),
        other => {
            let mut items = operators::items(other)?;
            items.reverse();
            Ok(Value::list(items))
        }
    }
}

fn join(context: &Context, input: Value, given: Bound) -> Result<Value> {
    let separator = given.text(0, "")?;
    let parts =
        operators::items(&input)?.iter().map(|item| text(&key_of(context, item, given.some(1), None)?)).collect::<Result<Vec<_>>>()?;
    Ok(Value::text(parts.join(&separator)))
}

fn map(context: &Context, input: Value, mut given: Bound) -> Result<Value> {
    if matches!(input, Value::Null) {
        return Ok(Value::list(Vec::new()));
    }
    let items = operators::items(&input)?;
    // Behind a filter's name the words are that filter's.
    let attribute = if given.rest.is_empty() { given.further.shift_remove("attribute") } else { None };
    if let Some(attribute) = attribute {
        let default = given.further.shift_remove("default");
        if let Some((name, _)) = given.further.first() {
            return Err(Error::failed(format!("unexpected keyword argument '{}'", name.text())));
        }
        let values = items.iter().map(|item| {
            let value = by_path(context, item, &attribute)?;
            Ok(match (&value, &default) {
                (Value::Undefined(_), Some(default)) => default.clone(),
                _ => value,
            })
        });
        return Ok(Value::list(values.collect::<Result<_>>()?));
    }
    if given.rest.is_empty() {
        return Err(Error::failed("map requires a filter argument").hint("write `map('upper')` or `map(attribute='name')`"));
    }
    let name = given.rest.remove(0);
    let name = strict_text(&name)?;
    let arguments = further(given.rest, given.further);
    let values = items.into_iter().map(|item| super::apply_named(context, name, item, &arguments));
    Ok(Value::list(values.collect::<Result<_>>()?))
}

fn further(positional: Vec<Value>, named: crate::program::Map) -> Arguments {
    Arguments { positional, named: named.into_iter().map(|(key, value)| (key.text().into(), value)).collect() }
}

fn select(context: &Context, input: &Value, mut given: Bound, by_attribute: bool, wanted: bool) -> Result<Value> {
    if matches!(input, Value::Null) {
        return Ok(Value::list(Vec::new()));
    }
    let mut rest = std::mem::take(&mut given.rest);
    let attribute = if by_attribute {
        if rest.is_empty() {
            return Err(Error::failed("missing parameter for attribute name"));
        }
        Some(rest.remove(0))
    } else {
        None
    };
    let test = if rest.is_empty() { None } else { Some(rest.remove(0)) };
    let arguments = further(rest, given.further);
    let mut kept = Vec::new();
    for item in operators::items(input)? {
        let value = match &attribute {
            Some(attribute) => by_path(context, &item, attribute)?,
            None => context.evaluator.unfolded(item.clone())?,
        };
        let holds = match &test {
            Some(test) => {
                let outcome =
                    tests::apply(context, &super::short_name(strict_text(test)?), value, arguments.clone()).map_err(super::at_run_time)?;
                operators::known(&outcome)?;
                outcome.is_truthy()
            }
            None => {
                operators::known(&value)?;
                context.evaluator.resolve(value)?.is_truthy()
            }
        };
        if holds == wanted {
            kept.push(item);
        }
    }
    Ok(Value::list(kept))
}

/// Python's sort: stable, an error where two items cannot be compared.
pub fn sort(items: &mut [Value], reverse: bool) -> Result<()> {
    let keys = items.to_vec();
    let mut pairs: Vec<(Vec<Value>, Value)> = keys.into_iter().map(|key| (vec![key.clone()], key)).collect();
    sort_pairs(&mut pairs, reverse)?;
    for (slot, (_, value)) in items.iter_mut().zip(pairs) {
        *slot = value;
    }
    Ok(())
}

fn sort_pairs(pairs: &mut [(Vec<Value>, Value)], reverse: bool) -> Result<()> {
    let mut failure = None;
    pairs.sort_by(|(a, _), (b, _)| {
        for (a, b) in a.iter().zip(b) {
            match operators::compare("<", a, b) {
                Ok(Some(Ordering::Equal)) => {}
                Ok(order) => {
                    let order = order.unwrap_or(Ordering::Equal);
                    return if reverse { order.reverse() } else { order };
                }
                Err(error) => {
                    if a != b {
                        failure.get_or_insert(error);
                        return Ordering::Equal;
                    }
                }
            }
        }
        Ordering::Equal
    });
    failure.map_or(Ok(()), Err)
}

fn sorted(context: &Context, input: Value, given: Bound) -> Result<Value> {
    let (reverse, case_sensitive) = (given.truth(0, false)?, given.truth(1, false)?);
    let paths: Vec<Option<Value>> = match given.some(2) {
        None => vec![None],
        Some(Value::Text(paths)) => paths.as_str().split(',').map(|path| Some(Value::text(path.trim()))).collect(),
        Some(other) => vec![Some(other.clone())],
    };
    let mut pairs = operators::items(&input)?
        .into_iter()
        .map(|item| {
            let keys = paths.iter().map(|path| Ok(folded(key_of(context, &item, path.as_ref(), None)?, case_sensitive)));
            Ok((keys.collect::<Result<Vec<_>>>()?, item))
        })
        .collect::<Result<Vec<_>>>()?;
    sort_pairs(&mut pairs, reverse)?;
    Ok(Value::list(pairs.into_iter().map(|(_, item)| item).collect()))
}

fn extreme(context: &Context, input: &Value, given: &Bound, wanted: Ordering) -> Result<Value> {
    let case_sensitive = given.truth(0, false)?;
    let mut best: Option<(Value, Value)> = None;
    for item in operators::items(input)? {
        let key = folded(key_of(context, &item, given.some(1), None)?, case_sensitive);
        let better = match &best {
            Some((best, _)) => operators::compare(if wanted == Ordering::Less { "<" } else { ">" }, &key, best)? == Some(wanted),
            None => true,
        };
        if better {
            best = Some((key, item));
        }
    }
    Ok(best.map_or_else(|| Value::Undefined("no aggregated item, sequence was empty".into()), |(_, item)| item))
}

fn sum(context: &Context, input: Value, given: Bound) -> Result<Value> {
    let mut total = given.value(1, Value::Int(0));
    for item in operators::items(&input)? {
        total = operators::add(&total, &key_of(context, &item, given.some(0), None)?)?;
    }
    Ok(total)
}

fn group_by(context: &Context, input: Value, given: Bound) -> Result<Value> {
    let case_sensitive = given.truth(2, false)?;
    let mut pairs = operators::items(&input)?
        .into_iter()
        .map(|item| Ok((vec![folded(key_of(context, &item, given.get(0), given.some(1))?, case_sensitive)], item)))
        .collect::<Result<Vec<_>>>()?;
    sort_pairs(&mut pairs, false)?;
    let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
    for (key, item) in pairs {
        let key = key.into_iter().next().unwrap_or_default();
        match groups.last_mut() {
            Some((last, items)) if *last == key => items.push(item),
            _ => groups.push((key, vec![item])),
        }
    }
    let groups = groups.into_iter().map(|(key, items)| {
        // Without regard to case, the group is named as its first item is.
        let name = items.first().map_or(Ok(key), |item| key_of(context, item, given.get(0), given.some(1)))?;
        Ok(tuple(vec![name, Value::list(items)]))
    });
    Ok(Value::list(groups.collect::<Result<_>>()?))
}

fn unique(context: &Context, input: Value, given: Bound) -> Result<Value> {
    let case_sensitive = given.truth(0, false)?;
    let mut seen = Vec::new();
    let mut kept = Vec::new();
    for item in operators::items(&input)? {
        let key = folded(key_of(context, &item, given.some(1), None)?, case_sensitive);
        if !seen.contains(&key) {
            seen.push(key);
            kept.push(item);
        }
    }
    Ok(Value::list(kept))
}

fn batch(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let count = given.count(0, 1)?;
    if count == 0 {
        return Err(Error::failed("batches need at least one item"));
    }
    let items = operators::items(&input)?;
    let rows = items.chunks(count).map(|chunk| {
        let mut row = chunk.to_vec();
        if let Some(fill) = given.some(1) {
            row.resize(count, fill.clone());
        }
        Value::list(row)
    });
    Ok(Value::list(rows.collect()))
}

fn slices(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let count = given.count(0, 1)?;
    if count == 0 {
        return Err(Error::failed("integer division or modulo by zero"));
    }
    let items = operators::items(&input)?;
    let (each, longer) = (items.len() / count, items.len() % count);
    let mut rows = Vec::new();
    let mut start = 0;
    for row in 0..count {
        let end = start + each + usize::from(row < longer);
        let mut part = items[start..end].to_vec();
        if let Some(fill) = given.some(1)
            && row >= longer
            && longer > 0
        {
            part.push(fill.clone());
        }
        rows.push(Value::list(part));
        start = end;
    }
    Ok(Value::list(rows))
}

/// Nested lists in one list, `levels` deep (all where none is said).
pub fn flattened(items: &[Value], levels: Option<i64>, skip_nulls: bool) -> Vec<Value> {
    let mut output = Vec::new();
    for item in items {
        let null = match item {
            Value::Null => true,
            Value::Text(text) => matches!(text.as_str(), "None" | "null"),
            _ => false,
        };
        match item {
            _ if skip_nulls && null => {}
            Value::List(inner) | Value::Tuple(inner) if levels.is_none_or(|levels| levels >= 1) => {
                output.extend(flattened(inner, levels.map(|levels| levels - 1), skip_nulls));
            }
            other => output.push(other.clone()),
        }
    }
    output
}

fn flatten(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let levels = given.some(0).map(integer).transpose()?;
    Ok(Value::list(flattened(&operators::items(&input)?, levels, given.truth(1, true)?)))
}

/// Every choice of one item from each list, the last list's changing fastest.
pub fn product(lists: &[Vec<Value>]) -> Vec<Vec<Value>> {
    let mut rows = vec![Vec::new()];
    for list in lists {
        rows = rows.into_iter().flat_map(|row| list.iter().map(move |item| [&row[..], std::slice::from_ref(item)].concat())).collect();
    }
    rows
}

fn cartesian(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let mut lists = vec![operators::items(&input)?];
    for list in &given.rest {
        lists.push(operators::items(list)?);
    }
    let repeat = given.further.get("repeat").map_or(Ok(1), integer)?;
    let lists: Vec<_> = std::iter::repeat_n(lists, usize::try_from(repeat).unwrap_or(0)).flatten().collect();
    Ok(Value::list(product(&lists).into_iter().map(tuple).collect()))
}

fn permutations(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let items = operators::items(&input)?;
    let size = given.count(0, items.len())?;
    let mut rows: Vec<Vec<usize>> = vec![Vec::new()];
    for _ in 0..size {
        rows = rows
            .into_iter()
            .flat_map(|row| {
                (0..items.len()).filter(|index| !row.contains(index)).map(|index| [&row[..], &[index]].concat()).collect::<Vec<_>>()
            })
            .collect();
    }
    Ok(Value::list(rows.into_iter().map(|row| tuple(row.into_iter().map(|index| items[index].clone()).collect())).collect()))
}

fn combinations(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let items = operators::items(&input)?;
    let size = given.count(0, 0)?;
    let mut rows: Vec<Vec<usize>> = vec![Vec::new()];
    for _ in 0..size {
        rows = rows
            .into_iter()
            .flat_map(|row| {
                let start = row.last().map_or(0, |last| last + 1);
                (start..items.len()).map(|index| [&row[..], &[index]].concat()).collect::<Vec<_>>()
            })
            .collect();
    }
    Ok(Value::list(rows.into_iter().map(|row| tuple(row.into_iter().map(|index| items[index].clone()).collect())).collect()))
}

fn zip(input: Value, given: Bound, longest: bool) -> Result<Value> {
    let mut lists = vec![operators::items(&input)?];
    for list in &given.rest {
        lists.push(operators::items(list)?);
    }
    let fill = given.further.get("fillvalue").cloned().unwrap_or_default();
    let lengths = lists.iter().map(Vec::len);
    if given.further.get("strict").is_some_and(Value::is_truthy) && lists.iter().any(|list| list.len() != lists[0].len()) {
        return Err(Error::failed("zip() arguments have different lengths"));
    }
    let length = if longest { lengths.max() } else { lengths.min() }.unwrap_or(0);
    let rows = (0..length).map(|row| tuple(lists.iter().map(|list| list.get(row).cloned().unwrap_or_else(|| fill.clone())).collect()));
    Ok(Value::list(rows.collect()))
}

fn subelements(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let elements: Vec<Value> = match &input {
        Value::Map(entries) => entries.values().cloned().collect(),
        Value::List(items) => items.to_vec(),
        _ => return Err(Error::failed("obj must be a list of dicts or a nested dict")),
    };
    let path: Vec<Value> = match given.get(0) {
        Some(Value::Text(path)) => path.as_str().split('.').map(Value::from).collect(),
        Some(Value::List(path)) => path.to_vec(),
        _ => return Err(Error::failed("subelements must be a list or a string")),
    };
    let skip_missing = given.truth(1, false)?;
    let mut rows = Vec::new();
    for element in elements {
        let mut values = element.clone();
        for step in &path {
            let Value::Map(entries) = &values else {
                return Err(Error::failed(format!(
                    "the key {} should point to a dictionary, got '{}'",
                    python::text(step)?,
                    python::text(&values)?
                )));
            };
            match Key::from_value(step).and_then(|key| entries.get(&key).cloned()) {
                Some(found) => values = found,
                None if skip_missing => {
                    values = Value::list(Vec::new());
                    break;
                }
                None => {
                    return Err(Error::failed(format!(
                        "could not find {} key in iterated item {}",
                        python::repr(step)?,
                        python::repr(&values)?
                    )));
                }
            }
        }
        let Value::List(items) = &values else {
            return Err(Error::failed(format!(
                "the key {} should point to a list, got {}",
                python::repr(path.last().unwrap_or(&Value::Null))?,
                python::repr(&values)?
            )));
        };
        rows.extend(items.iter().map(|item| tuple(vec![element.clone(), item.clone()])));
    }
    Ok(Value::list(rows))
}
