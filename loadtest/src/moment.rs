//! Points in time that all processes of a run share.

use std::ops::{Add, Sub};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Nanoseconds of the machine's monotonic clock: the same in every process, so that one may note when a
/// send was due and another when it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Moment(pub u64);

impl Moment {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        Self(read(ClockId::CLOCK_MONOTONIC))
    }

    /// How long this is after `earlier`; nothing if it is before.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(nanos(later)))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, earlier: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(earlier)))
    }
}

/// The CPU time this process has used so far.
#[must_use]
pub fn cpu_time() -> Duration {
    Duration::from_nanos(read(ClockId::CLOCK_PROCESS_CPUTIME_ID))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn read(clock: ClockId) -> u64 {
    // Both clocks are there on every Linux; a zero would show as a run of no length.
    clock_gettime(clock).map_or(0, |time| {
        let (seconds, nanos) = (time.tv_sec(), time.tv_nsec());
        u64::try_from(seconds).unwrap_or(0) * 1_000_000_000 + u64::try_from(nanos).unwrap_or(0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_grow_and_their_difference_is_never_negative() {
        let earlier = Moment::now();
        let later = Moment::now();
        assert!(earlier <= later && earlier > Moment(0));
        assert_eq!(earlier.since(later + Duration::from_secs(1)), Duration::ZERO);
        assert_eq!((earlier + Duration::from_millis(3)).since(earlier), Duration::from_millis(3));
        assert_eq!(Moment(5) - Duration::from_nanos(7), Moment(0));
        assert_eq!(Moment(5) + Duration::MAX, Moment(u64::MAX));
    }

    #[test]
    fn work_costs_cpu_time() {
        let before = cpu_time();
        while cpu_time() == before {
            std::hint::spin_loop();
        }
    }
}
