//! The order in which a batch takes its locks. Invariant: keys strictly ascend; of events with one key, the first of the batch
//! stays.

use crate::domain::event::Event;

/// Indices into the batch, by ascending (account, event id), each key once.
pub(super) fn order(batch: &[Event<'_>]) -> Vec<usize> {
    let key = |at: &usize| (&batch[*at].account_id, &batch[*at].event_id);
    let mut order: Vec<usize> = (0..batch.len()).collect();
    // Stable: among equal keys the first of the batch stays first.
    order.sort_by(|left, right| key(left).cmp(&key(right)));
    order.dedup_by(|later, earlier| key(later) == key(earlier));
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::write::samples::event;

    #[test]
    fn sorts_and_keeps_the_first_of_each_key() {
        let batch = [event("b", "1"), event("a", "2"), event("b", "1"), event("a", "1"), event("a", "2")];
        assert_eq!(order(&batch), [3, 1, 0]);
    }

    #[test]
    fn the_same_id_in_two_accounts_is_two_events() {
        let batch = [event("b", "1"), event("a", "1")];
        assert_eq!(order(&batch), [1, 0]);
    }

    #[test]
    fn an_empty_batch_has_no_order() {
        assert!(order(&[]).is_empty());
    }
}
