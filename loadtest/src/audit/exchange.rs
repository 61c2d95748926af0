//! What workers and the coordinator tell each other.

use serde::{Deserialize, Serialize};
use squall_protocol::{MessageId, Sequence, UserId};

use super::RealmKey;
use super::fact::Fact;

/// What a worker learned since it last told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// One for each realm that it has clients in.
    pub realms: Vec<RealmFacts>,
}

/// A worker's news of one realm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RealmFacts {
    /// Which realm.
    pub key: RealmKey,
    /// Events that it did not know before.
    pub learned: Vec<Fact>,
    /// Sends that were acknowledged.
    pub acks: Vec<Ack>,
    /// All of its clients have passed this place; none: it has none that could be behind; the greatest number:
    /// it closed.
    pub passed: Option<u64>,
}

/// An acknowledged send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The place that the answer named.
    pub sequence: Sequence,
    /// The id that the answer named.
    pub message_id: MessageId,
    /// Who sent it.
    pub user_id: UserId,
    /// A digest of the id that it was sent with.
    pub send_digest: u64,
    /// Whether the client that got the answer has passed the place in one go from before it, so that it is
    /// bound to have seen the event.
    pub is_owed: bool,
    /// When the answer came: milliseconds since the run began.
    pub at_ms: u64,
}

/// What all workers together know, for each of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// One for each realm with news.
    pub realms: Vec<RealmUpdate>,
}

/// The news of one realm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RealmUpdate {
    /// Which realm.
    pub key: RealmKey,
    /// Events that some worker learned.
    pub facts: Vec<Fact>,
    /// All clients had passed this place a round ago, and all events up to it that any of them saw are told.
    pub horizon: Sequence,
}
