//! `csvfile`: cells of tables, which are read as Python's `csv` reads them.

use std::iter::Peekable;
use std::str::Chars;

use super::super::arguments::strict_text;
use super::super::{Error, Result};
use super::options::Options;
use crate::program::{Map, Value, free_form};

const OPTIONS: &[&str] = &["col", "default", "delimiter", "encoding", "file", "keycol"];

/// Terms are what the column `keycol` holds, or `WORDS file=NAME delimiter=,`; `read` gives the text of a file of the project in an encoding.
pub fn run(terms: &[Value], given: &Map, read: &mut dyn FnMut(&str, &str) -> Result<String>) -> Result<Vec<Value>> {
    let no_key = || Error::failed("the 'csvfile' lookup needs the key of a row");
    let mut options = Options::new("csvfile", OPTIONS, given);
    if terms.is_empty() {
        return Err(no_key());
    }
    let mut found = Vec::new();
    for term in terms {
        let term = strict_text(term)?;
        let parsed = free_form::parse(term, false).map_err(|_| Error::failed(format!("quotes or braces do not close: {term}")))?;
        let key = parsed.rest.ok_or_else(no_key)?;
        for pair in &parsed.pairs {
            options.set(&pair.key, pair.value.as_str().into())?;
        }
        let delimiter = options.text("delimiter", "TAB")?;
        let mut letters = delimiter.chars();
        let delimiter = match (letters.next(), letters.next()) {
            _ if delimiter == "TAB" => '\t',
            (Some(letter), None) => letter,
            _ => return Err(Error::failed(format!("the delimiter of a table is one letter, unlike '{delimiter}'"))),
        };
        let (column, key_column) = (options.integer("col", 1)?, options.integer("keycol", 0)?);
        let file = options.text("file", "ansible.csv")?;
        // As Python opens a text: every end of a line is one.
        let text = read(&file, &options.text("encoding", "utf-8")?)?.replace("\r\n", "\n").replace('\r', "\n");
        let mut rows = Rows { letters: text.chars().peekable(), delimiter, line: 1 };
        let mut value = None;
        while let Some((line, row)) = rows.next() {
            if row.is_empty() {
                continue;
            }
            let cell = |column: i64| {
                let place = if column < 0 { row.len().checked_sub(column.unsigned_abs() as usize) } else { usize::try_from(column).ok() };
                place.and_then(|place| row.get(place)).ok_or_else(|| {
                    Error::failed(format!("{file}, line {line}: there is no column {column}, the row has {}", row.len()))
                        .hint("columns are counted from 0; is `delimiter` the right one?")
                })
            };
            if *cell(key_column)? == key {
                value = Some(Value::text(cell(column)?.clone()));
                break;
            }
        }
        match value.or_else(|| options.get("default").cloned()) {
            None | Some(Value::Null) => {}
            Some(Value::List(items)) => found.extend(items.iter().cloned()),
            Some(value) => found.push(value),
        }
    }
    Ok(found)
}

/// Python's dialect `excel`, with another delimiter.
struct Rows<'text> {
    letters: Peekable<Chars<'text>>,
    delimiter: char,
    line: usize,
}

impl Rows<'_> {
    /// A row with the number of its first line; `None`: the end.
    fn next(&mut self) -> Option<(usize, Vec<String>)> {
        self.letters.peek()?;
        let start = self.line;
        let (mut row, mut cell) = (Vec::new(), String::new());
        let (mut quoted, mut begun, mut any) = (false, false, false);
        loop {
            let letter = self.letters.next();
            match letter {
                Some('\n') => self.line += 1,
                None => quoted = false,
                _ => {}
            }
            match letter {
                Some('"') if quoted => {
                    if self.letters.next_if_eq(&'"').is_some() {
                        cell.push('"');
                    } else {
                        quoted = false;
                    }
                }
                Some(letter) if quoted => cell.push(letter),
                None | Some('\n') => {
                    // An empty line is no row of one empty cell.
                    if any {
                        row.push(cell);
                    }
                    return Some((start, row));
                }
                Some(letter) if letter == self.delimiter => {
                    row.push(std::mem::take(&mut cell));
                    (begun, any) = (false, true);
                    continue;
                }
                Some('"') if !begun => quoted = true,
                Some(letter) => cell.push(letter),
            }
            (begun, any) = (true, true);
        }
    }
}
