//! The auditor against a real Postgres with Weir's schema: a sound store passes, and each planted fault is found.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use loadtest::audit::{Audit, Scope, Verdict};
use loadtest::journal::{Attempt, Header, Item, Journal, Placed, account_name, event_id};
use loadtest::scratch::{Dir, unique};
use weir::config::Secret;
use weir_local::{Lifetime, Login, Postgres};

const EVENTS: u64 = 20;

/// A database, and a journal of 20 accepted events over two accounts.
struct Stage {
    postgres: Postgres,
    dir: Dir,
    run: String,
    start_micros: i64,
}

impl Stage {
    fn set() -> Self {
        let dir = Dir::new("auditor").expect("directory");
        let postgres =
            Postgres::start_in(&dir.path().join("engine"), None, false, Lifetime::WithParent).expect("start");
        postgres.create_database("weir").expect("database");
        let owner = Secret::new(postgres.login(Login::Migrate, "weir"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(weir::store::migrate(&owner)).expect("schema");
        let start_micros = weir::domain::time::Timestamp::now().micros();
        let stage = Self { postgres, dir, run: format!("lt{}", unique()), start_micros };
        stage.write_journal(|request| i64::try_from(request).expect("small"));
        stage
    }

    fn journal(&self) -> PathBuf {
        self.dir.path().join("journal")
    }

    /// Each request is answered before the next one leaves; `offset` says where the log put it.
    fn write_journal(&self, offset: impl Fn(u64) -> i64) {
        drop(std::fs::remove_file(self.journal()));
        let header = Header {
            run: self.run.clone(),
            start_micros: self.start_micros,
            account_prefix: format!("{}-", self.run),
            accounts: 2,
        };
        let journal = Journal::open(&self.journal(), &header, Instant::now()).expect("journal");
        for request in 0..EVENTS {
            let (account, sent) = ((request % 2) as u32, request * 1_000);
            let attempt = Attempt { request, attempt: 0, account, first: request, count: 1, due: sent, sent };
            let topic = journal.topic("weir.events").expect("topic");
            let placed = Placed { topic, partition: account as i32, offset: offset(request) };
            journal.attempt(&attempt).expect("attempt");
            journal.answer(&attempt, sent + 500, 202, vec![Item::Accepted(Some(placed))]).expect("answer");
        }
    }

    fn sql(&self, sql: &str) {
        self.postgres.psql("weir", sql).expect("SQL");
    }

    fn store(&self, account: &str, id: &str) {
        self.sql(&format!(
            "INSERT INTO events (occurred_at, received_at, schema_version, account_id, event_id, event_name, user_id, channel)
             VALUES (now(), now(), 1, '{account}', '{id}', 'click', 'u', 'web')"
        ));
    }

    fn account(&self, index: u32) -> String {
        account_name(&format!("{}-", self.run), index)
    }

    /// Stores everything as the worker would.
    fn store_all(&self) {
        self.sql("TRUNCATE events, event_counts");
        for number in 0..EVENTS {
            self.store(&self.account((number % 2) as u32), &event_id(&self.run, number));
        }
        self.sql(
            "INSERT INTO event_counts (bucket, events, value_count, account_id, event_name, channel, value_sum)
             SELECT date_trunc('hour', now()), count(*), 0, account_id, 'click', 'web', 0 FROM events GROUP BY account_id",
        );
    }

    fn audit(&self) -> Verdict {
        let audit = Audit {
            journals: vec![self.journal()],
            database_url: self.postgres.superuser_url("weir"),
            scope: Scope::Everything,
            patience: Duration::from_millis(300),
            deadline: Duration::from_secs(15),
        };
        audit.run().expect("a verdict")
    }

    /// The one kind of deviation that was found.
    fn found(&self) -> Vec<&'static str> {
        let verdict = self.audit();
        let deviations = verdict.findings.deviations();
        assert_eq!(verdict.clean, deviations.iter().all(|(_, deviation)| deviation.count == 0));
        deviations.into_iter().filter(|(_, deviation)| deviation.count > 0).map(|(name, _)| name).collect()
    }
}

#[test]
fn every_planted_fault_is_found_in_a_real_store() {
    let stage = Stage::set();
    let (account, some_id) = (stage.account(0), event_id(&stage.run, 4));

    stage.store_all();
    let sound = stage.audit();
    assert!(sound.clean && sound.findings.stored == EVENTS, "{sound}");
    assert!(sound.findings.end_to_end.is_some_and(|latency| latency.count == EVENTS));

    stage.sql(&format!("DELETE FROM events WHERE account_id = '{account}' AND event_id = '{some_id}'"));
    stage.sql(&format!("UPDATE event_counts SET events = events - 1 WHERE account_id = '{account}'"));
    assert_eq!(stage.found(), ["accepted but lost"]);

    stage.store_all();
    stage.sql(&format!("UPDATE event_counts SET events = events + 1 WHERE account_id = '{account}'"));
    assert_eq!(stage.found(), ["counts unequal rows"], "what counting a replay twice would leave");

    stage.store_all();
    stage.store(&account, &event_id(&stage.run, EVENTS + 1));
    stage.sql(&format!("UPDATE event_counts SET events = events + 1 WHERE account_id = '{account}'"));
    assert_eq!(stage.found(), ["rows without request"]);

    stage.store_all();
    stage.store("somebody-else", "their-event");
    assert_eq!(stage.found(), ["rows without request", "counts unequal rows"]);

    stage.store_all();
    stage.write_journal(|request| if request == 10 { 0 } else { i64::try_from(request).expect("small") });
    assert_eq!(stage.found(), ["out of order"]);

    stage.postgres.stop().expect("stop");
}
