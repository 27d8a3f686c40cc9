//! Incidents. Invariant: only operators write them, and every change is of the version its author has seen.

use poem::Request;
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};

use super::super::admin::Operator;
use super::super::answer::Reply;
use super::super::caller::SloRead;
use super::super::failure::{Change, Failure, Read, ReadOne, Write};
use super::super::incident::{IncidentsBody, OneIncident, Versioned, changed_meanwhile, parse, replaced_version};
use super::super::payload::Raw;
use super::super::problem::{Code, Problem};
use super::super::text::Time;
use super::Group;
use crate::domain::time::Timestamp;

/// Days a listing looks back when it is not told.
const DAYS: i64 = 90;

/// `/v1/admin/incidents`.
pub(in super::super) struct IncidentsApi;

#[OpenApi(tag = "Group::Promises")]
impl IncidentsApi {
    /// List incidents, newest first
    ///
    /// Needs an operator's token with the scope `slo:read`. Those that touch the range, 200 at most.
    #[oai(path = "/v1/admin/incidents", method = "get", operation_id = "listIncidents")]
    async fn list(
        &self,
        caller: Operator<SloRead>,
        /// From this time; 90 days before the end when absent
        from: Query<Option<Time>>,
        /// Until this time; now when absent
        to: Query<Option<Time>>,
    ) -> Result<Reply<IncidentsBody>, Failure<Read>> {
        let to = to.0.map_or_else(Timestamp::now, |time| time.0).unix_seconds() + 1;
        let from = from.0.map_or(to - DAYS * 86_400, |time| time.0.unix_seconds());
        let mut found = caller.components.desk.incidents(from, to).await.map_err(Problem::from)?;
        found.reverse();
        Ok(Reply(IncidentsBody { data: found.into_iter().map(Into::into).collect() }))
    }

    /// Read an incident
    ///
    /// Needs an operator's token with the scope `slo:read`.
    #[oai(path = "/v1/admin/incidents/:incident_id", method = "get", operation_id = "getIncident")]
    async fn one(
        &self,
        caller: Operator<SloRead>,
        /// Its id
        incident_id: Path<String>,
    ) -> Result<Versioned, Failure<ReadOne>> {
        let found = caller.components.desk.incident(&incident_id.0).await.map_err(Problem::from)?;
        Ok(found.map(Versioned::of).ok_or_else(missing)?)
    }

    /// Write an incident down
    ///
    /// Needs an operator's token with the scope `slo:read`. Reports of its time tell it, with its cause.
    #[oai(path = "/v1/admin/incidents", method = "post", operation_id = "postIncident")]
    async fn add(&self, caller: Operator<SloRead>, mut body: Raw<OneIncident>) -> Result<Versioned, Failure<Write>> {
        let millis = u64::try_from(Timestamp::now().micros() / 1_000).unwrap_or_default();
        let id = uuid::Builder::from_unix_timestamp_millis(millis, &rand::random()).into_uuid();
        let incident = parse(&body.whole().await?, id.hyphenated().to_string())?;
        let (desk, actor) = (&caller.components.desk, caller.tenant.account_id.as_str());
        let stored = desk.put_incident(&incident, 0, actor).await.map_err(Problem::from)?;
        Ok(stored.map(Versioned::created).ok_or_else(changed_meanwhile)?)
    }

    /// Change an incident
    ///
    /// Needs an operator's token with the scope `slo:read`, and in `If-Match` the `ETag` of what is replaced.
    #[oai(path = "/v1/admin/incidents/:incident_id", method = "put", operation_id = "putIncident")]
    async fn change(
        &self,
        caller: Operator<SloRead>,
        request: &Request,
        /// Its id
        incident_id: Path<String>,
        mut body: Raw<OneIncident>,
    ) -> Result<Versioned, Failure<Change>> {
        let replaced = replaced_version(request.headers())?;
        let incident = parse(&body.whole().await?, incident_id.0)?;
        let (desk, actor) = (&caller.components.desk, caller.tenant.account_id.as_str());
        if desk.incident(&incident.incident_id).await.map_err(Problem::from)?.is_none() {
            return Err(missing().into());
        }
        let stored = desk.put_incident(&incident, replaced, actor).await.map_err(Problem::from)?;
        Ok(stored.map(Versioned::of).ok_or_else(changed_meanwhile)?)
    }
}

fn missing() -> Problem {
    Problem::new(Code::NotFound, "there is no incident with this id")
}
