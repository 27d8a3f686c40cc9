//! One pass over a JSON text for what a parser that keeps raw values lets through and Postgres refuses or silently changes:
//! `\u0000`, lone surrogates, duplicate keys, endless numbers, bottomless nesting. Invariant: linear but for the sort of big
//! objects' keys, no recursion, never a panic, whatever the bytes; syntax is the parser's matter.

use std::cell::Cell;

use super::Malformed;
use super::pointer::pointer_at;

/// Deepest nesting of an event; its own object is 1.
pub const MAX_DEPTH: usize = 64;

/// Most digits of a number when written out without an exponent.
pub const MAX_DIGITS: u64 = 1_000;

/// A key of an object that is still open.
#[derive(Clone, Copy)]
struct Key {
    hash: u64,
    at: usize,
}

struct Flaw {
    at: usize,
    rule: &'static str,
    reason: &'static str,
}

impl Flaw {
    fn new(at: usize, rule: &'static str, reason: &'static str) -> Self {
        Self { at, rule, reason }
    }
}

/// Objects up to this size have their keys compared pairwise, bigger ones are sorted.
const PAIRWISE: usize = 24;

/// Room for so many keys stays with a thread between two texts.
const KEPT_KEYS: usize = 256;

thread_local! {
    /// Room for keys: an allocation a text would be a good part of what the walk costs.
    static KEYS: Cell<Vec<Key>> = const { Cell::new(Vec::new()) };
}

/// Checks one JSON text.
///
/// # Errors
/// [`Malformed`] with the pointer of the first flaw.
pub fn lint(text: &str) -> Result<(), Malformed> {
    let bytes = text.as_bytes();
    let keys = KEYS.take();
    let mut lint = Lint { bytes, depth: 0, objects: 0, keys_from: [0; MAX_DEPTH], key_next: false, keys };
    let walked = lint.run();
    lint.keys.clear();
    lint.keys.shrink_to(KEPT_KEYS);
    KEYS.set(lint.keys);
    walked.map_err(|flaw| Malformed::new(pointer_at(bytes, flaw.at), flaw.rule, flaw.reason))
}

struct Lint<'a> {
    bytes: &'a [u8],
    /// Open containers.
    depth: usize,
    /// A bit for each open container, the innermost lowest: whether it is an object.
    objects: u64,
    /// Where the keys of each open container begin among all open keys.
    keys_from: [u32; MAX_DEPTH],
    /// The next string is a key.
    key_next: bool,
    keys: Vec<Key>,
}

impl Lint<'_> {
    fn run(&mut self) -> Result<(), Flaw> {
        let mut at = 0;
        while let Some(&byte) = self.bytes.get(at) {
            at = match byte {
                b'"' => self.string(at)?,
                b',' => {
                    self.key_next = self.objects & 1 == 1;
                    at + 1
                }
                b'{' | b'[' => self.open(at, byte == b'{')?,
                b'}' | b']' => self.close(at)?,
                b'-' | b'0'..=b'9' => number(self.bytes, at)?,
                _ => at + 1,
            };
        }
        Ok(())
    }

    fn open(&mut self, at: usize, object: bool) -> Result<usize, Flaw> {
        if self.depth == MAX_DEPTH {
            return Err(Flaw::new(at, "max_depth", "must not nest deeper than 64 levels"));
        }
        // An event has at most as many keys as bytes, and those are far fewer than 2^32.
        self.keys_from[self.depth] = self.keys.len() as u32;
        self.depth += 1;
        self.objects = self.objects << 1 | u64::from(object);
        self.key_next = object;
        Ok(at + 1)
    }

    fn close(&mut self, at: usize) -> Result<usize, Flaw> {
        if self.depth == 0 {
            return Ok(at + 1);
        }
        self.depth -= 1;
        self.objects >>= 1;
        self.key_next = false;
        let from = self.keys_from[self.depth] as usize;
        if let Some(at) = duplicate(&mut self.keys[from..]) {
            return Err(Flaw::new(at, "duplicate_key", "must not appear twice in its object"));
        }
        self.keys.truncate(from);
        Ok(at + 1)
    }

    fn string(&mut self, start: usize) -> Result<usize, Flaw> {
        let (end, escaped) = string(self.bytes, start)?;
        if self.key_next {
            self.key_next = false;
            self.keys.push(Key { hash: key_hash(&self.bytes[start..end], escaped), at: start });
        }
        Ok(end)
    }
}

/// Walks a string from its opening quote; returns the place behind it and whether it holds escapes.
fn string(bytes: &[u8], start: usize) -> Result<(usize, bool), Flaw> {
    let (mut at, mut escaped) = (start + 1, false);
    loop {
        at = plain_end(bytes, at);
        match bytes.get(at) {
            Some(b'"') => return Ok((at + 1, escaped)),
            Some(_) => {
                escaped = true;
                at = escape(bytes, at, start)?;
            }
            None => return Ok((bytes.len(), escaped)),
        }
    }
}

/// Where the next quote or backslash is, eight bytes at a time; the end when there is none.
fn plain_end(bytes: &[u8], from: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    // The high bit of the lowest zero byte is exact; those above it may not be, and are not looked at.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let mut at = from;
    while let Some(eight) = bytes.get(at..at + 8).and_then(|eight| <[u8; 8]>::try_from(eight).ok()) {
        let word = u64::from_le_bytes(eight);
        let found = zeros(word ^ (ONES * b'"' as u64)) | zeros(word ^ (ONES * b'\\' as u64));
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    rest.iter().position(|byte| matches!(byte, b'"' | b'\\')).map_or(bytes.len(), |found| at + found)
}

/// Walks one escape from its backslash.
fn escape(bytes: &[u8], at: usize, string: usize) -> Result<usize, Flaw> {
    let lone = || Flaw::new(string, "surrogate", "must not hold half of a surrogate pair");
    match unit(bytes, at) {
        None => Ok(at + 2),
        Some(0) => Err(Flaw::new(string, "nul", "must not hold the character U+0000")),
        Some(0xD800..=0xDBFF) => match unit(bytes, at + 6) {
            Some(0xDC00..=0xDFFF) => Ok(at + 12),
            _ => Err(lone()),
        },
        Some(0xDC00..=0xDFFF) => Err(lone()),
        Some(_) => Ok(at + 6),
    }
}

/// The code unit of a `\uXXXX` escape at that place, if there is one.
fn unit(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
}

/// Walks a number. One without an exponent is as long as it looks.
fn number(bytes: &[u8], start: usize) -> Result<usize, Flaw> {
    let rest = bytes.get(start..).unwrap_or_default();
    let plain = rest.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b'.' | b'-')).unwrap_or(rest.len());
    match rest.get(plain) {
        Some(b'e' | b'E' | b'+') => written_out(bytes, start),
        _ if plain as u64 > MAX_DIGITS => written_out(bytes, start),
        _ => Ok(start + plain),
    }
}

/// Walks a number and checks how long it is when written out.
fn written_out(bytes: &[u8], start: usize) -> Result<usize, Flaw> {
    let (mut at, mut whole, mut fraction, mut exponent, mut negative) = (start, 0_u64, 0_u64, 0_u64, false);
    let mut part = 0;
    while let Some(&byte) = bytes.get(at) {
        match (byte, part) {
            (b'0'..=b'9', 0) => whole += 1,
            (b'0'..=b'9', 1) => fraction += 1,
            (b'0'..=b'9', _) => exponent = exponent.saturating_mul(10).saturating_add(u64::from(byte - b'0')),
            (b'.', _) => part = 1,
            (b'e' | b'E', _) => part = 2,
            (b'-', 2) => negative = true,
            (b'-' | b'+', _) => {}
            _ => break,
        }
        at += 1;
    }
    let digits = if negative {
        whole.saturating_sub(exponent).saturating_add(fraction).saturating_add(exponent)
    } else {
        whole.saturating_add(exponent).saturating_add(fraction.saturating_sub(exponent))
    };
    if digits > MAX_DIGITS {
        return Err(Flaw::new(start, "max_digits", "must have at most 1000 digits when written out"));
    }
    Ok(at)
}

/// Place of a key that stands twice. Reorders the keys of big objects.
fn duplicate(keys: &mut [Key]) -> Option<usize> {
    if keys.len() > PAIRWISE {
        keys.sort_unstable_by_key(|key| (key.hash, key.at));
        return keys.windows(2).find(|pair| pair[0].hash == pair[1].hash).map(|pair| pair[1].at);
    }
    (1..keys.len()).find(|&at| keys[..at].iter().any(|earlier| earlier.hash == keys[at].hash)).map(|at| keys[at].at)
}

/// A 64-bit hash of a key as it means, not as it is written (`a` and `\u0061` are one key). Keys count as equal when their
/// hashes are: an accident is out of reach at 64 bits, and whoever builds a collision gets only his own event refused.
fn key_hash(quoted: &[u8], escaped: bool) -> u64 {
    if !escaped {
        return hash(quoted);
    }
    match serde_json::from_slice::<String>(quoted) {
        Ok(key) => hash(format!("\"{key}\"").as_bytes()),
        Err(_) => hash(quoted),
    }
}

fn hash(bytes: &[u8]) -> u64 {
    const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;
    let mix = |hash: u64, word: u64| {
        let wide = u128::from(hash ^ word) * u128::from(MULTIPLIER);
        (wide as u64) ^ ((wide >> 64) as u64)
    };
    let mut state = MULTIPLIER ^ bytes.len() as u64;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        state = mix(state, u64::from_le_bytes(*word)).wrapping_add(MULTIPLIER);
    }
    // The last eight bytes, some of them for the second time: the length is in the state, so nothing is ambiguous.
    let last = match (bytes.last_chunk::<8>(), rest) {
        (_, []) => 0,
        (Some(last), _) => u64::from_le_bytes(*last),
        (None, _) => rest.iter().fold(1_u64, |word, byte| word << 8 | u64::from(*byte)),
    };
    mix(mix(state, last), MULTIPLIER)
}

#[cfg(test)]
mod tests;
