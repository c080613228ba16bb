//! Regular expressions as Python's `re` reads them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use fancy_regex::{Captures, Regex};

use super::super::arguments::{Bound, strict_text, text};
use super::super::evaluate::Context;
use super::super::{Error, Result};
use super::Filter;
use crate::program::Value;

pub const FILTERS: &[Filter] = &[
    Filter::new("regex_escape", &["re_type"], escape),
    Filter::new("regex_findall", &["regex!", "multiline", "ignorecase"], findall),
    Filter::new("regex_replace", &["pattern", "replacement", "ignorecase", "multiline", "count", "mandatory_count"], replace),
    Filter::new("regex_search", &["regex!", "*", "**"], search),
];

/// A pattern in Python's syntax, compiled once.
pub fn compile(pattern: &str, ignore_case: bool, multiline: bool) -> Result<Arc<Regex>> {
    flagged(pattern, flags(ignore_case, multiline))
}

fn flags(ignore_case: bool, multiline: bool) -> &'static str {
    match (ignore_case, multiline) {
        (true, true) => "im",
        (true, false) => "i",
        (false, true) => "m",
        (false, false) => "",
    }
}

/// The same with flags by their letters: `m` MULTILINE, `s` DOTALL, `i` IGNORECASE.
pub fn flagged(pattern: &str, flags: &'static str) -> Result<Arc<Regex>> {
    cached(pattern, flags, false)
}

/// `advancing`: one that does not match nothing at the place where the search began.
fn cached(pattern: &str, flags: &'static str, advancing: bool) -> Result<Arc<Regex>> {
    type Compiled = Mutex<HashMap<(String, &'static str, bool), Arc<Regex>>>;
    static COMPILED: OnceLock<Compiled> = OnceLock::new();
    let cache = COMPILED.get_or_init(Compiled::default);
    let key = (pattern.to_owned(), flags, advancing);
    if let Some(regex) = cache.lock().ok().and_then(|cache| cache.get(&key).cloned()) {
        return Ok(regex);
    }
    let translated = translate(pattern);
    let translated = if advancing { format!("(?:{translated})(?!\\G)") } else { translated };
    let whole = if flags.is_empty() { translated } else { format!("(?{flags}){translated}") };
    let regex = Regex::new(&whole).map_err(|error| {
        Error::failed(format!("the regular expression {} is malformed: {error}", super::super::python::quoted(pattern)))
    })?;
    let regex = Arc::new(regex);
    if let Ok(mut cache) = cache.lock() {
        if cache.len() > 2000 {
            cache.clear();
        }
        cache.insert(key, Arc::clone(&regex));
    }
    Ok(regex)
}

/// What Python writes otherwise: `\Z` is the end of the text, `$` also stands before a last line break, and a `[`
/// inside a class is itself.
fn translate(pattern: &str) -> String {
    let mut output = String::with_capacity(pattern.len());
    let mut letters = pattern.chars().peekable();
    let mut class = 0usize;
    let multiline = pattern.starts_with("(?") && pattern.split(')').next().is_some_and(|flags| flags.contains('m') && !flags.contains(':'));
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('Z') => output.push_str("\\z"),
                // Word boundaries elsewhere, plain letters in Python.
                Some(plain @ ('<' | '>')) => output.push(plain),
                Some(other) => output.extend(['\\', other]),
                None => output.push('\\'),
            },
            '[' if class == 0 => {
                class = 1;
                output.push('[');
                if letters.next_if_eq(&'^').is_some() {
                    output.push('^');
                }
                // A bracket that comes first is a member.
                if letters.next_if_eq(&']').is_some() {
                    output.push_str("\\]");
                }
            }
            '[' => output.push_str("\\["),
            ']' if class > 0 => {
                class = 0;
                output.push(']');
            }
            '&' | '~' if class > 0 => output.extend(['\\', letter]),
            '$' if class == 0 && !multiline => output.push_str("(?:$|(?=\\n\\z))"),
            '{' if class == 0 => {
                // A brace that starts no repetition is itself.
                let ahead: String = letters.clone().take_while(|letter| *letter != '}').collect();
                let repeats = !ahead.is_empty() && ahead.chars().all(|letter| letter.is_ascii_digit() || letter == ',') && ahead != ",";
                output.push_str(if repeats { "{" } else { "\\{" });
            }
            other => output.push(other),
        }
    }
    output
}

fn broken(error: &fancy_regex::Error) -> Error {
    Error::failed(format!("the regular expression gave up: {error}"))
}

/// A replacement with its groups put in, as `match.expand` does: `\1`, `\g<1>`, `\g<name>`, octal and letter escapes. `names` are
/// the groups that have one.
pub fn expand(replacement: &str, captures: &Captures<str>, names: &[&str], output: &mut String) -> Result<()> {
    let mut letters = replacement.chars().peekable();
    let group = |name: &str| -> Result<String> {
        let found = match name.parse::<usize>() {
            Ok(index) if index < captures.len() => captures.get(index),
            Ok(index) => return Err(Error::failed(format!("invalid group reference {index}"))),
            Err(_) if names.contains(&name) => captures.name(name),
            Err(_) => return Err(Error::failed(format!("unknown group name '{name}'"))),
        };
        Ok(found.map_or_else(String::new, |found| found.as_str().to_owned()))
    };
    let octal = |digits: &str| u32::from_str_radix(digits, 8).ok().and_then(char::from_u32).unwrap_or('\0');
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            output.push(letter);
            continue;
        }
        match letters.next() {
            Some('g') if letters.peek() == Some(&'<') => {
                letters.next();
                let name: String = letters.by_ref().take_while(|letter| *letter != '>').collect();
                output.push_str(&group(&name)?);
            }
            Some('g') => return Err(Error::failed("missing <")),
            Some('0') => {
                let mut digits = String::from("0");
                while digits.len() < 3 && letters.peek().is_some_and(|digit| digit.is_digit(8)) {
                    digits.extend(letters.next());
                }
                output.push(octal(&digits));
            }
            Some(digit @ '1'..='9') => {
                let mut name = digit.to_string();
                if let Some(next) = letters.next_if(char::is_ascii_digit) {
                    name.push(next);
                    // Three octal digits are a letter, not a group.
                    let third = letters.peek().copied().filter(|third| name.chars().chain([*third]).all(|digit| digit.is_digit(8)));
                    if let Some(third) = third {
                        letters.next();
                        name.push(third);
                        output.push(octal(&name));
                        continue;
                    }
                }
                output.push_str(&group(&name)?);
            }
            Some('n') => output.push('\n'),
            Some('r') => output.push('\r'),
            Some('t') => output.push('\t'),
            Some('f') => output.push('\u{c}'),
            Some('v') => output.push('\u{b}'),
            Some('a') => output.push('\u{7}'),
            Some('b') => output.push('\u{8}'),
            Some('\\') => output.push('\\'),
            Some(other) if other.is_ascii_alphabetic() => return Err(Error::failed(format!("bad escape \\{other}"))),
            Some(other) => output.extend(['\\', other]),
            None => return Err(Error::failed("bad escape (end of pattern)")),
        }
    }
    Ok(())
}

/// `re.subn`: the text with its matches replaced, and how many there were; a `limit` of 0 is none. An empty match right behind
/// another counts, as Python has it since 3.7: `.*` matches `ab` twice.
pub fn substitute(pattern: &str, flags: &'static str, replacement: &str, text: &str, limit: usize) -> Result<(String, usize)> {
    let regex = flagged(pattern, flags)?;
    let names: Vec<&str> = regex.capture_names().flatten().collect();
    let mut output = String::with_capacity(text.len());
    let (mut start, mut count, mut advance) = (0, 0, false);
    while limit == 0 || count < limit {
        let found =
            if advance { cached(pattern, flags, true)?.captures_from_pos(text, start) } else { regex.captures_from_pos(text, start) };
        let Some(captures) = found.map_err(|error| broken(&error))? else { break };
        let Some(whole) = captures.get(0) else { break };
        output.push_str(&text[start..whole.start()]);
        expand(replacement, &captures, &names, &mut output)?;
        start = whole.end();
        advance = whole.start() == whole.end();
        count += 1;
    }
    output.push_str(&text[start..]);
    Ok((output, count))
}

fn replace(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let value = text(&input)?;
    let (pattern, replacement) = (given.text(0, "")?, given.text(1, "")?);
    let flags = flags(given.truth(2, false)?, given.truth(3, false)?);
    let (limit, mandatory) = (given.count(4, 0)?, given.integer(5, 0)?);
    let (output, count) = substitute(&pattern, flags, &replacement, &value, limit)?;
    if mandatory != 0 && mandatory != count as i64 {
        return Err(Error::failed(format!("'{pattern}' should match {mandatory} times, but matches {count} times in '{value}'")));
    }
    Ok(Value::text(output))
}

fn findall(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let value = text(&input)?;
    let regex = compile(&given.text(0, "")?, given.truth(2, false)?, given.truth(1, false)?)?;
    let mut found = Vec::new();
    for captures in regex.captures_iter(value.as_str()) {
        let captures = captures.map_err(|error| broken(&error))?;
        let group = |index: usize| Value::text(captures.get(index).map_or("", |found| found.as_str()));
        found.push(match captures.len() {
            1 => group(0),
            2 => group(1),
            count => super::lists::tuple((1..count).map(group).collect()),
        });
    }
    Ok(Value::list(found))
}

fn search(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let value = text(&input)?;
    let flag = |name: &str| given.further.get(name).is_some_and(Value::is_truthy);
    let regex = compile(&given.text(0, "")?, flag("ignorecase"), flag("multiline"))?;
    let Some(captures) = regex.captures(value.as_str()).map_err(|error| broken(&error))? else { return Ok(Value::Null) };
    if given.rest.is_empty() {
        return Ok(Value::text(captures.get(0).map_or("", |found| found.as_str())));
    }
    let groups = given.rest.iter().map(|wanted| {
        let wanted = strict_text(wanted)?;
        let name = wanted
            .strip_prefix("\\g<")
            .and_then(|name| name.strip_suffix('>'))
            .or_else(|| wanted.strip_prefix('\\'))
            .ok_or_else(|| Error::failed("Unknown argument").hint("groups are asked for as '\\\\1' or '\\\\g<name>'"))?;
        let found = match name.parse::<usize>() {
            Ok(index) if index < captures.len() => captures.get(index),
            Ok(_) => return Err(Error::failed("no such group")),
            Err(_) if regex.capture_names().flatten().any(|known| known == name) => captures.name(name),
            Err(_) => return Err(Error::failed("no such group")),
        };
        Ok(found.map_or(Value::Null, |found| Value::text(found.as_str())))
    });
    Ok(Value::list(groups.collect::<Result<_>>()?))
}

/// Whether the pattern is found: anywhere (`search`), at the start (`match`), or as the whole (`fullmatch`).
pub fn matches(value: &str, pattern: &str, ignore_case: bool, multiline: bool, how: &str) -> Result<bool> {
    let regex = match how {
        // A match at the start of the text: the first alternative that fits there, as Python tries it.
        "match" => compile(&format!("\\A(?:{pattern})"), ignore_case, multiline)?,
        "fullmatch" => compile(&format!("\\A(?:{pattern})\\Z"), ignore_case, multiline)?,
        _ => compile(pattern, ignore_case, multiline)?,
    };
    regex.is_match(value).map_err(|error| broken(&error))
}

fn escape(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let value = text(&input)?;
    let special = match given.text(0, "python")?.as_str() {
        "python" => "()[]{}?*+-|^$\\.&~# \t\n\r\u{b}\u{c}",
        "posix_basic" => "].[^$*\\",
        "posix_extended" => return Err(Error::failed("Regex type (posix_extended) not yet implemented")),
        other => return Err(Error::failed(format!("Invalid regex type ({other})"))),
    };
    let mut output = String::with_capacity(value.len() * 2);
    for letter in value.chars() {
        if special.contains(letter) {
            output.push('\\');
        }
        output.push(letter);
    }
    Ok(Value::text(output))
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn substitution_is_pythons() {
        // Each as Python 3.11's re.subn answers.
        for (pattern, flags, replacement, text, wanted) in [
            ("x*", "", "-", "abxd", ("-a-b--d-", 5)),
            (".*", "", "x", "ab", ("xx", 2)),
            ("|a", "", "-", "ab", ("---b-", 4)),
            ("^", "m", "# ", "a\nb\n", ("# a\n# b\n# ", 3)),
            ("^(.+)$", "m", "# \\1", "a\n\nb\n", ("# a\n\n# b\n", 2)),
            ("b$", "", "c", "ab\n", ("ac\n", 1)),
            ("(?P<k>\\w+)=(\\d)?", "", "\\g<k>: \\2\\g<0>", "a=1 b=", ("a: 1a=1 b: b=", 2)),
            ("a", "", "\\101\\012\\\\", "a", ("A\n\\", 1)),
            ("\\<a\\>", "", "b", "<a>", ("b", 1)),
        ] {
            let found = substitute(pattern, flags, replacement, text, 0).expect("is a pattern");
            assert_eq!((found.0.as_str(), found.1), wanted, "{pattern} in {text:?}");
        }
        assert_eq!(substitute("a", "", "b", "aaa", 2).expect("is a pattern"), ("bba".to_owned(), 2));
        for replacement in ["\\1", "\\g<no>", "\\q", "\\", "\\g1"] {
            assert!(substitute("a", "", replacement, "a", 0).is_err(), "{replacement}");
        }
    }
}
