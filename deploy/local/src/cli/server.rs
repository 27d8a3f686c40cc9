//! The running service. Invariant: what runs is the binary and the settings of now, or it is started anew.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use weir_local::{Launch, Layout, Lifetime, Process, claim_port, files, poll};

use super::{client, environment, environment::Variables, weir};

/// The process's name in the directory.
pub(super) const NAME: &str = "weir";
/// Above the service's own drain of 20 s.
pub(super) const STOP: Duration = Duration::from_secs(45);
const START: Duration = Duration::from_secs(60);
const HTTP: u16 = 8080;
const MANAGEMENT: u16 = 8001;

/// A fixed name in the worker's group: killed and started again it has its partitions back at once. It goes to the server only:
/// a second worker that sources the file `env` must not take the name, or they would throw each other out.
const GROUP_INSTANCE: &str = "WEIR_KAFKA_GROUP_INSTANCE_ID";

/// Of the file `env`, what is for callers or for tools and not for the server.
const NOT_FOR_THE_SERVER: [&str; 8] = [
    "WEIR_URL",
    "WEIR_MANAGEMENT_URL",
    "WEIR_TOKEN",
    "WEIR_ADMIN_TOKEN",
    "WEIR_JWT_SIGNING_KEY_FILE",
    "DATABASE_ADMIN_URL",
    "DATABASE_MIGRATE_URL",
    "METRICS_PORT",
];

/// The service with the ports it has in this directory.
pub(super) struct Server {
    process: Process,
    program: PathBuf,
    layout: Layout,
    http: u16,
    management: u16,
}

/// What became of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Started {
    /// It ran and still does.
    Kept,
    /// It did not run.
    New,
    /// It ran an older binary or other settings, or did not answer.
    Again,
}

impl Server {
    pub(super) fn new(layout: &Layout) -> Result<Self> {
        let process = Process::new(layout, NAME)?;
        let running = process.is_running();
        Ok(Self {
            http: claim_port(layout, NAME, Some(HTTP), running)?,
            management: claim_port(layout, "weir-management", Some(MANAGEMENT), running)?,
            program: weir::program()?,
            layout: layout.clone(),
            process,
        })
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    pub(super) fn management_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.management)
    }

    /// The ports that are not the usual ones, for a person who expects those.
    pub(super) fn moved(&self) -> Vec<u16> {
        [(self.http, HTTP), (self.management, MANAGEMENT)]
            .iter()
            .filter_map(|(port, usual)| (port != usual).then_some(*usual))
            .collect()
    }

    /// The addresses it listens on.
    pub(super) fn addresses(&self) -> Variables {
        environment::variables([
            ("WEIR_LISTEN", format!("127.0.0.1:{}", self.http)),
            ("WEIR_MANAGEMENT_LISTEN", format!("127.0.0.1:{}", self.management)),
            ("WEIR_URL", self.url()),
            ("WEIR_MANAGEMENT_URL", self.management_url()),
        ])
    }

    /// Sees to it that the service runs as wanted, and waits until it is ready.
    pub(super) fn ensure(&self, variables: &Variables) -> Result<Started> {
        let file = self.layout.root().join("run/weir.launch");
        let wanted = self.fingerprint(variables)?;
        let mut started = Started::New;
        if self.process.is_running() {
            let same = files::read(&file)?.is_some_and(|ran| ran == wanted);
            if same && poll(Duration::from_secs(5), || self.is_ready().then_some(())).is_some() {
                return Ok(Started::Kept);
            }
            self.process.stop(Signal::SIGTERM, STOP)?;
            started = Started::Again;
        }
        let root = self.layout.root().parent().map(PathBuf::from).unwrap_or_default();
        let mut launch = Launch::new(self.program.clone(), root, Lifetime::Detached).args(["all"]);
        launch.env = for_the_server(variables);
        launch.env.push((GROUP_INSTANCE.to_owned(), format!("{NAME}-{}", self.http)));
        launch.without_env = NOT_FOR_THE_SERVER.map(str::to_owned).into();
        self.process.start(&launch)?;
        files::write_private(&file, &wanted)?;
        self.process.wait_ready(START, || self.is_ready()).with_context(|| self.why_not_ready())?;
        Ok(started)
    }

    fn is_ready(&self) -> bool {
        client::get(&format!("{}/ready", self.url()), None).is_ok_and(|answer| answer.status == 200)
    }

    fn why_not_ready(&self) -> String {
        match client::get(&format!("{}/ready", self.url()), None) {
            Ok(answer) => format!("weir is not ready: {}", answer.body),
            Err(_) => "weir did not start".to_owned(),
        }
    }

    /// Stands for the binary, its settings and whatever it inherits from the shell.
    fn fingerprint(&self, variables: &Variables) -> Result<String> {
        let built = fs::metadata(&self.program).context("look at the binary")?;
        let mut text = format!("{}.{} {}", built.mtime(), built.mtime_nsec(), built.len());
        let inherited = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| !variables.iter().any(|(set, _)| set == name))
            .filter(|(name, _)| ["WEIR_", "KAFKA_", "RUST_"].iter().any(|prefix| name.starts_with(prefix)));
        let mut settings: Variables = for_the_server(&inherited.collect());
        settings.extend(for_the_server(variables));
        settings.sort();
        settings.iter().for_each(|(name, value)| text.push_str(&format!("\n{name}={value}")));
        // A hash, since the settings hold passwords.
        Ok(files::fingerprint(&text))
    }
}

fn for_the_server(variables: &Variables) -> Variables {
    variables.iter().filter(|(name, _)| !NOT_FOR_THE_SERVER.contains(&name.as_str())).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_gets_no_key_of_others() {
        let all = environment::variables([
            ("DATABASE_URL", "a".to_owned()),
            ("DATABASE_ADMIN_URL", "b".to_owned()),
            ("WEIR_JWT_SIGNING_KEY_FILE", "c".to_owned()),
        ]);
        assert_eq!(for_the_server(&all), [("DATABASE_URL".to_owned(), "a".to_owned())]);
    }
}
