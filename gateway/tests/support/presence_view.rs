//! Who is there, computed from snapshots and diffs as SPEC.md says.

use std::collections::{BTreeMap, BTreeSet};

use squall_protocol::UserId;
use squall_protocol::server_message::{PresenceDiff, PresenceSnapshot};

/// What a client shows of one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Interacted lately.
    Active,
    /// Only connected.
    Idle,
    /// Last heard at this second since the Unix epoch.
    Offline(u64),
}

/// Everybody's presence as one client knows it.
#[derive(Debug, Default, Clone)]
pub(crate) struct PresenceView {
    change: u64,
    users: BTreeMap<UserId, Seen>,
    left: BTreeSet<UserId>,
}

impl PresenceView {
    /// What is known of `user`; none if it has no presence yet.
    pub(crate) fn of(&self, user: UserId) -> Option<Seen> {
        self.users.get(&user).copied()
    }

    /// Everybody who has a presence.
    pub(crate) fn users(&self) -> &BTreeMap<UserId, Seen> {
        &self.users
    }

    /// Whether a diff ever said that `user` left.
    pub(crate) fn ever_left(&self, user: UserId) -> bool {
        self.left.contains(&user)
    }

    /// Forgets all and takes the snapshot.
    pub(crate) fn handle_snapshot(&mut self, snapshot: &PresenceSnapshot) {
        self.users.clear();
        self.change = snapshot.change;
        self.take(&snapshot.active, &snapshot.idle, &snapshot.offline);
    }

    /// Takes a diff; false if it does not follow on what is known, and then nothing is taken.
    #[must_use]
    pub(crate) fn handle_diff(&mut self, diff: &PresenceDiff) -> bool {
        if diff.from != self.change {
            return false;
        }
        self.change = diff.to;
        self.left.extend(diff.offline.iter().map(|(user, _)| user));
        self.take(&diff.active, &diff.idle, &diff.offline);
        true
    }

    fn take(&mut self, active: &[UserId], idle: &[UserId], offline: &[(UserId, u64)]) {
        self.users.extend(active.iter().map(|&user| (user, Seen::Active)));
        self.users.extend(idle.iter().map(|&user| (user, Seen::Idle)));
        self.users.extend(offline.iter().map(|&(user, heard)| (user, Seen::Offline(heard))));
    }
}
