//! One readiness poll for all of a shard's sockets, waited for by the shard's runtime.

use std::io;
use std::time::Duration;

use mio::{Events, Poll, Registry};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// mio's poll as one descriptor in tokio's: a socket costs no task, no waker and no timer.
pub(super) struct Readiness {
    poll: AsyncFd<Poll>,
}

/// Sockets told about at once; the rest is told by the next look.
pub(super) const EVENTS_PER_LOOK: usize = 1_024;

impl Readiness {
    pub(super) fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        // SAFETY: `Poll` owns its descriptor and keeps it open until it is dropped, and it is dropped with the
        // `AsyncFd`, which never gives it away.
        #[expect(unsafe_code, reason = "tokio can't see that mio's poll keeps its descriptor open")]
        let poll = unsafe { AsyncFd::register_with_interest(poll, Interest::READABLE)? };
        Ok(Self { poll })
    }

    /// Where sockets are registered.
    pub(super) fn registry(&self) -> &Registry {
        self.poll.get_ref().registry()
    }

    /// Looks which sockets are ready, without waiting.
    pub(super) fn look(&mut self, events: &mut Events) -> io::Result<()> {
        self.poll.get_mut().poll(events, Some(Duration::ZERO))
    }

    /// Waits for sockets to be ready. Cancel-safe: what is ready stays ready.
    pub(super) async fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        let mut ready = self.poll.ready_mut(Interest::READABLE).await?;
        ready.get_inner_mut().poll(events, Some(Duration::ZERO))?;
        if events.iter().count() < EVENTS_PER_LOOK {
            ready.clear_ready();
        }
        Ok(())
    }
}
