//! The load tester on a cluster, and what its audit says.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use squall_servers::Process;
use tokio::time::{sleep, timeout};

use crate::RUN_MAX;
use crate::bench::is_full;
use crate::support::member::binary;

/// A run under way. It is stopped when it is dropped.
pub(crate) struct Load {
    process: Process,
    result: PathBuf,
}

/// Sockets, sends a second, and how long they go on: in `make test`, and in `make chaos`.
const SHORT: [&str; 3] = ["1000", "40/s", "25s"];
const FULL: [&str; 3] = ["3000", "100/s", "120s"];

/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

impl Load {
    /// Realms of users who talk, on a cluster of these gateways.
    pub(crate) fn start(gateways: &[SocketAddr], admin: SocketAddr, options: &[&str]) -> Self {
        let dir = Process::dir("load");
        let result = dir.path().join("result.json");
        let [sockets, rate, hold] = if is_full() { FULL } else { SHORT };
        let addresses: Vec<_> = gateways.iter().map(|address| format!("http://{address}")).collect();
        let mut command = Command::new(binary("loadtest"));
        command.args(["chat", "--target", &addresses.join(","), "--admin", &format!("http://{admin}")]);
        command.args(["--sockets", sockets, "--send-rate", rate, "--hold", hold, "--ramp", "500/s"]);
        command.args(["--realms-per-target", "20", "--users-per-realm", "50", "--result"]).arg(&result);
        command.args(options);
        Self { process: Process::start(command, dir), result }
    }

    /// Waits until its clients are connected and talk.
    pub(crate) async fn is_under_way(&self) {
        let talking = async {
            while !self.process.log().contains("hold") {
                sleep(LOOK).await;
            }
            // A few sends are on their way.
            sleep(Duration::from_secs(2)).await;
        };
        let told = || format!("the load is not under way:\n{}", self.process.log());
        timeout(RUN_MAX, talking).await.unwrap_or_else(|_| panic!("{}", told()));
    }

    /// Waits for its end: the audit must have found nothing. The whole result.
    pub(crate) async fn loses_nothing(mut self, fault: &str) -> Value {
        let ended = async {
            while !self.process.has_ended() {
                sleep(LOOK).await;
            }
        };
        let log = |load: &Self| load.process.log();
        if timeout(RUN_MAX, ended).await.is_err() {
            panic!("{fault}: the load does not end:\n{}", log(&self));
        }
        let status = self.process.wait();
        println!("{fault}:\n{}", log(&self));
        assert!(status.success(), "{fault}: {status}");
        let result: Value = serde_json::from_slice(&std::fs::read(&self.result).unwrap()).unwrap();
        assert!(
            result["counts"]["sent"].as_u64().unwrap_or(0) > 0,
            "something was sent: {}",
            result["counts"]
        );
        result
    }
}
