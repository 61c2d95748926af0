//! The operator's surface: JSON lines in, JSON lines out, one for each, in order. It asks for no
//! credentials: serve it on loopback only.
//!
//! | path | a line | its answer |
//! |---|---|---|
//! | `POST /admin/realms` | `{"name"}` | `{"realm_id", "name"}` |
//! | `POST /admin/users` | `{"realm", "email", "full_name", "role"?, "is_bot"?, "streams"?: [names]}` | `{"realm_id", "user_id", "email", "api_key"}` |
//! | `PATCH /admin/users` | `{"realm", "email", "full_name"?, "role"?, "is_active"?}` | `{"sequence"}` |
//! | `POST /admin/keys` | `{"realm", "email"}` | `{"email", "api_key"}` |
//! | `GET /admin/stats` | none | what this process did since it started, counted: one object |
//! | `POST /admin/streams` | `{"realm", "name", "description"?, "invite_only"?, "members"?: [addresses]}` | `{"stream_id", "name"}` |
//!
//! `realm` is a realm's id or name. A line that can't be done is answered by `{"error": {"code", "message"}}`,
//! and the others are done all the same.

use std::collections::HashMap;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use squall_protocol::event::Role;
use squall_protocol::link::{LinkError, Refusal, RefusalCode};
use squall_protocol::{RealmId, UserId};

use crate::change::{NewStream, NewUser, UserChange};
use crate::text;
use crate::writer::{CreateError, Writer};

/// The longest body: a hundred thousand users and more.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a process that is nothing but a writer tells of itself.
pub(crate) fn standing(writer: Writer) -> Router {
    let stats = |State(writer): State<Writer>| async move { respond(&[writer.counts()]) };
    crate::api::health().route("/admin/stats", get(stats)).with_state(writer)
}

/// What changes things.
pub(crate) fn router(writer: Writer) -> Router {
    Router::new()
        .route("/admin/realms", post(create_realms))
        .route("/admin/users", post(create_users).patch(change_users))
        .route("/admin/keys", post(change_keys))
        .route("/admin/streams", post(create_streams))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(writer)
}

/// A realm by id or name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(untagged)]
enum RealmRef {
    Id(u64),
    Name(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRealmLine {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewUserLine {
    realm: RealmRef,
    email: String,
    full_name: String,
    #[serde(default = "member")]
    role: Role,
    #[serde(default)]
    is_bot: bool,
    #[serde(default)]
    streams: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserChangeLine {
    realm: RealmRef,
    email: String,
    full_name: Option<String>,
    role: Option<Role>,
    is_active: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyLine {
    realm: RealmRef,
    email: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewStreamLine {
    realm: RealmRef,
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    invite_only: bool,
    #[serde(default)]
    members: Vec<String>,
}

fn member() -> Role {
    Role::Member
}

async fn create_realms(State(writer): State<Writer>, body: String) -> Response {
    let mut answers = Vec::new();
    for line in lines::<NewRealmLine>(&body) {
        answers.push(match line {
            Ok(NewRealmLine { name }) => match writer.create_realm(&name).await {
                Ok(realm_id) => json!({ "realm_id": realm_id, "name": name.trim() }),
                Err(CreateError::Refused(refusal)) => failed(&refusal),
                Err(CreateError::Link(error)) => failed(&no_answer(&error)),
            },
            Err(refusal) => failed(&refusal),
        });
    }
    respond(&answers)
}

/// Neighbouring lines of one realm are made together.
async fn create_users(State(writer): State<Writer>, body: String) -> Response {
    let mut realms = Realms::new(&writer);
    let mut answers: Vec<Value> = Vec::new();
    let mut together: Vec<NewUser> = Vec::new();
    let mut realm_of_these = None;
    for line in lines::<NewUserLine>(&body) {
        let line = match line {
            Ok(line) => realms.find(&line.realm).await.map(|realm_id| (realm_id, line)),
            Err(refusal) => Err(refusal),
        };
        let realm_id = line.as_ref().ok().map(|(realm_id, _)| *realm_id);
        if realm_id != realm_of_these {
            create_together(&writer, realm_of_these, &mut together, &mut answers).await;
            realm_of_these = realm_id;
        }
        match line {
            Ok((_, NewUserLine { email, full_name, role, is_bot, streams, realm: _ })) => {
                together.push(NewUser { email, full_name, role, is_bot, streams });
            }
            Err(refusal) => answers.push(failed(&refusal)),
        }
    }
    create_together(&writer, realm_of_these, &mut together, &mut answers).await;
    respond(&answers)
}

async fn create_together(
    writer: &Writer,
    realm_id: Option<RealmId>,
    users: &mut Vec<NewUser>,
    answers: &mut Vec<Value>,
) {
    let Some(realm_id) = realm_id else { return };
    for created in writer.create_users(realm_id, std::mem::take(users)).await {
        answers.push(match created {
            Ok(user) => json!({
                "realm_id": realm_id,
                "user_id": user.user_id,
                "email": user.email,
                "api_key": user.api_key.reveal(),
            }),
            Err(refusal) => failed(&refusal),
        });
    }
}

async fn change_users(State(writer): State<Writer>, body: String) -> Response {
    let mut realms = Realms::new(&writer);
    let mut answers = Vec::new();
    for line in lines::<UserChangeLine>(&body) {
        answers.push(match line {
            Ok(line) => {
                change_user(&writer, &mut realms, line).await.unwrap_or_else(|refusal| failed(&refusal))
            }
            Err(refusal) => failed(&refusal),
        });
    }
    respond(&answers)
}

async fn change_user(
    writer: &Writer,
    realms: &mut Realms<'_>,
    line: UserChangeLine,
) -> Result<Value, Refusal> {
    let UserChangeLine { realm, email, full_name, role, is_active } = line;
    let realm_id = realms.find(&realm).await?;
    let user_id = user_id(writer, realm_id, &email).await?;
    let change = UserChange { full_name, role, is_active };
    let sequence = writer.change_user(realm_id, user_id, change).await?;
    Ok(json!({ "sequence": sequence }))
}

async fn change_keys(State(writer): State<Writer>, body: String) -> Response {
    let mut realms = Realms::new(&writer);
    let mut answers = Vec::new();
    for line in lines::<KeyLine>(&body) {
        answers.push(match line {
            Ok(line) => {
                change_key(&writer, &mut realms, line).await.unwrap_or_else(|refusal| failed(&refusal))
            }
            Err(refusal) => failed(&refusal),
        });
    }
    respond(&answers)
}

async fn change_key(writer: &Writer, realms: &mut Realms<'_>, line: KeyLine) -> Result<Value, Refusal> {
    let realm_id = realms.find(&line.realm).await?;
    let user_id = user_id(writer, realm_id, &line.email).await?;
    let key = writer.change_key(realm_id, user_id).await?;
    Ok(json!({ "email": line.email.trim(), "api_key": key.reveal() }))
}

async fn create_streams(State(writer): State<Writer>, body: String) -> Response {
    let mut realms = Realms::new(&writer);
    let mut answers = Vec::new();
    for line in lines::<NewStreamLine>(&body) {
        answers.push(match line {
            Ok(line) => {
                create_stream(&writer, &mut realms, line).await.unwrap_or_else(|refusal| failed(&refusal))
            }
            Err(refusal) => failed(&refusal),
        });
    }
    respond(&answers)
}

async fn create_stream(
    writer: &Writer,
    realms: &mut Realms<'_>,
    line: NewStreamLine,
) -> Result<Value, Refusal> {
    let NewStreamLine { realm, name, description, invite_only, members } = line;
    let realm_id = realms.find(&realm).await?;
    let mut user_ids = Vec::with_capacity(members.len());
    for email in &members {
        user_ids.push(user_id(writer, realm_id, email).await?);
    }
    let stream = NewStream { name, description, invite_only };
    let stream = writer.create_stream(realm_id, stream, user_ids).await?;
    Ok(json!({ "stream_id": stream.stream_id, "name": stream.name }))
}

async fn user_id(writer: &Writer, realm_id: RealmId, email: &str) -> Result<UserId, Refusal> {
    let found = writer.user_by_email(realm_id, email).await.map_err(|error| no_answer(&error))?;
    let unknown = || Refusal::fatal(RefusalCode::UnknownUser, format!("no user {:?}", email.trim()));
    found.map(|user| user.user_id).ok_or_else(unknown)
}

/// Realms by id and name, asked for once a request.
struct Realms<'a> {
    writer: &'a Writer,
    known: Option<HashMap<RealmRef, RealmId>>,
}

impl<'a> Realms<'a> {
    fn new(writer: &'a Writer) -> Self {
        Self { writer, known: None }
    }

    async fn find(&mut self, realm: &RealmRef) -> Result<RealmId, Refusal> {
        let known = match &mut self.known {
            Some(known) => known,
            empty => {
                let realms = self.writer.realms().await.map_err(|error| no_answer(&error))?;
                let both = |(realm_id, name): (RealmId, String)| {
                    [(RealmRef::Id(realm_id.0), realm_id), (RealmRef::Name(text::key(&name)), realm_id)]
                };
                empty.insert(realms.into_iter().flat_map(both).collect())
            }
        };
        let (key, shown) = match realm {
            RealmRef::Id(id) => (RealmRef::Id(*id), id.to_string()),
            RealmRef::Name(name) => (RealmRef::Name(text::key(name.trim())), format!("{name:?}")),
        };
        let unknown = || Refusal::fatal(RefusalCode::UnknownUser, format!("no realm {shown}"));
        known.get(&key).copied().ok_or_else(unknown)
    }
}

/// The lines of a body; empty ones are none.
fn lines<T: DeserializeOwned>(body: &str) -> impl Iterator<Item = Result<T, Refusal>> + '_ {
    let lines = body.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(index, line)| {
        let words = |error| format!("line {}: {error}", index + 1);
        serde_json::from_str(line).map_err(|error| Refusal::fatal(RefusalCode::InvalidContent, words(error)))
    })
}

fn no_answer(error: &LinkError) -> Refusal {
    Refusal::retryable(RefusalCode::Unavailable, error.to_string(), 1000)
}

fn failed(refusal: &Refusal) -> Value {
    json!({ "error": { "code": refusal.code, "message": refusal.message } })
}

fn respond(answers: &[Value]) -> Response {
    let mut body = String::new();
    for answer in answers {
        body.push_str(&answer.to_string());
        body.push('\n');
    }
    let mut response = Response::new(Body::from(body));
    let kind = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests;
