//! A writer that is killed, frozen or away: nothing is lost, nothing is doubled, sockets stay.

use std::time::{Duration, Instant};

use squall_protocol::link::RefusalCode;
use squall_protocol::server_message::ErrorCode;
use squall_protocol::{CloseCode, SendId};
use tokio::time::sleep;

use crate::support::client::{Client, Outcome};
use crate::support::cluster::{Cluster, Plan};
use crate::support::within;

/// A send that may be refused for a while is tried again, with the same id, until it is stored.
async fn say_until_stored(client: &mut Client, cluster: &Cluster, send_id: &SendId, content: &str) {
    let lunch = cluster.topic("lunch");
    within("a send to be stored", async {
        loop {
            match client.outcome(send_id).await {
                Outcome::Sent { .. } => return,
                Outcome::Refused { code, retry_after_ms: Some(after) } => {
                    assert!(matches!(code, RefusalCode::Unavailable | RefusalCode::OutOfOrder));
                    sleep(Duration::from_millis(u64::from(after))).await;
                    client.send_as(send_id, &lunch, content).await;
                }
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_writer_killed_in_the_midst_of_sends_stores_each_exactly_once_in_order() {
    let mut cluster = Cluster::start(&Plan::default()).await;
    let lunch = cluster.topic("lunch");
    let (mut ada, mut bruno) = (cluster.client(0, 0).await, cluster.client(0, 1).await);
    let mut contents = Vec::new();
    for round in 0..5 {
        let mut sends = Vec::new();
        for number in 0..100 {
            let content = format!("{round}.{number}");
            sends.push(ada.send(&lunch, &content).await);
            contents.push(content);
            if number == 10 + 20 * round {
                cluster.writer_mut(0).kill_9();
            }
        }
        cluster.writer_mut(0).restart().await;
        for send_id in sends {
            ada.expect_sent(&send_id).await;
        }
    }
    bruno.expect_messages(&contents).await;
    assert_eq!(cluster.contents(0).await, contents);
}

#[tokio::test]
async fn a_send_that_was_refused_while_the_writer_was_away_is_stored_once_when_it_is_tried_again() {
    let mut cluster = Cluster::start(&Plan::default()).await;
    let lunch = cluster.topic("lunch");
    let mut ada = cluster.client(0, 0).await;
    cluster.writer_mut(0).kill_9();
    let start = Instant::now();
    let send_id = ada.send(&lunch, "Soup?").await;
    let refused = ada.outcome(&send_id).await;
    let Outcome::Refused { code: RefusalCode::Unavailable, retry_after_ms: Some(after) } = refused else {
        panic!("{refused:?}")
    };
    assert!(after > 0 && start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let start = Instant::now();
    ada.send_as(&send_id, &lunch, "Soup?").await;
    assert!(matches!(ada.outcome(&send_id).await, Outcome::Refused { .. }));
    assert!(start.elapsed() < Duration::from_secs(2), "known to be away, it is not waited for again");
    cluster.writer_mut(0).restart().await;
    ada.send_as(&send_id, &lunch, "Soup?").await;
    say_until_stored(&mut ada, &cluster, &send_id, "Soup?").await;
    assert_eq!(cluster.contents(0).await, ["Soup?"]);
}

#[tokio::test]
async fn a_writer_that_was_frozen_goes_on_and_what_was_sent_meanwhile_is_stored_once() {
    let cluster = Cluster::start(&Plan::default()).await;
    let lunch = cluster.topic("lunch");
    let mut ada = cluster.client(0, 0).await;
    cluster.writer(0).freeze();
    let sends = [ada.send(&lunch, "one").await, ada.send(&lunch, "two").await];
    let gateway = cluster.gateway(0);
    gateway
        .until_it_says("the frozen writer to be found out", |_, said| said["writers"][0]["up"] == false)
        .await;
    cluster.writer(0).thaw();
    for (send_id, content) in sends.iter().zip(["one", "two"]) {
        say_until_stored(&mut ada, &cluster, send_id, content).await;
    }
    ada.expect_messages(&["one", "two"]).await;
    assert_eq!(cluster.contents(0).await, ["one", "two"]);
}

#[tokio::test]
async fn sockets_stay_while_the_writer_is_away_and_hear_of_everything_afterwards() {
    let mut cluster = Cluster::start(&Plan::default()).await;
    let lunch = cluster.topic("lunch");
    let (mut ada, mut bruno) = (cluster.client(0, 0).await, cluster.client(0, 1).await);
    ada.say_in(&lunch, "before").await;
    bruno.expect_message("before").await;
    cluster.writer_mut(0).kill_9();
    sleep(Duration::from_secs(2)).await;
    bruno.round_trip().await;
    cluster.writer_mut(0).restart().await;
    cluster.until_all_ready().await;
    ada.say_in(&lunch, "after").await;
    bruno.expect_message("after").await;
}

#[tokio::test]
async fn a_hello_waits_for_the_writer_a_little_and_is_then_told_to_come_later() {
    let mut cluster = Cluster::start(&Plan::default()).await;
    cluster.writer_mut(0).kill_9();
    let key = cluster.account(0).key.clone();
    let hello = |key: &str| {
        squall_protocol::ClientMessage::Hello(squall_protocol::client_message::Hello {
            token: key.to_owned(),
            position: None,
            presence: Default::default(),
            scope: Default::default(),
        })
    };
    let start = Instant::now();
    let mut line = cluster.line(0).await;
    assert!(line.say(&hello(&key)).await);
    line.expect_error(ErrorCode::Unavailable).await;
    line.assert_closed(CloseCode::Unavailable).await;
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    cluster.writer_mut(0).restart().await;
    cluster.until_all_ready().await;
    cluster.client(0, 0).await;
}
