//! What the tests of the started programs share: a real gateway, and the tool as a user starts it.
#![allow(dead_code, reason = "each test uses its part")]

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use squall_servers::{Process, until};
use tempfile::TempDir;

/// A running all-in-one gateway; gone when it is dropped.
pub(crate) struct Gateway {
    process: Process,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Gateway {
    /// A fresh one without a rate limit.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(options: &[&str]) -> Self {
        let dir = Process::dir("gateway");
        let mut process = Process::start(command(dir.path(), 0, 0, options), dir);
        let mut find = |words: &str| {
            until(words, || {
                let ended = process.has_ended();
                let found = address_after(&process.log(), words);
                assert!(found.is_some() || !ended, "the gateway ended: {}", process.log());
                found
            })
        };
        let (address, admin) = (find("listening on http://"), find("admin on http://"));
        Self { process, address, admin }
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.process.kill_9();
    }

    /// Kills it and starts it again at the same place.
    pub(crate) fn kill_and_restart(&mut self) {
        self.kill();
        self.restart();
    }

    /// Waits for it to end by itself, and starts it again at the same place.
    pub(crate) fn restart_once_ended(&mut self) {
        self.process.wait();
        self.restart();
    }

    /// Starts it again, and waits for it to listen. Its port may be somebody's outgoing connection's for a
    /// moment: then it is started once more.
    fn restart(&mut self) {
        let Self { process, address, admin } = self;
        until("the gateway listens again", || {
            if process.has_ended() {
                process.restart(command(process.path(), address.port(), admin.port(), &[]));
            }
            TcpStream::connect(*address).ok()
        });
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Where the demo users' credentials are.
    pub(crate) fn demo_users(&self) -> PathBuf {
        self.process.path().join("data/demo")
    }
}

fn command(dir: &Path, port: u16, admin_port: u16, options: &[&str]) -> Command {
    let mut command = Command::new(gateway());
    let listen = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string();
    command.args(["--listen", &listen(port), "--admin-listen", &listen(admin_port), "--data-dir"]);
    command.arg(dir.join("data")).args(["--log", "warn"]).args(options);
    if !options.contains(&"--rate-limit") {
        command.args(["--rate-limit", "0"]);
    }
    command
}

/// The gateway's binary, beside our own.
fn gateway() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_loadtest")).with_file_name("gateway");
    assert!(path.is_file(), "{} is missing: run `cargo build -p squall-gateway`", path.display());
    path
}

fn address_after(log: &str, words: &str) -> Option<SocketAddr> {
    let (_, rest) = log.split_once(words)?;
    rest.lines().next()?.split_whitespace().next()?.parse().ok()
}

/// A run of the tool that ended.
pub(crate) struct Ran {
    pub(crate) output: Output,
    /// The JSON result, if there is one.
    pub(crate) result: Option<Value>,
}

/// The tool on a target, with more arguments.
pub(crate) fn loadtest(target: SocketAddr, admin: SocketAddr, arguments: &[&str]) -> Ran {
    let dir = TempDir::new().expect("a temporary directory");
    let json = dir.path().join("result.json");
    let output = tool(arguments)
        .args(["--target", &format!("http://{target}"), "--admin", &format!("http://{admin}")])
        .args(["--show", "nothing", "--rate-limit", "0/min", "--result"])
        .arg(&json)
        .output()
        .expect("the tool starts");
    let result =
        std::fs::read(&json).ok().map(|bytes| serde_json::from_slice(&bytes).expect("the result is JSON"));
    Ran { output, result }
}

/// The tool, to be started.
pub(crate) fn tool(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.args(arguments).env_remove("RUST_BACKTRACE");
    command
}

impl Ran {
    pub(crate) fn code(&self) -> Option<i32> {
        self.output.status.code()
    }

    /// Everything it said.
    pub(crate) fn words(&self) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        text(&self.output.stdout) + &text(&self.output.stderr)
    }

    /// The result; a run that has none failed.
    pub(crate) fn result(&self) -> &Value {
        self.result.as_ref().unwrap_or_else(|| panic!("no result: {}", self.words()))
    }
}
