//! The bus inside one process.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use squall_protocol::RealmId;
use tokio::sync::mpsc::{self, error::TrySendError};

use crate::{BoxFuture, Bus, Delivery, Link, PublishError};

/// Frames a link may have waiting by default; its memory grows only as they do.
pub const LINK_FRAMES_MAX: usize = 64 * 1024;

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

struct Inbox {
    queue: mpsc::Sender<(RealmId, Bytes)>,
    /// Something was lost that the link has not been told of.
    lost: AtomicBool,
}

struct MemoryLink {
    id: u64,
    shared: Arc<Shared>,
    inbox: Arc<Inbox>,
    queue: mpsc::Receiver<(RealmId, Bytes)>,
}

impl MemoryBus {
    /// A bus whose links may each have [`LINK_FRAMES_MAX`] frames waiting.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(LINK_FRAMES_MAX)
    }

    /// A bus whose links may each have `capacity` frames waiting, and at least one.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        let shared = Shared {
            capacity: capacity.max(1),
            next_link: AtomicU64::new(0),
            realms: Mutex::new(HashMap::new()),
        };
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
            inbox.push(realm, frame.clone());
        }
        Box::pin(std::future::ready(Ok(())))
    }

    fn open(&self) -> Box<dyn Link> {
        let (sender, queue) = mpsc::channel(self.shared.capacity);
        let id = self.shared.next_link.fetch_add(1, Ordering::Relaxed);
        let inbox = Arc::new(Inbox { queue: sender, lost: AtomicBool::new(false) });
        Box::new(MemoryLink { id, shared: Arc::clone(&self.shared), inbox, queue })
    }
}

impl Inbox {
    fn push(&self, realm: RealmId, frame: Bytes) {
        let Err(TrySendError::Full(refused)) = self.queue.try_send((realm, frame)) else { return };
        self.lost.store(true, Ordering::Release);
        // Tried again after the flag is up: either it goes in, and wakes the link if that waits; or the queue
        // is full still, and the link must come by the flag once more. Without this the link could empty
        // the queue between refusal and flag, and sleep on the loss.
        let _ = self.queue.try_send(refused);
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
        Box::pin(async {
            if self.inbox.lost.swap(false, Ordering::AcqRel) {
                return Delivery::Gap;
            }
            match self.queue.recv().await {
                Some((realm, frame)) => Delivery::Frame { realm, frame },
                // The link holds a sender itself, so the queue is never closed.
                None => std::future::pending().await,
            }
        })
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
        conformance::all(|capacity| Box::new(MemoryBus::with_capacity(capacity))).await;
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
