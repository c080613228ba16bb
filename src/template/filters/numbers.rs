//! Numbers: rounding, powers, sizes for people.

use super::super::arguments::{Bound, text};
use super::super::evaluate::Context;
use super::super::methods::as_float;
use super::super::{Error, Result, operators};
use super::Filter;
use crate::program::Value;
use crate::program::value::Number;

pub const FILTERS: &[Filter] = &[
    Filter::new("abs", &[], abs),
    Filter::new("human_readable", &["isbits", "unit"], human_readable),
    Filter::new("human_to_bytes", &["default_unit", "isbits"], human_to_bytes),
    Filter::new("log", &["base"], log),
    Filter::new("pow", &["y!"], |_, input, given| {
        Ok(Value::Float(number(&input, "pow")?.powf(number(&given.value(0, Value::Null), "pow")?)))
    }),
    Filter::new("root", &["base"], root),
    Filter::new("round", &["precision", "method"], round),
];

fn number(value: &Value, filter: &str) -> Result<f64> {
    operators::known(value)?;
    as_float(value).map_err(|_| Error::failed(format!("{filter}() can only be used on numbers")).hint("add `| int` or `| float`"))
}

fn abs(_: &Context, input: Value, _: Bound) -> Result<Value> {
    match input.number() {
        Some(Number::Int(number)) => Ok(Value::Int(number.saturating_abs())),
        Some(Number::Float(number)) => Ok(Value::Float(number.abs())),
        None => Err(Error::failed(format!("bad operand type for abs(): '{}'", input.type_name()))),
    }
}

fn log(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let value = number(&input, "log")?;
    if value <= 0.0 {
        return Err(Error::failed("math domain error"));
    }
    Ok(Value::Float(match given.some(0) {
        None => value.ln() / std::f64::consts::E.ln(),
        Some(base) => {
            let base = number(base, "log")?;
            if base == 10.0 { value.log10() } else { value.ln() / base.ln() }
        }
    }))
}

fn root(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let value = number(&input, "root")?;
    let base = given.some(0).map_or(Ok(2.0), |base| number(base, "root"))?;
    let result = if base == 2.0 { value.sqrt() } else { value.powf(1.0 / base) };
    if result.is_nan() { Err(Error::failed("root() can only be used on numbers")) } else { Ok(Value::Float(result)) }
}

fn round(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let precision = given.integer(0, 0)?;
    let value = as_float(&input)?;
    let factor = 10f64.powi(i32::try_from(precision).unwrap_or(0));
    let rounded = match given.text(1, "common")?.as_str() {
        // Python rounds an integer to an integer, a float by its decimal digits, half to even.
        "common" if precision >= 0 => {
            if let Value::Int(_) = input {
                return Ok(input);
            }
            let digits = usize::try_from(precision).unwrap_or(0);
            return Ok(Value::Float(format!("{value:.digits$}").parse().unwrap_or(value)));
        }
        "common" => {
            let scaled = value * factor;
            let even = (scaled / 2.0).round() * 2.0;
            let nearest = if (scaled - scaled.trunc()).abs() == 0.5 { even } else { scaled.round() };
            let result = nearest / factor;
            return Ok(if let Value::Int(_) = input { Value::Int(result as i64) } else { Value::Float(result) });
        }
        "ceil" => (value * factor).ceil() / factor,
        "floor" => (value * factor).floor() / factor,
        _ => return Err(Error::failed("method must be common, ceil or floor")),
    };
    Ok(Value::Float(rounded))
}

/// Units by their letter, largest first.
const UNITS: [(char, f64); 9] = [
    ('Y', 1_208_925_819_614_629_174_706_176.0),
    ('Z', 1_180_591_620_717_411_303_424.0),
    ('E', 1_152_921_504_606_846_976.0),
    ('P', 1_125_899_906_842_624.0),
    ('T', 1_099_511_627_776.0),
    ('G', 1_073_741_824.0),
    ('M', 1_048_576.0),
    ('K', 1024.0),
    ('B', 1.0),
];

fn human_readable(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let size = as_float(&input).map_err(|_| Error::failed("human_readable() failed on bad input").hint("add `| int`"))?;
    let bits = given.truth(0, false)?;
    let unit = given.some(1).map(text).transpose()?.map(|unit| unit.to_uppercase());
    let (letter, limit) = UNITS
        .into_iter()
        .find(|(letter, limit)| match &unit {
            Some(unit) => *unit == letter.to_string(),
            None => size >= *limit,
        })
        .unwrap_or(('B', 1.0));
    let name =
        if limit > 1.0 { format!("{letter}{}", if bits { 'b' } else { 'B' }) } else { (if bits { "bits" } else { "Bytes" }).to_owned() };
    Ok(Value::text(format!("{:.2} {name}", size / limit)))
}

fn human_to_bytes(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let default = given.text(0, "")?;
    bytes_of(&text(&input)?, Some(&default), given.truth(1, false)?).map(Value::Int)
}

/// A size as people write it (`2 GB`) in bytes, or bits. `default`: the unit of a bare number.
pub fn bytes_of(whole: &str, default: Option<&str>, bits: bool) -> Result<i64> {
    let wrong = || Error::failed(format!("human_to_bytes() can't interpret following string: {whole}"));
    let trimmed = whole.trim_end();
    let end = trimmed.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(trimmed.len());
    let (digits, unit) = trimmed.split_at(end);
    let number: f64 = digits.parse().map_err(|_| wrong())?;
    let unit = unit.trim_start();
    if digits.ends_with('.') || !unit.chars().all(|letter| letter.is_ascii_alphabetic()) {
        return Err(wrong());
    }
    let unit = if unit.is_empty() { default.unwrap_or_default() } else { unit };
    let Some(first) = unit.chars().next() else { return Ok(number.round_ties_even() as i64) };
    let Some((letter, limit)) = UNITS.into_iter().find(|(letter, _)| *letter == first.to_ascii_uppercase()) else {
        return Err(Error::failed(format!(
            "human_to_bytes() failed to convert {whole} (unit = {unit}). The suffix must be one of Y, Z, E, P, T, G, M, K, B"
        )));
    };
    if unit.len() > 1 {
        let long = match letter {
            'B' => "",
            'K' => "kilo",
            'M' => "mega",
            'G' => "giga",
            'T' => "tera",
            'P' => "peta",
            'E' => "exa",
            'Z' => "zeta",
            _ => "yotta",
        };
        let word = format!("{long}{}", if bits { "bit" } else { "byte" });
        let short =
            if letter == 'B' { (if bits { "b" } else { "B" }).to_owned() } else { format!("{letter}{}", if bits { 'b' } else { 'B' }) };
        if unit.to_lowercase() != word && unit != short {
            return Err(Error::failed(format!(
                "human_to_bytes() failed to convert {whole}. Value is not a valid string (expect {short} or {letter})"
            )));
        }
    }
    Ok((number * limit).round_ties_even() as i64)
}
