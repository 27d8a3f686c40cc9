//! Who hears of new rows after their commit: live counters and sketches. Invariant: told only of what is committed, and never
//! waited for.

use std::sync::{Arc, OnceLock};

use super::keeper::Keeper;
use super::load::Load;
use super::metrics;
use super::tally::Tally;
use crate::domain::event::Event;
use crate::domain::time::Timestamp;
use crate::store::Written;
use crate::telemetry::trace::context::{Place, Remote};
use crate::telemetry::trace::{Kind, Span, Tracer, Value};

/// The followers of one writer; the first of each kind stays.
#[derive(Default)]
pub struct Followers {
    tally: OnceLock<Arc<Tally>>,
    keeper: OnceLock<Arc<Keeper>>,
    tracer: OnceLock<Tracer>,
}

impl Followers {
    /// Counts what is stored from now on.
    pub fn count_into(&self, tally: Arc<Tally>) {
        self.tally.get_or_init(|| tally);
    }

    /// Sketches what is stored from now on.
    pub fn sketch_with(&self, keeper: Arc<Keeper>) {
        self.keeper.get_or_init(|| keeper);
    }

    /// Traces what is stored from now on, where its request was traced.
    pub fn trace_with(&self, tracer: Tracer) {
        self.tracer.get_or_init(|| tracer);
    }

    /// A load is done. Events of one request that stand together are one span.
    pub(super) fn done(&self, load: &Load, started_at: Timestamp) {
        let Some(tracer) = self.tracer.get() else { return };
        let header =
            |event: usize| load.origin_of(event).header("traceparent").and_then(|text| str::from_utf8(text).ok());
        let traced: Vec<_> = (0..load.events.len()).filter_map(header).collect();
        for run in traced.chunk_by(|a, b| a == b) {
            let Some(place) = run.first().and_then(|text| Remote::parse(text)).filter(|remote| remote.sampled) else {
                continue;
            };
            tracer.record(Span {
                place: Place::under(&place),
                name: "storeEvents",
                kind: Kind::Consumer,
                started_at,
                ended_at: Timestamp::now(),
                attributes: vec![("weir.events", Value::Number(i64::try_from(run.len()).unwrap_or(i64::MAX)))],
                failed: false,
            });
        }
    }

    /// A batch is committed.
    pub(super) fn stored(&self, events: &[Event<'_>], written: &Written) {
        let now = Timestamp::now();
        metrics::stored(events, written, now);
        if let Some(tally) = self.tally.get() {
            tally.add(events, written, now);
        }
        if let Some(keeper) = self.keeper.get() {
            keeper.add(events, written);
        }
    }
}
