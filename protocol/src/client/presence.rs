//! Who is there, computed from snapshots and diffs as SPEC.md, section 5, says.

use std::collections::BTreeMap;

use crate::ids::UserId;
use crate::server_message::{PresenceDiff, PresenceSnapshot};

/// What to show of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// What the user does.
    pub standing: Standing,
    /// When the user was last heard of: milliseconds since the Unix epoch, by the server's clock.
    pub last_heard_ms: u64,
}

/// What a user does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Interacted lately.
    Active,
    /// Only connected.
    Idle,
    /// Not connected.
    Offline,
}

/// Who is there, by the last snapshot and the diffs since.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    /// None until the first snapshot of a connection.
    change: Option<u64>,
    /// A snapshot was asked for, or comes by itself.
    is_asking: bool,
    users: BTreeMap<UserId, Told>,
    /// The last message before the connection was lost.
    lost_at_ms: Option<u64>,
    error_ms_max: u64,
}

/// What the server said of a user last.
#[derive(Debug, Clone, Copy)]
enum Told {
    Active,
    Idle,
    Offline { heard_s: u64 },
}

/// What became of a diff.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Applied,
    /// It does not follow; a snapshot is on its way.
    Dropped,
    /// It does not follow: a snapshot must be asked for.
    Ask,
}

impl Presence {
    /// A session is open: a snapshot follows by itself.
    pub(crate) fn handle_welcome(&mut self, error_ms_max: u32) {
        self.change = None;
        self.is_asking = true;
        self.error_ms_max = error_ms_max.into();
    }

    pub(crate) fn handle_snapshot(&mut self, snapshot: &PresenceSnapshot) {
        self.change = Some(snapshot.change);
        self.is_asking = false;
        self.lost_at_ms = None;
        self.users.clear();
        self.take(&snapshot.active, &snapshot.idle, &snapshot.offline);
    }

    #[must_use]
    pub(crate) fn handle_diff(&mut self, diff: &PresenceDiff) -> Step {
        if self.change != Some(diff.from) {
            let was_asking = std::mem::replace(&mut self.is_asking, true);
            return if was_asking { Step::Dropped } else { Step::Ask };
        }
        self.change = Some(diff.to);
        self.take(&diff.active, &diff.idle, &diff.offline);
        Step::Applied
    }

    /// The connection is lost: nobody was heard of after its last message, which came at `heard_ms`.
    pub(crate) fn handle_loss(&mut self, heard_ms: u64) {
        self.change = None;
        self.is_asking = false;
        self.lost_at_ms.get_or_insert(heard_ms);
    }

    /// What to show of `user` at `now_ms` (server's clock); none if there was never anything to show.
    pub(crate) fn of(&self, user: UserId, now_ms: u64) -> Option<Seen> {
        self.users.get(&user).map(|&told| self.show(told, now_ms))
    }

    /// What to show of everybody at `now_ms` (server's clock).
    pub(crate) fn all(&self, now_ms: u64) -> BTreeMap<UserId, Seen> {
        self.users.iter().map(|(&user, &told)| (user, self.show(told, now_ms))).collect()
    }

    fn show(&self, told: Told, now_ms: u64) -> Seen {
        let standing = match told {
            Told::Offline { heard_s } => {
                let last_heard_ms = heard_s.saturating_mul(1_000);
                return Seen { standing: Standing::Offline, last_heard_ms };
            }
            Told::Active => Standing::Active,
            Told::Idle => Standing::Idle,
        };
        let last_heard_ms = self.lost_at_ms.unwrap_or(now_ms);
        // A claim older than the error bound is none.
        let is_stale = now_ms.saturating_sub(last_heard_ms) > self.error_ms_max;
        Seen { standing: if is_stale { Standing::Offline } else { standing }, last_heard_ms }
    }

    fn take(&mut self, active: &[UserId], idle: &[UserId], offline: &[(UserId, u64)]) {
        self.users.extend(active.iter().map(|&user| (user, Told::Active)));
        self.users.extend(idle.iter().map(|&user| (user, Told::Idle)));
        self.users.extend(offline.iter().map(|&(user, heard_s)| (user, Told::Offline { heard_s })));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: UserId = UserId(3);
    const BRUNO: UserId = UserId(4);
    const CHEN: UserId = UserId(9);
    const NOW_MS: u64 = 1_763_818_162_123;

    fn snapshot() -> PresenceSnapshot {
        PresenceSnapshot {
            as_of_ms: NOW_MS,
            change: 71,
            active: vec![ADA],
            idle: vec![CHEN],
            offline: vec![(BRUNO, 1_763_810_000)],
        }
    }

    fn presence() -> Presence {
        let mut presence = Presence::default();
        presence.handle_welcome(55_000);
        presence.handle_snapshot(&snapshot());
        presence
    }

    fn diff(from: u64, to: u64) -> PresenceDiff {
        PresenceDiff { as_of_ms: NOW_MS, from, to, ..PresenceDiff::default() }
    }

    fn seen(standing: Standing, last_heard_ms: u64) -> Option<Seen> {
        Some(Seen { standing, last_heard_ms })
    }

    #[test]
    fn whoever_is_connected_is_heard_of_now() {
        let presence = presence();
        assert_eq!(presence.of(ADA, NOW_MS + 400_000), seen(Standing::Active, NOW_MS + 400_000));
        assert_eq!(presence.of(CHEN, NOW_MS), seen(Standing::Idle, NOW_MS));
        assert_eq!(presence.of(BRUNO, NOW_MS), seen(Standing::Offline, 1_763_810_000_000));
        assert_eq!(presence.of(UserId(77), NOW_MS), None);
        assert_eq!(presence.all(NOW_MS).len(), 3);
    }

    #[test]
    fn a_diff_moves_those_it_names() {
        let mut presence = presence();
        let moved = PresenceDiff { idle: vec![ADA], offline: vec![(CHEN, 1_763_818_140)], ..diff(71, 73) };
        assert_eq!(presence.handle_diff(&moved), Step::Applied);
        assert_eq!(presence.of(ADA, NOW_MS), seen(Standing::Idle, NOW_MS));
        assert_eq!(presence.of(CHEN, NOW_MS), seen(Standing::Offline, 1_763_818_140_000));
        assert_eq!(presence.handle_diff(&diff(73, 74)), Step::Applied);
    }

    #[test]
    fn a_diff_that_does_not_follow_is_dropped_and_a_snapshot_asked_for_once() {
        let mut presence = presence();
        let stray = PresenceDiff { active: vec![BRUNO], ..diff(72, 73) };
        assert_eq!(presence.handle_diff(&stray), Step::Ask);
        assert_eq!(presence.handle_diff(&diff(73, 74)), Step::Dropped);
        assert_eq!(presence.of(BRUNO, NOW_MS).unwrap().standing, Standing::Offline);
        presence.handle_snapshot(&PresenceSnapshot { change: 90, ..snapshot() });
        assert_eq!(presence.handle_diff(&diff(90, 91)), Step::Applied);
        assert_eq!(presence.handle_diff(&diff(95, 96)), Step::Ask);
    }

    #[test]
    fn a_diff_before_the_first_snapshot_is_dropped_without_asking() {
        let mut presence = Presence::default();
        presence.handle_welcome(55_000);
        assert_eq!(presence.handle_diff(&diff(1, 2)), Step::Dropped);
    }

    #[test]
    fn a_lost_connection_freezes_what_is_shown_and_lets_it_go_stale() {
        let mut presence = presence();
        presence.handle_loss(NOW_MS);
        presence.handle_loss(NOW_MS + 9_000);
        assert_eq!(presence.of(ADA, NOW_MS + 55_000), seen(Standing::Active, NOW_MS));
        assert_eq!(presence.of(ADA, NOW_MS + 55_001), seen(Standing::Offline, NOW_MS));
        presence.handle_welcome(55_000);
        assert_eq!(presence.of(ADA, NOW_MS + 60_000), seen(Standing::Offline, NOW_MS), "until the snapshot");
        presence.handle_snapshot(&snapshot());
        assert_eq!(presence.of(ADA, NOW_MS + 60_000), seen(Standing::Active, NOW_MS + 60_000));
    }
}
