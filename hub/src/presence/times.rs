//! The times presence lives by, checked against each other.

use std::time::Duration;

use squall_protocol::limits::{HEARTBEAT, HEARTBEAT_TIMEOUT};

/// Zulip's clients show a user as offline once it was not heard of for this long
/// (`server_presence_offline_threshold_seconds`): a claim of ours must not be late by more.
pub const OFFLINE_THRESHOLD: Duration = Duration::from_secs(200);

/// The times as an operator sets them; [`Times::new`] checks them against each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimesConfig {
    /// How long after a disconnect the user still counts as there; a reconnect within it is not told to
    /// anyone. Default 20 s. Longer hides longer interruptions; shorter tells sooner who left.
    pub grace: Duration,
    /// How often changes are told. Default 1 s. Longer makes fewer, larger diffs.
    pub tick: Duration,
    /// How often a connection is asked for a sign of life. Default 25 s.
    pub heartbeat: Duration,
    /// How long it may take to answer. Default 10 s.
    pub timeout: Duration,
}

impl Default for TimesConfig {
    fn default() -> Self {
        Self { grace: GRACE, tick: TICK, heartbeat: HEARTBEAT, timeout: HEARTBEAT_TIMEOUT }
    }
}

/// Times that fit each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times(TimesConfig);

/// Why times do not fit each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimesError {
    /// Nothing is ever told at a tick of less than a millisecond: it is the unit of all presence times.
    #[error("the presence tick is {tick:?}; it must be at least 1 ms")]
    TickTooShort {
        /// As configured.
        tick: Duration,
    },
    /// Users would still be shown as here when every client must call them offline.
    #[error(
        "heartbeat + time-out + grace + tick is {error:?}; it must stay below {OFFLINE_THRESHOLD:?}, \
         after which clients show a user as offline"
    )]
    ErrorTooLong {
        /// How late a claim could be.
        error: Duration,
    },
}

impl Times {
    /// Takes `config` if its times fit each other.
    pub fn new(config: TimesConfig) -> Result<Self, TimesError> {
        if config.tick < Duration::from_millis(1) {
            return Err(TimesError::TickTooShort { tick: config.tick });
        }
        let error = config
            .heartbeat
            .saturating_add(config.timeout)
            .saturating_add(config.grace)
            .saturating_add(config.tick);
        if error >= OFFLINE_THRESHOLD {
            return Err(TimesError::ErrorTooLong { error });
        }
        Ok(Self(config))
    }

    /// How late the end of a claim ("is active", "is connected") can be due: the heartbeat's time-out finds
    /// a dead connection, then grace runs. It is told at the next tick. For `welcome`.
    #[must_use]
    pub fn error_max(&self) -> Duration {
        self.0.heartbeat + self.0.timeout + self.0.grace
    }

    /// How often to call `poll_tick`.
    #[must_use]
    pub fn tick(&self) -> Duration {
        self.0.tick
    }

    pub(super) fn grace_ms(&self) -> u64 {
        millis(self.0.grace)
    }

    /// How long one sign of activity counts: the next is due within a heartbeat and its time-out.
    pub(super) fn lease_ms(&self) -> u64 {
        millis(self.0.heartbeat + self.0.timeout)
    }
}

/// All our times are below [`OFFLINE_THRESHOLD`]: nothing is cut off.
fn millis(time: Duration) -> u64 {
    time.as_secs() * 1000 + u64::from(time.subsec_millis())
}

const GRACE: Duration = Duration::from_secs(20);
const TICK: Duration = Duration::from_secs(1);

/// The defaults fit each other: [`Times::default`] needs no check.
const _: () = assert!(
    HEARTBEAT.as_millis() + HEARTBEAT_TIMEOUT.as_millis() + GRACE.as_millis() + TICK.as_millis()
        < OFFLINE_THRESHOLD.as_millis()
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_fit_and_a_claim_is_late_by_at_most_55_seconds() {
        assert_eq!(Times::new(TimesConfig::default()), Ok(Times::default()));
        assert_eq!(Times::default().error_max(), Duration::from_secs(55));
    }

    #[test]
    fn a_claim_may_not_be_late_by_the_offline_threshold() {
        let longest = OFFLINE_THRESHOLD - HEARTBEAT - HEARTBEAT_TIMEOUT - TICK;
        let with_grace = |grace| Times::new(TimesConfig { grace, ..TimesConfig::default() });
        assert_eq!(with_grace(longest), Err(TimesError::ErrorTooLong { error: OFFLINE_THRESHOLD }));
        assert!(with_grace(longest - Duration::from_millis(1)).is_ok());
        assert_eq!(with_grace(Duration::MAX), Err(TimesError::ErrorTooLong { error: Duration::MAX }));
    }

    #[test]
    fn a_tick_of_nothing_is_refused() {
        let tick = Duration::from_micros(999);
        let refused = Times::new(TimesConfig { tick, ..TimesConfig::default() });
        assert_eq!(refused, Err(TimesError::TickTooShort { tick }));
    }
}
