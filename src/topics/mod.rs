//! Event names with topics of their own: operators keep the classes, this station makes their topics and tells the table to route
//! by. Invariant: a class is kept only once its topic has leaders, and routed to only when every instance knows the topic, so
//! that nothing is published where nobody reads and no answer claims to be fresher than it is.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{KafkaConfig, OperatorConfig};
use crate::domain::outcome::Fault;
use crate::domain::routes::{Routes, TopicClass};
use crate::kafka::admin;
pub use crate::kafka::admin::AdminError;
use crate::operators::{Document, Kept, Kind, Operators};

/// Most patterns of a class.
pub const MAX_NAMES: usize = 100;

/// Most characters of a pattern.
const MAX_NAME: usize = 255;

/// How long a topic may take to have leaders.
const MAKING: Duration = Duration::from_secs(8);

/// From seeing a change until events follow it: longer than a change takes to reach every instance.
const SETTLING: Duration = Duration::from_secs(3);

/// Distance between looks at this instance's copy.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A class as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Class {
    /// Exact names, or beginnings of names followed by `*`.
    pub event_names: Vec<String>,
}

/// Makes topics and knows the classes. Cheap to clone.
#[derive(Clone)]
pub struct TopicClasses {
    kafka: Arc<KafkaConfig>,
    kept: Kept<Vec<(String, Class)>>,
}

impl TopicClasses {
    /// Watches the classes until `stop`.
    pub fn start(
        operators: &Operators,
        kafka: &KafkaConfig,
        config: &OperatorConfig,
        until: (&TaskTracker, &CancellationToken),
    ) -> Self {
        let read = |documents: Vec<Document>| documents.iter().filter_map(open).collect::<Vec<_>>();
        let kept = Kept::start(operators, Kind::Topic, config.poll(), read, until);
        Self { kafka: Arc::new(kafka.clone()), kept }
    }

    /// Routes by the classes for as long as it is polled; `changed` is told of each change well before it is followed.
    pub async fn follow(self, routes: Routes, changed: Arc<Notify>) {
        let mut followed = None;
        loop {
            let found = self.kept.get();
            if let Some(classes) = found.filter(|found| followed.as_ref() != Some(found)) {
                changed.notify_one();
                tokio::time::sleep(SETTLING).await;
                let of = |(name, class): &(String, Class)| TopicClass {
                    topic: self.topic(name),
                    event_names: class.event_names.clone(),
                };
                routes.replace(&classes.iter().map(of).collect::<Vec<_>>());
                followed = Some(classes);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Name of the topic of a class.
    pub fn topic(&self, class: &str) -> String {
        self.kafka.class_topic(class)
    }

    /// Another class this instance knows with one of these names.
    pub fn rival(&self, class: &str, names: &[String]) -> Option<String> {
        let known = self.kept.get()?;
        let clash = |(name, kept): &&(String, Class)| {
            name != class && kept.event_names.iter().any(|pattern| names.contains(pattern))
        };
        known.iter().find(clash).map(|(name, _)| name.clone())
    }

    /// Makes the topic of a class, where it is missing, and waits for its leaders.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn make(&self, class: &str) -> Result<(), AdminError> {
        admin::ensure_topic(&self.kafka, &self.topic(class), Instant::now() + MAKING).await
    }
}

impl Class {
    /// Everything that is wrong with it.
    pub fn check(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if !(1..=MAX_NAMES).contains(&self.event_names.len()) {
            faults.push(Fault::new("/event_names", "items", "must be 1 to 100 names"));
        }
        for (place, pattern) in self.event_names.iter().enumerate() {
            let name = pattern.strip_suffix('*').unwrap_or(pattern);
            let sound = !name.trim().is_empty() && !name.contains(['*', '\0']) && pattern.chars().count() <= MAX_NAME;
            if !sound || self.event_names[..place].contains(pattern) {
                let reason = "must be a name, or the beginning of names and *, of at most 255 characters, once";
                faults.push(Fault::new(format!("/event_names/{place}"), "pattern", reason));
            }
        }
        faults
    }
}

fn open(document: &Document) -> Option<(String, Class)> {
    let class = serde_json::from_str(&document.text);
    let class =
        class.inspect_err(|_| tracing::error!(class = document.name, "a topic class is not of this version")).ok()?;
    Some((document.name.clone(), class))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_names_or_beginnings() {
        let faults = |names: &[&str]| {
            let class = Class { event_names: names.iter().map(|name| (*name).to_owned()).collect() };
            class.check().into_iter().map(|fault| fault.pointer.into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(faults(&["order.*", "order.paid", "ü"]), Vec::<String>::new());
        assert_eq!(faults(&[]), ["/event_names"]);
        let bad = ["*", " ", "a*b", "a", "a", &"x".repeat(256)];
        assert_eq!(
            faults(&bad),
            ["/event_names/0", "/event_names/1", "/event_names/2", "/event_names/4", "/event_names/5"]
        );
    }
}
