//! A place in a realm's log: all that a client must remember to resume.

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::ids::{Epoch, Mark, Sequence};

/// A place in one life of a realm's log. `mark` is that of the commit group which stored `sequence`
/// (0 for sequence 0), so that a log that was set back and overtaken is not mistaken for the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// The life of the log.
    pub epoch: Epoch,
    /// The last event that is known.
    pub sequence: Sequence,
    /// The mark of that event.
    pub mark: Mark,
}

impl Position {
    /// Before the first event of `epoch`.
    #[must_use]
    pub fn start(epoch: Epoch) -> Self {
        Self { epoch, sequence: Sequence::ZERO, mark: Mark(0) }
    }
}
