//! One pass over a JSON text for what a parser that keeps raw values lets through and Postgres refuses or silently changes:
//! `\u0000`, lone surrogates, duplicate keys, endless numbers, bottomless nesting. Invariant: linear but for the sort of big
//! objects' keys, no recursion, never a panic, whatever the bytes; syntax is the parser's matter.

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

/// An open container.
struct Frame {
    object: bool,
    /// Next string is a key.
    key_next: bool,
    /// Where its keys begin among all open keys.
    keys_from: usize,
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

/// Checks one JSON text.
///
/// # Errors
/// [`Malformed`] with the pointer of the first flaw.
pub fn lint(text: &str) -> Result<(), Malformed> {
    let lint = Lint { bytes: text.as_bytes(), frames: Vec::with_capacity(8), keys: Vec::with_capacity(32) };
    lint.run().map_err(|flaw| Malformed::new(pointer_at(text.as_bytes(), flaw.at), flaw.rule, flaw.reason))
}

struct Lint<'a> {
    bytes: &'a [u8],
    frames: Vec<Frame>,
    keys: Vec<Key>,
}

impl Lint<'_> {
    fn run(mut self) -> Result<(), Flaw> {
        let mut at = 0;
        while let Some(&byte) = self.bytes.get(at) {
            at = match byte {
                b'"' => self.string(at)?,
                b'{' | b'[' => self.open(at, byte == b'{')?,
                b'}' | b']' => self.close(at)?,
                b',' => {
                    if let Some(frame) = self.frames.last_mut() {
                        frame.key_next = frame.object;
                    }
                    at + 1
                }
                b'-' | b'0'..=b'9' => number(self.bytes, at)?,
                _ => at + 1,
            };
        }
        Ok(())
    }

    fn open(&mut self, at: usize, object: bool) -> Result<usize, Flaw> {
        if self.frames.len() == MAX_DEPTH {
            return Err(Flaw::new(at, "max_depth", "must not nest deeper than 64 levels"));
        }
        self.frames.push(Frame { object, key_next: object, keys_from: self.keys.len() });
        Ok(at + 1)
    }

    fn close(&mut self, at: usize) -> Result<usize, Flaw> {
        let Some(frame) = self.frames.pop() else { return Ok(at + 1) };
        let keys = &mut self.keys[frame.keys_from..];
        if let Some(at) = duplicate(keys) {
            return Err(Flaw::new(at, "duplicate_key", "must not appear twice in its object"));
        }
        self.keys.truncate(frame.keys_from);
        Ok(at + 1)
    }

    fn string(&mut self, start: usize) -> Result<usize, Flaw> {
        let (end, escaped) = string(self.bytes, start)?;
        if let Some(frame) = self.frames.last_mut().filter(|frame| frame.key_next) {
            frame.key_next = false;
            self.keys.push(Key { hash: key_hash(self.bytes.get(start..end).unwrap_or_default(), escaped), at: start });
        }
        Ok(end)
    }
}

/// Walks a string from its opening quote; returns the place behind it and whether it holds escapes.
fn string(bytes: &[u8], start: usize) -> Result<(usize, bool), Flaw> {
    let (mut at, mut escaped) = (start + 1, false);
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        match rest.iter().position(|byte| matches!(byte, b'"' | b'\\')) {
            Some(plain) if rest[plain] == b'"' => return Ok((at + plain + 1, escaped)),
            Some(plain) => {
                escaped = true;
                at = escape(bytes, at + plain, start)?;
            }
            None => return Ok((bytes.len(), escaped)),
        }
    }
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

/// Walks a number and checks how long it is when written out.
fn number(bytes: &[u8], start: usize) -> Result<usize, Flaw> {
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
    let mut words = bytes.chunks_exact(8);
    let mut state = MULTIPLIER ^ bytes.len() as u64;
    for word in &mut words {
        let mut eight = [0; 8];
        eight.copy_from_slice(word);
        state = mix(state, u64::from_le_bytes(eight)).wrapping_add(MULTIPLIER);
    }
    let rest = words.remainder().iter().fold(1_u64, |rest, byte| rest << 8 | u64::from(*byte));
    mix(mix(state, rest), MULTIPLIER)
}

#[cfg(test)]
mod tests;
