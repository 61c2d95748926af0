//! A resume is exact or honest.

use squall_protocol::client_message::{ClientMessage, Hello, Scope, Status};
use squall_protocol::server_message::{ResetReason, ServerMessage};
use squall_protocol::{Epoch, Event, Mark, Position, Sequence};

use crate::support::api::succeeded;
use crate::support::line::Received;
use crate::support::server::Server;
use crate::support::within;

#[tokio::test]
async fn a_resume_brings_exactly_what_was_missed_and_goes_on_live() {
    let server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let (mut ada, mut bruno) = (server.client("ada").await, server.client("bruno").await);
    ada.say_in(&lunch, "before").await;
    bruno.expect_message("before").await;
    let position = bruno.disconnect();

    ada.say_in(&lunch, "missed 1").await;
    ada.say_in(&lunch, "missed 2").await;
    let mut bruno = server.resume("bruno", position).await;
    ada.say_in(&lunch, "live").await;
    bruno.expect_messages(&["missed 1", "missed 2", "live"]).await;
}

#[tokio::test]
async fn a_resume_that_missed_nothing_brings_nothing() {
    let server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let (mut ada, mut bruno) = (server.client("ada").await, server.client("bruno").await);
    for round in 0..50 {
        let content = format!("round {round}");
        ada.say_in(&lunch, &content).await;
        bruno.expect_message(&content).await;
        let position = bruno.disconnect();
        bruno = server.resume("bruno", position).await;
    }
    ada.say_in(&lunch, "the end").await;
    bruno.expect_message("the end").await;
}

#[tokio::test]
async fn a_position_can_be_resumed_by_two_connections() {
    let server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let (mut ada, bruno) = (server.client("ada").await, server.client("bruno").await);
    let position = bruno.disconnect();
    ada.say_in(&lunch, "missed").await;
    let (mut phone, mut desk) =
        (server.resume("bruno", position).await, server.resume("bruno", position).await);
    phone.expect_message("missed").await;
    desk.expect_message("missed").await;
}

#[tokio::test]
async fn a_resume_across_kill_9_loses_and_doubles_nothing() {
    let mut server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let (mut ada, mut bruno) = (server.client("ada").await, server.client("bruno").await);
    ada.say_in(&lunch, "before").await;
    bruno.expect_message("before").await;
    let bruno_was_at = bruno.disconnect();
    ada.say_in(&lunch, "stored").await;
    ada.expect_messages(&["before", "stored"]).await;
    let ada_was_at = ada.position();

    server.kill_9();
    ada.expect_broken().await;
    server.restart().await;

    let (mut ada, mut bruno) =
        (server.resume("ada", ada_was_at).await, server.resume("bruno", bruno_was_at).await);
    ada.say_in(&lunch, "after").await;
    bruno.expect_messages(&["stored", "after"]).await;
    ada.expect_message("after").await;
}

#[tokio::test]
async fn a_long_absence_is_caught_up_in_order() {
    let server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let (mut ada, bruno) = (server.client("ada").await, server.client("bruno").await);
    let position = bruno.disconnect();
    let contents: Vec<String> = (0..1_500).map(|number| format!("number {number}")).collect();
    for hundred in contents.chunks(100) {
        for content in hundred {
            ada.send(&lunch, content).await;
        }
        ada.expect_messages(hundred).await;
    }
    let mut bruno = server.resume("bruno", position).await;
    bruno.expect_messages(&contents).await;
}

#[tokio::test]
async fn an_absence_longer_than_memory_is_caught_up_from_the_log() {
    let mut server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let (mut ada, bruno) = (server.client("ada").await, server.client("bruno").await);
    let position = bruno.disconnect();
    let contents: Vec<String> = (0..600).map(|number| format!("number {number}")).collect();
    for hundred in contents.chunks(100) {
        for content in hundred {
            ada.send(&lunch, content).await;
        }
        ada.expect_messages(hundred).await;
    }
    // A new process has nothing of it in memory.
    server.kill_9();
    server.restart().await;
    let mut bruno = server.resume("bruno", position).await;
    bruno.expect_messages(&contents).await;
}

#[tokio::test]
async fn an_idle_client_is_told_how_far_the_log_went() {
    let server = Server::start_with(&["--heartbeat", "1s", "--heartbeat-timeout", "1s"]).await;
    let alone = server.direct(&["ada"]).await;
    let (mut ada, mut bruno) = (server.client("ada").await, server.client("bruno").await);
    let (_, sequence) = ada.say_in(&alone, "a note to myself").await;
    bruno.expect_position_from(sequence).await;
    let position = bruno.disconnect();

    let mut bruno = server.resume("bruno", position).await;
    let lunch = server.topic("general", "lunch").await;
    ada.say_in(&lunch, "next").await;
    bruno.expect_message("next").await;
}

#[tokio::test]
async fn a_position_of_another_epoch_is_reset() {
    assert_reset(ResetReason::Epoch, |head| Position { epoch: Epoch(head.epoch.0 ^ 1), ..head }).await;
}

#[tokio::test]
async fn a_position_with_a_foreign_mark_is_reset() {
    assert_reset(ResetReason::Epoch, |head| Position { mark: Mark(head.mark.0 ^ 1), ..head }).await;
}

#[tokio::test]
async fn a_position_from_the_future_is_reset() {
    assert_reset(ResetReason::Future, |head| Position { sequence: Sequence(head.sequence.0 + 1), ..head })
        .await;
}

/// What the log no longer has can't be replayed: within the window it is, past it the client is told so.
#[tokio::test]
async fn a_position_older_than_the_log_is_reset() {
    let mut server = Server::start_with(&["--resume-window", "2s"]).await;
    let lunch = server.topic("general", "lunch").await;
    let mut ada = server.client("ada").await;
    let position = ada.position();
    ada.say_in(&lunch, "long ago").await;
    ada.expect_message("long ago").await;
    let token = server.zuliprc("bruno").key;
    within("the end of the window", async {
        loop {
            // The log is pruned at the start.
            server.kill_9();
            server.restart().await;
            let mut line = server.line().await;
            let (token, position) = (token.clone(), Some(position));
            let hello = Hello { token, position, presence: Status::Active, scope: Scope::None };
            line.say(&ClientMessage::Hello(hello)).await;
            let welcome = line.receive().await;
            assert!(matches!(welcome, Received::Message(ServerMessage::Welcome(_))), "{welcome:?}");
            match line.receive().await {
                Received::Message(ServerMessage::Reset { reason, position, .. }) => {
                    assert_eq!((reason, position), (ResetReason::Expired, ada.position()));
                    return;
                }
                Received::Message(ServerMessage::Event { event: Event::Message(message), .. }) => {
                    assert_eq!(message.content, "long ago");
                }
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
}

/// A client that names a position which can't be continued is told why, and goes on from the head.
async fn assert_reset(reason: ResetReason, forge: impl FnOnce(Position) -> Position) {
    let server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let mut ada = server.client("ada").await;
    ada.say_in(&lunch, "before").await;
    ada.expect_message("before").await;

    let mut bruno = server.resume("bruno", forge(ada.position())).await;
    assert_eq!(bruno.expect_reset(reason).await, ada.position());
    ada.say_in(&lunch, "after").await;
    bruno.expect_message("after").await;
    let newest = [("anchor", "newest"), ("num_before", "1"), ("num_after", "0")];
    let as_of = succeeded(&server.api("bruno").get("messages", &newest).await)["as_of"].clone();
    assert!(as_of["sequence"].as_u64().unwrap() >= ada.position().sequence.0, "{as_of}");
    assert_eq!(as_of["epoch"].as_u64().unwrap(), ada.position().epoch.0);
}
