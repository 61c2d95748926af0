//! Making a run's realms, streams and users through the operator's API.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;
use squall_protocol::{Position, RealmId, StreamId, UserId};

use super::ground::{Realm, User};
use super::http::{Credentials, Http};
use super::layout::{RealmLayout, UserLayout};
use crate::engine::StreamPlan;

/// Where a target's HTTP APIs are.
#[derive(Debug, Clone)]
pub(crate) struct Apis {
    /// `http://HOST:PORT` of the users' API.
    pub(crate) users: String,
    /// `http://HOST:PORT` of the operators' API.
    pub(crate) operators: Option<String>,
}

/// Makes all of it, the realms of different targets at once, unless it is interrupted; `progress` is told how
/// many users are made.
pub(crate) fn make(
    layouts: &[RealmLayout],
    apis: &[Apis],
    interrupted: &AtomicBool,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Realm>> {
    let http = Http::new();
    let (told, made) = channel();
    thread::scope(|scope| {
        let targets: Vec<_> = (0..)
            .zip(apis)
            .map(|(target, apis)| {
                let making = Making { http: &http, apis, interrupted, told: told.clone() };
                let layouts = layouts.iter().filter(move |layout| layout.target == target);
                scope.spawn(move || layouts.map(|layout| making.realm(layout)).collect::<Result<Vec<_>>>())
            })
            .collect();
        drop(told);
        let mut users = 0;
        for more in made {
            users += more;
            progress(users);
        }
        let mut realms = Vec::new();
        for target in targets {
            realms.extend(target.join().map_err(|_| anyhow!("making realms panicked"))??);
        }
        Ok(realms)
    })
}

/// The making of one target's realms.
struct Making<'a> {
    http: &'a Http,
    apis: &'a Apis,
    interrupted: &'a AtomicBool,
    told: Sender<usize>,
}

impl Making<'_> {
    fn realm(&self, layout: &RealmLayout) -> Result<Realm> {
        let realms = self.post("realms", &[layout.realm_line()])?;
        let realm_id = RealmId(number(realms.first().unwrap_or(&Value::Null), "realm_id")?);
        let mut streams = Vec::new();
        for (answer, stream) in
            self.post("streams", &layout.stream_lines(realm_id.0))?.iter().zip(&layout.streams)
        {
            let stream_id = StreamId(number(answer, "stream_id")?);
            streams.push(StreamPlan { stream_id, invite_only: stream.invite_only, members: Vec::new() });
        }
        let lines = layout.user_lines(realm_id.0);
        let mut users = Vec::with_capacity(lines.len());
        for (lines, layouts) in lines.chunks(USERS_AT_ONCE).zip(layout.users.chunks(USERS_AT_ONCE)) {
            let answers = self.post("users", lines)?;
            let made = answers.iter().zip(layouts).map(|(answer, layout)| user(answer, layout));
            users.extend(made.collect::<Result<Vec<_>>>()?);
            // Nobody listens any more only if the run has ended.
            let _ = self.told.send(lines.len());
        }
        let head = head(self.http, self.apis, users.first().context("a realm without users")?)?;
        let mut realm = Realm { target: layout.target, realm_id, head, streams, users };
        realm.list_members();
        Ok(realm)
    }

    fn post(&self, path: &str, lines: &[Value]) -> Result<Vec<Value>> {
        ensure!(!self.interrupted.load(Ordering::Relaxed), "interrupted while realms and users were made");
        let operators = self.apis.operators.as_ref().context("this target has no admin address")?;
        let answers = self.http.post_lines(&format!("{operators}/admin/{path}"), lines)?;
        answers.into_iter().map(done).collect::<Result<_>>().with_context(|| format!("making {path}"))
    }
}

fn user(answer: &Value, layout: &UserLayout) -> Result<User> {
    Ok(User {
        user_id: UserId(u32::try_from(number(answer, "user_id")?).context("user_id")?),
        email: layout.email.clone(),
        key: text(answer, "api_key")?.into(),
        is_guest: layout.is_guest,
        streams: layout.streams.clone(),
    })
}

/// The head of a user's realm.
pub(crate) fn head(http: &Http, apis: &Apis, user: &User) -> Result<Position> {
    let who = Credentials { email: &user.email, key: &user.key };
    let answer = http.get(&format!("{}/api/v1/users/me", apis.users), who)?;
    let as_of = answer.get("as_of").cloned().unwrap_or_default();
    serde_json::from_value(as_of).context("the answer of GET users/me has no position `as_of`")
}

fn done(answer: Value) -> Result<Value> {
    match answer.get("error") {
        Some(error) => {
            let word = |name| error.get(name).and_then(Value::as_str).unwrap_or_default();
            bail!("{} ({})", word("message"), word("code"))
        }
        None => Ok(answer),
    }
}

pub(super) fn number(answer: &Value, name: &str) -> Result<u64> {
    let number = answer.get(name).and_then(Value::as_u64);
    number.with_context(|| format!("no number `{name}` in {answer}"))
}

pub(super) fn text<'a>(answer: &'a Value, name: &str) -> Result<&'a str> {
    answer.get(name).and_then(Value::as_str).with_context(|| format!("no text `{name}` in {answer}"))
}

/// In one request: progress shows, and no answer takes long.
const USERS_AT_ONCE: usize = 1_000;
