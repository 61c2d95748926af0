//! What can be done to a message that is there.

use squall_protocol::event::ReactionType;
use squall_protocol::{MessageId, UserId};

/// One of it.
#[derive(Debug, Clone)]
pub(crate) enum OnMessage {
    /// Another text, another topic, or both.
    Edit(Edit),
    /// Away with it.
    Delete { actor_id: UserId, message_id: MessageId },
    /// A reaction, put on or taken back.
    React { user_id: UserId, message_id: MessageId, emoji: Emoji, add: bool },
}

/// What is to be different about a message; `None` stays.
#[derive(Debug, Clone)]
pub(crate) struct Edit {
    pub(crate) actor_id: UserId,
    pub(crate) message_id: MessageId,
    pub(crate) content: Option<String>,
    pub(crate) topic: Option<String>,
    /// Which messages of its topic go along to another.
    pub(crate) mode: MoveMode,
}

/// Which messages of a topic move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum MoveMode {
    /// Only the one named.
    One,
    /// That one and those after it.
    Later,
    /// All of the topic.
    All,
}

/// A reaction's emoji, checked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Emoji {
    pub(crate) name: String,
    pub(crate) code: String,
    pub(crate) kind: ReactionType,
}

impl OnMessage {
    /// Which message it is about, and who asks.
    pub(crate) fn about(&self) -> (UserId, MessageId) {
        match self {
            Self::Edit(Edit { actor_id, message_id, .. }) | Self::Delete { actor_id, message_id } => {
                (*actor_id, *message_id)
            }
            Self::React { user_id, message_id, .. } => (*user_id, *message_id),
        }
    }
}
