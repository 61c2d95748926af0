//! A realm in the keepers' thread, with a log in place of the writer.

use std::sync::Mutex;

use squall_bus::BoxFuture;
use squall_hub::catch_up::PositionCheck;
use squall_protocol::link::{EventRecord, Identity, PageCursor, WriteOutcome, WriteRequest};
use squall_protocol::{Epoch, Event, Mark};

use super::*;
use crate::shard::{ShardInbox, ShardInput, shard_channel};

const KEY: SessionKey = SessionKey { slot: 0, generation: 1 };

/// Events 1 to `head`, of which those up to `floor` are pruned.
struct Log {
    floor: u64,
    head: u64,
    /// A change that this version can't read.
    unknown: Option<u64>,
}

struct LogLink(Mutex<Log>);

/// A realm that is loaded, and the inbox of the one shard attached to it.
struct OpenRealm {
    realm: Realm,
    tasks: JoinSet<Task>,
    shard: ShardInbox,
}

fn at(sequence: u64) -> Position {
    Position { epoch: Epoch(1), sequence: Sequence(sequence), mark: Mark(sequence as u32) }
}

impl Log {
    fn record(&self, sequence: u64) -> EventRecord {
        let fact = Event::CredentialChanged { user_id: UserId(1) };
        let mut record = EventRecord::new(Sequence(sequence), Mark(sequence as u32), &fact);
        if self.unknown == Some(sequence) {
            record.body = br#"{"kind":"later"}"#.as_slice().into();
        }
        record
    }
}

impl WriterLink for LogLink {
    fn identify(&self, _: Vec<String>) -> BoxFuture<'static, Result<Vec<Option<Identity>>, LinkError>> {
        unreachable!("a keeper identifies nobody")
    }

    fn write(&self, _: Vec<WriteRequest>) -> BoxFuture<'static, Vec<WriteOutcome>> {
        unreachable!("a keeper writes nothing")
    }

    fn realm_page(
        &self,
        _: RealmId,
        _: Option<PageCursor>,
    ) -> BoxFuture<'static, Result<RealmPage, LinkError>> {
        let as_of = at(self.0.lock().unwrap().head);
        let page = RealmPage { as_of, users: vec![], streams: vec![], members: vec![], next: None };
        Box::pin(std::future::ready(Ok(page)))
    }

    fn read_log(
        &self,
        _: RealmId,
        after: Sequence,
        limit: usize,
    ) -> BoxFuture<'static, Result<LogRange, LinkError>> {
        let log = self.0.lock().unwrap();
        let readable = if after.0 < log.floor { 0 } else { limit as u64 };
        let last = (after.0 + readable).min(log.head);
        let range = LogRange {
            head: at(log.head),
            floor: Sequence(log.floor),
            after_mark: (after.0 > log.floor || after.0 == 0).then_some(Mark(after.0 as u32)),
            records: (after.0 + 1..=last).map(|sequence| log.record(sequence)).collect(),
            changes: (last + 1..=log.head).map(|sequence| log.record(sequence)).collect(),
        };
        Box::pin(std::future::ready(Ok(range)))
    }

    fn heads(&self, _: Vec<RealmId>) -> BoxFuture<'static, Result<Vec<(RealmId, Position)>, LinkError>> {
        unreachable!("a realm does not read heads itself")
    }

    fn store_last_heard(&self, _: Vec<LastHeard>) -> BoxFuture<'static, Result<(), LinkError>> {
        unreachable!("a realm does not store times itself")
    }
}

impl OpenRealm {
    async fn new(log: Log) -> Self {
        let (handle, shard) = shard_channel();
        let setup = KeeperSetup {
            clock: Clock::start(),
            link: Arc::new(LogLink(Mutex::new(log))),
            shards: vec![handle],
            times: Times::default(),
            linger: Duration::ZERO,
        };
        let mut tasks = JoinSet::new();
        let mut realm = Realm::load(RealmId(1), setup, &mut tasks);
        realm.attach(0);
        let mut open = Self { realm, tasks, shard };
        open.run_errands().await;
        assert!(matches!(open.shard.try_recv(), Some(ShardInput::RealmReady(_))));
        open
    }

    async fn run_errands(&mut self) {
        while let Some(task) = self.tasks.join_next().await {
            match task.unwrap() {
                Task::Errand(errand) => self.realm.handle_errand(errand, 0, &mut self.tasks),
                Task::Heads(..) | Task::Stored(..) => unreachable!("realms run errands only"),
            };
        }
    }

    async fn block(&mut self, number: u64) -> Arc<squall_hub::catch_up::Block> {
        self.realm.need_block(0, number, &mut self.tasks);
        self.run_errands().await;
        match self.shard.try_recv() {
            Some(ShardInput::Block { block: Some(block), .. }) => block,
            _ => panic!("expected a block"),
        }
    }

    fn head_is(&mut self, head: u64) -> bool {
        self.realm.handle_head(0, Sequence(10), at(head), 0, &mut self.tasks);
        matches!(self.shard.try_recv(), Some(ShardInput::BeyondHead { key: KEY, .. }))
    }
}

#[tokio::test]
async fn a_session_is_not_judged_by_a_head_that_was_asked_for_before_it_came() {
    let mut open = OpenRealm::new(Log { floor: 0, head: 10, unknown: None }).await;
    open.realm.head_asked(0);
    open.realm.await_head(0, KEY, Sequence(11));
    assert!(!open.head_is(10), "this head is older than what the session knows of");
    open.realm.head_asked(0);
    assert!(open.head_is(10), "this one is not");
}

#[tokio::test]
async fn what_is_kept_of_a_block_is_read_though_its_beginning_is_pruned() {
    let mut open = OpenRealm::new(Log { floor: 100, head: 700, unknown: None }).await;
    let block = open.block(0).await;
    assert_eq!(block.check(at(99)), PositionCheck::Expired);
    assert_eq!(block.check(at(101)), PositionCheck::Good);
    assert_eq!(block.check(at(511)), PositionCheck::Good);
    assert_eq!(block.after(Sequence(101)).len(), 411);
    assert!(block.is_complete(), "so that it is read once for all who need it");
}

#[tokio::test]
async fn a_block_that_can_not_be_stamped_expires_those_who_need_it_and_nobody_else() {
    let mut open = OpenRealm::new(Log { floor: 0, head: 700, unknown: Some(600) }).await;
    assert_eq!(open.block(0).await.check(at(5)), PositionCheck::Expired);
    assert!(open.realm.stands_at().is_some(), "the realm is not loaded anew for it");
}

#[tokio::test]
async fn a_realm_is_kept_until_the_times_of_those_who_left_are_given_out() {
    let mut open = OpenRealm::new(Log { floor: 0, head: 10, unknown: None }).await;
    let device = SessionId(1);
    let came = PresenceReport::Connected { user: UserId(1), device, status: Status::Active };
    open.realm.handle_presence(came, 1_000);
    open.realm.handle_presence(PresenceReport::Disconnected { device, heard_ms: 2_000 }, 2_000);
    open.realm.detach(0, 2_000);
    assert!(!open.realm.is_unused_since(60_000));
    open.realm.handle_presence_tick(60_000);
    assert_eq!(open.realm.last_heard(60_000), [LastHeard { user_id: UserId(1), last_heard_s: 2 }]);
    assert!(open.realm.is_unused_since(60_000));
}
