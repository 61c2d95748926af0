//! The recent part of a realm's log, in memory and stamped.

use std::sync::Arc;

use bytes::Bytes;
use imbl::Vector;
use squall_protocol::link::EventRecord;
use squall_protocol::{Codec, Epoch, Mark, Position, Sequence, UserId};

use crate::frame::{self, Views};
use crate::member_set::MemberSet;

/// A dense run of stamped events up to the log's head as the keeper knows it.
///
/// Persistent: a clone is a snapshot that costs nothing and never changes, so shards read without locks
/// while the keeper goes on. Nobody may keep a snapshot longer than a turn of its loop; what waits for a
/// socket is a sequence.
#[derive(Debug, Clone)]
pub struct Ring {
    base: Position,
    events: Vector<Arc<RingEvent>>,
    bytes: usize,
}

/// A stamped event.
#[derive(Debug)]
pub struct RingEvent {
    record: EventRecord,
    stamp: MemberSet,
    bytes: usize,
    frames: Views,
}

/// How much a ring keeps.
#[derive(Debug, Clone, Copy)]
pub struct RingLimits {
    /// Events.
    pub events_max: usize,
    /// Bytes of bodies, frames and stamps.
    pub bytes_max: usize,
}

impl Default for RingLimits {
    fn default() -> Self {
        Self { events_max: 10_000, bytes_max: 8 * 1024 * 1024 }
    }
}

impl RingEvent {
    /// `record`, to be seen by `stamp`.
    #[must_use]
    pub fn new(record: EventRecord, stamp: MemberSet) -> Self {
        // The finished frame is as long as the body and its wrapping; most events get one.
        let bytes = size_of::<Self>() + 2 * record.body.len() + FRAME_OVERHEAD_BYTES;
        Self { record, stamp, bytes, frames: Views::default() }
    }

    /// Its place in the log.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.record.sequence
    }

    /// The mark of its commit group.
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.record.mark
    }

    /// The event as the log has it.
    #[must_use]
    pub fn record(&self) -> &EventRecord {
        &self.record
    }

    /// Who may see it.
    #[must_use]
    pub fn stamp(&self) -> &MemberSet {
        &self.stamp
    }

    /// Whether `user` may see it.
    #[must_use]
    pub fn is_for(&self, user: UserId) -> bool {
        self.stamp.contains(user)
    }

    /// What it takes in memory, roughly, its stamp not counted: that is shared.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Its finished WebSocket frame in one codec, made by whoever asks first. `epoch` is that of its log.
    pub fn frame(&self, codec: Codec, epoch: Epoch) -> &Bytes {
        self.frames[codec.index()].get_or_init(|| {
            let EventRecord { sequence, mark, body, .. } = &self.record;
            frame::whole(codec, &codec.encode_event(epoch, *sequence, *mark, body))
        })
    }
}

impl Ring {
    /// An empty ring that goes on from `base`.
    #[must_use]
    pub fn new(base: Position) -> Self {
        Self { base, events: Vector::new(), bytes: 0 }
    }

    /// The position before the oldest event in it.
    #[must_use]
    pub fn base(&self) -> Position {
        self.base
    }

    /// The position of the newest event.
    #[must_use]
    pub fn head(&self) -> Position {
        match self.events.last() {
            Some(last) => Position { epoch: self.base.epoch, sequence: last.sequence(), mark: last.mark() },
            None => self.base,
        }
    }

    /// How many events it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// What it takes in memory, roughly.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The position of `sequence`, if the ring still knows its mark.
    #[must_use]
    pub fn position_of(&self, sequence: Sequence) -> Option<Position> {
        if sequence == self.base.sequence {
            return Some(self.base);
        }
        let event = self.events.get(self.index(sequence)?)?;
        Some(Position { epoch: self.base.epoch, sequence, mark: event.mark() })
    }

    /// The events after `sequence`, oldest first; `None` if some of them are gone from the ring.
    pub fn after(&self, sequence: Sequence) -> Option<impl Iterator<Item = &Arc<RingEvent>>> {
        if sequence < self.base.sequence {
            return None;
        }
        let skip = usize::try_from(sequence.0 - self.base.sequence.0).unwrap_or(usize::MAX);
        let focus = self.events.focus();
        let from = skip.min(focus.len());
        Some(focus.narrow(from..).into_iter())
    }

    /// Appends the next event and lets the oldest go until `limits` hold; the newest always stays.
    pub fn push(&mut self, event: Arc<RingEvent>, limits: RingLimits) {
        debug_assert_eq!(event.sequence(), self.head().sequence.next(), "a ring is dense");
        self.bytes += self.charge(&event);
        self.events.push_back(event);
        while self.events.len() > 1
            && (self.events.len() > limits.events_max || self.bytes > limits.bytes_max)
        {
            self.pop();
        }
    }

    fn pop(&mut self) {
        let Some(oldest) = self.events.pop_front() else { return };
        self.base = Position { epoch: self.base.epoch, sequence: oldest.sequence(), mark: oldest.mark() };
        let shared = self.events.front().is_some_and(|next| next.stamp.same_as(&oldest.stamp));
        let stamp = if shared { 0 } else { oldest.stamp.bytes() };
        self.bytes = self.bytes.saturating_sub(oldest.bytes + stamp);
    }

    /// A stamp is charged to the first of a run of events that share it.
    fn charge(&self, event: &RingEvent) -> usize {
        let shared = self.events.last().is_some_and(|last| last.stamp.same_as(&event.stamp));
        event.bytes + if shared { 0 } else { event.stamp.bytes() }
    }

    fn index(&self, sequence: Sequence) -> Option<usize> {
        usize::try_from(sequence.0.checked_sub(self.base.sequence.0 + 1)?).ok()
    }
}

/// `{"type":"event","sequence":…,"mark":…,"event":…}` and the frame's header, at their longest.
const FRAME_OVERHEAD_BYTES: usize = 90;

#[cfg(test)]
mod tests {
    use squall_protocol::event::Event;

    use super::*;

    fn event(sequence: u64, stamp: &MemberSet) -> Arc<RingEvent> {
        let fact = Event::CredentialChanged { user_id: UserId(1) };
        let record = EventRecord::new(Sequence(sequence), Mark(sequence as u32 * 10), &fact);
        Arc::new(RingEvent::new(record, stamp.clone()))
    }

    fn ring(upto: u64, limits: RingLimits) -> Ring {
        let stamp: MemberSet = [UserId(1)].into_iter().collect();
        let mut ring = Ring::new(Position::start(Epoch(1)));
        (1..=upto).for_each(|sequence| ring.push(event(sequence, &stamp), limits));
        ring
    }

    fn sequences(ring: &Ring, after: u64) -> Option<Vec<u64>> {
        Some(ring.after(Sequence(after))?.map(|event| event.sequence().0).collect())
    }

    #[test]
    fn it_keeps_the_newest_and_knows_where_it_starts() {
        let ring = ring(10, RingLimits { events_max: 4, ..RingLimits::default() });
        assert_eq!(ring.base().sequence, Sequence(6));
        assert_eq!(ring.base().mark, Mark(60));
        assert_eq!(sequences(&ring, 5), None);
        assert_eq!(sequences(&ring, 6), Some(vec![7, 8, 9, 10]));
        assert_eq!(sequences(&ring, 9), Some(vec![10]));
        assert_eq!(sequences(&ring, 10), Some(vec![]));
        assert_eq!(sequences(&ring, 99), Some(vec![]));
    }

    #[test]
    fn it_tells_the_mark_of_what_it_holds() {
        let ring = ring(10, RingLimits { events_max: 4, ..RingLimits::default() });
        assert_eq!(ring.position_of(Sequence(8)).map(|position| position.mark), Some(Mark(80)));
        assert_eq!(ring.position_of(Sequence(6)).map(|position| position.mark), Some(Mark(60)));
        assert_eq!(ring.position_of(Sequence(5)), None);
        assert_eq!(ring.position_of(Sequence(11)), None);
    }

    #[test]
    fn bytes_are_bounded_and_come_back_to_nothing() {
        let limits = RingLimits { events_max: 1_000, bytes_max: 4_000 };
        let ring = ring(500, limits);
        assert!(ring.bytes() <= 4_000 && ring.len() > 1);
        let mut empty = ring.clone();
        while !empty.is_empty() {
            empty.pop();
        }
        assert_eq!(empty.bytes(), 0);
    }

    #[test]
    fn a_snapshot_does_not_change() {
        let stamp = MemberSet::default();
        let mut ring = ring(3, RingLimits::default());
        let snapshot = ring.clone();
        ring.push(event(4, &stamp), RingLimits::default());
        assert_eq!(sequences(&snapshot, 0), Some(vec![1, 2, 3]));
    }
}
