//! What is for the moment, or is state: typing and presence.

use serde_json::{Value, json};
use squall_protocol::client_message::TypingOp;
use squall_protocol::{Destination, UserId};

use super::{EventList, Listener};
use crate::event_id::EventId;
use crate::presence::Shown;
use crate::queue::EventType;

/// Adds that `sender` is typing, or stopped, to the events of a queue that wants to know.
pub fn typing(
    listener: &Listener<'_>,
    op: TypingOp,
    sender: UserId,
    to: &Destination,
    id: EventId,
    list: &mut EventList,
) {
    if !listener.wants(EventType::Typing) {
        return;
    }
    let person = |user_id: UserId| {
        let email = listener.realm.user(user_id).map(|user| &user.email);
        json!({ "user_id": user_id, "email": email })
    };
    let op = match op {
        TypingOp::Start => "start",
        TypingOp::Stop => "stop",
    };
    let event = match to {
        Destination::Direct { user_ids } => json!({
            "type": "typing",
            "op": op,
            "message_type": "direct",
            "sender": person(sender),
            "recipients": user_ids.iter().copied().map(person).collect::<Vec<_>>(),
        }),
        Destination::Stream { stream_id, topic } if listener.options.stream_typing => json!({
            "type": "typing",
            "op": op,
            "message_type": "stream",
            "sender": person(sender),
            "stream_id": stream_id,
            "topic": topic,
        }),
        Destination::Stream { .. } => return,
    };
    list.push(id, &event);
}

/// Adds what changed in presence, as of `now_ms`.
pub fn presence(listener: &Listener<'_>, shown: &[Shown], now_ms: u64, id: EventId, list: &mut EventList) {
    if !listener.wants(EventType::Presence) || shown.is_empty() {
        return;
    }
    if listener.options.simplified_presence {
        let presences = crate::presence::modern(shown.iter().copied());
        return list.push(id, &json!({ "type": "presence", "presences": presences }));
    }
    let server_timestamp = now_ms as f64 / 1000.0;
    for shown in shown {
        let Some(user) = listener.realm.user(shown.user_id) else { continue };
        let mut presence = shown.legacy();
        if let Value::Object(clients) = &mut presence {
            clients.remove("aggregated");
        }
        let mut event = json!({
            "type": "presence",
            "user_id": shown.user_id,
            "server_timestamp": server_timestamp,
            "presence": presence,
        });
        if !listener.options.slim_presence {
            event["email"] = user.email.clone().into();
        }
        list.push(id, &event);
    }
}
