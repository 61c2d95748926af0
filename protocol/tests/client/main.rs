//! The client over real sockets, at a gateway that a test plays.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "these are tests, helpers and all"
)]

mod gateway;

use std::time::Duration;

use gateway::{Gateway, event, position};
use squall_protocol::client::{
    Cause, Client, Closed, Config, ConfigError, SendError, State, Update, Updates,
};
use squall_protocol::client_message::{ClientMessage, Status, TypingOp};
use squall_protocol::server_message::{PresenceSnapshot, ServerMessage};
use squall_protocol::{CloseCode, Codec, Destination, MessageId, SendId, Sequence, StreamId, UserId};
use tokio::time::timeout;

/// How long anything may take that a test waits for.
const WAIT_MAX: Duration = Duration::from_secs(30);

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(WAIT_MAX, future).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// The next update that `find` finds something in.
async fn until<T>(updates: &mut Updates, what: &str, mut find: impl FnMut(Update) -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(found) = find(updates.next().await.expect("the client goes on")) {
                return found;
            }
        }
    })
    .await
}

async fn until_welcome(updates: &mut Updates) {
    until(updates, "a welcome", |update| matches!(update, Update::Welcome { .. }).then_some(())).await;
}

async fn next_sequence(updates: &mut Updates) -> u64 {
    let position = until(updates, "an event", |update| match update {
        Update::Event { position, .. } => Some(position),
        _ => None,
    });
    position.await.sequence.0
}

fn lunch() -> Destination {
    Destination::Stream { stream_id: StreamId(1), topic: "lunch".into() }
}

fn sent(send_id: SendId) -> ServerMessage {
    ServerMessage::Sent { send_id, message_id: MessageId(907), sequence: Sequence(43) }
}

#[tokio::test]
async fn both_codecs_carry_a_conversation_and_a_close_in_good_order() {
    for codec in Codec::ALL {
        let gateway = Gateway::start().await;
        let (client, mut updates) = Client::connect(Config { codec, ..gateway.config() }).unwrap();
        let mut peer = gateway.session(codec).await;
        until_welcome(&mut updates).await;
        assert_eq!((client.state(), client.user_id()), (State::Open, Some(UserId(3))));

        let handle = client.send(lunch(), "Soup?");
        let ClientMessage::Send { send_id, content, .. } = peer.hear().await else { panic!("no send") };
        assert_eq!((&send_id, content.as_str()), (handle.send_id(), "Soup?"));
        peer.say(&sent(send_id)).await;
        peer.say(&event(43)).await;
        assert_eq!(within("the answer", handle).await.unwrap().message_id, MessageId(907));
        assert_eq!(next_sequence(&mut updates).await, 43);
        assert_eq!(updates.position(), Some(position(43)));

        let closing = tokio::spawn(async move { client.close().await });
        assert_eq!(peer.hear_close().await, CloseCode::Normal.number());
        within("the end of closing", closing).await.unwrap();
        assert!(matches!(updates.next().await, Err(Closed { code: 1000, .. })));
        assert!(matches!(updates.next().await, Err(Closed { code: 1000, .. })), "and from then on");
    }
}

#[tokio::test]
async fn a_membership_change_is_asked_for_and_done() {
    let gateway = Gateway::start().await;
    let (client, _updates) = Client::connect(gateway.config()).unwrap();
    let mut peer = gateway.session(Codec::Json).await;
    let (joins, leaves) = (client.subscribe(StreamId(2), &[]), client.unsubscribe(StreamId(2), &[UserId(5)]));
    let ClientMessage::Subscribe { send_id, user_ids, .. } = peer.hear().await else {
        panic!("no subscribe")
    };
    assert!(user_ids.is_empty());
    peer.say(&ServerMessage::Done { send_id, sequence: Sequence(44) }).await;
    let ClientMessage::Unsubscribe { send_id, user_ids, .. } = peer.hear().await else {
        panic!("no unsubscribe")
    };
    assert_eq!(user_ids, [UserId(5)]);
    peer.say(&sent(send_id)).await;
    assert_eq!(within("the answer", joins).await.unwrap().sequence, Sequence(44));
    assert_eq!(within("the answer", leaves).await, Err(SendError::Confused));
}

#[tokio::test]
async fn a_line_that_breaks_is_opened_again_at_the_position_with_what_is_unanswered() {
    let gateway = Gateway::start().await;
    let (client, mut updates) = Client::connect(gateway.config()).unwrap();
    let mut peer = gateway.session(Codec::Json).await;
    peer.say(&event(43)).await;
    assert_eq!(next_sequence(&mut updates).await, 43);
    let handles = ["a", "b", "c"].map(|text| client.send(lunch(), text));
    let first = [peer.hear().await, peer.hear().await, peer.hear().await];
    drop(peer);

    let (mut peer, hello) = gateway.accept(Codec::Json).await;
    assert_eq!(hello.position, Some(position(43)));
    peer.welcome(position(43)).await;
    for message in first {
        assert_eq!(peer.hear().await, message);
        let ClientMessage::Send { send_id, .. } = message else { panic!("no send: {message:?}") };
        peer.say(&sent(send_id)).await;
    }
    for handle in handles {
        within("the answer", handle).await.unwrap();
    }
    assert_eq!(client.unanswered(), 0);
}

#[tokio::test]
async fn a_gateway_that_is_away_is_waited_for() {
    let gateway = Gateway::start().await;
    let config = gateway.config();
    let address = gateway.stop();
    let (client, mut updates) = Client::connect(config).unwrap();
    let handle = client.send(lunch(), "Soup?");
    let cause = until(&mut updates, "a failure", |update| match update {
        Update::State(State::Waiting { cause, .. }) => Some(cause),
        _ => None,
    });
    assert!(matches!(cause.await, Cause::Broken(_)));
    let gateway = Gateway::start_at(address).await;
    let mut peer = gateway.session(Codec::Json).await;
    let ClientMessage::Send { send_id, .. } = peer.hear().await else { panic!("no send") };
    peer.say(&sent(send_id)).await;
    within("the answer", handle).await.unwrap();
}

#[tokio::test]
async fn an_http_answer_that_is_no_websocket_is_told_by_its_status() {
    let gateway = Gateway::start().await;
    let (_client, mut updates) = Client::connect(gateway.config()).unwrap();
    gateway.answer("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").await;
    let waiting = until(&mut updates, "a failure", |update| match update {
        Update::State(State::Waiting { cause, .. }) => Some(cause),
        _ => None,
    });
    assert_eq!(waiting.await, Cause::Refused(503));
}

#[tokio::test]
async fn a_refused_credential_ends_the_client_and_whoever_waits() {
    let gateway = Gateway::start().await;
    let (client, mut updates) = Client::connect(gateway.config()).unwrap();
    let handle = client.send(lunch(), "Soup?");
    let (mut peer, hello) = gateway.accept(Codec::Json).await;
    assert_eq!(hello.token, "key");
    peer.close(CloseCode::Unauthorized).await;
    let closed = Closed { code: 4401, reason: "unknown token".into() };
    let end = within("the end", async {
        loop {
            if let Err(closed) = updates.next().await {
                return closed;
            }
        }
    });
    assert_eq!(end.await, closed);
    assert_eq!(within("the answer", handle).await, Err(SendError::Closed(closed.clone())));
    assert_eq!(client.state(), State::Closed(closed.clone()));
    assert_eq!(within("a send after the end", client.send(lunch(), "?")).await, Err(closed.into()));
    within("closing what is closed", client.close()).await;
}

#[tokio::test]
async fn more_sends_than_there_is_room_for_fail_at_once() {
    let gateway = Gateway::start().await;
    let config = Config { unanswered_max: 2, ..gateway.config() };
    let (client, _updates) = Client::connect(config).unwrap();
    let first = client.send(lunch(), "a");
    let _second = client.send(lunch(), "b");
    assert_eq!(client.unanswered(), 2);
    assert_eq!(client.send(lunch(), "c").await, Err(SendError::Full { unanswered_max: 2 }));
    let mut peer = gateway.session(Codec::Json).await;
    let ClientMessage::Send { send_id, .. } = peer.hear().await else { panic!("no send") };
    peer.say(&sent(send_id)).await;
    within("the answer", first).await.unwrap();
    let third = client.send(lunch(), "d");
    peer.hear().await;
    let ClientMessage::Send { send_id, .. } = peer.hear().await else { panic!("no send") };
    assert_eq!(&send_id, third.send_id());
}

/// A program that awaits its send in the midst of a flood of events it does not take.
#[tokio::test]
async fn a_send_is_answered_while_updates_wait_and_then_each_comes_once() {
    const EVENTS: u64 = 2_000;
    let gateway = Gateway::start().await;
    let config = Config { updates_max: 50, ..gateway.config() };
    let (client, mut updates) = Client::connect(config).unwrap();
    let mut peer = gateway.session(Codec::Json).await;
    let handle = client.send(lunch(), "Soup?");
    let ClientMessage::Send { send_id, .. } = peer.hear().await else { panic!("no send") };
    let server = tokio::spawn(async move {
        for sequence in 43..43 + EVENTS {
            peer.say(&event(sequence)).await;
        }
        peer.say(&sent(send_id)).await;
        peer.hear_close().await;
        loop {
            let (mut peer, hello) = gateway.accept(Codec::Json).await;
            let from = hello.position.expect("a position is known");
            peer.welcome(from).await;
            for sequence in from.sequence.0 + 1..43 + EVENTS {
                peer.say(&event(sequence)).await;
            }
            peer.hear_close().await;
        }
    });
    within("the answer", handle).await.unwrap();
    for sequence in 43..43 + EVENTS {
        assert_eq!(next_sequence(&mut updates).await, sequence);
    }
    server.abort();
}

#[tokio::test]
async fn when_all_handles_are_dropped_the_connection_is_closed() {
    let gateway = Gateway::start().await;
    let (client, updates) = Client::connect(gateway.config()).unwrap();
    let mut peer = gateway.session(Codec::Json).await;
    drop(updates);
    let handle = client.send(lunch(), "Soup?");
    let ClientMessage::Send { send_id, .. } = peer.hear().await else { panic!("no send") };
    peer.say(&sent(send_id)).await;
    within("the answer", handle).await.expect("updates are not needed for sending");
    drop(client);
    assert_eq!(peer.hear_close().await, CloseCode::Normal.number());
}

#[tokio::test]
async fn typing_and_presence_go_both_ways() {
    let gateway = Gateway::start().await;
    let (client, mut updates) = Client::connect(gateway.config()).unwrap();
    let mut peer = gateway.session(Codec::Json).await;
    until_welcome(&mut updates).await;
    client.typing(lunch());
    assert_eq!(peer.hear().await, ClientMessage::Typing { op: TypingOp::Start, to: lunch() });
    client.stop_typing();
    assert_eq!(peer.hear().await, ClientMessage::Typing { op: TypingOp::Stop, to: lunch() });
    client.set_presence(Status::Idle);
    assert_eq!(peer.hear().await, ClientMessage::Presence { status: Status::Idle });

    let active = vec![UserId(4)];
    let snapshot = PresenceSnapshot { as_of_ms: 1, change: 1, active, ..PresenceSnapshot::default() };
    peer.say(&ServerMessage::PresenceSnapshot(snapshot)).await;
    until(&mut updates, "a snapshot", |update| matches!(update, Update::PresenceSnapshot(_)).then_some(()))
        .await;
    let seen = client.presence_of(UserId(4)).expect("just told");
    assert_eq!(client.presence().len(), 1);
    let now_ms = client.server_now_ms().expect("known since the welcome");
    assert!(now_ms.abs_diff(seen.last_heard_ms) < 30_000, "whoever is connected is heard of now");
    assert_eq!(client.presence_of(UserId(5)), None);
}

#[tokio::test]
async fn a_configuration_that_can_never_connect_is_refused() {
    let refused = |url: &str| Client::connect(Config::new(url, "key")).map(drop).unwrap_err();
    assert_eq!(refused("wss://chat.example/ws"), ConfigError::Tls);
    assert_eq!(refused("chat.example"), ConfigError::Url("chat.example".into()));
}
