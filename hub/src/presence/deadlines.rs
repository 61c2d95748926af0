//! What is due when.

use std::collections::BTreeSet;

/// Keys ordered by the time at which they are due, in milliseconds. Whoever sets a deadline remembers it,
/// and takes it back with the same pair.
#[derive(Debug)]
pub(super) struct Deadlines<K>(BTreeSet<(u64, K)>);

impl<K: Ord + Copy> Deadlines<K> {
    pub(super) fn set(&mut self, due_ms: u64, key: K) {
        self.0.insert((due_ms, key));
    }

    pub(super) fn cancel(&mut self, due_ms: u64, key: K) {
        self.0.remove(&(due_ms, key));
    }

    /// The longest overdue key, taken out, if one is due at `now_ms`.
    pub(super) fn pop_due(&mut self, now_ms: u64) -> Option<K> {
        let (due_ms, _) = self.0.first()?;
        if *due_ms > now_ms {
            return None;
        }
        self.0.pop_first().map(|(_, key)| key)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Self(BTreeSet::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_in_the_order_of_its_time_and_not_before_it() {
        let mut deadlines = Deadlines::default();
        deadlines.set(30, 'c');
        deadlines.set(10, 'b');
        deadlines.set(20, 'a');
        deadlines.cancel(20, 'a');
        assert_eq!(deadlines.pop_due(9), None);
        assert_eq!(deadlines.pop_due(30), Some('b'));
        assert_eq!(deadlines.pop_due(30), Some('c'));
        assert_eq!(deadlines.pop_due(u64::MAX), None);
    }
}
