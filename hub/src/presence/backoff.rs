//! When to try again.

/// The next try, and the wait after it: twice as long each time, up to a bound.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backoff {
    due_ms: u64,
    wait_ms: u64,
    is_tried: bool,
}

impl Backoff {
    /// The first try is due now; the second `wait_ms` after it.
    pub(super) fn start(now_ms: u64, wait_ms: u64) -> Self {
        Self { due_ms: now_ms, wait_ms, is_tried: false }
    }

    /// True if a try is due, which then counts as made.
    pub(super) fn poll(&mut self, now_ms: u64, wait_ms_max: u64) -> bool {
        if now_ms < self.due_ms {
            return false;
        }
        self.due_ms = now_ms + self.wait_ms;
        self.wait_ms = (self.wait_ms * 2).min(wait_ms_max);
        self.is_tried = true;
        true
    }

    /// Somebody else made the first try.
    pub(super) fn spare_first(&mut self, now_ms: u64) {
        if !self.is_tried {
            self.due_ms = now_ms + self.wait_ms;
            self.is_tried = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_try_waits_twice_as_long_as_the_one_before_up_to_the_bound() {
        let mut backoff = Backoff::start(1_000, 500);
        let tries: Vec<_> = (0..20_000).filter(|now_ms| backoff.poll(*now_ms, 5_000)).collect();
        assert_eq!(tries, [1_000, 1_500, 2_500, 4_500, 8_500, 13_500, 18_500]);
    }

    #[test]
    fn only_the_first_try_can_be_spared() {
        let mut backoff = Backoff::start(0, 500);
        backoff.spare_first(100);
        backoff.spare_first(400);
        assert!(!backoff.poll(599, 5_000));
        assert!(backoff.poll(600, 5_000));
        backoff.spare_first(601);
        assert!(backoff.poll(1_600, 5_000));
    }
}
