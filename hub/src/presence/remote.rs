//! One other node's users, as far as this node heard.

use squall_protocol::UserId;
use squall_protocol::client_message::Status;
use squall_protocol::server_message::PresenceDiff;

use crate::MemberSet;

use super::backoff::Backoff;

/// A copy of what another node says of its own users, and how good it is.
#[derive(Debug, Default)]
pub(super) struct Remote {
    /// All that the node said up to this change is in the copy.
    change: u64,
    /// The last change that there is, as far as was heard.
    newest: u64,
    active: MemberSet,
    idle: MemberSet,
    /// When the node last said on the bus that what is copied is all there is.
    pub(super) whole_ms: u64,
    /// When the node last said to a writer that it lives.
    pub(super) writer_ms: u64,
    /// When the same node was first heard of with a later opening of the realm, if it was.
    pub(super) superseded_ms: Option<u64>,
    /// When to ask for what is missing, if something is.
    pub(super) ask: Option<Backoff>,
}

impl Remote {
    /// A node that was heard at `heard_ms`, and of which nothing is known.
    pub(super) fn heard(heard_ms: u64) -> Self {
        Self { whole_ms: heard_ms, ..Self::default() }
    }

    /// Takes a part of what the node said, at `heard_ms` by bus time, and gives the users it names to `named`,
    /// with the second when they were last heard of if they left. A part that does not follow on the copy says only
    /// that something is missing; one that is known already says nothing.
    pub(super) fn handle_part(
        &mut self,
        diff: &PresenceDiff,
        change: u64,
        heard_ms: u64,
        mut named: impl FnMut(UserId, Option<u64>),
    ) {
        self.newest = self.newest.max(change).max(diff.to);
        if diff.from > self.change || diff.to < self.change {
            return;
        }
        if diff.to > self.change {
            self.change = diff.to;
            let active = diff.active.iter().map(|user| (*user, Some(Status::Active), None));
            let idle = diff.idle.iter().map(|user| (*user, Some(Status::Idle), None));
            let gone = diff.offline.iter().map(|(user, heard_s)| (*user, None, Some(*heard_s)));
            for (user, status, heard_s) in active.chain(idle).chain(gone) {
                self.put(user, status);
                named(user, heard_s);
            }
        }
        if self.change == self.newest {
            self.whole_ms = self.whole_ms.max(heard_ms);
            self.ask = None;
        }
    }

    /// What the node's devices make of `user`, if it has one.
    pub(super) fn status(&self, user: UserId) -> Option<Status> {
        if self.active.contains(user) {
            return Some(Status::Active);
        }
        self.idle.contains(user).then_some(Status::Idle)
    }

    /// Sets what the node's devices make of `user`; none: it has none there.
    fn put(&mut self, user: UserId, status: Option<Status>) {
        match status {
            Some(Status::Active) => self.active.insert(user),
            Some(Status::Idle) => self.idle.insert(user),
            None => {}
        }
        if status != Some(Status::Active) {
            self.active.remove(user);
        }
        if status != Some(Status::Idle) {
            self.idle.remove(user);
        }
    }

    /// Everybody with a device there.
    pub(super) fn users(&self) -> impl Iterator<Item = UserId> + '_ {
        self.active.iter().chain(self.idle.iter())
    }

    /// Where the copy stands.
    pub(super) fn change(&self) -> u64 {
        self.change
    }

    /// Whether the node said something that is not in the copy.
    pub(super) fn is_missing_some(&self) -> bool {
        self.change < self.newest
    }

    /// Its last sign of life.
    pub(super) fn as_of_ms(&self) -> u64 {
        self.whole_ms.max(self.writer_ms)
    }
}
