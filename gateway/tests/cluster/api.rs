//! The HTTP API through a gateway.

use serde_json::json;

use crate::support::api::{Api, succeeded};
use crate::support::client::fresh_send_id;
use crate::support::cluster::{Cluster, Plan, STREAM};
use crate::support::http;
use crate::support::member::binary;

#[tokio::test]
async fn every_path_of_the_api_goes_to_a_writer_and_its_answer_comes_back_whole() {
    let plan = Plan { gateways: 2, ..Plan::default() };
    let cluster = Cluster::start(&plan).await;
    let api = cluster.api(0, 0);
    assert_eq!(succeeded(&api.get("users/me", &[]).await)["email"], cluster.account(0).email);
    let (lunch, long) = (cluster.topic("lunch"), "ä".repeat(9_999));
    let mut sent = Vec::new();
    for number in 0..50 {
        let content = format!("{number}{long}");
        let content = content.chars().take(10_000).collect::<String>();
        succeeded(&cluster.api(number % 2, 0).send(&lunch, &content, &fresh_send_id()).await);
        sent.push(content);
    }
    assert_eq!(cluster.contents(1).await, sent, "a megabyte, in order");
    let forbidden = api.call("DELETE", "users/me", &[]).await;
    assert_eq!((forbidden.status, &forbidden.json()["code"]), (405, &json!("METHOD_NOT_ALLOWED")));
    let unknown = api.get("nothing", &[]).await;
    assert_eq!((unknown.status, &unknown.json()["code"]), (404, &json!("NOT_FOUND")));
    let subscribed = api.call("POST", "users/me/subscriptions", &[("subscriptions", r#"[{"name":"new"}]"#)]);
    succeeded(&subscribed.await);
    let left = api.call("DELETE", "users/me/subscriptions", &[("subscriptions", r#"["new"]"#)]).await;
    assert_eq!(succeeded(&left)["removed"], json!(["new"]));
}

#[tokio::test]
async fn answers_name_the_address_that_was_asked() {
    let cluster = Cluster::start(&Plan::default()).await;
    let gateway = cluster.gateway(0).address();
    let settings = http::request(gateway, "GET", "/api/v1/server_settings", &[], b"").await;
    assert_eq!(settings.json()["realm_url"], format!("http://{gateway}"));
    let client = cluster.client(0, 0).await;
    assert_eq!(client.welcome.api, format!("http://{gateway}/api/v1"));
}

#[tokio::test]
async fn wrong_credentials_and_bodies_too_long_are_refused_as_by_the_writer_itself() {
    let cluster = Cluster::start(&Plan::default()).await;
    let gateway = cluster.gateway(0).address();
    let nobody = http::request(gateway, "GET", "/api/v1/users/me", &[], b"").await;
    assert_eq!((nobody.status, nobody.header("www-authenticate").is_some()), (401, true));
    let content = "x".repeat(2 * 1024 * 1024);
    let long = [("type", "stream"), ("to", STREAM), ("topic", "t"), ("content", content.as_str())];
    let refused = cluster.api(0, 0).call("POST", "messages", &long).await;
    assert_eq!((refused.status, &refused.json()["code"]), (413, &json!("BODY_TOO_LARGE")));
    succeeded(&cluster.api(0, 0).get("users/me", &[]).await);
}

#[tokio::test]
async fn without_a_writer_the_api_is_unavailable_within_a_bounded_time_and_comes_back() {
    let mut cluster = Cluster::start(&Plan::default()).await;
    cluster.writer_mut(0).kill_9();
    let api = cluster.api(0, 0);
    let away = api.get("users/me", &[]).await;
    assert_eq!((away.status, &away.json()["code"]), (503, &json!("UNAVAILABLE")));
    assert_eq!(away.header("retry-after"), Some("1"));
    let lost = api.send(&cluster.topic("lunch"), "Soup?", &fresh_send_id()).await;
    assert_eq!((lost.status, &lost.json()["code"]), (503, &json!("UNAVAILABLE")));
    cluster.writer_mut(0).restart().await;
    cluster.until_all_ready().await;
    succeeded(&api.get("users/me", &[]).await);
}

#[tokio::test]
async fn the_page_is_there_and_whoever_opens_it_signs_in() {
    let cluster = Cluster::start(&Plan::default()).await;
    let gateway = cluster.gateway(0).address();
    let page = http::request(gateway, "GET", "/", &[], b"").await;
    assert_eq!(page.status, 200);
    let users = http::request(gateway, "GET", "/demo/users.json", &[], b"").await;
    assert_eq!(users.status, 404, "no demo users: the form is shown");
}

#[tokio::test]
async fn the_demo_realm_of_a_cluster_is_shown_on_the_page_to_whoever_sits_at_this_machine() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().to_str().unwrap();
    let seeded = std::process::Command::new(binary("writer"))
        .args(["seed-demo", "--site", "http://127.0.0.1:1", "--data-dir", data_dir])
        .status();
    assert!(seeded.unwrap().success());
    let plan = Plan {
        writer_options: vec!["--data-dir".into(), data_dir.into()],
        ..Plan::default().with_gateway_options(&["--data-dir", data_dir])
    };
    let writer = plan.start_writer().await;
    let gateway = plan.start_gateway(&[writer.link()]).await;
    gateway.until_it_says("the gateway to be ready", |status, _| status == 200).await;
    let users = http::request(gateway.address(), "GET", "/demo/users.json", &[], b"").await.json();
    let ada = users.as_array().unwrap().iter().find(|user| user["name"] == "ada").unwrap();
    let api = Api::new(gateway.address(), ada["email"].as_str().unwrap(), ada["key"].as_str().unwrap());
    assert_eq!(succeeded(&api.get("users/me", &[]).await)["full_name"], "Ada Lindqvist");
}

#[tokio::test]
async fn operators_of_a_gateway_are_sent_nowhere_by_mistake() {
    let cluster = Cluster::start(&Plan::default()).await;
    let answer = http::request(cluster.gateway(0).admin(), "POST", "/admin/realms", &[], b"{}").await;
    assert_eq!(answer.status, 404, "realms are made at a writer");
}
