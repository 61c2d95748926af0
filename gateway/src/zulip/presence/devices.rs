//! Users who say by HTTP that they are here: a device each, until they say nothing for a while.

use std::cell::RefCell;
use std::collections::HashMap;

use squall_protocol::client_message::Status;
use squall_protocol::limits::HEARTBEAT;
use squall_protocol::{RealmId, SessionId, UserId};

use crate::keeper::PresenceReport;

/// The devices that one shard heard of.
#[derive(Default)]
pub(crate) struct Devices(RefCell<HashMap<UserId, Device>>);

struct Device {
    id: SessionId,
    realm: RealmId,
    heard_ms: u64,
    status: Status,
    /// When the keepers heard of it last.
    told_ms: u64,
}

/// Zulip's clients speak up each minute.
const SILENCE_MAX_MS: u64 = 70_000;

/// What a device said last is told again so often: the keepers take who says nothing for longer as idle.
const RENEWAL_MS: u64 = 15_000;

const _: () = assert!(RENEWAL_MS < HEARTBEAT.as_millis() as u64);

impl Devices {
    /// The user says that it is here: what the keepers are to be told.
    pub(crate) fn heard(
        &self,
        realm: RealmId,
        user: UserId,
        status: Status,
        now_ms: u64,
        new_id: impl FnOnce() -> SessionId,
    ) -> Vec<PresenceReport> {
        let mut devices = self.0.borrow_mut();
        if let Some(device) = devices.get_mut(&user) {
            (device.heard_ms, device.told_ms, device.status) = (now_ms, now_ms, status);
            return vec![PresenceReport::Status { device: device.id, status }];
        }
        let id = new_id();
        devices.insert(user, Device { id, realm, heard_ms: now_ms, status, told_ms: now_ms });
        vec![PresenceReport::Connected { user, device: id, status }]
    }

    /// Time went on: what the keepers are to be told of those who are still here, and of those who have said
    /// nothing for too long.
    pub(crate) fn handle_tick(&self, now_ms: u64) -> Vec<(RealmId, PresenceReport)> {
        let mut reports = Vec::new();
        self.0.borrow_mut().retain(|_, device| {
            let (id, realm, heard_ms, status) = (device.id, device.realm, device.heard_ms, device.status);
            let here = heard_ms + SILENCE_MAX_MS > now_ms;
            if !here {
                reports.push((realm, PresenceReport::Disconnected { device: id, heard_ms }));
            } else if status == Status::Active && device.told_ms + RENEWAL_MS <= now_ms {
                device.told_ms = now_ms;
                reports.push((realm, PresenceReport::Status { device: id, status }));
            }
            here
        });
        reports
    }

    /// The keepers loaded the realm anew and know nothing of its devices: the next sign of each is its first.
    pub(crate) fn forget(&self, realm: RealmId) {
        self.0.borrow_mut().retain(|_, device| device.realm != realm);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REALM: RealmId = RealmId(7);

    fn hear(devices: &Devices, user: u32, now_ms: u64) -> Vec<PresenceReport> {
        let id = SessionId(u64::from(user) + 100 + now_ms);
        devices.heard(REALM, UserId(user), Status::Active, now_ms, || id)
    }

    #[test]
    fn a_user_is_one_device_until_it_falls_silent() {
        let devices = Devices::default();
        let first = hear(&devices, 1, 0);
        assert!(matches!(first[..], [PresenceReport::Connected { device: SessionId(101), .. }]));
        let again = hear(&devices, 1, 60_000);
        assert!(matches!(again[..], [PresenceReport::Status { device: SessionId(101), .. }]));
        let renewed = devices.handle_tick(60_000 + SILENCE_MAX_MS - 1);
        assert!(matches!(renewed[..], [(REALM, PresenceReport::Status { status: Status::Active, .. })]));
        assert!(devices.handle_tick(60_000 + SILENCE_MAX_MS - 1).is_empty());
        let gone = devices.handle_tick(60_000 + SILENCE_MAX_MS);
        assert!(matches!(
            gone[..],
            [(REALM, PresenceReport::Disconnected { device: SessionId(101), heard_ms: 60_000 })]
        ));
        assert!(matches!(hear(&devices, 1, 200_000)[..], [PresenceReport::Connected { .. }]));
    }

    #[test]
    fn a_realm_that_was_loaded_anew_hears_of_everybody_again() {
        let devices = Devices::default();
        hear(&devices, 1, 0);
        devices.forget(RealmId(8));
        assert!(matches!(hear(&devices, 1, 1)[..], [PresenceReport::Status { .. }]));
        devices.forget(REALM);
        assert!(matches!(hear(&devices, 1, 2)[..], [PresenceReport::Connected { .. }]));
    }
}
