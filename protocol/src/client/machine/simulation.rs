//! Random lives of a client at a server that follows SPEC.md, over a line that breaks, against what must
//! hold whatever happens: each send is stored once and answered so; none overtakes one that is known to be
//! refused, and where none is refused all are stored in the order in which they were made;
//! each event is told once and in order, or a reset says that some are not. A failure prints the shortest
//! life that shows it; `PROPTEST_RNG_SEED` tries others.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tokio::sync::watch;

use self::server::Server;
use super::bench::{config, id, lunch, message, send, welcome};
use super::{Effect, Machine, Outcome};
use crate::client::error::{Cause, SendError};
use crate::client::incoming::Frame;
use crate::client::known::Known;
use crate::client::update::Update;
use crate::client::{Config, State};
use crate::client_message::TypingOp;
use crate::close::CloseCode;
use crate::codec::Codec;
use crate::event::Event;
use crate::ids::{Epoch, Mark, Sequence, UserId};
use crate::limits::ID_MAX;
use crate::link::RefusalCode;
use crate::position::Position;
use crate::server_message::{ErrorCode, PresenceDiff, PresenceSnapshot, ResetReason, ServerMessage, Welcome};

mod server;

const SEED: u64 = 3;
const CASES: u32 = 500;
const STEPS_MAX: usize = 200;
/// Narrow, so that the program is often behind.
const UPDATES_MAX: usize = 6;

proptest! {
    #![proptest_config(proptest_config())]

    #[test]
    fn whatever_happens_each_send_is_stored_once_and_each_event_told_once(
        is_json in any::<bool>(),
        steps in prop::collection::vec(step(), 1..STEPS_MAX),
    ) {
        let mut world = World::new(if is_json { Codec::Json } else { Codec::Bincode });
        for step in steps {
            world.perform(step);
        }
        world.heal();
        world.check();
    }

    #[test]
    fn no_bytes_of_a_server_can_stop_a_client(
        is_json in any::<bool>(),
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..60),
    ) {
        let mut world = World::new(if is_json { Codec::Json } else { Codec::Bincode });
        world.heal();
        for frame in frames {
            let text = String::from_utf8_lossy(&frame);
            world.machine.handle_frame(Frame::Text(&text), world.now);
            world.machine.handle_frame(Frame::Binary(&frame), world.now);
            world.settle_with_nobody();
        }
    }

    #[test]
    fn no_message_of_a_server_can_stop_a_client(
        messages in prop::collection::vec(odd_message(), 1..60),
    ) {
        let mut world = World::new(Codec::Json);
        world.heal();
        world.send();
        for (message, wait_ms) in messages {
            let bytes = world.codec.encode_server(&message);
            world.machine.handle_frame(Frame::Text(std::str::from_utf8(&bytes).unwrap()), world.now);
            world.settle_with_nobody();
            world.now += Duration::from_millis(wait_ms);
            world.machine.handle_timeout(world.now);
            world.settle_with_nobody();
            world.take(1);
        }
        prop_assert!(!world.machine.is_closed(), "only a close code or the program ends a client");
    }
}

/// A message with any numbers that its types allow, at any time, and milliseconds to wait after it.
fn odd_message() -> impl Strategy<Value = (ServerMessage, u64)> {
    let numbers = (0..=ID_MAX, 0..=ID_MAX, any::<u32>(), prop_oneof![any::<u64>(), Just(u64::MAX)]);
    let kind = 0..12_u8;
    (kind, numbers, any::<bool>(), 0..=u64::from(u32::MAX)).prop_map(|(kind, (a, b, c, d), flag, wait_ms)| {
        let position = Position { epoch: Epoch(a % 3), sequence: Sequence(b), mark: Mark(c) };
        let (user, send_id) = (UserId(c), id("s0"));
        let message = match kind {
            0 => ServerMessage::Welcome(Box::new(Welcome {
                heartbeat_ms: c,
                timeout_ms: c,
                time_ms: d,
                ..welcome(position)
            })),
            1 => ServerMessage::Event { sequence: Sequence(b), mark: Mark(c), event: message(user, lunch()) },
            2 => ServerMessage::Position(position),
            3 => ServerMessage::Reset { reason: ResetReason::Future, position, after_ms: c },
            4 => ServerMessage::Done { send_id, sequence: Sequence(b) },
            5 => ServerMessage::Refused {
                send_id,
                code: RefusalCode::OutOfOrder,
                message: String::new(),
                retry_after_ms: flag.then_some(c),
            },
            6 => ServerMessage::PresenceSnapshot(PresenceSnapshot {
                as_of_ms: d,
                change: d,
                offline: vec![(user, d)],
                ..PresenceSnapshot::default()
            }),
            7 => ServerMessage::Presence(PresenceDiff {
                as_of_ms: d,
                from: d,
                to: d,
                ..PresenceDiff::default()
            }),
            8 => ServerMessage::Ping { time_ms: d },
            9 => ServerMessage::Goaway { after_ms: c },
            10 => ServerMessage::Error { code: ErrorCode::SendsInFlight, message: String::new() },
            _ => ServerMessage::Typing { op: TypingOp::Start, sender_id: user, to: lunch() },
        };
        (message, wait_ms)
    })
}

fn proptest_config() -> ProptestConfig {
    let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(SEED);
    }
    config
}

/// What may happen next.
#[derive(Debug, Clone)]
enum Step {
    /// The program sends messages.
    Send(usize),
    /// Somebody else says something.
    Foreign,
    /// The server reads frames and answers.
    ServerReads(usize),
    /// The client reads frames.
    ClientReads(usize),
    /// The server will refuse so many sends for now, and with each what is on the wire behind it.
    Refuse(usize),
    /// The program takes updates.
    Take(usize),
    /// The line breaks; what is on it is lost.
    Break,
    /// From now on no socket can be opened, or sockets can be again.
    Down(bool),
    /// The server closes with a code to come back from.
    Close(CloseCode),
    /// The server is going, and says so.
    Goaway(u32),
    /// The server forgets all but the newest events.
    Expire,
    /// The log is set back: another epoch.
    SetBack,
    /// Time passes, in milliseconds.
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    const CODES: [CloseCode; 3] = [CloseCode::GoingAway, CloseCode::Unavailable, CloseCode::SlowConsumer];
    prop_oneof![
        8 => (1..4_usize).prop_map(Step::Send),
        8 => Just(Step::Foreign),
        12 => (1..8_usize).prop_map(Step::ServerReads),
        12 => (1..8_usize).prop_map(Step::ClientReads),
        3 => (1..5_usize).prop_map(Step::Refuse),
        8 => (1..8_usize).prop_map(Step::Take),
        3 => Just(Step::Break),
        2 => any::<bool>().prop_map(Step::Down),
        1 => prop::sample::select(&CODES).prop_map(Step::Close),
        1 => (0..2_000_u32).prop_map(Step::Goaway),
        1 => Just(Step::Expire),
        1 => Just(Step::SetBack),
        4 => (0..3_000_u64).prop_map(Step::Wait),
        1 => (0..60_000_u64).prop_map(Step::Wait),
    ]
}

/// A client, its program, the line and the server.
struct World {
    machine: Machine<usize>,
    known: watch::Receiver<Known>,
    codec: Codec,
    now: Instant,
    server: Server,
    /// No socket can be opened.
    is_down: bool,
    /// The answer to each send, by the order in which they were made.
    answers: Vec<Vec<Result<Outcome, SendError>>>,
    taken: Vec<Update>,
}

impl World {
    fn new(codec: Codec) -> Self {
        let now = Instant::now();
        let config = Config { codec, updates_max: UPDATES_MAX, ..config() };
        let (machine, known) = Machine::new(&config, 1, now);
        let server = Server::new(codec);
        let (answers, taken) = (Vec::new(), Vec::new());
        Self { machine, known, codec, now, server, is_down: false, answers, taken }
    }

    fn perform(&mut self, step: Step) {
        match step {
            Step::Send(count) => (0..count).for_each(|_| self.send()),
            Step::Foreign => self.server.store_foreign(),
            Step::ServerReads(count) => self.server.read(count),
            Step::ClientReads(count) => self.client_reads(count),
            Step::Refuse(count) => self.server.refuse_next(count),
            Step::Take(count) => self.take(count),
            Step::Break => self.end(Cause::Broken("reset by peer".into())),
            Step::Down(is_down) => self.is_down = is_down,
            Step::Close(code) => {
                self.end(Cause::Closed { code: code.number(), reason: code.reason().into() });
            }
            Step::Goaway(after_ms) => self.server.say_goaway(after_ms),
            Step::Expire => self.server.expire(),
            Step::SetBack => {
                self.server.set_back();
                self.end(Cause::Broken("the server was started again".into()));
            }
            Step::Wait(ms) => self.pass(Duration::from_millis(ms)),
        }
        self.settle();
    }

    fn send(&mut self) {
        let number = self.answers.len();
        self.answers.push(Vec::new());
        let send_id = server::numbered(number);
        let message = self.codec.encode_client(&send(send_id.as_str()));
        self.machine.handle_write(send_id, message, number, self.now);
    }

    fn client_reads(&mut self, count: usize) {
        for _ in 0..count {
            let Some(bytes) = self.server.next_frame(self.now) else { return };
            let frame = match self.codec {
                Codec::Json => Frame::Text(std::str::from_utf8(&bytes).unwrap()),
                Codec::Bincode => Frame::Binary(&bytes),
            };
            self.machine.handle_frame(frame, self.now);
            self.settle();
        }
    }

    fn take(&mut self, count: usize) {
        for _ in 0..count {
            self.taken.extend(self.machine.poll_update(self.now));
        }
    }

    fn end(&mut self, cause: Cause) {
        self.server.disconnect();
        self.machine.handle_end(cause, self.now);
    }

    /// Time passes; each deadline on the way is kept.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(deadline) = self.machine.deadline().filter(|&deadline| deadline <= end) {
            self.now = self.now.max(deadline);
            self.machine.handle_timeout(self.now);
            self.settle();
        }
        self.now = end;
    }

    /// Does what the machine wants done; a socket that is asked for is open at once.
    fn settle(&mut self) {
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                Effect::Connect if self.is_down => {
                    self.machine.handle_end(Cause::Broken("connection refused".into()), self.now);
                }
                Effect::Connect => {
                    self.server.connect();
                    self.machine.handle_opened();
                }
                Effect::Write(bytes) => self.server.take(bytes, self.now),
                Effect::Disconnect(_) => self.server.disconnect(),
                Effect::Answer(number, answer) => self.answers[number].push(answer),
            }
        }
    }

    /// Lets the machine go on at a server that is made up by a test: what it says is nobody's.
    fn settle_with_nobody(&mut self) {
        while let Some(effect) = self.machine.poll_effect() {
            if effect == Effect::Connect {
                self.machine.handle_opened();
            }
        }
    }

    /// Everything works, until nothing is left to do.
    fn heal(&mut self) {
        self.is_down = false;
        for _ in 0..400 {
            self.pass(Duration::from_secs(1));
            self.server.refuse_next(0);
            self.server.ping();
            self.server.read(usize::MAX);
            self.client_reads(usize::MAX);
            self.take(UPDATES_MAX);
            self.settle();
            if self.is_done() {
                return;
            }
        }
        panic!("something is left to do for ever: {:?}", self.known.borrow().state);
    }

    fn is_done(&self) -> bool {
        let position = self.taken.iter().rev().find_map(Update::position);
        let is_open = self.known.borrow().state == State::Open;
        is_open
            && position == Some(self.server.head())
            && self.answers.iter().all(|answers| !answers.is_empty())
    }

    fn check(&self) {
        self.check_sends();
        self.check_events();
    }

    fn check_sends(&self) {
        let stored = self.server.own_in_order();
        assert_eq!(stored.len(), self.answers.len(), "each is stored, once");
        // A refused send loses its place: those sent before its refusal was read may be before it.
        let in_place = stored.iter().filter(|&&number| !self.server.refused(number));
        assert!(in_place.is_sorted(), "in the order of sending: {stored:?}");
        for (number, answers) in self.answers.iter().enumerate() {
            let (message_id, sequence) = self.server.stored(number).expect("as many are as were sent");
            assert_eq!(answers[..], [Ok(Outcome::Sent { message_id, sequence })], "s{number}");
        }
    }

    /// Between resets, what was told is what the log has, from the position it began at, all of it.
    fn check_events(&self) {
        let mut position: Option<Position> = None;
        for update in &self.taken {
            match update {
                Update::Welcome { welcome, fresh } => {
                    assert_eq!(*fresh, position.is_none(), "a position, once known, is named");
                    position = position.or(Some(welcome.position));
                }
                Update::Reset { position: new, .. } => position = Some(*new),
                Update::Event { position: new, event, .. } => {
                    let before = position.expect("a welcome comes first");
                    assert_eq!(new.epoch, before.epoch);
                    assert_eq!(new.sequence, before.sequence.next(), "no hole, nothing twice");
                    self.check_event(*new, event);
                    position = Some(*new);
                }
                Update::Position(new) => {
                    assert_eq!(Some(*new), position, "this server tells every event");
                }
                Update::State(_)
                | Update::PresenceSnapshot(_)
                | Update::Presence(_)
                | Update::Typing { .. }
                | Update::Warning(_) => {}
            }
        }
    }

    fn check_event(&self, position: Position, event: &Event) {
        // Events of a log that was set back are no more.
        if position.epoch == self.server.head().epoch {
            assert_eq!(Some(event), self.server.event(position.sequence));
        }
    }
}
