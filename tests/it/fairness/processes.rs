//! `weir` as an operator runs it: processes of their own on the engines of one test. Invariant: none outlives its owner.

use std::process::{Child, Stdio};

use crate::harness::{Client, TestApp, eventually, free_port, terminate};

/// One process that is ready.
pub struct Running {
    child: Child,
    port: u16,
}

impl Running {
    /// Starts the binary in a role and waits until it is ready.
    pub async fn start(app: &TestApp, role: &str, settings: &[(&str, &str)]) -> Self {
        // Somebody else may have taken the port in between.
        for _ in 0..5 {
            let (port, management) = (free_port(), format!("127.0.0.1:{}", free_port()));
            let mut command = app.command(role, port);
            command.env("WEIR_MANAGEMENT_LISTEN", &management).envs(settings.iter().copied()).stdout(Stdio::null());
            let mut running = Self { child: command.spawn().expect("weir"), port };
            let client = Client::new(format!("http://{management}"), None);
            let ready = eventually("a process to be ready", || {
                let ended = running.child.try_wait().expect("wait").is_some();
                let client = client.clone();
                async move {
                    let answer = client.try_get("/ready").await.filter(|answer| answer.status == 200);
                    if ended { Some(false) } else { answer.map(|_| true) }
                }
            });
            if ready.await {
                return running;
            }
        }
        panic!("{role} does not start");
    }

    /// Base address of its public listener.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Ends it in order.
    pub async fn stop(mut self) {
        terminate(&self.child);
        let status = eventually("a process to end", || {
            let status = self.child.try_wait().expect("wait");
            async move { status }
        });
        assert_eq!(status.await.code(), Some(0));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended already cannot be killed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
