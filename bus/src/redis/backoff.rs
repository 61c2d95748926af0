//! Pauses between attempts.

use std::time::Duration;

use super::config::RedisConfig;

/// Random pauses whose bound doubles with each failure.
#[derive(Debug)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    pub(super) fn new(config: &RedisConfig) -> Self {
        Self { min: config.reconnect_min, max: config.reconnect_max, failures: 0 }
    }

    /// An attempt succeeded.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The pause before the next attempt: `random` out of all numbers decides where between half its bound and
    /// the bound it lies.
    pub(super) fn pause(&mut self, random: u64) -> Duration {
        let bound = self.min.saturating_mul(1 << self.failures.min(DOUBLINGS_MAX)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64(0.5 + 0.5 * (random as f64 / u64::MAX as f64))
    }
}

const DOUBLINGS_MAX: u32 = 16;

/// A number that nobody can guess; 0 if the system has none.
pub(super) fn random() -> u64 {
    getrandom::u64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_their_bound_and_begin_anew() {
        let mut backoff = Backoff::new(&RedisConfig::default());
        let longest: Vec<_> = (0..7).map(|_| backoff.pause(u64::MAX).as_millis()).collect();
        assert_eq!(longest, [50, 100, 200, 400, 800, 1000, 1000]);
        assert_eq!(backoff.pause(0).as_millis(), 500);
        backoff.reset();
        assert_eq!(backoff.pause(0).as_millis(), 25);
    }
}
