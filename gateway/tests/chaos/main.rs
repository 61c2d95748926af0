//! Faults on a cluster of real servers under load: three gateways, two writers, Redis, PostgreSQL. While the
//! load tester's clients send and listen without pause, something is killed, frozen, wiped or set back; then
//! the audit says what each client got and was entitled to. All its zeros, or the test fails.
//!
//! Times and sizes are scaled down; `CHAOS=full` (`make chaos`) takes the real ones.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    reason = "these are tests, helpers and all: whatever else came has failed"
)]

mod bench;
mod load;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "the vocabulary is shared: this test uses a part of it")]
mod support;

use std::time::Duration;

use bench::{Bench, Lasting};
use tokio::time::sleep;

/// Fault 1: a gateway dies; its clients resume at the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_killed_loses_nothing() {
    let mut bench = Bench::start().await;
    let load = bench.load(&[]);
    load.is_under_way().await;
    bench.cluster.gateway_mut(0).kill_9();
    sleep(Lasting::A_WHILE.here()).await;
    bench.cluster.gateway_mut(0).restart().await;
    load.loses_nothing("kill -9 of a gateway").await;
}

/// Faults 6 and 7: Redis dies, stays away, and comes back without its data. Delivery goes on meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn redis_killed_and_wiped_loses_and_resets_nothing() {
    let mut bench = Bench::start().await;
    let load = bench.load(&[]);
    load.is_under_way().await;
    bench.redis.kill_9();
    bench.until_degraded().await;
    sleep(Lasting::AN_OUTAGE.here()).await;
    bench.redis.restart_wiped();
    bench.until_whole().await;
    let result = load.loses_nothing("Redis killed, its data wiped").await;
    assert_eq!(result["resets"], serde_json::json!({}), "nobody was reset");
}

/// Fault 8: Redis freezes and goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_redis_loses_nothing() {
    let bench = Bench::start().await;
    let load = bench.load(&[]);
    load.is_under_way().await;
    bench.redis.freeze();
    bench.until_degraded().await;
    sleep(Lasting::A_WHILE.here()).await;
    bench.redis.thaw();
    bench.until_whole().await;
    load.loses_nothing("Redis frozen").await;
}

/// Fault 11: the subscriptions' connections are killed again and again.
#[tokio::test(flavor = "multi_thread")]
async fn killed_subscriptions_lose_nothing() {
    let bench = Bench::start().await;
    let load = bench.load(&[]);
    load.is_under_way().await;
    for _ in 0..Lasting::times(3, 6) {
        let _ = bench.redis.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        sleep(Lasting::A_MOMENT.here()).await;
    }
    bench.until_whole().await;
    load.loses_nothing("subscriptions killed").await;
}

/// Fault 14: one gateway is cut off from Redis; the others are not.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_cut_off_from_redis_loses_nothing() {
    let mut bench = Bench::start().await;
    let cable = bench.add_gateway_on_a_cable().await;
    let load = bench.load(&[]);
    load.is_under_way().await;
    cable.cut();
    sleep(Lasting::AN_OUTAGE.here()).await;
    cable.mend();
    bench.until_whole().await;
    load.loses_nothing("a gateway cut off from Redis").await;
}

/// Fault 29: a writer dies in the midst of requests; what was unanswered is sent again to the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_is_killed_loses_and_doubles_nothing() {
    let mut bench = Bench::start().await;
    let load = bench.load(&[]);
    load.is_under_way().await;
    for writer in [0, 1] {
        bench.cluster.writer_mut(writer).kill_9();
        sleep(Lasting::A_WHILE.here()).await;
        bench.cluster.writer_mut(writer).restart().await;
        bench.until_whole().await;
    }
    load.loses_nothing("kill -9 of one writer after the other").await;
}

/// PostgreSQL restarts: sends are refused with a time to wait, sockets stay, all heals.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_restarts_loses_and_doubles_nothing() {
    let mut bench = Bench::start().await;
    let load = bench.load(&[]);
    load.is_under_way().await;
    bench.database.kill_9();
    sleep(Lasting::A_WHILE.here()).await;
    bench.database.restart();
    bench.until_whole().await;
    load.loses_nothing("kill -9 of PostgreSQL").await;
}

/// Fault 4: one gateway after the other is told to end and started again.
#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_loses_nothing() {
    let mut bench = Bench::start().await;
    let load = bench.load(&[]);
    load.is_under_way().await;
    for gateway in 0..bench::GATEWAYS {
        bench.cluster.gateway(gateway).sigterm();
        assert!(bench.cluster.gateway_mut(gateway).exit().await.success(), "a drain ends well");
        bench.cluster.gateway_mut(gateway).restart().await;
        sleep(Lasting::A_MOMENT.here()).await;
    }
    load.loses_nothing("a rolling restart").await;
}

/// How long a run may take before it is stuck.
const RUN_MAX: Duration = Duration::from_secs(300);
