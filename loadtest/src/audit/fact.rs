//! What the audit keeps of an event: who may see it, and enough to tell it from any other.

use std::fmt;

use serde::{Deserialize, Serialize};
use squall_protocol::event::Role;
use squall_protocol::{
    Codec, Destination, Event, Mark, MessageId, SendId, Sequence, ServerMessage, StreamId, UserId,
};

/// An event of a realm's log, as the audit knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Its place.
    pub sequence: Sequence,
    /// The mark told with it.
    pub mark: Mark,
    /// A digest of all that it says: two that differ are two events.
    pub digest: u64,
    /// Who may see it, and what it changes in who may see others.
    pub reach: Reach,
    /// What it is, if it is a message.
    pub message: Option<MessageFact>,
    /// When a client first saw it: milliseconds since the run began.
    pub at_ms: u64,
}

/// Who may see an event (SPEC.md, section 2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reach {
    /// The members of a stream.
    Stream(StreamId),
    /// These users.
    Users(Vec<UserId>),
    /// All but guests: a stream was made.
    Regulars,
    /// Nobody: an invite-only stream was made.
    Nobody,
    /// The members after the change, the new ones among them.
    Added(StreamId, Vec<UserId>),
    /// The members, and the former ones named.
    Removed(StreamId, Vec<UserId>),
    /// The realm; the user has this role from now on.
    User(UserId, Role),
}

/// What acknowledgements are held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageFact {
    /// Its id.
    pub message_id: MessageId,
    /// Who sent it.
    pub sender_id: UserId,
    /// A digest of the sender's id of it.
    pub send_digest: u64,
}

impl Fact {
    /// What is to be kept of `event`.
    #[must_use]
    pub fn new(sequence: Sequence, mark: Mark, event: &Event, at_ms: u64) -> Self {
        let whole = ServerMessage::Event { sequence, mark, event: event.clone() };
        let digest = digest(&Codec::Bincode.encode_server(&whole));
        Self { sequence, mark, digest, reach: Reach::of(event), message: MessageFact::of(event), at_ms }
    }

    /// What its list of users takes beside it.
    pub(super) fn list_bytes(&self) -> usize {
        match &self.reach {
            Reach::Users(users) | Reach::Added(_, users) | Reach::Removed(_, users) => users.capacity() * 4,
            Reach::Stream(_) | Reach::Regulars | Reach::Nobody | Reach::User(..) => 0,
        }
    }
}

impl Reach {
    fn of(event: &Event) -> Self {
        match event {
            Event::Message(message) => match &message.to {
                Destination::Stream { stream_id, .. } => Self::Stream(*stream_id),
                Destination::Direct { user_ids } => Self::Users(user_ids.clone()),
            },
            Event::StreamCreated { stream } if stream.invite_only => Self::Nobody,
            Event::StreamCreated { .. } => Self::Regulars,
            Event::MembersAdded { stream, user_ids, .. } => Self::Added(stream.stream_id, user_ids.clone()),
            Event::MembersRemoved { stream_id, user_ids, .. } => Self::Removed(*stream_id, user_ids.clone()),
            Event::UserAdded { user } | Event::UserUpdated { user, .. } => {
                Self::User(user.user_id, user.role)
            }
            Event::CredentialChanged { user_id } => Self::Users(vec![*user_id]),
        }
    }
}

impl MessageFact {
    fn of(event: &Event) -> Option<Self> {
        let Event::Message(message) = event else { return None };
        Some(Self {
            message_id: message.message_id,
            sender_id: message.sender_id,
            send_digest: send_digest(&message.send_id),
        })
    }
}

/// What an event is, for people.
impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.message, &self.reach) {
            (Some(message), Reach::Stream(stream)) => {
                write!(f, "message {} of user {} to stream {stream}", message.message_id, message.sender_id)
            }
            (Some(message), _) => {
                write!(f, "direct message {} of user {}", message.message_id, message.sender_id)
            }
            (None, Reach::Added(stream, users)) => {
                write!(f, "{} users added to stream {stream}", users.len())
            }
            (None, Reach::Removed(stream, users)) => {
                write!(f, "{} users removed from stream {stream}", users.len())
            }
            (None, Reach::User(user, _)) => write!(f, "user {user} was added or changed"),
            (None, Reach::Regulars | Reach::Nobody) => f.write_str("a stream was made"),
            (None, Reach::Users(_) | Reach::Stream(_)) => f.write_str("a credential was changed"),
        }
    }
}

/// The same for the same id, in every process.
pub(super) fn send_digest(send_id: &SendId) -> u64 {
    digest(send_id.as_str().as_bytes())
}

/// FNV-1a with a last stirring: the same in every process and build.
fn digest(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
    });
    (hash ^ (hash >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
