//! What everything in a node shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use squall_bus::Bus;
use squall_hub::presence::Times;
use squall_protocol::SessionId;
use squall_zulip::queue::QueueTag;

use crate::clock::Clock;
use crate::config::Config;
use crate::http::Api;
use crate::keeper::KeeperHandle;
use crate::queues::Queues;
use crate::registry::Registry;
use crate::shard::{ShardHandle, ShardInput};
use crate::writer_link::WriterLink;

/// A node: what its shards, its HTTP and its drain have in common.
pub(crate) struct Node {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) times: Times,
    pub(crate) link: Arc<dyn WriterLink>,
    pub(crate) api: Arc<dyn Api>,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) keepers: KeeperHandle,
    pub(crate) registry: Registry,
    pub(crate) queues: Queues,
    /// Where its shards are reached.
    pub(crate) handles: Vec<ShardHandle>,
    /// Where clients reach this node.
    pub(crate) url: String,
    /// How many shards there are.
    pub(crate) shards: usize,
    pub(crate) sessions: AtomicU64,
    pub(crate) draining: AtomicBool,
}

impl Node {
    /// The base address of the HTTP API, as clients reach it.
    pub(crate) fn api_url(&self) -> String {
        format!("{}/api/v1", self.url)
    }

    /// Tells one of the shards.
    pub(crate) fn tell_shard(&self, shard: usize, input: ShardInput) {
        if let Some(handle) = self.handles.get(shard) {
            handle.tell(input);
        }
    }

    /// Ends the queue's poll, wherever it is.
    pub(crate) fn finish_poll(&self, tag: QueueTag) {
        self.handles.iter().for_each(|shard| shard.tell(ShardInput::FinishPoll(tag)));
    }

    /// A session id that this node has not used in its life, and others hardly have.
    pub(crate) fn session_id(&self) -> SessionId {
        SessionId(self.sessions.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether clients are being handed on.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Where session ids start: 20 random bits above a 32-bit count.
    pub(crate) fn first_session_id() -> AtomicU64 {
        AtomicU64::new(fastrand::u64(1..1 << 20) << 32)
    }
}
