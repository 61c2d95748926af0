//! What the realm's clients were told.

use std::collections::BTreeMap;
use std::ops::Bound;

use squall_protocol::UserId;
use squall_protocol::client_message::Status;
use squall_protocol::server_message::{PresenceDiff, PresenceSnapshot};

/// The last told presence of each user ever named, and the number of the change that told it.
#[derive(Debug, Default)]
pub(super) struct Announced {
    users: BTreeMap<UserId, Entry>,
    /// The newest change of each user that had one: what changed since a number is a range of it, however
    /// long ago that was.
    newest: BTreeMap<u64, UserId>,
    change: u64,
    counts: Counts,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    shown: Shown,
    change: u64,
}

/// What a user is shown as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// Connected, or left within grace.
    Here(Status),
    /// Not connected; last heard of then, in seconds since the Unix epoch.
    Gone { heard_s: u64 },
}

/// How many users are shown as what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Interacting.
    pub active: usize,
    /// Connected only.
    pub idle: usize,
    /// Heard of once, and not connected.
    pub offline: usize,
}

impl Announced {
    /// Change number 0: who was heard of before this node knew the realm.
    pub(super) fn new(last_heard: impl IntoIterator<Item = (UserId, u64)>) -> Self {
        let mut announced = Self::default();
        for (user, heard_s) in last_heard {
            announced.put(user, Shown::Gone { heard_s });
        }
        announced
    }

    pub(super) fn shown(&self, user: UserId) -> Option<Shown> {
        self.users.get(&user).map(|entry| entry.shown)
    }

    /// The number of the last change.
    pub(super) fn change(&self) -> u64 {
        self.change
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Tells `shown` of `user`, as the next change.
    pub(super) fn tell(&mut self, user: UserId, shown: Shown) {
        self.change += 1;
        if let Some(before) = self.put(user, shown) {
            self.newest.remove(&before.change);
        }
        self.newest.insert(self.change, user);
    }

    fn put(&mut self, user: UserId, shown: Shown) -> Option<Entry> {
        let before = self.users.insert(user, Entry { shown, change: self.change });
        if let Some(before) = before {
            *self.counts.of(before.shown) -= 1;
        }
        *self.counts.of(shown) += 1;
        before
    }

    /// Everybody.
    pub(super) fn snapshot(&self, as_of_ms: u64) -> PresenceSnapshot {
        let mut snapshot = PresenceSnapshot {
            as_of_ms,
            change: self.change,
            active: Vec::with_capacity(self.counts.active),
            idle: Vec::with_capacity(self.counts.idle),
            offline: Vec::with_capacity(self.counts.offline),
        };
        for (user, entry) in &self.users {
            match entry.shown {
                Shown::Here(Status::Active) => snapshot.active.push(*user),
                Shown::Here(Status::Idle) => snapshot.idle.push(*user),
                Shown::Gone { heard_s } => snapshot.offline.push((*user, heard_s)),
            }
        }
        snapshot
    }

    /// What changed after the change `since`; none if there is no such change yet, or if everybody changed,
    /// as a snapshot is then the smaller answer.
    pub(super) fn changes_since(&self, since: u64, as_of_ms: u64) -> Option<PresenceDiff> {
        if since > self.change {
            return None;
        }
        let diff = self.diff(since, as_of_ms);
        let named = diff.active.len() + diff.idle.len() + diff.offline.len();
        (named == 0 || named < self.users.len()).then_some(diff)
    }

    /// What changed after the change `since`: each user once, ascending.
    pub(super) fn diff(&self, since: u64, as_of_ms: u64) -> PresenceDiff {
        let after = (Bound::Excluded(since), Bound::Unbounded);
        let mut changed: Vec<UserId> = self.newest.range(after).map(|(_, user)| *user).collect();
        changed.sort_unstable();
        let mut diff = PresenceDiff { as_of_ms, from: since, to: self.change, ..PresenceDiff::default() };
        for (user, shown) in changed.into_iter().filter_map(|user| Some((user, self.shown(user)?))) {
            match shown {
                Shown::Here(Status::Active) => diff.active.push(user),
                Shown::Here(Status::Idle) => diff.idle.push(user),
                Shown::Gone { heard_s } => diff.offline.push((user, heard_s)),
            }
        }
        diff
    }
}

impl Counts {
    fn of(&mut self, shown: Shown) -> &mut usize {
        match shown {
            Shown::Here(Status::Active) => &mut self.active,
            Shown::Here(Status::Idle) => &mut self.idle,
            Shown::Gone { .. } => &mut self.offline,
        }
    }
}
