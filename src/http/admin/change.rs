//! A change under a condition, worded. Invariant: who replaces or removes something names the ETag of what they saw (428 without,
//! 412 when it has moved on), who creates something finds nothing there.

use poem::http::HeaderValue;

use super::super::caller::Caller;
use super::super::problem::{Code, Problem};
use super::super::refusal::invalid_parameter;
use crate::domain::id::AccountId;
use crate::operators::{Author, Change, Changed, Document, Kind, MAX_DOCUMENTS, is_name};

/// Most characters of a reason.
const MAX_REASON: usize = 500;

/// The version of a document as a header says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) struct Etag(pub(in crate::http) i64);

impl Etag {
    /// The header's value.
    pub(in crate::http) fn header(self) -> String {
        format!("\"{}\"", self.0)
    }

    /// What `If-Match` names; a tag we never gave matches nothing.
    pub(in crate::http) fn expected(if_match: Option<&str>) -> Option<i64> {
        let tag = if_match?.trim();
        let version = tag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).and_then(|text| text.parse().ok());
        Some(version.filter(|version| Self(*version).header() == tag).unwrap_or(-1))
    }
}

/// The name of a document from a path.
///
/// # Errors
/// The problem of a name that breaks its rule.
pub(in crate::http) fn name_of(parameter: &'static str, name: String) -> Result<String, Problem> {
    if is_name(&name) {
        return Ok(name);
    }
    Err(invalid_parameter(
        "path",
        parameter,
        "must be 1 to 64 of a-z, 0-9, - and _, and begin with a letter or digit".into(),
    ))
}

/// The account of a path.
///
/// # Errors
/// The problem of an id that no account can have.
pub(in crate::http) fn account_of(account_id: &str) -> Result<AccountId, Problem> {
    AccountId::new(account_id).map_err(|error| invalid_parameter("path", "account_id", error.to_string()))
}

/// Who changes something, with a reason.
///
/// # Errors
/// The problem of a reason that says nothing, or too much.
pub(in crate::http) fn author<N>(caller: &Caller<N>, reason: &str) -> Result<Author, Problem> {
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().count() > MAX_REASON || reason.contains('\0') {
        let fault = crate::domain::outcome::Fault::new("/reason", "reason", "must say why, in 1 to 500 characters");
        return Err(Problem::new(Code::InvalidRequest, "every change needs a reason").with_faults(vec![fault]));
    }
    Ok(Author {
        actor: caller.tenant.account_id.clone(),
        request_id: caller.context.request_id.to_string(),
        reason: reason.to_owned(),
    })
}

/// Makes the change; gives the new version.
///
/// # Errors
/// 412, 428, 404, 409, or what the store says.
pub(in crate::http) async fn change<N>(caller: &Caller<N>, change: &Change) -> Result<Etag, Problem> {
    match caller.components.operators.change(change).await? {
        Changed::Done(version) => Ok(Etag(version)),
        Changed::Full => {
            Err(Problem::new(Code::Conflict, format!("there are {MAX_DOCUMENTS} already: remove one that is not used")))
        }
        Changed::Otherwise(found) => Err(match (change.expected, found) {
            (None, Some(version)) => {
                let detail = "it exists: read it, and send its ETag as If-Match";
                moved(Problem::new(Code::PreconditionRequired, detail), version)
            }
            (None, None) => missing(change.kind),
            (Some(_), Some(version)) => {
                moved(Problem::new(Code::PreconditionFailed, "it has been changed since you read it"), version)
            }
            (Some(_), None) => Problem::new(Code::PreconditionFailed, "it does not exist any more"),
        }),
    }
}

/// Nothing of that name.
pub(in crate::http) fn missing(kind: Kind) -> Problem {
    let detail = match kind {
        Kind::Source => "there is no source of this name",
        Kind::Topic => "there is no topic class of this name",
        Kind::Lane => "no lane is chosen for this account",
    };
    Problem::new(Code::NotFound, detail)
}

/// The problem with the ETag of what is there.
pub(in crate::http) fn moved(problem: Problem, version: i64) -> Problem {
    match HeaderValue::from_str(&Etag(version).header()) {
        Ok(value) => problem.with(poem::http::header::ETAG, value),
        Err(_) => problem,
    }
}

impl From<&Document> for Etag {
    fn from(document: &Document) -> Self {
        Self(document.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_tags_match() {
        assert_eq!(Etag::expected(None), None);
        assert_eq!(Etag::expected(Some(&Etag(17).header())), Some(17));
        for other in ["17", "\"17", "W/\"17\"", "*", "\"017\"", "\"+17\"", "\"a\"", "", "\"1\", \"2\""] {
            assert_eq!(Etag::expected(Some(other)), Some(-1), "{other}");
        }
    }
}
