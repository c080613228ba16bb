//! Lookups that only shape their terms or read variables; all others come from the scope.

use std::sync::Arc;

use super::arguments::{integer, strict_text};
use super::evaluate::{Context, Evaluator};
use super::filters::lists;
use super::{Error, Result, operators};
use crate::program::{Key, Map, Value};

/// The lookups that are answered here.
pub const NAMES: &[&str] = &[
    "dict",
    "flattened",
    "indexed_items",
    "items",
    "list",
    "nested",
    "cartesian",
    "sequence",
    "subelements",
    "together",
    "vars",
    "varnames",
];

pub fn run(context: &Context, plugin: &str, terms: &[Value], options: &Map) -> Result<Vec<Value>> {
    bare(context.evaluator, plugin, terms, options)
}

pub fn bare(evaluator: &Evaluator, plugin: &str, terms: &[Value], options: &Map) -> Result<Vec<Value>> {
    let plugin = plugin.strip_prefix("ansible.builtin.").unwrap_or(plugin);
    match plugin {
        "items" => Ok(lists::flattened(terms, Some(1), false)),
        "list" => Ok(terms.to_vec()),
        "flattened" => Ok(lists::flattened(terms, None, true)),
        "indexed_items" => {
            let items = lists::flattened(terms, Some(1), false).into_iter().enumerate();
            Ok(items.map(|(index, item)| tuple(vec![Value::Int(index as i64), item])).collect())
        }
        "dict" => {
            let mut found = Vec::new();
            for term in lists::flattened(terms, Some(1), false) {
                let Value::Map(entries) = &term else {
                    return Err(Error::failed(format!("the 'dict' lookup expects a dictionary, got '{}'", term.type_name())));
                };
                found.extend(entries.iter().map(|(key, value)| Value::map(crate::map! { "key" => key.value(), "value" => value.clone() })));
            }
            Ok(found)
        }
        "nested" | "cartesian" => {
            let lists = terms.iter().map(|term| match term {
                Value::List(_) | Value::Tuple(_) => operators::items(term),
                single => Ok(vec![single.clone()]),
            });
            let lists = lists.collect::<Result<Vec<_>>>()?;
            Ok(lists::product(&lists).into_iter().map(Value::list).collect())
        }
        "together" => {
            let lists = terms.iter().map(operators::items).collect::<Result<Vec<_>>>()?;
            let longest = lists.iter().map(Vec::len).max().unwrap_or(0);
            Ok((0..longest)
                .map(|index| Value::list(lists.iter().map(|list| list.get(index).cloned().unwrap_or(Value::Null)).collect()))
                .collect())
        }
        "subelements" => subelements(evaluator, terms),
        "sequence" => terms.iter().map(|term| sequence(term, options)).collect::<Result<Vec<_>>>().map(|found| found.concat()),
        "vars" => terms
            .iter()
            .map(|term| {
                let name: Arc<str> = strict_text(term)?.into();
                match evaluator.scope.variable(&name)? {
                    Some(tree) => evaluator.tree(&tree).and_then(|value| evaluator.finalize(value)),
                    None => {
                        options.get("default").cloned().ok_or_else(|| Error::undefined(format!("no variable named '{name}' was found")))
                    }
                }
            })
            .collect(),
        "varnames" => {
            let mut found = Vec::new();
            for term in terms {
                let pattern = super::filters::regex::compile(strict_text(term)?, false, false)?;
                for name in evaluator.scope.names() {
                    if pattern.is_match(&*name).unwrap_or(false) {
                        found.push(Value::text(name));
                    }
                }
            }
            Ok(found)
        }
        _ => evaluator.scope.lookup(plugin, terms, options),
    }
}

fn tuple(items: Vec<Value>) -> Value {
    Value::Tuple(Arc::new(items))
}

fn subelements(evaluator: &Evaluator, terms: &[Value]) -> Result<Vec<Value>> {
    let [elements, path, rest @ ..] = terms else {
        return Err(Error::failed("subelements lookup expects a list of two or three items"));
    };
    let skip = rest.first().and_then(|flags| flags.get("skip_missing")).is_some_and(|skip| match skip {
        Value::Text(text) => matches!(text.as_str().to_lowercase().as_str(), "yes" | "true" | "on" | "1"),
        other => other.is_truthy(),
    });
    let elements = match elements {
        Value::Map(entries) => entries.values().cloned().collect(),
        other => operators::items(other)?,
    };
    let mut found = Vec::new();
    for element in elements {
        if element.get("skipped").is_some_and(Value::is_truthy) {
            continue;
        }
        let mut value = element.clone();
        let mut missing = false;
        for step in strict_text(path)?.split('.') {
            value = evaluator.attribute(&value, step)?;
            if matches!(value, Value::Undefined(_)) {
                if skip {
                    missing = true;
                    break;
                }
                return Err(Error::failed(format!("could not find '{step}' key in iterated item")));
            }
        }
        if missing {
            continue;
        }
        // The list is taken out of what it was in, as Ansible's lookup does; its filter of this name leaves it there.
        let path: Vec<&str> = strict_text(path)?.split('.').collect();
        let element = without(&element, &path);
        for item in operators::items(&value)? {
            found.push(tuple(vec![element.clone(), item]));
        }
    }
    Ok(found)
}

/// A mapping without the entry at a path of keys.
fn without(value: &Value, path: &[&str]) -> Value {
    let (Value::Map(entries), [name, below @ ..]) = (value, path) else { return value.clone() };
    let mut entries = (**entries).clone();
    if below.is_empty() {
        entries.shift_remove(*name);
    } else if let Some(inner) = entries.get_mut(*name) {
        *inner = without(inner, below);
    }
    Value::map(entries)
}

/// `start=1 end=5 stride=2 format=%02d`, or `5`, `1-5/2:%02d`.
fn sequence(term: &Value, options: &Map) -> Result<Vec<Value>> {
    let (mut start, mut end, mut count, mut stride, mut format) = (1i64, None, None, None::<i64>, "%d".to_owned());
    let mut set = |name: &str, value: &Value| -> Result<()> {
        let number = || match value.as_str() {
            Some(text) => {
                let (digits, radix) = text.strip_prefix("0x").map_or((text, 10), |digits| (digits, 16));
                i64::from_str_radix(digits, radix).map_err(|_| Error::failed(format!("can't parse {name}={text} as integer")))
            }
            None => integer(value),
        };
        match name {
            "start" => start = number()?,
            "end" => end = Some(number()?),
            "count" => count = Some(number()?),
            "stride" => stride = Some(number()?),
            "format" => strict_text(value)?.clone_into(&mut format),
            other => return Err(Error::failed(format!("unrecognized arguments to with_sequence: {other}"))),
        }
        Ok(())
    };
    for (name, value) in options {
        if let Key::Text(name) = name {
            set(name, value)?;
        }
    }
    match term {
        Value::Map(entries) => {
            for (name, value) in entries.iter() {
                set(&name.text(), value)?;
            }
        }
        Value::Int(number) => end = Some(*number),
        term => {
            let text = strict_text(term)?.trim();
            if text.contains('=') {
                for pair in text.split_whitespace() {
                    let (name, value) = pair
                        .split_once('=')
                        .ok_or_else(|| Error::failed(format!("unknown error parsing with_sequence arguments: {text}")))?;
                    set(name, &value.trim_matches(['"', '\'']).into())?;
                }
            } else if !text.is_empty() {
                let (numbers, pattern) = text.split_once(':').map_or((text, None), |(numbers, pattern)| (numbers, Some(pattern)));
                let (bounds, step) = numbers.split_once('/').map_or((numbers, None), |(bounds, step)| (bounds, Some(step)));
                let (first, last) = bounds.split_once('-').map_or((None, bounds), |(first, last)| (Some(first), last));
                if let Some(first) = first {
                    set("start", &first.into())?;
                }
                set("end", &last.into())?;
                if last.contains('-') || step.is_some_and(|step| step.starts_with('-')) {
                    return Err(Error::failed(format!("unrecognized arguments to with_sequence: {text}"))
                        .hint("negative numbers need the long form: start=5 end=1 stride=-2"));
                }
                if let Some(step) = step {
                    set("stride", &step.into())?;
                }
                if let Some(pattern) = pattern {
                    set("format", &pattern.into())?;
                }
            }
        }
    }
    if let Some(count) = count {
        if count == 0 {
            return Ok(Vec::new());
        }
        end = Some(start + count * stride.unwrap_or(1) - 1);
    }
    let end = end.ok_or_else(|| Error::failed("must specify count or end in with_sequence"))?;
    let stride = stride.unwrap_or(1);
    if stride == 0 {
        return Ok(Vec::new());
    }
    if stride > 0 && end < start {
        return Err(Error::failed("to count backwards make stride negative"));
    }
    let mut found = Vec::new();
    let mut number = start;
    while (stride > 0 && number <= end) || (stride < 0 && number >= end) {
        found.push(Value::text(super::format::percent(&format, &Value::Int(number))?));
        number += stride;
    }
    Ok(found)
}
