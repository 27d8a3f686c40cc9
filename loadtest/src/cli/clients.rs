//! `clients`: live streams read by curl, Chromium and Node, across restarts of the API.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::generate::Client;
use crate::say;
use crate::scratch::Dir;
use crate::stack::{Stack, weir_binary};

const ACCOUNT: &str = "watched";

/// Their names in what the script tells.
const CLIENTS: [&str; 3] = ["curl", "chromium", "websocket"];

/// Events of one batch.
const BATCH: usize = 10;

/// Options of `clients`.
#[derive(Debug, clap::Args)]
pub(super) struct ClientsArgs {
    /// The binary under test; `weir` beside this one when absent
    #[arg(long, value_name = "FILE")]
    weir: Option<PathBuf>,
    /// The clients, run by Node
    #[arg(long, default_value = "loadtest/clients/watch.mjs", value_name = "FILE")]
    script: PathBuf,
    /// The browser
    #[arg(long, default_value = "chromium", value_name = "PROGRAM")]
    chromium: String,
    /// Times the API is stopped and started; the last time it is killed
    #[arg(long, default_value_t = 3, value_name = "N")]
    restarts: usize,
    /// Batches between two of them
    #[arg(long, default_value_t = 20, value_name = "N")]
    batches: usize,
    /// File for the result
    #[arg(long, default_value = "loadtest/results/clients.json", value_name = "FILE")]
    json: PathBuf,
}

impl ClientsArgs {
    pub(super) fn run(self) -> anyhow::Result<bool> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let variables = [
            ("WEIR_RECEIPT_KEY".to_owned(), format!("{:0>40}", crate::scratch::unique())),
            ("WEIR_CORS_ORIGINS".to_owned(), format!("http://127.0.0.1:{port}")),
        ];
        let stack = Stack::start(&weir_binary(self.weir.clone())?, &variables)?;
        stack.serve()?;
        let dir = Dir::new("clients")?;
        let mut watching = self.watch(&stack, port, &dir)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut sent = Vec::new();
        for round in 0..=self.restarts {
            if round > 0 {
                if round == self.restarts {
                    stack.api.kill()?
                } else {
                    stack.api.stop()?
                }
                stack.api.start()?;
                stack.api.wait_ready()?;
            }
            runtime.block_on(send(&stack, self.batches, &mut sent))?;
        }
        let told = watching.finish(sent.len())?;
        stack.stop()?;
        let mut held = true;
        for client in CLIENTS {
            let ids: Vec<&str> =
                told["seen"][client].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let exact = ids == sent;
            held &= exact;
            say(format_args!(
                "{client:<10} {} of {} events in {} connections: {}",
                ids.len(),
                sent.len(),
                told["opened"][client],
                if exact { "each once, in order" } else { "NOT as sent" }
            ));
        }
        let counts = CLIENTS.map(|client| (client, told["seen"][client].as_array().map_or(0, Vec::len)));
        let counts: serde_json::Map<_, _> =
            counts.into_iter().map(|(name, seen)| (name.to_owned(), seen.into())).collect();
        let result = json!({
            "events": sent.len(), "restarts": self.restarts, "connections": told["opened"], "exact": held,
            "seen": counts,
        });
        super::write_json(&self.json, &result)?;
        Ok(held)
    }

    fn watch(&self, stack: &Stack, port: u16, dir: &Dir) -> anyhow::Result<Watching> {
        let mut command = Command::new("node");
        command.arg("--experimental-websocket").arg(&self.script);
        command.env("WEIR_URL", format!("http://{}", stack.address()));
        command.env("WEIR_TOKEN", stack.signer()?.scoped(ACCOUNT, "events:read")?);
        command.env("PAGE_PORT", port.to_string()).env("CHROMIUM", &self.chromium).env("PROFILE", dir.path());
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("starting node: see loadtest/clients/install.sh")?;
        let lines = BufReader::new(child.stdout.take().context("the output of node")?);
        let mut watching = Watching { child, lines };
        ensure!(watching.line()? == "watching", "a client does not get through");
        Ok(watching)
    }
}

struct Watching {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Watching {
    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    fn finish(&mut self, events: usize) -> anyhow::Result<Value> {
        let input = self.child.stdin.as_mut().context("the input of node")?;
        writeln!(input, "done {events}")?;
        let told = serde_json::from_str(&self.line()?).context("what the clients saw")?;
        self.child.wait()?;
        Ok(told)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // After a good end there is nothing left to kill.
        if let Err(error) = self.child.kill() {
            say(format_args!("node had ended: {error}"));
        }
    }
}

async fn send(stack: &Stack, batches: usize, sent: &mut Vec<String>) -> anyhow::Result<()> {
    let (mut client, token) = (Client::new(stack.address()), stack.signer()?.token(ACCOUNT)?);
    for _ in 0..batches {
        let ids: Vec<String> = (sent.len()..sent.len() + BATCH).map(|n| format!("event-{n:06}")).collect();
        let event = |id: &String| json!({"event_name": "tick", "user_id": "u", "event_id": id});
        let body = json!({"events": ids.iter().map(event).collect::<Vec<_>>()}).to_string();
        let request = format!(
            "POST /v1/events/batch HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            stack.address(),
            body.len()
        );
        let answer = client.call(request.as_bytes(), Duration::from_secs(17)).await;
        let status = answer.map(|answer| answer.status).map_err(|lost| anyhow::anyhow!("a batch: {lost:?}"))?;
        ensure!(status == 202, "a batch was answered with {status}");
        sent.extend(ids);
    }
    Ok(())
}
