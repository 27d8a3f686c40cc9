//! How a body holds its events, and cutting it apart. Invariant: cutting judges the body as a whole only; each event is still the
//! bytes it came in.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::answer::Refusal;
use super::check::Broken;
use crate::codec::cloudevents;
use crate::codec::json::{self, Draft, Malformed};
use crate::domain::outcome::Fault;
use crate::domain::time::Timestamp;

/// What one event is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Our own JSON.
    Event,
    /// A structured CloudEvent.
    CloudEvent,
}

/// How a body holds its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One event.
    One(Form),
    /// `{"events": […]}`, or an array of CloudEvents.
    Many(Form),
    /// An object: a batch when it has a member `events`, else one event.
    Either,
}

/// A body, cut apart.
pub(super) struct Cut<'a> {
    pub(super) form: Form,
    pub(super) events: Vec<&'a [u8]>,
    pub(super) sent_at: Option<Timestamp>,
}

impl Layout {
    pub(super) fn cut(self, body: &[u8], max: usize) -> Result<Cut<'_>, Refusal> {
        let (form, found) = match self {
            Self::One(form) => return Ok(Cut { form, events: vec![body], sent_at: None }),
            Self::Many(Form::Event) | Self::Either => (Form::Event, json::items(body, max)),
            Self::Many(Form::CloudEvent) => (Form::CloudEvent, json::elements(body, max)),
        };
        let found = found.map_err(|Malformed(fault)| Refusal::malformed(vec![fault]))?;
        let events = match found.events {
            None if self == Self::Either => return Ok(Cut { form, events: vec![body], sent_at: None }),
            None => return Err(Refusal::NoEvents),
            Some(events) if events.is_empty() => return Err(Refusal::NoEvents),
            Some(_) if found.too_many => return Err(Refusal::TooManyEvents { max }),
            Some(events) => events.into_iter().map(|raw| raw.get().as_bytes()).collect(),
        };
        let sent_at = found.sent_at.map(sent_at).transpose()?;
        Ok(Cut { form, events, sent_at })
    }
}

fn sent_at(raw: &RawValue) -> Result<Timestamp, Refusal> {
    let text = json::as_text(raw).unwrap_or(Cow::Borrowed(raw.get()));
    Timestamp::parse(&text).map_err(|error| {
        Refusal::malformed(vec![Fault {
            pointer: "/sent_at".into(),
            rule: "timestamp",
            reason: error.to_string().into(),
        }])
    })
}

impl Form {
    /// The draft of one event, and what its envelope alone breaks.
    pub(super) fn draft(self, bytes: &[u8]) -> Result<(Draft<'_>, Vec<Fault>), Malformed> {
        match self {
            Self::Event => json::draft(bytes).map(|draft| (draft, Vec::new())),
            Self::CloudEvent => cloudevents::draft(bytes),
        }
    }

    /// The faults of the envelope and of the event together, named as this form names its fields.
    pub(super) fn broken(self, broken: Broken, mut faults: Vec<Fault>) -> Broken {
        if self == Self::Event {
            return broken;
        }
        for fault in broken.faults {
            let pointer = cloudevents::attribute(fault.pointer);
            // What is missing may have been told already.
            if !faults.iter().any(|told| told.pointer == pointer) {
                faults.push(Fault { pointer, ..fault });
            }
        }
        Broken { faults, ..broken }
    }
}
