//! Who is called what: messages and events name users and streams by id, Zulip's objects by name as well.

use std::collections::HashMap;

use squall_protocol::event::{Stream, User};
use squall_protocol::{StreamId, UserId};

/// What Zulip's objects need to know of users and streams.
pub trait Names {
    /// The user, if it is of the realm.
    fn user(&self, user_id: UserId) -> Option<&User>;

    /// The stream, if it is of the realm.
    fn stream(&self, stream_id: StreamId) -> Option<&Stream>;

    /// The active user who is called so, for a mention; none if several are.
    fn user_called(&self, full_name: &str) -> Option<&User>;

    /// The stream that is called so, for a link.
    fn stream_called(&self, name: &str) -> Option<&Stream>;
}

/// A realm as its events are told.
pub trait Realm: Names {
    /// The stream's members, ascending.
    fn members(&self, stream_id: StreamId) -> Vec<UserId>;
}

/// Those that a page of messages names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct KnownNames {
    /// Users by id.
    pub users: HashMap<UserId, User>,
    /// Streams by id.
    pub streams: HashMap<StreamId, Stream>,
}

impl Names for KnownNames {
    fn user(&self, user_id: UserId) -> Option<&User> {
        self.users.get(&user_id)
    }

    fn stream(&self, stream_id: StreamId) -> Option<&Stream> {
        self.streams.get(&stream_id)
    }

    fn user_called(&self, full_name: &str) -> Option<&User> {
        only(self.users.values().filter(|user| is_called(user, full_name)))
    }

    fn stream_called(&self, name: &str) -> Option<&Stream> {
        self.streams.values().find(|stream| key(&stream.name) == key(name))
    }
}

/// Whether a mention of `full_name` may mean this user: names are mentioned as they are written.
#[must_use]
pub fn is_called(user: &User, full_name: &str) -> bool {
    user.is_active && user.full_name == full_name
}

/// The only one there is.
pub fn only<T>(mut found: impl Iterator<Item = T>) -> Option<T> {
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// What names are compared by.
#[must_use]
pub fn key(name: &str) -> String {
    name.to_lowercase()
}
