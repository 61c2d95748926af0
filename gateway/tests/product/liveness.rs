//! Who answers stays; who does not is let go.

use squall_protocol::CloseCode;

use crate::support::bystanders::Bystanders;
use crate::support::presence_view::Seen;
use crate::support::server::Server;

const QUICK_HEARTBEAT: [&str; 4] = ["--heartbeat", "1s", "--heartbeat-timeout", "1s"];

#[tokio::test]
async fn a_client_that_answers_pings_stays() {
    let server = Server::start_with(&QUICK_HEARTBEAT).await;
    let mut ada = server.client("ada").await;
    assert_eq!((ada.welcome.heartbeat_ms, ada.welcome.timeout_ms), (1_000, 1_000));
    ada.expect_pings(4).await;
    let lunch = server.topic("general", "lunch").await;
    ada.say_in(&lunch, "still here").await;
}

#[tokio::test]
async fn a_client_that_stops_answering_is_closed_with_4001() {
    let server = Server::start_with(&QUICK_HEARTBEAT).await;
    let mut others = Bystanders::talking(&server).await;
    let mut half_open = server.client("chidi").await;
    half_open.stop_answering_pings();
    others.are_undisturbed_until(half_open.assert_closed(CloseCode::HeartbeatTimeout)).await;
}

#[tokio::test]
async fn a_client_whose_line_was_cut_is_shown_as_gone() {
    let server = Server::start_with(&[&QUICK_HEARTBEAT[..], &["--presence-grace", "1s"]].concat()).await;
    let (mut ada, chidi) = (server.client("ada").await, server.client("chidi").await);
    ada.expect_presence(chidi.user_id(), Seen::Active).await;
    // Its socket stays open and unread: neither an answer nor an end ever comes from it.
    ada.expect_offline(chidi.user_id()).await;
    drop(chidi);
}

#[tokio::test]
async fn active_ends_with_a_pong_that_says_so() {
    let server = Server::start_with(&QUICK_HEARTBEAT).await;
    let (mut ada, mut bruno) = (server.client("ada").await, server.client("bruno").await);
    ada.expect_presence(bruno.user_id(), Seen::Active).await;
    bruno.answer_pings_as_inactive();
    bruno.expect_pings(1).await;
    ada.expect_presence(bruno.user_id(), Seen::Idle).await;
}
