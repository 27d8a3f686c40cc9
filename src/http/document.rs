//! A report in the form its reader asked for. Invariant: JSON unless another form is preferred, never two at once; the signature is
//! of the very bytes of the body.

use std::cmp::Ordering;

use poem::http::{HeaderMap, HeaderValue, header};
use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{
    MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};

use super::problem::{Code, Problem};
use super::report_schema;
use crate::slo::report::{Report, csv, html};
use crate::slo::sign::ReportSigner;

const SIGNATURE: &str = "weir-signature";

/// Pages load nothing and run nothing.
pub(super) const PAGE_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As it is.
    Json,
    /// One line a promise.
    Csv,
    /// A page.
    Html,
}

impl Form {
    const ALL: [Self; 3] = [Self::Json, Self::Csv, Self::Html];

    fn essence(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv",
            Self::Html => "text/html",
        }
    }

    /// The form that `Accept` prefers; JSON where it does not say.
    ///
    /// # Errors
    /// The problem of a reader who takes none of them.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut asked = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).peekable();
        if asked.peek().is_none() {
            return Ok(Self::Json);
        }
        let ranges: Vec<_> = asked.flat_map(|value| value.split(',')).map(range).collect();
        let weighed = Self::ALL.map(|form| (form, weight(form, &ranges)));
        // The first of equals wins, so that */* means JSON.
        let best = weighed.into_iter().rev().max_by(|(_, a), (_, b)| a.partial_cmp(b).unwrap_or(Ordering::Equal));
        match best {
            Some((form, weight)) if weight > 0.0 => Ok(form),
            _ => Err(Problem::new(Code::NotAcceptable, "accept application/json, text/csv or text/html")),
        }
    }
}

/// A media range and its weight.
fn range(text: &str) -> (&str, f32) {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| part.strip_prefix("q=")).and_then(|q| q.parse().ok()).unwrap_or(1.0);
    (range, weight)
}

/// The weight of the most exact range that holds the form.
fn weight(form: Form, ranges: &[(&str, f32)]) -> f32 {
    let (kind, _) = form.essence().split_once('/').unwrap_or_default();
    let exactness = |range: &str| match range {
        range if range.eq_ignore_ascii_case(form.essence()) => 3,
        range if range.strip_suffix("/*").is_some_and(|text| text.eq_ignore_ascii_case(kind)) => 2,
        "*/*" => 1,
        _ => 0,
    };
    let best = ranges.iter().map(|(range, weight)| (exactness(range), *weight)).filter(|(exact, _)| *exact > 0);
    best.max_by_key(|(exact, _)| *exact).map_or(0.0, |(_, weight)| weight)
}

/// A report, written.
pub(super) struct ReportDocument {
    form: Form,
    body: String,
    signature: Option<String>,
}

impl ReportDocument {
    /// Writes the report, signed where it is JSON and there is a key.
    ///
    /// # Errors
    /// The problem of a report that cannot be written: a mistake of ours.
    pub(super) fn write(report: &Report, form: Form, signer: Option<&ReportSigner>) -> Result<Self, Problem> {
        let broken = |error: &(dyn std::error::Error + 'static)| {
            tracing::error!(error, "a report cannot be written");
            Problem::new(Code::Internal, "")
        };
        let body = match form {
            Form::Json => serde_json::to_string(report).map_err(|error| broken(&error))?,
            Form::Csv => csv::csv(report),
            Form::Html => html::html(report).map_err(|error| broken(&error))?,
        };
        let signature = signer.filter(|_| form == Form::Json).map(|signer| signer.sign(body.as_bytes()));
        Ok(Self { form, body, signature })
    }
}

impl IntoResponse for ReportDocument {
    fn into_response(self) -> Response {
        let charset = if self.form == Form::Json { "" } else { "; charset=utf-8" };
        let mut response = Response::builder()
            .content_type(format!("{}{charset}", self.form.essence()))
            .header(header::VARY, "Accept")
            .header(header::CACHE_CONTROL, "private, no-cache")
            .body(self.body);
        let headers = response.headers_mut();
        if let Some(signature) = self.signature.and_then(|text| HeaderValue::from_str(&text).ok()) {
            headers.insert(SIGNATURE, signature);
        }
        if self.form == Form::Html {
            headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
        }
        response
    }
}

impl ApiResponse for ReportDocument {
    fn meta() -> MetaResponses {
        let text = |form: Form| MetaMediaType {
            content_type: form.essence(),
            schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new("string"))),
        };
        let json = MetaMediaType {
            content_type: Form::Json.essence(),
            schema: MetaSchemaRef::Reference(report_schema::REPORT.to_owned()),
        };
        let signature = MetaHeader {
            name: "Weir-Signature".to_owned(),
            description: Some(
                "Of a JSON report: detached JWS (EdDSA) over the bytes of the body; see /v1/slo/keys".to_owned(),
            ),
            required: false,
            deprecated: false,
            schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new("string"))),
        };
        MetaResponses {
            responses: vec![MetaResponse {
                description: "The report, as `Accept` prefers it",
                status: Some(200),
                status_range: None,
                content: vec![json, text(Form::Csv), text(Form::Html)],
                headers: vec![signature],
            }],
        }
    }

    fn register(registry: &mut Registry) {
        report_schema::register_report(registry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_the_one_that_is_preferred() {
        let form = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().expect("value"));
            Form::of(&headers).ok()
        };
        assert_eq!(Form::of(&HeaderMap::new()).ok(), Some(Form::Json));
        assert_eq!(form("*/*"), Some(Form::Json));
        assert_eq!(form("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), Some(Form::Html));
        assert_eq!(form("text/csv, application/json;q=0.5"), Some(Form::Csv));
        assert_eq!(form("text/*;q=0.4, text/html;q=0.2"), Some(Form::Csv));
        assert_eq!(form("image/png"), None);
    }
}
