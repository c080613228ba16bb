//! From a place inside a template's text back to the user's file, exact for every YAML style.

use super::Sources;
use crate::program::{Span, Template};

impl Sources {
    /// The file's place of the character at `offset` (bytes) of the template's source. Quoted, folded and plain texts
    /// over several lines lose line ends, indentation and escapes when they are read: the file's text is walked beside
    /// the template's to find them again. Where that fails (an escape of another kind), the template's own start.
    pub fn locate(&self, template: &Template, offset: usize) -> Span {
        self.walk(template, offset).unwrap_or(template.span)
    }

    fn walk(&self, template: &Template, offset: usize) -> Option<Span> {
        let text = &self.file(template.span.file)?.text;
        let mut line = template.span.line;
        let mut column = template.span.column;
        let start = line_start(text, line)? + byte_of(text, line, column)?;
        let mut file = text[start..].char_indices().peekable();
        let quote = text[..start].chars().next_back().filter(|letter| matches!(letter, '"' | '\''));
        for (index, wanted) in template.source.char_indices() {
            // Where a line was folded, or its indentation taken away, the file has blanks that the template has not.
            loop {
                let (at, next) = *file.peek()?;
                let folds = next == '\n' || next == '\r' || (next == ' ' && wanted != ' ') || next == '\t' && wanted != '\t';
                let escaped_end = next == '\\' && quote == Some('"') && text[start + at..].starts_with("\\\n");
                if next == wanted && !(next == ' ' && ends_line(&text[start + at..])) {
                    break;
                }
                if escaped_end {
                    file.next();
                    column += 1;
                    continue;
                }
                if wanted == ' ' && next == '\n' {
                    break;
                }
                if !folds {
                    break;
                }
                advance(next, &mut line, &mut column);
                file.next();
            }
            if index >= offset {
                return Some(Span { line, column, ..template.span });
            }
            let (_, next) = file.next()?;
            if next == wanted {
                advance(next, &mut line, &mut column);
                if quote == Some('\'') && wanted == '\'' && file.peek().is_some_and(|(_, letter)| *letter == '\'') {
                    file.next();
                    column += 1;
                }
            } else if next == '\n' && wanted == ' ' {
                // One folded line end is one space; the next line's indentation is skipped with it.
                advance(next, &mut line, &mut column);
                while file.peek().is_some_and(|(_, letter)| *letter == ' ' || *letter == '\t') {
                    file.next();
                    column += 1;
                }
            } else if next == '\\' && quote == Some('"') {
                // `\"`, `\\`, `\n`, … are two characters of the file.
                let meant = match file.next()?.1 {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    '0' => '\0',
                    'e' => '\u{1b}',
                    other => other,
                };
                column += 2;
                if meant != wanted {
                    return None;
                }
            } else {
                return None;
            }
        }
        Some(Span { line, column, ..template.span })
    }
}

/// Whether only blanks stand before the line's end.
fn ends_line(rest: &str) -> bool {
    rest.trim_start_matches([' ', '\t']).starts_with(['\n', '\r'])
}

fn advance(letter: char, line: &mut u32, column: &mut u32) {
    if letter == '\n' {
        *line += 1;
        *column = 1;
    } else {
        *column += 1;
    }
}

fn line_start(text: &str, line: u32) -> Option<usize> {
    match line.checked_sub(1)? {
        0 => Some(0),
        before => text.match_indices('\n').nth(before as usize - 1).map(|(index, _)| index + 1),
    }
}

fn byte_of(text: &str, line: u32, column: u32) -> Option<usize> {
    let content = text.get(line_start(text, line)?..)?;
    let content = content.split('\n').next()?;
    let skip = column.checked_sub(1)? as usize;
    content.char_indices().map(|(index, _)| index).chain([content.len()]).nth(skip)
}
