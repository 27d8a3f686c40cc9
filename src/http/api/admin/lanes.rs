//! Choosing an account's lane. Invariant: a pin is a document of its account; without one the account's backlog decides.

use poem_openapi::param::{Header, Path, Query};
use poem_openapi::{ApiResponse, Enum, Object, OpenApi};
use serde::{Deserialize, Serialize};

use super::super::super::admin::{Etag, Form, Operator, account_of, author, change};
use super::super::super::answer::{LaneBody, Reply};
use super::super::super::caller::QuotasAdmin;
use super::super::super::failure::{Change as ChangeFailure, Failure, Read};
use super::super::super::problem::{Code, Problem};
use super::super::super::text::Rfc3339;
use super::super::Group;
use super::Removed;
use crate::domain::id::AccountId;
use crate::domain::lane::{Lane, LaneMove, MoveReason};
use crate::lanes::Pin;
use crate::operators::{Change, Kind};

/// `/v1/admin/accounts/{account_id}/lane`.
pub(in crate::http) struct LanesAdminApi;

/// The lane an account is to take
#[derive(Object, Deserialize)]
#[oai(rename = "NewAccountLane")]
#[serde(deny_unknown_fields)]
struct NewLane {
    /// Why, for the audit
    #[oai(validator(min_length = 1, max_length = 500))]
    reason: String,
    /// The lane, whatever the account's backlog
    lane: LaneBody,
}

/// Why an account changed its lane.
#[derive(Debug, Clone, Copy, Enum, Serialize)]
#[oai(rename = "LaneMoveReason", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
enum ReasonBody {
    /// Too many of its records waited
    Backlog,
    /// Few have waited for long enough
    Calm,
    /// An operator chose its lane
    Pinned,
    /// Operators leave it to its backlog again
    Unpinned,
}

/// A change of lane
#[derive(Object, Serialize)]
#[oai(rename = "LaneMove")]
struct MoveBody {
    /// When
    since: Rfc3339,
    /// The lane from then on
    lane: LaneBody,
    /// Why
    reason: ReasonBody,
    /// Instance of the API that decided, for what it publishes
    instance: String,
    /// Records of the account that it had published and the store had not
    #[oai(validator(minimum(value = "0")))]
    backlog: i64,
}

/// The lane of an account
#[derive(Object, Serialize)]
#[oai(rename = "AccountLane")]
struct AccountLaneBody {
    /// The account
    account_id: String,
    /// Lane of its next event, at the instance that answers
    lane: LaneBody,
    /// The lane an operator chose, as far as this instance has heard; null when the backlog decides
    #[oai(nullable)]
    pinned: Option<String>,
    /// Records of the account that this instance has published and the store has not, as far as known
    #[oai(validator(minimum(value = "0")))]
    backlog: i64,
    /// Its last changes of lane at all instances, the newest first
    history: Vec<MoveBody>,
}

#[derive(ApiResponse)]
enum Found {
    /// The lane
    #[oai(status = 200)]
    Found(
        Reply<AccountLaneBody>,
        /// Version of the pin, for If-Match; `"0"` without one
        #[oai(header = "ETag")]
        String,
    ),
}

/// What was pinned
#[derive(Object, Serialize)]
#[oai(rename = "PinnedLane")]
struct PinnedBody {
    /// The account
    account_id: String,
    /// Its lane from now on, at every instance within 2 s
    pinned: LaneBody,
}

#[derive(ApiResponse)]
enum Put {
    /// Another pin was replaced
    #[oai(status = 200)]
    Replaced(
        Reply<PinnedBody>,
        /// Its version, for If-Match
        #[oai(header = "ETag")]
        String,
    ),
    /// The account is pinned
    #[oai(status = 201)]
    Created(
        Reply<PinnedBody>,
        /// Its version, for If-Match
        #[oai(header = "ETag")]
        String,
    ),
}

#[OpenApi(tag = "Group::Admin")]
impl LanesAdminApi {
    /// Read an account's lane and its history
    ///
    /// Needs `role: operator` and the scope `quotas:admin`. An account nobody has heard of is in the standard lane.
    #[oai(path = "/v1/admin/accounts/:account_id/lane", method = "get", operation_id = "getAccountLane")]
    async fn lane(
        &self,
        operator: Operator<QuotasAdmin>,
        /// The account
        #[oai(validator(max_length = 128))]
        account_id: Path<String>,
    ) -> Result<Found, Failure<Read>> {
        let account = account_of(&account_id.0)?;
        let components = &operator.components;
        let pin = components.operators.document(Kind::Lane, account.as_str()).await.map_err(Problem::from)?;
        let history = components.lane_history.of(&account).await.map_err(Problem::from)?;
        let standing = components.lanes.standing(&account);
        let body = AccountLaneBody {
            account_id: account.to_string(),
            lane: standing.lane.into(),
            pinned: standing.pinned.map(|lane| lane.to_string()),
            backlog: standing.backlog.cast_signed(),
            history: history.into_iter().map(MoveBody::from).collect(),
        };
        Ok(Found::Found(Reply(body), pin.map_or(Etag(0), |pin| Etag::from(&pin)).header()))
    }

    /// Pin an account to a lane
    ///
    /// Needs `role: operator` and the scope `quotas:admin`. To replace a pin, send its ETag as `If-Match`. Its records keep their
    /// order within a lane; those on their way stay where they are.
    #[oai(path = "/v1/admin/accounts/:account_id/lane", method = "put", operation_id = "putAccountLane")]
    async fn put(
        &self,
        operator: Operator<QuotasAdmin>,
        /// The account
        #[oai(validator(max_length = 128))]
        account_id: Path<String>,
        /// ETag of the pin that is to be replaced; absent or `"0"` to create
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        new: Form<NewLane>,
    ) -> Result<Put, Failure<ChangeFailure>> {
        let (account, Form(new)) = (account_of(&account_id.0)?, new);
        let text = serde_json::to_string(&Pin::to(Lane::from(new.lane)));
        let text = text.map_err(|_| Problem::new(Code::Internal, ""))?;
        let asked = asked(&operator, &account, if_match.0.as_deref(), (&new.reason, Some(text)))?;
        let etag = change(&operator, &asked).await?.header();
        let reply = Reply(PinnedBody { account_id: account.to_string(), pinned: new.lane });
        Ok(if asked.expected.is_some() { Put::Replaced(reply, etag) } else { Put::Created(reply, etag) })
    }

    /// Leave an account's lane to its backlog
    ///
    /// Needs `role: operator` and the scope `quotas:admin`, and the pin's ETag as `If-Match`.
    #[oai(path = "/v1/admin/accounts/:account_id/lane", method = "delete", operation_id = "deleteAccountLane")]
    async fn remove(
        &self,
        operator: Operator<QuotasAdmin>,
        /// The account
        #[oai(validator(max_length = 128))]
        account_id: Path<String>,
        /// Why, for the audit
        #[oai(validator(min_length = 1, max_length = 500))]
        reason: Query<String>,
        /// ETag of what is to be removed
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
    ) -> Result<Removed, Failure<ChangeFailure>> {
        let account = account_of(&account_id.0)?;
        let asked = asked(&operator, &account, if_match.0.as_deref(), (&reason.0, None))?;
        change(&operator, &asked).await?;
        Ok(Removed::Removed)
    }
}

fn asked(
    operator: &Operator<QuotasAdmin>,
    account: &AccountId,
    if_match: Option<&str>,
    (reason, text): (&str, Option<String>),
) -> Result<Change, Problem> {
    Ok(Change {
        kind: Kind::Lane,
        name: account.to_string(),
        // `"0"` is what an account without a pin shows.
        expected: Etag::expected(if_match).filter(|version| *version != 0),
        content: text.map(|text| (text, None)),
        account_id: Some(account.clone()),
        author: author(operator, reason)?,
    })
}

impl From<LaneMove> for MoveBody {
    fn from(moved: LaneMove) -> Self {
        Self {
            since: Rfc3339(moved.since),
            lane: moved.lane.into(),
            reason: moved.reason.into(),
            instance: moved.instance.to_string(),
            backlog: moved.backlog.cast_signed(),
        }
    }
}

impl From<MoveReason> for ReasonBody {
    fn from(reason: MoveReason) -> Self {
        match reason {
            MoveReason::Backlog => Self::Backlog,
            MoveReason::Calm => Self::Calm,
            MoveReason::Pinned => Self::Pinned,
            MoveReason::Unpinned => Self::Unpinned,
        }
    }
}
