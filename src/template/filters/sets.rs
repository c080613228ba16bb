//! Lists as sets. Python's order of a set is arbitrary; here it is that of the lists.

use super::super::arguments::Bound;
use super::super::evaluate::Context;
use super::super::{Result, operators};
use super::Filter;
use crate::program::Value;

pub const FILTERS: &[Filter] = &[
    Filter::new("difference", &["b!"], |_, input, given| chosen(&input, &given, false)),
    Filter::new("intersect", &["b!"], |_, input, given| chosen(&input, &given, true)),
    Filter::new("symmetric_difference", &["b!"], symmetric),
    Filter::new("union", &["b!"], union),
];

fn push(output: &mut Vec<Value>, item: Value) {
    if !output.contains(&item) {
        output.push(item);
    }
}

fn chosen(input: &Value, given: &Bound, common: bool) -> Result<Value> {
    let other = operators::items(&given.value(0, Value::Null))?;
    let mut output = Vec::new();
    for item in operators::items(input)? {
        if other.contains(&item) == common {
            push(&mut output, item);
        }
    }
    Ok(Value::list(output))
}

fn union(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let mut output = Vec::new();
    for item in operators::items(&input)?.into_iter().chain(operators::items(&given.value(0, Value::Null))?) {
        push(&mut output, item);
    }
    Ok(Value::list(output))
}

fn symmetric(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let (first, second) = (operators::items(&input)?, operators::items(&given.value(0, Value::Null))?);
    let mut output = Vec::new();
    for item in &first {
        if !second.contains(item) {
            push(&mut output, item.clone());
        }
    }
    for item in second {
        if !first.contains(&item) {
            push(&mut output, item);
        }
    }
    Ok(Value::list(output))
}
