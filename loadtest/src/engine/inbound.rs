//! What a socket brings: bytes, frames, messages, events.

use std::io::{ErrorKind, Read as _};
use std::ops::ControlFlow;
use std::time::Duration;

use squall_protocol::client_message::{ClientMessage, Status};
use squall_protocol::server_message::{ErrorCode, ServerMessage, Welcome};
use squall_protocol::{Codec, Event, Mark, Position, Sequence};

use super::client::Phase;
use super::content::{self, Reading};
use super::ending::Ending;
use super::glance::{Glance, glance};
use super::incoming::Message;
use super::seen::Look;
use super::timers::Due;
use super::world::last_missed;
use super::{Engine, READS_MAX};
use crate::audit::Cause;
use crate::moment::Moment;

impl Engine {
    /// Reads what there is, up to its share of a turn. `is_closed`: the other end writes no more, so that it
    /// is read to the end.
    pub(super) fn read(&mut self, index: u32, is_closed: bool) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let has_more = self.read_into(&mut buffer, index, is_closed);
        self.buffer = buffer;
        let client = &mut self.clients[index as usize];
        if has_more && !client.is_ready {
            client.is_ready = true;
            self.ready.push_back(index);
        }
    }

    /// Whether there is, or may be, more.
    fn read_into(&mut self, buffer: &mut [u8], index: u32, is_closed: bool) -> bool {
        for _ in 0..READS_MAX {
            let client = &mut self.clients[index as usize];
            let Some(stream) = client.stream.as_mut().filter(|_| !client.is_stalled) else { return false };
            let read = stream.read(buffer);
            let now = Moment::now();
            match read {
                Ok(0) => {
                    let ending = if client.phase == Phase::Leaving { Ending::Over } else { Ending::Broken };
                    self.end(index, ending, now);
                    return false;
                }
                Ok(bytes) => {
                    client.heard_at = now;
                    self.tally.bytes_read += bytes as u64;
                    self.handle_bytes(index, &buffer[..bytes], now);
                    // A short read has emptied it: the poll tells what comes later.
                    if bytes < buffer.len() && !is_closed {
                        return false;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.end(index, Ending::Broken, now);
                    return false;
                }
            }
        }
        true
    }

    fn handle_bytes(&mut self, index: u32, bytes: &[u8], now: Moment) {
        match self.clients[index as usize].phase {
            Phase::Upgrading => self.handle_upgrade(index, bytes, now),
            Phase::Greeting | Phase::Open => self.handle_frames(index, bytes, now),
            // After goodbye nothing counts any more.
            Phase::Leaving | Phase::Waiting | Phase::Queued | Phase::Connecting | Phase::Gone => {}
        }
    }

    pub(super) fn handle_frames(&mut self, index: u32, bytes: &[u8], now: Moment) {
        let client = &mut self.clients[index as usize];
        let generation = client.generation;
        let mut incoming = std::mem::take(&mut client.incoming);
        let fed = incoming.feed(bytes, |message| {
            self.handle_message(index, message, now);
            let is_same = self.clients[index as usize].generation == generation;
            if is_same { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        if self.clients[index as usize].generation == generation {
            self.clients[index as usize].incoming = incoming;
            if let Err(fault) = fed {
                self.handle_malformed(index, &format!("no frames: {fault}"));
                self.end(index, Ending::Unreadable, now);
            }
        }
    }

    fn handle_message(&mut self, index: u32, message: Message<'_>, now: Moment) {
        let codec = self.clients[index as usize].codec;
        match (message, codec) {
            (Message::Text(payload), Codec::Json) | (Message::Binary(payload), Codec::Bincode) => {
                self.handle_payload(index, codec, payload, now);
            }
            (Message::Text(_) | Message::Binary(_), _) => {
                self.handle_malformed(index, "a frame of the other subprotocol's kind");
                self.end(index, Ending::Unreadable, now);
            }
            (Message::Ping(payload), _) => self.write_pong(index, payload, now),
            (Message::Pong, _) => {}
            (Message::Close { code, .. }, _) => {
                self.write_close(index, now);
                self.end(index, Ending::Closed(code), now);
            }
        }
    }

    fn handle_payload(&mut self, index: u32, codec: Codec, payload: &[u8], now: Moment) {
        let is_open = self.clients[index as usize].is_open();
        match glance(codec, payload) {
            Glance::Event { sequence, mark } if is_open => {
                self.handle_event(index, (sequence, mark), (codec, payload), now);
            }
            Glance::Ping if is_open => {
                self.tally.pings += 1;
                let active = self.clients[index as usize].status == Status::Active;
                self.say(index, &ClientMessage::Pong { active }, now);
            }
            Glance::Presence { from, to } if is_open && !self.watchers.contains_key(&index) => {
                self.tally.presence_bytes += payload.len() as u64;
                // A break asks for a snapshot, which then tells all.
                let _ = self.handle_presence(index, from, to, now);
            }
            Glance::Event { .. } | Glance::Ping | Glance::Presence { .. } | Glance::Other => {
                match codec.decode_server(payload) {
                    Ok(message) => self.handle_decoded(index, message, (codec, payload), now),
                    Err(error) => self.handle_malformed(index, &error.to_string()),
                }
            }
        }
    }

    fn handle_decoded(
        &mut self,
        index: u32,
        message: ServerMessage,
        (codec, payload): (Codec, &[u8]),
        now: Moment,
    ) {
        let is_open = self.clients[index as usize].is_open();
        match message {
            ServerMessage::Welcome(welcome) if !is_open => self.handle_welcome(index, &welcome, now),
            ServerMessage::Error { code, .. } => self.handle_error(index, code, now),
            // Nothing else is said before the welcome, and that only once.
            ServerMessage::Welcome(_) => self.handle_malformed(index, "a second welcome"),
            _ if !is_open => self.handle_malformed(index, "a message before the welcome"),
            ServerMessage::Event { sequence, mark, .. } => {
                self.handle_event(index, (sequence, mark), (codec, payload), now);
            }
            ServerMessage::Position(position) => self.handle_position(index, position),
            ServerMessage::Reset { reason, position, .. } => {
                self.recorder.reset(index, reason, position);
                *self.tally.resets.entry(format!("{reason:?}").to_lowercase()).or_default() += 1;
                self.tally.forged_found += u64::from(self.clients[index as usize].has_forged);
                self.handle_new_place(index, position, now);
            }
            ServerMessage::Sent { send_id, message_id, sequence } => {
                self.handle_sent(index, &send_id, message_id, sequence, now);
            }
            ServerMessage::Done { send_id, sequence } => self.handle_done(index, &send_id, sequence, now),
            ServerMessage::Refused { send_id, code, retry_after_ms, .. } => {
                let retry_after = retry_after_ms.map(|ms| Duration::from_millis(ms.into()));
                self.handle_refused(index, &send_id, code, retry_after, now);
            }
            ServerMessage::PresenceSnapshot(snapshot) => {
                self.tally.presence_snapshots += 1;
                self.tally.presence_bytes += payload.len() as u64;
                self.clients[index as usize].presence_change = snapshot.change;
                if let Some(presence) = self.watchers.get_mut(&index) {
                    presence.handle_snapshot(&snapshot);
                }
            }
            ServerMessage::Presence(diff) => {
                self.tally.presence_bytes += payload.len() as u64;
                if self.handle_presence(index, diff.from, diff.to, now)
                    && let Some(presence) = self.watchers.get_mut(&index)
                {
                    presence.handle_diff(&diff);
                }
            }
            ServerMessage::Typing { .. } => self.tally.typing_read += 1,
            ServerMessage::Ping { .. } => self.say(index, &ClientMessage::Pong { active: true }, now),
            ServerMessage::Pong { .. } => {}
            ServerMessage::Goaway { after_ms } => {
                self.tally.goaways += 1;
                let at = now + Duration::from_millis(after_ms.into());
                self.timers.set(at, index, self.clients[index as usize].generation, Due::Leave);
            }
        }
    }

    fn handle_welcome(&mut self, index: u32, welcome: &Welcome, now: Moment) {
        let client = &mut self.clients[index as usize];
        let user = &self.world.users[client.user as usize];
        let realm = &self.world.realms[usize::from(user.realm)];
        if (welcome.user_id, welcome.realm_id) != (user.user_id, realm.realm_id) {
            self.handle_malformed(index, "the welcome of another user");
            return self.end(index, Ending::Unreadable, now);
        }
        self.measures.welcomed.record(now.since(client.began_at));
        let silence_ms = u64::from(welcome.heartbeat_ms) + u64::from(welcome.timeout_ms);
        self.silence_max = Duration::from_millis(silence_ms).max(SILENCE_MIN);
        let in_flight_max = usize::try_from(welcome.sends_in_flight_max).unwrap_or(usize::MAX);
        self.in_flight_max = in_flight_max.clamp(1, squall_protocol::limits::SENDS_IN_FLIGHT_MAX);
        client.phase = Phase::Open;
        client.since = now;
        client.failures = 0;
        client.was_open = true;
        if let Some(outbox) = &mut client.outbox {
            outbox.open(self.in_flight_max);
        }
        let is_resumed = client.has_resumed;
        // Ours is what we count from, whatever the server repeats.
        let position = client.position.filter(|_| is_resumed).unwrap_or(welcome.position);
        if let Some(cause) = self.cause_of_reset(index, now) {
            self.recorder.expect_reset(index, cause);
        }
        *(if is_resumed { &mut self.tally.resumes } else { &mut self.tally.welcomes }) += 1;
        self.recorder.welcome(index, position, is_resumed);
        if self.clients[index as usize].has_forged {
            // What follows has to be a reset.
        } else {
            self.handle_new_place(index, position, now);
        }
        self.pump(index, now);
    }

    /// Why the session that begins may begin with a reset.
    fn cause_of_reset(&self, index: u32, now: Moment) -> Option<Cause> {
        let client = &self.clients[index as usize];
        if client.has_forged {
            Some(Cause::Forged)
        } else if client.was_slow {
            Some(Cause::Slow)
        } else if client.has_resumed && now.since(client.lost_at) > self.plan.resume_window {
            Some(Cause::Expired)
        } else {
            None
        }
    }

    /// The client goes on from `position`.
    fn handle_new_place(&mut self, index: u32, position: Position, now: Moment) {
        let client = &mut self.clients[index as usize];
        client.position = Some(position);
        client.has_forged = false;
        if client.back_at == Moment::default() {
            return;
        }
        let user = &self.world.users[client.user as usize];
        match last_missed(&self.world, &self.seen, user, position) {
            Some(sequence) => client.catching_up_to = sequence,
            None => self.handle_caught_up(index, now),
        }
    }

    fn handle_caught_up(&mut self, index: u32, now: Moment) {
        let client = &mut self.clients[index as usize];
        client.catching_up_to = Sequence::ZERO;
        self.measures.resumed.record(now.since(client.back_at));
        client.back_at = Moment::default();
    }

    fn handle_event(
        &mut self,
        index: u32,
        (sequence, mark): (Sequence, Mark),
        (codec, payload): (Codec, &[u8]),
        now: Moment,
    ) {
        let client = &self.clients[index as usize];
        let realm = self.world.users[client.user as usize].realm;
        self.tally.deliveries += 1;
        if let Look::New = self.seen.look((realm, sequence), codec, payload)
            && !self.learn((realm, sequence), mark, (codec, payload))
        {
            self.recorder.corrupted(index, sequence);
            return self.advance(index, sequence, mark, now);
        }
        if let Some(due) = self.seen.get((realm, sequence)).and_then(|event| event.due) {
            self.tally.message_deliveries += 1;
            let was_there = due >= self.clients[index as usize].since;
            let measure = if was_there { &mut self.measures.delivered } else { &mut self.measures.caught_up };
            measure.record(now.since(due));
        }
        self.recorder.event(index, sequence);
        self.advance(index, sequence, mark, now);
    }

    fn advance(&mut self, index: u32, sequence: Sequence, mark: Mark, now: Moment) {
        let client = &mut self.clients[index as usize];
        if let Some(position) = &mut client.position
            && sequence > position.sequence
        {
            (position.sequence, position.mark) = (sequence, mark);
        }
        if client.catching_up_to > Sequence::ZERO && sequence >= client.catching_up_to {
            self.handle_caught_up(index, now);
        }
    }

    /// Takes in an event's message that has not come byte for byte before; false if it is not what others
    /// got, or not what was sent.
    fn learn(
        &mut self,
        (realm, sequence): (u16, Sequence),
        mark: Mark,
        (codec, payload): (Codec, &[u8]),
    ) -> bool {
        let Ok(message) = codec.decode_server(payload) else { return false };
        let canonical = Codec::Bincode.encode_server(&message);
        if let Some(compared) = self.seen.compare((realm, sequence), codec, (payload, &canonical)) {
            return compared.is_ok();
        }
        let ServerMessage::Event { event, .. } = &message else { return false };
        let due = match event {
            Event::Message(message) => {
                match content::read(&message.content, message.send_id.as_str(), &self.plan.tag) {
                    Reading::Ours { due, .. } => Some(due),
                    Reading::Foreign => None,
                    Reading::Broken => return false,
                }
            }
            Event::StreamCreated { .. }
            | Event::MembersAdded { .. }
            | Event::MembersRemoved { .. }
            | Event::UserAdded { .. }
            | Event::UserUpdated { .. }
            | Event::CredentialChanged { .. } => None,
        };
        let key = self.world.realms[usize::from(realm)].key;
        let is_same = self.recorder.learn(key, sequence, mark, event);
        if is_same {
            let known = self.world.learn(realm, (sequence, event), due);
            self.seen.insert((realm, sequence), codec, (payload, canonical.to_vec()), known);
        }
        is_same
    }

    fn handle_position(&mut self, index: u32, position: Position) {
        self.tally.positions += 1;
        self.recorder.position(index, position);
        let client = &mut self.clients[index as usize];
        if client.position.is_some_and(|before| position.sequence >= before.sequence) {
            client.position = Some(position);
        }
        if client.catching_up_to > Sequence::ZERO && position.sequence >= client.catching_up_to {
            self.handle_caught_up(index, Moment::now());
        }
    }

    /// Whether the diff follows on what the client has; else it asks for a snapshot.
    fn handle_presence(&mut self, index: u32, from: u64, to: u64, now: Moment) -> bool {
        self.tally.presence_diffs += 1;
        let client = &mut self.clients[index as usize];
        let follows = client.presence_change == from;
        if follows {
            client.presence_change = to;
        } else {
            self.tally.presence_breaks += 1;
            self.say(index, &ClientMessage::PresenceRequest {}, now);
        }
        follows
    }

    fn handle_malformed(&mut self, index: u32, what: &str) {
        self.tally.malformed += 1;
        self.recorder.unreadable(index, what);
    }

    fn handle_error(&mut self, index: u32, code: ErrorCode, now: Moment) {
        self.tally.errors += 1;
        let client = &mut self.clients[index as usize];
        if code == ErrorCode::SendsInFlight
            && let Some(outbox) = &mut client.outbox
        {
            outbox.handle_too_many(now);
            self.pump(index, now);
        }
    }

    /// Stops reading, if it is in a session.
    pub(super) fn stall(&mut self, index: u32, now: Moment) {
        let Some(end) = self.play.as_ref().map(super::play::Play::end) else { return };
        let client = &mut self.clients[index as usize];
        if client.is_open() && now + self.plan.load.stall < end {
            client.is_stalled = true;
            self.tally.stalls += 1;
            self.timers.set(now + self.plan.load.stall, index, client.generation, Due::Unstall);
        }
        self.timers.set(now + self.plan.load.stall_every, index, client.generation, Due::Stall);
    }

    /// Reads again.
    pub(super) fn unstall(&mut self, index: u32, now: Moment) {
        let client = &mut self.clients[index as usize];
        if client.is_stalled {
            client.is_stalled = false;
            client.heard_at = now;
            client.since = now;
            self.read(index, false);
        }
    }
}

/// Whatever a server says: less would end a connection over one slow turn.
const SILENCE_MIN: Duration = Duration::from_secs(1);
