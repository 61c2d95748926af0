//! Two nodes' keepers on one bus, with the test in the place of their shards.

use std::collections::BTreeMap;

use bytes::Bytes;
use squall_bus::{MemoryBus, PublishError};
use squall_hub::frame::Announcement;
use squall_hub::presence::TimesConfig;
use squall_protocol::link::{NodeLease, PageCursor};
use squall_protocol::node_presence::{NodePresence, PresenceSource};
use squall_protocol::server_message::{PresenceDiff, PresenceSnapshot, ServerMessage};
use squall_protocol::{Codec, Epoch, Mark, NodeId};
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::super::company::Company;
use super::*;
use crate::shard::{ShardInbox, ShardInput, shard_channel};
use crate::testing::SilentLink;

const REALM: RealmId = RealmId(1);
const ANNA: UserId = UserId(7);
const BELA: UserId = UserId(3);
const LAPTOP: SessionId = SessionId(1);
const PHONE: SessionId = SessionId(2);

/// Nothing here takes that long.
const LONG: Duration = Duration::from_secs(20);
const TICK: Duration = Duration::from_millis(80);

/// The writers: they have one empty realm, a clock of their own, and what nodes said of themselves.
struct Writers {
    clock: Clock,
    is_away: Mutex<bool>,
    leases: Mutex<BTreeMap<NodeId, u64>>,
}

/// A bus whose links say that they are down, and up again.
struct Cable {
    bus: MemoryBus,
    up: watch::Sender<bool>,
}

struct CableLink {
    link: Box<dyn Link>,
    up: watch::Receiver<bool>,
    told: Option<bool>,
}

struct Node {
    id: NodeId,
    clock: Clock,
    bus_offset: BusOffset,
    keepers: KeeperHandle,
    shard: ShardInbox,
    running: JoinHandle<()>,
}

impl Writers {
    fn new() -> Arc<Self> {
        Arc::new(Self { clock: Clock::start(), is_away: Mutex::new(false), leases: Mutex::default() })
    }

    fn position() -> Position {
        Position { epoch: Epoch(1), sequence: Sequence::ZERO, mark: Mark(0) }
    }
}

/// Answers when asked, as long as the writers are there.
struct ToWriters(Arc<Writers>);

impl SilentLink for ToWriters {
    fn realm_page(
        &self,
        _: RealmId,
        _: Option<PageCursor>,
    ) -> BoxFuture<'static, Result<RealmPage, LinkError>> {
        let as_of = Writers::position();
        let page = RealmPage { as_of, users: vec![], streams: vec![], members: vec![], next: None };
        Box::pin(std::future::ready(Ok(page)))
    }

    fn heads(
        &self,
        realms: Vec<RealmId>,
        lease: Option<NodeLease>,
    ) -> BoxFuture<'static, Result<Heads, LinkError>> {
        if *self.0.is_away.lock().unwrap() {
            return Box::pin(std::future::ready(Err(LinkError::Unavailable("away".into()))));
        }
        let mut known = self.0.leases.lock().unwrap();
        if let Some(lease) = lease {
            known.insert(lease.node_id, lease.as_of_ms);
        }
        let all =
            known.iter().map(|(node_id, as_of_ms)| NodeLease { node_id: *node_id, as_of_ms: *as_of_ms });
        let heads = Heads {
            heads: realms.into_iter().map(|realm| (realm, Writers::position())).collect(),
            leases: all.filter(|_| lease.is_some()).collect(),
            time_ms: self.0.clock.now_ms(),
        };
        Box::pin(std::future::ready(Ok(heads)))
    }

    fn store_last_heard(&self, _: Vec<LastHeard>) -> BoxFuture<'static, Result<(), LinkError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Cable {
    fn new(bus: &MemoryBus) -> Arc<Self> {
        Arc::new(Self { bus: bus.clone(), up: watch::channel(true).0 })
    }

    fn set(&self, up: bool) {
        self.up.send_replace(up);
    }
}

impl Bus for Cable {
    fn publish(&self, realm: RealmId, frame: Bytes) -> BoxFuture<'_, Result<(), PublishError>> {
        if *self.up.borrow() {
            return self.bus.publish(realm, frame);
        }
        Box::pin(std::future::ready(Err(PublishError("cut".into()))))
    }

    fn open(&self) -> Box<dyn Link> {
        Box::new(CableLink { link: self.bus.open(), up: self.up.subscribe(), told: None })
    }
}

impl Link for CableLink {
    fn subscribe(&mut self, realm: RealmId) {
        self.link.subscribe(realm);
    }

    fn unsubscribe(&mut self, realm: RealmId) {
        self.link.unsubscribe(realm);
    }

    fn recv(&mut self) -> BoxFuture<'_, Delivery> {
        Box::pin(async {
            loop {
                let up = *self.up.borrow_and_update();
                if self.told.replace(up) != Some(up) {
                    return if up { Delivery::Up } else { Delivery::Down };
                }
                tokio::select! {
                    changed = self.up.changed() => changed.unwrap(),
                    delivery = self.link.recv() => if up { return delivery },
                }
            }
        })
    }
}

impl Node {
    fn start(bus: Arc<dyn Bus>, writers: &Arc<Writers>, clock: Clock) -> Self {
        let company = Company::random();
        let id = company.open().node_id;
        Self::start_as(Some(company), id, bus, writers, clock)
    }

    fn start_as(
        company: Option<Company>,
        id: NodeId,
        bus: Arc<dyn Bus>,
        writers: &Arc<Writers>,
        clock: Clock,
    ) -> Self {
        let (handle, shard) = shard_channel();
        let times = if company.is_some() { TimesConfig::among_nodes() } else { TimesConfig::default() };
        let health = Arc::new(Health::new("bus", &[], 0));
        health.bus_is(Ok(()), 0);
        let setup = KeeperSetup {
            clock,
            bus_offset: BusOffset::default(),
            link: Arc::new(ToWriters(writers.clone())),
            health,
            shards: vec![handle],
            times: Times::new(TimesConfig { tick: TICK, grace: 400 * TICK, ..times }).unwrap(),
            linger: Duration::ZERO,
            company,
        };
        let bus_offset = setup.bus_offset.clone();
        let (inbox, receiver) = unbounded_channel();
        let running = tokio::spawn(Keepers::new(setup, &bus).run(receiver));
        Self { id, clock, bus_offset, keepers: KeeperHandle::new(inbox), shard, running }
    }

    /// The shard has sessions in the realm, and the realm is there.
    async fn enter(&mut self) {
        self.keepers.tell(KeeperInput::Attach { realm: REALM, shard: 0 });
        self.wait_for(|input| matches!(input, ShardInput::RealmReady(_)).then_some(())).await;
    }

    fn connect(&self, user: UserId, device: SessionId) {
        let report = PresenceReport::Connected { user, device, status: Status::Active };
        self.keepers.tell(KeeperInput::Presence { realm: REALM, report });
    }

    async fn wait_for<T>(&mut self, mut take: impl FnMut(ShardInput) -> Option<T>) -> T {
        let waiting = async {
            loop {
                if let Some(taken) = take(self.shard.recv().await.unwrap()) {
                    return taken;
                }
            }
        };
        timeout(LONG, waiting).await.expect("it comes in time")
    }

    /// The next diff that is told to the realm's clients.
    async fn diff(&mut self) -> PresenceDiff {
        let told =
            |input| if let ShardInput::PresenceDiff { message, .. } = input { Some(message) } else { None };
        let message: Arc<Announcement> = self.wait_for(told).await;
        let ServerMessage::Presence(diff) = said(&message) else { panic!("no diff") };
        diff
    }

    /// What a session that opens now is told.
    async fn snapshot(&mut self) -> PresenceSnapshot {
        self.keepers.tell(KeeperInput::PresenceSince { realm: REALM, shard: 0, key: KEY, since: None });
        let told =
            |input| if let ShardInput::PresenceFor { message, .. } = input { Some(message) } else { None };
        let message: Arc<Announcement> = self.wait_for(told).await;
        let ServerMessage::PresenceSnapshot(snapshot) = said(&message) else { panic!("no snapshot") };
        snapshot
    }

    fn bus_ms(&self) -> u64 {
        self.bus_offset.bus_ms(self.clock.now_ms())
    }
}

/// What clients read.
fn said(message: &Announcement) -> ServerMessage {
    let frame = message.frame(Codec::Json);
    let payload = &frame[if frame[1] == 126 { 4 } else { 2 }..];
    Codec::Json.decode_server(payload).unwrap()
}

/// Two nodes in the realm.
async fn pair(bus: &MemoryBus, writers: &Arc<Writers>) -> (Node, Node) {
    let mut nodes = [(); 2].map(|()| Node::start(Arc::new(bus.clone()), writers, Clock::start()));
    for node in &mut nodes {
        node.enter().await;
    }
    nodes.into()
}

#[tokio::test]
async fn who_connects_to_one_node_is_told_on_the_other() {
    let (north, mut south) = pair(&MemoryBus::new(), &Writers::new()).await;
    north.connect(ANNA, LAPTOP);
    assert_eq!(south.diff().await.active, [ANNA]);
    assert_eq!(south.snapshot().await.active, [ANNA]);
    south.connect(BELA, PHONE);
    assert_eq!(south.diff().await.active, [BELA]);
}

#[tokio::test]
async fn the_first_snapshot_of_a_node_waits_until_the_others_have_said_who_is_there() {
    let (bus, writers) = (MemoryBus::new(), Writers::new());
    let mut north = Node::start(Arc::new(bus.clone()), &writers, Clock::start());
    north.enter().await;
    north.connect(ANNA, LAPTOP);
    assert_eq!(north.diff().await.active, [ANNA]);
    let mut south = Node::start(Arc::new(bus), &writers, Clock::start());
    south.enter().await;
    assert_eq!(south.snapshot().await.active, [ANNA]);
}

#[tokio::test]
async fn nodes_whose_clocks_are_minutes_apart_agree_on_the_time() {
    let (bus, writers) = (MemoryBus::new(), Writers::new());
    let mut fast = Node::start(Arc::new(bus.clone()), &writers, Clock::start_ahead(7 * 60_000));
    let mut slow = Node::start(Arc::new(bus), &writers, Clock::start_ahead(-7 * 60_000));
    fast.enter().await;
    slow.enter().await;
    fast.connect(ANNA, LAPTOP);
    slow.connect(BELA, PHONE);
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let diff = slow.diff().await;
        assert!(diff.as_of_ms.abs_diff(writers.clock.now_ms()) < 1_000);
        seen.extend(diff.active);
    }
    assert!(fast.diff().await.as_of_ms.abs_diff(writers.clock.now_ms()) < 1_000);
    assert!(fast.bus_ms().abs_diff(slow.bus_ms()) < 200);
}

#[tokio::test]
async fn no_realm_is_opened_before_a_writer_has_told_the_time() {
    let (bus, writers) = (MemoryBus::new(), Writers::new());
    *writers.is_away.lock().unwrap() = true;
    let mut node = Node::start(Arc::new(bus), &writers, Clock::start());
    node.keepers.tell(KeeperInput::Attach { realm: REALM, shard: 0 });
    let opened = timeout(Duration::from_millis(300), node.shard.recv()).await;
    assert!(opened.is_err(), "opened without the time");
    *writers.is_away.lock().unwrap() = false;
    node.wait_for(|input| matches!(input, ShardInput::RealmReady(_)).then_some(())).await;
}

#[tokio::test]
async fn a_node_without_the_bus_tells_a_writer_that_it_lives_and_says_later_what_was_missed() {
    let (bus, writers) = (MemoryBus::new(), Writers::new());
    let cable = Cable::new(&bus);
    let mut north = Node::start(cable.clone(), &writers, Clock::start());
    let mut south = Node::start(Arc::new(bus), &writers, Clock::start());
    north.enter().await;
    south.enter().await;
    north.connect(ANNA, LAPTOP);
    assert_eq!(south.diff().await.active, [ANNA]);
    assert!(writers.leases.lock().unwrap().is_empty(), "no lease while the bus carries signs of life");
    cable.set(false);
    north.connect(BELA, PHONE);
    while north.diff().await.active != [BELA] {}
    timeout(LONG, async {
        while !writers.leases.lock().unwrap().contains_key(&north.id) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("a lease");
    cable.set(true);
    assert_eq!(south.diff().await.active, [BELA]);
}

#[tokio::test]
async fn a_node_alone_says_nothing_to_the_bus_and_tells_at_its_ticks() {
    let (bus, writers) = (MemoryBus::new(), Writers::new());
    let mut listener = bus.open();
    listener.subscribe(REALM);
    let mut node = Node::start_as(None, NodeId(1), Arc::new(bus), &writers, Clock::start());
    node.enter().await;
    node.connect(ANNA, LAPTOP);
    assert_eq!(node.diff().await.active, [ANNA]);
    assert_eq!(node.snapshot().await.active, [ANNA]);
    let heard = timeout(4 * TICK, listener.recv()).await;
    assert!(heard.is_err(), "it said {heard:?}");
}

#[tokio::test]
async fn a_frame_of_another_realm_on_this_realms_channel_is_not_heard() {
    let (bus, writers) = (MemoryBus::new(), Writers::new());
    let (mut north, _south) = pair(&bus, &writers).await;
    let part = |realm_id, user| {
        let source = PresenceSource { node_id: NodeId(5), opening: 1 };
        let as_of_ms = writers.clock.now_ms();
        let diff = PresenceDiff { as_of_ms, to: 1, active: vec![user], ..PresenceDiff::default() };
        Frame::NodePresence(NodePresence { realm_id, source, change: 1, diff }).encode()
    };
    bus.publish(REALM, part(RealmId(2), ANNA)).await.unwrap();
    bus.publish(REALM, part(REALM, BELA)).await.unwrap();
    assert_eq!(north.diff().await.active, [BELA]);
}

/// Takes nothing, ever.
struct StuckBus(MemoryBus);

impl Bus for StuckBus {
    fn publish(&self, _: RealmId, _: Bytes) -> BoxFuture<'_, Result<(), PublishError>> {
        Box::pin(std::future::pending())
    }

    fn open(&self) -> Box<dyn Link> {
        self.0.open()
    }
}

#[tokio::test]
async fn a_bus_that_takes_nothing_holds_nobody_up_and_costs_bounded_memory() {
    let mut node = Node::start(Arc::new(StuckBus(MemoryBus::new())), &Writers::new(), Clock::start());
    node.enter().await;
    for user in 1..=4_000 {
        node.connect(UserId(user), SessionId(user.into()));
    }
    let mut told = 0;
    while told < 4_000 {
        told += node.diff().await.active.len();
    }
    drop(node.keepers);
    timeout(LONG, node.running).await.expect("it ends").unwrap();

    let mut publisher = Publisher::start(Arc::new(StuckBus(MemoryBus::new())));
    (0..10_000).for_each(|_| publisher.publish(REALM, Bytes::from_static(&[0; 2_000])));
    assert!(publisher.queued_bytes() <= 4 * 1024 * 1024, "{} bytes", publisher.queued_bytes());
    assert!(publisher.queued_bytes() > 3 * 1024 * 1024);
}
