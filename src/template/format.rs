//! Python's `%` formatting and `str.format`.

use std::iter::Peekable;
use std::str::Chars;

use super::{Error, Result, operators, python};
use crate::program::value::Number;
use crate::program::{Key, Value};

/// A conversion's flags, width and precision.
#[derive(Default)]
struct Style {
    fill: Option<char>,
    align: Option<char>,
    sign: Option<char>,
    alternate: bool,
    zero: bool,
    width: usize,
    comma: Option<char>,
    precision: Option<usize>,
}

/// `pattern % values`.
pub fn percent(pattern: &str, values: &Value) -> Result<String> {
    let positional: &[Value] = match values {
        Value::Tuple(items) => items,
        single => std::slice::from_ref(single),
    };
    let mut next = positional.iter();
    let mut take = || {
        let value = next.next().ok_or_else(|| Error::failed("not enough arguments for format string"))?;
        operators::known(value)?;
        Ok::<_, Error>(value)
    };
    let mut named = false;
    let mut output = String::new();
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            output.push(letter);
            continue;
        }
        let mut from_name = None;
        if letters.peek() == Some(&'(') {
            letters.next();
            let name: String = letters.by_ref().take_while(|letter| *letter != ')').collect();
            let Value::Map(entries) = values else { return Err(Error::failed("format requires a mapping")) };
            named = true;
            from_name = Some(
                entries
                    .get(&Key::from(name.as_str()))
                    .ok_or_else(|| Error::failed(format!("key {} is not in the mapping of a format", python::quoted(&name))))?,
            );
        }
        let mut style = Style::default();
        while let Some(flag) = letters.next_if(|letter| "-+ #0".contains(*letter)) {
            match flag {
                '-' => style.align = Some('<'),
                '+' => style.sign = Some('+'),
                ' ' => style.sign = style.sign.or(Some(' ')),
                '#' => style.alternate = true,
                _ => style.zero = true,
            }
        }
        if letters.next_if_eq(&'*').is_some() {
            let width = integer(take()?)?;
            if width < 0 {
                style.align = Some('<');
            }
            style.width = usize::try_from(width.unsigned_abs()).unwrap_or(0);
        } else {
            style.width = digits(&mut letters).unwrap_or(0);
        }
        if letters.next_if_eq(&'.').is_some() {
            style.precision = Some(if letters.next_if_eq(&'*').is_some() {
                usize::try_from(integer(take()?)?).unwrap_or(0)
            } else {
                digits(&mut letters).unwrap_or(0)
            });
        }
        while letters.next_if(|letter| "hlL".contains(*letter)).is_some() {}
        let kind = letters.next().ok_or_else(|| Error::failed("incomplete format"))?;
        if kind == '%' {
            output.push('%');
            continue;
        }
        let value = match from_name {
            Some(value) => value,
            None => take()?,
        };
        operators::known(value)?;
        let cut = |text: String| match style.precision {
            Some(precision) => text.chars().take(precision).collect(),
            None => text,
        };
        let text = match kind {
            's' => cut(python::text(value)?),
            'r' | 'a' => cut(python::repr(value)?),
            'c' => match value {
                Value::Int(code) => u32::try_from(*code).ok().and_then(char::from_u32).map(String::from),
                Value::Text(text) if text.as_str().chars().count() == 1 => Some(text.as_str().to_owned()),
                _ => None,
            }
            .ok_or_else(|| Error::failed("%c requires int or char"))?,
            'd' | 'i' | 'u' | 'x' | 'X' | 'o' | 'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
                let number = value.number().ok_or_else(|| match kind {
                    'd' | 'i' | 'u' => Error::failed(format!("%{kind} format: a real number is required, not {}", value.type_name())),
                    'x' | 'X' | 'o' => Error::failed(format!("%{kind} format: an integer is required, not {}", value.type_name())),
                    _ => Error::failed(format!("must be real number, not {}", value.type_name())),
                })?;
                let kind = if matches!(kind, 'i' | 'u') { 'd' } else { kind };
                let number = match (number, kind) {
                    (Number::Float(number), 'd') => Number::Int(number as i64),
                    (Number::Float(_), 'x' | 'X' | 'o') => {
                        return Err(Error::failed(format!("%{kind} format: an integer is required, not float")));
                    }
                    (number, _) => number,
                };
                if style.zero && style.align.is_none() {
                    style.align = Some('=');
                    style.fill = Some('0');
                }
                style.align = style.align.or(Some('>'));
                output.push_str(&numeric(number, kind, &style));
                continue;
            }
            other => return Err(Error::failed(format!("unsupported format character '{other}' (0x{:x})", other as u32))),
        };
        output.push_str(&padded(&text, style.fill.unwrap_or(' '), style.align.unwrap_or('>'), style.width));
    }
    if !named && next.next().is_some() && !matches!(values, Value::Map(_) | Value::List(_)) {
        return Err(Error::failed("not all arguments converted during string formatting"));
    }
    Ok(output)
}

fn integer(value: &Value) -> Result<i64> {
    match value.number() {
        Some(Number::Int(number)) => Ok(number),
        _ => Err(Error::failed("* wants int")),
    }
}

fn digits(letters: &mut Peekable<Chars>) -> Option<usize> {
    let mut found = String::new();
    while let Some(digit) = letters.next_if(char::is_ascii_digit) {
        found.push(digit);
    }
    found.parse().ok()
}

fn padded(text: &str, fill: char, align: char, width: usize) -> String {
    let missing = width.saturating_sub(text.chars().count());
    let left = match align {
        '<' => 0,
        '^' => missing / 2,
        _ => missing,
    };
    let fill = |count: usize| std::iter::repeat_n(fill, count);
    fill(left).chain(text.chars()).chain(fill(missing - left)).collect()
}

/// A number in a presentation (`d`, `x`, `f`, …) with sign, grouping and padding.
fn numeric(number: Number, kind: char, style: &Style) -> String {
    let (negative, mut body) = match number {
        Number::Int(number) if !"eEfFgG%".contains(kind) => {
            let magnitude = number.unsigned_abs();
            let body = match kind {
                'x' => format!("{}{magnitude:x}", if style.alternate { "0x" } else { "" }),
                'X' => format!("{}{magnitude:X}", if style.alternate { "0X" } else { "" }),
                'o' => format!("{}{magnitude:o}", if style.alternate { "0o" } else { "" }),
                'b' => format!("{}{magnitude:b}", if style.alternate { "0b" } else { "" }),
                _ => {
                    let digits = magnitude.to_string();
                    format!("{digits:0>width$}", width = style.precision.unwrap_or(0))
                }
            };
            (number < 0, body)
        }
        number => {
            let number = number.float();
            (number.is_sign_negative() && !number.is_nan(), float(number.abs(), kind, style))
        }
    };
    if let Some(comma) = style.comma {
        let (whole, rest) = body.split_at(body.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(body.len()));
        let mut grouped = String::new();
        for (index, digit) in whole.chars().enumerate() {
            if index > 0 && (whole.len() - index).is_multiple_of(3) {
                grouped.push(comma);
            }
            grouped.push(digit);
        }
        body = grouped + rest;
    }
    let sign = if negative { "-".to_owned() } else { style.sign.filter(|sign| *sign != '-').map_or_else(String::new, String::from) };
    if style.align == Some('=') {
        let fill = style.fill.unwrap_or('0');
        let missing = style.width.saturating_sub(sign.len() + body.chars().count());
        return sign + &std::iter::repeat_n(fill, missing).collect::<String>() + &body;
    }
    padded(&(sign + &body), style.fill.unwrap_or(' '), style.align.unwrap_or('>'), style.width)
}

fn float(number: f64, kind: char, style: &Style) -> String {
    if !number.is_finite() {
        let text = if number.is_nan() { "nan" } else { "inf" };
        return if kind.is_ascii_uppercase() { text.to_uppercase() } else { text.to_owned() };
    }
    let precision = style.precision.unwrap_or(6);
    let text = match kind {
        'f' | 'F' => format!("{number:.precision$}"),
        '%' => format!("{:.precision$}%", number * 100.0),
        'e' | 'E' => exponent(number, precision),
        // `g`, and none at all.
        _ => {
            let precision = precision.max(1);
            let scientific = exponent(number, precision - 1);
            let power: i64 = scientific.split_once('e').and_then(|(_, power)| power.parse().ok()).unwrap_or(0);
            let text = if number != 0.0 && (power < -4 || power >= precision as i64) {
                scientific
            } else {
                let decimals = usize::try_from(precision as i64 - 1 - power).unwrap_or(0);
                format!("{number:.decimals$}")
            };
            if style.alternate || !text.contains('.') {
                text
            } else if let Some((digits, power)) = text.split_once('e') {
                format!("{}e{power}", digits.trim_end_matches('0').trim_end_matches('.'))
            } else {
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            }
        }
    };
    if kind.is_ascii_uppercase() { text.to_uppercase() } else { text }
}

fn exponent(number: f64, precision: usize) -> String {
    let text = format!("{number:.precision$e}");
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, power) = power.strip_prefix('-').map_or(('+', power), |power| ('-', power));
    format!("{digits}e{sign}{power:0>2}")
}

/// `pattern.format(*positional, **named)`. `member` reads `{0.name}` and `{0[key]}`.
pub fn braces(
    pattern: &str,
    positional: &[Value],
    named: &[(std::sync::Arc<str>, Value)],
    member: &dyn Fn(&Value, &str, bool) -> Result<Value>,
    depth: usize,
) -> Result<String> {
    if depth > 2 {
        return Err(Error::failed("max string recursion exceeded"));
    }
    let mut automatic = 0;
    let mut output = String::new();
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '{' if letters.next_if_eq(&'{').is_some() => output.push('{'),
            '}' if letters.next_if_eq(&'}').is_some() => output.push('}'),
            '}' => return Err(Error::failed("single '}' encountered in format string")),
            '{' => {
                let mut nested = 0;
                let mut field = String::new();
                loop {
                    match letters.next().ok_or_else(|| Error::failed("expected '}' before end of string"))? {
                        '}' if nested == 0 => break,
                        letter => {
                            nested += i32::from(letter == '{') - i32::from(letter == '}');
                            field.push(letter);
                        }
                    }
                }
                let (field, specification) =
                    field.split_once(':').map_or((field.as_str(), String::new()), |(field, rest)| (field, rest.to_owned()));
                let (field, conversion) = field.split_once('!').map_or((field, None), |(field, conversion)| (field, Some(conversion)));
                let first = field.find(['.', '[']).unwrap_or(field.len());
                let (name, path) = field.split_at(first);
                let mut value = if name.is_empty() {
                    automatic += 1;
                    positional.get(automatic - 1).cloned()
                } else if let Ok(index) = name.parse::<usize>() {
                    positional.get(index).cloned()
                } else {
                    named.iter().find(|(known, _)| &**known == name).map(|(_, value)| value.clone())
                }
                .ok_or_else(|| Error::failed(format!("the format string's field {{{field}}} has no argument")))?;
                let mut path = path;
                while !path.is_empty() {
                    if let Some(rest) = path.strip_prefix('.') {
                        let end = rest.find(['.', '[']).unwrap_or(rest.len());
                        value = member(&value, &rest[..end], false)?;
                        path = &rest[end..];
                    } else {
                        let rest = &path[1..];
                        let end = rest.find(']').ok_or_else(|| Error::failed("missing ']' in format string"))?;
                        value = member(&value, &rest[..end], true)?;
                        path = &rest[end + 1..];
                    }
                }
                let specification = if specification.contains('{') {
                    braces(&specification, positional.get(automatic..).unwrap_or_default(), named, member, depth + 1)?
                } else {
                    specification
                };
                let value = match conversion {
                    Some("s") => Value::text(python::text(&value)?),
                    Some("r" | "a") => Value::text(python::repr(&value)?),
                    _ => value,
                };
                output.push_str(&formatted(&value, &specification)?);
            }
            other => output.push(other),
        }
    }
    Ok(output)
}

/// `format(value, specification)`.
pub fn formatted(value: &Value, specification: &str) -> Result<String> {
    if specification.is_empty() {
        return python::text(value);
    }
    let mut style = Style::default();
    let mut letters = specification.chars().peekable();
    let mut ahead = letters.clone();
    if let (Some(fill), Some(align)) = (ahead.next(), ahead.next())
        && "<>^=".contains(align)
    {
        style.fill = Some(fill);
        style.align = Some(align);
        letters.nth(1);
    }
    if style.align.is_none() {
        style.align = letters.next_if(|letter| "<>^=".contains(*letter));
    }
    style.sign = letters.next_if(|letter| "+- ".contains(*letter));
    style.alternate = letters.next_if_eq(&'#').is_some();
    if letters.next_if_eq(&'0').is_some() && style.align.is_none() {
        style.align = Some('=');
        style.fill = Some('0');
    }
    style.width = digits(&mut letters).unwrap_or(0);
    style.comma = letters.next_if(|letter| ",_".contains(*letter));
    if letters.next_if_eq(&'.').is_some() {
        style.precision = digits(&mut letters);
    }
    let kind = letters.next();
    let unknown = |kind: char| Error::failed(format!("unknown format code '{kind}' for object of type '{}'", value.type_name()));
    if letters.next().is_some() {
        return Err(Error::failed(format!("invalid format specifier {}", python::quoted(specification))));
    }
    match (value.number(), kind) {
        (Some(number), kind) if !matches!(value, Value::Bool(_)) || kind.is_some() => {
            let kind = kind.unwrap_or(match number {
                Number::Int(_) => 'd',
                Number::Float(_) => '\0',
            });
            if !"dxXobneEfFgG%\0".contains(kind) {
                return Err(unknown(kind));
            }
            if let (Number::Float(number), '\0') = (number, kind)
                && style.precision.is_none()
            {
                let text = python::float(number);
                return Ok(padded(&text, style.fill.unwrap_or(' '), style.align.unwrap_or('>'), style.width));
            }
            Ok(numeric(number, kind, &style))
        }
        (_, None | Some('s')) => {
            let mut text = python::text(value)?;
            if let Some(precision) = style.precision {
                text = text.chars().take(precision).collect();
            }
            Ok(padded(&text, style.fill.unwrap_or(' '), style.align.unwrap_or('<'), style.width))
        }
        (_, Some(kind)) => Err(unknown(kind)),
    }
}
