//! How values are written in columns, in every database.

use squall_protocol::event::{ReactionType, Role};
use squall_protocol::{StreamId, UserId};
use squall_zulip::events::type_name;

use crate::text;

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

/// The kind of an emoji as `reactions.reaction_type` has it.
pub(super) fn reaction_type_name(kind: ReactionType) -> &'static str {
    type_name(kind)
}

/// The kind that `reactions.reaction_type` names.
pub(super) fn reaction_type_named(name: &str) -> Option<ReactionType> {
    let kinds = [ReactionType::UnicodeEmoji, ReactionType::RealmEmoji, ReactionType::ZulipExtraEmoji];
    kinds.into_iter().find(|kind| type_name(*kind) == name)
}

/// A topic as `read_markers.place` has it: what the clause `place` makes of its messages.
pub(super) fn topic_place(stream_id: StreamId, topic: &str) -> String {
    format!("{stream_id}:{}", text::key(topic))
}
