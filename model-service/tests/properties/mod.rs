//! What `fuzz/` tries for hours, tried for a moment: bodies and URLs of any bytes, the same in every run, and what it found.

use std::path::Path;

use model_service::app::fields;
use model_service::preprocessing::{OTHER, PAD, POSITIONS, VOCABULARY, hidden, ids, without_scheme};
use model_service::request::{Format, LARGEST_BATCH, LONGEST_URL, Shape, asked, told};

use crate::Numbers;

const CASES: usize = 20_000;
const WORDS: [&[u8]; 34] = [
    b"{",
    b"{",
    b"}",
    b"}",
    b"[",
    b"]",
    b":",
    b":",
    b",",
    b"\"",
    b"\\",
    b"\"url\"",
    b"\"urls\"",
    b"\"data\"",
    b"\"input_url\"",
    b"\"model_name\"",
    b"\"label\"",
    b"\"feedback\"",
    b"\"a\"",
    b"null",
    b"1",
    b"url=",
    b"&",
    b"%",
    b"%ff",
    b"%2",
    b"+",
    b"http://",
    b"HTTPS://",
    b" ",
    b"\n",
    "ü".as_bytes(),
    b"\\ud800",
    b"\xff",
];

/// Bytes, or what the parsers look for put together anyhow, or a whole body with one byte changed.
fn bytes(numbers: &mut Numbers) -> Vec<u8> {
    match numbers.below(3) {
        0 => (0..numbers.below(300)).map(|_| numbers.below(256) as u8).collect(),
        1 => (0..numbers.below(20)).flat_map(|_| WORDS[numbers.below(WORDS.len())].to_vec()).collect(),
        _ => {
            let whole =
                [r#"{"urls":["a","b"]}"#, r#"{"model_name":"m","input_url":"a"}"#, r#"{"url":"a","label":1,"feedback":0}"#, "url=a%20b"];
            let mut body = whole[numbers.below(whole.len())].as_bytes().to_vec();
            let at = numbers.below(body.len());
            body[at] = numbers.below(256) as u8;
            body
        }
    }
}

/// How many of a body's two readings are URLs; the rest are refusals.
fn readings(body: &[u8]) -> usize {
    let shown = String::from_utf8_lossy(body);
    let formats = [Format::Json, Format::Form];
    let found = formats.map(|format| asked(format, body));
    for (format, found) in formats.into_iter().zip(&found) {
        let fields = fields::read(format, body);
        if let Err(refusal) = &fields {
            assert!(refusal.status.is_client_error() && !refusal.message.is_empty(), "{shown}");
        }
        if std::str::from_utf8(body).is_err() {
            assert!(fields.as_ref().is_err_and(|refusal| refusal.code == "invalid_utf8"), "{shown}");
        }
        match found {
            Ok(asked) => {
                if asked.shape == Shape::Single || format == Format::Form {
                    assert_eq!(fields.unwrap().get("url"), asked.urls.last(), "{shown}: the app reads the same URL");
                }
                assert!((1..=LARGEST_BATCH).contains(&asked.urls.len()), "{shown}");
                assert!(asked.urls.iter().all(|url| !url.trim().is_empty() && url.len() <= LONGEST_URL), "{shown}");
                assert!(asked.urls.len() == 1 || !matches!(asked.shape, Shape::Single | Shape::Named), "{shown}");
            }
            Err(refusal) => assert!(refusal.status.is_client_error() && !refusal.message.is_empty(), "{shown}"),
        }
    }
    if let Err(refusal) = told(body) {
        assert!(refusal.status.is_client_error(), "{shown}");
    }
    found.iter().filter(|found| found.is_ok()).count()
}

/// The inputs that fuzzing found to take ways of their own, one a line as Rust writes bytes: `\xff`, `\n`, `\\`.
fn found_by_fuzzing(target: &str) -> Vec<Vec<u8>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/cases").join(target);
    let cases: Vec<Vec<u8>> = std::fs::read_to_string(file).unwrap().lines().map(unescaped).collect();
    assert!(cases.len() > 20, "{target}: {}", cases.len());
    cases
}

fn unescaped(line: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), line.bytes());
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next().unwrap() {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'x' => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                quoted => quoted,
            },
            plain => plain,
        });
    }
    bytes
}

#[test]
fn any_body_is_urls_within_the_limits_or_a_clear_4xx() {
    let mut numbers = Numbers::new();
    let read: usize = (0..CASES).map(|_| readings(&bytes(&mut numbers))).sum();
    assert!((500..2 * CASES - 500).contains(&read), "{read} read: the cases are one-sided");
}

#[test]
fn bodies_that_fuzzing_found_are_urls_within_the_limits_or_a_clear_4xx() {
    let cases = found_by_fuzzing("body");
    let read: usize = cases.iter().map(|body| readings(body)).sum();
    assert!((5..2 * cases.len() - 5).contains(&read), "{read} read: the cases are one-sided");
    assert!(cases.iter().any(|body| std::str::from_utf8(body).is_err()), "the file was read as text");
}

#[test]
fn any_url_can_be_sent_and_is_read_back() {
    let mut numbers = Numbers::new();
    for _ in 0..2_000 {
        let url: String = (0..=numbers.below(100))
            .filter_map(|_| char::from_u32([0x7f, 0x800, 0x11_0000].map(|most| numbers.below(most))[numbers.below(3)] as u32))
            .collect();
        if url.trim().is_empty() {
            continue;
        }
        let json = serde_json::json!({ "url": url }).to_string();
        let form = format!("url={}", percent_encoding::utf8_percent_encode(&url, percent_encoding::NON_ALPHANUMERIC));
        for (format, body) in [(Format::Json, &json), (Format::Form, &form)] {
            assert_eq!(asked(format, body.as_bytes()).unwrap().urls, std::slice::from_ref(&url));
            assert_eq!(fields::read(format, body.as_bytes()).unwrap(), [("url".to_owned(), url.clone())].into());
        }
    }
}

/// Ids of the vocabulary, the host's in front, with padding only behind; blanks around it never matter.
fn ids_hold(url: &[u8]) {
    let found = ids(url);
    let length = without_scheme(url).len().min(POSITIONS);
    assert!(found[..length].iter().all(|id| (OTHER..VOCABULARY as i32).contains(id)), "{url:?}");
    assert!(found[length..].iter().all(|id| *id == PAD), "{url:?}");
    assert!(found.is_sorted_by_key(|id| hidden(*id) == OTHER), "{url:?}: the host's ids stand together, in front");
    assert_eq!(ids(&[b" \t", url, b"\r\n"].concat()), found, "{url:?}");
}

#[test]
fn any_url_becomes_ids_of_the_vocabulary_with_padding_only_behind() {
    let mut numbers = Numbers::new();
    (0..CASES).for_each(|_| ids_hold(&bytes(&mut numbers)));
}

#[test]
fn urls_that_fuzzing_found_become_ids_of_the_vocabulary_with_padding_only_behind() {
    found_by_fuzzing("preprocessing").iter().for_each(|url| ids_hold(url));
}
