//! Who is there, told by two gateways on one Redis, while each of those fails. The times are short: a lease of 12 s
//! and a grace of 3 s keep the users of a silent node for 15 s.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    reason = "these are tests, helpers and all: whatever else came has failed"
)]

#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "the vocabulary is shared: this test uses a part of it")]
mod support;

use std::time::{Duration, Instant};

use squall_protocol::client_message::{ClientMessage, Status};
use squall_servers::Redis;

use support::client::{Client, Opening};
use support::cluster::{Cluster, Plan};
use support::presence_view::Seen;

const ADA: usize = 0;
const BRUNO: usize = 1;
const CHIDI: usize = 2;

const EAST: usize = 0;
const WEST: usize = 1;

const GRACE: Duration = Duration::from_secs(3);
/// Lease and grace.
const SILENCE: Duration = Duration::from_secs(15);
/// Ticks, and a busy machine.
const SLACK: Duration = Duration::from_secs(5);

async fn start(redis: &Redis) -> Cluster {
    let plan = Plan { gateways: 2, users: 3, redis: Some(redis.url()), ..Plan::default() };
    Cluster::start(&plan.with_gateway_options(&[
        "--heartbeat=3s",
        "--heartbeat-timeout=2s",
        "--presence-grace=3s",
        "--node-lease=12s",
    ]))
    .await
}

/// A session that only looks on.
async fn watcher(cluster: &Cluster, gateway: usize) -> Client {
    cluster.client(gateway, ADA).await
}

/// Waits for `what`, while `other` reads on, as a client does.
async fn beside<T>(other: &mut Client, what: impl Future<Output = T>) -> T {
    let reading_on = async {
        loop {
            other.round_trip().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        done = what => done,
        () = reading_on => unreachable!("it reads on for ever"),
    }
}

/// All read on until `until`.
async fn live(clients: &mut [&mut Client], until: Instant) {
    while Instant::now() < until {
        for client in &mut *clients {
            client.round_trip().await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn who_comes_turns_away_and_leaves_is_told_by_the_other_gateway() {
    let redis = Redis::start();
    let cluster = start(&redis).await;
    let (mut ada, mut bruno) = (watcher(&cluster, EAST).await, cluster.client(WEST, BRUNO).await);
    ada.expect_presence(bruno.user_id(), Seen::Active).await;
    bruno.expect_presence(ada.user_id(), Seen::Active).await;
    let bruno_id = bruno.user_id();
    bruno.answer_pings_as_inactive();
    bruno.say(&ClientMessage::Presence { status: Status::Idle }).await;
    beside(&mut bruno, ada.expect_presence(bruno_id, Seen::Idle)).await;
    // The better of two nodes.
    let phone = cluster.client(EAST, BRUNO).await;
    beside(&mut bruno, ada.expect_presence(bruno_id, Seen::Active)).await;
    phone.disconnect();
    beside(&mut bruno, ada.expect_presence(bruno_id, Seen::Idle)).await;
    let left = Instant::now();
    bruno.disconnect();
    ada.expect_offline(bruno_id).await;
    assert!((GRACE..GRACE + SLACK).contains(&left.elapsed()), "told after {:?}", left.elapsed());
}

#[tokio::test]
async fn a_gateway_that_starts_shows_who_is_on_the_others_at_once() {
    let redis = Redis::start();
    let mut cluster = start(&redis).await;
    let bruno = cluster.client(WEST, BRUNO).await;
    cluster.gateway_mut(EAST).kill_9();
    cluster.gateway_mut(EAST).restart().await;
    cluster.until_all_ready().await;
    let mut ada = watcher(&cluster, EAST).await;
    ada.presence_snapshots().await;
    assert_eq!(ada.presence().of(bruno.user_id()), Some(Seen::Active), "the first snapshot says it");
}

#[tokio::test]
async fn the_clients_of_a_killed_gateway_that_come_back_to_the_other_never_left() {
    let redis = Redis::start();
    let mut cluster = start(&redis).await;
    let (mut ada, bruno, chidi) =
        (watcher(&cluster, EAST).await, cluster.client(WEST, BRUNO).await, cluster.client(WEST, CHIDI).await);
    let (bruno_id, chidi_id) = (bruno.user_id(), chidi.user_id());
    ada.expect_presence(bruno_id, Seen::Active).await;
    ada.expect_presence(chidi_id, Seen::Active).await;
    let (position, killed, killed_ms) = (bruno.disconnect(), Instant::now(), chidi.welcome.time_ms);
    cluster.gateway_mut(WEST).kill_9();
    let mut bruno = cluster.resume(EAST, BRUNO, position).await;
    // Chidi does not come back: when that is told, bruno's leave would have been too.
    live(&mut [&mut ada, &mut bruno], killed + SILENCE - Duration::from_secs(4)).await;
    assert_eq!(ada.presence().of(chidi_id), Some(Seen::Active), "kept for the lease and the grace");
    let heard_s = ada.expect_offline(chidi_id).await;
    assert!(killed.elapsed() < SILENCE + SLACK, "told after {:?}", killed.elapsed());
    assert!(heard_s + 1 >= killed_ms / 1000, "last heard at {heard_s} s, was welcomed at {killed_ms} ms");
    assert!(!ada.presence().ever_left(bruno_id), "bruno came back in time");
    assert_eq!(ada.presence().of(bruno_id), Some(Seen::Active));
}

#[tokio::test]
async fn a_rolling_restart_is_told_to_nobody() {
    let redis = Redis::start();
    let mut cluster = start(&redis).await;
    let (mut ada, mut bruno) = (watcher(&cluster, EAST).await, cluster.client(WEST, BRUNO).await);
    let bruno_id = bruno.user_id();
    ada.expect_presence(bruno_id, Seen::Active).await;
    // The west goes, and hands bruno on.
    cluster.gateway(WEST).sigterm();
    bruno.expect_goaway().await;
    let mut bruno = cluster.resume(EAST, BRUNO, bruno.disconnect()).await;
    cluster.gateway_mut(WEST).exit().await;
    cluster.gateway_mut(WEST).restart().await;
    cluster.until_all_ready().await;
    let mut phone = cluster.client(WEST, BRUNO).await;
    live(&mut [&mut ada, &mut bruno, &mut phone], Instant::now() + SILENCE + SLACK).await;
    assert!(!ada.presence().ever_left(bruno_id));
    assert_eq!(ada.presence().of(bruno_id), Some(Seen::Active));
    assert_eq!(phone.presence().of(ada.user_id()), Some(Seen::Active));
}

#[tokio::test]
async fn without_redis_nobody_leaves_and_with_it_back_what_happened_is_told() {
    let mut redis = Redis::start();
    let cluster = start(&redis).await;
    let (mut ada, mut bruno) = (watcher(&cluster, EAST).await, cluster.client(WEST, BRUNO).await);
    let mut chidi = cluster.client(EAST, CHIDI).await;
    let (ada_id, bruno_id) = (ada.user_id(), bruno.user_id());
    ada.expect_presence(bruno_id, Seen::Active).await;
    bruno.expect_presence(ada_id, Seen::Active).await;
    redis.kill_9();
    let until = Instant::now() + SILENCE + SLACK;
    live(&mut [&mut ada, &mut bruno, &mut chidi], until).await;
    assert!(!ada.presence().ever_left(bruno_id) && !bruno.presence().ever_left(ada_id), "the leases hold");
    bruno.say(&ClientMessage::Presence { status: Status::Idle }).await;
    chidi.say(&ClientMessage::Presence { status: Status::Idle }).await;
    bruno.answer_pings_as_inactive();
    chidi.answer_pings_as_inactive();
    ada.expect_presence(chidi.user_id(), Seen::Idle).await;
    assert_eq!(ada.presence().of(bruno_id), Some(Seen::Active), "of the other gateway nothing is heard");
    redis.restart();
    tokio::join!(
        ada.expect_presence(bruno_id, Seen::Idle),
        bruno.expect_presence(chidi.user_id(), Seen::Idle)
    );
}

#[tokio::test]
async fn idle_users_stay_what_they_are_for_as_long_as_their_gateways_live() {
    let redis = Redis::start();
    let cluster = start(&redis).await;
    let mut ada = watcher(&cluster, EAST).await;
    let idle = Opening { presence: Status::Idle, ..Opening::default() };
    let mut bruno = cluster.client_with(WEST, BRUNO, idle).await;
    bruno.answer_pings_as_inactive();
    ada.expect_presence(bruno.user_id(), Seen::Idle).await;
    live(&mut [&mut ada, &mut bruno], Instant::now() + SILENCE + SLACK).await;
    assert!(!ada.presence().ever_left(bruno.user_id()));
    assert_eq!(ada.presence().of(bruno.user_id()), Some(Seen::Idle));
}
