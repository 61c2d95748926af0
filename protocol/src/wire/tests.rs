use super::*;
use crate::event::{Destination, Event, Role, Stream, User};
use crate::ids::{Epoch, Mark, MessageId, NodeId, SendId, SessionId, StreamId, UserId};
use crate::link::{EventRecord, Operation, PresenceWanted, Refusal, RefusalCode, UserRow};

fn at(sequence: u64) -> Position {
    Position { epoch: Epoch(7), sequence: Sequence(sequence), mark: Mark(9) }
}

fn write(operation: Operation) -> WriteRequest {
    WriteRequest {
        realm_id: RealmId(1),
        user_id: UserId(2),
        session_id: SessionId(3),
        send_id: SendId::parse("a").unwrap(),
        operation,
    }
}

/// One of each kind.
fn requests() -> Vec<Request> {
    let realm_id = RealmId(1);
    let (stream_id, user_ids) = (StreamId(4), vec![UserId(5), UserId(6)]);
    let lease = Some(NodeLease { node_id: NodeId(8), as_of_ms: 1_763_818_162_123 });
    let topic = Destination::Stream { stream_id, topic: "lunch".into() };
    let direct = Destination::Direct { user_ids: user_ids.clone() };
    vec![
        Request::Identify(vec!["key".into(), String::new()]),
        Request::Write(vec![
            write(Operation::Send { to: topic, content: "Soup?".into() }),
            write(Operation::Send { to: direct, content: "Soup!".into() }),
            write(Operation::Subscribe { stream_id, user_ids }),
            write(Operation::Unsubscribe { stream_id, user_ids: vec![] }),
        ]),
        Request::RealmPage(PageQuery { realm_id, cursor: Some(PageCursor("u7".into())) }),
        Request::ReadLog(LogQuery { realm_id, after: Sequence(42), limit: 512 }),
        Request::Heads(HeadsQuery { realms: vec![realm_id, RealmId(2)], lease }),
        Request::RenewEpoch(EpochQuery { realm_id, seen: at(42) }),
        Request::StoreLastHeard(vec![LastHeard { user_id: UserId(2), last_heard_s: 1_763_818_162 }]),
        Request::Probe,
        Request::Register(RegisterCall {
            email: "ada@x".into(),
            key: "key".into(),
            params: vec![("event_types".into(), "[\"message\"]".into())],
        }),
        Request::QueueSecret,
    ]
}

/// One of each kind.
fn answers() -> Vec<Answer> {
    let user = User {
        user_id: UserId(2),
        email: "ada@x".into(),
        full_name: "Ada".into(),
        role: Role::Member,
        is_bot: false,
        is_active: true,
    };
    let stream =
        Stream { stream_id: StreamId(4), name: "s".into(), description: String::new(), invite_only: true };
    let record = EventRecord::new(Sequence(1), Mark(9), &Event::UserAdded { user: user.clone() });
    let row = UserRow { user, credential_changed: Sequence(1), last_heard_s: None };
    let identity = Identity { realm_id: RealmId(1), user_id: UserId(2), as_of: at(1) };
    let refusal = Refusal::retryable(RefusalCode::RateLimited, "too many", 1_200);
    vec![
        Answer::Identified(vec![Some(identity.clone()), None]),
        Answer::Written(vec![
            WriteOutcome::Sent { message_id: MessageId(907), sequence: Sequence(43) },
            WriteOutcome::Done { sequence: Sequence(44) },
            WriteOutcome::Refused(refusal),
        ]),
        Answer::RealmPage(RealmPage {
            as_of: at(1),
            users: vec![row],
            streams: vec![stream],
            members: vec![(StreamId(4), UserId(2))],
            next: Some(PageCursor("m4".into())),
        }),
        Answer::Log(LogRange {
            head: at(1),
            floor: Sequence(0),
            after_mark: Some(Mark(0)),
            records: vec![record.clone()],
            changes: vec![record],
        }),
        Answer::Heads(Heads {
            heads: vec![(RealmId(1), at(1))],
            leases: vec![NodeLease { node_id: NodeId(8), as_of_ms: 5 }],
            time_ms: 1_763_818_162_123,
        }),
        Answer::EpochRenewed(at(3)),
        Answer::LastHeardStored,
        Answer::Standing(Standing { database_fault: Some("away".into()), bus_fault: None }),
        Answer::Registered(RegisterReply {
            status: 200,
            headers: vec![("x-ratelimit-limit".into(), "600".into())],
            body: Bytes::from_static(b"{}"),
            presence: Some(PresenceWanted { identity, slim: true, days: 14 }),
        }),
        Answer::QueueSecret([7; 32]),
        Answer::Fault(Fault::Unavailable("busy".into())),
        Answer::Fault(Fault::UnknownRealm(RealmId(9))),
        Answer::Fault(Fault::UnknownKind(77)),
        Answer::Fault(Fault::Malformed("cut".into())),
    ]
}

#[test]
fn frames_come_back_as_they_were() {
    for request in requests() {
        assert_eq!(Request::decode(&request.encode().unwrap()), Ok(request));
    }
    for answer in answers() {
        assert_eq!(Answer::decode(&answer.encode().unwrap()), Ok(answer));
    }
}

#[test]
fn the_neighbouring_versions_are_read_and_no_others() {
    for request in requests() {
        let mut bytes = request.encode().unwrap().to_vec();
        for version in [VERSION - 1, VERSION + 1] {
            bytes[0] = version;
            assert_eq!(Request::decode(&bytes).as_ref(), Ok(&request));
        }
        bytes[0] = VERSION + 2;
        assert_eq!(Request::decode(&bytes), Err(FrameError::Version(VERSION + 2).into()));
    }
    for answer in answers() {
        let mut bytes = answer.encode().unwrap().to_vec();
        bytes[0] = VERSION + 1;
        assert_eq!(Answer::decode(&bytes), Ok(answer));
        bytes[0] = VERSION + 2;
        assert_eq!(Answer::decode(&bytes), Err(FrameError::Version(VERSION + 2).into()));
    }
}

#[test]
fn cut_and_padded_frames_are_refused() {
    let frames = requests().into_iter().map(|request| request.encode().unwrap());
    for bytes in frames {
        for cut in 0..bytes.len() {
            assert!(Request::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        let padded = [&bytes[..], &[0]].concat();
        assert!(matches!(Request::decode(&padded), Err(WireError::Frame(FrameError::Long { .. }))));
    }
}

#[test]
fn a_kind_of_a_later_version_is_named() {
    let mut request = Request::Probe.encode().unwrap().to_vec();
    request[1] = 0xEE;
    assert_eq!(Request::decode(&request), Err(WireError::UnknownKind(0xEE)));
    let mut answer = Answer::LastHeardStored.encode().unwrap().to_vec();
    answer[1] = 0xEE;
    assert_eq!(Answer::decode(&answer), Err(WireError::UnknownKind(0x1EE)));
    assert_eq!(
        Answer::decode(&Request::Probe.encode().unwrap()),
        Err(WireError::UnknownKind(PROBE)),
        "a request is no answer"
    );
}

#[test]
fn more_at_once_than_is_taken_is_refused() {
    let heard = vec![LastHeard { user_id: UserId(1), last_heard_s: 1 }; LAST_HEARD_MAX + 1];
    let too_many = [
        (Request::Identify(vec![String::new(); TOKENS_MAX + 1]), "tokens", TOKENS_MAX),
        (
            Request::Write(vec![
                write(Operation::Subscribe { stream_id: StreamId(1), user_ids: vec![] });
                WRITES_MAX + 1
            ]),
            "writes",
            WRITES_MAX,
        ),
        (
            Request::Heads(HeadsQuery { realms: vec![RealmId(1); HEADS_MAX + 1], lease: None }),
            "realms",
            HEADS_MAX,
        ),
        (Request::StoreLastHeard(heard), "users", LAST_HEARD_MAX),
    ];
    for (request, what, max) in too_many {
        let refused = Request::decode(&request.encode().unwrap());
        assert_eq!(refused, Err(WireError::TooMany { what, size: max + 1, max }));
    }
}

#[test]
fn frames_too_long_are_neither_written_nor_read() {
    let request = Request::Identify(vec!["x".repeat(REQUEST_BYTES_MAX)]);
    assert!(matches!(request.encode(), Err(WireError::Frame(FrameError::Long { .. }))));
    let bytes = vec![0; REQUEST_BYTES_MAX + 1];
    assert!(matches!(Request::decode(&bytes), Err(WireError::Frame(FrameError::Long { .. }))));
    let answer = Answer::Fault(Fault::Malformed("x".repeat(ANSWER_BYTES_MAX)));
    assert!(matches!(answer.encode(), Err(WireError::Frame(FrameError::Long { .. }))));
}

#[test]
fn the_worst_batch_of_writes_fits_a_request() {
    let words = "\u{10FFFF}".repeat(CONTENT_CHARS_MAX);
    let to = Destination::Direct { user_ids: vec![UserId(u32::MAX); crate::limits::DIRECT_USERS_MAX] };
    let heavy = write(Operation::Send { to, content: words });
    let users = vec![UserId(u32::MAX); crate::limits::MEMBERS_CHANGED_MAX];
    let wide = write(Operation::Subscribe { stream_id: StreamId(1), user_ids: users });
    let mut batch = vec![heavy; WRITES_BYTES_MAX / (CONTENT_CHARS_MAX * 4) + 1];
    batch.resize(WRITES_MAX, wide);
    assert!(Request::Write(batch).encode().is_ok());
}
