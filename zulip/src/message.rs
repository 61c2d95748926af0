//! Messages as objects.

use serde_json::{Map, Value, json};
use squall_protocol::event::{Message, User};
use squall_protocol::{Destination, UserId};

use crate::answer::Answer;
use crate::markdown::{self, Mentions, Rendered};
use crate::names::Names;
use crate::people::gravatar;

/// What every reader of a message sees alike: all but flags, reactions and the sender's picture.
#[must_use]
pub fn shared(message: &Message, names: &dyn Names, html: bool) -> (Map<String, Value>, Mentions) {
    let Message { message_id, sender_id, timestamp, to, content, send_id: _ } = message;
    let sender = names.user(*sender_id);
    let (content, mentions) = if html {
        let Rendered { html, mentions } = markdown::render(content, names);
        (html, mentions)
    } else {
        (content.clone(), markdown::mentions(content, names))
    };
    let object = json!({
        "id": message_id,
        "sender_id": sender_id,
        "sender_email": sender.map(|user| &user.email),
        "sender_full_name": sender.map(|user| &user.full_name),
        "sender_realm_str": "",
        "timestamp": timestamp,
        "content": content,
        "content_type": if html { "text/html" } else { "text/x-markdown" },
        "is_me_message": message.content.starts_with("/me "),
        "client": "Squall",
        "submessages": [],
        "topic_links": [],
    });
    let mut object = Answer::new(object).0;
    object.extend(Answer::new(recipient(to, names)).0);
    (object, mentions)
}

/// The sender's picture: none for clients that compute it.
#[must_use]
pub fn avatar(sender_id: UserId, names: &dyn Names, client_gravatar: bool) -> Value {
    let sender = names.user(sender_id).filter(|_| !client_gravatar);
    sender.map_or(Value::Null, |sender| gravatar(&sender.email).into())
}

fn recipient(to: &Destination, names: &dyn Names) -> Value {
    match to {
        Destination::Stream { stream_id, topic } => json!({
            "type": "stream",
            "stream_id": stream_id,
            "display_recipient": names.stream(*stream_id).map(|stream| &stream.name),
            "subject": topic,
            // Streams and conversations count apart; even and odd keep them so.
            "recipient_id": 2 * stream_id.0,
        }),
        Destination::Direct { user_ids } => json!({
            "type": "private",
            "display_recipient":
                user_ids.iter().filter_map(|user_id| names.user(*user_id)).map(person).collect::<Vec<_>>(),
            "subject": "",
            "recipient_id": conversation_number(user_ids),
        }),
    }
}

/// A user of a direct message.
fn person(user: &User) -> Value {
    let User { user_id, email, full_name, .. } = user;
    json!({ "id": user_id, "email": email, "full_name": full_name, "is_mirror_dummy": false })
}

/// A number that is the same for the same users and hardly for others (FNV-1a, cut to 52 bits, odd).
fn conversation_number(user_ids: &[UserId]) -> u64 {
    let bytes = user_ids.iter().flat_map(|user_id| user_id.0.to_le_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash >> 12) | 1
}
