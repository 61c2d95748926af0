//! Who is there, as others are told.

use squall_protocol::client_message::{ClientMessage, Scope, Status};

use crate::support::client::Opening;
use crate::support::presence_view::Seen;
use crate::support::server::Server;

const SHORT_GRACE: [&str; 2] = ["--presence-grace", "2s"];

#[tokio::test]
async fn a_newcomer_is_told_who_is_there_and_is_seen_by_the_others() {
    let server = Server::start().await;
    let mut ada = server.client("ada").await;
    let idle = Opening { presence: Status::Idle, ..Opening::default() };
    let mut bruno = server.client_with("bruno", idle).await;
    bruno.expect_presence(ada.user_id(), Seen::Active).await;
    ada.expect_presence(bruno.user_id(), Seen::Idle).await;
}

#[tokio::test]
async fn turning_away_and_coming_back_reaches_the_others() {
    let server = Server::start().await;
    let (mut ada, mut bruno) = (server.client("ada").await, server.client("bruno").await);
    ada.expect_presence(bruno.user_id(), Seen::Active).await;
    bruno.say(&ClientMessage::Presence { status: Status::Idle }).await;
    ada.expect_presence(bruno.user_id(), Seen::Idle).await;
    bruno.say(&ClientMessage::Presence { status: Status::Active }).await;
    ada.expect_presence(bruno.user_id(), Seen::Active).await;
}

#[tokio::test]
async fn the_best_of_several_devices_is_shown() {
    let server = Server::start().await;
    let (mut ada, mut desk) = (server.client("ada").await, server.client("bruno").await);
    let idle = Opening { presence: Status::Idle, ..Opening::default() };
    let phone = server.client_with("bruno", idle).await;
    ada.expect_presence(phone.user_id(), Seen::Active).await;
    desk.say(&ClientMessage::Presence { status: Status::Idle }).await;
    ada.expect_presence(phone.user_id(), Seen::Idle).await;
}

#[tokio::test]
async fn who_is_gone_for_longer_than_the_grace_is_shown_with_the_time_last_heard() {
    let server = Server::start_with(&SHORT_GRACE).await;
    let (mut ada, bruno) = (server.client("ada").await, server.client("bruno").await);
    let (bruno_id, came_ms) = (bruno.user_id(), bruno.welcome.time_ms);
    ada.expect_presence(bruno_id, Seen::Active).await;
    bruno.disconnect();
    let heard_s = ada.expect_offline(bruno_id).await;
    assert!((came_ms / 1_000..came_ms / 1_000 + 30).contains(&heard_s), "{heard_s} s, came at {came_ms} ms");
}

#[tokio::test]
async fn a_reconnect_within_the_grace_is_told_to_nobody() {
    let server = Server::start_with(&SHORT_GRACE).await;
    let (mut ada, bruno, chidi) =
        (server.client("ada").await, server.client("bruno").await, server.client("chidi").await);
    ada.expect_presence(bruno.user_id(), Seen::Active).await;
    ada.expect_presence(chidi.user_id(), Seen::Active).await;
    let chidi_id = chidi.user_id();
    let position = bruno.disconnect();
    let bruno = server.resume("bruno", position).await;
    // Chidi leaves later than bruno did: once chidi is told of, bruno would have been.
    chidi.disconnect();
    ada.expect_offline(chidi_id).await;
    assert_eq!(ada.presence().of(bruno.user_id()), Some(Seen::Active));
    assert!(!ada.presence().ever_left(bruno.user_id()));
}

#[tokio::test]
async fn snapshot_and_diffs_are_the_snapshot_then() {
    let server = Server::start_with(&SHORT_GRACE).await;
    let (mut ada, mut bruno, chidi) =
        (server.client("ada").await, server.client("bruno").await, server.client("chidi").await);
    let chidi_id = chidi.user_id();
    bruno.say(&ClientMessage::Presence { status: Status::Idle }).await;
    chidi.disconnect();
    ada.expect_offline(chidi_id).await;
    ada.expect_presence(bruno.user_id(), Seen::Idle).await;
    let by_diffs = ada.presence().clone();
    assert_eq!(ada.fresh_presence().await.users(), by_diffs.users());
}

#[tokio::test]
async fn who_asked_for_nobodys_presence_gets_nobodys() {
    let server = Server::start().await;
    let (mut ada, mut bruno) = (
        server.client("ada").await,
        server.client_with("bruno", Opening { scope: Scope::None, ..Opening::default() }).await,
    );
    ada.expect_presence(bruno.user_id(), Seen::Active).await;
    bruno.round_trip().await;
    assert_eq!(bruno.presence().users().len(), 0);
}

#[tokio::test]
async fn last_heard_times_survive_a_restart() {
    let mut server = Server::start_with(&SHORT_GRACE).await;
    let (mut ada, bruno) = (server.client("ada").await, server.client("bruno").await);
    let bruno_id = bruno.user_id();
    bruno.disconnect();
    let heard = ada.expect_offline(bruno_id).await;
    server.sigterm();
    drop(ada);
    assert!(server.exit().await.success());
    server.restart().await;
    assert_eq!(server.client("ada").await.expect_offline(bruno_id).await, heard);
}
