//! What a gateway says to a client.

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::client_message::TypingOp;
use crate::event::{Destination, Event};
use crate::ids::{Mark, MessageId, RealmId, SendId, Sequence, SessionId, UserId};
use crate::link::RefusalCode;
use crate::position::Position;

/// One message from a gateway; its JSON has the kind in the field `type`. SPEC.md has examples of each.
///
/// A client skips kinds and fields it does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
    /// The answer to `hello`: the session is open.
    Welcome(Box<Welcome>),
    /// The next event this client may see.
    Event {
        /// Its place in the realm's log. Others' events lie between: sequences seen are sparse.
        sequence: Sequence,
        /// The mark to remember with the sequence.
        mark: Mark,
        /// What happened.
        event: Event,
    },
    /// Nothing this client may see lies between its position and this one: remember this one.
    Position(Position),
    /// The client's position can't be continued: fetch state, then go on from `position`.
    Reset {
        /// Why.
        reason: ResetReason,
        /// Events after it follow.
        position: Position,
        /// Wait this long before fetching, in milliseconds, so that a herd spreads.
        after_ms: u32,
    },
    /// A send is stored (and was, if it was sent before).
    Sent {
        /// Which.
        send_id: SendId,
        /// The message's id.
        message_id: MessageId,
        /// The message's place in the log.
        sequence: Sequence,
    },
    /// A membership change is stored, or was not needed.
    Done {
        /// Which.
        send_id: SendId,
        /// The log's head when it held.
        sequence: Sequence,
    },
    /// A send or membership change was not done.
    Refused {
        /// Which.
        send_id: SendId,
        /// Why, for programs.
        code: RefusalCode,
        /// Why, for people.
        message: String,
        /// Try again with the same id after this long, in milliseconds; without it, never.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u32>,
    },
    /// Everybody's presence.
    PresenceSnapshot(PresenceSnapshot),
    /// What changed in presence.
    Presence(PresenceDiff),
    /// Somebody is typing, or stopped.
    Typing {
        /// Started or stopped.
        op: TypingOp,
        /// Who.
        sender_id: UserId,
        /// Where.
        to: Destination,
    },
    /// Answer with `pong`.
    Ping {
        /// The server's clock: milliseconds since the Unix epoch.
        time_ms: u64,
    },
    /// The answer to the client's `ping`.
    Pong {
        /// The server's clock: milliseconds since the Unix epoch.
        time_ms: u64,
    },
    /// This node is going: reconnect after the delay, which is this client's own, and resume.
    Goaway {
        /// Milliseconds.
        after_ms: u32,
    },
    /// Something in the last message was wrong; a close frame follows if it is grave.
    Error {
        /// Why, for programs.
        code: ErrorCode,
        /// Why, for people.
        message: String,
    },
}

/// The terms of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct Welcome {
    /// This session, for logs.
    pub session_id: SessionId,
    /// The user's realm.
    pub realm_id: RealmId,
    /// Who the token said this is.
    pub user_id: UserId,
    /// Events after it follow: the client's own position, or the head if it named none.
    pub position: Position,
    /// The base address of the HTTP API.
    pub api: String,
    /// The server's clock: milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// The server pings this often.
    pub heartbeat_ms: u32,
    /// A side that hears nothing for `heartbeat_ms` + `timeout_ms` gives the connection up.
    pub timeout_ms: u32,
    /// A position at most this old can be resumed.
    pub resume_window_s: u32,
    /// How late a claim of presence can be.
    pub presence_error_max_ms: u32,
    /// The longest message from a client.
    pub frame_bytes_max: u32,
    /// The longest content of a send, in characters.
    pub content_chars_max: u32,
    /// Sends that may wait for their answer.
    pub sends_in_flight_max: u32,
}

/// Everybody's presence at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceSnapshot {
    /// When: milliseconds since the Unix epoch.
    pub as_of_ms: u64,
    /// The change number it stands at.
    pub change: u64,
    /// Interacting, last heard at `as_of_ms`.
    pub active: Vec<UserId>,
    /// Connected only, last heard at `as_of_ms`.
    pub idle: Vec<UserId>,
    /// Not connected: when last heard, in seconds since the Unix epoch.
    pub offline: Vec<(UserId, u64)>,
}

/// What changed in presence between two change numbers. Whoever is not named is as before; everybody
/// in the active or idle set, named or not, was heard at `as_of_ms`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceDiff {
    /// When: milliseconds since the Unix epoch.
    pub as_of_ms: u64,
    /// The change number it follows on.
    pub from: u64,
    /// The change number it leads to.
    pub to: u64,
    /// Now interacting.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub active: Vec<UserId>,
    /// Now connected only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub idle: Vec<UserId>,
    /// Now gone: when last heard, in seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offline: Vec<(UserId, u64)>,
}

/// Why a position can't be continued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Encode, Decode)]
#[serde(rename_all = "snake_case")]
pub enum ResetReason {
    /// Older than the log reaches.
    Expired,
    /// The log was set back since, or the position is of another log.
    Epoch,
    /// Ahead of the log's head.
    Future,
}

/// What was wrong with a client's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Encode, Decode)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// Not in the codec, of an unknown kind, or with a bad field.
    Malformed,
    /// The first message was no `hello`, or a later one was.
    Hello,
    /// The token is unknown or was withdrawn.
    Unauthorized,
    /// More sessions than one user may have.
    SessionsMax,
    /// More sends waiting for their answer than `sends_in_flight_max`.
    SendsInFlight,
    /// The node can't serve this session now.
    Unavailable,
}
