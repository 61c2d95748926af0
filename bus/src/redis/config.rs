//! What can be set of the bus on Redis.

use std::time::Duration;

/// Times and limits of a [`super::RedisBus`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisConfig {
    /// How often each connection sends a message to itself, its canary, and counts its subscriptions. Default:
    /// 500 ms. Costs three small commands each time, for each connection.
    pub canary_every: Duration,
    /// How many canaries in a row may stay away before a connection is given up. Default: 3, so that silence is
    /// noticed within 2 s. Fewer take a Redis for gone that only paused for a moment.
    pub canaries_missed_max: u32,
    /// How long connecting may take, and each answer before a connection is in use. Default: 1 s. Beyond it
    /// the attempt has failed.
    pub connect_timeout: Duration,
    /// The longest pause before the first attempt to connect again; each failed one doubles it. Default: 50 ms.
    /// The pause itself is random from half of it on, so that many processes do not come back at once.
    pub reconnect_min: Duration,
    /// The longest pause before any attempt to connect again. Default: 1 s.
    pub reconnect_max: Duration,
    /// How often Sentinels are asked for the master, or a Cluster for its slots; they are asked at once when
    /// something is amiss. Default: 5 s.
    pub topology_every: Duration,
    /// The shortest time between two rounds of new subscriptions of a link, each of which ends in a gap that
    /// makes its node look at the log. Default: 20 ms.
    pub subscribe_every: Duration,
    /// How long a publication waits for room when too many wait already. Default: 50 ms. Then it fails, and so
    /// do all others at once until there is room.
    pub publish_timeout: Duration,
    /// Publications (and questions) that may wait for one server of Redis. Default: 8,192.
    pub publish_waiting_max: usize,
    /// Bytes of publications that may wait for one server of Redis. Default: 64 MiB; one that is larger may wait
    /// alone.
    pub publish_waiting_bytes_max: usize,
    /// Frames a link may have waiting for its node. Default: 65,536. What comes beyond is lost, and a gap.
    pub link_frames_max: usize,
    /// Bytes of frames a link may have waiting for its node. Default: 256 MiB.
    pub link_bytes_max: usize,
    /// Frames of one connection that the client library may hold before the link takes them. Default: 4,096; a
    /// power of two. What comes beyond is lost, and a gap. Costs about 700 bytes each, at once.
    pub received_max: usize,
}

/// Settings that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(&'static str);

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            canary_every: Duration::from_millis(500),
            canaries_missed_max: 3,
            connect_timeout: Duration::from_secs(1),
            reconnect_min: Duration::from_millis(50),
            reconnect_max: Duration::from_secs(1),
            topology_every: Duration::from_secs(5),
            subscribe_every: Duration::from_millis(20),
            publish_timeout: Duration::from_millis(50),
            publish_waiting_max: 8_192,
            publish_waiting_bytes_max: 64 * 1024 * 1024,
            link_frames_max: 64 * 1024,
            link_bytes_max: 256 * 1024 * 1024,
            received_max: 4_096,
        }
    }
}

impl RedisConfig {
    /// How long silence lasts at most before it is noticed.
    #[must_use]
    pub fn silence_max(&self) -> Duration {
        self.canary_every * (self.canaries_missed_max + 1)
    }

    /// Whether the settings go together.
    pub fn check(&self) -> Result<(), ConfigError> {
        let positive = [
            self.canary_every,
            self.connect_timeout,
            self.reconnect_min,
            self.topology_every,
            self.publish_timeout,
        ];
        if positive.iter().any(Duration::is_zero) || self.canaries_missed_max == 0 {
            return Err(ConfigError(
                "times of a link to Redis, and the canaries it may miss, are above zero",
            ));
        }
        if self.reconnect_min > self.reconnect_max {
            return Err(ConfigError("reconnect_min is at most reconnect_max"));
        }
        if self.publish_timeout >= self.silence_max() {
            return Err(ConfigError(
                "publish_timeout is shorter than canary_every times canaries_missed_max",
            ));
        }
        if self.publish_waiting_max == 0 || self.link_frames_max == 0 || !self.received_max.is_power_of_two()
        {
            return Err(ConfigError("limits of a link to Redis are above zero, received_max a power of two"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_say_what_the_defaults_are() {
        let words = include_str!("config.rs").replace("\n    /// ", " ");
        let config = RedisConfig::default();
        assert_eq!(config.check(), Ok(()));
        assert_eq!(config.silence_max(), Duration::from_secs(2));
        let thousands = |number: usize| format!("{},{:03}", number / 1000, number % 1000);
        for default in [
            format!("{} ms", config.canary_every.as_millis()),
            format!("{}, so that silence is noticed within 2 s", config.canaries_missed_max),
            format!("{} s. Beyond it", config.connect_timeout.as_secs()),
            format!("{} ms. The pause itself", config.reconnect_min.as_millis()),
            format!("{} s.", config.reconnect_max.as_secs()),
            format!("{} s.", config.topology_every.as_secs()),
            format!("{} ms.", config.subscribe_every.as_millis()),
            format!("{} ms. Then it fails", config.publish_timeout.as_millis()),
            format!("{}.", thousands(config.publish_waiting_max)),
            format!("{} MiB; one", config.publish_waiting_bytes_max >> 20),
            format!("{}. What", thousands(config.link_frames_max)),
            format!("{} MiB.", config.link_bytes_max >> 20),
            format!("{}; a power", thousands(config.received_max)),
        ] {
            assert!(words.contains(&format!("Default: {default}")), "{default}");
        }
    }

    #[test]
    fn contradictions_are_refused() {
        let zero = Duration::ZERO;
        let default = RedisConfig::default();
        for wrong in [
            RedisConfig { canary_every: zero, ..default.clone() },
            RedisConfig { canaries_missed_max: 0, ..default.clone() },
            RedisConfig { reconnect_max: Duration::from_millis(1), ..default.clone() },
            RedisConfig { publish_timeout: Duration::from_secs(2), ..default.clone() },
            RedisConfig { received_max: 1000, ..default.clone() },
            RedisConfig { publish_waiting_max: 0, ..default.clone() },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
    }
}
