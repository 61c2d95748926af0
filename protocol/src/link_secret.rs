//! What a gateway shows a writer to be let in.

use std::fmt;
use std::hint::black_box;

/// A secret that gateways and writers share. It does not show itself.
#[derive(Clone)]
pub struct LinkSecret(String);

/// The shortest secret: 16 characters of hexadecimal are 64 bits.
pub const SECRET_BYTES_MIN: usize = 16;

/// The longest secret.
pub const SECRET_BYTES_MAX: usize = 512;

/// A text that is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a link secret is {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} characters of visible ASCII")]
pub struct LinkSecretError;

impl LinkSecret {
    /// Takes `raw`, without the white space around it, if it is a secret.
    pub fn parse(raw: &str) -> Result<Self, LinkSecretError> {
        let raw = raw.trim();
        let fits = (SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&raw.len());
        let is_visible = raw.bytes().all(|byte| byte.is_ascii_graphic());
        if fits && is_visible { Ok(Self(raw.to_owned())) } else { Err(LinkSecretError) }
    }

    /// The secret as text, for whoever must show it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether `shown` is the secret. How long that takes tells nothing of where they differ.
    #[must_use]
    pub fn is_shown_by(&self, shown: &[u8]) -> bool {
        let own = self.0.as_bytes();
        let difference =
            own.iter().zip(shown).fold(0, |difference, (one, other)| black_box(difference | (one ^ other)));
        own.len() == shown.len() && difference == 0
    }
}

/// Never the secret: it stays out of logs.
impl fmt::Debug for LinkSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkSecret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_shown_whole_or_not_at_all() {
        let secret = LinkSecret::parse(" 0123456789abcdef\n").unwrap();
        assert!(secret.is_shown_by(secret.reveal().as_bytes()));
        for other in ["0123456789abcdeF", "1123456789abcdef", "0123456789abcde", "0123456789abcdef0", ""] {
            assert!(!secret.is_shown_by(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn what_is_too_short_or_no_visible_text_is_no_secret_and_none_shows_itself() {
        for raw in ["", "short", "0123456789 abcdef", "0123456789abcdeé"] {
            assert!(LinkSecret::parse(raw).is_err(), "{raw}");
        }
        assert!(LinkSecret::parse(&"x".repeat(SECRET_BYTES_MAX + 1)).is_err());
        let secret = LinkSecret::parse("0123456789abcdef").unwrap();
        assert!(!format!("{secret:?}").contains("0123"));
    }
}
