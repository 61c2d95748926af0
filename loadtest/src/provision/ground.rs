//! What a run stands on: realms with their streams, users and keys, as they were when it began.

use squall_protocol::{Position, RealmId, UserId};

use crate::engine::StreamPlan;

/// A realm of the run.
#[derive(Debug, Clone)]
pub(crate) struct Realm {
    /// The index of its target.
    pub(crate) target: u16,
    pub(crate) realm_id: RealmId,
    /// As of which its members are told.
    pub(crate) head: Position,
    pub(crate) streams: Vec<StreamPlan>,
    pub(crate) users: Vec<User>,
}

/// A user with its key.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) user_id: UserId,
    pub(crate) email: String,
    pub(crate) key: String,
    pub(crate) is_guest: bool,
    /// The streams it is a member of, by their index, ascending.
    pub(crate) streams: Vec<u16>,
}

impl Realm {
    /// Fills in the members of each stream from its users: whoever is no guest first, so that the first one
    /// may bring others back.
    pub(crate) fn list_members(&mut self) {
        let regulars = self.users.iter().filter(|user| !user.is_guest);
        for user in regulars.chain(self.users.iter().filter(|user| user.is_guest)) {
            for stream in &user.streams {
                if let Some(stream) = self.streams.get_mut(usize::from(*stream)) {
                    stream.members.push(user.user_id);
                }
            }
        }
    }
}
