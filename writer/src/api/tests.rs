//! Requests through the router, one file of helpers, one file for each group of endpoints.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use data_encoding::BASE64;
use serde_json::Value;
use squall_protocol::RealmId;
use squall_protocol::event::Role;
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::testing::writer_with;
use crate::{Config, NewStream, NewUser, Writer};

mod messages;
mod people;
mod streams;
mod surface;

/// A realm with `ada` (admin), `bo`, `cy` (members), `gus` (guest), and streams `general` (public: ada, bo, gus)
/// and `leads` (invite-only: ada, bo). Ids count in this order, from 1.
struct Server {
    writer: Writer,
    router: Router,
    keys: BTreeMap<&'static str, String>,
    _dir: TempDir,
}

/// An answer, read.
#[derive(Debug)]
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

async fn server() -> Server {
    server_with(|_| {}).await
}

async fn server_with(configure: impl FnOnce(&mut Config)) -> Server {
    let (writer, dir) = writer_with(configure).await;
    let realm = writer.create_realm("Test").await.unwrap();
    let names = [("ada", Role::Admin), ("bo", Role::Member), ("cy", Role::Member), ("gus", Role::Guest)];
    let user = |(name, role): (&str, Role)| NewUser {
        email: format!("{name}@test.example"),
        full_name: name.to_uppercase(),
        role,
        is_bot: false,
        streams: vec![],
    };
    let created = writer.create_users(realm, names.map(user).into()).await;
    let mut ids = Vec::new();
    let mut keys = BTreeMap::new();
    for ((name, _), created) in names.iter().zip(created) {
        let created = created.unwrap();
        ids.push(created.user_id);
        keys.insert(*name, created.api_key.reveal().to_owned());
    }
    for (name, invite_only, members) in
        [("general", false, vec![ids[0], ids[1], ids[3]]), ("leads", true, vec![ids[0], ids[1]])]
    {
        let stream = NewStream { name: name.into(), description: "What & why".into(), invite_only };
        writer.create_stream(realm, stream, members).await.unwrap();
    }
    Server { router: writer.api(), writer, keys, _dir: dir }
}

impl Server {
    async fn request(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Reply { status: parts.status, headers: parts.headers, body }
    }

    fn authorization(&self, user: &str) -> String {
        let credentials = format!("{user}@test.example:{}", self.keys[user]);
        format!("Basic {}", BASE64.encode(credentials.as_bytes()))
    }

    /// As the official bindings do it: GET by query, all else by form.
    async fn call(&self, user: &str, method: &str, path: &str, params: &[(&str, &str)]) -> Reply {
        let encoded = form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish();
        let request = Request::builder().method(method).header("authorization", self.authorization(user));
        let request = if method == "GET" {
            request.uri(format!("/api/v1/{path}?{encoded}")).body(Body::empty())
        } else {
            request
                .uri(format!("/api/v1/{path}"))
                .header("content-type", "application/x-www-form-urlencoded")
                .body(Body::from(encoded))
        };
        self.request(request.unwrap()).await
    }

    async fn get(&self, user: &str, path: &str, params: &[(&str, &str)]) -> Reply {
        self.call(user, "GET", path, params).await
    }

    async fn post(&self, user: &str, path: &str, params: &[(&str, &str)]) -> Reply {
        self.call(user, "POST", path, params).await
    }

    async fn delete(&self, user: &str, path: &str, params: &[(&str, &str)]) -> Reply {
        self.call(user, "DELETE", path, params).await
    }

    /// Sends to a stream; the message's id.
    async fn send(&self, user: &str, stream: &str, topic: &str, content: &str) -> u64 {
        let params = [("type", "stream"), ("to", stream), ("topic", topic), ("content", content)];
        self.post(user, "messages", &params).await.success()["id"].as_u64().unwrap()
    }

    async fn head(&self) -> Value {
        let heads = self.writer.heads(vec![RealmId(1)], None).await.unwrap().heads;
        super::as_of(heads[0].1)
    }
}

impl Reply {
    #[track_caller]
    fn success(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        assert_eq!(self.body["result"], "success");
        assert_eq!(self.body["msg"], "");
        self.body
    }

    #[track_caller]
    fn error(self, status: u16, code: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        assert_eq!(self.body["result"], "error");
        assert_eq!(self.body["code"], code, "{}", self.body);
        assert!(self.body["msg"].is_string());
        self.body
    }
}
