//! Who is there, as a watcher was told: snapshots and diffs, put together as SPEC.md, section 5, says. One
//! client of each realm and worker keeps it; the others only follow the numbers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use squall_protocol::client_message::Status;
use squall_protocol::server_message::{PresenceDiff, PresenceSnapshot};
use squall_protocol::{RealmId, UserId};

/// Everybody who is there; who is not named is offline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Presence(BTreeMap<UserId, Status>);

/// Who is there in a realm, as a watcher was told or as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roll {
    /// The index of the target.
    pub target: u16,
    /// The realm.
    pub realm_id: RealmId,
    /// The users with their best status.
    pub users: Vec<(UserId, Status)>,
}

impl Presence {
    pub(crate) fn handle_snapshot(&mut self, snapshot: &PresenceSnapshot) {
        self.0.clear();
        self.set(&snapshot.active, Status::Active);
        self.set(&snapshot.idle, Status::Idle);
    }

    /// A diff that follows on the last change.
    pub(crate) fn handle_diff(&mut self, diff: &PresenceDiff) {
        self.set(&diff.active, Status::Active);
        self.set(&diff.idle, Status::Idle);
        for (user, _) in &diff.offline {
            self.0.remove(user);
        }
    }

    /// A client of the user is there, with this status: several show the best.
    pub(crate) fn add(&mut self, user: UserId, status: Status) {
        let best = self.0.entry(user).or_insert(status);
        *best = (*best).max(status);
    }

    pub(crate) fn into_users(self) -> Vec<(UserId, Status)> {
        self.0.into_iter().collect()
    }

    fn set(&mut self, users: &[UserId], status: Status) {
        self.0.extend(users.iter().map(|user| (*user, status)));
    }
}

/// Whom a watcher's roll has wrong, of those who are there, with what it was told and what holds. Who is not
/// there may still be told to be: a disconnect is told only after a grace.
pub(crate) fn wrong_in(told: &Roll, there: &Roll) -> Vec<(UserId, Option<Status>, Status)> {
    let told: BTreeMap<_, _> = told.users.iter().copied().collect();
    let pairs = there.users.iter().map(|(user, status)| (*user, told.get(user).copied(), *status));
    pairs.filter(|(_, told, status)| *told != Some(*status)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(users: &[u32]) -> Vec<UserId> {
        users.iter().copied().map(UserId).collect()
    }

    fn roll(users: &[(u32, Status)]) -> Roll {
        let users = users.iter().map(|(user, status)| (UserId(*user), *status)).collect();
        Roll { target: 0, realm_id: RealmId(1), users }
    }

    #[test]
    fn a_snapshot_and_what_follows_is_who_is_there() {
        let mut presence = Presence::default();
        presence.add(UserId(99), Status::Idle);
        let snapshot =
            PresenceSnapshot { active: ids(&[1, 2]), idle: ids(&[3]), ..PresenceSnapshot::default() };
        presence.handle_snapshot(&snapshot);
        let offline = vec![(UserId(2), 7)];
        presence.handle_diff(&PresenceDiff { idle: ids(&[1, 4]), offline, ..PresenceDiff::default() });
        let expected = [(UserId(1), Status::Idle), (UserId(3), Status::Idle), (UserId(4), Status::Idle)];
        assert_eq!(presence.into_users(), expected);
    }

    #[test]
    fn several_clients_of_a_user_show_the_best() {
        let mut presence = Presence::default();
        for status in [Status::Idle, Status::Active, Status::Idle] {
            presence.add(UserId(1), status);
        }
        assert_eq!(presence.into_users(), [(UserId(1), Status::Active)]);
    }

    #[test]
    fn wrong_is_whoever_is_there_and_told_otherwise() {
        let there = roll(&[(1, Status::Active), (2, Status::Idle), (3, Status::Active)]);
        assert_eq!(wrong_in(&there, &there), []);
        let told = roll(&[(1, Status::Active), (2, Status::Active), (9, Status::Idle)]);
        let wrong = [(UserId(2), Some(Status::Active), Status::Idle), (UserId(3), None, Status::Active)];
        assert_eq!(wrong_in(&told, &there), wrong);
    }
}
