//! Who is there: one realm's presence as one node knows it, told as a snapshot and then as what changed.
//!
//! A user is shown as its best device on any node: active before idle. The walk of a change: an input
//! (`handle_*`) updates the user's `Attendance` and makes it restless; what this node's devices make of it
//! is compared with what the other nodes were told (`Published`); and whatever changed here or `Elsewhere` marks
//! the user: the next [`Presence::poll_tick`] compares each marked user with what clients were told
//! (`Announced`), and tells the difference. A change that was undone before the tick is therefore never told.
//!
//! Invariants worth naming:
//! - A claim is never stored: "here" follows at each moment from devices, leases and graces. Deadlines only
//!   mark users, so a late tick tells late but nothing else.
//! - Grace keeps what is shown and never raises it: who came and left between two ticks is told once, as
//!   gone, after grace. It runs on the node that the device left; other nodes hear of its end.
//! - Bad news wait for good news: that a user is less than before is told only when any node that knew
//!   better at that moment had the time to say so. Who moves from node to node within grace never left.
//! - A node speaks for its own users alone, in numbered parts. A copy of what another says counts as of
//!   that node's last sign of life at which it was whole; after a lease and grace it counts no more.
//! - A snapshot is what was told, not what is: a snapshot and the diffs that follow give the next snapshot.
//! - Work and diffs grow with changes: nothing but a snapshot looks at every user.
//! - Bots have no presence: callers do not report them.

mod announced;
mod attendance;
mod backoff;
mod deadlines;
mod elsewhere;
mod published;
mod remote;
mod times;

#[cfg(test)]
mod node_tests;
#[cfg(test)]
mod reference_tests;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use squall_protocol::client_message::Status;
use squall_protocol::frame::Frame;
use squall_protocol::link::{LastHeard, NodeLease};
use squall_protocol::node_presence::{NodePresence, PresenceAsk, PresenceSource};
use squall_protocol::server_message::{PresenceDiff, PresenceSnapshot};
use squall_protocol::{RealmId, SessionId, UserId};

pub use announced::Counts;
pub use times::{OFFLINE_THRESHOLD, Times, TimesConfig, TimesError};

use announced::{Announced, Shown};
use attendance::Attendance;
use deadlines::Deadlines;
use elsewhere::Elsewhere;
use published::Published;

/// The presence of one realm, as far as the sessions of this node know it.
///
/// Every `now_ms` is in milliseconds since the Unix epoch, in bus time among nodes; one that goes back counts
/// as the greatest seen. Session ids are those of one life of the node, so a device is known by its session
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
    /// Users whose devices may have changed since they were looked at.
    restless: BTreeSet<UserId>,
    /// Users who may be other than clients were told.
    marked: BTreeMap<UserId, Mark>,
    announced: Announced,
    company: Option<Box<Company>>,
}

/// The other nodes: what they were told, and what they say.
#[derive(Debug)]
struct Company {
    published: Published,
    elsewhere: Elsewhere,
}

/// What a user came to be since clients were told.
#[derive(Debug, Clone, Copy)]
struct Mark {
    due: Option<Shown>,
    /// Not to be told before, as it is less than what was told.
    not_before_ms: u64,
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
            restless: BTreeSet::new(),
            marked: BTreeMap::new(),
            announced: Announced::new(past),
            company: None,
        }
    }

    /// The same realm has users on other nodes, and may be opened there any time. `source` is this node's
    /// opening of it, `link_up` whether the bus can be reached. Needs a lease in its times.
    #[must_use]
    pub fn among_nodes(mut self, realm_id: RealmId, source: PresenceSource, link_up: bool) -> Self {
        let published = Published::new(realm_id, source, self.now_ms);
        let elsewhere = Elsewhere::new(realm_id, source.node_id, link_up, &self.times, self.now_ms);
        self.company = Some(Box::new(Company { published, elsewhere }));
        self
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
        self.restless.insert(user);
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
            self.restless.insert(user);
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
        self.restless.insert(user);
    }

    /// The user was deactivated: it is told as gone at the next tick, without grace, and what its sessions
    /// still report is ignored. Other nodes say the same of their devices. It stays listed as offline until
    /// the realm is loaded anew, as a diff can't unname a user; clients know from the log that it is
    /// deactivated.
    pub fn handle_user_gone(&mut self, user: UserId, now_ms: u64) {
        self.advance(now_ms);
        let Some(attendance) = self.attendances.get_mut(&user) else { return };
        for (device, lease_ms) in attendance.clear() {
            self.owners.remove(&device);
            if let Some(lease_ms) = lease_ms {
                self.leases.cancel(lease_ms, device);
            }
        }
        self.restless.insert(user);
    }

    /// Another node said something of its users.
    pub fn handle_node_presence(&mut self, part: &NodePresence, now_ms: u64) {
        let now_ms = self.advance(now_ms);
        let Some(company) = &mut self.company else { return };
        let users = company.elsewhere.handle_part(part, &self.times, now_ms);
        for user in users {
            self.mark(user, part.diff.as_of_ms.min(now_ms));
        }
    }

    /// A node, maybe this one, asked what it missed.
    pub fn handle_ask(&mut self, ask: &PresenceAsk, now_ms: u64) {
        let now_ms = self.advance(now_ms);
        let Some(company) = &mut self.company else { return };
        company.elsewhere.handle_ask(ask, now_ms);
        let source = company.published.source();
        if ask.from != source.node_id && ask.to.is_none_or(|to| to == source) {
            company.published.handle_ask(ask.since);
        }
    }

    /// The bus can be reached (again), or not: whoever can't be heard is not judged by its silence.
    pub fn handle_link(&mut self, up: bool, now_ms: u64) {
        let now_ms = self.advance(now_ms);
        let Some(company) = &mut self.company else { return };
        company.elsewhere.handle_link(up, &self.times, now_ms);
        if up {
            company.published.handle_link_up();
        }
    }

    /// Frames may have been lost on their way to this node.
    pub fn handle_gap(&mut self, now_ms: u64) {
        let now_ms = self.advance(now_ms);
        if let Some(company) = &mut self.company {
            company.elsewhere.handle_gap(&self.times, now_ms);
        }
    }

    /// All nodes' signs of life as a writer told them, having been asked at `asked_ms`. Not to be called
    /// with an answer that has none because none was asked for.
    pub fn handle_leases(&mut self, leases: &[NodeLease], asked_ms: u64, now_ms: u64) {
        let now_ms = self.advance(now_ms);
        if let Some(company) = &mut self.company {
            company.elsewhere.handle_leases(leases, asked_ms, &self.times, now_ms);
        }
    }

    /// What to publish on the realm's channel, in this order: what changed here, signs of life, asks and
    /// answers. To be called every [`Times::publish_interval`] among nodes; nothing while the bus can't be
    /// reached. A frame that is lost is found missing by whoever needs it.
    pub fn poll_frames(&mut self, now_ms: u64) -> Vec<Frame> {
        let now_ms = self.advance(now_ms);
        self.look(now_ms);
        let Some(company) = self.company.as_mut().filter(|company| company.elsewhere.is_link_up()) else {
            return Vec::new();
        };
        let parts = company.published.poll(&self.times, now_ms).into_iter().map(Frame::NodePresence);
        let asks = company.elsewhere.poll_asks(&self.times, now_ms).into_iter().map(Frame::PresenceAsk);
        parts.chain(asks).collect()
    }

    /// What changed since the last tick, for every session with the realm's scope; none if nothing did. To
    /// be called every [`Times::tick`]. The change number goes up by one for each user named.
    pub fn poll_tick(&mut self, now_ms: u64) -> Option<PresenceDiff> {
        let now_ms = self.advance(now_ms);
        self.look(now_ms);
        let company = self.company.as_mut();
        let left = company.map(|company| company.elsewhere.poll_silent(&self.times, now_ms));
        left.into_iter().flatten().for_each(|user| self.mark(user, now_ms));
        let from = self.announced.change();
        for (user, mark) in std::mem::take(&mut self.marked) {
            if mark.not_before_ms > now_ms {
                self.marked.insert(user, mark);
            } else {
                self.tell(user);
            }
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
            } else if !self.restless.contains(&user_id) {
                self.attendances.remove(&user_id);
            }
        }
        rows
    }

    /// Whether nobody is connected to this node or within grace, and nothing waits to be told, published or
    /// stored: the realm can be dropped without a loss.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let is_flushed =
            |company: &Company| company.published.is_flushed() || !company.elsewhere.is_link_up();
        self.attendances.is_empty() && self.company.as_deref().is_none_or(is_flushed)
    }

    /// Whether a snapshot says who is on other nodes: those were asked when the realm was opened, and had
    /// two ticks to answer. Until then snapshots should wait, as they would show users as offline who are not.
    #[must_use]
    pub fn is_settled(&self, now_ms: u64) -> bool {
        let now_ms = self.now_ms.max(now_ms);
        self.company.as_ref().is_none_or(|company| company.elsewhere.is_settled(&self.times, now_ms))
    }

    /// Whether this node should give a sign of life to a writer too, and hear those of the others: its link
    /// to the bus is down, or somebody is not heard on it.
    #[must_use]
    pub fn needs_writer(&self, now_ms: u64) -> bool {
        let now_ms = self.now_ms.max(now_ms);
        self.company.as_ref().is_some_and(|company| {
            !company.elsewhere.is_link_up() || company.elsewhere.is_someone_quiet(&self.times, now_ms)
        })
    }

    /// Looks at the users whose devices may have changed.
    fn look(&mut self, now_ms: u64) {
        while let Some(device) = self.leases.pop_due(now_ms) {
            if let Some((user, attendance)) = self.find(device) {
                attendance.set_lease(device, None);
                self.restless.insert(user);
            }
        }
        while let Some(user) = self.graces.pop_due(now_ms) {
            if let Some(attendance) = self.attendances.get_mut(&user) {
                attendance.end_graces(now_ms);
                self.restless.insert(user);
            }
        }
        for user in std::mem::take(&mut self.restless) {
            self.publish(user, now_ms);
            self.mark(user, now_ms);
        }
    }

    /// Has the other nodes told what this node's devices make of `user` now, if they were not told that.
    fn publish(&mut self, user: UserId, now_ms: u64) {
        let Some(attendance) = self.attendances.get_mut(&user) else { return };
        if let Some(company) = &mut self.company {
            let told = company.published.shown(user);
            let shown = rank(told).max(rank(self.announced.shown(user)));
            let own = due_shown(attendance, told, shown, now_ms);
            if let Some(own) = own.filter(|own| Some(*own) != told) {
                company.published.tell(user, own);
            }
        }
        if !attendance.is_here() {
            // Gone: its time is stored with the next batch.
            if let Some(later_ms) = attendance.store_due_ms.replace(now_ms) {
                self.stores.cancel(later_ms, user);
            }
            self.stores.set(now_ms, user);
        }
    }

    /// Has the next tick look at `user`, who came to be what it is at `at_ms`. If that is less than what clients
    /// were told, some other node may know better, and has the time to say so.
    fn mark(&mut self, user: UserId, at_ms: u64) {
        let due = self.due(user);
        let told = self.announced.shown(user);
        let wait_ms = if self.company.is_some() { self.times.news_ms() } else { 0 };
        let not_before_ms = match self.marked.get(&user) {
            _ if rank(due) >= rank(told) => 0,
            // It was less already: it need not wait again.
            Some(mark) if mark.not_before_ms > 0 && rank(due) >= rank(mark.due) => mark.not_before_ms,
            Some(_) | None => at_ms + wait_ms,
        };
        self.marked.insert(user, Mark { due, not_before_ms });
    }

    /// What `user` is to be shown as; none as long as it is known only from a visit within grace.
    fn due(&self, user: UserId) -> Option<Shown> {
        let told = self.announced.shown(user);
        let Some(company) = &self.company else {
            let attendance = self.attendances.get(&user)?;
            return due_shown(attendance, told, rank(told), self.now_ms);
        };
        let own = company.published.shown(user);
        if let Some(status) = company.elsewhere.status(user).max(own.and_then(Shown::status)) {
            return Some(Shown::Here(status));
        }
        let heard_s = company.elsewhere.heard_s(user).max(own.and_then(Shown::heard_s));
        heard_s.max(told.and_then(Shown::heard_s)).map(|heard_s| Shown::Gone { heard_s })
    }

    /// Tells what `user` is now, if it was not told as that.
    fn tell(&mut self, user: UserId) {
        let told = self.announced.shown(user);
        let Some(due) = self.due(user).filter(|due| Some(*due) != told) else { return };
        self.announced.tell(user, due);
        if let (Shown::Gone { .. }, Some(company)) = (due, &mut self.company) {
            company.elsewhere.told_gone(user);
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

/// What its devices on this node make of a user, of whom `told` was told before, and who is shown as `shown`, be
/// it by devices elsewhere; none as long as it is known only from a visit within grace.
fn due_shown(
    attendance: &Attendance,
    told: Option<Shown>,
    shown: Option<Status>,
    now_ms: u64,
) -> Option<Shown> {
    let kept = attendance.held(now_ms).min(shown);
    match attendance.live(now_ms).max(kept) {
        Some(status) => Some(Shown::Here(status)),
        None if attendance.is_here() => told,
        None => Some(Shown::Gone { heard_s: attendance.heard_s() }),
    }
}

/// Active is more than idle, and that more than gone or unknown.
fn rank(shown: Option<Shown>) -> Option<Status> {
    shown.and_then(Shown::status)
}

/// The most rows of one [`Presence::poll_last_heard`].
pub const LAST_HEARD_ROWS_MAX: usize = 500;

/// How old the stored time of somebody who is here may get: what a crash can lose.
const STORE_INTERVAL_MS: u64 = 60_000;

/// A realm of 10,000 users all connected keeps its stored times that fresh with one batch a second.
const _: () = assert!(LAST_HEARD_ROWS_MAX as u64 * STORE_INTERVAL_MS / 1000 >= 10_000);
