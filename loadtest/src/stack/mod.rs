//! What load is offered to: private engines with the service on top, or what `make up` runs. Invariant: a private stack lives in
//! a directory of its own and is gone with its owner; the running one is never touched but by requests.

mod ground;
mod running;
mod service;
mod watch;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use weir_local::{Engines, Layout, Login};

pub use ground::{Ground, Proxies};
pub use running::Target;
pub use service::{Role, Service, WELL};
pub use watch::Watch;

use crate::cpu::Meter;
use crate::disk::Disk;
use crate::generate::{Key, Signer};
use crate::scratch::{self, Dir};

/// The database of a private stack.
pub const DATABASE: &str = "weir";

/// Private engines, an API and a worker.
#[derive(Debug)]
pub struct Stack {
    /// The door.
    pub api: Service,
    /// The writer.
    pub worker: Service,
    /// What they stand on.
    pub engines: Engines,
    /// Between the service and the engines, where asked for.
    pub proxies: Option<Proxies>,
    /// The disk of the one broker, where asked for.
    pub kafka_disk: Option<Disk>,
    layout: Layout,
    weir: PathBuf,
    /// What both roles were told.
    variables: Vec<(String, String)>,
    address: SocketAddr,
    secret: String,
    /// Last, so that it goes after everything that lives in it.
    dir: Dir,
}

impl Stack {
    /// Starts engines, migrates, and gets an API and a worker ready to start.
    ///
    /// # Errors
    /// When an engine does not start or the schema cannot be made.
    pub fn start(weir: &Path, extra: &[(String, String)]) -> anyhow::Result<Self> {
        Self::on(weir, &Ground { variables: extra.to_vec(), ..Ground::default() })
    }

    /// The same on a ground of choice.
    ///
    /// # Errors
    /// See [`Stack::start`]; and when the ground cannot be laid.
    pub fn on(weir: &Path, ground: &Ground) -> anyhow::Result<Self> {
        let dir = Dir::new("stack")?;
        let (engines, proxies, kafka_disk) = ground.lay(&dir.path().join("engines"))?;
        engines.postgres.ensure_database(DATABASE)?;
        let layout = Layout::new(&dir.path().join("service"))?;
        let address = SocketAddr::from(([127, 0, 0, 1], weir_local::claim_port(&layout, "api", None, false)?));
        let secret = format!("{:0>40}", scratch::unique());
        let mut variables = variables(&engines, address, &secret);
        if let Some(proxies) = &proxies {
            proxies.lead(&engines, &mut variables)?;
        }
        migrate(weir, &variables)?;
        // The last word on a name is the ground's.
        variables.extend(ground.variables.iter().cloned());
        let mut stack = Self {
            api: Service::new(&layout, weir, Role::Api, "api")?,
            worker: Service::new(&layout, weir, Role::Worker, "worker")?,
            engines,
            proxies,
            kafka_disk,
            layout,
            weir: weir.to_owned(),
            variables,
            address,
            secret,
            dir,
        };
        for service in [&mut stack.api, &mut stack.worker] {
            service.set(stack.variables.iter().map(|(name, value)| (name.as_str(), value.clone())));
        }
        // Killed and started again it has its partitions back at once, not only after the session timeout.
        stack.worker.set([("WEIR_KAFKA_GROUP_INSTANCE_ID", "worker-0".to_owned())]);
        Ok(stack)
    }

    /// One more worker under a name of its own, in no fixed place of the group; not started.
    ///
    /// # Errors
    /// When its directory cannot be made or no port is free.
    pub fn another_worker(&self, name: &str) -> anyhow::Result<Service> {
        let mut service = Service::new(&self.layout, &self.weir, Role::Worker, name)?;
        service.set(self.variables.iter().map(|(name, value)| (name.as_str(), value.clone())));
        Ok(service)
    }

    /// Brings the schema to what a binary wants.
    ///
    /// # Errors
    /// When `weir migrate` fails.
    pub fn migrate(&self, weir: &Path) -> anyhow::Result<()> {
        migrate(weir, &self.variables)
    }

    /// Starts both roles and waits until they are ready.
    ///
    /// # Errors
    /// When one does not get ready.
    pub fn serve(&self) -> anyhow::Result<()> {
        self.api.start()?;
        self.worker.start()?;
        self.api.wait_ready()?;
        self.worker.wait_ready()
    }

    /// The service of that role.
    pub fn role(&mut self, role: Role) -> &mut Service {
        match role {
            Role::Api => &mut self.api,
            Role::Worker => &mut self.worker,
        }
    }

    /// Where events go.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What signs tokens the service takes.
    pub fn key(&self) -> Key {
        Key::Secret(self.secret.clone())
    }

    /// A signer whose tokens the service takes.
    ///
    /// # Errors
    /// Never in practice: the key is a secret of our own.
    pub fn signer(&self) -> anyhow::Result<Signer> {
        Signer::new(&self.key(), "weir-local", "weir")
    }

    /// A login that sees all accounts.
    pub fn admin_url(&self) -> String {
        self.engines.postgres.superuser_url(DATABASE)
    }

    /// Events stored so far.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub fn stored(&self) -> anyhow::Result<u64> {
        let sum = self.sql(watch::STORED)?;
        sum.trim().parse().with_context(|| format!("the number of stored events: {sum:?}"))
    }

    /// What SQL as superuser answers.
    ///
    /// # Errors
    /// When Postgres does not answer, or refuses.
    pub fn sql(&self, sql: &str) -> anyhow::Result<String> {
        Ok(self.engines.postgres.psql(DATABASE, sql)?)
    }

    /// Stores quotas, as JSON, for the processes that are started next.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub fn set_quotas(&self, quotas: &[(String, &str)]) -> anyhow::Result<()> {
        let rows: Vec<String> =
            quotas.iter().map(|(account, quota)| format!("('{account}', '{quota}'::json)")).collect();
        self.sql(&format!(
            "WITH raised AS (UPDATE operator_versions SET version = version + 1 WHERE kind = 'quota' RETURNING version) \
             INSERT INTO quotas (account_id, version, quota) \
             SELECT account_id, version, quota FROM raised, (VALUES {}) AS given (account_id, quota)",
            rows.join(", ")
        ))?;
        Ok(())
    }

    /// Commands of that name (`evalsha`) that Redis was sent so far.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn redis_calls(&self, command: &str) -> anyhow::Result<u64> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.engines.redis.port())).context("Redis")?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"INFO commandstats\r\nQUIT\r\n")?;
        let mut text = String::new();
        stream.take(1 << 20).read_to_string(&mut text)?;
        let calls = text.lines().find_map(|line| {
            let figures = line.strip_prefix("cmdstat_")?.strip_prefix(command)?.strip_prefix(":calls=")?;
            figures.split(',').next()?.parse().ok()
        });
        Ok(calls.unwrap_or(0))
    }

    /// A place for further processes beside the service.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn layout(&self, name: &str) -> anyhow::Result<Layout> {
        Ok(Layout::new(&self.dir.path().join(name))?)
    }

    /// A file in the stack's directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Keeps the directory, logs and journals for a look at what went wrong.
    pub fn keep(&mut self) -> &Path {
        self.dir.keep();
        self.dir.path()
    }

    /// The processor time of everything.
    pub fn meter(&self) -> Meter {
        Meter::default()
            .with("api", self.api.pid())
            .with("worker", self.worker.pid())
            .with("kafka", self.engines.kafka.broker(0).pid())
            .with("postgres", self.engines.postgres.pid())
            .with("redis", self.engines.redis.pid())
    }

    /// Ends the service, then the engines.
    ///
    /// # Errors
    /// When something survives.
    pub fn stop(self) -> anyhow::Result<()> {
        self.api.stop()?;
        self.worker.stop()?;
        Ok(self.engines.stop()?)
    }
}

/// Units of a limit that no load here reaches.
const UNLIMITED: &str = "1000000000000";

fn variables(engines: &Engines, address: SocketAddr, secret: &str) -> Vec<(String, String)> {
    let variables = [
        ("WEIR_LISTEN", address.to_string()),
        ("WEIR_JWT_ISSUER", "weir-local".to_owned()),
        ("WEIR_JWT_AUDIENCE", "weir".to_owned()),
        ("WEIR_JWT_HS256_SECRET", secret.to_owned()),
        ("DATABASE_URL", engines.postgres.login(Login::Api, DATABASE)),
        ("DATABASE_WORKER_URL", engines.postgres.login(Login::Worker, DATABASE)),
        ("DATABASE_MIGRATE_URL", engines.postgres.login(Login::Migrate, DATABASE)),
        ("REDIS_URL", engines.redis.url()),
        ("KAFKA_SERVER", engines.kafka.bootstrap()),
        // Rates here are chosen to find what the service can take, not what an account may.
        ("WEIR_LIMIT_SUSTAINED", UNLIMITED.to_owned()),
        ("WEIR_LIMIT_BURST", UNLIMITED.to_owned()),
        ("WEIR_LIMIT_BYTES", UNLIMITED.to_owned()),
        ("WEIR_LIMIT_CONCURRENT", "4096".to_owned()),
        ("WEIR_LIMIT_PER_IP", "1000000".to_owned()),
    ];
    variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn migrate(weir: &Path, variables: &[(String, String)]) -> anyhow::Result<()> {
    let mut command = Command::new(weir);
    command.arg("migrate").envs(variables.iter().cloned());
    weir_local::command::run(&mut command, "", Duration::from_secs(120)).context("`weir migrate`")?;
    Ok(())
}

/// The binary to test: the one that was named, else the one beside this very binary.
///
/// # Errors
/// When it is not built.
pub fn weir_binary(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let program = match named {
        Some(path) => path,
        None => std::env::current_exe().context("finding this binary")?.with_file_name("weir"),
    };
    if !program.is_file() {
        bail!("{} is not there: `cargo build -p weir`, or name it by --weir", program.display());
    }
    Ok(program)
}
