//! What one worker is to do, wholly described: made by the coordinator, the same for the same seed.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use squall_protocol::client_message::Scope;
use squall_protocol::event::Role;
use squall_protocol::{Codec, Position, RealmId, StreamId, UserId};

use super::content::Tag;
use crate::audit::{RealmKey, RealmSetup};
use crate::moment::Moment;

/// One worker's part of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// Which worker this is, from 0.
    pub worker: u16,
    /// How many there are.
    pub workers: u16,
    /// What all of its chance comes from.
    pub seed: u64,
    /// What names the run's messages.
    pub tag: Tag,
    /// When the run began: the audit's times count from here.
    pub began: Moment,
    /// Where to connect.
    pub targets: Vec<TargetPlan>,
    /// All realms of the run.
    pub realms: Vec<RealmPlan>,
    /// The users of this worker's clients.
    pub users: Vec<UserPlan>,
    /// This worker's clients.
    pub clients: Vec<ClientPlan>,
    /// Sockets this worker opens in a second while the load rises.
    pub ramp_per_s: f64,
    /// Whose presence the clients ask for.
    pub scope: Scope,
    /// Bytes of a message's content.
    pub payload_bytes: usize,
    /// Topics in each stream.
    pub topics: u32,
    /// How long a client may be away and still resume.
    pub resume_window: Duration,
    /// What happens while the load is held.
    pub load: Load,
}

/// One server, or one cluster.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TargetPlan {
    /// Each is as good as the others.
    pub addresses: Vec<SocketAddr>,
    /// Where sockets to it come from; empty: the kernel's choice.
    pub sources: Vec<IpAddr>,
}

/// A realm as it was when the run began.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RealmPlan {
    /// The index of its target.
    pub target: u16,
    /// Its id there.
    pub realm_id: RealmId,
    /// The head of its log, as of which its streams and members are told.
    pub head: Position,
    /// Its users.
    pub users: Vec<UserId>,
    /// Those of them who see only their streams.
    pub guests: Vec<UserId>,
    /// Its streams.
    pub streams: Vec<StreamPlan>,
}

/// A stream as it was when the run began.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StreamPlan {
    /// Its id.
    pub stream_id: StreamId,
    /// Whether only members may see it.
    pub invite_only: bool,
    /// Its members. The first never leaves: by it the history is read, and others are brought back.
    pub members: Vec<UserId>,
}

/// A user of this worker's clients.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UserPlan {
    /// The index of its realm.
    pub realm: u16,
    /// Its id.
    pub user_id: UserId,
    /// Its API key.
    pub key: Box<str>,
    /// Whether it may see only its streams, and add nobody.
    pub is_guest: bool,
    /// The streams it is a member of, by their index in the realm.
    pub streams: Vec<u16>,
}

/// A client: a user's socket.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct ClientPlan {
    /// The index of its user among this worker's.
    pub user: u32,
    /// Its number among all clients of the run.
    pub number: u32,
    /// Whether it speaks `squall.v1.json`; else `squall.v1.bincode`.
    pub is_json: bool,
    /// Whether it sends.
    pub sends: bool,
    /// Whether it stops reading now and then.
    pub is_slow: bool,
}

impl RealmPlan {
    /// It as the audit knows it.
    #[must_use]
    pub fn setup(&self) -> RealmSetup {
        let role = |user: &UserId| if self.guests.contains(user) { Role::Guest } else { Role::Member };
        let users = self.users.iter().map(|user| (*user, role(user)));
        let streams = self.streams.iter().map(|stream| (stream.stream_id, stream.members.clone()));
        let key = RealmKey { target: self.target, realm_id: self.realm_id };
        RealmSetup { key, head: self.head, users: users.collect(), streams: streams.collect() }
    }
}

impl ClientPlan {
    /// What it speaks.
    pub(crate) fn codec(self) -> Codec {
        if self.is_json { Codec::Json } else { Codec::Bincode }
    }
}

/// What happens while the load is held: rates are of this worker alone.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Load {
    /// Messages in a second.
    pub sends_per_s: f64,
    /// Whether sends come evenly; else independently of each other.
    pub is_even: bool,
    /// Share of the messages that go to users instead of a stream.
    pub direct: f64,
    /// Share of the messages that are sent a second time.
    pub resend: f64,
    /// Membership changes in a second.
    pub churn_per_s: f64,
    /// Typing notices in a second.
    pub typing_per_s: f64,
    /// Connections cut in a second.
    pub kills_per_s: f64,
    /// The longest time that a cut one stays away.
    pub away: Duration,
    /// Share of the returns that name a forged position.
    pub forged: f64,
    /// From one herd to the next; zero: none.
    pub herd_every: Duration,
    /// Share of the clients that a herd takes.
    pub herd_size: f64,
    /// The time over which it comes back.
    pub herd_within: Duration,
    /// How long a slow client does not read.
    pub stall: Duration,
    /// From one of its stalls to the next.
    pub stall_every: Duration,
    /// Changes of status in a second.
    pub statuses_per_s: f64,
    /// Connections dropped and opened again at once, in a second.
    pub flaps_per_s: f64,
    /// From one storm of changes of status to the next; zero: none.
    pub storm_every: Duration,
}
