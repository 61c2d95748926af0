//! How often the writer is asked: what a thousand clients that come back cost it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use squall_bus::BoxFuture;
use squall_protocol::link::{
    Heads, Identity, LastHeard, LinkError, LogRange, NodeLease, PageCursor, RealmPage, RegisterCall,
    RegisterReply, WriteOutcome, WriteRequest,
};
use squall_protocol::{Position, RealmId, Sequence};

use crate::writer_link::WriterLink;

/// Counts of this node's life.
#[derive(Debug, Default)]
pub(crate) struct LinkStats {
    identify: Kind,
    write: Kind,
    realm_page: Kind,
    read_log: Kind,
    heads: Kind,
    renew_epoch: Kind,
    store_last_heard: Kind,
    register: Kind,
    queue_secret: Kind,
}

/// One kind of call.
#[derive(Debug, Default)]
struct Kind {
    calls: AtomicU64,
    /// Tokens, writes, realms, users: what the calls were about.
    items: AtomicU64,
    /// Calls without an answer; of writes, those with one that had none.
    failed: AtomicU64,
}

impl Kind {
    fn asked(&self, items: usize) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.items.fetch_add(items as u64, Ordering::Relaxed);
    }

    fn json(&self) -> Value {
        json!({
            "calls": self.calls.load(Ordering::Relaxed),
            "items": self.items.load(Ordering::Relaxed),
            "failed": self.failed.load(Ordering::Relaxed),
        })
    }
}

impl LinkStats {
    /// As operators see them.
    pub(crate) fn json(&self) -> Value {
        let Self {
            identify,
            write,
            realm_page,
            read_log,
            heads,
            renew_epoch,
            store_last_heard,
            register,
            queue_secret,
        } = self;
        json!({
            "identify": identify.json(),
            "write": write.json(),
            "realm_page": realm_page.json(),
            "read_log": read_log.json(),
            "heads": heads.json(),
            "renew_epoch": renew_epoch.json(),
            "store_last_heard": store_last_heard.json(),
            "register": register.json(),
            "queue_secret": queue_secret.json(),
        })
    }
}

/// A link whose calls are counted.
pub(crate) struct CountedLink {
    link: Arc<dyn WriterLink>,
    stats: Arc<LinkStats>,
}

impl CountedLink {
    pub(crate) fn new(link: Arc<dyn WriterLink>, stats: Arc<LinkStats>) -> Self {
        Self { link, stats }
    }

    fn count<T: 'static>(
        &self,
        kind: fn(&LinkStats) -> &Kind,
        items: usize,
        asked: BoxFuture<'static, Result<T, LinkError>>,
    ) -> BoxFuture<'static, Result<T, LinkError>> {
        kind(&self.stats).asked(items);
        let stats = self.stats.clone();
        Box::pin(async move {
            let answer = asked.await;
            if answer.is_err() {
                kind(&stats).failed.fetch_add(1, Ordering::Relaxed);
            }
            answer
        })
    }
}

impl WriterLink for CountedLink {
    fn identify(&self, tokens: Vec<String>) -> BoxFuture<'static, Result<Vec<Option<Identity>>, LinkError>> {
        self.count(|stats| &stats.identify, tokens.len(), self.link.identify(tokens))
    }

    fn lanes(&self) -> usize {
        self.link.lanes()
    }

    fn lane(&self, realm: RealmId) -> usize {
        self.link.lane(realm)
    }

    fn write(&self, lane: usize, batch: Vec<WriteRequest>) -> BoxFuture<'static, Vec<WriteOutcome>> {
        self.stats.write.asked(batch.len());
        let (written, stats) = (self.link.write(lane, batch), self.stats.clone());
        Box::pin(async move {
            let outcomes = written.await;
            if outcomes.iter().any(is_unavailable) {
                stats.write.failed.fetch_add(1, Ordering::Relaxed);
            }
            outcomes
        })
    }

    fn realm_page(
        &self,
        realm: RealmId,
        cursor: Option<PageCursor>,
    ) -> BoxFuture<'static, Result<RealmPage, LinkError>> {
        self.count(|stats| &stats.realm_page, 1, self.link.realm_page(realm, cursor))
    }

    fn read_log(
        &self,
        realm: RealmId,
        after: Sequence,
        limit: usize,
    ) -> BoxFuture<'static, Result<LogRange, LinkError>> {
        self.count(|stats| &stats.read_log, 1, self.link.read_log(realm, after, limit))
    }

    fn heads(
        &self,
        realms: Vec<RealmId>,
        lease: Option<NodeLease>,
    ) -> BoxFuture<'static, Result<Heads, LinkError>> {
        self.count(|stats| &stats.heads, realms.len(), self.link.heads(realms, lease))
    }

    fn renew_epoch(&self, realm: RealmId, seen: Position) -> BoxFuture<'static, Result<Position, LinkError>> {
        self.count(|stats| &stats.renew_epoch, 1, self.link.renew_epoch(realm, seen))
    }

    fn store_last_heard(&self, heard: Vec<LastHeard>) -> BoxFuture<'static, Result<(), LinkError>> {
        self.count(|stats| &stats.store_last_heard, heard.len(), self.link.store_last_heard(heard))
    }

    fn register(&self, call: RegisterCall) -> BoxFuture<'static, Result<RegisterReply, LinkError>> {
        self.count(|stats| &stats.register, 1, self.link.register(call))
    }

    fn queue_secret(&self) -> BoxFuture<'static, Result<[u8; 32], LinkError>> {
        self.count(|stats| &stats.queue_secret, 1, self.link.queue_secret())
    }
}

fn is_unavailable(outcome: &WriteOutcome) -> bool {
    use squall_protocol::link::RefusalCode::Unavailable;
    matches!(outcome, WriteOutcome::Refused(refusal) if refusal.code == Unavailable)
}
