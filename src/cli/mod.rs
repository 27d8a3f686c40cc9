//! The command line: one subcommand a role or tool. Invariant: a command that fails says why in one sentence on stderr and
//! exits with 1; a wrong configuration lists every mistake and exits with 2.

mod dead_letters;
mod health;
mod serve;
mod slo_rules;
mod token;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::app::Roles;
use crate::config::{Config, Mistakes, Need, parse_collecting};

/// Multi-tenant event ingestion with per-account fairness.
#[derive(Debug, Parser)]
#[command(name = "weir", version, args_override_self = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve HTTP: take events, answer questions
    Api(Settings),
    /// Store what the log holds, without HTTP for tenants
    Worker(Settings),
    /// Both roles in one process
    All(Settings),
    /// Bring the database schema up to date and create the topics
    Migrate(Settings),
    /// Print the OpenAPI document
    Openapi,
    /// Print the Prometheus rules of the objectives
    SloRules(slo_rules::SloRulesArgs),
    /// Print a token signed with a local key
    Token(token::TokenArgs),
    /// Create a local signing key and its key set, unless they are there
    Keys(token::KeysArgs),
    /// Look at dead letters, or send them again
    DeadLetters(dead_letters::DeadLettersArgs),
    /// Check the configuration and list every mistake
    CheckConfig(Settings),
    /// Ask a running process whether it is ready; for container health checks
    Healthcheck(health::HealthArgs),
}

#[derive(Debug, clap::Args)]
struct Settings {
    #[command(flatten)]
    config: Config,
}

/// Runs the command of this process's arguments.
pub fn main() -> ExitCode {
    let mut mistakes = Vec::new();
    let argv: Vec<OsString> = std::env::args_os().collect();
    let Some(matches) = parse_collecting(&Cli::command(), argv.clone(), &mut mistakes) else {
        return unparsable(argv, mistakes);
    };
    match Cli::from_arg_matches(&matches) {
        Ok(cli) => run(cli.command, mistakes),
        Err(error) => error.exit(),
    }
}

/// Help, version and command lines that name no command: clap says it best. Bad values are listed first.
fn unparsable(argv: Vec<OsString>, mistakes: Vec<String>) -> ExitCode {
    match Cli::command().try_get_matches_from(argv) {
        Err(error) if mistakes.len() <= 1 => error.exit(),
        _ => misconfigured(&Mistakes(mistakes)),
    }
}

fn run(command: Command, mistakes: Vec<String>) -> ExitCode {
    let serve = |settings: Settings, mistakes, roles: Roles| {
        with_config(settings.config, mistakes, roles.needs(), |config| serve::serve(config, roles))
    };
    match command {
        Command::Api(settings) => serve(settings, mistakes, Roles::API),
        Command::Worker(settings) => serve(settings, mistakes, Roles::WORKER),
        Command::All(settings) => serve(settings, mistakes, Roles::ALL),
        Command::Migrate(settings) => with_config(settings.config, mistakes, &[], serve::migrate),
        Command::CheckConfig(settings) => {
            with_config(settings.config, mistakes, Roles::ALL.needs(), serve::check_config)
        }
        Command::DeadLetters(args) => {
            let (config, job) = args.split();
            with_config(config, mistakes, &[], |config| dead_letters::run(&config, &job))
        }
        _ if !mistakes.is_empty() => misconfigured(&Mistakes(mistakes)),
        Command::Openapi => finish(serve::print(&crate::http::document())),
        Command::SloRules(args) => finish(slo_rules::print(&args)),
        Command::Token(args) => finish(token::token(&args)),
        Command::Keys(args) => finish(token::keys(&args)),
        Command::Healthcheck(args) => finish(health::check(&args)),
    }
}

fn with_config(
    config: Config,
    mistakes: Vec<String>,
    needs: &[Need],
    action: impl FnOnce(Config) -> anyhow::Result<()>,
) -> ExitCode {
    match config.checked(mistakes, needs) {
        Ok(config) => finish(action(config)),
        Err(mistakes) => misconfigured(&mistakes),
    }
}

fn finish(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weir: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn misconfigured(mistakes: &Mistakes) -> ExitCode {
    eprintln!("weir: {mistakes}");
    ExitCode::from(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_argument_parser_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_role_names_every_variable_in_its_help() {
        for role in ["api", "worker", "all"] {
            let mut command = Cli::command();
            let help = command.find_subcommand_mut(role).expect("role").render_long_help().to_string();
            for variable in ["KAFKA_SERVER", "KAFKA_TOPIC", "SERVICE_NAME", "METRICS_PORT", "DATABASE_URL", "REDIS_URL"]
            {
                assert!(help.contains(variable), "{variable} missing in the help of {role}");
            }
        }
    }
}
