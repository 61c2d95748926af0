//! How values are written in columns, in every database.

use squall_protocol::UserId;
use squall_protocol::event::Role;

/// A role as `users.role` has it.
pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Admin => "admin",
        Role::Member => "member",
        Role::Guest => "guest",
    }
}

/// The role that `users.role` names.
pub(super) fn role_named(name: &str) -> Option<Role> {
    [Role::Admin, Role::Member, Role::Guest].into_iter().find(|role| role_name(*role) == name)
}

/// A set of users as `conversations.users_key` has it.
pub(super) fn users_key(user_ids: &[UserId]) -> String {
    let ids: Vec<String> = user_ids.iter().map(ToString::to_string).collect();
    ids.join(",")
}

/// The users of a `conversations.users_key`.
pub(super) fn users_of_key(key: &str) -> Option<Vec<UserId>> {
    key.split(',').map(|id| id.parse().map(UserId).ok()).collect()
}
