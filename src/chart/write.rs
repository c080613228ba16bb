//! `toYaml`: a value as YAML text, byte for byte as Helm's writer does.
//!
//! Source: sigs.k8s.io/yaml (through JSON, so whole numbers are integers) and go.yaml.in/yaml/v2: `keyList.Less` for the order of
//! keys, `yaml_emitter_analyze_scalar` and `yaml_emitter_select_scalar_style` for the quotes, `yaml_emitter_write_*_scalar` for the
//! breaking of long lines.

use std::cmp::Ordering;
use std::fmt::Write as _;
use std::rc::Rc;

use super::value::Value;
use super::{print, scalar};

/// The text without the last newline, as templates get it.
pub fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::List(items) if !items.is_empty() => list(&mut out, items, 0),
        Value::Map(entries) if !entries.borrow().is_empty() => map(&mut out, value, 0),
        Value::Object(object) if !object.fields.is_empty() => map(&mut out, value, 0),
        other => {
            leaf(&mut out, other, 0, 0);
            out.push('\n');
        }
    }
    // One newline is Helm's to take; those of a literal block at the end belong to it.
    out.pop();
    out
}

fn list(out: &mut String, items: &[Value], indent: usize) {
    for item in items {
        pad(out, indent);
        out.push('-');
        nested(out, item, indent, true);
    }
}

fn pairs(value: &Value) -> Vec<(Rc<str>, Value)> {
    let mut pairs: Vec<(Rc<str>, Value)> = match value {
        Value::Map(entries) => entries.borrow().iter().map(|(key, value)| (Rc::clone(key), value.clone())).collect(),
        Value::Object(object) => object.fields.iter().map(|(key, value)| (Rc::from(*key), value.clone())).collect(),
        _ => Vec::new(),
    };
    pairs.sort_by(|(a, _), (b, _)| natural(a, b));
    pairs
}

fn map(out: &mut String, value: &Value, indent: usize) {
    for (index, (key, value)) in pairs(value).into_iter().enumerate() {
        if index > 0 || !out.ends_with("- ") {
            pad(out, indent);
        }
        let written = one_line(&key);
        // A key that is too long for "simple" is written with a question mark.
        if key.len() > 128 || key.contains('\n') {
            out.push_str("? ");
            if key.contains('\n') {
                text(out, &key, indent, indent);
            } else {
                out.push_str(&written);
            }
            out.push('\n');
            pad(out, indent);
        } else {
            out.push_str(&written);
        }
        out.push(':');
        nested(out, &value, indent, false);
    }
}

/// What follows a `-` or a `key:`, with the line's end.
fn nested(out: &mut String, value: &Value, indent: usize, in_list: bool) {
    match value {
        Value::List(items) if !items.is_empty() => {
            if in_list {
                // A list in a list begins on the same line.
                out.push(' ');
                let start = out.len();
                list(out, items, indent + 2);
                out.replace_range(start..start + indent + 2, "");
            } else {
                out.push('\n');
                list(out, items, indent);
            }
        }
        Value::Map(_) | Value::Object(_) if !pairs(value).is_empty() => {
            out.push(if in_list { ' ' } else { '\n' });
            map(out, value, indent + 2);
        }
        other => {
            out.push(' ');
            leaf(out, other, indent, indent + 2);
            out.push('\n');
        }
    }
}

fn leaf(out: &mut String, value: &Value, parent: usize, indent: usize) {
    match value {
        Value::Nil => out.push_str("null"),
        Value::Bool(truth) => drop(write!(out, "{truth}")),
        Value::Int(number) => drop(write!(out, "{number}")),
        Value::Float(number) => out.push_str(&json_number(*number)),
        Value::Text(content) => text(out, content, parent, indent),
        Value::List(_) => out.push_str("[]"),
        Value::Map(_) | Value::Object(_) => out.push_str("{}"),
    }
}

/// A float after JSON: go-yaml reads a whole number that 64 bits hold as an integer again.
fn json_number(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 1.8e19 { format!("{number:.0}") } else { print::float(number) }
}

/// A scalar on one line, for keys.
fn one_line(content: &str) -> String {
    let mut out = String::new();
    match Style::of(content) {
        Style::Plain => out.push_str(content),
        Style::Single => single(&mut out, content, None),
        Style::Double | Style::Literal => double(&mut out, content, None),
    }
    out
}

fn text(out: &mut String, content: &str, parent: usize, indent: usize) {
    let indent = if indent == 0 { 2 } else { parent + 2 };
    match Style::of(content) {
        Style::Plain => folded(out, content, Some(indent), false),
        Style::Single => single(out, content, Some(indent)),
        Style::Double => double(out, content, Some(indent)),
        Style::Literal => literal(out, content, indent),
    }
}

/// Behind this column a line is broken at the next single space.
const WIDTH: usize = 80;

fn column(out: &str) -> usize {
    out[out.rfind('\n').map_or(0, |newline| newline + 1)..].chars().count()
}

/// Plain or between single quotes; `indent` is that of the lines after a break, `None` for a key.
fn folded(out: &mut String, content: &str, indent: Option<usize>, quoted: bool) {
    let letters: Vec<char> = content.chars().collect();
    let mut after_space = false;
    for (index, &letter) in letters.iter().enumerate() {
        let inside = !quoted || (index > 0 && index + 1 < letters.len());
        match indent.filter(|_| letter == ' ' && !after_space && inside && letters.get(index + 1) != Some(&' ') && column(out) > WIDTH) {
            Some(indent) => {
                out.push('\n');
                pad(out, indent);
            }
            None if letter == '\'' && quoted => out.push_str("''"),
            None => out.push(letter),
        }
        after_space = letter == ' ';
    }
}

enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

impl Style {
    fn of(content: &str) -> Self {
        if content.is_empty() {
            return Self::Double;
        }
        let facts = Facts::of(content);
        if content.contains('\n') {
            return if facts.block_allowed { Self::Literal } else { Self::Double };
        }
        if !scalar::stays_text(content) {
            return Self::Double;
        }
        match (facts.plain_allowed, facts.single_allowed) {
            (true, _) => Self::Plain,
            (false, true) => Self::Single,
            (false, false) => Self::Double,
        }
    }
}

struct Facts {
    plain_allowed: bool,
    single_allowed: bool,
    block_allowed: bool,
}

impl Facts {
    fn of(content: &str) -> Self {
        let letters: Vec<char> = content.chars().collect();
        let is_break = |letter: char| matches!(letter, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
        let blank = |letter: Option<&char>| letter.is_none_or(|letter| matches!(letter, ' ' | '\t'));
        let mut indicators = content.starts_with("---") || content.starts_with("...");
        let (mut special, mut line_breaks, mut break_space, mut space_break) = (false, false, false, false);
        let (mut previous_space, mut previous_break, mut preceded) = (false, false, true);
        for (index, &letter) in letters.iter().enumerate() {
            let followed = blank(letters.get(index + 1));
            indicators |= match (index, letter) {
                (0, '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`') => true,
                (0, '?' | '-') | (_, ':') => followed,
                (_, '#') => preceded,
                _ => false,
            };
            special |= !printable(letter);
            if letter == ' ' {
                break_space |= previous_break;
                (previous_space, previous_break) = (true, false);
            } else if is_break(letter) {
                line_breaks = true;
                space_break |= previous_space;
                (previous_space, previous_break) = (false, true);
            } else {
                (previous_space, previous_break) = (false, false);
            }
            preceded = blank(Some(&letter)) || is_break(letter);
        }
        let edge = |letter: Option<&char>| letter.is_some_and(|letter| *letter == ' ' || is_break(*letter));
        let trailing_space = letters.last() == Some(&' ');
        let hard = space_break || special;
        Self {
            plain_allowed: !(indicators || hard || break_space || line_breaks || edge(letters.first()) || edge(letters.last())),
            single_allowed: !(hard || break_space),
            block_allowed: !(hard || trailing_space),
        }
    }
}

/// `is_printable` of the library: neither a tab nor anything above U+FFFF is.
fn printable(letter: char) -> bool {
    matches!(letter as u32, 0x0a | 0x20..=0x7e | 0xa0..=0xd7ff | 0xe000..=0xfffd) && letter != '\u{feff}'
}

fn single(out: &mut String, content: &str, indent: Option<usize>) {
    out.push('\'');
    folded(out, content, indent, true);
    out.push('\'');
}

fn double(out: &mut String, content: &str, indent: Option<usize>) {
    out.push('"');
    let letters: Vec<char> = content.chars().collect();
    let mut after_space = false;
    for (index, &letter) in letters.iter().enumerate() {
        let inside = index > 0 && index + 1 < letters.len();
        let broken = indent.filter(|_| letter == ' ' && !after_space && inside && column(out) > WIDTH);
        after_space = letter == ' ';
        if let Some(indent) = broken {
            out.push('\n');
            pad(out, indent);
            if letters.get(index + 1) == Some(&' ') {
                out.push('\\');
            }
            continue;
        }
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\0' => out.push_str("\\0"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\x0b' => out.push_str("\\v"),
            '\x0c' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\x1b' => out.push_str("\\e"),
            '\u{85}' => out.push_str("\\N"),
            '\u{2028}' => out.push_str("\\L"),
            '\u{2029}' => out.push_str("\\P"),
            letter if printable(letter) => out.push(letter),
            letter if (letter as u32) <= 0xff => drop(write!(out, "\\x{:02X}", letter as u32)),
            letter if (letter as u32) <= 0xffff => drop(write!(out, "\\u{:04X}", letter as u32)),
            letter => drop(write!(out, "\\U{:08X}", letter as u32)),
        }
    }
    out.push('"');
}

fn literal(out: &mut String, content: &str, indent: usize) {
    out.push('|');
    if content.starts_with([' ', '\n']) {
        out.push('2');
    }
    if !content.ends_with('\n') {
        out.push('-');
    } else if content == "\n" || content.ends_with("\n\n") {
        out.push('+');
    }
    for line in content.strip_suffix('\n').unwrap_or(content).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            pad(out, indent);
            out.push_str(line);
        }
    }
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// go-yaml's order of keys: letters after everything else, numbers inside of names by their size.
fn natural(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(at) = a.iter().zip(&b).position(|(a, b)| a != b) else { return a.len().cmp(&b.len()) };
    match (a[at].is_alphabetic(), b[at].is_alphabetic()) {
        (true, true) => return a[at].cmp(&b[at]),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    // Zeros inside of a number (`1002`) are digits of it; those before it are not.
    let inside =
        (a[at] == '0' || b[at] == '0') && a[..at].iter().rev().take_while(|letter| letter.is_numeric()).any(|letter| *letter != '0');
    let number = |letters: &[char]| {
        let digits: Vec<char> = letters[at..].iter().copied().take_while(char::is_ascii_digit).collect();
        let value = digits
            .iter()
            .fold(i64::from(inside), |value, digit| value.wrapping_mul(10).wrapping_add(i64::from(*digit as u32 - '0' as u32)));
        (value, digits.len())
    };
    number(&a).cmp(&number(&b)).then(a[at].cmp(&b[at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yaml(json: serde_json::Value) -> String {
        to_yaml(&Value::from_json(&json))
    }

    #[test]
    fn keys_stand_in_natural_order_and_lists_are_not_indented() {
        let json = serde_json::json!({"b10": 1, "b9": [1, {"y": [], "x": {}}, [2, [3]]], "B": 1.5, "_": null, "a": {"k": true}});
        assert_eq!(yaml(json), "_: null\nB: 1.5\na:\n  k: true\nb9:\n- 1\n- x: {}\n  \"y\": []\n- - 2\n  - - 3\nb10: 1");
    }

    #[test]
    fn texts_are_quoted_where_a_reader_would_take_them_for_something_else() {
        let cases = [
            ("plain", "plain"),
            ("yes", "\"yes\""),
            ("12", "\"12\""),
            ("", "\"\""),
            ("a: b", "'a: b'"),
            ("a #b", "'a #b'"),
            ("- x", "'- x'"),
            ("it's", "it's"),
            ("'x'", "'''x'''"),
            (" x", "' x'"),
            ("a\tb", "\"a\\tb\""),
            ("{x}", "'{x}'"),
            ("ü", "ü"),
            ("a\u{1}", "\"a\\x01\""),
            ("12:30", "\"12:30\""),
            ("2024-01-01", "\"2024-01-01\""),
            ("a:b", "a:b"),
            ("*x", "'*x'"),
            ("-x", "-x"),
            ("---x", "'---x'"),
            ("😀", "\"\\U0001F600\""),
        ];
        for (text, expected) in cases {
            assert_eq!(yaml(text.into()), expected, "{text:?}");
        }
    }

    #[test]
    fn texts_of_many_lines_are_literal_blocks() {
        assert_eq!(
            yaml(serde_json::json!({"a": {"k": "one\ntwo\n"}, "b": "x\n\ny", "c": " lead\n", "d": "x\n\n", "e": "x \ny"})),
            "a:\n  k: |\n    one\n    two\nb: |-\n  x\n\n  y\nc: |2\n   lead\nd: |+\n  x\n\ne: \"x \\ny\""
        );
    }
}
