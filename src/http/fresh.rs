//! Who answered a question, and whether the caller must wait for its receipt first. Invariant: a receipt that does not open for
//! the caller is a 400, whatever it says.

use poem_openapi::Enum;
use serde::Serialize;

use super::caller::{Caller, Needs};
use super::problem::Problem;
use super::refusal::invalid_parameter;
use crate::query::{Database, Freshness, QueryError};

/// Which database answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[oai(rename = "AnsweredBy", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub(super) enum AnsweredBy {
    /// The one events are written to
    Primary,
    /// A copy; `data_as_of` says how far it has come
    Replica,
}

impl From<Freshness> for AnsweredBy {
    fn from(freshness: Freshness) -> Self {
        if freshness.replica { Self::Replica } else { Self::Primary }
    }
}

/// Waits until the event of `min_receipt` counts; answers whom to ask then.
pub(super) async fn wait_for<N: Needs>(caller: &Caller<N>, receipt: Option<&str>) -> Result<Database, Problem> {
    let waited = caller.components.queries.wait_for(&caller.tenant.account_id, receipt).await;
    waited.map_err(|error| match error {
        QueryError::Receipt => invalid_parameter("query", "min_receipt", error.to_string()),
        error => error.into(),
    })
}
