//! What goes wrong with PostgreSQL.

use std::error::Error as _;
use std::fmt;

use squall_protocol::RealmId;
use tokio_postgres::error::SqlState;

use crate::store::StoreError;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// PostgreSQL said so, or the connection broke.
    Postgres(tokio_postgres::Error),
    /// No connection.
    Away(String),
    /// No answer in time: the server, or the way to it, stands still.
    Silent,
    /// Closed, or too much to do.
    Unavailable(String),
    UnknownRealm(RealmId),
    /// A row that this program did not write, or a value that no row can have.
    Row(String),
}

impl Failure {
    /// Whether the server answered, and will not have us, or does not have what we ask for.
    pub(super) fn is_refusal(&self) -> bool {
        // 28: name or password; 3D: the database; 42: rights.
        let refusal = |code: &SqlState| matches!(code.code().get(..2), Some("28" | "3D" | "42"));
        match self {
            Self::Postgres(error) => error.code().is_some_and(refusal),
            Self::Away(_) | Self::Silent | Self::Unavailable(_) | Self::UnknownRealm(_) | Self::Row(_) => {
                false
            }
        }
    }

    /// Whether the connection it happened on may serve on, after a rollback.
    pub(super) fn leaves_connection(&self) -> bool {
        match self {
            Self::Postgres(error) => error.code().is_some_and(|code| !ends_session(code)),
            Self::Away(_) | Self::Silent => false,
            Self::Unavailable(_) | Self::UnknownRealm(_) | Self::Row(_) => true,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres(error) => f.write_str(&words(error)),
            Self::Away(words) | Self::Unavailable(words) | Self::Row(words) => f.write_str(words),
            Self::Silent => f.write_str("no answer in time"),
            Self::UnknownRealm(realm_id) => write!(f, "no realm {realm_id}"),
        }
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            // Without a code it is no answer of the server's: the connection broke, before or after the commit.
            Failure::Postgres(error) if error.code().is_none_or(is_away) => Self::Away(words(&error)),
            Failure::Postgres(error) => Self::Unavailable(words(&error)),
            Failure::Away(words) => Self::Away(words),
            Failure::Silent => Self::Away(failure.to_string()),
            Failure::Unavailable(words) | Failure::Row(words) => Self::Unavailable(words),
            Failure::UnknownRealm(realm_id) => Self::UnknownRealm(realm_id),
        }
    }
}

/// The server goes on without this session, or goes itself.
fn ends_session(code: &SqlState) -> bool {
    let class = code.code().get(..2).unwrap_or_default();
    matches!(class, "08" | "57") && *code != SqlState::QUERY_CANCELED
        || *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
        // A server that takes no writes is one to be left: the next connection may find the one that does.
        || *code == SqlState::READ_ONLY_SQL_TRANSACTION
}

/// Whether asking for less would meet the same: the server can't, or another session holds what is needed.
fn is_away(code: &SqlState) -> bool {
    // 53: out of disk, memory, connections. 28, 3D: not let in, or no such database.
    let class = code.code().get(..2).unwrap_or_default();
    matches!(class, "53" | "58" | "28" | "3D")
        || ends_session(code)
        || *code == SqlState::LOCK_NOT_AVAILABLE
        || *code == SqlState::QUERY_CANCELED
}

/// The error with its causes; no part of it has a password.
fn words(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return format!("{} ({})", error.message(), error.code().code());
    }
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words
}
