//! The types of plain scalars: YAML 1.1 as PyYAML reads it, which is what every playbook was written for.

use base64::Engine as _;

use super::Scalar;
use crate::program::Value;
use crate::program::timestamp::Timestamp;

/// The scalar's value. A date is a text as Python prints it; a number too long for 64 bits does too (it reads the same).
pub fn scalar(scalar: &Scalar, tag: Option<&str>) -> Value {
    let text = &*scalar.text;
    match tag {
        Some("!!str" | "!vault" | "!vault-encrypted") => Value::text(scalar.text.clone()),
        Some("!!int") => int(text).unwrap_or_else(|| Value::text(scalar.text.clone())),
        Some("!!float") => float(text).or_else(|| text.parse().ok().map(Value::Float)).unwrap_or_else(|| Value::text(scalar.text.clone())),
        Some("!!bool") => bool(text).map_or_else(|| Value::text(scalar.text.clone()), Value::Bool),
        Some("!!null") => Value::Null,
        Some("!!binary") => {
            let packed: String = text.split_whitespace().collect();
            let bytes = base64::engine::general_purpose::STANDARD.decode(packed).unwrap_or_default();
            Value::text(String::from_utf8_lossy(&bytes).into_owned())
        }
        // `!unsafe` keeps the type that the plain text has.
        _ if scalar.plain => plain(text).or_else(|| date(text)).unwrap_or_else(|| Value::text(scalar.text.clone())),
        _ => Value::text(scalar.text.clone()),
    }
}

/// The value of a plain text that is not a text.
pub fn plain(text: &str) -> Option<Value> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Some(Value::Null),
        _ => {}
    }
    // Only these letters start anything but a text.
    if !text.starts_with(|letter: char| letter.is_ascii_digit() || "+-.yYnNtTfFoO".contains(letter)) {
        return None;
    }
    bool(text).map(Value::Bool).or_else(|| int(text)).or_else(|| float(text))
}

/// `2024-1-2 3:04:05`, as it is printed.
fn date(text: &str) -> Option<Value> {
    Timestamp::read(text)?.printed().map(Value::from)
}

/// `yes`, `No`, `TRUE`, `off`, …; `y`, `n` and mixed case are texts.
pub fn bool(text: &str) -> Option<bool> {
    match text {
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

/// `12`, `1_000`, `0x1f`, `0644` (octal), `0b11`, `12:30` (base 60). `08` and `0o14` are texts.
fn int(text: &str) -> Option<Value> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let all = |part: &str, allowed: fn(u8) -> bool| !part.is_empty() && part.bytes().all(|byte| byte == b'_' || allowed(byte));
    let radix = |part: &str, radix| {
        let plain = part.replace('_', "");
        i64::from_str_radix(&plain, radix).ok()
    };
    let number = if let Some(binary) = digits.strip_prefix("0b").filter(|part| all(part, |byte| matches!(byte, b'0' | b'1'))) {
        radix(binary, 2)?
    } else if let Some(hex) = digits.strip_prefix("0x").filter(|part| all(part, |byte| byte.is_ascii_hexdigit())) {
        radix(hex, 16)?
    } else if digits == "0" {
        0
    } else if let Some(octal) = digits.strip_prefix('0') {
        if !all(octal, |byte| matches!(byte, b'0'..=b'7')) {
            return None;
        }
        radix(octal, 8)?
    } else if digits.as_bytes().first()?.is_ascii_digit() {
        match digits.split_once(':') {
            None if all(digits, |byte| byte.is_ascii_digit()) => radix(digits, 10)?,
            Some((head, rest)) if all(head, |byte| byte.is_ascii_digit()) => sexagesimal(radix(head, 10)?, rest)?,
            _ => return None,
        }
    } else {
        return None;
    };
    Some(Value::Int(if negative { number.checked_neg()? } else { number }))
}

/// `30` or `30:15` after `12:`.
fn sexagesimal(mut number: i64, rest: &str) -> Option<i64> {
    for part in rest.split(':') {
        number = number.checked_mul(60)?.checked_add(sixtieth(part)?)?;
    }
    Some(number)
}

/// `[0-5]?[0-9]`.
fn sixtieth(part: &str) -> Option<i64> {
    let fits = match part.as_bytes() {
        [digit] => digit.is_ascii_digit(),
        [tens, digit] => (b'0'..=b'5').contains(tens) && digit.is_ascii_digit(),
        _ => false,
    };
    if fits { part.parse().ok() } else { None }
}

/// `1.5`, `1.`, `.5`, `1.0e+3` (an exponent needs its sign), `12:30.5`, `.inf`, `.nan`.
fn float(text: &str) -> Option<Value> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    match digits {
        ".inf" | ".Inf" | ".INF" => return Some(Value::Float(sign * f64::INFINITY)),
        ".nan" | ".NaN" | ".NAN" if digits.len() == text.len() => return Some(Value::Float(f64::NAN)),
        _ => {}
    }
    let (head, fraction) = digits.split_once('.')?;
    let number = |part: &str| part.bytes().all(|byte| byte == b'_' || byte.is_ascii_digit());
    if let Some((first, rest)) = head.split_once(':') {
        if !first.starts_with(|letter: char| letter.is_ascii_digit()) || !number(first) || !number(fraction) {
            return None;
        }
        let whole = sexagesimal(first.replace('_', "").parse().ok()?, rest)?;
        let part: f64 = format!("0.{}", fraction.replace('_', "")).parse().ok()?;
        return Some(Value::Float(sign * (whole as f64 + part)));
    }
    let (mantissa, exponent) = match fraction.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (fraction, None),
    };
    if !number(head) || !number(mantissa) {
        return None;
    }
    if let Some(exponent) = exponent {
        let digits = exponent.strip_prefix(['+', '-'])?;
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
    }
    // `.5` may not have a sign in PyYAML's pattern, and needs a digit after the point.
    if head.is_empty() {
        if digits.len() != text.len() || !mantissa.starts_with(|letter: char| letter.is_ascii_digit()) {
            return None;
        }
    } else if head.starts_with('_') {
        return None;
    }
    let plain = format!(
        "{}.{}{}",
        if head.is_empty() { "0" } else { head },
        if mantissa.is_empty() { "0" } else { mantissa },
        exponent.map(|exponent| format!("e{exponent}")).unwrap_or_default()
    );
    plain.replace('_', "").parse().ok().map(|number: f64| Value::Float(sign * number))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each pair was read by PyYAML 6 (`yaml.safe_load`).
    #[test]
    fn plain_scalars_are_typed_as_pyyaml_types_them() {
        let ints = [
            ("0", 0),
            ("-0", 0),
            ("12", 12),
            ("+12", 12),
            ("1_000", 1000),
            ("0644", 420),
            ("0x1F", 31),
            ("0b101", 5),
            ("12:30", 750),
            ("1:02:03", 3723),
            ("-1:30", -90),
            ("00", 0),
            ("0_7", 7),
        ];
        for (text, number) in ints {
            assert_eq!(plain(text), Some(Value::Int(number)), "{text}");
        }
        let floats = [
            ("1.5", 1.5),
            ("1.", 1.0),
            (".5", 0.5),
            ("1.0e+3", 1000.0),
            ("-2.5E-1", -0.25),
            ("1_0.5", 10.5),
            ("1:30.5", 90.5),
            (".inf", f64::INFINITY),
            ("-.INF", f64::NEG_INFINITY),
            ("0.0", 0.0),
        ];
        for (text, number) in floats {
            assert!(
                matches!(plain(text), Some(Value::Float(read)) if (read - number).abs() < 1e-9 || read.is_infinite() && read.signum().to_bits() == number.signum().to_bits()),
                "{text}: {:?}",
                plain(text)
            );
        }
        for text in ["yes", "Yes", "YES", "true", "on", "ON"] {
            assert_eq!(plain(text), Some(Value::Bool(true)), "{text}");
        }
        for text in ["no", "Off", "FALSE"] {
            assert_eq!(plain(text), Some(Value::Bool(false)), "{text}");
        }
        for text in ["", "~", "null", "NULL"] {
            assert_eq!(plain(text), Some(Value::Null), "{text:?}");
        }
        for text in [
            "y",
            "n",
            "yEs",
            "08",
            "0o14",
            "1e3",
            "1.0e3",
            "12:60",
            "2024-01-01",
            "1.2.3",
            "-",
            "+",
            ".",
            "-.5",
            "0x",
            "10.0.0.1",
            "1:2:",
            "--1",
            "99999999999999999999",
            "_1",
            "1e",
            "12:30:",
            "tru",
            "e1",
            "0.0.0",
            "1.5e+",
            "nan",
        ] {
            assert_eq!(plain(text), None, "{text}");
        }
    }
}
