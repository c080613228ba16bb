//! Words of a line as a POSIX shell would quote and split them: Python's `shlex`.

/// Splits a line into words; quotes and backslashes as in a shell, nothing else is special. `#` is no comment.
pub fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next() {
                        Some('\'') => break,
                        Some(quoted) => word.push(quoted),
                        None => return Err("No closing quotation".to_owned()),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next() {
                        Some('"') => break,
                        Some('\\') => match letters.next() {
                            Some(escaped @ ('"' | '\\')) => word.push(escaped),
                            Some(other) => word.extend(['\\', other]),
                            None => return Err("No closing quotation".to_owned()),
                        },
                        Some(quoted) => word.push(quoted),
                        None => return Err("No closing quotation".to_owned()),
                    }
                }
            }
            '\\' => match letters.next() {
                Some(escaped) => word.get_or_insert_default().push(escaped),
                None => return Err("No escaped character".to_owned()),
            },
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

/// One word as a shell would need it: Python's `shlex.quote`.
pub fn quote(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "@%+=:,./-_".contains(letter);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\"'\"'")) }
}

/// Words as one line that splits into them again.
pub fn join<S: AsRef<str>>(words: &[S]) -> String {
    words.iter().map(|word| quote(word.as_ref())).collect::<Vec<_>>().join(" ")
}

/// Python's `splitlines`.
pub fn lines(text: &str) -> Vec<String> {
    let text = text.replace("\r\n", "\n");
    let ends = ['\n', '\r', '\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}', '\u{2029}'];
    let mut lines: Vec<String> = text.split(ends).map(str::to_owned).collect();
    if lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_does() {
        let cases: [(&str, &[&str]); 7] = [
            ("ls  -l /tmp", &["ls", "-l", "/tmp"]),
            (r#"echo "a b" 'c "d'"#, &["echo", "a b", "c \"d"]),
            (r#"echo "\n\"" \  ''"#, &["echo", "\\n\"", " ", ""]),
            ("a'b'c", &["abc"]),
            ("echo # no comment", &["echo", "#", "no", "comment"]),
            ("", &[]),
            ("a\nb", &["a", "b"]),
        ];
        for (line, words) in cases {
            assert_eq!(split(line).as_deref(), Ok(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()[..]), "{line}");
        }
        assert!(split("it's").is_err());
        assert!(split("a\\").is_err());
    }

    #[test]
    fn joined_words_split_into_themselves() {
        let words = ["a", "b c", "it's", "", "$x", "\\"];
        assert_eq!(split(&join(&words)).expect("splits"), words);
    }

    #[test]
    fn lines_end_where_python_ends_them() {
        assert_eq!(lines("a\nb\r\nc\u{c}d"), ["a", "b", "c", "d"]);
        assert_eq!(lines("a\n\n"), ["a", ""]);
        assert_eq!(lines(""), [""; 0]);
    }
}
