//! Texts: quotes, indents, trimming, searching, patterns.

use std::fmt::Write as _;
use std::rc::Rc;

use super::{Fail, Function, any, exactly, integer, text, wrong};
use crate::chart::print;
use crate::chart::value::Value;

pub const FUNCTIONS: &[Function] = &[
    any("quote", 0, |arguments| Ok(each(arguments, |value| print::quoted(&print::plain(value))))),
    any("squote", 0, |arguments| Ok(each(arguments, |value| format!("'{}'", print::plain(value))))),
    any("cat", 0, |arguments| Ok(each(arguments, print::plain))),
    exactly("indent", 2, |arguments| Ok(indented(integer(arguments, 0)?, &text(arguments, 1)?).into())),
    exactly("nindent", 2, |arguments| Ok(format!("\n{}", indented(integer(arguments, 0)?, &text(arguments, 1)?)).into())),
    exactly("trim", 1, |arguments| Ok(text(arguments, 0)?.trim().into())),
    exactly("trimAll", 2, |arguments| trimmed(arguments, |text, set| text.trim_matches(|letter| set.contains(letter)))),
    exactly("trimall", 2, |arguments| trimmed(arguments, |text, set| text.trim_matches(|letter| set.contains(letter)))),
    exactly("trimSuffix", 2, |arguments| trimmed(arguments, |text, end| text.strip_suffix(end).unwrap_or(text))),
    exactly("trimPrefix", 2, |arguments| trimmed(arguments, |text, start| text.strip_prefix(start).unwrap_or(text))),
    exactly("trunc", 2, |arguments| Ok(truncated(integer(arguments, 0)?, &text(arguments, 1)?).into())),
    exactly("substr", 3, substring),
    exactly("upper", 1, |arguments| Ok(text(arguments, 0)?.to_uppercase().into())),
    exactly("lower", 1, |arguments| Ok(text(arguments, 0)?.to_lowercase().into())),
    exactly("title", 1, |arguments| Ok(title(&text(arguments, 0)?).into())),
    exactly("untitle", 1, |arguments| {
        let text = text(arguments, 0)?;
        let mut letters = text.chars();
        Ok(letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect()).into())
    }),
    exactly("nospace", 1, |arguments| Ok(text(arguments, 0)?.split_whitespace().collect::<String>().into())),
    exactly("repeat", 2, |arguments| {
        let count = usize::try_from(integer(arguments, 0)?).map_err(|_| wrong(arguments, 0, "a number from 0 on"))?;
        let text = text(arguments, 1)?;
        if count.saturating_mul(text.len()) > 1 << 24 {
            return Err(Fail::argument(0, "the result is larger than 16 MiB"));
        }
        Ok(text.repeat(count).into())
    }),
    exactly("replace", 3, |arguments| Ok(text(arguments, 2)?.replace(&*text(arguments, 0)?, &text(arguments, 1)?).into())),
    exactly("contains", 2, |arguments| Ok(text(arguments, 1)?.contains(&*text(arguments, 0)?).into())),
    exactly("hasPrefix", 2, |arguments| Ok(text(arguments, 1)?.starts_with(&*text(arguments, 0)?).into())),
    exactly("hasSuffix", 2, |arguments| Ok(text(arguments, 1)?.ends_with(&*text(arguments, 0)?).into())),
    exactly("toString", 1, |arguments| Ok(print::plain(&arguments[0]).into())),
    any("print", 0, |arguments| Ok(print(arguments).into())),
    any("println", 0, |arguments| Ok(format!("{}\n", arguments.iter().map(print::plain).collect::<Vec<_>>().join(" ")).into())),
    any("printf", 1, |arguments| Ok(print::printf(&text(arguments, 0)?, &arguments[1..]).into())),
    any("html", 0, |arguments| {
        let text = print(arguments).replace('&', "&amp;").replace('\'', "&#39;").replace('"', "&#34;");
        Ok(text.replace('<', "&lt;").replace('>', "&gt;").into())
    }),
    any("urlquery", 0, |arguments| Ok(url_query(&print(arguments)).into())),
    exactly("splitList", 2, |arguments| {
        let (separator, whole) = (text(arguments, 0)?, text(arguments, 1)?);
        Ok(Value::list(pieces(&whole, &separator)))
    }),
    exactly("split", 2, |arguments| {
        let (separator, whole) = (text(arguments, 0)?, text(arguments, 1)?);
        Ok(Value::map(
            pieces(&whole, &separator).into_iter().enumerate().map(|(index, part)| (Rc::from(format!("_{index}")), part)).collect(),
        ))
    }),
    exactly("splitn", 3, |arguments| {
        let (separator, count, whole) = (text(arguments, 0)?, integer(arguments, 1)?, text(arguments, 2)?);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        Ok(Value::map(
            whole.splitn(count, &*separator).enumerate().map(|(index, part)| (Rc::from(format!("_{index}")), part.into())).collect(),
        ))
    }),
    exactly("join", 2, |arguments| Ok(texts(&arguments[1]).join(&*text(arguments, 0)?).into())),
    exactly("toStrings", 1, |arguments| Ok(Value::list(texts(&arguments[0]).into_iter().map(Value::from).collect()))),
    exactly("sortAlpha", 1, |arguments| {
        let mut all = texts(&arguments[0]);
        all.sort();
        Ok(Value::list(all.into_iter().map(Value::from).collect()))
    }),
    exactly("base", 1, |arguments| Ok(base(&text(arguments, 0)?).into())),
    exactly("dir", 1, |arguments| Ok(dir(&text(arguments, 0)?).into())),
    exactly("ext", 1, |arguments| {
        let path = text(arguments, 0)?;
        let name = path.rsplit('/').next().unwrap_or_default();
        Ok(name.rfind('.').map_or("", |dot| &name[dot..]).into())
    }),
    exactly("regexMatch", 2, |arguments| Ok(pattern(arguments)?.is_match(&*text(arguments, 1)?).unwrap_or(false).into())),
    exactly("mustRegexMatch", 2, |arguments| Ok(pattern(arguments)?.is_match(&*text(arguments, 1)?).unwrap_or(false).into())),
    exactly("regexFind", 2, |arguments| {
        let text = text(arguments, 1)?;
        Ok(pattern(arguments)?.find(&*text).ok().flatten().map_or("", |found| found.as_str()).into())
    }),
    exactly("regexFindAll", 3, |arguments| {
        let (whole, most) = (text(arguments, 1)?, integer(arguments, 2)?);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Ok(Value::list(pattern(arguments)?.find_iter(&*whole).flatten().take(most).map(|found| found.as_str().into()).collect()))
    }),
    exactly("regexReplaceAll", 3, |arguments| {
        let (whole, with) = (text(arguments, 1)?, text(arguments, 2)?);
        Ok(pattern(arguments)?.replace_all(&whole, expanded(&with).as_str()).into_owned().into())
    }),
    exactly("regexReplaceAllLiteral", 3, |arguments| {
        let (whole, with) = (text(arguments, 1)?, text(arguments, 2)?);
        Ok(pattern(arguments)?.replace_all(&whole, fancy_regex::NoExpand(&with)).into_owned().into())
    }),
    exactly("regexSplit", 3, |arguments| {
        let (whole, most) = (text(arguments, 1)?, integer(arguments, 2)?);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let pattern = pattern(arguments)?;
        let parts: Vec<Value> = pattern.splitn(&whole, most).flatten().map(Value::from).collect();
        Ok(Value::list(parts))
    }),
    exactly("regexQuoteMeta", 1, |arguments| Ok(fancy_regex::escape(&text(arguments, 0)?).into_owned().into())),
];

fn each(arguments: &[Value], show: impl Fn(&Value) -> String) -> Value {
    let shown: Vec<String> = arguments.iter().filter(|value| !matches!(value, Value::Nil)).map(show).collect();
    shown.join(" ").into()
}

fn indented(spaces: i64, text: &str) -> String {
    let pad = " ".repeat(usize::try_from(spaces).unwrap_or(0).min(1000));
    format!("{pad}{}", text.replace('\n', &format!("\n{pad}")))
}

fn trimmed(arguments: &[Value], trim: impl for<'text> Fn(&'text str, &str) -> &'text str) -> Result<Value, Fail> {
    let (part, whole) = (text(arguments, 0)?, text(arguments, 1)?);
    Ok(trim(&whole, &part).into())
}

/// Go counts bytes; a character that would be cut is left out, since a Rust text cannot hold half of one.
fn truncated(count: i64, text: &str) -> &str {
    let size = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if size >= text.len() {
        return text;
    }
    let boundary = |mut at: usize, step: isize| {
        while !text.is_char_boundary(at) {
            at = at.saturating_add_signed(step);
        }
        at
    };
    if count < 0 { &text[boundary(text.len() - size, 1)..] } else { &text[..boundary(size, -1)] }
}

fn substring(arguments: &[Value]) -> Result<Value, Fail> {
    let (start, end, text) = (integer(arguments, 0)?, integer(arguments, 1)?, text(arguments, 2)?);
    let from = usize::try_from(start).unwrap_or(0);
    let to = usize::try_from(end).map_or(text.len(), |end| end.min(text.len()));
    text.get(from..to).map(Value::from).ok_or_else(|| Fail::new(format!("{start} to {end} is no part of a text of {} bytes", text.len())))
}

fn title(text: &str) -> String {
    let mut start = true;
    let mut out = String::new();
    for letter in text.chars() {
        if start {
            out.extend(letter.to_uppercase());
        } else {
            out.push(letter);
        }
        start = !letter.is_alphanumeric() && letter != '_' && letter != '\'';
    }
    out
}

/// `fmt.Sprint`: a space between two that are both no text.
fn print(arguments: &[Value]) -> String {
    let mut out = String::new();
    for (index, value) in arguments.iter().enumerate() {
        if index > 0 && !matches!(value, Value::Text(_)) && !matches!(arguments[index - 1], Value::Text(_)) {
            out.push(' ');
        }
        out.push_str(&print::plain(value));
    }
    out
}

fn url_query(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            b' ' => out.push('+'),
            other => drop(write!(out, "%{other:02X}")),
        }
    }
    out
}

fn pieces(whole: &str, separator: &str) -> Vec<Value> {
    if separator.is_empty() {
        whole.chars().map(|letter| letter.to_string().into()).collect()
    } else {
        whole.split(separator).map(Value::from).collect()
    }
}

/// sprig's `strslice`: what a list's items read as, nil left out; anything else is a list of one.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Nil => Vec::new(),
        Value::List(items) => items.iter().filter(|item| !matches!(item, Value::Nil)).map(print::plain).collect(),
        other => vec![print::plain(other)],
    }
}

fn base(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" => {
            if path.is_empty() {
                "."
            } else {
                "/"
            }
        }
        path => path.rsplit('/').next().unwrap_or(path),
    }
}

fn dir(path: &str) -> &str {
    match path.rfind('/') {
        None => ".",
        Some(0) => "/",
        Some(at) => path[..at].trim_end_matches('/'),
    }
}

fn pattern(arguments: &[Value]) -> Result<fancy_regex::Regex, Fail> {
    let pattern = text(arguments, 0)?;
    fancy_regex::Regex::new(&pattern).map_err(|error| Fail::argument(0, format!("`{pattern}` is no regular expression: {error}")))
}

/// `$1x` is the group `1x` for both; a group that a pattern has not is empty for both. Only `$` before nothing differs.
fn expanded(with: &str) -> String {
    with.strip_suffix('$').map_or_else(|| with.to_owned(), |head| format!("{head}$$"))
}
