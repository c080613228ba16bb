//! Lookups that only shape their terms or read variables; all others come from the scope.

pub mod csv;
pub mod ini;
mod options;
mod sequence;
pub mod table;

use std::sync::Arc;

use super::arguments::strict_text;
use super::evaluate::{Context, Evaluator};
use super::filters::lists;
use super::{Error, Result, operators};
use crate::program::{Map, Value};

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
            for term in terms {
                operators::known(term)?;
                let Value::Map(entries) = term else {
                    return Err(Error::failed(format!("the 'dict' lookup expects a dictionary, got '{}'", term.type_name())));
                };
                found.extend(entries.iter().map(|(key, value)| Value::map(crate::map! { "key" => key.value(), "value" => value.clone() })));
            }
            Ok(found)
        }
        "nested" => nested(terms),
        "cartesian" => {
            let lists = terms.iter().map(|term| match term {
                Value::List(_) | Value::Tuple(_) => operators::items(term),
                single => Ok(vec![single.clone()]),
            });
            let lists = lists.collect::<Result<Vec<_>>>()?;
            Ok(lists::product(&lists).into_iter().map(|row| Value::list(lists::flattened(&row, Some(1), false))).collect())
        }
        "together" => {
            if terms.is_empty() {
                return Err(Error::failed("the 'together' lookup needs lists"));
            }
            let lists = terms.iter().map(operators::items).collect::<Result<Vec<_>>>()?;
            let longest = lists.iter().map(Vec::len).max().unwrap_or(0);
            let row = |index: usize| lists.iter().map(|list| list.get(index).cloned().unwrap_or(Value::Null)).collect::<Vec<_>>();
            Ok((0..longest).map(|index| Value::list(lists::flattened(&row(index), Some(1), false))).collect())
        }
        "subelements" => subelements(terms),
        "sequence" => sequence::run(terms, options),
        "random_choice" if terms.is_empty() => Ok(Vec::new()),
        "random_choice" => Ok(vec![terms[(evaluator.scope.random()? % terms.len() as u64) as usize].clone()]),
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

/// Every choice of one item from each list; what is in lists inside of them counts as well.
fn nested(terms: &[Value]) -> Result<Vec<Value>> {
    let Some((first, rest)) = terms.split_first() else { return Err(Error::failed("the 'nested' lookup needs lists")) };
    let mut rows = operators::items(first)?;
    for list in rest {
        let list = operators::items(list)?;
        let pair = |row: &Value, item: &Value| Value::list(lists::flattened(&[row.clone(), item.clone()], Some(1), false));
        rows = rows.iter().flat_map(|row| list.iter().map(move |item| pair(row, item))).collect();
    }
    rows.iter().map(|row| operators::items(row).map(|row| Value::list(lists::flattened(&row, Some(1), false)))).collect()
}

fn subelements(terms: &[Value]) -> Result<Vec<Value>> {
    let wrong = |what: &str| Err(Error::failed(format!("the 'subelements' lookup needs {what}")));
    let (elements, path, flags) = match terms {
        [elements, path] => (elements, path, None),
        [elements, path, flags] => (elements, path, Some(flags)),
        _ => return wrong("a list, the path of a list in its items and, if need be, flags"),
    };
    let was_skipped = |entries: &Map| entries.get("skipped").is_some_and(|skipped| *skipped != Value::Bool(false));
    let elements: Vec<Value> = match elements {
        Value::Map(entries) if was_skipped(entries) => return Ok(Vec::new()),
        Value::Map(entries) => entries.values().cloned().collect(),
        Value::List(items) => items.to_vec(),
        other => return wrong(&format!("a list or a dictionary first, not '{}'", other.type_name())),
    };
    let path: Vec<&str> = strict_text(path)?.split('.').collect();
    let skips = match flags {
        None => false,
        Some(Value::Map(flags)) => flags.get("skip_missing").is_some_and(|skip| match skip {
            Value::Text(text) => matches!(text.as_str().to_lowercase().as_str(), "yes" | "true" | "on" | "1" | "y" | "t"),
            other => other.is_truthy(),
        }),
        Some(other) => return wrong(&format!("`skip_missing` in a dictionary as its flags, not '{}'", other.type_name())),
    };
    let mut found = Vec::new();
    for element in elements {
        operators::known(&element)?;
        let Value::Map(entries) = &element else { return wrong(&format!("dictionaries as items, not '{}'", element.type_name())) };
        if was_skipped(entries) {
            continue;
        }
        let mut value = element.clone();
        let mut items = Vec::new();
        for (index, step) in path.iter().enumerate() {
            let member = value.get(step).cloned();
            member.as_ref().map_or(Ok(()), operators::known)?;
            match (member, index + 1 == path.len()) {
                // As Ansible, which looks for the next step in the same dictionary.
                (None, _) if skips => {}
                (None, _) => {
                    return Err(Error::failed(format!("could not find '{step}' key in iterated item"))
                        .hint("`{'skip_missing': true}` as the third term leaves such items out"));
                }
                (Some(list @ (Value::List(_) | Value::Tuple(_))), true) => items = operators::items(&list)?,
                (Some(other), true) => {
                    return Err(Error::failed(format!("the key {step} should point to a list, not '{}'", other.type_name())));
                }
                (Some(inner @ Value::Map(_)), false) => value = inner,
                (Some(_), false) if skips => {}
                (Some(other), false) => {
                    return Err(Error::failed(format!("the key {step} should point to a dictionary, not '{}'", other.type_name())));
                }
            }
        }
        // The list is taken out of what it was in, as Ansible's lookup does; its filter of this name leaves it there.
        let element = without(&element, &path);
        found.extend(items.into_iter().map(|item| tuple(vec![element.clone(), item])));
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
