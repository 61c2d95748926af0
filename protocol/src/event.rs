//! The durable events of a realm's log: facts that every entitled user sees alike.

mod changes;

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};

pub use changes::{
    Flag, MessageDeletion, MessageEdit, MessageFlags, MessageMove, Reaction, ReactionType,
    SubscriptionSetting, TopicPolicy, UserSetting,
};

use crate::audience::Audience;
use crate::ids::{MessageId, SendId, StreamId, UserId};

/// One immutable fact in a realm. Its JSON has the kind in the field `kind`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// Somebody said something.
    Message(Message),
    /// A stream was made; its first members follow in `members_added`.
    StreamCreated {
        /// The new stream.
        stream: Stream,
    },
    /// Users became members of a stream. Never names one who already was.
    MembersAdded {
        /// The stream, whole: a new member of an invite-only stream first learns of it here.
        stream: Stream,
        /// The new members.
        user_ids: Vec<UserId>,
        /// Who added them (a joining user adds itself).
        actor_id: UserId,
    },
    /// Users are members no more. Never names one who was none.
    MembersRemoved {
        /// The stream they left.
        stream_id: StreamId,
        /// The former members.
        user_ids: Vec<UserId>,
        /// Who removed them (a leaving user removes itself).
        actor_id: UserId,
    },
    /// A user was made.
    UserAdded {
        /// The new user.
        user: User,
    },
    /// A user's name, role or standing changed.
    UserUpdated {
        /// The user as it is now.
        user: User,
        /// The user as it was.
        previous: User,
    },
    /// A user's API key was changed: sessions opened with the old one end.
    CredentialChanged {
        /// Whose key.
        user_id: UserId,
    },
    /// A message's text was changed.
    MessageEdited(MessageEdit),
    /// Messages went to another topic.
    MessagesMoved(MessageMove),
    /// Messages were deleted.
    MessagesDeleted(MessageDeletion),
    /// Somebody reacted to a message.
    ReactionAdded(Reaction),
    /// Somebody took a reaction back.
    ReactionRemoved(Reaction),
    /// A user marked messages, for itself.
    FlagsAdded(MessageFlags),
    /// A user took its mark off messages.
    FlagsRemoved(MessageFlags),
    /// A stream's name or description changed.
    StreamUpdated {
        /// The stream as it is now.
        stream: Stream,
        /// The stream as it was.
        previous: Stream,
    },
    /// A user follows, mutes or unmutes a topic, for itself.
    TopicPolicySet(TopicPolicy),
    /// A user set something of a subscription, for itself.
    SubscriptionSet(SubscriptionSetting),
    /// A user set something, for itself.
    SettingSet(UserSetting),
}

/// A message as everybody entitled sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct Message {
    /// Its id, for the HTTP API.
    pub message_id: MessageId,
    /// Who sent it.
    pub sender_id: UserId,
    /// When it was stored: seconds since the Unix epoch.
    pub timestamp: u64,
    /// Where it was sent.
    pub to: Destination,
    /// The text, as it was written (Markdown).
    pub content: String,
    /// The sender's id of this send: a client knows its own echo by it.
    pub send_id: SendId,
}

/// Where a message goes: to a topic of a stream, or to a set of users.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, Encode, Decode)]
#[serde(try_from = "RawDestination", into = "RawDestination")]
pub enum Destination {
    /// `{"stream_id": 7, "topic": "lunch"}`
    Stream {
        /// The stream.
        stream_id: StreamId,
        /// The thread within it.
        topic: String,
    },
    /// `{"user_ids": [3, 5]}`: in an event, sender included, ascending, each once.
    Direct {
        /// The users.
        user_ids: Vec<UserId>,
    },
}

/// A stream as its events and realm state tell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct Stream {
    /// Its id.
    pub stream_id: StreamId,
    /// Its name, unique in the realm.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Whether only members may see it and its messages.
    pub invite_only: bool,
}

/// A user as events and realm state tell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct User {
    /// Its id.
    pub user_id: UserId,
    /// Unique over the realm.
    pub email: String,
    /// The name people see.
    pub full_name: String,
    /// What it may do.
    pub role: Role,
    /// A program: it has no presence.
    pub is_bot: bool,
    /// False once deactivated: it can't connect, but its messages stay.
    pub is_active: bool,
}

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Encode, Decode)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything in the realm.
    Admin,
    /// The ordinary user.
    Member,
    /// Sees only the streams it is a member of.
    Guest,
}

/// The number of an event's kind, for readers that do not know its body. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventKind(pub u16);

impl Event {
    /// The number of this event's kind.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        EventKind(match self {
            Self::Message(_) => 1,
            Self::StreamCreated { .. } => 2,
            Self::MembersAdded { .. } => 3,
            Self::MembersRemoved { .. } => 4,
            Self::UserAdded { .. } => 5,
            Self::UserUpdated { .. } => 6,
            Self::CredentialChanged { .. } => 7,
            Self::MessageEdited(_) => 8,
            Self::MessagesMoved(_) => 9,
            Self::MessagesDeleted(_) => 10,
            Self::ReactionAdded(_) => 11,
            Self::ReactionRemoved(_) => 12,
            Self::FlagsAdded(_) => 13,
            Self::FlagsRemoved(_) => 14,
            Self::StreamUpdated { .. } => 15,
            Self::TopicPolicySet(_) => 16,
            Self::SubscriptionSet(_) => 17,
            Self::SettingSet(_) => 18,
        })
    }

    /// Whether realm state must take this event in before later ones are stamped.
    #[must_use]
    pub fn changes_state(&self) -> bool {
        match self {
            Self::StreamCreated { .. }
            | Self::MembersAdded { .. }
            | Self::MembersRemoved { .. }
            | Self::UserAdded { .. }
            | Self::UserUpdated { .. }
            | Self::CredentialChanged { .. }
            | Self::StreamUpdated { .. } => true,
            Self::Message(_)
            | Self::MessageEdited(_)
            | Self::MessagesMoved(_)
            | Self::MessagesDeleted(_)
            | Self::ReactionAdded(_)
            | Self::ReactionRemoved(_)
            | Self::FlagsAdded(_)
            | Self::FlagsRemoved(_)
            | Self::TopicPolicySet(_)
            | Self::SubscriptionSet(_)
            | Self::SettingSet(_) => false,
        }
    }

    /// Who may see it; of what happens to an earlier message, the writer leaves out those who may not read that
    /// one.
    #[must_use]
    pub fn audience(&self) -> Audience {
        match self {
            Self::Message(message) => message.to.audience(),
            Self::StreamCreated { stream } if stream.invite_only => Audience::members(stream.stream_id),
            Self::StreamCreated { .. } => Audience::regulars(),
            Self::MembersAdded { stream, user_ids, .. } => {
                Audience::members(stream.stream_id).and_users(user_ids.iter().copied())
            }
            Self::MembersRemoved { stream_id, user_ids, .. } => {
                Audience::members(*stream_id).and_users(user_ids.iter().copied())
            }
            Self::UserAdded { .. } | Self::UserUpdated { .. } => Audience::realm(),
            Self::CredentialChanged { user_id } => Audience::users(vec![*user_id]),
            Self::MessageEdited(MessageEdit { to, .. })
            | Self::MessagesDeleted(MessageDeletion { to, .. })
            | Self::ReactionAdded(Reaction { to, .. })
            | Self::ReactionRemoved(Reaction { to, .. }) => to.audience(),
            Self::MessagesMoved(MessageMove { stream_id, .. }) => Audience::members(*stream_id),
            Self::FlagsAdded(MessageFlags { user_id, .. })
            | Self::FlagsRemoved(MessageFlags { user_id, .. })
            | Self::TopicPolicySet(TopicPolicy { user_id, .. })
            | Self::SubscriptionSet(SubscriptionSetting { user_id, .. })
            | Self::SettingSet(UserSetting { user_id, .. }) => Audience::users(vec![*user_id]),
            Self::StreamUpdated { stream, .. } => {
                Audience { regulars: !stream.invite_only, ..Audience::members(stream.stream_id) }
            }
        }
    }
}

impl Destination {
    /// Who sees what is sent there.
    #[must_use]
    pub fn audience(&self) -> Audience {
        match self {
            Self::Stream { stream_id, .. } => Audience::members(*stream_id),
            Self::Direct { user_ids } => Audience::users(user_ids.clone()),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDestination {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stream_id: Option<StreamId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    topic: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user_ids: Option<Vec<UserId>>,
}

impl TryFrom<RawDestination> for Destination {
    type Error = &'static str;

    fn try_from(raw: RawDestination) -> Result<Self, Self::Error> {
        match (raw.stream_id, raw.topic, raw.user_ids) {
            (Some(stream_id), Some(topic), None) => Ok(Self::Stream { stream_id, topic }),
            (None, None, Some(user_ids)) => Ok(Self::Direct { user_ids }),
            _ => Err("`to` has either `stream_id` and `topic`, or `user_ids`"),
        }
    }
}

impl From<Destination> for RawDestination {
    fn from(to: Destination) -> Self {
        match to {
            Destination::Stream { stream_id, topic } => {
                Self { stream_id: Some(stream_id), topic: Some(topic), user_ids: None }
            }
            Destination::Direct { user_ids } => {
                Self { stream_id: None, topic: None, user_ids: Some(user_ids) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_one_thing() {
        let stream: Destination = serde_json::from_str(r#"{"stream_id":7,"topic":"lunch"}"#).unwrap();
        assert_eq!(stream, Destination::Stream { stream_id: StreamId(7), topic: "lunch".into() });
        let direct: Destination = serde_json::from_str(r#"{"user_ids":[3,5]}"#).unwrap();
        assert_eq!(direct, Destination::Direct { user_ids: vec![UserId(3), UserId(5)] });
        for bad in [r#"{"stream_id":7}"#, r#"{"stream_id":7,"topic":"x","user_ids":[1]}"#, "{}", r#"{"x":1}"#]
        {
            assert!(serde_json::from_str::<Destination>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_invite_only_stream_is_announced_to_its_members_only() {
        let stream = Stream {
            stream_id: StreamId(9),
            name: "board".into(),
            description: String::new(),
            invite_only: true,
        };
        assert_eq!(
            Event::StreamCreated { stream: stream.clone() }.audience(),
            Audience::members(StreamId(9))
        );
        let open = Stream { invite_only: false, ..stream };
        assert_eq!(Event::StreamCreated { stream: open }.audience(), Audience::regulars());
    }
}
