//! Syntax errors of YAML in a user's words: the usual slips are recognised by their line, and the mend is shown.

use super::lines::Lines;
use super::{Diagnostic, Node, NodeKind};
use crate::program::Span;

/// Where the scanner stopped.
#[derive(Clone, Debug)]
pub(super) struct Slipped {
    /// From 1.
    pub line: usize,
    /// From 0, of the user's text.
    pub column: usize,
    pub info: String,
    /// The innermost list in brackets or mapping in braces that is not closed yet.
    pub open: Option<Span>,
}

/// What a scan error most likely means.
pub(super) fn syntax(lines: &Lines, file: u32, error: &Slipped) -> Diagnostic {
    let Slipped { line, column, ref info, open } = *error;
    let at = |line: usize, column: usize| Span { file, line: line as u32, column: column as u32 + 1 };
    // The scanner often stops on the line after the slip, or at the file's end.
    let written = |line: usize| !lines.text(line).trim().is_empty() && !lines.text(line).trim_start().starts_with('#');
    let here = (1..=line.min(lines.count())).rev().find(|line| written(*line)).unwrap_or(1);
    let above = (1..here).rev().find(|line| written(*line));
    let below = (line + 1..=lines.count()).find(|line| written(*line)).filter(|line| lines.text(*line).starts_with(['\t', ' ']));
    if let Some(open) = open.filter(|open| (open.line as usize) < line && !info.contains("quoted")) {
        let bracket = lines.at(open.line as usize, open.column as usize - 1).unwrap_or('{');
        let end = if bracket == '[' { ']' } else { '}' };
        return Diagnostic::error(format!("this `{bracket}` is never closed"), open, 1)
            .label(format!("expected `{end}` before line {line}"));
    }
    if let Some(diagnostic) = too_deep(lines, file, here, above, info) {
        return diagnostic;
    }
    for candidate in
        [Some(here), above, below.filter(|line| lines.text(*line).trim_start_matches(' ').starts_with('\t'))].into_iter().flatten()
    {
        if let Some(slip) = slip(lines.text(candidate), info) {
            let mut diagnostic = Diagnostic::error(slip.message, at(candidate, slip.column), slip.width as u32);
            diagnostic.label = Some(slip.label);
            return diagnostic;
        }
    }
    if let Some(diagnostic) = no_colon(lines, file, here, above, info) {
        return diagnostic;
    }
    let (message, label) = phrase(info);
    if line > lines.count() {
        // The end of the file: what can be shown is the last line.
        return Diagnostic::error(message, at(here, lines.length(here)), 1).label(label.unwrap_or("the file ends here"));
    }
    let mut diagnostic = Diagnostic::error(message, at(line, column), 1);
    diagnostic.label = label.map(str::to_owned);
    diagnostic
}

/// A key that is a list or a mapping: nearly always a template without quotes.
pub(super) fn unhashable(lines: &Lines, key: &Node, flow: Option<(Span, u32)>) -> Diagnostic {
    let (span, width) = match flow {
        // `{{ a }}` is a mapping in a mapping: the outer one begins the text.
        Some((span, width)) if lines.rest(span.line as usize, span.column as usize - 1).starts_with("{{") => (span, width),
        _ => (key.span, key.width),
    };
    let rest = lines.rest(span.line as usize, span.column as usize - 1);
    if rest.starts_with("{{") {
        let value = uncommented(rest);
        // In a list in brackets or a mapping in braces the value ends with the template, as far as can be told.
        let before = &lines.text(span.line as usize)[..lines.text(span.line as usize).len() - rest.len()];
        let value = if before.contains(['{', '[']) { &value[..value.find("}}").map_or(value.len(), |end| end + 2)] } else { value };
        let width = width.max(value.chars().count() as u32);
        return Diagnostic::error("a value that begins with `{{` must be quoted", span, width).label(quoted(value));
    }
    let kind = if matches!(key.kind, NodeKind::List(_)) { "a list" } else { "a mapping" };
    Diagnostic::error(format!("{kind} cannot be a key"), span, width)
}

/// `a: 1` and below it, deeper, `b: 2`: the first has a value already.
fn too_deep(lines: &Lines, file: u32, here: usize, above: Option<usize>, info: &str) -> Option<Diagnostic> {
    if !info.contains("mapping values are not allowed") {
        return None;
    }
    let indentation = |line: usize| lines.text(line).chars().take_while(|letter| *letter == ' ').count();
    let body = lines.text(here).trim();
    let (name, _) = body.split_once(':')?;
    let upper = lines.text(above?).trim().trim_start_matches("- ");
    let (owner, value) = upper.split_once(": ")?;
    if indentation(here) <= indentation(above?) || name.contains([' ', '=']) || value.starts_with(['|', '>', '#']) {
        return None;
    }
    let span = Span { file, line: here as u32, column: indentation(here) as u32 + 1 };
    Some(
        Diagnostic::error(
            format!("wrong indentation: `{owner}` has a value, nothing can stand below it"),
            span,
            name.chars().count() as u32,
        )
        .label(format!("write `{name}` as deep as `{owner}`, or all of `{owner}` on lines below it")),
    )
}

/// `a 1` and below it `b: 2`: the scanner stops at the second, which is right.
fn no_colon(lines: &Lines, file: u32, here: usize, above: Option<usize>, info: &str) -> Option<Diagnostic> {
    let above = above.filter(|_| info.contains("simple key expect"))?;
    let is_pair = |text: &str| text.ends_with(':') || key_and_value(text).0.is_some();
    let (body, below) = (uncommented(lines.text(above).trim()), uncommented(lines.text(here).trim()));
    if is_pair(body) || !is_pair(below) {
        return None;
    }
    let indentation = lines.text(above).chars().take_while(|letter| *letter == ' ').count();
    let span = Span { file, line: above as u32, column: indentation as u32 + 1 };
    let otherwise = "this is neither `key: value` nor `- item`";
    let label =
        body.split_once(' ').map_or(otherwise.to_owned(), |(key, value)| short(format!("write `{key}: {}`", value.trim()), otherwise));
    Some(Diagnostic::error("expected `:` after a key", span, body.chars().count() as u32).label(label))
}

struct Slip {
    message: String,
    label: String,
    column: usize,
    width: usize,
}

fn slip(line: &str, info: &str) -> Option<Slip> {
    let column_of = |part: &str| line[..part.as_ptr() as usize - line.as_ptr() as usize].chars().count();
    let slip = |part: &str, message: &str, label: String| {
        Some(Slip { message: message.to_owned(), label, column: column_of(part), width: part.chars().count().max(1) })
    };
    let body = line.trim_start_matches([' ', '\t']);
    let indentation = &line[..line.len() - body.len()];
    if let Some(tab) = indentation.find('\t') {
        return slip(&line[tab..=tab], "a tab cannot indent YAML", "use spaces".to_owned());
    }
    // `- - key: value`: what stands after dashes and key.
    let mut entry = body;
    while let Some(rest) = entry.strip_prefix("- ") {
        entry = rest.trim_start();
    }
    let (key, value) = key_and_value(entry);
    let value = uncommented(value);
    if value.starts_with("{{") && value.contains("}}") {
        return slip(value, "a value that begins with `{{` must be quoted", quoted(value));
    }
    if let Some(first @ ('@' | '`' | '%')) = value.chars().next() {
        let first = if first == '`' { "a backtick".to_owned() } else { format!("`{first}`") };
        return slip(value, &format!("a value that begins with {first} must be quoted"), quoted(value));
    }
    if let Some(quote @ ('"' | '\'')) = value.chars().next() {
        let closing = value[1..].find(quote).map(|index| index + 1);
        match closing {
            Some(closing) if closing + 1 < value.len() && !value[closing + 1..].trim_start().starts_with([',', ']', '}', ':', '#']) => {
                // `'it's here'`: the quotes were meant to stand around it all.
                let around = value.ends_with(quote) && !value[closing + 1..].starts_with(' ');
                let whole = if around { &value[1..value.len() - 1] } else { value };
                let label = short(format!("quote all of it: {}", quote_all(whole)), "quote all of it");
                return slip(value, "text after a value that is quoted", label);
            }
            None if info.contains("end of stream") || info.contains("quoted scalar") => {
                return slip(&value[..1], "this quote is never closed", format!("no `{quote}` follows"));
            }
            _ => {}
        }
    } else if key.is_some() && value.starts_with("- ") {
        return slip(value, "a list cannot begin here", "put it on a line of its own, below the key".to_owned());
    } else if let Some(colon) = key.and_then(|_| loose_colon(value)) {
        return slip(&value[colon..=colon], "`: ` inside a value that is not quoted", format!("quote the value: {}", quote_all(value)));
    }
    if key.is_none()
        && let Some((name, rest)) = entry.split_once(':')
        && !name.is_empty()
        && name.chars().all(|letter| letter.is_alphanumeric() || "_-. ".contains(letter))
        && !rest.is_empty()
        && !rest.starts_with("//")
    {
        return slip(
            &entry[..=name.len()],
            "a space is missing after the colon",
            short(format!("write `{name}: {}`", uncommented(rest)), "put a space there"),
        );
    }
    if let Some(rest) = body.strip_prefix('-')
        && rest.starts_with(|letter: char| letter.is_alphanumeric())
        && body.contains(": ")
    {
        return slip(&body[..1], "a space is missing after the dash", format!("write `- {}`", uncommented(rest)));
    }
    None
}

/// `name: value`; no key where there is no `: `.
fn key_and_value(entry: &str) -> (Option<&str>, &str) {
    let plain = |letter: char| letter.is_alphanumeric() || "_-./ ".contains(letter);
    match entry.find(": ") {
        Some(colon) if entry[..colon].chars().all(plain) => (Some(&entry[..colon]), entry[colon + 1..].trim()),
        _ => (None, entry.trim()),
    }
}

/// A colon that ends a word, outside of quotes and brackets that the value begins with.
fn loose_colon(value: &str) -> Option<usize> {
    if value.starts_with(['{', '[', '|', '>', '&', '*', '!']) {
        return None;
    }
    value.match_indices(':').map(|(index, _)| index).find(|index| value[index + 1..].is_empty() || value[index + 1..].starts_with(' '))
}

fn uncommented(value: &str) -> &str {
    value.find(" #").map_or(value, |comment| &value[..comment]).trim_end()
}

fn quoted(value: &str) -> String {
    short(format!("write {}", quote_all(value)), "put quotes around all of it")
}

/// The first where it fits on a line of a screen.
fn short(label: String, otherwise: &str) -> String {
    if label.chars().count() > 80 { otherwise.to_owned() } else { label }
}

/// The value in the quotes that it does not hold.
fn quote_all(value: &str) -> String {
    if value.contains('"') { format!("'{}'", value.replace('\'', "''")) } else { format!("\"{}\"", value.replace('\\', "\\\\")) }
}

/// Saphyr's words in ours.
fn phrase(info: &str) -> (String, Option<&'static str>) {
    let known: &[(&str, &str, Option<&'static str>)] = &[
        ("a block mapping, did not find expected key", "wrong indentation", Some("this fits no mapping or list above")),
        ("a block collection, did not find expected '-'", "wrong indentation", Some("a list goes on above: expected `- `")),
        ("did not find expected ',' or '}'", "a mapping in braces is not closed", Some("expected `,` or `}`")),
        ("expected ',' or ']'", "a list in brackets is not closed", Some("expected `,` or `]`")),
        (
            "mapping values are not allowed",
            "a mapping cannot begin here",
            Some("quote the value before this colon, or mend the indentation"),
        ),
        ("block sequence entries are not allowed", "a list cannot begin here", Some("put it on a line of its own, below the key")),
        ("unknown anchor", "unknown alias", Some("no anchor of this name stands above")),
        ("unknown escape character", "unknown escape in a text in double quotes", Some("use single quotes, or write `\\\\`")),
        ("hexadecimal number", "an escape in a text in double quotes needs hexadecimal digits", None),
        ("invalid Unicode character escape", "an escape in a text in double quotes is no character", None),
        ("found unexpected end of stream", "a quote is never closed", None),
        ("simple key expect", "expected `:` after a key", Some("this is neither `key: value` nor `- item`")),
        ("unexpected end of plain scalar", "a value is missing", None),
        ("invalid indentation", "wrong indentation", Some("indent it deeper than the line it belongs to")),
        ("wrongly indented line in block scalar", "wrong indentation in a block of text", Some("indent it as the block's first line")),
        ("a block scalar content cannot start with a tab", "a tab cannot indent YAML", Some("use spaces")),
        ("tab", "a tab cannot stand here", Some("use spaces")),
        ("while scanning a block scalar", "text after `|` or `>`", Some("the text begins on the next line")),
        ("is only valid inside a block", "a list cannot begin here", Some("put it on a line of its own, as deep as the items above")),
        ("misplaced bracket", "a bracket that closes nothing", None),
        ("recursion limit", "nested too deep", None),
        ("unprintable character", "a character that YAML does not allow", Some("a control character or a damaged file")),
        ("the handle wasn't declared", "unknown tag", Some("a text that begins with `!` must be quoted")),
        ("did not find expected node content", "a value is missing", None),
        ("did not find expected <document start>", "wrong indentation", Some("this stands less deep than the file's first line")),
        ("invalid trailing content after", "text after a closing quote", Some("this quote, or one on a line above, is one too many")),
        ("byte order mark", "a byte order mark (U+FEFF) inside of the file", Some("it shows as nothing: write the line anew")),
        ("unexpected character", "a character that no value can begin with", Some("put quotes around the value")),
        ("content after document end marker", "text after the end of the document", None),
    ];
    known.iter().find(|(part, ..)| info.contains(part)).map_or_else(
        || (format!("not valid YAML: {}", info.trim_start_matches("while parsing a node, ")), None),
        |(_, message, label)| ((*message).to_owned(), *label),
    )
}
