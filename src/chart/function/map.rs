//! Mappings. They are shared: `set`, `unset` and `merge` change what others see, as in Helm.

use std::cell::RefCell;
use std::rc::Rc;

use super::{Fail, Function, any, entries, exactly, text, wrong};
use crate::chart::print;
use crate::chart::value::{Entries, Value};

pub const FUNCTIONS: &[Function] = &[
    any("dict", 0, |arguments| {
        let pairs = arguments.chunks(2).map(|pair| (Rc::from(print::plain(&pair[0])), pair.get(1).cloned().unwrap_or_else(|| "".into())));
        Ok(Value::map(pairs.collect()))
    }),
    exactly("get", 2, |arguments| Ok(entries(arguments, 0)?.borrow().get(&*text(arguments, 1)?).cloned().unwrap_or_else(|| "".into()))),
    exactly("set", 3, |arguments| {
        entries(arguments, 0)?.borrow_mut().insert(text(arguments, 1)?, arguments[2].clone());
        Ok(arguments[0].clone())
    }),
    exactly("unset", 2, |arguments| {
        entries(arguments, 0)?.borrow_mut().remove(&*text(arguments, 1)?);
        Ok(arguments[0].clone())
    }),
    exactly("hasKey", 2, |arguments| Ok(entries(arguments, 0)?.borrow().contains_key(&*text(arguments, 1)?).into())),
    any("keys", 0, |arguments| {
        let mut keys = Vec::new();
        for index in 0..arguments.len() {
            keys.extend(entries(arguments, index)?.borrow().keys().map(|key| Value::Text(Rc::clone(key))));
        }
        Ok(Value::list(keys))
    }),
    exactly("values", 1, |arguments| Ok(Value::list(entries(arguments, 0)?.borrow().values().cloned().collect()))),
    any("pluck", 1, |arguments| {
        let key = text(arguments, 0)?;
        let mut found = Vec::new();
        for index in 1..arguments.len() {
            found.extend(entries(arguments, index)?.borrow().get(&key).cloned());
        }
        Ok(Value::list(found))
    }),
    any("pick", 1, |arguments| chosen(arguments, true)),
    any("omit", 1, |arguments| chosen(arguments, false)),
    any("merge", 1, |arguments| merged(arguments, false)),
    any("mustMerge", 1, |arguments| merged(arguments, false)),
    any("mergeOverwrite", 1, |arguments| merged(arguments, true)),
    any("mustMergeOverwrite", 1, |arguments| merged(arguments, true)),
    exactly("deepCopy", 1, |arguments| Ok(arguments[0].deep_copy())),
    exactly("mustDeepCopy", 1, |arguments| Ok(arguments[0].deep_copy())),
    any("dig", 3, |arguments| {
        let (path, rest) = arguments.split_at(arguments.len() - 2);
        let mut at = rest[1].clone();
        for index in 0..path.len() {
            let key = text(path, index)?;
            let Value::Map(entries) = &at else { return Err(wrong(arguments, arguments.len() - 1, "a mapping of mappings")) };
            let Some(found) = entries.borrow().get(&key).cloned() else { return Ok(rest[0].clone()) };
            at = found;
        }
        Ok(at)
    }),
];

fn chosen(arguments: &[Value], keep: bool) -> Result<Value, Fail> {
    let mut names = Vec::new();
    for index in 1..arguments.len() {
        names.push(text(arguments, index)?);
    }
    let all = entries(arguments, 0)?;
    let all = all.borrow();
    Ok(Value::map(all.iter().filter(|(key, _)| names.contains(key) == keep).map(|(key, value)| (Rc::clone(key), value.clone())).collect()))
}

/// The first mapping takes what the others have; what it has itself stays, unless `overwrite`.
fn merged(arguments: &[Value], overwrite: bool) -> Result<Value, Fail> {
    let into = entries(arguments, 0)?;
    for index in 1..arguments.len() {
        if !matches!(arguments[index], Value::Nil) {
            merge(&into, &entries(arguments, index)?, overwrite);
        }
    }
    Ok(arguments[0].clone())
}

/// mergo's: an empty value counts as absent on either side.
fn merge(into: &Rc<RefCell<Entries>>, from: &Rc<RefCell<Entries>>, overwrite: bool) {
    if Rc::ptr_eq(into, from) {
        return;
    }
    let from: Vec<(Rc<str>, Value)> = from.borrow().iter().map(|(key, value)| (Rc::clone(key), value.clone())).collect();
    for (key, value) in from {
        let present = into.borrow().get(&key).cloned();
        match (present, value) {
            (Some(Value::Map(inner)), Value::Map(other)) => merge(&inner, &other, overwrite),
            (Some(present), value) if present.is_true() && !(overwrite && value.is_true()) => {}
            (Some(_), value) if !value.is_true() => {}
            (_, value) => drop(into.borrow_mut().insert(key, value)),
        }
    }
}
