//! One acknowledgement tracker per request: the delivery callback writes a slot and counts down, the last one wakes the
//! request. Invariant: the callback takes no lock, makes no allocation and writes no log line; a slot is written once.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU8, AtomicUsize, Ordering};
use std::task::Poll;

use futures_util::task::AtomicWaker;
use rdkafka::types::RDKafkaErrorCode;

use super::record::{Placement, PublishError};

/// How a record's delivery ended, small enough for an atomic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Verdict {
    Pending,
    Acknowledged,
    Away,
    QueueFull,
    TooLarge,
    Unknown,
    NoTopic,
    Denied,
    Refused,
}

impl Verdict {
    const ALL: [Self; 9] = [
        Self::Pending,
        Self::Acknowledged,
        Self::Away,
        Self::QueueFull,
        Self::TooLarge,
        Self::Unknown,
        Self::NoTopic,
        Self::Denied,
        Self::Refused,
    ];

    /// What an error of either layer, hand-over or delivery, means for the record. Only what certainly is not in the log may
    /// be anything but [`Verdict::Unknown`].
    pub(super) fn of(code: RDKafkaErrorCode) -> Self {
        use RDKafkaErrorCode as Code;
        match code {
            Code::QueueFull => Self::QueueFull,
            Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize => Self::TooLarge,
            Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicOrPartition | Code::InvalidTopic => {
                Self::NoTopic
            }
            Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => Self::Denied,
            Code::InvalidMessage
            | Code::InvalidTimestamp
            | Code::PolicyViolation
            | Code::InvalidDifferentRecord
            | Code::UnsupportedCompressionType => Self::Refused,
            _ => Self::Unknown,
        }
    }
}

struct Slot {
    verdict: AtomicU8,
    /// Partition when acknowledged.
    partition: AtomicI32,
    offset: AtomicI64,
}

/// The acknowledgements one request waits for.
pub(super) struct Tracker {
    slots: Box<[Slot]>,
    open: AtomicUsize,
    waiter: AtomicWaker,
}

/// One record's share of a tracker: librdkafka carries it through to the delivery callback.
pub(super) struct Ticket {
    tracker: Arc<Tracker>,
    index: usize,
}

impl Tracker {
    pub(super) fn new(records: usize) -> Arc<Self> {
        let slot =
            || Slot { verdict: AtomicU8::new(0), partition: AtomicI32::new(0), offset: AtomicI64::new(i64::MIN) };
        Arc::new(Self {
            slots: std::iter::repeat_with(slot).take(records).collect(),
            open: AtomicUsize::new(records),
            waiter: AtomicWaker::new(),
        })
    }

    pub(super) fn ticket(self: &Arc<Self>, index: usize) -> Box<Ticket> {
        Box::new(Ticket { tracker: Arc::clone(self), index })
    }

    /// Ready when every slot is written.
    pub(super) async fn settled(&self) {
        poll_fn(|context| {
            if self.open.load(Ordering::Acquire) == 0 {
                return Poll::Ready(());
            }
            self.waiter.register(context.waker());
            // The last slot may have been written between the look and the registration.
            if self.open.load(Ordering::Acquire) == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// What is known now, in the order of the records; a slot that nobody has written yet is unknown.
    pub(super) fn results(&self) -> Vec<Result<Placement, PublishError>> {
        self.slots.iter().map(Slot::result).collect()
    }
}

impl Slot {
    fn result(&self) -> Result<Placement, PublishError> {
        let verdict = Verdict::ALL[usize::from(self.verdict.load(Ordering::Acquire))];
        match verdict {
            Verdict::Acknowledged => match self.offset.load(Ordering::Relaxed) {
                // A retry of librdkafka's crossed a late acknowledgement and the broker said no more than "I had it already".
                // Without its offset there is no receipt to give; sending it again with the same event id is safe.
                offset if offset < 0 => Err(PublishError::Unknown),
                offset => Ok(Placement { partition: self.partition.load(Ordering::Relaxed), offset }),
            },
            Verdict::Pending | Verdict::Unknown => Err(PublishError::Unknown),
            Verdict::Away => Err(PublishError::Away),
            Verdict::QueueFull => Err(PublishError::QueueFull),
            Verdict::TooLarge => Err(PublishError::TooLarge),
            Verdict::NoTopic => Err(PublishError::Refused("the topic or partition does not exist".to_owned())),
            Verdict::Denied => Err(PublishError::Refused("not allowed to write to the topic".to_owned())),
            Verdict::Refused => Err(PublishError::Refused("the broker calls the record invalid".to_owned())),
        }
    }
}

impl Ticket {
    /// The log has the record.
    pub(super) fn acknowledge(self, partition: i32, offset: i64) {
        let slot = &self.tracker.slots[self.index];
        slot.partition.store(partition, Ordering::Relaxed);
        slot.offset.store(offset, Ordering::Relaxed);
        self.settle(Verdict::Acknowledged);
    }

    /// The record has no placement.
    pub(super) fn settle(self, verdict: Verdict) {
        self.tracker.slots[self.index].verdict.store(verdict as u8, Ordering::Release);
        if self.tracker.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.tracker.waiter.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_verdict_comes_back_as_itself() {
        for (position, verdict) in Verdict::ALL.into_iter().enumerate() {
            assert_eq!(verdict as usize, position);
        }
    }

    #[tokio::test]
    async fn the_last_of_many_threads_wakes_the_request() {
        let tracker = Tracker::new(64);
        let tickets: Vec<_> = (0..64).map(|index| tracker.ticket(index)).collect();
        let threads: Vec<_> = tickets
            .into_iter()
            .enumerate()
            .map(|(index, ticket)| {
                std::thread::spawn(move || ticket.acknowledge(1, i64::try_from(index).expect("small")))
            })
            .collect();
        tokio::time::timeout(Duration::from_secs(5), tracker.settled()).await.expect("woken");
        for (index, result) in tracker.results().into_iter().enumerate() {
            assert_eq!(Ok(result.expect("acknowledged").offset), i64::try_from(index));
        }
        for thread in threads {
            thread.join().expect("no panic");
        }
    }

    #[tokio::test]
    async fn what_is_not_settled_is_unknown() {
        let tracker = Tracker::new(3);
        tracker.ticket(0).acknowledge(4, 17);
        tracker.ticket(1).settle(Verdict::QueueFull);
        assert!(tokio::time::timeout(Duration::from_millis(5), tracker.settled()).await.is_err());
        let results = tracker.results();
        assert_eq!(results[0], Ok(Placement { partition: 4, offset: 17 }));
        assert_eq!(results[1], Err(PublishError::QueueFull));
        assert_eq!(results[2], Err(PublishError::Unknown));
    }

    #[test]
    fn an_acknowledgement_without_an_offset_gives_no_receipt() {
        let tracker = Tracker::new(1);
        tracker.ticket(0).acknowledge(4, -1001);
        assert_eq!(tracker.results(), [Err(PublishError::Unknown)]);
    }

    #[test]
    fn an_error_that_may_hide_a_stored_record_is_unknown() {
        for code in [
            RDKafkaErrorCode::MessageTimedOut,
            RDKafkaErrorCode::RequestTimedOut,
            RDKafkaErrorCode::NotEnoughReplicas,
            RDKafkaErrorCode::NotEnoughReplicasAfterAppend,
            RDKafkaErrorCode::PurgeInflight,
            RDKafkaErrorCode::Fatal,
        ] {
            assert_eq!(Verdict::of(code), Verdict::Unknown, "{code:?}");
        }
    }
}
