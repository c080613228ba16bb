//! JSON as Python's `json` writes and reads it.

use super::super::arguments::{Bound, strict_text};
use super::super::evaluate::Context;
use super::super::{Error, Result, operators, python};
use super::Filter;
use crate::program::{Key, Map, Value};

const DUMPS: &[&str] = &[
    "profile",
    "vault_to_text",
    "preprocess_unsafe",
    "indent",
    "sort_keys",
    "separators",
    "ensure_ascii",
    "skipkeys",
    "check_circular",
    "allow_nan",
    "default",
];

pub const FILTERS: &[Filter] = &[
    Filter::new("from_json", &["profile"], from_json),
    Filter::new("to_json", DUMPS, |_, input, given| dumps(&input, &given, None, false)),
    Filter::new("to_nice_json", NICE, to_nice_json),
    Filter::new("tojson", &["indent"], tojson),
    Filter::new("pprint", &[], |_, input, _| python::repr(&input).map(Value::text)),
];

const NICE: &[&str] =
    &["indent", "sort_keys", "ensure_ascii", "separators", "skipkeys", "check_circular", "allow_nan", "default", "profile"];

/// How JSON is written.
struct Style {
    indent: Option<String>,
    sort_keys: bool,
    ensure_ascii: bool,
    item: String,
    member: String,
}

fn indent(value: Option<&Value>, default: Option<usize>) -> Result<Option<String>> {
    match value {
        None => Ok(default.map(|width| " ".repeat(width))),
        Some(Value::Null) => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text.as_str().to_owned())),
        Some(other) => super::super::arguments::integer(other).map(|width| Some(" ".repeat(usize::try_from(width).unwrap_or(0)))),
    }
}

fn dumps(input: &Value, given: &Bound, default_indent: Option<usize>, default_sort: bool) -> Result<Value> {
    let indent = indent(given.get(3), default_indent)?;
    let mut style = Style {
        item: if indent.is_some() { ",".into() } else { ", ".into() },
        member: ": ".into(),
        indent,
        sort_keys: given.truth(4, default_sort)?,
        ensure_ascii: given.truth(6, true)?,
    };
    if let Some(separators) = given.some(5).and_then(Value::as_list)
        && let [item, member] = separators
    {
        strict_text(item)?.clone_into(&mut style.item);
        strict_text(member)?.clone_into(&mut style.member);
    }
    written(input, &style)
}

fn written(input: &Value, style: &Style) -> Result<Value> {
    let mut output = String::new();
    write(input, style, 0, &mut output)?;
    Ok(Value::text(output))
}

fn to_nice_json(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let style = Style {
        indent: indent(given.get(0), Some(4))?,
        sort_keys: given.truth(1, true)?,
        ensure_ascii: given.truth(2, true)?,
        item: ",".into(),
        member: ": ".into(),
    };
    written(&input, &style)
}

/// Jinja2's own filter: sorted keys, safe inside HTML.
fn tojson(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let indent = indent(given.get(0), None)?;
    let item = if indent.is_some() { "," } else { ", " };
    let style = Style { indent, sort_keys: true, ensure_ascii: true, item: item.into(), member: ": ".into() };
    let Value::Text(text) = written(&input, &style)? else { return Ok(Value::Null) };
    let text = text.as_str().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026").replace('\'', "\\u0027");
    Ok(Value::text(text))
}

fn write(value: &Value, style: &Style, depth: usize, output: &mut String) -> Result<()> {
    let line = |depth: usize, output: &mut String| {
        if let Some(indent) = &style.indent {
            output.push('\n');
            output.push_str(&indent.repeat(depth));
        }
    };
    operators::known(value)?;
    match value {
        Value::Null => output.push_str("null"),
        Value::Bool(truth) => output.push_str(if *truth { "true" } else { "false" }),
        Value::Int(number) => output.push_str(&number.to_string()),
        Value::Float(number) if number.is_nan() => output.push_str("NaN"),
        Value::Float(number) if number.is_infinite() => output.push_str(if *number > 0.0 { "Infinity" } else { "-Infinity" }),
        Value::Float(number) => output.push_str(&python::float(*number)),
        Value::Text(text) => quoted(text.as_str(), style.ensure_ascii, output),
        Value::List(items) | Value::Tuple(items) => {
            output.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    output.push_str(&style.item);
                }
                line(depth + 1, output);
                write(item, style, depth + 1, output)?;
            }
            if !items.is_empty() {
                line(depth, output);
            }
            output.push(']');
        }
        Value::Map(entries) if super::time::is_time(entries) => quoted(&super::time::iso(entries), style.ensure_ascii, output),
        Value::Map(entries) => {
            let mut pairs: Vec<_> = entries.iter().collect();
            if style.sort_keys {
                pairs.sort_by(|a, b| a.0.cmp(b.0));
            }
            output.push('{');
            for (index, (key, value)) in pairs.into_iter().enumerate() {
                if index > 0 {
                    output.push_str(&style.item);
                }
                line(depth + 1, output);
                let key = match key {
                    Key::Bool(truth) => truth.to_string(),
                    Key::Null => "null".to_owned(),
                    other => other.text().into_owned(),
                };
                quoted(&key, style.ensure_ascii, output);
                output.push_str(&style.member);
                write(value, style, depth + 1, output)?;
            }
            if !entries.is_empty() {
                line(depth, output);
            }
            output.push('}');
        }
        other => return Err(Error::failed(format!("Object of type {} is not JSON serializable", other.type_name()))),
    }
    Ok(())
}

fn quoted(text: &str, ensure_ascii: bool, output: &mut String) {
    output.push('"');
    for letter in text.chars() {
        match letter {
            '"' => output.push_str("\\\""),
            '\\' => output.push_str("\\\\"),
            '\n' => output.push_str("\\n"),
            '\r' => output.push_str("\\r"),
            '\t' => output.push_str("\\t"),
            '\u{8}' => output.push_str("\\b"),
            '\u{c}' => output.push_str("\\f"),
            letter if (letter as u32) < 0x20 || (ensure_ascii && !letter.is_ascii()) => {
                let mut units = [0u16; 2];
                for unit in letter.encode_utf16(&mut units) {
                    output.push_str(&format!("\\u{unit:04x}"));
                }
            }
            letter => output.push(letter),
        }
    }
    output.push('"');
}

fn from_json(_: &Context, input: Value, _: Bound) -> Result<Value> {
    let Value::Text(text) = &input else {
        return Err(Error::failed(format!("the JSON object must be str, bytes or bytearray, not {}", input.type_name())));
    };
    parse(text.as_str())
}

/// A JSON text's value; numbers without a fraction are integers.
pub fn parse(text: &str) -> Result<Value> {
    serde_json::from_str::<serde_json::Value>(text).map(value).map_err(|error| Error::failed(format!("malformed JSON: {error}")))
}

fn value(json: serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match json {
        Json::Array(items) => Value::list(items.into_iter().map(value).collect()),
        Json::Object(entries) => Value::map(entries.into_iter().map(|(key, item)| (key.into(), value(item))).collect::<Map>()),
        other => other.into(),
    }
}
