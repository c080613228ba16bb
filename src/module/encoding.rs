//! How a text file is encoded, by Python's names.

use crate::system::{Error, Result};

/// Bytes that are no UTF-8 are kept as letters of the last private use plane, as Python keeps them as surrogates.
const STRAY: u32 = 0x10_FF00;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Utf8,
    Ascii,
    Latin1,
    /// `true`: big-endian.
    Utf16(bool),
}

/// For what a user wrote as it stands.
pub fn check(name: &str) -> std::result::Result<(), String> {
    Encoding::of(name).map(drop).map_err(|error| error.message)
}

impl Encoding {
    pub fn of(name: &str) -> Result<Self> {
        match name.to_ascii_lowercase().replace(['_', ' '], "-").as_str() {
            "utf-8" | "utf8" | "u8" | "utf" | "cp65001" => Ok(Self::Utf8),
            "ascii" | "us-ascii" | "646" => Ok(Self::Ascii),
            "latin-1" | "latin1" | "iso-8859-1" | "iso8859-1" | "8859" | "cp819" | "latin" | "l1" => Ok(Self::Latin1),
            "utf-16-le" | "utf-16le" => Ok(Self::Utf16(false)),
            "utf-16-be" | "utf-16be" => Ok(Self::Utf16(true)),
            _ => Err(Error::failed(format!("the encoding {name} is not supported: utf-8, ascii, latin-1, utf-16-le and utf-16-be are"))),
        }
    }

    pub fn decode(self, bytes: &[u8]) -> std::result::Result<String, String> {
        match self {
            Self::Latin1 => Ok(bytes.iter().copied().map(char::from).collect()),
            Self::Utf8 => {
                Ok(bytes.utf8_chunks().flat_map(|chunk| chunk.valid().chars().chain(chunk.invalid().iter().copied().map(stray))).collect())
            }
            Self::Ascii => Ok(bytes.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { stray(*byte) }).collect()),
            Self::Utf16(big) => {
                let pairs = bytes.chunks(2).map(|pair| match (pair, big) {
                    ([one, other], true) => Some(u16::from_be_bytes([*one, *other])),
                    ([one, other], false) => Some(u16::from_le_bytes([*one, *other])),
                    _ => None,
                });
                let units: Option<Vec<u16>> = pairs.collect();
                units.and_then(|units| String::from_utf16(&units).ok()).ok_or_else(|| "it is no UTF-16".to_owned())
            }
        }
    }

    /// The text where all bytes are in this encoding.
    pub fn strict(self, bytes: &[u8]) -> Option<String> {
        let fits = match self {
            Self::Utf8 => std::str::from_utf8(bytes).is_ok(),
            Self::Ascii => bytes.is_ascii(),
            Self::Latin1 | Self::Utf16(_) => true,
        };
        self.decode(bytes).ok().filter(|_| fits)
    }

    pub fn encode(self, text: &str) -> std::result::Result<Vec<u8>, String> {
        let mut bytes = Vec::with_capacity(text.len());
        for letter in text.chars() {
            let number = u32::from(letter);
            match (self, number.checked_sub(STRAY).and_then(|byte| u8::try_from(byte).ok())) {
                (Self::Utf8 | Self::Ascii, Some(byte)) if !byte.is_ascii() => bytes.push(byte),
                (Self::Utf8, _) => bytes.extend(letter.encode_utf8(&mut [0; 4]).bytes()),
                (Self::Latin1 | Self::Ascii, _) => match u8::try_from(number).ok().filter(|byte| self == Self::Latin1 || byte.is_ascii()) {
                    Some(byte) => bytes.push(byte),
                    None => return Err(format!("{letter:?} is not in this encoding")),
                },
                (Self::Utf16(big), _) => {
                    for unit in letter.encode_utf16(&mut [0; 2]) {
                        bytes.extend(if big { unit.to_be_bytes() } else { unit.to_le_bytes() });
                    }
                }
            }
        }
        Ok(bytes)
    }
}

fn stray(byte: u8) -> char {
    char::from_u32(STRAY + u32::from(byte)).expect("the plane has it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_whatever_they_are() {
        let bytes = b"a\xc3\xa9\xff\xc3b".as_slice();
        for encoding in [Encoding::Utf8, Encoding::Ascii, Encoding::Latin1, Encoding::Utf16(true), Encoding::Utf16(false)] {
            let text = encoding.decode(bytes).expect("reads");
            assert_eq!(encoding.encode(&text).expect("writes"), bytes, "{encoding:?}");
        }
        assert!(Encoding::Utf8.decode(bytes).expect("reads").contains('é'));
        assert!(Encoding::Utf16(true).decode(b"a").is_err());
        assert!(Encoding::Latin1.encode("€").is_err() && Encoding::Ascii.encode("é").is_err());
        assert!(Encoding::of("klingon").is_err());
    }
}
