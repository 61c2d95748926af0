//! An event's id in a queue: its place in the log, and enough of its mark to tell two histories apart.

use squall_protocol::limits::ID_MAX;
use squall_protocol::{Mark, Position, Sequence};

/// `sequence × 4096 + the low 12 bits of the mark`: with the queue's id, all there is to know of a queue.
///
/// Ids stay below 2^53 up to the 2^41st event of a realm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventId(u64);

const MARK_BITS: u32 = 12;
const MARK_MASK: u32 = (1 << MARK_BITS) - 1;

impl EventId {
    /// The id of the event at `position`.
    #[must_use]
    pub fn of(position: Position) -> Self {
        Self::at(position.sequence, position.mark)
    }

    /// The id of an event.
    #[must_use]
    pub fn at(sequence: Sequence, mark: Mark) -> Self {
        Self((sequence.0 << MARK_BITS) | u64::from(mark.0 & MARK_MASK))
    }

    /// The id that a client gave back; none if it can't be one of ours.
    #[must_use]
    pub fn parse(raw: i64) -> Option<Self> {
        u64::try_from(raw).ok().filter(|raw| *raw <= ID_MAX).map(Self)
    }

    /// The place in the log.
    #[must_use]
    pub fn sequence(self) -> Sequence {
        Sequence(self.0 >> MARK_BITS)
    }

    /// Whether it may be of an event with this mark: it is not in one case of 4096 where it should be.
    #[must_use]
    pub fn is_of(self, mark: Mark) -> bool {
        self.0 as u32 & MARK_MASK == mark.0 & MARK_MASK
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_with_the_log_and_know_their_history() {
        let id = EventId::at(Sequence(42), Mark(0xDEAD_BEEF));
        assert_eq!(id.number(), 42 * 4096 + 0xEEF);
        assert_eq!(id.sequence(), Sequence(42));
        assert!(id.is_of(Mark(0xDEAD_BEEF)) && !id.is_of(Mark(0xDEAD_BEE0)));
        assert!(EventId::at(Sequence(43), Mark(0)) > id);
        assert_eq!(EventId::parse(id.number() as i64), Some(id));
        assert_eq!(EventId::parse(-1), None);
        assert_eq!(EventId::parse(1 << 53), None);
    }
}
