//! Messages as Zulip's clients read them.

use serde_json::{Value, json};
use squall_protocol::Destination;
use squall_protocol::event::{Message, User};

use crate::store::{HistoryPage, StoredMessage};

/// A message object of `GET messages`.
pub(super) fn message(stored: &StoredMessage, page: &HistoryPage, html: bool) -> Value {
    let StoredMessage { message, sequence, conversation_id } = stored;
    let Message { message_id, sender_id, timestamp, to, content, send_id } = message;
    let sender = page.users.get(sender_id);
    let mut object = json!({
        "id": message_id,
        "sender_id": sender_id,
        "sender_email": sender.map(|user| &user.email),
        "sender_full_name": sender.map(|user| &user.full_name),
        "sender_realm_str": "",
        "avatar_url": null,
        "timestamp": timestamp,
        "content": if html { paragraphs(content) } else { content.clone() },
        "content_type": if html { "text/html" } else { "text/x-markdown" },
        "is_me_message": content.starts_with("/me "),
        "client": "Squall",
        "flags": [],
        "reactions": [],
        "submessages": [],
        "topic_links": [],
        "send_id": send_id,
        "sequence": sequence,
    });
    let recipient = match to {
        Destination::Stream { stream_id, topic } => json!({
            "type": "stream",
            "stream_id": stream_id,
            "display_recipient": page.streams.get(stream_id).map(|stream| &stream.name),
            "subject": topic,
            // Streams and conversations count apart; even and odd keep them so.
            "recipient_id": 2 * stream_id.0,
        }),
        Destination::Direct { user_ids } => json!({
            "type": "private",
            "display_recipient":
                user_ids.iter().filter_map(|user_id| page.users.get(user_id)).map(recipient).collect::<Vec<_>>(),
            "subject": "",
            "recipient_id": conversation_id.map(|id| 2 * id + 1),
        }),
    };
    if let (Value::Object(object), Value::Object(recipient)) = (&mut object, recipient) {
        object.extend(recipient);
    }
    object
}

fn recipient(user: &User) -> Value {
    let User { user_id, email, full_name, .. } = user;
    json!({ "id": user_id, "email": email, "full_name": full_name, "is_mirror_dummy": false })
}

/// The text as HTML that shows it as it is: no markup of it is followed, none gets through.
pub(super) fn paragraphs(content: &str) -> String {
    let paragraphs = content.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty());
    let paragraphs: Vec<String> =
        paragraphs.map(|paragraph| format!("<p>{}</p>", escape(paragraph).replace('\n', "<br>\n"))).collect();
    paragraphs.join("\n")
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + text.len() / 8);
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_paragraphs_and_never_markup() {
        assert_eq!(paragraphs("one\ntwo\n\n\nthree"), "<p>one<br>\ntwo</p>\n<p>three</p>");
        assert_eq!(
            paragraphs("<script>alert(\"&'\")</script>"),
            "<p>&lt;script&gt;alert(&quot;&amp;&#39;&quot;)&lt;/script&gt;</p>"
        );
    }
}
