//! What a client says to a gateway.

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::event::Destination;
use crate::ids::{SendId, StreamId, UserId};
use crate::position::Position;

/// One message from a client; its JSON has the kind in the field `type`. SPEC.md has examples of each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ClientMessage {
    /// The first message of every connection: who this is and from where to go on.
    Hello(Hello),
    /// Store and deliver a message. Answered by `sent` or `refused`.
    Send {
        /// The same id again is the same send again.
        send_id: SendId,
        /// Where to.
        to: Destination,
        /// The text (Markdown).
        content: String,
    },
    /// Join a stream, or add others to it. Answered by `done` or `refused`.
    Subscribe {
        /// Names this request in its answer.
        send_id: SendId,
        /// Which stream.
        stream_id: StreamId,
        /// Whom; nobody named means oneself.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        user_ids: Vec<UserId>,
    },
    /// Leave a stream, or (administrators) remove others. Answered by `done` or `refused`.
    Unsubscribe {
        /// Names this request in its answer.
        send_id: SendId,
        /// Which stream.
        stream_id: StreamId,
        /// Whom; nobody named means oneself.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        user_ids: Vec<UserId>,
    },
    /// This user is writing there, or stopped. Not answered; dropped where not allowed.
    Typing {
        /// Started or stopped.
        op: TypingOp,
        /// Where.
        to: Destination,
    },
    /// This device's user is there, or away from it.
    Presence {
        /// What it is from now on.
        status: Status,
    },
    /// Asks for a presence snapshot: a diff did not follow on the last one.
    PresenceRequest {},
    /// Asks for a `pong`.
    Ping {},
    /// Answers a `ping`.
    Pong {
        /// Whether the user did something since the last one; renews `active`.
        active: bool,
    },
}

/// Who a client is and from where it goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// The user's API key.
    pub token: String,
    /// The last position this client knows; without it, it starts at the head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// This device's user at the start.
    #[serde(default)]
    pub presence: Status,
    /// Whose presence to tell.
    #[serde(default)]
    pub scope: Scope,
}

/// What a device says of its user.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, Encode, Decode,
)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Connected only.
    Idle,
    /// Interacted lately.
    #[default]
    Active,
}

/// Whose presence a session is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, Encode, Decode)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everybody in the realm.
    #[default]
    Realm,
    /// Nobody.
    None,
}

/// Started or stopped typing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Encode, Decode)]
#[serde(rename_all = "snake_case")]
pub enum TypingOp {
    /// Is writing; holds until `stop` or 15 s without another `start`.
    Start,
    /// Stopped.
    Stop,
}
