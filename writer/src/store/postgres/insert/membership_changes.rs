//! What a group's begins and ends of memberships leave.

use std::collections::BTreeMap;

use squall_protocol::{Sequence, StreamId, UserId};

use crate::decide::MembershipRow;

/// Memberships that were there before and end, and those that begin, some of which end in the same group. The
/// first kind is to be stored first: a membership is open once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct MembershipChanges {
    pub(super) ended: Vec<Ended>,
    pub(super) begun: Vec<Begun>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) stream_id: StreamId,
    pub(super) user_id: UserId,
    pub(super) to: Sequence,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Begun {
    pub(super) stream_id: StreamId,
    pub(super) user_id: UserId,
    pub(super) from: Sequence,
    pub(super) to: Option<Sequence>,
}

impl MembershipChanges {
    /// Of rows in the order of their sequences.
    pub(super) fn of(rows: &[MembershipRow]) -> Self {
        let mut changes = Self::default();
        // Where in `begun` the open membership of this group is.
        let mut open: BTreeMap<(StreamId, UserId), usize> = BTreeMap::new();
        for MembershipRow { stream_id, user_ids, sequence, begins } in rows {
            let (stream_id, sequence) = (*stream_id, *sequence);
            for user_id in user_ids.iter().copied() {
                if *begins {
                    open.insert((stream_id, user_id), changes.begun.len());
                    changes.begun.push(Begun { stream_id, user_id, from: sequence, to: None });
                } else if let Some(index) = open.remove(&(stream_id, user_id)) {
                    changes.begun[index].to = Some(sequence);
                } else {
                    changes.ended.push(Ended { stream_id, user_id, to: sequence });
                }
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_and_goes_in_one_group_leaves_intervals() {
        let (stream_id, old, new) = (StreamId(1), UserId(1), UserId(2));
        let row = |users: &[UserId], sequence, begins| MembershipRow {
            stream_id,
            user_ids: users.to_vec(),
            sequence: Sequence(sequence),
            begins,
        };
        let rows =
            [row(&[old], 1, false), row(&[old, new], 2, true), row(&[new], 3, false), row(&[new], 4, true)];
        let begun = |user_id, from, to: Option<u64>| Begun {
            stream_id,
            user_id,
            from: Sequence(from),
            to: to.map(Sequence),
        };
        let expected = MembershipChanges {
            ended: vec![Ended { stream_id, user_id: old, to: Sequence(1) }],
            begun: vec![begun(old, 2, None), begun(new, 2, Some(3)), begun(new, 4, None)],
        };
        assert_eq!(MembershipChanges::of(&rows), expected);
    }
}
