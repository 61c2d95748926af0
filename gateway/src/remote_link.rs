//! The writers of a cluster, by HTTP/2: what they are asked, in which order, and for how long.
//!
//! Each realm prefers a writer (`placement`); another is asked only if that one gives no answer, and one that is
//! known to be down is not tried (`peer`). Every request may be repeated: reads change nothing, a write's send id
//! tells a writer that it was done, an epoch is compared and swapped.

pub(crate) mod api;
mod peer;
mod placement;
mod tasks;
#[cfg(test)]
mod tests;
mod writer_url;
mod writes;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use squall_bus::BoxFuture;
use squall_protocol::link::{
    Heads, Identity, LastHeard, LinkError, LogRange, NodeLease, PageCursor, RealmPage, RegisterCall,
    RegisterReply, WriteOutcome, WriteRequest,
};
use squall_protocol::link_secret::LinkSecret;
use squall_protocol::wire::{
    Answer, EpochQuery, Fault, HeadsQuery, LAST_HEARD_MAX, LogQuery, PageQuery, Request,
};
use squall_protocol::{Position, RealmId, Sequence};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use self::peer::{Peer, Standby};
use self::placement::Placement;
pub(crate) use self::writer_url::WriterUrl;
use crate::clock::Clock;
use crate::health::Health;
use crate::writer_link::WriterLink;

/// A cheap handle. Connections live on the runtime it was started on, and so do its calls: what is asked on a
/// shard's thread is encoded and decoded elsewhere.
#[derive(Clone)]
pub(crate) struct RemoteLink {
    writers: Arc<Writers>,
    runtime: Handle,
}

/// What all calls share.
struct Writers {
    peers: Vec<Arc<Peer>>,
    placement: Placement,
    /// The writer that is asked first for what prefers none: another on each node.
    home: usize,
    /// Told whenever a writer comes or goes.
    changed: Arc<watch::Sender<()>>,
    reads: Semaphore,
}

/// How long one writer may take for an answer to a read before another is asked.
const READ_TIME_MAX: Duration = Duration::from_secs(6);

/// How long a read may take over all writers, once it had its turn.
const READ_TIME_MAX_OVERALL: Duration = Duration::from_secs(10);

/// How long calls wait for a writer while none is connected. Counted from the loss of the last one: once it is
/// over, calls fail at once.
const NO_WRITER_MAX: Duration = Duration::from_secs(5);

/// Pages and parts of logs read at once; more wait for their turn. A node that starts anew under ten thousand
/// clients of a thousand realms must not be the writers' only customer.
const READS_MAX: usize = 64;

/// After a round in which every writer failed, though one is connected.
const ROUND_PAUSE: Duration = Duration::from_millis(50);

impl RemoteLink {
    /// Connects to the writers, in the background.
    pub(crate) fn start(
        urls: &[WriterUrl],
        secret: Option<&LinkSecret>,
        health: &Arc<Health>,
        clock: Clock,
        runtime: &Handle,
    ) -> Self {
        let changed = Arc::new(watch::Sender::new(()));
        let peers: Vec<_> = (urls.iter().enumerate())
            .map(|(index, url)| {
                let (changed, health) = (changed.clone(), health.clone());
                Arc::new(Peer::new(index, url.clone(), secret, changed, health, clock))
            })
            .collect();
        peers.iter().for_each(|peer| drop(runtime.spawn(peer.clone().keep())));
        let writers = Writers {
            placement: Placement::new(urls.iter().map(WriterUrl::authority)),
            home: fastrand::usize(..peers.len().max(1)),
            peers,
            changed,
            reads: Semaphore::new(READS_MAX),
        };
        Self { writers: Arc::new(writers), runtime: runtime.clone() }
    }

    /// Runs a call on the link's own runtime.
    fn run<T: Send + 'static>(
        &self,
        call: impl Future<Output = Result<T, LinkError>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, LinkError>> {
        let running = self.runtime.spawn(call);
        Box::pin(async move {
            let failed = |error| LinkError::Unavailable(format!("the call did not end: {error}"));
            running.await.unwrap_or_else(|error| Err(failed(error)))
        })
    }

    /// Asks one thing of the writer that the realm prefers, or of the next ones.
    fn read<T: Send + 'static>(
        &self,
        realm: RealmId,
        request: Request,
        take: fn(Answer) -> Option<T>,
    ) -> BoxFuture<'static, Result<T, LinkError>> {
        let writers = self.writers.clone();
        self.run(async move { writers.read(writers.placement.preferred(realm), &request, take).await })
    }
}

impl WriterLink for RemoteLink {
    fn identify(&self, tokens: Vec<String>) -> BoxFuture<'static, Result<Vec<Option<Identity>>, LinkError>> {
        let (writers, count) = (self.writers.clone(), tokens.len());
        self.run(async move {
            let take =
                |answer| if let Answer::Identified(identities) = answer { Some(identities) } else { None };
            let identities = writers.ask(writers.home, &Request::Identify(tokens), take).await?;
            if identities.len() == count { Ok(identities) } else { Err(another_question()) }
        })
    }

    fn lanes(&self) -> usize {
        self.writers.peers.len()
    }

    fn lane(&self, realm: RealmId) -> usize {
        self.writers.placement.preferred(realm)
    }

    fn write(&self, lane: usize, batch: Vec<WriteRequest>) -> BoxFuture<'static, Vec<WriteOutcome>> {
        let writers = self.writers.clone();
        let running = self.runtime.spawn(async move { writes::write(&writers, lane, batch).await });
        Box::pin(async move { running.await.unwrap_or_default() })
    }

    fn realm_page(
        &self,
        realm: RealmId,
        cursor: Option<PageCursor>,
    ) -> BoxFuture<'static, Result<RealmPage, LinkError>> {
        let request = Request::RealmPage(PageQuery { realm_id: realm, cursor });
        let take = |answer| if let Answer::RealmPage(page) = answer { Some(page) } else { None };
        self.read(realm, request, take)
    }

    fn read_log(
        &self,
        realm: RealmId,
        after: Sequence,
        limit: usize,
    ) -> BoxFuture<'static, Result<LogRange, LinkError>> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let request = Request::ReadLog(LogQuery { realm_id: realm, after, limit });
        let take = |answer| if let Answer::Log(range) = answer { Some(range) } else { None };
        self.read(realm, request, take)
    }

    fn heads(
        &self,
        realms: Vec<RealmId>,
        lease: Option<NodeLease>,
    ) -> BoxFuture<'static, Result<Heads, LinkError>> {
        let writers = self.writers.clone();
        let request = Request::Heads(HeadsQuery { realms, lease });
        let take = |answer| if let Answer::Heads(heads) = answer { Some(heads) } else { None };
        self.run(async move { writers.ask(writers.home, &request, take).await })
    }

    fn renew_epoch(&self, realm: RealmId, seen: Position) -> BoxFuture<'static, Result<Position, LinkError>> {
        let request = Request::RenewEpoch(EpochQuery { realm_id: realm, seen });
        let take = |answer| if let Answer::EpochRenewed(head) = answer { Some(head) } else { None };
        self.read(realm, request, take)
    }

    fn store_last_heard(&self, heard: Vec<LastHeard>) -> BoxFuture<'static, Result<(), LinkError>> {
        let writers = self.writers.clone();
        self.run(async move {
            for part in heard.chunks(LAST_HEARD_MAX) {
                let request = Request::StoreLastHeard(part.to_vec());
                let take = |answer| (answer == Answer::LastHeardStored).then_some(());
                writers.ask(writers.home, &request, take).await?;
            }
            Ok(())
        })
    }

    fn register(&self, call: RegisterCall) -> BoxFuture<'static, Result<RegisterReply, LinkError>> {
        let writers = self.writers.clone();
        let take = |answer| if let Answer::Registered(reply) = answer { Some(reply) } else { None };
        self.run(async move { writers.read(writers.home, &Request::Register(call), take).await })
    }

    fn queue_secret(&self) -> BoxFuture<'static, Result<[u8; 32], LinkError>> {
        let writers = self.writers.clone();
        let take = |answer| if let Answer::QueueSecret(secret) = answer { Some(secret) } else { None };
        self.run(async move { writers.ask(writers.home, &Request::QueueSecret, take).await })
    }
}

impl Writers {
    /// [`Writers::ask`] in its turn: only so many at once.
    async fn read<T>(
        &self,
        first: usize,
        request: &Request,
        take: fn(Answer) -> Option<T>,
    ) -> Result<T, LinkError> {
        let _turn = self.reads.acquire().await;
        self.ask(first, request, take).await
    }

    /// Asks the writers, `first` before the others, until one answers or the time is over.
    async fn ask<T>(
        &self,
        first: usize,
        request: &Request,
        take: fn(Answer) -> Option<T>,
    ) -> Result<T, LinkError> {
        let request = request.encode().map_err(|error| LinkError::Unavailable(error.to_string()))?;
        let deadline = Instant::now() + READ_TIME_MAX_OVERALL;
        loop {
            let round = self.ask_each(first, &request, deadline, take).await;
            let Round::Nobody(fault) = round else { return round.into_result() };
            if !self.wait_for_another(deadline).await {
                return Err(LinkError::Unavailable(fault));
            }
        }
    }

    /// Asks each writer that is connected, once.
    async fn ask_each<T>(
        &self,
        first: usize,
        request: &Bytes,
        deadline: Instant,
        take: fn(Answer) -> Option<T>,
    ) -> Round<T> {
        let mut round = Round::Nobody("no writer is connected".into());
        for peer in self.standing_by(first) {
            let until = deadline.min(Instant::now() + READ_TIME_MAX);
            match peer.ask(request.clone(), until).await {
                Ok(Answer::Fault(Fault::UnknownRealm(realm))) => {
                    return Round::Refused(LinkError::UnknownRealm(realm));
                }
                // It is there, and can't answer: maybe another can.
                Ok(Answer::Fault(fault)) => {
                    round = Round::Refused(LinkError::Unavailable(fault.to_string()));
                }
                Ok(answer) => match take(answer) {
                    Some(answer) => return Round::Answered(answer),
                    None => round = Round::Refused(another_question()),
                },
                Err(fault) => {
                    tracing::debug!(writer = peer.authority(), %fault, "a writer gave no answer");
                    if let Round::Nobody(words) = &mut round {
                        *words = fault;
                    }
                }
            }
        }
        round
    }

    /// The writers that may be asked now: those that are slow after those that are not, else in their order.
    fn standing_by(&self, first: usize) -> Vec<Arc<Peer>> {
        let in_order = self.placement.order(first).filter_map(|index| self.peers.get(index));
        let mut up: Vec<_> = in_order.map(|peer| (peer.standby(), peer)).collect();
        up.retain(|(standby, _)| *standby != Standby::Down);
        up.sort_by_key(|(standby, _)| *standby);
        up.into_iter().map(|(_, peer)| peer.clone()).collect()
    }

    /// Waits for a writer that may be asked (again); false if it is not worth waiting any longer.
    async fn wait_for_another(&self, deadline: Instant) -> bool {
        let mut changed = self.changed.subscribe();
        let give_up = |none_since: Option<Instant>| {
            none_since.map_or(deadline, |since| deadline.min(since + NO_WRITER_MAX))
        };
        match self.none_since() {
            None => tokio::time::sleep(ROUND_PAUSE).await,
            none_since => {
                let come = async { while self.none_since().is_some() && changed.changed().await.is_ok() {} };
                let _ = timeout_at(give_up(none_since), come).await;
            }
        }
        Instant::now() < give_up(self.none_since())
    }

    /// Since when no writer has been connected; none if one is.
    fn none_since(&self) -> Option<Instant> {
        let down: Option<Vec<Instant>> = self.peers.iter().map(|peer| peer.down_since()).collect();
        down?.into_iter().max()
    }
}

/// What asking every writer once brought.
enum Round<T> {
    Answered(T),
    /// A writer is there and has no answer: the last one's words.
    Refused(LinkError),
    /// None is there, or none said anything.
    Nobody(String),
}

impl<T> Round<T> {
    fn into_result(self) -> Result<T, LinkError> {
        match self {
            Self::Answered(answer) => Ok(answer),
            Self::Refused(error) => Err(error),
            Self::Nobody(fault) => Err(LinkError::Unavailable(fault)),
        }
    }
}

fn another_question() -> LinkError {
    LinkError::Unavailable("the writer answered another question".into())
}
