//! Two programs in conversation, and what one alone can meet.

use serde_json::json;
use squall_protocol::client::{Client, Config, SendError, Standing, State, Update};
use squall_protocol::client_message::{Status, TypingOp};
use squall_protocol::link::RefusalCode;
use squall_protocol::server_message::ResetReason;
use squall_protocol::{CloseCode, Codec, Destination, Epoch, Event, Position, StreamId};

use crate::listener::{Listener, config};
use crate::support::server::Server;
use crate::support::within;

#[tokio::test]
async fn two_clients_talk_in_both_codecs() {
    let server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let mut ada = Listener::start(&server, "ada").await;
    let mut bruno = Listener::start_with(Config { codec: Codec::Bincode, ..config(&server, "bruno") }).await;

    let sent = within("the answer", ada.client.send(lunch.clone(), "Soup?")).await.unwrap();
    let told = bruno.message().await;
    assert_eq!((told.content.as_str(), told.message_id, told.own), ("Soup?", sent.message_id, false));
    assert_eq!((told.sequence, ada.message().await.own), (sent.sequence, true));

    let direct = server.direct(&["ada", "bruno"]).await;
    within("the answer", bruno.client.send(direct, "Yes!")).await.unwrap();
    assert_eq!(ada.message().await.content, "Yes!");
    let history = server.api("bruno").contents(&json!([["topic", "lunch"]])).await;
    assert_eq!(history.last().unwrap(), "Soup?");
}

#[tokio::test]
async fn presence_and_typing_reach_the_other_client() {
    let server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let mut ada = Listener::start(&server, "ada").await;
    let bruno = Listener::start(&server, "bruno").await;
    let bruno_id = bruno.client.user_id().unwrap();
    for (status, standing) in [(Status::Idle, Standing::Idle), (Status::Active, Standing::Active)] {
        bruno.client.set_presence(status);
        while ada.client.presence_of(bruno_id).map(|seen| seen.standing) != Some(standing) {
            ada.until("a word of presence", |update| {
                matches!(update, Update::Presence(_) | Update::PresenceSnapshot(_)).then_some(())
            })
            .await;
        }
    }
    bruno.client.typing(lunch.clone());
    let typing = |update| match update {
        Update::Typing { op, sender_id, to } => Some((op, sender_id, to)),
        _ => None,
    };
    assert_eq!(ada.until("typing", typing).await, (TypingOp::Start, bruno_id, lunch.clone()));
    within("the answer", bruno.client.send(lunch.clone(), "Soup?")).await.unwrap();
    assert_eq!(ada.until("its end", typing).await, (TypingOp::Stop, bruno_id, lunch));
}

#[tokio::test]
async fn a_member_leaves_and_comes_back() {
    let server = Server::start().await;
    let stream_id = server.stream("general").await;
    let mut bruno = Listener::start(&server, "bruno").await;
    let left = within("the answer", bruno.client.unsubscribe(stream_id, &[])).await.unwrap();
    let joined = within("the answer", bruno.client.subscribe(stream_id, &[])).await.unwrap();
    assert!(left.sequence < joined.sequence);
    for expected in [left.sequence, joined.sequence] {
        let position = bruno.until("an event", |update| match update {
            Update::Event {
                position,
                event: Event::MembersAdded { .. } | Event::MembersRemoved { .. },
                ..
            } => Some(position),
            _ => None,
        });
        assert_eq!(position.await.sequence, expected);
    }
}

#[tokio::test]
async fn what_can_not_be_done_is_refused_and_the_rest_goes_on() {
    let server = Server::start().await;
    let ada = Listener::start(&server, "ada").await;
    let lunch = server.topic("general", "lunch").await;
    let nowhere = Destination::Stream { stream_id: StreamId(999_999), topic: "t".into() };
    let (lost, empty, good) = (
        ada.client.send(nowhere, "?"),
        ada.client.send(lunch.clone(), " "),
        ada.client.send(lunch.clone(), "Soup?"),
    );
    let code = |answer| match answer {
        Err(SendError::Refused { code, .. }) => code,
        other => panic!("expected a refusal, not {other:?}"),
    };
    assert_eq!(code(within("the answer", lost).await), Some(RefusalCode::UnknownStream));
    assert_eq!(code(within("the answer", empty).await), Some(RefusalCode::InvalidContent));
    let send_id = good.send_id().clone();
    let first = within("the answer", good).await.unwrap();
    let again = ada.client.send_as(send_id.clone(), lunch.clone(), "Soup?");
    assert_eq!(within("the answer", again).await, Ok(first), "the same id is the same send");
    let other = ada.client.send_as(send_id, lunch.clone(), "Bread?");
    assert_eq!(code(within("the answer", other).await), Some(RefusalCode::SendIdReused));
    let huge = within("the answer", ada.client.send(lunch, "x".repeat(70_000))).await;
    assert!(matches!(huge, Err(SendError::TooLarge { .. })));
}

#[tokio::test]
async fn an_unknown_token_ends_the_client_with_the_servers_words() {
    let server = Server::start().await;
    for codec in Codec::ALL {
        let config = Config { token: "x".repeat(32), codec, ..config(&server, "ada") };
        let (client, updates) = Client::connect(config).unwrap();
        let closed = Listener { client: client.clone(), updates }.closed().await;
        assert_eq!(closed.code, CloseCode::Unauthorized.number());
        assert!(!closed.reason.is_empty());
        assert_eq!(client.state(), State::Closed(closed));
    }
}

#[tokio::test]
async fn a_program_that_was_started_again_goes_on_where_it_was() {
    let server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let ada = Listener::start(&server, "ada").await;
    let mut bruno = Listener::start(&server, "bruno").await;
    for content in ["one", "two", "three", "four"] {
        within("the answer", ada.client.send(lunch.clone(), content)).await.unwrap();
    }
    assert_eq!([bruno.message().await.content, bruno.message().await.content], ["one", "two"]);
    let position = bruno.updates.position();
    within("the end of closing", bruno.client.close()).await;

    let mut bruno = Listener::start_with(Config { position, ..config(&server, "bruno") }).await;
    assert_eq!([bruno.message().await.content, bruno.message().await.content], ["three", "four"]);
}

#[tokio::test]
async fn a_position_of_another_log_is_reset() {
    let server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let known = Listener::start(&server, "ada").await.updates.position().unwrap();
    let stray = Position { epoch: Epoch(known.epoch.0 ^ 1), ..known };
    let mut ada = Listener::start_with(Config { position: Some(stray), ..config(&server, "ada") }).await;
    let (reason, position) = ada
        .until("a reset", |update| match update {
            Update::Reset { reason, position, .. } => Some((reason, position)),
            _ => None,
        })
        .await;
    assert_eq!((reason, position), (Some(ResetReason::Epoch), known));
    within("the answer", ada.client.send(lunch, "Soup?")).await.unwrap();
    assert_eq!(ada.message().await.content, "Soup?");
}
