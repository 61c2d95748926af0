//! Calls of the HTTP API as one user.

use std::net::SocketAddr;

use data_encoding::BASE64;
use serde_json::{Value, json};
use squall_protocol::{Destination, MessageId, SendId, StreamId, UserId};

use super::http::{self, Answer};

/// Messages asked for in one call.
const PAGE: usize = 1_000;

/// One user's access to `/api/v1`.
#[derive(Clone)]
pub(crate) struct Api {
    address: SocketAddr,
    authorization: String,
}

impl Api {
    /// With HTTP Basic.
    pub(crate) fn new(address: SocketAddr, email: &str, key: &str) -> Self {
        Self {
            address,
            authorization: format!("Basic {}", BASE64.encode(format!("{email}:{key}").as_bytes())),
        }
    }

    /// `GET` with parameters in the query.
    pub(crate) async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Answer {
        let target = format!("/api/v1/{path}?{}", form(parameters));
        http::request(self.address, "GET", &target, &[("Authorization", &self.authorization)], b"").await
    }

    /// `POST` or another method with parameters in a form.
    pub(crate) async fn call(&self, method: &str, path: &str, parameters: &[(&str, &str)]) -> Answer {
        let headers = [
            ("Authorization", self.authorization.as_str()),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ];
        let body = form(parameters);
        http::request(self.address, method, &format!("/api/v1/{path}"), &headers, body.as_bytes()).await
    }

    /// Sends a message; the answer as it came.
    pub(crate) async fn send(&self, to: &Destination, content: &str, send_id: &SendId) -> Answer {
        let (kind, to, topic) = match to {
            Destination::Stream { stream_id, topic } => ("stream", stream_id.to_string(), topic.as_str()),
            Destination::Direct { user_ids } => ("direct", json!(user_ids).to_string(), ""),
        };
        let parameters = [
            ("type", kind),
            ("to", &to),
            ("topic", topic),
            ("content", content),
            ("send_id", send_id.as_str()),
        ];
        self.call("POST", "messages", &parameters).await
    }

    /// The id of a stream by its name.
    pub(crate) async fn stream_id(&self, name: &str) -> StreamId {
        let answer = succeeded(&self.get("get_stream_id", &[("stream", name)]).await);
        StreamId(answer["stream_id"].as_u64().expect("a stream id"))
    }

    /// The user's own id.
    pub(crate) async fn own_id(&self) -> UserId {
        let answer = succeeded(&self.get("users/me", &[]).await);
        UserId::try_from(answer["user_id"].as_u64().expect("a user id")).expect("a user id")
    }

    /// Every message of `narrow` that the user may read, oldest first.
    pub(crate) async fn messages(&self, narrow: &Value) -> Vec<Value> {
        let narrow = narrow.to_string();
        let (page, mut anchor, mut messages) = (PAGE.to_string(), "oldest".to_owned(), Vec::<Value>::new());
        loop {
            let first = if messages.is_empty() { "true" } else { "false" };
            let parameters = [
                ("anchor", anchor.as_str()),
                ("include_anchor", first),
                ("num_before", "0"),
                ("num_after", &page),
                ("narrow", &narrow),
                ("apply_markdown", "false"),
            ];
            let answer = succeeded(&self.get("messages", &parameters).await);
            let found = answer["messages"].as_array().expect("messages").clone();
            if let Some(last) = found.last() {
                anchor = last["id"].to_string();
            }
            messages.extend(found);
            if answer["found_newest"].as_bool().expect("found_newest") {
                return messages;
            }
        }
    }

    /// The contents of every message of `narrow` that the user may read, oldest first.
    pub(crate) async fn contents(&self, narrow: &Value) -> Vec<String> {
        let messages = self.messages(narrow).await;
        messages.iter().map(|message| message["content"].as_str().expect("content").to_owned()).collect()
    }
}

/// The body of an answer that must be a success.
pub(crate) fn succeeded(answer: &Answer) -> Value {
    let body = answer.json();
    assert_eq!((answer.status, &body["result"]), (200, &json!("success")), "{body}");
    body
}

/// The message id of a `POST messages` that must be a success.
pub(crate) fn message_id(answer: &Answer) -> MessageId {
    MessageId(succeeded(answer)["id"].as_u64().expect("a message id"))
}

/// The narrow of one stream.
pub(crate) fn in_stream(name: &str) -> Value {
    json!([["stream", name]])
}

fn form(parameters: &[(&str, &str)]) -> String {
    let pairs: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
    pairs.join("&")
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}
