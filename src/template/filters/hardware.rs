//! Addresses of network cards: EUI-48 (MAC) and EUI-64.

use super::super::{Error, Result};
use crate::program::Value;

/// One of 48 or 64 bits.
#[derive(Clone, Copy, Debug)]
pub struct Address {
    value: u64,
    bits: u32,
}

impl Address {
    /// Any of the ways in which vendors write them, or a number.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('\n').unwrap_or(text);
        // Digits between separators: at most (Postgres: at least, too) so many.
        let forms: [(char, usize, usize, usize, u32); 14] = [
            (':', 6, 1, 2, 48),
            ('-', 6, 1, 2, 48),
            (':', 3, 1, 4, 48),
            ('-', 3, 1, 4, 48),
            ('.', 3, 1, 4, 48),
            ('-', 2, 5, 6, 48),
            (':', 2, 5, 6, 48),
            (' ', 1, 11, 12, 48),
            (':', 8, 1, 2, 64),
            ('-', 8, 1, 2, 64),
            (':', 4, 1, 4, 64),
            ('-', 4, 1, 4, 64),
            ('.', 4, 1, 4, 64),
            (' ', 1, 16, 16, 64),
        ];
        for (separator, words, least, most, bits) in forms {
            let parts: Vec<&str> = text.split(separator).collect();
            let fits = |part: &str| (least..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_hexdigit());
            if parts.len() == words && parts.iter().all(|part| fits(part)) {
                let join = |value: u64, part: &&str| {
                    (value.checked_shl(bits / words as u32).unwrap_or(0)) | u64::from_str_radix(part, 16).unwrap_or(0)
                };
                return Some(Self { value: parts.iter().fold(0, join), bits });
            }
        }
        let value: u64 = text.trim().parse().ok()?;
        Some(Self { value, bits: if value >> 48 == 0 { 48 } else { 64 } })
    }

    /// The identifier of its interface in an internet address: RFC 4291, section 2.5.1.
    pub fn interface(self) -> u128 {
        let wide = if self.bits == 48 { (self.value >> 24) << 40 | 0xff_fe00_0000 | (self.value & 0xff_ffff) } else { self.value };
        u128::from(wide ^ 0x0200_0000_0000_0000)
    }

    fn shown(self, words: u32, separator: &str, format: fn(u64) -> String) -> Result<Value> {
        if self.bits != 48 {
            return Err(Error::failed("integer out of bounds"));
        }
        let width = 48 / words;
        let parts: Vec<String> = (0..words).rev().map(|word| format(self.value >> (word * width) & (u64::MAX >> (64 - width)))).collect();
        Ok(parts.join(separator).into())
    }
}

/// The filter `hwaddr`.
pub fn filter(value: &str, query: &str) -> Result<Value> {
    let found = Address::parse(value);
    match (found, query) {
        (None, "" | "bool") => Ok(Value::Null),
        (None, _) => Err(Error::failed(format!("not a hardware address: {value}"))),
        (Some(_), "") => Ok(value.into()),
        (Some(_), "bool") => Ok(true.into()),
        (Some(address), "int") => Ok(i64::try_from(address.value).map_or_else(|_| address.value.to_string().into(), Value::Int)),
        (Some(address), "bare") => address.shown(1, "", |word| format!("{word:012X}")),
        (Some(address), "cisco") => address.shown(3, ".", |word| format!("{word:04x}")),
        (Some(address), "eui48" | "win") => address.shown(6, "-", |word| format!("{word:02X}")),
        (Some(address), "linux") => address.shown(6, ":", |word| format!("{word:02x}")),
        (Some(address), "pgsql" | "postgresql" | "psql") => address.shown(2, ":", |word| format!("{word:06x}")),
        (Some(address), "unix") => address.shown(6, ":", |word| format!("{word:x}")),
        (Some(_), other) => Err(Error::failed(format!("unknown filter type: {other}"))),
    }
}
