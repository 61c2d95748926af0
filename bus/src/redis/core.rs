//! What all parts of a bus on Redis share.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use squall_protocol::RealmId;

use super::address::{Address, Deployment, Server};
use super::channel::{Names, Slot};
use super::config::RedisConfig;
use super::link::LinkState;
use super::outbound::{Order, Outbound};
use super::shards::Shards;
use super::topology::Topology;
use super::wire::{Channels, Command, Messages, Wire, WireError, WireOptions};

pub(super) struct Core {
    pub(super) address: Address,
    pub(super) config: RedisConfig,
    pub(super) names: Names,
    pub(super) channels: Channels,
    pub(super) topology: Topology,
    pub(super) counters: Counters,
    outbounds: Mutex<HashMap<Server, Arc<Outbound>>>,
    /// Realms of which a publication did not get through, and whose nodes have not been told to look.
    lost: Mutex<HashSet<RealmId>>,
    links: Mutex<Vec<Weak<LinkState>>>,
}

/// What happened so far.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) published: AtomicU64,
    pub(super) unpublished: AtomicU64,
    pub(super) received: AtomicU64,
    pub(super) gaps: AtomicU64,
    pub(super) downs: AtomicU64,
}

/// Realms remembered as lost. Beyond it their nodes find out when they read the heads in turn.
const LOST_MAX: usize = 64 * 1024;

impl Core {
    pub(super) fn new(address: Address, config: RedisConfig) -> Self {
        Self {
            names: Names::new(&address.prefix),
            channels: if address.is_cluster() { Channels::Sharded } else { Channels::Plain },
            topology: Topology::new(&address.deployment),
            counters: Counters::default(),
            outbounds: Mutex::default(),
            lost: Mutex::default(),
            links: Mutex::default(),
            address,
            config,
        }
    }

    /// Connects to a server, which has to be a master.
    pub(super) async fn connect(
        &self,
        server: &Server,
        received_max: usize,
    ) -> Result<(Wire, Messages), WireError> {
        let options = WireOptions {
            connect_timeout: self.config.connect_timeout,
            answer_timeout: self.config.silence_max(),
            received_max,
        };
        let (wire, messages) = Wire::connect(server, &self.address.credentials, &options).await?;
        if matches!(self.address.deployment, Deployment::Sentinel { .. }) {
            // A Sentinel may not have heard yet, and a replica publishes to its own subscribers alone.
            let role = wire.ask(&["ROLE"]).await?;
            let role = role.list().first().and_then(|role| role.text()).unwrap_or_default().to_owned();
            if role != "master" {
                return Err(WireError::Refused(format!("{server} is no master but {role:?}")));
            }
        }
        Ok((wire, messages))
    }

    /// The server of a realm's channel, as far as it is known.
    pub(super) fn server_of(&self, realm: RealmId) -> Option<Server> {
        self.server_of_name(&self.names.realm(realm))
    }

    /// The server of a channel or key.
    pub(super) fn server_of_name(&self, name: &str) -> Option<Server> {
        self.topology.with(|shards| shards.owner(Slot::of(name)).cloned())
    }

    /// A frame on its way to a realm's channel.
    pub(super) fn publication(&self, realm: RealmId, payload: Bytes) -> Command {
        Command::Publish { kind: self.channels, channel: self.names.realm(realm), payload }
    }

    /// A new queue for a server.
    pub(super) fn add_outbound(&self, server: &Server) -> Arc<Outbound> {
        let RedisConfig { publish_waiting_max, publish_waiting_bytes_max, publish_timeout, .. } = self.config;
        let outbound =
            Arc::new(Outbound::new(publish_waiting_max, publish_waiting_bytes_max, publish_timeout));
        let mut outbounds = self.outbounds.lock().unwrap_or_else(PoisonError::into_inner);
        outbounds.insert(server.clone(), Arc::clone(&outbound));
        outbound
    }

    /// The server is none any more.
    pub(super) fn remove_outbound(&self, server: &Server) {
        let removed = self.outbounds.lock().unwrap_or_else(PoisonError::into_inner).remove(server);
        if let Some(outbound) = removed {
            self.give_up(outbound.close());
        }
    }

    pub(super) fn outbound(&self, server: &Server) -> Option<Arc<Outbound>> {
        self.outbounds.lock().unwrap_or_else(PoisonError::into_inner).get(server).cloned()
    }

    /// Whether every server there is can be asked.
    pub(super) fn is_publishing(&self) -> bool {
        let outbounds = self.outbounds.lock().unwrap_or_else(PoisonError::into_inner);
        let all = |shards: &Shards| {
            let open = |server| outbounds.get(server).is_some_and(|outbound| outbound.is_open());
            Some(!shards.servers().is_empty() && shards.servers().iter().all(open))
        };
        self.topology.with(all).unwrap_or(false)
    }

    /// Orders that are not carried out.
    pub(super) fn give_up(&self, orders: Vec<Order>) {
        for order in orders {
            match order {
                Order::Publish { realm, .. } => self.handle_unpublished(realm),
                Order::Ask { reply, .. } => {
                    // Whoever asked may wait no more.
                    let _ = reply.send(Err("the connection ended".into()));
                }
            }
        }
    }

    /// A publication in a realm did not get through.
    pub(super) fn handle_unpublished(&self, realm: RealmId) {
        self.counters.unpublished.fetch_add(1, Ordering::Relaxed);
        self.remember_lost(realm);
    }

    /// The nodes of a realm have to be told to look at its log.
    pub(super) fn remember_lost(&self, realm: RealmId) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if lost.len() < LOST_MAX {
            lost.insert(realm);
        }
    }

    /// The lost realms of a server; they are lost no more.
    pub(super) fn take_lost(&self, is_it: impl Fn(&Server) -> bool) -> HashSet<RealmId> {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if lost.is_empty() {
            return HashSet::new();
        }
        let (taken, left) = lost.iter().partition(|realm| self.server_of(**realm).is_some_and(|s| is_it(&s)));
        *lost = left;
        taken
    }

    pub(super) fn add_link(&self, link: &Arc<LinkState>) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|link| link.strong_count() > 0);
        links.push(Arc::downgrade(link));
    }

    /// The links that are still held by somebody.
    pub(super) fn links(&self) -> Vec<Arc<LinkState>> {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Counters {
    pub(super) fn published(&self) {
        self.published.fetch_add(1, Ordering::Relaxed);
    }
}
