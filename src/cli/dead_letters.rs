//! `weir dead-letters`. Invariant: `list` only looks, and `replay --dry-run` sends nothing.

use std::time::Duration;

use anyhow::Context as _;
use clap::Subcommand;

use crate::config::Config;
use crate::dlq::{Filter, Listing, Replay, ReplayReport, Row, list, replay};
use crate::domain::id::AccountId;
use crate::domain::outcome::DeadReason;
use crate::domain::time::Timestamp;
use crate::kafka::Producer;
use crate::telemetry;

use super::serve::{print, runtime};

/// What to do with dead letters.
#[derive(Debug, clap::Args)]
pub(super) struct DeadLettersArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the newest dead letters
    List(ListArgs),
    /// Send dead letters again to the topic they came from; the unique key makes a second replay harmless
    Replay(ReplayArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    which: Which,
    /// Most rows
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: usize,
    #[command(flatten)]
    config: Config,
}

#[derive(Debug, clap::Args)]
struct ReplayArgs {
    #[command(flatten)]
    which: Which,
    /// Only say what would be sent
    #[arg(long)]
    dry_run: bool,
    /// Most records a second
    #[arg(long, default_value_t = 500, value_name = "N")]
    per_second: u32,
    /// Leave records alone that were replayed this often
    #[arg(long, default_value_t = 3, value_name = "N")]
    park_after: u32,
    /// Send even those
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    config: Config,
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Only this account's
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,
    /// Only those set aside for this reason: undecodable or unstorable
    #[arg(long, value_name = "NAME", value_parser = reason)]
    reason: Option<DeadReason>,
    /// Seconds the whole may take
    #[arg(long, default_value_t = 600, value_name = "S")]
    within_seconds: u64,
}

fn reason(text: &str) -> Result<DeadReason, String> {
    DeadReason::parse(text).ok_or_else(|| "undecodable or unstorable".to_owned())
}

/// What is left of the arguments once the configuration is taken out.
pub(super) enum Job {
    List { filter: Filter, limit: usize, within: Duration },
    Replay(Replay),
}

impl DeadLettersArgs {
    pub(super) fn split(self) -> (Config, Job) {
        match self.action {
            Action::List(args) => {
                let (filter, within) = args.which.split();
                (args.config, Job::List { filter, limit: args.limit, within })
            }
            Action::Replay(args) => {
                let (filter, deadline) = args.which.split();
                let ReplayArgs { dry_run, per_second, park_after, force, config, .. } = args;
                (config, Job::Replay(Replay { filter, dry_run, per_second, park_after, force, deadline }))
            }
        }
    }
}

impl Which {
    fn split(&self) -> (Filter, Duration) {
        let filter = Filter { account: self.account.clone(), reason: self.reason };
        (filter, Duration::from_secs(self.within_seconds))
    }
}

pub(super) fn run(config: &Config, job: &Job) -> anyhow::Result<()> {
    let _flush_logs_on_return = telemetry::logging::init_to_stderr(&config.telemetry)?;
    runtime()?.block_on(async {
        match job {
            Job::List { filter, limit, within } => {
                let listing = list(&config.kafka, filter, *limit, *within).await?;
                print(&table(&listing))
            }
            Job::Replay(request) => {
                let producer = Producer::start(&config.kafka).context("the Kafka producer cannot be made")?;
                let report = replay(&config.kafka, &*producer, request).await?;
                print(&sentence(&report, request.dry_run))
            }
        }
    })
}

fn table(listing: &Listing) -> String {
    let mut text = String::new();
    for row in &listing.rows {
        text.push_str(&line(row));
    }
    let (shown, matching, scanned) = (listing.rows.len(), listing.matching, listing.scanned);
    text + &format!("{shown} shown of {matching} that match; the topic holds {scanned}")
}

fn line(row: &Row) -> String {
    let when = Timestamp::from_micros(row.set_aside_ms.saturating_mul(1_000)).map(|time| time.to_string());
    let account = row.account.as_ref().map_or("-", AccountId::as_str);
    let (partition, offset) = row.place;
    format!(
        "{when} {partition}/{offset} from={id} account={account} reason={reason} stage={stage} tries={tries} \
         replays={replays} bytes={bytes} {detail}\n",
        when = when.unwrap_or_default(),
        id = row.id,
        reason = row.reason,
        stage = row.stage,
        tries = row.tries,
        replays = row.replays,
        bytes = row.bytes,
        detail = row.detail.escape_debug(),
    )
}

fn sentence(report: &ReplayReport, dry_run: bool) -> String {
    let ReplayReport { matching, replayed, parked, foreign, superseded } = report;
    let sent = match dry_run {
        true => format!("{} would be sent", matching - parked - foreign),
        false => format!("{replayed} sent"),
    };
    format!(
        "{matching} match: {sent}, {parked} parked, {foreign} of topics that are not ours, {superseded} older copies"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_cannot_forge_another() {
        let row = Row {
            set_aside_ms: 1_700_000_000_000,
            place: (0, 7),
            id: "t/0/1".into(),
            account: None,
            reason: "undecodable".into(),
            stage: "decode".into(),
            tries: 1,
            replays: 0,
            detail: "bad\nline".into(),
            bytes: 3,
        };
        assert_eq!(line(&row).lines().count(), 1);
        assert!(line(&row).starts_with("2023-11-14T22:13:20Z 0/7 from=t/0/1 account=- "));
    }
}
