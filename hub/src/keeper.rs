//! The one place in a node that advances a realm by its log.

use std::collections::BTreeMap;
use std::sync::Arc;

use squall_protocol::frame::Publication;
use squall_protocol::link::{EventRecord, LogRange};
use squall_protocol::{Mark, Position, Sequence};

use crate::realm_state::{AdvanceError, RealmState};
use crate::ring::{Ring, RingEvent, RingLimits};

/// Takes publications, log ranges and heads in any order and doubling, and turns them into one dense,
/// stamped ring. It accepts only the next event; for anything else it waits a short reorder time and
/// then asks for the log.
#[derive(Debug)]
pub struct RealmKeeper {
    state: RealmState,
    ring: Ring,
    limits: RingLimits,
    /// Publications that came before what they go on from, by their first sequence.
    early: BTreeMap<Sequence, Publication>,
    /// The greatest sequence heard of.
    known: Sequence,
    /// A publication contradicts what is known: late, or the first of another history. The log will tell.
    doubted: bool,
    gap: Gap,
}

/// What the keeper's owner must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeeperEffect {
    /// Show the shards the new ring.
    Advanced,
    /// Read the log after this sequence; answer by `handle_range` or `handle_read_failed`.
    ReadLog(Sequence),
    /// This realm's history is not the one known here: load it anew, reset its sessions.
    Reload(ReloadReason),
}

/// Why a realm must be loaded anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReloadReason {
    /// Another epoch, or another mark at a known sequence: the database went back.
    Epoch,
    /// The log no longer reaches back to where this node is.
    Expired,
    /// A change of a kind this version can't read.
    UnknownKind,
}

/// Why a range could not be stamped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StampError {
    /// It was read when the log went on past this keeper: keep it, and try again when the keeper has advanced.
    #[error("the log's head is ahead of the keeper")]
    Ahead,
    /// The ring moved on past what the range knows: read it again.
    #[error("the range is older than the ring")]
    Stale,
    /// It is not of the history known here: load the realm anew.
    #[error("the range does not fit this realm's history")]
    Foreign,
    /// A change in it, or after it, is of a kind this version can't read: nothing older can be stamped here.
    #[error("a change of an unknown kind can't be undone")]
    UnknownKind,
}

impl From<AdvanceError> for StampError {
    fn from(error: AdvanceError) -> Self {
        match error {
            AdvanceError::UnknownKind { .. } => Self::UnknownKind,
            AdvanceError::NotNext { .. } => Self::Foreign,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gap {
    None,
    Waiting { until_ms: u64 },
    Reading { from: Position },
}

/// How long a missing publication may be late before the log is asked.
pub const REORDER_MS: u64 = 50;

/// How long after a failed log read the next one starts.
pub const READ_RETRY_MS: u64 = 1_000;

/// Early publications kept while one is missing; more are dropped, as the log has them.
const EARLY_MAX: usize = 256;

type Effects = Vec<KeeperEffect>;

impl RealmKeeper {
    /// A keeper that goes on from a loaded state.
    #[must_use]
    pub fn new(state: RealmState, limits: RingLimits) -> Self {
        let position = state.position();
        Self {
            ring: Ring::new(position),
            state,
            limits,
            early: BTreeMap::new(),
            known: position.sequence,
            doubted: false,
            gap: Gap::None,
        }
    }

    /// The last event taken in.
    #[must_use]
    pub fn position(&self) -> Position {
        self.state.position()
    }

    /// The realm as of [`RealmKeeper::position`].
    #[must_use]
    pub fn state(&self) -> &RealmState {
        &self.state
    }

    /// The stamped events.
    #[must_use]
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Whether the log is known to go on past this keeper.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.known > self.position().sequence
    }

    /// Takes a publication in. One of another history makes the keeper ask the log, no more: it may be of a
    /// history that the log has long left, and whoever can publish must not be able to reset everybody.
    pub fn handle_publication(&mut self, publication: Publication, now_ms: u64) -> Effects {
        let Some((first, last)) = ends(&publication.records) else { return Vec::new() };
        let position = self.position();
        let mut effects = Vec::new();
        if publication.epoch != position.epoch || first <= position.sequence.next() {
            effects = self.take(&publication);
        } else {
            self.known = self.known.max(last);
            if self.early.len() < EARLY_MAX {
                self.early.insert(first, publication);
            }
        }
        effects.extend(self.settle(now_ms));
        effects
    }

    /// Takes a part of the log in, read for `ReadLog`.
    pub fn handle_range(&mut self, range: &LogRange, now_ms: u64) -> Effects {
        // Publications may have overtaken the read: it is judged by where the keeper stood when it asked.
        let Gap::Reading { from } = self.gap else { return Vec::new() };
        self.gap = Gap::None;
        let went_back = range.head.epoch != from.epoch || range.head.sequence < from.sequence;
        if went_back || range.after_mark.is_some_and(|mark| mark != from.mark) {
            return vec![KeeperEffect::Reload(ReloadReason::Epoch)];
        }
        self.known = self.known.max(range.head.sequence);
        // The log forgot the place it was read from: nothing vouches for what follows.
        if range.after_mark.is_none() {
            if range.floor >= self.position().sequence {
                return vec![KeeperEffect::Reload(ReloadReason::Expired)];
            }
            return self.settle(now_ms);
        }
        if range.records.iter().any(|record| self.contradicts((record.sequence, record.mark))) {
            return vec![KeeperEffect::Reload(ReloadReason::Epoch)];
        }
        let mut effects = self.take_records(&range.records);
        if effects.is_empty() && range.head.sequence == self.position().sequence {
            // Whatever was published beyond the log's head is of a history that it left.
            self.early.clear();
            self.known = self.position().sequence;
        }
        effects.extend(self.settle(now_ms));
        effects
    }

    /// The log could not be read.
    pub fn handle_read_failed(&mut self, now_ms: u64) {
        self.doubted = true;
        self.gap = Gap::Waiting { until_ms: now_ms + READ_RETRY_MS };
    }

    /// Compares with the log's head, which was asked for when this keeper stood at `asked_at`.
    pub fn handle_head(&mut self, asked_at: Sequence, head: Position, now_ms: u64) -> Effects {
        let same_epoch = head.epoch == self.position().epoch;
        let went_back = head.sequence < asked_at;
        if !same_epoch || went_back || self.contradicts((head.sequence, head.mark)) {
            return vec![KeeperEffect::Reload(ReloadReason::Epoch)];
        }
        self.known = self.known.max(head.sequence);
        if self.is_behind() {
            self.open_gap(now_ms);
        }
        Vec::new()
    }

    /// When [`RealmKeeper::handle_tick`] has something to do.
    #[must_use]
    pub fn deadline_ms(&self) -> Option<u64> {
        match self.gap {
            Gap::Waiting { until_ms } => Some(until_ms),
            Gap::None | Gap::Reading { .. } => None,
        }
    }

    /// Asks for the log when a gap did not close by itself.
    pub fn handle_tick(&mut self, now_ms: u64) -> Effects {
        match self.gap {
            Gap::Waiting { until_ms } if until_ms <= now_ms => {
                let from = self.position();
                self.gap = Gap::Reading { from };
                self.doubted = false;
                vec![KeeperEffect::ReadLog(from.sequence)]
            }
            Gap::None | Gap::Waiting { .. } | Gap::Reading { .. } => Vec::new(),
        }
    }

    /// Stamps a range older than the ring, by the same code as live events: a copy of the state is rewound to
    /// the range and advanced through it.
    pub fn stamp(&self, range: &LogRange) -> Result<Vec<Arc<RingEvent>>, StampError> {
        let (position, head) = (self.position(), range.head);
        if head.epoch != position.epoch {
            return Err(StampError::Foreign);
        }
        let Some((first, _)) = ends(&range.records) else { return Ok(Vec::new()) };
        if head.sequence > position.sequence {
            return Err(StampError::Ahead);
        }
        // What changed after the range's head is in the ring, or the range is too old.
        let newer = self.ring.after(head.sequence).ok_or(StampError::Stale)?;
        // The mark of one place that both know vouches for all before it.
        if self.contradicts((head.sequence, head.mark)) {
            return Err(StampError::Foreign);
        }
        let changes: Vec<EventRecord> = (range.records.iter().chain(&range.changes))
            .chain(newer.map(|event| event.record()))
            .filter(|record| record.changes_state)
            .cloned()
            .collect();
        let before = Position { sequence: Sequence(first.0 - 1), ..position };
        let mut state = self.state.clone();
        state.rewind(&changes, before)?;
        (range.records.iter())
            .map(|record| {
                let stamp = state.advance(record)?;
                Ok(Arc::new(RingEvent::new(record.clone(), stamp)))
            })
            .collect()
    }

    fn take(&mut self, publication: &Publication) -> Effects {
        let Some((first, last)) = ends(&publication.records) else { return Vec::new() };
        let before = (Sequence(first.0.saturating_sub(1)), publication.previous_mark);
        let named = publication.records.iter().map(|record| (record.sequence, record.mark));
        let same_epoch = publication.epoch == self.position().epoch;
        if !same_epoch || std::iter::once(before).chain(named).any(|place| self.contradicts(place)) {
            self.doubted = true;
            return Vec::new();
        }
        self.known = self.known.max(last);
        self.take_records(&publication.records)
    }

    fn take_records(&mut self, records: &[EventRecord]) -> Effects {
        let before = self.position().sequence;
        for record in records.iter().filter(|record| record.sequence > before) {
            match self.state.advance(record) {
                Ok(stamp) => self.ring.push(Arc::new(RingEvent::new(record.clone(), stamp)), self.limits),
                Err(AdvanceError::UnknownKind { .. }) => {
                    return vec![KeeperEffect::Reload(ReloadReason::UnknownKind)];
                }
                // A hole inside a range: what is there is taken, the rest is a gap like any other.
                Err(AdvanceError::NotNext { .. }) => break,
            }
        }
        self.known = self.known.max(self.position().sequence);
        if self.position().sequence > before { vec![KeeperEffect::Advanced] } else { Vec::new() }
    }

    /// Whether another mark is known at a sequence.
    fn contradicts(&self, (sequence, mark): (Sequence, Mark)) -> bool {
        self.ring.position_of(sequence).is_some_and(|known| known.mark != mark)
    }

    /// Takes what came early and now fits; opens or closes the gap.
    fn settle(&mut self, now_ms: u64) -> Effects {
        let mut effects = Vec::new();
        while let Some(entry) = self.early.first_entry() {
            if *entry.key() > self.state.position().sequence.next() {
                break;
            }
            let publication = entry.remove();
            effects.extend(self.take(&publication));
        }
        match self.gap {
            // A read under way stays: its answer must not be taken for that of a later one.
            Gap::Reading { .. } => {}
            Gap::Waiting { .. } if !self.is_behind() && !self.doubted => self.gap = Gap::None,
            Gap::None if self.is_behind() || self.doubted => self.open_gap(now_ms),
            Gap::None | Gap::Waiting { .. } => {}
        }
        effects
    }

    fn open_gap(&mut self, now_ms: u64) {
        if self.gap == Gap::None {
            self.gap = Gap::Waiting { until_ms: now_ms + REORDER_MS };
        }
    }
}

fn ends(records: &[EventRecord]) -> Option<(Sequence, Sequence)> {
    Some((records.first()?.sequence, records.last()?.sequence))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use squall_protocol::event::{Event, Role, Stream, User};
    use squall_protocol::{Epoch, RealmId, StreamId, UserId};

    use super::*;

    const EPOCH: Epoch = Epoch(9);

    fn mark(sequence: u64) -> Mark {
        // Groups of three share a mark.
        Mark(if sequence == 0 { 0 } else { 100 + (sequence as u32 - 1) / 3 })
    }

    fn at(sequence: u64) -> Position {
        Position { epoch: EPOCH, sequence: Sequence(sequence), mark: mark(sequence) }
    }

    /// User 2 is let in and out of stream 7 by turns; user 1 is always in.
    fn fact(sequence: u64) -> Event {
        let stream = Stream {
            stream_id: StreamId(7),
            name: "s".into(),
            description: String::new(),
            invite_only: true,
        };
        let user = |id| User {
            user_id: UserId(id),
            email: String::new(),
            full_name: String::new(),
            role: Role::Member,
            is_bot: false,
            is_active: true,
        };
        match sequence {
            1 => Event::UserAdded { user: user(1) },
            2 => Event::UserAdded { user: user(2) },
            3 => Event::StreamCreated { stream },
            4 => Event::MembersAdded { stream, user_ids: vec![UserId(1)], actor_id: UserId(1) },
            n if n % 6 == 0 => Event::MembersAdded { stream, user_ids: vec![UserId(2)], actor_id: UserId(1) },
            n if n % 6 == 3 => Event::MembersRemoved {
                stream_id: StreamId(7),
                user_ids: vec![UserId(2)],
                actor_id: UserId(1),
            },
            n => Event::Message(squall_protocol::event::Message {
                message_id: squall_protocol::MessageId(n),
                sender_id: UserId(1),
                timestamp: 0,
                to: squall_protocol::Destination::Stream { stream_id: StreamId(7), topic: "t".into() },
                content: "x".into(),
                send_id: squall_protocol::SendId::parse(format!("{n}")).unwrap(),
            }),
        }
    }

    fn records(from: u64, to: u64) -> Vec<EventRecord> {
        (from..=to).map(|n| EventRecord::new(Sequence(n), mark(n), &fact(n))).collect()
    }

    fn publication(from: u64, to: u64) -> Publication {
        let (realm_id, previous_mark) = (RealmId(1), mark(from - 1));
        Publication { realm_id, epoch: EPOCH, previous_mark, records: records(from, to) }
    }

    fn range(after: u64, to: u64, head: u64) -> LogRange {
        let changes = records(to + 1, head).into_iter().filter(|record| record.changes_state).collect();
        LogRange {
            head: at(head),
            floor: Sequence::ZERO,
            after_mark: Some(mark(after)),
            records: records(after + 1, to),
            changes,
        }
    }

    fn keeper() -> RealmKeeper {
        RealmKeeper::new(RealmState::new(at(0)), RingLimits::default())
    }

    fn sees(events: &[Arc<RingEvent>], user: u32) -> Vec<u64> {
        events.iter().filter(|event| event.is_for(UserId(user))).map(|event| event.sequence().0).collect()
    }

    #[test]
    fn the_next_publication_is_taken_and_a_doubled_one_is_not() {
        let mut keeper = keeper();
        assert_eq!(keeper.handle_publication(publication(1, 3), 0), [KeeperEffect::Advanced]);
        assert_eq!(keeper.handle_publication(publication(1, 3), 0), []);
        assert_eq!(keeper.handle_publication(publication(1, 6), 0), [KeeperEffect::Advanced]);
        assert_eq!(keeper.position(), at(6));
        assert_eq!(keeper.ring().len(), 6);
    }

    #[test]
    fn a_late_publication_closes_the_gap_without_the_log() {
        let mut keeper = keeper();
        keeper.handle_publication(publication(1, 3), 0);
        assert_eq!(keeper.handle_publication(publication(7, 9), 10), []);
        assert_eq!(keeper.handle_tick(10 + REORDER_MS - 1), []);
        let effects = keeper.handle_publication(publication(4, 6), 40);
        assert_eq!(effects, [KeeperEffect::Advanced, KeeperEffect::Advanced]);
        assert_eq!(keeper.position(), at(9));
        assert_eq!(keeper.deadline_ms(), None);
    }

    #[test]
    fn a_lost_publication_is_read_from_the_log() {
        let mut keeper = keeper();
        keeper.handle_publication(publication(1, 3), 0);
        keeper.handle_publication(publication(7, 9), 10);
        assert_eq!(keeper.handle_tick(10 + REORDER_MS), [KeeperEffect::ReadLog(Sequence(3))]);
        assert_eq!(keeper.handle_tick(10_000), [], "one read at a time");
        keeper.handle_range(&range(3, 9, 9), 100);
        assert_eq!(keeper.position(), at(9));
    }

    #[test]
    fn a_failed_read_is_tried_again() {
        let mut keeper = keeper();
        keeper.handle_publication(publication(4, 6), 0);
        keeper.handle_tick(REORDER_MS);
        keeper.handle_read_failed(100);
        assert_eq!(keeper.handle_tick(100 + READ_RETRY_MS), [KeeperEffect::ReadLog(Sequence(0))]);
    }

    #[test]
    fn the_lost_tail_of_an_idle_realm_is_found_by_its_head() {
        let mut keeper = keeper();
        keeper.handle_publication(publication(1, 3), 0);
        assert_eq!(keeper.handle_head(Sequence(3), at(6), 0), []);
        assert_eq!(keeper.handle_tick(REORDER_MS), [KeeperEffect::ReadLog(Sequence(3))]);
    }

    #[test]
    fn a_head_asked_for_before_the_keeper_moved_on_proves_nothing() {
        let mut keeper = keeper();
        keeper.handle_publication(publication(1, 6), 0);
        assert_eq!(keeper.handle_head(Sequence(3), at(3), 0), []);
        assert_eq!(keeper.handle_head(Sequence(6), at(3), 0), [KeeperEffect::Reload(ReloadReason::Epoch)]);
    }

    /// A keeper at 3, and what it makes of the next publication after `change`.
    fn published(change: impl Fn(&mut Publication)) -> (RealmKeeper, Effects) {
        let mut keeper = keeper();
        keeper.handle_publication(publication(1, 3), 0);
        let mut other = publication(4, 6);
        change(&mut other);
        let effects = keeper.handle_publication(other, 0);
        (keeper, effects)
    }

    #[test]
    fn a_publication_of_another_history_makes_the_keeper_ask_the_log_and_the_log_decides() {
        assert_eq!(published(|_| ()).1, [KeeperEffect::Advanced]);
        let changes: [fn(&mut Publication); 3] = [
            |other| other.epoch = Epoch(8),
            |other| other.previous_mark = Mark(1),
            |other| {
                let record = EventRecord { mark: Mark(1), ..records(3, 3).remove(0) };
                (other.previous_mark, other.records) = (mark(2), vec![record]);
            },
        ];
        for change in changes {
            let doubting = || {
                let (mut keeper, effects) = published(change);
                assert_eq!(effects, []);
                assert_eq!(keeper.handle_tick(REORDER_MS), [KeeperEffect::ReadLog(Sequence(3))]);
                keeper
            };
            let other = LogRange { after_mark: Some(Mark(1)), ..range(3, 6, 6) };
            assert_eq!(doubting().handle_range(&other, 60), [KeeperEffect::Reload(ReloadReason::Epoch)]);
            let mut keeper = doubting();
            assert_eq!(keeper.handle_range(&range(3, 3, 3), 60), [], "it was late, no more");
            assert_eq!(keeper.deadline_ms(), None);
            assert_eq!(keeper.handle_publication(publication(4, 6), 70), [KeeperEffect::Advanced]);
        }
    }

    #[test]
    fn a_doubt_outlives_a_good_publication_and_a_failed_read() {
        let (mut keeper, _) = published(|other| other.epoch = Epoch(8));
        keeper.handle_publication(publication(4, 6), 10);
        assert_eq!(keeper.handle_tick(REORDER_MS), [KeeperEffect::ReadLog(Sequence(6))]);
        keeper.handle_read_failed(100);
        keeper.handle_publication(publication(7, 9), 110);
        assert_eq!(keeper.handle_tick(100 + READ_RETRY_MS), [KeeperEffect::ReadLog(Sequence(9))]);
    }

    #[test]
    fn what_was_published_beyond_the_logs_head_is_forgotten_once_the_log_says_so() {
        let mut keeper = keeper();
        keeper.handle_publication(publication(1, 3), 0);
        keeper.handle_publication(publication(7, 9), 0);
        assert_eq!(keeper.handle_tick(REORDER_MS), [KeeperEffect::ReadLog(Sequence(3))]);
        assert_eq!(keeper.handle_range(&range(3, 3, 3), 60), []);
        assert!(!keeper.is_behind());
        assert_eq!(keeper.deadline_ms(), None);
    }

    #[test]
    fn another_history_is_found_by_head_and_range() {
        let reload = [KeeperEffect::Reload(ReloadReason::Epoch)];
        let mut keeper = keeper();
        keeper.handle_publication(publication(1, 3), 0);
        assert_eq!(keeper.handle_head(Sequence(3), Position { mark: Mark(1), ..at(3) }, 0), reload);
        let pruned = LogRange { floor: Sequence(4), after_mark: None, ..range(4, 6, 6) };
        assert_eq!(reading().handle_range(&pruned, 0), [KeeperEffect::Reload(ReloadReason::Expired)]);
        let just_pruned = LogRange { floor: Sequence(3), after_mark: None, ..range(3, 6, 6) };
        assert_eq!(reading().handle_range(&just_pruned, 0), [KeeperEffect::Reload(ReloadReason::Expired)]);
        let other = LogRange { after_mark: Some(Mark(1)), ..range(3, 6, 6) };
        assert_eq!(reading().handle_range(&other, 0), reload);
        assert_eq!(reading().handle_range(&LogRange { head: at(2), ..range(3, 3, 3) }, 0), reload);
    }

    /// A keeper that stands at 3 and reads on from there.
    fn reading() -> RealmKeeper {
        let mut keeper = keeper();
        keeper.handle_publication(publication(1, 3), 0);
        keeper.handle_head(Sequence(3), at(6), 0);
        assert_eq!(keeper.handle_tick(REORDER_MS), [KeeperEffect::ReadLog(Sequence(3))]);
        keeper
    }

    #[test]
    fn a_read_that_publications_overtook_is_not_mistaken_for_another_history() {
        for old in [range(3, 3, 3), range(3, 6, 6)] {
            let mut keeper = reading();
            keeper.handle_publication(publication(4, 9), 0);
            assert_eq!(keeper.handle_range(&old, 0), []);
            assert_eq!(keeper.position(), at(9));
        }
    }

    #[test]
    fn a_read_of_another_history_that_publications_of_this_one_overtook_is_found_by_its_marks() {
        let mut keeper = reading();
        keeper.handle_publication(publication(4, 6), 0);
        let mut other = range(3, 9, 9);
        other.records[2..].iter_mut().for_each(|record| record.mark = Mark(1));
        assert_eq!(keeper.handle_range(&other, 0), [KeeperEffect::Reload(ReloadReason::Epoch)]);
        assert_eq!(keeper.position(), at(6));
    }

    #[test]
    fn a_read_from_a_place_that_the_log_forgot_meanwhile_is_done_again_from_the_next() {
        let mut keeper = reading();
        keeper.handle_publication(publication(4, 6), 0);
        let pruned = LogRange { floor: Sequence(5), after_mark: None, records: vec![], ..range(3, 9, 9) };
        assert_eq!(keeper.handle_range(&pruned, 0), []);
        assert_eq!(keeper.handle_tick(REORDER_MS), [KeeperEffect::ReadLog(Sequence(6))]);
    }

    #[test]
    fn a_late_answer_is_not_mistaken_for_that_of_a_later_read() {
        let mut keeper = reading();
        keeper.handle_publication(publication(4, 9), 0);
        keeper.handle_publication(publication(13, 15), 0);
        assert_eq!(keeper.handle_tick(10 * REORDER_MS), [], "one read at a time");
        assert_eq!(keeper.handle_range(&range(3, 6, 6), 1_000), [], "another mark, and no contradiction");
        assert_eq!(keeper.handle_tick(1_000 + REORDER_MS), [KeeperEffect::ReadLog(Sequence(9))]);
        assert_eq!(keeper.handle_range(&range(9, 15, 15), 2_000), [KeeperEffect::Advanced]);
        assert_eq!(keeper.position(), at(15));
    }

    #[test]
    fn a_change_of_an_unknown_kind_reloads_the_realm() {
        let mut other = publication(1, 3);
        other.records[1].body = br#"{"kind":"later"}"#.as_slice().into();
        let effects = keeper().handle_publication(other, 0);
        assert_eq!(effects, [KeeperEffect::Reload(ReloadReason::UnknownKind)]);
    }

    #[test]
    fn a_range_of_another_history_is_not_stamped_even_if_that_overtook_this_one() {
        let mut keeper = keeper();
        keeper.handle_publication(publication(1, 60), 0);
        let other = |head| LogRange { head: Position { mark: Mark(1), ..at(head) }, ..range(3, 9, head) };
        assert_eq!(keeper.stamp(&other(30)).unwrap_err(), StampError::Foreign);
        assert_eq!(keeper.stamp(&other(63)).unwrap_err(), StampError::Ahead, "not known yet");
        keeper.handle_publication(publication(61, 66), 0);
        assert_eq!(keeper.stamp(&other(63)).unwrap_err(), StampError::Foreign);
        assert!(keeper.stamp(&range(3, 9, 63)).is_ok());
    }

    #[test]
    fn a_range_too_old_for_the_ring_is_stale() {
        let mut keeper =
            RealmKeeper::new(RealmState::new(at(0)), RingLimits { events_max: 4, bytes_max: 1 << 20 });
        keeper.handle_publication(publication(1, 60), 0);
        assert_eq!(keeper.stamp(&range(3, 9, 30)).unwrap_err(), StampError::Stale);
        assert!(keeper.stamp(&range(3, 9, 60)).is_ok());
    }

    #[test]
    fn a_range_before_a_change_of_an_unknown_kind_can_not_be_stamped() {
        let mut keeper = keeper();
        keeper.handle_publication(publication(1, 60), 0);
        let mut old = range(3, 9, 60);
        old.changes[0].body = br#"{"kind":"later"}"#.as_slice().into();
        assert_eq!(keeper.stamp(&old).unwrap_err(), StampError::UnknownKind);
        let hole = LogRange { records: [records(4, 5), records(7, 9)].concat(), ..range(3, 9, 60) };
        assert_eq!(keeper.stamp(&hole).unwrap_err(), StampError::Foreign);
    }

    proptest! {
        /// Whatever the bus loses, doubles and reorders: the ring is the log, and a range read at any time
        /// is stamped as it was live.
        #[test]
        fn any_bus_gives_the_log_and_catch_up_agrees_with_it(
            deliveries in prop::collection::vec((0usize..20, 0u64..80), 0..60),
            after in 0u64..60, length in 1u64..40, head in 0u64..60,
        ) {
            let mut reference = keeper();
            reference.handle_publication(publication(1, 60), 0);
            let live: Vec<_> = reference.ring().after(Sequence::ZERO).unwrap().cloned().collect();

            let mut keeper = keeper();
            let mut now = 0;
            for (group, wait) in deliveries {
                now += wait;
                let first = group as u64 * 3 + 1;
                keeper.handle_publication(publication(first, first + 2), now);
                if let [KeeperEffect::ReadLog(from)] = keeper.handle_tick(now)[..] {
                    keeper.handle_range(&range(from.0, 60.min(from.0 + 7), 60), now);
                }
            }
            keeper.handle_head(keeper.position().sequence, at(60), now);
            while keeper.is_behind() {
                now += REORDER_MS;
                if let [KeeperEffect::ReadLog(from)] = keeper.handle_tick(now)[..] {
                    keeper.handle_range(&range(from.0, 60.min(from.0 + 7), 60), now);
                }
            }
            let ring: Vec<_> = keeper.ring().after(Sequence::ZERO).unwrap().cloned().collect();
            prop_assert_eq!(ring.len(), 60);
            for user in [1, 2] {
                prop_assert_eq!(sees(&ring, user), sees(&live, user));
            }

            let to = (after + length).min(60);
            let head = head.max(to);
            let stamped = keeper.stamp(&range(after, to, head)).unwrap();
            let expected = &live[after as usize..to as usize];
            for user in [1, 2] {
                prop_assert_eq!(sees(&stamped, user), sees(expected, user));
            }
        }
    }
}
