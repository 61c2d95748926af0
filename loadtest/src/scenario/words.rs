//! Fields that are one of a few words, or a name.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use squall_protocol::client_message::Scope;

use super::units::Form;
use crate::nearest::nearest;

/// Whose presence the sockets ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PresenceScope {
    /// Everybody in the realm.
    Realm,
    /// Nobody.
    #[default]
    None,
}

/// When sends are due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// Independently of each other.
    #[default]
    Random,
    /// At equal distances.
    Even,
}

/// A file with users and tokens; empty: there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UsersFile(PathBuf);

impl PresenceScope {
    /// As `hello` has it.
    #[must_use]
    pub fn scope(self) -> Scope {
        match self {
            Self::Realm => Scope::Realm,
            Self::None => Scope::None,
        }
    }
}

impl UsersFile {
    /// Where it is, if there is one.
    #[must_use]
    pub fn path(&self) -> Option<&std::path::Path> {
        (!self.0.as_os_str().is_empty()).then_some(&self.0)
    }
}

/// A word that is none of those that are known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct WordError {
    found: String,
    known: &'static [&'static str],
}

impl fmt::Display for WordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is none of {}", self.found, self.known.join(", "))?;
        match nearest(&self.found, self.known.iter().copied()) {
            Some(meant) => write!(f, ": did you mean `{meant}`?"),
            None => Ok(()),
        }
    }
}

macro_rules! words {
    ($($Type:ident { $($Variant:ident $word:literal),+ })+) => {$(
        impl FromStr for $Type {
            type Err = WordError;

            fn from_str(text: &str) -> Result<Self, WordError> {
                match text {
                    $($word => Ok(Self::$Variant),)+
                    _ => Err(WordError { found: text.into(), known: &[$($word),+] }),
                }
            }
        }

        impl fmt::Display for $Type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$Variant => $word,)+
                })
            }
        }
    )+};
}

words! {
    PresenceScope { Realm "realm", None "none" }
    Arrivals { Random "random", Even "even" }
}

impl FromStr for UsersFile {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.into()))
    }
}

impl fmt::Display for UsersFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path() {
            Some(path) => path.display().fmt(f),
            None => f.write_str("none"),
        }
    }
}

impl Form for PresenceScope {
    const FORM: &'static str = "realm|none";
}

impl Form for Arrivals {
    const FORM: &'static str = "random|even";
}

impl Form for UsersFile {
    const FORM: &'static str = "FILE";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_word_finds_its_neighbour() {
        let error = "relm".parse::<PresenceScope>().unwrap_err();
        assert_eq!(error.to_string(), "`relm` is none of realm, none: did you mean `realm`?");
        assert_eq!("realm".parse(), Ok(PresenceScope::Realm));
        for arrivals in [Arrivals::Random, Arrivals::Even] {
            assert_eq!(arrivals.to_string().parse(), Ok(arrivals));
            assert_eq!(serde_json::to_value(arrivals).unwrap(), arrivals.to_string());
        }
    }
}
