//! Encodings and digests: base64, hashes, UUIDs, passwords.

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD, URL_SAFE};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::super::arguments::{Bound, integer, strict_text, text};
use super::super::evaluate::Context;
use super::super::{Error, Result};
use super::Filter;
use crate::program::Value;

pub const FILTERS: &[Filter] = &[
    Filter::new("b64decode", &["encoding", "urlsafe"], decode),
    Filter::new("b64encode", &["encoding", "urlsafe"], encode),
    Filter::new("checksum", &[], |_, input, _| digest(&input, "sha1")),
    Filter::new("hash", &["hashtype"], |_, input, given| digest(&input, &given.text(0, "sha1")?)),
    Filter::new("md5", &[], |_, input, _| digest(&input, "md5")),
    Filter::new("password_hash", &["hashtype", "salt", "salt_size", "rounds", "ident"], password_hash),
    Filter::new("sha1", &[], |_, input, _| digest(&input, "sha1")),
    Filter::new("to_uuid", &["namespace"], to_uuid),
];

fn bytes(text: &str, encoding: &str) -> Result<Vec<u8>> {
    match encoding.to_lowercase().replace('_', "-").as_str() {
        "utf-8" | "utf8" | "ascii" => Ok(text.as_bytes().to_vec()),
        "utf-16-le" | "utf-16le" => Ok(text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        "utf-16-be" | "utf-16be" => Ok(text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
        "utf-16" => Ok([0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect()),
        "latin-1" | "iso-8859-1" | "latin1" => text
            .chars()
            .map(|letter| {
                u8::try_from(letter as u32).map_err(|_| Error::failed(format!("'latin-1' codec can't encode character {letter:?}")))
            })
            .collect(),
        other => Err(Error::failed(format!("unknown encoding: {other}")).hint("utf-8, utf-16-le, utf-16-be, utf-16 and latin-1 are known")),
    }
}

fn encode(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let bytes = bytes(&text(&input)?, &given.text(0, "utf-8")?)?;
    Ok(Value::text(if given.truth(1, false)? { URL_SAFE.encode(bytes) } else { STANDARD.encode(bytes) }))
}

fn decode(_: &Context, input: Value, given: Bound) -> Result<Value> {
    // As Python does, letters outside of the alphabet are skipped.
    let safe = given.truth(1, false)?;
    let clean: String = text(&input)?
        .chars()
        .map(|letter| match letter {
            '-' if safe => '+',
            '_' if safe => '/',
            other => other,
        })
        .filter(|letter| letter.is_ascii_alphanumeric() || "+/=".contains(*letter))
        .collect();
    let engine = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::RequireCanonical).with_decode_allow_trailing_bits(true),
    );
    let decoded = engine.decode(clean).map_err(|error| Error::failed(format!("malformed base64: {error}")))?;
    let encoding = given.text(0, "utf-8")?;
    let wide = |bytes: &[u8], pair: fn([u8; 2]) -> u16| -> Result<String> {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|chunk| pair([chunk[0], chunk[1]])).collect();
        String::from_utf16(&units).map_err(|_| Error::failed("the decoded bytes are no UTF-16 text"))
    };
    let decoded = match encoding.to_lowercase().as_str() {
        "utf-16-le" | "utf-16le" => wide(&decoded, u16::from_le_bytes)?,
        "utf-16-be" | "utf-16be" => wide(&decoded, u16::from_be_bytes)?,
        "utf-16" => wide(decoded.strip_prefix(&[0xff, 0xfe]).unwrap_or(&decoded), u16::from_le_bytes)?,
        "latin-1" | "iso-8859-1" => decoded.into_iter().map(char::from).collect(),
        // `to_text` replaces what is no UTF-8 by surrogates; there are none in our texts.
        _ => String::from_utf8(decoded).map_err(|_| Error::failed("the decoded bytes are no UTF-8 text"))?,
    };
    Ok(Value::text(decoded))
}

fn digest(input: &Value, kind: &str) -> Result<Value> {
    let data = text(input)?;
    let data = data.as_bytes();
    Ok(Value::text(match kind.to_lowercase().replace('-', "").as_str() {
        "md5" => hex::encode(Md5::digest(data)),
        "sha1" => hex::encode(Sha1::digest(data)),
        "sha224" => hex::encode(Sha224::digest(data)),
        "sha256" => hex::encode(Sha256::digest(data)),
        "sha384" => hex::encode(Sha384::digest(data)),
        "sha512" => hex::encode(Sha512::digest(data)),
        _ => {
            return Err(
                Error::failed(format!("unsupported hash type {kind}")).hint("md5, sha1, sha224, sha256, sha384 and sha512 are supported")
            );
        }
    }))
}

/// A UUID of version 5 (RFC 9562 §5.5); the default namespace is Ansible's.
fn to_uuid(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let namespace = given.text(0, "361E6D51-FAEC-444A-9079-341386DA8E2E")?;
    let digits: String = namespace.trim_start_matches("urn:uuid:").chars().filter(char::is_ascii_hexdigit).collect();
    let wrong = || Error::failed(format!("Invalid value '{namespace}' for 'namespace': badly formed hexadecimal UUID string"));
    let space = hex::decode(&digits).map_err(|_| wrong())?;
    if space.len() != 16 {
        return Err(wrong());
    }
    let mut hash = Sha1::new();
    hash.update(&space);
    hash.update(text(&input)?.as_bytes());
    let mut id = hash.finalize();
    id[6] = (id[6] & 0x0f) | 0x50;
    id[8] = (id[8] & 0x3f) | 0x80;
    let id = hex::encode(&id[..16]);
    Ok(Value::text(format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..])))
}

/// The alphabet of crypt(3).
const CRYPT: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

fn password_hash(context: &Context, input: Value, given: Bound) -> Result<Value> {
    let kind = given.text(0, "sha512")?;
    let wide = match kind.as_str() {
        "sha512" | "sha512_crypt" => true,
        "sha256" | "sha256_crypt" => false,
        other => {
            return Err(Error::failed(format!("password_hash: the type '{other}' is not supported")).hint("use 'sha512' or 'sha256'"));
        }
    };
    if given.some(4).is_some() {
        return Err(Error::failed("password_hash: 'ident' is for bcrypt only, which is not supported"));
    }
    let salt = match given.some(1) {
        Some(salt) => text(salt)?,
        None => {
            let size = given.some(2).map_or(Ok(16), integer)?;
            let mut salt = String::new();
            for _ in 0..size.clamp(1, 16) {
                let letter = context.evaluator.scope.random()? % 64;
                salt.push(char::from(CRYPT[letter as usize]));
            }
            salt
        }
    };
    if !salt.bytes().all(|letter| CRYPT.contains(&letter)) {
        return Err(Error::failed("password_hash: invalid characters in salt"));
    }
    if salt.len() > 16 {
        return Err(Error::failed("password_hash: the salt has over 16 characters"));
    }
    let password = strict_text(&input)?;
    // Ansible's defaults; 5000 is crypt(3)'s own and is not written.
    let default = if wide { 656_000 } else { 535_000 };
    let rounds = given.some(3).map_or(Ok(default), integer)?;
    if !(1000..=999_999_999).contains(&rounds) {
        return Err(Error::failed(format!("password_hash: rounds must be between 1000 and 999999999, not {rounds}")));
    }
    let rounds = rounds as u32;
    Ok(Value::text(if wide {
        crypt::<Sha512>(password.as_bytes(), salt.as_bytes(), rounds, "$6$", &ORDER_512)
    } else {
        crypt::<Sha256>(password.as_bytes(), salt.as_bytes(), rounds, "$5$", &ORDER_256)
    }))
}

/// Bytes of the digest in the order they are written, three by three; 255 stands for none.
const ORDER_512: [[u8; 3]; 22] = [
    [0, 21, 42],
    [22, 43, 1],
    [44, 2, 23],
    [3, 24, 45],
    [25, 46, 4],
    [47, 5, 26],
    [6, 27, 48],
    [28, 49, 7],
    [50, 8, 29],
    [9, 30, 51],
    [31, 52, 10],
    [53, 11, 32],
    [12, 33, 54],
    [34, 55, 13],
    [56, 14, 35],
    [15, 36, 57],
    [37, 58, 16],
    [59, 17, 38],
    [18, 39, 60],
    [40, 61, 19],
    [62, 20, 41],
    [255, 255, 63],
];
const ORDER_256: [[u8; 3]; 11] = [
    [0, 10, 20],
    [21, 1, 11],
    [12, 22, 2],
    [3, 13, 23],
    [24, 4, 14],
    [15, 25, 5],
    [6, 16, 26],
    [27, 7, 17],
    [18, 28, 8],
    [9, 19, 29],
    [255, 31, 30],
];

/// Ulrich Drepper's "Unix crypt using SHA-256 and SHA-512".
fn crypt<D: Digest>(password: &[u8], salt: &[u8], rounds: u32, prefix: &str, order: &[[u8; 3]]) -> String {
    let repeated = |block: &[u8], length: usize| block.iter().copied().cycle().take(length).collect::<Vec<u8>>();
    let alternate = D::digest([password, salt, password].concat());
    let mut first = [password, salt].concat();
    first.extend(repeated(&alternate, password.len()));
    let mut length = password.len();
    while length > 0 {
        if length & 1 == 1 {
            first.extend_from_slice(&alternate);
        } else {
            first.extend_from_slice(password);
        }
        length >>= 1;
    }
    let mut current = D::digest(first).to_vec();
    let sequence = repeated(&D::digest(password.repeat(password.len())), password.len());
    let salts = repeated(&D::digest(salt.repeat(16 + usize::from(current[0]))), salt.len());
    for round in 0..rounds {
        let mut next = Vec::new();
        if round % 2 == 1 {
            next.extend_from_slice(&sequence);
        } else {
            next.extend_from_slice(&current);
        }
        if round % 3 != 0 {
            next.extend_from_slice(&salts);
        }
        if round % 7 != 0 {
            next.extend_from_slice(&sequence);
        }
        if round % 2 == 1 {
            next.extend_from_slice(&current);
        } else {
            next.extend_from_slice(&sequence);
        }
        current = D::digest(next).to_vec();
    }
    let mut output = prefix.to_owned();
    if rounds != 5000 {
        output += &format!("rounds={rounds}$");
    }
    output += &String::from_utf8_lossy(salt);
    output.push('$');
    for group in order {
        let byte = |index: u8| if index == 255 { 0 } else { u32::from(current[usize::from(index)]) };
        let mut word = (byte(group[0]) << 16) | (byte(group[1]) << 8) | byte(group[2]);
        let letters = match group.iter().map(|index| usize::from(*index == 255)).sum() {
            0 => 4,
            1 => 3,
            _ => 2,
        };
        for _ in 0..letters {
            output.push(char::from(CRYPT[(word & 63) as usize]));
            word >>= 6;
        }
    }
    output
}
