//! Second step of a request: who calls, and whether the token allows it. Invariant: nothing of the body has been read when a
//! caller is refused.

use std::marker::PhantomData;
use std::sync::Arc;

use poem::http::{HeaderMap, header};
use poem::web::RemoteAddr;
use poem::{Addr, Request, RequestBody};
use poem_openapi::registry::{MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use super::Components;
use super::body::declared_length;
use super::context::RequestContext;
use super::problem::{Code, Problem};
use crate::domain::tenant::{Scope, Tenant};
use crate::limit::{Closed, Pass};

/// Name of the scheme in the document.
pub(super) const SCHEME: &str = "bearer";

const FORWARDED_FOR: &str = "x-forwarded-for";

/// A scope as a type, so that it is checked before the body is read.
pub(super) trait Needs: Send + Sync + 'static {
    /// The scope; `None` when any token will do.
    const SCOPE: Option<Scope>;
    /// Whether the request brings events, so that the account's limits are looked at before its body is read.
    const BRINGS_EVENTS: bool = false;
}

macro_rules! needs {
    ($($name:ident),*) => {$(
        /// Needs the scope of this name.
        pub(super) struct $name;
        impl Needs for $name {
            const SCOPE: Option<Scope> = Some(Scope::$name);
        }
    )*};
}

needs!(EventsRead, MetricsRead, QuotasAdmin, SloRead, SourcesAdmin, TopicsAdmin);

/// Needs the scope of this name and room in the account's limits.
pub(super) struct EventsWrite;

impl Needs for EventsWrite {
    const SCOPE: Option<Scope> = Some(Scope::EventsWrite);
    const BRINGS_EVENTS: bool = true;
}

/// Needs a token, with whatever scope.
pub(super) struct AnyScope;

impl Needs for AnyScope {
    const SCOPE: Option<Scope> = None;
}

/// The verified caller of an operation that needs the scope `N`.
pub(super) struct Caller<N> {
    /// Who it is.
    pub(super) tenant: Arc<Tenant>,
    /// The stations behind the door.
    pub(super) components: Arc<Components>,
    /// The request.
    pub(super) context: Arc<RequestContext>,
    /// What the account may take.
    pub(super) pass: Arc<Pass>,
    needs: PhantomData<fn() -> N>,
}

impl<N: Needs> Caller<N> {
    /// The caller of a token in the header.
    pub(super) async fn enter(request: &Request) -> Result<Self, Problem> {
        check_address(request)?;
        Self::with_token(request, bearer(request.headers())?).await
    }

    pub(super) async fn with_token(request: &Request, token: &str) -> Result<Self, Problem> {
        let tenant = Components::of(request)?.auth.verify(token).await?;
        RequestContext::of(request)?.identify(&tenant.account_id);
        if let Some(scope) = N::SCOPE.filter(|scope| !tenant.scopes.has(*scope)) {
            return Err(Problem::scope_missing(scope.as_str()));
        }
        Self::with_tenant(request, tenant)
    }

    /// A caller who is known otherwise than by a token, if the account's limits let the request in.
    pub(super) fn with_tenant(request: &Request, tenant: Arc<Tenant>) -> Result<Self, Problem> {
        let (components, context) = (Arc::clone(Components::of(request)?), Arc::clone(RequestContext::of(request)?));
        let (limiter, account) = (&components.limiter, &tenant.account_id);
        let entered = if N::BRINGS_EVENTS {
            let declared = declared_length(request.headers()).unwrap_or(0);
            limiter.gate(account, i64::try_from(declared).unwrap_or(i64::MAX))
        } else {
            limiter.enter(account)
        };
        let pass = Arc::new(entered.map_err(|closed| {
            if let Closed::Limited(_, fields) = &closed {
                context.limited(fields.clone());
            }
            Problem::closed(&closed)
        })?);
        context.entered(Arc::clone(&pass));
        Ok(Self { tenant, components, context, pass, needs: PhantomData })
    }

    /// Refuses a path that names another account; the answer does not tell whether that account exists.
    pub(super) fn owns(&self, account_id: &str) -> Result<(), Problem> {
        if self.tenant.account_id.as_str() == account_id {
            Ok(())
        } else {
            Err(Problem::new(Code::Forbidden, "the token is of another account"))
        }
    }
}

/// Refuses an address that asks too often, before its token costs anything.
pub(super) fn check_address(request: &Request) -> Result<(), Problem> {
    let RemoteAddr(Addr::SocketAddr(peer)) = request.remote_addr() else { return Ok(()) };
    let forwarded = request.headers().get_all(FORWARDED_FOR).iter();
    let forwarded = forwarded.filter_map(|value| value.to_str().ok());
    Components::of(request)?.limiter.peers().check(peer.ip(), forwarded).map_err(Problem::address_limited)
}

/// The token of the one `Authorization: Bearer` header.
fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    const CHALLENGE: &str = "Bearer realm=\"weir\"";
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Problem::unauthorized("send one Authorization header with a bearer token", CHALLENGE));
    };
    let token = value.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
    });
    match token {
        Some(token) if !token.is_empty() => Ok(token),
        _ => Err(Problem::unauthorized("the Authorization header holds no bearer token", CHALLENGE)),
    }
}

impl<'a, N: Needs> ApiExtractor<'a> for Caller<N> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        registry.create_security_scheme(
            SCHEME,
            MetaSecurityScheme {
                ty: "http",
                description: Some(
                    "A JWT with `account_id`, `scope`, `iss`, `aud` and `exp`; the operation names its scope.",
                ),
                name: None,
                key_in: None,
                scheme: Some("bearer"),
                bearer_format: Some("JWT"),
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
        Ok(Self::enter(request).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, value.parse().expect("value"));
        }
        headers
    }

    #[test]
    fn exactly_one_bearer_token_is_taken() {
        assert_eq!(bearer(&with(&["bearer  abc"])).ok(), Some("abc"));
        for bad in [&[][..], &["Bearer a", "Bearer b"], &["Bearer "], &["Bearer"], &["Basic abc"], &["abc"]] {
            assert_eq!(bearer(&with(bad)).expect_err("refused").code, Code::Unauthorized, "{bad:?}");
        }
    }
}
