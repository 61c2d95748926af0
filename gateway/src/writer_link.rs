//! The writer as a gateway sees it: the same in one process and across a network.

use squall_bus::BoxFuture;
use squall_protocol::link::{
    Identity, LastHeard, LinkError, LogRange, PageCursor, RealmPage, WriteOutcome, WriteRequest,
};
use squall_protocol::{Position, RealmId, Sequence};

/// What a gateway asks of a writer. Every call may be slow; none is made on a shard's data path.
pub(crate) trait WriterLink: Send + Sync + 'static {
    /// Whose tokens these are, in their order; none for one that is nobody's.
    fn identify(&self, tokens: Vec<String>) -> BoxFuture<'static, Result<Vec<Option<Identity>>, LinkError>>;

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
}
