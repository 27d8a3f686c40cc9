//! Keeping sources. Invariant: a secret goes in and never comes out, not in an answer, a log line or the audit.

use std::collections::BTreeMap;

use poem_openapi::param::{Header, Path, Query};
use poem_openapi::{ApiResponse, Enum, Object, OpenApi};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::super::admin::{Etag, Form, Operator, author, change, missing, name_of};
use super::super::super::answer::Reply;
use super::super::super::caller::SourcesAdmin;
use super::super::super::failure::{Change as ChangeFailure, Failure, Read, ReadOne};
use super::super::super::problem::{Code, Problem};
use super::super::Group;
use super::{Removed, page_length};
use crate::config::Secret;
use crate::domain::id::AccountId;
use crate::domain::outcome::Fault;
use crate::operators::{Change, Document, Kind};
use crate::sources::{Definition, Encoding, FIELDS, MAX_SECRETS, Rule, SECRET_BYTES, Signing};

/// `/v1/admin/sources`.
pub(in crate::http) struct SourcesAdminApi;

/// How deliveries are signed: HMAC-SHA256 over the time of the header, the separator and the body
#[derive(Object, Serialize, Deserialize)]
#[oai(rename = "SourceSignature")]
#[serde(deny_unknown_fields)]
struct SignatureBody {
    /// Header of the signature, e.g. `X-Ring-Signature`
    #[oai(validator(max_length = 256, pattern = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"))]
    header: String,
    /// What stands before the signature in its header, e.g. `sha256=`
    #[oai(default)]
    #[serde(default)]
    prefix: String,
    /// How its bytes are written
    encoding: EncodingBody,
    /// Header of the time it was signed at: Unix seconds or RFC 3339
    #[oai(validator(max_length = 256, pattern = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"))]
    timestamp_header: String,
    /// Between time and body
    #[oai(default = "dot")]
    #[serde(default = "dot")]
    separator: String,
    /// Seconds that time may differ from ours: the replay window
    #[oai(default = "five_minutes", validator(minimum(value = "1"), maximum(value = "3600")))]
    #[serde(default = "five_minutes")]
    tolerance_seconds: u32,
}

fn dot() -> String {
    ".".to_owned()
}

fn five_minutes() -> u32 {
    300
}

/// How a signature is written
#[derive(Clone, Copy, Enum, Serialize, Deserialize)]
#[oai(rename = "SourceEncoding", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
enum EncodingBody {
    /// Hexadecimal, either case
    Hex,
    /// Base64 with padding
    Base64,
}

/// Where a field comes from: a place in the event, with or without a default, or a constant
#[derive(Object, Serialize, Deserialize)]
#[oai(rename = "SourceField", skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
struct RuleBody {
    /// JSON pointer (RFC 6901) into the event; empty for all of it
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pointer: Option<String>,
    /// The same for every event
    #[serde(default, skip_serializing_if = "Option::is_none")]
    constant: Option<Value>,
    /// What stands in when the pointer leads nowhere or to null
    #[serde(default, skip_serializing_if = "Option::is_none")]
    default: Option<Value>,
}

/// A source as it is to be
#[derive(Object, Deserialize)]
#[oai(rename = "NewSource", skip_serializing_if_is_none)]
#[serde(deny_unknown_fields)]
struct NewSource {
    /// Why, for the audit
    #[oai(validator(min_length = 1, max_length = 500))]
    reason: String,
    /// Account of all its events
    #[oai(validator(min_length = 1, max_length = 128))]
    account_id: String,
    /// How deliveries are signed
    signature: SignatureBody,
    /// One secret, or two while it is being changed, of 16 to 256 bytes; absent leaves those there are
    #[oai(write_only, validator(min_items = 1, max_items = 2))]
    secrets: Option<Vec<String>>,
    /// JSON pointer to the list of events in a delivery; absent when a delivery is one event
    events: Option<String>,
    /// Where our fields come from, by their names; `event_name` and `user_id` are required
    fields: BTreeMap<String, RuleBody>,
}

/// A source as it stands
#[derive(Object, Serialize)]
#[oai(rename = "Source", skip_serializing_if_is_none)]
struct SourceBody {
    /// Its name, in the path of its deliveries
    source: String,
    /// Account of all its events
    account_id: String,
    /// How deliveries are signed
    signature: SignatureBody,
    /// How many secrets it has
    secret_count: u32,
    /// JSON pointer to the list of events in a delivery
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<String>,
    /// Where our fields come from
    fields: BTreeMap<String, RuleBody>,
}

/// Sources by name
#[derive(Object, Serialize)]
#[oai(rename = "Sources")]
struct SourcesBody {
    /// The sources of this page
    data: Vec<SourceBody>,
    /// Ask with it for the next page; null at the end
    #[oai(nullable)]
    next_cursor: Option<String>,
}

#[derive(ApiResponse)]
enum Found {
    /// The source
    #[oai(status = 200)]
    Found(
        Reply<SourceBody>,
        /// Its version, for If-Match
        #[oai(header = "ETag")]
        String,
    ),
}

#[derive(ApiResponse)]
enum Put {
    /// It was replaced
    #[oai(status = 200)]
    Replaced(
        Reply<SourceBody>,
        /// Its version, for If-Match
        #[oai(header = "ETag")]
        String,
    ),
    /// It was created
    #[oai(status = 201)]
    Created(
        Reply<SourceBody>,
        /// Its version, for If-Match
        #[oai(header = "ETag")]
        String,
    ),
}

#[OpenApi(tag = "Group::Admin")]
impl SourcesAdminApi {
    /// List the sources
    ///
    /// Needs `role: operator` and the scope `sources:admin`.
    #[oai(path = "/v1/admin/sources", method = "get", operation_id = "listSources")]
    async fn list(
        &self,
        operator: Operator<SourcesAdmin>,
        /// Most sources of the page
        #[oai(default = "page_length", validator(minimum(value = "1"), maximum(value = "250")))]
        limit: Query<u16>,
        /// Where the page starts: `next_cursor` of the page before
        cursor: Query<Option<String>>,
    ) -> Result<Reply<SourcesBody>, Failure<Read>> {
        let page = operator.components.operators.page(Kind::Source, cursor.0.as_deref(), limit.0).await;
        let page = page.map_err(Problem::from)?;
        let data = page.documents.iter().map(body).collect::<Result<_, Problem>>()?;
        Ok(Reply(SourcesBody { data, next_cursor: page.next_cursor }))
    }

    /// Read a source
    ///
    /// Needs `role: operator` and the scope `sources:admin`. Secrets are not told.
    #[oai(path = "/v1/admin/sources/:source", method = "get", operation_id = "getSource")]
    async fn one(
        &self,
        operator: Operator<SourcesAdmin>,
        /// Its name
        #[oai(validator(max_length = 64, pattern = r"^[a-z0-9][a-z0-9_-]*$"))]
        source: Path<String>,
    ) -> Result<Found, Failure<ReadOne>> {
        let name = name_of("source", source.0)?;
        let found = operator.components.operators.document(Kind::Source, &name).await.map_err(Problem::from)?;
        let found = found.ok_or_else(|| missing(Kind::Source))?;
        Ok(Found::Found(Reply(body(&found)?), Etag::from(&found).header()))
    }

    /// Create or replace a source
    ///
    /// Needs `role: operator` and the scope `sources:admin`. To replace one, send its ETag as `If-Match`. Every instance takes its
    /// deliveries within 2 seconds.
    #[oai(path = "/v1/admin/sources/:source", method = "put", operation_id = "putSource")]
    async fn put(
        &self,
        operator: Operator<SourcesAdmin>,
        /// Its name
        #[oai(validator(max_length = 64, pattern = r"^[a-z0-9][a-z0-9_-]*$"))]
        source: Path<String>,
        /// ETag of what is to be replaced; absent to create
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        new: Form<NewSource>,
    ) -> Result<Put, Failure<ChangeFailure>> {
        let (name, Form(new)) = (name_of("source", source.0)?, new);
        let author = author(&operator, &new.reason)?;
        let expected = Etag::expected(if_match.0.as_deref());
        let secrets = new.secrets.as_ref().map(|secrets| secrets.iter().map(Secret::new).collect::<Vec<_>>());
        let definition = definition(new)?;
        let sealed = match &secrets {
            None if expected.is_none() => return Err(unsound(vec![no_secret()]).into()),
            None => None,
            Some(secrets) => Some(sealed(&operator, &name, secrets)?),
        };
        let text = serde_json::to_string(&definition).map_err(|_| Problem::new(Code::Internal, ""))?;
        let account_id = AccountId::new(&definition.account_id).ok();
        let content = Some((text, sealed));
        let asked = Change { kind: Kind::Source, name: name.clone(), expected, content, account_id, author };
        let etag = change(&operator, &asked).await?;
        let stands = operator.components.operators.document(Kind::Source, &name).await.map_err(Problem::from)?;
        let stands = stands.ok_or_else(|| missing(Kind::Source))?;
        let (reply, etag) = (Reply(body(&stands)?), etag.header());
        Ok(if expected.is_some() { Put::Replaced(reply, etag) } else { Put::Created(reply, etag) })
    }

    /// Remove a source
    ///
    /// Needs `role: operator` and the scope `sources:admin`, and its ETag as `If-Match`. Events it has sent stay.
    #[oai(path = "/v1/admin/sources/:source", method = "delete", operation_id = "deleteSource")]
    async fn remove(
        &self,
        operator: Operator<SourcesAdmin>,
        /// Its name
        #[oai(validator(max_length = 64, pattern = r"^[a-z0-9][a-z0-9_-]*$"))]
        source: Path<String>,
        /// Why, for the audit
        #[oai(validator(min_length = 1, max_length = 500))]
        reason: Query<String>,
        /// ETag of what is to be removed
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
    ) -> Result<Removed, Failure<ChangeFailure>> {
        let name = name_of("source", source.0)?;
        let author = author(&operator, &reason.0)?;
        let expected = Etag::expected(if_match.0.as_deref());
        let asked = Change { kind: Kind::Source, name, expected, content: None, account_id: None, author };
        change(&operator, &asked).await?;
        Ok(Removed::Removed)
    }
}

fn definition(new: NewSource) -> Result<Definition, Problem> {
    let known = |name: &String| FIELDS.contains(&name.as_str());
    let mut faults: Vec<Fault> = Vec::new();
    if !new.fields.keys().all(known) {
        faults.push(Fault::new("/fields", "field", format!("may name only {}", FIELDS.join(", "))));
    }
    let definition = Definition {
        account_id: new.account_id,
        signature: Signing {
            header: new.signature.header,
            prefix: new.signature.prefix,
            encoding: match new.signature.encoding {
                EncodingBody::Hex => Encoding::Hex,
                EncodingBody::Base64 => Encoding::Base64,
            },
            timestamp_header: new.signature.timestamp_header,
            separator: new.signature.separator,
            tolerance_seconds: new.signature.tolerance_seconds,
        },
        events: new.events,
        fields: new.fields.into_iter().map(|(name, rule)| (name, rule.into())).collect(),
    };
    faults.extend(definition.check());
    if faults.is_empty() { Ok(definition) } else { Err(unsound(faults)) }
}

fn sealed(operator: &Operator<SourcesAdmin>, name: &str, secrets: &[Secret]) -> Result<Vec<Vec<u8>>, Problem> {
    let sound = |secret: &Secret| SECRET_BYTES.contains(&secret.expose().len());
    if !(1..=MAX_SECRETS).contains(&secrets.len()) || !secrets.iter().all(sound) {
        return Err(unsound(vec![no_secret()]));
    }
    let sealed = operator.components.sources.seal(name, secrets);
    let sealed =
        sealed.ok_or_else(|| Problem::new(Code::Unavailable, "no source can be kept: WEIR_SEAL_KEY is not set"))?;
    sealed.map_err(|_| Problem::new(Code::Internal, ""))
}

fn no_secret() -> Fault {
    Fault::new("/secrets", "secrets", "must be one or two texts of 16 to 256 bytes")
}

fn unsound(faults: Vec<Fault>) -> Problem {
    Problem::new(Code::InvalidRequest, "the source cannot work like this").with_faults(faults)
}

/// The answer about a row; the count of its secrets and nothing of them.
fn body(document: &Document) -> Result<SourceBody, Problem> {
    let definition: Definition = serde_json::from_str(&document.text).map_err(|error| {
        tracing::error!(source.name = document.name, %error, "a stored source cannot be read");
        Problem::new(Code::Internal, "")
    })?;
    let signature = definition.signature;
    Ok(SourceBody {
        source: document.name.clone(),
        account_id: definition.account_id,
        signature: SignatureBody {
            header: signature.header,
            prefix: signature.prefix,
            encoding: match signature.encoding {
                Encoding::Hex => EncodingBody::Hex,
                Encoding::Base64 => EncodingBody::Base64,
            },
            timestamp_header: signature.timestamp_header,
            separator: signature.separator,
            tolerance_seconds: signature.tolerance_seconds,
        },
        secret_count: u32::try_from(document.sealed.len()).unwrap_or(u32::MAX),
        events: definition.events,
        fields: definition.fields.into_iter().map(|(name, rule)| (name, rule.into())).collect(),
    })
}

impl From<RuleBody> for Rule {
    fn from(rule: RuleBody) -> Self {
        Self { pointer: rule.pointer, constant: rule.constant, default: rule.default }
    }
}

impl From<Rule> for RuleBody {
    fn from(rule: Rule) -> Self {
        Self { pointer: rule.pointer, constant: rule.constant, default: rule.default }
    }
}
