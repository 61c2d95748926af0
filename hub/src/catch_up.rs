//! What a node read from the log for those who were away longer than the ring reaches.

use std::collections::VecDeque;
use std::sync::Arc;

use squall_protocol::limits::LOG_RANGE_EVENTS_MAX;
use squall_protocol::link::LogRange;
use squall_protocol::{Mark, Position, Sequence};

use crate::ring::RingEvent;

/// A stamped, aligned part of a realm's log, shared by all who need it.
///
/// Aligned, so that ten thousand clients which come back from about the same place need one read.
#[derive(Debug)]
pub struct Block {
    number: u64,
    after: Sequence,
    after_mark: Option<Mark>,
    events: Vec<Arc<RingEvent>>,
    bytes: usize,
}

/// The blocks read lately.
#[derive(Debug, Default)]
pub struct CatchUp {
    blocks: VecDeque<Arc<Block>>,
    bytes: usize,
}

/// What a position is to a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PositionCheck {
    /// It is of this history: go on after it.
    Good,
    /// The log no longer reaches back to it.
    Expired,
    /// It is of another history.
    Foreign,
    /// The log did not reach that far when this block was read: read it again.
    Beyond,
}

/// Blocks kept for a realm: 32 × 512 events.
const BLOCKS_MAX: usize = 32;

/// Their bodies and frames; the newest block is kept even if it is larger.
const BYTES_MAX: usize = 8 * 1024 * 1024;

impl Block {
    /// The number of the block that holds what follows on `sequence`.
    #[must_use]
    pub fn number_after(sequence: Sequence) -> u64 {
        sequence.0 / LOG_RANGE_EVENTS_MAX as u64
    }

    /// The sequence after which block `number` begins.
    #[must_use]
    pub fn start(number: u64) -> Sequence {
        Sequence(number * LOG_RANGE_EVENTS_MAX as u64)
    }

    /// The block of a range that was read after [`Block::start`], with its events stamped.
    #[must_use]
    pub fn new(number: u64, range: &LogRange, events: Vec<Arc<RingEvent>>) -> Self {
        let start = Self::start(number);
        let pruned = range.floor > start;
        let after = if pruned { range.floor } else { start };
        let bytes = events.iter().map(|event| event.bytes()).sum();
        Self { number, after, after_mark: range.after_mark.filter(|_| !pruned), events, bytes }
    }

    /// A block whose events can't be told to anyone here: to every position in it the log does not reach.
    #[must_use]
    pub fn unreadable(number: u64) -> Self {
        Self { number, after: Self::start(number + 1), after_mark: None, events: Vec::new(), bytes: 0 }
    }

    /// Which one it is.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether `position` is a place in this block's history.
    #[must_use]
    pub fn check(&self, position: Position) -> PositionCheck {
        self.check_mark(position.sequence, |mark| mark == position.mark)
    }

    /// The same of a position that knows only a part of its mark, which is good if `is_good`.
    #[must_use]
    pub fn check_mark(&self, sequence: Sequence, is_good: impl Fn(Mark) -> bool) -> PositionCheck {
        if sequence < self.after {
            return PositionCheck::Expired;
        }
        let mark = match sequence.0 - self.after.0 {
            0 => self.after_mark.ok_or(PositionCheck::Expired),
            n => usize::try_from(n - 1)
                .ok()
                .and_then(|index| self.events.get(index))
                .map(|event| event.mark())
                .ok_or(PositionCheck::Beyond),
        };
        match mark {
            Ok(mark) if is_good(mark) => PositionCheck::Good,
            Ok(_) => PositionCheck::Foreign,
            Err(unknown) => unknown,
        }
    }

    /// Whether the log no longer reached back to `sequence` when this block was read: reading it again would
    /// bring no more.
    #[must_use]
    pub fn begins_after(&self, sequence: Sequence) -> bool {
        self.after > sequence
    }

    /// The events after `sequence`, oldest first; none if it is not in this block.
    pub fn after(&self, sequence: Sequence) -> &[Arc<RingEvent>] {
        let skip = sequence.0.checked_sub(self.after.0).and_then(|skip| usize::try_from(skip).ok());
        skip.and_then(|skip| self.events.get(skip..)).unwrap_or_default()
    }

    /// Whether it ends where its successor begins; a block cut short by the log's head must be read again.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let end = Self::start(self.number + 1);
        self.events.last().is_some_and(|last| last.sequence() == end)
    }
}

impl CatchUp {
    /// The block that holds what follows on `sequence`, if it was read lately.
    #[must_use]
    pub fn block_after(&self, sequence: Sequence) -> Option<Arc<Block>> {
        let number = Block::number_after(sequence);
        self.blocks.iter().find(|block| block.number == number).cloned()
    }

    /// Keeps a complete block, in the place of the oldest.
    pub fn insert(&mut self, block: &Arc<Block>) {
        if !block.is_complete() || self.blocks.iter().any(|known| known.number == block.number) {
            return;
        }
        self.bytes += block.bytes;
        self.blocks.push_back(block.clone());
        while self.blocks.len() > 1 && (self.blocks.len() > BLOCKS_MAX || self.bytes > BYTES_MAX) {
            self.bytes -= self.blocks.pop_front().map_or(0, |oldest| oldest.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use squall_protocol::event::Event;
    use squall_protocol::link::EventRecord;
    use squall_protocol::{Epoch, UserId};

    use super::*;
    use crate::member_set::MemberSet;

    const SIZE: u64 = LOG_RANGE_EVENTS_MAX as u64;

    fn at(sequence: u64, mark: u32) -> Position {
        Position { epoch: Epoch(1), sequence: Sequence(sequence), mark: Mark(mark) }
    }

    fn block(number: u64, events: u64, floor: u64) -> Block {
        let start = Block::start(number).0;
        let records: Vec<_> = (start.max(floor) + 1..=start + events)
            .map(|n| {
                EventRecord::new(
                    Sequence(n),
                    Mark(n as u32),
                    &Event::CredentialChanged { user_id: UserId(1) },
                )
            })
            .collect();
        let events = records
            .iter()
            .map(|record| Arc::new(RingEvent::new(record.clone(), MemberSet::default())))
            .collect();
        let after_mark = Some(Mark(start as u32));
        let range = LogRange {
            head: at(start + SIZE, 0),
            floor: Sequence(floor),
            after_mark,
            records,
            changes: vec![],
        };
        Block::new(number, &range, events)
    }

    #[test]
    fn a_position_is_checked_against_the_mark_it_names() {
        let block = block(1, SIZE, 0);
        assert_eq!(block.check(at(SIZE, SIZE as u32)), PositionCheck::Good);
        assert_eq!(block.check(at(SIZE + 9, SIZE as u32 + 9)), PositionCheck::Good);
        assert_eq!(block.check(at(SIZE, 1)), PositionCheck::Foreign);
        assert_eq!(block.check(at(SIZE + 9, 1)), PositionCheck::Foreign);
    }

    #[test]
    fn a_block_cut_short_by_the_head_says_nothing_of_what_came_later() {
        let block = block(1, 20, 0);
        assert_eq!(block.check(at(SIZE + 20, SIZE as u32 + 20)), PositionCheck::Good);
        assert_eq!(block.check(at(SIZE + 21, SIZE as u32 + 21)), PositionCheck::Beyond);
    }

    #[test]
    fn what_the_log_forgot_is_expired() {
        let block = block(0, 20, 10);
        assert_eq!(block.check(at(9, 9)), PositionCheck::Expired);
        assert_eq!(block.check(at(10, 10)), PositionCheck::Expired, "its mark is forgotten too");
        assert_eq!(block.check(at(11, 11)), PositionCheck::Good);
        assert!(block.begins_after(Sequence(9)) && !block.begins_after(Sequence(10)));
        assert_eq!(block.after(Sequence(11)).len(), 9);
        assert_eq!(block.after(Sequence(20)).len(), 0);
        assert_eq!(block.after(Sequence(500)).len(), 0);
    }

    #[test]
    fn an_unreadable_block_is_expired_for_whoever_needs_it() {
        let block = Block::unreadable(1);
        for sequence in [SIZE, SIZE + 9, 2 * SIZE - 1] {
            assert_eq!(Block::number_after(Sequence(sequence)), 1);
            assert_eq!(block.check(at(sequence, 1)), PositionCheck::Expired);
            assert!(block.begins_after(Sequence(sequence)));
        }
    }

    #[test]
    fn only_complete_blocks_are_kept_and_the_oldest_goes_first() {
        let mut kept = CatchUp::default();
        kept.insert(&Arc::new(block(0, 20, 0)));
        assert!(kept.block_after(Sequence(3)).is_none());
        for number in 0..=BLOCKS_MAX as u64 {
            kept.insert(&Arc::new(block(number, SIZE, 0)));
        }
        assert!(kept.block_after(Sequence(3)).is_none());
        assert_eq!(kept.block_after(Sequence(SIZE)).map(|block| block.number()), Some(1));
    }
}
