//! From the bytes of a URL to the ids that the model reads; the twin of `training/phishing/preprocessing.py`.

/// The rules' version. A model names the one it was trained with, and another is refused.
pub const VERSION: &str = "url-bytes/2";
/// Ids a URL; what is longer loses its end, so the host always stays.
pub const POSITIONS: usize = 200;
pub const PAD: i32 = 0;
pub const OTHER: i32 = 1;
const FIRST: u8 = 0x21;
const LAST: u8 = 0x7e;
/// The bytes of a host. They have ids of their own: a brand's name tells another thing there than in a path.
const HOST_BYTES: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789.-/:_@%";
const HOST_FIRST: i32 = (LAST - FIRST) as i32 + 3;
pub const HOST_OTHER: i32 = HOST_FIRST + HOST_BYTES.len() as i32;
/// Ids there are: pad; other and each visible ASCII byte, behind the host; the bytes of a host, and other there.
pub const VOCABULARY: usize = HOST_OTHER as usize + 1;
const HOST_IDS: [i32; 256] = host_ids();

/// The URL without surrounding blanks and controls and without `http://` or `https://` in any case.
///
/// The scheme tells the training data's origin rather than phishing; `www.` stays.
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

/// The URL's ids, padded at the end. The host's case does not matter (RFC 3986 §6.2.2.1).
pub fn ids(url: &[u8]) -> [i32; POSITIONS] {
    let mut ids = [PAD; POSITIONS];
    let read = without_scheme(url);
    let (host, behind) = read.split_at(host_end(read));
    for (id, byte) in ids.iter_mut().zip(host) {
        *id = HOST_IDS[usize::from(*byte)];
    }
    for (id, byte) in ids.iter_mut().skip(host.len()).zip(behind) {
        *id = if (FIRST..=LAST).contains(byte) { i32::from(byte - FIRST) + 2 } else { OTHER };
    }
    ids
}

/// What stands for a byte that the model is not to see, where `id` stands.
pub fn hidden(id: i32) -> i32 {
    if id >= HOST_FIRST { HOST_OTHER } else { OTHER }
}

/// Behind the first slash, or before the first `?` or `#`, or the end.
fn host_end(read: &[u8]) -> usize {
    let mark = read.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
    mark.map_or(read.len(), |mark| mark + usize::from(read[mark] == b'/'))
}

const fn host_ids() -> [i32; 256] {
    let mut ids = [HOST_OTHER; 256];
    let mut place = 0;
    while place < HOST_BYTES.len() {
        let byte = HOST_BYTES[place];
        ids[byte as usize] = HOST_FIRST + place as i32;
        ids[byte.to_ascii_uppercase() as usize] = ids[byte as usize];
        place += 1;
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
        assert_eq!(ids[0], HOST_FIRST + i32::from(b'h' - b'a'));
        assert_eq!(ids[POSITIONS - 1], i32::from(b'a' - FIRST) + 2);
    }

    #[test]
    fn scheme_goes_in_any_case_and_www_stays() {
        assert_eq!(without_scheme(b" HtTpS://www.Example.com/ \n"), b"www.Example.com/");
        assert_eq!(without_scheme(b"ftp://example.com"), b"ftp://example.com");
        assert_eq!(without_scheme(b"http:/"), b"http:/");
        assert_eq!(without_scheme(b" \t "), b"");
    }

    #[test]
    fn host_has_ids_of_its_own_and_no_case() {
        for (url, host) in [("Ab.c/d?e", 5), ("Ab.c?d/e", 4), ("Ab.c#d/e", 4), ("Ab.c", 4)] {
            let [ids, lower] = [url, &url.to_lowercase()].map(|url| ids(url.as_bytes()));
            assert_eq!(ids, lower, "{url}");
            assert!(ids[..host].iter().all(|id| *id >= HOST_FIRST) && ids[host..].iter().all(|id| *id < HOST_FIRST), "{url}: {ids:?}");
        }
        assert_ne!(ids(b"a.b/C"), ids(b"a.b/c"));
    }

    #[test]
    fn bytes_outside_visible_ascii_are_other() {
        assert_eq!(ids("/a\u{fc}b".as_bytes())[1..6], [66, 1, 1, 67, 0]);
        assert_eq!(ids("a\u{fc}b".as_bytes())[..5], [96, 139, 139, 97, 0]);
    }
}
