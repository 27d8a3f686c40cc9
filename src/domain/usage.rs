//! What an account sent and what became of it, by second and by minute. Invariant: offered = accepted + refused + what definitely failed,
//! in every second and every sum of them.

use std::collections::BTreeMap;

/// Use in one second, or in a stretch of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Use {
    /// Sound events that asked to be taken, and requests refused unread, each as one.
    pub offered: i64,
    /// Those within every limit that the log may have.
    pub accepted: i64,
    /// Those over a limit.
    pub refused: i64,
    /// Body bytes, of refused requests too.
    pub bytes: i64,
}

impl Use {
    /// Adds more of it.
    pub fn add(&mut self, more: &Self) {
        self.offered += more.offered;
        self.accepted += more.accepted;
        self.refused += more.refused;
        self.bytes += more.bytes;
    }
}

/// Use by second of one minute (0 to 59).
pub type Seconds = BTreeMap<u8, Use>;

/// One minute of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Minute {
    /// Unix seconds of its beginning.
    pub at: i64,
    /// Its sums.
    pub sums: Use,
    /// Events offered in its busiest second.
    pub peak_events: i64,
    /// Which second (0 to 59) that was.
    pub peak_second: u8,
}

impl Minute {
    /// The minute of these seconds.
    pub fn of(at: i64, seconds: &Seconds) -> Self {
        let mut minute = Self { at, ..Self::default() };
        for (second, used) in seconds {
            minute.sums.add(used);
            if used.offered > minute.peak_events {
                (minute.peak_events, minute.peak_second) = (used.offered, *second);
            }
        }
        minute
    }
}

/// Seconds as a line of text: `second,offered,accepted,refused,bytes;…`.
pub fn write(seconds: &Seconds) -> String {
    let line = |(second, used): (&u8, &Use)| {
        format!("{second},{},{},{},{}", used.offered, used.accepted, used.refused, used.bytes)
    };
    seconds.iter().map(line).collect::<Vec<_>>().join(";")
}

/// Adds the seconds of a line to `seconds`; what is not of that form adds nothing.
pub fn read_into(seconds: &mut Seconds, text: &str) {
    for part in text.split(';') {
        let numbers: Vec<i64> = part.split(',').map_while(|number| number.parse().ok()).collect();
        if let [second @ 0..60, offered, accepted, refused, bytes] = numbers[..] {
            let second = u8::try_from(second).unwrap_or(0);
            seconds.entry(second).or_default().add(&Use { offered, accepted, refused, bytes });
        }
    }
}

/// Jain's index of shares: 1 when all are alike, 1 ÷ their number when one has everything; `None` without any.
pub fn jain(shares: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (mut count, mut sum, mut squares) = (0_u32, 0.0, 0.0);
    for share in shares {
        count += 1;
        sum += share;
        squares += share * share;
    }
    (squares > 0.0).then(|| sum * sum / (f64::from(count) * squares))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_several_instances_add_up_and_the_busiest_second_is_theirs_together() {
        let used = |offered| Use { offered, accepted: offered - 1, refused: 1, bytes: 10 * offered };
        let (one, other) = (Seconds::from([(3, used(5)), (9, used(8))]), Seconds::from([(3, used(6))]));
        let mut all = Seconds::new();
        read_into(&mut all, &write(&one));
        read_into(&mut all, &write(&other));
        for bad in ["", "x", "60,1,1,1,1", "1,2,3", ";;"] {
            read_into(&mut all, bad);
        }
        let minute = Minute::of(60, &all);
        assert_eq!((minute.peak_second, minute.peak_events), (3, 11));
        assert_eq!(minute.sums, Use { offered: 19, accepted: 16, refused: 3, bytes: 190 });
    }

    #[test]
    fn the_index_is_1_for_equals_and_falls_with_the_one_who_has_all() {
        assert_eq!(jain([]), None);
        assert_eq!(jain([0.0, 0.0]), None);
        assert_eq!(jain([0.3, 0.3, 0.3]).map(|index| (index * 1e9).round()), Some(1e9));
        assert_eq!(jain([1.0, 0.0, 0.0, 0.0]), Some(0.25));
    }
}
