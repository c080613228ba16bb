//! Hashes of passwords as crypt(3) writes them: `md5_crypt`, `sha256_crypt`, `sha512_crypt`, `bcrypt`; with passlib's bounds, by which
//! ansible-core makes them.

use blowfish::Blowfish;
use md5::Md5;
use sha2::{Digest, Sha256, Sha512};

use super::{Error, Result};

/// What may be said of a hash; what is not is chosen.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub salt: Option<String>,
    /// Of a salt that is chosen.
    pub salt_size: Option<i64>,
    pub rounds: Option<i64>,
    /// Which form of bcrypt: `2b`, `2a`, `2y`, `2`. Others have none.
    pub ident: Option<String>,
}

/// The alphabet of crypt(3).
const CRYPT: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// That of bcrypt.
const BCRYPT: &[u8; 64] = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// The letters of a salt of 16 bytes.
const BCRYPT_SALT: usize = 22;

/// How long a salt is that is chosen for this kind of hash.
pub fn salt_size(kind: &str) -> Option<usize> {
    match kind {
        "md5_crypt" => Some(8),
        "sha256_crypt" | "sha512_crypt" => Some(16),
        "bcrypt" => Some(BCRYPT_SALT),
        _ => None,
    }
}

/// `random` gives numbers that nobody can guess, for a salt.
pub fn hash(password: &str, kind: &str, settings: &Settings, random: &mut dyn FnMut() -> Result<u64>) -> Result<String> {
    let Some(longest) = salt_size(kind) else {
        return Err(Error::failed(format!("passwords are not hashed as '{kind}' here"))
            .hint("use 'sha512', 'sha256', 'blowfish' (bcrypt) or 'md5'"));
    };
    let is_bcrypt = kind == "bcrypt";
    let size = match settings.salt_size.map(usize::try_from) {
        None => longest,
        Some(Ok(size)) if size == longest || (size < longest && !is_bcrypt) => size,
        Some(_) if is_bcrypt => return Err(Error::failed(format!("a salt of bcrypt has {longest} characters"))),
        Some(_) => return Err(Error::failed(format!("a salt of {kind} has at most {longest} characters"))),
    };
    let alphabet = if is_bcrypt { BCRYPT } else { CRYPT };
    let salt = match &settings.salt {
        Some(salt) => salt.clone(),
        None => (0..size).map(|_| random().map(|number| char::from(alphabet[(number % 64) as usize]))).collect::<Result<String>>()?,
    };
    if !salt.bytes().all(|letter| CRYPT.contains(&letter)) {
        return Err(Error::failed("a salt has letters, digits, '.' and '/' only"));
    }
    if salt.len() > longest || (is_bcrypt && salt.len() < longest) {
        let bound = if is_bcrypt { "exactly" } else { "at most" };
        return Err(Error::failed(format!("a salt of {kind} has {bound} {longest} characters, this one {}", salt.len())));
    }
    let rounds = |default: i64, least: i64, most: i64| {
        let rounds = settings.rounds.unwrap_or(default);
        if (least..=most).contains(&rounds) {
            return Ok(rounds as u32);
        }
        Err(Error::failed(format!("rounds of {kind} are between {least} and {most}, unlike {rounds}")))
    };
    let (bytes, salt_bytes) = (password.as_bytes(), salt.as_bytes());
    // Ansible's numbers of rounds, not crypt(3)'s.
    Ok(match kind {
        "sha512_crypt" => sha::<Sha512>(bytes, salt_bytes, rounds(656_000, 1000, 999_999_999)?, "$6$", &ORDER_512),
        "sha256_crypt" => sha::<Sha256>(bytes, salt_bytes, rounds(535_000, 1000, 999_999_999)?, "$5$", &ORDER_256),
        "md5_crypt" => {
            if settings.rounds.is_some() {
                return Err(Error::failed("md5 has no rounds to set"));
            }
            md5(bytes, salt_bytes)
        }
        _ => {
            let ident = settings.ident.as_deref().unwrap_or("2b");
            let ident = ident.strip_prefix('$').and_then(|ident| ident.strip_suffix('$')).unwrap_or(ident);
            if !matches!(ident, "2" | "2a" | "2b" | "2y") {
                return Err(
                    Error::failed(format!("'{ident}' is no ident of bcrypt")).hint("use '2b', or '2a', '2y', '2' for what knows no other")
                );
            }
            if password.contains('\0') {
                return Err(Error::failed("bcrypt hashes no password with a NUL in it"));
            }
            bcrypt(bytes, &salt, rounds(12, 4, 31)?, ident)
        }
    })
}

/// Niels Provos' and David Mazières' "A Future-Adaptable Password Scheme".
fn bcrypt(password: &[u8], salt: &str, cost: u32, ident: &str) -> String {
    /// More of a password does not count.
    const LONGEST: usize = 72;
    let mut key = password.to_vec();
    // The oldest form has no mark of the end.
    if ident != "2" || key.is_empty() {
        key.push(0);
    }
    key.truncate(LONGEST);
    let salt = from_bcrypt64(salt);
    let mut state = Blowfish::bc_init_state();
    state.salted_expand_key(&salt, &key);
    for _ in 0..1u64 << cost {
        state.bc_expand_key(&key);
        state.bc_expand_key(&salt);
    }
    let mut digest = Vec::new();
    for block in b"OrpheanBeholderScryDoubt".chunks(8) {
        let word = |from: usize| block[from..from + 4].iter().fold(0u32, |word, byte| (word << 8) | u32::from(*byte));
        let words = (0..64).fold([word(0), word(4)], |words, _| state.bc_encrypt(words));
        digest.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    }
    // The last byte is left out, as ever since.
    format!("${ident}${cost:02}${}{}", to_bcrypt64(&salt), to_bcrypt64(&digest[..23]))
}

fn to_bcrypt64(bytes: &[u8]) -> String {
    let mut output = String::new();
    for group in bytes.chunks(3) {
        let word = (0..3).fold(0u32, |word, index| (word << 8) | group.get(index).map_or(0, |byte| u32::from(*byte)));
        for index in 0..=group.len() {
            output.push(char::from(BCRYPT[(word >> (18 - 6 * index) & 63) as usize]));
        }
    }
    output
}

/// The 16 bytes of a salt; the bits beyond them, which its last letter has, do not count.
fn from_bcrypt64(letters: &str) -> Vec<u8> {
    let (mut bytes, mut word, mut count) = (Vec::new(), 0u32, 0);
    for letter in letters.bytes() {
        let value = BCRYPT.iter().position(|known| *known == letter).unwrap_or(0) as u32;
        word = (word << 6) | value;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((word >> count) as u8);
            word &= (1 << count) - 1;
        }
    }
    bytes
}

/// Poul-Henning Kamp's hash of FreeBSD, `$1$`.
fn md5(password: &[u8], salt: &[u8]) -> String {
    let alternate = Md5::digest([password, salt, password].concat());
    let mut first = [password, b"$1$", salt].concat();
    first.extend(alternate.iter().copied().cycle().take(password.len()));
    let mut length = password.len();
    while length > 0 {
        first.push(if length & 1 == 1 { 0 } else { password[0] });
        length >>= 1;
    }
    let mut current = Md5::digest(first).to_vec();
    for round in 0..1000 {
        let mut next = if round % 2 == 1 { password.to_vec() } else { current.clone() };
        if round % 3 != 0 {
            next.extend_from_slice(salt);
        }
        if round % 7 != 0 {
            next.extend_from_slice(password);
        }
        next.extend_from_slice(if round % 2 == 1 { &current } else { password });
        current = Md5::digest(next).to_vec();
    }
    let mut output = format!("$1${}$", String::from_utf8_lossy(salt));
    let order = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5], [255, 255, 11]];
    write(&current, &order, &mut output);
    output
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
fn sha<D: Digest>(password: &[u8], salt: &[u8], rounds: u32, prefix: &str, order: &[[u8; 3]]) -> String {
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
    write(&current, order, &mut output);
    output
}

/// Writes a digest's bytes in an order, three by three.
fn write(digest: &[u8], order: &[[u8; 3]], output: &mut String) {
    for group in order {
        let byte = |index: u8| if index == 255 { 0 } else { u32::from(digest[usize::from(index)]) };
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
}
