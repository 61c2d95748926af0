//! How much a user may ask in a minute.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use squall_protocol::UserId;
use squall_zulip::Quota;

/// A token bucket for each user: a minute's requests at once, then evenly. Kept by this process alone.
pub(crate) struct RateLimit {
    /// What one request costs in time; zero: no limit.
    cost: Duration,
    per_minute: u32,
    buckets: Mutex<Buckets>,
}

/// A bucket is the time at which it will be full; one that is full needs no entry.
struct Buckets {
    full_at: HashMap<UserId, Instant>,
    /// Full buckets are thrown out when there are so many entries.
    sweep_at: usize,
}

/// Not now, but after this time exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limited {
    pub(crate) retry_after: Duration,
    /// With nothing remaining.
    pub(crate) quota: Quota,
}

const MINUTE: Duration = Duration::from_secs(60);

/// Entries below which no sweep is worth its walk.
const SWEEP_MIN: usize = 1024;

impl RateLimit {
    /// 0: no limit.
    pub(crate) fn new(per_minute: u32) -> Self {
        let cost = MINUTE.checked_div(per_minute).unwrap_or(Duration::ZERO);
        let buckets = Buckets { full_at: HashMap::new(), sweep_at: SWEEP_MIN };
        Self { cost, per_minute, buckets: Mutex::new(buckets) }
    }

    /// Takes one request of `user_id`; the quota is `None` where there is no limit.
    pub(crate) fn take(&self, user_id: UserId, now: Instant) -> Result<Option<Quota>, Limited> {
        if self.cost.is_zero() {
            return Ok(None);
        }
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.sweep(now);
        let full_at = buckets.full_at.get(&user_id).map_or(now, |full_at| now.max(*full_at)) + self.cost;
        let wait = full_at - now;
        if let Some(retry_after) = wait.checked_sub(MINUTE).filter(|over| !over.is_zero()) {
            let quota = Quota { limit: self.per_minute, remaining: 0, reset: wait - self.cost };
            return Err(Limited { retry_after, quota });
        }
        buckets.full_at.insert(user_id, full_at);
        let remaining = ((MINUTE - wait).as_nanos() / self.cost.as_nanos()) as u32;
        Ok(Some(Quota { limit: self.per_minute, remaining, reset: wait }))
    }
}

impl Buckets {
    fn sweep(&mut self, now: Instant) {
        if self.full_at.len() >= self.sweep_at {
            self.full_at.retain(|_, full_at| *full_at > now);
            self.sweep_at = SWEEP_MIN.max(2 * self.full_at.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minutes_worth_at_once_then_evenly() {
        let limit = RateLimit::new(3);
        let start = Instant::now();
        let remaining: Vec<_> =
            (0..3).map(|_| limit.take(UserId(1), start).unwrap().unwrap().remaining).collect();
        assert_eq!(remaining, [2, 1, 0]);
        let limited = limit.take(UserId(1), start).unwrap_err();
        assert_eq!(limited.retry_after, Duration::from_secs(20));
        assert_eq!((limited.quota.remaining, limited.quota.reset), (0, MINUTE));
        let early = start + limited.retry_after - Duration::from_millis(1);
        assert_eq!(limit.take(UserId(1), early).unwrap_err().retry_after, Duration::from_millis(1));
        assert!(limit.take(UserId(1), start + limited.retry_after).is_ok(), "the told time is exact");
        assert!(limit.take(UserId(1), start + limited.retry_after).is_err());
    }

    #[test]
    fn users_do_not_share_and_zero_is_no_limit() {
        let limit = RateLimit::new(1);
        let now = Instant::now();
        assert!(limit.take(UserId(1), now).is_ok());
        assert!(limit.take(UserId(2), now).is_ok());
        assert!(limit.take(UserId(1), now).is_err());
        let free = RateLimit::new(0);
        assert!((0..10_000).all(|_| free.take(UserId(1), now) == Ok(None)));
    }

    #[test]
    fn full_buckets_are_thrown_out() {
        let limit = RateLimit::new(60);
        let start = Instant::now();
        for user in 0..SWEEP_MIN as u32 {
            limit.take(UserId(user), start).unwrap().unwrap();
        }
        limit.take(UserId(u32::MAX), start + Duration::from_secs(2)).unwrap().unwrap();
        assert_eq!(limit.buckets.lock().unwrap().full_at.len(), 1);
    }
}
