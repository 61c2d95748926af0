//! A user's settings: Zulip's names, and what they are for whoever set nothing.

use serde_json::{Map, Value, json};

use crate::answer::Answer;

/// Which of Zulip's older parts of the state a setting is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `update_display_settings`
    Display,
    /// `update_global_notifications`
    Notifications,
    /// Only in `user_settings`.
    Other,
}

/// A user's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings(Map<String, Value>);

impl Settings {
    /// Those of a user who set these, by name and as JSON.
    pub fn of<'a>(set: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut all = Answer::new(all()).0;
        for (name, value) in set {
            if let (Some(known), Ok(value)) = (all.get_mut(name), serde_json::from_str(value)) {
                *known = value;
            }
        }
        Self(all)
    }

    /// All of them: the object `user_settings`.
    #[must_use]
    pub fn all(&self) -> Value {
        self.0.clone().into()
    }

    /// Those of an older part of the state.
    #[must_use]
    pub fn part(&self, part: Part) -> Value {
        self.0
            .iter()
            .filter(|(name, _)| part_of(name) == Some(part))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect::<Map<_, _>>()
            .into()
    }
}

/// Where the setting of this name belongs; none if there is no such.
#[must_use]
pub fn part_of(name: &str) -> Option<Part> {
    let has = |part: Value| part.get(name).is_some();
    if has(display()) {
        Some(Part::Display)
    } else if has(notifications()) {
        Some(Part::Notifications)
    } else {
        has(all()).then_some(Part::Other)
    }
}

/// Whether a setting of this name may be `value`: of the kind it has by default.
#[must_use]
pub fn may_be(name: &str, value: &Value) -> bool {
    all().get(name).is_some_and(|default| std::mem::discriminant(default) == std::mem::discriminant(value))
}

/// All of them.
fn all() -> Value {
    let (Value::Object(mut all), Value::Object(notifications)) = (display(), notifications()) else {
        return Value::Null;
    };
    all.extend(notifications);
    for (name, value) in [
        ("send_private_typing_notifications", json!(true)),
        ("send_stream_typing_notifications", json!(true)),
        ("send_read_receipts", json!(false)),
        ("presence_enabled", json!(true)),
        ("user_list_style", json!(2)),
        ("email_address_visibility", json!(1)),
        ("web_mark_read_on_scroll_policy", json!(1)),
        ("web_channel_default_view", json!(1)),
        ("web_stream_unreads_count_display_policy", json!(2)),
        ("web_navigate_to_sent_message", json!(true)),
        ("web_escape_navigates_to_home_view", json!(true)),
        ("web_home_view", json!("recent_topics")),
        ("allow_private_data_export", json!(false)),
    ] {
        all.insert(name.into(), value);
    }
    all.into()
}

/// The older part `update_display_settings`.
fn display() -> Value {
    json!({
        "color_scheme": 1,
        "default_language": "en",
        "demote_inactive_streams": 1,
        "dense_mode": false,
        "display_emoji_reaction_users": true,
        "emojiset": "google",
        "enter_sends": false,
        "fluid_layout_width": false,
        "high_contrast_mode": false,
        "left_side_userlist": false,
        "starred_message_counts": true,
        "timezone": "",
        "translate_emoticons": false,
        "twenty_four_hour_time": true,
    })
}

/// The older part `update_global_notifications`.
fn notifications() -> Value {
    json!({
        "automatically_follow_topics_policy": 4,
        "automatically_follow_topics_where_mentioned": false,
        "automatically_unmute_topics_in_muted_streams_policy": 4,
        "desktop_icon_count_display": 1,
        "email_notifications_batching_period_seconds": 120,
        "enable_desktop_notifications": true,
        "enable_digest_emails": false,
        "enable_followed_topic_audible_notifications": true,
        "enable_followed_topic_desktop_notifications": true,
        "enable_followed_topic_email_notifications": false,
        "enable_followed_topic_push_notifications": false,
        "enable_followed_topic_wildcard_mentions_notify": true,
        "enable_login_emails": false,
        "enable_marketing_emails": false,
        "enable_offline_email_notifications": false,
        "enable_offline_push_notifications": false,
        "enable_online_push_notifications": false,
        "enable_sounds": true,
        "enable_stream_audible_notifications": false,
        "enable_stream_desktop_notifications": false,
        "enable_stream_email_notifications": false,
        "enable_stream_push_notifications": false,
        "message_content_in_email_notifications": true,
        "notification_sound": "zulip",
        "pm_content_in_desktop_notifications": true,
        "presence_enabled": true,
        "realm_name_in_email_notifications_policy": 1,
        "wildcard_mentions_notify": true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_is_found_in_its_parts() {
        let settings =
            Settings::of([("twenty_four_hour_time", "false"), ("no_such", "1"), ("emojiset", "{")]);
        assert_eq!(settings.all()["twenty_four_hour_time"], false);
        assert_eq!(settings.all()["emojiset"], "google", "what can't be read is as by default");
        assert!(settings.all().get("no_such").is_none());
        assert_eq!(settings.part(Part::Display)["twenty_four_hour_time"], false);
        assert!(settings.part(Part::Notifications).get("twenty_four_hour_time").is_none());
        assert_eq!(settings.part(Part::Notifications)["enable_sounds"], true);
        assert_eq!(part_of("send_private_typing_notifications"), Some(Part::Other));
        assert_eq!(part_of("no_such"), None);
        assert!(may_be("enable_sounds", &json!(false)) && !may_be("enable_sounds", &json!("no")));
    }
}
