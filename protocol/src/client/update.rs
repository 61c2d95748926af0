//! What a client tells its program.

use std::time::Duration;

use crate::client_message::TypingOp;
use crate::event::{Destination, Event};
use crate::ids::{Sequence, UserId};
use crate::position::Position;
use crate::server_message::{ErrorCode, PresenceDiff, PresenceSnapshot, ResetReason, Welcome};

use super::error::{Cause, Closed};

/// One thing that happened, in the order in which it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// The connection's state changed.
    State(State),
    /// A session is open.
    Welcome {
        /// Its terms.
        welcome: Box<Welcome>,
        /// The session begins at the log's head because no position was known: state must be fetched.
        fresh: bool,
    },
    /// The next event of the log that this user may see: each one once.
    Event {
        /// The place in the log to remember when it was dealt with.
        position: Position,
        /// What happened.
        event: Event,
        /// A message that this user sent, from here or from another device; false for other events.
        own: bool,
    },
    /// Nothing for this user lies between the last position and this one: remember this one.
    Position(Position),
    /// The past can't be continued: events were missed. See [the module's words](super#after-a-reset).
    Reset {
        /// Why; none for a reason that this version does not know.
        reason: Option<ResetReason>,
        /// Events after it follow.
        position: Position,
        /// How long to wait before fetching state, so that a herd of clients spreads.
        after: Duration,
    },
    /// Everybody's presence; the view of [`Client`](super::Client) has it already.
    PresenceSnapshot(PresenceSnapshot),
    /// What changed in presence; the view of [`Client`](super::Client) has it already.
    Presence(PresenceDiff),
    /// Somebody else started typing or stopped: by a word, by a message, by 15 s of silence, or because
    /// the connection was lost. Each start is told once, however often it is repeated.
    Typing {
        /// Started or stopped.
        op: TypingOp,
        /// Who.
        sender_id: UserId,
        /// Where; in a direct conversation all its users are named, ascending.
        to: Destination,
    },
    /// The server said something odd; the connection goes on.
    Warning(Warning),
}

/// How a client stands to its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// From opening a socket to its `welcome`.
    Connecting,
    /// In a session.
    Open,
    /// The connection was lost; the next attempt follows.
    Waiting {
        /// After this long.
        retry_in: Duration,
        /// Why it was lost.
        cause: Cause,
    },
    /// For good. [`Updates::next`](super::Updates::next) returns it as an error, not as an update.
    Closed(Closed),
}

/// Something odd that the server said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// A frame that is no message of the protocol; it was skipped.
    #[error("{0}")]
    Malformed(String),
    /// An event of a kind that this version does not know; it was skipped.
    #[error("the event {sequence} is of an unknown kind")]
    UnknownEvent {
        /// Its place in the log.
        sequence: Sequence,
    },
    /// An event or position that was known already, or is of another log; it was skipped.
    #[error("{sequence} came after {after}")]
    OutOfOrder {
        /// Where it is.
        sequence: Sequence,
        /// What was known.
        after: Sequence,
    },
    /// An `error` message.
    #[error("{message}")]
    Error {
        /// For programs; none for a code that this version does not know.
        code: Option<ErrorCode>,
        /// For people.
        message: String,
    },
}

impl Update {
    /// The position to remember once this update was dealt with, if it moved.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Welcome { welcome, fresh: true } => Some(welcome.position),
            Self::Event { position, .. } | Self::Position(position) | Self::Reset { position, .. } => {
                Some(*position)
            }
            Self::Welcome { fresh: false, .. }
            | Self::State(_)
            | Self::PresenceSnapshot(_)
            | Self::Presence(_)
            | Self::Typing { .. }
            | Self::Warning(_) => None,
        }
    }
}
