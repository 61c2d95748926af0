//! Users and streams that a text names: `@**Ada**`, `@_**Ada|7**`, `@**all**`, `#**general>lunch**`.

use squall_protocol::UserId;
use squall_protocol::event::{Stream, User};

use crate::names::Names;

/// Whom a text calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mentions {
    /// Users by name.
    pub users: Vec<UserId>,
    /// Everybody who reads it.
    pub everyone: bool,
}

impl Mentions {
    /// The flags that a message with these mentions has for `user`.
    #[must_use]
    pub fn flags(&self, user: UserId) -> Vec<&'static str> {
        let mut flags = Vec::new();
        if self.users.contains(&user) {
            flags.push("mentioned");
        }
        if self.everyone {
            flags.extend(["wildcard_mentioned", "stream_wildcard_mentioned"]);
        }
        flags
    }

    /// Whether it calls `user`, by name or with everybody.
    #[must_use]
    pub fn calls(&self, user: UserId) -> bool {
        self.everyone || self.users.contains(&user)
    }

    pub(super) fn add(&mut self, reference: &Reference<'_>) {
        match reference {
            Reference::User(user) if !self.users.contains(&user.user_id) => self.users.push(user.user_id),
            Reference::User(_) | Reference::Stream(..) => {}
            Reference::Everyone(_) => self.everyone = true,
        }
    }
}

/// What stands before a name in bold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    Mention,
    SilentMention,
    Stream,
}

/// What is named.
pub(super) enum Reference<'a> {
    User(&'a User),
    Everyone(&'static str),
    Stream(&'a Stream, Option<String>),
}

/// Words for everybody.
const EVERYONE: [&str; 4] = ["all", "everyone", "channel", "stream"];

impl Marker {
    /// The marker that `text` ends with, and what is before it.
    pub(super) fn at_end_of(text: &str) -> Option<(&str, Self)> {
        [("@_", Self::SilentMention), ("@", Self::Mention), ("#", Self::Stream)]
            .into_iter()
            .find_map(|(marker, kind)| Some((text.strip_suffix(marker)?, kind)))
    }

    /// The marker as it was written.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Mention => "@",
            Self::SilentMention => "@_",
            Self::Stream => "#",
        }
    }

    /// Who or what `name` means behind it.
    pub(super) fn resolve<'a>(self, name: &str, names: &'a dyn Names) -> Option<Reference<'a>> {
        match self {
            Self::Mention | Self::SilentMention => user(name, names).map(Reference::User).or_else(|| {
                let word = EVERYONE.into_iter().find(|word| *word == name)?;
                Some(Reference::Everyone(word))
            }),
            Self::Stream => {
                let (name, topic) = match name.split_once('>') {
                    Some((name, topic)) => (name, Some(topic.to_owned())),
                    None => (name, None),
                };
                names.stream_called(name).map(|stream| Reference::Stream(stream, topic))
            }
        }
    }
}

/// `Ada`, or `Ada|7` where several are called so.
fn user<'a>(name: &str, names: &'a dyn Names) -> Option<&'a User> {
    if let Some((full_name, id)) = name.rsplit_once('|')
        && let Ok(id) = id.parse()
    {
        let user = names.user(UserId(id))?;
        return (full_name.is_empty() || user.full_name == full_name).then_some(user);
    }
    names.user_called(name)
}

/// The names that a text may mention, and their ids where it says them: more than it does, if some are in code.
pub(super) fn possible(content: &str) -> Vec<(String, Option<UserId>)> {
    let mut found = Vec::new();
    let mut rest = content;
    while let Some(start) = rest.find('@') {
        rest = &rest[start + '@'.len_utf8()..];
        let Some(name) = rest.strip_prefix("**").or_else(|| rest.strip_prefix("_**")) else { continue };
        rest = name;
        let Some(end) = rest.find("**") else { break };
        let name = &rest[..end];
        let id = name.rsplit_once('|').and_then(|(_, id)| id.parse().ok()).map(UserId);
        found.push((name.to_owned(), id));
        if found.len() >= MENTIONS_MAX {
            break;
        }
    }
    found
}

/// The names of streams that a text may link to.
pub(super) fn possible_streams(content: &str) -> Vec<String> {
    let names = content.split("#**").skip(1).filter_map(|rest| rest.split_once("**"));
    names.map(|(name, _)| name.split('>').next().unwrap_or(name).to_owned()).take(MENTIONS_MAX).collect()
}

/// Names looked up for one text.
const MENTIONS_MAX: usize = 100;
