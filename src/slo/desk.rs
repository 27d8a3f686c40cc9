//! Where reports and incidents are asked for. Invariant: an account's report is made from rows of that account alone, read under
//! row-level security.

use std::sync::Arc;

use super::objectives::Objectives;
use super::report::Report;
use super::report::build::{Ask, Facts};
use super::report::judge::Sums;
use super::report::month::Recent;
use super::sign::ReportSigner;
use crate::domain::id::AccountId;
use crate::domain::incident::Incident;
use crate::domain::sli::VISIBILITY;
use crate::store::{Cause, ReadError, SliStore, Whose, WriteError};

/// Stretches reports are made of, in seconds.
const STEP: i64 = 3_600;

/// What tells the pace of an account, in seconds.
const DAY: i64 = 86_400;

/// Accounts an operator's report names.
const ACCOUNTS: i64 = 10;

/// How far behind the newest heartbeats may be, in seconds: a minute is silent only once every instance had time to tell.
const TELLING: i64 = 180;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// Ask again later.
    #[error("levels of service cannot be read or written now")]
    Unavailable(#[source] Cause),
    /// Asking again is useless.
    #[error("the database does not fit this version")]
    Broken(#[source] Cause),
}

impl From<ReadError> for DeskError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable(cause) => Self::Unavailable(cause),
            ReadError::Broken(cause) => Self::Broken(cause),
        }
    }
}

impl From<WriteError> for DeskError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Transient(cause) => Self::Unavailable(cause),
            WriteError::Data(cause) | WriteError::Schema(cause) => Self::Broken(cause),
        }
    }
}

/// Makes reports. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    store: SliStore,
    objectives: Arc<Objectives>,
    signer: Option<Arc<ReportSigner>>,
}

impl Desk {
    /// A desk that judges by `objectives` and signs where it has a key.
    pub fn new(store: SliStore, objectives: Objectives, signer: Option<ReportSigner>) -> Self {
        Self { store, objectives: Arc::new(objectives), signer: signer.map(Arc::new) }
    }

    /// Who signs, if anybody.
    pub fn signer(&self) -> Option<&ReportSigner> {
        self.signer.as_deref()
    }

    /// Makes a report.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn report(&self, ask: &Ask) -> Result<Report, DeskError> {
        self.report_with(ask, |_| true).await
    }

    /// Makes a report that anybody may read: public incidents only.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn public_report(&self, ask: &Ask) -> Result<Report, DeskError> {
        self.report_with(ask, |incident| incident.public).await
    }

    async fn report_with(&self, ask: &Ask, tell: fn(&Incident) -> bool) -> Result<Report, DeskError> {
        let (from, to) = (ask.needs_from(&self.objectives), ask.period.to);
        let whose = ask.account.as_ref().map_or(Whose::Everybody, Whose::Account);
        let told = to.min(ask.now.unix_seconds() - TELLING);
        let sums = Sums {
            stretches: self.store.stretches(whose, (from, to), STEP).await?,
            silent: self.store.silent_minutes(from, told).await?,
        };
        let mut incidents = self.store.incidents(ask.period.from, to).await?;
        incidents.retain(tell);
        let accounts = match ask.audience {
            super::report::Audience::Operator => self.store.accounts(ask.period.from, to, ACCOUNTS).await?,
            _ => Vec::new(),
        };
        let recent = match (&ask.account, ask.month) {
            (Some(account), Some(_)) => self.recent(account, ask.now.unix_seconds()).await?,
            _ => Recent::default(),
        };
        Ok(ask.report(&self.objectives, &Facts { sums, incidents, accounts, recent }))
    }

    /// What was stored for the account in the last day, whole hours and the running one.
    async fn recent(&self, account: &AccountId, now: i64) -> Result<Recent, DeskError> {
        let from = (now - DAY + STEP - 1) / STEP * STEP;
        let stretches = self.store.stretches(Whose::Account(account), (from, now), STEP).await?;
        let stored = stretches.iter().filter(|stretch| stretch.operation == VISIBILITY);
        Ok(Recent {
            events: stored.map(|stretch| stretch.sample.good).sum(),
            seconds: u64::try_from(now - from).unwrap_or_default(),
        })
    }

    /// Incidents that touch a range of Unix seconds, the oldest first.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn incidents(&self, from: i64, to: i64) -> Result<Vec<Incident>, DeskError> {
        Ok(self.store.incidents(from, to).await?)
    }

    /// The incident of that id.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn incident(&self, id: &str) -> Result<Option<Incident>, DeskError> {
        Ok(self.store.incident(id).await?)
    }

    /// Writes a new incident, or one that replaces the version its author has seen; `None` when that is no longer the stored one.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn put_incident(
        &self,
        incident: &Incident,
        replaces: i64,
        actor: &str,
    ) -> Result<Option<Incident>, DeskError> {
        Ok(self.store.put_incident(incident, replaces, actor).await?)
    }
}
