//! Too many dead letters. Invariant: the alarm is on exactly while the last minute had at least [`MIN_DEAD`] dead letters and
//! more than one in a hundred records. The worker then slows down and never stops: whoever ends the process at such a limit
//! gets a crash loop and helps nobody.

/// Dead letters of a minute below which nobody is called.
pub const MIN_DEAD: usize = 100;

/// Seconds of a slot.
const SLOT: i64 = 5;

/// Slots of the minute.
const SLOTS: usize = 12;

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    number: i64,
    records: usize,
    dead: usize,
}

/// Records and dead letters of the last minute.
#[derive(Debug, Default)]
pub struct Alarm {
    slots: [Slot; SLOTS],
    on: bool,
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is on now.
    Began {
        /// Records of the minute.
        records: usize,
        /// Dead letters of the minute.
        dead: usize,
    },
    /// It is off now.
    Ended,
}

impl Alarm {
    /// So many records came to an end, `dead` of them as dead letters; `now` in seconds.
    pub fn note(&mut self, records: usize, dead: usize, now: i64) -> Option<Change> {
        let number = now.div_euclid(SLOT);
        let at = usize::try_from(number.rem_euclid(SLOTS as i64)).unwrap_or(0);
        if self.slots[at].number != number {
            self.slots[at] = Slot { number, ..Slot::default() };
        }
        self.slots[at].records += records;
        self.slots[at].dead += dead;
        let fresh = || self.slots.iter().filter(|slot| number - slot.number < SLOTS as i64);
        let records = fresh().map(|slot| slot.records).sum::<usize>();
        let dead = fresh().map(|slot| slot.dead).sum::<usize>();
        let on = dead >= MIN_DEAD && dead * 100 > records;
        if std::mem::replace(&mut self.on, on) == on {
            return None;
        }
        Some(if on { Change::Began { records, dead } } else { Change::Ended })
    }

    /// Whether it is on.
    pub fn is_on(&self) -> bool {
        self.on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_a_hundred_and_more_than_one_in_a_hundred() {
        let mut alarm = Alarm::default();
        assert_eq!(alarm.note(99, 99, 1_000), None, "too few");
        assert_eq!(alarm.note(9_901, 1, 1_010), None, "one in a hundred");
        assert_eq!(alarm.note(1, 1, 1_011), Some(Change::Began { records: 10_001, dead: 101 }));
        assert!(alarm.is_on());
        assert_eq!(alarm.note(10, 10, 1_020), None, "told once");
    }

    #[test]
    fn it_ends_with_the_minute_or_when_enough_goes_well() {
        let mut alarm = Alarm::default();
        alarm.note(200, 200, 1_000);
        assert_eq!(alarm.note(0, 0, 1_054), None);
        assert_eq!(alarm.note(0, 0, 1_061), Some(Change::Ended));
        alarm.note(200, 200, 2_000);
        assert_eq!(alarm.note(50_000, 0, 2_001), Some(Change::Ended));
    }
}
