//! What operators do. Invariant: every operation here needs an [`Operator`](super::super::admin::Operator).

mod audit;
mod fairness;
mod lanes;
mod overrides;
mod quotas;
mod sources;
mod topics;
mod usage;

use poem_openapi::ApiResponse;

use audit::AuditAdminApi;
use fairness::FairnessAdminApi;
use lanes::LanesAdminApi;
use overrides::OverridesAdminApi;
use quotas::QuotasAdminApi;
use sources::SourcesAdminApi;
use topics::TopicsAdminApi;
use usage::UsageAdminApi;

/// Every operation of operators.
pub(in crate::http) type AdminApi = (
    SourcesAdminApi,
    TopicsAdminApi,
    LanesAdminApi,
    QuotasAdminApi,
    OverridesAdminApi,
    UsageAdminApi,
    FairnessAdminApi,
    AuditAdminApi,
);

/// Every operation of operators, for routes and for the document.
pub(in crate::http) const ADMIN: AdminApi = (
    SourcesAdminApi,
    TopicsAdminApi,
    LanesAdminApi,
    QuotasAdminApi,
    OverridesAdminApi,
    UsageAdminApi,
    FairnessAdminApi,
    AuditAdminApi,
);

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
