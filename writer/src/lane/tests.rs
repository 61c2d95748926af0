#![allow(clippy::wildcard_enum_match_arm, reason = "whatever else came is a failed test")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use squall_bus::{BoxFuture, Delivery, MemoryBus};
use squall_protocol::event::Event;
use squall_protocol::link::EventRecord;
use squall_protocol::{Destination, Epoch, Mark, SendId, Sequence, StreamId, UserId};
use tokio::sync::Semaphore;

use super::*;
use crate::change::Change;

const REALM: RealmId = RealmId(1);
const OTHER_REALM: RealmId = RealmId(2);

/// Whether a group with these contents fails.
type Fails = dyn Fn(&[String]) -> bool + Send + Sync;

/// A database that takes everything when it is let, and fails when it is told.
struct Script {
    /// A commit waits for one.
    permits: Semaphore,
    fails: Box<Fails>,
    /// What was committed: group by group, the contents in their order.
    committed: Mutex<Vec<Vec<String>>>,
    plan: LanePlan,
    under_way: AtomicUsize,
    /// What a group that fails is told.
    error: StoreError,
}

impl Script {
    fn new(permits: usize, fails: impl Fn(&[String]) -> bool + Send + Sync + 'static) -> Self {
        Self {
            permits: Semaphore::new(permits),
            fails: Box::new(fails),
            committed: Mutex::default(),
            plan: LanePlan::One,
            under_way: AtomicUsize::new(0),
            error: StoreError::Unavailable("told so".into()),
        }
    }
}

impl Commit for Script {
    fn commit(&self, group: Arc<Group>) -> BoxFuture<'_, Result<Vec<RealmCommit>, StoreError>> {
        Box::pin(async move {
            self.under_way.fetch_add(1, Ordering::Relaxed);
            self.permits.acquire().await.unwrap().forget();
            self.under_way.fetch_sub(1, Ordering::Relaxed);
            let requests = group.realms.iter().flat_map(|part| &part.requests);
            let contents: Vec<String> = requests.map(content).collect();
            if (self.fails)(&contents) {
                return Err(self.error.clone());
            }
            let mut committed = self.committed.lock().unwrap();
            committed.push(contents);
            let number = committed.len() as u64;
            Ok(group.realms.iter().map(|part| commit_of(part, number)).collect())
        })
    }

    fn lane_plan(&self) -> LanePlan {
        self.plan
    }
}

fn content(request: &Request) -> String {
    match &request.change {
        Change::Send { content, .. } => content.clone(),
        other => panic!("not sent by these tests: {other:?}"),
    }
}

fn commit_of(part: &RealmGroup, number: u64) -> RealmCommit {
    let done = Outcome::Done { sequence: Sequence(number), user_ids: Vec::new() };
    let event = Event::CredentialChanged { user_id: UserId(1) };
    let publication = Publication {
        realm_id: part.realm_id,
        epoch: Epoch(1),
        previous_mark: Mark(0),
        records: vec![EventRecord::new(Sequence(number), part.mark, &event)],
    };
    RealmCommit { publication: Some(publication), outcomes: vec![done; part.requests.len()] }
}

fn send(realm_id: RealmId, session: u64, content: &str) -> (SessionId, Request) {
    let change = Change::Send {
        sender_id: UserId(1),
        send_id: SendId::parse("x").unwrap(),
        to: Destination::Stream { stream_id: StreamId(1), topic: "t".into() },
        content: content.into(),
    };
    (SessionId(session), Request { realm_id, change })
}

struct Setup {
    store: Arc<Script>,
    bus: MemoryBus,
    lanes: Arc<Lanes>,
}

fn setup(permits: usize, fails: impl Fn(&[String]) -> bool + Send + Sync + 'static) -> Setup {
    setup_on(Script::new(permits, fails))
}

fn setup_on(script: Script) -> Setup {
    let store = Arc::new(script);
    let bus = MemoryBus::new();
    let lanes = Lanes::new(Arc::clone(&store) as Arc<dyn Commit>, Arc::new(bus.clone()));
    Setup { store, bus, lanes: Arc::new(lanes) }
}

impl Setup {
    /// Submits in the background; it is with the lane when this returns.
    async fn submit(&self, requests: Vec<(SessionId, Request)>) -> JoinHandle<Vec<Outcome>> {
        let lanes = Arc::clone(&self.lanes);
        let task = tokio::spawn(async move { lanes.submit(requests).await });
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        task
    }

    fn committed(&self) -> Vec<Vec<String>> {
        self.store.committed.lock().unwrap().clone()
    }
}

fn code(outcome: &Outcome) -> Option<RefusalCode> {
    match outcome {
        Outcome::Refused(refusal) => Some(refusal.code),
        _ => None,
    }
}

#[tokio::test]
async fn what_arrives_within_one_commit_shares_the_next() {
    let setup = setup(0, |_| false);
    let mut tasks = vec![setup.submit(vec![send(REALM, 1, "first")]).await];
    for content in ["a", "b", "c"] {
        tasks.push(setup.submit(vec![send(REALM, 1, content)]).await);
    }
    setup.store.permits.add_permits(2);
    for task in tasks {
        assert_eq!(code(&task.await.unwrap()[0]), None);
    }
    assert_eq!(setup.committed(), [vec!["first"], vec!["a", "b", "c"]]);
}

#[tokio::test]
async fn a_group_has_no_more_events_of_a_realm_than_allowed() {
    let setup = setup(100, |_| false);
    let contents: Vec<String> = (0..3 * GROUP_EVENTS_MAX / 2).map(|n| n.to_string()).collect();
    let mut requests: Vec<_> = contents.iter().map(|content| send(REALM, 1, content)).collect();
    requests.push(send(OTHER_REALM, 1, "other"));
    let outcomes = setup.lanes.submit(requests).await;
    assert_eq!(outcomes.len(), contents.len() + 1);
    let committed = setup.committed();
    assert_eq!(committed[0].len(), GROUP_EVENTS_MAX);
    assert_eq!(committed.len(), 2);
    let all: Vec<_> = committed.concat();
    assert_eq!(all[..contents.len()], contents, "in their order");
}

#[tokio::test]
async fn a_group_has_no_more_bytes_than_allowed() {
    let setup = setup(100, |_| false);
    let big = "x".repeat(GROUP_BYTES_MAX / 2);
    let requests = (0..3).map(|session| send(REALM, session, &big)).collect();
    setup.lanes.submit(requests).await;
    assert_eq!(setup.committed().iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1]);
}

#[tokio::test]
async fn one_that_fails_does_not_fail_the_others() {
    let setup = setup(100, |contents| contents.iter().any(|content| content == "bad"));
    let requests = vec![
        send(REALM, 1, "a"),
        send(REALM, 2, "bad"),
        send(REALM, 2, "after bad"),
        send(REALM, 3, "b"),
        send(OTHER_REALM, 4, "c"),
    ];
    let outcomes = setup.lanes.submit(requests).await;
    let codes: Vec<_> = outcomes.iter().map(code).collect();
    let [unavailable, out_of_order] = [RefusalCode::Unavailable, RefusalCode::OutOfOrder];
    assert_eq!(codes, [None, Some(unavailable), Some(out_of_order), None, None]);
    assert_eq!(setup.committed(), [["a"], ["b"], ["c"]]);
    let Outcome::Refused(refusal) = &outcomes[1] else { panic!() };
    assert!(refusal.retry_after_ms.is_some(), "it may be tried again");
}

#[tokio::test]
async fn after_a_refusal_the_sessions_later_ones_wait_even_in_later_groups() {
    let setup = setup(1000, |contents| contents.iter().any(|content| content == "bad"));
    let mut requests = vec![send(REALM, 1, "bad")];
    requests.extend((0..GROUP_EVENTS_MAX).map(|_| send(REALM, 2, "fine")));
    requests.push(send(REALM, 1, "behind"));
    requests.push(send(REALM, 2, "last"));
    let outcomes = setup.lanes.submit(requests).await;
    assert_eq!(code(&outcomes[0]), Some(RefusalCode::Unavailable));
    assert_eq!(code(&outcomes[GROUP_EVENTS_MAX + 1]), Some(RefusalCode::OutOfOrder));
    assert_eq!(code(&outcomes[GROUP_EVENTS_MAX + 2]), None);
    let again = setup.lanes.submit(vec![send(REALM, 1, "behind")]).await;
    assert_eq!(code(&again[0]), None, "the next batch starts anew");
}

#[tokio::test]
async fn a_commit_is_published_before_it_is_answered() {
    let setup = setup(1, |_| false);
    let mut link = setup.bus.open();
    link.subscribe(REALM);
    setup.lanes.submit(vec![send(REALM, 1, "a"), send(REALM, 1, "b")]).await;
    let Delivery::Frame { realm, frame } = link.recv().await else { panic!("no frame") };
    assert_eq!(realm, REALM);
    let Some(Frame::Events(publication)) = Frame::decode(&frame).unwrap() else { panic!("no events") };
    assert_eq!(publication.records.len(), 1, "one publication for the group");
}

#[tokio::test(start_paused = true)]
async fn what_waited_too_long_is_refused_not_done_late() {
    let setup = setup(0, |_| false);
    let first = setup.submit(vec![send(REALM, 1, "first")]).await;
    let second = setup.submit(vec![send(REALM, 1, "second")]).await;
    tokio::time::advance(QUEUE_AGE_MAX + Duration::from_secs(1)).await;
    setup.store.permits.add_permits(10);
    assert_eq!(code(&first.await.unwrap()[0]), None);
    assert_eq!(code(&second.await.unwrap()[0]), Some(RefusalCode::Unavailable));
    assert_eq!(setup.committed(), [["first"]]);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let setup = setup(0, |_| false);
    let first = setup.submit(vec![send(REALM, 1, "first")]).await;
    let many = (0..QUEUE_REQUESTS_MAX).map(|_| send(REALM, 1, "x")).collect();
    let many = setup.submit(many).await;
    let refused = setup.lanes.submit(vec![send(REALM, 1, "one more")]).await;
    assert_eq!(code(&refused[0]), Some(RefusalCode::Unavailable));
    setup.store.permits.add_permits(QUEUE_REQUESTS_MAX);
    assert_eq!(code(&first.await.unwrap()[0]), None);
    assert!(many.await.unwrap().iter().all(|outcome| code(outcome).is_none()));
    assert_eq!(code(&setup.lanes.submit(vec![send(REALM, 1, "room again")]).await[0]), None);
}

#[tokio::test]
async fn lanes_that_are_closed_finish_what_waits_and_take_no_more() {
    let setup = setup(0, |_| false);
    let waiting =
        [setup.submit(vec![send(REALM, 1, "a")]).await, setup.submit(vec![send(REALM, 1, "b")]).await];
    let closing = tokio::spawn({
        let lanes = Arc::clone(&setup.lanes);
        async move { lanes.close().await }
    });
    tokio::task::yield_now().await;
    let late = setup.lanes.submit(vec![send(REALM, 1, "late")]).await;
    assert_eq!(code(&late[0]), Some(RefusalCode::Unavailable));
    assert!(!closing.is_finished());
    setup.store.permits.add_permits(2);
    closing.await.unwrap();
    for answer in waiting {
        assert_eq!(code(&answer.await.unwrap()[0]), None);
    }
}

#[tokio::test]
async fn a_lane_ends_when_nothing_waits_and_another_is_made() {
    let setup = setup(100, |_| false);
    for content in ["a", "b"] {
        setup.lanes.submit(vec![send(REALM, 1, content)]).await;
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!(setup.lanes.shared.open().by_key.is_empty());
    }
    assert_eq!(setup.committed(), [["a"], ["b"]]);
}

#[tokio::test]
async fn a_lane_that_broke_is_replaced() {
    let setup = setup(100, |contents| contents[0] == "bad" && panic!("on purpose"));
    let outcome = setup.lanes.submit(vec![send(REALM, 1, "bad")]).await;
    assert_eq!(code(&outcome[0]), Some(RefusalCode::Unavailable));
    let outcome = setup.lanes.submit(vec![send(REALM, 1, "good")]).await;
    assert_eq!(code(&outcome[0]), None);
    setup.lanes.close().await;
}

fn per_realm(permits: usize, commits_max: usize) -> Setup {
    setup_on(Script { plan: LanePlan::PerRealm { commits_max }, ..Script::new(permits, |_| false) })
}

#[tokio::test]
async fn realms_with_lanes_of_their_own_do_not_share_groups_and_a_batch_is_answered_in_order() {
    let setup = per_realm(100, 8);
    let requests =
        vec![send(REALM, 1, "a"), send(OTHER_REALM, 2, "b"), send(REALM, 1, "c"), send(OTHER_REALM, 2, "d")];
    let outcomes = setup.lanes.submit(requests).await;
    let committed = setup.committed();
    assert_eq!(committed, [["a", "c"], ["b", "d"]]);
    let sequences = outcomes.iter().map(|outcome| match outcome {
        Outcome::Done { sequence, .. } => sequence.0,
        other => panic!("{other:?}"),
    });
    assert_eq!(sequences.collect::<Vec<_>>(), [1, 2, 1, 2], "each has its own realm's answer");
}

#[tokio::test]
async fn no_more_realms_commit_at_once_than_the_database_takes() {
    let setup = per_realm(0, 2);
    let mut tasks = Vec::new();
    for realm in 1..=5 {
        tasks.push(setup.submit(vec![send(RealmId(realm), 1, "x")]).await);
    }
    assert_eq!(setup.lanes.shared.permits.available_permits(), 0);
    assert_eq!(setup.store.under_way.load(Ordering::Relaxed), 2);
    setup.store.permits.add_permits(5);
    for task in tasks {
        assert_eq!(code(&task.await.unwrap()[0]), None);
    }
}

#[tokio::test]
async fn a_database_that_is_away_is_not_asked_for_each_request() {
    let away = StoreError::Away("gone".into());
    let setup = setup_on(Script { error: away, ..Script::new(1, |_| true) });
    let requests = vec![send(REALM, 1, "a"), send(REALM, 1, "b"), send(OTHER_REALM, 2, "c")];
    let outcomes = setup.lanes.submit(requests).await;
    // There was a permit for one commit only: a second would wait for ever.
    assert!(outcomes.iter().all(|outcome| code(outcome) == Some(RefusalCode::Unavailable)), "{outcomes:?}");
}

/// A bus that is stuck.
struct Stuck;

impl Bus for Stuck {
    fn publish(&self, _: RealmId, _: bytes::Bytes) -> BoxFuture<'_, Result<(), squall_bus::PublishError>> {
        Box::pin(std::future::pending())
    }

    fn open(&self) -> Box<dyn squall_bus::Link> {
        MemoryBus::new().open()
    }
}

#[tokio::test(start_paused = true)]
async fn a_stuck_bus_does_not_hold_up_answers_for_long() {
    let lanes = Lanes::new(Arc::new(Script::new(100, |_| false)), Arc::new(Stuck));
    let began = Instant::now();
    assert_eq!(code(&lanes.submit(vec![send(REALM, 1, "a")]).await[0]), None);
    assert_eq!(began.elapsed(), PUBLISH_MAX);
}
