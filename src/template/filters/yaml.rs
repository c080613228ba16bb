//! YAML 1.1 as PyYAML reads and writes it (with libyaml, which Ansible takes where it can).

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use super::super::arguments::Bound;
use super::super::evaluate::Context;
use super::super::{Error, Result, operators, python};
use super::Filter;
use crate::program::timestamp::Timestamp;
use crate::program::{Key, Map, Value};

const DUMP: &[&str] =
    &["indent", "width", "sort_keys", "default_flow_style", "allow_unicode", "explicit_start", "explicit_end", "line_break", "canonical"];

pub const FILTERS: &[Filter] = &[
    Filter::new("from_yaml", &[], from_yaml),
    Filter::new("from_yaml_all", &[], from_yaml_all),
    Filter::new("to_nice_yaml", DUMP, |_, input, given| dump(&input, &given, 4, Flow::Never)),
    Filter::new("to_yaml", DUMP, |_, input, given| dump(&input, &given, 2, Flow::Leaves)),
];

fn from_yaml(_: &Context, input: Value, _: Bound) -> Result<Value> {
    match &input {
        Value::Text(text) => {
            let mut documents = load(text.as_str())?;
            if documents.len() > 1 {
                return Err(Error::failed("expected a single document in the stream but found another document").hint("use from_yaml_all"));
            }
            Ok(documents.pop().unwrap_or_default())
        }
        _ => Ok(input),
    }
}

fn from_yaml_all(_: &Context, input: Value, _: Bound) -> Result<Value> {
    match &input {
        Value::Null => Ok(Value::list(Vec::new())),
        Value::Text(text) => load(text.as_str()).map(Value::list),
        _ => Ok(input),
    }
}

/// A container that is being read.
enum Open {
    List(Vec<Value>, usize),
    Map(Map, Option<Value>, Vec<Value>, usize),
}

/// All documents of a text.
pub fn load(text: &str) -> Result<Vec<Value>> {
    let mut documents = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    let mut anchors: HashMap<usize, Value> = HashMap::new();
    let mut inside = false;
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|error| Error::failed(format!("malformed YAML: {error}")))?;
        let done = match event {
            Event::DocumentStart(_) => {
                inside = true;
                continue;
            }
            Event::DocumentEnd => {
                if inside {
                    documents.push(Value::Null);
                }
                inside = false;
                continue;
            }
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar(&text, style, tag.as_deref())?;
                (value, anchor)
            }
            Event::SequenceStart(anchor, _) => {
                open.push(Open::List(Vec::new(), anchor));
                continue;
            }
            Event::MappingStart(anchor, _) => {
                open.push(Open::Map(Map::new(), None, Vec::new(), anchor));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(items, anchor)) => (Value::list(items), anchor),
                Some(Open::Map(entries, _, merged, anchor)) => (Value::map(with_merged(entries, &merged)), anchor),
                None => continue,
            },
            Event::Alias(anchor) => {
                let value = anchors.get(&anchor).cloned().ok_or_else(|| Error::failed("malformed YAML: an alias without an anchor"))?;
                (value, 0)
            }
            _ => continue,
        };
        let (value, anchor) = done;
        if anchor > 0 {
            anchors.insert(anchor, value.clone());
        }
        match open.last_mut() {
            None => {
                documents.push(value);
                inside = false;
            }
            Some(Open::List(items, _)) => items.push(value),
            Some(Open::Map(entries, waiting, merged, _)) => match waiting.take() {
                None => *waiting = Some(value),
                Some(Value::Text(key)) if key.as_str() == MERGE => merged.push(value),
                Some(key) => {
                    let key = Key::from_value(&key).ok_or_else(|| Error::failed("malformed YAML: found unhashable key"))?;
                    entries.insert(key, value);
                }
            },
        }
    }
    Ok(documents)
}

/// Stands for a plain `<<` key.
const MERGE: &str = "\u{1}<<";

fn with_merged(entries: Map, merged: &[Value]) -> Map {
    if merged.is_empty() {
        return entries;
    }
    let mut output = Map::new();
    let sources = merged.iter().flat_map(|source| match source {
        Value::List(items) => items.to_vec(),
        single => vec![single.clone()],
    });
    for source in sources {
        if let Value::Map(source) = source {
            for (key, value) in source.iter() {
                output.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
    }
    output.extend(entries);
    output
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value> {
    if let Some(tag) = tag {
        let name = if tag.handle == "tag:yaml.org,2002:" || tag.handle == "!!" { tag.suffix.as_str() } else { "" };
        return match name {
            "str" => Ok(text.into()),
            "int" | "float" | "bool" | "null" => Ok(plain(text).unwrap_or_else(|| text.into())),
            "" if matches!(tag.suffix.as_str(), "unsafe" | "vault") || (tag.handle.is_empty() && tag.suffix == "!") => Ok(text.into()),
            _ => Err(Error::failed(format!("could not determine a constructor for the tag '{}{}'", tag.handle, tag.suffix))),
        };
    }
    if style != ScalarStyle::Plain {
        return Ok(text.into());
    }
    if text == "<<" {
        return Ok(MERGE.into());
    }
    let date = || Timestamp::read(text)?.printed().map(Value::from);
    Ok(plain(text).or_else(date).unwrap_or_else(|| text.into()))
}

/// What YAML 1.1 makes of a plain scalar that is no string: null, booleans, integers, floats.
fn plain(text: &str) -> Option<Value> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Some(Value::Null),
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Some(Value::Bool(true)),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Some(Value::Bool(false)),
        ".nan" | ".NaN" | ".NAN" => return Some(Value::Float(f64::NAN)),
        _ => {}
    }
    let (negative, body) = match text.strip_prefix('-') {
        Some(body) => (true, body),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if matches!(body, ".inf" | ".Inf" | ".INF") {
        return Some(Value::Float(if negative { f64::NEG_INFINITY } else { f64::INFINITY }));
    }
    if !body.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None;
    }
    let sign = |number: i64| Value::Int(if negative { -number } else { number });
    let clean = body.replace('_', "");
    let digits = |text: &str, radix: u32| (!text.is_empty()).then(|| i64::from_str_radix(text, radix).ok()).flatten();
    if let Some(rest) = clean.strip_prefix("0b") {
        return digits(rest, 2).map(sign);
    }
    if let Some(rest) = clean.strip_prefix("0x") {
        return digits(rest, 16).map(sign);
    }
    if clean == "0" {
        return Some(Value::Int(0));
    }
    if clean.len() > 1 && clean.starts_with('0') && clean.bytes().all(|byte| (b'0'..=b'7').contains(&byte)) {
        return digits(&clean[1..], 8).map(sign);
    }
    if clean.bytes().all(|byte| byte.is_ascii_digit()) && !clean.starts_with('0') {
        return digits(&clean, 10).map(sign);
    }
    if clean.contains(':') {
        return sexagesimal(&clean).map(|value| match value {
            Value::Int(number) => sign(number),
            Value::Float(number) => Value::Float(if negative { -number } else { number }),
            other => other,
        });
    }
    // A float needs a dot; an exponent needs a sign.
    let mantissa = clean.split(['e', 'E']).next().unwrap_or("");
    let exponent = clean.split_once(['e', 'E']).map(|(_, exponent)| exponent);
    let exponent_fits = exponent.is_none_or(|exponent| {
        exponent.starts_with(['+', '-']) && exponent.len() > 1 && exponent[1..].bytes().all(|byte| byte.is_ascii_digit())
    });
    let dots = mantissa.matches('.').count();
    if dots == 1 && exponent_fits && mantissa.len() > 1 && mantissa.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        let number: f64 = clean.trim_end_matches('.').parse().ok()?;
        return Some(Value::Float(if negative { -number } else { number }));
    }
    None
}

/// YAML 1.1's numbers of base 60: `190:20:30`.
fn sexagesimal(text: &str) -> Option<Value> {
    let parts: Vec<&str> = text.split(':').collect();
    let (last, heads) = parts.split_last()?;
    let mut total = 0i64;
    for (index, head) in heads.iter().enumerate() {
        let number: i64 = head.parse().ok()?;
        if head.is_empty()
            || head.starts_with(['+', '-'])
            || (index > 0 && number > 59)
            || (index == 0 && head.len() > 1 && head.starts_with('0') && !last.contains('.'))
        {
            return None;
        }
        total = total.checked_mul(60)?.checked_add(number)?;
    }
    let whole = last.split('.').next()?;
    if whole.is_empty() || whole.len() > 2 || whole.parse::<i64>().ok()? > 59 || whole.starts_with(['+', '-']) {
        return None;
    }
    if last.contains('.') {
        let fraction: f64 = last.parse().ok()?;
        return Some(Value::Float(total as f64 * 60.0 + fraction));
    }
    Some(Value::Int(total.checked_mul(60)?.checked_add(whole.parse().ok()?)?))
}

/// When containers are written in one line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Always,
    Never,
    /// Those that hold only plain scalars.
    Leaves,
}

fn dump(input: &Value, given: &Bound, indent: usize, flow: Flow) -> Result<Value> {
    let indent = given.count(0, indent)?;
    let mut emitter = Emitter {
        output: String::new(),
        column: 0,
        indents: Vec::new(),
        indent: None,
        // PyYAML accepts 2 to 9 and a width over twice that.
        best_indent: if (2..10).contains(&indent) { indent } else { 2 },
        best_width: given.count(1, 80)?,
        whitespace: true,
        indention: true,
        flow_level: 0,
        sort_keys: given.truth(2, true)?,
        flow: match given.get(3) {
            Some(Value::Bool(true)) => Flow::Always,
            Some(Value::Bool(false)) => Flow::Never,
            Some(Value::Null) => Flow::Leaves,
            _ => flow,
        },
        unicode: given.truth(4, true)?,
    };
    if emitter.best_width <= emitter.best_indent * 2 {
        emitter.best_width = 80;
    }
    if given.truth(5, false)? {
        emitter.indicator("---", true, false, false);
    }
    emitter.node(input, Place::Root)?;
    emitter.write_indent();
    if given.truth(6, false)? {
        emitter.indicator("...", true, false, false);
        emitter.write_indent();
    }
    Ok(Value::text(emitter.output))
}

/// Where a node stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    Sequence,
    Mapping,
    Key,
}

/// PyYAML's emitter, as far as plain data reaches it.
struct Emitter {
    output: String,
    column: usize,
    indents: Vec<Option<usize>>,
    indent: Option<usize>,
    best_indent: usize,
    best_width: usize,
    whitespace: bool,
    indention: bool,
    flow_level: usize,
    sort_keys: bool,
    flow: Flow,
    unicode: bool,
}

/// What a text allows.
struct Analysis {
    empty: bool,
    multiline: bool,
    flow_plain: bool,
    block_plain: bool,
    single_quoted: bool,
}

const BREAKS: [char; 4] = ['\n', '\u{85}', '\u{2028}', '\u{2029}'];

impl Emitter {
    fn put(&mut self, text: &str) {
        self.output.push_str(text);
        self.column += text.chars().count();
    }

    fn line_break(&mut self) {
        self.whitespace = true;
        self.indention = true;
        self.column = 0;
        self.output.push('\n');
    }

    fn write_indent(&mut self) {
        let indent = self.indent.unwrap_or(0);
        if !self.indention || self.column > indent || (self.column == indent && !self.whitespace) {
            self.line_break();
        }
        if self.column < indent {
            self.whitespace = true;
            let spaces = " ".repeat(indent - self.column);
            self.put(&spaces);
        }
    }

    fn indicator(&mut self, indicator: &str, need_whitespace: bool, whitespace: bool, indention: bool) {
        if !self.whitespace && need_whitespace {
            self.put(" ");
        }
        self.whitespace = whitespace;
        self.indention = self.indention && indention;
        self.put(indicator);
    }

    fn increase_indent(&mut self, flow: bool, indentless: bool) {
        self.indents.push(self.indent);
        match self.indent {
            None => self.indent = Some(if flow { self.best_indent } else { 0 }),
            Some(indent) if !indentless => self.indent = Some(indent + self.best_indent),
            Some(_) => {}
        }
    }

    fn decrease_indent(&mut self) {
        self.indent = self.indents.pop().flatten();
    }

    /// Whether a scalar would be written plain, as PyYAML's representer sees it: only texts with a forced style are not.
    fn is_leaf(value: &Value) -> bool {
        !matches!(value, Value::List(_) | Value::Tuple(_) | Value::Map(_))
    }

    fn in_flow<'value>(&self, mut members: impl Iterator<Item = &'value Value>) -> bool {
        match self.flow {
            Flow::Always => true,
            Flow::Never => false,
            Flow::Leaves => members.all(Self::is_leaf),
        }
    }

    fn node(&mut self, value: &Value, place: Place) -> Result<()> {
        operators::known(value)?;
        match value {
            Value::List(items) | Value::Tuple(items) => {
                if self.flow_level > 0 || items.is_empty() || self.in_flow(items.iter()) {
                    self.flow_sequence(items)
                } else {
                    self.block_sequence(items, place)
                }
            }
            Value::Map(entries) if super::time::is_time(entries) => {
                let text = super::time::shown(entries);
                self.scalar_plain(&text, place);
                Ok(())
            }
            Value::Map(entries) => {
                let mut pairs: Vec<(&Key, &Value)> = entries.iter().collect();
                if self.sort_keys {
                    // Python sorts only what it can compare.
                    let comparable = pairs.iter().all(|(key, _)| matches!(key, Key::Text(_)))
                        || pairs.iter().all(|(key, _)| matches!(key, Key::Int(_) | Key::Bool(_)));
                    if comparable {
                        pairs.sort_by(|a, b| a.0.cmp(b.0));
                    }
                }
                if self.flow_level > 0 || pairs.is_empty() || self.in_flow(entries.values()) {
                    self.flow_mapping(&pairs)
                } else {
                    self.block_mapping(&pairs)
                }
            }
            Value::Null => {
                self.scalar_plain("null", place);
                Ok(())
            }
            Value::Bool(truth) => {
                self.scalar_plain(if *truth { "true" } else { "false" }, place);
                Ok(())
            }
            Value::Int(number) => {
                self.scalar_plain(&number.to_string(), place);
                Ok(())
            }
            Value::Float(number) => {
                let text = if number.is_nan() {
                    ".nan".to_owned()
                } else if number.is_infinite() {
                    (if *number > 0.0 { ".inf" } else { "-.inf" }).to_owned()
                } else {
                    let text = python::float(*number);
                    if !text.contains('.') && text.contains('e') { text.replacen('e', ".0e", 1) } else { text }
                };
                self.scalar_plain(&text, place);
                Ok(())
            }
            Value::Text(text) => {
                self.text(text.as_str(), place);
                Ok(())
            }
            other => Err(Error::failed(format!("cannot write '{}' as YAML", other.type_name()))),
        }
    }

    fn flow_sequence(&mut self, items: &[Value]) -> Result<()> {
        self.indicator("[", true, true, false);
        self.flow_level += 1;
        self.increase_indent(true, false);
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.indicator(",", false, false, false);
            }
            if self.column > self.best_width {
                self.write_indent();
            }
            self.node(item, Place::Sequence)?;
        }
        self.decrease_indent();
        self.flow_level -= 1;
        self.indicator("]", false, false, false);
        Ok(())
    }

    fn flow_mapping(&mut self, pairs: &[(&Key, &Value)]) -> Result<()> {
        self.indicator("{", true, true, false);
        self.flow_level += 1;
        self.increase_indent(true, false);
        for (index, (key, value)) in pairs.iter().enumerate() {
            if index > 0 {
                self.indicator(",", false, false, false);
            }
            if self.column > self.best_width {
                self.write_indent();
            }
            self.key_and_value(key, value)?;
        }
        self.decrease_indent();
        self.flow_level -= 1;
        self.indicator("}", false, false, false);
        Ok(())
    }

    fn key_and_value(&mut self, key: &Key, value: &Value) -> Result<()> {
        let key = key.value();
        if simple_key(&key, self.unicode) {
            self.node(&key, Place::Key)?;
            self.indicator(":", false, false, false);
        } else {
            self.indicator("?", true, false, self.flow_level == 0);
            self.node(&key, Place::Mapping)?;
            if self.flow_level == 0 || self.column > self.best_width {
                self.write_indent();
            }
            self.indicator(":", true, false, self.flow_level == 0);
        }
        self.node(value, Place::Mapping)
    }

    fn block_sequence(&mut self, items: &[Value], place: Place) -> Result<()> {
        let indentless = place == Place::Mapping && !self.indention;
        self.increase_indent(false, indentless);
        for item in items {
            self.write_indent();
            self.indicator("-", true, false, true);
            self.node(item, Place::Sequence)?;
        }
        self.decrease_indent();
        Ok(())
    }

    fn block_mapping(&mut self, pairs: &[(&Key, &Value)]) -> Result<()> {
        self.increase_indent(false, false);
        for (key, value) in pairs {
            self.write_indent();
            self.key_and_value(key, value)?;
        }
        self.decrease_indent();
        Ok(())
    }

    /// Scalars of other types than text: always plain.
    fn scalar_plain(&mut self, text: &str, place: Place) {
        self.increase_indent(true, false);
        self.write_plain(text, place != Place::Key);
        self.decrease_indent();
    }

    fn text(&mut self, text: &str, place: Place) {
        let analysis = analyze(text, self.unicode);
        let key = place == Place::Key;
        self.increase_indent(true, false);
        let resolves_to_text = !special(text);
        let plain_fits = if self.flow_level > 0 { analysis.flow_plain } else { analysis.block_plain };
        if resolves_to_text && plain_fits && !(key && (analysis.empty || analysis.multiline)) {
            self.write_plain(text, !key);
        } else if analysis.single_quoted && !(key && analysis.multiline) {
            self.write_single_quoted(text, !key);
        } else {
            self.write_double_quoted(text, !key);
        }
        self.decrease_indent();
    }

    fn write_plain(&mut self, text: &str, split: bool) {
        if text.is_empty() {
            return;
        }
        if !self.whitespace {
            self.put(" ");
        }
        self.whitespace = false;
        self.indention = false;
        for (index, part) in runs(text).into_iter().enumerate() {
            let single_space = part == " ";
            if single_space && index > 0 && self.column > self.best_width && split {
                self.write_indent();
                self.whitespace = false;
                self.indention = false;
            } else {
                self.put(part);
            }
        }
    }

    fn write_single_quoted(&mut self, text: &str, split: bool) {
        self.indicator("'", true, false, false);
        let parts = runs(text);
        let count = parts.len();
        for (index, part) in parts.into_iter().enumerate() {
            if part.starts_with(BREAKS) {
                if part.starts_with('\n') {
                    self.line_break();
                }
                for letter in part.chars() {
                    if letter == '\n' { self.line_break() } else { self.put(letter.encode_utf8(&mut [0; 4])) }
                }
                self.write_indent();
            } else if part == " " && self.column > self.best_width && split && index > 0 && index + 1 < count {
                self.write_indent();
            } else {
                self.put(&part.replace('\'', "''"));
            }
        }
        self.indicator("'", false, false, false);
    }

    fn write_double_quoted(&mut self, text: &str, split: bool) {
        self.indicator("\"", true, false, false);
        let letters: Vec<char> = text.chars().collect();
        let mut start = 0;
        for end in 0..=letters.len() {
            let letter = letters.get(end).copied();
            let escape = letter.is_none_or(|letter| {
                "\"\\\u{85}\u{2028}\u{2029}\u{feff}".contains(letter)
                    || !((' '..='~').contains(&letter)
                        || (self.unicode && (('\u{a0}'..='\u{d7ff}').contains(&letter) || ('\u{e000}'..='\u{fffd}').contains(&letter))))
            });
            if escape {
                if start < end {
                    let part: String = letters[start..end].iter().collect();
                    self.put(&part);
                    start = end;
                }
                if let Some(letter) = letter {
                    let code = letter as u32;
                    let escaped = match letter {
                        '\0' => "\\0".to_owned(),
                        '\u{7}' => "\\a".to_owned(),
                        '\u{8}' => "\\b".to_owned(),
                        '\t' => "\\t".to_owned(),
                        '\n' => "\\n".to_owned(),
                        '\u{b}' => "\\v".to_owned(),
                        '\u{c}' => "\\f".to_owned(),
                        '\r' => "\\r".to_owned(),
                        '\u{1b}' => "\\e".to_owned(),
                        '"' => "\\\"".to_owned(),
                        '\\' => "\\\\".to_owned(),
                        '\u{85}' => "\\N".to_owned(),
                        '\u{a0}' => "\\_".to_owned(),
                        '\u{2028}' => "\\L".to_owned(),
                        '\u{2029}' => "\\P".to_owned(),
                        _ if code <= 0xff => format!("\\x{code:02X}"),
                        _ if code <= 0xffff => format!("\\u{code:04X}"),
                        _ => format!("\\U{code:08X}"),
                    };
                    self.put(&escaped);
                    start = end + 1;
                }
            }
            let last = letters.len().saturating_sub(1);
            if end > 0
                && end < last
                && (letter == Some(' ') || start >= end)
                && self.column + end.saturating_sub(start) > self.best_width
                && split
            {
                let part: String = letters[start.min(end)..end].iter().collect();
                if start < end {
                    start = end;
                }
                self.put(&(part + "\\"));
                self.write_indent();
                self.whitespace = false;
                self.indention = false;
                if letters.get(start) == Some(&' ') {
                    self.put("\\");
                }
            }
        }
        self.indicator("\"", false, false, false);
    }
}

/// The text in runs of spaces, of line breaks, and of all else.
fn runs(text: &str) -> Vec<&str> {
    let kind = |letter: char| {
        if letter == ' ' {
            0
        } else if BREAKS.contains(&letter) {
            1
        } else {
            2
        }
    };
    let mut runs = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|letter| kind(letter) != kind(first)).unwrap_or(rest.len());
        runs.push(&rest[..end]);
        rest = &rest[end..];
    }
    runs
}

fn simple_key(key: &Value, unicode: bool) -> bool {
    match key {
        Value::Text(text) => text.as_str().len() <= 128 && !analyze(text.as_str(), unicode).multiline,
        _ => true,
    }
}

/// Whether YAML 1.1 would read the plain text as something else than a text.
fn special(text: &str) -> bool {
    plain(text).is_some() || matches!(text, "<<" | "=") || Timestamp::read(text).is_some()
}

/// PyYAML's `analyze_scalar`.
fn analyze(text: &str, unicode: bool) -> Analysis {
    if text.is_empty() {
        return Analysis { empty: true, multiline: false, flow_plain: false, block_plain: true, single_quoted: true };
    }
    let letters: Vec<char> = text.chars().collect();
    let white = |letter: Option<&char>| letter.is_none_or(|letter| "\0 \t\r\n\u{85}\u{2028}\u{2029}".contains(*letter));
    let starts_document = text.starts_with("---") || text.starts_with("...");
    let (mut block, mut flow) = (starts_document, starts_document);
    let (mut breaks, mut unprintable) = (false, false);
    let (mut leading, mut trailing, mut break_space, mut space_break) = (false, false, false, false);
    let (mut previous_space, mut previous_break, mut after_white) = (false, false, true);
    for (index, letter) in letters.iter().copied().enumerate() {
        let before_white = white(letters.get(index + 1));
        let last = index + 1 == letters.len();
        if index == 0 {
            if "#,[]{}&*!|>'\"%@`".contains(letter) {
                flow = true;
                block = true;
            }
            if "?:".contains(letter) {
                flow = true;
                block |= before_white;
            }
            if letter == '-' && before_white {
                flow = true;
                block = true;
            }
        } else {
            if ",?[]{}".contains(letter) {
                flow = true;
            }
            if letter == ':' {
                flow = true;
                block |= before_white;
            }
            if letter == '#' && after_white {
                flow = true;
                block = true;
            }
        }
        breaks |= BREAKS.contains(&letter);
        if !(letter == '\n' || (' '..='~').contains(&letter)) {
            let allowed = (letter == '\u{85}' || ('\u{a0}'..='\u{d7ff}').contains(&letter) || ('\u{e000}'..='\u{fffd}').contains(&letter))
                && letter != '\u{feff}';
            unprintable |= !(allowed && unicode);
        }
        if letter == ' ' {
            leading |= index == 0;
            trailing |= last;
            break_space |= previous_break;
            previous_space = true;
            previous_break = false;
        } else if BREAKS.contains(&letter) {
            leading |= index == 0;
            trailing |= last;
            space_break |= previous_space;
            previous_space = false;
            previous_break = true;
        } else {
            previous_space = false;
            previous_break = false;
        }
        after_white = white(Some(&letter));
    }
    let plain = !(leading || trailing || break_space || space_break || unprintable || breaks);
    Analysis {
        empty: false,
        multiline: breaks,
        flow_plain: plain && !flow,
        block_plain: plain && !block,
        single_quoted: !(break_space || space_break || unprintable),
    }
}
