//! The secret between gateways and writers.

use crate::support::cluster::{Cluster, Plan};
use crate::support::http;

const SECRET: &str = "a-secret-of-the-tests";

#[tokio::test]
async fn who_has_the_secret_is_let_in_and_nobody_else() {
    let plan = Plan { secret: Some(SECRET.into()), ..Plan::default() };
    let cluster = Cluster::start(&plan).await;
    let mut ada = cluster.client(0, 0).await;
    ada.say_in(&cluster.topic("lunch"), "Soup?").await;
    for secret in [None, Some("another-secret-of-the-tests".to_owned())] {
        let stranger = Plan { secret, ..Plan::default() }.start_gateway(&[cluster.writer(0).link()]).await;
        let is_refused = |status: u16, said: &serde_json::Value| {
            status == 503 && said["words"].as_str().is_some_and(|words| words.contains("401"))
        };
        stranger.until_it_says("the stranger to be refused", is_refused).await;
        let api = http::request(stranger.address(), "GET", "/api/v1/server_settings", &[], b"").await;
        assert_eq!(api.status, 503, "not even what is open to all goes through it");
    }
}

#[tokio::test]
async fn a_secret_is_never_in_a_log() {
    let plan =
        Plan { secret: Some(SECRET.into()), ..Plan::default() }.with_gateway_options(&["--log", "debug"]);
    let cluster = Cluster::start(&plan).await;
    cluster.client(0, 0).await;
    for log in [cluster.gateway(0).log(), cluster.writer(0).log()] {
        assert!(!log.contains(SECRET));
        assert!(!log.contains(&cluster.account(0).key), "nor is a key");
    }
}

#[test]
fn a_gateway_needs_a_secret_for_writers_elsewhere_and_a_bus_for_any() {
    let refusal = |options: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_gateway"))
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(options)
            .env_remove("SQUALL_LINK_SECRET")
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let elsewhere = refusal(&["--redis", "redis://127.0.0.1:1", "--writer", "http://10.0.0.1:9082"]);
    assert!(elsewhere.contains("--link-secret-file"), "{elsewhere}");
    assert!(refusal(&["--writer", "http://127.0.0.1:9082"]).contains("--redis"));
    assert!(refusal(&["--writer", "127.0.0.1:9082"]).contains("http://HOST:PORT"));
    let not_redis = refusal(&["--redis", "http://me:s3cret@x", "--writer", "http://127.0.0.1:9082"]);
    assert!(not_redis.contains("--redis") && !not_redis.contains("s3cret"), "{not_redis}");
}
