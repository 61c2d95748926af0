//! A server as SPEC.md describes it, in memory, at which everybody may see everything.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::client::machine::bench::{ADA, BRUNO, TIME_MS, id, lunch, welcome};
use crate::client_message::{ClientMessage, Hello};
use crate::codec::Codec;
use crate::event::{Destination, Event, Message};
use crate::ids::{Epoch, Mark, MessageId, SendId, Sequence, UserId};
use crate::link::RefusalCode;
use crate::position::Position;
use crate::server_message::{ResetReason, ServerMessage, Welcome};

/// Few, so that the client has to hold sends back.
const SENDS_IN_FLIGHT_MAX: usize = 4;
const RETRY_AFTER: Duration = Duration::from_millis(700);

pub(super) struct Server {
    codec: Codec,
    epoch: u64,
    /// All events of this epoch, the first at sequence 1.
    log: Vec<Event>,
    /// Events up to here can't be replayed.
    floor: u64,
    /// What was stored of the client's, over all epochs.
    stored: BTreeMap<SendId, (MessageId, Sequence)>,
    own_in_order: Vec<usize>,
    bytes_of: BTreeMap<SendId, Bytes>,
    /// Sends that were refused for now, which may have been overtaken.
    refused: BTreeSet<SendId>,
    /// Sends whose answer the client has read.
    answered: BTreeSet<SendId>,
    next_message_id: u64,
    to_refuse: usize,
    line: Option<Line>,
}

/// The present connection.
#[derive(Default)]
struct Line {
    said_hello: bool,
    unread: VecDeque<Bytes>,
    /// Sends on the wire that would overtake one that was refused: they are refused too.
    in_wake: usize,
    to_client: VecDeque<Bytes>,
    /// Sends that were written, and whose answer the client has not read.
    under_way: BTreeSet<SendId>,
    /// The client has read a refusal: until then it sends nothing.
    refused_until: Option<Instant>,
}

impl Server {
    pub(super) fn new(codec: Codec) -> Self {
        Self {
            codec,
            epoch: 1,
            log: Vec::new(),
            floor: 0,
            stored: BTreeMap::new(),
            own_in_order: Vec::new(),
            bytes_of: BTreeMap::new(),
            refused: BTreeSet::new(),
            answered: BTreeSet::new(),
            next_message_id: 900,
            to_refuse: 0,
            line: None,
        }
    }

    pub(super) fn head(&self) -> Position {
        self.position(self.log.len())
    }

    pub(super) fn event(&self, sequence: Sequence) -> Option<&Event> {
        self.log.get(usize::try_from(sequence.0).ok()?.checked_sub(1)?)
    }

    /// The numbers of the client's sends, in the order in which they were stored.
    pub(super) fn own_in_order(&self) -> &[usize] {
        &self.own_in_order
    }

    /// Whether a send was ever refused for now.
    pub(super) fn refused(&self, number: usize) -> bool {
        self.refused.contains(&numbered(number))
    }

    pub(super) fn stored(&self, number: usize) -> Option<(MessageId, Sequence)> {
        self.stored.get(&numbered(number)).copied()
    }

    // The line.

    pub(super) fn connect(&mut self) {
        assert!(self.line.is_none(), "one socket at a time");
        self.line = Some(Line::default());
    }

    pub(super) fn disconnect(&mut self) {
        self.line = None;
    }

    /// A frame is on its way to the server.
    pub(super) fn take(&mut self, frame: Bytes, now: Instant) {
        let Some(line) = &mut self.line else { return };
        if let Ok(ClientMessage::Send { send_id, .. }) = self.codec.decode_client(&frame) {
            assert!(line.refused_until.is_none_or(|until| until <= now), "{send_id} does not wait");
            for older in (0..number(&send_id)).map(numbered) {
                let goes_before = line.under_way.contains(&older) || self.answered.contains(&older);
                assert!(goes_before, "{send_id} overtakes {older}, known to be refused");
            }
            assert!(line.under_way.insert(send_id), "said once on a connection until it is answered");
        }
        line.unread.push_back(frame);
    }

    /// A frame arrives at the client.
    pub(super) fn next_frame(&mut self, now: Instant) -> Option<Bytes> {
        let line = self.line.as_mut()?;
        let frame = line.to_client.pop_front()?;
        let message = self.codec.decode_server(&frame).expect("just encoded");
        if let ServerMessage::Sent { send_id, .. } | ServerMessage::Refused { send_id, .. } = &message {
            line.under_way.remove(send_id);
        }
        if let ServerMessage::Refused { .. } = message {
            line.refused_until = Some(now + RETRY_AFTER);
        } else if let ServerMessage::Sent { send_id, .. } = message {
            self.answered.insert(send_id);
        }
        Some(frame)
    }

    /// Reads up to `count` frames.
    pub(super) fn read(&mut self, count: usize) {
        for _ in 0..count {
            let Some(bytes) = self.line.as_mut().and_then(|line| line.unread.pop_front()) else { return };
            self.handle(&bytes);
        }
    }

    // What happens at the server.

    pub(super) fn store_foreign(&mut self) {
        let content = format!("f{}", self.log.len());
        self.store(BRUNO, id(&content), lunch(), content);
    }

    pub(super) fn refuse_next(&mut self, count: usize) {
        self.to_refuse = count;
    }

    pub(super) fn expire(&mut self) {
        self.floor = self.log.len().saturating_sub(2) as u64;
    }

    /// Another life of the log: what the client sent stays stored, as if it had been imported.
    pub(super) fn set_back(&mut self) {
        self.epoch += 1;
        self.log.clear();
        self.floor = 0;
        self.disconnect();
    }

    pub(super) fn say_goaway(&mut self, after_ms: u32) {
        self.say_in_session(&ServerMessage::Goaway { after_ms });
    }

    pub(super) fn ping(&mut self) {
        self.say_in_session(&ServerMessage::Ping { time_ms: TIME_MS });
        self.say_in_session(&ServerMessage::Position(self.head()));
    }

    fn handle(&mut self, bytes: &Bytes) {
        let message = self.codec.decode_client(bytes).expect("a client says only what the protocol has");
        let said_hello = self.line.as_ref().is_some_and(|line| line.said_hello);
        assert_eq!(said_hello, !matches!(message, ClientMessage::Hello(_)), "hello is the first, once");
        match message {
            ClientMessage::Hello(hello) => self.handle_hello(&hello),
            ClientMessage::Send { send_id, to, content } => {
                let before = self.bytes_of.entry(send_id.clone()).or_insert_with(|| bytes.clone());
                assert_eq!(before, bytes, "the same send is said in the same bytes");
                self.handle_send(send_id, to, content);
            }
            ClientMessage::Pong { .. } | ClientMessage::PresenceRequest {} => {}
            ClientMessage::Subscribe { .. }
            | ClientMessage::Unsubscribe { .. }
            | ClientMessage::Typing { .. }
            | ClientMessage::Presence { .. }
            | ClientMessage::Ping {} => panic!("nobody asked for {message:?}"),
        }
    }

    fn handle_hello(&mut self, hello: &Hello) {
        let position = hello.position.unwrap_or(self.head());
        let line = self.line.as_mut().expect("a message comes over a line");
        line.said_hello = true;
        let sends_in_flight_max = SENDS_IN_FLIGHT_MAX as u32;
        self.say(&ServerMessage::Welcome(Box::new(Welcome { sends_in_flight_max, ..welcome(position) })));
        let reason = if position.epoch.0 != self.epoch {
            Some(ResetReason::Epoch)
        } else if position.sequence.0 < self.floor {
            Some(ResetReason::Expired)
        } else {
            assert!(position.sequence <= self.head().sequence, "a client is not ahead of its server");
            None
        };
        match reason {
            Some(reason) => {
                self.say(&ServerMessage::Reset { reason, position: self.head(), after_ms: 100 });
            }
            None => {
                for index in position.sequence.0 as usize..self.log.len() {
                    self.say_event(index);
                }
            }
        }
    }

    fn handle_send(&mut self, send_id: SendId, to: Destination, content: String) {
        let in_flight = self.sends_on_the_wire() + 1;
        assert!(in_flight <= SENDS_IN_FLIGHT_MAX, "{in_flight} sends wait for their answers");
        if let Some(code) = self.refusal(in_flight - 1) {
            let (message, retry_after_ms) = ("later".into(), Some(RETRY_AFTER.as_millis() as u32));
            self.refused.insert(send_id.clone());
            return self.say(&ServerMessage::Refused { send_id, code, message, retry_after_ms });
        }
        let (message_id, sequence) = match self.stored.get(&send_id) {
            Some(&stored) => stored,
            None => {
                let stored = self.store(ADA, send_id.clone(), to, content);
                self.own_in_order.push(number(&send_id));
                self.stored.insert(send_id.clone(), stored);
                stored
            }
        };
        self.say(&ServerMessage::Sent { send_id, message_id, sequence });
    }

    /// Why the send that was just read is refused, if it is; so many more are on the wire.
    fn refusal(&mut self, on_the_wire: usize) -> Option<RefusalCode> {
        let line = self.line.as_mut()?;
        if let Some(in_wake) = line.in_wake.checked_sub(1) {
            line.in_wake = in_wake;
            return Some(RefusalCode::OutOfOrder);
        }
        self.to_refuse = self.to_refuse.checked_sub(1)?;
        line.in_wake = on_the_wire;
        Some(RefusalCode::RateLimited)
    }

    fn sends_on_the_wire(&self) -> usize {
        let Some(line) = &self.line else { return 0 };
        let messages = line.unread.iter().filter_map(|bytes| self.codec.decode_client(bytes).ok());
        messages.filter(|message| matches!(message, ClientMessage::Send { .. })).count()
    }

    fn store(
        &mut self,
        sender_id: UserId,
        send_id: SendId,
        to: Destination,
        content: String,
    ) -> (MessageId, Sequence) {
        self.next_message_id += 1;
        let message_id = MessageId(self.next_message_id);
        let timestamp = TIME_MS / 1_000;
        self.log.push(Event::Message(Message { message_id, sender_id, timestamp, to, content, send_id }));
        if self.line.as_ref().is_some_and(|line| line.said_hello) {
            self.say_event(self.log.len() - 1);
        }
        (message_id, self.head().sequence)
    }

    fn say_event(&mut self, index: usize) {
        let Position { sequence, mark, .. } = self.position(index + 1);
        let event = self.log[index].clone();
        self.say(&ServerMessage::Event { sequence, mark, event });
    }

    fn say_in_session(&mut self, message: &ServerMessage) {
        if self.line.as_ref().is_some_and(|line| line.said_hello) {
            self.say(message);
        }
    }

    fn say(&mut self, message: &ServerMessage) {
        let bytes = self.codec.encode_server(message);
        if let Some(line) = &mut self.line {
            line.to_client.push_back(bytes);
        }
    }

    fn position(&self, sequence: usize) -> Position {
        let sequence = Sequence(sequence as u64);
        let mark = Mark(u32::try_from(sequence.0 * 31 + self.epoch).expect("a short log"));
        Position { epoch: Epoch(self.epoch), sequence, mark }
    }
}

/// The id of the client's send of that number.
pub(super) fn numbered(number: usize) -> SendId {
    id(&format!("s{number}"))
}

fn number(send_id: &SendId) -> usize {
    send_id.as_str()[1..].parse().expect("a number after the letter")
}
