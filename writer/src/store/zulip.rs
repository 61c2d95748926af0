//! What Zulip's clients need of a database beyond messages and who sees them.

use squall_bus::BoxFuture;
use squall_protocol::event::User;
use squall_protocol::{MessageId, RealmId, UserId};

use super::{Stamped, StoreError, StreamView};

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
}
