//! A line of an INI inventory cut into words as Python's `shlex.split(line, comments=True)` cuts it.

/// A word, and where each of its characters stands in the line (columns from 0).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub text: String,
    pub columns: Vec<usize>,
}

impl Word {
    /// The column of the character at a byte index; the word's end for the text's.
    pub fn column(&self, byte: usize) -> usize {
        let index = self.text[..byte].chars().count();
        self.columns.get(index).copied().unwrap_or_else(|| self.columns.last().map_or(0, |last| last + 1))
    }
}

/// The words, or the column and phrase of a mistake. `#` begins a comment wherever it is not quoted or escaped.
pub(super) fn split(line: &str) -> Result<Vec<Word>, (usize, &'static str)> {
    let mut words = Vec::new();
    let mut word: Option<Word> = None;
    let mut letters = line.chars().enumerate();
    while let Some((column, letter)) = letters.next() {
        match letter {
            '#' => break,
            letter if letter.is_whitespace() => words.extend(word.take()),
            '\'' | '"' => {
                let word = word.get_or_insert(Word { text: String::new(), columns: Vec::new() });
                loop {
                    let Some((at, inner)) = letters.next() else { return Err((column, "this quote is never closed")) };
                    if inner == letter {
                        break;
                    }
                    if inner == '\\' && letter == '"' {
                        let Some((at_next, next)) = letters.next() else { return Err((column, "this quote is never closed")) };
                        if next != '"' && next != '\\' {
                            word.text.push('\\');
                            word.columns.push(at);
                        }
                        word.text.push(next);
                        word.columns.push(at_next);
                        continue;
                    }
                    word.text.push(inner);
                    word.columns.push(at);
                }
            }
            '\\' => {
                let Some((at, next)) = letters.next() else { return Err((column, "nothing follows this backslash")) };
                let word = word.get_or_insert(Word { text: String::new(), columns: Vec::new() });
                word.text.push(next);
                word.columns.push(at);
            }
            letter => {
                let word = word.get_or_insert(Word { text: String::new(), columns: Vec::new() });
                word.text.push(letter);
                word.columns.push(column);
            }
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_as_shlex_cuts_them() {
        let words = |line: &str| split(line).map(|words| words.into_iter().map(|word| word.text).collect::<Vec<_>>());
        assert_eq!(words("a b='x y' c=\"d \\\" e\" f\\ g # h"), Ok(vec!["a".into(), "b=x y".into(), "c=d \" e".into(), "f g".into()]));
        assert_eq!(words("a=\"['x', 'y']\" b#c"), Ok(vec!["a=['x', 'y']".into(), "b".into()]));
        assert_eq!(words("a=''"), Ok(vec!["a=".into()]));
        assert_eq!(words("a='b"), Err((2, "this quote is never closed")));
        let word = &split("h v=\"{{ x }}\"").expect("words")[1];
        assert_eq!(word.column(2), 5);
    }
}
