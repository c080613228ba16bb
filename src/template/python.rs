//! Values as Python writes them: `str()` and `repr()`.

use std::fmt::Write;

use super::{Error, Result};
use crate::program::{Key, Value};

/// Python's `str(value)`. The value must be evaluated throughout.
pub fn text(value: &Value) -> Result<String> {
    match value {
        Value::Text(text) => Ok(text.as_str().to_owned()),
        other => repr(other),
    }
}

/// Python's `repr(value)`.
pub fn repr(value: &Value) -> Result<String> {
    let mut output = String::new();
    write_repr(value, &mut output)?;
    Ok(output)
}

fn write_repr(value: &Value, output: &mut String) -> Result<()> {
    match value {
        Value::Null => output.push_str("None"),
        Value::Bool(truth) => output.push_str(if *truth { "True" } else { "False" }),
        Value::Int(number) => {
            let _ = write!(output, "{number}");
        }
        Value::Float(number) => output.push_str(&float(*number)),
        Value::Text(text) => output.push_str(&quoted(text.as_str())),
        Value::List(items) => {
            output.push('[');
            write_items(items, output)?;
            output.push(']');
        }
        Value::Tuple(items) => {
            output.push('(');
            write_items(items, output)?;
            output.push_str(if items.len() == 1 { ",)" } else { ")" });
        }
        Value::Map(entries) if super::filters::time::is_time(entries) => output.push_str(&super::filters::time::shown(entries)),
        Value::Map(entries) => {
            output.push('{');
            for (index, (key, value)) in entries.iter().enumerate() {
                if index > 0 {
                    output.push_str(", ");
                }
                output.push_str(&key_repr(key));
                output.push_str(": ");
                write_repr(value, output)?;
            }
            output.push('}');
        }
        Value::Omit => output.push_str("<<Omit>>"),
        Value::Unknown(cause) => return Err(Error::unknown(std::sync::Arc::clone(cause))),
        Value::Undefined(message) => return Err(Error::undefined(&**message)),
        Value::Lazy(_) | Value::HostVars | Value::Host(_) => return Err(Error::failed("a value was written before it was evaluated")),
    }
    Ok(())
}

fn write_items(items: &[Value], output: &mut String) -> Result<()> {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            output.push_str(", ");
        }
        write_repr(item, output)?;
    }
    Ok(())
}

/// A mapping's key as `repr` writes it.
pub fn key_repr(key: &Key) -> String {
    match key {
        Key::Text(text) => quoted(text),
        other => other.text().into_owned(),
    }
}

/// Python's `repr` of a float: the shortest digits that read back, with an exponent below 1e-4 and from 1e16 on.
pub fn float(number: f64) -> String {
    if number.is_nan() {
        return "nan".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let magnitude = number.abs();
    if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) {
        let scientific = format!("{number:e}");
        let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    let plain = format!("{number}");
    if plain.contains('.') { plain } else { format!("{plain}.0") }
}

/// Python's `repr` of a string.
pub fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut output = String::with_capacity(text.len() + 2);
    output.push(quote);
    for letter in text.chars() {
        match letter {
            '\n' => output.push_str("\\n"),
            '\r' => output.push_str("\\r"),
            '\t' => output.push_str("\\t"),
            '\\' => output.push_str("\\\\"),
            _ if letter == quote => output.extend(['\\', quote]),
            _ if printable(letter) => output.push(letter),
            _ => {
                let code = letter as u32;
                let _ = match code {
                    0..=0xff => write!(output, "\\x{code:02x}"),
                    0x100..=0xffff => write!(output, "\\u{code:04x}"),
                    _ => write!(output, "\\U{code:08x}"),
                };
            }
        }
    }
    output.push(quote);
    output
}

/// Whether Python's `repr` shows the character as it is: not controls, and no separators but the space.
fn printable(letter: char) -> bool {
    !(letter.is_control()
        || (letter.is_whitespace() && letter != ' ')
        || matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e000}'..='\u{f8ff}'))
}
