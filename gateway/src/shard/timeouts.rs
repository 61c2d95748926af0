//! Deadlines that are all the same time away.

use std::collections::VecDeque;

/// A queue of deadlines with one delay: what was set first is due first, so it needs no ordering.
#[derive(Debug)]
pub(crate) struct Timeouts<K> {
    delay_ms: u64,
    due: VecDeque<(u64, K)>,
}

impl<K: Copy> Timeouts<K> {
    pub(crate) fn new(delay_ms: u64) -> Self {
        Self { delay_ms, due: VecDeque::new() }
    }

    /// Sets one more; there is no unsetting: whoever is due checks whether it still matters.
    pub(crate) fn set(&mut self, key: K, now_ms: u64) {
        self.due.push_back((now_ms + self.delay_ms, key));
    }

    /// The next that is due, if any, and when it was set.
    pub(crate) fn pop(&mut self, now_ms: u64) -> Option<(K, u64)> {
        let (at_ms, key) = *self.due.front()?;
        if at_ms > now_ms {
            return None;
        }
        self.due.pop_front();
        if self.due.len() < self.due.capacity() / 4 {
            // A herd is over: its room is given back.
            self.due.shrink_to(self.due.len() * 2);
        }
        Some((key, at_ms - self.delay_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_herd_needed_is_given_back() {
        let mut timeouts = Timeouts::new(10);
        (0..10_000).for_each(|key| timeouts.set(key, 0));
        while timeouts.pop(10).is_some() {}
        assert!(timeouts.due.capacity() < 10, "{}", timeouts.due.capacity());
    }

    #[test]
    fn they_are_due_in_order_and_not_before_their_time() {
        let mut timeouts = Timeouts::new(10);
        timeouts.set('a', 0);
        timeouts.set('b', 5);
        assert_eq!(timeouts.pop(9), None);
        assert_eq!(timeouts.pop(10), Some(('a', 0)));
        assert_eq!(timeouts.pop(10), None);
        assert_eq!(timeouts.pop(99), Some(('b', 5)));
        assert_eq!(timeouts.pop(99), None);
    }
}
