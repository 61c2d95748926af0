//! Two users in conversation.

use squall_protocol::limits::{CONTENT_CHARS_MAX, FRAME_IN_BYTES_MAX, SENDS_IN_FLIGHT_MAX, TOPIC_CHARS_MAX};
use squall_protocol::link::RefusalCode;
use squall_protocol::{Destination, StreamId, UserId};

use crate::support::server::Server;

#[tokio::test]
async fn a_hello_is_answered_with_the_terms_of_the_session() {
    let server = Server::start().await;
    let client = server.client("ada").await;
    let welcome = &client.welcome;
    assert_eq!(welcome.user_id, server.user("ada").await);
    assert_eq!(welcome.api, format!("http://{}/api/v1", server.address()));
    assert_eq!((welcome.heartbeat_ms, welcome.timeout_ms), (25_000, 10_000));
    assert_eq!(welcome.resume_window_s, 86_400);
    assert_eq!(welcome.frame_bytes_max, u32::try_from(FRAME_IN_BYTES_MAX).unwrap());
    assert_eq!(welcome.content_chars_max, u32::try_from(CONTENT_CHARS_MAX).unwrap());
    assert_eq!(welcome.sends_in_flight_max, u32::try_from(SENDS_IN_FLIGHT_MAX).unwrap());
    assert!(welcome.presence_error_max_ms >= welcome.heartbeat_ms + welcome.timeout_ms);
}

#[tokio::test]
async fn two_users_talk() {
    let server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let (mut ada, mut bruno) = (server.client("ada").await, server.client("bruno").await);

    let (message_id, sequence) = ada.say_in(&lunch, "Soup?").await;
    let heard = bruno.expect_message("Soup?").await;
    assert_eq!((heard.message_id, heard.sender_id, &heard.to), (message_id, ada.user_id(), &lunch));
    assert_eq!(bruno.position().sequence, sequence);

    bruno.say_in(&lunch, "Gladly.").await;
    ada.expect_messages(&["Soup?", "Gladly."]).await;
}

#[tokio::test]
async fn the_answer_to_a_send_and_its_event_name_the_same_place() {
    let server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let mut ada = server.client("ada").await;
    for content in ["one", "two", "three"] {
        let send_id = ada.send(&lunch, content).await;
        let (message_id, sequence) = ada.expect_sent(&send_id).await;
        let echo = ada.expect_message(content).await;
        assert_eq!((echo.message_id, &echo.send_id), (message_id, &send_id));
        assert_eq!(ada.position().sequence, sequence);
    }
}

#[tokio::test]
async fn every_device_of_a_user_hears_what_one_of_them_says() {
    let server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let (mut phone, mut desk) = (server.client("ada").await, server.client("ada").await);
    phone.say_in(&lunch, "from the phone").await;
    desk.expect_message("from the phone").await;
    phone.expect_message("from the phone").await;
}

#[tokio::test]
async fn sends_of_one_connection_are_stored_in_their_order() {
    let server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let (mut ada, mut bruno) = (server.client("ada").await, server.client("bruno").await);
    let contents: Vec<String> = (0..SENDS_IN_FLIGHT_MAX).map(|number| format!("number {number}")).collect();
    let mut last = None;
    for content in &contents {
        last = Some(ada.send(&lunch, content).await);
    }
    bruno.expect_messages(&contents).await;
    ada.expect_sent(&last.unwrap()).await;
}

#[tokio::test]
async fn a_direct_message_reaches_its_users_and_nobody_else() {
    let server = Server::start().await;
    let (pair, lunch) = (server.direct(&["ada", "bruno"]).await, server.topic("general", "lunch").await);
    let (mut ada, mut bruno, mut chidi) =
        (server.client("ada").await, server.client("bruno").await, server.client("chidi").await);

    let mut users = [ada.user_id(), bruno.user_id()];
    users.sort_unstable();
    // The sender may be left out; the event names everybody, ascending.
    ada.say_in(&Destination::Direct { user_ids: vec![bruno.user_id()] }, "just you").await;
    let heard = bruno.expect_message("just you").await;
    assert_eq!(heard.to, Destination::Direct { user_ids: users.to_vec() });
    bruno.say_in(&pair, "and you").await;
    ada.expect_messages(&["just you", "and you"]).await;

    ada.say_in(&lunch, "everybody").await;
    chidi.expect_message("everybody").await;
}

#[tokio::test]
async fn white_space_after_a_message_is_cut() {
    let server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let mut ada = server.client("ada").await;
    ada.say_in(&lunch, "  Soup? \n\t ").await;
    ada.expect_message("  Soup?").await;
}

#[tokio::test]
async fn the_longest_message_is_carried_whole() {
    let server = Server::start().await;
    let topic = server.topic("general", &"t".repeat(TOPIC_CHARS_MAX)).await;
    let (mut ada, mut bruno) = (server.client("ada").await, server.client("bruno").await);
    let content = "🌩".repeat(CONTENT_CHARS_MAX);
    ada.say_in(&topic, &content).await;
    bruno.expect_message(&content).await;
}

#[tokio::test]
async fn what_can_not_be_stored_is_refused_and_the_session_goes_on() {
    let server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let long_topic = server.topic("general", &"t".repeat(TOPIC_CHARS_MAX + 1)).await;
    let nowhere = Destination::Stream { stream_id: StreamId(9_999), topic: "lunch".into() };
    let nobody = Destination::Direct { user_ids: vec![UserId(9_999)] };
    let crowd = Destination::Direct { user_ids: (1..=60).map(UserId).collect() };
    let too_long = "x".repeat(CONTENT_CHARS_MAX + 1);
    let refused = [
        (&lunch, " \n ", RefusalCode::InvalidContent),
        (&lunch, "a\0b", RefusalCode::InvalidContent),
        (&lunch, too_long.as_str(), RefusalCode::InvalidContent),
        (&long_topic, "x", RefusalCode::InvalidContent),
        (&nowhere, "x", RefusalCode::UnknownStream),
        (&nobody, "x", RefusalCode::UnknownUser),
        (&crowd, "x", RefusalCode::TooMany),
    ];
    let mut ada = server.client("ada").await;
    for (to, content, code) in refused {
        let send_id = ada.send(to, content).await;
        ada.expect_refused(&send_id, code).await;
    }
    ada.say_in(&lunch, "fine").await;
    ada.expect_message("fine").await;
}

#[tokio::test]
async fn a_user_over_the_rate_limit_is_told_when_to_try_again() {
    use crate::support::client::Outcome;
    let server = Server::start_with(&["--rate-limit", "3"]).await;
    let mut ada = server.client("ada").await;
    let alone = Destination::Direct { user_ids: vec![ada.user_id()] };
    // Calls of the API count as well; so the first refusal comes at the fourth send or before.
    for number in 0..4 {
        let send_id = ada.send(&alone, &format!("number {number}")).await;
        if let Outcome::Refused { code, retry_after_ms } = ada.outcome(&send_id).await {
            assert_eq!(code, RefusalCode::RateLimited);
            assert!((1..=60_000).contains(&retry_after_ms.unwrap()));
            return;
        }
    }
    panic!("four sends in a moment passed a limit of three a minute");
}

#[tokio::test]
async fn a_client_may_test_its_line() {
    let server = Server::start().await;
    server.client("ada").await.round_trip().await;
}
