//! Redis: a single server, one with Sentinels, a Cluster.

mod cluster;
mod reply;
mod sentinels;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

pub use self::cluster::RedisCluster;
pub use self::reply::Reply;
pub use self::sentinels::Sentinels;
use crate::{Process, free_port, installed, until};

/// A Redis server. It keeps nothing on disk unless its options say so; its directory stays over restarts.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    port: u16,
    options: Vec<String>,
}

/// How often another port is tried when somebody else took the one that was free.
const PORTS_TRIED_MAX: usize = 5;

impl Redis {
    /// A server whose data is gone with its process.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A server whose every write is on the disk before it is answered.
    #[must_use]
    pub fn start_persistent() -> Self {
        Self::start_with(&[("appendonly", "yes"), ("appendfsync", "always")])
    }

    /// A server with these lines in its configuration, such as `("maxmemory", "2mb")`.
    #[must_use]
    pub fn start_with(options: &[(&str, &str)]) -> Self {
        let mut words = Vec::new();
        for (name, value) in options {
            words.push(format!("--{name}"));
            // A value of several words is several arguments, except where it is empty.
            let parts: Vec<_> = value.split_whitespace().map(str::to_owned).collect();
            words.extend(if parts.is_empty() { vec![String::new()] } else { parts });
        }
        for _ in 0..PORTS_TRIED_MAX {
            let (dir, port) = (Process::dir("redis"), free_port());
            let process = Process::start(server(dir.path(), port, &words), dir);
            let mut redis = Self { process, port, options: words.clone() };
            if redis.is_ready() {
                return redis;
            }
        }
        panic!("redis-server does not start; run it by hand with these options: {words:?}");
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// How it is reached.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it said so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// What it answers to a command.
    ///
    /// # Panics
    /// If it can't be reached or answers with an error.
    pub fn command(&self, words: &[&str]) -> Reply {
        self.try_command(words).unwrap_or_else(|error| panic!("{words:?}: {error}\n{}", self.log()))
    }

    /// What it answers to a command; the error's words if it refuses it, does not answer within some seconds or
    /// is not there.
    pub fn try_command(&self, words: &[&str]) -> Result<Reply, String> {
        reply::ask(self.address(), words)
    }

    /// Ends it as a power cut would.
    pub fn kill_9(&mut self) {
        self.process.kill_9();
    }

    /// Starts it anew at the same address, after it ended, with what it has on disk.
    pub fn restart(&mut self) {
        self.process.restart(server(self.process.path(), self.port, &self.options));
        assert!(self.is_ready(), "redis-server does not start again: {}", self.log());
    }

    /// Starts it anew at the same address, after it ended, with nothing on disk.
    pub fn restart_wiped(&mut self) {
        for file in ["dump.rdb", "appendonlydir"] {
            let path = self.process.path().join(file);
            let removed =
                if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            assert!(removed.is_ok() || !path.exists(), "{file} can't be removed: {removed:?}");
        }
        self.restart();
    }

    /// Freezes it: its sockets stay, and nothing answers.
    pub fn freeze(&self) {
        self.process.freeze();
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.process.thaw();
    }

    /// False if it ended instead, as it does if its port is taken.
    fn is_ready(&mut self) -> bool {
        until("redis-server answers", || {
            // Another server at this port would answer too.
            if self.process.has_ended() {
                return Some(false);
            }
            let pid = format!("process_id:{}\r", self.process.id());
            match reply::ask((Ipv4Addr::LOCALHOST, self.port).into(), &["INFO", "server"]) {
                Ok(info) => info.text().lines().any(|line| line == pid.trim_end()).then_some(true),
                // One that wants a password has said enough.
                Err(error) => error.starts_with("NOAUTH").then_some(true),
            }
        })
    }
}

fn server(dir: &Path, port: u16, options: &[String]) -> Command {
    let mut command = Command::new(installed("redis-server", &["/usr/bin"], "redis-server"));
    command.arg("--port").arg(port.to_string()).args(["--bind", "127.0.0.1", "--dir"]).arg(dir);
    command.args(["--daemonize", "no", "--save", "", "--appendonly", "no"]).args(options);
    command
}

/// A Sentinel's process, by its configuration file, which it rewrites itself.
fn sentinel(dir: &TempDir, configuration: &str) -> Command {
    let file = dir.path().join("sentinel.conf");
    std::fs::write(&file, configuration).expect("a configuration file");
    let mut command = Command::new(installed("redis-sentinel", &["/usr/bin"], "redis-sentinel"));
    command.arg(file);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_kept_where_asked_and_wiped_where_asked() {
        let mut redis = Redis::start_persistent();
        redis.command(&["SET", "key", "value with words"]);
        redis.kill_9();
        assert!(redis.try_command(&["PING"]).is_err());
        redis.restart();
        assert_eq!(redis.command(&["GET", "key"]).text(), "value with words");
        redis.kill_9();
        redis.restart_wiped();
        assert_eq!(redis.command(&["GET", "key"]), Reply::Nil);
        assert!(redis.try_command(&["NONSENSE"]).unwrap_err().contains("unknown command"));
    }

    #[test]
    fn options_hold_and_a_frozen_server_goes_on() {
        let redis =
            Redis::start_with(&[("maxmemory", "2mb"), ("client-output-buffer-limit", "pubsub 1mb 512kb 10")]);
        assert_eq!(redis.command(&["CONFIG", "GET", "maxmemory"]).list()[1].text(), "2097152");
        let limits = redis.command(&["CONFIG", "GET", "client-output-buffer-limit"]);
        assert!(limits.list()[1].text().contains("pubsub 1048576 524288 10"), "{limits:?}");
        redis.freeze();
        redis.thaw();
        assert_eq!(redis.command(&["PING"]).text(), "PONG");
    }
}
