//! Writers in this process, on a database, and what they wrote.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use squall_bus::MemoryBus;
use squall_protocol::event::{Event, Message, Role};
use squall_protocol::link::{Operation, RefusalCode, WriteOutcome, WriteRequest};
use squall_protocol::{Destination, MessageId, RealmId, SendId, Sequence, SessionId, StreamId, UserId, json};
use squall_writer::{Config, DatabaseUrl, NewStream, NewUser, Writer};

/// A writer on the database, as a process of its own would be.
pub(crate) async fn writer_on(url: &str) -> Writer {
    let config = Config {
        database: Some(DatabaseUrl::parse(url).unwrap()),
        rate_limit_per_minute: 0,
        ..Config::default()
    };
    Writer::open(config, Arc::new(MemoryBus::new())).await.unwrap()
}

/// A realm of users in one stream.
#[derive(Debug, Clone)]
pub(crate) struct Realm {
    pub(crate) realm_id: RealmId,
    pub(crate) stream_id: StreamId,
    pub(crate) users: Vec<UserId>,
    /// What the log has of it so far.
    pub(crate) setup: u64,
}

pub(crate) async fn furnish(writer: &Writer, name: &str, users: usize) -> Realm {
    let realm_id = answered(|| writer.create_realm(name)).await;
    let user = |n: usize| NewUser {
        email: format!("u{n}@x"),
        full_name: format!("U{n}"),
        role: Role::Member,
        is_bot: false,
        streams: vec![],
    };
    let created = writer.create_users(realm_id, (0..users).map(user).collect()).await;
    let users: Vec<UserId> = created.into_iter().map(|user| user.unwrap().user_id).collect();
    let stream = NewStream { name: "general".into(), description: String::new(), invite_only: false };
    let stream = writer.create_stream(realm_id, stream, users.clone()).await.unwrap();
    let setup = users.len() as u64 + 2;
    Realm { realm_id, stream_id: stream.stream_id, users, setup }
}

impl Realm {
    /// A message of a session whose number is its user's.
    pub(crate) fn send(&self, user: usize, id: &str) -> WriteRequest {
        WriteRequest {
            realm_id: self.realm_id,
            user_id: self.users[user],
            session_id: SessionId(user as u64),
            send_id: SendId::parse(id).unwrap(),
            operation: Operation::Send {
                to: Destination::Stream { stream_id: self.stream_id, topic: "t".into() },
                content: id.into(),
            },
        }
    }

    /// All messages in the log, by sequence. The log is dense, and ids grow with sequences.
    pub(crate) async fn messages(&self, writer: &Writer) -> BTreeMap<Sequence, Message> {
        let mut messages = BTreeMap::new();
        let mut after = Sequence::ZERO;
        loop {
            let range = answered(|| writer.read_log(self.realm_id, after, usize::MAX)).await;
            for record in &range.records {
                assert_eq!(record.sequence, after.next(), "the log is dense");
                after = record.sequence;
                if let Event::Message(message) = json::decode_event(&record.body).unwrap() {
                    messages.insert(record.sequence, message);
                }
            }
            if after == range.head.sequence {
                break;
            }
        }
        let ids: Vec<MessageId> = messages.values().map(|message| message.message_id).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "ids grow with sequences");
        messages
    }

    /// Whether the log has each of these sends once, where its answer said, and nothing else.
    pub(crate) async fn audit(&self, writer: &Writer, answers: &BTreeMap<String, (MessageId, Sequence)>) {
        let messages = self.messages(writer).await;
        let stored: BTreeMap<String, (MessageId, Sequence)> = messages
            .iter()
            .map(|(sequence, message)| (message.send_id.as_str().to_owned(), (message.message_id, *sequence)))
            .collect();
        assert_eq!(stored.len(), messages.len(), "none is there twice");
        assert_eq!(&stored, answers);
        assert_eq!(messages.len() as u64 + self.setup, messages.keys().last().unwrap().0);
    }
}

/// Asks until there is an answer: a server that was started anew is found again by itself.
pub(crate) async fn answered<T, E: std::fmt::Display, F: Future<Output = Result<T, E>>>(
    mut ask: impl FnMut() -> F,
) -> T {
    let began = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => assert!(began.elapsed() < HEALING_MAX, "it never heals: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The longest that anything here may take to be well again.
const HEALING_MAX: Duration = Duration::from_secs(30);

/// Sends until it is stored, as a client does; its answer, and how often it was refused before.
pub(crate) async fn send_until_stored(
    writers: &[&Writer],
    request: WriteRequest,
) -> ((MessageId, Sequence), usize) {
    let began = Instant::now();
    for refused in 0.. {
        assert!(began.elapsed() < HEALING_MAX, "it never heals");
        let writer = writers[refused % writers.len()];
        match writer.write(vec![request.clone()]).await.remove(0) {
            WriteOutcome::Sent { message_id, sequence } => return ((message_id, sequence), refused),
            WriteOutcome::Done { .. } => panic!("a send is not done but sent"),
            WriteOutcome::Refused(refusal) => {
                assert_eq!(refusal.code, RefusalCode::Unavailable, "{refusal:?}");
                assert!(refusal.retry_after_ms.is_some(), "{refusal:?}");
                // A little less patience than we are asked for, so that more is tried.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    unreachable!("the loop has no end")
}
