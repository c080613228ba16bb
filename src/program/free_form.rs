//! Arguments written as text: `key=value key="two words"` and the free text of `command`, split as Ansible splits them.
//!
//! Source: `ansible/parsing/splitter.py` and `ansible/parsing/quoting.py` of ansible-core 2.19.

/// The pairs that `command` and its like take out of their free text; every other `a=b` stays in it.
const OF_COMMANDS: &[&str] = &["creates", "removes", "chdir", "executable", "warn", "stdin", "stdin_add_newline", "strip_empty_ends"];

/// Arguments taken out of a text; offsets are bytes in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    pub pairs: Vec<Pair>,
    /// What is no pair, joined again.
    pub rest: Option<String>,
    /// Where the rest starts.
    pub rest_at: usize,
}

/// `key=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    pub key: String,
    pub value: String,
    pub at: usize,
    pub value_at: usize,
}

/// Quotes or Jinja2 braces that do not close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unbalanced;

/// One token and where it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    pub at: usize,
}

/// Splits arguments at white space outside of quotes and Jinja2 braces; spaces and newlines between tokens stay at the end
/// of the token before them, so that the whole can be joined again.
pub fn split(text: &str) -> Result<Vec<Token>, Unbalanced> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut quote: Option<char> = None;
    let (mut prints, mut blocks, mut comments) = (0usize, 0usize, 0usize);
    let lines: Vec<&str> = text.split('\n').collect();
    let mut line_at = 0;
    for (line_index, line) in lines.iter().enumerate() {
        let mut continued = false;
        let mut at = line_at;
        for (index, word) in line.split(' ').enumerate() {
            let start = at;
            at += word.len() + 1;
            if word.is_empty() && index != 0 {
                last(&mut tokens, start).push(' ');
                continue;
            }
            if word == "\\" && quote.is_none() {
                continued = true;
                continue;
            }
            let was_quoted = quote.is_some();
            quote = quote_after(word, quote);
            let mut placed = false;
            let nested = prints > 0 || blocks > 0 || comments > 0;
            if quote.is_some() && !was_quoted && !nested {
                tokens.push(Token { text: word.to_owned(), at: start });
                placed = true;
            } else if nested || quote.is_some() || was_quoted {
                let token = last(&mut tokens, start);
                if !(index == 0 && was_quoted) && index > 0 {
                    token.push(' ');
                }
                token.push_str(word);
                placed = true;
            }
            for (depth, open, close) in [(&mut prints, "{{", "}}"), (&mut blocks, "{%", "%}"), (&mut comments, "{#", "#}")] {
                let before = *depth;
                *depth = (before + word.matches(open).count()).saturating_sub(word.matches(close).count());
                if *depth != before && !placed {
                    tokens.push(Token { text: word.to_owned(), at: start });
                    placed = true;
                }
            }
            if prints == 0 && blocks == 0 && comments == 0 && quote.is_none() && !placed && !word.is_empty() {
                tokens.push(Token { text: word.to_owned(), at: start });
            }
        }
        line_at += line.len() + 1;
        if line_index + 1 != lines.len() && !continued {
            last(&mut tokens, line_at).push('\n');
        }
    }
    if prints > 0 || blocks > 0 || comments > 0 || quote.is_some() {
        return Err(Unbalanced);
    }
    Ok(tokens)
}

fn last(tokens: &mut Vec<Token>, at: usize) -> &mut String {
    if tokens.is_empty() {
        tokens.push(Token { text: String::new(), at });
    }
    &mut tokens.last_mut().expect("one was just pushed").text
}

/// The quote that is open after the word.
fn quote_after(word: &str, mut quote: Option<char>) -> Option<char> {
    let mut before = None;
    for letter in word.chars() {
        if (letter == '"' || letter == '\'') && before != Some('\\') {
            quote = match quote {
                Some(open) if open == letter => None,
                Some(open) => Some(open),
                None => Some(letter),
            };
        }
        before = Some(letter);
    }
    quote
}

/// Takes `key=value` pairs out of the text. For `command`, `shell`, `raw` and `script` (`commands`) only the pairs that
/// they know; everything else is the free text.
pub fn parse(text: &str, commands: bool) -> Result<Parsed, Unbalanced> {
    let mut parsed = Parsed::default();
    let mut rest: Vec<String> = Vec::new();
    let mut keep = |parsed: &mut Parsed, part: String, at: usize| {
        if rest.is_empty() {
            parsed.rest_at = at;
        }
        rest.push(part);
    };
    for token in split(text)? {
        let word = unescape(&token.text);
        if !word.contains('=') {
            keep(&mut parsed, token.text, token.at);
            continue;
        }
        let Some(position) = equals_sign(&word) else {
            keep(&mut parsed, word.replace("\\=", "="), token.at);
            continue;
        };
        let (key, value) = (&word[..position], &word[position + 1..]);
        if commands && !OF_COMMANDS.contains(&key) {
            keep(&mut parsed, token.text, token.at);
        } else {
            let trimmed = value.trim();
            let bare = unquote(trimmed);
            let value_at = token.at + position + 1 + (value.len() - value.trim_start().len()) + usize::from(bare.len() < trimmed.len());
            parsed.pairs.push(Pair { key: key.trim().to_owned(), value: bare.to_owned(), at: token.at, value_at });
        }
    }
    if !rest.is_empty() {
        parsed.rest = Some(join(&rest));
    }
    Ok(parsed)
}

/// The first `=` that is neither the first letter nor escaped.
fn equals_sign(word: &str) -> Option<usize> {
    word.match_indices('=').map(|(position, _)| position).find(|position| *position > 0 && !word[..*position].ends_with('\\'))
}

/// Tokens as one text again, with the white space that they kept.
pub fn join<S: AsRef<str>>(tokens: &[S]) -> String {
    let mut text = String::new();
    for token in tokens {
        if !(text.is_empty() || text.ends_with('\n')) {
            text.push(' ');
        }
        text.push_str(token.as_ref());
    }
    text
}

/// Without the quotes around it, if the same quote stands at both ends and the last is not escaped.
pub fn unquote(text: &str) -> &str {
    let bytes = text.as_bytes();
    let quoted =
        bytes.len() > 1 && bytes[0] == bytes[bytes.len() - 1] && matches!(bytes[0], b'"' | b'\'') && bytes[bytes.len() - 2] != b'\\';
    if quoted { &text[1..text.len() - 1] } else { text }
}

/// Python's escapes: `\n`, `\t`, `\x41`, `\u2026`, … Others stay as they are.
fn unescape(text: &str) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(position) = rest.find('\\') {
        plain.push_str(&rest[..position]);
        let after = &rest[position + 1..];
        let hex = |digits: usize| {
            after
                .get(1..=digits)
                .and_then(|code| u32::from_str_radix(code, 16).ok())
                .and_then(char::from_u32)
                .map(|letter| (letter, digits + 1))
        };
        let decoded = match after.chars().next() {
            Some(letter @ ('\\' | '\'' | '"')) => Some((letter, 1)),
            Some('a') => Some(('\u{7}', 1)),
            Some('b') => Some(('\u{8}', 1)),
            Some('f') => Some(('\u{c}', 1)),
            Some('n') => Some(('\n', 1)),
            Some('r') => Some(('\r', 1)),
            Some('t') => Some(('\t', 1)),
            Some('v') => Some(('\u{b}', 1)),
            Some('x') => hex(2),
            Some('u') => hex(4),
            Some('U') => hex(8),
            _ => None,
        };
        match decoded {
            Some((letter, length)) => {
                plain.push(letter);
                rest = &after[length..];
            }
            None => {
                plain.push('\\');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        split(text).expect("balanced").into_iter().map(|token| token.text).collect()
    }

    /// Each case was asked of `ansible.parsing.splitter.split_args` of ansible-core 2.19.14.
    #[test]
    fn tokens_are_ansibles() {
        for (text, expected) in SPLIT {
            assert_eq!(texts(text), *expected, "{text:?}");
        }
        assert_eq!(split("a 'b"), Err(Unbalanced));
        assert_eq!(split("a {{ b"), Err(Unbalanced));
    }

    const SPLIT: &[(&str, &[&str])] = &[
        ("a=b c=d", &["a=b", "c=d"]),
        ("a=\"foo bar\" b", &["a=\"foo bar\"", "b"]),
        ("echo {{ a  | default('x y') }} z", &["echo", "{{ a  | default('x y') }}", "z"]),
        ("a   b", &["a  ", "b"]),
        ("one\ntwo  three", &["one\n", "two ", "three"]),
        ("a \\\nb", &["a", "b"]),
        ("echo \"hi\nthere\" x", &["echo", "\"hi\nthere\"", "x"]),
        ("{% if x %} a {% endif %}", &["{% if x %}", "a", "{% endif %}"]),
    ];

    #[test]
    fn a_command_keeps_pairs_that_are_not_its_own() {
        let parsed = parse("ls -l a=b creates=/x chdir=\"/tmp dir\"", true).expect("balanced");
        assert_eq!(parsed.rest.as_deref(), Some("ls -l a=b"));
        let pairs: Vec<(&str, &str)> = parsed.pairs.iter().map(|pair| (pair.key.as_str(), pair.value.as_str())).collect();
        assert_eq!(pairs, [("creates", "/x"), ("chdir", "/tmp dir")]);
        assert_eq!(parsed.pairs[1].value_at, 28);
    }

    #[test]
    fn escapes_are_read_in_pairs_only() {
        let parsed = parse("content=\"a\\nb\" x\\=y", false).expect("balanced");
        assert_eq!(parsed.pairs[0].value, "a\nb");
        assert_eq!(parsed.rest.as_deref(), Some("x=y"));
    }
}
