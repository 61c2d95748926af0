//! What a client saw that is not checked yet: a byte or two for each event.

/// Sequences seen, ascending within a *span*; a jump ends one span and begins the next elsewhere.
///
/// Bytes: a varint above 0 is an event, that much after the one before; 0 ends the span, and two varints say
/// how far it had passed (after the last event) and where the next one begins.
#[derive(Debug, Clone, Default)]
pub(super) struct Trail {
    bytes: Vec<u8>,
    /// The event (or the beginning of a span) before the first byte.
    anchor: u64,
    /// The last event of the last span, or its beginning.
    last: u64,
}

/// One thing on a trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It saw this event.
    Seen(u64),
    /// It passed all up to `passed`, then began anew after `from`.
    Jumped { passed: u64, from: u64 },
}

impl Trail {
    /// Nothing seen, after `from`.
    pub(super) fn begin(from: u64) -> Self {
        Self { bytes: Vec::new(), anchor: from, last: from }
    }

    #[cfg(test)]
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Adds an event after the last one.
    pub(super) fn saw(&mut self, sequence: u64) {
        debug_assert!(sequence > self.last);
        put(&mut self.bytes, sequence - self.last);
        self.last = sequence;
    }

    /// Ends the span at `passed`, at or after the last event, and begins one after `from`.
    pub(super) fn jump(&mut self, passed: u64, from: u64) {
        self.bytes.push(0);
        put(&mut self.bytes, passed.saturating_sub(self.last));
        put(&mut self.bytes, from);
        self.last = from;
    }

    /// What is on it, with the bytes up to and including each step and where it leads.
    pub(super) fn steps(&self) -> Steps<'_> {
        Steps { bytes: &self.bytes, at: 0, cursor: self.anchor }
    }

    /// Whether this event is in the last span of it.
    pub(super) fn contains(&self, sequence: u64) -> bool {
        self.steps().fold(false, |found, (step, _)| match step {
            Step::Seen(seen) => found || seen == sequence,
            Step::Jumped { .. } => false,
        })
    }

    /// Takes away the first `bytes`, which end at a step that leads to `cursor`.
    pub(super) fn forget(&mut self, bytes: usize, cursor: u64) {
        self.bytes.drain(..bytes);
        self.anchor = cursor;
        if self.bytes.capacity() > SPARE_BYTES_MAX && self.bytes.len() < self.bytes.capacity() / 4 {
            self.bytes.shrink_to(self.bytes.len() * 2);
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
    }
}

/// The steps of a trail, each with the [`Mark`] behind it.
pub(super) struct Steps<'a> {
    bytes: &'a [u8],
    at: usize,
    cursor: u64,
}

/// A place between two steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// Bytes before it.
    pub(super) bytes: usize,
    /// What the next step counts from.
    pub(super) cursor: u64,
}

impl Iterator for Steps<'_> {
    type Item = (Step, Mark);

    fn next(&mut self) -> Option<Self::Item> {
        let step = match self.take()? {
            0 => {
                let passed = self.cursor + self.take()?;
                self.cursor = self.take()?;
                Step::Jumped { passed, from: self.cursor }
            }
            delta => {
                self.cursor += delta;
                Step::Seen(self.cursor)
            }
        };
        Some((step, Mark { bytes: self.at, cursor: self.cursor }))
    }
}

impl Steps<'_> {
    fn take(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// What an emptied trail may keep for the next events.
const SPARE_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn neighbours_cost_a_byte() {
        let mut trail = Trail::begin(1 << 40);
        (1..=100).for_each(|delta| trail.saw((1 << 40) + delta));
        assert_eq!(trail.bytes.len(), 100);
    }

    #[test]
    fn what_is_forgotten_costs_nothing() {
        let mut trail = Trail::begin(0);
        (1..=10_000).for_each(|sequence| trail.saw(sequence));
        let (_, mark) = trail.steps().last().unwrap();
        trail.forget(mark.bytes, mark.cursor);
        assert!(trail.memory_bytes() <= SPARE_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn steps_are_read_back_also_after_some_were_forgotten(
            pieces in prop::collection::vec((prop::option::of((0u64..300, 0u64..1 << 53)), 1u64..1 << 20), 0..60),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut trail = Trail::begin(7);
            let mut expected = Vec::new();
            for (jump, delta) in pieces {
                match jump {
                    Some((further, from)) => {
                        let passed = trail.last() + further;
                        trail.jump(passed, from);
                        expected.push(Step::Jumped { passed, from });
                    }
                    None => {
                        trail.saw(trail.last() + delta);
                        expected.push(Step::Seen(trail.last()));
                    }
                }
            }
            let steps: Vec<_> = trail.steps().collect();
            prop_assert!(steps.iter().map(|(step, _)| *step).eq(expected.iter().copied()));
            if let Some((_, mark)) = steps.get(cut.index(steps.len().max(1))) {
                trail.forget(mark.bytes, mark.cursor);
                let rest = trail.steps().map(|(step, _)| step);
                prop_assert!(rest.eq(expected[cut.index(steps.len()) + 1..].iter().copied()));
            }
        }
    }
}
