//! Encodings and digests: base64, hashes, UUIDs, passwords.

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD, URL_SAFE};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::super::arguments::{Bound, integer, strict_text, text};
use super::super::crypt::{self, Settings};
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

fn password_hash(context: &Context, input: Value, given: Bound) -> Result<Value> {
    let kind = given.text(0, "sha512")?;
    let kind = match kind.as_str() {
        "md5" => "md5_crypt",
        "blowfish" => "bcrypt",
        "sha256" => "sha256_crypt",
        "sha512" => "sha512_crypt",
        other => other,
    };
    if given.some(2).is_some_and(|size| !matches!(size, Value::Int(_) | Value::Bool(_))) {
        return Err(Error::failed("'salt_size' is a whole number"));
    }
    let settings = Settings {
        salt: given.some(1).map(text).transpose()?.filter(|salt| !salt.is_empty()),
        salt_size: given.some(2).map(integer).transpose()?.filter(|size| *size != 0),
        rounds: given.some(3).filter(|rounds| rounds.is_truthy()).map(integer).transpose()?,
        ident: given.some(4).map(text).transpose()?.filter(|ident| !ident.is_empty()),
    };
    let hash = crypt::hash(strict_text(&input)?, kind, &settings, &mut || context.evaluator.scope.random())?;
    Ok(Value::text(hash))
}
