//! Carries events from writers to nodes, as a fast hint: losing a frame loses nothing, because a node
//! reads from the log what it finds missing.
#![forbid(unsafe_code)]

pub mod conformance;
mod inbox;
pub mod memory;
pub mod redis;

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use squall_protocol::RealmId;

pub use memory::MemoryBus;
pub use redis::{RedisBus, RedisConfig};

/// A future that a trait object can return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The bus as a writer and a node see it. `conformance` holds the suite every implementation passes.
pub trait Bus: Send + Sync + 'static {
    /// Hands `frame` to every link that subscribed to `realm`. One publisher's frames of a realm are
    /// received in the order in which they were published, though not necessarily all of them. Done means
    /// handed over, not received; an error means that nothing is known, and may be ignored.
    fn publish(&self, realm: RealmId, frame: Bytes) -> BoxFuture<'_, Result<(), PublishError>>;

    /// A receiving end of its own, subscribed to nothing.
    fn open(&self) -> Box<dyn Link>;

    /// Whether what is published now is handed over, as far as is known.
    fn is_publishing(&self) -> bool {
        true
    }
}

/// A node's receiving end.
pub trait Link: Send {
    /// Asks for the frames of `realm` from now on. Where that takes a moment, a gap or `Up` follows as soon as it
    /// holds: what was published until then may be missing. Subscribing twice is subscribing once.
    fn subscribe(&mut self, realm: RealmId);

    /// Lets go of `realm`; frames already under way may still come.
    fn unsubscribe(&mut self, realm: RealmId);

    /// The next thing to know; cancel-safe. A link may begin with `Up` or `Down`, and frames of some realms may
    /// come before `Up`. A link whose bus is gone for good waits for ever.
    fn recv(&mut self) -> BoxFuture<'_, Delivery>;
}

/// What a link brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// A frame that was published in `realm`.
    Frame {
        /// Where it was published.
        realm: RealmId,
        /// Its bytes, unread.
        frame: Bytes,
    },
    /// Frames of any realm may have been lost since the last delivery: look at the log.
    Gap,
    /// The bus can be reached (again); frames may have been lost.
    Up,
    /// The bus can't be reached.
    Down,
}

/// Why a frame was not handed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bus: {0}")]
pub struct PublishError(pub String);
