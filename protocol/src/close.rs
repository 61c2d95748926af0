//! Why a connection ends. The hundred says what a client does next; SPEC.md has the table.

/// A WebSocket close code of Squall's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum CloseCode {
    /// The client asked for the close.
    Normal = 1000,
    /// Not the WebSocket protocol.
    Protocol = 1002,
    /// A text frame in the binary subprotocol, or a binary one in the text one.
    Unsupported = 1003,
    /// Text that is not UTF-8.
    InvalidData = 1007,
    /// A message over the limit.
    TooBig = 1009,
    /// The node is going away: reconnect and resume.
    GoingAway = 4000,
    /// Nothing heard in heartbeat + time-out: reconnect and resume.
    HeartbeatTimeout = 4001,
    /// The node can't serve the session now: reconnect after a delay.
    Unavailable = 4100,
    /// No hello in time: reconnect after a delay.
    HelloTimeout = 4101,
    /// Too many sessions of one user: reconnect after a delay.
    SessionsMax = 4102,
    /// Read too slowly: reconnect with the position; a reset may follow.
    SlowConsumer = 4200,
    /// A message that the codec can't read: a fault in the client.
    Malformed = 4400,
    /// The token is unknown.
    Unauthorized = 4401,
    /// The first message was no hello, or a later one was: a fault in the client.
    HelloExpected = 4402,
    /// The user was deactivated, or the key changed.
    Revoked = 4403,
}

/// What a client does after a close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reconnect {
    /// At once (with jitter), resuming.
    Resume,
    /// After a longer delay, resuming.
    Delay,
    /// At once (with jitter); expects a reset.
    Resync,
    /// Not before a person or a program changed something.
    Never,
}

impl CloseCode {
    /// All of them, for tables and tests.
    pub const ALL: [Self; 15] = [
        Self::Normal,
        Self::Protocol,
        Self::Unsupported,
        Self::InvalidData,
        Self::TooBig,
        Self::GoingAway,
        Self::HeartbeatTimeout,
        Self::Unavailable,
        Self::HelloTimeout,
        Self::SessionsMax,
        Self::SlowConsumer,
        Self::Malformed,
        Self::Unauthorized,
        Self::HelloExpected,
        Self::Revoked,
    ];

    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u16 {
        self as u16
    }

    /// The words on the wire.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Protocol => "not the WebSocket protocol",
            Self::Unsupported => "a frame of the other subprotocol's kind",
            Self::InvalidData => "text that is not UTF-8",
            Self::TooBig => "message too big",
            Self::GoingAway => "going away",
            Self::HeartbeatTimeout => "heartbeat time-out",
            Self::Unavailable => "unavailable, try later",
            Self::HelloTimeout => "no hello in time",
            Self::SessionsMax => "too many sessions of this user",
            Self::SlowConsumer => "reading too slowly",
            Self::Malformed => "malformed message",
            Self::Unauthorized => "unknown token",
            Self::HelloExpected => "hello is the first message, once",
            Self::Revoked => "credential withdrawn",
        }
    }

    /// What the client does next.
    #[must_use]
    pub fn reconnect(self) -> Reconnect {
        match self.number() {
            4000..4100 => Reconnect::Resume,
            4100..4200 => Reconnect::Delay,
            4200..4300 => Reconnect::Resync,
            _ => Reconnect::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::CLOSE_REASON_BYTES_MAX;

    #[test]
    fn reasons_fit_a_close_frame() {
        assert!(CloseCode::ALL.iter().all(|code| code.reason().len() <= CLOSE_REASON_BYTES_MAX));
    }

    /// The table in SPEC.md is this one.
    #[test]
    fn the_specification_lists_every_close_code() {
        let spec = include_str!("../SPEC.md");
        for code in CloseCode::ALL {
            let reconnect = match code.reconnect() {
                Reconnect::Resume => "resume",
                Reconnect::Delay => "after a delay",
                Reconnect::Resync => "expect a reset",
                Reconnect::Never => "no",
            };
            let row = format!("| {} | {} | {reconnect} |", code.number(), code.reason());
            assert!(spec.contains(&row), "SPEC.md lacks the row {row:?}");
        }
    }
}
