//! Workers that join divide each lane between them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use weir::app::Roles;
use weir::domain::lane::Lane;
use weir::kafka::{Consumer, ConsumerEvent, Partition};

use crate::harness::{PATIENCE, TestApp};

/// What each of the consumers holds.
type Held = [BTreeSet<Partition>; 2];

fn apply(held: &mut BTreeSet<Partition>, event: ConsumerEvent) {
    match event {
        ConsumerEvent::Assigned(partitions) => held.extend(partitions),
        ConsumerEvent::Revoked(revocation) => {
            held.retain(|partition| !revocation.partitions.contains(partition));
            revocation.done();
        }
        ConsumerEvent::Records(_) => {}
    }
}

/// How many partitions of each topic a consumer holds.
fn by_topic(held: &BTreeSet<Partition>) -> BTreeMap<&str, usize> {
    held.iter().fold(BTreeMap::new(), |mut count, partition| {
        *count.entry(&*partition.topic).or_default() += 1;
        count
    })
}

#[tokio::test]
async fn two_workers_get_half_of_each_lane() {
    let app = TestApp::start_with(Roles::API, |config| config.kafka.kafka_partitions = 4).await;
    let kafka = &app.config().kafka;
    let mut consumers = [0, 1].map(|_| Consumer::start(kafka, &[]).expect("consumer"));
    let mut held: Held = Held::default();
    let bulk = Lane::Bulk.topic(&kafka.kafka_topic);
    let half = BTreeMap::from([(kafka.kafka_topic.as_str(), 2), (bulk.as_str(), 2)]);

    let divided = async {
        let [first, second] = &mut consumers;
        while held.iter().any(|held| by_topic(held) != half) {
            tokio::select! {
                Some(event) = first.next() => apply(&mut held[0], event),
                Some(event) = second.next() => apply(&mut held[1], event),
            }
        }
    };
    tokio::time::timeout(PATIENCE, divided).await.expect("each lane is divided");
    for mut consumer in consumers {
        let handle = consumer.handle();
        let drained = async {
            while let Some(event) = consumer.next().await {
                drop(event)
            }
        };
        let (stopped, ()) = tokio::join!(handle.stop(Duration::from_secs(10)), drained);
        assert!(stopped);
    }
    app.finish().await;
}
