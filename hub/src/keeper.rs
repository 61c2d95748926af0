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
mod tests;
