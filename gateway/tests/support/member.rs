//! One process of a cluster: a gateway or a writer on addresses of its own, which it keeps over restarts.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use squall_servers::{Process, free_port};

use super::http::{self, Answer};
use super::within;

/// A started process. It is gone when it is dropped.
pub(crate) struct Member {
    process: Process,
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, String)>,
    /// What it says when it listens.
    listens: &'static str,
    address: SocketAddr,
    admin: SocketAddr,
    link: SocketAddr,
}

/// What a member is started with.
pub(crate) struct Start<'a> {
    /// `gateway` or `writer`.
    pub(crate) program: &'static str,
    /// Its command, before the options.
    pub(crate) command: &'a [&'a str],
    /// Its options besides the addresses.
    pub(crate) options: &'a [String],
    /// What it finds in its environment.
    pub(crate) environment: &'a [(&'static str, String)],
}

/// Between two looks at a process or an answer.
const LOOK: Duration = Duration::from_millis(5);

impl Member {
    /// Starts it and waits until it listens.
    pub(crate) async fn start(start: Start<'_>) -> Self {
        let member = Self::launch(start);
        member.until_listening(0).await;
        member
    }

    /// Starts it, and does not wait.
    pub(crate) fn launch(start: Start<'_>) -> Self {
        let Start { program, command, options, environment } = start;
        let address = || SocketAddr::from(([127, 0, 0, 1], free_port()));
        let (address, admin, link) = (address(), address(), address());
        let mut arguments: Vec<OsString> = command.iter().map(OsString::from).collect();
        let mut add = |name: &str, value: &dyn AsRef<std::ffi::OsStr>| {
            arguments.extend([OsString::from(name), value.as_ref().to_owned()]);
        };
        add("--listen", &address.to_string());
        add("--admin-listen", &admin.to_string());
        let dir = Process::dir(program);
        let listens = if program == "writer" {
            add("--link-listen", &link.to_string());
            "link on http://"
        } else {
            "admin on http://"
        };
        if !options.iter().any(|option| option == "--data-dir") {
            add("--data-dir", &dir.path());
        }
        arguments.extend(options.iter().map(OsString::from));
        let (program, environment) = (binary(program), environment.to_vec());
        let process = Process::start(of(&program, &arguments, &environment), dir);
        Self { process, program, arguments, environment, listens, address, admin, link }
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where operators connect.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Where gateways reach it, if it is a writer.
    pub(crate) fn link(&self) -> SocketAddr {
        self.link
    }

    /// What it said so far.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Where its files are, unless its options say otherwise.
    pub(crate) fn dir(&self) -> &std::path::Path {
        self.process.path()
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Ends it as a power cut would; its directory stays.
    pub(crate) fn kill_9(&mut self) {
        self.process.kill_9();
    }

    /// Its connections stay, and nothing is answered.
    pub(crate) fn freeze(&self) {
        self.process.freeze();
    }

    /// It goes on.
    pub(crate) fn thaw(&self) {
        self.process.thaw();
    }

    /// Asks it to end.
    pub(crate) fn sigterm(&self) {
        self.process.signal(Signal::TERM);
    }

    /// How it ended by itself.
    pub(crate) async fn exit(&mut self) -> std::process::ExitStatus {
        within("a process's exit", async {
            while !self.process.has_ended() {
                tokio::time::sleep(LOOK).await;
            }
        })
        .await;
        self.process.wait()
    }

    /// Starts it again, on the same addresses and directory, and waits until it listens.
    pub(crate) async fn restart(&mut self) {
        let times = self.times_listening();
        self.process.restart(of(&self.program, &self.arguments, &self.environment));
        self.until_listening(times).await;
    }

    /// `GET` at its operators' address.
    pub(crate) async fn ask(&self, path: &str) -> Answer {
        http::request(self.admin, "GET", path, &[], b"").await
    }

    /// What it says of itself.
    pub(crate) async fn readiness(&self) -> (u16, Value) {
        let answer = self.ask("/readyz").await;
        (answer.status, answer.json())
    }

    /// Waits until it says something of itself; what it said then.
    pub(crate) async fn until_it_says(&self, what: &str, is_said: impl Fn(u16, &Value) -> bool) -> Value {
        within(what, async {
            loop {
                let (status, said) = self.readiness().await;
                if is_said(status, &said) {
                    return said;
                }
                tokio::time::sleep(LOOK).await;
            }
        })
        .await
    }

    fn times_listening(&self) -> usize {
        self.log().matches(self.listens).count()
    }

    async fn until_listening(&self, times: usize) {
        within("a process to listen", async {
            while self.times_listening() <= times {
                tokio::time::sleep(LOOK).await;
            }
        })
        .await;
    }
}

fn of(program: &PathBuf, arguments: &[OsString], environment: &[(&'static str, String)]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).envs(environment.iter().cloned()).env("NO_COLOR", "1");
    command
}

/// The program beside the gateway's: built with it, if the whole workspace's tests are.
pub(crate) fn binary(name: &str) -> PathBuf {
    let gateway = PathBuf::from(env!("CARGO_BIN_EXE_gateway"));
    let program = gateway.with_file_name(name);
    assert!(
        program.is_file(),
        "{} is missing: build it by `cargo test --workspace --all-features --no-run`",
        program.display()
    );
    program
}
