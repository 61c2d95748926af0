//! Before and after: a Redis that is not there yet, credentials, two Squalls on one Redis, and the end of a link.

use std::time::Duration;

use bytes::Bytes;
use squall_bus::redis::RedisConfig;
use squall_bus::{Bus as _, Delivery, RedisBus};
use squall_protocol::RealmId;
use squall_servers::{Redis, until};
use tokio::time::timeout;

use crate::bench::{REALM, bus, quick};

#[tokio::test]
async fn a_bus_without_a_redis_says_so_and_finds_it_when_it_comes() {
    let mut redis = Redis::start();
    redis.kill_9();
    let bus = RedisBus::connect(&redis.url(), quick()).unwrap();
    let mut link = bus.open();
    link.subscribe(REALM);
    assert_eq!(link.recv().await, Delivery::Down);
    assert!(bus.publish(REALM, Bytes::new()).await.is_err());
    assert!(!bus.wait_until_publishing(Duration::from_millis(100)).await);
    redis.restart();
    assert_eq!(link.recv().await, Delivery::Up);
    assert!(bus.wait_until_publishing(Duration::from_secs(10)).await);
    assert!(bus.publish(REALM, Bytes::from_static(b"x")).await.is_ok());
}

#[tokio::test]
async fn sentinels_and_clusters_that_are_not_there_are_down() {
    let port = squall_servers::free_port();
    for url in [
        format!("redis-sentinel://127.0.0.1:{port}?sentinelServiceName=squall"),
        format!("redis-cluster://127.0.0.1:{port}"),
    ] {
        let bus = RedisBus::connect(&url, quick()).unwrap();
        let mut link = bus.open();
        assert_eq!(link.recv().await, Delivery::Down, "{url}");
        assert!(bus.publish(REALM, Bytes::new()).await.is_err());
        assert!(!bus.health().publishing && !bus.health().receiving);
    }
}

#[tokio::test]
async fn credentials_are_needed_and_used() {
    let redis = Redis::start_with(&[("requirepass", "p@ss:word")]);
    let with = |credentials: &str| format!("redis://{credentials}{}", redis.address());
    let right = bus(&with(":p%40ss%3Aword@"), quick()).await;
    assert!(right.publish(REALM, Bytes::new()).await.is_ok());
    for wrong in ["", ":nonsense@", "somebody:p%40ss%3Aword@"] {
        let bus = RedisBus::connect(&with(wrong), quick()).unwrap();
        assert_eq!(bus.open().recv().await, Delivery::Down, "{wrong:?}");
        assert!(!bus.health().publishing);
    }
}

#[tokio::test]
async fn two_prefixes_share_a_redis_and_nothing_else() {
    let redis = Redis::start();
    let [one, other] =
        [bus(&format!("{}?prefix=one", redis.url()), quick()).await, bus(&redis.url(), quick()).await];
    let mut link = one.open();
    link.subscribe(REALM);
    assert_eq!(link.recv().await, Delivery::Up);
    assert!(other.publish(REALM, Bytes::from_static(b"other")).await.is_ok());
    until("it was published", || (other.health().published == 1).then_some(()));
    assert!(one.publish(REALM, Bytes::from_static(b"one")).await.is_ok());
    assert_eq!(link.recv().await, Delivery::Frame { realm: REALM, frame: Bytes::from_static(b"one") });
}

#[tokio::test]
async fn a_realm_that_is_let_go_and_a_link_that_is_dropped_leave_nothing_in_redis() {
    let redis = Redis::start();
    let bus = bus(&redis.url(), quick()).await;
    let subscribers = |realm: u64| {
        let name = format!("squall:{{{realm}}}");
        redis.command(&["PUBSUB", "NUMSUB", &name]).list()[1].integer()
    };
    let connections = || redis.command(&["CLIENT", "LIST", "TYPE", "pubsub"]).text().lines().count();
    let mut link = bus.open();
    link.subscribe(RealmId(1));
    link.subscribe(RealmId(2));
    until("both are subscribed", || (subscribers(1) + subscribers(2) == 2).then_some(()));
    link.unsubscribe(RealmId(1));
    until("one is let go", || (subscribers(1) == 0 && subscribers(2) == 1).then_some(()));
    assert_eq!(connections(), 1);
    drop(link);
    until("the connection is closed", || (connections() == 0).then_some(()));
    assert!(bus.health().receiving && bus.health().canary_age.is_none());
    assert!(bus.publish(REALM, Bytes::new()).await.is_ok(), "the bus goes on");
    drop(bus);
    let all = || redis.command(&["CLIENT", "LIST", "TYPE", "normal"]).text().lines().count();
    until("only the connection that asks is left", || (all() == 1).then_some(()));
}

#[tokio::test]
async fn a_link_lives_on_when_the_bus_is_dropped() {
    let redis = Redis::start();
    let publisher = bus(&redis.url(), quick()).await;
    let mut link = bus(&redis.url(), quick()).await.open();
    link.subscribe(REALM);
    assert_eq!(link.recv().await, Delivery::Up);
    assert!(publisher.publish(REALM, Bytes::from_static(b"x")).await.is_ok());
    let delivery = timeout(Duration::from_secs(10), link.recv()).await.unwrap();
    assert!(matches!(delivery, Delivery::Frame { .. }));
}

#[test]
fn a_bus_serves_several_runtimes() {
    let redis = Redis::start();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bus = runtime().block_on(bus(&redis.url(), quick()));
    let receiving = bus.clone();
    let (up, is_up) = std::sync::mpsc::channel();
    let node = std::thread::spawn(move || {
        runtime().block_on(async {
            let mut link = receiving.open();
            link.subscribe(REALM);
            assert_eq!(link.recv().await, Delivery::Up);
            up.send(()).unwrap();
            link.recv().await
        })
    });
    is_up.recv().unwrap();
    let frame = Bytes::from_static(b"from another runtime");
    assert!(runtime().block_on(bus.publish(REALM, frame.clone())).is_ok());
    assert_eq!(node.join().unwrap(), Delivery::Frame { realm: REALM, frame });
}

#[test]
fn a_wrong_url_or_setting_is_an_error_with_the_reason() {
    let error = |url: &str, config| RedisBus::connect(url, config).unwrap_err().to_string();
    assert!(error("rediss://h", quick()).contains("TLS"));
    let config = RedisConfig { canaries_missed_max: 0, ..quick() };
    assert!(error("redis://h", config).contains("above zero"));
}
