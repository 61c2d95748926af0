//! A master behind Sentinels.

use std::time::{Duration, Instant};

use squall_bus::Delivery;
use squall_servers::Sentinels;

use crate::bench::{Bench, say};

#[tokio::test]
async fn a_master_that_is_killed_is_followed_to_its_successor() {
    let mut sentinels = Sentinels::start();
    let mut bench = Bench::on(&sentinels.url()).await;
    sentinels.server_mut(0).kill_9();
    let start = Instant::now();
    say("Sentinel, master killed: down", bench.expect(&Delivery::Down).await);
    bench.expect(&Delivery::Up).await;
    say("Sentinel, master killed: up on the other", start.elapsed());
    // The first Sentinel may not have heard yet.
    sentinels.wait_for_another_master(0);
    bench.expect_frames(10).await;
    assert!(bench.longest_publication() < Duration::from_millis(500));
    // The old master comes back as a replica: nobody goes there again.
    sentinels.server_mut(0).restart();
    bench.read_for(Duration::from_secs(3)).await;
    bench.expect_frames(10).await;
    assert_eq!(sentinels.master(), 1);
}

#[tokio::test]
async fn a_failover_by_hand_is_followed() {
    let sentinels = Sentinels::start();
    let mut bench = Bench::on(&sentinels.url()).await;
    let start = Instant::now();
    sentinels.fail_over();
    bench.expect(&Delivery::Up).await;
    say("Sentinel, failover by hand: up", start.elapsed());
    bench.expect_frames(10).await;
}

#[tokio::test]
async fn a_frozen_master_is_followed_to_its_successor_and_its_thawing_changes_nothing() {
    let sentinels = Sentinels::start();
    let mut bench = Bench::on(&sentinels.url()).await;
    sentinels.server(0).freeze();
    let start = Instant::now();
    bench.expect(&Delivery::Down).await;
    bench.expect(&Delivery::Up).await;
    say("Sentinel, master frozen: up on the other", start.elapsed());
    sentinels.server(0).thaw();
    bench.read_for(Duration::from_secs(3)).await;
    bench.expect_frames(10).await;
    assert_eq!(sentinels.master(), 1);
}

#[tokio::test]
async fn a_sentinel_that_is_frozen_keeps_nobody_from_asking_another() {
    let mut sentinels = Sentinels::start();
    let mut bench = Bench::on(&sentinels.url()).await;
    // The first in the URL. The two others are a quorum.
    sentinels.sentinel(0).freeze();
    sentinels.server_mut(0).kill_9();
    let start = Instant::now();
    bench.expect(&Delivery::Down).await;
    bench.expect(&Delivery::Up).await;
    say("Sentinel, one of three frozen, master killed: up on the other", start.elapsed());
    bench.expect_frames(10).await;
    sentinels.sentinel(0).thaw();
}
