//! What an operator does to the server under test: realms, users, streams, keys, by its admin address.

use std::net::SocketAddr;

use serde_json::{Value, json};
use squall_protocol::UserId;

use super::http;
use super::server::Server;

/// A user that an operator made.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    /// The HTTP user name.
    pub(crate) email: String,
    /// The API key: HTTP password and WebSocket token.
    pub(crate) key: String,
    /// Its id.
    pub(crate) user_id: UserId,
}

/// An operator at an admin address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operator(pub(crate) SocketAddr);

impl Operator {
    /// Has `lines` done in one request, which may not fail as a whole: an answer for each.
    pub(crate) async fn operate(&self, method: &str, path: &str, lines: &[Value]) -> Vec<Value> {
        let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let answer = http::request(self.0, method, &format!("/admin/{path}"), &[], body.as_bytes()).await;
        let text = String::from_utf8(answer.body).expect("answers are UTF-8");
        assert_eq!(answer.status, 200, "{method} {path}: {text}");
        let answers: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("an answer in JSON")).collect();
        assert_eq!(answers.len(), lines.len(), "{method} {path}: {text}");
        answers
    }

    /// Has `lines` done, all of which must succeed.
    pub(crate) async fn operate_well(&self, method: &str, path: &str, lines: &[Value]) -> Vec<Value> {
        let answers = self.operate(method, path, lines).await;
        for (line, answer) in lines.iter().zip(&answers) {
            assert_eq!(answer["error"], Value::Null, "{method} {path}: {line}: {answer}");
        }
        answers
    }

    /// Makes users of the lines that the admin address takes.
    pub(crate) async fn create_users(&self, lines: &[Value]) -> Vec<Account> {
        let answers = self.operate_well("POST", "users", lines).await;
        let text = |answer: &Value, name: &str| answer[name].as_str().expect("a text").to_owned();
        let account = |answer: &Value| Account {
            email: text(answer, "email"),
            key: text(answer, "api_key"),
            user_id: UserId::try_from(answer["user_id"].as_u64().expect("an id")).expect("an id"),
        };
        answers.iter().map(account).collect()
    }

    /// Gives a user a new key, which is the answer.
    pub(crate) async fn change_key(&self, realm: &str, email: &str) -> String {
        let answers = self.operate_well("POST", "keys", &[json!({ "realm": realm, "email": email })]).await;
        answers[0]["api_key"].as_str().expect("a key").to_owned()
    }

    /// Puts a user out, or takes it in again.
    pub(crate) async fn set_active(&self, realm: &str, email: &str, is_active: bool) {
        let line = json!({ "realm": realm, "email": email, "is_active": is_active });
        self.operate_well("PATCH", "users", &[line]).await;
    }
}

impl Server {
    fn operator(&self) -> Operator {
        Operator(self.admin())
    }

    /// Has `lines` done in one request, which may not fail as a whole: an answer for each.
    pub(crate) async fn operate(&self, method: &str, path: &str, lines: &[Value]) -> Vec<Value> {
        self.operator().operate(method, path, lines).await
    }

    /// Has `lines` done, all of which must succeed.
    pub(crate) async fn operate_well(&self, method: &str, path: &str, lines: &[Value]) -> Vec<Value> {
        self.operator().operate_well(method, path, lines).await
    }

    /// Makes users of the lines that the admin address takes.
    pub(crate) async fn create_users(&self, lines: &[Value]) -> Vec<Account> {
        self.operator().create_users(lines).await
    }

    /// Gives a user a new key, which is the answer.
    pub(crate) async fn change_key(&self, realm: &str, email: &str) -> String {
        self.operator().change_key(realm, email).await
    }

    /// Puts a user out, or takes it in again.
    pub(crate) async fn set_active(&self, realm: &str, email: &str, is_active: bool) {
        self.operator().set_active(realm, email, is_active).await;
    }
}
