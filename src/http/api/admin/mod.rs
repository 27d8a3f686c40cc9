//! What operators do. Invariant: every operation here needs an [`Operator`](super::super::admin::Operator).

mod audit;
mod lanes;
mod overrides;
mod quotas;
mod sources;
mod topics;

use poem_openapi::ApiResponse;

pub(in crate::http) use audit::AuditAdminApi;
pub(in crate::http) use lanes::LanesAdminApi;
pub(in crate::http) use overrides::OverridesAdminApi;
pub(in crate::http) use quotas::QuotasAdminApi;
pub(in crate::http) use sources::SourcesAdminApi;
pub(in crate::http) use topics::TopicsAdminApi;

const PAGE: u16 = 50;

/// Length of a page when none is asked for.
fn page_length() -> u16 {
    PAGE
}

/// Something was removed.
#[derive(ApiResponse)]
enum Removed {
    /// It is no more
    #[oai(status = 204)]
    Removed,
}
