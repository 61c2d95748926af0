//! The event queues that this node knows something of: which are being polled, and which were given up.
//!
//! A queue itself is its id; this is what one poll must know of another.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use squall_zulip::queue::QueueTag;

/// Asked when a poll begins and when it ends.
#[derive(Debug, Default)]
pub(crate) struct Queues(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Which shard holds the queue's poll.
    polled: HashMap<QueueTag, usize>,
    forgotten: HashSet<QueueTag>,
    /// The same, the oldest first.
    order: VecDeque<QueueTag>,
}

/// Queues given up that are remembered; beyond it the oldest could be polled again, by whoever knows its id.
const FORGOTTEN_MAX: usize = 100_000;

impl Queues {
    /// A poll of the queue begins in `shard`: the other shard that holds an older one, if there is one.
    pub(crate) fn begin_poll(&self, tag: QueueTag, shard: usize) -> Option<usize> {
        let before = self.known().polled.insert(tag, shard);
        before.filter(|before| *before != shard)
    }

    /// The poll that `shard` held is answered.
    pub(crate) fn end_poll(&self, tag: QueueTag, shard: usize) {
        let mut known = self.known();
        if known.polled.get(&tag) == Some(&shard) {
            known.polled.remove(&tag);
        }
    }

    /// The queue was given up; false if it was before.
    pub(crate) fn forget(&self, tag: QueueTag) -> bool {
        let mut known = self.known();
        if !known.forgotten.insert(tag) {
            return false;
        }
        known.order.push_back(tag);
        if known.order.len() > FORGOTTEN_MAX
            && let Some(oldest) = known.order.pop_front()
        {
            known.forgotten.remove(&oldest);
        }
        true
    }

    /// Whether the queue was given up.
    pub(crate) fn is_forgotten(&self, tag: QueueTag) -> bool {
        self.known().forgotten.contains(&tag)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use squall_protocol::UserId;

    use super::*;

    fn tag(nonce: u64) -> QueueTag {
        QueueTag { user_id: UserId(1), nonce }
    }

    #[test]
    fn a_poll_knows_of_an_older_one_elsewhere() {
        let queues = Queues::default();
        assert_eq!(queues.begin_poll(tag(1), 0), None);
        assert_eq!(queues.begin_poll(tag(1), 0), None, "one's own shard sees for itself");
        assert_eq!(queues.begin_poll(tag(1), 1), Some(0));
        queues.end_poll(tag(1), 0);
        assert_eq!(queues.begin_poll(tag(1), 2), Some(1), "the older one's end is not the newer one's");
        queues.end_poll(tag(1), 2);
        assert_eq!(queues.begin_poll(tag(1), 0), None);
    }

    #[test]
    fn so_many_queues_are_remembered_as_given_up() {
        let queues = Queues::default();
        assert!(queues.forget(tag(0)));
        assert!(!queues.forget(tag(0)) && queues.is_forgotten(tag(0)));
        (1..=FORGOTTEN_MAX as u64).for_each(|nonce| assert!(queues.forget(tag(nonce))));
        assert!(!queues.is_forgotten(tag(0)) && queues.is_forgotten(tag(1)));
    }
}
