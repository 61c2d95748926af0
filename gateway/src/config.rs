//! What a user sets.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use squall_hub::presence::{Times, TimesConfig};
use squall_protocol::limits;
use squall_protocol::link_secret::LinkSecret;

use crate::admission::{Admission, sockets_allowed};
use crate::remote_link::WriterUrl;

/// Squall: a WebSocket-first real-time gateway.
///
/// Started without --writer, it is all of Squall in one process: gateway, writer, memory bus, SQLite, and a demo
/// page. With it, it is one node of a cluster.
#[derive(Debug, Clone, Parser)]
#[command(name = "gateway", version)]
pub(crate) struct Config {
    /// Where clients connect: page, HTTP API and WebSocket. Port 0 takes a free one.
    #[arg(long, env = "SQUALL_LISTEN", default_value = "127.0.0.1:8470")]
    pub(crate) listen: SocketAddr,

    /// Where operators connect: health, bulk creation of realms and users. No password: keep it local.
    #[arg(long, env = "SQUALL_ADMIN_LISTEN", default_value = "127.0.0.1:8471")]
    pub(crate) admin_listen: SocketAddr,

    /// A writer of the cluster: the address of its --link-listen, such as http://10.0.0.7:9082. Several may be
    /// given, each after its own --writer, or with commas between them. Without one, everything is in this process.
    #[arg(long = "writer", env = "SQUALL_WRITER", value_name = "URL", value_delimiter = ',')]
    pub(crate) writers: Vec<WriterUrl>,

    /// The cluster's Redis, such as redis://10.0.0.8:6379. Needed with --writer.
    #[arg(long, env = "SQUALL_REDIS", value_name = "URL", hide_env_values = true)]
    pub(crate) redis: Option<String>,

    /// A file with the secret that the writers ask for; or give it as SQUALL_LINK_SECRET in the environment.
    /// Needed unless all writers are on this machine.
    #[arg(long, value_name = "FILE")]
    pub(crate) link_secret_file: Option<PathBuf>,

    /// How long a node that reaches neither Redis nor a writer keeps its clients before it hands them on.
    #[arg(long, env = "SQUALL_CUT_OFF_MAX", default_value = "60s", value_parser = humantime::parse_duration)]
    pub(crate) cut_off_max: Duration,

    /// Where the database and the demo users' credentials are. One process at a time.
    #[arg(long, env = "SQUALL_DATA_DIR", default_value = "squall-data")]
    pub(crate) data_dir: PathBuf,

    /// The address clients reach this server at, if it is not --listen: a proxy's.
    #[arg(long, env = "SQUALL_PUBLIC_URL")]
    pub(crate) public_url: Option<String>,

    /// Web origins whose pages may connect, besides this server's own: `https://chat.example.com`.
    #[arg(long = "allow-origin", env = "SQUALL_ALLOW_ORIGIN", value_delimiter = ',')]
    pub(crate) allow_origin: Vec<String>,

    /// Threads that hold sockets [default: one per core].
    #[arg(long, env = "SQUALL_SHARDS")]
    pub(crate) shards: Option<NonZeroUsize>,

    /// Writes and API requests one user may make in a minute; 0 takes the limit away.
    #[arg(long, env = "SQUALL_RATE_LIMIT", default_value_t = 200)]
    pub(crate) rate_limit: u32,

    /// Sessions one user may have at once on this node; one more is closed with 4102.
    #[arg(long, env = "SQUALL_SESSIONS_PER_USER_MAX", default_value_t = 100)]
    pub(crate) sessions_per_user_max: u32,

    /// Sockets at once; one more is answered 503 [default: the process's limit of descriptors, less 128].
    #[arg(long, env = "SQUALL_SOCKETS_MAX")]
    pub(crate) sockets_max: Option<NonZeroUsize>,

    /// Sockets one address may have at once, one more is answered 429; 0: no limit, for behind a proxy all
    /// clients share its address.
    #[arg(long, env = "SQUALL_SOCKETS_PER_ADDRESS_MAX", default_value_t = 0)]
    pub(crate) sockets_per_address_max: u32,

    /// How long a client may be away and still resume: how long events stay in the log.
    #[arg(long, env = "SQUALL_RESUME_WINDOW", default_value = "24h", value_parser = humantime::parse_duration)]
    pub(crate) resume_window: Duration,

    /// How long SIGTERM spreads the hand-over of clients.
    #[arg(long, env = "SQUALL_DRAIN", default_value = "3s", value_parser = humantime::parse_duration)]
    pub(crate) drain: Duration,

    /// How often clients are pinged.
    #[arg(long, env = "SQUALL_HEARTBEAT", default_value = "25s", value_parser = humantime::parse_duration)]
    pub(crate) heartbeat: Duration,

    /// How long the answer to a ping may take.
    #[arg(long, env = "SQUALL_HEARTBEAT_TIMEOUT", default_value = "10s", value_parser = humantime::parse_duration)]
    pub(crate) heartbeat_timeout: Duration,

    /// How long a connection may take to say hello, and a request to send its head.
    #[arg(long, env = "SQUALL_HELLO_TIMEOUT", default_value = "10s", value_parser = humantime::parse_duration)]
    pub(crate) hello_timeout: Duration,

    /// How long after a disconnect a reconnect still cancels it in others' presence.
    #[arg(long, env = "SQUALL_PRESENCE_GRACE", default_value = "20s", value_parser = humantime::parse_duration)]
    pub(crate) presence_grace: Duration,

    /// How often presence changes are told.
    #[arg(long, env = "SQUALL_PRESENCE_TICK", default_value = "1s", value_parser = humantime::parse_duration)]
    pub(crate) presence_tick: Duration,

    /// How long a node counts as alive after its last sign of life: as long and the grace, others wait for a
    /// silent node and its clients before they tell that those left. The same on all nodes.
    #[arg(long, env = "SQUALL_NODE_LEASE", default_value = "25s", value_parser = humantime::parse_duration)]
    pub(crate) node_lease: Duration,

    /// How long a node keeps a realm that nobody uses.
    #[arg(long, env = "SQUALL_REALM_LINGER", default_value = "60s", value_parser = humantime::parse_duration)]
    pub(crate) realm_linger: Duration,

    /// What is logged, to standard error: `warn`, `info`, `squall_gateway=debug`.
    #[arg(long, env = "SQUALL_LOG", default_value = "info")]
    pub(crate) log: String,
}

impl Config {
    /// The times of presence, checked against each other.
    pub(crate) fn presence_times(&self) -> anyhow::Result<Times> {
        Ok(Times::new(TimesConfig {
            grace: self.presence_grace,
            tick: self.presence_tick,
            heartbeat: self.heartbeat,
            timeout: self.heartbeat_timeout,
            node_lease: self.is_among_nodes().then_some(self.node_lease),
            http_timeout: None,
        })?)
    }

    /// Whether this is one node of a cluster.
    pub(crate) fn is_among_nodes(&self) -> bool {
        !self.writers.is_empty()
    }

    /// The secret of the file, or else of the environment.
    pub(crate) fn link_secret(&self) -> anyhow::Result<Option<LinkSecret>> {
        const VARIABLE: &str = "SQUALL_LINK_SECRET";
        let (place, text) = match (&self.link_secret_file, std::env::var(VARIABLE)) {
            (Some(path), _) => {
                let text = std::fs::read_to_string(path);
                let place = path.display().to_string();
                (place.clone(), text.with_context(|| format!("can't read {place}"))?)
            }
            (None, Ok(text)) => (VARIABLE.to_owned(), text),
            (None, Err(_)) => return Ok(None),
        };
        LinkSecret::parse(&text).map(Some).with_context(|| format!("{place} has no link secret"))
    }

    /// Who gets a socket.
    pub(crate) fn admission(&self) -> Admission {
        let sockets_max = self.sockets_max.map_or_else(sockets_allowed, NonZeroUsize::get);
        Admission::new(sockets_max, self.sockets_per_address_max)
    }

    /// How many shards there are.
    pub(crate) fn shards(&self) -> usize {
        let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        self.shards.unwrap_or_else(cores).get()
    }
}

/// The help text and the protocol tell the same defaults.
const _: () = assert!(limits::HEARTBEAT.as_secs() == 25 && limits::HEARTBEAT_TIMEOUT.as_secs() == 10);
const _: () = assert!(limits::HELLO_TIMEOUT.as_secs() == 10);

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_its_defaults_are_the_protocols() {
        Config::command().debug_assert();
        let config = Config::parse_from(["gateway"]);
        assert_eq!(config.heartbeat, limits::HEARTBEAT);
        assert_eq!(config.heartbeat_timeout, limits::HEARTBEAT_TIMEOUT);
        assert_eq!(config.hello_timeout, limits::HELLO_TIMEOUT);
        assert_eq!(config.presence_times().unwrap(), Times::default());
        let among = Config::parse_from(["gateway", "--writer", "http://127.0.0.1:9082"]);
        assert_eq!(among.presence_times().unwrap(), Times::new(TimesConfig::among_nodes()).unwrap());
    }
}
