//! Patterns of names, with case, over whole texts.

/// As Python's `fnmatch` has them: `*`, `?`, `[abc]`, `[a-c]`, `[!abc]`.
pub fn glob(pattern: &str, text: &str) -> bool {
    matches(pattern, text, one)
}

/// `*` and `?` alone, as ssh_config(5) PATTERNS has them: `[` is a plain character.
pub fn wildcards(pattern: &str, text: &str) -> bool {
    matches(pattern, text, |pattern, letter| pattern.first().is_some_and(|first| *first == '?' || *first == letter).then_some(1))
}

/// `one` says how much of a pattern takes a letter. Only the last `*` is ever taken back: the time is the product of both lengths at most.
fn matches(pattern: &str, text: &str, one: impl Fn(&[char], char) -> Option<usize>) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut letter) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while letter < text.len() {
        if pattern.get(at) == Some(&'*') {
            at += 1;
            star = Some((at, letter));
        } else if let Some(length) = one(&pattern[at..], text[letter]) {
            at += length;
            letter += 1;
        } else if let Some((behind, from)) = star {
            (at, letter) = (behind, from + 1);
            star = Some((behind, letter));
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|left| *left == '*')
}

/// How much of the pattern the letter takes; `None` where it does not match.
fn one(pattern: &[char], letter: char) -> Option<usize> {
    let (first, rest) = pattern.split_first()?;
    let negated = rest.first() == Some(&'!');
    let start = usize::from(negated);
    // A closing bracket right at the start is a member.
    let end = rest.iter().skip(start + 1).position(|letter| *letter == ']').map(|behind| start + 1 + behind);
    match (first, end) {
        ('?', _) => Some(1),
        ('[', Some(end)) => {
            let set = &rest[start..end];
            let mut found = false;
            let mut index = 0;
            while index < set.len() {
                if index + 2 < set.len() && set[index + 1] == '-' {
                    found |= (set[index]..=set[index + 2]).contains(&letter);
                    index += 3;
                } else {
                    found |= set[index] == letter;
                    index += 1;
                }
            }
            (found != negated).then_some(end + 2)
        }
        (plain, _) => (*plain == letter).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_stars_end_soon() {
        let text = "a".repeat(2000);
        assert!(glob(&"*a".repeat(30), &text));
        assert!(!glob(&format!("{}b", "*a".repeat(30)), &text));
    }

    #[test]
    fn a_bracket_is_plain_where_there_are_no_sets() {
        for (pattern, text, expected) in [("[a]:*", "[a]:22", true), ("[a]", "a", false), ("?b*", "abc", true), ("a?", "a", false)] {
            assert_eq!(wildcards(pattern, text), expected, "{pattern} {text}");
        }
    }

    /// What `fnmatch.fnmatchcase` of Python 3.11 says.
    #[test]
    fn patterns_match_as_pythons_do() {
        for (pattern, text, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.confs", false),
            ("[a-c]?", "b1", true),
            ("[a-c]?", "d1", false),
            ("[!a]x", "ax", false),
            ("[!a]x", "bx", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("[", "[", true),
            ("[a", "[a", true),
            ("[]a]x", "]x", true),
            ("[]a]x", "ax", true),
            ("[!]a]x", "]x", false),
            ("[!]a]x", "bx", true),
            ("[^a]", "^", true),
            ("[^a]", "b", false),
            ("[a-]", "-", true),
            ("[z-a]", "m", false),
            ("a?", "a", false),
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("**a", "ba", true),
            ("A*", "ab", false),
            ("ä*", "äb", true),
            ("[!-a]", "-", false),
            ("[!-a]", "b", true),
            ("a\nb", "a\nb", true),
            ("a*b", "a\nb", true),
            ("[[]x", "[x", true),
            ("x[.]y", "x.y", true),
            ("[\\]", "\\", true),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }
}
