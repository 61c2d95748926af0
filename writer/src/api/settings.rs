//! `server_settings`: what a client asks before it has credentials.

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use serde_json::json;
use squall_zulip::{ZULIP_FEATURE_LEVEL, ZULIP_VERSION};

use super::answer::{Answer, failure, response};
use crate::Writer;

/// `GET server_settings`: open to all. The realm is named if there is just one: a key names its realm, an
/// address does not.
pub(super) async fn server_settings(State(writer): State<Writer>, headers: HeaderMap) -> Response {
    let realms = match writer.store().realms().await {
        Ok(realms) => realms,
        Err(error) => return failure(error.into()),
    };
    let realm = match realms.as_slice() {
        [only] => only.name.as_str(),
        _ => "Squall",
    };
    let url = url(&writer, &headers);
    let settings = json!({
        "zulip_version": ZULIP_VERSION,
        "zulip_feature_level": ZULIP_FEATURE_LEVEL,
        "zulip_merge_base": ZULIP_VERSION,
        "push_notifications_enabled": false,
        "is_incompatible": false,
        "email_auth_enabled": false,
        "require_email_format_usernames": true,
        "realm_url": url,
        "realm_uri": url,
        "realm_name": realm,
        "realm_icon": "",
        "realm_description": "",
        "realm_web_public_access_enabled": false,
        "authentication_methods": {},
        "external_authentication_methods": [],
    });
    response(Answer::new(settings).into_response(&[]))
}

fn url(writer: &Writer, headers: &HeaderMap) -> String {
    if let Some(url) = &writer.config().public_url {
        return url.trim_end_matches('/').to_owned();
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    format!("http://{}", host.unwrap_or("localhost"))
}
