//! Bytes as a text whose letters are the bytes, for modules whose patterns are Python's patterns of bytes.

use crate::template::regex;

/// Bytes above ASCII become letters of a private use area: they are in no class (`\w`, `\s`), have no case, and `.` takes each
/// for one, as Python's patterns of bytes do.
const FIRST: u32 = 0xE000;

pub fn encode(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { letter(*byte) }).collect()
}

fn letter(byte: u8) -> char {
    char::from_u32(FIRST + u32::from(byte)).expect("the private use area has no gaps")
}

/// The bytes again; of a text that is not from [`encode`] its UTF-8.
pub fn decode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for letter in text.chars() {
        match u32::from(letter).checked_sub(FIRST).map(u8::try_from) {
            Some(Ok(byte)) if !byte.is_ascii() => bytes.push(byte),
            _ => bytes.extend(letter.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    bytes
}

/// A pattern of bytes: its own letters as they are encoded, `\xe9` as that byte.
pub fn pattern(text: &str) -> String {
    let encoded = encode(text.as_bytes());
    let mut output = String::with_capacity(encoded.len());
    let mut rest = encoded.as_str();
    while let Some(at) = rest.find('\\') {
        output.push_str(&rest[..at]);
        rest = &rest[at..];
        let byte = rest.strip_prefix("\\x").and_then(|digits| u8::from_str_radix(digits.get(..2)?, 16).ok());
        if let Some(byte) = byte.filter(|byte| !byte.is_ascii()) {
            output.push(letter(byte));
            rest = &rest[4..];
            continue;
        }
        // The escaped letter is no beginning of another escape.
        let length = rest.char_indices().nth(2).map_or(rest.len(), |(end, _)| end);
        output.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    output + rest
}

/// The compiled pattern of bytes.
pub fn compile(text: &str) -> crate::system::Result<std::sync::Arc<fancy_regex::Regex>> {
    regex::flagged(&pattern(text), "").map_err(|error| crate::system::Error::failed(format!("`{text}` is no pattern: {}", error.message)))
}

/// Whether a pattern can be read, for what a user wrote as it stands.
pub fn check(text: &str) -> Result<(), String> {
    regex::flagged(&pattern(text), "").map(drop).map_err(|error| error.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&all)), all);
    }

    #[test]
    fn patterns_see_bytes() {
        for (wanted, text, found) in [
            ("^caf..$", "café".as_bytes(), true),
            ("^caf.$", "café".as_bytes(), false),
            ("^\\w+$", "café".as_bytes(), false),
            ("é", "café\n".as_bytes(), true),
            ("caf\\xc3\\xa9$", "café\n".as_bytes(), true),
            ("[\\x80-\\xff]{2}", "é".as_bytes(), true),
            ("(?i)É", "é".as_bytes(), false),
            ("\\\\xe9", b"\\xe9", true),
            ("a.c", b"a\xffc", true),
        ] {
            let regex = compile(wanted).expect("is a pattern");
            assert_eq!(regex.is_match(encode(text).as_str()).expect("matches"), found, "{wanted} in {text:?}");
        }
    }
}
