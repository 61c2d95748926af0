//! The names of channels and keys, and the slots of a Cluster they lie in.

use squall_protocol::RealmId;

/// Slots of a Redis Cluster.
pub(super) const SLOTS: u16 = 16384;

/// A place in a Redis Cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(pub(super) u16);

/// The names that begin with one prefix.
#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// A realm's channel. The braces make its slot depend on the realm alone, so that whatever else of the realm
    /// comes to Redis lies beside it.
    pub(super) fn realm(&self, realm: RealmId) -> String {
        format!("{}:{{{}}}", self.prefix, realm.0)
    }

    /// The realm whose channel this is.
    pub(super) fn realm_of(&self, channel: &str) -> Option<RealmId> {
        let rest = channel.strip_prefix(self.prefix.as_str())?;
        let number = rest.strip_prefix(":{")?.strip_suffix('}')?;
        number.parse().ok().map(RealmId)
    }

    /// A canary's channel, in one of the slots for which `lies_here` holds; `None` if there is hardly any.
    pub(super) fn canary(&self, link: u64, lies_here: impl Fn(Slot) -> bool) -> Option<String> {
        let names =
            (0..CANARY_NAMES_TRIED_MAX).map(|number| format!("{}:canary:{{{link:x}-{number}}}", self.prefix));
        names.into_iter().find(|name| lies_here(Slot::of(name)))
    }
}

/// A server with a thousandth of the slots is found by half as many names in all but e^-16 of the cases.
const CANARY_NAMES_TRIED_MAX: u32 = SLOTS as u32;

impl Slot {
    /// The slot of a key or channel: CRC-16 of what is between the first braces, if they enclose anything.
    pub(super) fn of(name: &str) -> Self {
        let tag = name.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
        let tag = tag.filter(|tag| !tag.is_empty()).unwrap_or(name);
        let crc = tag.bytes().fold(0u16, |crc, byte| {
            (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
            })
        });
        Self(crc % SLOTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_names_its_realm() {
        let names = Names::new("squall");
        assert_eq!(names.realm(RealmId(17)), "squall:{17}");
        assert_eq!(names.realm_of("squall:{17}"), Some(RealmId(17)));
        for foreign in ["squall:canary:{17}", "squallx:{17}", "squall:{x}", "squall:17", "other:{17}", ""] {
            assert_eq!(names.realm_of(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn slots_are_those_of_redis() {
        // As `CLUSTER KEYSLOT` says.
        for (name, slot) in [
            ("123456789", 12739),
            ("foo", 12182),
            ("{foo}:bar", 12182),
            ("{}foo", 9500),
            ("squall:{17}", 12304),
        ] {
            assert_eq!(Slot::of(name), Slot(slot), "{name}");
        }
    }

    #[test]
    fn a_canary_is_found_for_a_small_share_of_the_slots() {
        let names = Names::new("squall");
        let canary = names.canary(7, |slot| slot.0 < 16).unwrap();
        assert!(Slot::of(&canary).0 < 16);
        assert_eq!(names.realm_of(&canary), None);
        assert_eq!(names.canary(7, |_| false), None);
    }
}
