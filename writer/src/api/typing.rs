//! `typing`: told to whoever is there, stored nowhere.

use serde_json::Value;
use squall_protocol::client_message::TypingOp;
use squall_protocol::frame::Ephemeral;
use squall_protocol::limits::DIRECT_USERS_MAX;
use squall_protocol::{Destination, ServerMessage, StreamId};

use super::answer::{Answer, ApiError};
use super::call::Call;
use super::narrow::user_refs;
use crate::store::StreamRef;
use crate::text;

/// `POST typing`
pub(super) async fn typing(call: Call) -> Result<Answer, ApiError> {
    let op = match call.params.required("op")? {
        "start" => TypingOp::Start,
        "stop" => TypingOp::Stop,
        _ => return Err(ApiError::invalid("op", "is not start or stop")),
    };
    let to = match call.params.text("type").unwrap_or("direct") {
        "direct" | "private" => direct(&call).await?,
        "stream" | "channel" => stream(&call).await?,
        _ => return Err(ApiError::invalid("type", "is not direct, stream or channel")),
    };
    let sender_id = call.user_id();
    let ephemeral = Ephemeral {
        realm_id: call.realm_id(),
        audience: to.audience(),
        except: Some(sender_id),
        message: ServerMessage::Typing { op, sender_id, to },
    };
    call.writer.publish(ephemeral).await;
    Ok(Answer::default())
}

/// Where the caller could send; all of them active users of its realm.
async fn direct(call: &Call) -> Result<Destination, ApiError> {
    call.params.required("to")?;
    let value: Value = call.params.json("to", "a list of users")?.unwrap_or_default();
    let users = user_refs(&value).filter(|users| !users.is_empty());
    let users = users.ok_or_else(|| ApiError::bad("Missing parameter: 'to' (recipient)"))?;
    let mut user_ids = call.user_ids(users).await?;
    user_ids.push(call.user_id());
    user_ids.sort_unstable();
    user_ids.dedup();
    if user_ids.len() > DIRECT_USERS_MAX {
        return Err(ApiError::bad(format!("Too many users: {}, at most {DIRECT_USERS_MAX}", user_ids.len())));
    }
    let known = call.writer.store().users_by_id(call.realm_id(), user_ids.clone()).await?;
    for (user_id, user) in user_ids.iter().zip(known.value) {
        if user.is_none_or(|user| !user.is_active) {
            return Err(ApiError::bad(format!("Invalid user ID {user_id}")));
        }
    }
    Ok(Destination::Direct { user_ids })
}

async fn stream(call: &Call) -> Result<Destination, ApiError> {
    call.params.required("stream_id")?;
    let stream_id: StreamId = call.params.json("stream_id", "a channel ID")?.unwrap_or_default();
    let topic = call.params.text("topic").ok_or_else(|| ApiError::missing("topic"))?;
    let topic =
        text::topic(topic).map_err(|error| ApiError::invalid("topic", &format!("is no good: {error}")))?;
    let view = call.stream(&StreamRef::Id(stream_id)).await?;
    if !view.subscribed {
        return Err(ApiError::bad(format!("Not authorized to send to channel '{}'", view.stream.name)));
    }
    Ok(Destination::Stream { stream_id, topic: topic.to_owned() })
}
