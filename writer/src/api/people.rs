//! `users`, `users/me`, `users/{id}`.

use serde_json::{Value, json};
use squall_protocol::UserId;
use squall_zulip::people::user;

use super::answer::{Answer, ApiError};
use super::as_of;
use super::call::Call;

/// `GET users`
pub(super) async fn all(call: Call) -> Result<Answer, ApiError> {
    call.params.accept(&["client_gravatar", "include_custom_profile_fields"]);
    let users = call.writer.store().users(call.realm_id()).await?;
    let members: Vec<Value> = users.value.iter().map(user).collect();
    Ok(Answer::new(json!({ "members": members, "as_of": as_of(users.as_of) })))
}

/// `GET users/me`
pub(super) async fn own(call: Call) -> Result<Answer, ApiError> {
    let mut answer = Answer::new(user(&call.caller.user));
    answer.0.insert("as_of".into(), as_of(call.as_of()));
    Ok(answer)
}

/// `GET users/{id}`
pub(super) async fn one(call: Call) -> Result<Answer, ApiError> {
    call.params.accept(&["client_gravatar", "include_custom_profile_fields"]);
    let unknown = || ApiError::bad("No such user");
    let wanted = call.path.get("user_id").and_then(|raw| raw.parse().ok()).map(UserId).ok_or_else(unknown)?;
    let users = call.writer.store().users_by_id(call.realm_id(), vec![wanted]).await?;
    let found = users.value.first().and_then(Option::as_ref).ok_or_else(unknown)?;
    Ok(Answer::new(json!({ "user": user(found), "as_of": as_of(users.as_of) })))
}
