//! Which writer serves which realm.

use squall_protocol::RealmId;

/// The writers of a cluster, by the addresses they were given by. Each realm prefers one (rendezvous hashing:
/// one writer more or less moves only the realms that it takes or leaves), the same on every node.
#[derive(Debug)]
pub(super) struct Placement {
    /// A hash of each writer's address.
    writers: Vec<u64>,
}

impl Placement {
    pub(super) fn new<'a>(addresses: impl IntoIterator<Item = &'a str>) -> Self {
        Self { writers: addresses.into_iter().map(hash_of).collect() }
    }

    /// The writer that the realm prefers.
    pub(super) fn preferred(&self, realm: RealmId) -> usize {
        let score = |index: &usize| mix(self.writers[*index] ^ mix(realm.0));
        (0..self.writers.len()).max_by_key(score).unwrap_or(0)
    }

    /// All writers in the order in which they are tried for what prefers `first`.
    pub(super) fn order(&self, first: usize) -> impl Iterator<Item = usize> + use<> {
        let count = self.writers.len();
        (0..count).map(move |step| (first + step) % count)
    }
}

/// FNV-1a: the same in every version and on every machine.
fn hash_of(address: &str) -> u64 {
    address.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The finaliser of SplitMix64: each bit of the input turns half of the output's.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITERS: [&str; 4] = ["http://a:1", "http://b:1", "http://c:1", "http://d:1"];

    fn addresses_of(writers: &[&'static str]) -> Vec<&'static str> {
        let placement = Placement::new(writers.iter().copied());
        (1..=4_000).map(|realm| writers[placement.preferred(RealmId(realm))]).collect()
    }

    #[test]
    fn realms_are_spread_over_the_writers_and_the_order_of_flags_does_not_matter() {
        let placed = addresses_of(&WRITERS);
        for writer in WRITERS {
            let share = placed.iter().filter(|placed| **placed == writer).count();
            assert!((850..1_150).contains(&share), "{writer} has {share} of 4,000");
        }
        let reversed: Vec<_> = WRITERS.iter().rev().copied().collect();
        assert_eq!(addresses_of(&reversed), placed);
    }

    #[test]
    fn a_writer_that_goes_leaves_others_realms_where_they_are() {
        let (before, after) = (addresses_of(&WRITERS), addresses_of(&WRITERS[..3]));
        for (before, after) in before.iter().zip(&after) {
            assert!(before == after || *before == WRITERS[3]);
        }
    }

    #[test]
    fn every_writer_is_tried_once_the_preferred_one_first() {
        let placement = Placement::new(WRITERS);
        assert_eq!(placement.order(2).collect::<Vec<_>>(), [2, 3, 0, 1]);
    }
}
