//! A single Redis that fails: whatever is lost is said, and all is well again by itself.

use std::time::{Duration, Instant};

use bytes::Bytes;
use squall_bus::redis::RedisConfig;
use squall_bus::{Bus as _, Delivery};
use squall_protocol::frame;
use squall_servers::{Cable, Redis, until};
use tokio::time::{sleep, timeout};

use crate::bench::{Bench, REALM, bus, quick, say, url};

/// Twice what is promised of silence, because the machine may be busy.
fn noticed_max(config: &RedisConfig) -> Duration {
    config.silence_max() * 2
}

#[tokio::test]
async fn a_redis_that_is_killed_and_comes_back_empty() {
    let mut redis = Redis::start_persistent();
    let mut bench = Bench::on(&redis.url()).await;
    redis.kill_9();
    say("kill -9: down", bench.expect(&Delivery::Down).await);
    sleep(Duration::from_millis(300)).await;
    assert!(!bench.publisher.health().publishing);
    let published = bench.publisher.publish(REALM, Bytes::new()).await;
    assert!(published.is_err(), "nobody is there");
    assert!(bench.longest_publication() < Duration::from_millis(500));
    redis.restart_wiped();
    say("restart: up", bench.expect(&Delivery::Up).await);
    bench.expect_frames(10).await;
    assert!(bench.node.health().receiving && bench.node.health().downs == 1);
}

#[tokio::test]
async fn a_redis_that_is_frozen_for_a_while() {
    let redis = Redis::start();
    let mut bench = Bench::on(&redis.url()).await;
    redis.freeze();
    let down = bench.expect(&Delivery::Down).await;
    say("SIGSTOP: down", down);
    assert!(down < noticed_max(&quick()), "{down:?}");
    // While it is not noticed, and after.
    assert!(bench.longest_publication() < Duration::from_millis(500), "publishing waits for nobody");
    redis.thaw();
    say("SIGCONT: up", bench.expect(&Delivery::Up).await);
    bench.expect_frames(10).await;
}

#[tokio::test]
async fn publishing_into_a_frozen_redis_is_bounded_in_time_and_in_what_waits() {
    let redis = Redis::start();
    let config = RedisConfig { publish_waiting_bytes_max: 8 * 1024 * 1024, ..quick() };
    let publisher = bus(&redis.url(), config.clone()).await;
    redis.freeze();
    let (start, frame) = (Instant::now(), Bytes::from(vec![7; 64 * 1024]));
    let (mut failed, mut longest) = (0, Duration::ZERO);
    for _ in 0..2_000 {
        let began = Instant::now();
        failed += u32::from(publisher.publish(REALM, frame.clone()).await.is_err());
        longest = longest.max(began.elapsed());
    }
    // Some went into the queue, some into the batch under way and the socket; then one had to wait in vain.
    assert!(failed > 1_000, "{failed} of 2,000 failed");
    assert!(longest < config.publish_timeout * 6, "one took {longest:?}");
    assert!(start.elapsed() < Duration::from_secs(2), "125 MiB took {:?}", start.elapsed());
    say("2,000 publications of 64 KiB into a frozen Redis", start.elapsed());
    redis.thaw();
    let goes_on = async {
        while publisher.publish(REALM, frame.clone()).await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(10), goes_on).await.expect("publishing goes on");
}

#[tokio::test]
async fn subscribers_that_are_killed_again_and_again() {
    let redis = Redis::start();
    let mut bench = Bench::on(&redis.url()).await;
    let mut longest = Duration::ZERO;
    for _ in 0..10 {
        redis.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        longest = longest.max(bench.expect(&Delivery::Up).await);
        bench.expect_frames(5).await;
    }
    say("CLIENT KILL TYPE pubsub: up again, the longest of ten", longest);
}

#[tokio::test]
async fn an_output_buffer_that_is_overrun() {
    let redis = Redis::start_with(&[("client-output-buffer-limit", "pubsub 256kb 0 0")]);
    let mut bench = Bench::on(&redis.url()).await;
    let start = Instant::now();
    assert!(bench.publisher.publish(REALM, Bytes::from(vec![1; 1024 * 1024])).await.is_ok());
    bench.expect_any_warning().await;
    say("output buffer overrun: said", start.elapsed());
    bench.expect_frames(10).await;
}

#[tokio::test]
async fn frames_that_come_faster_than_they_are_taken() {
    let redis = Redis::start();
    let publisher = bus(&redis.url(), quick()).await;
    let mut link = bus(&redis.url(), RedisConfig { received_max: 2, ..quick() }).await.open();
    link.subscribe(REALM);
    assert_eq!(link.recv().await, Delivery::Up);
    let mut missed = 0;
    for burst in 0..20u64 {
        // One batch, which the client library reads in one go.
        for number in 0..200 {
            let frame = Bytes::from((burst * 200 + number).to_le_bytes().to_vec());
            assert!(publisher.publish(REALM, frame).await.is_ok());
        }
        let (mut next, mut warned) = (burst * 200, false);
        while let Ok(delivery) = timeout(Duration::from_millis(200), link.recv()).await {
            match delivery {
                Delivery::Frame { frame, .. } => {
                    let number = u64::from_le_bytes(frame[..].try_into().unwrap());
                    assert!(number == next || warned, "{number} instead of {next} in silence");
                    missed += number - next;
                    next = number + 1;
                }
                Delivery::Gap | Delivery::Up | Delivery::Down => warned = true,
            }
        }
        assert!(next == (burst + 1) * 200 || warned, "the last of a burst were lost in silence");
    }
    assert!(missed > 0, "the client library held two frames and lost none: this test tests nothing");
}

#[tokio::test]
async fn a_node_whose_way_to_redis_falls_silent() {
    let redis = Redis::start();
    let cable = Cable::to(redis.address());
    let node = bus(&url(cable.address()), quick()).await;
    let mut bench = Bench::with(bus(&redis.url(), quick()).await, node).await;
    cable.silence();
    let down = bench.expect(&Delivery::Down).await;
    say("a silent way: down", down);
    assert!(down < noticed_max(&quick()), "{down:?}");
    assert!(!bench.node.health().receiving && bench.publisher.health().publishing);
    let age = bench.node.health().canary_age.unwrap();
    assert!(age >= quick().canary_every * 2, "{age:?}");
    cable.mend();
    say("a mended way: up", bench.expect(&Delivery::Up).await);
    bench.expect_frames(10).await;
}

#[tokio::test]
async fn a_publisher_that_lost_some_has_the_nodes_look_at_the_log() {
    let redis = Redis::start();
    let cable = Cable::to(redis.address());
    let publisher = bus(&url(cable.address()), quick()).await;
    let mut link = bus(&redis.url(), quick()).await.open();
    link.subscribe(REALM);
    assert_eq!(link.recv().await, Delivery::Up);
    cable.cut();
    until("the publisher notices", || (!publisher.health().publishing).then_some(()));
    assert!(publisher.publish(REALM, Bytes::from_static(b"lost")).await.is_err());
    cable.mend();
    // Nobody publishes any more, and the node's link was up all the time.
    let delivery = timeout(Duration::from_secs(10), link.recv()).await.unwrap();
    assert_eq!(delivery, Delivery::Frame { realm: REALM, frame: frame::look() });
    assert!(publisher.publish(REALM, Bytes::from_static(b"next")).await.is_ok());
    let next = Delivery::Frame { realm: REALM, frame: Bytes::from_static(b"next") };
    assert_eq!(link.recv().await, next, "it is told once");
}

#[tokio::test]
async fn a_subscription_that_is_not_granted_keeps_the_link_down() {
    let redis = Redis::start();
    redis.command(&["ACL", "SETUSER", "node", "on", ">pw", "+@all", "resetchannels", "&squall:canary:*"]);
    let url = format!("redis://node:pw@{}", redis.address());
    let mut link = bus(&url, quick()).await.open();
    assert_eq!(link.recv().await, Delivery::Up);
    link.subscribe(REALM);
    assert_eq!(link.recv().await, Delivery::Down);
    assert!(timeout(Duration::from_secs(1), link.recv()).await.is_err(), "it stays down");
    redis.command(&["ACL", "SETUSER", "node", "allchannels"]);
    assert_eq!(link.recv().await, Delivery::Up);
}

#[tokio::test]
async fn a_redis_out_of_memory_that_takes_no_writes_carries_frames() {
    let redis = Redis::start_with(&[("maxmemory", "1mb"), ("maxmemory-policy", "noeviction")]);
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    assert!(redis.try_command(&["SET", "key", "value"]).unwrap_err().contains("OOM"));
    let mut bench = Bench::on(&redis.url()).await;
    redis.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    bench.expect_frames(50).await;
    assert_eq!(bench.numbers_missed, 0);
}

#[tokio::test]
async fn a_quiet_redis_is_no_dead_redis() {
    let redis = Redis::start();
    let mut bench = Bench::on(&redis.url()).await;
    bench.stop_publishing().await;
    let (_, warnings) = bench.read_for(quick().silence_max() * 3).await;
    assert_eq!(warnings, 0);
    let health = bench.node.health();
    assert!(health.receiving && health.canary_age.unwrap() < quick().silence_max(), "{health:?}");
}
