//! Maps by id.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map whose keys are ids: numbers that the writer or this node gave out, so that no client can choose
/// colliding ones. Hashing one is a multiplication, where the standard hasher takes a hundred instructions.
pub type IdMap<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;

/// Spreads the bits of numbers.
#[derive(Debug, Default, Clone, Copy)]
pub struct IdHasher(u64);

/// 2^64 divided by the golden ratio: bits like any others.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        let product = u128::from(self.0.rotate_left(32) ^ number) * u128::from(SPREAD);
        // A map takes its buckets from the low bits and its tags from the high ones: both halves matter.
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::BuildHasher as _;

    use squall_protocol::UserId;

    use super::*;
    use crate::roster::SessionKey;

    fn spread<K: std::hash::Hash>(keys: impl Iterator<Item = K>, bits: u32) -> usize {
        let hasher = BuildHasherDefault::<IdHasher>::default();
        let buckets: HashSet<_> = keys.map(|key| hasher.hash_one(&key) & ((1 << bits) - 1)).collect();
        buckets.len()
    }

    #[test]
    fn neighbours_and_strided_ids_are_spread_over_the_buckets() {
        // 4,096 keys thrown at random into as many buckets would fill 63 % of them.
        let fair = 4_096 * 55 / 100;
        assert!(spread((0..4_096).map(UserId), 12) > fair);
        assert!(spread((0..4_096).map(|n| UserId(n * 64)), 12) > fair);
        let key = |n: u32| SessionKey { slot: n % 64, generation: n };
        assert!(spread((0..4_096).map(key), 12) > fair);
    }
}
