//! What this node knows of one user's connections.

use smallvec::SmallVec;
use squall_protocol::SessionId;
use squall_protocol::client_message::Status;

/// One user's devices, those that left within grace, and when it was last heard of.
#[derive(Debug, Default)]
pub(super) struct Attendance {
    devices: SmallVec<[Device; 1]>,
    /// Kept apart from the devices because a reconnect comes with a new session: nothing tells which
    /// device came back.
    held: Vec<Held>,
    heard_ms: u64,
    /// When its last-heard time is to be stored next, if it is.
    pub(super) store_due_ms: Option<u64>,
}

/// A connected device.
#[derive(Debug)]
struct Device {
    session: SessionId,
    /// Active until then; idle without it.
    lease_ms: Option<u64>,
}

/// A device that left, and counts on until its grace is over.
#[derive(Debug)]
struct Held {
    status: Status,
    until_ms: u64,
}

impl Attendance {
    /// A device came. It takes the place of one that left within grace, if there is such: of one with the
    /// same status rather than another, so that a link that breaks under several devices at once changes
    /// nothing either. Returns the end of the grace that nothing waits for any more.
    pub(super) fn connect(&mut self, session: SessionId, lease_ms: Option<u64>, now_ms: u64) -> Option<u64> {
        self.end_graces(now_ms);
        self.devices.push(Device { session, lease_ms });
        let status = if lease_ms.is_some() { Status::Active } else { Status::Idle };
        let same = self.held.iter().position(|held| held.status == status);
        let replaced = same.or_else(|| (!self.held.is_empty()).then_some(0))?;
        let until_ms = self.held.remove(replaced).until_ms;
        (!self.held.iter().any(|held| held.until_ms == until_ms)).then_some(until_ms)
    }

    /// Sets or ends a device's lease. Returns the one it had.
    pub(super) fn set_lease(&mut self, session: SessionId, lease_ms: Option<u64>) -> Option<u64> {
        let device = self.devices.iter_mut().find(|device| device.session == session)?;
        std::mem::replace(&mut device.lease_ms, lease_ms)
    }

    /// A device left, and is held with its status until `until_ms`. Returns its lease.
    pub(super) fn disconnect(&mut self, session: SessionId, until_ms: u64, now_ms: u64) -> Option<u64> {
        let place = self.devices.iter().position(|device| device.session == session)?;
        let device = self.devices.remove(place);
        self.held.push(Held { status: device.status(now_ms), until_ms });
        device.lease_ms
    }

    /// The user is no user any more: takes away every device, held ones too, and returns the connected ones
    /// with their leases.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = (SessionId, Option<u64>)> {
        self.held.clear();
        std::mem::take(&mut self.devices).into_iter().map(|device| (device.session, device.lease_ms))
    }

    /// Forgets the devices whose grace is over.
    pub(super) fn end_graces(&mut self, now_ms: u64) {
        self.held.retain(|held| held.until_ms > now_ms);
    }

    /// The user gave a sign of life at `at_ms`.
    pub(super) fn hear(&mut self, at_ms: u64) {
        self.heard_ms = self.heard_ms.max(at_ms);
    }

    /// Seconds since the Unix epoch.
    pub(super) fn heard_s(&self) -> u64 {
        self.heard_ms / 1000
    }

    /// The best status of the connected devices.
    pub(super) fn live(&self, now_ms: u64) -> Option<Status> {
        self.devices.iter().map(|device| device.status(now_ms)).max()
    }

    /// The best status of the devices that left within grace.
    pub(super) fn held(&self, now_ms: u64) -> Option<Status> {
        self.held.iter().filter(|held| held.until_ms > now_ms).map(|held| held.status).max()
    }

    /// Whether a device is connected or within grace.
    pub(super) fn is_here(&self) -> bool {
        !self.devices.is_empty() || !self.held.is_empty()
    }
}

impl Device {
    fn status(&self, now_ms: u64) -> Status {
        match self.lease_ms {
            Some(lease_ms) if lease_ms > now_ms => Status::Active,
            Some(_) | None => Status::Idle,
        }
    }
}
