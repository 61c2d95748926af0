//! A node's receiving end: what it wants, and how it stands with each server.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use squall_protocol::RealmId;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::address::Server;
use super::core::Core;
use super::thread::Thread;
use crate::inbox::Inbox;
use crate::{BoxFuture, Delivery, Link};

/// The end that the node holds.
pub(super) struct RedisLink {
    state: Arc<LinkState>,
    crew: AbortHandle,
    /// Where the link's connections live.
    _thread: Arc<Thread>,
}

/// What the link's connections share with it.
pub(super) struct LinkState {
    pub(super) id: u64,
    pub(super) inbox: Inbox,
    core: Arc<Core>,
    wanted: watch::Sender<HashSet<RealmId>>,
    standing: Mutex<Standing>,
}

#[derive(Debug, Default)]
struct Standing {
    servers: HashMap<Server, Shard>,
    /// Realms that no server was found to hold, and since when.
    homeless: HashMap<RealmId, Instant>,
    /// What the owner of the link was told last.
    told: Option<bool>,
}

/// How the link stands with one server.
#[derive(Debug)]
struct Shard {
    /// `None` until the first attempt ended.
    up: Option<bool>,
    heard_at: Instant,
    held: HashSet<RealmId>,
}

impl RedisLink {
    pub(super) fn new(state: Arc<LinkState>, crew: AbortHandle, thread: Arc<Thread>) -> Self {
        Self { state, crew, _thread: thread }
    }
}

impl Link for RedisLink {
    fn subscribe(&mut self, realm: RealmId) {
        self.state.wanted.send_if_modified(|wanted| wanted.insert(realm));
    }

    fn unsubscribe(&mut self, realm: RealmId) {
        self.state.wanted.send_if_modified(|wanted| wanted.remove(&realm));
    }

    fn recv(&mut self) -> BoxFuture<'_, Delivery> {
        Box::pin(self.state.inbox.pop())
    }
}

impl Drop for RedisLink {
    fn drop(&mut self) {
        self.crew.abort();
    }
}

impl LinkState {
    pub(super) fn new(id: u64, core: Arc<Core>) -> Self {
        let inbox = Inbox::new(core.config.link_frames_max, core.config.link_bytes_max);
        Self { id, inbox, core, wanted: watch::Sender::default(), standing: Mutex::default() }
    }

    /// The realms asked for, now and as they change.
    pub(super) fn wanted(&self) -> watch::Receiver<HashSet<RealmId>> {
        self.wanted.subscribe()
    }

    /// There is a server.
    pub(super) fn add(&self, server: &Server) {
        let shard = Shard { up: None, heard_at: Instant::now(), held: HashSet::new() };
        self.standing().servers.insert(server.clone(), shard);
    }

    /// A server is none any more; what it had may come from another only after a while.
    pub(super) fn remove(&self, server: &Server) {
        let mut standing = self.standing();
        if standing.servers.remove(server).is_some() {
            self.gap();
            if standing.servers.is_empty() {
                self.tell_if_other(&mut standing, false);
            } else {
                self.tell(&mut standing);
            }
        }
    }

    /// No server can be found.
    pub(super) fn lost_all(&self) {
        let mut standing = self.standing();
        standing.servers.clear();
        self.tell_if_other(&mut standing, false);
    }

    /// The connection to a server holds all subscriptions, or is gone.
    pub(super) fn report(&self, server: &Server, up: bool) {
        let mut standing = self.standing();
        let told_up = standing.told == Some(true);
        let Some(shard) = standing.servers.get_mut(server) else { return };
        shard.up = Some(up);
        if up {
            shard.heard_at = Instant::now();
            // A server that is new to a link that is up: what it brought meanwhile was missed.
            if told_up {
                self.gap();
            }
        } else {
            shard.held.clear();
        }
        self.tell(&mut standing);
    }

    /// What a server holds for the link now.
    pub(super) fn hold(&self, server: &Server, held: HashSet<RealmId>) {
        if let Some(shard) = self.standing().servers.get_mut(server) {
            shard.held = held;
        }
    }

    /// Looks for realms that are wanted and that no server holds. One that stays so makes the link down: between
    /// servers that disagree, each refers to the other.
    pub(super) fn check_homes(&self, now: Instant) {
        let mut standing = self.standing();
        let Standing { servers, homeless, .. } = &mut *standing;
        let held = |realm: &RealmId| servers.values().any(|shard| shard.held.contains(realm));
        let wanted = self.wanted.borrow();
        homeless.retain(|realm, _| wanted.contains(realm) && !held(realm));
        for realm in wanted.iter().filter(|realm| !held(realm)) {
            homeless.entry(*realm).or_insert(now);
        }
        drop(wanted);
        self.tell(&mut standing);
    }

    /// Something came from a server.
    pub(super) fn heard(&self, server: &Server) {
        if let Some(shard) = self.standing().servers.get_mut(server) {
            shard.heard_at = Instant::now();
        }
    }

    /// Frames may have been lost.
    pub(super) fn gap(&self) {
        self.core.counters.gaps.fetch_add(1, Ordering::Relaxed);
        self.inbox.push_gap();
    }

    /// Whether every server's connection holds all subscriptions.
    pub(super) fn is_up(&self) -> bool {
        self.standing().told == Some(true)
    }

    /// How long ago the server was heard that has been silent for longest.
    pub(super) fn silence(&self, now: Instant) -> Option<Duration> {
        self.standing().servers.values().map(|shard| now.saturating_duration_since(shard.heard_at)).max()
    }

    fn tell(&self, standing: &mut Standing) {
        let Standing { servers, homeless, .. } = &*standing;
        let homeless_max = self.core.config.silence_max();
        let homeless = homeless.values().any(|since| since.elapsed() > homeless_max);
        if homeless || servers.values().any(|shard| shard.up == Some(false)) {
            self.tell_if_other(standing, false);
        } else if !servers.is_empty() && servers.values().all(|shard| shard.up == Some(true)) {
            self.tell_if_other(standing, true);
        }
    }

    fn tell_if_other(&self, standing: &mut Standing, up: bool) {
        if standing.told == Some(up) {
            return;
        }
        standing.told = Some(up);
        if !up {
            self.core.counters.downs.fetch_add(1, Ordering::Relaxed);
        }
        tracing::info!(link = %format_args!("{:x}", self.id), up, "link to Redis");
        self.inbox.push_link(up);
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
