//! The methods of Python's strings, lists, mappings and times that templates call.

use std::sync::Arc;

use super::arguments::{Arguments, integer, strict_text};
use super::evaluate::Context;
use super::filters::time;
use super::{Error, Result, format, operators, python, suggest};
use crate::program::value::Number;
use crate::program::{Key, Map, Value};

const TEXT: &[&str] = &[
    "capitalize",
    "casefold",
    "center",
    "count",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "upper",
    "zfill",
    "encode",
];
const LIST: &[&str] = &["append", "clear", "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse", "sort"];
const TUPLE: &[&str] = &["count", "index"];
const MAP: &[&str] = &["clear", "copy", "get", "items", "keys", "pop", "popitem", "setdefault", "update", "values"];
const FLOAT: &[&str] = &["is_integer"];
const INTEGER: &[&str] = &["bit_length", "bit_count"];

fn names(value: &Value) -> &'static [&'static str] {
    match value {
        Value::Text(_) => TEXT,
        Value::List(_) => LIST,
        Value::Tuple(_) => TUPLE,
        Value::Map(entries) if time::is_time(entries) => time::METHODS,
        Value::Map(_) | Value::HostVars | Value::Host(_) => MAP,
        Value::Lazy(_) if value.type_name() == "dict" => MAP,
        Value::Lazy(_) if value.type_name() == "list" => LIST,
        Value::Float(_) => FLOAT,
        Value::Int(_) => INTEGER,
        _ => &[],
    }
}

/// Whether Python's type of the value has the method.
pub fn exists(value: &Value, name: &str) -> bool {
    names(value).contains(&name)
}

/// Calls a method: its result, and the receiver where the method changed it.
pub fn call(context: &Context, value: &Value, name: &str, arguments: Arguments) -> Result<(Value, Option<Value>)> {
    match value {
        Value::Text(text) if time::METHODS_OF_TEXTS.contains(&name) => time::method_of_text(context, text.as_str(), name, arguments)
            .unwrap_or_else(|| Err(missing(value, name)))
            .map(|result| (result, None)),
        Value::Text(text) => text_method(context, text.as_str(), name, arguments).map(|result| (result, None)),
        Value::Map(entries) if time::is_time(entries) => time::method(context, entries, name, arguments).map(|result| (result, None)),
        Value::Map(entries) => map_method(context, entries, name, arguments),
        Value::List(items) => list_method(context, items, name, arguments),
        Value::Tuple(items) if TUPLE.contains(&name) => list_method(context, items, name, arguments),
        Value::Float(number) if name == "is_integer" => Ok((Value::Bool(number.fract() == 0.0), None)),
        Value::Int(number) if name == "bit_length" => Ok((Value::Int(i64::from(64 - number.unsigned_abs().leading_zeros())), None)),
        Value::Int(number) if name == "bit_count" => Ok((Value::Int(i64::from(number.unsigned_abs().count_ones())), None)),
        other => Err(missing(other, name)),
    }
}

fn missing(value: &Value, name: &str) -> Error {
    let error = Error::undefined(format!("object of type '{}' has no attribute {}", value.type_name(), python::quoted(name)));
    match suggest::hint(name, names(value).iter().copied()) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn strings(values: &Value) -> Result<Vec<String>> {
    match values {
        Value::Text(text) => Ok(vec![text.as_str().to_owned()]),
        Value::Tuple(items) => items.iter().map(|item| strict_text(item).map(str::to_owned)).collect(),
        other => Err(Error::failed(format!("expected str or a tuple of str, not {}", other.type_name()))),
    }
}

fn text_method(context: &Context, text: &str, name: &str, given: Arguments) -> Result<Value> {
    let what = format!("str.{name}()");
    match name {
        "format" => {
            let member = |value: &Value, name: &str, item: bool| {
                if !item && matches!(value, Value::Map(entries) if !time::is_time(entries)) {
                    return Err(Error::failed(format!("'dict' object has no attribute '{name}'")).hint(format!("write {{0[{name}]}}")));
                }
                let found = if item {
                    let key = name.parse().map_or_else(|_| Value::text(name), Value::Int);
                    context.evaluator.item(value, &key)?
                } else {
                    context.evaluator.attribute(value, name)?
                };
                operators::known(&found)?;
                Ok(found)
            };
            let deep = |value: &Value| context.evaluator.deep(value.clone());
            let positional = given.positional.iter().map(deep).collect::<Result<Vec<_>>>()?;
            let named = given.named.iter().map(|(name, value)| Ok((Arc::clone(name), deep(value)?))).collect::<Result<Vec<_>>>()?;
            return format::braces(text, &positional, &named, &member, 0).map(Value::text);
        }
        "format_map" => {
            let mapping = given.bind(&what, &["mapping!"])?.value(0, Value::Null);
            let Value::Map(entries) = context.evaluator.deep(mapping)? else {
                return Err(Error::failed("format_map() takes a dictionary"));
            };
            let named = entries.iter().map(|(key, value)| (Arc::from(&*key.text()), value.clone())).collect();
            return text_method(context, text, "format", Arguments { positional: Vec::new(), named });
        }
        "join" => {
            let bound = given.bind(&what, &["iterable!"])?;
            let items = operators::items(&context.evaluator.deep(bound.value(0, Value::Null))?)?;
            let parts = items.iter().enumerate().map(|(index, item)| {
                operators::known(item)?;
                item.as_str()
                    .ok_or_else(|| Error::failed(format!("sequence item {index}: expected str instance, {} found", item.type_name())))
            });
            return Ok(Value::text(parts.collect::<Result<Vec<_>>>()?.join(text)));
        }
        _ => {}
    }
    let letters = || text.chars();
    let all = |test: fn(char) -> bool| Value::Bool(!text.is_empty() && letters().all(test));
    let cased = |test: fn(char) -> bool, other: fn(char) -> bool| Value::Bool(letters().any(test) && !letters().any(other));
    let trimmed = |given: Arguments| -> Result<Option<Vec<char>>> {
        let bound = given.bind(&what, &["chars"])?;
        Ok(bound.some(0).map(strict_text).transpose()?.map(|set| set.chars().collect()))
    };
    Ok(match name {
        "upper" => Value::text(text.to_uppercase()),
        "lower" | "casefold" => Value::text(text.to_lowercase()),
        "capitalize" => Value::text(capitalized(text)),
        "title" => Value::text(title(text)),
        "swapcase" => Value::text(
            letters()
                .flat_map(|letter| -> Box<dyn Iterator<Item = char>> {
                    if letter.is_uppercase() { Box::new(letter.to_lowercase()) } else { Box::new(letter.to_uppercase()) }
                })
                .collect::<String>(),
        ),
        "strip" => trimmed(given)?.map_or_else(|| text.trim(), |set| text.trim_matches(&set[..])).into(),
        "lstrip" => trimmed(given)?.map_or_else(|| text.trim_start(), |set| text.trim_start_matches(&set[..])).into(),
        "rstrip" => trimmed(given)?.map_or_else(|| text.trim_end(), |set| text.trim_end_matches(&set[..])).into(),
        "startswith" | "endswith" => {
            let bound = given.bind(&what, &["prefix!", "start", "end"])?;
            let length = letters().count() as i64;
            let part = match operators::slice(&text.into(), Some(bound.integer(1, 0)?), Some(bound.integer(2, length)?), None)? {
                Value::Text(part) => part.as_str().to_owned(),
                _ => String::new(),
            };
            let tried = strings(&bound.value(0, Value::Null))?;
            Value::Bool(
                tried.iter().any(|try_text| if name == "startswith" { part.starts_with(&**try_text) } else { part.ends_with(&**try_text) }),
            )
        }
        "split" | "rsplit" => {
            let bound = given.bind(&what, &["sep", "maxsplit"])?;
            let separator = bound.some(0).map(strict_text).transpose()?;
            let parts = split(text, separator, bound.integer(1, -1)?, name == "rsplit")?;
            Value::from(parts)
        }
        "splitlines" => {
            let keep = given.bind(&what, &["keepends"])?.truth(0, false)?;
            Value::from(lines(text, keep))
        }
        "partition" | "rpartition" => {
            let bound = given.bind(&what, &["sep!"])?;
            let separator = bound.text(0, "")?;
            if separator.is_empty() {
                return Err(Error::failed("empty separator"));
            }
            let parts = if name == "partition" {
                text.split_once(&*separator).map_or((text, "", ""), |(head, tail)| (head, &*separator, tail))
            } else {
                text.rsplit_once(&*separator).map_or(("", "", text), |(head, tail)| (head, &*separator, tail))
            };
            Value::Tuple(Arc::new(vec![parts.0.into(), parts.1.into(), parts.2.into()]))
        }
        "replace" => {
            let bound = given.bind(&what, &["old!", "new!", "count"])?;
            let (old, new) = (bound.value(0, Value::Null), bound.value(1, Value::Null));
            let (old, new) = (strict_text(&old)?, strict_text(&new)?);
            match usize::try_from(bound.integer(2, -1)?) {
                Ok(count) => Value::text(text.replacen(old, new, count)),
                Err(_) => Value::text(text.replace(old, new)),
            }
        }
        "removeprefix" => {
            let bound = given.bind(&what, &["prefix!"])?;
            text.strip_prefix(&*bound.text(0, "")?).unwrap_or(text).into()
        }
        "removesuffix" => {
            let bound = given.bind(&what, &["suffix!"])?;
            text.strip_suffix(&*bound.text(0, "")?).unwrap_or(text).into()
        }
        "find" | "index" | "rfind" | "rindex" => {
            let bound = given.bind(&what, &["sub!", "start", "end"])?;
            let part = bound.value(0, Value::Null);
            let part = strict_text(&part)?;
            let length = letters().count() as i64;
            let clamp = |index: i64| (if index < 0 { index + length } else { index }).clamp(0, length);
            let (start, end) = (clamp(bound.integer(1, 0)?), clamp(bound.integer(2, length)?));
            let window: String = letters().skip(start as usize).take((end - start).max(0) as usize).collect();
            let at = if name.starts_with('r') { window.rfind(part) } else { window.find(part) };
            match at {
                Some(at) => Value::Int(window[..at].chars().count() as i64 + start),
                None if name.ends_with("find") => Value::Int(-1),
                None => return Err(Error::failed("substring not found")),
            }
        }
        "count" => {
            let bound = given.bind(&what, &["sub!"])?;
            let part = bound.text(0, "")?;
            Value::Int(if part.is_empty() { letters().count() as i64 + 1 } else { text.matches(&*part).count() as i64 })
        }
        "center" | "ljust" | "rjust" => {
            let bound = given.bind(&what, &["width!", "fillchar"])?;
            let fill = bound.text(1, " ")?.chars().next().unwrap_or(' ');
            Value::text(justified(text, bound.count(0, 0)?, fill, name))
        }
        "zfill" => {
            let width = given.bind(&what, &["width!"])?.count(0, 0)?;
            let (sign, digits) = text.split_at(usize::from(text.starts_with(['+', '-'])));
            let missing = width.saturating_sub(letters().count());
            Value::text(format!("{sign}{}{digits}", "0".repeat(missing)))
        }
        "expandtabs" => {
            let size = given.bind(&what, &["tabsize"])?.count(0, 8)?;
            let mut output = String::new();
            let mut column = 0;
            for letter in letters() {
                match letter {
                    '\t' => {
                        let spaces = if size == 0 { 0 } else { size - column % size };
                        output.push_str(&" ".repeat(spaces));
                        column += spaces;
                    }
                    '\n' | '\r' => {
                        output.push(letter);
                        column = 0;
                    }
                    _ => {
                        output.push(letter);
                        column += 1;
                    }
                }
            }
            Value::text(output)
        }
        "isalnum" => all(char::is_alphanumeric),
        "isalpha" => all(char::is_alphabetic),
        "isascii" => Value::Bool(text.is_ascii()),
        "isdigit" | "isdecimal" | "isnumeric" => all(char::is_numeric),
        "isspace" => all(char::is_whitespace),
        "isprintable" => Value::Bool(!letters().any(char::is_control)),
        "isidentifier" => Value::Bool(
            text.starts_with(|letter: char| letter.is_alphabetic() || letter == '_')
                && letters().all(|letter| letter.is_alphanumeric() || letter == '_'),
        ),
        "islower" => cased(char::is_lowercase, char::is_uppercase),
        "isupper" => cased(char::is_uppercase, char::is_lowercase),
        "istitle" => Value::Bool(letters().any(char::is_alphabetic) && title(text) == text),
        // Bytes are texts here.
        "encode" => text.into(),
        _ => return Err(missing(&text.into(), name)),
    })
}

pub fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters.flat_map(char::to_lowercase)).collect())
}

/// Python's `str.title`: each run of letters starts with a capital.
fn title(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    let mut inside = false;
    for letter in text.chars() {
        if letter.is_alphabetic() {
            if inside {
                output.extend(letter.to_lowercase());
            } else {
                output.extend(letter.to_uppercase());
            }
            inside = true;
        } else {
            output.push(letter);
            inside = false;
        }
    }
    output
}

pub fn justified(text: &str, width: usize, fill: char, how: &str) -> String {
    let length = text.chars().count();
    let missing = width.saturating_sub(length);
    // Python's `center` puts the odd one on the left where the width is odd.
    let left = match how {
        "ljust" => 0,
        "rjust" => missing,
        _ => missing / 2 + (missing & width & 1),
    };
    let fills = |count: usize| std::iter::repeat_n(fill, count);
    fills(left).chain(text.chars()).chain(fills(missing - left)).collect()
}

/// Python's `split` and `rsplit`.
pub fn split(text: &str, separator: Option<&str>, limit: i64, from_right: bool) -> Result<Vec<String>> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let Some(separator) = separator else {
        let mut parts = Vec::new();
        let mut rest = text.trim();
        if from_right {
            while !rest.is_empty() {
                match rest.char_indices().rev().find(|(_, letter)| letter.is_whitespace()) {
                    Some((at, letter)) if parts.len() < limit => {
                        parts.push(rest[at + letter.len_utf8()..].to_owned());
                        rest = rest[..at].trim_end();
                    }
                    _ => {
                        parts.push(rest.to_owned());
                        rest = "";
                    }
                }
            }
            parts.reverse();
        } else {
            while !rest.is_empty() {
                match rest.find(char::is_whitespace) {
                    Some(at) if parts.len() < limit => {
                        parts.push(rest[..at].to_owned());
                        rest = rest[at..].trim_start();
                    }
                    _ => {
                        // What is left keeps its trailing white space, as in Python.
                        let start = text.len() - text.trim_start().len() + (text.trim().len() - rest.len());
                        parts.push(if limit == usize::MAX { rest.to_owned() } else { text[start..].to_owned() });
                        rest = "";
                    }
                }
            }
        }
        return Ok(parts);
    };
    if separator.is_empty() {
        return Err(Error::failed("empty separator"));
    }
    let pieces = limit.saturating_add(1);
    Ok(if from_right {
        let mut parts: Vec<String> = text.rsplitn(pieces, separator).map(str::to_owned).collect();
        parts.reverse();
        parts
    } else {
        text.splitn(pieces, separator).map(str::to_owned).collect()
    })
}

/// Python's `splitlines`.
pub fn lines(text: &str, keep: bool) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let breaks =
            |letter: char| matches!(letter, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}');
        let end = rest.find(breaks).unwrap_or(rest.len());
        let after = if rest[end..].starts_with("\r\n") { end + 2 } else { end + rest[end..].chars().next().map_or(0, char::len_utf8) };
        lines.push(rest[..if keep { after } else { end }].to_owned());
        rest = &rest[after..];
    }
    lines
}

fn map_method(context: &Context, entries: &Map, name: &str, given: Arguments) -> Result<(Value, Option<Value>)> {
    let what = format!("dict.{name}()");
    let key_of = |value: &Value| {
        operators::known(value)?;
        Key::from_value(value).ok_or_else(|| Error::failed(format!("unhashable type: '{}'", value.type_name())))
    };
    let read = |key: &Key| entries.get(key).cloned().map(|value| context.evaluator.unfolded(value)).transpose();
    Ok(match name {
        "items" => {
            let pairs = entries.iter().map(|(key, value)| Value::Tuple(Arc::new(vec![key.value(), value.clone()])));
            (Value::list(pairs.collect()), None)
        }
        "keys" => (Value::list(entries.keys().map(Key::value).collect()), None),
        "values" => (Value::list(entries.values().cloned().collect()), None),
        "copy" => (Value::map(entries.clone()), None),
        "get" => {
            let bound = given.bind(&what, &["key!", "default"])?;
            let key = key_of(&bound.value(0, Value::Null))?;
            (read(&key)?.unwrap_or_else(|| bound.value(1, Value::Null)), None)
        }
        "update" => {
            let mut changed = entries.clone();
            for value in &given.positional {
                match value {
                    Value::Map(more) => changed.extend(more.iter().map(|(key, value)| (key.clone(), value.clone()))),
                    other => {
                        for pair in operators::items(other)? {
                            let pair = operators::items(&pair)?;
                            if let [key, value] = &pair[..] {
                                changed.insert(key_of(key)?, value.clone());
                            }
                        }
                    }
                }
            }
            changed.extend(given.named.into_iter().map(|(name, value)| (Key::Text(name), value)));
            (Value::Null, Some(Value::map(changed)))
        }
        "pop" => {
            let bound = given.bind(&what, &["key!", "default"])?;
            let key = key_of(&bound.value(0, Value::Null))?;
            let mut changed = entries.clone();
            match (changed.shift_remove(&key), bound.get(1)) {
                (Some(value), _) => (value, Some(Value::map(changed))),
                (None, Some(default)) => (default.clone(), None),
                (None, None) => return Err(Error::failed(python::key_repr(&key))),
            }
        }
        "popitem" => {
            let mut changed = entries.clone();
            let (key, value) = changed.pop().ok_or_else(|| Error::failed("popitem(): dictionary is empty"))?;
            (Value::Tuple(Arc::new(vec![key.value(), value])), Some(Value::map(changed)))
        }
        "setdefault" => {
            let bound = given.bind(&what, &["key!", "default"])?;
            let key = key_of(&bound.value(0, Value::Null))?;
            match read(&key)? {
                Some(value) => (value, None),
                None => {
                    let mut changed = entries.clone();
                    let value = bound.value(1, Value::Null);
                    changed.insert(key, value.clone());
                    (value, Some(Value::map(changed)))
                }
            }
        }
        "clear" => (Value::Null, Some(Value::map(Map::new()))),
        _ => {
            let known: Vec<_> = entries.keys().map(|key| key.text().into_owned()).collect();
            let error = missing(&Value::map(Map::new()), name);
            return Err(if known.iter().any(|known| known == name) {
                Error::failed(format!("the member '{name}' is not callable"))
            } else {
                error
            });
        }
    })
}

fn list_method(context: &Context, items: &[Value], name: &str, given: Arguments) -> Result<(Value, Option<Value>)> {
    let what = format!("list.{name}()");
    let mut changed = items.to_vec();
    let place = |value: i64| usize::try_from(if value < 0 { value + items.len() as i64 } else { value }).ok();
    Ok(match name {
        "append" => {
            changed.push(given.bind(&what, &["object!"])?.value(0, Value::Null));
            (Value::Null, Some(Value::list(changed)))
        }
        "extend" => {
            changed.extend(operators::items(&given.bind(&what, &["iterable!"])?.value(0, Value::Null))?);
            (Value::Null, Some(Value::list(changed)))
        }
        "insert" => {
            let bound = given.bind(&what, &["index!", "object!"])?;
            let index = integer(&bound.value(0, Value::Null))?;
            let at = place(index).unwrap_or(0).min(items.len());
            changed.insert(at, bound.value(1, Value::Null));
            (Value::Null, Some(Value::list(changed)))
        }
        "pop" => {
            let index = given.bind(&what, &["index"])?.integer(0, -1)?;
            let at = place(index)
                .filter(|at| *at < items.len())
                .ok_or_else(|| Error::failed(if items.is_empty() { "pop from empty list" } else { "pop index out of range" }))?;
            let value = changed.remove(at);
            (context.evaluator.unfolded(value)?, Some(Value::list(changed)))
        }
        "remove" | "index" | "count" => {
            let value = given.bind(&what, &["value!", "start", "stop"])?.value(0, Value::Null);
            let deep = items.iter().map(|item| context.evaluator.deep(item.clone())).collect::<Result<Vec<_>>>()?;
            if name == "count" {
                return Ok((Value::Int(deep.iter().filter(|item| **item == value).count() as i64), None));
            }
            let at = deep.iter().position(|item| *item == value);
            match (name, at) {
                ("index", Some(at)) => (Value::Int(at as i64), None),
                (_, Some(at)) => {
                    changed.remove(at);
                    (Value::Null, Some(Value::list(changed)))
                }
                ("index", None) => return Err(Error::failed(format!("{} is not in list", python::repr(&value)?))),
                (_, None) => return Err(Error::failed("list.remove(x): x not in list")),
            }
        }
        "reverse" => {
            changed.reverse();
            (Value::Null, Some(Value::list(changed)))
        }
        "sort" => {
            let bound = given.bind(&what, &["reverse"])?;
            let mut deep = changed.into_iter().map(|item| context.evaluator.deep(item)).collect::<Result<Vec<_>>>()?;
            super::filters::lists::sort(&mut deep, bound.truth(0, false)?)?;
            (Value::Null, Some(Value::list(deep)))
        }
        "copy" => (Value::list(changed), None),
        "clear" => (Value::Null, Some(Value::list(Vec::new()))),
        _ => return Err(missing(&Value::list(Vec::new()), name)),
    })
}

/// A number for `Number`'s users that take either kind.
pub fn as_float(value: &Value) -> Result<f64> {
    operators::known(value)?;
    value.number().map(Number::float).ok_or_else(|| Error::failed(format!("must be real number, not {}", value.type_name())))
}
