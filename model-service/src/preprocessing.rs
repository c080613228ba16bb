//! From the bytes of a URL to the ids that the model reads; the twin of `training/phishing/preprocessing.py`.

/// The rules' version. A model names the one it was trained with, and another is refused.
pub const VERSION: &str = "url-bytes/1";
/// Ids a URL; what is longer loses its end, so the host always stays.
pub const POSITIONS: usize = 200;
pub const PAD: i32 = 0;
pub const OTHER: i32 = 1;
const FIRST: u8 = 0x21;
const LAST: u8 = 0x7e;
/// Ids there are: pad, other, and one for each visible ASCII byte.
pub const VOCABULARY: usize = (LAST - FIRST) as usize + 3;

/// The URL without surrounding blanks and controls and without `http://` or `https://` in any case.
///
/// The scheme tells the training data's origin rather than phishing; `www.` and case stay.
pub fn without_scheme(url: &[u8]) -> &[u8] {
    let start = url.iter().position(|byte| *byte > 0x20).unwrap_or(url.len());
    let end = url.iter().rposition(|byte| *byte > 0x20).map_or(start, |last| last + 1);
    let url = &url[start..end];
    for scheme in [b"http://".as_slice(), b"https://"] {
        if url.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme)) {
            return &url[scheme.len()..];
        }
    }
    url
}

/// The URL's ids, padded at the end.
pub fn ids(url: &[u8]) -> [i32; POSITIONS] {
    let mut ids = [PAD; POSITIONS];
    for (id, byte) in ids.iter_mut().zip(without_scheme(url)) {
        *id = if (FIRST..=LAST).contains(byte) { i32::from(byte - FIRST) + 2 } else { OTHER };
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_url_keeps_its_host_and_loses_its_end() {
        let url = format!("https://host.example/{}Z", "a".repeat(300));
        let ids = ids(url.as_bytes());
        assert_eq!(ids[0], i32::from(b'h' - FIRST) + 2);
        assert_eq!(ids[POSITIONS - 1], i32::from(b'a' - FIRST) + 2);
    }

    #[test]
    fn scheme_goes_in_any_case_and_www_and_case_stay() {
        assert_eq!(without_scheme(b" HtTpS://www.Example.com/ \n"), b"www.Example.com/");
        assert_eq!(without_scheme(b"ftp://example.com"), b"ftp://example.com");
        assert_eq!(without_scheme(b"http:/"), b"http:/");
        assert_eq!(without_scheme(b" \t "), b"");
    }

    #[test]
    fn bytes_outside_visible_ascii_are_other() {
        assert_eq!(ids("a\u{fc}b".as_bytes())[..5], [66, 1, 1, 67, 0]);
    }
}
