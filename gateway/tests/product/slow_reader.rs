//! Who reads slowly, or not at all for a while, delays nobody and loses nothing.

use squall_protocol::{CloseCode, Destination};

use crate::support::client::{Client, Opening};
use crate::support::line::Line;
use crate::support::server::Server;

/// What a socket that is not read can hold on this side.
const NARROW_BYTES: u32 = 16 * 1024;
const CONTENT_CHARS: usize = 8_000;
/// More than the kernel holds for an unread socket (under 3 MiB), less than the node keeps in memory of a
/// realm (8 MiB, each event's body and its frame counted).
const WITHIN_MEMORY: usize = 450;
const PAST_MEMORY: usize = 1_200;

#[tokio::test]
async fn who_reads_again_gets_everything_in_order_and_delays_nobody_meanwhile() {
    let server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let (mut ada, mut bruno) = (server.client("ada").await, server.client("bruno").await);
    let mut paused = narrow_client(&server, "chidi").await;
    let contents = say_much(&mut ada, &mut bruno, &lunch, WITHIN_MEMORY).await;
    paused.expect_messages(&contents).await;
    ada.say_in(&lunch, "the end").await;
    paused.expect_message("the end").await;
}

#[tokio::test]
async fn what_waits_for_a_slow_reader_is_not_in_its_socket() {
    let mut server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let (mut ada, mut bruno) = (server.client("ada").await, server.client("bruno").await);
    let mut paused = narrow_client(&server, "chidi").await;
    let contents = say_much(&mut ada, &mut bruno, &lunch, WITHIN_MEMORY).await;
    server.kill_9();
    let in_the_kernel = paused.messages_to_the_end().await.len();
    assert!(in_the_kernel < contents.len(), "the kernel took all {in_the_kernel}: nobody was slow");
}

#[tokio::test]
async fn who_gives_up_and_resumes_gets_everything_in_order() {
    let server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let (mut ada, mut bruno) = (server.client("ada").await, server.client("bruno").await);
    let mut paused = narrow_client(&server, "chidi").await;
    let contents = say_much(&mut ada, &mut bruno, &lunch, WITHIN_MEMORY).await;
    // Some of it was read before the line broke, in the middle of what the socket held.
    let (read, unread) = contents.split_at(10);
    paused.expect_messages(read).await;
    let position = paused.disconnect();
    let mut chidi = server.resume("chidi", position).await;
    chidi.expect_messages(unread).await;
}

#[tokio::test]
async fn who_falls_behind_what_memory_holds_is_closed_with_4200_and_resumes_without_loss() {
    let server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let (mut ada, mut bruno) = (server.client("ada").await, server.client("bruno").await);
    let mut paused = narrow_client(&server, "chidi").await;
    let contents = say_much(&mut ada, &mut bruno, &lunch, PAST_MEMORY).await;
    let read = paused.messages_to_the_end().await;
    paused.assert_closed(CloseCode::SlowConsumer).await;
    assert_eq!(read, contents[..read.len()]);
    let position = paused.disconnect();
    let mut chidi = server.resume("chidi", position).await;
    chidi.expect_messages(&contents[read.len()..]).await;
}

#[tokio::test]
async fn a_short_pause_is_caught_up_exactly() {
    let server = Server::start().await;
    let lunch = server.topic("general", "lunch").await;
    let (mut ada, mut paused) = (server.client("ada").await, server.client("chidi").await);
    for round in 0..20 {
        let contents: Vec<String> = (0..50).map(|number| format!("{round}.{number}")).collect();
        for content in &contents {
            ada.send(&lunch, content).await;
        }
        ada.expect_messages(&contents).await;
        paused.expect_messages(&contents).await;
    }
}

async fn narrow_client(server: &Server, name: &str) -> Client {
    let line = Line::open_narrow(server.address(), NARROW_BYTES).await;
    Client::open(line, &server.zuliprc(name).key, Opening::default()).await
}

/// Ada says much and bruno hears each message in time, whoever else does not read.
async fn say_much(ada: &mut Client, bruno: &mut Client, to: &Destination, count: usize) -> Vec<String> {
    let padding = "x".repeat(CONTENT_CHARS);
    let contents: Vec<String> = (0..count).map(|number| format!("{number} {padding}")).collect();
    for batch in contents.chunks(50) {
        for content in batch {
            ada.send(to, content).await;
        }
        bruno.expect_messages(batch).await;
        ada.expect_messages(batch).await;
    }
    contents
}
