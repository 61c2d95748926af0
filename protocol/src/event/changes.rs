//! What happens to messages after they were sent, and what is one user's own.

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::Destination;
use crate::ids::{MessageId, StreamId, UserId};

/// A message's text was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct MessageEdit {
    /// Which message.
    pub message_id: MessageId,
    /// Who changed it.
    pub actor_id: UserId,
    /// When: seconds since the Unix epoch.
    pub timestamp: u64,
    /// Where the message is.
    pub to: Destination,
    /// Its text now (Markdown).
    pub content: String,
}

/// Messages of one topic went to another one of the same stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct MessageMove {
    /// Which messages, ascending.
    pub message_ids: Vec<MessageId>,
    /// Who moved them.
    pub actor_id: UserId,
    /// When: seconds since the Unix epoch.
    pub timestamp: u64,
    /// In which stream.
    pub stream_id: StreamId,
    /// The topic they were in.
    pub topic_before: String,
    /// The topic they are in.
    pub topic: String,
}

/// Messages were deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct MessageDeletion {
    /// Which messages, ascending.
    pub message_ids: Vec<MessageId>,
    /// Who deleted them.
    pub actor_id: UserId,
    /// Where they were.
    pub to: Destination,
}

/// What somebody thinks of a message, in one emoji.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct Reaction {
    /// Of which message.
    pub message_id: MessageId,
    /// Who.
    pub user_id: UserId,
    /// What people call the emoji.
    pub emoji_name: String,
    /// Its code points in hexadecimal, with `-` between; of other kinds than Unicode's: its id.
    pub emoji_code: String,
    /// Whose emoji it is.
    pub reaction_type: ReactionType,
    /// Where the message is.
    pub to: Destination,
}

/// Whose emoji it is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode,
)]
#[serde(rename_all = "snake_case")]
pub enum ReactionType {
    /// Unicode's.
    UnicodeEmoji,
    /// The realm's own.
    RealmEmoji,
    /// Zulip's.
    ZulipExtraEmoji,
}

/// A user's own flag on messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct MessageFlags {
    /// Whose.
    pub user_id: UserId,
    /// Which flag.
    pub flag: Flag,
    /// On which messages, ascending.
    pub message_ids: Vec<MessageId>,
}

/// What a user may mark messages with, for itself alone.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode,
)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// It has read them.
    Read,
    /// It wants to find them again.
    Starred,
}

/// What a user thinks of a topic, for itself alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct TopicPolicy {
    /// Whose.
    pub user_id: UserId,
    /// In which stream.
    pub stream_id: StreamId,
    /// Which topic.
    pub topic: String,
    /// Zulip's numbers: 0 as the stream, 1 muted, 2 unmuted, 3 followed.
    pub policy: u32,
    /// When: seconds since the Unix epoch.
    pub timestamp: u64,
}

/// A user's own setting of a subscription, for itself alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct SubscriptionSetting {
    /// Whose.
    pub user_id: UserId,
    /// Of which stream.
    pub stream_id: StreamId,
    /// Which setting, by Zulip's name.
    pub name: String,
    /// Its value, as JSON.
    pub value: String,
}

/// A user's own setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct UserSetting {
    /// Whose.
    pub user_id: UserId,
    /// Which setting, by Zulip's name.
    pub name: String,
    /// Its value, as JSON.
    pub value: String,
}
