//! Values of INI inventories: Python literals, as `ast.literal_eval` reads them; anything else is a text.

use crate::program::{Key, Map, Value};

/// The value of a text that is a Python literal: `5`, `0x1f`, `'a'`, `[1, 'b']`, `{'a': None}`, `True`. `None` where it is not one:
/// then Ansible takes the text as it stands. Tuples and sets become lists, bytes texts.
pub fn parse(text: &str) -> Option<Value> {
    let mut reader = Reader { rest: text.trim_start_matches([' ', '\t']), depth: 0 };
    let value = reader.tuple_or_value(None)?;
    reader.skip();
    // A comment ends it.
    (reader.rest.is_empty() || reader.rest.starts_with('#')).then_some(value)
}

struct Reader<'text> {
    rest: &'text str,
    depth: usize,
}

impl Reader<'_> {
    fn skip(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\u{c}']);
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// `1, 2` without parentheses is a tuple too.
    fn tuple_or_value(&mut self, end: Option<&str>) -> Option<Value> {
        let first = self.value()?;
        if !self.take(",") {
            return Some(first);
        }
        let mut items = vec![first];
        loop {
            self.skip();
            if self.rest.is_empty() || end.is_some_and(|end| self.rest.starts_with(end)) {
                return Some(Value::list(items));
            }
            items.push(self.value()?);
            if !self.take(",") {
                return Some(Value::list(items));
            }
        }
    }

    fn value(&mut self) -> Option<Value> {
        self.skip();
        self.depth += 1;
        if self.depth > 90 {
            return None;
        }
        let value = self.inner();
        self.depth -= 1;
        value
    }

    fn inner(&mut self) -> Option<Value> {
        match self.rest.chars().next()? {
            '[' => {
                self.take("[");
                self.items("]").map(Value::list)
            }
            '(' => {
                self.take("(");
                if self.take(")") {
                    return Some(Value::list(Vec::new()));
                }
                let value = self.tuple_or_value(Some(")"))?;
                self.take(")").then_some(value)
            }
            '{' => self.braces(),
            '+' | '-' => {
                let negative = self.rest.starts_with('-');
                self.rest = &self.rest[1..];
                self.skip();
                if !self.rest.starts_with(|letter: char| letter.is_ascii_digit() || letter == '.') {
                    return None;
                }
                match (self.value()?, negative) {
                    (Value::Int(number), true) => number.checked_neg().map(Value::Int),
                    (Value::Float(number), true) => Some(Value::Float(-number)),
                    (number @ (Value::Int(_) | Value::Float(_)), false) => Some(number),
                    _ => None,
                }
            }
            first if first.is_ascii_digit() || first == '.' => self.number(),
            _ => self.word(),
        }
    }

    fn items(&mut self, end: &str) -> Option<Vec<Value>> {
        let mut items = Vec::new();
        while !self.take(end) {
            items.push(self.value()?);
            if !self.take(",") {
                return self.take(end).then_some(items);
            }
        }
        Some(items)
    }

    /// A mapping or a set.
    fn braces(&mut self) -> Option<Value> {
        self.take("{");
        if self.take("}") {
            return Some(Value::map(Map::new()));
        }
        let first = self.value()?;
        if !self.take(":") {
            let mut items = vec![first];
            if self.take(",") {
                items.extend(self.items("}")?);
            } else if !self.take("}") {
                return None;
            }
            return Some(Value::list(items));
        }
        let mut map = Map::new();
        let mut key = first;
        loop {
            let value = self.value()?;
            map.insert(Key::from_value(&key)?, value);
            if !self.take(",") {
                return self.take("}").then(|| Value::map(map));
            }
            if self.take("}") {
                return Some(Value::map(map));
            }
            key = self.value()?;
            if !self.take(":") {
                return None;
            }
        }
    }

    fn number(&mut self) -> Option<Value> {
        if let Some(rest) = self.rest.strip_prefix("...") {
            self.rest = rest;
            return Some(Value::text("..."));
        }
        let mut end = 0;
        let bytes = self.rest.as_bytes();
        while end < bytes.len() {
            let sign = matches!(bytes[end], b'+' | b'-') && matches!(bytes[end - 1], b'e' | b'E') && !self.rest.starts_with("0x");
            if !(bytes[end].is_ascii_alphanumeric() || bytes[end] == b'_' || bytes[end] == b'.' || end > 0 && sign) {
                break;
            }
            end += 1;
        }
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        // Underscores stand between digits only.
        if text.ends_with('_') || text.contains("__") || text.contains("_.") || text.contains("._") {
            return None;
        }
        let plain = text.replace('_', "");
        let lower = plain.to_ascii_lowercase();
        for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
            if let Some(digits) = lower.strip_prefix(prefix) {
                return i64::from_str_radix(digits, radix).ok().map(Value::Int);
            }
        }
        if plain.bytes().all(|byte| byte.is_ascii_digit()) {
            // `0644` is an error in Python 3: it stays a text.
            if plain.len() > 1 && plain.starts_with('0') && plain.bytes().any(|byte| byte != b'0') {
                return None;
            }
            return Some(plain.parse().map_or_else(|_| Value::text(plain.clone()), Value::Int));
        }
        if lower.ends_with('j') || !lower.bytes().all(|byte| byte.is_ascii_digit() || b".e+-".contains(&byte)) {
            return None;
        }
        lower.parse().ok().map(Value::Float)
    }

    fn word(&mut self) -> Option<Value> {
        let end = self.rest.find(|letter: char| !(letter.is_alphanumeric() || letter == '_')).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        if rest.starts_with(['\'', '"']) {
            return self.texts();
        }
        self.rest = rest;
        match word {
            "True" => Some(Value::Bool(true)),
            "False" => Some(Value::Bool(false)),
            "None" => Some(Value::Null),
            _ => None,
        }
    }

    /// One text, or several that stand beside each other.
    fn texts(&mut self) -> Option<Value> {
        let mut text = self.text()?;
        loop {
            self.skip();
            let end = self.rest.find(|letter: char| !letter.is_ascii_alphabetic()).unwrap_or(self.rest.len());
            if !self.rest[end..].starts_with(['\'', '"']) {
                return Some(Value::text(text));
            }
            text.push_str(&self.text()?);
        }
    }

    fn text(&mut self) -> Option<String> {
        let end = self.rest.find(['\'', '"'])?;
        let prefix = self.rest[..end].to_ascii_lowercase();
        if !matches!(prefix.as_str(), "" | "r" | "u" | "b" | "br" | "rb") {
            return None;
        }
        let raw = prefix.contains('r');
        let body = &self.rest[end..];
        let quote = if body.starts_with("'''") || body.starts_with("\"\"\"") { &body[..3] } else { &body[..1] };
        let mut out = String::new();
        let mut letters = body[quote.len()..].char_indices();
        while let Some((index, letter)) = letters.next() {
            if body[quote.len() + index..].starts_with(quote) {
                self.rest = &body[quote.len() * 2 + index..];
                return Some(out);
            }
            if letter != '\\' {
                out.push(letter);
                continue;
            }
            let (_, escaped) = letters.next()?;
            if raw {
                out.push('\\');
                out.push(escaped);
                continue;
            }
            let mut hex = |digits: usize| {
                let code: String = letters.by_ref().take(digits).map(|(_, digit)| digit).collect();
                u32::from_str_radix(&code, 16).ok().and_then(char::from_u32)
            };
            match escaped {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                'r' => out.push('\r'),
                'a' => out.push('\u{7}'),
                'b' => out.push('\u{8}'),
                'f' => out.push('\u{c}'),
                'v' => out.push('\u{b}'),
                '0' => out.push('\0'),
                'x' => out.push(hex(2)?),
                'u' => out.push(hex(4)?),
                'U' => out.push(hex(8)?),
                '\\' | '\'' | '"' => out.push(escaped),
                other => {
                    out.push('\\');
                    out.push(other);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each pair was read by Python's `ast.literal_eval` as Ansible uses it.
    #[test]
    fn python_literals_are_typed() {
        let json = |text: &str| parse(text).map(|value| value.to_json(true).to_string());
        for (text, expected) in [
            ("5", "5"),
            ("-5", "-5"),
            ("1_000", "1000"),
            ("0x1F", "31"),
            ("0o17", "15"),
            ("1.5e3", "1500.0"),
            (".5", "0.5"),
            ("True", "true"),
            ("None", "null"),
            ("'a b'", r#""a b""#),
            ("\"it's\"", r#""it's""#),
            ("'a' 'b'", r#""ab""#),
            ("r'\\d'", r#""\\d""#),
            ("[1, 'b', [2,],]", r#"[1,"b",[2]]"#),
            ("{'a': 1, 'b': {'c': None}}", r#"{"a":1,"b":{"c":null}}"#),
            ("(1, 2)", "[1,2]"),
            ("1, 2", "[1,2]"),
            ("()", "[]"),
            ("(1)", "1"),
            ("{1, 2}", "[1,2]"),
            ("5 # five", "5"),
            ("'x\\ty\\u00e4'", "\"x\\tyä\""),
            ("00", "0"),
            ("b'raw'", "\"raw\""),
            ("{}", "{}"),
            ("'''a'b'''", r#""a'b""#),
            ("1e5", "100000.0"),
        ] {
            assert_eq!(json(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "yes",
            "true",
            "0644",
            "a b",
            "10.0.0.1",
            "{{ x }}",
            "'open",
            "[1",
            "1 2",
            "foo # bar",
            "--5",
            "/bin/sh",
            "",
            "1__0",
            "2024-01-01",
            "{a: 1}",
            "x'y'",
        ] {
            assert_eq!(json(text), None, "{text}");
        }
    }
}
