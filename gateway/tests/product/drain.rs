//! SIGTERM: clients are handed on one by one, nothing is lost, and the process ends well.

use std::collections::BTreeSet;

use squall_protocol::CloseCode;

use crate::support::server::Server;

#[tokio::test]
async fn each_client_is_told_to_go_after_a_delay_of_its_own() {
    let mut server = Server::start().await;
    let mut clients = Vec::new();
    for name in ["ada", "bruno", "chidi", "dalia", "emre"].repeat(4) {
        clients.push(server.client(name).await);
    }
    server.sigterm();
    let mut delays = BTreeSet::new();
    for client in &mut clients {
        delays.insert(client.expect_goaway().await);
    }
    assert!(delays.len() > clients.len() / 2, "{delays:?}");
    drop(clients);
    assert!(server.exit().await.success());
}

#[tokio::test]
async fn who_stays_too_long_is_closed_with_4000() {
    let mut server = Server::start().await;
    let mut ada = server.client("ada").await;
    server.sigterm();
    ada.expect_goaway().await;
    ada.assert_closed(CloseCode::GoingAway).await;
    assert!(server.exit().await.success());
}

#[tokio::test]
async fn a_client_handed_on_resumes_in_the_next_process() {
    let mut server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let (mut ada, mut bruno) = (server.client("ada").await, server.client("bruno").await);
    server.sigterm();
    ada.expect_goaway().await;
    bruno.expect_goaway().await;
    // One may go on until then.
    ada.say_in(&lunch, "last words").await;
    bruno.expect_message("last words").await;
    let (ada_was_at, bruno_was_at) = (ada.disconnect(), bruno.disconnect());
    assert!(server.exit().await.success());

    server.restart().await;
    let (mut ada, mut bruno) =
        (server.resume("ada", ada_was_at).await, server.resume("bruno", bruno_was_at).await);
    ada.say_in(&lunch, "first words").await;
    bruno.expect_message("first words").await;
}

#[tokio::test]
async fn a_process_with_nobody_connected_ends_at_once() {
    let mut server = Server::start().await;
    server.sigterm();
    assert!(server.exit().await.success());
}
