//! A mapping as Python's `repr` writes it: `{'a': 1, "b": [True, None]}`.

use crate::program::{Key, Map, Value};

/// The mapping, if the whole text is one.
pub fn mapping(text: &str) -> Option<Value> {
    let mut reader = Reader { rest: text.trim_end(), depth: 0 };
    let value = reader.value()?;
    (reader.rest.is_empty() && value.as_map().is_some()).then_some(value)
}

/// Containers inside of each other, at most.
const DEPTH: usize = 64;

struct Reader<'text> {
    rest: &'text str,
    depth: usize,
}

impl Reader<'_> {
    fn value(&mut self) -> Option<Value> {
        self.rest = self.rest.trim_start();
        match self.rest.chars().next()? {
            '{' => self.inside(|reader| {
                let mut entries = Map::new();
                while !reader.ends('}')? {
                    let key = Key::from_value(&reader.value()?)?;
                    if !reader.takes(':') {
                        return None;
                    }
                    entries.insert(key, reader.value()?);
                    reader.separated('}')?;
                }
                Some(Value::map(entries))
            }),
            '[' => self.items(']').map(Value::list),
            '(' => self.items(')').map(Value::list),
            quote @ ('\'' | '"') => self.text(quote),
            _ => self.word(),
        }
    }

    /// What stands behind an opening bracket.
    fn inside(&mut self, read: impl FnOnce(&mut Self) -> Option<Value>) -> Option<Value> {
        self.rest = self.rest.get(1..)?;
        self.depth += 1;
        let value = if self.depth > DEPTH { None } else { read(self) };
        self.depth -= 1;
        value
    }

    fn items(&mut self, end: char) -> Option<Vec<Value>> {
        let mut items = Vec::new();
        self.inside(|reader| {
            while !reader.ends(end)? {
                items.push(reader.value()?);
                reader.separated(end)?;
            }
            Some(Value::Null)
        })?;
        Some(items)
    }

    fn takes(&mut self, letter: char) -> bool {
        self.rest = self.rest.trim_start();
        let rest = self.rest.strip_prefix(letter);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Whether the closing bracket comes next, which is then taken. `None`: nothing comes.
    fn ends(&mut self, end: char) -> Option<bool> {
        let ends = self.takes(end);
        (ends || !self.rest.is_empty()).then_some(ends)
    }

    /// A comma, or the closing bracket, which stays.
    fn separated(&mut self, end: char) -> Option<()> {
        (self.takes(',') || self.rest.starts_with(end)).then_some(())
    }

    fn text(&mut self, quote: char) -> Option<Value> {
        let mut text = String::new();
        let mut letters = self.rest.char_indices().skip(1);
        while let Some((at, letter)) = letters.next() {
            match letter {
                '\\' => match letters.next()?.1 {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    'r' => text.push('\r'),
                    letter @ ('\\' | '\'' | '"') => text.push(letter),
                    letter => text.extend(['\\', letter]),
                },
                letter if letter == quote => {
                    self.rest = self.rest.get(at + 1..)?;
                    return Some(Value::text(text));
                }
                letter => text.push(letter),
            }
        }
        None
    }

    fn word(&mut self) -> Option<Value> {
        let end = self.rest.find([',', ':', ']', '}', ')', ' ', '\n', '\t']).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(match word {
            "True" => Value::Bool(true),
            "False" => Value::Bool(false),
            "None" => Value::Null,
            _ if word.starts_with(|letter: char| letter.is_ascii_digit() || matches!(letter, '-' | '+' | '.')) => {
                word.parse().map(Value::Int).or_else(|_| word.parse().map(Value::Float)).ok()?
            }
            _ => return None,
        })
    }
}
