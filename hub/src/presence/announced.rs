//! What was told of each user: the realm's clients of everybody, the other nodes of this node's own.

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

impl Shown {
    /// What it is here as.
    pub(super) fn status(self) -> Option<Status> {
        match self {
            Self::Here(status) => Some(status),
            Self::Gone { .. } => None,
        }
    }

    /// When it was last heard of, if it is gone.
    pub(super) fn heard_s(self) -> Option<u64> {
        match self {
            Self::Here(_) => None,
            Self::Gone { heard_s } => Some(heard_s),
        }
    }
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
        self.named(self.newest_after(since).collect(), since, self.change, as_of_ms)
    }

    /// The same in parts of at most `users_max` users (at least one), each of which follows on the one before;
    /// one that names nobody if nothing changed.
    pub(super) fn parts(&self, since: u64, as_of_ms: u64, users_max: usize) -> Vec<PresenceDiff> {
        let changed: Vec<_> = self.newest_after(since).collect();
        let mut parts = Vec::new();
        let mut from = since;
        for part in changed.chunks(users_max.max(1)) {
            let to = part.last().map_or(from, |(change, _)| *change);
            parts.push(self.named(part.to_vec(), from, to, as_of_ms));
            from = to;
        }
        if parts.is_empty() {
            parts.push(self.diff(since, as_of_ms));
        }
        parts
    }

    /// The newest changes after `since`, in their order.
    fn newest_after(&self, since: u64) -> impl Iterator<Item = (u64, UserId)> + '_ {
        self.newest.range((Bound::Excluded(since), Bound::Unbounded)).map(|(change, user)| (*change, *user))
    }

    fn named(&self, mut changed: Vec<(u64, UserId)>, from: u64, to: u64, as_of_ms: u64) -> PresenceDiff {
        changed.sort_unstable_by_key(|(_, user)| *user);
        let mut diff = PresenceDiff { as_of_ms, from, to, ..PresenceDiff::default() };
        for (user, shown) in changed.into_iter().filter_map(|(_, user)| Some((user, self.shown(user)?))) {
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
