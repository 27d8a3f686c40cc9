//! From a request's body to answers, one per event: cut → decode → check → charge → choose a lane → seal → publish → answer.
//!
//! Invariant: every event of a body ends in exactly one [`Outcome`], told in the order of the body and counted once, also when
//! the caller goes away in the middle; `Accepted` means the log has it on all in-sync replicas.

mod admission;
mod answer;
mod check;
mod layout;
mod lines;
mod metrics;
mod repeats;
mod seal;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::codec::cloudevents;
use crate::codec::json::{self, Malformed};
use crate::config::Config;
use crate::domain::event::Event;
use crate::domain::id::EventId;
use crate::domain::outcome::{Failure, Fault, Outcome, Rejection};
use crate::domain::routes::Routes;
use crate::domain::tenant::Tenant;
use crate::domain::time::Timestamp;
use crate::kafka::{Publish, Record};
use crate::lanes::Lanes;
use crate::limit::{Pass, Resource};

use admission::Admission;
use check::{Arrival, Broken, Rules, check};
use repeats::{First, Repeats};

pub use answer::{Item, Refusal};
pub use layout::{Form, Layout};
pub use lines::Lines;

/// The structured form of a CloudEvent in binary mode: `attributes` are its `ce-` headers without that prefix.
///
/// # Errors
/// [`Refusal::Malformed`] when its data are not JSON.
pub fn cloud_event(attributes: &[(&str, &str)], data: &[u8]) -> Result<Vec<u8>, Refusal> {
    cloudevents::structured(attributes, data).map_err(|Malformed(fault)| Refusal::malformed(vec![fault]))
}

/// A body as the text of one JSON object that has been linted like an event.
///
/// # Errors
/// [`Refusal::Malformed`].
pub fn json_object(body: &[u8]) -> Result<&str, Refusal> {
    json::object(body).map_err(|Malformed(fault)| Refusal::malformed(vec![fault]))
}

/// One request to take events.
#[derive(Debug, Clone)]
pub struct Call {
    /// Who calls; the account of every event.
    pub tenant: Arc<Tenant>,
    /// What the account may take.
    pub pass: Arc<Pass>,
    /// Correlation id, into the record's headers.
    pub request_id: Arc<str>,
    /// W3C trace context, into the record's headers.
    pub traceparent: Option<Arc<str>>,
    /// When the body had been read.
    pub received_at: Timestamp,
    /// What the sender's clock is behind ours; added to the times its events carry.
    pub skew_micros: i64,
}

impl Call {
    fn arrival(&self) -> Arrival<'_> {
        let Self { tenant, received_at, skew_micros, .. } = self;
        Arrival { account_id: &tenant.account_id, received_at: *received_at, skew_micros: *skew_micros }
    }

    /// The same call by a sender whose clock said `sent_at`.
    #[must_use]
    pub fn sent_at(mut self, sent_at: Timestamp) -> Self {
        self.skew_micros = self.received_at.micros_since(sent_at);
        self
    }
}

/// Takes events for the log. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    shared: Arc<Shared>,
}

/// How an event of a request comes to its item.
enum Place {
    /// It has it.
    Ended(Item),
    /// By being published, in order.
    Published,
    /// By what becomes of the published one at this place, which has its id.
    Repeats(EventId, usize),
}

struct Shared {
    rules: Rules,
    publisher: Arc<dyn Publish>,
    routes: Routes,
    lanes: Lanes,
    ack_timeout: Duration,
}

impl Ingest {
    /// Rules, topic and deadline from the configuration, records by `publisher`.
    pub fn new(config: &Config, publisher: Arc<dyn Publish>) -> Self {
        let lanes = Lanes::unpinned(&config.lanes);
        Self::routed(config, Routes::new(&config.kafka.kafka_topic), lanes, publisher)
    }

    /// The same with topics by `routes` and `lanes`.
    pub fn routed(config: &Config, routes: Routes, lanes: Lanes, publisher: Arc<dyn Publish>) -> Self {
        metrics::announce();
        let rules = Rules::new(&config.ingest, config.database.retention_days);
        let ack_timeout = config.kafka.ack_timeout();
        Self { shared: Arc::new(Shared { rules, publisher, routes, lanes, ack_timeout }) }
    }

    /// How long [`Ingest::single`] and its kin may wait for the log after they have the bytes.
    pub fn ack_timeout(&self) -> Duration {
        self.shared.ack_timeout
    }

    /// Takes one event.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] when the body is no usable JSON; an event that breaks rules is an [`Item`] that says so.
    pub async fn single(&self, call: &Call, form: Form, body: &[u8]) -> Result<Item, Refusal> {
        let mut items = self.take(call, form, (&[body], body.len()), &mut Repeats::among(1)).await;
        let item = items.pop().unwrap_or_else(|| Item::unknown(None));
        match item.outcome {
            Outcome::Rejected(Rejection::Malformed) => Err(Refusal::malformed(item.faults)),
            _ => Ok(item),
        }
    }

    /// Takes the events of a body. A bad event never harms its neighbours; of several with the same id the first that keeps the
    /// rules counts, and the others share its fate.
    ///
    /// # Errors
    /// [`Refusal`] when the body as a whole is unusable; nothing was taken then.
    pub async fn batch(&self, call: &Call, layout: Layout, body: &[u8]) -> Result<Vec<Item>, Refusal> {
        let cut = match layout.cut(body, self.shared.rules.max_batch_events) {
            Ok(cut) => cut,
            Err(refusal) => {
                // It was read, so it counts, whatever became of it.
                call.pass.debit(body.len());
                return Err(refusal);
            }
        };
        let corrected = cut.sent_at.map(|sent_at| call.clone().sent_at(sent_at));
        let call = corrected.as_ref().unwrap_or(call);
        Ok(self.take(call, cut.form, (&cut.events, body.len()), &mut Repeats::among(cut.events.len())).await)
    }

    /// Takes a body of one event a line while it comes.
    pub fn lines(&self, call: Call) -> Lines {
        Lines::new(self.clone(), call)
    }

    /// Says what would become of the events of a body if limits and log let them all in. Nothing is published or counted.
    ///
    /// # Errors
    /// [`Refusal`] when the body as a whole is unusable.
    pub fn validate(&self, call: &Call, layout: Layout, body: &[u8]) -> Result<Vec<Item>, Refusal> {
        let cut = layout.cut(body, self.shared.rules.max_batch_events)?;
        let corrected = cut.sent_at.map(|sent_at| call.clone().sent_at(sent_at));
        let call = corrected.as_ref().unwrap_or(call);
        let mut repeats = Repeats::among(cut.events.len());
        let judged = cut.events.iter().map(|bytes| match self.decode_and_check(call, cut.form, bytes) {
            Err(broken) => Item::rejected(broken),
            Ok(event) if repeats.see(&event.event_id, 0).is_some() => Item::repeat(event.event_id, Outcome::Accepted),
            Ok(event) => Item::sound(event.event_id),
        });
        Ok(judged.collect())
    }

    /// Takes events of one form, in order, each on its own; `body_bytes` were read for them.
    async fn take(
        &self,
        call: &Call,
        form: Form,
        (events, body_bytes): (&[&[u8]], usize),
        repeats: &mut Repeats,
    ) -> Vec<Item> {
        let mut admission = Admission::of(&call.tenant.account_id, events.len());
        let mut places: Vec<Place> = Vec::with_capacity(events.len());
        let mut sound: Vec<Event<'_>> = Vec::with_capacity(events.len());
        for bytes in events {
            let place = match self.decode_and_check(call, form, bytes) {
                Err(broken) => Place::Ended(Item::rejected(broken)),
                Ok(event) => match repeats.see(&event.event_id, sound.len()) {
                    Some(First::Earlier(outcome)) => Place::Ended(Item::repeat(event.event_id, outcome)),
                    Some(First::Here(first)) => Place::Repeats(event.event_id, first),
                    None => {
                        sound.push(event);
                        Place::Published
                    }
                },
            };
            if let Place::Ended(item) = &place {
                admission.ended(item.outcome);
            }
            places.push(place);
        }
        let published = self.charge_and_publish(call, sound, body_bytes, &mut admission).await;
        let outcomes: Vec<Outcome> = published.iter().map(|item| item.outcome).collect();
        repeats.settle(&outcomes);
        let mut published = published.into_iter();
        let item = |place| match place {
            Place::Ended(item) => item,
            Place::Published => published.next().unwrap_or_else(|| Item::unknown(None)),
            Place::Repeats(id, first) => {
                let first = outcomes.get(first).copied().unwrap_or(Outcome::Failed(Failure::Unknown));
                let item = Item::repeat(id, first);
                admission.ended(item.outcome);
                item
            }
        };
        places.into_iter().map(item).collect()
    }

    fn decode_and_check<'a>(&self, call: &Call, form: Form, bytes: &'a [u8]) -> Result<Event<'a>, Broken> {
        let max = self.shared.rules.max_event_bytes;
        if bytes.len() > max {
            let reason = format!("must be at most {max} bytes");
            let fault = Fault { pointer: "".into(), rule: "max_bytes", reason: reason.into() };
            return Err(Broken { event_id: None, rejection: Rejection::TooLarge, faults: vec![fault] });
        }
        let (draft, faults) = form.draft(bytes).map_err(|Malformed(fault)| Broken {
            event_id: None,
            rejection: Rejection::Malformed,
            faults: vec![fault],
        })?;
        match check(&draft, &self.shared.rules, call.arrival()) {
            Err(broken) => Err(form.broken(broken, faults)),
            Ok(event) if !faults.is_empty() => {
                let id = draft.event_id.is_some().then_some(event.event_id);
                Err(Broken { event_id: id, rejection: Rejection::Invalid, faults })
            }
            Ok(event) => Ok(event),
        }
    }

    /// Items in the order of the events: the first ones as far as the account's limits reach, then the limited ones.
    async fn charge_and_publish(
        &self,
        call: &Call,
        mut events: Vec<Event<'_>>,
        body_bytes: usize,
        admission: &mut Admission<'_>,
    ) -> Vec<Item> {
        let charge = call.pass.charge(events.len(), body_bytes).await;
        let over = events.split_off(charge.granted);
        let mut items = self.seal_and_publish(call, events, admission).await;
        call.pass.refund(items.iter().filter(|item| item.is_certainly_not_taken()).count()).await;
        if let Some(refusal) = charge.refusal {
            for event in over {
                admission.ended(Outcome::Limited(refusal.policy));
                items.push(Item::limited(event.event_id, refusal.policy));
            }
        }
        items
    }

    /// Items in the order of the events.
    async fn seal_and_publish(&self, call: &Call, events: Vec<Event<'_>>, admission: &mut Admission<'_>) -> Vec<Item> {
        if events.is_empty() {
            return Vec::new();
        }
        let (lanes, account) = (&self.shared.lanes, &call.tenant.account_id);
        let publishing = lanes.publishing(account, events.len());
        let seal = seal::Seal::new(call, self.shared.routes.now(), publishing.lane());
        let records: Vec<Record> = events.iter().map(|event| seal.record(event)).collect();
        let topics: Vec<Arc<str>> = records.iter().map(|record| Arc::clone(&record.topic)).collect();
        let ids = events.into_iter().map(|event| event.event_id).zip(topics);
        let queued = records.iter().filter_map(|record| record.value.as_ref()).map(|value| value.len()).sum();
        let Ok(_queued) = call.pass.hold(Resource::Queue, queued) else {
            publishing.not_sent();
            let full = ids.map(|(id, _)| Item::queue_full(id));
            return full.inspect(|item| admission.ended(item.outcome)).collect();
        };
        let deadline = Instant::now() + self.shared.ack_timeout;
        let results = self.shared.publisher.publish(records, deadline).await;
        let mut results = results.into_iter();
        let published = ids.map(|(id, topic)| {
            let item = match results.next() {
                Some(result) => Item::published(id, &topic, result),
                None => Item::unknown(Some(id)),
            };
            admission.ended(item.outcome);
            item
        });
        let published: Vec<Item> = published.collect();
        let unknown = published.iter().filter(|item| item.outcome == Outcome::Failed(Failure::Unknown)).count();
        publishing.ended(published.iter().filter_map(|item| item.receipt.as_ref()), unknown);
        published
    }
}

#[cfg(test)]
mod shape_tests;
#[cfg(test)]
mod tests;
