//! The writer as a gateway sees it: the same in one process and across a network.

use squall_bus::BoxFuture;
use squall_protocol::link::{
    Heads, Identity, LastHeard, LinkError, LogRange, NodeLease, PageCursor, RealmPage, RegisterCall,
    RegisterReply, WriteOutcome, WriteRequest,
};
use squall_protocol::{Position, RealmId, Sequence};

/// What a gateway asks of a writer. Every call may be slow; none is made on a shard's data path.
pub(crate) trait WriterLink: Send + Sync + 'static {
    /// Whose tokens they are, one answer each, in their order; none if it is nobody's. At most
    /// `wire::TOKENS_MAX` at once.
    fn identify(&self, tokens: Vec<String>) -> BoxFuture<'static, Result<Vec<Option<Identity>>, LinkError>>;

    /// How many lanes there are: a shard has one batch of writes under way on each.
    fn lanes(&self) -> usize {
        1
    }

    /// Whose writes may wait for each other: those of realms on one lane. A realm stays on its lane.
    fn lane(&self, _realm: RealmId) -> usize {
        0
    }

    /// Does the writes of a lane, one outcome each, in the same order. At most `wire::WRITES_MAX` at once.
    fn write(&self, lane: usize, batch: Vec<WriteRequest>) -> BoxFuture<'static, Vec<WriteOutcome>>;

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

    /// The heads of logs, at most `wire::HEADS_MAX`; and all nodes' leases, for who brings its own.
    fn heads(
        &self,
        realms: Vec<RealmId>,
        lease: Option<NodeLease>,
    ) -> BoxFuture<'static, Result<Heads, LinkError>>;

    /// Gives a log a new epoch if it contradicts what was seen of it; its head then.
    fn renew_epoch(&self, realm: RealmId, seen: Position) -> BoxFuture<'static, Result<Position, LinkError>>;

    /// Remembers when users were last heard of.
    fn store_last_heard(&self, heard: Vec<LastHeard>) -> BoxFuture<'static, Result<(), LinkError>>;

    /// Registers an event queue.
    fn register(&self, call: RegisterCall) -> BoxFuture<'static, Result<RegisterReply, LinkError>>;

    /// What signs the ids of event queues.
    fn queue_secret(&self) -> BoxFuture<'static, Result<[u8; 32], LinkError>>;
}
