//! The thread of the realm keepers: it takes what the bus brings, asks the writer for what is missing, and
//! shows each realm to the shards. It never waits for a shard.

mod realm;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use squall_bus::{Bus, Delivery, Link};
use squall_hub::presence::Times;
use squall_hub::roster::SessionKey;
use squall_protocol::client_message::Status;
use squall_protocol::frame::Frame;
use squall_protocol::link::{LastHeard, LinkError, LogRange, RealmPage};
use squall_protocol::{Position, RealmId, Sequence, SessionId, UserId};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use self::realm::Realm;
pub(crate) use self::view::{RealmView, Snapshot};
use crate::clock::{Clock, millis};
use crate::shard::ShardHandle;
use crate::writer_link::WriterLink;

/// What shards tell the keepers. Each session has at most a few of them under way.
#[derive(Debug)]
pub(crate) enum KeeperInput {
    /// The shard has sessions in the realm: show it.
    Attach { realm: RealmId, shard: usize },
    /// It has none any more.
    Detach { realm: RealmId, shard: usize },
    /// A session knows of a later sequence than the realm's view: is it beyond the log's head?
    CheckHead { realm: RealmId, shard: usize, key: SessionKey, sequence: Sequence },
    /// Sessions resume from before the ring: read this block of the log.
    ReadBlock { realm: RealmId, shard: usize, number: u64 },
    /// A device's user came, changed, was heard or left.
    Presence { realm: RealmId, report: PresenceReport },
    /// A session needs everybody's presence, or what changed since.
    PresenceSince { realm: RealmId, shard: usize, key: SessionKey, since: Option<u64> },
}

/// What a shard reports of a device.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PresenceReport {
    Connected { user: UserId, device: SessionId, status: Status },
    Status { device: SessionId, status: Status },
    Disconnected { device: SessionId, heard_ms: u64 },
}

/// What the keepers need to run.
#[derive(Clone)]
pub(crate) struct KeeperSetup {
    pub(crate) clock: Clock,
    pub(crate) link: Arc<dyn WriterLink>,
    pub(crate) shards: Vec<ShardHandle>,
    pub(crate) times: Times,
    pub(crate) linger: Duration,
}

/// What an errand to the writer brought back, for the realm's state as it was when it left.
struct Errand {
    realm: RealmId,
    generation: u64,
    answer: Answer,
}

enum Answer {
    Page(Result<RealmPage, LinkError>),
    LoadRange(Result<LogRange, LinkError>),
    Range(Result<LogRange, LinkError>),
    /// A block of the log, read after this sequence.
    Block {
        number: u64,
        after: Sequence,
        range: Result<LogRange, LinkError>,
    },
}

enum Task {
    Errand(Errand),
    /// The sequences at which the keepers stood when they asked, and what they were told.
    Heads(HashMap<RealmId, (u64, Sequence)>, Result<Vec<(RealmId, Position)>, LinkError>),
    Stored(Vec<LastHeard>, Result<(), LinkError>),
}

/// The node's realms.
pub(crate) struct Keepers {
    setup: KeeperSetup,
    link: Box<dyn Link>,
    link_up: bool,
    realms: HashMap<RealmId, Realm>,
    tasks: JoinSet<Task>,
    heads_in_flight: bool,
    check_now: HashSet<RealmId>,
    unstored: Vec<LastHeard>,
}

/// How often each realm's head is compared with the log's: with a link to the bus, and without.
const HEAD_CHECK_MS: u64 = 5_000;
const HEAD_CHECK_LINK_DOWN_MS: u64 = 1_000;

/// The finest step of gaps and retries.
const TICK: Duration = Duration::from_millis(25);

/// Last-heard times kept while the writer is away; the oldest are dropped first.
const UNSTORED_MAX: usize = 100_000;

impl Keepers {
    pub(crate) fn new(setup: KeeperSetup, bus: &Arc<dyn Bus>) -> Self {
        Self {
            setup,
            link: bus.open(),
            link_up: true,
            realms: HashMap::new(),
            tasks: JoinSet::new(),
            heads_in_flight: false,
            check_now: HashSet::new(),
            unstored: Vec::new(),
        }
    }

    /// Runs until the shards are gone.
    pub(crate) async fn run(mut self, mut inbox: UnboundedReceiver<Vec<KeeperInput>>) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut presence = interval(self.setup.times.tick());
        presence.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                delivery = self.link.recv() => self.handle_delivery(delivery),
                input = inbox.recv() => match input {
                    Some(inputs) => inputs.into_iter().for_each(|input| self.handle_input(input)),
                    None => break,
                },
                Some(task) = self.tasks.join_next() => {
                    if let Ok(task) = task { self.handle_task(task) }
                }
                _ = tick.tick() => self.handle_tick(),
                _ = presence.tick() => self.handle_presence_tick(),
            }
            if !self.check_now.is_empty() {
                self.check_heads();
            }
        }
        self.store_at_the_end().await;
    }

    fn handle_input(&mut self, input: KeeperInput) {
        let now_ms = self.setup.clock.now_ms();
        match input {
            KeeperInput::Attach { realm, shard } => self.attach(realm, shard),
            KeeperInput::Detach { realm, shard } => {
                if let Some(realm) = self.realms.get_mut(&realm) {
                    realm.detach(shard, now_ms);
                }
            }
            KeeperInput::CheckHead { realm: id, shard, key, sequence } => {
                if let Some(realm) = self.realms.get_mut(&id) {
                    realm.await_head(shard, key, sequence);
                    self.check_now.insert(id);
                }
            }
            KeeperInput::ReadBlock { realm, shard, number } => {
                if let Some(realm) = self.realms.get_mut(&realm) {
                    realm.need_block(shard, number, &mut self.tasks);
                }
            }
            KeeperInput::Presence { realm, report } => {
                if let Some(realm) = self.realms.get_mut(&realm) {
                    realm.handle_presence(report, now_ms);
                }
            }
            KeeperInput::PresenceSince { realm, shard, key, since } => {
                if let Some(realm) = self.realms.get_mut(&realm) {
                    realm.tell_presence(shard, key, since, now_ms);
                }
            }
        }
    }

    fn attach(&mut self, id: RealmId, shard: usize) {
        let realm = self.realms.entry(id).or_insert_with(|| {
            self.link.subscribe(id);
            Realm::load(id, self.setup.clone(), &mut self.tasks)
        });
        realm.attach(shard);
    }

    fn handle_delivery(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Frame { realm, frame } => self.handle_frame(realm, &frame),
            Delivery::Gap => self.check_now.extend(self.realms.keys()),
            Delivery::Up => {
                self.link_up = true;
                self.check_now.extend(self.realms.keys());
            }
            Delivery::Down => self.link_up = false,
        }
    }

    fn handle_frame(&mut self, id: RealmId, frame: &[u8]) {
        let now_ms = self.setup.clock.now_ms();
        let Some(realm) = self.realms.get_mut(&id) else { return };
        match Frame::decode(frame) {
            Ok(Some(Frame::Events(publication))) if publication.realm_id == id => {
                realm.handle_publication(publication, now_ms, &mut self.tasks);
            }
            Ok(Some(Frame::Ephemeral(ephemeral))) if ephemeral.realm_id == id => {
                realm.handle_ephemeral(ephemeral)
            }
            Ok(Some(Frame::Events(_) | Frame::Ephemeral(_))) => {
                tracing::warn!(realm = %id, "a frame of another realm on this realm's channel");
            }
            // A kind this version does not know may have been an event: the log tells.
            Ok(None) => {
                self.check_now.insert(id);
            }
            Err(error) => {
                tracing::warn!(realm = %id, %error, "an unreadable frame on the bus");
                self.check_now.insert(id);
            }
        }
    }

    fn handle_task(&mut self, task: Task) {
        let now_ms = self.setup.clock.now_ms();
        match task {
            Task::Errand(errand) => {
                let Some(realm) = self.realms.get_mut(&errand.realm) else { return };
                let loaded = realm.handle_errand(errand, now_ms, &mut self.tasks);
                if loaded {
                    // What was published while it was being loaded is found at once.
                    self.check_now.insert(realm.id());
                }
            }
            Task::Heads(asked, heads) => self.handle_heads(&asked, heads, now_ms),
            Task::Stored(heard, stored) => {
                if let Err(error) = stored {
                    tracing::warn!(%error, "last-heard times not stored, kept");
                    self.unstored.extend(heard);
                    let excess = self.unstored.len().saturating_sub(UNSTORED_MAX);
                    self.unstored.drain(..excess);
                }
            }
        }
    }

    fn handle_heads(
        &mut self,
        asked: &HashMap<RealmId, (u64, Sequence)>,
        heads: Result<Vec<(RealmId, Position)>, LinkError>,
        now_ms: u64,
    ) {
        self.heads_in_flight = false;
        match heads {
            Ok(heads) => {
                for (id, head) in heads {
                    let (Some(realm), Some((generation, at))) = (self.realms.get_mut(&id), asked.get(&id))
                    else {
                        continue;
                    };
                    realm.handle_head(*generation, *at, head, now_ms, &mut self.tasks);
                }
            }
            Err(error) => tracing::warn!(%error, "heads not read"),
        }
    }

    fn handle_tick(&mut self) {
        let now_ms = self.setup.clock.now_ms();
        let linger_ms = millis(self.setup.linger);
        for realm in self.realms.values_mut() {
            realm.handle_tick(now_ms, &mut self.tasks);
        }
        let link = &mut self.link;
        self.realms.retain(|id, realm| {
            let keep = !realm.is_unused_since(now_ms.saturating_sub(linger_ms));
            if !keep {
                link.unsubscribe(*id);
            }
            keep
        });
        self.check_heads();
    }

    fn handle_presence_tick(&mut self) {
        let now_ms = self.setup.clock.now_ms();
        let mut heard = std::mem::take(&mut self.unstored);
        for realm in self.realms.values_mut() {
            realm.handle_presence_tick(now_ms);
            heard.extend(realm.last_heard(now_ms));
        }
        if !heard.is_empty() {
            let stored = self.setup.link.store_last_heard(heard.clone());
            self.tasks.spawn(async move { Task::Stored(heard, stored.await) });
        }
    }

    /// Reads the heads of all realms that are due, in one call.
    fn check_heads(&mut self) {
        if self.heads_in_flight {
            return;
        }
        let now_ms = self.setup.clock.now_ms();
        let every_ms = if self.link_up { HEAD_CHECK_MS } else { HEAD_CHECK_LINK_DOWN_MS };
        let mut asked = HashMap::new();
        for (id, realm) in &mut self.realms {
            let due = realm.head_checked_ms() + every_ms <= now_ms || self.check_now.contains(id);
            if let (true, Some(at)) = (due, realm.stands_at()) {
                realm.head_asked(now_ms);
                asked.insert(*id, at);
            }
        }
        self.check_now.clear();
        if asked.is_empty() {
            return;
        }
        self.heads_in_flight = true;
        let heads = self.setup.link.heads(asked.keys().copied().collect());
        self.tasks.spawn(async move { Task::Heads(asked, heads.await) });
    }

    async fn store_at_the_end(&mut self) {
        let now_ms = self.setup.clock.now_ms();
        let mut heard = std::mem::take(&mut self.unstored);
        for realm in self.realms.values_mut() {
            heard.extend(realm.everybody_left(now_ms));
        }
        if let Err(error) = self.setup.link.store_last_heard(heard).await {
            tracing::warn!(%error, "last-heard times not stored");
        }
    }
}

/// Where shards reach the keepers.
#[derive(Debug, Clone)]
pub(crate) struct KeeperHandle(UnboundedSender<Vec<KeeperInput>>);

impl KeeperHandle {
    pub(crate) fn new(inbox: UnboundedSender<Vec<KeeperInput>>) -> Self {
        Self(inbox)
    }

    /// Tells the keepers; they are gone only when the node is.
    pub(crate) fn tell_all(&self, inputs: Vec<KeeperInput>) {
        let _ = self.0.send(inputs);
    }
}
