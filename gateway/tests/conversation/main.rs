//! Many sockets in conversation while connections break and the server is killed: each message must reach
//! everyone entitled exactly once and in order, and nobody else.
//!
//! Sizes come from the environment: `MESSAGES`, `SOCKETS`, `KILLS`, `SEED`. A failure prints its seed; what
//! the seed fixes is who says what where and which socket breaks after how many messages.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    reason = "these are tests, helpers and all: whatever else came has failed"
)]

mod check;
mod peer;
mod plan;
mod record;
mod rng;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "the vocabulary is shared: this test uses a part of it")]
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use check::Findings;
use peer::{Peer, Progress};
use plan::{Plan, Sizes, USERS};
use record::Record;
use support::server::Server;
use tokio::task::JoinSet;

/// A run that takes longer is stuck.
const RUN_MAX: Duration = Duration::from_secs(300);

#[tokio::test]
async fn everyone_entitled_sees_each_message_exactly_once_and_in_order() {
    let sizes = Sizes::from_environment();
    println!("conversation: seed {}", sizes.seed);
    let started = Instant::now();
    let server = Server::start().await;
    let plan = Arc::new(Plan::make(sizes, &server).await);
    let (server, records) = tokio::time::timeout(RUN_MAX, converse(server, &plan))
        .await
        .unwrap_or_else(|_| panic!("not done within {RUN_MAX:?}, seed {}", sizes.seed));
    let mut findings = Findings::of(&plan, &records);
    for (user, name) in USERS.iter().enumerate() {
        findings.compare_history(&plan, user, &server.api(name).contents(&serde_json::json!([])).await);
    }
    println!("{}", findings.table(&sizes, &records, started.elapsed()));
    assert!(findings.are_clean(), "seed {}: {:#?}", sizes.seed, findings.examples);
}

/// Lets all peers talk, kills and restarts the server under them, and returns what each saw.
async fn converse(mut server: Server, plan: &Arc<Plan>) -> (Server, Vec<Record>) {
    let progress = Arc::new(Progress::new(plan.sockets.len()));
    let mut peers = JoinSet::new();
    for socket in 0..plan.sockets.len() {
        let token = server.zuliprc(USERS[plan.sockets[socket].user]).key;
        peers.spawn(Peer::new(plan.clone(), progress.clone(), socket, token, server.address()).run());
    }
    for kill in 1..=plan.sizes.kills {
        progress.until_acknowledged(plan.messages.len() * kill / (plan.sizes.kills + 1)).await;
        server.kill_9();
        server.restart().await;
    }
    progress.until_acknowledged(plan.messages.len()).await;
    end(&server, plan).await;
    let mut records: Vec<Record> = peers.join_all().await;
    records.sort_by_key(|record| record.socket);
    (server, records)
}

/// Says the last word where all may read: whoever has it has had all that was before it in the log.
async fn end(server: &Server, plan: &Plan) {
    server.client("ada").await.say_in(&plan.everybody().to, plan::LAST_WORD).await;
}
