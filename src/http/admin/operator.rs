//! Who calls an operator route. Invariant: a tenant's token gets 403, whatever its scopes.

use std::ops::Deref;

use poem::{Request, RequestBody};
use poem_openapi::registry::Registry;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use super::super::caller::{Caller, Needs};
use super::super::problem::{Code, Problem};

/// A caller with `role: operator` and the scope `N`.
pub(in crate::http) struct Operator<N>(Caller<N>);

impl<N> Deref for Operator<N> {
    type Target = Caller<N>;
    fn deref(&self) -> &Caller<N> {
        &self.0
    }
}

impl<'a, N: Needs> ApiExtractor<'a> for Operator<N> {
    const TYPES: &'static [ApiExtractorType] = Caller::<N>::TYPES;

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        Caller::<N>::register(registry);
    }

    fn security_schemes() -> Vec<&'static str> {
        Caller::<N>::security_schemes()
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let caller = Caller::<N>::from_request(request, body, options).await?;
        if !caller.tenant.operator {
            return Err(Problem::new(Code::Forbidden, "this is for operators: the token lacks `role: operator`").into());
        }
        Ok(Self(caller))
    }
}
