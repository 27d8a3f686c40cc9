//! Who calls from a browser that sends no headers of its own (`navigator.sendBeacon`, `EventSource`, `WebSocket`). Invariant: a
//! token in a query may do the one thing the path is for, because queries end up in logs and histories; and it is read from the
//! query here only.

use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use super::caller::{Caller, EventsWrite, Needs, check_address};
use super::problem::{Code, Problem};
use crate::domain::tenant::{Scope, Scopes};

const SCHEME: &str = "beacon";
const PARAMETER: &str = "access_token";
const CHALLENGE: &str = "Bearer realm=\"weir\"";

/// A caller whose token came in the query.
pub(super) struct BeaconCaller(pub(super) Caller<EventsWrite>);

/// The caller of a token in the query, which must have the scope `N` and no other.
pub(super) async fn with_query_token<N: Needs>(request: &Request) -> Result<Caller<N>, Problem> {
    check_address(request)?;
    let parameters: Vec<(String, String)> = request.params().unwrap_or_default();
    let mut tokens = parameters.iter().filter(|(name, _)| name == PARAMETER).map(|(_, value)| value);
    let (Some(token), None) = (tokens.next(), tokens.next()) else {
        return Err(Problem::unauthorized("send one access_token in the query", CHALLENGE));
    };
    let caller = Caller::<N>::with_token(request, token).await?;
    let scope = N::SCOPE.map_or("", Scope::as_str);
    if caller.tenant.operator || caller.tenant.scopes != Scopes::parse(scope) {
        let detail = format!("a token in a query must have the scope {scope} and no other");
        return Err(Problem::new(Code::Forbidden, detail));
    }
    Ok(caller)
}

impl<'a> ApiExtractor<'a> for BeaconCaller {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        registry.create_security_scheme(
            SCHEME,
            MetaSecurityScheme {
                ty: "apiKey",
                description: Some("A JWT whose only scope is `events:write`, in the query."),
                name: Some(PARAMETER),
                key_in: Some("query"),
                scheme: None,
                bearer_format: None,
                flows: None,
                openid_connect_url: None,
            },
        );
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![SCHEME]
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(Self(with_query_token(request).await?))
    }
}
