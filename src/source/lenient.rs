//! What libyaml reads and YAML 1.2 forbids: a bracket's or a quoted text's line that is not indented below its key, and a tab
//! behind a colon. Playbooks have both, Ansible reads them, so they are mended in the parser's text; places stay the user's.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::explain::Slipped;

/// Blanks put before a line: deeper than any block around it.
const PAD: usize = 240;
/// Lines that are mended in one file, at most: each one is a parse of its own.
const MOST: usize = 500;

/// A text and what was mended in it.
pub(super) struct Mended<'text> {
    original: &'text str,
    /// Lines that are moved to the right.
    padded: HashMap<usize, usize>,
    /// Lines whose tabs are blanks.
    untabbed: HashSet<usize>,
}

impl<'text> Mended<'text> {
    pub fn new(original: &'text str) -> Self {
        Self { original, padded: HashMap::new(), untabbed: HashSet::new() }
    }

    pub fn original(&self) -> &'text str {
        self.original
    }

    /// How far a line is moved.
    pub fn shift(&self, line: usize) -> usize {
        self.padded.get(&line).copied().unwrap_or(0)
    }

    /// The text for the parser.
    pub fn text(&self) -> Cow<'text, str> {
        if self.padded.is_empty() && self.untabbed.is_empty() {
            return Cow::Borrowed(self.original);
        }
        let mut text = String::with_capacity(self.original.len() + self.padded.len() * PAD);
        for (index, line) in self.original.split_inclusive('\n').enumerate() {
            text.extend(std::iter::repeat_n(' ', self.shift(index + 1)));
            if self.untabbed.contains(&(index + 1)) {
                text.push_str(&line.replace('\t', " "));
            } else {
                text.push_str(line);
            }
        }
        Cow::Owned(text)
    }

    /// Mends what made the parser stop, if it is one of these; false if it is not, or was mended in vain.
    pub fn mend(&mut self, slipped: &Slipped) -> bool {
        if self.padded.len() + self.untabbed.len() >= MOST {
            return false;
        }
        let Some(line) = self.original.lines().nth(slipped.line.saturating_sub(1)) else { return false };
        if slipped.info.contains("indentation in quoted scalar") || slipped.info.contains("tab cannot be used as indentation") {
            return self.pad_quoted(slipped);
        }
        let in_flow = slipped.open.is_some_and(|open| (open.line as usize) < slipped.line);
        if slipped.info.contains("indentation") && in_flow && !line.trim().is_empty() {
            return self.padded.insert(slipped.line, PAD).is_none();
        }
        // The scanner may stop behind the tab, on a later line.
        let tabbed = |line: &str| line.contains(":\t") && !line.trim_start_matches(' ').starts_with('\t');
        let above = slipped.line.saturating_sub(1);
        let line_above = self.original.lines().nth(above.saturating_sub(1)).unwrap_or_default();
        if tabbed(line) {
            return self.untabbed.insert(slipped.line);
        }
        if above > 0 && tabbed(line_above) {
            return self.untabbed.insert(above);
        }
        false
    }

    /// Moves all further lines of the quoted text that begins at the place, or goes on there.
    fn pad_quoted(&mut self, slipped: &Slipped) -> bool {
        let begun = |line: &str| line.chars().nth(slipped.column).filter(|letter| matches!(letter, '"' | '\''));
        let mut lines = self.original.lines().enumerate().skip(slipped.line.saturating_sub(1));
        let Some((_, first)) = lines.next() else { return false };
        let Some(quote) = begun(first) else { return self.padded.insert(slipped.line, PAD).is_none() };
        let mut new = false;
        for (index, line) in lines {
            if !line.trim().is_empty() {
                new |= self.padded.insert(index + 1, PAD).is_none();
            }
            if line.contains(quote) || self.padded.len() >= MOST {
                break;
            }
        }
        new
    }
}
