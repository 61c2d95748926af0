//! Who may see an event, before realm state is asked.

use serde::{Deserialize, Serialize};

use crate::ids::{StreamId, UserId};

/// A closed set: the union of its parts, each read from the realm's state as of the event's sequence.
/// A field that a reader does not know makes the whole unreadable, and an unreadable audience is nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audience {
    /// Every user of the realm.
    pub realm: bool,
    /// Every user of the realm who is no guest.
    pub regulars: bool,
    /// Every administrator of the realm.
    pub admins: bool,
    /// The members of these streams.
    pub streams: Vec<StreamId>,
    /// These users.
    pub users: Vec<UserId>,
}

impl Audience {
    /// Every user of the realm.
    #[must_use]
    pub fn realm() -> Self {
        Self { realm: true, ..Self::default() }
    }

    /// Every user of the realm who is no guest.
    #[must_use]
    pub fn regulars() -> Self {
        Self { regulars: true, ..Self::default() }
    }

    /// The members of `stream`.
    #[must_use]
    pub fn members(stream: StreamId) -> Self {
        Self { streams: vec![stream], ..Self::default() }
    }

    /// Just these users.
    #[must_use]
    pub fn users(users: Vec<UserId>) -> Self {
        Self { users, ..Self::default() }
    }

    /// These users as well: a membership change includes its subjects.
    #[must_use]
    pub fn and_users(mut self, users: impl IntoIterator<Item = UserId>) -> Self {
        self.users.extend(users);
        self
    }
}
