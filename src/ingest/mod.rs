//! From a request's body to answers, one per event: decode → check → charge → seal → publish → answer.
//!
//! Invariant: every event of a body ends in exactly one [`Outcome`], told in the order of the body and counted once, also when
//! the caller goes away in the middle; `Accepted` means the log has it on all in-sync replicas.

mod admission;
mod answer;
mod check;
mod metrics;
mod seal;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::codec::json;
use crate::config::Config;
use crate::domain::event::Event;
use crate::domain::id::EventId;
use crate::domain::outcome::{Fault, Outcome, Rejection};
use crate::domain::tenant::Tenant;
use crate::domain::time::Timestamp;
use crate::kafka::{Publish, Record};
use crate::limit::{Pass, Resource};

use admission::Admission;
use check::{Broken, Rules, check};

pub use answer::{Item, Refusal};

/// One request to take events.
#[derive(Debug, Clone)]
pub struct Call {
    /// Who calls; the account of every event.
    pub tenant: Arc<Tenant>,
    /// Correlation id, into the record's headers.
    pub request_id: Arc<str>,
    /// W3C trace context, into the record's headers.
    pub traceparent: Option<Arc<str>>,
    /// When the body had been read.
    pub received_at: Timestamp,
}

/// Takes events for the log. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    shared: Arc<Shared>,
}

struct Shared {
    rules: Rules,
    publisher: Arc<dyn Publish>,
    topic: Arc<str>,
    ack_timeout: Duration,
}

impl Ingest {
    /// Rules, topic and deadline from the configuration, records by `publisher`.
    pub fn new(config: &Config, publisher: Arc<dyn Publish>) -> Self {
        let rules = Rules::new(&config.ingest, config.database.retention_days);
        let topic = config.kafka.kafka_topic.as_str().into();
        Self { shared: Arc::new(Shared { rules, publisher, topic, ack_timeout: config.kafka.ack_timeout() }) }
    }

    /// Takes one event.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] when the body is no usable JSON; an event that breaks rules is an [`Item`] that says so.
    pub async fn single(&self, call: &Call, pass: &Pass, body: &[u8]) -> Result<Item, Refusal> {
        let mut admission = Admission::of(1);
        match self.decode_and_check(call, body) {
            Ok(event) => {
                let mut items = self.charge_and_publish((call, pass), vec![event], body.len(), &mut admission).await;
                Ok(items.pop().unwrap_or_else(|| Item::unknown(None)))
            }
            Err(broken) => {
                if let Some(refusal) = pass.charge(0, body.len()).await.refusal {
                    admission.ended(Outcome::Limited(refusal.policy));
                    return Ok(Item::limited(broken.event_id, refusal.policy));
                }
                admission.ended(Outcome::Rejected(broken.rejection));
                if broken.rejection == Rejection::Malformed {
                    return Err(Refusal::malformed(broken.faults));
                }
                Ok(Item::rejected(broken))
            }
        }
    }

    /// Takes a batch `{"events": [...]}`. A bad event never harms its neighbours; of several with the same id the first that
    /// keeps the rules counts, the others are duplicates.
    ///
    /// # Errors
    /// [`Refusal`] when the body as a whole is unusable; nothing was taken then.
    pub async fn batch(&self, call: &Call, pass: &Pass, body: &[u8]) -> Result<Vec<Item>, Refusal> {
        let events = match self.events_of(body) {
            Ok(events) => events,
            Err(refusal) => {
                // It was read, so it counts, whatever became of it.
                pass.charge(0, body.len()).await;
                return Err(refusal);
            }
        };
        let mut admission = Admission::of(events.len());
        let mut answers: Vec<Option<Item>> = Vec::with_capacity(events.len());
        let mut sound: Vec<Event<'_>> = Vec::with_capacity(events.len());
        let mut seen: HashSet<EventId> = HashSet::with_capacity(events.len());
        for raw in events {
            let answer = match self.decode_and_check(call, raw.get().as_bytes()) {
                Ok(event) if seen.contains(&event.event_id) => Some(Item::duplicate(event.event_id)),
                Ok(event) => {
                    seen.insert(event.event_id.clone());
                    sound.push(event);
                    None
                }
                Err(broken) => Some(Item::rejected(broken)),
            };
            if let Some(item) = &answer {
                admission.ended(item.outcome);
            }
            answers.push(answer);
        }
        let mut published = self.charge_and_publish((call, pass), sound, body.len(), &mut admission).await.into_iter();
        let in_order =
            |answer: Option<Item>| answer.or_else(|| published.next()).unwrap_or_else(|| Item::unknown(None));
        Ok(answers.into_iter().map(in_order).collect())
    }

    fn events_of<'a>(&self, body: &'a [u8]) -> Result<Vec<&'a RawValue>, Refusal> {
        let max = self.shared.rules.max_batch_events;
        let found = json::items(body, max).map_err(|malformed| Refusal::malformed(vec![malformed.0]))?;
        let events = found.events.ok_or(Refusal::NoEvents)?;
        if found.too_many {
            return Err(Refusal::TooManyEvents { max });
        }
        if events.is_empty() { Err(Refusal::NoEvents) } else { Ok(events) }
    }

    fn decode_and_check<'a>(&self, call: &Call, bytes: &'a [u8]) -> Result<Event<'a>, Broken> {
        let max = self.shared.rules.max_event_bytes;
        if bytes.len() > max {
            let reason = format!("must be at most {max} bytes");
            let fault = Fault { pointer: "".into(), rule: "max_bytes", reason: reason.into() };
            return Err(Broken { event_id: None, rejection: Rejection::TooLarge, faults: vec![fault] });
        }
        let draft = json::draft(bytes).map_err(|malformed| Broken {
            event_id: None,
            rejection: Rejection::Malformed,
            faults: vec![malformed.0],
        })?;
        check(&draft, &self.shared.rules, call)
    }

    /// Items in the order of the events: the first ones as far as the account's limits reach, then the limited ones.
    async fn charge_and_publish(
        &self,
        (call, pass): (&Call, &Pass),
        mut events: Vec<Event<'_>>,
        body_bytes: usize,
        admission: &mut Admission,
    ) -> Vec<Item> {
        let charge = pass.charge(events.len(), body_bytes).await;
        let over = events.split_off(charge.granted);
        let mut items = self.seal_and_publish((call, pass), events, admission).await;
        pass.refund(items.iter().filter(|item| item.is_certainly_not_taken()).count()).await;
        if let Some(refusal) = charge.refusal {
            for event in over {
                admission.ended(Outcome::Limited(refusal.policy));
                items.push(Item::limited(Some(event.event_id), refusal.policy));
            }
        }
        items
    }

    /// Items in the order of the events.
    async fn seal_and_publish(
        &self,
        (call, pass): (&Call, &Pass),
        events: Vec<Event<'_>>,
        admission: &mut Admission,
    ) -> Vec<Item> {
        if events.is_empty() {
            return Vec::new();
        }
        let seal = seal::Seal::new(call, &self.shared.topic);
        let records: Vec<Record> = events.iter().map(|event| seal.record(event)).collect();
        let ids: Vec<EventId> = events.into_iter().map(|event| event.event_id).collect();
        let queued = records.iter().filter_map(|record| record.value.as_ref()).map(|value| value.len()).sum();
        let Ok(_queued) = pass.hold(Resource::Queue, queued) else {
            let full = ids.into_iter().map(Item::queue_full);
            return full.inspect(|item| admission.ended(item.outcome)).collect();
        };
        let deadline = Instant::now() + self.shared.ack_timeout;
        let results = self.shared.publisher.publish(records, deadline).await;
        let mut results = results.into_iter();
        ids.into_iter()
            .map(|id| {
                let item = match results.next() {
                    Some(result) => Item::published(id, &self.shared.topic, result),
                    None => Item::unknown(Some(id)),
                };
                admission.ended(item.outcome);
                item
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
