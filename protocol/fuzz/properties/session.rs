//! What holds for a shard's part of a realm, whatever its clients say and however their sockets fill up.
//!
//! The bytes are a script of steps: events are logged, sockets take all or a part of what they are given,
//! sessions come, talk, fall behind and go, the ring and the log forget. A plain model that knows every event
//! and its audience says after each step what each session must have had.

#![allow(clippy::unwrap_used, reason = "what is not so in a test is its failure")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use squall_hub::catch_up::Block;
use squall_hub::ring::RingLimits;
use squall_hub::roster::{BehindReason, CatchUpStep, SessionKey};
use squall_hub::session::SessionEffect;
use squall_hub::{RealmState, Ring, RingEvent, Roster, Session};
use squall_protocol::client_message::{ClientMessage, Scope, Status};
use squall_protocol::event::{Event, Message, Role, Stream, User};
use squall_protocol::limits::{DIRECT_USERS_MAX, LOG_RANGE_EVENTS_MAX, SENDS_IN_FLIGHT_MAX, TOPIC_CHARS_MAX};
use squall_protocol::link::{EventRecord, Identity, LogRange, Refusal, RefusalCode, WriteOutcome};
use squall_protocol::server_message::{ErrorCode, ServerMessage};
use squall_protocol::{
    Codec, Destination, Epoch, Mark, MessageId, Position, RealmId, SendId, Sequence, SessionId, StreamId,
    UserId,
};

/// Runs the script in `bytes`, then lets every session get what it still has to.
pub(crate) fn check(bytes: &[u8]) {
    let mut script = Script(bytes);
    let mut shard = Shard::new();
    while let Some(step) = script.next() {
        shard.step(step, &mut script);
        shard.check_stands();
    }
    shard.settle();
}

/// Bytes as choices; zeros once they are used up.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn byte(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }

    fn below(&mut self, limit: u64) -> u64 {
        u64::from(self.byte()) % limit
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

const REALM: RealmId = RealmId(1);
const EPOCH: Epoch = Epoch(9);
const SLOTS: u64 = 6;
const USERS: u64 = 5;
const STREAMS: u64 = 3;
const RING: RingLimits = RingLimits { events_max: 8, bytes_max: 1 << 20 };

/// The session's own limits on typing: five notices a second, and twice ten at once.
const TYPING_INTERVAL_MS: u64 = 200;
const TYPING_BURST: u64 = 20;

/// What is under test, and the model beside it.
struct Shard {
    state: RealmState,
    ring: Ring,
    roster: Roster,
    clients: BTreeMap<u32, Client>,
    model: Model,
    generation: u32,
    now_ms: u64,
    /// The log reaches back to this.
    floor: Sequence,
}

/// One session and what it had.
struct Client {
    key: SessionKey,
    user: UserId,
    session: Session,
    opened_ms: u64,
    in_flight: Vec<SendId>,
    typed: u64,
    /// It had all it may see up to here.
    stand: Sequence,
}

impl Shard {
    fn new() -> Self {
        Self {
            state: RealmState::new(Position::start(EPOCH)),
            ring: Ring::new(Position::start(EPOCH)),
            roster: Roster::new(Sequence::ZERO),
            clients: BTreeMap::new(),
            model: Model::default(),
            generation: 0,
            now_ms: 1_000,
            floor: Sequence::ZERO,
        }
    }

    fn step(&mut self, step: u8, script: &mut Script<'_>) {
        match step % 10 {
            0 | 1 => self.log(script),
            2 => self.fan_out(script),
            3 => self.join(script),
            4 => self.leave(script.below(SLOTS) as u32),
            5 | 6 => {
                let (slot, bytes_max) = (script.below(SLOTS) as u32, usize::from(script.byte()) * 16);
                self.catch_up(slot, bytes_max, script);
            }
            7 => self.say(script),
            8 => self.answer(script),
            _ => match script.byte() {
                forget @ 0..32 => self.forget(u64::from(forget)),
                wait => self.now_ms += u64::from(wait) * u64::from(wait),
            },
        }
    }

    /// The next event: stamped by the realm's state, and by the model.
    fn log(&mut self, script: &mut Script<'_>) {
        let event = any_event(script);
        let sequence = self.ring.head().sequence.next();
        let record = EventRecord::new(sequence, Mark(sequence.0 as u32 / 2), &event);
        let stamp = self.state.advance(&record).unwrap();
        let ring_event = Arc::new(RingEvent::new(record, stamp));
        self.ring.push(ring_event.clone(), RING);
        self.model.log(&event, ring_event);
    }

    /// New events to those who are live; some sockets take only a part.
    fn fan_out(&mut self, script: &mut Script<'_>) {
        let (before, live) = (self.roster.cursor(), self.live());
        let lost = before < self.ring.base().sequence;
        let fan_out = self.roster.fan_out(&self.ring, usize::from(script.byte()) * 16);
        let cursor = self.roster.cursor();
        if lost {
            assert!(fan_out.events.is_empty());
            for slot in live {
                let behind = self.roster.behind(self.clients[&slot].key).unwrap();
                assert_eq!((behind.after, behind.reason), (before, BehindReason::Resuming));
            }
            return;
        }
        let mut deliveries: HashMap<SessionKey, u64> = HashMap::new();
        for (key, mask) in fan_out.deliveries {
            assert_eq!(deliveries.insert(key, mask), None, "one delivery for each session");
        }
        for slot in live {
            let client = self.clients.get_mut(&slot).unwrap();
            let mask = deliveries.remove(&client.key).unwrap_or(0);
            let events = fan_out.events.iter().enumerate().filter(|(bit, _)| mask & (1 << bit) != 0);
            let events: Vec<_> = events.map(|(_, event)| event.sequence()).collect();
            assert_eq!(events, self.model.visible(client.user, before, cursor), "to {:?}", client.user);
            let refused = script.below(events.len() as u64 + 1) as usize;
            client.stand = cursor;
            if refused > 0 {
                client.stand = events.iter().rev().nth(refused).copied().unwrap_or(before);
                self.roster.lag(client.key, client.user, client.stand);
            }
        }
        assert!(deliveries.is_empty(), "nothing for those who are behind or gone: {deliveries:?}");
    }

    fn join(&mut self, script: &mut Script<'_>) {
        let slot = script.below(SLOTS) as u32;
        let stand = Sequence(script.below(self.roster.cursor().0 + 1));
        if self.clients.contains_key(&slot) {
            return;
        }
        self.generation += 1;
        let (key, user) =
            (SessionKey { slot, generation: self.generation }, UserId(script.below(USERS) as u32));
        let identity = Identity { realm_id: REALM, user_id: user, as_of: self.state.position() };
        let session =
            Session::open(SessionId(u64::from(self.generation)), &identity, Scope::Realm, self.now_ms);
        self.roster.join(key, user, stand);
        let opened_ms = self.now_ms;
        let client = Client { key, user, session, opened_ms, in_flight: Vec::new(), typed: 0, stand };
        self.clients.insert(slot, client);
    }

    fn leave(&mut self, slot: u32) {
        let Some(client) = self.clients.remove(&slot) else { return };
        self.roster.leave(client.key, client.user);
        assert_eq!(self.roster.behind(client.key), None);
        assert!(!self.roster.sessions_of(client.user).contains(&client.key));
    }

    /// A step of a session that is behind; its socket may take only a part.
    fn catch_up(&mut self, slot: u32, bytes_max: usize, script: &mut Script<'_>) {
        let Some(client) = self.clients.get(&slot) else { return };
        let (key, user, stand) = (client.key, client.user, client.stand);
        let reaches = self.ring.base().sequence <= stand;
        let behind = self.roster.behind(key);
        let mut step = self.roster.catch_up(key, &self.ring, None, bytes_max);
        if let CatchUpStep::NeedBlock(number) = step {
            assert!(!reaches && number == Block::number_after(stand));
            let block = self.block(number);
            step = self.roster.catch_up(key, &self.ring, Some(&block), bytes_max);
        }
        match step {
            CatchUpStep::Events { events, upto } => {
                let events: Vec<_> = events.iter().map(|event| event.sequence()).collect();
                assert!(
                    stand < upto && upto <= self.roster.cursor(),
                    "a step goes on, and not past the live"
                );
                assert_eq!(events, self.model.visible(user, stand, upto), "to {user:?}");
                let refused = script.below(events.len() as u64 + 1) as usize;
                let had = if refused == 0 {
                    upto
                } else {
                    events.iter().rev().nth(refused).copied().unwrap_or(stand)
                };
                self.roster.caught_up_to(key, had);
                self.client(slot).stand = had;
            }
            CatchUpStep::NeedBlock(number) => panic!("block {number} is here"),
            CatchUpStep::Lost => {
                assert!(!reaches && behind.unwrap().reason == BehindReason::Slow);
                self.leave(slot);
            }
            CatchUpStep::Expired => {
                assert!(!reaches && stand < self.floor, "the log reaches back to {stand}");
                self.leave(slot);
            }
            CatchUpStep::CaughtUp => {
                assert_eq!(stand, self.roster.cursor());
                self.roster.caught_up_to(key, stand);
                assert_eq!(self.roster.behind(key), None);
            }
        }
    }

    /// The client says what the next bytes are in one of the codecs, once or often.
    fn say(&mut self, script: &mut Script<'_>) {
        let (slot, times, len) = (script.below(SLOTS) as u32, script.byte(), script.byte());
        let bytes = script.take(usize::from(len));
        let message = Codec::ALL.iter().find_map(|codec| codec.decode_client(bytes).ok());
        let (Some(message), true) = (message, self.clients.contains_key(&slot)) else { return };
        for _ in 0..=times {
            self.hear(slot, message.clone());
        }
    }

    fn hear(&mut self, slot: u32, message: ClientMessage) {
        let (now_ms, state) = (self.now_ms, &self.state);
        let Some(client) = self.clients.get_mut(&slot) else { return };
        let effect = client.session.handle_message(message.clone(), state, now_ms);
        assert_eq!(client.session.heard_ms(), now_ms);
        match (effect, message) {
            (SessionEffect::Fault(_), ClientMessage::Hello(_)) => self.leave(slot),
            (SessionEffect::Forward(request), message) => {
                assert_eq!((request.realm_id, request.user_id), (REALM, client.user));
                assert_eq!(request.session_id, client.session.id());
                assert_eq!(Some(&request.send_id), send_id(&message));
                client.in_flight.push(request.send_id);
                assert!(client.in_flight.len() <= SENDS_IN_FLIGHT_MAX);
            }
            (SessionEffect::Reply(ServerMessage::Error { code: ErrorCode::SendsInFlight, .. }), message) => {
                assert!(send_id(&message).is_some() && client.in_flight.len() == SENDS_IN_FLIGHT_MAX);
            }
            (SessionEffect::Typing(audience, told), ClientMessage::Typing { op, to }) => {
                client.typed += 1;
                let passed_ms = now_ms - client.opened_ms;
                assert!(client.typed <= TYPING_BURST + passed_ms / TYPING_INTERVAL_MS, "not without end");
                assert!(self.model.may_write(client.user, &to), "{:?} may not write to {to:?}", client.user);
                let ServerMessage::Typing { op: told_op, sender_id, to: told_to } = told else {
                    panic!("{told:?}")
                };
                assert_eq!((told_op, sender_id), (op, client.user));
                assert_eq!(audience, told_to.audience());
                check_told(&to, &told_to, client.user);
            }
            (SessionEffect::None, ClientMessage::Typing { .. }) => {}
            (SessionEffect::Status(status), ClientMessage::Presence { status: said }) => {
                assert_eq!(status, said);
            }
            (SessionEffect::Status(status), ClientMessage::Pong { active }) => {
                assert_eq!(status == Status::Active, active);
            }
            (SessionEffect::PresenceRequest, ClientMessage::PresenceRequest {}) => {}
            (SessionEffect::Reply(ServerMessage::Pong { time_ms }), ClientMessage::Ping {}) => {
                assert_eq!(time_ms, now_ms);
            }
            (effect, message) => panic!("{effect:?} for {message:?}"),
        }
    }

    /// The writer's answer to one of a session's sends.
    fn answer(&mut self, script: &mut Script<'_>) {
        let (slot, which, kind) = (script.below(SLOTS) as u32, usize::from(script.byte()), script.byte());
        let Some(client) = self.clients.get_mut(&slot).filter(|client| !client.in_flight.is_empty()) else {
            return;
        };
        let send_id = client.in_flight.swap_remove(which % client.in_flight.len());
        let outcome = match kind % 3 {
            0 => WriteOutcome::Sent { message_id: MessageId(1), sequence: Sequence(1) },
            1 => WriteOutcome::Done { sequence: Sequence(1) },
            _ => WriteOutcome::Refused(Refusal::fatal(RefusalCode::Forbidden, "no")),
        };
        let told = client.session.handle_outcome(send_id.clone(), outcome);
        let (ServerMessage::Sent { send_id: told, .. }
        | ServerMessage::Done { send_id: told, .. }
        | ServerMessage::Refused { send_id: told, .. }) = told
        else {
            panic!("{told:?} for an outcome")
        };
        assert_eq!(told, send_id);
    }

    /// The log lets its oldest events go, but none that the ring still has.
    fn forget(&mut self, events: u64) {
        self.floor = Sequence(self.floor.0 + events).min(self.ring.base().sequence);
    }

    fn block(&self, number: u64) -> Block {
        let after = Block::start(number).max(self.floor);
        let events = self.model.events.iter().filter(|event| event.sequence() > after);
        let events: Vec<_> = events.take(LOG_RANGE_EVENTS_MAX).cloned().collect();
        let range = LogRange {
            head: self.ring.head(),
            floor: self.floor,
            after_mark: None,
            records: Vec::new(),
            changes: Vec::new(),
        };
        Block::new(number, &range, events)
    }

    fn live(&self) -> Vec<u32> {
        let is_live = |client: &&Client| self.roster.behind(client.key).is_none();
        self.clients.values().filter(is_live).map(|client| client.key.slot).collect()
    }

    fn client(&mut self, slot: u32) -> &mut Client {
        self.clients.get_mut(&slot).unwrap()
    }

    /// Where the roster has a session is where its client is, and no session is unknown or there twice.
    fn check_stands(&self) {
        for client in self.clients.values() {
            let after = self.roster.behind(client.key).map_or(self.roster.cursor(), |behind| behind.after);
            assert_eq!(after, client.stand, "{:?}", client.key);
        }
        let keys: BTreeSet<_> = self.clients.values().map(|client| client.key).collect();
        let mut known: Vec<_> = self.roster.sessions().collect();
        known.sort();
        assert_eq!(known, keys.into_iter().collect::<Vec<_>>());
    }

    /// Sockets drain: everyone who was not lost gets to the head, in bounded steps.
    fn settle(&mut self) {
        let mut quiet = Script(&[]);
        while self.roster.cursor() < self.ring.head().sequence {
            let before = self.roster.cursor();
            self.fan_out(&mut quiet);
            assert!(before < self.roster.cursor(), "a fan-out moves the cursor");
        }
        for slot in 0..SLOTS as u32 {
            let mut steps = 0;
            while self.clients.get(&slot).is_some_and(|client| self.roster.behind(client.key).is_some()) {
                self.catch_up(slot, 0, &mut quiet);
                steps += 1;
                assert!(steps <= self.model.events.len() + 1, "each step goes on by an event");
            }
        }
        self.check_stands();
        assert!(self.clients.values().all(|client| client.stand == self.ring.head().sequence));
    }
}

/// Every event and who may see it, as plainly as it can be put.
#[derive(Default)]
struct Model {
    events: Vec<Arc<RingEvent>>,
    audiences: Vec<BTreeSet<u32>>,
    roles: BTreeMap<u32, Role>,
    members: BTreeMap<u64, BTreeSet<u32>>,
}

impl Model {
    fn log(&mut self, event: &Event, ring_event: Arc<RingEvent>) {
        let ids = |users: &[UserId]| users.iter().map(|user| user.0).collect::<BTreeSet<_>>();
        let audience = match event {
            Event::Message(message) => match &message.to {
                Destination::Stream { stream_id, .. } => self.members(*stream_id),
                Destination::Direct { user_ids } => ids(user_ids),
            },
            Event::StreamCreated { stream } => {
                self.members.entry(stream.stream_id.0).or_default();
                let regulars = self.roles.iter().filter(|(_, role)| **role != Role::Guest);
                let regulars = regulars.map(|(user, _)| *user).collect();
                if stream.invite_only { self.members(stream.stream_id) } else { regulars }
            }
            Event::MembersAdded { stream, user_ids, .. } => {
                self.members.entry(stream.stream_id.0).or_default().extend(ids(user_ids));
                self.members(stream.stream_id)
            }
            Event::MembersRemoved { stream_id, user_ids, .. } => {
                let members = self.members.entry(stream_id.0).or_default();
                members.retain(|member| !ids(user_ids).contains(member));
                self.members(*stream_id).union(&ids(user_ids)).copied().collect()
            }
            Event::UserAdded { user } | Event::UserUpdated { user, .. } => {
                self.roles.insert(user.user_id.0, user.role);
                self.roles.keys().copied().collect()
            }
            Event::CredentialChanged { user_id } => ids(&[*user_id]),
            Event::StreamUpdated { .. }
            | Event::MessageEdited(_)
            | Event::MessagesMoved(_)
            | Event::MessagesDeleted(_)
            | Event::ReactionAdded(_)
            | Event::ReactionRemoved(_)
            | Event::FlagsAdded(_)
            | Event::FlagsRemoved(_)
            | Event::TopicPolicySet(_)
            | Event::SubscriptionSet(_)
            | Event::SettingSet(_) => BTreeSet::new(),
        };
        self.events.push(ring_event);
        self.audiences.push(audience);
    }

    fn members(&self, stream: StreamId) -> BTreeSet<u32> {
        self.members.get(&stream.0).cloned().unwrap_or_default()
    }

    /// What `user` may see of the events in (`after`, `upto`].
    fn visible(&self, user: UserId, after: Sequence, upto: Sequence) -> Vec<Sequence> {
        let sequences = (after.0 + 1..=upto.0).map(Sequence);
        sequences.filter(|sequence| self.audiences[sequence.0 as usize - 1].contains(&user.0)).collect()
    }

    fn may_write(&self, user: UserId, to: &Destination) -> bool {
        match to {
            Destination::Stream { stream_id, .. } => self.members(*stream_id).contains(&user.0),
            Destination::Direct { user_ids } => user_ids.iter().all(|user| self.roles.contains_key(&user.0)),
        }
    }
}

/// What is told of a typing user names the same destination, bounded, with its own user in it.
fn check_told(said: &Destination, told: &Destination, user: UserId) {
    match (said, told) {
        (Destination::Stream { topic, .. }, told) => {
            assert_eq!(said, told);
            assert!(topic.chars().count() <= TOPIC_CHARS_MAX);
        }
        (Destination::Direct { user_ids: said }, Destination::Direct { user_ids: told }) => {
            let expected: BTreeSet<_> = said.iter().chain([&user]).copied().collect();
            assert_eq!(*told, expected.into_iter().collect::<Vec<_>>());
            assert!(told.len() <= DIRECT_USERS_MAX + 1);
        }
        (Destination::Direct { .. }, Destination::Stream { .. }) => panic!("{told:?} for {said:?}"),
    }
}

fn send_id(message: &ClientMessage) -> Option<&SendId> {
    match message {
        ClientMessage::Send { send_id, .. }
        | ClientMessage::Subscribe { send_id, .. }
        | ClientMessage::Unsubscribe { send_id, .. } => Some(send_id),
        ClientMessage::Hello(_)
        | ClientMessage::Typing { .. }
        | ClientMessage::Presence { .. }
        | ClientMessage::PresenceRequest {}
        | ClientMessage::Ping {}
        | ClientMessage::Pong { .. } => None,
    }
}

fn any_event(script: &mut Script<'_>) -> Event {
    let kind = script.byte();
    let user_id = UserId(script.below(USERS) as u32);
    let stream = Stream {
        stream_id: StreamId(script.below(STREAMS)),
        name: "s".into(),
        description: String::new(),
        invite_only: kind & 0x10 != 0,
    };
    let user = |role| User {
        user_id,
        email: String::new(),
        full_name: String::new(),
        role,
        is_bot: false,
        is_active: kind & 0x20 != 0,
    };
    let role = match kind >> 6 {
        0 => Role::Admin,
        1 => Role::Guest,
        _ => Role::Member,
    };
    match kind % 8 {
        0 => any_message(Destination::Direct { user_ids: vec![user_id] }, user_id),
        1 => Event::StreamCreated { stream },
        2 => Event::MembersAdded { stream, user_ids: vec![user_id], actor_id: user_id },
        3 => {
            Event::MembersRemoved { stream_id: stream.stream_id, user_ids: vec![user_id], actor_id: user_id }
        }
        4 => Event::UserAdded { user: user(role) },
        5 => Event::UserUpdated { user: user(role), previous: user(Role::Member) },
        6 => Event::CredentialChanged { user_id },
        _ => any_message(Destination::Stream { stream_id: stream.stream_id, topic: "t".into() }, user_id),
    }
}

fn any_message(to: Destination, sender_id: UserId) -> Event {
    Event::Message(Message {
        message_id: MessageId(1),
        sender_id,
        timestamp: 0,
        to,
        content: String::new(),
        send_id: SendId::parse("s").unwrap(),
    })
}
