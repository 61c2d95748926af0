//! A timer in the poll: a poll's own time-out counts in milliseconds, and a send that is due should not be
//! late by one.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::sys::time::TimeSpec;

use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::moment::Moment;

/// Wakes the poll at a moment.
#[derive(Debug)]
pub(crate) struct Alarm {
    timer: TimerFd,
    set_for: Option<Moment>,
}

impl Alarm {
    /// One that wakes the poll of `registry` by `token`.
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        registry.register(&mut SourceFd(&timer.as_fd().as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self { timer, set_for: None })
    }

    /// Wakes at `at`, or at once if that has passed, in place of the moment before.
    pub(crate) fn set(&mut self, at: Moment) -> io::Result<()> {
        if self.set_for == Some(at) {
            return Ok(());
        }
        // A time of zero would stop it.
        let ns = at.0.max(1);
        let time = TimeSpec::new((ns / 1_000_000_000) as i64, (ns % 1_000_000_000) as i64);
        self.timer.set(Expiration::OneShot(time), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
        self.set_for = Some(at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mio::{Events, Poll};

    use super::*;

    #[test]
    fn it_wakes_the_poll_not_before_its_moment_and_again_when_set_again() {
        let mut poll = Poll::new().unwrap();
        let mut alarm = Alarm::new(poll.registry(), Token(7)).unwrap();
        let mut events = Events::with_capacity(4);
        for wait in [Duration::from_micros(300), Duration::ZERO, Duration::from_millis(2)] {
            let at = Moment::now() + wait;
            alarm.set(at).unwrap();
            poll.poll(&mut events, Some(Duration::from_secs(10))).unwrap();
            assert!(Moment::now() >= at);
            assert_eq!(events.iter().map(|event| event.token()).collect::<Vec<_>>(), [Token(7)]);
        }
    }
}
