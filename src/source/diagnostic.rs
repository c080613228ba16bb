//! Mistakes of users, collected: one report shows all of them, each with file, line, column, source line and suggestion.

use std::fmt::Write as _;

use super::{Node, Sources};
use crate::program::Span;

/// Whether it stops the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    #[default]
    Error,
    /// Shown, and the run goes on.
    Warning,
}

/// One mistake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// A lowercase phrase: ``unknown key `memroy` in machine `control` ``.
    pub message: String,
    /// Line 0: the file as a whole. [`NOWHERE`]: no file at all.
    pub span: Span,
    /// Characters underlined.
    pub width: u32,
    /// Beside the underline: ``did you mean `memory`?``.
    pub label: Option<String>,
    /// Other places that belong to it: ``first defined here``.
    pub others: Vec<Place>,
    /// What to type next, on a line of its own.
    pub hint: Option<String>,
    /// A file of this name is not there, and the run may make it before this task.
    pub awaits: Option<(String, Option<Span>)>,
    /// A word with a letter off: nobody meant it, whoever reaches it.
    pub is_slip: bool,
}

/// A second place that a mistake shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub span: Span,
    pub width: u32,
    pub label: String,
}

/// The span of a mistake that lies in no file: a command line's argument, a setting.
pub const NOWHERE: Span = Span { file: u32::MAX, line: 0, column: 0 };

impl Diagnostic {
    pub fn error(message: impl Into<String>, span: Span, width: u32) -> Self {
        Self { message: message.into(), span, width, ..Self::default() }
    }

    pub fn warning(message: impl Into<String>, span: Span, width: u32) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message, span, width) }
    }

    /// An error that underlines the node.
    pub fn at(node: &Node, message: impl Into<String>) -> Self {
        Self::error(message, node.span, node.width)
    }

    /// An error about a whole file.
    pub fn in_file(file: u32, message: impl Into<String>) -> Self {
        Self::error(message, Span { file, line: 0, column: 0 }, 0)
    }

    /// An error that no file shows.
    pub fn nowhere(message: impl Into<String>) -> Self {
        Self::error(message, NOWHERE, 0)
    }

    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// ``did you mean …?`` beside the underline, if a candidate is near.
    #[must_use]
    pub fn suggest<'word>(mut self, word: &str, candidates: impl IntoIterator<Item = &'word str>) -> Self {
        if let Some(label) = super::suggest::did_you_mean(word, candidates) {
            self.label = Some(label);
        }
        self
    }

    /// The same for a word that must be one of these: with a letter off it is a slip.
    #[must_use]
    pub fn slip_of<'word>(mut self, word: &str, candidates: impl IntoIterator<Item = &'word str>) -> Self {
        if let Some(near) = super::suggest::suggest(word, candidates) {
            self.is_slip = super::suggest::is_slip_of(word, near);
            self.label = Some(format!("did you mean `{near}`?"));
        }
        self
    }

    #[must_use]
    pub fn other(mut self, span: Span, width: u32, label: impl Into<String>) -> Self {
        self.others.push(Place { span, width, label: label.into() });
        self
    }

    #[must_use]
    pub fn as_warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// The mistake as the user sees it, without colour; ends in a newline.
    pub fn render(&self, sources: &Sources) -> String {
        let word = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let mut out = format!("{word}: {}\n", self.message);
        snippet(&mut out, sources, self.span, self.width, '^', self.label.as_deref());
        for place in &self.others {
            snippet(&mut out, sources, place.span, place.width, '-', Some(&place.label));
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(out, "  hint: {}", hint.replace('\n', "\n        "));
        }
        out
    }
}

/// All mistakes found so far.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Looks at each again, and keeps those that it says.
    pub fn review(&mut self, keep: impl FnMut(&mut Diagnostic) -> bool) {
        self.list.retain_mut(keep);
    }

    pub fn push(&mut self, diagnostic: Diagnostic) {
        let is_same = |known: &Diagnostic| {
            (known.severity, known.span) == (diagnostic.severity, diagnostic.span)
                && known.message == diagnostic.message
                && (known.span != NOWHERE || known.hint == diagnostic.hint)
        };
        match self.list.iter_mut().find(|known| is_same(known)) {
            None => self.list.push(diagnostic),
            // The same mistake met in another way: what one of them knows of its mend is enough.
            Some(known) if known.label.is_none() && diagnostic.label.is_some() => *known = diagnostic,
            Some(_) => {}
        }
    }

    /// Neither mistakes nor warnings.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    pub fn count_errors(&self) -> usize {
        self.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// Makes mistakes of the warnings about a file.
    pub fn deny_warnings(&mut self, file: u32) {
        for diagnostic in self.list.iter_mut().filter(|diagnostic| diagnostic.span.file == file) {
            diagnostic.severity = Severity::Error;
        }
    }

    /// Takes all of them out.
    pub fn drain(&mut self) -> impl Iterator<Item = Diagnostic> {
        self.list.drain(..)
    }

    pub fn extend(&mut self, other: Diagnostics) {
        other.list.into_iter().for_each(|diagnostic| self.push(diagnostic));
    }

    /// The whole report: warnings first, then mistakes, each group by file and line, and the count.
    /// Empty where there is nothing to say. The caller adds what was (not) done.
    pub fn render(&self, sources: &Sources) -> String {
        let mut order: Vec<&Diagnostic> = self.list.iter().collect();
        order.sort_by_key(|diagnostic| {
            let span = diagnostic.span;
            (std::cmp::Reverse(diagnostic.severity), span.file, span.line, span.column)
        });
        let mut out = String::new();
        for diagnostic in order {
            out.push_str(&diagnostic.render(sources));
            out.push('\n');
        }
        if let Some(count) = self.count() {
            let _ = writeln!(out, "{count}");
        }
        out
    }

    /// `2 mistakes, 1 warning`.
    pub fn count(&self) -> Option<String> {
        let errors = self.list.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
        let warnings = self.list.len() - errors;
        let phrase = |count: usize, word: &str| match count {
            0 => None,
            1 => Some(format!("1 {word}")),
            _ => Some(format!("{count} {word}s")),
        };
        let parts: Vec<String> = [phrase(errors, "mistake"), phrase(warnings, "warning")].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// Columns of a source line that are shown; a longer one is cut around the underline.
const SHOWN: usize = 160;

fn snippet(out: &mut String, sources: &Sources, span: Span, width: u32, mark: char, label: Option<&str>) {
    let Some(file) = sources.file(span.file) else {
        if let Some(label) = label {
            let _ = writeln!(out, "  {label}");
        }
        return;
    };
    let line = if file.secret { None } else { sources.line(span) };
    let number = span.line.to_string();
    let gutter = if line.is_some() { number.len() } else { 1 };
    let blank = " ".repeat(gutter);
    let _ = match span.line {
        0 => writeln!(out, "{blank} ┌─ {}", file.name),
        _ => writeln!(out, "{blank} ┌─ {}:{}:{}", file.name, span.line, span.column),
    };
    let Some(line) = line else {
        if let Some(label) = label {
            let _ = writeln!(out, "{blank} │ {label}");
        }
        return;
    };
    let (shown, start, length) = clipped(line, span.column.saturating_sub(1) as usize, width.max(1) as usize);
    let _ = writeln!(out, "{number} │ {shown}");
    let underline = mark.to_string().repeat(length);
    let _ = match label {
        Some(label) => writeln!(out, "{blank} │ {}{underline} {label}", " ".repeat(start)),
        None => writeln!(out, "{blank} │ {}{underline}", " ".repeat(start)),
    };
}

/// The line with tabs as spaces, cut where it is long; and where in it the underline starts, and its length.
fn clipped(line: &str, column: usize, width: usize) -> (String, usize, usize) {
    let line = line.trim_end();
    let total = line.chars().count();
    let column = column.min(total);
    let width = width.min((total - column).max(1));
    let from = if total > SHOWN && column + width > SHOWN { column.saturating_sub(SHOWN / 2) } else { 0 };
    let to = total.min(from + SHOWN);
    let (mut shown, mut start, mut end) = (String::new(), 0, 0);
    let mut cells = 0;
    if from > 0 {
        shown.push('…');
        cells = 1;
    }
    for (index, letter) in line.chars().enumerate().take(to).skip(from) {
        if index == column {
            start = cells;
        }
        match letter {
            '\t' => {
                shown.push_str("    ");
                cells += 4;
            }
            // A control character would move the cursor: U+FFFD stands for it.
            letter if letter.is_control() => {
                shown.push('\u{fffd}');
                cells += 1;
            }
            letter => {
                shown.push(letter);
                cells += cells_of(letter);
            }
        }
        if index + 1 == column + width {
            end = cells;
        }
    }
    if column == to {
        start = cells;
    }
    if end <= start {
        end = if column < to && column + width > to { cells } else { start + 1 };
    }
    if to < total {
        shown.push('…');
    }
    (shown, start, end - start)
}

/// Terminal cells: two for East Asian wide characters and emoji, none for combining marks (Unicode's main blocks of each).
fn cells_of(letter: char) -> usize {
    match u32::from(letter) {
        0x0300..=0x036f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f | 0xff00..=0xff60 | 0x1f300..=0x1faff => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn report(text: &str, diagnostic: Diagnostic) -> String {
        let mut sources = Sources::default();
        sources.add("a.yml", Path::new("/a.yml"), text);
        diagnostic.render(&sources)
    }

    #[test]
    fn a_mistake_shows_its_line_and_underlines_it() {
        let span = Span { file: 0, line: 2, column: 4 };
        assert_eq!(
            report(
                "x:\n  {memroy: 1}\n",
                Diagnostic::error("unknown key `memroy`", span, 6).label("did you mean `memory`?").hint("one\ntwo")
            ),
            "error: unknown key `memroy`\n  ┌─ a.yml:2:4\n2 │   {memroy: 1}\n  │    ^^^^^^ did you mean `memory`?\n  hint: one\n        two\n"
        );
    }

    #[test]
    fn tabs_and_wide_letters_keep_the_underline_below_the_word() {
        let span = Span { file: 0, line: 1, column: 4 };
        assert_eq!(
            report("\t漢\tword: x", Diagnostic::error("m", span, 4)),
            "error: m\n  ┌─ a.yml:1:4\n1 │     漢    word: x\n  │           ^^^^\n"
        );
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let text = format!("{}HERE{}", "a".repeat(500), "b".repeat(500));
        let shown = report(&text, Diagnostic::error("m", Span { file: 0, line: 1, column: 501 }, 4));
        let lines: Vec<&str> = shown.lines().collect();
        let place = lines[3].chars().position(|letter| letter == '^').expect("underlined");
        assert_eq!(lines[2].chars().skip(place).take(4).collect::<String>(), "HERE");
        assert!(lines[2].chars().count() < 170);
    }

    #[test]
    fn the_end_of_a_line_and_of_a_file_can_be_marked() {
        assert!(report("ab", Diagnostic::error("m", Span { file: 0, line: 1, column: 3 }, 1)).ends_with("1 │ ab\n  │   ^\n"));
        assert_eq!(report("ab", Diagnostic::error("m", Span { file: 0, line: 9, column: 1 }, 1)), "error: m\n  ┌─ a.yml:9:1\n");
        assert_eq!(report("ab", Diagnostic::in_file(0, "m")), "error: m\n  ┌─ a.yml\n");
        assert_eq!(report("ab", Diagnostic::nowhere("m").hint("h")), "error: m\n  hint: h\n");
    }

    #[test]
    fn the_report_counts_mistakes_and_warnings_and_says_each_once() {
        let mut all = Diagnostics::default();
        all.push(Diagnostic::nowhere("b"));
        all.push(Diagnostic::nowhere("b"));
        all.push(Diagnostic::nowhere("w").as_warning());
        assert_eq!(all.render(&Sources::default()), "warning: w\n\nerror: b\n\n1 mistake, 1 warning\n");
        assert!(all.has_errors());
    }

    #[test]
    fn a_secret_files_lines_are_never_shown() {
        let mut sources = Sources::default();
        let file = sources.add_secret("s.yml", Path::new("/s.yml"), "password: hunter2");
        let text = Diagnostic::error("m", Span { file, line: 1, column: 1 }, 3).label("here").render(&sources);
        assert_eq!(text, "error: m\n  ┌─ s.yml:1:1\n  │ here\n");
    }
}
