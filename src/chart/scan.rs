//! What is done to a template's text before gotmpl parses it: comments out, blocks counted.
//!
//! gotmpl 0.6 trims to the right of `{{- /* … */}}`, and takes a missing `{{end}}`, or one too many, in silence. So comments become
//! empty texts of the same length (every place stays where it was), and the blocks are counted here.

/// A slip in the structure of a template, by byte offsets.
#[derive(Debug, PartialEq, Eq)]
pub struct Slip {
    pub offset: usize,
    pub width: usize,
    pub message: String,
    pub hint: String,
}

/// The text for the parser, or where its blocks do not fit.
pub fn prepared(text: &str) -> Result<String, Slip> {
    let mut out = text.as_bytes().to_vec();
    let mut open: Vec<(usize, String)> = Vec::new();
    let mut from = 0;
    while let Some(start) = text[from..].find("{{").map(|at| from + at) {
        let body = start + 2;
        let inner = &text[body..];
        let trimmed = inner.strip_prefix('-').filter(|rest| rest.starts_with([' ', '\t', '\r', '\n'])).unwrap_or(inner).trim_start();
        let word_at = text.len() - trimmed.len();
        if trimmed.starts_with("/*") {
            let Some(end) = text[word_at + 2..].find("*/").map(|at| word_at + 2 + at + 2) else {
                return Err(Slip {
                    offset: start,
                    width: 2,
                    message: "a comment that is never closed".into(),
                    hint: "write `*/}}` at its end".into(),
                });
            };
            out[word_at..word_at + 2].copy_from_slice(b"\"\"");
            out[word_at + 2..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
            from = end;
            continue;
        }
        let Some(end) = action_end(text, body) else {
            let width = text[start..].lines().next().map_or(2, str::len);
            return Err(Slip {
                offset: start,
                width,
                message: "an action that is never closed".into(),
                hint: "write `}}` where it ends, and the closing quote of a text in it".into(),
            });
        };
        let word: String = trimmed.chars().take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect();
        match word.as_str() {
            "if" | "range" | "with" | "define" | "block" => open.push((start, word)),
            "else" if open.last().is_none_or(|(_, word)| !matches!(word.as_str(), "if" | "range" | "with")) => {
                return Err(Slip {
                    offset: word_at,
                    width: 4,
                    message: "`else` outside of `if`, `with` and `range`".into(),
                    hint: "remove it, or look for an `{{ end }}` too many above it".into(),
                });
            }
            "end" if open.pop().is_none() => {
                return Err(Slip {
                    offset: word_at,
                    width: 3,
                    message: "`end` without a block that it closes".into(),
                    hint: "remove it, or look for an `{{ end }}` too many above it".into(),
                });
            }
            _ => {}
        }
        from = end;
    }
    if let Some((offset, word)) = open.pop() {
        let width = text[offset..].find("}}").map_or(2, |end| end + 2);
        let message = format!("`{word}` is never closed");
        return Err(Slip { offset, width, message, hint: "write `{{- end }}` where it ends".into() });
    }
    // Only whole characters of comments were replaced.
    Ok(String::from_utf8(out).unwrap_or_else(|_| text.to_owned()))
}

/// The offset behind `}}`; texts inside of the action may hold braces. `None` where another action begins first.
fn action_end(text: &str, body: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = body;
    while at < bytes.len() {
        match bytes[at] {
            b'}' if bytes.get(at + 1) == Some(&b'}') => return Some(at + 2),
            b'{' if bytes.get(at + 1) == Some(&b'{') => return None,
            b'`' => at += 1 + text[at + 1..].find('`')?,
            quote @ (b'"' | b'\'') => {
                at += 1;
                while *bytes.get(at)? != quote {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_become_empty_texts_of_the_same_length() {
        assert_eq!(prepared("a {{- /* ä\n }} */ -}} b").as_deref(), Ok("a {{- \"\"   \n       -}} b"));
        assert_eq!(prepared("{{/**/}}{{ \"{{ /* }}\" }}").as_deref(), Ok("{{\"\"  }}{{ \"{{ /* }}\" }}"));
    }

    #[test]
    fn blocks_that_do_not_fit_are_named() {
        let slip = |text: &str| prepared(text).expect_err("a slip");
        assert_eq!(
            (slip("a\n{{ if .x }}\n{{ range .y }}{{ end }}").offset, slip("{{ with 1 }}").message.as_str()),
            (2, "`with` is never closed")
        );
        assert_eq!(slip("{{ if 1 }}{{ end }}{{ end }}").offset, 22);
        assert_eq!(slip("{{ define \"x\" }}{{ else }}{{ end }}").message, "`else` outside of `if`, `with` and `range`");
        assert_eq!(slip("a: {{ .x\nb: {{ .y }}").offset, 3);
        assert_eq!(slip("x {{ /* y").message, "a comment that is never closed");
        assert!(prepared("{{ if 1 }}{{ else if 2 }}{{ else }}{{ end }}{{ endpoint }}{{ \"{{ if\" }}").is_ok());
    }
}
