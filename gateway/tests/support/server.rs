//! The product as a process: started on a directory of its own, killed, started again.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::api::Api;
use super::client::{Client, Opening};
use super::line::Line;
use super::within;
use super::zuliprc::Zuliprc;
use squall_protocol::{Destination, Position, StreamId, UserId};

/// A running gateway with its data directory. Both are gone when it is dropped.
pub(crate) struct Server {
    child: Child,
    options: Vec<String>,
    address: SocketAddr,
    admin: SocketAddr,
    data: TempDir,
}

impl Server {
    /// A fresh one with the demo realm and no rate limit.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// A fresh one with more options on its command line.
    pub(crate) async fn start_with(options: &[&str]) -> Self {
        let mut options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        if !options.iter().any(|option| option == "--rate-limit") {
            options.extend(["--rate-limit".to_owned(), "0".to_owned()]);
        }
        let data = tempfile::Builder::new().prefix("squall-test-").tempdir().expect("a temporary directory");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (child, address, admin) = spawn(&data, any, any, &options).await;
        Self { child, options, address, admin, data }
    }

    /// Where page, API and WebSocket are.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where operators connect.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Where the credentials of a demo user are.
    pub(crate) fn zuliprc_path(&self, name: &str) -> PathBuf {
        self.data.path().join("demo").join(format!("{name}.zuliprc"))
    }

    /// The credentials of a demo user.
    pub(crate) fn zuliprc(&self, name: &str) -> Zuliprc {
        Zuliprc::read(&self.zuliprc_path(name))
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends the process as a power cut would; its data directory stays.
    pub(crate) fn kill_9(&mut self) {
        self.child.kill().expect("the server can be killed");
        self.child.wait().expect("the server can be waited for");
    }

    /// Asks the process to end.
    pub(crate) fn sigterm(&self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).expect("the server can be signalled");
    }

    /// How the process ended by itself.
    pub(crate) async fn exit(&mut self) -> ExitStatus {
        within("the server's exit", async {
            let mut look = tokio::time::interval(std::time::Duration::from_millis(5));
            loop {
                look.tick().await;
                if let Some(status) = self.child.try_wait().expect("the server can be waited for") {
                    return status;
                }
            }
        })
        .await
    }

    /// Starts the process again, on the same port and data directory.
    pub(crate) async fn restart(&mut self) {
        assert!(matches!(self.child.try_wait(), Ok(Some(_))), "restart() comes after kill_9() or exit()");
        (self.child, self.address, self.admin) =
            spawn(&self.data, self.address, self.admin, &self.options).await;
    }

    /// A socket that did not yet say hello.
    pub(crate) async fn line(&self) -> Line {
        Line::open(self.address).await
    }

    /// A session of a demo user, from the log's head.
    pub(crate) async fn client(&self, name: &str) -> Client {
        self.client_with(name, Opening::default()).await
    }

    /// A session of a demo user that goes on from `position`.
    pub(crate) async fn resume(&self, name: &str, position: Position) -> Client {
        self.client_with(name, Opening { position: Some(position), ..Opening::default() }).await
    }

    /// A session of a demo user with a hello of one's own.
    pub(crate) async fn client_with(&self, name: &str, opening: Opening) -> Client {
        Client::open(self.line().await, &self.zuliprc(name).key, opening).await
    }

    /// The HTTP API as a demo user.
    pub(crate) fn api(&self, name: &str) -> Api {
        let zuliprc = self.zuliprc(name);
        Api::new(self.address, &zuliprc.email, &zuliprc.key)
    }

    /// A topic of a stream that ada can see.
    pub(crate) async fn topic(&self, stream: &str, topic: &str) -> Destination {
        Destination::Stream { stream_id: self.stream(stream).await, topic: topic.to_owned() }
    }

    /// The id of a stream that ada can see.
    pub(crate) async fn stream(&self, name: &str) -> StreamId {
        self.api("ada").stream_id(name).await
    }

    /// The id of a demo user.
    pub(crate) async fn user(&self, name: &str) -> UserId {
        self.api(name).own_id().await
    }

    /// The conversation of these demo users.
    pub(crate) async fn direct(&self, names: &[&str]) -> Destination {
        let mut user_ids = Vec::new();
        for name in names {
            user_ids.push(self.user(name).await);
        }
        Destination::Direct { user_ids }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts the process and reads from its output where it listens.
async fn spawn(
    data: &TempDir,
    listen: SocketAddr,
    admin: SocketAddr,
    options: &[String],
) -> (Child, SocketAddr, SocketAddr) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_gateway"))
        .args(["--listen", &listen.to_string(), "--admin-listen", &admin.to_string(), "--data-dir"])
        .arg(data.path())
        .args(["--log", "warn"])
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the gateway's binary starts");
    let mut lines = lines_of(&mut child);
    let (mut listening, mut admin) = (None, None);
    within("the server's addresses on its standard output", async {
        while listening.is_none() || admin.is_none() {
            let Some(line) = lines.recv().await else { panic!("the server ended before it listened") };
            listening = listening.or_else(|| address_after(&line, "listening on http://"));
            admin = admin.or_else(|| address_after(&line, "admin on http://"));
        }
    })
    .await;
    (child, listening.expect("just awaited"), admin.expect("just awaited"))
}

/// The lines of the process, read to the end by a thread so that it never waits for us.
fn lines_of(child: &mut Child) -> mpsc::UnboundedReceiver<String> {
    let (lines, received) = mpsc::unbounded_channel();
    let stdout = child.stdout.take().expect("standard output is piped");
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // Nobody listens once the addresses are known: reading on is what counts.
            let _ = lines.send(line);
        }
    });
    received
}

fn address_after(line: &str, words: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once(words)?;
    let end = rest.find(|c: char| c != '.' && c != ':' && !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}
