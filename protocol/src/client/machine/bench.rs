//! A machine at a scripted server, with a clock of its own.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;

use super::{Effect, Machine, Outcome};
use crate::client::error::{Cause, SendError};
use crate::client::incoming::Frame;
use crate::client::known::Known;
use crate::client::update::Update;
use crate::client::{Config, State};
use crate::client_message::{ClientMessage, Hello};
use crate::close::CloseCode;
use crate::codec::Codec;
use crate::event::{Destination, Event, Message};
use crate::ids::{Epoch, Mark, MessageId, RealmId, SendId, Sequence, SessionId, StreamId, UserId};
use crate::position::Position;
use crate::server_message::{ServerMessage, Welcome};

pub(super) const ADA: UserId = UserId(3);
pub(super) const BRUNO: UserId = UserId(4);
pub(super) const TIME_MS: u64 = 1_763_818_162_000;

/// A machine and all that came out of it.
pub(super) struct Bench {
    pub(super) machine: Machine<u32>,
    pub(super) known: watch::Receiver<Known>,
    pub(super) now: Instant,
    pub(super) codec: Codec,
    /// Sockets asked for.
    pub(super) connects: usize,
    pub(super) disconnects: Vec<CloseCode>,
    pub(super) answers: Vec<(u32, Result<Outcome, SendError>)>,
    written: Vec<ClientMessage>,
}

impl Bench {
    /// A client that was just started.
    pub(super) fn new(config: &Config) -> Self {
        let now = Instant::now();
        let (machine, known) = Machine::new(config, 1, now);
        let mut bench = Self {
            machine,
            known,
            now,
            codec: config.codec,
            connects: 0,
            disconnects: Vec::new(),
            answers: Vec::new(),
            written: Vec::new(),
        };
        bench.pass(Duration::ZERO);
        bench
    }

    /// A client of the defaults that was just started.
    pub(super) fn start() -> Self {
        Self::new(&config())
    }

    /// One in a session that began at sequence 42.
    pub(super) fn open() -> Self {
        let mut bench = Self::start();
        bench.welcome();
        bench.updates();
        bench.written();
        bench
    }

    /// Opens the socket that was asked for and gives back the hello.
    pub(super) fn hello(&mut self) -> Hello {
        self.machine.handle_opened();
        match &self.written()[..] {
            [ClientMessage::Hello(hello)] => hello.clone(),
            other => panic!("expected a hello, not {other:?}"),
        }
    }

    /// Opens the socket and answers the hello.
    pub(super) fn welcome(&mut self) -> Hello {
        let hello = self.hello();
        let position = hello.position.unwrap_or(position(42));
        self.say(&ServerMessage::Welcome(Box::new(welcome(position))));
        hello
    }

    /// The server says something.
    pub(super) fn say(&mut self, message: &ServerMessage) {
        let bytes = self.codec.encode_server(message);
        self.say_bytes(&bytes);
    }

    pub(super) fn say_bytes(&mut self, bytes: &Bytes) {
        let frame = match self.codec {
            Codec::Json => Frame::Text(std::str::from_utf8(bytes).unwrap()),
            Codec::Bincode => Frame::Binary(bytes),
        };
        self.machine.handle_frame(frame, self.now);
        self.perform();
    }

    pub(super) fn say_text(&mut self, text: &str) {
        self.machine.handle_frame(Frame::Text(text), self.now);
        self.perform();
    }

    /// The server closes the connection.
    pub(super) fn close(&mut self, code: u16, reason: &str) {
        self.machine.handle_end(Cause::Closed { code, reason: reason.into() }, self.now);
        self.perform();
    }

    /// The connection breaks off.
    pub(super) fn break_off(&mut self) {
        self.machine.handle_end(Cause::Broken("reset by peer".into()), self.now);
        self.perform();
    }

    /// Time passes, and each deadline on the way is kept.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(deadline) = self.machine.deadline().filter(|&deadline| deadline <= end) {
            self.now = self.now.max(deadline);
            self.machine.handle_timeout(self.now);
            self.perform();
        }
        self.now = end;
    }

    /// The program sends a message, whose answer is known by `reply`.
    pub(super) fn send(&mut self, reply: u32, text: &str) {
        let message = self.codec.encode_client(&send(text));
        self.machine.handle_write(id(text), message, reply, self.now);
        self.perform();
    }

    /// What was written since the last call.
    pub(super) fn written(&mut self) -> Vec<ClientMessage> {
        self.perform();
        std::mem::take(&mut self.written)
    }

    /// The ids of the sends written since the last call.
    pub(super) fn sends_written(&mut self) -> Vec<String> {
        let mut send_ids = Vec::new();
        for message in self.written() {
            if let ClientMessage::Send { send_id, .. } = message {
                send_ids.push(send_id.as_str().to_owned());
            }
        }
        send_ids
    }

    /// The next update, which the program takes.
    pub(super) fn update(&mut self) -> Option<Update> {
        let update = self.machine.poll_update(self.now);
        self.perform();
        update
    }

    /// All updates, which the program takes.
    pub(super) fn updates(&mut self) -> Vec<Update> {
        std::iter::from_fn(|| self.update()).collect()
    }

    /// How the client stands.
    pub(super) fn state(&self) -> State {
        self.known.borrow().state.clone()
    }

    fn perform(&mut self) {
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                Effect::Connect => {
                    self.connects += 1;
                    // What nobody looked at is gone with the socket before.
                    self.written.clear();
                }
                Effect::Write(bytes) => self.written.push(self.codec.decode_client(&bytes).unwrap()),
                Effect::Disconnect(code) => self.disconnects.push(code),
                Effect::Answer(reply, answer) => self.answers.push((reply, answer)),
            }
        }
    }
}

pub(super) fn config() -> Config {
    Config::new("ws://chat.example/ws", "key")
}

pub(super) fn id(text: &str) -> SendId {
    SendId::parse(text).unwrap()
}

pub(super) fn position(sequence: u64) -> Position {
    Position { epoch: Epoch(5511), sequence: Sequence(sequence), mark: Mark(7) }
}

pub(super) fn lunch() -> Destination {
    Destination::Stream { stream_id: StreamId(1), topic: "lunch".into() }
}

pub(super) fn send(text: &str) -> ClientMessage {
    ClientMessage::Send { send_id: id(text), to: lunch(), content: text.into() }
}

pub(super) fn sent(text: &str, sequence: u64) -> ServerMessage {
    ServerMessage::Sent {
        send_id: id(text),
        message_id: MessageId(900 + sequence),
        sequence: Sequence(sequence),
    }
}

pub(super) fn message(sender_id: UserId, to: Destination) -> Event {
    Event::Message(Message {
        message_id: MessageId(907),
        sender_id,
        timestamp: 1_763_818_162,
        to,
        content: "Soup?".into(),
        send_id: id("9f"),
    })
}

/// An event that bruno's message made.
pub(super) fn event(sequence: u64) -> ServerMessage {
    ServerMessage::Event { sequence: Sequence(sequence), mark: Mark(7), event: message(BRUNO, lunch()) }
}

pub(super) fn welcome(position: Position) -> Welcome {
    Welcome {
        session_id: SessionId(17),
        realm_id: RealmId(1),
        user_id: ADA,
        position,
        api: "http://chat.example/api/v1".into(),
        time_ms: TIME_MS,
        heartbeat_ms: 25_000,
        timeout_ms: 10_000,
        resume_window_s: 86_400,
        presence_error_max_ms: 55_000,
        frame_bytes_max: 65_536,
        content_chars_max: 10_000,
        sends_in_flight_max: 256,
    }
}
