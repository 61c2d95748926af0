//! The writer as a gateway sees it: the same in one process and across a network.

use squall_bus::BoxFuture;
use squall_protocol::link::{
    Identity, LastHeard, LinkError, LogRange, PageCursor, RealmPage, RegisterCall, RegisterReply,
    WriteOutcome, WriteRequest,
};
use squall_protocol::{Position, RealmId, Sequence};

/// What a gateway asks of a writer. Every call may be slow; none is made on a shard's data path.
pub(crate) trait WriterLink: Send + Sync + 'static {
    /// Whose token it is; none if it is nobody's.
    fn identify(&self, token: String) -> BoxFuture<'static, Result<Option<Identity>, LinkError>>;

    /// Does the writes, one outcome each, in the same order.
    fn write(&self, batch: Vec<WriteRequest>) -> BoxFuture<'static, Vec<WriteOutcome>>;

    /// A page of a realm's state.
    fn realm_page(
        &self,
        realm: RealmId,
        cursor: Option<PageCursor>,
    ) -> BoxFuture<'static, Result<RealmPage, LinkError>>;

    /// The log after a sequence, at most `limit` events.
    fn read_log(
        &self,
        realm: RealmId,
        after: Sequence,
        limit: usize,
    ) -> BoxFuture<'static, Result<LogRange, LinkError>>;

    /// The heads of logs; a realm that is not there is left out.
    fn heads(&self, realms: Vec<RealmId>) -> BoxFuture<'static, Result<Vec<(RealmId, Position)>, LinkError>>;

    /// Remembers when users were last heard of.
    fn store_last_heard(&self, heard: Vec<LastHeard>) -> BoxFuture<'static, Result<(), LinkError>>;

    /// Registers an event queue.
    fn register(&self, call: RegisterCall) -> BoxFuture<'static, Result<RegisterReply, LinkError>>;

    /// What signs the ids of event queues.
    fn queue_secret(&self) -> BoxFuture<'static, Result<[u8; 32], LinkError>>;
}
