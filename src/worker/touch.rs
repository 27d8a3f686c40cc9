//! Freshness of quiet partitions. Invariant: a partition is vouched for up to a moment only if its end was asked for after
//! that moment and everything below that end is settled.

use std::time::Duration;

use crate::domain::time::Timestamp;
use crate::kafka::{ConsumerHandle, End, Partition};
use crate::store::Progress;

/// Distance between two rounds.
pub(super) const EVERY: Duration = Duration::from_secs(1);

/// How long the log may take to tell its ends; without an answer nothing is vouched for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Progress of those idle partitions that have nothing left to read.
pub(super) async fn caught_up(log: &ConsumerHandle, idle: Vec<(Partition, Option<i64>)>) -> Vec<Progress> {
    if idle.is_empty() {
        return Vec::new();
    }
    let before = Timestamp::now();
    let asked = log.ends(idle.iter().map(|(partition, _)| partition.clone()).collect());
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(ends) => vouch(&idle, &ends, before),
        Err(_) => Vec::new(),
    }
}

fn vouch(idle: &[(Partition, Option<i64>)], ends: &[End], before: Timestamp) -> Vec<Progress> {
    let settled_to = |end: &End| {
        let (_, next) = idle.iter().find(|(partition, _)| *partition == end.partition)?;
        // Nothing polled under this assignment: what was committed counts; an empty partition needs no commit.
        next.or(end.committed).or((end.start == end.end).then_some(end.end))
    };
    ends.iter()
        .filter(|end| settled_to(end).is_some_and(|next| next >= end.end))
        .map(|end| Progress {
            topic: end.partition.topic.clone(),
            partition: end.partition.partition,
            next_offset: end.end,
            record_time: before,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(number: i32, start: i64, end: i64, committed: Option<i64>) -> End {
        End { partition: Partition { topic: "t".into(), partition: number }, end, start, committed }
    }

    #[test]
    fn only_partitions_with_nothing_left_to_read_are_vouched_for() {
        let before = Timestamp::from_unix_seconds(9).expect("time");
        let idle = |number, next| (Partition { topic: "t".into(), partition: number }, next);
        let idle = [idle(0, Some(5)), idle(1, Some(4)), idle(2, None), idle(3, None), idle(4, None), idle(5, None)];
        let ends = [
            end(0, 0, 5, None),
            end(1, 0, 5, Some(5)),
            end(2, 0, 5, Some(5)),
            end(3, 0, 5, Some(4)),
            end(4, 7, 7, None),
            end(5, 0, 3, None),
        ];
        let vouched: Vec<i32> = vouch(&idle, &ends, before).iter().map(|progress| progress.partition).collect();
        assert_eq!(vouched, [0, 2, 4]);
    }
}
