//! `up`: from a bare machine to an event counted. Invariant: every step keeps what is well and repairs what is not, so the
//! command may be given at any time.

use std::{fs::File, path::Path};

use anyhow::{Context, Result};
use weir_local::{EngineOptions, Engines, Layout, Lifetime, Ports};

use super::{
    demo, environment, install, out,
    server::{Server, Started},
    weir::{self, TokenArgs},
};

const POSTGRES: u16 = 55432;
const REDIS: u16 = 56379;
const KAFKA: u16 = 59092;

const TENANT: &str = "events:write events:read metrics:read dlq:read dlq:write slo:read";
const OPERATOR: &str = "quotas:admin dlq:admin sources:admin topics:admin slo:read events:read metrics:read";

pub(super) fn run(dir: &Path) -> Result<()> {
    let layout = Layout::new(dir)?;
    let lock = File::create(layout.root().join("run/up.lock")).context("create the lock file")?;
    // Two at once would start everything twice; the second one waits and finds all running.
    lock.lock().context("wait for another `make up`")?;

    install::ensure(&layout)?;
    let engines = start_engines(&layout)?;
    weir::ensure_keys(&layout)?;
    let server = Server::new(&layout)?;

    let mut variables = environment::tokens(&layout);
    variables.extend(environment::engines(&engines));
    variables.extend(environment::seal_key(&layout)?);
    variables.extend(server.addresses());
    weir::migrate(&variables)?;
    let started = server.ensure(&variables)?;
    report_server(&server, started);

    let demo = |scope: &str, role: Option<&str>| TokenArgs {
        account: demo::ACCOUNT.to_owned(),
        scope: scope.to_owned(),
        role: role.map(str::to_owned),
    };
    let token = weir::token(&layout, &demo(TENANT, None))?;
    let admin_token = weir::token(&layout, &demo(OPERATOR, Some("operator")))?;
    variables.extend(environment::variables([("WEIR_TOKEN", token.clone()), ("WEIR_ADMIN_TOKEN", admin_token)]));
    environment::write(&layout, &variables)?;

    let counted = demo::send_and_wait(&server.url(), &token)?;
    out::part("event", &counted);
    suggest(&server, &token);
    Ok(())
}

fn start_engines(layout: &Layout) -> Result<Engines> {
    let options = EngineOptions {
        brokers: 1,
        ports: Ports { postgres: Some(POSTGRES), redis: Some(REDIS), kafka: Some(KAFKA) },
        lifetime: Lifetime::Detached,
        durable: true,
        kafka_seen_at: None,
    };
    let engines = Engines::start(layout.root(), &options)?;
    engines.postgres.ensure_database(environment::DATABASE)?;
    let broker = engines.kafka.broker(0).port();
    for (name, port, usual) in [
        ("postgres", engines.postgres.port(), POSTGRES),
        ("redis", engines.redis.port(), REDIS),
        ("kafka", broker, KAFKA),
    ] {
        let moved = if port == usual { String::new() } else { format!("   ({usual} was taken)") };
        out::part(name, &format!("127.0.0.1:{port}{moved}"));
    }
    let data = engines.postgres.data();
    if !data.starts_with(layout.root()) {
        out::part("", &format!("Postgres keeps its data in {}: its user cannot enter this directory", data.display()));
    }
    Ok(engines)
}

fn report_server(server: &Server, started: Started) {
    let how = match started {
        Started::Kept => "ready",
        Started::New => "started, ready",
        Started::Again => "restarted, ready",
    };
    let moved: String = server.moved().iter().map(|port| format!("   ({port} was taken)")).collect();
    out::part("weir", &format!("{}   {how}{moved}", server.url()));
    out::part("", &format!("{}   Prometheus /metrics, not for the internet", server.management_url()));
}

fn suggest(server: &Server, token: &str) {
    out::line("");
    out::line("Try next:");
    for (command, does) in [
        ("make test-event", "send another event"),
        ("make test-metrics", "see what it has sent"),
        ("make load-test", "see what this machine can take"),
        (". .weir/env", "WEIR_URL, WEIR_TOKEN and the rest for your own commands"),
        ("make down", "stop; data stay"),
    ] {
        out::line(&format!("  {command:<20}{does}"));
    }
    out::line("");
    out::line(&format!(
        "curl -X POST {}/v1/events -H 'Content-Type: application/json' -H 'Authorization: Bearer {token}' -d '{}'",
        server.url(),
        demo::EVENT
    ));
}
