//! What every operator route stands on: who may ([`operator`]), what is sent ([`form`]), and under which condition it is done
//! ([`change`], for quotas [`quota`]). Invariant: nothing is changed by a token without `role: operator`, without the scope, without a reason, or over
//! a version its author has not seen.

mod change;
mod form;
mod operator;
mod quota;

pub(super) use change::{Etag, account_of, author, change, missing, name_of};
pub(super) use form::Form;
pub(super) use operator::Operator;
pub(super) use quota::{OverrideBody, QuotaBody, Settings, change_quota};
