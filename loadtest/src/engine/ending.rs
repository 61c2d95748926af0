//! How a connection ended, and what a client does then (SPEC.md, section 8).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::incoming::NO_STATUS;

/// Why a connection is no more, as the result counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Ending {
    /// The server closed it with this code; 1005 without one.
    Closed(u16),
    /// It broke: reset, or ended without a close frame.
    Broken,
    /// The server did not take it in time.
    ConnectTimeout,
    /// It could not be opened: refused, unreachable.
    ConnectFailed,
    /// No local port was left for it.
    NoPort,
    /// It was taken, but no welcome came in time.
    WelcomeTimeout,
    /// The upgrade was answered with this status.
    UpgradeRefused(u16),
    /// The upgrade's answer was not to be believed.
    UpgradeWrong,
    /// Nothing was heard for the heartbeat and its time-out.
    Silent,
    /// Bytes that are no frames, or a message that is none.
    Unreadable,
    /// The server asked to go (`goaway`), and the client went.
    Sent,
    /// Cut on purpose by the scenario.
    Cut,
    /// Closed at the end of the run.
    Over,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Come back at a random time within a bound that starts here and doubles with each failure.
    Within(Duration),
    /// Come back now.
    Now,
    /// Stay away: coming back would bring the same.
    Stay,
}

impl Ending {
    /// What a client does that ended so by itself; a cut one's return is the scenario's.
    pub(crate) fn next(self) -> Next {
        match self {
            Self::Closed(4100..4200) | Self::UpgradeRefused(429 | 503) => Next::Within(DELAY),
            Self::Closed(4400..4500 | 1000 | 1002 | 1003 | 1007 | 1009)
            | Self::UpgradeRefused(400..500)
            | Self::Over => Next::Stay,
            Self::Sent => Next::Now,
            Self::Closed(_)
            | Self::Broken
            | Self::ConnectTimeout
            | Self::ConnectFailed
            | Self::NoPort
            | Self::WelcomeTimeout
            | Self::UpgradeRefused(_)
            | Self::UpgradeWrong
            | Self::Silent
            | Self::Unreadable
            | Self::Cut => Next::Within(RESUME),
        }
    }

    /// Its name in the result.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Closed(NO_STATUS) => "closed without a code".into(),
            Self::Closed(code) => format!("closed {code}"),
            Self::Broken => "broken".into(),
            Self::ConnectTimeout => "connect time-out".into(),
            Self::ConnectFailed => "connect failed".into(),
            Self::NoPort => "no local port".into(),
            Self::WelcomeTimeout => "welcome time-out".into(),
            Self::UpgradeRefused(status) => format!("upgrade refused {status}"),
            Self::UpgradeWrong => "upgrade wrong".into(),
            Self::Silent => "silent".into(),
            Self::Unreadable => "unreadable".into(),
            Self::Sent => "sent away".into(),
            Self::Cut => "cut".into(),
            Self::Over => "over".into(),
        }
    }
}

/// A random wait below a bound that doubles from `first` with each failure (full jitter).
pub(crate) fn backoff(first: Duration, failures: u8, random: &mut fastrand::Rng) -> Duration {
    let factor = 2_u32.checked_pow(failures.into());
    let bound =
        factor.and_then(|factor| first.checked_mul(factor)).map_or(BOUND_MAX, |bound| bound.min(BOUND_MAX));
    bound.mul_f64(random.f64())
}

/// The first bound where the server is expected back soon.
pub(crate) const RESUME: Duration = Duration::from_millis(500);
/// The first bound where the server asked for a delay.
pub(crate) const DELAY: Duration = Duration::from_secs(5);
const BOUND_MAX: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use squall_protocol::CloseCode;
    use squall_protocol::close::Reconnect;

    use super::*;

    #[test]
    fn every_close_code_is_obeyed() {
        for code in CloseCode::ALL {
            let next = match code.reconnect() {
                Reconnect::Resume | Reconnect::Resync => Next::Within(RESUME),
                Reconnect::Delay => Next::Within(DELAY),
                Reconnect::Never => Next::Stay,
            };
            assert_eq!(Ending::Closed(code.number()).next(), next, "{code:?}");
        }
        for code in [1001, 1005, 1006, 1011, 1012] {
            assert_eq!(Ending::Closed(code).next(), Next::Within(RESUME), "{code}");
        }
    }

    #[test]
    fn a_full_server_is_asked_again_later_and_a_refusal_is_not_repeated() {
        assert_eq!(Ending::UpgradeRefused(503).next(), Next::Within(DELAY));
        assert_eq!(Ending::UpgradeRefused(429).next(), Next::Within(DELAY));
        assert_eq!(Ending::UpgradeRefused(502).next(), Next::Within(RESUME));
        assert_eq!(Ending::UpgradeRefused(403).next(), Next::Stay);
        assert_eq!(Ending::Sent.next(), Next::Now);
    }

    #[test]
    fn the_bound_of_a_wait_doubles_up_to_20_seconds() {
        let mut random = fastrand::Rng::with_seed(1);
        for (failures, bound_ms) in [(0, 500), (1, 1_000), (5, 16_000), (6, 20_000), (255, 20_000)] {
            let bound = Duration::from_millis(bound_ms);
            let longest = (0..500).map(|_| backoff(RESUME, failures, &mut random)).max().unwrap();
            assert!(longest < bound && longest > bound.mul_f64(0.95), "{failures}: {longest:?}");
        }
    }
}
