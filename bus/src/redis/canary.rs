//! Whether a connection still lives.

use std::time::{Duration, Instant};

/// Judges a connection by what comes back over it. It counts beats rather than time: a process that was frozen
/// itself finds its timers late, but misses one canary then, not all of them.
#[derive(Debug)]
pub(super) struct Canary {
    every: Duration,
    missed_max: u32,
    next_at: Instant,
    /// Something came since the last beat.
    heard: bool,
    missed: u32,
}

/// What is to be done at a beat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beat {
    /// Send a canary.
    Send,
    /// Too many stayed away: the connection is dead.
    Dead,
}

impl Canary {
    /// Of a connection that was just made.
    pub(super) fn new(every: Duration, missed_max: u32, now: Instant) -> Self {
        Self { every, missed_max, next_at: now, heard: true, missed: 0 }
    }

    /// When the next beat is.
    pub(super) fn next_at(&self) -> Instant {
        self.next_at
    }

    /// Something came over the connection; whether it is the first thing since the last beat.
    pub(super) fn handle_heard(&mut self) -> bool {
        !std::mem::replace(&mut self.heard, true)
    }

    /// What is due at `now`.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Beat> {
        if now < self.next_at {
            return None;
        }
        self.next_at = now + self.every;
        self.missed = if std::mem::take(&mut self.heard) { 0 } else { self.missed + 1 };
        Some(if self.missed < self.missed_max { Beat::Send } else { Beat::Dead })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_millis(500);

    #[test]
    fn a_connection_that_answers_lives() {
        let start = Instant::now();
        let mut canary = Canary::new(EVERY, 3, start);
        for beat in 0..100 {
            assert_eq!(canary.poll(start + EVERY * beat), Some(Beat::Send));
            assert_eq!(canary.poll(start + EVERY * beat + EVERY / 2), None);
            canary.handle_heard();
        }
    }

    #[test]
    fn silence_is_noticed_within_the_promised_time_whenever_it_begins() {
        for silent_at_ms in 0..1000 {
            let start = Instant::now();
            let silent_at = start + Duration::from_millis(silent_at_ms);
            let mut canary = Canary::new(EVERY, 3, start);
            let mut now = start;
            loop {
                if canary.poll(now) == Some(Beat::Dead) {
                    break;
                }
                if now < silent_at {
                    canary.handle_heard();
                }
                now += Duration::from_millis(1);
            }
            let noticed = now - silent_at;
            assert!(noticed > EVERY * 2 && noticed <= EVERY * 4, "{silent_at_ms}: {noticed:?}");
        }
    }

    #[test]
    fn a_process_that_was_frozen_itself_gives_nothing_up() {
        let start = Instant::now();
        let mut canary = Canary::new(EVERY, 3, start);
        assert_eq!(canary.poll(start), Some(Beat::Send));
        let thawed = start + Duration::from_secs(60);
        assert_eq!(canary.poll(thawed), Some(Beat::Send));
        canary.handle_heard();
        assert_eq!(canary.poll(thawed + EVERY), Some(Beat::Send));
    }
}
