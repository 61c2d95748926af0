//! A node that reaches neither the bus nor a writer for long hands its clients on to nodes that do.

use std::time::Duration;

use crate::clock::millis;

/// Decides when. It is given how long the node has been cut off, and says what the node must do.
#[derive(Debug)]
pub(crate) struct CutOff {
    patience_ms: u64,
    handed_on: bool,
}

/// What a node must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Send the clients elsewhere and let none in.
    HandOn,
    /// Let clients in, and keep those who are still here.
    TakeIn,
}

impl CutOff {
    /// Clients are kept for so long.
    pub(crate) fn new(patience: Duration) -> Self {
        Self { patience_ms: millis(patience), handed_on: false }
    }

    /// Looks at the links: since when the node has been cut off, if it is.
    #[must_use]
    pub(crate) fn handle(&mut self, cut_off_since_ms: Option<u64>, now_ms: u64) -> Option<Turn> {
        match (cut_off_since_ms, self.handed_on) {
            (Some(since_ms), false) if since_ms + self.patience_ms <= now_ms => {
                self.handed_on = true;
                Some(Turn::HandOn)
            }
            (None, true) => {
                self.handed_on = false;
                Some(Turn::TakeIn)
            }
            (Some(_), _) | (None, false) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_handed_on_once_when_patience_ends_and_taken_in_once_when_a_link_is_back() {
        let mut cut_off = CutOff::new(Duration::from_secs(60));
        assert_eq!(cut_off.handle(None, 1_000), None);
        assert_eq!(cut_off.handle(Some(2_000), 61_999), None);
        assert_eq!(cut_off.handle(Some(2_000), 62_000), Some(Turn::HandOn));
        assert_eq!(cut_off.handle(Some(2_000), 63_000), None);
        assert_eq!(cut_off.handle(None, 64_000), Some(Turn::TakeIn));
        assert_eq!(cut_off.handle(None, 65_000), None);
    }

    #[test]
    fn a_short_return_starts_the_patience_anew() {
        let mut cut_off = CutOff::new(Duration::from_secs(60));
        assert_eq!(cut_off.handle(Some(0), 59_000), None);
        assert_eq!(cut_off.handle(None, 59_500), None);
        assert_eq!(cut_off.handle(Some(59_600), 100_000), None);
        assert_eq!(cut_off.handle(Some(59_600), 119_600), Some(Turn::HandOn));
    }
}
