//! A set of small numbers.

/// A set of users of a realm, by their index in its book.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub(super) fn contains(&self, index: u32) -> bool {
        self.0.get(index as usize / 64).is_some_and(|word| word & bit(index) != 0)
    }

    pub(super) fn insert(&mut self, index: u32) {
        let word = index as usize / 64;
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= bit(index);
    }

    pub(super) fn remove(&mut self, index: u32) {
        if let Some(word) = self.0.get_mut(index as usize / 64) {
            *word &= !bit(index);
        }
    }

    pub(super) fn put(&mut self, index: u32, inside: bool) {
        if inside { self.insert(index) } else { self.remove(index) }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.0.capacity() * size_of::<u64>()
    }
}

fn bit(index: u32) -> u64 {
    1 << (index % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_is_in_until_it_is_taken_out() {
        let mut bits = Bits::default();
        assert!(!bits.contains(700));
        for index in [0, 63, 64, 700] {
            bits.insert(index);
            assert!(bits.contains(index));
        }
        bits.put(64, false);
        assert!(!bits.contains(64) && bits.contains(63) && bits.contains(700));
        bits.remove(9_999);
    }
}
