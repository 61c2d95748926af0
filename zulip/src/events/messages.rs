//! What happens to messages after they were sent.

use serde_json::{Value, json};
use squall_protocol::Destination;
use squall_protocol::event::{MessageDeletion, MessageEdit, MessageMove, Reaction, ReactionType};

use super::{EventList, Listener};
use crate::event_id::EventId;
use crate::markdown::render;
use crate::queue::EventType;

impl Listener<'_> {
    pub(super) fn message_edited(&self, edit: &MessageEdit, id: EventId, list: &mut EventList) {
        if !self.wants(EventType::UpdateMessage) {
            return;
        }
        let MessageEdit { message_id, actor_id, timestamp, to, content } = edit;
        let rendered = render(content, self.realm);
        let mut event = json!({
            "type": "update_message",
            "user_id": actor_id,
            "rendering_only": false,
            "message_id": message_id,
            "message_ids": [message_id],
            "flags": self.flags_of_known(&rendered.mentions),
            "edit_timestamp": timestamp,
            "content": content,
            "rendered_content": rendered.html,
            "is_me_message": content.starts_with("/me "),
        });
        if let Destination::Stream { stream_id, .. } = to {
            event["stream_id"] = json!(stream_id);
        }
        list.push(id, &event);
    }

    pub(super) fn messages_moved(&self, moved: &MessageMove, id: EventId, list: &mut EventList) {
        let MessageMove { message_ids, actor_id, timestamp, stream_id, topic_before, topic } = moved;
        let event = json!({
            "type": "update_message",
            "user_id": actor_id,
            "rendering_only": false,
            "message_id": message_ids.first(),
            "message_ids": message_ids,
            "flags": ["read"],
            "edit_timestamp": timestamp,
            "stream_id": stream_id,
            "orig_subject": topic_before,
            "subject": topic,
            "topic_links": [],
            "propagate_mode": if message_ids.len() == 1 { "change_one" } else { "change_all" },
        });
        self.tell(EventType::UpdateMessage, id, &event, list);
    }

    /// Clients that know only one at a time get one event for each.
    pub(super) fn messages_deleted(&self, deleted: &MessageDeletion, id: EventId, list: &mut EventList) {
        let MessageDeletion { message_ids, to, .. } = deleted;
        let mut event = json!({ "type": "delete_message" });
        match to {
            Destination::Stream { stream_id, topic } => {
                event["message_type"] = "stream".into();
                event["stream_id"] = json!(stream_id);
                event["topic"] = topic.clone().into();
            }
            Destination::Direct { .. } => event["message_type"] = "private".into(),
        }
        if self.options.bulk_message_deletion {
            event["message_ids"] = json!(message_ids);
            return self.tell(EventType::DeleteMessage, id, &event, list);
        }
        for message_id in message_ids {
            event["message_id"] = json!(message_id);
            self.tell(EventType::DeleteMessage, id, &event, list);
        }
    }

    pub(super) fn reaction(&self, op: &str, reaction: &Reaction, id: EventId, list: &mut EventList) {
        let Reaction { message_id, user_id, emoji_name, emoji_code, reaction_type, .. } = reaction;
        let user = self.realm.user(*user_id);
        let event = json!({
            "type": "reaction",
            "op": op,
            "user_id": user_id,
            "user": {
                "user_id": user_id,
                "email": user.map(|user| &user.email),
                "full_name": user.map(|user| &user.full_name),
                "is_mirror_dummy": false,
            },
            "message_id": message_id,
            "emoji_name": emoji_name,
            "emoji_code": emoji_code,
            "reaction_type": type_name(*reaction_type),
        });
        self.tell(EventType::Reaction, id, &event, list);
    }

    /// The log does not say what the listener has read: who sees a message change has most likely seen it.
    fn flags_of_known(&self, mentions: &crate::markdown::Mentions) -> Value {
        let mut flags = mentions.flags(self.viewer);
        flags.push("read");
        json!(flags)
    }
}

/// Zulip's word.
#[must_use]
pub fn type_name(reaction_type: ReactionType) -> &'static str {
    match reaction_type {
        ReactionType::UnicodeEmoji => "unicode_emoji",
        ReactionType::RealmEmoji => "realm_emoji",
        ReactionType::ZulipExtraEmoji => "zulip_extra_emoji",
    }
}
