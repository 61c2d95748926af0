//! Events to sockets.
//!
//! New events of a realm are one pass: each live session that sees any of them gets all of its frames in one
//! write. A socket that takes less than that puts its session behind, at a sequence in the ring; it is
//! caught up, a step at a time, when its socket is writable again.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use squall_hub::RingEvent;
use squall_hub::catch_up::{Block, PositionCheck};
use squall_hub::roster::{CatchUpStep, FanOut, SessionKey};
use squall_protocol::server_message::ResetReason;
use squall_protocol::{CloseCode, Codec, Epoch, RealmId, Sequence};

use super::Shard;
use super::connection::{Connection, Offered};
use super::realms::ShardRealm;
use crate::keeper::KeeperInput;

/// New events of a realm on their way to its live sessions.
pub(super) struct Pass {
    pub(super) realm: RealmId,
    /// What live sessions had before.
    before: Sequence,
    fan_out: FanOut,
    next: usize,
    /// The frames that were written last, in each codec: sessions that see the same are neighbours.
    joined: [Joined; Codec::ALL.len()],
    epoch: Epoch,
    /// Whose sessions end with these events.
    revoked: Vec<SessionKey>,
}

/// The frames of the events of a mask, behind one another.
#[derive(Default)]
struct Joined {
    mask: u64,
    frames: Vec<u8>,
}

/// Bodies in one pass, and in one step of a catch-up.
const PASS_BODY_BYTES_MAX: usize = 256 * 1024;
const STEP_BODY_BYTES_MAX: usize = 64 * 1024;

/// Writes between two looks at the clock.
const WRITES_PER_LOOK: usize = 32;

impl Shard {
    /// The realm has new events: they leave now, unless earlier ones are still on their way.
    pub(super) fn handle_advanced(&mut self, id: RealmId) {
        if let Some(view) = self.realms.get(&id).and_then(|realm| realm.view.as_ref()) {
            view.looked(self.index);
        }
        self.begin_pass(id);
        self.join_waiting(id);
    }

    /// Delivers until `until`, and at least a little.
    pub(super) fn deliver(&mut self, until: Instant) {
        while let Some(mut pass) = self.passes.pop_front() {
            if !self.advance_pass(&mut pass, until) {
                self.passes.push_front(pass);
                break;
            }
            let (id, revoked) = (pass.realm, pass.revoked);
            revoked.into_iter().for_each(|key| self.close(key, CloseCode::Revoked));
            self.begin_pass(id);
            self.join_waiting(id);
            if Instant::now() >= until {
                break;
            }
        }
        // At least one, so that those behind get on while others keep the shard busy.
        for _ in 0..self.catching_up.len() {
            if let Some(key) = self.catching_up.pop_front() {
                self.catch_up(key);
            }
            if Instant::now() >= until {
                return;
            }
        }
    }

    fn begin_pass(&mut self, id: RealmId) {
        if self.passes.iter().any(|pass| pass.realm == id) {
            return;
        }
        let Some(realm) = self.realms.get_mut(&id) else { return };
        let (Some(view), Some(roster)) = (&realm.view, &mut realm.roster) else { return };
        let snapshot = view.load_full();
        let before = roster.cursor();
        let mut fan_out = roster.fan_out(&snapshot.ring, PASS_BODY_BYTES_MAX);
        if roster.cursor() == before {
            return;
        }
        if fan_out.events.is_empty() {
            // The shard slept past the ring: everybody is behind now.
            let behind: Vec<_> = roster.sessions().collect();
            // What it slept through may have ended some of them.
            let ended = self.ended(&behind, &snapshot.state);
            ended.into_iter().for_each(|key| self.close(key, CloseCode::Revoked));
            return behind.into_iter().for_each(|key| self.queue_if_behind(key));
        }
        let revoked = self.cut_short(id, &mut fan_out, &snapshot.state);
        self.passes.push_back(Pass {
            realm: id,
            before,
            fan_out,
            next: 0,
            joined: Default::default(),
            epoch: snapshot.ring.base().epoch,
            revoked,
        });
    }

    /// Writes to the pass's sessions; true once all of them had their turn.
    fn advance_pass(&mut self, pass: &mut Pass, until: Instant) -> bool {
        while let Some((key, mask)) = pass.fan_out.deliveries.get(pass.next).copied() {
            pass.next += 1;
            self.deliver_to(key, mask, pass);
            if pass.next.is_multiple_of(WRITES_PER_LOOK) && Instant::now() >= until {
                return pass.next == pass.fan_out.deliveries.len();
            }
        }
        true
    }

    fn deliver_to(&mut self, key: SessionKey, mask: u64, pass: &mut Pass) {
        let Some(connection) = self.connections.get_mut(key.slot as usize) else { return };
        if connection.generation != key.generation || connection.open().is_none() || mask == 0 {
            return;
        }
        match connection.offer(pass.frames(connection.codec, mask)) {
            Offered::All => {}
            Offered::Part(taken) => {
                let had = keep_rest(connection, pass.events(mask), pass.epoch, taken).unwrap_or(pass.before);
                self.lag(key, pass.realm, had);
            }
            Offered::Dead => self.remove(key),
        }
    }

    /// The session's socket is full: it goes on after `had` when it is writable again.
    fn lag(&mut self, key: SessionKey, id: RealmId, had: Sequence) {
        let Some(open) = self.connection(key).and_then(Connection::open) else { return };
        let user = open.session.user_id();
        if let Some(roster) = self.realms.get_mut(&id).and_then(|realm| realm.roster.as_mut()) {
            roster.lag(key, user, had);
        }
    }

    /// A session whose socket takes bytes has its turn if it is behind.
    pub(super) fn queue_if_behind(&mut self, key: SessionKey) {
        let Some(connection) = self.connection(key) else { return };
        if !connection.is_clear() {
            return;
        }
        let Some(open) = connection.open() else { return };
        let id = open.session.realm_id();
        let roster = self.realms.get(&id).and_then(|realm| realm.roster.as_ref());
        if roster.is_some_and(|roster| roster.behind(key).is_some()) {
            if let Some(connection) = self.connection(key)
                && !std::mem::replace(&mut connection.queued_to_catch_up, true)
            {
                self.catching_up.push_back(key);
            }
        } else {
            self.catch_up_presence(key);
        }
    }

    /// One step of a session that is behind.
    fn catch_up(&mut self, key: SessionKey) {
        let Some(connection) = self.connection(key) else { return };
        connection.queued_to_catch_up = false;
        if !connection.is_clear() {
            return;
        }
        let Some(open) = connection.open() else { return };
        let (id, unproven) = (open.session.realm_id(), open.unproven.as_deref().copied());
        let Some(realm) = self.realms.get(&id) else { return };
        let (Some(view), Some(roster)) = (&realm.view, &realm.roster) else { return };
        let Some(behind) = roster.behind(key) else { return };
        let number = Block::number_after(behind.after);
        let block = realm.blocks.get(&number);
        if let Some(position) = unproven {
            return match block.map(|block| block.check(position)) {
                Some(PositionCheck::Good) => self.proven(key),
                Some(PositionCheck::Expired) => self.reset(key, ResetReason::Expired, 1),
                Some(PositionCheck::Foreign) => self.reset(key, ResetReason::Epoch, 1),
                Some(PositionCheck::Beyond) | None => self.await_block(key, id, number),
            };
        }
        match roster.catch_up(key, &view.load().ring, block.map(|block| &**block), STEP_BODY_BYTES_MAX) {
            CatchUpStep::Events { events, upto } => self.step(key, id, &events, upto),
            CatchUpStep::NeedBlock(number) => self.await_block(key, id, number),
            CatchUpStep::Lost => self.close(key, CloseCode::SlowConsumer),
            CatchUpStep::Expired => self.reset(key, ResetReason::Expired, 1),
            CatchUpStep::CaughtUp => {
                self.caught_up_to(key, id, behind.after);
                self.catch_up_presence(key);
            }
        }
    }

    /// The log vouches for the position that a session named: it goes on from there.
    fn proven(&mut self, key: SessionKey) {
        if let Some(open) = self.connection(key).and_then(Connection::open) {
            open.unproven = None;
        }
        self.queue_if_behind(key);
    }

    fn step(&mut self, key: SessionKey, id: RealmId, events: &[Arc<RingEvent>], upto: Sequence) {
        let Some(epoch) = self.realms.get(&id).and_then(ShardRealm::epoch) else { return };
        let Some(connection) = self.connection(key) else { return };
        let frames = join_frames(events.iter(), connection.codec, epoch);
        match connection.offer(&frames) {
            Offered::All => {
                self.caught_up_to(key, id, upto);
                self.queue_if_behind(key);
            }
            Offered::Part(taken) => {
                if let Some(had) = keep_rest(connection, events.iter(), epoch, taken) {
                    self.caught_up_to(key, id, had);
                }
            }
            Offered::Dead => self.remove(key),
        }
    }

    fn caught_up_to(&mut self, key: SessionKey, id: RealmId, upto: Sequence) {
        if let Some(roster) = self.realms.get_mut(&id).and_then(|realm| realm.roster.as_mut()) {
            roster.caught_up_to(key, upto);
        }
    }

    fn await_block(&mut self, key: SessionKey, id: RealmId, number: u64) {
        let Some(realm) = self.realms.get_mut(&id) else { return };
        // One that is here did not reach far enough: it ended with the log's head, and the head moved on.
        realm.blocks.remove(&number);
        let waiting = realm.awaiting_block.entry(number).or_default();
        let first = waiting.is_empty();
        waiting.push(key);
        if first {
            self.for_keepers.push(KeeperInput::ReadBlock { realm: id, shard: self.index, number });
        }
    }
}

impl Pass {
    /// The events of a mask.
    fn events(&self, mask: u64) -> impl Iterator<Item = &Arc<RingEvent>> {
        bits(mask).filter_map(|bit| self.fan_out.events.get(bit))
    }

    /// Their frames behind one another; a single one is not copied.
    fn frames(&mut self, codec: Codec, mask: u64) -> &[u8] {
        let (events, epoch) = (&self.fan_out.events, self.epoch);
        if mask.is_power_of_two() {
            let event = events.get(mask.trailing_zeros() as usize);
            return event.map(|event| &event.frame(codec, epoch)[..]).unwrap_or_default();
        }
        let joined = &mut self.joined[codec.index()];
        if joined.mask != mask {
            joined.mask = mask;
            joined.frames.clear();
            for event in bits(mask).filter_map(|bit| events.get(bit)) {
                joined.frames.extend_from_slice(event.frame(codec, epoch));
            }
        }
        &joined.frames
    }
}

/// The places of the bits that are set.
fn bits(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (mask != 0).then(|| mask.trailing_zeros() as usize);
        mask &= mask.wrapping_sub(1);
        bit
    })
}

/// The frames of `events` behind one another; a single one is not copied.
fn join_frames<'a>(events: impl Iterator<Item = &'a Arc<RingEvent>>, codec: Codec, epoch: Epoch) -> Bytes {
    let frames: Vec<&Bytes> = events.map(|event| event.frame(codec, epoch)).collect();
    if let [only] = frames[..] {
        return only.clone();
    }
    let mut joined = BytesMut::with_capacity(frames.iter().map(|frame| frame.len()).sum());
    frames.iter().for_each(|frame| joined.extend_from_slice(frame));
    joined.freeze()
}

/// The kernel took `taken` bytes of these events' frames: keeps the rest of the frame it stopped in. The
/// last event that is with the kernel or kept, if any.
fn keep_rest<'a>(
    connection: &mut Connection,
    events: impl Iterator<Item = &'a Arc<RingEvent>>,
    epoch: Epoch,
    taken: usize,
) -> Option<Sequence> {
    let (mut left, mut had) = (taken, None);
    for event in events {
        if left == 0 {
            break;
        }
        let frame = event.frame(connection.codec, epoch);
        had = Some(event.sequence());
        if left < frame.len() {
            connection.keep(&frame[left..]);
            break;
        }
        left -= frame.len();
    }
    had
}
