//! The golden bytes in `vectors/v1.json`: what each codec writes of each message, for ever.
//!
//! Other languages' clients read the same file. `BLESS=1 cargo test -p squall-protocol --test vectors` writes
//! it anew: only when a kind is added, never to make a change of existing bytes pass.
#![allow(clippy::unwrap_used, reason = "these are tests, helpers and all")]

use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use squall_protocol::client_message::{Hello, Scope, Status, TypingOp};
use squall_protocol::event::{
    Flag, Message, MessageDeletion, MessageEdit, MessageFlags, MessageMove, Reaction, ReactionType, Role,
    Stream, SubscriptionSetting, TopicPolicy, User, UserSetting,
};
use squall_protocol::limits::ID_MAX;
use squall_protocol::link::RefusalCode;
use squall_protocol::server_message::{ErrorCode, PresenceDiff, PresenceSnapshot, ResetReason, Welcome};
use squall_protocol::{
    ClientMessage, Codec, Destination, Epoch, Event, Mark, MessageId, Position, RealmId, SendId, Sequence,
    ServerMessage, SessionId, StreamId, UserId,
};

/// One message in both codecs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Vector {
    name: String,
    /// Who says it: `client` or `server`.
    from: String,
    /// What `squall.v1.json` writes, to the letter.
    json: String,
    /// What `squall.v1.bincode` writes, in hexadecimal.
    bincode: String,
}

#[test]
fn every_message_is_written_as_it_always_was() {
    let (path, vectors) = (path(), vectors());
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, serde_json::to_string_pretty(&vectors).unwrap() + "\n").unwrap();
    }
    let golden: Vec<Vector> = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    for (vector, golden) in vectors.iter().zip(&golden) {
        assert_eq!(vector, golden);
    }
    assert_eq!(vectors.len(), golden.len());
}

#[test]
fn every_message_is_read_back_as_it_was() {
    for (name, message) in client_messages() {
        for codec in Codec::ALL {
            assert_eq!(codec.decode_client(&codec.encode_client(&message)), Ok(message.clone()), "{name}");
        }
    }
    for (name, message) in server_messages() {
        for codec in Codec::ALL {
            assert_eq!(codec.decode_server(&codec.encode_server(&message)), Ok(message.clone()), "{name}");
        }
    }
}

#[test]
fn a_binary_message_that_is_cut_or_padded_is_refused() {
    for (name, message) in client_messages() {
        let bytes = Codec::Bincode.encode_client(&message);
        for cut in 0..bytes.len() {
            assert!(Codec::Bincode.decode_client(&bytes[..cut]).is_err(), "{name} cut at {cut}");
        }
        let padded = [&bytes[..], &[0]].concat();
        assert!(Codec::Bincode.decode_client(&padded).is_err(), "{name} padded");
    }
}

#[test]
fn a_claimed_length_allocates_nothing_and_an_id_of_two_to_the_53rd_is_refused() {
    // A `hello` whose token claims 2^62 bytes.
    let huge = [&[0, 253][..], &(1u64 << 62).to_le_bytes()].concat();
    assert!(Codec::Bincode.decode_client(&huge).is_err());
    // A `subscribe` that names 2^40 users.
    let crowd = [&[2, 1, b'x', 7, 253][..], &(1u64 << 40).to_le_bytes()].concat();
    assert!(Codec::Bincode.decode_client(&crowd).is_err());
    let stream = |id: u64| [&[2, 1, b'x', 253][..], &id.to_le_bytes(), &[0]].concat();
    assert!(Codec::Bincode.decode_client(&stream(ID_MAX)).is_ok());
    assert!(Codec::Bincode.decode_client(&stream(ID_MAX + 1)).is_err());
    assert!(Codec::Bincode.decode_client(&[99]).is_err(), "an unknown kind");
    assert!(Codec::Bincode.decode_client(&[]).is_err());
}

#[test]
fn an_event_of_an_unknown_kind_moves_a_binary_client_on() {
    let body = br#"{"kind":"later","what":1}"#;
    let bytes = Codec::Bincode.encode_event(Epoch(7), Sequence(9), Mark(3), body);
    let position = Position { epoch: Epoch(7), sequence: Sequence(9), mark: Mark(3) };
    assert_eq!(Codec::Bincode.decode_server(&bytes), Ok(ServerMessage::Position(position)));
    let text = Codec::Json.encode_event(Epoch(7), Sequence(9), Mark(3), body);
    assert_eq!(&text[..], br#"{"type":"event","sequence":9,"mark":3,"event":{"kind":"later","what":1}}"#);
}

/// What happens to messages after they were sent, and what is one user's own.
fn changes() -> impl Iterator<Item = (&'static str, Event)> {
    let (message_ids, user_id) = (vec![MessageId(905), MessageId(907)], UserId(3));
    let reaction = Reaction {
        message_id: MessageId(907),
        user_id,
        emoji_name: "stew".into(),
        emoji_code: "1f372".into(),
        reaction_type: ReactionType::UnicodeEmoji,
        to: topic(),
    };
    let edit = MessageEdit {
        message_id: MessageId(907),
        actor_id: user_id,
        timestamp: 1_763_818_200,
        to: topic(),
        content: "Stew?".into(),
    };
    let moved = MessageMove {
        message_ids: message_ids.clone(),
        actor_id: user_id,
        timestamp: 1_763_818_200,
        stream_id: StreamId(1),
        topic_before: "lunch".into(),
        topic: "dinner".into(),
    };
    let deleted = MessageDeletion { message_ids: message_ids.clone(), actor_id: user_id, to: direct() };
    let flags = |flag| MessageFlags { user_id, flag, message_ids: message_ids.clone() };
    let stream = Stream {
        stream_id: StreamId(1),
        name: "food".into(),
        description: "All of it".into(),
        invite_only: false,
    };
    let policy = TopicPolicy {
        user_id,
        stream_id: StreamId(1),
        topic: "lunch".into(),
        policy: 3,
        timestamp: 1_763_818_200,
    };
    let of_stream = SubscriptionSetting {
        user_id,
        stream_id: StreamId(1),
        name: "pin_to_top".into(),
        value: "true".into(),
    };
    let setting = UserSetting { user_id, name: "emojiset".into(), value: "\"text\"".into() };
    [
        ("event message_edited", Event::MessageEdited(edit)),
        ("event messages_moved", Event::MessagesMoved(moved)),
        ("event messages_deleted", Event::MessagesDeleted(deleted)),
        ("event reaction_added", Event::ReactionAdded(reaction.clone())),
        (
            "event reaction_removed",
            Event::ReactionRemoved(Reaction {
                reaction_type: ReactionType::ZulipExtraEmoji,
                emoji_code: "zulip".into(),
                ..reaction
            }),
        ),
        ("event flags_added", Event::FlagsAdded(flags(Flag::Read))),
        ("event flags_removed", Event::FlagsRemoved(flags(Flag::Starred))),
        (
            "event stream_updated",
            Event::StreamUpdated { previous: Stream { name: "lunch".into(), ..stream.clone() }, stream },
        ),
        ("event topic_policy_set", Event::TopicPolicySet(policy)),
        ("event subscription_set", Event::SubscriptionSet(of_stream)),
        ("event setting_set", Event::SettingSet(setting)),
    ]
    .into_iter()
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors/v1.json")
}

fn vectors() -> Vec<Vector> {
    let vector = |name: &str, from: &str, json: &[u8], bincode: &[u8]| Vector {
        name: name.into(),
        from: from.into(),
        json: String::from_utf8(json.to_vec()).unwrap(),
        bincode: bincode.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    let client = client_messages().into_iter().map(|(name, message)| {
        vector(name, "client", &Codec::Json.encode_client(&message), &Codec::Bincode.encode_client(&message))
    });
    let server = server_messages().into_iter().map(|(name, message)| {
        vector(name, "server", &Codec::Json.encode_server(&message), &Codec::Bincode.encode_server(&message))
    });
    client.chain(server).collect()
}

fn client_messages() -> Vec<(&'static str, ClientMessage)> {
    let hello = Hello {
        token: "0123456789abcdef0123456789abcdef".into(),
        position: None,
        presence: Status::Active,
        scope: Scope::Realm,
    };
    let resuming =
        Hello { position: Some(position()), presence: Status::Idle, scope: Scope::None, ..hello.clone() };
    vec![
        ("hello", ClientMessage::Hello(hello)),
        ("hello that resumes", ClientMessage::Hello(resuming)),
        (
            "send to a topic",
            ClientMessage::Send { send_id: id("9f2c41d0"), to: topic(), content: "Soup?".into() },
        ),
        (
            "send to users",
            ClientMessage::Send { send_id: id("a"), to: direct(), content: "żółw 🐢\n\"q\"".into() },
        ),
        (
            "subscribe",
            ClientMessage::Subscribe { send_id: id("77aa"), stream_id: StreamId(2), user_ids: vec![] },
        ),
        (
            "subscribe others",
            ClientMessage::Subscribe {
                send_id: id("77ab"),
                stream_id: StreamId(ID_MAX),
                user_ids: vec![
                    UserId(5),
                    UserId(250),
                    UserId(251),
                    UserId(65_535),
                    UserId(65_536),
                    UserId(u32::MAX),
                ],
            },
        ),
        (
            "unsubscribe",
            ClientMessage::Unsubscribe { send_id: id("77ac"), stream_id: StreamId(2), user_ids: vec![] },
        ),
        ("typing", ClientMessage::Typing { op: TypingOp::Start, to: topic() }),
        ("stopped typing", ClientMessage::Typing { op: TypingOp::Stop, to: direct() }),
        ("presence", ClientMessage::Presence { status: Status::Idle }),
        ("presence request", ClientMessage::PresenceRequest {}),
        ("ping", ClientMessage::Ping {}),
        ("pong", ClientMessage::Pong { active: true }),
    ]
}

fn server_messages() -> Vec<(&'static str, ServerMessage)> {
    let mut messages = vec![
        ("welcome", ServerMessage::Welcome(Box::new(welcome()))),
        ("position", ServerMessage::Position(position())),
        (
            "reset",
            ServerMessage::Reset { reason: ResetReason::Expired, position: position(), after_ms: 1_800 },
        ),
        (
            "sent",
            ServerMessage::Sent {
                send_id: id("9f2c41d0"),
                message_id: MessageId(907),
                sequence: Sequence(43),
            },
        ),
        ("done", ServerMessage::Done { send_id: id("77aa"), sequence: Sequence(44) }),
        (
            "refused for now",
            ServerMessage::Refused {
                send_id: id("9f2c41d0"),
                code: RefusalCode::RateLimited,
                message: "too many messages".into(),
                retry_after_ms: Some(1_200),
            },
        ),
        (
            "refused",
            ServerMessage::Refused {
                send_id: id("9f2c41d0"),
                code: RefusalCode::TooMany,
                message: "too many users".into(),
                retry_after_ms: None,
            },
        ),
        ("presence snapshot", ServerMessage::PresenceSnapshot(snapshot())),
        ("presence", ServerMessage::Presence(diff())),
        ("typing", ServerMessage::Typing { op: TypingOp::Start, sender_id: UserId(3), to: topic() }),
        ("ping", ServerMessage::Ping { time_ms: 1_763_818_162_123 }),
        ("pong", ServerMessage::Pong { time_ms: 1_763_818_162_123 }),
        ("goaway", ServerMessage::Goaway { after_ms: 1_300 }),
        ("error", ServerMessage::Error { code: ErrorCode::Malformed, message: "malformed message".into() }),
    ];
    messages.extend(events().map(|(name, event)| {
        (name, ServerMessage::Event { sequence: Sequence(43), mark: Mark(2_774_181_210), event })
    }));
    messages
}

fn events() -> impl Iterator<Item = (&'static str, Event)> {
    let message = |to| {
        Event::Message(Message {
            message_id: MessageId(907),
            sender_id: UserId(3),
            timestamp: 1_763_818_162,
            to,
            content: "Soup?".into(),
            send_id: id("9f2c41d0"),
        })
    };
    let user = User {
        user_id: UserId(3),
        email: "ada@demo.example".into(),
        full_name: "Ada".into(),
        role: Role::Admin,
        is_bot: false,
        is_active: true,
    };
    let previous = User { role: Role::Guest, is_bot: true, is_active: false, ..user.clone() };
    let stream = Stream {
        stream_id: StreamId(4),
        name: "leads".into(),
        description: "Plans".into(),
        invite_only: true,
    };
    [
        ("event message to a topic", message(topic())),
        ("event message to users", message(direct())),
        ("event stream_created", Event::StreamCreated { stream: stream.clone() }),
        (
            "event members_added",
            Event::MembersAdded { stream, user_ids: vec![UserId(5)], actor_id: UserId(3) },
        ),
        (
            "event members_removed",
            Event::MembersRemoved { stream_id: StreamId(4), user_ids: vec![UserId(5)], actor_id: UserId(3) },
        ),
        ("event user_added", Event::UserAdded { user: user.clone() }),
        ("event user_updated", Event::UserUpdated { user, previous }),
        ("event credential_changed", Event::CredentialChanged { user_id: UserId(3) }),
    ]
    .into_iter()
    .chain(changes())
}

fn welcome() -> Welcome {
    Welcome {
        session_id: SessionId(17),
        realm_id: RealmId(1),
        user_id: UserId(3),
        position: position(),
        api: "http://127.0.0.1:8470/api/v1".into(),
        time_ms: 1_763_818_162_123,
        heartbeat_ms: 25_000,
        timeout_ms: 10_000,
        resume_window_s: 86_400,
        presence_error_max_ms: 55_000,
        frame_bytes_max: 65_536,
        content_chars_max: 10_000,
        sends_in_flight_max: 256,
    }
}

fn snapshot() -> PresenceSnapshot {
    PresenceSnapshot {
        as_of_ms: 1_763_818_162_123,
        change: 71,
        active: vec![UserId(3), UserId(5), UserId(1_000)],
        idle: vec![UserId(9)],
        offline: vec![(UserId(4), 1_763_810_000), (UserId(11), 1_763_818_162)],
    }
}

fn diff() -> PresenceDiff {
    PresenceDiff {
        as_of_ms: 1_763_818_165_123,
        from: 71,
        to: 73,
        active: vec![],
        idle: vec![UserId(3)],
        offline: vec![(UserId(9), 1_763_818_140)],
    }
}

fn position() -> Position {
    Position { epoch: Epoch(5_511), sequence: Sequence(42), mark: Mark(3_735_928_559) }
}

fn topic() -> Destination {
    Destination::Stream { stream_id: StreamId(1), topic: "lunch".into() }
}

fn direct() -> Destination {
    Destination::Direct { user_ids: vec![UserId(3), UserId(5)] }
}

fn id(text: &str) -> SendId {
    SendId::parse(text).unwrap()
}
