//! Numbers: conversions and arithmetic.

use super::{Fail, Function, any, exactly, integer};
use crate::chart::print;
use crate::chart::value::Value;

pub const FUNCTIONS: &[Function] = &[
    exactly("int", 1, |arguments| Ok(whole(&arguments[0]).into())),
    exactly("int64", 1, |arguments| Ok(whole(&arguments[0]).into())),
    exactly("float64", 1, |arguments| Ok(float(&arguments[0]).into())),
    exactly("atoi", 1, |arguments| Ok(super::text(arguments, 0)?.parse::<i64>().unwrap_or(0).into())),
    exactly("toDecimal", 1, |arguments| Ok(i64::from_str_radix(&print::plain(&arguments[0]), 8).unwrap_or(0).into())),
    any("add", 0, |arguments| Ok(arguments.iter().map(whole).fold(0, i64::wrapping_add).into())),
    exactly("add1", 1, |arguments| Ok(whole(&arguments[0]).wrapping_add(1).into())),
    exactly("sub", 2, |arguments| Ok(whole(&arguments[0]).wrapping_sub(whole(&arguments[1])).into())),
    any("mul", 1, |arguments| Ok(arguments.iter().map(whole).fold(1, i64::wrapping_mul).into())),
    exactly("div", 2, |arguments| divided(arguments, i64::checked_div)),
    exactly("mod", 2, |arguments| divided(arguments, i64::checked_rem)),
    any("max", 1, |arguments| Ok(arguments.iter().map(whole).max().unwrap_or(0).into())),
    any("biggest", 1, |arguments| Ok(arguments.iter().map(whole).max().unwrap_or(0).into())),
    any("min", 1, |arguments| Ok(arguments.iter().map(whole).min().unwrap_or(0).into())),
    any("maxf", 1, |arguments| Ok(arguments.iter().map(float).fold(f64::NEG_INFINITY, f64::max).into())),
    any("minf", 1, |arguments| Ok(arguments.iter().map(float).fold(f64::INFINITY, f64::min).into())),
    any("addf", 0, |arguments| Ok(arguments.iter().map(float).sum::<f64>().into())),
    any("mulf", 1, |arguments| Ok(arguments.iter().map(float).product::<f64>().into())),
    exactly("floor", 1, |arguments| Ok(float(&arguments[0]).floor().into())),
    exactly("ceil", 1, |arguments| Ok(float(&arguments[0]).ceil().into())),
    exactly("round", 2, |arguments| {
        let scale = 10_f64.powi(i32::try_from(integer(arguments, 1)?).unwrap_or(0));
        let digits = float(&arguments[0]) * scale;
        Ok((if digits.fract() >= 0.5 { digits.ceil() } else { digits.floor() } / scale).into())
    }),
];

/// `cast.ToInt64`: what is no number is 0.
pub fn whole(value: &Value) -> i64 {
    match value {
        Value::Int(number) => *number,
        Value::Float(number) => *number as i64,
        Value::Bool(truth) => i64::from(*truth),
        Value::Text(text) => {
            let text = text.split_once('.').filter(|(_, zeros)| zeros.bytes().all(|byte| byte == b'0')).map_or(&**text, |(head, _)| head);
            let digits = text.trim_start_matches(['-', '+']);
            let number = match digits.strip_prefix("0x") {
                Some(hex) => i64::from_str_radix(hex, 16),
                None if digits.starts_with('0') && digits.len() > 1 => i64::from_str_radix(digits.trim_start_matches('0'), 8),
                None => digits.parse(),
            };
            number.map_or(0, |number| if text.starts_with('-') { -number } else { number })
        }
        _ => 0,
    }
}

fn float(value: &Value) -> f64 {
    match value {
        Value::Float(number) => *number,
        Value::Text(text) => text.parse().unwrap_or(0.0),
        other => whole(other) as f64,
    }
}

fn divided(arguments: &[Value], divide: fn(i64, i64) -> Option<i64>) -> Result<Value, Fail> {
    divide(whole(&arguments[0]), whole(&arguments[1])).map(Value::from).ok_or_else(|| Fail::argument(1, "division by zero"))
}
