//! What the server says, and what follows from it.

use std::time::{Duration, Instant};

use crate::client_message::{ClientMessage, Status, TypingOp};
use crate::event::{Destination, Event, Message};
use crate::ids::{Mark, SendId, Sequence, UserId};
use crate::limits::SENDS_IN_FLIGHT_MAX;
use crate::link::RefusalCode;
use crate::position::Position;
use crate::server_message::{ErrorCode, PresenceDiff, PresenceSnapshot, ResetReason, ServerMessage, Welcome};

use super::{Machine, Outcome, Phase};
use crate::client::conversation;
use crate::client::error::SendError;
use crate::client::incoming::Newer;
use crate::client::presence::Step;
use crate::client::server_clock::ServerClock;
use crate::client::typing_tracker::Typist;
use crate::client::update::{State, Update, Warning};

impl<R> Machine<R> {
    pub(super) fn handle_message(&mut self, message: ServerMessage, now: Instant) {
        match (message, &self.phase) {
            (ServerMessage::Welcome(welcome), Phase::Connecting { named, .. }) => {
                let named = *named;
                self.handle_welcome(welcome, named, now);
            }
            (ServerMessage::Error { code, message }, _) => self.handle_error(Some(code), message, now),
            (message, Phase::Open { .. }) => self.handle_session_message(message, now),
            // Nothing else is said before the welcome.
            (_, Phase::Connecting { .. } | Phase::Waiting { .. } | Phase::Closed(_)) => {}
        }
    }

    /// What a newer server said, as far as it can be understood.
    pub(super) fn handle_newer(&mut self, newer: Newer, now: Instant) {
        match (newer, &self.phase) {
            (Newer::Error { message }, _) => self.handle_error(None, message, now),
            (Newer::Event { sequence, mark }, Phase::Open { .. }) => self.handle_event(sequence, mark, None),
            (Newer::Refused { send_id, message, retry_after_ms }, Phase::Open { .. }) => {
                self.handle_refused(&send_id, None, message, retry_after_ms, now);
            }
            (Newer::Reset { position, after_ms }, Phase::Open { .. }) => {
                self.handle_reset(None, position, after_ms);
            }
            (Newer::Other, _) | (_, Phase::Connecting { .. } | Phase::Waiting { .. } | Phase::Closed(_)) => {}
        }
    }

    fn handle_session_message(&mut self, message: ServerMessage, now: Instant) {
        match message {
            ServerMessage::Event { sequence, mark, event } => self.handle_event(sequence, mark, Some(event)),
            ServerMessage::Position(position) => self.handle_position(position),
            ServerMessage::Reset { reason, position, after_ms } => {
                self.handle_reset(Some(reason), position, after_ms);
            }
            ServerMessage::Sent { send_id, message_id, sequence } => {
                self.handle_outcome(&send_id, Outcome::Sent { message_id, sequence });
            }
            ServerMessage::Done { send_id, sequence } => {
                self.handle_outcome(&send_id, Outcome::Done { sequence });
            }
            ServerMessage::Refused { send_id, code, message, retry_after_ms } => {
                self.handle_refused(&send_id, Some(code), message, retry_after_ms, now);
            }
            ServerMessage::PresenceSnapshot(snapshot) => self.handle_presence_snapshot(snapshot),
            ServerMessage::Presence(diff) => self.handle_presence(diff),
            ServerMessage::Typing { op, sender_id, to } => self.handle_typing(op, sender_id, to, now),
            ServerMessage::Ping { time_ms } => self.handle_ping(time_ms, now),
            ServerMessage::Pong { time_ms } => self.set_clock(time_ms, now),
            ServerMessage::Goaway { after_ms } => self.handle_goaway(after_ms, now),
            // Said once, before; the other is taken care of above.
            ServerMessage::Welcome(_) | ServerMessage::Error { .. } => {}
        }
    }

    fn handle_welcome(&mut self, welcome: Box<Welcome>, named: Option<Position>, now: Instant) {
        let silence_ms = u64::from(welcome.heartbeat_ms) + u64::from(welcome.timeout_ms);
        let silence_max = Duration::from_millis(silence_ms).max(SILENCE_MIN);
        self.phase = Phase::Open { heard_at: now, silence_max, leave_at: None };
        self.backoff.reset();
        self.known.send_modify(|known| {
            known.presence.handle_welcome(welcome.presence_error_max_ms);
            known.clock = Some(ServerClock::new(welcome.time_ms, now));
            known.welcome = Some((*welcome).clone());
        });
        self.set_state(State::Open);
        self.frame_bytes_max = usize::try_from(welcome.frame_bytes_max).unwrap_or(usize::MAX);
        let in_flight_max = usize::try_from(welcome.sends_in_flight_max).unwrap_or(SENDS_IN_FLIGHT_MAX);
        match named {
            // Ours is what we count from, whatever the server repeats.
            Some(_) => self.tell(Update::Welcome { welcome, fresh: false }),
            None => self.tell_at(welcome.position, Update::Welcome { welcome, fresh: true }),
        }
        for (reply, bytes) in self.outbox.take_larger_than(self.frame_bytes_max) {
            self.answer_too_large(reply, bytes);
        }
        self.outbox.open(in_flight_max.min(SENDS_IN_FLIGHT_MAX));
    }

    /// An event of the log; none for one of a kind that this version does not know.
    fn handle_event(&mut self, sequence: Sequence, mark: Mark, event: Option<Event>) {
        // Without a position no welcome was told yet, for want of room: then nothing is.
        let Some(before) = self.position else { return };
        if sequence <= before.sequence {
            return self.warn(Warning::OutOfOrder { sequence, after: before.sequence });
        }
        let position = Position { epoch: before.epoch, sequence, mark };
        let Some(event) = event else {
            self.warn(Warning::UnknownEvent { sequence });
            return self.tell_at(position, Update::Position(position));
        };
        let mut own = false;
        if let Event::Message(message) = &event {
            own = Some(message.sender_id) == self.user_id();
            self.forget_typing(message);
        }
        self.tell_at(position, Update::Event { position, event, own });
    }

    fn handle_position(&mut self, position: Position) {
        let Some(before) = self.position else { return };
        if position.epoch != before.epoch || position.sequence < before.sequence {
            return self.warn(Warning::OutOfOrder { sequence: position.sequence, after: before.sequence });
        }
        if position != before {
            self.tell_at(position, Update::Position(position));
        }
    }

    fn handle_reset(&mut self, reason: Option<ResetReason>, position: Position, after_ms: u32) {
        let after = Duration::from_millis(after_ms.into());
        self.tell_at(position, Update::Reset { reason, position, after });
    }

    fn handle_outcome(&mut self, send_id: &SendId, outcome: Outcome) {
        for reply in self.outbox.handle_answer(send_id) {
            self.answer(reply, Ok(outcome));
        }
    }

    fn handle_refused(
        &mut self,
        send_id: &SendId,
        code: Option<RefusalCode>,
        message: String,
        retry_after_ms: Option<u32>,
        now: Instant,
    ) {
        if let Some(ms) = retry_after_ms {
            return self.outbox.handle_refused_for(Duration::from_millis(ms.into()), send_id, now);
        }
        for reply in self.outbox.handle_answer(send_id) {
            self.answer(reply, Err(SendError::Refused { code, message: message.clone() }));
        }
    }

    fn handle_presence_snapshot(&mut self, snapshot: PresenceSnapshot) {
        self.known.send_modify(|known| known.presence.handle_snapshot(&snapshot));
        self.tell(Update::PresenceSnapshot(snapshot));
    }

    fn handle_presence(&mut self, diff: PresenceDiff) {
        let mut step = Step::Dropped;
        self.known.send_modify(|known| step = known.presence.handle_diff(&diff));
        match step {
            Step::Applied => self.tell(Update::Presence(diff)),
            Step::Dropped => {}
            Step::Ask => self.write(&ClientMessage::PresenceRequest {}),
        }
    }

    fn handle_typing(&mut self, op: TypingOp, sender_id: UserId, to: Destination, now: Instant) {
        // From another device of the same user: nobody shows oneself.
        if Some(sender_id) == self.user_id() {
            return;
        }
        let to = conversation::whole(to, self.user_id().into_iter().chain([sender_id]));
        let typist = Typist { sender_id, to };
        match op {
            TypingOp::Start if self.typing_tracker.start(&typist, now) => {
                let Typist { sender_id, to } = typist;
                self.tell(Update::Typing { op, sender_id, to });
            }
            TypingOp::Stop if self.typing_tracker.stop(&typist) => self.tell_typing_stopped(typist),
            TypingOp::Start | TypingOp::Stop => {}
        }
    }

    fn handle_ping(&mut self, time_ms: u64, now: Instant) {
        self.set_clock(time_ms, now);
        self.write(&ClientMessage::Pong { active: self.status == Status::Active });
    }

    fn handle_goaway(&mut self, after_ms: u32, now: Instant) {
        if let Phase::Open { leave_at, .. } = &mut self.phase {
            *leave_at = Some(now + Duration::from_millis(after_ms.into()));
        }
    }

    fn handle_error(&mut self, code: Option<ErrorCode>, message: String, now: Instant) {
        if code == Some(ErrorCode::SendsInFlight) {
            self.outbox.handle_too_many(now);
        } else {
            self.server_error = Some(message.clone());
        }
        self.warn(Warning::Error { code, message });
    }

    /// A message ends its sender's typing there.
    fn forget_typing(&mut self, message: &Message) {
        let to =
            conversation::whole(message.to.clone(), self.user_id().into_iter().chain([message.sender_id]));
        let typist = Typist { sender_id: message.sender_id, to };
        if self.typing_tracker.stop(&typist) {
            self.tell_typing_stopped(typist);
        }
    }

    pub(super) fn tell_typing_stopped(&mut self, typist: Typist) {
        let Typist { sender_id, to } = typist;
        self.tell(Update::Typing { op: TypingOp::Stop, sender_id, to });
    }

    fn set_clock(&mut self, time_ms: u64, now: Instant) {
        self.known.send_modify(|known| known.clock = Some(ServerClock::new(time_ms, now)));
    }

    fn user_id(&self) -> Option<UserId> {
        self.known.borrow().welcome.as_ref().map(|welcome| welcome.user_id)
    }
}

/// Whatever a server says: less would end a connection over one slow turn of a scheduler.
const SILENCE_MIN: Duration = Duration::from_secs(1);
