//! Configuration: every variable of the service, one section a file. Invariant: whoever holds a [`Config`] holds one that was
//! checked whole; mistakes are reported together, and the environment is read nowhere else.

mod auth;
mod database;
mod http;
mod ingest;
mod kafka;
mod lanes;
mod limit;
mod operators;
mod query;
mod receipts;
mod redis;
mod secret;
mod slo;
mod stream;
mod telemetry;
mod worker;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Command, FromArgMatches};

pub use auth::AuthConfig;
pub use database::DatabaseConfig;
pub use http::HttpConfig;
pub use ingest::IngestConfig;
pub use kafka::KafkaConfig;
pub use lanes::LaneConfig;
pub use limit::{LimitConfig, Network};
pub use operators::OperatorConfig;
pub use query::QueryConfig;
pub use receipts::ReceiptConfig;
pub use redis::{RedisConfig, RedisMode};
pub use secret::Secret;
pub use slo::SloConfig;
pub use stream::StreamConfig;
pub use telemetry::TelemetryConfig;
pub use worker::WorkerConfig;

/// Every setting of every role.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// The door.
    #[command(flatten, next_help_heading = "HTTP")]
    pub http: HttpConfig,
    /// Who may call.
    #[command(flatten, next_help_heading = "Tokens")]
    pub auth: AuthConfig,
    /// What the door takes.
    #[command(flatten, next_help_heading = "Events")]
    pub ingest: IngestConfig,
    /// What an account may do.
    #[command(flatten, next_help_heading = "Limits")]
    pub limit: LimitConfig,
    /// Lanes.
    #[command(flatten, next_help_heading = "Lanes")]
    pub lanes: LaneConfig,
    /// The log.
    #[command(flatten, next_help_heading = "Kafka")]
    pub kafka: KafkaConfig,
    /// Postgres.
    #[command(flatten, next_help_heading = "Postgres")]
    pub database: DatabaseConfig,
    /// Redis.
    #[command(flatten, next_help_heading = "Redis")]
    pub redis: RedisConfig,
    /// Questions.
    #[command(flatten, next_help_heading = "Questions")]
    pub query: QueryConfig,
    /// Receipts.
    #[command(flatten, next_help_heading = "Receipts")]
    pub receipts: ReceiptConfig,
    /// What operators decide at run time.
    #[command(flatten, next_help_heading = "Operators")]
    pub operators: OperatorConfig,
    /// Live streams.
    #[command(flatten, next_help_heading = "Live streams")]
    pub stream: StreamConfig,
    /// The worker.
    #[command(flatten, next_help_heading = "Worker")]
    pub worker: WorkerConfig,
    /// Promises.
    #[command(flatten, next_help_heading = "Promises")]
    pub slo: SloConfig,
    /// Logs.
    #[command(flatten, next_help_heading = "Logs")]
    pub telemetry: TelemetryConfig,
}

/// What a configuration is wanted for, beyond being well-formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Serving tenants.
    Api,
    /// Storing what the log holds.
    Worker,
}

/// Everything that is wrong with a configuration, one sentence each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} mistake(s) in the configuration:\n  - {}", .0.len(), .0.join("\n  - "))]
pub struct Mistakes(pub Vec<String>);

impl Config {
    /// The defaults plus whatever the environment says, for tests and tools that build on it.
    ///
    /// # Errors
    /// All [`Mistakes`] at once.
    pub fn from_env() -> Result<Self, Mistakes> {
        let mut mistakes = Vec::new();
        let command = Self::augment_args(Command::new("weir").args_override_self(true));
        let matches = parse_collecting(&command, vec!["weir".into()], &mut mistakes);
        match matches.and_then(|matches| Self::from_arg_matches(&matches).ok()) {
            Some(config) => config.checked(mistakes, &[]),
            None => Err(Mistakes(mistakes)),
        }
    }

    /// Reads secrets from their files, then checks every section and what must agree between sections.
    ///
    /// # Errors
    /// All [`Mistakes`] at once, `mistakes` of the parser first.
    pub fn checked(mut self, mut mistakes: Vec<String>, needs: &[Need]) -> Result<Self, Mistakes> {
        self.http.check(&mut mistakes);
        self.auth.resolve(&mut mistakes);
        self.ingest.check(&mut mistakes);
        self.limit.check(&mut mistakes);
        self.lanes.check(&mut mistakes);
        self.kafka.resolve(&mut mistakes);
        self.database.resolve(&mut mistakes);
        self.redis.resolve(&mut mistakes);
        self.query.check(&mut mistakes);
        self.receipts.resolve(&mut mistakes);
        self.operators.resolve(&mut mistakes);
        self.stream.check(&mut mistakes);
        self.worker.check(&mut mistakes);
        self.slo.check(&mut mistakes);
        self.telemetry.check(&mut mistakes);
        // A replay of what Postgres has already let go would count events twice over.
        if self.kafka.kafka_retention_days >= self.database.retention_days {
            mistakes.push("WEIR_KAFKA_RETENTION_DAYS must be below WEIR_RETENTION_DAYS".into());
        }
        if self.kafka.kafka_dead_letter_retention_days >= self.database.retention_days {
            mistakes.push("WEIR_KAFKA_DEAD_LETTER_RETENTION_DAYS must be below WEIR_RETENTION_DAYS".into());
        }
        self.check_needs(needs, &mut mistakes);
        if mistakes.is_empty() { Ok(self) } else { Err(Mistakes(mistakes)) }
    }

    /// What a role cannot do without, although a tool can.
    fn check_needs(&self, needs: &[Need], mistakes: &mut Vec<String>) {
        for need in needs {
            match need {
                Need::Api => {
                    self.auth.check_serving(mistakes);
                    if self.database.database_url.is_none() {
                        mistakes.push("DATABASE_URL must be set".into());
                    }
                    if self.redis.redis_url.is_none() {
                        mistakes.push("REDIS_URL must be set".into());
                    }
                }
                Need::Worker if self.database.database_worker_url.is_none() => {
                    mistakes.push("DATABASE_WORKER_URL must be set".into());
                }
                Need::Worker => {}
            }
        }
    }
}

/// Parses like clap, but goes on after a bad value: notes it, puts the flag's own default in its place and parses again, so
/// that one start reports every mistake. `None` when the command line itself cannot be understood (the error is then noted).
pub fn parse_collecting(
    command: &Command,
    mut argv: Vec<std::ffi::OsString>,
    mistakes: &mut Vec<String>,
) -> Option<clap::ArgMatches> {
    // Bounded: each round silences one argument, and there are not more arguments than that.
    for _ in 0..256 {
        let error = match command.clone().try_get_matches_from(argv.clone()) {
            Ok(matches) => return Some(matches),
            Err(error) => error,
        };
        let text = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => Some(text.clone()),
            _ => None,
        };
        let flag = text(ContextKind::InvalidArg).and_then(|arg| arg.split([' ', '=']).next().map(str::to_owned));
        let replacement = flag.as_deref().and_then(|flag| default_of(command, flag));
        match (error.kind(), flag, replacement) {
            (ErrorKind::ValueValidation | ErrorKind::InvalidValue, Some(flag), Some((variable, value))) => {
                let cause =
                    std::error::Error::source(&error).map_or_else(|| "invalid value".to_owned(), ToString::to_string);
                mistakes.push(format!("{variable} ({flag}): {cause}"));
                drop_flag(&mut argv, &flag);
                argv.push(format!("{flag}={value}").into());
            }
            _ => {
                if !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
                    mistakes.push(error.to_string().lines().next().unwrap_or("bad command line").to_owned());
                }
                return None;
            }
        }
    }
    None
}

/// Takes `--flag=value` and `--flag value` out of a command line: clap checks even the values that a later one overrides.
fn drop_flag(argv: &mut Vec<std::ffi::OsString>, flag: &str) {
    let joined = format!("{flag}=");
    while let Some(at) = argv.iter().position(|arg| arg == flag || arg.to_string_lossy().starts_with(&joined)) {
        let parts = if argv[at] == flag { 2 } else { 1 };
        argv.drain(at..argv.len().min(at + parts));
    }
}

/// Environment variable and a harmless valid value of a flag, sought in the command and its subcommands.
fn default_of(command: &Command, flag: &str) -> Option<(String, String)> {
    let name = flag.trim_start_matches('-');
    let arg = command
        .get_arguments()
        .chain(command.get_subcommands().flat_map(Command::get_arguments))
        .find(|arg| arg.get_long() == Some(name))?;
    let variable = arg.get_env().map_or_else(|| flag.to_owned(), |env| env.to_string_lossy().into_owned());
    let value =
        arg.get_default_values().first().map_or_else(|| "1".to_owned(), |value| value.to_string_lossy().into_owned());
    Some((variable, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Config, Mistakes> {
        let mut mistakes = Vec::new();
        let command = Config::augment_args(Command::new("weir").args_override_self(true));
        let argv = std::iter::once("weir").chain(args.iter().copied()).map(Into::into).collect();
        let matches = parse_collecting(&command, argv, &mut mistakes);
        match matches {
            Some(matches) => {
                Config::from_arg_matches(&matches).expect("all have values").checked(mistakes, &[Need::Worker])
            }
            None => Err(Mistakes(mistakes)),
        }
    }

    #[test]
    fn defaults_are_sound() {
        let config = parse(&["--database-worker-url=postgres://u@h/d"]).expect("defaults");
        assert_eq!(config.kafka.kafka_linger_ms, 5);
        assert_eq!(config.ingest.max_batch_events, 1_000);
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let error = parse(&[
            "--listen=nowhere",
            "--kafka-linger-ms=x",
            "--jwt-leeway-seconds=90",
            "--required-fields=colour",
            "--kafka-retention-days=1825",
        ])
        .expect_err("six mistakes");
        assert_eq!(error.0.len(), 6, "{error}");
        let text = error.to_string();
        for name in
            ["WEIR_LISTEN", "WEIR_KAFKA_LINGER_MS", "WEIR_JWT_LEEWAY_SECONDS", "colour", "WEIR_KAFKA_RETENTION_DAYS"]
        {
            assert!(text.contains(name), "{name} missing in {text}");
        }
    }

    #[test]
    fn secrets_do_not_show_in_debug() {
        let config = parse(&["--database-worker-url=postgres://u:hunter2@h/d"]).expect("config");
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
