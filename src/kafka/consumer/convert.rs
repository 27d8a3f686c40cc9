//! librdkafka's message to ours. Invariant: no record, however poisoned, panics or is changed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rdkafka::message::{BorrowedMessage, Headers, Message};

use crate::kafka::record::Polled;

/// Copies one message; `topics` holds the few names there are, so that they are not allocated anew.
pub(in crate::kafka) fn polled(message: &BorrowedMessage<'_>, topics: &mut Vec<Arc<str>>) -> Polled {
    Polled {
        topic: intern(message.topic(), topics),
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(0),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers(message),
    }
}

/// rdkafka 0.39 panics on a header name that is not UTF-8 (`BorrowedHeaders::try_get` unwraps). Anybody who may write to the
/// topic could stop the worker with it, so the panic ends here; such a record comes without headers and is then set aside,
/// since it lacks the envelope's version.
fn headers(message: &BorrowedMessage<'_>) -> Vec<(String, Option<Vec<u8>>)> {
    let Some(headers) = message.headers() else { return Vec::new() };
    let read = catch_unwind(AssertUnwindSafe(|| {
        headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
    }));
    read.unwrap_or_else(|_| {
        tracing::warn!(
            kafka.topic = message.topic(),
            kafka.partition = message.partition(),
            kafka.offset = message.offset(),
            "a record has a header name that is not UTF-8: its headers are left out"
        );
        Vec::new()
    })
}

pub(super) fn intern(topic: &str, topics: &mut Vec<Arc<str>>) -> Arc<str> {
    if let Some(known) = topics.iter().find(|known| known.as_ref() == topic) {
        return Arc::clone(known);
    }
    let name: Arc<str> = topic.into();
    topics.push(Arc::clone(&name));
    name
}
