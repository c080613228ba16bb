//! How Go prints a value: `%v`, `printf`, numbers, quoted texts.

use std::fmt::Write as _;

use super::value::Value;

/// `%v`; nil is `<nil>`. (An action prints nil as `<no value>`, which Helm removes: see `evaluate`.)
pub fn plain(value: &Value) -> String {
    match value {
        Value::Nil => "<nil>".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => float(*number),
        Value::Text(text) => text.to_string(),
        Value::List(items) => format!("[{}]", items.iter().map(plain).collect::<Vec<_>>().join(" ")),
        Value::Map(entries) => {
            let pairs: Vec<String> = entries.borrow().iter().map(|(key, value)| format!("{key}:{}", plain(value))).collect();
            format!("map[{}]", pairs.join(" "))
        }
        // `.Capabilities.KubeVersion` is its version; of the others Go prints the fields.
        Value::Object(object) => object.fields.get("Version").filter(|_| object.name == ".Capabilities.KubeVersion").map_or_else(
            || format!("map[{}]", object.fields.iter().map(|(key, value)| format!("{key}:{}", plain(value))).collect::<Vec<_>>().join(" ")),
            plain,
        ),
    }
}

/// `strconv.FormatFloat(number, 'g', -1, 64)`: the shortest digits, an exponent below -4 and from 6 on: `1e+06`.
/// Source: `%e is used if …` in Go's internal/strconv/ftoa.go.
pub fn float(number: f64) -> String {
    general(number, 6)
}

/// The shortest digits with an exponent below -4 and from `limit` on.
fn general(number: f64, limit: i32) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -4 || exponent >= limit { with_exponent(digits, exponent) } else { format!("{number}") }
}

/// `1e+06`: a sign and two digits at least.
fn with_exponent(digits: &str, exponent: i32) -> String {
    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// `strconv.Quote`: `%q`.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            letter if (letter as u32) < 0x20 || letter as u32 == 0x7f => drop(write!(out, "\\x{:02x}", letter as u32)),
            letter if !printable(letter) && (letter as u32) < 0x1_0000 => drop(write!(out, "\\u{:04x}", letter as u32)),
            letter if !printable(letter) => drop(write!(out, "\\U{:08x}", letter as u32)),
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

/// Go's `unicode.IsPrint`, as far as texts of charts go: no controls, no spaces but U+0020, nothing unassigned of Rust's own list.
fn printable(letter: char) -> bool {
    !letter.is_control()
        && (letter == ' ' || !letter.is_whitespace())
        && !matches!(letter as u32, 0xad | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff | 0xe000..=0xf8ff)
}

/// One `%…` of a format: flags, width, precision, verb.
#[derive(Default)]
struct Verb {
    minus: bool,
    plus: bool,
    zero: bool,
    sharp: bool,
    space: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// `fmt.Sprintf`. Wrong verbs and missing arguments are printed into the text, as Go does.
pub fn printf(format: &str, arguments: &[Value]) -> String {
    let mut out = String::new();
    let mut next = 0;
    let mut letters = format.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        let mut verb = Verb::default();
        while let Some(flag) = letters.next_if(|letter| "-+0# ".contains(*letter)) {
            match flag {
                '-' => verb.minus = true,
                '+' => verb.plus = true,
                '0' => verb.zero = true,
                '#' => verb.sharp = true,
                _ => verb.space = true,
            }
        }
        let mut number = |letters: &mut std::iter::Peekable<std::str::Chars>| {
            if letters.next_if_eq(&'*').is_some() {
                next += 1;
                return match arguments.get(next - 1) {
                    Some(Value::Int(number)) => usize::try_from(*number).ok(),
                    _ => None,
                };
            }
            let mut digits = String::new();
            while let Some(digit) = letters.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            // A width above this only fills memory.
            digits.parse::<usize>().ok().map(|number| number.min(65_535))
        };
        verb.width = number(&mut letters);
        if letters.next_if_eq(&'.').is_some() {
            verb.precision = Some(number(&mut letters).unwrap_or(0));
        }
        match letters.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(name) => match arguments.get(next) {
                None => drop(write!(out, "%!{name}(MISSING)")),
                Some(value) => {
                    next += 1;
                    out.push_str(&verb.format(name, value));
                }
            },
        }
    }
    if next < arguments.len() {
        let extra: Vec<String> = arguments[next..]
            .iter()
            .map(|value| if matches!(value, Value::Nil) { "<nil>".to_owned() } else { format!("{}={}", value.type_name(), plain(value)) })
            .collect();
        let _ = write!(out, "%!(EXTRA {})", extra.join(", "));
    }
    out
}

impl Verb {
    fn format(&self, name: char, value: &Value) -> String {
        let text = match (name, value) {
            ('v', Value::Float(_) | Value::Int(_)) => return self.number(if matches!(value, Value::Int(_)) { 'd' } else { 'g' }, value),
            ('v', _) => plain(value),
            ('T', _) => value.type_name().to_owned(),
            ('t', Value::Bool(truth)) => truth.to_string(),
            ('s', Value::Text(text)) => self.cut(text),
            ('q', Value::Text(text)) => quoted(&self.cut(text)),
            ('x', Value::Text(text)) => hex::encode(text.as_bytes()),
            ('X', Value::Text(text)) => hex::encode_upper(text.as_bytes()),
            ('s' | 'q' | 'd' | 'x', Value::List(items)) => {
                format!("[{}]", items.iter().map(|item| self.format(name, item)).collect::<Vec<_>>().join(" "))
            }
            ('d' | 'b' | 'o' | 'x' | 'X' | 'c' | 'U' | 'q', Value::Int(_)) | ('e' | 'E' | 'f' | 'F' | 'g' | 'G', Value::Float(_)) => {
                return self.number(name, value);
            }
            (_, Value::Nil) => format!("%!{name}(<nil>)"),
            _ => format!("%!{name}({}={})", value.type_name(), plain(value)),
        };
        self.pad(text, false)
    }

    fn cut(&self, text: &str) -> String {
        self.precision.map_or_else(|| text.to_owned(), |most| text.chars().take(most).collect())
    }

    fn number(&self, name: char, value: &Value) -> String {
        let text = match (name, value) {
            ('d', Value::Int(number)) => number.to_string(),
            ('b', Value::Int(number)) => signed(*number, |number| format!("{number:b}")),
            ('o', Value::Int(number)) => signed(*number, |number| format!("{}{number:o}", if self.sharp { "0" } else { "" })),
            ('x', Value::Int(number)) => signed(*number, |number| format!("{}{number:x}", if self.sharp { "0x" } else { "" })),
            ('X', Value::Int(number)) => signed(*number, |number| format!("{}{number:X}", if self.sharp { "0X" } else { "" })),
            ('c' | 'q', Value::Int(number)) => {
                let letter = u32::try_from(*number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
                if name == 'q' { format!("'{letter}'") } else { letter.to_string() }
            }
            ('U', Value::Int(number)) => format!("U+{number:04X}"),
            (_, Value::Float(number)) => {
                let text = self.float(name, *number);
                if name.is_uppercase() { text.to_uppercase() } else { text }
            }
            _ => plain(value),
        };
        let signed = if text.starts_with(['-', '+']) {
            text
        } else if self.plus {
            format!("+{text}")
        } else if self.space {
            format!(" {text}")
        } else {
            text
        };
        self.pad(signed, self.zero && !self.minus)
    }

    fn float(&self, name: char, number: f64) -> String {
        if !number.is_finite() {
            return float(number);
        }
        match name.to_ascii_lowercase() {
            'f' => format!("{number:.*}", self.precision.unwrap_or(6)),
            'e' => {
                let text = format!("{number:.*e}", self.precision.unwrap_or(6));
                let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                with_exponent(digits, exponent.parse().unwrap_or(0))
            }
            _ => match self.precision {
                None => float(number),
                Some(precision) => {
                    let precision = precision.max(1);
                    let text = format!("{number:.*e}", precision - 1);
                    let exponent: i32 = text.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0);
                    let rounded: f64 = text.parse().unwrap_or(number);
                    if exponent < -4 || exponent >= precision as i32 { general(rounded, precision as i32) } else { format!("{rounded}") }
                }
            },
        }
    }

    fn pad(&self, text: String, zeros: bool) -> String {
        let missing = self.width.unwrap_or(0).saturating_sub(text.chars().count());
        if missing == 0 {
            return text;
        }
        if self.minus {
            return text + &" ".repeat(missing);
        }
        if !zeros {
            return " ".repeat(missing) + &text;
        }
        let (sign, digits) = if text.starts_with(['-', '+', ' ']) { text.split_at(1) } else { ("", text.as_str()) };
        format!("{sign}{}{digits}", "0".repeat(missing))
    }
}

fn signed(number: i64, digits: impl Fn(u64) -> String) -> String {
    format!("{}{}", if number < 0 { "-" } else { "" }, digits(number.unsigned_abs()))
}
