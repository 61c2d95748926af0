//! The server's clock, as far as a client knows it.

use std::time::Instant;

/// One reading of the server's clock and when it came here. Late by the time it was on its way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerClock {
    time_ms: u64,
    at: Instant,
}

impl ServerClock {
    /// The server said `time_ms` (milliseconds since the Unix epoch); it was heard at `at`.
    pub(crate) fn new(time_ms: u64, at: Instant) -> Self {
        Self { time_ms, at }
    }

    /// What the server's clock shows at `when`: milliseconds since the Unix epoch.
    pub(crate) fn ms_at(&self, when: Instant) -> u64 {
        let ms = |since: std::time::Duration| u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let later = ms(when.saturating_duration_since(self.at));
        let earlier = ms(self.at.saturating_duration_since(when));
        self.time_ms.saturating_add(later).saturating_sub(earlier)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_clock_runs_on_from_its_last_reading_and_back() {
        let at = Instant::now() + Duration::from_secs(60);
        let clock = ServerClock::new(1_000_000, at);
        assert_eq!(clock.ms_at(at + Duration::from_millis(250)), 1_000_250);
        assert_eq!(clock.ms_at(at - Duration::from_millis(250)), 999_750);
        assert_eq!(ServerClock::new(u64::MAX, at).ms_at(at + Duration::from_secs(1)), u64::MAX);
        assert_eq!(ServerClock::new(0, at).ms_at(at - Duration::from_secs(1)), 0);
    }
}
