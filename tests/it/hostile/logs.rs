//! What strangers write into names and headers stays inside one escaped line of the log.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing_subscriber::fmt::MakeWriter;
use weir::app::Roles;
use weir::telemetry::logging;

use super::kit::Kit;
use super::row::{all, exchange};
use crate::harness::TestApp;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// What a forger would like to see at the beginning of a line.
const FORGED: &str = "forged-line";

#[tokio::test]
async fn nobody_writes_lines_into_the_log() {
    for format in ["json", "text"] {
        let app = TestApp::start_with(Roles::API, |_| {}).await;
        let (kit, lines) = (Kit::of(&app), Lines::default());
        let mut config = app.config().telemetry.clone();
        config.log = "trace".into();
        config.log_format = format.into();
        // This runtime has one thread, so whatever the app logs is logged here.
        let capturing = tracing::dispatcher::set_default(&logging::dispatch(&config, lines.clone()));
        attack(&kit).await;
        drop(capturing);
        judge(&String::from_utf8(lines.0.lock().clone()).expect("UTF-8"), format, &kit.token);
        app.finish().await;
    }
}

async fn attack(kit: &Kit) {
    let get =
        |path: &str, header: &str| all(format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{header}\r\n"));
    let fake = format!("x\\\",\\\"level\\\":\\\"ERROR\\\",\\\"{FORGED}");
    for steps in [
        get(&format!("/%0a{FORGED}%0d%0a%1b[31m"), ""),
        get("/health", &format!("x-request-id: \",\"level\":\"ERROR\",\"{FORGED}\":\"\r\n")),
        get("/health", &format!("x-request-id: \u{9b}31m{FORGED}\r\n")),
        get("/health", &format!("x-request-id: a\n{FORGED}\r\n")),
        get("/health", &format!("user-agent: \x1b[2J{FORGED}\r\n")),
        get(&format!("/v1/stream?access_token={}", kit.token), ""),
        kit.body(format!(r#"{{"event_name":"a\r\n{FORGED}","user_id":"\u001b[31m\n{FORGED}"}}"#)),
        kit.body(format!(r#"{{"event_name":"a","user_id":"{fake}","event_id":"\n{FORGED}"}}"#)),
        kit.bearing(&format!("{FORGED}.\u{1b}[31m.x")),
        kit.bearing(&kit.signed(serde_json::json!({"kid": format!("\n{FORGED}")}), serde_json::json!({}))),
    ] {
        exchange(kit, steps).await;
    }
}

fn judge(log: &str, format: &str, token: &str) {
    assert!(log.contains("request answered"), "the log is empty");
    assert!(!log.contains(token), "a token is in the log");
    // The compact form colours nothing here, so any escape byte would be a stranger's.
    assert!(!log.contains(['\u{1b}', '\u{9b}', '\r']), "a control character is in the log");
    for line in log.lines() {
        if format == "json" {
            let parsed: serde_json::Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(parsed.get(FORGED).is_none() && parsed["level"] != "ERROR", "{line}");
        } else {
            assert!(line.starts_with("20"), "a line that does not begin with its time: {line}");
        }
    }
}
