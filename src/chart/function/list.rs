//! Lists.

use super::{Fail, Function, any, exactly, integer, items, wrong};
use crate::chart::value::Value;

pub const FUNCTIONS: &[Function] = &[
    any("list", 0, |arguments| Ok(Value::list(arguments.to_vec()))),
    any("tuple", 0, |arguments| Ok(Value::list(arguments.to_vec()))),
    exactly("first", 1, |arguments| Ok(items(arguments, 0)?.first().cloned().unwrap_or_default())),
    exactly("mustFirst", 1, |arguments| Ok(items(arguments, 0)?.first().cloned().unwrap_or_default())),
    exactly("last", 1, |arguments| Ok(items(arguments, 0)?.last().cloned().unwrap_or_default())),
    exactly("mustLast", 1, |arguments| Ok(items(arguments, 0)?.last().cloned().unwrap_or_default())),
    exactly("rest", 1, |arguments| Ok(Value::list(items(arguments, 0)?.get(1..).unwrap_or_default().to_vec()))),
    exactly("initial", 1, |arguments| Ok(Value::list(items(arguments, 0)?.split_last().map_or_else(Vec::new, |(_, rest)| rest.to_vec())))),
    exactly("append", 2, append),
    exactly("push", 2, append),
    exactly("mustAppend", 2, append),
    exactly("prepend", 2, |arguments| {
        let mut list = vec![arguments[1].clone()];
        list.extend(items(arguments, 0)?.iter().cloned());
        Ok(Value::list(list))
    }),
    any("concat", 0, |arguments| {
        let mut list = Vec::new();
        for index in 0..arguments.len() {
            list.extend(items(arguments, index)?.iter().cloned());
        }
        Ok(Value::list(list))
    }),
    exactly("reverse", 1, |arguments| Ok(Value::list(items(arguments, 0)?.iter().rev().cloned().collect()))),
    exactly("uniq", 1, |arguments| {
        let mut list: Vec<Value> = Vec::new();
        for item in items(arguments, 0)?.iter() {
            if !among(&list, item) {
                list.push(item.clone());
            }
        }
        Ok(Value::list(list))
    }),
    exactly("compact", 1, |arguments| Ok(Value::list(items(arguments, 0)?.iter().filter(|item| item.is_true()).cloned().collect()))),
    any("without", 1, |arguments| {
        Ok(Value::list(items(arguments, 0)?.iter().filter(|item| !among(&arguments[1..], item)).cloned().collect()))
    }),
    exactly("has", 2, |arguments| match &arguments[1] {
        Value::Nil => Ok(false.into()),
        _ => Ok(among(&items(arguments, 1)?, &arguments[0]).into()),
    }),
    any("slice", 1, slice),
    exactly("until", 1, |arguments| {
        let count = integer(arguments, 0)?;
        steps(0, count, if count < 0 { -1 } else { 1 })
    }),
    exactly("untilStep", 3, |arguments| steps(integer(arguments, 0)?, integer(arguments, 1)?, integer(arguments, 2)?)),
    exactly("chunk", 2, |arguments| {
        let size =
            usize::try_from(integer(arguments, 0)?).ok().filter(|size| *size > 0).ok_or_else(|| wrong(arguments, 0, "a number above 0"))?;
        Ok(Value::list(items(arguments, 1)?.chunks(size).map(|chunk| Value::list(chunk.to_vec())).collect()))
    }),
    exactly("len", 1, |arguments| {
        let length = match &arguments[0] {
            Value::Text(text) => text.len(),
            Value::List(items) => items.len(),
            Value::Map(entries) => entries.borrow().len(),
            Value::Object(object) => object.content.len(),
            _ => return Err(wrong(arguments, 0, "a text, a list or a mapping")),
        };
        Ok(Value::Int(length as i64))
    }),
    any("index", 1, index),
];

fn append(arguments: &[Value]) -> Result<Value, Fail> {
    let mut list = items(arguments, 0)?.to_vec();
    list.push(arguments[1].clone());
    Ok(Value::list(list))
}

fn among(list: &[Value], item: &Value) -> bool {
    list.iter().any(|other| other.deep_equal(item))
}

fn steps(start: i64, stop: i64, step: i64) -> Result<Value, Fail> {
    if step == 0 || (stop < start) != (step < 0) {
        return Ok(Value::list(Vec::new()));
    }
    if start.abs_diff(stop) / step.unsigned_abs() > 1_000_000 {
        return Err(Fail::new("a list of more than a million numbers"));
    }
    let mut list = Vec::new();
    let mut number = start;
    while (step > 0 && number < stop) || (step < 0 && number > stop) {
        list.push(Value::Int(number));
        number += step;
    }
    Ok(Value::list(list))
}

/// sprig's, which has Go's name: of a list only.
fn slice(arguments: &[Value]) -> Result<Value, Fail> {
    let list = items(arguments, 0)?;
    let number = |index: usize, otherwise: usize| {
        arguments.get(index).map_or(Ok(otherwise), |value| {
            usize::try_from(super::number::whole(value)).map_err(|_| wrong(arguments, index, "a number from 0 on"))
        })
    };
    let (from, to) = (number(1, 0)?, number(2, list.len())?);
    list.get(from..to)
        .map(|part| Value::list(part.to_vec()))
        .ok_or_else(|| Fail::new(format!("{from} to {to} is no part of a list of {}", list.len())))
}

fn index(arguments: &[Value]) -> Result<Value, Fail> {
    let mut item = arguments[0].clone();
    for (place, key) in arguments.iter().enumerate().skip(1) {
        item = match (&item, key) {
            (Value::Map(entries), Value::Text(key)) => entries.borrow().get(key).cloned().unwrap_or_default(),
            (Value::List(items), Value::Int(number)) => {
                let found = usize::try_from(*number).ok().and_then(|number| items.get(number));
                found.cloned().ok_or_else(|| Fail::argument(place, format!("there is no item {number} in a list of {}", items.len())))?
            }
            (Value::Object(object), Value::Text(key)) => object
                .content
                .get(&**key)
                .map(|bytes| String::from_utf8_lossy(bytes).into_owned().into())
                .or_else(|| object.fields.get(&**key).cloned())
                .unwrap_or_default(),
            (Value::Map(_), _) => return Err(wrong(arguments, place, "a text")),
            (Value::List(_), _) => return Err(wrong(arguments, place, "an integer")),
            (other, _) => return Err(Fail::argument(place - 1, format!("{} has no items", other.describe()))),
        };
    }
    Ok(item)
}
