//! What an API process does beside answering. Invariant: every task ends with the background token, and none is needed to answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::domain::partitioner::Topics;
use crate::domain::routes::Routes;
use crate::kafka::Producer;
use crate::store::ApiStore;
use crate::topics::TopicClasses;

/// Distance between attempts to learn about the topics while nothing is known.
const LEARN_EVERY: Duration = Duration::from_secs(2);

/// Distance between looks for new topics.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// Distance between looks at the partitions of Postgres; the scrape interval.
const SAMPLE_EVERY: Duration = Duration::from_secs(15);

/// Learns which topics there are. Until then `data_as_of` looks at all partitions, which is only too modest.
pub(super) fn learn_topics(
    (tasks, stop): (&TaskTracker, &CancellationToken),
    producer: &Arc<Producer>,
    topics: Topics,
    changed: Arc<Notify>,
) {
    let (producer, stop) = (Arc::clone(producer), stop.clone());
    tasks.spawn(stop.run_until_cancelled_owned(async move {
        loop {
            if let Ok(found) = producer.event_topics().await {
                topics.learn(found);
            }
            let pause = tokio::time::sleep(if topics.is_known() { LOOK_EVERY } else { LEARN_EVERY });
            tokio::select! {
                () = pause => {}
                () = changed.notified() => {}
            }
        }
    }));
}

/// Sends events by the classes that operators keep.
pub(super) fn follow_classes(
    (tasks, stop): (&TaskTracker, &CancellationToken),
    classes: TopicClasses,
    routes: Routes,
    changed: Arc<Notify>,
) {
    tasks.spawn(stop.clone().run_until_cancelled_owned(classes.follow(routes, changed)));
}

/// Tells the gauges what each partition of Postgres costs.
pub(super) fn sample_partitions(tasks: &TaskTracker, stop: &CancellationToken, store: ApiStore) {
    let stop = stop.clone();
    tasks.spawn(stop.run_until_cancelled_owned(async move {
        let mut tick = interval(SAMPLE_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if let Err(error) = store.sample_partitions().await {
                tracing::debug!(%error, "the partitions' statistics cannot be read; it is tried again");
            }
        }
    }));
}
