//! Streams and subscriptions as objects.

use serde_json::{Map, Value, json};
use squall_protocol::UserId;
use squall_protocol::event::Stream;

use crate::answer::Answer;
use crate::markdown::render;
use crate::names::KnownNames;

/// A stream object: what `streams`, subscriptions and `stream` events share.
#[must_use]
pub fn stream(stream: &Stream, created_s: Option<u64>) -> Map<String, Value> {
    let Stream { stream_id, name, description, invite_only } = stream;
    let object = json!({
        "stream_id": stream_id,
        "name": name,
        "description": description,
        "rendered_description": render(description, &KnownNames::default()).html,
        "invite_only": invite_only,
        "is_web_public": false,
        "history_public_to_subscribers": !invite_only,
        // Events don't say when a stream was made.
        "date_created": created_s.unwrap_or(0),
        "creator_id": null,
        "stream_post_policy": 1,
        "message_retention_days": null,
        "first_message_id": null,
        "stream_weekly_traffic": null,
        "is_announcement_only": false,
        "is_archived": false,
        "is_recently_active": true,
    });
    Answer::new(object).0
}

/// What is a user's own of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preferences {
    /// `#rrggbb`
    pub color: String,
    /// Shown first.
    pub pin_to_top: bool,
    /// Not counted among what is unread.
    pub is_muted: bool,
    /// None: as the user's settings say.
    pub desktop_notifications: Option<bool>,
    /// None: as the user's settings say.
    pub audible_notifications: Option<bool>,
    /// None: as the user's settings say.
    pub push_notifications: Option<bool>,
    /// None: as the user's settings say.
    pub email_notifications: Option<bool>,
    /// None: as the user's settings say.
    pub wildcard_mentions_notify: Option<bool>,
}

/// Zulip's first colours, by stream.
const COLORS: [&str; 8] =
    ["#76ce90", "#fae589", "#a6c7e5", "#e79ab5", "#bfd56f", "#f4ae55", "#b0a5fd", "#addfe5"];

impl Preferences {
    /// Those of a stream of which the user has said nothing.
    #[must_use]
    pub fn of(stream: &Stream) -> Self {
        let color = COLORS[(stream.stream_id.0 % COLORS.len() as u64) as usize];
        Self {
            color: color.to_owned(),
            pin_to_top: false,
            is_muted: false,
            desktop_notifications: None,
            audible_notifications: None,
            push_notifications: None,
            email_notifications: None,
            wildcard_mentions_notify: None,
        }
    }

    /// With what the user said, by Zulip's names of it; false if there is no such, or it may not be that.
    pub fn set(&mut self, name: &str, value: &Value) -> bool {
        let three = |to: &mut Option<bool>| match value {
            Value::Null => Some(*to = None),
            Value::Bool(value) => Some(*to = Some(*value)),
            Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
        };
        let two = |to: &mut bool, is: bool| value.as_bool().map(|value| *to = value == is);
        let done = match name {
            "color" => value.as_str().filter(|color| is_color(color)).map(|color| {
                color.clone_into(&mut self.color);
            }),
            "pin_to_top" => two(&mut self.pin_to_top, true),
            "is_muted" => two(&mut self.is_muted, true),
            "in_home_view" => two(&mut self.is_muted, false),
            "desktop_notifications" => three(&mut self.desktop_notifications),
            "audible_notifications" => three(&mut self.audible_notifications),
            "push_notifications" => three(&mut self.push_notifications),
            "email_notifications" => three(&mut self.email_notifications),
            "wildcard_mentions_notify" => three(&mut self.wildcard_mentions_notify),
            _ => None,
        };
        done.is_some()
    }
}

/// `#rrggbb`, or `#rgb`.
fn is_color(text: &str) -> bool {
    let digits = text.strip_prefix('#').unwrap_or_default();
    matches!(digits.len(), 3 | 6) && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// A subscription object: a stream with what is the user's own of it, and with its members if they are told.
#[must_use]
pub fn subscription(
    stream: Map<String, Value>,
    preferences: &Preferences,
    subscribers: Option<&[UserId]>,
) -> Value {
    let Preferences {
        color,
        pin_to_top,
        is_muted,
        desktop_notifications,
        audible_notifications,
        push_notifications,
        email_notifications,
        wildcard_mentions_notify,
    } = preferences;
    let mut object = stream;
    let own = json!({
        "color": color,
        "pin_to_top": pin_to_top,
        "is_muted": is_muted,
        "in_home_view": !is_muted,
        "desktop_notifications": desktop_notifications,
        "audible_notifications": audible_notifications,
        "push_notifications": push_notifications,
        "email_notifications": email_notifications,
        "wildcard_mentions_notify": wildcard_mentions_notify,
        "email_address": "",
    });
    object.extend(Answer::new(own).0);
    if let Some(subscribers) = subscribers {
        object.insert("subscribers".into(), json!(subscribers));
    }
    object.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_is_as_its_user_said() {
        let stream = Stream {
            stream_id: squall_protocol::StreamId(3),
            name: "x".into(),
            description: String::new(),
            invite_only: false,
        };
        let mut preferences = Preferences::of(&stream);
        assert!(
            preferences.set("color", &json!("#c2c2c2")) && preferences.set("in_home_view", &json!(false))
        );
        assert!(preferences.is_muted && preferences.color == "#c2c2c2");
        assert!(preferences.set("is_muted", &json!(false)) && !preferences.is_muted);
        assert!(preferences.set("push_notifications", &json!(true)));
        assert!(preferences.set("push_notifications", &Value::Null));
        assert_eq!(preferences.push_notifications, None);
        for (name, value) in [
            ("color", json!("red")),
            ("color", json!("#12345g")),
            ("pin_to_top", json!(1)),
            ("email_notifications", json!("yes")),
            ("no_such", json!(true)),
        ] {
            assert!(!preferences.set(name, &value), "{name} {value}");
        }
    }
}
