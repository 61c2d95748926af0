//! The serial paths of commit groups: what arrives within one commit shares the next. A database with one
//! writer has one lane, another one for each realm that has something to do.

mod load;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use squall_bus::Bus;
use squall_protocol::frame::{Frame, Publication};
use squall_protocol::limits::GROUP_EVENTS_MAX;
use squall_protocol::link::{Refusal, RefusalCode};
use squall_protocol::{RealmId, SessionId};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::change::{Outcome, Request};
use crate::clock::now_s;
use crate::limits::{
    GROUP_BYTES_MAX, GROUP_REALMS_MAX, PUBLISH_MAX, QUEUE_AGE_MAX, QUEUE_BYTES_MAX, QUEUE_REQUESTS_MAX,
    QUEUES_BYTES_MAX, QUEUES_REQUESTS_MAX, RETRY_AFTER,
};
use crate::secret::random_mark;
use crate::store::{Commit, Group, LanePlan, RealmCommit, RealmGroup, StoreError};
use load::Load;

/// All lanes of a writer. Each is made when something is to be done in it, and ends when all of that is done.
pub(crate) struct Lanes {
    shared: Arc<Shared>,
    plan: LanePlan,
    runtime: Handle,
}

/// What lanes share.
struct Shared {
    store: Arc<dyn Commit>,
    bus: Arc<dyn Bus>,
    /// Taken for each commit.
    permits: Semaphore,
    open: Mutex<OpenLanes>,
    load: Load,
}

#[derive(Default)]
struct OpenLanes {
    by_key: HashMap<LaneKey, OpenLane>,
    closed: bool,
}

/// Whose lane: a realm's, or everybody's.
type LaneKey = Option<RealmId>;

/// A lane that has something to do.
struct OpenLane {
    inbox: mpsc::UnboundedSender<Batch>,
    load: Arc<Load>,
    task: JoinHandle<()>,
}

/// What of a submission belongs to one lane, and where its outcomes belong.
#[derive(Default)]
struct Part {
    places: Vec<usize>,
    requests: Vec<(SessionId, Request)>,
}

/// Requests that came together: one answer to all. A session's are done in order.
struct Batch {
    requests: Vec<(SessionId, Request)>,
    since: Instant,
    reply: oneshot::Sender<Vec<Outcome>>,
}

impl Lanes {
    /// None yet; they will run on the current runtime.
    pub(crate) fn new(store: Arc<dyn Commit>, bus: Arc<dyn Bus>) -> Self {
        let plan = store.lane_plan();
        let commits_max = match plan {
            LanePlan::One => 1,
            LanePlan::PerRealm { commits_max } => commits_max.max(1),
        };
        let shared = Shared {
            store,
            bus,
            permits: Semaphore::new(commits_max),
            open: Mutex::default(),
            load: Load::new(QUEUES_REQUESTS_MAX, QUEUES_BYTES_MAX),
        };
        Self { shared: Arc::new(shared), plan, runtime: Handle::current() }
    }

    /// Has `requests` done; one outcome for each, in their order.
    pub(crate) async fn submit(&self, requests: Vec<(SessionId, Request)>) -> Vec<Outcome> {
        let count = requests.len();
        let mut parts: BTreeMap<LaneKey, Part> = BTreeMap::new();
        for (index, (session_id, request)) in requests.into_iter().enumerate() {
            let key = match self.plan {
                LanePlan::One => None,
                LanePlan::PerRealm { .. } => Some(request.realm_id),
            };
            let part = parts.entry(key).or_default();
            part.places.push(index);
            part.requests.push((session_id, request));
        }
        // All are with their lanes before the first is waited for.
        let mut answers = Vec::with_capacity(parts.len());
        for (key, Part { places, requests }) in parts {
            answers.push((places, self.hand_over(key, requests)));
        }
        let mut outcomes: Vec<Option<Outcome>> = (0..count).map(|_| None).collect();
        for (places, answer) in answers {
            let answer = match answer {
                Ok(answer) => answer.await.map_err(|_| "the writer is going down"),
                Err(words) => Err(words),
            };
            let answer = answer.unwrap_or_else(|words| vec![unavailable(words); places.len()]);
            for (place, outcome) in places.into_iter().zip(answer) {
                outcomes[place] = Some(outcome);
            }
        }
        let missing = || unavailable("the writer is going down");
        outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(missing)).collect()
    }

    /// Gives the requests to their lane, which is made if it is not there; or says why not.
    fn hand_over(
        &self,
        key: LaneKey,
        requests: Vec<(SessionId, Request)>,
    ) -> Result<oneshot::Receiver<Vec<Outcome>>, &'static str> {
        let mut open = self.shared.open();
        if open.closed {
            return Err("the writer is closed");
        }
        // A lane that broke has let go of its inbox, and another takes its place.
        let lane = open.by_key.remove(&key).filter(|lane| !lane.inbox.is_closed());
        let lane = lane.unwrap_or_else(|| self.open_lane(key));
        let bytes = requests.iter().map(|(_, request)| request.bytes()).sum();
        let fits = self.shared.load.add(requests.len(), bytes);
        let fits = fits
            && (lane.load.add(requests.len(), bytes) || {
                self.shared.load.take(requests.len(), bytes);
                false
            });
        let (reply, answer) = oneshot::channel();
        if fits {
            // It can't have ended meanwhile: it does so only with `open` locked.
            let _ = lane.inbox.send(Batch { requests, since: Instant::now(), reply });
        }
        open.by_key.insert(key, lane);
        if fits { Ok(answer) } else { Err("the writer has too much to do") }
    }

    fn open_lane(&self, key: LaneKey) -> OpenLane {
        let (inbox, batches) = mpsc::unbounded_channel();
        let load = Arc::new(Load::new(QUEUE_REQUESTS_MAX, QUEUE_BYTES_MAX));
        let worker = Worker {
            key,
            shared: Arc::clone(&self.shared),
            inbox: batches,
            load: Arc::clone(&load),
            waiting: VecDeque::new(),
            open: HashMap::new(),
            batches: 0,
        };
        OpenLane { inbox, load, task: self.runtime.spawn(worker.run()) }
    }

    /// Takes no more, and waits until what was taken is done.
    pub(crate) async fn close(&self) {
        let lanes = {
            let mut open = self.shared.open();
            open.closed = true;
            std::mem::take(&mut open.by_key)
        };
        for OpenLane { inbox, task, .. } in lanes.into_values() {
            drop(inbox);
            if let Err(error) = task.await {
                tracing::error!(%error, "a lane did not end well");
            }
        }
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, OpenLanes> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unavailable(words: &str) -> Outcome {
    Outcome::Refused(Refusal::retryable(RefusalCode::Unavailable, words, RETRY_AFTER.as_millis() as u32))
}

fn away() -> Outcome {
    unavailable("the database can't be reached, or is held up")
}

/// A lane itself.
struct Worker {
    key: LaneKey,
    shared: Arc<Shared>,
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
        let shared = Arc::clone(&self.shared);
        while self.has_work() {
            // First the turn, then the group: what arrives while others commit is still in it.
            let Ok(_turn) = shared.permits.acquire().await else { return };
            while let Ok(batch) = self.inbox.try_recv() {
                self.admit(batch);
            }
            let items = self.take_group();
            if !items.is_empty() {
                self.commit(items).await;
            }
        }
    }

    /// Whether something waits; if not, the lane is over, and whoever comes opens another.
    fn has_work(&mut self) -> bool {
        if !self.waiting.is_empty() {
            return true;
        }
        let shared = Arc::clone(&self.shared);
        let mut open = shared.open();
        match self.inbox.try_recv() {
            Ok(batch) => {
                drop(open);
                self.admit(batch);
                true
            }
            Err(_) => {
                // Closed, the map has let go of it already.
                open.by_key.remove(&self.key);
                false
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
            self.shared.load.take(1, size);
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

    /// Commits the items together; if that fails, one by one, so that one can't fail the others. Not if the
    /// database is away: then they would only wait in turn for what does not come.
    async fn commit(&mut self, items: Vec<Item>) {
        let (group, places) = group_of(items);
        match self.shared.store.commit(Arc::clone(&group)).await {
            Ok(commits) => self.finish(commits, &places).await,
            Err(StoreError::Away(words)) => {
                tracing::warn!(%words, requests = places.concat().len(), "commit group refused");
                places.concat().into_iter().for_each(|place| self.answer(place, away()));
            }
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
        let mut is_away = false;
        for (part, places) in group.realms.iter().zip(places) {
            for (request, place) in part.requests.iter().zip(places) {
                if self.is_stopped(*place) {
                    self.answer_out_of_order(*place);
                    continue;
                }
                if is_away {
                    self.answer(*place, away());
                    continue;
                }
                let part = RealmGroup {
                    realm_id: part.realm_id,
                    mark: random_mark(),
                    requests: vec![request.clone()],
                };
                let single = Group { now_s: group.now_s, realms: vec![part] };
                match self.shared.store.commit(Arc::new(single)).await {
                    Ok(commits) => self.finish(commits, &[vec![*place]]).await,
                    Err(error) => {
                        tracing::warn!(%error, "write failed");
                        is_away = matches!(error, StoreError::Away(_));
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
        let published = self.shared.bus.publish(realm_id, Frame::Events(publication).encode());
        match timeout(PUBLISH_MAX, published).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, %realm_id, "not published; nodes read it from the log"),
            Err(_) => tracing::debug!(%realm_id, "the bus takes too long; nodes read it from the log"),
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
