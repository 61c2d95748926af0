//! What can go wrong, by what a program does about it.

use crate::close::{CloseCode, Reconnect};
use crate::link::RefusalCode;

/// The client has ended and will not connect again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("closed ({code}): {reason}")]
pub struct Closed {
    /// The WebSocket close code: 1000 if this program closed the client.
    pub code: u16,
    /// Why, for people.
    pub reason: String,
}

/// Why a connection was lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The server closed it.
    #[error("closed by the server ({code}): {reason}")]
    Closed {
        /// The WebSocket close code; 1005 if it gave none.
        code: u16,
        /// The words beside it.
        reason: String,
    },
    /// It could not be opened, or broke off without a close frame.
    #[error("{0}")]
    Broken(String),
    /// The request for a WebSocket was answered with this HTTP status.
    #[error("the request for a WebSocket was answered {0}")]
    Refused(u16),
    /// Nothing was heard from the server for too long.
    #[error("nothing heard from the server")]
    Silent,
}

/// Why a send or a membership change was not done, or is not known to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The server did not do it and will not: trying again changes nothing. Refusals that pass are not
    /// told; the client tries again by itself.
    #[error("refused: {message}")]
    Refused {
        /// For programs; none for a code that this version does not know.
        code: Option<RefusalCode>,
        /// For people.
        message: String,
    },
    /// Longer than the server takes; it was not sent.
    #[error("the message has {bytes} bytes, the limit is {bytes_max}")]
    TooLarge {
        /// The size of the message as it would be sent.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// More are waiting for their answers than [`Config::unanswered_max`](super::Config); it was not sent.
    #[error("{unanswered_max} sends are waiting for their answers already")]
    Full {
        /// The limit.
        unanswered_max: usize,
    },
    /// It was answered by something that is no answer to it. What became of it is unknown.
    #[error("answered by something else")]
    Confused,
    /// The client ended first. What became of it is unknown: sent again with the same id it is stored
    /// once at most.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// A configuration that can't be connected with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No address of a gateway.
    #[error("{0:?} is no address like ws://host:port/ws")]
    Url(String),
    /// A `wss` address: this build speaks plain TCP only.
    #[error("TLS is not built in: connect to a proxy that ends it, by ws://")]
    Tls,
    /// A credentials file without one of its fields.
    #[error("the credentials lack `{0}`")]
    Credentials(&'static str),
}

impl Closed {
    /// By a call of this program.
    pub(crate) fn by_us() -> Self {
        Self { code: CloseCode::Normal.number(), reason: "closed by this client".into() }
    }

    /// The task is gone without a word: its runtime was shut down.
    pub(crate) fn task_gone() -> Self {
        Self { code: ABNORMAL, reason: "the client's task has ended".into() }
    }
}

impl Cause {
    /// What to do next, by SPEC.md, section 8.
    pub(crate) fn reconnect(&self) -> Reconnect {
        match self {
            Self::Closed { code, .. } => reconnect_after(*code),
            Self::Broken(_) | Self::Silent => Reconnect::Resume,
            Self::Refused(_) => Reconnect::Delay,
        }
    }

    /// The end of the client, in the server's better words if it had any.
    pub(crate) fn into_closed(self, server_error: Option<String>) -> Closed {
        let (code, reason) = match self {
            Self::Closed { code, reason } => (code, reason),
            Self::Broken(_) | Self::Refused(_) | Self::Silent => (ABNORMAL, self.to_string()),
        };
        Closed { code, reason: server_error.unwrap_or(reason) }
    }
}

/// A code of the 4000s that is not in the table goes by its hundred; any other unknown code (a lost line,
/// a proxy's) is one to resume.
fn reconnect_after(code: u16) -> Reconnect {
    let known = CloseCode::ALL.into_iter().find(|known| known.number() == code);
    match (known, code) {
        (Some(known), _) => known.reconnect(),
        (None, 4100..4200) => Reconnect::Delay,
        (None, 4200..4300) => Reconnect::Resync,
        (None, 4400..4500) => Reconnect::Never,
        (None, _) => Reconnect::Resume,
    }
}

/// RFC 6455, 7.4.1: no close frame came.
const ABNORMAL: u16 = 1006;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_code_goes_by_the_table() {
        for code in CloseCode::ALL {
            assert_eq!(reconnect_after(code.number()), code.reconnect());
        }
    }

    #[test]
    fn an_unknown_code_goes_by_its_hundred_or_is_resumed() {
        for (code, expected) in [
            (4050, Reconnect::Resume),
            (4150, Reconnect::Delay),
            (4250, Reconnect::Resync),
            (4450, Reconnect::Never),
            (4999, Reconnect::Resume),
            (1001, Reconnect::Resume),
            (1005, Reconnect::Resume),
            (1006, Reconnect::Resume),
            (1011, Reconnect::Resume),
            (1012, Reconnect::Resume),
        ] {
            assert_eq!(reconnect_after(code), expected, "{code}");
        }
    }

    #[test]
    fn an_upgrade_that_was_refused_is_tried_again_slowly() {
        assert_eq!(Cause::Refused(503).reconnect(), Reconnect::Delay);
        assert_eq!(Cause::Broken("connection refused".into()).reconnect(), Reconnect::Resume);
        assert_eq!(Cause::Silent.reconnect(), Reconnect::Resume);
    }
}
