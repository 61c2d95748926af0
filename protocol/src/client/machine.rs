//! Everything that a client decides, without I/O, clock or randomness.
//!
//! `handle_*` takes in what happened and when; [`Machine::poll_effect`] and [`Machine::poll_update`] give
//! out what to do and what to tell; [`Machine::deadline`] says when `handle_timeout` is due.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;

use crate::client_message::{ClientMessage, Hello, Scope, Status};
use crate::close::{CloseCode, Reconnect};
use crate::codec::Codec;
use crate::event::Destination;
use crate::ids::{MessageId, SendId, Sequence};
use crate::limits::FRAME_IN_BYTES_MAX;
use crate::link::RefusalCode;
use crate::position::Position;

use super::backoff::Backoff;
use super::config::Config;
use super::error::{Cause, Closed, SendError};
use super::incoming::{self, Frame, Incoming};
use super::known::Known;
use super::outbox::Outbox;
use super::typing_notifier::TypingNotifier;
use super::typing_tracker::TypingTracker;
use super::update::{State, Update, Warning};
use super::update_queue::UpdateQueue;

#[cfg(test)]
mod bench;
mod messages;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

/// One client's whole state. `R` is what the answer to a send is handed to.
pub(crate) struct Machine<R> {
    codec: Codec,
    token: String,
    scope: Scope,
    status: Status,
    phase: Phase,
    /// The last position that the program was told, or will be: it is in the queue.
    position: Option<Position>,
    frame_bytes_max: usize,
    /// The server's last `error` on this connection: better words than a close frame's.
    server_error: Option<String>,
    backoff: Backoff,
    outbox: Outbox<R>,
    typing_notifier: TypingNotifier,
    typing_tracker: TypingTracker,
    known: watch::Sender<Known>,
    updates: UpdateQueue,
    effects: VecDeque<Effect<R>>,
}

/// Where a client is with its connection.
#[derive(Debug)]
enum Phase {
    /// There is none.
    Waiting { until: Instant },
    /// A socket is being opened, or `hello` was said on it.
    Connecting { until: Instant, named: Option<Position> },
    /// In a session.
    Open { heard_at: Instant, silence_max: Duration, leave_at: Option<Instant> },
    /// For good.
    Closed(Closed),
}

/// What the driver must do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Effect<R> {
    /// Open a socket, then call `handle_opened` or `handle_end`.
    Connect,
    /// Put a message on the socket.
    Write(Bytes),
    /// End the socket in good order with this code; nothing that comes of it matters any more.
    Disconnect(CloseCode),
    /// A write is answered.
    Answer(R, Result<Outcome, SendError>),
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A message is stored.
    Sent { message_id: MessageId, sequence: Sequence },
    /// A membership change holds.
    Done { sequence: Sequence },
}

impl<R> Machine<R> {
    /// A client that connects at `now`, and what it lets others know.
    pub(crate) fn new(config: &Config, seed: u64, now: Instant) -> (Self, watch::Receiver<Known>) {
        let (known, looked_at) = watch::channel(Known::new());
        let machine = Self {
            codec: config.codec,
            token: config.token.clone(),
            scope: config.scope,
            status: config.presence,
            phase: Phase::Waiting { until: now },
            position: config.position,
            frame_bytes_max: FRAME_IN_BYTES_MAX,
            server_error: None,
            backoff: Backoff::new(seed),
            outbox: Outbox::new(),
            typing_notifier: TypingNotifier::default(),
            typing_tracker: TypingTracker::default(),
            known,
            updates: UpdateQueue::new(config.updates_max),
            effects: VecDeque::new(),
        };
        (machine, looked_at)
    }

    // What comes out.

    /// The next thing to do.
    pub(crate) fn poll_effect(&mut self) -> Option<Effect<R>> {
        self.effects.pop_front()
    }

    /// The next thing to tell the program, which takes it now.
    pub(crate) fn poll_update(&mut self, now: Instant) -> Option<Update> {
        let update = self.updates.pop();
        if self.updates.catch_up() && matches!(self.phase, Phase::Open { .. }) {
            // Before a welcome nothing is lost: hello names, or will name, the last position taken.
            self.reconnect(now);
        }
        update
    }

    /// Whether `poll_update` has something.
    pub(crate) fn has_updates(&self) -> bool {
        !self.updates.is_empty()
    }

    /// Whether there is nothing left to do but to tell.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed(_))
    }

    /// When `handle_timeout` is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let phase = match &self.phase {
            Phase::Waiting { until } | Phase::Connecting { until, .. } => Some(*until),
            Phase::Open { heard_at, silence_max, leave_at } => {
                let silent_at = *heard_at + *silence_max;
                Some(leave_at.map_or(silent_at, |leave_at| leave_at.min(silent_at)))
            }
            Phase::Closed(_) => None,
        };
        let others =
            [self.outbox.deadline(), self.typing_notifier.deadline(), self.typing_tracker.deadline()];
        others.into_iter().chain([phase]).flatten().min()
    }

    // What the program wants.

    /// Takes a write, encoded, and keeps it until it is answered.
    pub(crate) fn handle_write(&mut self, send_id: SendId, message: Bytes, reply: R, now: Instant) {
        if let Phase::Closed(closed) = &self.phase {
            let closed = closed.clone();
            return self.answer(reply, Err(closed.into()));
        }
        if message.len() > self.frame_bytes_max {
            return self.answer_too_large(reply, message.len());
        }
        if let Err(reply) = self.outbox.add(send_id, message, reply) {
            let message = "another send with this id is waiting for its answer".into();
            self.answer(reply, Err(SendError::Refused { code: Some(RefusalCode::SendIdReused), message }));
        }
        self.pump(now);
    }

    /// A key was pressed in a message to `to`.
    pub(crate) fn handle_key(&mut self, to: Destination, now: Instant) {
        if matches!(self.phase, Phase::Open { .. }) {
            for message in self.typing_notifier.handle_key(to, now) {
                self.write(&message);
            }
        }
    }

    /// The user stopped typing.
    pub(crate) fn handle_typing_stopped(&mut self) {
        if let Some(message) = self.typing_notifier.stop() {
            self.write(&message);
        }
    }

    /// The user turned away or is back.
    pub(crate) fn handle_status(&mut self, status: Status) {
        let before = std::mem::replace(&mut self.status, status);
        if before != status && matches!(self.phase, Phase::Open { .. }) {
            self.write(&ClientMessage::Presence { status });
        }
    }

    /// Nobody takes updates any more.
    pub(crate) fn handle_unheard(&mut self) {
        self.updates.stop();
    }

    /// The program wants no more.
    pub(crate) fn handle_close(&mut self, now: Instant) {
        self.updates.stop();
        if self.is_connected() {
            self.leave(now);
            self.effects.push_back(Effect::Disconnect(CloseCode::Normal));
        }
        if !self.is_closed() {
            self.close(Closed::by_us());
        }
    }

    // What the connection does.

    /// The socket that was asked for is open.
    pub(crate) fn handle_opened(&mut self) {
        let Phase::Connecting { named, .. } = &mut self.phase else { return };
        *named = self.position;
        let (token, presence, scope) = (self.token.clone(), self.status, self.scope);
        self.write(&ClientMessage::Hello(Hello { token, position: self.position, presence, scope }));
    }

    /// The server said something.
    pub(crate) fn handle_frame(&mut self, frame: Frame<'_>, now: Instant) {
        if !self.is_connected() {
            return;
        }
        if let Phase::Open { heard_at, .. } = &mut self.phase {
            *heard_at = now;
        }
        match incoming::decode(self.codec, frame) {
            Ok(Incoming::Message(message)) => self.handle_message(message, now),
            Ok(Incoming::Newer(newer)) => self.handle_newer(newer, now),
            Err(malformed) => self.warn(Warning::Malformed(malformed.to_string())),
        }
        self.pump(now);
    }

    /// The socket ended, or could not be opened.
    pub(crate) fn handle_end(&mut self, cause: Cause, now: Instant) {
        if !self.is_connected() {
            return;
        }
        self.leave(now);
        let first = match cause.reconnect() {
            Reconnect::Resume | Reconnect::Resync => Backoff::RESUME,
            Reconnect::Delay => Backoff::DELAY,
            Reconnect::Never => {
                let closed = cause.into_closed(self.server_error.take());
                return self.close(closed);
            }
        };
        let retry_in = self.backoff.next(first);
        self.phase = Phase::Waiting { until: now + retry_in };
        self.set_state(State::Waiting { retry_in, cause });
    }

    /// A deadline passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        match &self.phase {
            Phase::Waiting { until } if *until <= now => self.connect(now),
            Phase::Connecting { until, .. } if *until <= now => self.give_up(now),
            Phase::Open { heard_at, silence_max, .. } if *heard_at + *silence_max <= now => self.give_up(now),
            Phase::Open { leave_at: Some(at), .. } if *at <= now => self.reconnect(now),
            Phase::Waiting { .. } | Phase::Connecting { .. } | Phase::Open { .. } | Phase::Closed(_) => {}
        }
        if self.typing_notifier.deadline().is_some_and(|at| at <= now) {
            self.handle_typing_stopped();
        }
        for typist in self.typing_tracker.handle_timeout(now) {
            self.tell_typing_stopped(typist);
        }
        self.pump(now);
    }

    // The connection's life.

    fn connect(&mut self, now: Instant) {
        self.server_error = None;
        self.phase = Phase::Connecting { until: now + OPENING_MAX, named: None };
        self.effects.push_back(Effect::Connect);
        self.set_state(State::Connecting);
    }

    /// Leaves the connection for a new one, at once.
    fn reconnect(&mut self, now: Instant) {
        self.leave(now);
        self.effects.push_back(Effect::Disconnect(CloseCode::Normal));
        self.connect(now);
    }

    fn give_up(&mut self, now: Instant) {
        self.effects.push_back(Effect::Disconnect(CloseCode::HeartbeatTimeout));
        self.handle_end(Cause::Silent, now);
    }

    /// The connection is no more: what hung on it is let go.
    fn leave(&mut self, now: Instant) {
        self.outbox.pause();
        self.typing_notifier.forget();
        for typist in self.typing_tracker.clear() {
            self.tell_typing_stopped(typist);
        }
        if let Phase::Open { heard_at, .. } = self.phase {
            self.known.send_modify(|known| {
                known.presence.handle_loss(known.clock.map_or(0, |clock| clock.ms_at(heard_at)));
            });
        }
        self.phase = Phase::Waiting { until: now };
    }

    fn close(&mut self, closed: Closed) {
        for reply in self.outbox.clear() {
            self.effects.push_back(Effect::Answer(reply, Err(closed.clone().into())));
        }
        self.known.send_modify(|known| known.state = State::Closed(closed.clone()));
        self.phase = Phase::Closed(closed);
    }

    fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Connecting { .. } | Phase::Open { .. })
    }

    // Helpers.

    fn pump(&mut self, now: Instant) {
        while let Some(message) = self.outbox.poll_transmit(now) {
            self.effects.push_back(Effect::Write(message));
        }
    }

    fn write(&mut self, message: &ClientMessage) {
        self.effects.push_back(Effect::Write(self.codec.encode_client(message)));
    }

    fn answer(&mut self, reply: R, answer: Result<Outcome, SendError>) {
        self.effects.push_back(Effect::Answer(reply, answer));
    }

    fn answer_too_large(&mut self, reply: R, bytes: usize) {
        self.answer(reply, Err(SendError::TooLarge { bytes, bytes_max: self.frame_bytes_max }));
    }

    fn set_state(&mut self, state: State) {
        self.known.send_modify(|known| known.state = state.clone());
        self.tell(Update::State(state));
    }

    /// Tells the program something that is gone if the program is too slow.
    fn tell(&mut self, update: Update) {
        // Left out, it is not missed: the resume that follows brings a new state of everything.
        let _ = self.updates.push(update);
    }

    /// Tells the program something that moves its position, which stays where it is if the program is too
    /// slow: then the server tells it again.
    fn tell_at(&mut self, position: Position, update: Update) {
        if self.updates.push(update) {
            self.position = Some(position);
        }
    }

    fn warn(&mut self, warning: Warning) {
        self.tell(Update::Warning(warning));
    }
}

/// From opening a socket to its `welcome`: longer than the server waits for `hello`.
const OPENING_MAX: Duration = Duration::from_secs(15);
const _: () = assert!(OPENING_MAX.as_millis() > crate::limits::HELLO_TIMEOUT.as_millis());
