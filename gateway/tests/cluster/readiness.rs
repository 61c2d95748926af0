//! What a gateway and a writer say of themselves.

use serde_json::{Value, json};
use squall_servers::{Postgres, Redis};

use crate::support::cluster::{Cluster, Plan};
use crate::support::http;
use crate::support::member::Member;

fn words(said: &Value) -> &str {
    said["words"].as_str().expect("words")
}

fn is_ready(status: u16, said: &Value) -> bool {
    status == 200 && said["degraded"] == false
}

/// What it says to whoever reaches the public address.
async fn said_to_anyone(gateway: &Member) -> (u16, Value) {
    let answer = http::request(gateway.address(), "GET", "/readyz", &[], b"").await;
    (answer.status, answer.json())
}

#[tokio::test]
async fn a_gateway_that_is_started_before_its_writer_is_loading_until_it_reached_it() {
    let redis = Redis::start();
    let plan = Plan { redis: Some(redis.url()), ..Plan::default() };
    let mut writer = plan.start_writer().await;
    writer.kill_9();
    let gateway = plan.start_gateway(&[writer.link()]).await;
    for address in [gateway.address(), gateway.admin()] {
        assert_eq!(http::request(address, "GET", "/healthz", &[], b"").await.status, 200, "it lives");
    }
    let (status, said) = said_to_anyone(&gateway).await;
    assert_eq!((status, &said["ready"]), (503, &json!(false)));
    assert!(words(&said).starts_with("loading: no writer was reached yet; "), "{said}");
    writer.restart().await;
    gateway.until_it_says("the gateway to be ready", is_ready).await;
    assert_eq!(said_to_anyone(&gateway).await.0, 200);
}

#[tokio::test]
async fn each_link_that_is_down_is_named_with_how_long_and_only_both_together_are_not_ready() {
    let mut redis = Redis::start();
    let mut cluster = Cluster::start(&Plan { redis: Some(redis.url()), ..Plan::default() }).await;
    let gateway = cluster.gateway(0);
    gateway.until_it_says("all to be well", is_ready).await;

    redis.kill_9();
    let said = gateway.until_it_says("the bus to be missed", |_, said| said["bus"]["up"] == false).await;
    assert_eq!((&said["ready"], &said["degraded"]), (&json!(true), &json!(true)));
    assert!(words(&said).starts_with("ready, but degraded; the bus is down for "), "{said}");
    assert!(said["bus"]["since_ms"].as_u64().unwrap() > 0);

    cluster.writer_mut(0).kill_9();
    let gateway = cluster.gateway(0);
    let said = gateway.until_it_says("the writer to be missed too", |status, _| status == 503).await;
    assert!(words(&said).starts_with("cut off: neither the bus nor a writer can be reached; "), "{said}");
    let writer = &said["writers"][0];
    assert_eq!(writer["name"], format!("http://{}", cluster.writer(0).link()));
    assert!(writer["fault"].is_string());
    let (status, said) = said_to_anyone(gateway).await;
    assert_eq!(status, 503);
    assert!(!said.to_string().contains("http://"), "no addresses for anyone: {said}");

    redis.restart();
    let said = gateway.until_it_says("the bus to be back", |status, _| status == 200).await;
    assert!(words(&said).starts_with("ready, but degraded; writer http://"), "{said}");
    cluster.writer_mut(0).restart().await;
    cluster.gateway(0).until_it_says("all to be well again", is_ready).await;
}

#[tokio::test]
async fn a_writer_whose_database_is_away_says_so_and_its_gateway_too() {
    let (redis, mut postgres) = (Redis::start(), Postgres::start());
    let plan =
        Plan { redis: Some(redis.url()), database: Some(postgres.create_database()), ..Plan::default() };
    let cluster = Cluster::start(&plan).await;
    let (writer, gateway) = (cluster.writer(0), cluster.gateway(0));
    gateway.until_it_says("all to be well", is_ready).await;
    postgres.kill_9();
    let said = writer.until_it_says("the writer to miss its database", |status, _| status == 503).await;
    assert_eq!((&said["database"]["up"], &said["bus"]["up"]), (&json!(false), &json!(true)));
    let missed = |_: u16, said: &Value| said["writers"][0]["up"] == false;
    let said = gateway.until_it_says("the gateway to hear of it", missed).await;
    assert_eq!((&said["ready"], &said["degraded"]), (&json!(true), &json!(true)));
    assert!(words(&said).contains("database"), "{said}");
    postgres.restart();
    writer.until_it_says("the writer to be ready", |status, _| status == 200).await;
    gateway.until_it_says("all to be well again", is_ready).await;
}

#[tokio::test]
async fn a_writer_without_redis_is_ready_and_degraded_and_its_gateway_hears_of_it() {
    let mut redis = Redis::start();
    let cluster = Cluster::start(&Plan { redis: Some(redis.url()), ..Plan::default() }).await;
    let writer = cluster.writer(0);
    writer.until_it_says("all to be well", is_ready).await;
    redis.kill_9();
    let degraded = |status: u16, said: &Value| status == 200 && said["degraded"] == true;
    let said = writer.until_it_says("the bus to be missed", degraded).await;
    assert_eq!((&said["database"]["up"], &said["bus"]["up"]), (&json!(true), &json!(false)));
    let heard = |_: u16, said: &Value| !said["writers"][0]["bus_fault"].is_null();
    cluster.gateway(0).until_it_says("the gateway to hear of it", heard).await;
}

#[tokio::test]
async fn a_gateway_that_ends_is_not_ready_while_its_clients_go() {
    let plan = Plan::default().with_gateway_options(&["--drain", "3s"]);
    let mut cluster = Cluster::start(&plan).await;
    let mut ada = cluster.client(0, 0).await;
    cluster.gateway(0).sigterm();
    ada.expect_goaway().await;
    drop(ada);
    assert!(cluster.gateway_mut(0).exit().await.success());
}
