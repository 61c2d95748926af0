//! The same send id is the same send, wherever and however often it is said.

use serde_json::json;
use squall_protocol::link::RefusalCode;

use crate::support::api::message_id;
use crate::support::client::fresh_send_id;
use crate::support::server::Server;

#[tokio::test]
async fn a_send_said_again_on_its_socket_gets_the_first_answer_and_is_stored_once() {
    let server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let (mut ada, mut bruno) = (server.client("ada").await, server.client("bruno").await);
    let send_id = fresh_send_id();
    ada.send_as(&send_id, &lunch, "once").await;
    let first = ada.expect_sent(&send_id).await;
    ada.send_as(&send_id, &lunch, "once").await;
    assert_eq!(ada.expect_sent(&send_id).await, first);

    ada.say_in(&lunch, "next").await;
    bruno.expect_messages(&["once", "next"]).await;
}

#[tokio::test]
async fn a_send_said_twice_at_once_is_stored_once() {
    let server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let (mut phone, mut desk) = (server.client("ada").await, server.client("ada").await);
    let send_id = fresh_send_id();
    phone.send_as(&send_id, &lunch, "once").await;
    desk.send_as(&send_id, &lunch, "once").await;
    assert_eq!(phone.expect_sent(&send_id).await, desk.expect_sent(&send_id).await);
    desk.say_in(&lunch, "next").await;
    phone.expect_messages(&["once", "next"]).await;
}

#[tokio::test]
async fn a_send_said_again_after_a_reconnect_gets_the_first_answer() {
    let server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let mut ada = server.client("ada").await;
    let send_id = fresh_send_id();
    ada.send_as(&send_id, &lunch, "once").await;
    let first = ada.expect_sent(&send_id).await;
    ada.expect_message("once").await;
    let position = ada.disconnect();

    let mut ada = server.resume("ada", position).await;
    ada.send_as(&send_id, &lunch, "once").await;
    assert_eq!(ada.expect_sent(&send_id).await, first);
    ada.say_in(&lunch, "next").await;
    ada.expect_message("next").await;
}

#[tokio::test]
async fn a_send_said_again_after_kill_9_gets_the_first_answer() {
    let mut server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let mut ada = server.client("ada").await;
    let send_id = fresh_send_id();
    ada.send_as(&send_id, &lunch, "once").await;
    let first = ada.expect_sent(&send_id).await;
    server.kill_9();
    server.restart().await;

    let mut ada = server.client("ada").await;
    ada.send_as(&send_id, &lunch, "once").await;
    assert_eq!(ada.expect_sent(&send_id).await, first);
    assert_eq!(server.api("bruno").contents(&json!([["topic", "lunch"]])).await.last().unwrap(), "once");
}

#[tokio::test]
async fn a_send_said_again_by_http_gets_the_first_answer() {
    let server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let mut ada = server.client("ada").await;
    let send_id = fresh_send_id();
    ada.send_as(&send_id, &lunch, "once").await;
    let (first, _) = ada.expect_sent(&send_id).await;
    let again = server.api("ada").send(&lunch, "once", &send_id).await;
    assert_eq!(message_id(&again), first);
    ada.say_in(&lunch, "next").await;
    ada.expect_messages(&["once", "next"]).await;
}

#[tokio::test]
async fn a_message_posted_by_http_and_said_again_over_a_socket_is_stored_once() {
    let server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let mut ada = server.client("ada").await;
    let send_id = fresh_send_id();
    let first = message_id(&server.api("ada").send(&lunch, "once", &send_id).await);
    ada.send_as(&send_id, &lunch, "once").await;
    assert_eq!(ada.expect_sent(&send_id).await.0, first);
    ada.say_in(&lunch, "next").await;
    ada.expect_messages(&["once", "next"]).await;
}

#[tokio::test]
async fn a_send_id_used_for_another_message_is_refused() {
    let server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let mut ada = server.client("ada").await;
    let send_id = fresh_send_id();
    ada.send_as(&send_id, &lunch, "once").await;
    ada.expect_sent(&send_id).await;
    ada.send_as(&send_id, &lunch, "something else").await;
    ada.expect_refused(&send_id, RefusalCode::SendIdReused).await;
}

#[tokio::test]
async fn two_users_may_use_the_same_send_id() {
    let server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let (mut ada, mut bruno) = (server.client("ada").await, server.client("bruno").await);
    let send_id = fresh_send_id();
    ada.send_as(&send_id, &lunch, "ada's").await;
    let first = ada.expect_sent(&send_id).await;
    bruno.send_as(&send_id, &lunch, "bruno's").await;
    assert_ne!(bruno.expect_sent(&send_id).await, first);
    ada.expect_messages(&["ada's", "bruno's"]).await;
}
