//! `users/me/subscriptions`: list, join and make, leave.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use squall_protocol::UserId;
use squall_protocol::limits::MEMBERS_CHANGED_MAX;
use squall_zulip::streams::Preferences;

use super::answer::{Answer, ApiError};
use super::call::Call;
use super::narrow::user_refs;
use super::{as_of, streams};
use crate::change::{Change, Enter, Entered, NewStream, Outcome, Request};
use crate::limits::STREAMS_ENTERED_MAX;
use crate::store::{StreamRef, StreamView};

/// The most streams named in one request.
const STREAMS_MAX: usize = 1_000;

/// `GET users/me/subscriptions`
pub(super) async fn list(call: Call) -> Result<Answer, ApiError> {
    let with_members = call.params.flag("include_subscribers", false)?;
    let found = call.writer.store().streams(call.realm_id(), call.user_id(), with_members).await?;
    let own = found.value.iter().filter(|view| view.subscribed);
    let subscriptions: Vec<Value> = own.map(|view| subscription(view, with_members)).collect();
    Ok(Answer::new(json!({ "subscriptions": subscriptions, "as_of": as_of(found.as_of) })))
}

fn subscription(view: &StreamView, with_members: bool) -> Value {
    let members = with_members.then_some(&view.members[..]);
    squall_zulip::streams::subscription(streams::object(view), &Preferences::of(&view.stream), members)
}

/// A stream to be in.
#[derive(Debug, Deserialize)]
struct Wanted {
    name: String,
    #[serde(default)]
    description: String,
}

/// `POST users/me/subscriptions`: makes what is missing. Beyond 32 streams a request is done in parts,
/// each whole or not at all.
pub(super) async fn subscribe(call: Call) -> Result<Answer, ApiError> {
    call.params.required("subscriptions")?;
    let wanted: Vec<Wanted> =
        call.params.json("subscriptions", "a list of objects with a name")?.unwrap_or_default();
    limit_streams(wanted.len())?;
    let invite_only = call.params.flag("invite_only", false)?;
    let all_or_nothing = call.params.flag("authorization_errors_fatal", true)?;
    call.params.accept(&["announce"]);
    let user_ids = principals(&call).await?;
    let new = |Wanted { name, description }: Wanted| NewStream { name, description, invite_only };
    let streams: Vec<NewStream> = wanted.into_iter().map(new).collect();
    let enter = |streams: &[NewStream]| Request {
        realm_id: call.realm_id(),
        change: Change::Enter(Enter {
            actor_id: call.user_id(),
            streams: streams.to_vec(),
            user_ids: user_ids.clone(),
            all_or_nothing,
        }),
    };
    let mut entered = Vec::new();
    for outcome in call.writer.apply(streams.chunks(STREAMS_ENTERED_MAX).map(enter).collect()).await {
        match outcome {
            Outcome::Entered(more) => entered.extend(more),
            Outcome::Refused(refusal) => return Err(refusal.into()),
            Outcome::Sent { .. }
            | Outcome::Done { .. }
            | Outcome::UsersCreated(_)
            | Outcome::StreamCreated(_)
            | Outcome::Unchanged
            | Outcome::NoMessage => return Err(ApiError::bad("not subscribed")),
        }
    }
    Ok(subscribed(entered, all_or_nothing))
}

fn subscribed(entered: Vec<Entered>, all_or_nothing: bool) -> Answer {
    let mut subscribed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut already: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut unauthorized = Vec::new();
    for stream in entered {
        for user_id in stream.added {
            subscribed.entry(user_id.to_string()).or_default().push(stream.name.clone());
        }
        for user_id in stream.already {
            already.entry(user_id.to_string()).or_default().push(stream.name.clone());
        }
        if stream.refused {
            unauthorized.push(stream.name);
        }
    }
    let mut answer = Answer::new(json!({ "subscribed": subscribed, "already_subscribed": already }));
    if !all_or_nothing {
        answer.0.insert("unauthorized".into(), json!(unauthorized));
    }
    answer
}

/// `DELETE users/me/subscriptions`
pub(super) async fn unsubscribe(call: Call) -> Result<Answer, ApiError> {
    call.params.required("subscriptions")?;
    let names: Vec<String> = call.params.json("subscriptions", "a list of names")?.unwrap_or_default();
    limit_streams(names.len())?;
    let user_ids = principals(&call).await?;
    let mut requests = Vec::with_capacity(names.len());
    for name in &names {
        let found = call.stream(&StreamRef::Name(name.clone())).await;
        let found = found.map_err(|_| ApiError::bad(format!("Channel(s) ({name}) do not exist")))?;
        let (actor_id, stream_id) = (call.user_id(), found.stream.stream_id);
        let change = Change::Unsubscribe { actor_id, stream_id, user_ids: user_ids.clone() };
        requests.push(Request { realm_id: call.realm_id(), change });
    }
    let (mut removed, mut not_removed) = (Vec::new(), Vec::new());
    for (name, outcome) in names.into_iter().zip(call.writer.apply(requests).await) {
        match outcome {
            Outcome::Done { user_ids, .. } if user_ids.is_empty() => not_removed.push(name),
            Outcome::Done { .. } => removed.push(name),
            Outcome::Refused(refusal) => return Err(refusal.into()),
            Outcome::Sent { .. }
            | Outcome::Entered(_)
            | Outcome::UsersCreated(_)
            | Outcome::StreamCreated(_)
            | Outcome::Unchanged
            | Outcome::NoMessage => return Err(ApiError::bad("not unsubscribed")),
        }
    }
    Ok(Answer::new(json!({ "removed": removed, "not_removed": not_removed })))
}

fn limit_streams(count: usize) -> Result<(), ApiError> {
    if count > STREAMS_MAX {
        return Err(ApiError::bad(format!("Too many channels: {count}, at most {STREAMS_MAX}")));
    }
    Ok(())
}

/// The users it is about; nobody named means the caller.
async fn principals(call: &Call) -> Result<Vec<UserId>, ApiError> {
    let what = "a list of user IDs or of e-mail addresses";
    let Some(value) = call.params.json::<Value>("principals", what)? else { return Ok(Vec::new()) };
    let users = value.is_array().then(|| user_refs(&value)).flatten();
    let users = users.ok_or_else(|| ApiError::invalid("principals", &format!("is not {what}")))?;
    if users.len() > MEMBERS_CHANGED_MAX {
        let message = format!("Too many users: {}, at most {MEMBERS_CHANGED_MAX}", users.len());
        return Err(ApiError::bad(message));
    }
    call.user_ids(users).await
}
