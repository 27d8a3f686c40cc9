//! The limiter's heartbeat: a sign of life where one is due, then every listed account's renewals and returns in few round trips.
//! Invariant: it never waits for a request, and a tick that finds Redis away costs requests nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::MutexGuard;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::cache::limiter::{PIPELINE, Windows};
use crate::domain::id::AccountId;
use crate::domain::ring::Ask;

use super::account::Account;
use super::book::{Book, Moment};
use super::{Shared, metrics};

/// An instance that gave no sign for this long no longer counts.
const ALIVE: Duration = Duration::from_secs(3);

/// How often an instance gives a sign while limits are shared; alone it gives one each tick, so that this is soon over.
const SIGN: Duration = Duration::from_millis(500);

/// How many times the deadline of a charge a pipeline may take: charges of the accounts in it wait behind it.
const RENEWAL_DEADLINES: u32 = 2;

/// How often idle accounts and addresses are dropped.
const SWEEP: Duration = Duration::from_secs(10);

/// Ticks until told to stop; then the leases go back.
pub(super) async fn run(shared: Arc<Shared>, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(shared.tick);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sweeps = tokio::time::interval(SWEEP);
    sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut signed = None;
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            _ = sweeps.tick() => {
                metrics::accounts(shared.accounts.drop_idle(shared.now()));
                shared.peers.forget_idle();
            }
            _ = ticks.tick() => tick(&shared, &mut signed).await,
        }
    }
    return_leases(&shared).await;
}

async fn tick(shared: &Arc<Shared>, signed: &mut Option<Instant>) {
    let mut heard = shared.windows.is_some();
    let due = shared.mode.is_alone() || signed.is_none_or(|signed| signed.elapsed() >= SIGN);
    if let Some(windows) = shared.windows.as_ref().filter(|_| due) {
        *signed = Some(Instant::now());
        match windows.register(&shared.instance, ALIVE, shared.deadline).await {
            Ok(instances) => {
                shared.instances.store(instances.max(1), Ordering::Relaxed);
                metrics::instances(instances);
                shared.mode.alive();
            }
            // No renewals either: their accounts' charges would wait behind them.
            Err(error) => {
                shared.mode.failed(&error);
                heard = false;
            }
        }
    }
    let listed = std::mem::take(&mut *shared.listed.lock());
    // A pipeline at a time: charges wait for the books of no other.
    for accounts in listed.chunks(PIPELINE) {
        look_after(shared, accounts, heard).await;
    }
}

/// Renews, returns or lets go of some accounts. One whose book is in use is left for the next tick: it is being asked for anyway.
async fn look_after(shared: &Arc<Shared>, accounts: &[Arc<Account>], heard: bool) {
    let alone = shared.mode.is_alone() || !heard;
    let mut due: Vec<(&Arc<Account>, MutexGuard<'_, Book>, Ask, Moment)> = Vec::new();
    for account in accounts {
        let Ok(mut book) = account.book.try_lock() else {
            shared.listed.lock().push(Arc::clone(account));
            continue;
        };
        let moment = shared.moment();
        account.renew_plan(&mut book, &shared.quotas, moment.now);
        let ask = book.tick(account, &moment, alone);
        if ask.is_none() && book.is_done() {
            account.listed.store(false, Ordering::Release);
            continue;
        }
        shared.listed.lock().push(Arc::clone(account));
        if let Some(ask) = ask {
            due.push((account, book, ask, moment));
        }
    }
    if let Some(windows) = &shared.windows
        && !due.is_empty()
    {
        renew(shared, windows, due).await;
    }
}

async fn renew(shared: &Shared, windows: &Windows, due: Vec<(&Arc<Account>, MutexGuard<'_, Book>, Ask, Moment)>) {
    metrics::renewed(due.len());
    let questions: Vec<(&AccountId, &Ask)> = due.iter().map(|(account, _, ask, _)| (&account.id, ask)).collect();
    match windows.ask_all(&questions, shared.deadline * RENEWAL_DEADLINES).await {
        Ok(answers) => {
            for ((account, mut book, ask, moment), answer) in due.into_iter().zip(answers) {
                book.settle(account, &ask, answer, &moment);
            }
            shared.mode.answered();
        }
        Err(error) => shared.mode.failed(&error),
    }
}

/// What other instances would otherwise have to wait for.
async fn return_leases(shared: &Arc<Shared>) {
    let Some(windows) = shared.windows.as_ref().filter(|_| !shared.mode.is_alone()) else { return };
    let listed = std::mem::take(&mut *shared.listed.lock());
    for account in listed {
        let Ok(mut book) = account.book.try_lock() else { continue };
        let moment = shared.moment();
        let ask = book.farewell(&account, &moment);
        match windows.ask(&account.id, &ask, shared.deadline * RENEWAL_DEADLINES).await {
            Ok(answer) => drop(book.settle(&account, &ask, answer, &moment)),
            Err(error) => return shared.mode.failed(&error),
        }
    }
}
