//! Sums of number literals. Invariant: exact, whatever the literals: those that are plain and short are added up here, the others
//! go to Postgres as they came, joined by blanks, to be added there; and the sum shows as many digits behind the point as the
//! literal that shows most of them, as in Postgres.

use std::fmt;

/// Most digits of a literal that is added up here.
const MOST_DIGITS: usize = 18;

/// Literals on their way to a sum.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    /// What is added up so far, in units of 10^-`scale`; `None` before the first.
    plain: Option<i128>,
    scale: u32,
    /// The literals that are not.
    odd: String,
}

impl Sum {
    /// Adds a literal.
    pub(super) fn add(&mut self, literal: &str) {
        if self.add_plain(literal).is_none() {
            if !self.odd.is_empty() {
                self.odd.push(' ');
            }
            self.odd.push_str(literal);
        }
    }

    fn add_plain(&mut self, literal: &str) -> Option<()> {
        let (units, scale) = plain(literal)?;
        let most = scale.max(self.scale);
        let align = |units: i128, scale: u32| units.checked_mul(10i128.checked_pow(most - scale)?);
        let sum = align(self.plain.unwrap_or(0), self.scale)?.checked_add(align(units, scale)?)?;
        (self.plain, self.scale) = (Some(sum), most);
        Some(())
    }
}

/// Literals that add up to the sum, joined by blanks.
impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(units) = self.plain {
            let unit = 10u128.pow(self.scale);
            let (sign, units) = (if units < 0 { "-" } else { "" }, units.unsigned_abs());
            write!(f, "{sign}{}", units / unit)?;
            if self.scale > 0 {
                write!(f, ".{:0width$}", units % unit, width = self.scale as usize)?;
            }
            if !self.odd.is_empty() {
                f.write_str(" ")?;
            }
        }
        f.write_str(&self.odd)
    }
}

/// A literal without an exponent as units and scale.
fn plain(literal: &str) -> Option<(i128, u32)> {
    let (negative, digits) = match literal.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, literal),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || whole.len() + fraction.len() > MOST_DIGITS || (fraction.is_empty() && digits.contains('.')) {
        return None;
    }
    let mut units = 0i64;
    for byte in whole.bytes().chain(fraction.bytes()) {
        if !byte.is_ascii_digit() {
            return None;
        }
        units = units * 10 + i64::from(byte - b'0');
    }
    let units = if negative { -units } else { units };
    Some((units.into(), u32::try_from(fraction.len()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(literals: &[&str]) -> String {
        let mut sum = Sum::default();
        literals.iter().for_each(|literal| sum.add(literal));
        sum.to_string()
    }

    #[test]
    fn plain_literals_are_added_up_with_the_longest_scale() {
        assert_eq!(sum(&[]), "");
        assert_eq!(sum(&["1"]), "1");
        assert_eq!(sum(&["1.50", "2", "-0.125"]), "3.375");
        assert_eq!(sum(&["0.10", "-0.10"]), "0.00");
        assert_eq!(sum(&["-0.05", "0.02"]), "-0.03");
        assert_eq!(sum(&["999999999999999999", "1"]), "1000000000000000000");
    }

    #[test]
    fn others_are_kept_as_they_came() {
        assert_eq!(sum(&["1e3", "x"]), "1e3 x");
        assert_eq!(sum(&["1.5", "1234567890123456789", "2.25"]), "3.75 1234567890123456789");
        for literal in ["", "-", ".5", "1.", "+1", "1_0", "0x1", "1.2.3"] {
            assert_eq!(plain(literal), None, "{literal}");
        }
    }

    #[test]
    fn what_would_overflow_is_left_to_postgres() {
        let mut sum = Sum { plain: Some(i128::MAX), scale: 0, odd: String::new() };
        sum.add("1");
        sum.add("0.1");
        assert_eq!(sum.to_string(), format!("{} 1 0.1", i128::MAX));
    }
}
