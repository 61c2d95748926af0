//! A user's settings, as they are for whoever set nothing.

use serde_json::{Value, json};

/// All of them: the object `user_settings`.
pub(super) fn all() -> Value {
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
pub(super) fn display() -> Value {
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
pub(super) fn notifications() -> Value {
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
