//! The kinds of users, and realms full of them.

use serde_json::{Value, json};
use squall_protocol::{Position, StreamId};

use crate::support::api::Api;
use crate::support::client::{Client, Opening};
use crate::support::operator::Account;
use crate::support::server::Server;

/// The realm of everybody but the stranger.
pub(crate) const REALM: &str = "Own";
/// The stranger's.
pub(crate) const OTHER_REALM: &str = "Other";

/// What a user is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Member,
    Guest,
    Bot,
    Admin,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Member, Self::Guest, Self::Bot, Self::Admin];

    /// As it is called in the tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Guest => "guest",
            Self::Bot => "bot",
            Self::Admin => "admin",
        }
    }

    fn role(self) -> &'static str {
        match self {
            Self::Member | Self::Bot => "member",
            Self::Guest => "guest",
            Self::Admin => "admin",
        }
    }
}

/// Makes the two realms.
pub(crate) async fn create_realms(server: &Server) {
    let lines = [json!({ "name": REALM }), json!({ "name": OTHER_REALM })];
    server.operate_well("POST", "realms", &lines).await;
}

/// Makes a stream without members.
pub(crate) async fn create_stream(server: &Server, realm: &str, name: &str, invite_only: bool) -> StreamId {
    let line = json!({ "realm": realm, "name": name, "invite_only": invite_only });
    let answers = server.operate_well("POST", "streams", &[line]).await;
    StreamId(answers[0]["stream_id"].as_u64().expect("an id"))
}

/// The line that makes a user of this kind, with its name for an address, in these streams.
pub(crate) fn user(realm: &str, name: &str, kind: Kind, streams: &[&str]) -> Value {
    json!({
        "realm": realm, "email": email(name), "full_name": name, "role": kind.role(),
        "is_bot": kind == Kind::Bot, "streams": streams,
    })
}

/// The address of a user that [`user`] makes.
pub(crate) fn email(name: &str) -> String {
    format!("{name}@rights.example")
}

/// A session from the head, or from `position`.
pub(crate) async fn connect(server: &Server, key: &str, position: Option<Position>) -> Client {
    Client::open(server.line().await, key, Opening { position, ..Opening::default() }).await
}

/// The HTTP API as this user.
pub(crate) fn api(server: &Server, account: &Account) -> Api {
    Api::new(server.address(), &account.email, &account.key)
}
