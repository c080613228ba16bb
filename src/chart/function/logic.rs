//! Truth, comparison, defaults, types.

use std::cmp::Ordering;

use super::{Fail, Function, any, exactly, text, wrong};
use crate::chart::print;
use crate::chart::value::Value;

pub const FUNCTIONS: &[Function] = &[
    // The evaluator stops them early; here is what is left when only the pipeline brings an argument.
    any("and", 1, |arguments| Ok(arguments[arguments.len() - 1].clone())),
    any("or", 1, |arguments| Ok(arguments[arguments.len() - 1].clone())),
    exactly("not", 1, |arguments| Ok((!arguments[0].is_true()).into())),
    any("eq", 2, |arguments| {
        for (index, other) in arguments.iter().enumerate().skip(1) {
            if equal(&arguments[0], other, index)? {
                return Ok(true.into());
            }
        }
        Ok(false.into())
    }),
    exactly("ne", 2, |arguments| Ok((!equal(&arguments[0], &arguments[1], 1)?).into())),
    exactly("lt", 2, |arguments| Ok(order(arguments)?.is_some_and(Ordering::is_lt).into())),
    exactly("le", 2, |arguments| Ok(order(arguments)?.is_some_and(Ordering::is_le).into())),
    exactly("gt", 2, |arguments| Ok(order(arguments)?.is_some_and(Ordering::is_gt).into())),
    exactly("ge", 2, |arguments| Ok(order(arguments)?.is_some_and(Ordering::is_ge).into())),
    any("default", 1, |arguments| Ok(arguments.get(1).filter(|given| given.is_true()).unwrap_or(&arguments[0]).clone())),
    exactly("empty", 1, |arguments| Ok((!arguments[0].is_true()).into())),
    any("coalesce", 0, |arguments| Ok(arguments.iter().find(|value| value.is_true()).cloned().unwrap_or_default())),
    any("all", 0, |arguments| Ok(arguments.iter().all(Value::is_true).into())),
    any("any", 0, |arguments| Ok(arguments.iter().any(Value::is_true).into())),
    exactly("ternary", 3, |arguments| match &arguments[2] {
        Value::Bool(truth) => Ok(arguments[usize::from(!truth)].clone()),
        _ => Err(wrong(arguments, 2, "a truth value")),
    }),
    exactly("required", 2, |arguments| {
        let missing = match &arguments[1] {
            Value::Nil => true,
            Value::Text(text) => text.is_empty(),
            _ => false,
        };
        if missing { Err(own(&text(arguments, 0)?)) } else { Ok(arguments[1].clone()) }
    }),
    exactly("fail", 1, |arguments| Err(own(&text(arguments, 0)?))),
    exactly("typeOf", 1, |arguments| Ok(arguments[0].type_name().into())),
    exactly("typeIs", 2, |arguments| Ok((*text(arguments, 0)? == *arguments[1].type_name()).into())),
    exactly("typeIsLike", 2, |arguments| Ok((text(arguments, 0)?.trim_start_matches('*') == arguments[1].type_name()).into())),
    exactly("kindOf", 1, |arguments| Ok(arguments[0].kind_name().into())),
    exactly("kindIs", 2, |arguments| Ok((*text(arguments, 0)? == *arguments[1].kind_name()).into())),
    exactly("deepEqual", 2, |arguments| Ok(arguments[0].deep_equal(&arguments[1]).into())),
    // These two are the evaluator's: they need the templates.
    exactly("include", 2, |_| Err(Fail::new("it is not to be called outside of a template"))),
    exactly("tpl", 2, |_| Err(Fail::new("it is not to be called outside of a template"))),
    // Without asking the cluster, as `helm template`.
    exactly("lookup", 4, |_| Ok(Value::map(std::collections::BTreeMap::new()))),
];

/// The chart's own words.
fn own(message: &str) -> Fail {
    Fail { own: true, ..Fail::new(message) }
}

fn kind(value: &Value) -> u8 {
    match value {
        Value::Bool(_) => 1,
        Value::Int(_) => 2,
        Value::Float(_) => 3,
        Value::Text(_) => 4,
        _ => 0,
    }
}

fn incompatible(a: &Value, b: &Value, index: usize) -> Fail {
    let fail = Fail::argument(
        index,
        format!("{} ({}) cannot be compared with {} ({})", a.describe(), print::plain(a), b.describe(), print::plain(b)),
    );
    match (a, b) {
        (Value::Float(_), Value::Int(_)) => fail.hint("numbers of the values are floats: compare `(int …)`"),
        (Value::Int(_), Value::Float(_)) => fail.hint("numbers of the values are floats: compare with `(int …)`"),
        _ => fail,
    }
}

/// Go's rules: basic kinds must agree; nil equals nil only.
fn equal(a: &Value, b: &Value, index: usize) -> Result<bool, Fail> {
    if matches!(a, Value::Nil) || matches!(b, Value::Nil) {
        return Ok(matches!((a, b), (Value::Nil, Value::Nil)));
    }
    if kind(a) != kind(b) || kind(a) == 0 {
        return Err(incompatible(a, b, index));
    }
    Ok(a.deep_equal(b))
}

fn order(arguments: &[Value]) -> Result<Option<Ordering>, Fail> {
    match (&arguments[0], &arguments[1]) {
        (Value::Int(a), Value::Int(b)) => Ok(Some(a.cmp(b))),
        (Value::Float(a), Value::Float(b)) => Ok(a.partial_cmp(b)),
        (Value::Text(a), Value::Text(b)) => Ok(Some(a.cmp(b))),
        (a, b) => Err(incompatible(a, b, 1)),
    }
}
