//! What nodes tell each other of their users, on a realm's channel of the bus.
//!
//! Each node numbers what changes about its own users, and says it in that order; whoever missed a part
//! asks for what it lacks, and all hear the answer. Nothing of it is in the log.

use bincode::{Decode, Encode};

use crate::ids::{NodeId, RealmId};
use crate::server_message::PresenceDiff;

/// Whose change numbers: a node's, from one opening of the realm to the next. Another opening begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct PresenceSource {
    /// The node.
    pub node_id: NodeId,
    /// Which of its openings of the realm; a later one is greater.
    pub opening: u64,
}

/// A part of what a node said of its users since it opened the realm.
///
/// It takes whoever stands at a change number from `diff.from` to `diff.to` on to `diff.to`. One that
/// names nobody, with both at `change`, is a sign of life: all said up to `change` holds at `diff.as_of_ms`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct NodePresence {
    /// In which realm.
    pub realm_id: RealmId,
    /// Who says it, and whose the numbers are.
    pub source: PresenceSource,
    /// The number of the last change there is: above `diff.to` if more parts follow.
    pub change: u64,
    /// What changed, by this node's users alone. At most [`crate::limits::NODE_PRESENCE_USERS_MAX`] users.
    pub diff: PresenceDiff,
}

/// A node asks for what it missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct PresenceAsk {
    /// In which realm.
    pub realm_id: RealmId,
    /// Who asks.
    pub from: NodeId,
    /// Who is asked; without one, everybody.
    pub to: Option<PresenceSource>,
    /// The change number at which the asker stands. A number that is not reached yet is answered by a sign
    /// of life.
    pub since: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Frame;
    use crate::ids::UserId;

    const SOURCE: PresenceSource = PresenceSource { node_id: NodeId(0x1D_BEEF_CAFE_F00D), opening: 2 };

    fn presence(diff: PresenceDiff) -> Frame {
        Frame::NodePresence(NodePresence { realm_id: RealmId(1), source: SOURCE, change: diff.to, diff })
    }

    fn diff(from: u64, to: u64) -> PresenceDiff {
        PresenceDiff { as_of_ms: 1_763_818_165_123, from, to, ..PresenceDiff::default() }
    }

    #[test]
    fn presence_between_nodes_comes_back_as_it_was() {
        let changes = PresenceDiff {
            active: vec![UserId(3), UserId(9)],
            idle: vec![UserId(4)],
            offline: vec![(UserId(5), 1_763_818_140)],
            ..diff(71, 75)
        };
        let ask =
            |to| Frame::PresenceAsk(PresenceAsk { realm_id: RealmId(1), from: NodeId(7), to, since: 3 });
        for frame in [presence(changes), presence(diff(75, 75)), ask(None), ask(Some(SOURCE))] {
            assert_eq!(Frame::decode(&frame.encode()), Ok(Some(frame)));
        }
    }

    /// What docs and comments say of the cost.
    #[test]
    fn a_sign_of_life_takes_39_bytes_and_a_change_one_to_five_more() {
        let size = |diff| presence(diff).encode().len();
        let idle = size(diff(700, 700));
        assert_eq!(idle, 39);
        let users: Vec<_> = (1..=200).map(|user| UserId(user * 37)).collect();
        assert_eq!(size(PresenceDiff { active: users.clone(), ..diff(700, 900) }) - idle, 200);
        let offline = users.iter().map(|user| (*user, 1_763_818_165 - 57)).collect();
        assert_eq!(size(PresenceDiff { offline, ..diff(700, 900) }) - idle, 400);
    }
}
