//! Peers that the gateway shows the door, each with its own code, while others talk on undisturbed.

use squall_protocol::client_message::{ClientMessage, Hello, Scope, Status};
use squall_protocol::limits::FRAME_IN_BYTES_MAX;
use squall_protocol::server_message::{ErrorCode, ServerMessage};
use squall_protocol::{CloseCode, json};
use tokio_tungstenite::tungstenite::protocol::frame::coding::Data;

use crate::support::bystanders::Bystanders;
use crate::support::http::{self, Answer};
use crate::support::line::Received;
use crate::support::server::Server;
use crate::support::within;

#[tokio::test]
async fn a_peer_that_says_nothing_is_closed_with_4101() {
    let server = Server::start_with(&["--hello-timeout", "1s"]).await;
    let mut others = Bystanders::talking(&server).await;
    let mut silent = server.line().await;
    others.are_undisturbed_until(silent.assert_closed(CloseCode::HelloTimeout)).await;
}

#[tokio::test]
async fn an_oversized_message_is_closed_with_1009() {
    let server = Server::start().await;
    let mut others = Bystanders::talking(&server).await;
    let mut peer = server.client("chidi").await;
    peer.line().say_frame(Data::Text, vec![b'x'; FRAME_IN_BYTES_MAX + 1]).await;
    peer.assert_closed(CloseCode::TooBig).await;
    others.are_undisturbed().await;
}

#[tokio::test]
async fn an_oversized_first_message_is_closed_with_1009() {
    let server = Server::start().await;
    let mut others = Bystanders::talking(&server).await;
    let mut peer = server.line().await;
    peer.say_frame(Data::Text, vec![b'x'; FRAME_IN_BYTES_MAX + 1]).await;
    peer.assert_closed(CloseCode::TooBig).await;
    others.are_undisturbed().await;
}

#[tokio::test]
async fn a_message_that_is_no_message_is_closed_with_4400() {
    let server = Server::start().await;
    let mut others = Bystanders::talking(&server).await;
    let malformed = [
        "",
        "{",
        "[]",
        r#"{"type":"dance"}"#,
        r#"{"type":"ping","extra":1}"#,
        r#"{"type":"send","send_id":"has space","to":{"stream_id":1,"topic":"x"},"content":"x"}"#,
        r#"{"type":"subscribe","send_id":"x","stream_id":9007199254740992}"#,
    ];
    for text in malformed {
        let mut peer = server.client("chidi").await;
        peer.line().say_text(text).await;
        peer.expect_error(ErrorCode::Malformed).await;
        peer.assert_closed(CloseCode::Malformed).await;
        others.are_undisturbed().await;
    }
}

#[tokio::test]
async fn a_first_message_that_is_no_message_is_closed_with_4400() {
    let server = Server::start().await;
    let mut others = Bystanders::talking(&server).await;
    let mut peer = server.line().await;
    peer.say_text("{").await;
    peer.expect_error(ErrorCode::Malformed).await;
    peer.assert_closed(CloseCode::Malformed).await;
    others.are_undisturbed().await;
}

#[tokio::test]
async fn a_binary_frame_is_closed_with_1003() {
    let server = Server::start().await;
    let mut others = Bystanders::talking(&server).await;
    let mut peer = server.client("chidi").await;
    peer.line().say_frame(Data::Binary, *b"{\"type\":\"ping\"}").await;
    peer.assert_closed(CloseCode::Unsupported).await;
    others.are_undisturbed().await;
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_closed_with_1007() {
    let server = Server::start().await;
    let mut others = Bystanders::talking(&server).await;
    let mut peer = server.client("chidi").await;
    peer.line().say_frame(Data::Text, [b'"', 0xc3, 0x28, b'"']).await;
    peer.assert_closed(CloseCode::InvalidData).await;
    others.are_undisturbed().await;
}

#[tokio::test]
async fn a_session_too_many_is_closed_with_4102() {
    let server = Server::start_with(&["--sessions-per-user-max", "2"]).await;
    let mut others = Bystanders::talking(&server).await;
    let (first, _second) = (server.client("chidi").await, server.client("chidi").await);
    let key = server.zuliprc("chidi").key;
    let mut third = server.line().await;
    third.say(&hello(&key)).await;
    third.expect_error(ErrorCode::SessionsMax).await;
    third.assert_closed(CloseCode::SessionsMax).await;
    others.are_undisturbed().await;
    // A place that is left can be taken again, once the server has seen it left.
    first.disconnect();
    within("room for a session", async {
        loop {
            let mut next = server.line().await;
            next.say(&hello(&key)).await;
            if let Received::Message(ServerMessage::Welcome(_)) = next.receive().await {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_user_whose_key_was_changed_is_closed_with_4403() {
    let server = Server::start().await;
    let mut others = Bystanders::talking(&server).await;
    let (mut phone, mut desk) = (server.client("chidi").await, server.client("chidi").await);
    let old_key = server.zuliprc("chidi");
    let new_key = server.change_key("Demo", &old_key.email).await;
    phone.assert_closed(CloseCode::Revoked).await;
    desk.assert_closed(CloseCode::Revoked).await;
    let mut again = server.line().await;
    again.say(&hello(&old_key.key)).await;
    again.assert_closed(CloseCode::Unauthorized).await;
    let mut with_the_new_one = server.line().await;
    with_the_new_one.say(&hello(&new_key)).await;
    let welcome = within("a welcome", with_the_new_one.receive()).await;
    assert!(matches!(welcome, Received::Message(ServerMessage::Welcome(_))), "{welcome:?}");
    others.are_undisturbed().await;
}

#[tokio::test]
async fn a_deactivated_user_is_closed_with_4403() {
    let server = Server::start().await;
    let mut others = Bystanders::talking(&server).await;
    let mut chidi = server.client("chidi").await;
    let line =
        serde_json::json!({ "realm": "Demo", "email": server.zuliprc("chidi").email, "is_active": false });
    server.operate_well("PATCH", "users", &[line]).await;
    chidi.assert_closed(CloseCode::Revoked).await;
    assert_eq!(server.api("chidi").get("users/me", &[]).await.status, 401);
    others.are_undisturbed().await;
}

#[tokio::test]
async fn an_unknown_token_is_closed_with_4401() {
    let server = Server::start().await;
    let mut others = Bystanders::talking(&server).await;
    for token in ["", "no such key", &"x".repeat(10_000)] {
        let mut peer = server.line().await;
        peer.say(&hello(token)).await;
        peer.expect_error(ErrorCode::Unauthorized).await;
        peer.assert_closed(CloseCode::Unauthorized).await;
        others.are_undisturbed().await;
    }
}

#[tokio::test]
async fn a_second_hello_is_closed_with_4402() {
    let server = Server::start().await;
    let mut others = Bystanders::talking(&server).await;
    let mut peer = server.client("chidi").await;
    peer.say(&hello(&server.zuliprc("chidi").key)).await;
    peer.expect_error(ErrorCode::Hello).await;
    peer.assert_closed(CloseCode::HelloExpected).await;
    others.are_undisturbed().await;
}

#[tokio::test]
async fn a_first_message_other_than_hello_is_closed_with_4402() {
    let server = Server::start().await;
    let mut others = Bystanders::talking(&server).await;
    let mut peer = server.line().await;
    peer.say(&ClientMessage::Ping {}).await;
    peer.expect_error(ErrorCode::Hello).await;
    peer.assert_closed(CloseCode::HelloExpected).await;
    others.are_undisturbed().await;
}

#[tokio::test]
async fn an_unknown_subprotocol_is_answered_400() {
    let server = Server::start().await;
    let mut others = Bystanders::talking(&server).await;
    for subprotocol in [None, Some("chat"), Some("squall.v9.json")] {
        assert_eq!(upgrade(&server, subprotocol, None).await.status, 400, "{subprotocol:?}");
    }
    others.are_undisturbed().await;
}

#[tokio::test]
async fn a_known_subprotocol_among_unknown_ones_is_chosen() {
    let server = Server::start().await;
    let answer = upgrade(&server, Some("squall.v9.json, squall.v1.json"), None).await;
    assert_eq!((answer.status, answer.header("sec-websocket-protocol")), (101, Some(json::SUBPROTOCOL)));
}

#[tokio::test]
async fn a_page_of_a_foreign_origin_is_answered_403() {
    let server = Server::start().await;
    let mut others = Bystanders::talking(&server).await;
    let own = format!("http://{}", server.address());
    assert_eq!(upgrade(&server, Some(json::SUBPROTOCOL), Some(&own)).await.status, 101);
    for origin in ["http://elsewhere.example", "http://127.0.0.1:1", "null"] {
        assert_eq!(upgrade(&server, Some(json::SUBPROTOCOL), Some(origin)).await.status, 403, "{origin}");
    }
    others.are_undisturbed().await;
}

#[tokio::test]
async fn a_plain_request_for_the_socket_is_refused() {
    let server = Server::start().await;
    let answer = http::request(server.address(), "GET", "/ws", &[], b"").await;
    assert!((400..500).contains(&answer.status), "{}", answer.status);
}

/// Asks for an upgrade with these headers and reads the answer's head.
async fn upgrade(server: &Server, subprotocol: Option<&str>, origin: Option<&str>) -> Answer {
    let mut headers = vec![
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    headers.extend(subprotocol.map(|name| ("Sec-WebSocket-Protocol", name)));
    headers.extend(origin.map(|name| ("Origin", name)));
    http::request(server.address(), "GET", "/ws", &headers, b"").await
}

fn hello(token: &str) -> ClientMessage {
    let token = token.to_owned();
    ClientMessage::Hello(Hello { token, position: None, presence: Status::Active, scope: Scope::Realm })
}
