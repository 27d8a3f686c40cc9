//! F26: keys and passwords change under load. Invariant: whoever is valid by what is published is served; what has been withdrawn is
//! not.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::Value;
use weir::auth::signing::create_keys;

use super::store::{spell, waited};
use super::trial::{Outcome, Settings, Trial};
use super::weather::Span;
use crate::generate::{Client, Key, Signer};
use crate::scratch::Dir;
use crate::stack::Ground;

/// By then a changed key set has been read.
const READ_WITHIN: Duration = Duration::from_secs(3);

/// A key pair and its entry of a key set.
struct Pair {
    signer: Signer,
    entry: Value,
}

impl Pair {
    fn new(dir: PathBuf) -> anyhow::Result<Self> {
        let files = create_keys(&dir)?;
        let set: Value = serde_json::from_slice(&fs::read(&files.jwks)?)?;
        let entry = set["keys"][0].clone();
        let kid = entry["kid"].as_str().map(str::to_owned);
        let signer = Signer::new(&Key::Ed25519 { file: files.signing, kid }, "weir-local", "weir")?;
        Ok(Self { signer, entry })
    }
}

/// Replaces a key set as operators should: whole or not at all.
fn publish(path: &Path, pairs: &[&Pair]) -> anyhow::Result<()> {
    let keys: Vec<&Value> = pairs.iter().map(|pair| &pair.entry).collect();
    let draft = path.with_extension("draft");
    fs::write(&draft, serde_json::json!({ "keys": keys }).to_string()).context("writing a key set")?;
    fs::rename(&draft, path).context("publishing a key set")
}

/// A new key beside the old one, then without it.
pub(super) fn keys(title: &str, settings: &Settings) -> anyhow::Result<Outcome> {
    let dir = Dir::new("keys")?;
    let (old, new) = (Pair::new(dir.path().join("old"))?, Pair::new(dir.path().join("new"))?);
    let set = dir.path().join("jwks.json");
    publish(&set, &[&old])?;
    let ground = Ground::default().with("WEIR_JWT_JWKS", set.display());
    let mut trial = Trial::prepare(title, settings, &ground)?;
    trial.stack.serve()?;
    let from = trial.now();
    trial.load_signed(trial.plan(), &old.signer)?;
    trial.wait(READ_WITHIN);
    let early = probe(&trial, &new.signer)?;
    publish(&set, &[&old, &new])?;
    trial.wait(READ_WITHIN);
    trial.load_signed(trial.plan(), &new.signer)?;
    trial.wait(trial.outage() / 2);
    trial.end_load()?;
    publish(&set, &[&new])?;
    let (withdrawn, mut refused) = (Instant::now(), None);
    while refused.is_none() && withdrawn.elapsed() < READ_WITHIN * 4 {
        refused = (probe(&trial, &old.signer)? == 401).then(|| withdrawn.elapsed());
        trial.wait(Duration::from_millis(100));
    }
    trial.wait(trial.outage() / 2);
    let to = trial.now();
    trial.finish(|trial, weather| {
        trial.check(early == 401, "it bit: before it is published the new key opens nothing", early.to_string());
        let (taken, asked) = weather.share(Span { from, to }, 202);
        let seen = format!("{taken} of {asked}: {}", weather.endings(Span { from, to }));
        trial.check(asked > 0 && taken == asked, "every request under a published key is taken", seen);
        trial.check(
            refused.is_some_and(|after| after <= READ_WITHIN),
            "withdrawn the old key opens nothing within 3 s",
            format!("{refused:?}"),
        );
    })
}

/// The status of a question under a key: questions leave no row behind.
fn probe(trial: &Trial, signer: &Signer) -> anyhow::Result<u16> {
    let token = signer.token("prober")?;
    let request = format!("GET /v1/limits HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut client = Client::new(trial.stack.address());
    let answer = runtime.block_on(client.call(request.as_bytes(), Duration::from_secs(10)));
    answer.map(|answer| answer.status).map_err(|lost| anyhow::anyhow!("no answer to a prober: {}", lost.as_str()))
}

/// The worker's password changes, its connections break, and it gets the new one by a restart.
pub(super) fn password(title: &str, settings: &Settings) -> anyhow::Result<Outcome> {
    const NEW: &str = "rotated-under-load-0123456789";
    let mut trial = Trial::start(title, settings)?;
    let port = trial.stack.engines.postgres.port();
    let spell = spell(
        &mut trial,
        |trial| {
            let sql = format!(
                "ALTER ROLE weir_worker PASSWORD '{NEW}'; \
                 SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'weir_worker'"
            );
            trial.stack.sql(&sql).map(drop)
        },
        |trial| {
            let worker = &mut trial.stack.worker;
            worker.stop()?;
            worker.set([("DATABASE_WORKER_URL", format!("postgres://weir_worker:{NEW}@127.0.0.1:{port}/weir"))]);
            worker.start()
        },
    )?;
    trial.finish(|trial, weather| waited(trial, weather, &spell))
}
