//! A shard: one thread, one current-thread runtime, its own sockets and sessions.
//!
//! Its loop reads three inputs (the inbox, the readiness poll of all its sockets, a tick) and then works
//! off what they left to do, a millisecond at a time. Nothing in it waits for a socket, a node or a
//! database: what must be asked for is an errand whose answer comes back through the inbox.
//!
//! The walk of a message: `sockets` (bytes) → `request` (the upgrade) or `peers` (who is it, what does it
//! want) → `writes` (to the writer). The walk of an event: `realms` (a realm advanced) → `delivery` (who gets it; bytes to sockets).

mod connection;
mod delivery;
mod identities;
mod inbound;
mod input;
mod peers;
mod readiness;
mod realms;
mod request;
mod revocation;
mod sockets;
#[cfg(test)]
mod tests;
mod timeouts;
mod writes;

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::Events;
use slab::Slab;
use squall_hub::IdMap;
use squall_hub::frame::{self, Announcement};
use squall_hub::roster::SessionKey;
use squall_protocol::server_message::{ErrorCode, ServerMessage};
use squall_protocol::{CloseCode, RealmId};
use tokio::task::yield_now;
use tokio::time::{MissedTickBehavior, interval};

use self::connection::{Connection, Peer};
use self::delivery::Pass;
use self::identities::Identities;
pub(crate) use self::input::{Load, ShardHandle, ShardInbox, ShardInput, shard_channel};
use self::readiness::{EVENTS_PER_LOOK, Readiness};
use self::realms::ShardRealm;
use self::timeouts::Timeouts;
use self::writes::Writes;
use crate::clock::millis;
use crate::http;
use crate::keeper::KeeperInput;
use crate::node::Node;

/// One core's sockets and sessions.
pub(crate) struct Shard {
    index: usize,
    node: Arc<Node>,
    http: Rc<http::Server>,
    readiness: Readiness,
    connections: Slab<Connection>,
    generation: u32,
    realms: IdMap<RealmId, ShardRealm>,
    identities: Identities,
    writes: Writes,
    /// What the keepers are told at the end of the turn: waking them once is less than once for each.
    for_keepers: Vec<KeeperInput>,
    /// One for all sockets: nothing is left in it between reads.
    read_buffer: Box<[u8]>,
    /// Events on their way to sockets, a realm each.
    passes: VecDeque<Pass>,
    /// Sessions behind whose sockets take bytes.
    catching_up: VecDeque<SessionKey>,
    /// Connections that may have more to read.
    readable: VecDeque<SessionKey>,
    requests: Timeouts<SessionKey>,
    hellos: Timeouts<SessionKey>,
    welcomes: Timeouts<SessionKey>,
    pings: Timeouts<SessionKey>,
    pulses: Timeouts<SessionKey>,
    lingering: Timeouts<SessionKey>,
    draining: Option<Drain>,
    stopped: bool,
}

/// Clients being handed on.
struct Drain {
    /// Whoever is still here then is closed.
    close_ms: u64,
}

/// Writing goes on this long before inputs are read again.
const WORK: Duration = Duration::from_millis(1);

/// Inputs handled before sockets are looked at again.
const INPUTS_PER_TURN: usize = 256;

/// Places that a queue of sessions keeps while it is empty.
const QUEUE_KEPT: usize = 1_024;

const READ_BUFFER_BYTES: usize = 64 * 1024;

/// How often time-outs are looked at.
const TICK: Duration = Duration::from_millis(50);

/// How long a closed connection may take to say goodbye.
const LINGER_MS: u64 = 3_000;

/// How long after its own delay a client may still be here while draining.
const DRAIN_SLACK_MS: u64 = 1_000;

impl Shard {
    /// Runs until it is stopped.
    pub(crate) async fn run(
        index: usize,
        node: Arc<Node>,
        handle: ShardHandle,
        mut inbox: ShardInbox,
    ) -> std::io::Result<()> {
        let mut shard = Self::new(index, node, handle)?;
        let mut events = Events::with_capacity(EVENTS_PER_LOOK);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while !shard.stopped {
            if shard.has_work() {
                shard.readiness.look(&mut events)?;
                shard.handle_readiness(&events);
                // Errands and HTTP get their turn; and however busy it is, time-outs are looked at.
                tokio::select! {
                    biased;
                    _ = tick.tick() => shard.handle_tick(),
                    () = yield_now() => {}
                }
            } else {
                tokio::select! {
                    ready = shard.readiness.wait(&mut events) => {
                        ready?;
                        shard.handle_readiness(&events);
                    }
                    input = inbox.recv() => match input {
                        Some(input) => shard.handle_input(input),
                        None => break,
                    },
                    _ = tick.tick() => shard.handle_tick(),
                }
            }
            for _ in 0..INPUTS_PER_TURN {
                let Some(input) = inbox.try_recv() else { break };
                shard.handle_input(input);
            }
            shard.work();
        }
        Ok(())
    }

    fn new(index: usize, node: Arc<Node>, handle: ShardHandle) -> std::io::Result<Self> {
        let config = &node.config;
        Ok(Self {
            http: Rc::new(http::Server::new(node.clone(), handle.clone())),
            readiness: Readiness::new()?,
            connections: Slab::new(),
            generation: 0,
            realms: IdMap::default(),
            identities: Identities::new(node.link.clone(), handle.clone()),
            writes: Writes::new(node.link.clone(), handle),
            for_keepers: Vec::new(),
            read_buffer: vec![0; READ_BUFFER_BYTES].into_boxed_slice(),
            passes: VecDeque::new(),
            catching_up: VecDeque::new(),
            readable: VecDeque::new(),
            requests: Timeouts::new(millis(config.hello_timeout)),
            hellos: Timeouts::new(millis(config.hello_timeout)),
            // A client that hears nothing for longer has given up.
            welcomes: Timeouts::new(millis(config.heartbeat + config.heartbeat_timeout)),
            pings: Timeouts::new(millis(config.heartbeat)),
            pulses: Timeouts::new(millis(config.heartbeat_timeout)),
            lingering: Timeouts::new(LINGER_MS),
            draining: None,
            stopped: false,
            index,
            node,
        })
    }

    fn handle_input(&mut self, input: ShardInput) {
        match input {
            ShardInput::Accepted(sockets) => {
                sockets.into_iter().for_each(|(socket, load)| self.handle_accepted(socket, load));
            }
            ShardInput::Upgraded { socket, codec, leftover, load } => {
                self.handle_upgraded(socket, codec, &leftover, load);
            }
            ShardInput::Identified(answers) => self.handle_identities(answers),
            ShardInput::Written(outcomes) => self.handle_written(outcomes),
            ShardInput::RealmReady(view) => self.handle_realm_ready(view),
            ShardInput::RealmReset { view, why } => self.handle_realm_reset(view, why),
            ShardInput::Advanced(realm) => self.handle_advanced(realm),
            ShardInput::BeyondHead { realm, key } => self.handle_beyond_head(realm, key),
            ShardInput::Block { realm, number, block } => self.handle_block(realm, number, block),
            ShardInput::Ephemeral { realm, audience, message } => {
                self.handle_ephemeral(realm, &audience, &message)
            }
            ShardInput::PresenceFor { key, change, message } => self.tell_presence(key, change, &message),
            ShardInput::PresenceDiff { realm, from, to, message } => {
                self.handle_presence_diff(realm, from, to, &message);
            }
            ShardInput::Drain(over) => self.drain(over),
            ShardInput::Stop => self.stopped = true,
        }
    }

    fn has_work(&self) -> bool {
        !self.passes.is_empty() || !self.catching_up.is_empty() || !self.readable.is_empty()
    }

    /// Works for a millisecond: messages that are there already, events to live sessions, then to those
    /// behind; hands the writer and the keepers what was asked for meanwhile.
    fn work(&mut self) {
        let until = Instant::now() + WORK;
        for _ in 0..self.readable.len() {
            if let Some(key) = self.readable.pop_front() {
                self.read(key);
            }
            if Instant::now() >= until {
                break;
            }
        }
        self.writes.dispatch();
        self.identities.dispatch();
        self.deliver(until);
        self.writes.dispatch();
        self.tell_keepers();
    }

    fn tell_keepers(&mut self) {
        if !self.for_keepers.is_empty() {
            self.node.keepers.tell_all(std::mem::take(&mut self.for_keepers));
        }
    }

    fn handle_tick(&mut self) {
        let now_ms = self.node.clock.now_ms();
        while let Some((key, _)) = self.requests.pop(now_ms) {
            if self.connection(key).is_some_and(|connection| matches!(connection.peer, Peer::Asking)) {
                self.remove(key);
            }
        }
        while let Some((key, _)) = self.hellos.pop(now_ms) {
            if self.connection(key).is_some_and(|connection| matches!(connection.peer, Peer::Greeting)) {
                self.close(key, CloseCode::HelloTimeout);
            }
        }
        while let Some((key, _)) = self.welcomes.pop(now_ms) {
            if self.connection(key).is_some_and(|connection| connection.is_waiting()) {
                let words = "the session can't be opened now".into();
                self.fail(key, ErrorCode::Unavailable, words, CloseCode::Unavailable);
            }
        }
        self.take_pulses(now_ms);
        self.ping(now_ms);
        while let Some((key, _)) = self.lingering.pop(now_ms) {
            if self.connection(key).is_some_and(|connection| matches!(connection.peer, Peer::Closing)) {
                self.remove(key);
            }
        }
        for queue in [&mut self.catching_up, &mut self.readable] {
            // What a herd or a burst needed is given back.
            queue.shrink_to(queue.len().max(QUEUE_KEPT));
        }
        if self.draining.as_ref().is_some_and(|drain| drain.close_ms <= now_ms) {
            self.draining = None;
            for key in self.keys() {
                self.close(key, CloseCode::GoingAway);
            }
        }
    }

    /// Pings whoever is due, and tells it how far the log went.
    fn ping(&mut self, now_ms: u64) {
        let ping = Announcement::new(ServerMessage::Ping { time_ms: now_ms });
        while let Some((key, _)) = self.pings.pop(now_ms) {
            if self.connection(key).and_then(Connection::open).is_none() {
                continue;
            }
            self.tell_position(key);
            self.announce(key, &ping);
            self.pulses.set(key, now_ms);
            self.pings.set(key, now_ms);
        }
    }

    fn take_pulses(&mut self, now_ms: u64) {
        while let Some((key, pinged_ms)) = self.pulses.pop(now_ms) {
            let open = self.connection(key).and_then(Connection::open);
            if open.is_some_and(|open| open.session.heard_ms() < pinged_ms) {
                self.close(key, CloseCode::HeartbeatTimeout);
            }
        }
    }

    /// Tells each client when to go, one after the other over the time given.
    fn drain(&mut self, over: Duration) {
        self.http.drain();
        for key in self.keys() {
            // Whoever has not asked yet has its answer by HTTP.
            let begun = self.connection(key).filter(|connection| matches!(connection.peer, Peer::Asking));
            if let Some(begun) = begun.map(|connection| connection.inbound.take_held()) {
                self.serve_http(key, begun.into());
            }
        }
        let keys = self.keys();
        let over_ms = millis(over);
        // The shards' clients take turns, so that no two of the node have the same delay.
        let (shards, shard) = (self.node.shards as u64, self.index as u64);
        for (index, key) in (0..).zip(&keys) {
            let after_ms = over_ms * (index * shards + shard) / (keys.len() as u64 * shards);
            self.say(*key, &ServerMessage::Goaway { after_ms: after_ms as u32 });
        }
        self.draining = Some(Drain { close_ms: self.node.clock.now_ms() + over_ms + DRAIN_SLACK_MS });
    }

    fn keys(&self) -> Vec<SessionKey> {
        let key = |(slot, connection): (usize, &Connection)| SessionKey {
            slot: slot as u32,
            generation: connection.generation,
        };
        self.connections.iter().map(key).collect()
    }

    fn connection(&mut self, key: SessionKey) -> Option<&mut Connection> {
        let connection = self.connections.get_mut(key.slot as usize)?;
        (connection.generation == key.generation).then_some(connection)
    }

    /// Says a message to one peer.
    fn say(&mut self, key: SessionKey, message: &ServerMessage) {
        if let Some(codec) = self.connection(key).map(|connection| connection.codec) {
            self.say_bytes(key, &frame::message(codec, message));
        }
    }

    /// Says a message that goes to many.
    fn announce(&mut self, key: SessionKey, message: &Announcement) {
        if let Some(codec) = self.connection(key).map(|connection| connection.codec) {
            self.say_bytes(key, message.frame(codec));
        }
    }

    /// Says a finished control frame.
    fn say_bytes(&mut self, key: SessionKey, frame: &[u8]) {
        let Some(connection) = self.connection(key) else { return };
        if matches!(connection.peer, Peer::Closing) {
            return;
        }
        if let Err(code) = connection.say(frame) {
            self.close(key, code);
        }
    }

    /// Ends a connection: says why, then waits a little for the peer's own goodbye.
    fn close(&mut self, key: SessionKey, code: CloseCode) {
        let now_ms = self.node.clock.now_ms();
        self.leave(key);
        let Some(connection) = self.connection(key) else { return };
        match connection.peer {
            Peer::Closing => return,
            // It is no WebSocket: nothing can be said.
            Peer::Asking => return self.remove(key),
            Peer::Greeting | Peer::Identifying(_) | Peer::Joining(_) | Peer::Open(_) => {}
        }
        tracing::debug!(code = code.number(), reason = code.reason(), "closing a connection");
        connection.peer = Peer::Closing;
        // A peer that takes no more does not hear why.
        let _ = connection.say(&connection::close_frame(code));
        self.lingering.set(key, now_ms);
        self.shut_if_clear(key);
        // What came while it was not read may hold the peer's own goodbye.
        self.queue_to_read(key);
    }

    /// Ends our half of a closing connection once everything was said.
    fn shut_if_clear(&mut self, key: SessionKey) {
        if let Some(connection) = self.connection(key)
            && matches!(connection.peer, Peer::Closing)
            && connection.is_clear()
        {
            let _ = connection.socket.shutdown(std::net::Shutdown::Write);
        }
    }

    /// Forgets a connection.
    fn remove(&mut self, key: SessionKey) {
        self.leave(key);
        if self.connection(key).is_some() {
            let mut connection = self.connections.remove(key.slot as usize);
            let _ = self.readiness.registry().deregister(&mut connection.socket);
        }
    }
}
