//! One conversation over several gateways.

use std::time::{Duration, Instant};

use squall_servers::Redis;

use crate::support::cluster::{Cluster, Plan};

#[tokio::test]
async fn what_is_said_at_one_gateway_is_heard_at_another_at_once() {
    let redis = Redis::start();
    let cluster = Cluster::start(&Plan { gateways: 2, redis: Some(redis.url()), ..Plan::default() }).await;
    let lunch = cluster.topic("lunch");
    let (mut ada, mut bruno) = (cluster.client(0, 0).await, cluster.client(1, 1).await);
    // The first subscription of a realm may come after the first message: the second is the bus's alone.
    ada.say_in(&lunch, "Soup?").await;
    bruno.expect_message("Soup?").await;
    let start = Instant::now();
    for number in 0..10 {
        let (question, answer) = (format!("soup {number}?"), format!("yes {number}"));
        ada.say_in(&lunch, &question).await;
        bruno.expect_message(&question).await;
        bruno.say_in(&lunch, &answer).await;
        if number == 0 {
            ada.expect_message("Soup?").await;
        }
        ada.expect_messages(&[&question, &answer]).await;
        bruno.expect_message(&answer).await;
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}: that was no bus", start.elapsed());
}

#[tokio::test]
async fn without_redis_events_come_by_asking_the_writer_and_with_it_they_come_at_once_again() {
    let mut redis = Redis::start();
    redis.kill_9();
    let cluster = Cluster::start(&Plan { gateways: 2, redis: Some(redis.url()), ..Plan::default() }).await;
    let lunch = cluster.topic("lunch");
    let (mut ada, mut bruno) = (cluster.client(0, 0).await, cluster.client(1, 1).await);
    for number in 0..3 {
        ada.say_in(&lunch, &format!("slow {number}")).await;
        let start = Instant::now();
        bruno.expect_message(&format!("slow {number}")).await;
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    }
    redis.restart();
    for gateway in 0..2 {
        let is_whole = |status: u16, said: &serde_json::Value| status == 200 && said["degraded"] == false;
        cluster.gateway(gateway).until_it_says("the bus to be whole again", is_whole).await;
    }
    let start = Instant::now();
    for number in 0..20 {
        ada.say_in(&lunch, &format!("quick {number}")).await;
        bruno.expect_message(&format!("quick {number}")).await;
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}: that was no bus", start.elapsed());
}

#[tokio::test]
async fn a_client_goes_on_at_another_gateway_where_it_left_off_at_the_first() {
    let redis = Redis::start();
    let mut cluster =
        Cluster::start(&Plan { gateways: 2, redis: Some(redis.url()), ..Plan::default() }).await;
    let lunch = cluster.topic("lunch");
    let (mut ada, mut bruno) = (cluster.client(0, 0).await, cluster.client(1, 1).await);
    ada.say_in(&lunch, "before").await;
    bruno.expect_message("before").await;
    cluster.gateway_mut(1).kill_9();
    bruno.expect_broken().await;
    for content in ["one", "two", "three"] {
        ada.say_in(&lunch, content).await;
    }
    let mut bruno = cluster.resume(0, 1, bruno.position()).await;
    bruno.expect_messages(&["one", "two", "three"]).await;
    ada.say_in(&lunch, "live").await;
    bruno.expect_message("live").await;
}

#[tokio::test]
async fn the_same_send_id_at_two_gateways_is_one_message() {
    let redis = Redis::start();
    let cluster = Cluster::start(&Plan { gateways: 2, redis: Some(redis.url()), ..Plan::default() }).await;
    let lunch = cluster.topic("lunch");
    let (mut here, mut there) = (cluster.client(0, 0).await, cluster.client(1, 0).await);
    let send_id = here.send(&lunch, "once").await;
    there.send_as(&send_id, &lunch, "once").await;
    let by_http = cluster.api(1, 0).send(&lunch, "once", &send_id).await;
    let first = here.expect_sent(&send_id).await;
    assert_eq!(there.expect_sent(&send_id).await, first);
    assert_eq!(crate::support::api::message_id(&by_http), first.0);
    assert_eq!(cluster.contents(0).await, ["once"]);
}
