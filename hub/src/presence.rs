//! Who is there: one realm's presence on one node, told as a snapshot and then as what changed.
//!
//! A user is shown as its best device: active before idle. The walk of a change: an input
//! (`handle_*`) updates the user's `Attendance` and marks the user; the next [`Presence::poll_tick`]
//! compares each marked user with what clients were told (`Announced`), and tells the difference. A change
//! that was undone before the tick is therefore never told.
//!
//! Invariants worth naming:
//! - A claim is never stored: "here" follows at each moment from devices, leases and graces. Deadlines only
//!   mark users, so a late tick tells late but nothing else.
//! - Grace keeps what is shown and never raises it: who came and left between two ticks is told once, as
//!   gone, after grace.
//! - A snapshot is what was told, not what is: a snapshot and the diffs that follow give the next snapshot.
//! - Work and diffs grow with changes: nothing but a snapshot looks at every user.
//! - Bots have no presence: callers do not report them.

mod announced;
mod attendance;
mod deadlines;
mod times;

#[cfg(test)]
mod reference_tests;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};

use squall_protocol::client_message::Status;
use squall_protocol::link::LastHeard;
use squall_protocol::server_message::{PresenceDiff, PresenceSnapshot};
use squall_protocol::{SessionId, UserId};

pub use announced::Counts;
pub use times::{OFFLINE_THRESHOLD, Times, TimesConfig, TimesError};

use announced::{Announced, Shown};
use attendance::Attendance;
use deadlines::Deadlines;

/// The presence of one realm, as far as the sessions of this node know it.
///
/// Every `now_ms` is in milliseconds since the Unix epoch by the node's clock; one that goes back counts as
/// the greatest seen. Session ids are those of one life of the node, so a device is known by its session
/// alone; reports about unknown ones are ignored, as a session may outlive its user.
#[derive(Debug)]
pub struct Presence {
    times: Times,
    now_ms: u64,
    /// Users with a device connected or within grace, or with something to tell or to store.
    attendances: HashMap<UserId, Attendance>,
    owners: HashMap<SessionId, UserId>,
    leases: Deadlines<SessionId>,
    graces: Deadlines<UserId>,
    stores: Deadlines<UserId>,
    /// Users who may have changed since the last tick.
    marked: BTreeSet<UserId>,
    announced: Announced,
}

impl Presence {
    /// A realm where nobody is connected yet. `last_heard` holds users with the second (since the Unix
    /// epoch) they were last heard of, as the database remembers it; a time to come counts as now.
    pub fn new(times: Times, last_heard: impl IntoIterator<Item = (UserId, u64)>, now_ms: u64) -> Self {
        let past = last_heard.into_iter().map(|(user, heard_s)| (user, heard_s.min(now_ms / 1000)));
        Self {
            times,
            now_ms,
            attendances: HashMap::new(),
            owners: HashMap::new(),
            leases: Deadlines::default(),
            graces: Deadlines::default(),
            stores: Deadlines::default(),
            marked: BTreeSet::new(),
            announced: Announced::new(past),
        }
    }

    /// A session of `user` is open. It takes the place of a device of the same user that left within grace.
    pub fn handle_connect(&mut self, user: UserId, device: SessionId, status: Status, now_ms: u64) {
        // An id that is in use would leave a device behind that nobody can report about.
        self.handle_disconnect(device, 0, now_ms);
        let now_ms = self.now_ms;
        let lease_ms = self.lease(status);
        let attendance = self.attendances.entry(user).or_default();
        attendance.hear(now_ms);
        if let Some(until_ms) = attendance.connect(device, lease_ms, now_ms) {
            self.graces.cancel(until_ms, user);
        }
        if attendance.store_due_ms.is_none() {
            attendance.store_due_ms = Some(now_ms + STORE_INTERVAL_MS);
            self.stores.set(now_ms + STORE_INTERVAL_MS, user);
        }
        if let Some(lease_ms) = lease_ms {
            self.leases.set(lease_ms, device);
        }
        self.owners.insert(device, user);
        self.marked.insert(user);
    }

    /// The device said what its user does, in a `pong` or a `presence` message. Each report of activity
    /// renews the lease on `active`: pass on every one, not only those that differ.
    pub fn handle_status(&mut self, device: SessionId, status: Status, now_ms: u64) {
        let now_ms = self.advance(now_ms);
        let lease_ms = self.lease(status);
        let Some((user, attendance)) = self.find(device) else { return };
        attendance.hear(now_ms);
        let before_ms = attendance.set_lease(device, lease_ms);
        if let Some(before_ms) = before_ms {
            self.leases.cancel(before_ms, device);
        }
        if let Some(lease_ms) = lease_ms {
            self.leases.set(lease_ms, device);
        }
        if before_ms.is_some() != lease_ms.is_some() {
            self.marked.insert(user);
        }
    }

    /// The device sent anything else: it is alive, and its status stays.
    pub fn handle_heard(&mut self, device: SessionId, now_ms: u64) {
        let now_ms = self.advance(now_ms);
        if let Some((_, attendance)) = self.find(device) {
            attendance.hear(now_ms);
        }
    }

    /// The device's connection is gone; grace starts now. `heard_ms` is when it gave its last sign of life:
    /// now if it closed the connection itself, earlier if it fell silent.
    pub fn handle_disconnect(&mut self, device: SessionId, heard_ms: u64, now_ms: u64) {
        let now_ms = self.advance(now_ms);
        let until_ms = now_ms + self.times.grace_ms();
        let Some((user, attendance)) = self.find(device) else { return };
        attendance.hear(heard_ms.min(now_ms));
        if let Some(lease_ms) = attendance.disconnect(device, until_ms, now_ms) {
            self.leases.cancel(lease_ms, device);
        }
        self.graces.set(until_ms, user);
        self.owners.remove(&device);
        self.marked.insert(user);
    }

    /// The user was deactivated: it is told as gone at the next tick, without grace, and what its sessions
    /// still report is ignored. It stays listed as offline until the realm is loaded anew, as a diff can't
    /// unname a user; clients know from the log that it is deactivated.
    pub fn handle_user_gone(&mut self, user: UserId, now_ms: u64) {
        self.advance(now_ms);
        let Some(attendance) = self.attendances.get_mut(&user) else { return };
        for (device, lease_ms) in attendance.clear() {
            self.owners.remove(&device);
            if let Some(lease_ms) = lease_ms {
                self.leases.cancel(lease_ms, device);
            }
        }
        self.marked.insert(user);
    }

    /// What changed since the last tick, for every session with the realm's scope; none if nothing did. To
    /// be called every [`Times::tick`]. The change number goes up by one for each user named.
    pub fn poll_tick(&mut self, now_ms: u64) -> Option<PresenceDiff> {
        let now_ms = self.advance(now_ms);
        self.mark_due(now_ms);
        let from = self.announced.change();
        for user in std::mem::take(&mut self.marked) {
            self.tell(user, now_ms);
        }
        (self.announced.change() > from).then(|| self.announced.diff(from, now_ms))
    }

    /// Everybody's presence as told up to the last tick: what the next diff follows on. Looks at every
    /// user; between two ticks it stays the same, so sessions that open together can share one.
    #[must_use]
    pub fn snapshot(&self, now_ms: u64) -> PresenceSnapshot {
        self.announced.snapshot(self.now_ms.max(now_ms))
    }

    /// For a connection that was told everything up to the change `since`, and then was too slow: all that
    /// was told after it, in one diff (empty if nothing was). None if there is no such change, or if a
    /// snapshot is smaller: send that.
    #[must_use]
    pub fn changes_since(&self, since: u64, now_ms: u64) -> Option<PresenceDiff> {
        self.announced.changes_since(since, self.now_ms.max(now_ms))
    }

    /// The number of the last change told; 0 before the first.
    #[must_use]
    pub fn change(&self) -> u64 {
        self.announced.change()
    }

    /// How many users are shown as what.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.announced.counts()
    }

    /// Last-heard times to store: of users who left since the last call, and of those here whose time was
    /// not stored for 60 s; at most [`LAST_HEARD_ROWS_MAX`], the longest due first, the rest with the next
    /// call. To be called about once a second. A row is given once: the caller keeps it until it is stored
    /// (an older time never replaces a newer one).
    pub fn poll_last_heard(&mut self, now_ms: u64) -> Vec<LastHeard> {
        let now_ms = self.advance(now_ms);
        let mut rows = Vec::new();
        while rows.len() < LAST_HEARD_ROWS_MAX {
            let Some(user_id) = self.stores.pop_due(now_ms) else { break };
            let Some(attendance) = self.attendances.get_mut(&user_id) else { continue };
            rows.push(LastHeard { user_id, last_heard_s: attendance.heard_s() });
            attendance.store_due_ms = None;
            if attendance.is_here() {
                attendance.store_due_ms = Some(now_ms + STORE_INTERVAL_MS);
                self.stores.set(now_ms + STORE_INTERVAL_MS, user_id);
            } else if !self.marked.contains(&user_id) {
                self.attendances.remove(&user_id);
            }
        }
        rows
    }

    /// Whether nobody is connected or within grace, and nothing waits to be told or stored: the realm can be
    /// dropped without a loss.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.attendances.is_empty()
    }

    /// Marks the users whose lease or grace is over.
    fn mark_due(&mut self, now_ms: u64) {
        while let Some(device) = self.leases.pop_due(now_ms) {
            if let Some((user, attendance)) = self.find(device) {
                attendance.set_lease(device, None);
                self.marked.insert(user);
            }
        }
        while let Some(user) = self.graces.pop_due(now_ms) {
            if let Some(attendance) = self.attendances.get_mut(&user) {
                attendance.end_graces(now_ms);
                self.marked.insert(user);
            }
        }
    }

    /// Tells what `user` is now, if it was not told as that.
    fn tell(&mut self, user: UserId, now_ms: u64) {
        let Some(attendance) = self.attendances.get_mut(&user) else { return };
        let told = self.announced.shown(user);
        let due = due_shown(attendance, told, now_ms);
        if let Some(shown) = due
            && due != told
        {
            self.announced.tell(user, shown);
        }
        if !attendance.is_here() {
            // Gone: its time is stored with the next batch.
            if let Some(later_ms) = attendance.store_due_ms.replace(now_ms) {
                self.stores.cancel(later_ms, user);
            }
            self.stores.set(now_ms, user);
        }
    }

    /// The lease that a report of `status` gives.
    fn lease(&self, status: Status) -> Option<u64> {
        match status {
            Status::Active => Some(self.now_ms + self.times.lease_ms()),
            Status::Idle => None,
        }
    }

    fn find(&mut self, device: SessionId) -> Option<(UserId, &mut Attendance)> {
        let user = *self.owners.get(&device)?;
        Some((user, self.attendances.get_mut(&user)?))
    }

    fn advance(&mut self, now_ms: u64) -> u64 {
        self.now_ms = self.now_ms.max(now_ms);
        self.now_ms
    }
}

/// What a user is to be shown as; none as long as it is known only from a visit within grace.
fn due_shown(attendance: &Attendance, told: Option<Shown>, now_ms: u64) -> Option<Shown> {
    let told_status = match told {
        Some(Shown::Here(status)) => Some(status),
        Some(Shown::Gone { .. }) | None => None,
    };
    let kept = attendance.held(now_ms).min(told_status);
    match attendance.live(now_ms).max(kept) {
        Some(status) => Some(Shown::Here(status)),
        None if attendance.is_here() => told,
        None => Some(Shown::Gone { heard_s: attendance.heard_s() }),
    }
}

/// The most rows of one [`Presence::poll_last_heard`].
pub const LAST_HEARD_ROWS_MAX: usize = 500;

/// How old the stored time of somebody who is here may get: what a crash can lose.
const STORE_INTERVAL_MS: u64 = 60_000;

/// A realm of 10,000 users all connected keeps its stored times that fresh with one batch a second.
const _: () = assert!(LAST_HEARD_ROWS_MAX as u64 * STORE_INTERVAL_MS / 1000 >= 10_000);
