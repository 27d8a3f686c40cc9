//! What operators do. Invariant: every operation here needs an [`Operator`](super::super::admin::Operator).

mod sources;

pub(in crate::http) use sources::SourcesAdminApi;
