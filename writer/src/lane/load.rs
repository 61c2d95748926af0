//! How much waits.

use std::sync::atomic::{AtomicUsize, Ordering};

/// What waits in a queue, bounded; the channel itself is not, because a batch is no unit of size.
pub(super) struct Load {
    requests: AtomicUsize,
    bytes: AtomicUsize,
    requests_max: usize,
    bytes_max: usize,
}

impl Load {
    /// Nothing yet.
    pub(super) fn new(requests_max: usize, bytes_max: usize) -> Self {
        Self { requests: AtomicUsize::new(0), bytes: AtomicUsize::new(0), requests_max, bytes_max }
    }

    /// False if it is too much; the first of a big batch always fits an empty queue.
    #[must_use]
    pub(super) fn add(&self, requests: usize, bytes: usize) -> bool {
        let before = self.requests.fetch_add(requests, Ordering::Relaxed);
        let bytes_before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits =
            before == 0 || (before + requests <= self.requests_max && bytes_before + bytes <= self.bytes_max);
        if !fits {
            self.take(requests, bytes);
        }
        fits
    }

    pub(super) fn take(&self, requests: usize, bytes: usize) {
        self.requests.fetch_sub(requests, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}
