//! The other nodes: this node's name among them, the time they share, what it publishes to them, and the signs of
//! life that go through the writers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use squall_bus::Bus;
use squall_protocol::link::{Heads, NodeLease};
use squall_protocol::node_presence::PresenceSource;
use squall_protocol::{NodeId, RealmId};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::Keepers;
use crate::clock::millis;

/// This node among others.
#[derive(Debug, Clone)]
pub(crate) struct Company {
    node_id: NodeId,
    openings: Arc<AtomicU64>,
}

impl Company {
    /// One life of a node.
    pub(crate) fn random() -> Self {
        Self { node_id: NodeId(fastrand::u64(1..1 << 53)), openings: Arc::default() }
    }

    /// The next opening of a realm by this node.
    pub(super) fn open(&self) -> PresenceSource {
        PresenceSource { node_id: self.node_id, opening: self.openings.fetch_add(1, Ordering::Relaxed) + 1 }
    }
}

/// What is published to the other nodes, in its order. Whatever is lost is found missing by whoever needs it: so
/// nobody waits for the bus, and what it does not take is dropped.
#[derive(Debug)]
pub(super) struct Publisher {
    queue: UnboundedSender<(RealmId, Bytes)>,
    queued_bytes: Arc<AtomicUsize>,
    is_dropping: bool,
}

/// What may wait for the bus; a frame counts with what it costs beside its bytes.
const QUEUED_BYTES_MAX: usize = 4 * 1024 * 1024;
const FRAME_COST_BYTES: usize = 100;

impl Publisher {
    /// Publishes on `bus`, on the runtime it is called on.
    pub(super) fn start(bus: Arc<dyn Bus>) -> Self {
        let (queue, queued) = unbounded_channel();
        let queued_bytes = Arc::<AtomicUsize>::default();
        tokio::spawn(work_off(bus, queued, queued_bytes.clone()));
        Self { queue, queued_bytes, is_dropping: false }
    }

    pub(super) fn publish(&mut self, realm: RealmId, frame: Bytes) {
        let cost = cost(&frame);
        if self.queued_bytes.load(Ordering::Relaxed) + cost > QUEUED_BYTES_MAX {
            if !std::mem::replace(&mut self.is_dropping, true) {
                tracing::warn!(%realm, "the bus does not take what other nodes are to hear: dropping it");
            }
            return;
        }
        self.is_dropping = false;
        self.queued_bytes.fetch_add(cost, Ordering::Relaxed);
        // It is received for as long as the keepers run.
        let _ = self.queue.send((realm, frame));
    }

    #[cfg(test)]
    pub(super) fn queued_bytes(&self) -> usize {
        self.queued_bytes.load(Ordering::Relaxed)
    }
}

/// One after the other: the order in which they are handed over is the order in which they are received.
async fn work_off(
    bus: Arc<dyn Bus>,
    mut queued: UnboundedReceiver<(RealmId, Bytes)>,
    queued_bytes: Arc<AtomicUsize>,
) {
    while let Some((realm, frame)) = queued.recv().await {
        queued_bytes.fetch_sub(cost(&frame), Ordering::Relaxed);
        if let Err(error) = bus.publish(realm, frame).await {
            tracing::debug!(%realm, %error, "other nodes do not hear this");
        }
    }
}

fn cost(frame: &Bytes) -> usize {
    frame.len() + FRAME_COST_BYTES
}

impl Keepers {
    /// Moves bus time on, and returns it.
    pub(super) fn bus_ms(&mut self, now_ms: u64) -> u64 {
        self.setup.bus_offset.set(self.bus_time.offset_ms(now_ms).unwrap_or(0));
        self.setup.bus_offset.bus_ms(now_ms)
    }

    /// What this node knows leaves it.
    pub(super) fn handle_publish_tick(&mut self) {
        let now_ms = self.setup.clock.now_ms();
        self.bus_ms(now_ms);
        let Some(publisher) = &mut self.publisher else { return };
        for (id, realm) in &mut self.realms {
            for frame in realm.poll_frames(now_ms) {
                publisher.publish(*id, frame.encode());
            }
        }
    }

    /// The sign of life to give to a writer now, if one is due: while the bus does not carry it, or not those of
    /// others.
    pub(super) fn lease_due(&mut self, now_ms: u64) -> Option<NodeLease> {
        let company = self.setup.company.as_ref()?;
        let every_ms = millis(self.setup.times.sign_of_life_interval());
        let is_due = self.bus_time.is_measured() && self.lease_given_ms + every_ms <= now_ms;
        let is_needed = || !self.link_up || self.realms.values().any(|realm| realm.needs_writer(now_ms));
        if !is_due || !is_needed() {
            return None;
        }
        let node_id = company.node_id;
        self.lease_given_ms = now_ms;
        Some(NodeLease { node_id, as_of_ms: self.bus_ms(now_ms) })
    }

    /// A writer's answer tells its time, and, to whoever brought a lease, those of all nodes.
    pub(super) fn handle_writers_word(&mut self, word: &Heads, asked: Asked, now_ms: u64) {
        if self.setup.company.is_none() {
            return;
        }
        let is_first = !self.bus_time.is_measured();
        self.bus_time.handle_answer(asked.sent_ms, asked.received_ms, word.time_ms);
        self.bus_ms(now_ms);
        if is_first {
            tracing::info!(offset_ms = self.bus_time.offset_ms(now_ms), "bus time is known");
            self.realms.values_mut().for_each(|realm| realm.begin(&mut self.tasks));
        }
        if asked.with_lease {
            for realm in self.realms.values_mut() {
                realm.handle_leases(&word.leases, asked.sent_ms, now_ms);
            }
        }
    }
}

/// When a writer was asked for heads, and answered, by this node's clock; and whether with a lease.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) sent_ms: u64,
    pub(super) received_ms: u64,
    pub(super) with_lease: bool,
}
