//! Public keys of OpenPGP: what tells one from another, and until when they are good. Sources: RFC 4880 and, for its packets, RFC 9580.

use base64::Engine as _;

use crate::system::Digest;

const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";

/// A primary key with all that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// 40 hexadecimal digits, upper case; the last 16 are the id.
    pub fingerprint: String,
    /// Its own fingerprint and its subkeys', those that have expired left out.
    pub ids: Vec<String>,
    /// Its packets.
    pub packets: Vec<u8>,
}

/// The keys of a file, armoured or not; at a time in seconds since the epoch. `None`: there is something else in it.
pub fn keys(content: &[u8], now: u64) -> Option<Vec<Key>> {
    let bytes = match std::str::from_utf8(content) {
        Ok(text) if text.contains(BEGIN) => unarmoured(text)?,
        _ => content.to_vec(),
    };
    let mut keys: Vec<Key> = Vec::new();
    let mut open: Vec<Part> = Vec::new();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let (packet, after) = packet(rest)?;
        let whole = &rest[..rest.len() - after.len()];
        rest = after;
        match packet.tag {
            PRIMARY => {
                keys.extend(finished(&mut open, now));
                open.push(Part::of(&packet, whole)?);
            }
            SUBKEY => open.push(Part::of(&packet, whole)?),
            // What stands before the first key belongs to none.
            _ => {
                let primary = open.first().map(|part| part.fingerprint[24..].to_owned())?;
                let part = open.last_mut()?;
                if packet.tag == SIGNATURE {
                    part.learn(packet.body, &primary);
                }
                part.packets.extend(whole);
            }
        }
    }
    keys.extend(finished(&mut open, now));
    Some(keys).filter(|keys| !keys.is_empty())
}

fn finished(parts: &mut Vec<Part>, now: u64) -> Option<Key> {
    let fingerprint = parts.first()?.fingerprint.clone();
    let ids = parts.iter().filter(|part| !part.is_over(now)).map(|part| part.fingerprint.clone()).collect();
    Some(Key { fingerprint, ids, packets: parts.drain(..).flat_map(|part| part.packets).collect() })
}

/// Every armoured block's bytes.
fn unarmoured(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for block in text.split(BEGIN).skip(1) {
        // Headers end with an empty line; `=` begins the checksum.
        let lines = block.lines().skip(1).map(str::trim).skip_while(|line| line.contains(": ")).skip_while(|line| line.is_empty());
        let data: String = lines.take_while(|line| !line.starts_with(['=', '-'])).collect();
        bytes.extend(base64::engine::general_purpose::STANDARD.decode(data).ok()?);
    }
    Some(bytes)
}

/// Packets as text (RFC 9580, 6.2).
pub fn armoured(packets: &[u8]) -> String {
    let data = base64::engine::general_purpose::STANDARD.encode(packets);
    let lines: Vec<String> = data.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    format!("{BEGIN}\n\n{}\n-----END PGP PUBLIC KEY BLOCK-----\n", lines.join("\n"))
}

const SIGNATURE: u8 = 2;
const PRIMARY: u8 = 6;
const SUBKEY: u8 = 14;

struct Packet<'bytes> {
    tag: u8,
    body: &'bytes [u8],
}

/// The first packet, and what comes after it (RFC 9580, 4.2).
fn packet(bytes: &[u8]) -> Option<(Packet<'_>, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first & 0x80 == 0 {
        return None;
    }
    let is_new = first & 0x40 != 0;
    let tag = if is_new { first & 0x3f } else { (first >> 2) & 0x0f };
    let (length, rest) = match (is_new, first & 3) {
        (true, _) => length(rest)?,
        (false, 3) => (rest.len(), rest),
        (false, size) => number(rest, 1 << size)?,
    };
    let (body, after) = rest.split_at_checked(length)?;
    Some((Packet { tag, body }, after))
}

/// A length of one, two or five octets; parts of unknown number are not for keys.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    match first {
        0..=191 => Some((usize::from(first), rest)),
        192..=223 => {
            let (&second, rest) = rest.split_first()?;
            Some((((usize::from(first) - 192) << 8) + usize::from(second) + 192, rest))
        }
        255 => number(rest, 4),
        _ => None,
    }
}

fn number(bytes: &[u8], size: usize) -> Option<(usize, &[u8])> {
    let (digits, rest) = bytes.split_at_checked(size)?;
    Some((digits.iter().fold(0, |number, digit| number << 8 | usize::from(*digit)), rest))
}

/// The primary key or a subkey, on its way.
struct Part {
    fingerprint: String,
    created: u64,
    /// Of its latest own signature: when that was made, and for how many seconds the key is good (0: for ever).
    signed: Option<(u64, u64)>,
    packets: Vec<u8>,
}

impl Part {
    /// Version 4 alone has ids that gpg and apt know.
    fn of(packet: &Packet<'_>, whole: &[u8]) -> Option<Self> {
        if packet.body.first() != Some(&4) {
            return None;
        }
        let created = number(packet.body.get(1..)?, 4)?.0 as u64;
        let size = u16::try_from(packet.body.len()).ok()?.to_be_bytes();
        let fingerprint = Digest::Sha1.of(&[&[0x99], size.as_slice(), packet.body].concat()).to_uppercase();
        Some(Self { fingerprint, created, signed: None, packets: whole.to_vec() })
    }

    fn is_over(&self, now: u64) -> bool {
        self.signed.is_some_and(|(_, seconds)| seconds > 0 && self.created + seconds <= now)
    }

    /// A signature by the primary key over itself, a user id or a subkey (RFC 9580, 5.2).
    fn learn(&mut self, body: &[u8], primary: &str) {
        const SELF: [u8; 6] = [0x10, 0x11, 0x12, 0x13, 0x18, 0x1f];
        if body.first() != Some(&4) || !body.get(1).is_some_and(|kind| SELF.contains(kind)) {
            return;
        }
        let area = |from: usize| {
            let (size, rest) = number(body.get(from..)?, 2)?;
            Some((rest.get(..size)?, from + 2 + size))
        };
        let Some((hashed, next)) = area(4) else { return };
        let Some((unhashed, _)) = area(next) else { return };
        let (mut made, mut seconds) = (0, 0);
        for (kind, data) in subpackets(hashed).into_iter().chain(subpackets(unhashed).into_iter().filter(|(kind, _)| *kind == 16)) {
            let number = || number(data, 4).map_or(0, |(number, _)| number as u64);
            match kind {
                2 => made = number(),
                9 => seconds = number(),
                16 if hex::encode_upper(data) != primary => return,
                _ => {}
            }
        }
        if self.signed.is_none_or(|(latest, _)| made >= latest) {
            self.signed = Some((made, seconds));
        }
    }
}

/// Types and data.
fn subpackets(mut area: &[u8]) -> Vec<(u8, &[u8])> {
    let mut found = Vec::new();
    while let Some((size, rest)) = length(area) {
        let Some((packet, after)) = rest.split_at_checked(size) else { break };
        // The highest bit says "critical".
        found.extend(packet.split_first().map(|(kind, data)| (kind & 0x7f, data)));
        area = after;
    }
    found
}
