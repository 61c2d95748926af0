//! Narrows: which messages a client wants to see.

use serde_json::Value;
use squall_protocol::UserId;
use squall_zulip::narrow::Term;

use super::answer::ApiError;
use super::call::{Call, UserRef};
use crate::store::{Narrow, StreamRef};

/// The parameter `narrow`; without it, everything.
pub(super) async fn read(call: &Call) -> Result<Narrow, ApiError> {
    let mut narrow = Narrow::default();
    for Term { operator, operand, negated } in Term::read_all(&call.params)? {
        if negated {
            return Err(ApiError::narrow(&format!("negated terms are not supported ({operator})")));
        }
        add(call, &mut narrow, &operator, &operand).await?;
    }
    Ok(narrow)
}

async fn add(call: &Call, narrow: &mut Narrow, operator: &str, operand: &Value) -> Result<(), ApiError> {
    match operator {
        "stream" | "channel" => {
            let stream = stream_ref(operand).ok_or_else(|| ApiError::narrow("not a channel"))?;
            let found = call.stream(&stream).await.map_err(|_| ApiError::narrow("unknown channel"))?;
            once(&mut narrow.stream_id, found.stream.stream_id)
        }
        "topic" | "subject" => {
            let topic = operand.as_str().ok_or_else(|| ApiError::narrow("not a topic"))?;
            once(&mut narrow.topic, topic.to_owned())
        }
        "sender" | "from" => {
            let sender = match user_refs(operand).as_deref() {
                Some([one]) => one.clone(),
                Some(_) | None => return Err(ApiError::narrow("not a user")),
            };
            let user_ids = call.user_ids(vec![sender]).await.map_err(|_| ApiError::narrow("unknown user"))?;
            user_ids.first().map_or(Ok(()), |user_id| once(&mut narrow.sender_id, *user_id))
        }
        "dm" | "pm-with" | "pm_with" => {
            let users = user_refs(operand).ok_or_else(|| ApiError::narrow("not a list of users"))?;
            let mut user_ids = call.user_ids(users).await.map_err(|_| ApiError::narrow("unknown user"))?;
            user_ids.push(call.user_id());
            user_ids.sort_unstable();
            user_ids.dedup();
            once(&mut narrow.direct, user_ids)
        }
        "is" if matches!(operand.as_str(), Some("dm" | "private")) => {
            narrow.is_direct = true;
            Ok(())
        }
        other => Err(ApiError::narrow(&format!("{other} is not supported"))),
    }
}

/// Two terms of one kind can hold together only if they are the same.
fn once<T: PartialEq>(slot: &mut Option<T>, value: T) -> Result<(), ApiError> {
    if slot.as_ref().is_some_and(|present| *present != value) {
        return Err(ApiError::narrow("two terms exclude each other"));
    }
    *slot = Some(value);
    Ok(())
}

/// A stream by id or name.
pub(super) fn stream_ref(value: &Value) -> Option<StreamRef> {
    if let Some(name) = value.as_str() {
        return Some(StreamRef::Name(name.to_owned()));
    }
    value.as_u64().and_then(|id| id.try_into().ok()).map(StreamRef::Id)
}

/// Users: a list of ids or addresses, one of them, or addresses with commas.
pub(super) fn user_refs(value: &Value) -> Option<Vec<UserRef>> {
    match value {
        Value::Array(values) => values.iter().map(user_ref).collect(),
        Value::String(text) => Some(user_refs_in(text)),
        Value::Number(_) => user_ref(value).map(|user| vec![user]),
        Value::Null | Value::Bool(_) | Value::Object(_) => None,
    }
}

/// Addresses with commas between.
pub(super) fn user_refs_in(text: &str) -> Vec<UserRef> {
    let emails = text.split(',').map(str::trim).filter(|email| !email.is_empty());
    emails.map(|email| UserRef::Email(email.to_owned())).collect()
}

fn user_ref(value: &Value) -> Option<UserRef> {
    if let Some(email) = value.as_str() {
        return Some(UserRef::Email(email.to_owned()));
    }
    value.as_u64().and_then(|id| UserId::try_from(id).ok()).map(UserRef::Id)
}
