//! When COPY is worth a try. Invariant: nothing but cost depends on it; both ways store the same.
//!
//! Repeats come in swarms: what was written but not settled before a rebalance is read again, and a client that repeats itself
//! does so for a while. A COPY that meets one is in vain and leaves dead rows. So after an assignment and after a COPY in vain
//! batches go the safe way until enough of them in a row were all new; how many doubles with each COPY in vain and halves with
//! each that went well.

use parking_lot::Mutex;

/// Batches in a row that must be all new after an assignment.
const AFTER_ASSIGNMENT: u32 = 4;

/// Most batches in a row that must be all new after a COPY in vain.
const MOST: u32 = 64;

/// Fewest rows for which COPY is cheaper.
const FEWEST_ROWS: usize = 20;

/// What the last batches taught.
#[derive(Debug)]
pub(in crate::store) struct Caution(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Batches that still have to be all new before COPY is tried.
    left: u32,
    /// What `left` starts from after the next COPY in vain.
    sentence: u32,
}

impl Default for Caution {
    fn default() -> Self {
        Self(Mutex::new(State { left: 0, sentence: 1 }))
    }
}

impl Caution {
    /// The log may repeat what is stored.
    pub(in crate::store) fn expect_repeats(&self) {
        let mut state = self.0.lock();
        state.left = state.left.max(AFTER_ASSIGNMENT);
    }

    /// Whether to try COPY for so many rows.
    pub(super) fn tries_copy(&self, rows: usize) -> bool {
        rows >= FEWEST_ROWS && self.0.lock().left == 0
    }

    /// A COPY went well.
    pub(super) fn copied(&self) {
        let mut state = self.0.lock();
        state.sentence = (state.sentence / 2).max(1);
    }

    /// A COPY was in vain.
    pub(super) fn in_vain(&self) {
        let mut state = self.0.lock();
        state.left = state.left.max(state.sentence);
        state.sentence = (state.sentence * 2).min(MOST);
    }

    /// A batch went the safe way; whether all of it was new.
    pub(super) fn inserted(&self, rows: usize, new: usize) {
        let mut state = self.0.lock();
        if rows == new {
            // A few rows say little about the next batch.
            state.left = state.left.saturating_sub(u32::from(rows >= FEWEST_ROWS));
        } else if state.left > 0 {
            state.left = state.left.max(AFTER_ASSIGNMENT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: usize = 500;

    fn safe_batches(caution: &Caution) -> u32 {
        let mut batches = 0;
        while !caution.tries_copy(ROWS) {
            caution.inserted(ROWS, ROWS);
            batches += 1;
        }
        batches
    }

    #[test]
    fn copy_is_tried_at_once_but_not_for_a_few_rows() {
        let caution = Caution::default();
        assert!(caution.tries_copy(FEWEST_ROWS));
        assert!(!caution.tries_copy(FEWEST_ROWS - 1));
    }

    #[test]
    fn after_an_assignment_it_waits_for_the_repeats_to_end() {
        let caution = Caution::default();
        caution.expect_repeats();
        caution.inserted(ROWS, ROWS);
        caution.inserted(ROWS, ROWS - 1);
        caution.inserted(1, 1);
        assert_eq!(safe_batches(&caution), AFTER_ASSIGNMENT);
    }

    #[test]
    fn each_copy_in_vain_costs_a_longer_wait_and_each_good_one_shortens_it() {
        let caution = Caution::default();
        let mut waits = Vec::new();
        for _ in 0..9 {
            caution.in_vain();
            waits.push(safe_batches(&caution));
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 64, 64]);
        caution.copied();
        caution.copied();
        caution.in_vain();
        assert_eq!(safe_batches(&caution), 16);
    }
}
