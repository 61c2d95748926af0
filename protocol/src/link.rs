//! What a gateway asks of a writer, and what it is told.

use bincode::{Decode, Encode};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::audience::Audience;
use crate::event::{Destination, Event, EventKind, Stream, User};
use crate::ids::{Mark, MessageId, NodeId, RealmId, SendId, Sequence, SessionId, StreamId, UserId};
use crate::json;
use crate::position::Position;

/// One durable event as the log keeps it and the bus carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRecord {
    /// Its place in the log.
    pub sequence: Sequence,
    /// The mark of its commit group.
    pub mark: Mark,
    /// The number of its kind.
    pub kind: EventKind,
    /// Whether realm state must take it in; a node that does not know the kind must then reload.
    pub changes_state: bool,
    /// Who may see it.
    pub audience: Audience,
    /// The event in JSON, as clients of `squall.v1.json` get it.
    pub body: Bytes,
}

impl EventRecord {
    /// `event` at its place in the log.
    #[must_use]
    pub fn new(sequence: Sequence, mark: Mark, event: &Event) -> Self {
        Self::seen_by(event.audience(), sequence, mark, event)
    }

    /// The same, seen by fewer.
    #[must_use]
    pub fn seen_by(audience: Audience, sequence: Sequence, mark: Mark, event: &Event) -> Self {
        Self {
            sequence,
            mark,
            kind: event.kind(),
            changes_state: event.changes_state(),
            audience,
            body: json::encode_event(event),
        }
    }
}

/// One thing a session wants written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct WriteRequest {
    /// The realm of the user.
    pub realm_id: RealmId,
    /// Who wants it.
    pub user_id: UserId,
    /// Writes of one session in one batch are done in order; a retryable refusal refuses the later ones.
    pub session_id: SessionId,
    /// The same id again is the same write again.
    pub send_id: SendId,
    /// What is wanted.
    pub operation: Operation,
}

/// What can be written over a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub enum Operation {
    /// A message.
    Send {
        /// Where to.
        to: Destination,
        /// The text.
        content: String,
    },
    /// New members of a stream; nobody named means the user.
    Subscribe {
        /// Which stream.
        stream_id: StreamId,
        /// Whom.
        user_ids: Vec<UserId>,
    },
    /// Members no more; nobody named means the user.
    Unsubscribe {
        /// Which stream.
        stream_id: StreamId,
        /// Whom.
        user_ids: Vec<UserId>,
    },
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WriteOutcome {
    /// The message is committed (now, or by an earlier send of the same id).
    Sent {
        /// Its id.
        message_id: MessageId,
        /// Its place in the log.
        sequence: Sequence,
    },
    /// The membership change is committed, or held already.
    Done {
        /// The log's head when it held.
        sequence: Sequence,
    },
    /// Nothing was written.
    Refused(Refusal),
}

/// Why nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// For programs.
    pub code: RefusalCode,
    /// For people.
    pub message: String,
    /// Trying again after this many milliseconds may work; without it, never.
    pub retry_after_ms: Option<u32>,
}

impl Refusal {
    /// A refusal that will not change.
    pub fn fatal(code: RefusalCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after_ms: None }
    }

    /// A refusal that may be gone after `retry_after_ms`.
    pub fn retryable(code: RefusalCode, message: impl Into<String>, retry_after_ms: u32) -> Self {
        Self { code, message: message.into(), retry_after_ms: Some(retry_after_ms) }
    }
}

/// Why nothing was written, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Encode, Decode)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// Too many sends in too short a time (retryable).
    RateLimited,
    /// The writer or its database can't be reached (retryable).
    Unavailable,
    /// A send before it in the same batch was refused and can be tried again: so can this one (retryable).
    OutOfOrder,
    /// No such stream, or one the user may not know of.
    UnknownStream,
    /// No such user in this realm, or one who was deactivated.
    UnknownUser,
    /// The user may not do that there.
    Forbidden,
    /// The content is empty, has a NUL character, or is too long; or the topic is.
    InvalidContent,
    /// The send id was used by this user for something else.
    SendIdReused,
    /// Too many users named at once.
    TooMany,
}

/// Whose token it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The user's realm.
    pub realm_id: RealmId,
    /// The user.
    pub user_id: UserId,
    /// Holds only if the user's last credential change is not later than this.
    pub as_of: Position,
}

/// One page of a realm's state. Pages may stand at different positions; a reader takes the greatest as
/// its own and replays the log from the least up to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RealmPage {
    /// What the page is true of.
    pub as_of: Position,
    /// Users, ascending.
    pub users: Vec<UserRow>,
    /// Streams, ascending.
    pub streams: Vec<Stream>,
    /// Members of streams, ascending.
    pub members: Vec<(StreamId, UserId)>,
    /// Where the next page starts; none after the last.
    pub next: Option<PageCursor>,
}

/// A user with what only servers need to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRow {
    /// The user.
    pub user: User,
    /// The sequence of its last credential change; 0 if there was none.
    pub credential_changed: Sequence,
    /// When it was last heard of: seconds since the Unix epoch.
    pub last_heard_s: Option<u64>,
}

/// Where a page of realm state starts: opaque to the reader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageCursor(pub String);

/// A part of a realm's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRange {
    /// The log's head when it was read.
    pub head: Position,
    /// The sequence before the oldest event that is still kept: nothing at or before it can be read.
    pub floor: Sequence,
    /// The mark of the event that the range goes on from, if it is kept (0 for sequence 0).
    pub after_mark: Option<Mark>,
    /// Events after the asked sequence, dense and ascending, at most `LOG_RANGE_EVENTS_MAX`.
    pub records: Vec<EventRecord>,
    /// State-changing events after the range, up to `head`, ascending: by undoing them a reader rewinds its
    /// realm state to the range.
    pub changes: Vec<EventRecord>,
}

/// A node's sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeLease {
    /// Whose.
    pub node_id: NodeId,
    /// Up to when it was surely alive: milliseconds since the Unix epoch, bus time.
    pub as_of_ms: u64,
}

/// What a read of heads brings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heads {
    /// The heads of those of the asked realms that exist, ascending.
    pub heads: Vec<(RealmId, Position)>,
    /// All nodes heard of lately, ascending; none if the asker brought no lease of its own.
    pub leases: Vec<NodeLease>,
    /// The writer's clock: milliseconds since the Unix epoch.
    pub time_ms: u64,
}

/// A user last heard of at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastHeard {
    /// Who.
    pub user_id: UserId,
    /// Seconds since the Unix epoch.
    pub last_heard_s: u64,
}

/// A client's wish for an event queue, as it came.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterCall {
    /// Who it says it is.
    pub email: String,
    /// Its key: never in a log.
    pub key: String,
    /// The request's parameters by name.
    pub params: Vec<(String, String)>,
}

impl std::fmt::Debug for RegisterCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RegisterCall({})", self.email)
    }
}

/// The answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterReply {
    /// HTTP's.
    pub status: u16,
    /// Headers by name.
    pub headers: Vec<(String, String)>,
    /// A JSON object.
    pub body: Bytes,
    /// Set if the gateway must add everybody's presence, which only it knows.
    pub presence: Option<PresenceWanted>,
}

/// In which form presence is wanted, and by whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceWanted {
    /// Who wants it.
    pub identity: Identity,
    /// Keyed by user, in the modern form.
    pub slim: bool,
    /// Not of users last heard of before this many days; 0: of nobody.
    pub days: u32,
}

/// Why the writer gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It can't be reached, or its database can't; try again later.
    #[error("writer unavailable: {0}")]
    Unavailable(String),
    /// There is no such realm.
    #[error("no realm {0}")]
    UnknownRealm(RealmId),
}
