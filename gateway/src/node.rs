//! What everything in a node shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hyper::Response;
use squall_bus::Bus;
use squall_hub::presence::Times;
use squall_protocol::SessionId;
use squall_zulip::queue::QueueTag;

use crate::clock::{BusOffset, Clock};
use crate::config::Config;
use crate::health::{Asker, Health};
use crate::http::{Api, Body};
use crate::identities::Identities;
use crate::keeper::KeeperHandle;
use crate::queues::Queues;
use crate::registry::Registry;
use crate::shard::{ShardHandle, ShardInput};
use crate::writer_link::WriterLink;

/// A node: what its shards, its HTTP and its drain have in common.
pub(crate) struct Node {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) bus_offset: BusOffset,
    pub(crate) times: Times,
    pub(crate) link: Arc<dyn WriterLink>,
    pub(crate) identities: Identities,
    pub(crate) api: Arc<dyn Api>,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) keepers: KeeperHandle,
    pub(crate) health: Arc<Health>,
    pub(crate) registry: Registry,
    pub(crate) queues: Queues,
    /// Where its shards are reached.
    pub(crate) handles: Vec<ShardHandle>,
    /// Where clients reach this node.
    pub(crate) url: String,
    /// How many shards there are.
    pub(crate) shards: usize,
    pub(crate) sessions: AtomicU64,
    /// It ends.
    pub(crate) draining: AtomicBool,
    /// It was cut off for so long that its clients were handed on.
    pub(crate) handed_on: AtomicBool,
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

    /// Why no client is let in, if none is.
    pub(crate) fn takes_nobody(&self) -> Option<&'static str> {
        if self.draining.load(Ordering::Relaxed) {
            return Some("this server is going away");
        }
        let is_cut_off = self.handed_on.load(Ordering::Relaxed);
        is_cut_off.then_some("this server reaches neither the bus nor a writer")
    }

    /// The answer to `/readyz`.
    pub(crate) fn readiness(&self, asker: Asker) -> Response<Body> {
        self.health.readiness(asker, self.draining.load(Ordering::Relaxed), self.clock.now_ms())
    }

    /// Where session ids start: 20 random bits above a 32-bit count.
    pub(crate) fn first_session_id() -> AtomicU64 {
        AtomicU64::new(fastrand::u64(1..1 << 20) << 32)
    }
}
