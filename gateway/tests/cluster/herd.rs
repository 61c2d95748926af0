//! Many clients at once are few questions to the writer.

use futures_util::future::join_all;
use serde_json::Value;

use crate::support::client::{Client, Opening};
use crate::support::cluster::{Cluster, Plan};

const CLIENTS: usize = 1_000;
const USERS: usize = 100;

fn plan() -> Plan {
    Plan { users: USERS, ..Plan::default() }.with_gateway_options(&["--realm-linger", "1h"])
}

/// Opens all sockets, then says all hellos at once; client `number` with `opening(number)`.
async fn everybody(cluster: &Cluster, opening: impl Fn(usize) -> Opening) -> Vec<Client> {
    let lines = join_all((0..CLIENTS).map(|_| cluster.line(0))).await;
    let opened = (lines.into_iter().enumerate())
        .map(|(number, line)| Client::open(line, &cluster.account(number % USERS).key, opening(number)));
    join_all(opened).await
}

fn calls(stats: &Value, kind: &str) -> u64 {
    stats[kind]["calls"].as_u64().expect("a count")
}

#[tokio::test]
async fn a_thousand_hellos_at_once_are_a_few_questions() {
    let cluster = Cluster::start(&plan()).await;
    let clients = everybody(&cluster, |_| Opening::default()).await;
    assert_eq!(clients.len(), CLIENTS);
    let stats = cluster.link_stats(0).await;
    println!("1,000 hellos at once: {stats}");
    assert!(calls(&stats, "identify") <= CLIENTS as u64 / 10, "{stats}");
    assert_eq!(calls(&stats, "realm_page"), 1, "{stats}");
    let writer = cluster.writer(0).ask("/admin/stats").await.json();
    assert_eq!(writer["link"]["identify"], stats["identify"]["calls"], "the writer counts the same");
}

#[tokio::test]
async fn a_thousand_resumes_at_once_read_each_part_of_the_log_once() {
    const MESSAGES: usize = 1_200;
    let mut cluster = Cluster::start(&plan()).await;
    let lunch = cluster.topic("lunch");
    let mut ada = cluster.client(0, 0).await;
    // Where a client stands that heard so many.
    let mut positions = vec![ada.position()];
    while positions.len() <= MESSAGES {
        let first = positions.len() - 1;
        let contents: Vec<_> = (first..first + 100).map(|number| number.to_string()).collect();
        let mut sends = Vec::new();
        for content in &contents {
            sends.push(ada.send(&lunch, content).await);
        }
        for content in &contents {
            ada.expect_message(content).await;
            positions.push(ada.position());
        }
        for send_id in sends {
            ada.expect_sent(&send_id).await;
        }
    }
    // A gateway that starts anew has no ring: all of it must come from the log.
    cluster.gateway_mut(0).kill_9();
    cluster.gateway_mut(0).restart().await;
    cluster.until_all_ready().await;
    let before = reads(&cluster).await;
    // Most were away for a moment, some for long.
    let heard = |number: usize| if number.is_multiple_of(50) { number } else { MESSAGES - 1 - number % 30 };
    let opening = |number: usize| Opening { position: Some(positions[heard(number)]), ..Opening::default() };
    let clients = everybody(&cluster, opening).await;
    let hear = |(number, mut client): (usize, Client)| async move {
        for missed in heard(number)..MESSAGES {
            client.expect_message(&missed.to_string()).await;
        }
    };
    join_all(clients.into_iter().enumerate().map(hear)).await;
    let (stats, reads) = (cluster.link_stats(0).await, reads(&cluster).await - before);
    println!("1,000 resumes over {MESSAGES} events: {stats}; {reads} reads of the database");
    let blocks = positions[MESSAGES].sequence.0 / 512 + 1;
    // A block that the head cuts short is read again by those who come later.
    assert!(calls(&stats, "read_log") <= 2 * blocks, "{stats}");
    assert!(calls(&stats, "identify") <= CLIENTS as u64 / 10, "{stats}");
    assert!(reads <= CLIENTS as u64 / 10, "queries per resume: {reads} / {CLIENTS}");
}

async fn reads(cluster: &Cluster) -> u64 {
    let stats = cluster.writer(0).ask("/admin/stats").await.json();
    stats["database"]["reads"].as_u64().expect("a count")
}
