//! The bus inside one process.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use squall_protocol::RealmId;

use crate::inbox::Inbox;
use crate::{BoxFuture, Bus, Delivery, Link, PublishError};

/// Frames a link may have waiting by default; its memory grows only as they do.
pub const LINK_FRAMES_MAX: usize = 64 * 1024;

/// Bytes of frames a link may have waiting. In one process they are shared with whoever else holds them.
pub const LINK_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Hands each frame to the links of its realm, by a bounded queue each. A full queue loses frames, and its
/// link is told of a gap; the publisher never waits.
#[derive(Clone)]
pub struct MemoryBus {
    shared: Arc<Shared>,
}

struct Shared {
    capacity: usize,
    next_link: AtomicU64,
    /// Held while a frame is handed out, so that all links get two publishers' frames in one order.
    realms: Mutex<HashMap<RealmId, HashMap<u64, Arc<Inbox>>>>,
}

struct MemoryLink {
    id: u64,
    shared: Arc<Shared>,
    inbox: Arc<Inbox>,
}

impl MemoryBus {
    /// A bus whose links may each have [`LINK_FRAMES_MAX`] frames waiting.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(LINK_FRAMES_MAX)
    }

    /// A bus whose links may each have `capacity` frames waiting (at least one), and [`LINK_BYTES_MAX`].
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        let shared = Shared { capacity, next_link: AtomicU64::new(0), realms: Mutex::new(HashMap::new()) };
        Self { shared: Arc::new(shared) }
    }
}

impl Default for MemoryBus {
    fn default() -> Self {
        Self::new()
    }
}

impl Bus for MemoryBus {
    fn publish(&self, realm: RealmId, frame: Bytes) -> BoxFuture<'_, Result<(), PublishError>> {
        // Done now, not when polled: the order of the calls is the order of the frames.
        let realms = self.shared.realms.lock().unwrap_or_else(PoisonError::into_inner);
        for inbox in realms.get(&realm).into_iter().flat_map(HashMap::values) {
            // A full inbox tells its owner itself.
            let _ = inbox.push(realm, frame.clone());
        }
        Box::pin(std::future::ready(Ok(())))
    }

    fn open(&self) -> Box<dyn Link> {
        let id = self.shared.next_link.fetch_add(1, Ordering::Relaxed);
        let inbox = Arc::new(Inbox::new(self.shared.capacity, LINK_BYTES_MAX));
        Box::new(MemoryLink { id, shared: Arc::clone(&self.shared), inbox })
    }
}

impl Link for MemoryLink {
    fn subscribe(&mut self, realm: RealmId) {
        let mut realms = self.shared.realms.lock().unwrap_or_else(PoisonError::into_inner);
        realms.entry(realm).or_default().insert(self.id, Arc::clone(&self.inbox));
    }

    fn unsubscribe(&mut self, realm: RealmId) {
        let mut realms = self.shared.realms.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(links) = realms.get_mut(&realm) {
            links.remove(&self.id);
            if links.is_empty() {
                realms.remove(&realm);
            }
        }
    }

    fn recv(&mut self) -> BoxFuture<'_, Delivery> {
        Box::pin(self.inbox.pop())
    }
}

impl Drop for MemoryLink {
    fn drop(&mut self) {
        let mut realms = self.shared.realms.lock().unwrap_or_else(PoisonError::into_inner);
        realms.retain(|_, links| {
            links.remove(&self.id);
            !links.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;

    #[tokio::test]
    async fn conforms() {
        conformance::all(async |capacity| Box::new(MemoryBus::with_capacity(capacity)) as Box<dyn Bus>).await;
    }

    #[tokio::test]
    async fn a_dropped_link_is_forgotten() {
        let bus = MemoryBus::new();
        let mut link = bus.open();
        link.subscribe(RealmId(1));
        link.subscribe(RealmId(2));
        drop(link);
        assert!(bus.shared.realms.lock().unwrap().is_empty());
    }
}
