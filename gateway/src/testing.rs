//! What the gateway's unit tests share.

use squall_bus::BoxFuture;
use squall_protocol::link::{
    Heads, Identity, LastHeard, LinkError, LogRange, NodeLease, PageCursor, RealmPage, RegisterCall,
    RegisterReply, WriteOutcome, WriteRequest,
};
use squall_protocol::{Position, RealmId, Sequence};

use crate::writer_link::WriterLink;

/// A link of which a test says what it expects to be asked; all else ends it.
pub(crate) trait SilentLink: Send + Sync + 'static {
    fn identify(&self, _tokens: Vec<String>) -> BoxFuture<'static, Result<Vec<Option<Identity>>, LinkError>> {
        unreachable!("nobody is to be identified")
    }

    fn lanes(&self) -> usize {
        1
    }

    fn lane(&self, _realm: RealmId) -> usize {
        0
    }

    fn write(&self, _lane: usize, _batch: Vec<WriteRequest>) -> BoxFuture<'static, Vec<WriteOutcome>> {
        unreachable!("nothing is to be written")
    }

    fn realm_page(
        &self,
        _realm: RealmId,
        _cursor: Option<PageCursor>,
    ) -> BoxFuture<'static, Result<RealmPage, LinkError>> {
        unreachable!("no page is to be read")
    }

    fn read_log(
        &self,
        _realm: RealmId,
        _after: Sequence,
        _limit: usize,
    ) -> BoxFuture<'static, Result<LogRange, LinkError>> {
        unreachable!("no log is to be read")
    }

    fn heads(
        &self,
        _realms: Vec<RealmId>,
        _lease: Option<NodeLease>,
    ) -> BoxFuture<'static, Result<Heads, LinkError>> {
        unreachable!("no heads are to be read")
    }

    fn renew_epoch(
        &self,
        _realm: RealmId,
        _seen: Position,
    ) -> BoxFuture<'static, Result<Position, LinkError>> {
        unreachable!("no epoch is to be renewed")
    }

    fn store_last_heard(&self, _heard: Vec<LastHeard>) -> BoxFuture<'static, Result<(), LinkError>> {
        unreachable!("no times are to be stored")
    }

    fn register(&self, _call: RegisterCall) -> BoxFuture<'static, Result<RegisterReply, LinkError>> {
        unreachable!("no queue is to be registered")
    }

    fn queue_secret(&self) -> BoxFuture<'static, Result<[u8; 32], LinkError>> {
        unreachable!("no queue id is to be signed")
    }
}

impl<L: SilentLink> WriterLink for L {
    fn identify(&self, tokens: Vec<String>) -> BoxFuture<'static, Result<Vec<Option<Identity>>, LinkError>> {
        SilentLink::identify(self, tokens)
    }

    fn lanes(&self) -> usize {
        SilentLink::lanes(self)
    }

    fn lane(&self, realm: RealmId) -> usize {
        SilentLink::lane(self, realm)
    }

    fn write(&self, lane: usize, batch: Vec<WriteRequest>) -> BoxFuture<'static, Vec<WriteOutcome>> {
        SilentLink::write(self, lane, batch)
    }

    fn realm_page(
        &self,
        realm: RealmId,
        cursor: Option<PageCursor>,
    ) -> BoxFuture<'static, Result<RealmPage, LinkError>> {
        SilentLink::realm_page(self, realm, cursor)
    }

    fn read_log(
        &self,
        realm: RealmId,
        after: Sequence,
        limit: usize,
    ) -> BoxFuture<'static, Result<LogRange, LinkError>> {
        SilentLink::read_log(self, realm, after, limit)
    }

    fn heads(
        &self,
        realms: Vec<RealmId>,
        lease: Option<NodeLease>,
    ) -> BoxFuture<'static, Result<Heads, LinkError>> {
        SilentLink::heads(self, realms, lease)
    }

    fn renew_epoch(&self, realm: RealmId, seen: Position) -> BoxFuture<'static, Result<Position, LinkError>> {
        SilentLink::renew_epoch(self, realm, seen)
    }

    fn store_last_heard(&self, heard: Vec<LastHeard>) -> BoxFuture<'static, Result<(), LinkError>> {
        SilentLink::store_last_heard(self, heard)
    }

    fn register(&self, call: RegisterCall) -> BoxFuture<'static, Result<RegisterReply, LinkError>> {
        SilentLink::register(self, call)
    }

    fn queue_secret(&self) -> BoxFuture<'static, Result<[u8; 32], LinkError>> {
        SilentLink::queue_secret(self)
    }
}
