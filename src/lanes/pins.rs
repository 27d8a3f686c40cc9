//! Lanes that operators chose. Invariant: a document is named by its account, so an account has one pin at most.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Lanes;
use crate::config::{LaneConfig, OperatorConfig};
use crate::domain::id::AccountId;
use crate::domain::lane::Lane;
use crate::operators::{Document, Kept, Kind, Operators};

/// Lanes by account.
pub type Pins = HashMap<AccountId, Lane>;

/// A pin as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Name of the lane.
    lane: String,
}

impl Pin {
    /// To that lane.
    pub fn to(lane: Lane) -> Self {
        Self { lane: lane.as_str().to_owned() }
    }
}

impl Lanes {
    /// Lanes with the pins that operators keep, watched until `stop`.
    pub fn start(
        config: &LaneConfig,
        operators: &Operators,
        operation: &OperatorConfig,
        until: (&TaskTracker, &CancellationToken),
    ) -> Self {
        let read = |documents: Vec<Document>| documents.iter().filter_map(open).collect::<Pins>();
        Self::new(config, Kept::start(operators, Kind::Lane, operation.poll(), read, until))
    }
}

fn open(document: &Document) -> Option<(AccountId, Lane)> {
    let account = AccountId::new(&document.name).ok()?;
    let pin: Option<Pin> = serde_json::from_str(&document.text).ok();
    let lane = pin.and_then(|pin| Lane::parse(&pin.lane));
    if lane.is_none() {
        tracing::error!(account.id = %account, "a pin to a lane is not of this version");
    }
    Some((account, lane?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_reads_back_and_others_are_left_out() {
        let document = |text: String| Document { name: "acme/1".into(), version: 1, text, sealed: Vec::new() };
        for lane in Lane::ALL {
            let text = serde_json::to_string(&Pin::to(lane)).expect("JSON");
            assert_eq!(open(&document(text)), Some((AccountId::new("acme/1").expect("id"), lane)));
        }
        assert_eq!(open(&document(r#"{"lane":"express"}"#.into())), None);
    }
}
