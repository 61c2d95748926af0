//! The times presence lives by, checked against each other.

use std::time::Duration;

use squall_protocol::limits::{HEARTBEAT, HEARTBEAT_TIMEOUT, NODE_LEASE};

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
    /// How long a node counts as alive after its last sign of life; none for a node without others. Default
    /// none; among nodes 25 s. Longer survives longer pauses of a node; shorter tells sooner who left with it.
    pub node_lease: Option<Duration>,
    /// How long a user whose client only polls by HTTP counts as connected after a request; none if there
    /// are no such clients. Default none.
    pub http_timeout: Option<Duration>,
}

impl TimesConfig {
    /// The defaults of a node that has others beside it.
    #[must_use]
    pub fn among_nodes() -> Self {
        Self { node_lease: Some(NODE_LEASE), ..Self::default() }
    }

    /// How late a node finds out that one of its users is gone.
    fn notice(&self) -> Duration {
        self.heartbeat.saturating_add(self.timeout).max(self.http_timeout.unwrap_or_default())
    }
}

impl Default for TimesConfig {
    fn default() -> Self {
        Self {
            grace: GRACE,
            tick: TICK,
            heartbeat: HEARTBEAT,
            timeout: HEARTBEAT_TIMEOUT,
            node_lease: None,
            http_timeout: None,
        }
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
        "a user who is gone would be shown as here for up to {error:?} (heartbeat + time-out + grace + tick, \
         and among nodes another lease + grace); it must stay below {OFFLINE_THRESHOLD:?}, after which \
         clients show a user as offline"
    )]
    ErrorTooLong {
        /// How late a claim could be.
        error: Duration,
    },
    /// The users of a node that died would be told as gone before all their clients have noticed.
    #[error(
        "node lease + grace is {kept:?}; it must be at least {needed:?} (heartbeat + time-out + \
         {RECONNECT_TIME:?}), so that the clients of a node that died are back before anyone is told they left"
    )]
    LeaseTooShort {
        /// How long the users of a silent node are kept.
        kept: Duration,
        /// How long they must be.
        needed: Duration,
    },
}

impl Times {
    /// Takes `config` if its times fit each other.
    pub fn new(config: TimesConfig) -> Result<Self, TimesError> {
        if config.tick < Duration::from_millis(1) {
            return Err(TimesError::TickTooShort { tick: config.tick });
        }
        let times = Self(config);
        let error = times.error_of_two_failures().saturating_add(config.tick);
        if error >= OFFLINE_THRESHOLD {
            return Err(TimesError::ErrorTooLong { error });
        }
        if let Some(lease) = config.node_lease {
            let kept = lease.saturating_add(config.grace);
            let needed = config.heartbeat.saturating_add(config.timeout).saturating_add(RECONNECT_TIME);
            if kept < needed {
                return Err(TimesError::LeaseTooShort { kept, needed });
            }
        }
        Ok(times)
    }

    /// How late the end of a claim ("is active", "is connected") can be due after one failure: a time-out
    /// finds a dead connection, or the end of its lease a dead node; then grace runs. It is told within two
    /// ticks. For `welcome`.
    #[must_use]
    pub fn error_max(&self) -> Duration {
        let noticed = self.0.notice().max(self.0.node_lease.unwrap_or_default());
        noticed.saturating_add(self.0.grace)
    }

    /// As [`Times::error_max`] if a connection dies, and then its node before it told so.
    #[must_use]
    pub fn error_of_two_failures(&self) -> Duration {
        let with_node = self.0.node_lease.map_or(Duration::ZERO, |lease| lease.saturating_add(self.0.grace));
        self.0.notice().saturating_add(self.0.grace).saturating_add(with_node)
    }

    /// How often to call `poll_tick`.
    #[must_use]
    pub fn tick(&self) -> Duration {
        self.0.tick
    }

    /// How often to call `poll_frames`, among nodes: what a node knows leaves it this soon.
    #[must_use]
    pub fn publish_interval(&self) -> Duration {
        (self.0.tick / 4).max(Duration::from_millis(1))
    }

    /// How often a node gives a sign of life: four may be lost.
    #[must_use]
    pub fn sign_of_life_interval(&self) -> Duration {
        (self.0.node_lease.unwrap_or(NODE_LEASE) / 5).max(self.publish_interval())
    }

    /// How long the bad news of one node waits for the good news of another: what that knew before is
    /// published, and under way for up to half a tick. The two and a tick make less than two ticks.
    pub(super) fn news_ms(&self) -> u64 {
        millis(self.0.tick / 2 + self.publish_interval())
    }

    pub(super) fn tick_ms(&self) -> u64 {
        millis(self.0.tick)
    }

    pub(super) fn grace_ms(&self) -> u64 {
        millis(self.0.grace)
    }

    /// How long one sign of activity counts: the next is due within a heartbeat and its time-out.
    pub(super) fn lease_ms(&self) -> u64 {
        millis(self.0.heartbeat + self.0.timeout)
    }

    /// How long a node counts as alive after its last sign of life.
    pub(super) fn node_lease_ms(&self) -> u64 {
        millis(self.0.node_lease.unwrap_or(NODE_LEASE))
    }

    /// How long its users stay what they were.
    pub(super) fn silence_ms(&self) -> u64 {
        self.node_lease_ms() + self.grace_ms()
    }

    pub(super) fn sign_of_life_ms(&self) -> u64 {
        millis(self.sign_of_life_interval())
    }
}

/// All our times are below [`OFFLINE_THRESHOLD`]: nothing is cut off.
fn millis(time: Duration) -> u64 {
    time.as_secs() * 1000 + u64::from(time.subsec_millis())
}

const GRACE: Duration = Duration::from_secs(20);
const TICK: Duration = Duration::from_secs(1);

/// What a client may take to reconnect after it has noticed that its connection is dead.
const RECONNECT_TIME: Duration = Duration::from_secs(10);

/// The defaults fit each other, for one node and for many: [`Times::default`] needs no check.
const _: () = assert!(
    HEARTBEAT.as_millis()
        + HEARTBEAT_TIMEOUT.as_millis()
        + 2 * GRACE.as_millis()
        + NODE_LEASE.as_millis()
        + TICK.as_millis()
        < OFFLINE_THRESHOLD.as_millis()
);
const _: () = assert!(
    NODE_LEASE.as_millis() + GRACE.as_millis()
        >= HEARTBEAT.as_millis() + HEARTBEAT_TIMEOUT.as_millis() + RECONNECT_TIME.as_millis()
);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_defaults_fit_and_a_claim_is_late_by_at_most_55_seconds() {
        assert_eq!(Times::new(TimesConfig::default()), Ok(Times::default()));
        assert_eq!(Times::default().error_max(), 55 * SECOND);
        assert_eq!(Times::default().error_of_two_failures(), 55 * SECOND);
        let among = Times::new(TimesConfig::among_nodes()).unwrap();
        assert_eq!((among.error_max(), among.error_of_two_failures()), (55 * SECOND, 100 * SECOND));
    }

    #[test]
    fn a_claim_is_late_by_whatever_is_noticed_last_and_grace() {
        let config = TimesConfig { node_lease: Some(40 * SECOND), ..TimesConfig::default() };
        assert_eq!(Times::new(config).unwrap().error_max(), 60 * SECOND);
        let config = TimesConfig { http_timeout: Some(70 * SECOND), ..TimesConfig::among_nodes() };
        assert_eq!(Times::new(config).unwrap().error_max(), 90 * SECOND);
        assert_eq!(Times::new(config).unwrap().error_of_two_failures(), 135 * SECOND);
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
    fn two_failures_may_not_be_late_by_the_offline_threshold_either() {
        let longest = OFFLINE_THRESHOLD - HEARTBEAT - HEARTBEAT_TIMEOUT - 2 * GRACE - TICK;
        let with_lease =
            |lease| Times::new(TimesConfig { node_lease: Some(lease), ..TimesConfig::default() });
        assert_eq!(with_lease(longest), Err(TimesError::ErrorTooLong { error: OFFLINE_THRESHOLD }));
        assert!(with_lease(longest - Duration::from_millis(1)).is_ok());
        assert_eq!(with_lease(Duration::MAX), Err(TimesError::ErrorTooLong { error: Duration::MAX }));
    }

    #[test]
    fn the_clients_of_a_dead_node_have_ten_seconds_to_come_back_after_they_noticed() {
        let with_lease =
            |lease| Times::new(TimesConfig { node_lease: Some(lease), ..TimesConfig::default() });
        let (kept, needed) = (45 * SECOND - Duration::from_millis(1), 45 * SECOND);
        assert_eq!(with_lease(kept - GRACE), Err(TimesError::LeaseTooShort { kept, needed }));
        assert!(with_lease(needed - GRACE).is_ok());
        // Without other nodes there is nobody to keep.
        let slow = TimesConfig { heartbeat: 60 * SECOND, ..TimesConfig::default() };
        assert!(Times::new(slow).is_ok());
    }

    #[test]
    fn bad_news_waits_for_good_news_and_is_told_within_two_ticks_all_the_same() {
        for tick_ms in [1, 7, 250, 1_000, 3_001] {
            let tick = Duration::from_millis(tick_ms);
            let times = Times::new(TimesConfig { tick, ..TimesConfig::among_nodes() }).unwrap();
            assert!(times.news_ms() >= millis(times.publish_interval()), "{tick:?}");
            assert!(times.news_ms() <= millis(tick), "{tick:?}");
        }
        let times = Times::new(TimesConfig::among_nodes()).unwrap();
        assert_eq!((times.publish_interval(), times.news_ms()), (Duration::from_millis(250), 750));
        assert_eq!(times.sign_of_life_interval(), 5 * SECOND);
    }

    #[test]
    fn a_tick_of_nothing_is_refused() {
        let tick = Duration::from_micros(999);
        let refused = Times::new(TimesConfig { tick, ..TimesConfig::default() });
        assert_eq!(refused, Err(TimesError::TickTooShort { tick }));
    }
}
