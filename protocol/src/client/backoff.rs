//! How long to wait before the next attempt to connect.

use std::time::Duration;

/// Full jitter (SPEC.md, section 8): a random time below a bound that doubles with each failure.
#[derive(Debug)]
pub(crate) struct Backoff {
    failures: u32,
    random: fastrand::Rng,
}

impl Backoff {
    /// The first bound where the server is expected back soon.
    pub(crate) const RESUME: Duration = Duration::from_millis(500);
    /// The first bound where the server asked for a delay.
    pub(crate) const DELAY: Duration = Duration::from_secs(5);
    /// The greatest bound.
    pub(crate) const BOUND_MAX: Duration = Duration::from_secs(20);

    /// No failure yet.
    pub(crate) fn new(seed: u64) -> Self {
        Self { failures: 0, random: fastrand::Rng::with_seed(seed) }
    }

    /// The wait after one more failure; `first` is the bound after the first one.
    pub(crate) fn next(&mut self, first: Duration) -> Duration {
        let doubled = 2_u32.checked_pow(self.failures).and_then(|factor| first.checked_mul(factor));
        let bound = doubled.map_or(Self::BOUND_MAX, |bound| bound.min(Self::BOUND_MAX));
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64(self.random.f64())
    }

    /// A `welcome` came.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn longest_of_many(failures: u32, first: Duration) -> Duration {
        let waits = (0..400).map(|seed| {
            let mut backoff = Backoff::new(seed);
            (0..=failures).map(|_| backoff.next(first)).last().unwrap()
        });
        waits.max().unwrap()
    }

    #[test]
    fn the_bound_doubles_from_the_first_up_to_20_seconds() {
        for (failures, bound_ms) in
            [(0, 500), (1, 1_000), (2, 2_000), (5, 16_000), (6, 20_000), (400, 20_000)]
        {
            let (longest, bound) =
                (longest_of_many(failures, Backoff::RESUME), Duration::from_millis(bound_ms));
            assert!(longest < bound && longest > bound.mul_f64(0.95), "{failures}: {longest:?}");
        }
        assert!(longest_of_many(0, Backoff::DELAY) > Duration::from_millis(4_750));
        assert!(longest_of_many(0, Backoff::DELAY) < Backoff::DELAY);
    }

    #[test]
    fn waits_spread_over_the_whole_range() {
        let below_a_tenth =
            (0..1_000).filter(|&seed| Backoff::new(seed).next(Backoff::RESUME) < Backoff::RESUME / 10);
        assert!((60..140).contains(&below_a_tenth.count()));
    }

    #[test]
    fn a_welcome_sets_the_bound_back() {
        let mut backoff = Backoff::new(7);
        assert!((0..10).map(|_| backoff.next(Backoff::RESUME)).any(|wait| wait > Backoff::RESUME));
        backoff.reset();
        assert!(backoff.next(Backoff::RESUME) < Backoff::RESUME);
    }
}
