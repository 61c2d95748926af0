use squall_bus::{Bus as _, Delivery, MemoryBus};
use squall_protocol::event::Role;
use squall_protocol::link::Operation;
use squall_protocol::{Destination, NodeId, SendId, StreamId};

use super::*;
use crate::testing::{writer, writer_with};

const GENERAL: StreamId = StreamId(1);
const ADA: UserId = UserId(1);
const BO: UserId = UserId(2);

/// A realm of two members in one stream.
async fn furnish(writer: &Writer) -> RealmId {
    let realm = writer.create_realm("Test").await.unwrap();
    let user = |name: &str| NewUser {
        email: format!("{name}@x"),
        full_name: name.into(),
        role: Role::Member,
        is_bot: false,
        streams: vec![],
    };
    for created in writer.create_users(realm, vec![user("ada"), user("bo")]).await {
        created.unwrap();
    }
    let stream = NewStream { name: "general".into(), description: String::new(), invite_only: false };
    writer.create_stream(realm, stream, vec![ADA, BO]).await.unwrap();
    realm
}

fn send(user_id: UserId, session: u64, id: &str, content: &str) -> WriteRequest {
    let to = Destination::Stream { stream_id: GENERAL, topic: "t".into() };
    WriteRequest {
        realm_id: RealmId(1),
        user_id,
        session_id: SessionId(session),
        send_id: SendId::parse(id).unwrap(),
        operation: Operation::Send { to, content: content.into() },
    }
}

fn code(outcome: &WriteOutcome) -> Option<RefusalCode> {
    match outcome {
        WriteOutcome::Refused(refusal) => Some(refusal.code),
        WriteOutcome::Sent { .. } | WriteOutcome::Done { .. } => None,
    }
}

#[tokio::test]
async fn a_batch_is_answered_in_order_and_published_once() {
    let dir = tempfile::tempdir().unwrap();
    let bus = MemoryBus::new();
    let config = Config { data_dir: dir.path().to_owned(), ..Config::default() };
    let writer = Writer::open(config, Arc::new(bus.clone())).await.unwrap();
    let realm = furnish(&writer).await;
    let mut link = bus.open();
    link.subscribe(realm);
    let batch = vec![send(ADA, 1, "a", "one"), send(BO, 2, "b", " "), send(ADA, 1, "c", "two")];
    let outcomes = writer.write(batch.clone()).await;
    assert_eq!(
        outcomes.iter().map(code).collect::<Vec<_>>(),
        [None, Some(RefusalCode::InvalidContent), None]
    );
    let Delivery::Frame { frame, .. } = link.recv().await else { panic!("no frame") };
    let Some(Frame::Events(publication)) = Frame::decode(&frame).unwrap() else { panic!("no events") };
    assert_eq!(publication.records.len(), 2);
    assert_eq!(writer.write(batch).await, outcomes, "again is the same again");
    let range = writer.read_log(realm, Sequence(0), usize::MAX).await.unwrap();
    assert_eq!(range.head.sequence, publication.records[1].sequence);
}

#[tokio::test]
async fn over_the_limit_is_refused_with_the_time_and_holds_back_the_rest() {
    let (writer, _dir) = writer_with(|config| config.rate_limit_per_minute = 2).await;
    furnish(&writer).await;
    let batch = vec![
        send(ADA, 1, "a", "1"),
        send(ADA, 1, "b", "2"),
        send(ADA, 1, "c", "3"),
        send(ADA, 1, "d", "4"),
        send(BO, 2, "e", "5"),
    ];
    let outcomes = writer.write(batch).await;
    let [limited, out_of_order] = [RefusalCode::RateLimited, RefusalCode::OutOfOrder];
    assert_eq!(
        outcomes.iter().map(code).collect::<Vec<_>>(),
        [None, None, Some(limited), Some(out_of_order), None]
    );
    let WriteOutcome::Refused(refusal) = &outcomes[2] else { panic!() };
    assert!((29_000..=30_000).contains(&refusal.retry_after_ms.unwrap()), "{refusal:?}");
    let WriteOutcome::Refused(behind) = &outcomes[3] else { panic!() };
    assert_eq!(behind.retry_after_ms, refusal.retry_after_ms);
}

#[tokio::test]
async fn many_at_once_are_each_stored_once_in_one_dense_log() {
    let (writer, _dir) = writer().await;
    let realm = furnish(&writer).await;
    let before = writer.heads(vec![realm], None).await.unwrap().heads[0].1.sequence.0;
    let mut tasks = Vec::new();
    for session in 0..50 {
        let writer = writer.clone();
        tasks.push(tokio::spawn(async move {
            let user = if session % 2 == 0 { ADA } else { BO };
            // Pairs of tasks share ids: each message is sent twice, by different ways.
            let id = |n: u32| format!("{}-{n}", session / 4);
            let batch: Vec<_> =
                (0..10).map(|n| send(user, session, &id(n), &format!("{}{n}", session / 4))).collect();
            writer.write(batch).await
        }));
    }
    let mut sequences = std::collections::BTreeMap::new();
    for task in tasks {
        for outcome in task.await.unwrap() {
            let WriteOutcome::Sent { message_id, sequence } = outcome else { panic!("{outcome:?}") };
            assert_eq!(*sequences.entry(sequence).or_insert(message_id), message_id);
        }
    }
    let expected = 13 * 2 * 10;
    assert_eq!(sequences.len(), expected, "13 series of each user, however often sent");
    let dense: Vec<_> = sequences.keys().map(|sequence| sequence.0).collect();
    assert_eq!(dense, (before + 1..=before + expected as u64).collect::<Vec<_>>());
    assert!(sequences.values().is_sorted());
}

#[tokio::test]
async fn thousands_of_users_are_made_in_bounded_transactions() {
    let (writer, _dir) = writer().await;
    let realm = furnish(&writer).await;
    let user = |n: u32| NewUser {
        email: format!("user{n}@x"),
        full_name: format!("User {n}"),
        role: Role::Member,
        is_bot: false,
        streams: if n.is_multiple_of(2) { vec!["general".into()] } else { vec![] },
    };
    let created = writer.create_users(realm, (0..1000).map(user).collect()).await;
    for (n, created) in created.iter().enumerate() {
        let created = created.as_ref().unwrap();
        assert_eq!((created.user_id, &created.email), (UserId(3 + n as u32), &format!("user{n}@x")));
        assert_eq!(
            writer.identify(created.api_key.reveal()).await.unwrap().unwrap().user_id,
            created.user_id
        );
    }
    let page = writer.realm_page(realm, None).await.unwrap();
    assert_eq!((page.users.len(), page.members.len()), (1002, 502));
    let range = writer.read_log(realm, Sequence(0), LOG_RANGE_EVENTS_MAX).await.unwrap();
    assert_eq!(range.records.len(), LOG_RANGE_EVENTS_MAX);
}

#[test]
fn creations_are_cut_by_users_and_by_streams() {
    let user = |streams: std::ops::Range<usize>| {
        let streams = streams.map(|n| format!("s{n}")).collect();
        let user = NewUser {
            email: String::new(),
            full_name: String::new(),
            role: Role::Guest,
            is_bot: false,
            streams,
        };
        (user, ApiKey::random().hash())
    };
    let sizes = |users: Vec<_>| {
        creation_chunks(users.into_iter()).iter().map(|(users, _)| users.len()).collect::<Vec<_>>()
    };
    assert_eq!(sizes((0..2 * USERS_CREATED_MAX + 1).map(|_| user(0..3)).collect()), [32, 32, 1]);
    assert_eq!(sizes(vec![user(0..20), user(10..32), user(32..33), user(0..1)]), [2, 2]);
    assert_eq!(sizes(vec![]), [0; 0]);
}

#[tokio::test]
async fn what_is_closed_refuses_and_another_may_open() {
    let (writer, dir) = writer().await;
    let realm = furnish(&writer).await;
    let config = Config { data_dir: dir.path().to_owned(), ..Config::default() };
    let busy = Writer::open(config.clone(), Arc::new(MemoryBus::new())).await;
    assert!(busy.err().unwrap().to_string().contains("in use by another process"));
    let late = writer.clone();
    let pending = tokio::spawn({
        let writer = writer.clone();
        async move { writer.write(vec![send(ADA, 1, "a", "just in time")]).await }
    });
    tokio::task::yield_now().await;
    writer.close().await;
    assert_eq!(code(&pending.await.unwrap()[0]), None, "what is queued is finished");
    let outcome = late.write(vec![send(ADA, 1, "b", "too late")]).await.remove(0);
    assert_eq!(code(&outcome), Some(RefusalCode::Unavailable));
    assert!(matches!(late.heads(vec![realm], None).await, Err(LinkError::Unavailable(_))));
    let again = Writer::open(config, Arc::new(MemoryBus::new())).await.unwrap();
    let retried = again.write(vec![send(ADA, 1, "a", "just in time")]).await.remove(0);
    assert_eq!(code(&retried), None);
    let log = again.read_log(realm, Sequence(0), 100).await.unwrap();
    assert_eq!(log.records.len(), 5, "two users, a stream with its members, one message");
}

#[tokio::test]
async fn an_old_log_is_pruned_at_the_start() {
    let (writer, dir) = writer().await;
    let realm = furnish(&writer).await;
    writer.close().await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let config = Config { data_dir: dir.path().to_owned(), log_window: Duration::ZERO, ..Config::default() };
    let writer = Writer::open(config, Arc::new(MemoryBus::new())).await.unwrap();
    let mut range = writer.read_log(realm, Sequence(0), 10).await.unwrap();
    for _ in 0..100 {
        if range.floor == range.head.sequence {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        range = writer.read_log(realm, Sequence(0), 10).await.unwrap();
    }
    assert_eq!((range.floor, range.records.len()), (range.head.sequence, 0));
}

#[tokio::test]
async fn a_name_that_cannot_be_is_refused() {
    let (writer, _dir) = writer().await;
    let realm = furnish(&writer).await;
    for name in ["", " ", "TEST", "a\nb", &"x".repeat(101)] {
        assert!(matches!(writer.create_realm(name).await, Err(CreateError::Refused(_))), "{name:?}");
    }
    let renamed = UserChange { full_name: Some("Ada L".into()), ..UserChange::default() };
    let sequence = writer.change_user(realm, ADA, renamed).await.unwrap();
    assert_eq!(writer.user_by_email(realm, "ADA@x").await.unwrap().unwrap().full_name, "Ada L");
    assert_eq!(writer.heads(vec![realm], None).await.unwrap().heads[0].1.sequence, sequence);
    assert_eq!(writer.change_key(realm, UserId(9)).await.unwrap_err().code, RefusalCode::UnknownUser);
    assert!(writer.store_last_heard(vec![]).await.is_ok());
}

#[tokio::test]
async fn a_read_of_heads_carries_leases_both_ways() {
    let (writer, _dir) = writer().await;
    let realm = furnish(&writer).await;
    let lease = |node_id, as_of_ms| NodeLease { node_id: NodeId(node_id), as_of_ms };
    let without = writer.heads(vec![realm], None).await.unwrap();
    assert!(without.leases.is_empty());
    assert!(without.time_ms.abs_diff(now_ms()) < 60_000);
    let told_ms = LEASE_TOLD.as_millis() as u64;
    let old = writer.heads(vec![], Some(lease(2, 1_000_000))).await.unwrap();
    assert_eq!((old.heads.len(), old.leases), (0, vec![lease(2, 1_000_000)]));
    let both = writer.heads(vec![realm], Some(lease(1, 1_000_000 + told_ms))).await.unwrap();
    assert_eq!(both.heads, without.heads);
    assert_eq!(both.leases, [lease(1, 1_000_000 + told_ms), lease(2, 1_000_000)]);
    let later = writer.heads(vec![], Some(lease(1, 1_000_001 + told_ms))).await.unwrap();
    assert_eq!(later.leases.len(), 1, "the other was not heard of lately");
}

#[tokio::test]
async fn a_node_that_saw_more_than_the_log_has_gets_another_epoch() {
    let (writer, _dir) = writer().await;
    let realm = furnish(&writer).await;
    let head = writer.heads(vec![realm], None).await.unwrap().heads[0].1;
    assert_eq!(writer.renew_epoch(realm, head).await.unwrap(), head);
    let renewed =
        writer.renew_epoch(realm, Position { sequence: head.sequence.next(), ..head }).await.unwrap();
    assert_ne!(renewed.epoch, head.epoch);
    assert_eq!(writer.renew_epoch(realm, head).await.unwrap(), renewed, "whoever asks late learns of it");
    assert_eq!(writer.renew_epoch(RealmId(9), head).await, Err(LinkError::UnknownRealm(RealmId(9))));
}
