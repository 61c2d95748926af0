//! One realm in the keepers' thread: loading, open, and loaded anew when its history changed.

mod presence;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use squall_hub::catch_up::{Block, CatchUp};
use squall_hub::frame::Announcement;
use squall_hub::keeper::{KeeperEffect, ReloadReason, StampError};
use squall_hub::loader::{LoadStep, LoadedRealm};
use squall_hub::presence::Presence;
use squall_hub::ring::RingLimits;
use squall_hub::roster::SessionKey;
use squall_hub::{RealmKeeper, RealmLoader};
use squall_protocol::event::Event;
use squall_protocol::frame::{Ephemeral, Publication};
use squall_protocol::limits::LOG_RANGE_EVENTS_MAX;
use squall_protocol::link::{LinkError, LogRange, RealmPage};
use squall_protocol::server_message::PresenceSnapshot;
use squall_protocol::{Position, RealmId, Sequence, json};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::{Answer, Errand, KeeperSetup, RealmView, Snapshot, Task};
use crate::shard::ShardInput;

/// A realm that some shard has sessions in, or had lately.
pub(super) struct Realm {
    id: RealmId,
    setup: KeeperSetup,
    /// Grows with each load: answers to errands of an earlier one are void.
    generation: u64,
    phase: Phase,
    shards: BTreeSet<usize>,
    unused_ms: Option<u64>,
    head_checked_ms: u64,
    /// Sessions that know of a later sequence than the keeper.
    awaiting: Vec<(usize, SessionKey, Sequence)>,
    /// How many of them the head that is being read answers: those that came before it was asked for.
    asked: usize,
    /// Whether the bus can be reached.
    link_up: bool,
}

enum Phase {
    Loading {
        loader: Box<RealmLoader>,
        why: Option<ReloadReason>,
        /// A place of the log before this load that it may contradict now: its epoch is renewed first.
        seen: Option<Position>,
        retry_ms: Option<u64>,
    },
    Open(Box<Open>),
}

struct Open {
    keeper: RealmKeeper,
    view: Arc<RealmView>,
    catch_up: CatchUp,
    /// Blocks being read, and for which shards.
    reading: HashMap<u64, BTreeSet<usize>>,
    /// Parts of blocks that were read when the log went on past the keeper, and what they were read after.
    ahead: Vec<(u64, Sequence, LogRange)>,
    presence: Presence,
    /// Presence knows of users deactivated up to here.
    noted: Sequence,
    /// Sessions that wait for presence until it is settled, and since which change.
    unsettled: Vec<(usize, SessionKey, Option<u64>)>,
    /// Requests by HTTP that wait for the same: each a client's that waits for its answer.
    unanswered: Vec<oneshot::Sender<PresenceSnapshot>>,
    /// The encoded snapshot at a change number, shared by all who open at it.
    snapshot: Option<(u64, Arc<Announcement>)>,
}

/// How long after a failed load the next one starts.
const LOAD_RETRY_MS: u64 = 1_000;

type Tasks = JoinSet<Task>;

impl Realm {
    /// A realm that is to be loaded.
    pub(super) fn new(id: RealmId, setup: KeeperSetup, link_up: bool) -> Self {
        Self {
            id,
            setup,
            generation: 0,
            phase: Phase::Loading { loader: Box::default(), why: None, seen: None, retry_ms: None },
            shards: BTreeSet::new(),
            unused_ms: None,
            head_checked_ms: 0,
            awaiting: Vec::new(),
            asked: 0,
            link_up,
        }
    }

    /// Begins to load it. To be called once.
    pub(super) fn begin(&mut self, tasks: &mut Tasks) {
        self.load_on(tasks);
    }

    pub(super) fn id(&self) -> RealmId {
        self.id
    }

    pub(super) fn attach(&mut self, shard: usize) {
        self.unused_ms = None;
        self.shards.insert(shard);
        if let Phase::Open(open) = &self.phase {
            self.setup.shards[shard].tell(ShardInput::RealmReady(open.view.clone()));
        }
    }

    pub(super) fn detach(&mut self, shard: usize, now_ms: u64) {
        self.shards.remove(&shard);
        if self.shards.is_empty() {
            self.unused_ms = Some(now_ms);
        }
    }

    /// Whether no shard needed it since `ms`, and the times at which everybody left are stored.
    pub(super) fn is_unused_since(&self, ms: u64) -> bool {
        let is_settled = match &self.phase {
            Phase::Open(open) => open.presence.is_empty(),
            Phase::Loading { .. } => true,
        };
        is_settled && self.unused_ms.is_some_and(|unused_ms| unused_ms < ms)
    }

    pub(super) fn head_checked_ms(&self) -> u64 {
        self.head_checked_ms
    }

    pub(super) fn head_asked(&mut self, now_ms: u64) {
        self.head_checked_ms = now_ms;
        self.asked = self.awaiting.len();
    }

    /// Which load this is, and where its keeper stands; none while loading.
    pub(super) fn stands_at(&self) -> Option<(u64, Sequence)> {
        match &self.phase {
            Phase::Open(open) => Some((self.generation, open.keeper.position().sequence)),
            Phase::Loading { .. } => None,
        }
    }

    pub(super) fn await_head(&mut self, shard: usize, key: SessionKey, sequence: Sequence) {
        self.awaiting.push((shard, key, sequence));
    }

    pub(super) fn handle_publication(&mut self, publication: Publication, now_ms: u64, tasks: &mut Tasks) {
        if let Phase::Open(open) = &mut self.phase {
            let effects = open.keeper.handle_publication(publication, now_ms);
            self.perform(effects, tasks);
        }
    }

    pub(super) fn handle_head(
        &mut self,
        generation: u64,
        asked_at: Sequence,
        head: Position,
        now_ms: u64,
        tasks: &mut Tasks,
    ) {
        if generation != self.generation {
            return;
        }
        let Phase::Open(open) = &mut self.phase else { return };
        let effects = open.keeper.handle_head(asked_at, head, now_ms);
        // What was read of a history that the log has left would wait for ever.
        let (left, ahead) = std::mem::take(&mut open.ahead)
            .into_iter()
            .partition::<Vec<_>, _>(|(.., range)| range.head.sequence > head.sequence);
        open.ahead = ahead;
        left.iter().for_each(|(number, after, _)| self.read_block(*number, *after, tasks));
        for (shard, key, sequence) in self.awaiting.drain(..std::mem::take(&mut self.asked)) {
            if sequence > head.sequence {
                self.setup.shards[shard].tell(ShardInput::BeyondHead { realm: self.id, key });
            }
        }
        self.perform(effects, tasks);
    }

    pub(super) fn handle_tick(&mut self, now_ms: u64, tasks: &mut Tasks) {
        match &mut self.phase {
            Phase::Open(open) => {
                let effects = open.keeper.handle_tick(now_ms);
                self.perform(effects, tasks);
            }
            Phase::Loading { retry_ms, .. } if retry_ms.is_some_and(|at| at <= now_ms) => {
                *retry_ms = None;
                self.load_on(tasks);
            }
            Phase::Loading { .. } => {}
        }
    }

    /// Takes an answer of the writer's; true if the realm is open because of it.
    pub(super) fn handle_errand(&mut self, errand: Errand, now_ms: u64, tasks: &mut Tasks) -> bool {
        if errand.generation != self.generation {
            return false;
        }
        match errand.answer {
            Answer::Page(page) => self.handle_page(page, now_ms, tasks),
            Answer::LoadRange(range) => self.handle_load_range(range, now_ms, tasks),
            Answer::Range(range) => {
                self.handle_range(range, now_ms, tasks);
                false
            }
            Answer::Renewed(head) => {
                self.handle_renewed(head, now_ms, tasks);
                false
            }
            Answer::Block { number, after, range } => {
                self.handle_block(number, after, range, tasks);
                false
            }
        }
    }

    /// Reads a block for a shard, or hands it the one there is.
    pub(super) fn need_block(&mut self, shard: usize, number: u64, tasks: &mut Tasks) {
        let Phase::Open(open) = &mut self.phase else { return };
        if let Some(block) = open.catch_up.block_after(Block::start(number)) {
            self.setup.shards[shard].tell(ShardInput::Block { realm: self.id, number, block: Some(block) });
            return;
        }
        let asked = open.reading.entry(number).or_default();
        let first = asked.is_empty();
        asked.insert(shard);
        if first {
            self.read_block(number, Block::start(number), tasks);
        }
    }

    pub(super) fn handle_ephemeral(&self, ephemeral: Ephemeral) {
        let Phase::Open(open) = &self.phase else { return };
        let mut audience = open.keeper.state().audience(&ephemeral.audience);
        if let Some(user) = ephemeral.except {
            audience.remove(user);
        }
        let message = Arc::new(Announcement::new(ephemeral.message));
        for shard in &self.shards {
            let (audience, message) = (audience.clone(), message.clone());
            self.setup.shards[*shard].hint(ShardInput::Ephemeral { realm: self.id, audience, message });
        }
    }

    fn perform(&mut self, effects: Vec<KeeperEffect>, tasks: &mut Tasks) {
        let Phase::Open(open) = &mut self.phase else { return };
        let mut ahead = Vec::new();
        if effects.contains(&KeeperEffect::Advanced) {
            ahead = std::mem::take(&mut open.ahead);
            open.note_users_gone(self.setup.bus_offset.bus_ms(self.setup.clock.now_ms()));
            open.show();
            for shard in &self.shards {
                if open.view.wake(*shard) {
                    self.setup.shards[*shard].tell(ShardInput::Advanced(self.id));
                }
            }
        }
        for effect in effects {
            match effect {
                KeeperEffect::Advanced => {}
                KeeperEffect::ReadLog(after) => {
                    self.run(
                        tasks,
                        |link, realm| link.read_log(realm, after, LOG_RANGE_EVENTS_MAX),
                        Answer::Range,
                    );
                }
                KeeperEffect::Reload(why) => return self.reload(Some(why), tasks),
            }
        }
        for (number, after, range) in ahead {
            self.handle_block(number, after, Ok(range), tasks);
        }
    }

    fn reload(&mut self, why: Option<ReloadReason>, tasks: &mut Tasks) {
        tracing::warn!(realm = %self.id, ?why, "loading the realm anew");
        // Unless the epoch changes, whoever resumes later takes the new history for the old one.
        let seen = match &self.phase {
            Phase::Open(open) if why == Some(ReloadReason::Epoch) => Some(open.keeper.position()),
            Phase::Open(_) | Phase::Loading { .. } => None,
        };
        self.generation += 1;
        self.awaiting.clear();
        self.asked = 0;
        self.phase = Phase::Loading { loader: Box::default(), why, seen, retry_ms: None };
        self.load_on(tasks);
    }

    /// Sends the next errand of the load, if it needs one.
    fn load_on(&mut self, tasks: &mut Tasks) {
        let Phase::Loading { loader, seen, .. } = &self.phase else { return };
        if let Some(seen) = *seen {
            return self.run(tasks, |link, realm| link.renew_epoch(realm, seen), Answer::Renewed);
        }
        match loader.step() {
            LoadStep::Page(cursor) => {
                self.run(tasks, |link, realm| link.realm_page(realm, cursor), Answer::Page);
            }
            LoadStep::Log(after) => {
                self.run(
                    tasks,
                    |link, realm| link.read_log(realm, after, LOG_RANGE_EVENTS_MAX),
                    Answer::LoadRange,
                );
            }
            LoadStep::Done => {}
        }
    }

    fn handle_renewed(&mut self, head: Result<Position, LinkError>, now_ms: u64, tasks: &mut Tasks) {
        let Phase::Loading { seen, retry_ms, .. } = &mut self.phase else { return };
        match head {
            Ok(_) => {
                *seen = None;
                self.load_on(tasks);
            }
            Err(error) => {
                tracing::warn!(realm = %self.id, %error, "epoch not renewed, trying again");
                *retry_ms = Some(now_ms + LOAD_RETRY_MS);
            }
        }
    }

    fn handle_page(&mut self, page: Result<RealmPage, LinkError>, now_ms: u64, tasks: &mut Tasks) -> bool {
        let Phase::Loading { loader, .. } = &mut self.phase else { return false };
        let taken = page.map_err(|error| error.to_string());
        let taken = taken.and_then(|page| loader.handle_page(page).map_err(|error| error.to_string()));
        self.loaded_or_on(taken, now_ms, tasks)
    }

    fn handle_load_range(
        &mut self,
        range: Result<LogRange, LinkError>,
        now_ms: u64,
        tasks: &mut Tasks,
    ) -> bool {
        let Phase::Loading { loader, .. } = &mut self.phase else { return false };
        let taken = range.map_err(|error| error.to_string());
        let taken = taken.and_then(|range| loader.handle_range(&range).map_err(|error| error.to_string()));
        self.loaded_or_on(taken, now_ms, tasks)
    }

    fn loaded_or_on(&mut self, taken: Result<(), String>, now_ms: u64, tasks: &mut Tasks) -> bool {
        let Phase::Loading { loader, why, retry_ms, .. } = &mut self.phase else { return false };
        if let Err(error) = taken {
            tracing::warn!(realm = %self.id, %error, "realm not loaded, trying again");
            **loader = RealmLoader::default();
            *retry_ms = Some(now_ms + LOAD_RETRY_MS);
            return false;
        }
        if loader.step() != LoadStep::Done {
            self.load_on(tasks);
            return false;
        }
        let (loader, why) = (std::mem::take(loader), *why);
        match loader.finish() {
            Ok(realm) => self.open(realm, why, now_ms),
            Err(error) => tracing::warn!(realm = %self.id, %error, "realm not loaded"),
        }
        true
    }

    fn open(
        &mut self,
        LoadedRealm { state, last_heard }: LoadedRealm,
        why: Option<ReloadReason>,
        now_ms: u64,
    ) {
        let keeper = RealmKeeper::new(state, RingLimits::default());
        let snapshot = Snapshot { ring: keeper.ring().clone(), state: keeper.state().clone() };
        let view = Arc::new(RealmView::new(self.id, snapshot, self.setup.shards.len()));
        for shard in &self.shards {
            self.setup.shards[*shard].tell(match why {
                None => ShardInput::RealmReady(view.clone()),
                Some(why) => ShardInput::RealmReset { view: view.clone(), why },
            });
        }
        self.phase = Phase::Open(Box::new(Open {
            noted: keeper.position().sequence,
            keeper,
            view,
            catch_up: CatchUp::default(),
            reading: HashMap::new(),
            ahead: Vec::new(),
            presence: self.new_presence(last_heard, now_ms),
            unsettled: Vec::new(),
            unanswered: Vec::new(),
            snapshot: None,
        }));
    }

    fn handle_range(&mut self, range: Result<LogRange, LinkError>, now_ms: u64, tasks: &mut Tasks) {
        let Phase::Open(open) = &mut self.phase else { return };
        match range {
            Ok(range) => {
                let effects = open.keeper.handle_range(&range, now_ms);
                self.perform(effects, tasks);
            }
            Err(error) => {
                tracing::warn!(realm = %self.id, %error, "gap not filled, trying again");
                open.keeper.handle_read_failed(now_ms);
            }
        }
    }

    fn handle_block(
        &mut self,
        number: u64,
        after: Sequence,
        range: Result<LogRange, LinkError>,
        tasks: &mut Tasks,
    ) {
        let Phase::Open(open) = &mut self.phase else { return };
        let range = match range {
            Ok(range) => range,
            Err(error) => {
                tracing::warn!(realm = %self.id, %error, "log not read for sessions that resume");
                return self.hand_out(number, None);
            }
        };
        if range.floor > after && range.floor < Block::start(number + 1) {
            // The log begins within this block: what is kept of it is read from there.
            return self.read_block(number, range.floor, tasks);
        }
        match open.keeper.stamp(&range) {
            Ok(events) => {
                let block = Arc::new(Block::new(number, &range, events));
                open.catch_up.insert(&block);
                self.hand_out(number, Some(&block));
            }
            Err(StampError::UnknownKind) => {
                tracing::warn!(realm = %self.id, number, "sessions that resume from here are reset");
                self.hand_out(number, Some(&Arc::new(Block::unreadable(number))));
            }
            Err(StampError::Ahead) => {
                // Its head is news to the keeper, which tries it again when it got there.
                let now_ms = self.setup.clock.now_ms();
                let effects = open.keeper.handle_head(Sequence::ZERO, range.head, now_ms);
                open.ahead.push((number, after, range));
                self.perform(effects, tasks);
            }
            Err(StampError::Stale) => self.read_block(number, after, tasks),
            Err(StampError::Foreign) => self.reload(Some(ReloadReason::Epoch), tasks),
        }
    }

    fn hand_out(&mut self, number: u64, block: Option<&Arc<Block>>) {
        let Phase::Open(open) = &mut self.phase else { return };
        for shard in open.reading.remove(&number).unwrap_or_default() {
            let block = block.cloned();
            self.setup.shards[shard].tell(ShardInput::Block { realm: self.id, number, block });
        }
    }

    /// Reads what follows on `after` in a block.
    fn read_block(&self, number: u64, after: Sequence, tasks: &mut Tasks) {
        let left = Block::start(number + 1).0.saturating_sub(after.0);
        let limit = usize::try_from(left).map_or(LOG_RANGE_EVENTS_MAX, |left| left.min(LOG_RANGE_EVENTS_MAX));
        self.run(
            tasks,
            |link, realm| link.read_log(realm, after, limit),
            move |range| Answer::Block { number, after, range },
        );
    }

    /// Sends an errand to the writer; its answer comes back as a task.
    fn run<T: Send + 'static>(
        &self,
        tasks: &mut Tasks,
        ask: impl FnOnce(&dyn crate::writer_link::WriterLink, RealmId) -> squall_bus::BoxFuture<'static, T>,
        answer: impl FnOnce(T) -> Answer + Send + 'static,
    ) {
        let (realm, generation) = (self.id, self.generation);
        let asked = ask(&*self.setup.link, realm);
        tasks.spawn(async move { Task::Errand(Errand { realm, generation, answer: answer(asked.await) }) });
    }
}

impl Open {
    /// Whoever was deactivated is no longer there.
    fn note_users_gone(&mut self, now_ms: u64) {
        let new = self.keeper.ring().after(self.noted).into_iter().flatten();
        for event in new.filter(|event| event.record().changes_state) {
            if let Ok(Event::UserUpdated { user, .. }) = json::decode_event(&event.record().body)
                && !user.is_active
            {
                self.presence.handle_user_gone(user.user_id, now_ms);
            }
        }
        self.noted = self.keeper.position().sequence;
    }

    fn show(&self) {
        self.view.store(Snapshot { ring: self.keeper.ring().clone(), state: self.keeper.state().clone() });
    }
}
