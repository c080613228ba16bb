//! `sequence`: numbers as texts.

use std::sync::OnceLock;

use fancy_regex::Regex;

use super::super::arguments::strict_text;
use super::super::{Error, Result, format, operators};
use crate::program::value::Number;
use crate::program::{Map, Value, free_form};

#[derive(Clone)]
struct Sequence {
    start: i64,
    end: Option<i64>,
    count: Option<i64>,
    stride: i64,
    format: String,
}

/// Terms `start=1 end=5 stride=2 format=%02d` (or `count=3`), in short `1-5/2:%02d`; options are what a term leaves out.
pub fn run(terms: &[Value], options: &Map) -> Result<Vec<Value>> {
    let mut base = Sequence { start: 1, end: None, count: None, stride: 1, format: "%d".to_owned() };
    // As ansible-core, others are passed over.
    for name in ["start", "end", "count", "stride", "format"] {
        options.get(name).map_or(Ok(()), |value| base.set(name, value))?;
    }
    if terms.is_empty() && !options.is_empty() {
        return base.values();
    }
    let mut found = Vec::new();
    for term in terms {
        let mut sequence = base.clone();
        sequence.read(strict_text(term).map_err(|error| error.hint("write it as a text: `'1-5'`, `'count=3'`"))?)?;
        found.extend(sequence.values()?);
    }
    Ok(found)
}

impl Sequence {
    fn set(&mut self, name: &str, value: &Value) -> Result<()> {
        match name {
            "start" => self.start = whole(name, value)?,
            "end" => self.end = Some(whole(name, value)?),
            "count" => self.count = Some(whole(name, value)?),
            "stride" => self.stride = whole(name, value)?,
            "format" => strict_text(value)?.clone_into(&mut self.format),
            other => {
                let error = Error::failed(format!("a sequence has no argument '{other}'"));
                return Err(error.hint("it takes start, end, count, stride and format"));
            }
        }
        Ok(())
    }

    fn read(&mut self, term: &str) -> Result<()> {
        static SHORT: OnceLock<Regex> = OnceLock::new();
        let short = SHORT.get_or_init(|| {
            Regex::new(r"(?i)^(?:(0?x?[0-9a-f]+)-)?(0?x?[0-9a-f]+)(?:/(0?x?[0-9a-f]+))?(?::(.+))?\n?$").expect("a regular expression")
        });
        if let Ok(Some(parts)) = short.captures(term) {
            for (index, name) in ["start", "end", "stride", "format"].into_iter().enumerate() {
                if let Some(part) = parts.get(index + 1) {
                    self.set(name, &part.as_str().into())?;
                }
            }
            return Ok(());
        }
        let parsed =
            free_form::parse(term, false).map_err(|_| Error::failed(format!("quotes or braces of the sequence do not close: {term}")))?;
        if let Some(rest) = parsed.rest {
            return Err(Error::failed(format!("a sequence is not written like this: {rest}"))
                .hint("write `1-5`, `1-10/2:node%02d`, or `start=5 end=1 stride=-2`, which negative numbers need"));
        }
        parsed.pairs.iter().try_for_each(|pair| self.set(&pair.key, &pair.value.as_str().into()))
    }

    fn values(&self) -> Result<Vec<Value>> {
        let end = match (self.count, self.end) {
            (None, None) => return Err(Error::failed("a sequence needs `count` or `end`")),
            (Some(_), Some(_)) => return Err(Error::failed("a sequence has `count` or `end`, not both")),
            (None, Some(end)) => end,
            (Some(0), None) => return Ok(Vec::new()),
            (Some(count), None) => count
                .checked_mul(self.stride)
                .and_then(|width| self.start.checked_add(width - 1))
                .ok_or_else(|| Error::failed(format!("a sequence of {count} numbers is too long")))?,
        };
        if self.stride > 0 && end < self.start {
            return Err(Error::failed(format!("a sequence from {} to {end} needs a negative stride", self.start)));
        }
        if self.stride < 0 && end > self.start {
            return Err(Error::failed(format!("a sequence from {} to {end} needs a positive stride", self.start)));
        }
        if self.stride == 0 {
            return Ok(Vec::new());
        }
        if self.format.matches('%').count() != 1 {
            return Err(Error::failed(format!("the format of a sequence has one `%`, unlike '{}'", self.format)));
        }
        let mut found = Vec::new();
        let mut number = self.start;
        while (self.stride > 0 && number <= end) || (self.stride < 0 && number >= end) {
            found.push(Value::text(format::percent(&self.format, &Value::Int(number))?));
            let Some(next) = number.checked_add(self.stride) else { break };
            number = next;
        }
        Ok(found)
    }
}

/// A whole number, or a text of one, in decimal digits: as ansible-core 2.19, which has no other ones here.
fn whole(name: &str, value: &Value) -> Result<i64> {
    operators::known(value)?;
    let of_float = |number: f64| (number.fract() == 0.0 && number.abs() < 1e15).then_some(number as i64);
    let number = match (value.number(), value.as_str()) {
        (Some(Number::Int(number)), _) => Some(number),
        (Some(Number::Float(number)), _) => of_float(number),
        (None, Some(text)) => text.trim().parse().ok().or_else(|| text.trim().parse().ok().and_then(of_float)),
        (None, None) => None,
    };
    let shown = || super::super::arguments::text(value).unwrap_or_else(|_| value.type_name().to_owned());
    number.ok_or_else(|| Error::failed(format!("'{name}' of a sequence is a whole number in decimal digits, unlike '{}'", shown())))
}
