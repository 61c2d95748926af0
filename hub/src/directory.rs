//! What users and streams are called, as of one sequence.

use std::sync::Arc;

use imbl::HashMap;
use squall_protocol::event::{Stream, User};
use squall_protocol::{StreamId, UserId};

/// Users and streams as their events tell them, found by id and by name: users by exactly theirs, for several
/// may be called nearly the same; streams without case.
///
/// Cloning is O(1), as of realm state, which it is a part of.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    users: HashMap<UserId, Arc<User>>,
    /// Several users may be called the same.
    users_by_name: HashMap<String, Vec<UserId>>,
    streams: HashMap<StreamId, Arc<Stream>>,
    streams_by_name: HashMap<String, StreamId>,
}

impl Directory {
    /// The user of this id.
    #[must_use]
    pub fn user(&self, user: UserId) -> Option<&User> {
        self.users.get(&user).map(|user| &**user)
    }

    /// The users who are called so.
    pub fn users_called(&self, name: &str) -> impl Iterator<Item = &User> {
        let found = self.users_by_name.get(name).map(Vec::as_slice).unwrap_or_default();
        found.iter().filter_map(|user| self.user(*user))
    }

    /// The user of this address, found by looking at all of them.
    #[must_use]
    pub fn user_at(&self, email: &str) -> Option<&User> {
        let email = key(email);
        self.users.values().find(|user| key(&user.email) == email).map(|user| &**user)
    }

    /// The stream of this id.
    #[must_use]
    pub fn stream(&self, stream: StreamId) -> Option<&Stream> {
        self.streams.get(&stream).map(|stream| &**stream)
    }

    /// The stream that is called so.
    #[must_use]
    pub fn stream_called(&self, name: &str) -> Option<&Stream> {
        self.stream(*self.streams_by_name.get(&key(name))?)
    }

    pub(crate) fn set_user(&mut self, user: &User) {
        self.remove_user(user.user_id);
        self.users_by_name.entry(user.full_name.clone()).or_default().push(user.user_id);
        self.users.insert(user.user_id, Arc::new(user.clone()));
    }

    pub(crate) fn remove_user(&mut self, user: UserId) {
        let Some(before) = self.users.remove(&user) else { return };
        if let Some(called) = self.users_by_name.get_mut(&before.full_name) {
            called.retain(|other| *other != user);
            if called.is_empty() {
                self.users_by_name.remove(&before.full_name);
            }
        }
    }

    pub(crate) fn set_stream(&mut self, stream: &Stream) {
        if self.stream(stream.stream_id) == Some(stream) {
            return;
        }
        self.remove_stream(stream.stream_id);
        self.streams_by_name.insert(key(&stream.name), stream.stream_id);
        self.streams.insert(stream.stream_id, Arc::new(stream.clone()));
    }

    pub(crate) fn remove_stream(&mut self, stream: StreamId) {
        let Some(before) = self.streams.remove(&stream) else { return };
        let name = key(&before.name);
        // Its name may be another's by now.
        if self.streams_by_name.get(&name) == Some(&stream) {
            self.streams_by_name.remove(&name);
        }
    }
}

fn key(name: &str) -> String {
    name.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use squall_protocol::event::Role;

    use super::*;

    fn user(id: u32, name: &str) -> User {
        User {
            user_id: UserId(id),
            email: format!("{id}@X.example"),
            full_name: name.into(),
            role: Role::Member,
            is_bot: false,
            is_active: true,
        }
    }

    fn stream(id: u64, name: &str) -> Stream {
        Stream { stream_id: StreamId(id), name: name.into(), description: String::new(), invite_only: false }
    }

    fn called(directory: &Directory, name: &str) -> Vec<u32> {
        directory.users_called(name).map(|user| user.user_id.0).collect()
    }

    #[test]
    fn users_are_found_by_id_address_and_every_name_they_have_now() {
        let mut directory = Directory::default();
        [user(1, "Ada"), user(2, "Bo"), user(3, "Ada")].iter().for_each(|user| directory.set_user(user));
        assert_eq!(called(&directory, "Ada"), [1, 3]);
        assert_eq!(directory.user_at("2@x.EXAMPLE").map(|user| user.user_id), Some(UserId(2)));
        directory.set_user(&user(1, "Ada L."));
        assert_eq!(called(&directory, "Ada"), [3]);
        assert_eq!(called(&directory, "Ada L."), [1]);
        directory.remove_user(UserId(3));
        assert!(called(&directory, "Ada").is_empty());
        assert!(directory.user(UserId(3)).is_none());
        assert!(!directory.users_by_name.contains_key("Ada"), "nothing is left of it");
    }

    #[test]
    fn streams_are_found_by_id_and_by_the_name_they_have_now() {
        let mut directory = Directory::default();
        directory.set_stream(&stream(1, "General"));
        directory.set_stream(&stream(1, "lobby"));
        directory.set_stream(&stream(2, "general"));
        assert_eq!(directory.stream_called("GENERAL").map(|stream| stream.stream_id), Some(StreamId(2)));
        assert_eq!(directory.stream_called(" Lobby ").map(|stream| stream.stream_id), Some(StreamId(1)));
        directory.remove_stream(StreamId(1));
        assert!(directory.stream(StreamId(1)).is_none() && directory.stream_called("lobby").is_none());
        assert!(directory.stream_called("general").is_some());
    }
}
