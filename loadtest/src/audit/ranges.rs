//! A set of sequences that are mostly neighbours.

use std::collections::BTreeMap;

/// Disjoint ranges: those between which others lie cost 16 bytes, not each sequence.
#[derive(Debug, Clone, Default)]
pub(super) struct Ranges {
    /// First to last.
    ranges: BTreeMap<u64, u64>,
    count: u64,
}

impl Ranges {
    pub(super) fn contains(&self, sequence: u64) -> bool {
        self.ranges.range(..=sequence).next_back().is_some_and(|(_, last)| *last >= sequence)
    }

    /// False if it was in already.
    pub(super) fn insert(&mut self, sequence: u64) -> bool {
        if self.contains(sequence) {
            return false;
        }
        self.count += 1;
        let (mut first, mut last) = (sequence, sequence);
        if let Some((&before, _)) =
            self.ranges.range(..sequence).next_back().filter(|(_, end)| **end + 1 == sequence)
        {
            first = before;
        }
        if let Some(end) = self.ranges.remove(&(sequence + 1)) {
            last = end;
        }
        self.ranges.insert(first, last);
        true
    }

    /// Whether all of these are in: after `after`, up to `last`.
    pub(super) fn covers(&self, after: u64, last: u64) -> bool {
        after >= last || self.ranges.range(..=after + 1).next_back().is_some_and(|(_, end)| *end >= last)
    }

    pub(super) fn len(&self) -> u64 {
        self.count
    }

    #[cfg(test)]
    pub(super) fn range_count(&self) -> usize {
        self.ranges.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_set_and_neighbours_cost_nothing(sequences in prop::collection::vec(0u64..60, 0..120)) {
            let (mut ranges, mut plain) = (Ranges::default(), BTreeSet::new());
            for sequence in sequences {
                prop_assert_eq!(ranges.insert(sequence), plain.insert(sequence));
            }
            for sequence in 0..62 {
                prop_assert_eq!(ranges.contains(sequence), plain.contains(&sequence));
            }
            for (after, last) in (0..60).flat_map(|after| [(after, after + 1), (after, after + 5), (after, after)]) {
                prop_assert_eq!(ranges.covers(after, last), (after + 1..=last).all(|place| plain.contains(&place)));
            }
            let borders = plain.iter().filter(|sequence| **sequence == 0 || !plain.contains(&(*sequence - 1)));
            prop_assert_eq!((ranges.len(), ranges.range_count()), (plain.len() as u64, borders.count()));
        }
    }
}
