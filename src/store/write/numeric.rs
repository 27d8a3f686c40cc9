//! A number literal as Postgres sends and takes `numeric` in binary: groups of four decimal digits. Invariant: what is written
//! here is the very value, scale included, that `literal::numeric` gives; a literal that is not sure to be so is not written.

/// Most digits of a literal, and most that its exponent may say: above what the door lets through, below what fits the form.
const MOST: usize = 1_100;

const NEGATIVE: u16 = 0x4000;

/// Appends the binary form with its length; `None`, and nothing appended, when the literal is for Postgres to judge.
pub(super) fn append(literal: &str, out: &mut Vec<u8>) -> Option<()> {
    let Decimal { negative, digits, exponent, scale } = Decimal::read(literal)?;
    let Some(first) = digits.iter().position(|&digit| digit != 0) else {
        header(out, 0, 0, 0, scale);
        return Some(());
    };
    let digits = &digits[first..];
    // Powers of ten of the first and of the last digit; the groups meet at the decimal point.
    let highest = exponent + i32::try_from(digits.len()).ok()? - 1;
    let weight = highest.div_euclid(4);
    let lead = 3 - highest.rem_euclid(4);
    let groups = (usize::try_from(lead).ok()? + digits.len()).div_ceil(4);
    header(out, u16::try_from(groups).ok()?, i16::try_from(weight).ok()?, if negative { NEGATIVE } else { 0 }, scale);
    let mut padded = std::iter::repeat_n(0, usize::try_from(lead).ok()?).chain(digits.iter().copied());
    for _ in 0..groups {
        let group = (0..4).fold(0u16, |group, _| group * 10 + u16::from(padded.next().unwrap_or(0)));
        out.extend_from_slice(&group.to_be_bytes());
    }
    Some(())
}

fn header(out: &mut Vec<u8>, groups: u16, weight: i16, sign: u16, scale: u16) {
    out.extend_from_slice(&(8 + 2 * i32::from(groups)).to_be_bytes());
    out.extend_from_slice(&groups.to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&scale.to_be_bytes());
}

/// `digits` × 10^`exponent`.
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i32,
    /// Digits behind the point that Postgres shows.
    scale: u16,
}

impl Decimal {
    fn read(literal: &str) -> Option<Self> {
        let (negative, rest) = match literal.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, literal),
        };
        let (mantissa, power) = match rest.split_once(['e', 'E']) {
            Some((mantissa, power)) => (mantissa, signed(power)?),
            None => (rest, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (mantissa, ""),
        };
        if whole.is_empty() || whole.len() + fraction.len() > MOST {
            return None;
        }
        let digit = |byte: u8| byte.is_ascii_digit().then(|| byte - b'0');
        let digits = whole.bytes().chain(fraction.bytes()).map(digit).collect::<Option<Vec<u8>>>()?;
        let exponent = power - i32::try_from(fraction.len()).ok()?;
        Some(Self { negative, digits, exponent, scale: u16::try_from((-exponent).max(0)).ok()? })
    }
}

/// A power of ten within bounds.
fn signed(text: &str) -> Option<i32> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || digits.len() > 6 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let power: i32 = text.parse().ok()?;
    (power.unsigned_abs() as usize <= MOST).then_some(power)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Groups, weight, sign and scale.
    fn form(literal: &str) -> Option<(Vec<u16>, i16, u16, u16)> {
        let mut out = Vec::new();
        append(literal, &mut out)?;
        let words: Vec<u16> = out.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
        assert_eq!((words[0], usize::from(words[1])), (0, out.len() - 4), "length");
        assert_eq!(usize::from(words[2]), words.len() - 6, "groups");
        Some((words[6..].to_vec(), words[3].cast_signed(), words[4], words[5]))
    }

    #[test]
    fn digits_are_grouped_from_the_point() {
        let cases: [(&str, &[u16], i16, u16, u16); 12] = [
            ("0", &[], 0, 0, 0),
            ("-0.00", &[], 0, 0, 2),
            ("7", &[7], 0, 0, 0),
            ("10000", &[1, 0], 1, 0, 0),
            ("-12345.678", &[1, 2345, 6780], 1, NEGATIVE, 3),
            ("0.5", &[5000], -1, 0, 1),
            ("0.00012", &[1, 2000], -1, 0, 5),
            ("1.50", &[1, 5000], 0, 0, 2),
            ("1.5e3", &[1500], 0, 0, 0),
            ("1.5E+5", &[15, 0], 1, 0, 0),
            ("1e-5", &[1000], -2, 0, 5),
            ("0e5", &[], 0, 0, 0),
        ];
        for (literal, groups, weight, sign, scale) in cases {
            let (found, at, minus, shown) = form(literal).expect(literal);
            // Postgres strips zeros at the end itself.
            let kept = found.iter().rposition(|&group| group != 0).map_or(0, |last| last + 1);
            let wanted = groups.iter().rposition(|&group| group != 0).map_or(0, |last| last + 1);
            assert_eq!(found[..kept], groups[..wanted], "{literal}");
            assert_eq!((at, minus, shown), (weight, sign, scale), "{literal}");
        }
    }

    #[test]
    fn what_is_not_sure_is_left_to_postgres() {
        let long = "9".repeat(MOST + 1);
        for literal in
            ["", "-", "x", "12x", "1.", ".5", "+1", "1e", "1e+", "1e1101", "1e-1101", "1e9999999999", "NaN", &long]
        {
            let mut out = vec![1];
            assert_eq!(append(literal, &mut out), None, "{literal}");
            assert_eq!(out, [1], "{literal}");
        }
    }
}
