//! A connection between a client and a node, with a kernel buffer that gets full.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use squall_hub::RingEvent;
use squall_protocol::client_message::ClientMessage;
use squall_protocol::server_message::{PresenceDiff, PresenceSnapshot, ResetReason};
use squall_protocol::{CloseCode, Position, Sequence};

use crate::attendance::Shown;

/// What a node says to a client. What a check must know besides travels along: no node or client acts on it.
#[derive(Debug, Clone)]
pub(crate) enum Wire {
    /// `knows` counts the set-backs of the log that the node's realm was loaded after; the user's token was
    /// good as of `as_of`.
    Welcome {
        position: Position,
        knows: u32,
        as_of: Sequence,
    },
    Event(Arc<RingEvent>),
    Position(Position),
    Reset {
        reason: ResetReason,
        position: Position,
        knows: u32,
    },
    /// With what the node shows at that change.
    Snapshot(PresenceSnapshot, Rc<Shown>),
    Diff(PresenceDiff, Rc<Shown>),
    Ping,
    /// `sent`, `done`, `refused`, `error`.
    Answer,
    Close(CloseCode),
}

/// Both ends of a connection. Room is counted in half frames, so that a frame can be torn.
#[derive(Debug)]
pub(crate) struct Socket {
    /// Taken by the kernel, not yet read by the client.
    kernel: VecDeque<Wire>,
    /// Not taken: at most the rest of an event's frame, and control frames behind it.
    outbox: VecDeque<Wire>,
    /// The first in the outbox is half with the kernel.
    torn: bool,
    room: usize,
    refused: bool,
    /// From the client to the node.
    pub(crate) inbound: VecDeque<ClientMessage>,
    pub(crate) state: State,
}

/// How a connection ends, if it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Open,
    /// The client is gone, and the node can see it.
    Cut,
    /// The client is gone, and nothing tells.
    Vanished,
    /// The node ended it; what it said can still be read.
    Closed,
}

pub(crate) type SharedSocket = Rc<RefCell<Socket>>;

/// How many of the offered frames are with the kernel or kept, and whether that is all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offered {
    pub(crate) had: usize,
    pub(crate) all: bool,
}

impl Socket {
    /// A connection whose kernel buffer takes so many half frames.
    pub(crate) fn shared(room: usize) -> SharedSocket {
        Rc::new(RefCell::new(Self {
            kernel: VecDeque::new(),
            outbox: VecDeque::new(),
            torn: false,
            room,
            refused: false,
            inbound: VecDeque::new(),
            state: State::Open,
        }))
    }

    pub(crate) fn is_clear(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Offers events; only the rest of a torn frame is kept.
    pub(crate) fn offer(&mut self, events: &[Arc<RingEvent>]) -> Offered {
        let free = if self.is_clear() { self.free() } else { 0 };
        let whole = events.len().min(free / 2);
        self.kernel.extend(events[..whole].iter().cloned().map(Wire::Event));
        let torn = whole < events.len() && free % 2 == 1;
        if torn {
            self.outbox.push_back(Wire::Event(events[whole].clone()));
            self.torn = true;
        }
        let all = whole == events.len();
        self.refused |= !all;
        Offered { had: whole + usize::from(torn), all }
    }

    /// Says a control frame: it always passes, behind what waits.
    pub(crate) fn say(&mut self, wire: Wire) {
        self.outbox.push_back(wire);
        self.flush();
    }

    /// Whether there is room again after something was refused. Tries again what waits.
    pub(crate) fn take_writable(&mut self) -> bool {
        let writable = self.refused && self.free() > 0;
        if writable {
            self.refused = false;
            self.flush();
        }
        writable
    }

    /// The next thing the client reads.
    pub(crate) fn read(&mut self) -> Option<Wire> {
        if self.state == State::Closed {
            self.room = usize::MAX;
            self.flush();
        }
        self.kernel.pop_front()
    }

    pub(crate) fn is_read(&self) -> bool {
        self.kernel.is_empty() && self.outbox.is_empty()
    }

    fn flush(&mut self) {
        while !self.outbox.is_empty() && self.free() + usize::from(self.torn) >= 2 {
            self.torn = false;
            self.kernel.extend(self.outbox.pop_front());
        }
        self.refused |= !self.outbox.is_empty();
    }

    fn free(&self) -> usize {
        self.room.saturating_sub(2 * self.kernel.len() + usize::from(self.torn))
    }
}

impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Welcome { position, .. } => write!(f, "welcome at {position:?}"),
            Self::Event(event) => write!(f, "event {} ({:?})", event.sequence(), event.mark()),
            Self::Position(position) => write!(f, "position {position:?}"),
            Self::Reset { reason, position, .. } => write!(f, "reset, {reason:?}, to {position:?}"),
            Self::Snapshot(snapshot, _) => write!(f, "presence snapshot {}", snapshot.change),
            Self::Diff(diff, _) => write!(f, "presence diff from {} to {}", diff.from, diff.to),
            Self::Ping => write!(f, "ping"),
            Self::Answer => write!(f, "an answer"),
            Self::Close(code) => write!(f, "close {}", code.number()),
        }
    }
}
