//! Texts from clients in their normal form, or why they are none.

use squall_protocol::limits::{CONTENT_CHARS_MAX, STREAM_NAME_CHARS_MAX, TOPIC_CHARS_MAX};

use crate::limits::{DESCRIPTION_CHARS_MAX, EMAIL_CHARS_MAX, FULL_NAME_CHARS_MAX, REALM_NAME_CHARS_MAX};

/// Why a text is refused; for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TextError {
    /// Nothing in it.
    #[error("{0} must not be empty")]
    Empty(&'static str),
    /// More characters than allowed.
    #[error("{what} too long: {chars} characters, at most {max}")]
    TooLong {
        /// Which text.
        what: &'static str,
        /// What it had.
        chars: usize,
        /// What is allowed.
        max: usize,
    },
    /// A character that may not be in it.
    #[error("{0} must not contain control characters")]
    Control(&'static str),
    /// Not an address.
    #[error("not an e-mail address")]
    NoEmail,
}

/// A message's content: trailing white space cut, not empty, without NUL.
pub(crate) fn content(raw: &str) -> Result<&str, TextError> {
    let text = raw.trim_end();
    if text.contains('\0') {
        return Err(TextError::Control("Message"));
    }
    bounded("Message", text, CONTENT_CHARS_MAX)
}

/// A topic: one line.
pub(crate) fn topic(raw: &str) -> Result<&str, TextError> {
    line("Topic", raw, TOPIC_CHARS_MAX)
}

/// A stream's name: one line.
pub(crate) fn stream_name(raw: &str) -> Result<&str, TextError> {
    line("Stream name", raw, STREAM_NAME_CHARS_MAX)
}

/// A stream's description: one line, perhaps empty.
pub(crate) fn description(raw: &str) -> Result<String, TextError> {
    let text = raw.replace(['\n', '\r'], " ");
    if text.trim().is_empty() {
        return Ok(String::new());
    }
    line("Description", &text, DESCRIPTION_CHARS_MAX).map(str::to_owned)
}

/// A user's name: one line.
pub(crate) fn full_name(raw: &str) -> Result<&str, TextError> {
    line("Name", raw, FULL_NAME_CHARS_MAX)
}

/// A realm's name: one line.
pub(crate) fn realm_name(raw: &str) -> Result<&str, TextError> {
    line("Realm name", raw, REALM_NAME_CHARS_MAX)
}

/// An e-mail address: something on both sides of its last `@`, no white space. What else an address may be is
/// its mail server's business.
pub(crate) fn email(raw: &str) -> Result<&str, TextError> {
    let text = line("E-mail address", raw, EMAIL_CHARS_MAX)?;
    let parts = text.rsplit_once('@').filter(|(name, host)| !name.is_empty() && !host.is_empty());
    if parts.is_none() || text.contains([' ', ',', ':']) { Err(TextError::NoEmail) } else { Ok(text) }
}

/// What names are compared by: Zulip's names differ by more than case.
pub(crate) fn key(name: &str) -> String {
    name.to_lowercase()
}

fn line<'a>(what: &'static str, raw: &'a str, max: usize) -> Result<&'a str, TextError> {
    let text = raw.trim();
    if text.contains(char::is_control) {
        return Err(TextError::Control(what));
    }
    bounded(what, text, max)
}

fn bounded<'a>(what: &'static str, text: &'a str, max: usize) -> Result<&'a str, TextError> {
    if text.is_empty() {
        return Err(TextError::Empty(what));
    }
    // A character has at least a byte: only a text long in bytes need be counted.
    if text.len() > max {
        let chars = text.chars().count();
        if chars > max {
            return Err(TextError::TooLong { what, chars, max });
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_loses_its_trailing_space_only() {
        assert_eq!(content("  soup \n\t"), Ok("  soup"));
        assert_eq!(content(" \n"), Err(TextError::Empty("Message")));
        assert_eq!(content("a\0b"), Err(TextError::Control("Message")));
        assert_eq!(content("two\nlines\tand a tab"), Ok("two\nlines\tand a tab"));
    }

    #[test]
    fn limits_count_characters_not_bytes() {
        assert!(content(&"é".repeat(CONTENT_CHARS_MAX)).is_ok());
        let error = TextError::TooLong { what: "Topic", chars: TOPIC_CHARS_MAX + 1, max: TOPIC_CHARS_MAX };
        assert_eq!(topic(&"é".repeat(TOPIC_CHARS_MAX + 1)), Err(error));
    }

    #[test]
    fn lines_are_trimmed_and_have_no_control_characters() {
        assert_eq!(topic(" lunch "), Ok("lunch"));
        assert!(topic("a\nb").is_err());
        assert_eq!(stream_name("   "), Err(TextError::Empty("Stream name")));
        assert_eq!(description("what\nit is for"), Ok("what it is for".into()));
        assert_eq!(description("  "), Ok(String::new()));
    }

    #[test]
    fn an_address_has_two_sides() {
        assert_eq!(email(" ada@demo.example "), Ok("ada@demo.example"));
        for bad in ["ada", "@x", "ada@", "a b@x", "a,b@x", "a:b@x"] {
            assert!(email(bad).is_err(), "{bad}");
        }
    }
}
