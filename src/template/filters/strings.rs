//! Texts: case, cutting, wrapping, quoting, comments.

use super::super::arguments::{Bound, integer, strict_text, text};
use super::super::evaluate::Context;
use super::super::methods::{capitalized, justified, lines, split};
use super::super::{Error, Result, format, operators};
use super::Filter;
use crate::program::Value;

pub const FILTERS: &[Filter] = &[
    Filter::new("capitalize", &[], |_, input, _| text(&input).map(|text| Value::text(capitalized(&text)))),
    Filter::new("center", &["width"], center),
    Filter::new("comment", &["style", "**"], comment),
    Filter::new("e", &[], escape),
    Filter::new("escape", &[], escape),
    Filter::new("filesizeformat", &["binary"], file_size),
    Filter::new("forceescape", &[], escape),
    Filter::new("format", &["*", "**"], percent),
    Filter::new("indent", &["width", "first", "blank"], indent),
    Filter::new("lower", &[], |_, input, _| text(&input).map(|text| Value::text(text.to_lowercase()))),
    Filter::new("quote", &[], quote),
    Filter::new("replace", &["old!", "new!", "count"], replace),
    Filter::new("safe", &[], |_, input, _| text(&input).map(Value::text)),
    Filter::new("split", &["sep", "maxsplit"], split_filter),
    Filter::new("striptags", &[], striptags),
    Filter::new("title", &[], |_, input, _| text(&input).map(|text| Value::text(title(&text)))),
    Filter::new("trim", &["chars"], trim),
    Filter::new("truncate", &["length", "killwords", "end", "leeway"], truncate),
    Filter::new("upper", &[], |_, input, _| text(&input).map(|text| Value::text(text.to_uppercase()))),
    Filter::new("wordcount", &[], wordcount),
    Filter::new("wordwrap", &["width", "break_long_words", "wrapstring", "break_on_hyphens"], wordwrap),
];

fn center(_: &Context, input: Value, given: Bound) -> Result<Value> {
    Ok(Value::text(justified(&text(&input)?, given.count(0, 80)?, ' ', "center")))
}

/// HTML's special characters as entities, as markupsafe writes them.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;").replace('\'', "&#39;")
}

fn escape(_: &Context, input: Value, _: Bound) -> Result<Value> {
    text(&input).map(|text| Value::text(escaped(&text)))
}

/// Jinja2's `title`: words end at white space and hyphens and brackets.
fn title(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    let mut start = true;
    for letter in text.chars() {
        let breaks = letter.is_whitespace() || "-({[<".contains(letter);
        if breaks {
            output.push(letter);
        } else if start {
            output.extend(letter.to_uppercase());
        } else {
            output.extend(letter.to_lowercase());
        }
        start = breaks;
    }
    output
}

fn trim(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let value = text(&input)?;
    Ok(Value::text(match given.some(0) {
        Some(set) => {
            let set: Vec<char> = strict_text(set)?.chars().collect();
            value.trim_matches(&set[..]).to_owned()
        }
        None => value.trim().to_owned(),
    }))
}

fn replace(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let value = text(&input)?;
    let (old, new) = (given.text(0, "")?, given.text(1, "")?);
    Ok(Value::text(match given.some(2).map(integer).transpose()?.map(usize::try_from) {
        Some(Ok(count)) => value.replacen(&old, &new, count),
        _ => value.replace(&old, &new),
    }))
}

fn split_filter(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let value = strict_text(&input)?;
    let separator = given.some(0).map(strict_text).transpose()?;
    split(value, separator, given.integer(1, -1)?, false).map(Value::from)
}

fn percent(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let pattern = text(&input)?;
    if !given.rest.is_empty() && !given.further.is_empty() {
        return Err(Error::failed("can't handle positional and keyword arguments at the same time"));
    }
    let values = if given.further.is_empty() { super::lists::tuple(given.rest) } else { Value::map(given.further) };
    format::percent(&pattern, &values).map(Value::text)
}

fn indent(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let value = text(&input)?;
    let prefix = match given.get(0) {
        Some(Value::Text(prefix)) => prefix.as_str().to_owned(),
        _ => " ".repeat(given.count(0, 4)?),
    };
    let (first, blank) = (given.truth(1, false)?, given.truth(2, false)?);
    // Jinja2 adds a line break before it splits, so that a last one is kept.
    let with_break = format!("{value}\n");
    let mut output = String::new();
    for (index, line) in lines(&with_break, false).iter().enumerate() {
        if index > 0 {
            output.push('\n');
        }
        if (index > 0 || first) && (blank || !line.is_empty()) || (index == 0 && first) {
            output.push_str(&prefix);
        }
        output.push_str(line);
    }
    Ok(Value::text(output))
}

fn truncate(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let value = text(&input)?;
    let (length, end, leeway) = (given.count(0, 255)?, given.text(2, "...")?, given.count(3, 0)?);
    let letters: Vec<char> = value.chars().collect();
    let tail = end.chars().count();
    if length < tail {
        return Err(Error::failed(format!("expected length >= {tail}, got {length}")));
    }
    if letters.len() <= length + leeway {
        return Ok(Value::text(value));
    }
    let cut: String = letters[..length - tail].iter().collect();
    let cut = if given.truth(1, false)? { cut } else { cut.rsplit_once(' ').map_or(cut.clone(), |(head, _)| head.to_owned()) };
    Ok(Value::text(cut + &end))
}

fn wordcount(_: &Context, input: Value, _: Bound) -> Result<Value> {
    let value = text(&input)?;
    let words = value.split(|letter: char| !(letter.is_alphanumeric() || letter == '_')).filter(|word| !word.is_empty());
    Ok(Value::Int(words.count() as i64))
}

fn wordwrap(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let value = text(&input)?;
    let width = given.count(0, 79)?.max(1);
    let (break_long, separator, hyphens) = (given.truth(1, true)?, given.text(2, "\n")?, given.truth(3, true)?);
    let wrapped = lines(&value, false).iter().map(|line| wrap(line, width, break_long, hyphens).join(&separator)).collect::<Vec<_>>();
    Ok(Value::text(wrapped.join(&separator)))
}

/// Python's `textwrap.wrap` without expanding tabs or replacing white space.
fn wrap(line: &str, width: usize, break_long: bool, hyphens: bool) -> Vec<String> {
    let mut chunks: Vec<String> = Vec::new();
    for letter in line.chars() {
        let space = letter.is_whitespace();
        match chunks.last_mut() {
            Some(chunk) if chunk.starts_with(char::is_whitespace) == space && !(hyphens && !space && breaks_after(chunk, letter)) => {
                chunk.push(letter);
            }
            _ => chunks.push(letter.to_string()),
        }
    }
    chunks.reverse();
    let mut wrapped = Vec::new();
    while !chunks.is_empty() {
        let mut current = String::new();
        if chunks.last().is_some_and(|chunk| chunk.trim().is_empty()) && !wrapped.is_empty() {
            chunks.pop();
        }
        let mut length = 0;
        while let Some(chunk) = chunks.last() {
            let size = chunk.chars().count();
            if length + size > width {
                break;
            }
            length += size;
            current.push_str(&chunks.pop().unwrap_or_default());
        }
        if chunks.last().is_some_and(|chunk| chunk.chars().count() > width) {
            let chunk = chunks.pop().unwrap_or_default();
            if break_long {
                let space = (width - length).max(1);
                current.extend(chunk.chars().take(space));
                chunks.push(chunk.chars().skip(space).collect());
            } else if current.is_empty() {
                current = chunk;
            } else {
                chunks.push(chunk);
            }
        }
        let current = current.trim_end().to_owned();
        if !current.is_empty() {
            wrapped.push(current);
        }
    }
    wrapped
}

fn breaks_after(chunk: &str, next: char) -> bool {
    let mut back = chunk.chars().rev();
    back.next() == Some('-') && back.next().is_some_and(char::is_alphabetic) && next.is_alphabetic()
}

fn striptags(_: &Context, input: Value, _: Bound) -> Result<Value> {
    let value = text(&input)?;
    let mut output = String::new();
    let mut inside = false;
    for letter in value.chars() {
        match letter {
            '<' => inside = true,
            '>' if inside => inside = false,
            letter if !inside => output.push(letter),
            _ => {}
        }
    }
    let output = output.replace("&lt;", "<").replace("&gt;", ">").replace("&#34;", "\"").replace("&#39;", "'").replace("&amp;", "&");
    Ok(Value::text(output.split_whitespace().collect::<Vec<_>>().join(" ")))
}

fn file_size(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let bytes = match &input {
        Value::Text(text) => text.as_str().trim().parse::<f64>().map_err(|_| Error::failed("could not convert string to float"))?,
        other => super::super::methods::as_float(other)?,
    };
    let binary = given.truth(0, false)?;
    let base: f64 = if binary { 1024.0 } else { 1000.0 };
    let units =
        if binary { ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"] } else { ["kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"] };
    if bytes == 1.0 {
        return Ok("1 Byte".into());
    }
    if bytes < base {
        return Ok(Value::text(format!("{} Bytes", bytes as i64)));
    }
    let mut power = 0;
    while power < units.len() - 1 && bytes >= base.powi(power as i32 + 2) {
        power += 1;
    }
    Ok(Value::text(format!("{:.1} {}", base * bytes / base.powi(power as i32 + 2), units[power])))
}

/// `shlex.quote`.
pub fn quoted(text: &str) -> String {
    if text.is_empty() {
        return "''".to_owned();
    }
    if text.chars().all(|letter| letter.is_ascii_alphanumeric() || "@%+=:,./-_".contains(letter)) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\"'\"'"))
}

fn quote(_: &Context, input: Value, _: Bound) -> Result<Value> {
    Ok(Value::text(match &input {
        Value::Null => quoted(""),
        other => quoted(&text(other)?),
    }))
}

fn comment(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let value = strict_text(&input)?;
    let style = given.text(0, "plain")?;
    let (mut beginning, mut decoration, mut end) = match style.as_str() {
        "plain" => ("", "# ", ""),
        "erlang" => ("", "% ", ""),
        "c" => ("", "// ", ""),
        "cblock" => ("/*", " * ", " */"),
        "xml" => ("<!--", " - ", "-->"),
        other => {
            return Err(Error::failed(format!("Invalid style '{other}'.")).hint("available styles: plain, erlang, c, cblock, xml"));
        }
    };
    let option = |name: &str| given.further.get(name);
    let named = |name: &str| option(name).map(strict_text).transpose();
    if let Some(told) = named("decoration")? {
        decoration = told;
    }
    let newline = named("newline")?.unwrap_or("\n");
    let prefix = named("prefix")?.unwrap_or(decoration.trim_end());
    let postfix = named("postfix")?.unwrap_or(decoration.trim_end());
    let count = |name: &str| option(name).map_or(Ok(1), integer).map(|count| usize::try_from(count).unwrap_or(0));
    if let Some(told) = named("beginning")? {
        beginning = told;
    }
    if let Some(told) = named("end")? {
        end = told;
    }
    let mut output = String::new();
    if !beginning.is_empty() {
        output += beginning;
        output += newline;
    }
    if !prefix.is_empty() {
        let line = if prefix == newline { newline.to_owned() } else { format!("{prefix}{newline}") };
        output += &line.repeat(count("prefix_count")?);
    }
    let body = format!("{decoration}{}", value.replace(newline, &format!("{newline}{decoration}")));
    output += &body.replace(&format!("{decoration}{newline}"), &format!("{}{newline}", decoration.trim_end()));
    output += &format!("{newline}{postfix}").repeat(count("postfix_count")?);
    if !end.is_empty() {
        output += newline;
        output += end;
    }
    operators::known(&input)?;
    Ok(Value::text(output))
}
