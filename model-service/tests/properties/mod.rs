//! What `fuzz/` tries for hours, tried for a moment: bodies and URLs of any bytes, the same in every run.

use model_service::preprocessing::{OTHER, PAD, POSITIONS, VOCABULARY, ids, without_scheme};
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

#[test]
fn any_body_is_urls_within_the_limits_or_a_clear_4xx() {
    let mut numbers = Numbers::new();
    let (mut read, mut refused) = (0, 0);
    for _ in 0..CASES {
        let body = bytes(&mut numbers);
        let shown = String::from_utf8_lossy(&body);
        for format in [Format::Json, Format::Form] {
            match asked(format, &body) {
                Ok(asked) => {
                    read += 1;
                    assert!((1..=LARGEST_BATCH).contains(&asked.urls.len()), "{shown}");
                    assert!(asked.urls.iter().all(|url| !url.trim().is_empty() && url.len() <= LONGEST_URL), "{shown}");
                    assert!(asked.urls.len() == 1 || !matches!(asked.shape, Shape::Single | Shape::Named), "{shown}");
                }
                Err(refusal) => {
                    refused += 1;
                    assert!(refusal.status.is_client_error() && !refusal.message.is_empty(), "{shown}");
                }
            }
        }
        if let Err(refusal) = told(&body) {
            assert!(refusal.status.is_client_error(), "{shown}");
        }
    }
    assert!(read > 500 && refused > 500, "{read} read, {refused} refused: the cases are one-sided");
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
        assert_eq!(asked(Format::Json, json.as_bytes()).unwrap().urls, std::slice::from_ref(&url));
        let form = format!("url={}", percent_encoding::utf8_percent_encode(&url, percent_encoding::NON_ALPHANUMERIC));
        assert_eq!(asked(Format::Form, form.as_bytes()).unwrap().urls, [url]);
    }
}

#[test]
fn any_url_becomes_ids_of_the_vocabulary_with_padding_only_behind() {
    let mut numbers = Numbers::new();
    for _ in 0..CASES {
        let url = bytes(&mut numbers);
        let found = ids(&url);
        let length = without_scheme(&url).len().min(POSITIONS);
        assert!(found[..length].iter().all(|id| (OTHER..VOCABULARY as i32).contains(id)), "{url:?}");
        assert!(found[length..].iter().all(|id| *id == PAD), "{url:?}");
        assert_eq!(ids(&[b" \t", url.as_slice(), b"\r\n"].concat()), found, "blanks around it never matter: {url:?}");
    }
}
