//! The types of Zulip's events that exist here.

use serde::{Deserialize, Serialize};

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EventType {
    /// A new message.
    Message,
    /// A message was edited, or went to another topic.
    UpdateMessage,
    /// Messages were deleted.
    DeleteMessage,
    /// A flag of one's own on messages changed.
    UpdateMessageFlags,
    /// Somebody reacted to a message, or took it back.
    Reaction,
    /// Streams were made or changed.
    Stream,
    /// One's own memberships and others'.
    Subscription,
    /// Users were made or changed.
    RealmUser,
    /// Who is there.
    Presence,
    /// Who is typing.
    Typing,
    /// Topics one follows or mutes.
    UserTopic,
    /// One's own settings.
    UserSettings,
    /// The same in its older forms.
    UpdateDisplaySettings,
    /// The same in its older forms.
    UpdateGlobalNotifications,
}

const NAMES: [(&str, EventType); 14] = [
    ("message", EventType::Message),
    ("update_message", EventType::UpdateMessage),
    ("delete_message", EventType::DeleteMessage),
    ("update_message_flags", EventType::UpdateMessageFlags),
    ("reaction", EventType::Reaction),
    ("stream", EventType::Stream),
    ("subscription", EventType::Subscription),
    ("realm_user", EventType::RealmUser),
    ("presence", EventType::Presence),
    ("typing", EventType::Typing),
    ("user_topic", EventType::UserTopic),
    ("user_settings", EventType::UserSettings),
    ("update_display_settings", EventType::UpdateDisplaySettings),
    ("update_global_notifications", EventType::UpdateGlobalNotifications),
];

/// A set of them, a bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventTypes(u32);

impl EventTypes {
    /// All there are, and will be.
    pub const ALL: Self = Self(u32::MAX);

    /// Those of these names; a name nobody knows is of events that do not happen here.
    #[must_use]
    pub fn named(names: &[String]) -> Self {
        let known = NAMES.iter().filter(|(name, _)| names.iter().any(|wanted| wanted == name));
        Self(known.map(|(_, kind)| 1 << *kind as u32).sum())
    }

    /// Whether it holds `kind`.
    #[must_use]
    pub fn has(self, kind: EventType) -> bool {
        self.0 >> kind as u32 & 1 == 1
    }

    /// Whether it was asked for everything.
    #[must_use]
    pub fn is_all(self) -> bool {
        self == Self::ALL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_named() {
        let types = EventTypes::named(&["typing".into(), "message".into(), "realm_bot".into()]);
        assert!(types.has(EventType::Message) && types.has(EventType::Typing));
        assert!(!types.has(EventType::Presence));
        for (index, (_, kind)) in NAMES.iter().enumerate() {
            assert_eq!(*kind as usize, index);
            assert!(EventTypes::ALL.has(*kind));
        }
    }
}
