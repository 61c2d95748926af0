//! `messages`: send, fetch.

use serde_json::{Value, json};
use squall_protocol::limits::{CONTENT_CHARS_MAX, ID_MAX, TOPIC_CHARS_MAX};
use squall_protocol::{Destination, MessageId, SendId};

use super::answer::{Answer, ApiError};
use super::as_of;
use super::call::Call;
use super::narrow::{self, stream_ref, user_refs, user_refs_in};
use super::render::{self, Wanted};
use crate::change::{Change, Outcome, Request};
use crate::secret::random_send_id;
use crate::store::{Anchor, HistoryQuery, StreamRef};

/// The most messages in one answer (Zulip: 5,000).
const MESSAGES_MAX: usize = 5_000;

/// What Zulip calls the place after all messages.
const ANCHOR_NEWEST: u64 = 10_000_000_000_000_000;

const _: () = assert!(ANCHOR_NEWEST > ID_MAX);

/// `POST messages`
pub(super) async fn send(call: Call) -> Result<Answer, ApiError> {
    let named_id = send_id(&call)?;
    // What the official bindings say when they try again, and name no id.
    let resent = named_id.is_none() && call.params.flag("dont_block", false)?;
    let send_id = named_id.unwrap_or_else(random_send_id);
    let content = content(call.params.required("content")?)?;
    let kind = call.params.required("type")?;
    let to = call.params.required("to")?;
    call.params.accept(&["read_by_sender", "dont_block", "client"]);
    let to = match kind {
        "stream" | "channel" => stream_destination(&call, to).await?,
        "direct" | "private" => direct_destination(&call, to).await?,
        _ => return Err(ApiError::invalid("type", "is not stream, channel, direct or private")),
    };
    let (sender_id, to_store) = (call.user_id(), to.clone());
    let change = if resent {
        Change::Resend { sender_id, send_id: send_id.clone(), to: to_store, content }
    } else {
        Change::Send { sender_id, send_id: send_id.clone(), to: to_store, content }
    };
    match call.writer.apply_one(Request { realm_id: call.realm_id(), change }).await {
        Outcome::Sent { message_id, sequence } => {
            let mut answer = Answer::new(json!({ "id": message_id, "sequence": sequence }));
            if !resent {
                answer.0.insert("send_id".into(), json!(send_id));
            }
            Ok(answer)
        }
        Outcome::Refused(refusal) => Err(refused(refusal, &to)),
        Outcome::Done { .. }
        | Outcome::Entered(_)
        | Outcome::UsersCreated(_)
        | Outcome::StreamCreated(_)
        | Outcome::Unchanged
        | Outcome::NoMessage => Err(ApiError::bad("not sent")),
    }
}

/// `queue_id:local_id` as Zulip's clients give them, or our own `send_id`; none if there is neither.
fn send_id(call: &Call) -> Result<Option<SendId>, ApiError> {
    let own = call.params.text("send_id");
    let of_queue = call.params.text("queue_id").zip(call.params.text("local_id"));
    let (name, raw) = match (own, of_queue) {
        (Some(own), _) => ("send_id", own.to_owned()),
        (None, Some((queue_id, local_id))) => ("local_id", squall_zulip::sends::send_id(queue_id, local_id)),
        (None, None) => return Ok(None),
    };
    SendId::parse(raw).map(Some).map_err(|error| ApiError::invalid(name, &format!("is no good: {error}")))
}

/// As Zulip does: cut at the limit rather than refused.
fn content(raw: &str) -> Result<String, ApiError> {
    let text = raw.trim_end();
    if text.is_empty() {
        return Err(ApiError::bad("Message must not be empty"));
    }
    if text.contains('\0') {
        return Err(ApiError::bad("Message must not contain null bytes"));
    }
    Ok(cut(text, CONTENT_CHARS_MAX, "\n[message truncated]"))
}

fn cut(text: &str, chars_max: usize, mark: &str) -> String {
    if text.len() <= chars_max || text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let kept: String = text.chars().take(chars_max - mark.chars().count()).collect();
    kept + mark
}

/// A name or an id, perhaps in JSON, perhaps alone in a list.
async fn stream_destination(call: &Call, to: &str) -> Result<Destination, ApiError> {
    let topic = call.params.text("topic").or_else(|| call.params.text("subject"));
    let topic = topic.ok_or_else(|| ApiError::missing("topic"))?.trim();
    if topic.is_empty() {
        return Err(ApiError::bad("Topic can't be empty!"));
    }
    let stream = match serde_json::from_str::<Value>(to) {
        Ok(Value::Array(values)) => match values.as_slice() {
            [one] => stream_ref(one),
            _ => return Err(ApiError::bad("Expected exactly one channel")),
        },
        Ok(value @ (Value::String(_) | Value::Number(_))) => stream_ref(&value),
        // A name that happens to be JSON, or is none.
        Ok(Value::Null | Value::Bool(_) | Value::Object(_)) | Err(_) => Some(StreamRef::Name(to.to_owned())),
    };
    let stream = stream.ok_or_else(|| ApiError::bad("Invalid data type for channel"))?;
    let stream_id = call.stream(&stream).await?.stream.stream_id;
    Ok(Destination::Stream { stream_id, topic: cut(topic, TOPIC_CHARS_MAX, "...") })
}

/// A JSON list of ids or addresses, or addresses with commas.
async fn direct_destination(call: &Call, to: &str) -> Result<Destination, ApiError> {
    let users = match serde_json::from_str::<Value>(to) {
        Ok(value) => user_refs(&value).ok_or_else(|| ApiError::bad("Invalid data type for recipients"))?,
        Err(_) => user_refs_in(to),
    };
    if users.is_empty() {
        return Err(ApiError::bad("Message must have recipients"));
    }
    Ok(Destination::Direct { user_ids: call.user_ids(users).await? })
}

fn refused(refusal: squall_protocol::link::Refusal, to: &Destination) -> ApiError {
    match (refusal.code, to) {
        (squall_protocol::link::RefusalCode::UnknownStream, Destination::Stream { stream_id, .. }) => {
            ApiError::unknown_stream_id(*stream_id)
        }
        _ => refusal.into(),
    }
}

/// `GET messages`
pub(super) async fn fetch(call: Call) -> Result<Answer, ApiError> {
    let anchor = anchor(&call)?;
    let num_before = count(&call, "num_before")?;
    let num_after = count(&call, "num_after")?;
    if num_before + num_after > MESSAGES_MAX {
        return Err(ApiError::bad(format!("Too many messages requested (maximum {MESSAGES_MAX}).")));
    }
    let include_anchor = call.params.flag("include_anchor", true)?;
    let wanted = Wanted {
        html: call.params.flag("apply_markdown", true)?,
        client_gravatar: call.params.flag("client_gravatar", true)?,
    };
    call.params.accept(&["allow_empty_topic_name"]);
    let narrow = narrow::read(&call).await?;
    let query = HistoryQuery {
        realm_id: call.realm_id(),
        viewer: call.user_id(),
        narrow,
        anchor,
        num_before,
        num_after,
        include_anchor,
    };
    let found = call.writer.store().history(query).await?;
    let page = &found.value;
    let messages = page.messages.iter().map(|message| render::message(message, page, wanted));
    Ok(Answer::new(json!({
        "messages": messages.collect::<Vec<_>>(),
        "anchor": match anchor {
            Anchor::Oldest => 0,
            Anchor::At(message_id) => message_id.0,
            Anchor::Newest => ANCHOR_NEWEST,
            Anchor::FirstUnread => page.anchor.map_or(ANCHOR_NEWEST, |message_id| message_id.0),
        },
        "found_anchor": page.found_anchor,
        "found_oldest": page.found_oldest,
        "found_newest": page.found_newest,
        "history_limited": false,
        "as_of": as_of(found.as_of),
    })))
}

/// A number, or a word; there is no read state yet, so the first unread is after all.
fn anchor(call: &Call) -> Result<Anchor, ApiError> {
    if call.params.flag("use_first_unread_anchor", false)? {
        call.params.accept(&["anchor"]);
        return Ok(Anchor::Newest);
    }
    match call.params.required("anchor")? {
        "newest" | "first_unread" => Ok(Anchor::Newest),
        "oldest" => Ok(Anchor::Oldest),
        number => {
            let number: i64 =
                number.parse().map_err(|_| ApiError::invalid("anchor", "is not a message ID"))?;
            Ok(match u64::try_from(number) {
                Err(_) | Ok(0) => Anchor::Oldest,
                Ok(id) => MessageId::try_from(id).map_or(Anchor::Newest, Anchor::At),
            })
        }
    }
}

fn count(call: &Call, name: &'static str) -> Result<usize, ApiError> {
    call.params.required(name)?;
    let count: Option<u32> = call.params.json(name, "a number from 0 on")?;
    Ok(count.unwrap_or(0) as usize)
}
