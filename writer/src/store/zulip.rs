//! What Zulip's clients need of a database beyond messages and who sees them.

use squall_bus::BoxFuture;
use squall_protocol::event::{ReactionType, User};
use squall_protocol::{MessageId, RealmId, StreamId, UserId};
use squall_zulip::names::KnownNames;

use super::{HistoryPage, NameQuery, Stamped, StoreError, StreamView};

/// That part of a database; reads are as [`super::Store`]'s.
pub(crate) trait ZulipStore {
    /// What signs the ids of event queues: made by whoever asks first, then always the same.
    fn queue_secret(&self) -> BoxFuture<'_, Result<[u8; 32], StoreError>>;

    /// What a client starts from, in one snapshot; members of streams `with_members`.
    fn registration(
        &self,
        realm_id: RealmId,
        viewer: UserId,
        with_members: bool,
    ) -> BoxFuture<'_, Result<Stamped<Registration>, StoreError>>;

    /// One message, if the viewer may read it: the page has it, or nothing.
    fn message(
        &self,
        realm_id: RealmId,
        viewer: UserId,
        message_id: MessageId,
    ) -> BoxFuture<'_, Result<Stamped<HistoryPage>, StoreError>>;

    /// What became of a message, the oldest first; none if the viewer may not read it.
    fn edits(
        &self,
        realm_id: RealmId,
        viewer: UserId,
        message_id: MessageId,
    ) -> BoxFuture<'_, Result<Vec<EditedMessage>, StoreError>>;

    /// The names asked for that there are.
    fn names(&self, realm_id: RealmId, query: NameQuery) -> BoxFuture<'_, Result<KnownNames, StoreError>>;

    /// The settings of a user's subscriptions: stream, name, value as JSON.
    fn subscription_settings(
        &self,
        user_id: UserId,
    ) -> BoxFuture<'_, Result<Vec<(StreamId, String, String)>, StoreError>>;

    /// All up to `floor` is read, but for what was marked unread; a floor never goes down.
    fn raise_floor(&self, user_id: UserId, floor: MessageId) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// What a client starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Registration {
    pub(crate) realm_name: String,
    /// All of the realm, ascending.
    pub(crate) users: Vec<User>,
    /// Those that the viewer may know of, ascending.
    pub(crate) streams: Vec<StreamView>,
    /// The newest message that the viewer received.
    pub(crate) max_message_id: Option<MessageId>,
    pub(crate) own: Own,
}

/// What is a user's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Own {
    /// The newest first; at most `UNREAD_MAX`.
    pub(crate) unread: Vec<UnreadMessage>,
    /// Ascending.
    pub(crate) starred: Vec<MessageId>,
    /// Stream, topic, policy, since when.
    pub(crate) topic_policies: Vec<(StreamId, String, u32, u64)>,
    /// Stream, name, value as JSON.
    pub(crate) subscriptions: Vec<(StreamId, String, String)>,
    /// Name, value as JSON.
    pub(crate) settings: Vec<(String, String)>,
}

/// A message that a user has not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnreadMessage {
    pub(crate) message_id: MessageId,
    pub(crate) sender_id: UserId,
    pub(crate) place: UnreadPlace,
    /// It mentions the user.
    pub(crate) mentioned: bool,
}

/// Where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum UnreadPlace {
    Topic(StreamId, String),
    /// All users of the conversation, ascending.
    Direct(Vec<UserId>),
}

/// What the viewer's own is of a message, and what others made of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Extras {
    pub(crate) read: bool,
    pub(crate) starred: bool,
    /// When its text last changed.
    pub(crate) edited_s: Option<u64>,
    pub(crate) reactions: Vec<MessageReaction>,
}

/// A reaction to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MessageReaction {
    pub(crate) user_id: UserId,
    pub(crate) emoji_name: String,
    pub(crate) emoji_code: String,
    pub(crate) reaction_type: ReactionType,
}

/// A change of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EditedMessage {
    pub(crate) actor_id: UserId,
    pub(crate) edited_s: u64,
    /// Its text before, if that changed.
    pub(crate) content_before: Option<String>,
    /// Its topic before, if that changed.
    pub(crate) topic_before: Option<String>,
}
