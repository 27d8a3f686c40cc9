//! Where the log puts an account. Invariant: the partition told here is the one every producer with the `murmur2` partitioner
//! chooses (librdkafka, Java, Flink, Connect), so what is said about that partition is said about the account.

use std::sync::{Arc, OnceLock};

use super::id::AccountId;

/// The standard lane: one topic, keyed by account. Its number of partitions is learned once and never changes, because topics
/// are not grown in place. Cheap to clone; clones learn together.
#[derive(Debug, Clone)]
pub struct StandardLane {
    topic: Arc<str>,
    partitions: Arc<OnceLock<u32>>,
}

impl StandardLane {
    /// The lane of that topic, its partitions still unknown.
    pub fn new(topic: &str) -> Self {
        Self { topic: topic.into(), partitions: Arc::default() }
    }

    /// Its topic.
    pub fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// Notes how many partitions the topic has; the first note stays.
    pub fn learn(&self, partitions: i32) {
        if let Ok(partitions @ 1..) = u32::try_from(partitions) {
            self.partitions.get_or_init(|| partitions);
        }
    }

    /// Whether the number of partitions is known.
    pub fn is_known(&self) -> bool {
        self.partitions.get().is_some()
    }

    /// The account's partition; `None` until the number of partitions is known.
    pub fn partition(&self, account: &AccountId) -> Option<i32> {
        let partitions = *self.partitions.get()?;
        i32::try_from((murmur2(account.as_str().as_bytes()) & 0x7fff_ffff) % partitions).ok()
    }
}

/// Kafka's hash of a key.
fn murmur2(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        let mut k = word.iter().rev().fold(0, |k, byte| k << 8 | u32::from(*byte)).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        hash ^= rest.iter().rev().fold(0, |k, byte| k << 8 | u32::from(*byte));
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_kafka_does() {
        // The vectors of Kafka's own UtilsTest.
        let vectors = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ];
        for (key, hash) in vectors {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    #[test]
    fn the_partition_is_known_with_the_number_of_partitions() {
        let lane = StandardLane::new("weir.events");
        let account = AccountId::new("foobar").expect("account");
        assert_eq!(lane.partition(&account), None);
        lane.learn(0);
        assert!(!lane.is_known());
        lane.clone().learn(6);
        lane.learn(12);
        assert_eq!(lane.partition(&account), Some((-790_332_482_i32 & i32::MAX) % 6));
    }
}
