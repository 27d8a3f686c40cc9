//! Incidents as operators write and read them. Invariant: what is taken satisfies every rule of [`Incident`], and a change names
//! the version it replaces.

use poem::http::{HeaderMap, header};
use poem::{IntoResponse, Response};
use poem_openapi::registry::{
    MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::types::Type;
use poem_openapi::{ApiResponse, Object};
use serde::{Deserialize, Serialize};

use super::admin::Etag;
use super::answer::Reply;
use super::media::Media;
use super::objects::{self, Null};
use super::payload::Shape;
use super::problem::{Code, Problem};
use super::report_schema;
use super::text::Rfc3339;
use crate::domain::incident::Incident;
use crate::domain::outcome::Fault;
use crate::domain::time::Timestamp;
use crate::ingest;
use crate::slo::sign::ReportSigner;

/// An incident on its way in.
pub(super) struct OneIncident;

impl Shape for OneIncident {
    const MEDIA: &'static [(Media, &'static str)] = &[(Media::Json, report_schema::NEW_INCIDENT)];
}

/// What people know about a bad time.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Incident")]
pub(super) struct IncidentBody {
    /// Its id
    incident_id: String,
    /// What happened, in a few words
    title: String,
    /// When it began
    started_at: Rfc3339,
    /// When it ended; null while it lasts
    #[oai(nullable)]
    ended_at: Option<Rfc3339>,
    /// What callers saw
    impact: String,
    /// Why; null until that is known
    #[oai(nullable)]
    root_cause: Option<String>,
    /// What was done
    #[oai(nullable)]
    mended_by: Option<String>,
    /// Whom it concerned; nobody named means everybody
    accounts: Vec<String>,
    /// Whether the status page shows it
    public: bool,
}

/// Incidents, the newest first.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Incidents")]
pub(super) struct IncidentsBody {
    /// At most 200
    pub(super) data: Vec<IncidentBody>,
}

/// One public key.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "ReportKey")]
pub(super) struct KeyBody {
    /// `OKP`
    kty: String,
    /// `Ed25519`
    crv: String,
    /// `sig`
    #[oai(rename = "use")]
    #[serde(rename = "use")]
    used_for: String,
    /// `EdDSA`
    alg: String,
    /// Named by `kid` in the header of a signature
    kid: String,
    /// The key, base64url
    x: String,
}

/// Public keys of whoever signs reports.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "ReportKeys")]
pub(super) struct KeySet {
    /// At most one
    keys: Vec<KeyBody>,
}

impl KeySet {
    /// The key of the signer, where there is one.
    pub(super) fn of(signer: Option<&ReportSigner>) -> Self {
        let text = |text: &str| text.to_owned();
        let key = |signer: &ReportSigner| KeyBody {
            kty: text("OKP"),
            crv: text("Ed25519"),
            used_for: text("sig"),
            alg: text("EdDSA"),
            kid: signer.key_id().to_owned(),
            x: signer.public_key(),
        };
        Self { keys: signer.map(key).into_iter().collect() }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Draft {
    title: String,
    started_at: String,
    #[serde(default)]
    ended_at: Option<String>,
    impact: String,
    #[serde(default)]
    root_cause: Option<String>,
    #[serde(default)]
    mended_by: Option<String>,
    #[serde(default)]
    accounts: Vec<String>,
    #[serde(default)]
    public: bool,
}

/// Reads an incident.
///
/// # Errors
/// The problem of a body that is no incident, with the place of the fault.
pub(super) fn parse(body: &[u8], incident_id: String) -> Result<Incident, Problem> {
    let refused = |fault| Problem::new(Code::InvalidRequest, "the incident breaks a rule").with_faults(vec![fault]);
    let draft: Draft = objects::read(ingest::json_object(body)?, Null::Absent).map_err(|_| {
        refused(Fault::new("", "form", "is not an incident: a member is missing, unknown or of another type"))
    })?;
    let time = |pointer: &'static str, text: &str| {
        Timestamp::parse(text)
            .map_err(|_| refused(Fault::new(pointer, "time", "must be Unix seconds or an RFC 3339 time")))
    };
    let said = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    let incident = Incident {
        incident_id,
        title: draft.title,
        started_at: time("/started_at", &draft.started_at)?,
        ended_at: draft.ended_at.map(|text| time("/ended_at", &text)).transpose()?,
        impact: draft.impact,
        root_cause: said(draft.root_cause),
        mended_by: said(draft.mended_by),
        accounts: draft.accounts,
        public: draft.public,
        version: 0,
    };
    match incident.fault() {
        Some((pointer, reason)) => Err(refused(Fault::new(pointer, "value", reason))),
        None => Ok(incident),
    }
}

impl From<Incident> for IncidentBody {
    fn from(incident: Incident) -> Self {
        Self {
            incident_id: incident.incident_id,
            title: incident.title,
            started_at: Rfc3339(incident.started_at),
            ended_at: incident.ended_at.map(Rfc3339),
            impact: incident.impact,
            root_cause: incident.root_cause,
            mended_by: incident.mended_by,
            accounts: incident.accounts,
            public: incident.public,
        }
    }
}

/// The version that `If-Match` names.
///
/// # Errors
/// 428 without the header, 412 when it names no version of ours.
pub(super) fn replaced_version(headers: &HeaderMap) -> Result<i64, Problem> {
    let tag = headers.get(header::IF_MATCH).map(|value| value.to_str().unwrap_or_default());
    match Etag::expected(tag) {
        None => Err(Problem::new(Code::PreconditionRequired, "send If-Match with the ETag of what you change")),
        Some(version) if version > 0 => Ok(version),
        Some(_) => Err(changed_meanwhile()),
    }
}

/// Somebody else was quicker.
pub(super) fn changed_meanwhile() -> Problem {
    Problem::new(Code::PreconditionFailed, "the incident has changed since; read it again")
}

/// One incident with its version.
pub(super) struct Versioned {
    body: IncidentBody,
    version: i64,
    created: bool,
}

impl Versioned {
    /// As it is stored.
    pub(super) fn of(incident: Incident) -> Self {
        Self { version: incident.version, body: incident.into(), created: false }
    }

    /// As it was just made.
    pub(super) fn created(incident: Incident) -> Self {
        Self { created: true, ..Self::of(incident) }
    }
}

impl IntoResponse for Versioned {
    fn into_response(self) -> Response {
        let mut response = Reply(self.body).into_response();
        if self.created {
            response.set_status(poem::http::StatusCode::CREATED);
        }
        if let Ok(tag) = Etag(self.version).header().parse() {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }
}

impl ApiResponse for Versioned {
    fn meta() -> MetaResponses {
        let response = |(status, description)| MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content: vec![MetaMediaType { content_type: "application/json", schema: IncidentBody::schema_ref() }],
            headers: vec![MetaHeader {
                name: "ETag".to_owned(),
                description: Some("The version, for If-Match".to_owned()),
                required: true,
                deprecated: false,
                schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new("string"))),
            }],
        };
        MetaResponses { responses: [(200, "The incident"), (201, "The new incident")].map(response).into() }
    }

    fn register(registry: &mut Registry) {
        IncidentBody::register(registry);
        report_schema::register_incident(registry);
    }
}
