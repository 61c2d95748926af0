//! Authentication, limits, parameters, health: what all endpoints share.

use super::*;
use squall_zulip::params::BODY_BYTES_MAX;

fn with_authorization(value: &str) -> Request<Body> {
    Request::builder().uri("/api/v1/users/me").header("authorization", value).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn credentials_are_asked_for_and_checked() {
    let server = server().await;
    let bare = Request::builder().uri("/api/v1/users/me").body(Body::empty()).unwrap();
    let reply = server.request(bare).await;
    assert_eq!(reply.headers["www-authenticate"], "Basic realm=\"zulip\"");
    reply.error(401, "UNAUTHORIZED");
    for broken in ["Bearer abc", "Basic", "Basic !!!", &format!("Basic {}", BASE64.encode(b"no colon"))] {
        server.request(with_authorization(broken)).await.error(401, "UNAUTHORIZED");
    }
    let key = &server.keys["ada"];
    for wrong in [format!("bo@test.example:{key}"), "ada@test.example:00".into(), format!("ada:{key}")] {
        let wrong = format!("Basic {}", BASE64.encode(wrong.as_bytes()));
        server.request(with_authorization(&wrong)).await.error(401, "INVALID_API_KEY");
    }
    let shouted = format!("basic {}", BASE64.encode(format!("ADA@Test.Example:{key}").as_bytes()));
    server.request(with_authorization(&shouted)).await.success();
}

#[tokio::test]
async fn a_deactivated_users_key_opens_nothing() {
    let server = server().await;
    let change = crate::UserChange { is_active: Some(false), ..Default::default() };
    server.writer.change_user(RealmId(1), squall_protocol::UserId(2), change).await.unwrap();
    server.get("bo", "users/me", &[]).await.error(401, "INVALID_API_KEY");
}

#[tokio::test]
async fn a_users_minute_is_told_and_kept() {
    let server = server_with(|config| config.rate_limit_per_minute = 3).await;
    let reply = server.get("ada", "users/me", &[]).await;
    assert_eq!(reply.headers["x-ratelimit-limit"], "3");
    assert_eq!(reply.headers["x-ratelimit-remaining"], "2");
    assert!(reply.headers.contains_key("x-ratelimit-reset"));
    server.get("ada", "users/me", &[]).await.success();
    let reply = server.get("ada", "nothing/here", &[]).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    server.get("ada", "messages", &[]).await.error(400, "REQUEST_VARIABLE_MISSING");
    let limited = server.get("ada", "users/me", &[]).await;
    let seconds: u64 = limited.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=20).contains(&seconds), "{seconds}");
    assert_eq!(limited.headers["x-ratelimit-remaining"], "0");
    let body = limited.error(429, "RATE_LIMIT_HIT");
    assert!(body["retry-after"].as_f64().unwrap() <= 20.0);
    server.get("bo", "users/me", &[]).await.success();
}

#[tokio::test]
async fn one_bucket_for_http_and_sockets() {
    use squall_protocol::link::{Operation, RefusalCode, WriteOutcome, WriteRequest};
    use squall_protocol::{SendId, SessionId, StreamId, UserId};
    let server = server_with(|config| config.rate_limit_per_minute = 2).await;
    server.get("ada", "users/me", &[]).await.success();
    server.get("ada", "users/me", &[]).await.success();
    let request = WriteRequest {
        realm_id: RealmId(1),
        user_id: UserId(1),
        session_id: SessionId(1),
        send_id: SendId::parse("a").unwrap(),
        operation: Operation::Subscribe { stream_id: StreamId(1), user_ids: vec![] },
    };
    let outcome = server.writer.write(vec![request]).await.remove(0);
    assert!(matches!(outcome, WriteOutcome::Refused(refusal) if refusal.code == RefusalCode::RateLimited));
}

#[tokio::test]
async fn parameters_nobody_knows_are_named() {
    let server = server().await;
    let body = server.get("ada", "users/me", &[("zoom", "1"), ("alpha", "x")]).await.success();
    assert_eq!(body["ignored_parameters_unsupported"], serde_json::json!(["alpha", "zoom"]));
    let body = server.get("ada", "users", &[("client_gravatar", "true")]).await.success();
    assert!(body.get("ignored_parameters_unsupported").is_none());
}

#[tokio::test]
async fn a_broken_parameter_is_named() {
    let server = server().await;
    for (value, words) in [("[", "not valid JSON"), ("7", "not true or false")] {
        let reply = server.get("ada", "users/me/subscriptions", &[("include_subscribers", value)]).await;
        let body = reply.error(400, "REQUEST_VARIABLE_INVALID");
        assert_eq!(body["var_name"], "include_subscribers");
        assert!(body["msg"].as_str().unwrap().contains(words), "{}", body["msg"]);
    }
}

#[tokio::test]
async fn parameters_come_in_the_query_of_a_post_too() {
    let server = server().await;
    let request = Request::builder()
        .method("POST")
        .uri("/api/v1/messages?type=stream&to=general&topic=t")
        .header("authorization", server.authorization("ada"))
        .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
        .body(Body::from("content=a%20%2B%20b+c"))
        .unwrap();
    server.request(request).await.success();
    let found =
        server.get("ada", "messages", &[("anchor", "newest"), ("num_before", "1"), ("num_after", "0")]);
    assert_eq!(found.await.success()["messages"][0]["content"], "<p>a + b c</p>");
}

#[tokio::test]
async fn bodies_too_large_or_of_another_kind_are_refused() {
    let server = server().await;
    let request = |kind: &str, body: String| {
        let request = Request::builder().method("POST").uri("/api/v1/messages").header("content-type", kind);
        request.header("authorization", server.authorization("ada")).body(Body::from(body)).unwrap()
    };
    let large = request("application/x-www-form-urlencoded", "x".repeat(BODY_BYTES_MAX + 1));
    server.request(large).await.error(413, "BODY_TOO_LARGE");
    server.request(request("application/json", "{}".into())).await.error(415, "BAD_CONTENT_TYPE");
}

#[tokio::test]
async fn unknown_paths_and_methods_say_so() {
    let server = server().await;
    server.get("ada", "nothing", &[]).await.error(404, "NOT_FOUND");
    server.delete("ada", "messages", &[]).await.error(405, "METHOD_NOT_ALLOWED");
    let root = Request::builder().uri("/elsewhere").body(Body::empty()).unwrap();
    server.request(root).await.error(404, "NOT_FOUND");
}

#[tokio::test]
async fn server_settings_need_no_credentials() {
    let server = server().await;
    let request = |host: &str| {
        Request::builder().uri("/api/v1/server_settings").header("host", host).body(Body::empty()).unwrap()
    };
    let body = server.request(request("chat.test:81")).await.success();
    assert_eq!(body["zulip_version"], "11.4");
    assert_eq!(body["zulip_feature_level"], 421);
    assert_eq!(body["realm_name"], "Test");
    assert_eq!(body["realm_uri"], "http://chat.test:81");
    let told = server_with(|config| config.public_url = Some("https://chat.example/".into())).await;
    assert_eq!(told.request(request("inside")).await.success()["realm_url"], "https://chat.example");
    server.writer.create_realm("Second").await.unwrap();
    assert_eq!(server.request(request("x")).await.success()["realm_name"], "Squall", "no one realm");
}

#[tokio::test]
async fn health_is_the_process_and_readiness_its_database() {
    let server = server().await;
    let request = |path: &str| Request::builder().uri(path).body(Body::empty()).unwrap();
    assert_eq!(server.request(request("/healthz")).await.status, StatusCode::OK);
    assert_eq!(server.request(request("/readyz")).await.status, StatusCode::OK);
    server.writer.clone().close().await;
    assert_eq!(server.request(request("/healthz")).await.status, StatusCode::OK);
    assert_eq!(server.request(request("/readyz")).await.status, StatusCode::SERVICE_UNAVAILABLE);
    let reply = server.get("ada", "users/me", &[]).await;
    assert_eq!(reply.headers["retry-after"], "1");
    reply.error(503, "UNAVAILABLE");
}
