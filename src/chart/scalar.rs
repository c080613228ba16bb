//! The types of plain YAML scalars as Helm reads them: go-yaml 2, which is YAML 1.1 with some of 1.2.
//!
//! Source: go.yaml.in/yaml/v2, resolve.go (`resolve`) and encode.go (`isBase60Float`).

use super::value::Value;

/// What an unquoted text means. Numbers are floats, as they are after Helm's way through JSON; dates stay texts.
pub fn plain(text: &str) -> Value {
    match kind(text) {
        Kind::Null => Value::Nil,
        Kind::Bool(truth) => Value::Bool(truth),
        Kind::Number(number) => Value::Float(number),
        Kind::Text | Kind::Date => Value::text(text),
    }
}

/// Whether a text read without quotes would still be this text; the writer quotes what would not. Dates and `12:30` are quoted too.
pub fn stays_text(text: &str) -> bool {
    matches!(kind(text), Kind::Text) && !base_60(text)
}

enum Kind {
    Null,
    Bool(bool),
    Number(f64),
    Date,
    Text,
}

fn kind(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Kind::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Kind::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Kind::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Kind::Number(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Kind::Number(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Kind::Number(f64::NEG_INFINITY),
        _ => {}
    }
    match text.as_bytes().first() {
        Some(b'.') if text[1..].starts_with(|letter: char| letter.is_ascii_digit()) => text.parse().map_or(Kind::Text, Kind::Number),
        Some(b'0'..=b'9' | b'+' | b'-') if date(text) => Kind::Date,
        Some(b'0'..=b'9' | b'+' | b'-') => number(&text.replace('_', "")).map_or(Kind::Text, Kind::Number),
        _ => Kind::Text,
    }
}

/// `strconv.ParseInt(text, 0, 64)`, then a float of YAML's form.
fn number(text: &str) -> Option<f64> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    let radix = |prefixes: [&str; 2], radix| {
        let rest = prefixes.iter().find_map(|prefix| digits.strip_prefix(prefix))?;
        let digit = rest.starts_with(|letter: char| letter.is_ascii_hexdigit());
        digit.then(|| u64::from_str_radix(rest, radix).ok()).flatten()
    };
    let octal = || {
        digits
            .strip_prefix('0')
            .filter(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|rest| u64::from_str_radix(rest, 8).ok())
    };
    let whole = radix(["0x", "0X"], 16)
        .or_else(|| radix(["0o", "0O"], 8))
        .or_else(|| radix(["0b", "0B"], 2))
        .or_else(|| if digits.len() > 1 && digits.starts_with('0') { octal() } else { None })
        .or_else(|| {
            digits
                .bytes()
                .all(|byte| byte.is_ascii_digit())
                .then(|| digits.parse::<u64>().ok())
                .flatten()
                .filter(|_| digits.len() == 1 || !digits.starts_with('0'))
        });
    if let Some(whole) = whole {
        return Some(if negative { -(whole as f64) } else { whole as f64 });
    }
    let form = |digits: &str| {
        let mantissa_end = digits.find(['e', 'E']).unwrap_or(digits.len());
        let (mantissa, exponent) = digits.split_at(mantissa_end);
        let (head, tail) = mantissa.split_once('.').map_or((mantissa, None), |(head, tail)| (head, Some(tail)));
        let number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let exponent = exponent.get(1..).map(|rest| rest.strip_prefix(['-', '+']).unwrap_or(rest));
        number(head)
            && tail.is_none_or(number)
            && (!head.is_empty() || tail.is_some_and(|tail| !tail.is_empty()))
            && exponent.is_none_or(|digits| !digits.is_empty() && number(digits))
    };
    if form(digits) { text.parse().ok() } else { None }
}

/// Four digits, then `-M-D`, with or without a time: what go-yaml takes for a timestamp.
fn date(text: &str) -> bool {
    let (day, time) = text.split_at(text.find(['T', 't', ' ']).unwrap_or(text.len()));
    let parts: Vec<&str> = day.split('-').collect();
    let [year, month, day] = parts[..] else { return false };
    let within = |part: &str, most: u32| {
        part.len() <= 2
            && part.parse::<u32>().is_ok_and(|number| (1..=most).contains(&number))
            && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let digits = |part: &str| (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    let clock = || {
        let time = &time[1..];
        let end = time.find(['Z', '+']).or_else(|| time.rfind('-')).unwrap_or(time.len());
        let zoned = end < time.len();
        let fields: Vec<&str> = time[..end].split(':').collect();
        let [hour, minute, second] = fields[..] else { return false };
        let second = second.split_once('.').map_or(second, |(whole, _)| whole);
        digits(hour) && digits(minute) && digits(second) && zoned != text.contains(' ')
    };
    year.len() == 4
        && year.bytes().all(|byte| byte.is_ascii_digit())
        && within(month, 12)
        && within(day, 31)
        && (time.is_empty() || clock())
}

/// `12:30:45`: base 60 in YAML 1.1, a text for go-yaml, which quotes it for other readers' sake.
fn base_60(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (text, fraction) = text.split_once('.').map_or((text, ""), |(head, fraction)| (head, fraction));
    let mut fields = text.split(':');
    let head = fields.next().unwrap_or_default();
    let rest: Vec<&str> = fields.collect();
    let digit_or_line = |part: &str| part.bytes().all(|byte| byte == b'_' || byte.is_ascii_digit());
    let sixtieth = |part: &&str| match part.as_bytes() {
        [digit] => digit.is_ascii_digit(),
        [tens, digit] => (b'0'..=b'5').contains(tens) && digit.is_ascii_digit(),
        _ => false,
    };
    head.starts_with(|letter: char| letter.is_ascii_digit())
        && digit_or_line(head)
        && digit_or_line(fraction)
        && !rest.is_empty()
        && rest.iter().all(sixtieth)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::print;

    #[test]
    fn plain_scalars_are_typed_as_go_yaml_does() {
        let cases = [
            ("12", "12"),
            ("0644", "420"),
            ("0o14", "12"),
            ("08", "8"),
            ("1_000", "1000"),
            ("0x1F", "31"),
            ("-0b11", "-3"),
            ("1e3", "1000"),
            ("1.5", "1.5"),
            ("1.", "1"),
            (".5", "0.5"),
            ("+3", "3"),
            ("y", "true"),
            ("Off", "false"),
            ("~", "<nil>"),
            ("1000000", "1e+06"),
        ];
        for (text, expected) in cases {
            let value = plain(text);
            assert!(!matches!(value, Value::Text(_)), "{text} is no text");
            assert_eq!(print::plain(&value), expected, "{text}");
        }
        for text in ["12:30", "2024-01-01", "1.2.3", "v1", "-", "+", "e3", "0x", "1e", "yEs", ".", "..", "-.", "100m", "1Gi", "0xzz", ".e3"]
        {
            assert!(matches!(plain(text), Value::Text(_)), "{text} is a text");
        }
    }

    #[test]
    fn texts_that_would_be_read_as_something_else_need_quotes() {
        for text in ["", "yes", "n", "12", "1e3", "12:30", "2024-01-01", "2024-1-1 12:00:00", "~"] {
            assert!(!stays_text(text), "{text:?}");
        }
        for text in ["a", "12:99", "1.2.3", "2024-13-01", "v1.36.4", "100m"] {
            assert!(stays_text(text), "{text:?}");
        }
    }
}
