//! What templates call: Jinja2's and Ansible's global functions, macros, lookups and methods.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::arguments::{Arguments, integer, strict_text, text};
use super::evaluate::{Context, Local};
use super::filters::time::{self, Moment};
use super::syntax::{Argument, Kind, Node};
use super::{Error, Result, lookups, methods, operators, suggest};
use crate::program::{Key, Map, Value};

/// The global functions' names.
pub const NAMES: &[&str] =
    &["cycler", "dict", "joiner", "lookup", "namespace", "now", "q", "query", "range", "undef", "lipsum", "super", "caller"];

/// The largest `range`: what is asked for by mistake must not take all memory.
const RANGE_LIMIT: i64 = 10_000_000;

/// Whether the mapping is a time or a span of time (see [`time`]).
pub fn is_time(entries: &Map) -> bool {
    time::is_time(entries)
}

pub fn time_attribute(entries: &Map, name: &str) -> Option<Value> {
    time::attribute(entries, name)
}

pub fn subtract_times(left: &Value, right: &Value) -> Option<Value> {
    time::subtract(left, right)
}

/// Calls what only a local name can hold: `namespace(…)`, `cycler(…)`, `joiner(…)`.
pub fn object(context: &Context, callee: &Node, arguments: &[Argument]) -> Result<Option<Local>> {
    let Kind::Name(name) = &callee.kind else { return Ok(None) };
    if !matches!(&**name, "namespace" | "cycler" | "joiner") || context.local(name).is_some() {
        return Ok(None);
    }
    let given = context.arguments(arguments, false)?;
    Ok(Some(match &**name {
        "namespace" => {
            let Value::Map(entries) = dict(context, given)? else { return Ok(None) };
            Local::Namespace(Rc::new(RefCell::new((*entries).clone())))
        }
        "cycler" => Local::Cycler(Rc::new((given.positional, Cell::new(0)))),
        _ => {
            let separator = given.positional.first().or(given.named.first().map(|(_, value)| value));
            Local::Joiner(Rc::new((separator.map_or_else(|| Ok(", ".to_owned()), text)?, Cell::new(false))))
        }
    }))
}

/// A call expression.
pub fn call(context: &Context, callee: &Node, arguments: &[Argument]) -> Result<Value> {
    match &callee.kind {
        Kind::Name(name) => match context.local(name) {
            Some(Local::Value(value)) => match value {
                Value::Undefined(_) => Ok(value),
                value => Err(Error::failed(format!("'{}' object is not callable", value.type_name()))),
            },
            Some(local) => call_local(context, name, &local, arguments),
            None => global(context, name, arguments),
        },
        Kind::Attribute(base, name) => method(context, base, name, arguments),
        _ => {
            let value = context.evaluate(callee)?;
            match value {
                Value::Undefined(_) => Ok(value),
                value => Err(Error::failed(format!("'{}' object is not callable", value.type_name()))),
            }
        }
    }
}

fn call_local(context: &Context, name: &str, local: &Local, arguments: &[Argument]) -> Result<Value> {
    match local {
        Local::Macro(closure) => {
            let caller = context.frames.borrow().last().and_then(|frame| frame.borrow().get("caller").cloned());
            // A macro's own `caller` is not handed on.
            let caller = if name == "caller" { None } else { caller };
            let given = context.arguments(arguments, false)?;
            context.call_macro(closure, given, caller)
        }
        Local::Loop(current) => {
            let given = context.arguments(arguments, false)?;
            let over = given.positional.into_iter().next().ok_or_else(|| Error::failed("loop(…) needs what to go over"))?;
            if !current.statement.recursive {
                return Err(Error::failed("the loop is not marked `recursive`"));
            }
            let mut parts = Vec::new();
            context.scoped(|| context.repeat(&current.statement, Some(over), current.depth + 1, &mut parts))?;
            context.joined(parts)
        }
        Local::Joiner(joiner) => Ok(Value::text(if joiner.1.replace(true) { joiner.0.clone() } else { String::new() })),
        _ => Err(Error::failed(format!("'{name}' is not callable"))),
    }
}

fn method(context: &Context, base: &Node, name: &Arc<str>, arguments: &[Argument]) -> Result<Value> {
    if let Kind::Name(variable) = &base.kind {
        match context.local(variable) {
            Some(Local::Module(frame)) => {
                let local = frame.borrow().get(name).cloned();
                return match local {
                    Some(local @ Local::Macro(_)) => call_local(context, name, &local, arguments),
                    _ => Ok(Value::Undefined(format!("the template does not export '{name}'").into())),
                };
            }
            Some(Local::Loop(current)) => {
                let given = context.arguments(arguments, false)?;
                return match &**name {
                    "cycle" => {
                        let index = current.index.get().checked_rem(given.positional.len());
                        let index = index.ok_or_else(|| Error::failed("no items for cycling given"))?;
                        Ok(given.positional[index].clone())
                    }
                    "changed" => {
                        let changed = current.changed.borrow().as_ref() != Some(&given.positional);
                        if changed {
                            current.changed.replace(Some(given.positional));
                        }
                        Ok(Value::Bool(changed))
                    }
                    other => Err(Error::failed(format!("a loop has no method '{other}'"))),
                };
            }
            Some(Local::Cycler(cycler)) => {
                let (items, at) = &*cycler;
                let current = items.get(at.get()).cloned().unwrap_or(Value::Null);
                match &**name {
                    "next" => at.set((at.get() + 1) % items.len().max(1)),
                    "reset" => at.set(0),
                    other => return Err(Error::failed(format!("a cycler has no method '{other}'"))),
                }
                return Ok(if &**name == "reset" { Value::Null } else { current });
            }
            None if &**variable == "self" => {
                let body = context.blocks.borrow().get(name).and_then(|levels| levels.first().cloned());
                let body = body.ok_or_else(|| Error::failed(format!("there is no block called '{name}'")))?;
                return context.scoped(|| context.body(&body));
            }
            _ => {}
        }
    }
    let value = context.evaluate(base)?;
    match &value {
        Value::Undefined(_) => return Ok(value),
        Value::Unknown(cause) => return Err(Error::unknown(Arc::clone(cause))),
        _ => {}
    }
    let mut given = context.arguments(arguments, false)?;
    if let Some(undefined) = given.values().find(|value| matches!(value, Value::Undefined(_))) {
        return Ok(undefined.clone());
    }
    for argument in given.values_mut() {
        *argument = context.evaluator.resolve(std::mem::take(argument))?;
    }
    // One variable of a host, not all of them.
    if matches!(value, Value::Host(_)) && &**name == "get" {
        let bound = given.bind("get", &["key!", "default"])?;
        let found = context.evaluator.item(&value, &bound.value(0, Value::Null))?;
        return Ok(if matches!(found, Value::Undefined(_)) { bound.value(1, Value::Null) } else { found });
    }
    let value = context.evaluator.resolve(value)?;
    let (result, changed) = methods::call(context, &value, name, given)?;
    if let Some(changed) = changed {
        write_back(context, base, changed)?;
    }
    context.evaluator.note(&result);
    Ok(result)
}

/// Puts a value that a method changed (`list.append`) back to where it came from.
fn write_back(context: &Context, place: &Node, value: Value) -> Result<()> {
    match &place.kind {
        Kind::Name(name) => {
            let frames = context.frames.borrow();
            let home = frames.iter().rev().find(|frame| frame.borrow().contains_key(name)).or(frames.first());
            if let Some(frame) = home {
                frame.borrow_mut().insert(Arc::clone(name), Local::Value(value));
            }
            Ok(())
        }
        Kind::Attribute(base, name) => {
            if let Kind::Name(variable) = &base.kind
                && let Some(Local::Namespace(entries)) = context.local(variable)
            {
                entries.borrow_mut().insert(Arc::clone(name).into(), value);
                return Ok(());
            }
            member_back(context, base, &Value::text(Arc::clone(name)), value)
        }
        Kind::Item(base, key) => {
            let key = context.used(key)?;
            member_back(context, base, &key, value)
        }
        // A literal or a result: nobody will read it again.
        _ => Ok(()),
    }
}

fn member_back(context: &Context, base: &Node, key: &Value, value: Value) -> Result<()> {
    let changed = match context.used(base)? {
        Value::Map(entries) => {
            let mut entries = (*entries).clone();
            if let Some(key) = Key::from_value(key) {
                entries.insert(key, value);
            }
            Value::map(entries)
        }
        Value::List(items) => {
            let mut items = (*items).clone();
            let index = integer(key)?;
            let index = usize::try_from(if index < 0 { index + items.len() as i64 } else { index }).ok();
            if let Some(item) = index.and_then(|index| items.get_mut(index)) {
                *item = value;
            }
            Value::list(items)
        }
        _ => return Ok(()),
    };
    write_back(context, base, changed)
}

fn global(context: &Context, name: &Arc<str>, arguments: &[Argument]) -> Result<Value> {
    let render = matches!(&**name, "lookup" | "query" | "q");
    if !NAMES.contains(&&**name) {
        return match context.evaluator.scope.variable(name)? {
            Some(tree) => {
                let value = context.evaluator.tree(&tree)?;
                Err(Error::failed(format!("'{}' object is not callable", value.type_name())))
            }
            None => {
                // As a marker: `default` and `is defined` accept it.
                let message = format!("'{name}' is undefined");
                match suggest::hint(name, NAMES.iter().copied()) {
                    Some(hint) => Err(Error::undefined(message).hint(hint)),
                    None => Ok(Value::Undefined(message.into())),
                }
            }
        };
    }
    let given = context.arguments(arguments, render)?;
    if let Some(undefined) = given.values().find(|value| matches!(value, Value::Undefined(_))) {
        return Ok(undefined.clone());
    }
    match &**name {
        "range" => range(&given),
        "dict" => dict(context, given),
        "namespace" => dict(context, given),
        "lookup" => lookup(context, given, false),
        "query" | "q" => lookup(context, given, true),
        "now" => now(context, given),
        "undef" => {
            let bound = given.bind("undef", &["hint"])?;
            let hint = bound.text(0, "")?;
            Ok(Value::Undefined(if hint.is_empty() { "mandatory variable has not been overridden".into() } else { hint.into() }))
        }
        "super" => context.parent_block(),
        "caller" => Ok(Value::Undefined("no caller defined".into())),
        other => Err(Error::failed(format!("{other}() is not supported here"))),
    }
}

fn range(given: &Arguments) -> Result<Value> {
    let bounds = given.positional.iter().map(|value| match value {
        Value::Int(number) => Ok(*number),
        Value::Bool(truth) => Ok(i64::from(*truth)),
        other => {
            operators::known(other)?;
            Err(Error::failed(format!("'{}' object cannot be interpreted as an integer", other.type_name())).hint("add `| int`"))
        }
    });
    let bounds = bounds.collect::<Result<Vec<_>>>()?;
    let (start, stop, step) = match bounds[..] {
        [stop] => (0, stop, 1),
        [start, stop] => (start, stop, 1),
        [start, stop, step] => (start, stop, step),
        _ => return Err(Error::failed("range expected 1 to 3 arguments")),
    };
    if step == 0 {
        return Err(Error::failed("range() arg 3 must not be zero"));
    }
    if (stop.saturating_sub(start)) / step > RANGE_LIMIT {
        return Err(Error::failed(format!("range of more than {RANGE_LIMIT} numbers")));
    }
    let mut numbers = Vec::new();
    let mut number = start;
    while (step > 0 && number < stop) || (step < 0 && number > stop) {
        numbers.push(Value::Int(number));
        number += step;
    }
    Ok(Value::list(numbers))
}

fn dict(context: &Context, given: Arguments) -> Result<Value> {
    let mut map = Map::new();
    if let Some(first) = given.positional.into_iter().next() {
        match context.evaluator.resolve(first)? {
            Value::Map(entries) => map.extend(entries.iter().map(|(key, value)| (key.clone(), value.clone()))),
            other => {
                for (index, pair) in operators::items(&other)?.into_iter().enumerate() {
                    let pair = operators::items(&context.evaluator.resolve(pair)?)?;
                    let [key, value] = &pair[..] else {
                        return Err(Error::failed(format!(
                            "dictionary update sequence element #{index} has length {}; 2 is required",
                            pair.len()
                        )));
                    };
                    let key = context.evaluator.unfolded(key.clone())?;
                    let key = Key::from_value(&key).ok_or_else(|| Error::failed(format!("unhashable type: '{}'", key.type_name())))?;
                    map.insert(key, value.clone());
                }
            }
        }
    }
    map.extend(given.named.into_iter().map(|(name, value)| (name.into(), value)));
    Ok(Value::map(map))
}

fn now(context: &Context, given: Arguments) -> Result<Value> {
    let bound = given.bind("now", &["utc", "fmt"])?;
    let clock = context.evaluator.scope.clock()?;
    let moment = if bound.truth(0, false)? { Moment::from_epoch(clock.seconds, clock.microseconds, 0) } else { Moment::local(&clock) };
    match bound.some(1) {
        Some(format) => Ok(Value::text(moment.naive(strict_text(format)?, &clock)?)),
        None => Ok(moment.value()),
    }
}

/// `lookup(…)` and `query(…)`.
fn lookup(context: &Context, mut given: Arguments, query: bool) -> Result<Value> {
    if given.positional.is_empty() {
        return Err(Error::failed("a lookup needs the name of a plugin first"));
    }
    let plugin = given.positional.remove(0);
    let plugin = strict_text(&plugin)?.to_owned();
    let plugin = plugin.strip_prefix("ansible.builtin.").unwrap_or(&plugin);
    let wants_list = given.take("wantlist").is_some_and(|value| value.is_truthy()) || query;
    let errors = given.take("errors").map_or_else(|| Ok("strict".to_owned()), |value| text(&value))?;
    let mut terms = Vec::new();
    for term in given.positional {
        let term = context.evaluator.deep(term)?;
        context.evaluator.note_all(&term);
        terms.push(term);
    }
    let mut options = Map::new();
    for (name, value) in given.named {
        let value = context.evaluator.deep(value)?;
        context.evaluator.note_all(&value);
        options.insert(name.into(), value);
    }
    let found = match lookups::run(context, plugin, &terms, &options) {
        Ok(found) => found,
        Err(error) if error.unknown_cause().is_some() => return Err(error),
        Err(error) if error.is_undefined() => return Ok(Value::Undefined(error.message.into())),
        Err(_) if matches!(errors.as_str(), "ignore" | "warn") => {
            return Ok(if wants_list { Value::list(Vec::new()) } else { Value::Null });
        }
        Err(error) => return Err(error),
    };
    if wants_list {
        return Ok(Value::list(found));
    }
    Ok(match &found[..] {
        [] => Value::list(found),
        [single] => {
            context.evaluator.note(single);
            single.clone()
        }
        many if many.iter().all(|value| matches!(value, Value::Text(_))) => {
            many.iter().for_each(|value| context.evaluator.note(value));
            Value::text(many.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","))
        }
        _ => Value::list(found),
    })
}
