//! Second step of a request: who calls, and whether the token allows it. Invariant: nothing of the body has been read when a
//! caller is refused.

use std::marker::PhantomData;
use std::sync::Arc;

use poem::http::{HeaderMap, header};
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use super::Components;
use super::context::RequestContext;
use super::problem::{Code, Problem};
use crate::domain::tenant::{Scope, Tenant};

/// Name of the scheme in the document.
pub(super) const SCHEME: &str = "bearer";

/// A scope as a type, so that it is checked before the body is read.
pub(super) trait Needs: Send + Sync + 'static {
    /// The scope.
    const SCOPE: Scope;
}

macro_rules! needs {
    ($($name:ident),*) => {$(
        /// Needs the scope of this name.
        pub(super) struct $name;
        impl Needs for $name {
            const SCOPE: Scope = Scope::$name;
        }
    )*};
}

needs!(EventsWrite, EventsRead, MetricsRead, SloRead, SourcesAdmin, TopicsAdmin);

/// The verified caller of an operation that needs the scope `N`.
pub(super) struct Caller<N> {
    /// Who it is.
    pub(super) tenant: Arc<Tenant>,
    /// The stations behind the door.
    pub(super) components: Arc<Components>,
    /// The request.
    pub(super) context: Arc<RequestContext>,
    needs: PhantomData<fn() -> N>,
}

impl<N: Needs> Caller<N> {
    /// The caller of a token in the header.
    pub(super) async fn enter(request: &Request) -> Result<Self, Problem> {
        Self::with_token(request, bearer(request.headers())?).await
    }

    pub(super) async fn with_token(request: &Request, token: &str) -> Result<Self, Problem> {
        let tenant = Components::of(request)?.auth.verify(token).await?;
        RequestContext::of(request)?.identify(&tenant.account_id);
        if !tenant.scopes.has(N::SCOPE) {
            return Err(Problem::scope_missing(N::SCOPE.as_str()));
        }
        Self::with_tenant(request, tenant)
    }

    /// A caller who is known otherwise than by a token.
    pub(super) fn with_tenant(request: &Request, tenant: Arc<Tenant>) -> Result<Self, Problem> {
        let (components, context) = (Arc::clone(Components::of(request)?), Arc::clone(RequestContext::of(request)?));
        Ok(Self { tenant, components, context, needs: PhantomData })
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
