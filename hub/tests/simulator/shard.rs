//! A shard of a node: its sessions, driven as the gateway drives them.

mod delivery;
mod joining;

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use squall_hub::catch_up::Block;
use squall_hub::keeper::ReloadReason;
use squall_hub::roster::SessionKey;
use squall_hub::session::SessionEffect;
use squall_hub::{Roster, Session};
use squall_protocol::client_message::{ClientMessage, Scope, Status};
use squall_protocol::link::{Identity, WriteOutcome, WriteRequest};
use squall_protocol::server_message::PresenceDiff;
use squall_protocol::{CloseCode, Position, SendId, Sequence, UserId};

use self::delivery::Pass;
use crate::attendance::Shown;
use crate::mutation::Mutation;
use crate::node::{SharedView, TIMES, Told};
use crate::socket::{SharedSocket, State, Wire};

/// One core's sessions of the realm.
pub(crate) struct Shard {
    index: usize,
    mutation: Mutation,
    view: Option<SharedView>,
    roster: Option<Roster>,
    joining: Vec<SessionKey>,
    blocks: BTreeMap<u64, Arc<Block>>,
    awaiting_block: BTreeMap<u64, Vec<SessionKey>>,
    connections: Vec<Option<Connection>>,
    generation: u32,
    pass: Option<Pass>,
    catching_up: VecDeque<SessionKey>,
    presence_change: u64,
    inbox: VecDeque<Tell>,
    pub(crate) stalled_until_ms: u64,
    /// For the keeper, to be taken by the node.
    pub(crate) told: Vec<Told>,
    /// For the writer, to be taken by the world.
    pub(crate) writes: Vec<(SessionKey, WriteRequest)>,
}

/// What the keeper and the world tell a shard.
pub(crate) enum Tell {
    Ready(SharedView),
    Reset(SharedView, ReloadReason),
    Advanced,
    BeyondHead(SessionKey),
    Block(u64, Option<Arc<Block>>),
    Identified(SessionKey, Option<Option<Identity>>),
    PresenceFor(SessionKey, u64, Wire),
    PresenceDiff(PresenceDiff, Rc<Shown>),
    Written(SessionKey, SendId, WriteOutcome),
}

/// A client's first message, its token already read.
pub(crate) struct Greeting {
    pub(crate) user: UserId,
    pub(crate) position: Option<Position>,
    pub(crate) status: Status,
    pub(crate) scope: Scope,
}

struct Connection {
    key: SessionKey,
    socket: SharedSocket,
    peer: Peer,
    ping_ms: u64,
    pinged_ms: Option<u64>,
}

enum Peer {
    Identifying(Greeting),
    Joining {
        session: Session,
        position: Option<Position>,
        status: Status,
        asked_of_head: Option<Sequence>,
    },
    Open(Open),
    /// On its way from one to the next.
    Between,
}

struct Open {
    session: Session,
    unproven: Option<Position>,
    told: Sequence,
    status: Status,
    presence_at: Option<u64>,
}

impl Shard {
    pub(crate) fn new(index: usize, mutation: Mutation) -> Self {
        Self {
            index,
            mutation,
            view: None,
            roster: None,
            joining: Vec::new(),
            blocks: BTreeMap::new(),
            awaiting_block: BTreeMap::new(),
            connections: Vec::new(),
            generation: 0,
            pass: None,
            catching_up: VecDeque::new(),
            presence_change: 0,
            inbox: VecDeque::new(),
            stalled_until_ms: 0,
            told: Vec::new(),
            writes: Vec::new(),
        }
    }

    pub(crate) fn tell(&mut self, tell: Tell) {
        self.inbox.push_back(tell);
    }

    /// A client connected and said hello.
    pub(crate) fn accept(&mut self, greeting: Greeting, socket: SharedSocket, now_ms: u64) {
        let free = self.connections.iter().position(Option::is_none);
        let slot = free.unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        self.generation += 1;
        let key = SessionKey { slot: slot as u32, generation: self.generation };
        self.told.push(Told::Identify(key, greeting.user));
        let ping_ms = now_ms + TIMES.heartbeat.as_millis() as u64;
        let peer = Peer::Identifying(greeting);
        self.connections[slot] = Some(Connection { key, socket, peer, ping_ms, pinged_ms: None });
    }

    /// Every connection ends, as the node does.
    pub(crate) fn crash(&mut self) {
        for connection in self.connections.iter().flatten() {
            connection.socket.borrow_mut().state = State::Closed;
        }
    }

    /// Whether every open session has all that the realm has.
    pub(crate) fn is_settled(&self) -> bool {
        let settled = |roster: &Roster| {
            let view = self.view.as_ref();
            let head = view.map(|view| view.borrow().ring.head().sequence);
            Some(roster.cursor()) == head && roster.sessions().all(|key| roster.behind(key).is_none())
        };
        self.inbox.is_empty() && self.pass.is_none() && self.roster.as_ref().is_some_and(settled)
    }

    pub(crate) fn run(&mut self, now_ms: u64, writes_max: usize) {
        while let Some(tell) = self.inbox.pop_front() {
            self.handle(tell, now_ms);
        }
        for slot in 0..self.connections.len() {
            self.look_at(slot, now_ms);
        }
        self.deliver(now_ms, writes_max);
        self.catch_up_some();
    }

    fn handle(&mut self, tell: Tell, now_ms: u64) {
        match tell {
            Tell::Ready(view) => self.handle_ready(view, now_ms),
            Tell::Reset(view, why) => self.handle_reset(view, why, now_ms),
            Tell::Advanced => {
                self.begin_pass();
                self.join_waiting(now_ms);
            }
            Tell::BeyondHead(key) => self.handle_beyond_head(key, now_ms),
            Tell::Block(number, block) => self.handle_block(number, block),
            Tell::Identified(key, identity) => self.handle_identified(key, identity, now_ms),
            Tell::PresenceFor(key, change, wire) => self.tell_presence(key, change, wire),
            Tell::PresenceDiff(diff, shown) => self.handle_presence_diff(&diff, &shown),
            Tell::Written(key, send_id, outcome) => {
                if let Some(open) = self.open_session(key) {
                    open.session.handle_outcome(send_id, outcome);
                    self.say(key, Wire::Answer);
                }
            }
        }
    }

    /// What a socket brings, and whether it is alive.
    fn look_at(&mut self, slot: usize, now_ms: u64) {
        let Some(connection) = &mut self.connections[slot] else { return };
        let key = connection.key;
        let state = connection.socket.borrow().state;
        if state == State::Cut {
            self.leave(key);
            self.connections[slot] = None;
            return;
        }
        let writable = connection.socket.borrow_mut().take_writable();
        if matches!(connection.peer, Peer::Open(_)) {
            let inbound = std::mem::take(&mut connection.socket.borrow_mut().inbound);
            inbound.into_iter().for_each(|message| self.handle_message(key, message, now_ms));
            self.heartbeat(key, now_ms);
        }
        if writable {
            self.queue_if_behind(key);
        }
    }

    fn handle_message(&mut self, key: SessionKey, message: ClientMessage, now_ms: u64) {
        let Some(view) = self.view.clone() else { return };
        let Some(open) = self.open_session(key) else { return };
        match open.session.handle_message(message, &view.borrow().state, now_ms) {
            SessionEffect::None | SessionEffect::Typing(..) => {}
            SessionEffect::Reply(_) | SessionEffect::Time => self.say(key, Wire::Answer),
            SessionEffect::Forward(request) => self.writes.push((key, request)),
            SessionEffect::Status(status) => {
                open.status = status;
                let device = open.session.id();
                self.told.push(Told::Status(device, status));
            }
            SessionEffect::PresenceRequest => self.told.push(Told::PresenceSince(key, None)),
            SessionEffect::Fault(fault) => self.close(key, fault.close),
        }
    }

    fn heartbeat(&mut self, key: SessionKey, now_ms: u64) {
        let Some(connection) = self.connection(key) else { return };
        let Peer::Open(open) = &connection.peer else { return };
        let silent = connection.pinged_ms.is_some_and(|pinged_ms| {
            open.session.heard_ms() < pinged_ms && pinged_ms + TIMES.timeout.as_millis() as u64 <= now_ms
        });
        if silent {
            return self.close(key, CloseCode::HeartbeatTimeout);
        }
        if connection.ping_ms <= now_ms {
            connection.ping_ms = now_ms + TIMES.heartbeat.as_millis() as u64;
            connection.pinged_ms = Some(now_ms);
            self.tell_position(key);
            self.say(key, Wire::Ping);
        }
    }

    fn tell_presence(&mut self, key: SessionKey, change: u64, wire: Wire) {
        if let Some(open) = self.open_session(key) {
            open.presence_at = Some(change);
            self.say(key, wire);
        }
    }

    fn handle_presence_diff(&mut self, diff: &PresenceDiff, shown: &Rc<Shown>) {
        self.presence_change = diff.to;
        for key in self.sessions() {
            let Some(connection) = self.connection(key) else { continue };
            let clear = connection.socket.borrow().is_clear();
            let Peer::Open(open) = &connection.peer else { continue };
            if open.session.scope() == Scope::None || !clear {
                continue;
            }
            match open.presence_at {
                Some(at) if at == diff.from => {
                    self.tell_presence(key, diff.to, Wire::Diff(diff.clone(), shown.clone()));
                }
                Some(at) if at < diff.from => self.catch_up_presence(key),
                // Its snapshot is on its way, or was newer than this diff.
                Some(_) | None => {}
            }
        }
    }

    fn catch_up_presence(&mut self, key: SessionKey) {
        let newest = self.presence_change;
        let Some(open) = self.open_session(key) else { return };
        if let Some(at) = open.presence_at.filter(|at| *at < newest) {
            open.presence_at = None;
            self.told.push(Told::PresenceSince(key, Some(at)));
        }
    }

    /// Moves a client's position on to where live sessions stand.
    fn tell_position(&mut self, key: SessionKey) {
        let behind = self.roster.as_ref().is_none_or(|roster| roster.behind(key).is_some());
        let Some(position) = self.position() else { return };
        let on_its_way = self.pass.is_some();
        let Some(open) = self.open_session(key) else { return };
        if !behind && !on_its_way && open.told != position.sequence {
            open.told = position.sequence;
            self.say(key, Wire::Position(position));
        }
    }

    fn close_ended(&mut self, keys: &[SessionKey]) {
        for key in keys.iter().copied().filter(|key| self.is_ended(*key)).collect::<Vec<_>>() {
            self.close(key, CloseCode::Revoked);
        }
    }

    fn is_ended(&self, key: SessionKey) -> bool {
        let Some(Some(Connection { peer: Peer::Open(open), .. })) = self.connections.get(key.slot as usize)
        else {
            return false;
        };
        let admits =
            |view: &SharedView| view.borrow().state.admits(open.session.user_id(), open.session.as_of());
        self.mutation != Mutation::NeverRevoke && !self.view.as_ref().is_some_and(admits)
    }

    fn close(&mut self, key: SessionKey, code: CloseCode) {
        self.leave(key);
        let Some(connection) = self.connection(key) else { return };
        let mut socket = connection.socket.borrow_mut();
        if socket.state == State::Open {
            socket.say(Wire::Close(code));
            socket.state = State::Closed;
        }
        drop(socket);
        self.connections[key.slot as usize] = None;
    }

    fn leave(&mut self, key: SessionKey) {
        self.joining.retain(|other| *other != key);
        let Some(open) = self.open_session(key) else { return };
        let (user, device, heard_ms) = (open.session.user_id(), open.session.id(), open.session.heard_ms());
        if let Some(roster) = &mut self.roster {
            roster.leave(key, user);
        }
        self.told.push(Told::Disconnected(device, heard_ms));
    }

    fn say(&mut self, key: SessionKey, wire: Wire) {
        if let Some(connection) = self.connection(key) {
            connection.socket.borrow_mut().say(wire);
        }
    }

    /// All sessions, in an order that chance has no part in.
    fn sessions(&self) -> Vec<SessionKey> {
        let mut keys: Vec<_> = self.roster.iter().flat_map(Roster::sessions).collect();
        keys.sort_unstable();
        keys
    }

    /// Where live sessions stand.
    fn position(&self) -> Option<Position> {
        let cursor = self.roster.as_ref()?.cursor();
        self.view.as_ref()?.borrow().ring.position_of(cursor)
    }

    fn knows(&self) -> u32 {
        self.view.as_ref().map_or(0, |view| view.borrow().knows)
    }

    fn user(&self, key: SessionKey) -> Option<UserId> {
        match &self.connections.get(key.slot as usize)?.as_ref()?.peer {
            Peer::Open(open) => Some(open.session.user_id()),
            Peer::Identifying(_) | Peer::Joining { .. } | Peer::Between => None,
        }
    }

    fn open_session(&mut self, key: SessionKey) -> Option<&mut Open> {
        match &mut self.connection(key)?.peer {
            Peer::Open(open) => Some(open),
            Peer::Identifying(_) | Peer::Joining { .. } | Peer::Between => None,
        }
    }

    fn connection(&mut self, key: SessionKey) -> Option<&mut Connection> {
        self.connections.get_mut(key.slot as usize)?.as_mut().filter(|connection| connection.key == key)
    }
}
