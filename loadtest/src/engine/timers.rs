//! What is to be done for single clients at a later time. A timer whose client has moved on is void: it is
//! told by the generation it was set in.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::moment::Moment;

/// Timers, the earliest first.
#[derive(Debug, Default)]
pub(crate) struct Timers(BinaryHeap<Reverse<(Moment, u32, u32, Due)>>);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// Open a connection.
    Return,
    /// Leave the connection for a new one, as the server asked.
    Leave,
    /// Send again what was refused for a time.
    Pump,
    /// Stop reading.
    Stall,
    /// Read again.
    Unstall,
}

impl Timers {
    /// Sets one for the client's present generation.
    pub(crate) fn set(&mut self, at: Moment, client: u32, generation: u32, due: Due) {
        self.0.push(Reverse((at, client, generation, due)));
    }

    /// When the earliest is due.
    pub(crate) fn next_due(&self) -> Option<Moment> {
        self.0.peek().map(|Reverse((at, ..))| *at)
    }

    /// Takes one that is due: its client, the generation it is for, and what to do.
    pub(crate) fn poll(&mut self, now: Moment) -> Option<(u32, u32, Due)> {
        self.next_due().filter(|at| *at <= now)?;
        self.0.pop().map(|Reverse((_, client, generation, due))| (client, generation, due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_comes_first_and_none_before_its_time() {
        let mut timers = Timers::default();
        timers.set(Moment(20), 1, 0, Due::Return);
        timers.set(Moment(10), 2, 7, Due::Leave);
        assert_eq!(timers.next_due(), Some(Moment(10)));
        assert_eq!(timers.poll(Moment(9)), None);
        assert_eq!(timers.poll(Moment(30)), Some((2, 7, Due::Leave)));
        assert_eq!(timers.poll(Moment(30)), Some((1, 0, Due::Return)));
        assert_eq!((timers.poll(Moment(30)), timers.next_due()), (None, None));
    }
}
