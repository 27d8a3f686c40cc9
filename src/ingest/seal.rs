//! A checked event to a record. Invariant: what has one key stays in order: the account in the standard lane, the account and some
//! of its users in the bulk lane; what the headers share within a request is allocated once.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use crate::codec::envelope::{ENVELOPE_VERSION, encode};
use crate::domain::event::Event;
use crate::domain::id::AccountId;
use crate::domain::lane::Lane;
use crate::domain::routes::RoutesNow;
use crate::kafka::Record;

use super::Call;

/// Seals the events of one request.
pub(super) struct Seal {
    routes: RoutesNow,
    lane: Lane,
    account: AccountId,
    account_id: Bytes,
    received_at: Bytes,
    request_id: Bytes,
    traceparent: Option<Bytes>,
}

impl Seal {
    pub(super) fn new(call: &Call, routes: RoutesNow, lane: Lane) -> Self {
        let own = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        Self {
            routes,
            lane,
            account: call.tenant.account_id.clone(),
            account_id: own(call.tenant.account_id.as_str()),
            received_at: Bytes::from(call.received_at.to_string()),
            request_id: own(&call.request_id),
            traceparent: call.traceparent.as_deref().map(own),
        }
    }

    pub(super) fn record(&self, event: &Event<'_>) -> Record {
        let header = |name: &'static str, value: Bytes| (Cow::Borrowed(name), Some(value));
        let mut headers = Vec::with_capacity(6);
        headers.push(header("account_id", self.account_id.clone()));
        headers.push(header("event_id", Bytes::copy_from_slice(event.event_id.as_str().as_bytes())));
        headers.push(header("received_at", self.received_at.clone()));
        if let Some(traceparent) = &self.traceparent {
            headers.push(header("traceparent", traceparent.clone()));
        }
        headers.push(header("request_id", self.request_id.clone()));
        headers.push(header("v", Bytes::from_static(ENVELOPE_VERSION.as_bytes())));
        Record {
            topic: Arc::clone(self.routes.topic(&event.event_name, self.lane)),
            key: Some(match self.lane {
                Lane::Standard => self.account_id.clone(),
                Lane::Bulk => Bytes::from(self.lane.key(&self.account, &event.user_id)),
            }),
            value: Some(Bytes::from(encode(event))),
            headers,
        }
    }
}
