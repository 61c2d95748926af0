//! `streams`, `get_stream_id`, members, topics.

use serde_json::{Map, Value, json};

use super::answer::{Answer, ApiError};
use super::as_of;
use super::call::Call;
use crate::store::{StreamRef, StreamView};

/// `GET streams`
pub(super) async fn all(call: Call) -> Result<Answer, ApiError> {
    let public = call.params.flag("include_public", true)?;
    let subscribed = call.params.flag("include_subscribed", true)?;
    let found = call.writer.store().streams(call.realm_id(), call.user_id(), false).await?;
    let wanted = |view: &&StreamView| (public && !view.stream.invite_only) || (subscribed && view.subscribed);
    let streams: Vec<Value> = found.value.iter().filter(wanted).map(|view| object(view).into()).collect();
    Ok(Answer::new(json!({ "streams": streams, "as_of": as_of(found.as_of) })))
}

/// `GET get_stream_id`
pub(super) async fn id(call: Call) -> Result<Answer, ApiError> {
    let name = call.params.required("stream")?;
    let found = call.stream(&StreamRef::Name(name.to_owned())).await;
    let found = found.map_err(|_| ApiError::bad(format!("Invalid channel name '{name}'")))?;
    Ok(Answer::new(json!({ "stream_id": found.stream.stream_id })))
}

/// `GET streams/{id}/members`
pub(super) async fn members(call: Call) -> Result<Answer, ApiError> {
    let stream_id = call.path_stream_id()?;
    let members = call.writer.store().members(call.realm_id(), call.user_id(), stream_id).await?;
    let subscribers = members.value.ok_or_else(|| ApiError::bad("Invalid channel ID"))?;
    Ok(Answer::new(json!({ "subscribers": subscribers, "as_of": as_of(members.as_of) })))
}

/// `GET users/me/{stream_id}/topics`
pub(super) async fn topics(call: Call) -> Result<Answer, ApiError> {
    call.params.accept(&["allow_empty_topic_name"]);
    let stream_id = call.path_stream_id()?;
    let found = call.writer.store().topics(call.realm_id(), call.user_id(), stream_id).await?;
    let topics = found.value.ok_or_else(|| ApiError::bad("Invalid channel ID"))?;
    let topics: Vec<Value> =
        topics.iter().map(|topic| json!({ "name": topic.name, "max_id": topic.max_id })).collect();
    Ok(Answer::new(json!({ "topics": topics, "as_of": as_of(found.as_of) })))
}

/// A stream object: what `GET streams` and subscriptions share.
pub(super) fn object(view: &StreamView) -> Map<String, Value> {
    squall_zulip::streams::stream(&view.stream, Some(view.created_s))
}
