//! The node's clock, read once a turn and passed down as `now`; and how far it is from the nodes' common one.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch that never go back: the wall clock at the start, and from then on the
/// time that passed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    started: Instant,
    started_ms: u64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), started_ms: millis(since_epoch) }
    }

    /// A clock that is set wrongly, by so much ahead.
    #[cfg(test)]
    pub(crate) fn start_ahead(ms: i64) -> Self {
        let right = Self::start();
        Self { started_ms: right.started_ms.saturating_add_signed(ms), ..right }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.started_ms + millis(self.started.elapsed())
    }
}

/// How far bus time is ahead of this node's clock, as the keepers last measured it: times that clients are told,
/// and those of presence, are bus time. Nothing for a node without others.
#[derive(Debug, Clone, Default)]
pub(crate) struct BusOffset(Arc<AtomicI64>);

impl BusOffset {
    pub(crate) fn set(&self, offset_ms: i64) {
        self.0.store(offset_ms, Ordering::Relaxed);
    }

    /// Bus time when this node's clock shows `now_ms`.
    pub(crate) fn bus_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_add_signed(self.0.load(Ordering::Relaxed))
    }
}

/// Whole milliseconds of a duration.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Whole milliseconds that fit a message's field.
pub(crate) fn millis_u32(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
