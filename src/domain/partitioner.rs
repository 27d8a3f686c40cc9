//! Where the log puts an account. Invariant: the partitions told here are those every producer with the `murmur2` partitioner
//! chooses (librdkafka, Java, Flink, Connect), so what is said about them is said about the account.

use std::sync::Arc;

use parking_lot::RwLock;

use super::id::AccountId;
use super::lane::Lane;

/// The topics that carry events, with their numbers of partitions, as far as they are known. Cheap to clone; clones learn
/// together.
#[derive(Debug, Clone)]
pub struct Topics {
    standard: Arc<str>,
    known: Arc<RwLock<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    topics: Vec<(Arc<str>, u32)>,
    generation: u64,
}

impl Topics {
    /// The topic of the standard lane; nothing else is known yet.
    pub fn new(standard: &str) -> Self {
        Self { standard: standard.into(), known: Arc::default() }
    }

    /// Puts what the brokers have in the place of what was known. Nothing at all says nothing.
    pub fn learn(&self, topics: impl IntoIterator<Item = (String, i32)>) {
        let counted = |(name, partitions): (String, i32)| {
            Some((Arc::from(name), u32::try_from(partitions).ok().filter(|partitions| *partitions > 0)?))
        };
        let mut topics: Vec<(Arc<str>, u32)> = topics.into_iter().filter_map(counted).collect();
        topics.sort();
        let mut known = self.known.write();
        if !topics.is_empty() && known.topics != topics {
            *known = Known { topics, generation: known.generation + 1 };
        }
    }

    /// Changes with what is known.
    pub fn generation(&self) -> u64 {
        self.known.read().generation
    }

    /// Whether anything is known.
    pub fn is_known(&self) -> bool {
        self.generation() > 0
    }

    /// Whether that topic, or its standard lane, carries events.
    pub fn carries(&self, topic: &str) -> bool {
        let base = Lane::base(topic);
        base == &*self.standard || self.known.read().topics.iter().any(|(name, _)| Lane::base(name) == base)
    }

    /// Every partition that may hold records of the account: one of each standard lane, up to four of each bulk lane. `None`
    /// until the topics are known.
    pub fn homes(&self, account: &AccountId) -> Option<Vec<(Arc<str>, i32)>> {
        let known = self.known.read();
        let mut homes = Vec::with_capacity(known.topics.len() * 3);
        for (topic, partitions) in &known.topics {
            for key in Lane::of_topic(topic).keys(account) {
                let partition = (murmur2(key.as_bytes()) & 0x7fff_ffff) % partitions;
                homes.push((Arc::clone(topic), partition.cast_signed()));
            }
        }
        homes.sort();
        homes.dedup();
        (known.generation > 0).then_some(homes)
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
    fn an_account_lives_in_one_standard_and_up_to_four_bulk_partitions() {
        let topics = Topics::new("weir.events");
        let account = AccountId::new("foobar").expect("account");
        assert_eq!(topics.homes(&account), None);
        topics.learn([("weir.events".to_owned(), 0)]);
        assert!(!topics.is_known());
        topics.clone().learn([("weir.events.bulk".to_owned(), 64), ("weir.events".to_owned(), 6)]);
        let homes = topics.homes(&account).expect("known");
        let standard: Vec<_> = homes.iter().filter(|(topic, _)| &**topic == "weir.events").collect();
        assert_eq!(standard, [&(Arc::from("weir.events"), (-790_332_482_i32 & i32::MAX) % 6)]);
        assert!((3..=5).contains(&homes.len()), "{homes:?}");
    }

    #[test]
    fn topics_are_known_by_either_lane_and_changes_are_told() {
        let topics = Topics::new("weir.events");
        assert!(topics.carries("weir.events.bulk") && !topics.carries("payments"));
        topics.learn([("payments".to_owned(), 3)]);
        assert!(topics.carries("payments.bulk") && topics.generation() == 1);
        topics.learn([("payments".to_owned(), 3)]);
        topics.learn([]);
        assert_eq!(topics.generation(), 1);
    }
}
