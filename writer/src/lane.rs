//! The serial path of commit groups: what arrives within one commit shares the next.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use squall_bus::Bus;
use squall_protocol::frame::{Frame, Publication};
use squall_protocol::limits::GROUP_EVENTS_MAX;
use squall_protocol::link::{Refusal, RefusalCode};
use squall_protocol::{RealmId, SessionId};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::change::{Outcome, Request};
use crate::clock::now_s;
use crate::limits::{
    GROUP_BYTES_MAX, GROUP_REALMS_MAX, QUEUE_AGE_MAX, QUEUE_BYTES_MAX, QUEUE_REQUESTS_MAX, RETRY_AFTER,
};
use crate::secret::random_mark;
use crate::store::{Commit, Group, RealmCommit, RealmGroup};

/// A lane's address. Dropped, the lane finishes what waits and ends.
pub(crate) struct Lane {
    inbox: mpsc::UnboundedSender<Batch>,
    load: Arc<Load>,
}

/// Requests that came together: one answer to all. A session's are done in order.
struct Batch {
    requests: Vec<(SessionId, Request)>,
    since: Instant,
    reply: oneshot::Sender<Vec<Outcome>>,
}

/// What waits in a lane, bounded; the channel itself is not, because a batch is no unit of size.
#[derive(Default)]
struct Load {
    requests: AtomicUsize,
    bytes: AtomicUsize,
}

impl Lane {
    /// Starts a lane on the current runtime; the handle ends when the lane has.
    pub(crate) fn start(store: Arc<dyn Commit>, bus: Arc<dyn Bus>) -> (Self, JoinHandle<()>) {
        let (inbox, batches) = mpsc::unbounded_channel();
        let load = Arc::new(Load::default());
        let worker = Worker {
            store,
            bus,
            inbox: batches,
            load: Arc::clone(&load),
            waiting: VecDeque::new(),
            open: HashMap::new(),
            batches: 0,
        };
        (Self { inbox, load }, tokio::spawn(worker.run()))
    }

    /// Has `requests` done; one outcome for each, in their order.
    pub(crate) async fn submit(&self, requests: Vec<(SessionId, Request)>) -> Vec<Outcome> {
        let count = requests.len();
        if count == 0 {
            return Vec::new();
        }
        let bytes = requests.iter().map(|(_, request)| request.bytes()).sum();
        if !self.load.add(count, bytes) {
            return vec![unavailable("the writer has too much to do"); count];
        }
        let (reply, answer) = oneshot::channel();
        let batch = Batch { requests, since: Instant::now(), reply };
        if self.inbox.send(batch).is_err() {
            self.load.take(count, bytes);
        }
        answer.await.unwrap_or_else(|_| vec![unavailable("the writer is going down"); count])
    }
}

impl Load {
    /// False if it is too much; the first of a big batch always fits an empty queue.
    fn add(&self, requests: usize, bytes: usize) -> bool {
        let before = self.requests.fetch_add(requests, Ordering::Relaxed);
        let bytes_before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = before == 0
            || (before + requests <= QUEUE_REQUESTS_MAX && bytes_before + bytes <= QUEUE_BYTES_MAX);
        if !fits {
            self.take(requests, bytes);
        }
        fits
    }

    fn take(&self, requests: usize, bytes: usize) {
        self.requests.fetch_sub(requests, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

fn unavailable(words: &str) -> Outcome {
    Outcome::Refused(Refusal::retryable(RefusalCode::Unavailable, words, RETRY_AFTER.as_millis() as u32))
}

/// The lane itself.
struct Worker {
    store: Arc<dyn Commit>,
    bus: Arc<dyn Bus>,
    inbox: mpsc::UnboundedReceiver<Batch>,
    load: Arc<Load>,
    /// In the order of arrival.
    waiting: VecDeque<Item>,
    /// Batches not wholly answered.
    open: HashMap<u64, OpenBatch>,
    /// How many batches there have been: the next one's number.
    batches: u64,
}

/// Where an outcome belongs.
#[derive(Debug, Clone, Copy)]
struct Place {
    batch: u64,
    index: usize,
    session_id: SessionId,
}

/// A request that waits.
struct Item {
    place: Place,
    since: Instant,
    request: Request,
}

/// A batch with the answers it has so far.
struct OpenBatch {
    outcomes: Vec<Option<Outcome>>,
    missing: usize,
    /// Sessions that had a retryable refusal: their later requests are refused too.
    stopped: HashSet<SessionId>,
    reply: oneshot::Sender<Vec<Outcome>>,
}

impl Worker {
    async fn run(mut self) {
        loop {
            if self.waiting.is_empty() {
                match self.inbox.recv().await {
                    Some(batch) => self.admit(batch),
                    None => return,
                }
            }
            while let Ok(batch) = self.inbox.try_recv() {
                self.admit(batch);
            }
            let items = self.take_group();
            if !items.is_empty() {
                self.commit(items).await;
            }
        }
    }

    fn admit(&mut self, batch: Batch) {
        let Batch { requests, since, reply } = batch;
        let number = self.batches;
        self.batches += 1;
        let count = requests.len();
        let open = OpenBatch {
            outcomes: (0..count).map(|_| None).collect(),
            missing: count,
            stopped: HashSet::new(),
            reply,
        };
        self.open.insert(number, open);
        for (index, (session_id, request)) in requests.into_iter().enumerate() {
            let place = Place { batch: number, index, session_id };
            self.waiting.push_back(Item { place, since, request });
        }
    }

    /// The next group: the longest prefix of what waits that keeps the bounds.
    fn take_group(&mut self) -> Vec<Item> {
        let mut items = Vec::new();
        let mut events: HashMap<RealmId, usize> = HashMap::new();
        let mut bytes = 0;
        while let Some(item) = self.waiting.pop_front() {
            let (realm_id, size) = (item.request.realm_id, item.request.bytes());
            let realm_events = events.get(&realm_id).copied().unwrap_or(0) + item.request.events_max();
            let full = realm_events > GROUP_EVENTS_MAX
                || bytes + size > GROUP_BYTES_MAX
                || (events.len() == GROUP_REALMS_MAX && !events.contains_key(&realm_id));
            // One alone is a group whatever its size: nothing may wait for ever.
            if full && !items.is_empty() {
                self.waiting.push_front(item);
                break;
            }
            self.load.take(1, size);
            if self.is_stopped(item.place) {
                self.answer_out_of_order(item.place);
            } else if item.since.elapsed() > QUEUE_AGE_MAX {
                self.answer(item.place, unavailable("waited too long"));
            } else {
                events.insert(realm_id, realm_events);
                bytes += size;
                items.push(item);
            }
        }
        items
    }

    /// Commits the items together; if that fails, one by one, so that one can't fail the others.
    async fn commit(&mut self, items: Vec<Item>) {
        let (group, places) = group_of(items);
        match self.store.commit(Arc::clone(&group)).await {
            Ok(commits) => self.finish(commits, &places).await,
            Err(error) if group.realms.len() == 1 && places[0].len() == 1 => {
                tracing::warn!(%error, "write failed");
                self.answer(places[0][0], unavailable("the database can't be reached"));
            }
            Err(error) => {
                tracing::warn!(%error, "commit group failed; trying its requests one by one");
                self.commit_singly(&group, &places).await;
            }
        }
    }

    async fn commit_singly(&mut self, group: &Group, places: &[Vec<Place>]) {
        for (part, places) in group.realms.iter().zip(places) {
            for (request, place) in part.requests.iter().zip(places) {
                if self.is_stopped(*place) {
                    self.answer_out_of_order(*place);
                    continue;
                }
                let part = RealmGroup {
                    realm_id: part.realm_id,
                    mark: random_mark(),
                    requests: vec![request.clone()],
                };
                let single = Group { now_s: group.now_s, realms: vec![part] };
                match self.store.commit(Arc::new(single)).await {
                    Ok(commits) => self.finish(commits, &[vec![*place]]).await,
                    Err(error) => {
                        tracing::warn!(%error, "write failed");
                        self.answer(*place, unavailable("the database can't be reached"));
                    }
                }
            }
        }
    }

    /// Published first, then answered: whoever has an answer finds its event on its way.
    async fn finish(&mut self, commits: Vec<RealmCommit>, places: &[Vec<Place>]) {
        for (RealmCommit { publication, outcomes }, places) in commits.into_iter().zip(places) {
            if let Some(publication) = publication {
                self.publish(publication).await;
            }
            for (outcome, place) in outcomes.into_iter().zip(places) {
                self.answer(*place, outcome);
            }
        }
    }

    async fn publish(&self, publication: Publication) {
        let realm_id = publication.realm_id;
        if let Err(error) = self.bus.publish(realm_id, Frame::Events(publication).encode()).await {
            tracing::debug!(%error, %realm_id, "not published; nodes read it from the log");
        }
    }

    fn is_stopped(&self, place: Place) -> bool {
        self.open.get(&place.batch).is_some_and(|batch| batch.stopped.contains(&place.session_id))
    }

    fn answer_out_of_order(&mut self, place: Place) {
        let words = "a write before it was refused and can be tried again";
        let refusal = Refusal::retryable(RefusalCode::OutOfOrder, words, RETRY_AFTER.as_millis() as u32);
        self.answer(place, Outcome::Refused(refusal));
    }

    fn answer(&mut self, place: Place, outcome: Outcome) {
        let Some(batch) = self.open.get_mut(&place.batch) else { return };
        if matches!(&outcome, Outcome::Refused(refusal) if refusal.retry_after_ms.is_some()) {
            batch.stopped.insert(place.session_id);
        }
        batch.outcomes[place.index] = Some(outcome);
        batch.missing -= 1;
        if batch.missing == 0
            && let Some(batch) = self.open.remove(&place.batch)
        {
            // The asker may be gone; what was done stays done.
            let _ = batch.reply.send(batch.outcomes.into_iter().flatten().collect());
        }
    }
}

/// The items as a group, and beside each request the place of its outcome.
fn group_of(items: Vec<Item>) -> (Arc<Group>, Vec<Vec<Place>>) {
    let mut realms: BTreeMap<RealmId, (Vec<Request>, Vec<Place>)> = BTreeMap::new();
    for Item { place, request, .. } in items {
        let (requests, places) = realms.entry(request.realm_id).or_default();
        requests.push(request);
        places.push(place);
    }
    let part =
        |(realm_id, (requests, places))| (RealmGroup { realm_id, mark: random_mark(), requests }, places);
    let (realms, places) = realms.into_iter().map(part).unzip();
    (Arc::new(Group { now_s: now_s(), realms }), places)
}

#[cfg(test)]
mod tests;
