//! Ids as newtypes, so that two of them can't be swapped. All stay below 2^53, so that JavaScript's
//! numbers hold them exactly.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits::{ID_MAX, SEND_ID_BYTES_MAX};

/// A number that is no id: zero where ids start at one, or at least 2^53.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no id: ids are below 2^53")]
pub struct IdError(pub u64);

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident($repr:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(try_from = "u64", into = "u64")]
        pub struct $name(pub $repr);

        impl TryFrom<u64> for $name {
            type Error = IdError;

            fn try_from(raw: u64) -> Result<Self, IdError> {
                if raw > ID_MAX {
                    return Err(IdError(raw));
                }
                <$repr>::try_from(raw).map(Self).map_err(|_| IdError(raw))
            }
        }

        impl From<$name> for u64 {
            fn from(id: $name) -> u64 {
                u64::from(id.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    )*};
}

ids! {
    /// A tenant: its users, its streams, its log.
    RealmId(u64);
    /// A user, over all realms. 32 bits, because member sets are bitmaps of them.
    UserId(u32);
    /// A named conversation in a realm, over all realms.
    StreamId(u64);
    /// A message, over all realms; grows with its realm's sequence.
    MessageId(u64);
    /// One connection's session in one life of a node.
    SessionId(u64);
    /// One life of one gateway process; random, never 0.
    NodeId(u64);
    /// An event's place in its realm's log, from 1; 0 is the place before the first.
    Sequence(u64);
    /// One life of a realm's log; random, never a time, changed only if the database went back.
    Epoch(u64);
    /// Random bits stored with a commit group: they tell two histories of one sequence apart.
    Mark(u32);
}

impl Sequence {
    /// The place before the first event.
    pub const ZERO: Self = Self(0);

    /// The sequence after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A client's random name for one send: the same id again is the same send again.
///
/// 1 to [`SEND_ID_BYTES_MAX`] bytes of visible ASCII.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SendId(String);

/// A text that is no send id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a send id is 1 to {SEND_ID_BYTES_MAX} characters of visible ASCII")]
pub struct SendIdError;

impl SendId {
    /// Takes `raw` if it is a send id.
    pub fn parse(raw: impl Into<String>) -> Result<Self, SendIdError> {
        let raw = raw.into();
        let fits = (1..=SEND_ID_BYTES_MAX).contains(&raw.len());
        if fits && raw.bytes().all(|byte| byte.is_ascii_graphic()) { Ok(Self(raw)) } else { Err(SendIdError) }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SendId {
    type Error = SendIdError;

    fn try_from(raw: String) -> Result<Self, SendIdError> {
        Self::parse(raw)
    }
}

impl From<SendId> for String {
    fn from(id: SendId) -> String {
        id.0
    }
}

impl fmt::Display for SendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_two_to_the_53rd_is_refused() {
        assert_eq!(MessageId::try_from(ID_MAX), Ok(MessageId(ID_MAX)));
        assert_eq!(MessageId::try_from(ID_MAX + 1), Err(IdError(ID_MAX + 1)));
        assert_eq!(UserId::try_from(1 << 32), Err(IdError(1 << 32)));
        assert!(serde_json::from_str::<StreamId>("9007199254740992").is_err());
    }

    #[test]
    fn a_send_id_is_short_visible_ascii() {
        assert!(SendId::parse("").is_err());
        assert!(SendId::parse("a b").is_err());
        assert!(SendId::parse("é").is_err());
        assert!(SendId::parse("x".repeat(SEND_ID_BYTES_MAX)).is_ok());
        assert!(SendId::parse("x".repeat(SEND_ID_BYTES_MAX + 1)).is_err());
    }
}
