//! What happens in a world: people write, come and go; everything that can fail does.

use squall_protocol::client_message::{ClientMessage, Status};
use squall_protocol::event::Event;
use squall_protocol::link::{Operation, Refusal, RefusalCode, WriteOutcome, WriteRequest};
use squall_protocol::{Epoch, Mark, MessageId, Position, SendId, Sequence, StreamId, UserId};

use crate::bus::Weather;
use crate::node::{Input, Node};
use crate::shard::{Greeting, Tell};
use crate::socket::{Socket, State};
use crate::workload;
use crate::world::{Breach, World};

/// Rare things that a storm may have in it. Each makes many sessions start again, so that a world with all
/// of them would hardly see a session live long.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Storm {
    restarts: bool,
    set_backs: bool,
    unknown_kinds: bool,
}

impl World {
    /// This storm's kinds of faults: half of the kinds, each in some strength.
    pub(crate) fn begin_storm(&mut self) {
        let rng = &mut self.rng;
        let mut maybe = |max| if rng.per_mille(500) { rng.within(0..=max) } else { 0 };
        self.bus.set_weather(Weather { dropped: maybe(400), doubled: maybe(300), late: maybe(400) });
        let (slow_ms, failed, short) = (maybe(150), maybe(200), maybe(400));
        self.link.set_faults(slow_ms, failed, short);
        self.storm = Storm {
            restarts: self.rng.per_mille(500),
            set_backs: self.rng.per_mille(400),
            unknown_kinds: self.rng.per_mille(200),
        };
    }

    pub(crate) fn storm_step(&mut self) -> Result<(), Breach> {
        let pause_ms =
            if self.rng.per_mille(15) { self.rng.within(200..=2_000) } else { self.rng.within(1..=40) };
        self.act();
        self.connect_some(300);
        self.pass(pause_ms, false)
    }

    pub(crate) fn end_storm(&mut self) {
        self.bus.set_weather(Weather::default());
        self.link.set_faults(20, 0, 0);
        self.link.set_down(false);
        for node in 0..self.nodes.len() {
            self.set_link(node, true);
            self.nodes[node].stalled_until_ms = 0;
            self.nodes[node].shards.iter_mut().for_each(|shard| shard.stalled_until_ms = 0);
        }
        self.clients.iter_mut().for_each(|client| client.stalled_until_ms = 0);
    }

    /// One thing happens.
    fn act(&mut self) {
        match self.rng.within(0..=999) {
            0..=399 => self.commit_some(),
            400..=449 => self.cut_someone(),
            450..=489 => self.stall_someone(),
            490..=499 => self.forge(),
            500..=579 => self.someone_writes(),
            580..=639 => self.someone_turns(),
            640..=643 if self.storm.restarts => self.restart(),
            644..=659 => self.stall_keeper(),
            660..=675 => self.stall_shard(),
            676..=705 => self.switch_link(),
            706..=709 => self.switch_bus(),
            710..=715 => self.link.set_down(!self.link.is_down()),
            716..=719 if self.storm.set_backs => self.set_back(),
            720..=749 => self.log.prune(self.window),
            750..=752 if self.storm.unknown_kinds => self.commit_unknown(),
            _ => {}
        }
    }

    /// A commit group of valid changes, published.
    fn commit_some(&mut self) {
        let size = if self.rng.per_mille(40) { self.rng.within(10..=64) } else { self.rng.within(1..=5) };
        let before = self.log.head();
        self.append(size);
        self.bus.publish(self.log.publication(before), self.now_ms, &mut self.rng);
    }

    /// A newer writer changes the realm in a way that nodes can't read.
    fn commit_unknown(&mut self) {
        let before = self.log.head();
        let mark = Mark(self.rng.next() as u32);
        self.reference.commit(None, self.log.append_unknown(mark));
        self.bus.publish(self.log.publication(before), self.now_ms, &mut self.rng);
        self.note_all(|| format!("an event that nodes can't read follows on {}", before.sequence));
    }

    fn append(&mut self, size: u64) {
        let mark = Mark(self.rng.next() as u32);
        for _ in 0..size {
            let event = workload::event(self.log.tables(), self.log.head().sequence, &mut self.rng);
            self.append_event(event, mark);
        }
    }

    fn append_event(&mut self, event: Event, mark: Mark) {
        self.reference.commit(Some(&event), self.log.append(event.clone(), mark));
        self.tally.events += 1;
    }

    /// Clients without a connection try anywhere.
    pub(crate) fn connect_some(&mut self, per_mille: u64) {
        for index in 0..self.clients.len() {
            let client = &self.clients[index];
            let may = self.log.tables().is_active(client.user) || per_mille < 1_000;
            if client.line.is_none()
                && client.connect_ms <= self.now_ms
                && may
                && self.rng.per_mille(per_mille)
            {
                self.connect(index);
            }
        }
    }

    fn connect(&mut self, index: usize) {
        let node = self.rng.index(self.nodes.len());
        let shard = self.rng.index(self.options.shards);
        let socket = Socket::shared(self.rng.within(4..=self.room_max) as usize);
        let client = &mut self.clients[index];
        let greeting = Greeting {
            user: client.user,
            position: client.place.map(|place| place.position),
            status: if client.active { Status::Active } else { Status::Idle },
            scope: client.scope,
        };
        let at = greeting.position;
        client.connect(node, socket.clone(), self.log.head().sequence, self.now_ms);
        self.nodes[node].shards[shard].accept(greeting, socket, self.now_ms);
        self.note(index, || format!("connects to node {node}, shard {shard}, naming {at:?}"));
    }

    fn cut_someone(&mut self) {
        let index = self.rng.index(self.clients.len());
        let how = if self.rng.per_mille(300) { State::Vanished } else { State::Cut };
        self.clients[index].cut(how);
        self.clients[index].connect_ms = self.now_ms + self.rng.within(0..=1_500);
        self.note(index, || format!("loses its connection: {how:?}"));
    }

    fn stall_someone(&mut self) {
        let index = self.rng.index(self.clients.len());
        let for_ms = self.rng.within(50..=5_000);
        self.clients[index].stalled_until_ms = self.now_ms + for_ms;
        self.note(index, || format!("reads nothing for {for_ms} ms"));
    }

    /// Someone comes back with a position it was never told, or with none.
    fn forge(&mut self) {
        let index = self.rng.index(self.clients.len());
        self.clients[index].cut(State::Cut);
        let here = self.log.head();
        let known = self.reference.any_place(&mut self.rng);
        let position = match self.rng.within(0..=5) {
            0 => None,
            1 => Some(known),
            2 => Some(Position { mark: Mark(self.rng.next() as u32), ..known }),
            3 => Some(Position { epoch: Epoch(self.rng.next() >> 11), ..known }),
            4 => Some(Position { sequence: Sequence(here.sequence.0 + self.rng.within(1..=40)), ..here }),
            _ => Some(Position { sequence: Sequence(self.rng.within(0..=here.sequence.0)), ..here }),
        };
        self.clients[index].place = position.map(|position| self.reference.place(position));
        self.note(index, || format!("takes {position:?} for its position"));
    }

    /// Someone asks for a write in its session.
    fn someone_writes(&mut self) {
        let index = self.rng.index(self.clients.len());
        let user = self.clients[index].user;
        let number = self.rng.next();
        let send_id =
            SendId::parse(number.to_string()).unwrap_or_else(|_| unreachable!("digits are visible"));
        let stream_id = StreamId(self.rng.within(1..=5));
        let user_ids =
            if self.rng.per_mille(500) { vec![] } else { vec![UserId(self.rng.within(1..=9) as u32)] };
        self.clients[index].say(match self.rng.within(0..=3) {
            0 => ClientMessage::Subscribe { send_id, stream_id, user_ids },
            1 => ClientMessage::Unsubscribe { send_id, stream_id, user_ids },
            _ => {
                let to = workload::destination(self.log.tables(), user, &mut self.rng);
                ClientMessage::Send { send_id, to, content: "hi".into() }
            }
        });
    }

    /// Someone's user turns away, or back.
    fn someone_turns(&mut self) {
        let index = self.rng.index(self.clients.len());
        let client = &mut self.clients[index];
        client.active = !client.active;
        let status = if client.active { Status::Active } else { Status::Idle };
        client.say(ClientMessage::Presence { status });
        self.note(index, || format!("is {status:?}"));
    }

    /// The writer does what sessions of `node` asked for.
    pub(crate) fn write_for(&mut self, node: usize) {
        for shard in 0..self.options.shards {
            for (key, request) in std::mem::take(&mut self.nodes[node].shards[shard].writes) {
                let send_id = request.send_id.clone();
                let outcome = self.write(request);
                self.nodes[node].shards[shard].tell(Tell::Written(key, send_id, outcome));
            }
        }
    }

    fn write(&mut self, request: WriteRequest) -> WriteOutcome {
        let refused = |code| WriteOutcome::Refused(Refusal::fatal(code, "no"));
        let before = self.log.head();
        let sequence = before.sequence.next();
        let Some(event) = self.decide(&request).filter(|_| !self.link.is_down()) else {
            return refused(RefusalCode::Forbidden);
        };
        let mark = Mark(self.rng.next() as u32);
        self.append_event(event, mark);
        self.bus.publish(self.log.publication(before), self.now_ms, &mut self.rng);
        match request.operation {
            Operation::Send { .. } => WriteOutcome::Sent { message_id: MessageId(sequence.0), sequence },
            Operation::Subscribe { .. } | Operation::Unsubscribe { .. } => WriteOutcome::Done { sequence },
        }
    }

    /// The event that a request comes to, if it is allowed and changes anything.
    fn decide(&self, request: &WriteRequest) -> Option<Event> {
        let tables = self.log.tables();
        let actor_id = request.user_id;
        let named = |user_ids: &[UserId]| user_ids.first().copied().unwrap_or(actor_id);
        match &request.operation {
            Operation::Send { to, .. } => {
                Some(workload::message(actor_id, to.clone(), self.log.head().sequence))
            }
            Operation::Subscribe { stream_id, user_ids } => {
                let (stream, user) = (tables.streams.get(stream_id)?.clone(), named(user_ids));
                let new = tables.users.contains_key(&user) && !tables.members.contains(&(*stream_id, user));
                new.then(|| Event::MembersAdded { stream, user_ids: vec![user], actor_id })
            }
            Operation::Unsubscribe { stream_id, user_ids } => {
                let user = named(user_ids);
                let member = tables.members.contains(&(*stream_id, user));
                let (stream_id, user_ids) = (*stream_id, vec![user]);
                member.then_some(Event::MembersRemoved { stream_id, user_ids, actor_id })
            }
        }
    }

    fn restart(&mut self) {
        let index = self.rng.index(self.nodes.len());
        let node = &mut self.nodes[index];
        node.shards.iter_mut().for_each(|shard| shard.crash());
        *node = Node::start(index, node.life() + 1, self.options, self.bus.is_up(index));
        self.tally.restarts += 1;
        self.note_all(|| format!("node {index} starts anew"));
    }

    fn stall_keeper(&mut self) {
        let index = self.rng.index(self.nodes.len());
        self.nodes[index].stalled_until_ms = self.now_ms + self.rng.within(50..=3_000);
        self.note_all(|| format!("the keeper of node {index} stalls"));
    }

    fn stall_shard(&mut self) {
        let index = self.rng.index(self.nodes.len());
        let shard = self.rng.index(self.options.shards);
        self.nodes[index].shards[shard].stalled_until_ms = self.now_ms + self.rng.within(50..=2_000);
        self.note_all(|| format!("shard {shard} of node {index} stalls"));
    }

    fn switch_link(&mut self) {
        let node = self.rng.index(self.nodes.len());
        self.set_link(node, !self.bus.is_up(node));
    }

    fn switch_bus(&mut self) {
        let up = self.rng.per_mille(500);
        (0..self.nodes.len()).for_each(|node| self.set_link(node, up));
    }

    /// A node is told of it, unless it thinks so already; sometimes it is told only once it is up again.
    fn set_link(&mut self, node: usize, up: bool) {
        if self.bus.is_up(node) != up {
            self.bus.set_link(node, up);
            if up || self.rng.per_mille(700) {
                self.nodes[node].tell(Input::Link { up });
            }
            self.note_all(|| format!("the link of node {node} is {}", if up { "up" } else { "down" }));
        }
    }

    /// The database goes back, with its epoch changed or not; maybe it has overtaken itself before anyone
    /// looks.
    fn set_back(&mut self) {
        let head = self.log.head();
        let to = Sequence(head.sequence.0.saturating_sub(self.rng.within(1..=80)).max(self.log.floor().0));
        let epoch = if self.rng.per_mille(500) { head.epoch } else { Epoch(self.rng.next() >> 11) };
        self.log.set_back(to, epoch);
        self.reference.set_back(to, epoch);
        self.clients.iter_mut().for_each(|client| client.note_head(to));
        self.tally.set_backs += 1;
        self.note_all(|| format!("the log goes back from {head:?} to {to:?}, {epoch:?}"));
        if self.rng.per_mille(500) {
            for _ in 0..self.rng.within(1..=3) {
                let size = self.rng.within(1..=64);
                self.append(size);
            }
        }
    }
}
