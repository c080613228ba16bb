//! Chance: `random` and `shuffle`, with a seed as Python's Mersenne Twister gives them.

use sha2::{Digest, Sha512};

use super::super::arguments::{Bound, integer};
use super::super::evaluate::Context;
use super::super::{Error, Result, operators};
use super::Filter;
use crate::program::Value;

pub const FILTERS: &[Filter] = &[Filter::new("random", &["start", "step", "seed"], random), Filter::new("shuffle", &["seed"], shuffle)];

/// MT19937 (Matsumoto and Nishimura), seeded and read as CPython's `random.Random` does.
struct Twister {
    state: [u32; 624],
    index: usize,
}

impl Twister {
    fn from_words(key: &[u32]) -> Self {
        let mut state = [0u32; 624];
        state[0] = 19_650_218;
        for i in 1..624 {
            state[i] = 1_812_433_253u32.wrapping_mul(state[i - 1] ^ (state[i - 1] >> 30)).wrapping_add(i as u32);
        }
        let (mut i, mut j) = (1, 0);
        for _ in 0..key.len().max(624) {
            state[i] =
                (state[i] ^ (state[i - 1] ^ (state[i - 1] >> 30)).wrapping_mul(1_664_525)).wrapping_add(key[j]).wrapping_add(j as u32);
            i += 1;
            j += 1;
            if i >= 624 {
                state[0] = state[623];
                i = 1;
            }
            if j >= key.len() {
                j = 0;
            }
        }
        for _ in 0..623 {
            state[i] = (state[i] ^ (state[i - 1] ^ (state[i - 1] >> 30)).wrapping_mul(1_566_083_941)).wrapping_sub(i as u32);
            i += 1;
            if i >= 624 {
                state[0] = state[623];
                i = 1;
            }
        }
        state[0] = 0x8000_0000;
        Self { state, index: 624 }
    }

    /// Seeded by an integer or a text.
    fn seeded(seed: &Value) -> Result<Self> {
        match seed {
            Value::Text(text) => Ok(Self::of_text(text.as_str())),
            other => Ok(Self::of_bytes(&integer(other)?.unsigned_abs().to_le_bytes())),
        }
    }

    /// Seeded by a text, through SHA-512.
    fn of_text(seed: &str) -> Self {
        let bytes: Vec<u8> = seed.bytes().chain(Sha512::digest(seed.as_bytes())).rev().collect();
        Self::of_bytes(&bytes)
    }

    /// Seeded by a number's bytes, the least first.
    fn of_bytes(bytes: &[u8]) -> Self {
        let mut words: Vec<u32> =
            bytes.chunks(4).map(|chunk| chunk.iter().rev().fold(0u32, |word, byte| (word << 8) | u32::from(*byte))).collect();
        while words.len() > 1 && words.last() == Some(&0) {
            words.pop();
        }
        Self::from_words(&words)
    }

    fn next(&mut self) -> u32 {
        if self.index >= 624 {
            for k in 0..624 {
                let y = (self.state[k] & 0x8000_0000) | (self.state[(k + 1) % 624] & 0x7fff_ffff);
                let twist = if y & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[k] = self.state[(k + 397) % 624] ^ (y >> 1) ^ twist;
            }
            self.index = 0;
        }
        let mut y = self.state[self.index];
        self.index += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    fn bits(&mut self, count: u32) -> u64 {
        if count == 0 {
            return 0;
        }
        if count <= 32 {
            return u64::from(self.next() >> (32 - count));
        }
        let low = u64::from(self.next());
        low | (u64::from(self.next() >> (64 - count)) << 32)
    }

    /// CPython's `_randbelow_with_getrandbits`.
    fn below(&mut self, limit: u64) -> u64 {
        let count = 64 - limit.leading_zeros();
        loop {
            let number = self.bits(count);
            if number < limit {
                return number;
            }
        }
    }
}

/// Letters as `random.Random(seed).choice` chooses them, one after the other.
pub fn chosen(seed: &str, letters: &[char], count: usize) -> String {
    let mut generator = Twister::of_text(seed);
    (0..count).map(|_| letters[generator.below(letters.len() as u64) as usize]).collect()
}

fn generator(context: &Context, seed: Option<&Value>) -> Result<Twister> {
    match seed {
        Some(seed) => Twister::seeded(seed),
        None => {
            let number = context.evaluator.scope.random()?;
            Ok(Twister::from_words(&[number as u32, (number >> 32) as u32]))
        }
    }
}

fn random(context: &Context, input: Value, given: Bound) -> Result<Value> {
    let mut generator = generator(context, given.some(2))?;
    if let Value::Int(end) = input {
        let (start, step) = (given.integer(0, 0)?, given.integer(1, 1)?.max(1));
        let width = end - start;
        if width <= 0 {
            return Err(Error::failed(format!("empty range in randrange({start}, {end})")));
        }
        let count = (width + step - 1) / step;
        return Ok(Value::Int(start + step * generator.below(count as u64) as i64));
    }
    if given.some(0).is_some() || given.some(1).is_some() {
        return Err(Error::failed("start and step can only be used with integer values"));
    }
    let items = operators::items(&input).map_err(|_| Error::failed("random can only be used on sequences and integers"))?;
    if items.is_empty() {
        return Err(Error::failed("cannot choose from an empty sequence"));
    }
    Ok(items[generator.below(items.len() as u64) as usize].clone())
}

fn shuffle(context: &Context, input: Value, given: Bound) -> Result<Value> {
    let Ok(mut items) = operators::items(&input) else { return Ok(input) };
    let mut generator = generator(context, given.some(0).filter(|seed| seed.is_truthy()))?;
    for index in (1..items.len()).rev() {
        let other = generator.below(index as u64 + 1) as usize;
        items.swap(index, other);
    }
    Ok(Value::list(items))
}
