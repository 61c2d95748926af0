//! What a run does: its [`Scenario`], from a TOML file and flags over it, checked before anything starts.

mod check;
mod file;
mod flags;
#[cfg(test)]
mod reference;
pub mod section;
mod sections;
mod shipped;
mod target;
mod units;
mod words;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use check::{Conflict, PAYLOAD_BYTES_MIN, SOCKETS_MAX, WORKERS_MAX};
pub use file::FileError;
pub use flags::{FlagError, ScenarioFlags};
pub use section::Field;
pub use sections::{
    Clients, ClientsFlags, Disturbance, DisturbanceFlags, Presence, PresenceFlags, Realms, RealmsFlags, Run,
    RunFlags, Server, ServerFlags, Traffic, TrafficFlags,
};
pub use shipped::{SHIPPED, Shipped};
pub use target::{Address, AddressError, SOURCES_MAX, Sources, SourcesError, Target};
pub use units::{Form, Rate, Share, Size, Span, UnitError};
pub use words::{Arrivals, PresenceScope, UsersFile, WordError};

/// A run, wholly described.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name, in results and reports.
    pub name: String,
    /// What it is mainly about; its fields say what happens.
    pub kind: Kind,
    /// What it shows, in a sentence or two. Default: nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// What all chance of the run comes from. Default: a new one each time, which the report names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u32>,
    /// What is put under load. Default: a gateway on this machine as it listens without flags.
    #[serde(default = "one_target")]
    pub targets: Vec<Target>,
    /// What is made in each target before the run.
    #[serde(default)]
    pub realms: Realms,
    /// The client sockets.
    #[serde(default)]
    pub clients: Clients,
    /// What they write.
    #[serde(default)]
    pub traffic: Traffic,
    /// What goes wrong on purpose.
    #[serde(default)]
    pub disturbance: Disturbance,
    /// How the users come and go.
    #[serde(default)]
    pub presence: Presence,
    /// How the servers are set.
    #[serde(default)]
    pub server: Server,
    /// How the run is watched and ended.
    #[serde(default)]
    pub run: Run,
}

/// What a scenario is mainly about. A run does what its fields say, whatever its kind; the kind says which of
/// them may not be nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Many sockets are opened and held.
    Connect,
    /// Few senders, many readers of each message.
    Fanout,
    /// Realms, streams, topics; everybody reads and writes.
    Chat,
    /// Connections are cut at random and resume.
    Resume,
    /// All are cut and come back at once.
    Herd,
    /// Some readers stall.
    Slow,
    /// Users turn idle and active, flap, storm.
    Presence,
    /// Everything a little, for hours, with memberships that change.
    Soak,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Connect,
        Self::Fanout,
        Self::Chat,
        Self::Resume,
        Self::Herd,
        Self::Slow,
        Self::Presence,
        Self::Soak,
    ];

    /// Its name in files and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Fanout => "fanout",
            Self::Chat => "chat",
            Self::Resume => "resume",
            Self::Herd => "herd",
            Self::Slow => "slow",
            Self::Presence => "presence",
            Self::Soak => "soak",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Scenario {
    /// A scenario of all defaults.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: Kind) -> Self {
        Self {
            name: name.into(),
            kind,
            about: String::new(),
            seed: None,
            targets: one_target(),
            realms: Realms::default(),
            clients: Clients::default(),
            traffic: Traffic::default(),
            disturbance: Disturbance::default(),
            presence: Presence::default(),
            server: Server::default(),
            run: Run::default(),
        }
    }

    /// What is known of the fields of all sections.
    pub fn fields() -> impl Iterator<Item = &'static Field> {
        [
            Realms::FIELDS,
            Clients::FIELDS,
            Traffic::FIELDS,
            Disturbance::FIELDS,
            Presence::FIELDS,
            Server::FIELDS,
            Run::FIELDS,
        ]
        .into_iter()
        .flatten()
    }

    /// Realms over all targets.
    #[must_use]
    pub fn realm_count(&self) -> u64 {
        self.targets.len() as u64 * u64::from(self.realms.realms_per_target)
    }

    /// Users over all realms.
    #[must_use]
    pub fn user_count(&self) -> u64 {
        self.realm_count() * u64::from(self.realms.users_per_realm)
    }

    /// Sockets that send.
    #[must_use]
    pub fn sender_count(&self) -> u64 {
        self.traffic.senders.of(u64::from(self.clients.sockets))
    }
}

fn one_target() -> Vec<Target> {
    vec![Target::default()]
}
