//! Users as objects.

use data_encoding::HEXLOWER;
use md5::{Digest as _, Md5};
use serde_json::{Value, json};
use squall_protocol::event::{Role, User};

/// A user object of `users`, `realm_users` and `realm_user` events.
#[must_use]
pub fn user(user: &User) -> Value {
    let User { user_id, email, full_name, role, is_bot, is_active } = user;
    json!({
        "user_id": user_id,
        "email": email,
        "delivery_email": email,
        "full_name": full_name,
        "role": role_number(*role),
        "is_admin": *role == Role::Admin,
        "is_owner": false,
        "is_guest": *role == Role::Guest,
        "is_billing_admin": false,
        "is_bot": is_bot,
        "is_active": is_active,
        "bot_type": is_bot.then_some(1),
        "bot_owner_id": null,
        "avatar_url": null,
        "avatar_version": 1,
        "timezone": "",
        "profile_data": {},
    })
}

/// Zulip's numbers.
#[must_use]
pub fn role_number(role: Role) -> u32 {
    match role {
        Role::Admin => 200,
        Role::Member => 400,
        Role::Guest => 600,
    }
}

/// Where a user's picture is, for clients that don't compute it themselves.
#[must_use]
pub fn gravatar(email: &str) -> String {
    let hash = HEXLOWER.encode(&Md5::digest(email.trim().to_lowercase().as_bytes()));
    format!("https://secure.gravatar.com/avatar/{hash}?d=identicon&version=1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_named_by_the_hash_of_the_address() {
        // The example of Gravatar's own documentation.
        let url = gravatar(" MyEmailAddress@example.com ");
        assert!(url.contains("/avatar/0bc83cb571cd1c50ba6f3e8a78ef1346?"), "{url}");
    }
}
