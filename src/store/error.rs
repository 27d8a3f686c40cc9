//! What a failure of Postgres means to the one who called. Invariant: only [`WriteError::Data`] may lead to a dead letter, and
//! only when Postgres itself refused the bytes; whatever is not known to be the data's fault is worth another try.

/// What Postgres or the connection to it said; for the log only.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a batch was not written. Nothing of it is in the database unless the commit's answer was lost, and then writing it again
/// finds the rows already there.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Postgres is away, slow, full, restarting or resolving a deadlock: try again, for as long as it takes.
    #[error("Postgres cannot take the batch now")]
    Transient(#[source] Cause),
    /// Postgres refuses the content of at least one event (SQLSTATE class 22, 23 or 54): find it by bisection.
    #[error("Postgres refuses the content of the batch")]
    Data(#[source] Cause),
    /// The schema or the grants are not what this version expects: pause until an operator migrates; no event is at fault.
    #[error("the database schema does not fit this version; run `weir migrate`")]
    Schema(#[source] Cause),
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Postgres is away, slow or restarting: ask again later.
    #[error("Postgres does not answer")]
    Unavailable(#[source] Cause),
    /// The question or the schema is wrong: asking again is useless.
    #[error("Postgres cannot answer this question")]
    Broken(#[source] Cause),
}
