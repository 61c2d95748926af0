//! A realm's settings: fixed, for there is nothing to set here.

use serde_json::{Value, json};
use squall_protocol::limits::{CONTENT_CHARS_MAX, STREAM_NAME_CHARS_MAX, TOPIC_CHARS_MAX};
use squall_zulip::presence::OFFLINE_THRESHOLD_S;

use crate::api::answer::Answer;
use crate::limits::DESCRIPTION_CHARS_MAX;

/// How long a client waits for a poll before it gives it up.
const LONGPOLL_TIMEOUT_S: u32 = 90;

/// How often clients say that they are here.
const PRESENCE_PING_INTERVAL_S: u32 = 60;

/// The part `realm` of the state.
pub(super) fn fields(name: &str, url: &str) -> Value {
    let parts = [about(name, url.trim_end_matches('/')), policies(), limits(), server()];
    let fields = parts.into_iter().flat_map(|part| Answer::new(part).0);
    Value::Object(fields.collect())
}

fn about(name: &str, url: &str) -> Value {
    json!({
        "realm_name": name,
        "realm_description": "",
        "realm_url": url,
        "realm_uri": url,
        "realm_icon_url": "",
        "realm_icon_source": "G",
        "realm_logo_url": "",
        "realm_logo_source": "D",
        "realm_plan_type": 1,
        "realm_invite_required": true,
        "realm_emails_restricted_to_domains": false,
        "realm_default_language": "en",
    })
}

fn policies() -> Value {
    json!({
        "realm_mandatory_topics": true,
        "realm_topics_policy": "disable_empty_topic",
        "realm_empty_topic_display_name": "general chat",
        "realm_allow_message_editing": true,
        "realm_allow_edit_history": true,
        "realm_message_edit_history_visibility_policy": "all",
        // No limit, as a number: the terminal client compares it.
        "realm_message_content_edit_limit_seconds": 0,
        "realm_move_messages_within_stream_limit_seconds": null,
        "realm_move_messages_between_streams_limit_seconds": null,
        "realm_message_content_delete_limit_seconds": null,
        "realm_message_retention_days": null,
        "realm_presence_disabled": false,
        "realm_send_welcome_emails": false,
        "realm_inline_image_preview": false,
        "realm_inline_url_embed_preview": false,
        "realm_video_chat_provider": 0,
        "realm_avatar_changes_disabled": true,
        "realm_name_changes_disabled": true,
        "realm_email_changes_disabled": true,
        "realm_password_auth_enabled": false,
        "realm_push_notifications_enabled": false,
        "realm_enable_spectator_access": false,
        "realm_enable_read_receipts": false,
        "realm_waiting_period_threshold": 0,
        "realm_default_code_block_language": "",
        "realm_digest_emails_enabled": false,
        "realm_authentication_methods": {},
        "realm_available_video_chat_providers": {},
        "realm_domains": [],
        "realm_filters": [],
    })
}

fn limits() -> Value {
    json!({
        "max_message_length": CONTENT_CHARS_MAX,
        "max_topic_length": TOPIC_CHARS_MAX,
        "max_stream_name_length": STREAM_NAME_CHARS_MAX,
        "max_stream_description_length": DESCRIPTION_CHARS_MAX,
        "max_file_upload_size_mib": 0,
        "max_avatar_file_size_mib": 0,
        "max_icon_file_size_mib": 0,
        "max_logo_file_size_mib": 0,
        "event_queue_longpoll_timeout_seconds": LONGPOLL_TIMEOUT_S,
    })
}

fn server() -> Value {
    json!({
        "server_presence_ping_interval_seconds": PRESENCE_PING_INTERVAL_S,
        "server_presence_offline_threshold_seconds": OFFLINE_THRESHOLD_S,
        "server_typing_started_wait_period_milliseconds": 10_000,
        "server_typing_stopped_wait_period_milliseconds": 5_000,
        "server_typing_started_expiry_period_milliseconds": 15_000,
        "server_generation": 1,
        "server_timestamp": crate::clock::now_s(),
        "server_inline_image_preview": false,
        "server_inline_url_embed_preview": false,
        "server_avatar_changes_disabled": true,
        "server_name_changes_disabled": true,
        "server_needs_upgrade": false,
        "server_web_public_streams_enabled": false,
        "server_emoji_data_url": null,
        "server_jitsi_server_url": null,
        "server_supported_permission_settings": {},
        "password_min_length": 6,
        "password_max_length": 100,
        "jitsi_server_url": null,
        "giphy_api_key": "",
        "zulip_plan_is_not_limited": true,
        "upgrade_text_for_wide_organization_logo": "",
        "development_environment": false,
        "settings_send_digest_emails": false,
    })
}
