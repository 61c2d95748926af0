//! The plain model of presence: who is connected to a node, and what that allows it to tell.

use std::collections::{BTreeMap, BTreeSet};

use squall_protocol::client_message::Status;
use squall_protocol::server_message::{PresenceDiff, PresenceSnapshot};
use squall_protocol::{SessionId, UserId};

use crate::reference::Users;

/// One realm's devices on one node, told the same as the node's presence is.
pub(crate) struct Attendance {
    grace_ms: u64,
    lease_ms: u64,
    devices: BTreeMap<SessionId, Device>,
    /// When a device of the user left last.
    left_ms: BTreeMap<UserId, u64>,
    /// Whoever was there once.
    seen: BTreeSet<UserId>,
}

struct Device {
    user: UserId,
    active_until_ms: u64,
}

/// What a client shows, or a node's snapshot says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) active: Users,
    pub(crate) idle: Users,
    pub(crate) offline: BTreeMap<UserId, u64>,
}

impl Attendance {
    pub(crate) fn new(grace_ms: u64, lease_ms: u64) -> Self {
        Self { grace_ms, lease_ms, devices: BTreeMap::new(), left_ms: BTreeMap::new(), seen: BTreeSet::new() }
    }

    pub(crate) fn connect(&mut self, user: UserId, device: SessionId, status: Status, now_ms: u64) {
        self.devices.insert(device, Device { user, active_until_ms: 0 });
        self.seen.insert(user);
        self.status(device, status, now_ms);
    }

    pub(crate) fn status(&mut self, device: SessionId, status: Status, now_ms: u64) {
        if let Some(device) = self.devices.get_mut(&device) {
            device.active_until_ms = match status {
                Status::Active => now_ms + self.lease_ms,
                Status::Idle => 0,
            };
        }
    }

    pub(crate) fn disconnect(&mut self, device: SessionId, now_ms: u64) {
        if let Some(device) = self.devices.remove(&device) {
            self.left_ms.insert(device.user, now_ms);
        }
    }

    pub(crate) fn user_gone(&mut self, user: UserId) {
        self.devices.retain(|_, device| device.user != user);
        self.left_ms.remove(&user);
    }

    /// Judges what the node told at its tick, and what it shows after it.
    pub(crate) fn judge(
        &self,
        told: Option<&PresenceDiff>,
        shown: &Shown,
        now_ms: u64,
    ) -> Result<(), String> {
        for user in &self.seen {
            let best = self.best(*user, now_ms);
            let in_grace = self.left_ms.get(user).is_some_and(|left_ms| left_ms + self.grace_ms > now_ms);
            let offline = shown.offline.contains_key(user);
            let told_offline =
                told.is_some_and(|diff| diff.offline.iter().any(|(offline, _)| offline == user));
            let here = match best {
                Some(Status::Active) => shown.active.contains(*user),
                Some(Status::Idle) if in_grace => !offline,
                Some(Status::Idle) => shown.idle.contains(*user),
                None if in_grace => !told_offline,
                None => offline,
            };
            if !here {
                let grace = if in_grace { ", within grace" } else { "" };
                return Err(format!("user {user} is {best:?}{grace}, and is shown as {}", shown.of(*user)));
            }
        }
        Ok(())
    }

    /// The best status of the user's connected devices.
    fn best(&self, user: UserId, now_ms: u64) -> Option<Status> {
        let devices = self.devices.values().filter(|device| device.user == user);
        devices
            .map(|device| if device.active_until_ms > now_ms { Status::Active } else { Status::Idle })
            .max()
    }
}

impl Shown {
    pub(crate) fn snapshot(snapshot: &PresenceSnapshot) -> Self {
        Self {
            active: Users::of(&snapshot.active),
            idle: Users::of(&snapshot.idle),
            offline: snapshot.offline.iter().copied().collect(),
        }
    }

    pub(crate) fn apply(&mut self, diff: &PresenceDiff) {
        let offline: Vec<_> = diff.offline.iter().map(|(user, _)| *user).collect();
        let named = Users::of(&diff.active).with(Users::of(&diff.idle)).with(Users::of(&offline));
        self.active = self.active.without(named).with(Users::of(&diff.active));
        self.idle = self.idle.without(named).with(Users::of(&diff.idle));
        self.offline.retain(|user, _| !named.contains(*user));
        self.offline.extend(diff.offline.iter().copied());
    }

    fn of(&self, user: UserId) -> &'static str {
        match (self.active.contains(user), self.idle.contains(user), self.offline.contains_key(&user)) {
            (true, false, false) => "active",
            (false, true, false) => "idle",
            (false, false, true) => "offline",
            (false, false, false) => "nothing",
            _ => "several things",
        }
    }
}
