//! What is the listener's own: flags, topics, settings.

use serde_json::{Value, json};
use squall_protocol::MessageId;
use squall_protocol::event::{Flag, MessageFlags, SubscriptionSetting, TopicPolicy, UserSetting};

use super::{EventList, Listener};
use crate::event_id::EventId;
use crate::queue::EventType;
use crate::settings::{Part, part_of};

/// Whether flags are put on or taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FlagOp {
    Add,
    Remove,
}

/// The last event of a list, which is of flags.
#[derive(Debug)]
pub(super) struct LastFlags {
    op: FlagOp,
    flag: Flag,
    message_ids: Vec<MessageId>,
    /// How long the list was before it.
    before: usize,
}

/// Zulip's word for a flag.
#[must_use]
pub fn flag_name(flag: Flag) -> &'static str {
    match flag {
        Flag::Read => "read",
        Flag::Starred => "starred",
    }
}

impl Listener<'_> {
    /// Flags of the same kind, one after the other, are one event: a client that marks as it scrolls makes many.
    pub(super) fn flags(&self, op: FlagOp, flags: &MessageFlags, id: EventId, list: &mut EventList) {
        if !self.wants(EventType::UpdateMessageFlags) {
            return;
        }
        let MessageFlags { flag, message_ids, .. } = flags;
        let is_marking_unread = op == FlagOp::Remove && *flag == Flag::Read;
        let mut all = Vec::new();
        if let Some(last) =
            list.flags.take_if(|last| last.op == op && last.flag == *flag && !is_marking_unread)
        {
            all = last.message_ids;
            list.json.truncate(last.before);
            list.count -= 1;
        }
        all.extend(message_ids);
        let before = list.json.len();
        let word = match op {
            FlagOp::Add => "add",
            FlagOp::Remove => "remove",
        };
        let event = json!({
            "type": "update_message_flags",
            "op": word,
            "operation": word,
            "flag": flag_name(*flag),
            "messages": all,
            "all": false,
        });
        list.push(id, &event);
        list.flags = Some(LastFlags { op, flag: *flag, message_ids: all, before });
    }

    pub(super) fn topic_policy(&self, policy: &TopicPolicy, id: EventId, list: &mut EventList) {
        let TopicPolicy { stream_id, topic, policy, timestamp, .. } = policy;
        let event = json!({
            "type": "user_topic",
            "stream_id": stream_id,
            "topic_name": topic,
            "visibility_policy": policy,
            "last_updated": timestamp,
        });
        self.tell(EventType::UserTopic, id, &event, list);
    }

    /// Muting has an older name, by which some clients know it.
    pub(super) fn subscription_set(&self, setting: &SubscriptionSetting, id: EventId, list: &mut EventList) {
        let SubscriptionSetting { stream_id, name, value, .. } = setting;
        let value: Value = serde_json::from_str(value).unwrap_or_default();
        let mut tell = |name: &str, value: &Value| {
            let event = json!({
                "type": "subscription",
                "op": "update",
                "stream_id": stream_id,
                "property": name,
                "value": value,
            });
            self.tell(EventType::Subscription, id, &event, list);
        };
        tell(name, &value);
        if name == "is_muted" {
            tell("in_home_view", &json!(value != true));
        }
    }

    /// In all the forms that Zulip has had for it.
    pub(super) fn setting_set(&self, setting: &UserSetting, id: EventId, list: &mut EventList) {
        let UserSetting { name, value, .. } = setting;
        let value: Value = serde_json::from_str(value).unwrap_or_default();
        let event = json!({ "type": "user_settings", "op": "update", "property": name, "value": value });
        self.tell(EventType::UserSettings, id, &event, list);
        let user = self.realm.user(self.viewer).map(|user| &user.email);
        match part_of(name) {
            Some(Part::Display) => {
                let event = json!({
                    "type": "update_display_settings",
                    "setting_name": name,
                    "setting": value,
                    "user": user,
                });
                self.tell(EventType::UpdateDisplaySettings, id, &event, list);
            }
            Some(Part::Notifications) => {
                let event = json!({
                    "type": "update_global_notifications",
                    "notification_name": name,
                    "setting": value,
                    "user": user,
                });
                self.tell(EventType::UpdateGlobalNotifications, id, &event, list);
            }
            Some(Part::Other) | None => {}
        }
    }
}
