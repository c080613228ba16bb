//! A text's lines by number and their characters by column.

/// A text cut into lines once. Lines are counted from 1, columns (characters) from 0, as saphyr counts.
pub(super) struct Lines<'text> {
    lines: Vec<(&'text str, bool)>,
}

impl<'text> Lines<'text> {
    pub fn new(text: &'text str) -> Self {
        Self { lines: text.lines().map(|line| (line, line.is_ascii())).collect() }
    }

    pub fn count(&self) -> usize {
        self.lines.len()
    }

    /// A line's text; empty beyond the end.
    pub fn text(&self, line: usize) -> &'text str {
        line.checked_sub(1).and_then(|index| self.lines.get(index)).map_or("", |(text, _)| text)
    }

    /// Characters of a line.
    pub fn length(&self, line: usize) -> usize {
        match line.checked_sub(1).and_then(|index| self.lines.get(index)) {
            Some((text, true)) => text.len(),
            Some((text, false)) => text.chars().count(),
            None => 0,
        }
    }

    pub fn at(&self, line: usize, column: usize) -> Option<char> {
        self.rest(line, column).chars().next()
    }

    /// A line from a column on.
    pub fn rest(&self, line: usize, column: usize) -> &'text str {
        match line.checked_sub(1).and_then(|index| self.lines.get(index)) {
            Some((text, true)) => text.get(column..).unwrap_or(""),
            Some((text, false)) => text.char_indices().nth(column).map_or("", |(index, _)| &text[index..]),
            None => "",
        }
    }

    /// The place after tags and anchors, and the blanks and comments behind them.
    pub fn skip_properties(&self, mut line: usize, mut column: usize) -> (usize, usize) {
        while matches!(self.at(line, column), Some('!' | '&')) {
            column += self.rest(line, column).chars().take_while(|letter| !letter.is_whitespace()).count();
            loop {
                let rest = self.rest(line, column);
                let blanks = rest.chars().take_while(|letter| letter.is_whitespace()).count();
                let after = rest.trim_start();
                column += blanks;
                if !after.is_empty() && !after.starts_with('#') {
                    break;
                }
                if line >= self.count() {
                    return (line, column);
                }
                line += 1;
                column = 0;
            }
        }
        (line, column)
    }

    pub fn at_after_properties(&self, line: usize, column: usize) -> Option<char> {
        let (line, column) = self.skip_properties(line, column);
        self.at(line, column)
    }
}
