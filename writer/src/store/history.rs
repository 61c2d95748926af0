//! What is asked of the messages, and the answer.

use std::collections::{BTreeSet, HashMap};

use squall_protocol::event::Message;
use squall_protocol::{Destination, MessageId, RealmId, Sequence, StreamId, UserId};
use squall_zulip::markdown;
use squall_zulip::names::KnownNames;

use super::zulip::Extras;
use crate::text;

/// Which messages a user wants to see.
#[derive(Debug, Clone)]
pub(crate) struct HistoryQuery {
    pub(crate) realm_id: RealmId,
    pub(crate) viewer: UserId,
    pub(crate) narrow: Narrow,
    pub(crate) anchor: Anchor,
    /// At most so many before the anchor, and after it; the anchor itself comes on top.
    pub(crate) num_before: usize,
    pub(crate) num_after: usize,
    /// Whether the anchor's own message is wanted.
    pub(crate) include_anchor: bool,
}

/// All that is set must hold.
///
/// With a stream: what the viewer may read of its history (all of a public stream's unless it is a guest, else
/// what was sent while it was a member). Without: what the viewer received (sent while it was a member, or to
/// it directly).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Narrow {
    pub(crate) stream_id: Option<StreamId>,
    /// Compared as names are: without case.
    pub(crate) topic: Option<String>,
    pub(crate) sender_id: Option<UserId>,
    /// The direct messages of exactly these users: the viewer among them, ascending.
    pub(crate) direct: Option<Vec<UserId>>,
    /// Direct messages only.
    pub(crate) is_direct: bool,
    /// Those that the viewer wants to find again.
    pub(crate) is_starred: bool,
    /// Those that mention the viewer.
    pub(crate) is_mentioned: bool,
    /// Those that the viewer has not read.
    pub(crate) is_unread: bool,
    /// Just this one.
    pub(crate) message_id: Option<MessageId>,
    /// All of these words are in it, or in its topic.
    pub(crate) words: Vec<String>,
}

/// Around which message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    /// Before all.
    Oldest,
    /// This one, or where it would be.
    At(MessageId),
    /// After all.
    Newest,
    /// The first that the viewer has not read; after all if there is none.
    FirstUnread,
}

/// Messages with what it takes to show them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct HistoryPage {
    /// Ascending.
    pub(crate) messages: Vec<StoredMessage>,
    pub(crate) found_anchor: bool,
    /// There is nothing before the first.
    pub(crate) found_oldest: bool,
    /// There is nothing after the last.
    pub(crate) found_newest: bool,
    /// Senders and the users of direct messages; their streams.
    pub(crate) names: KnownNames,
    /// What the viewer's own is of each message, and what others made of it.
    pub(crate) extras: HashMap<MessageId, Extras>,
    /// Where it was looked, once an anchor that is a word was found.
    pub(crate) anchor: Option<MessageId>,
}

/// A message and its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredMessage {
    pub(crate) message: Message,
    pub(crate) sequence: Sequence,
}

/// Whose names are wanted: of users by id and by exactly how they are called, of streams by id and, if everybody may
/// know of them, by how they are called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NameQuery {
    pub(crate) user_ids: BTreeSet<UserId>,
    pub(crate) full_names: BTreeSet<String>,
    pub(crate) stream_ids: BTreeSet<StreamId>,
    /// As `text::key` makes them.
    pub(crate) stream_names: BTreeSet<String>,
}

impl NameQuery {
    /// All that showing these messages takes.
    pub(crate) fn of<'a>(messages: impl IntoIterator<Item = &'a StoredMessage>) -> Self {
        let mut query = Self::default();
        for StoredMessage { message, .. } in messages {
            query.user_ids.insert(message.sender_id);
            match &message.to {
                Destination::Stream { stream_id, .. } => {
                    query.stream_ids.insert(*stream_id);
                }
                Destination::Direct { user_ids } => query.user_ids.extend(user_ids),
            }
            query.add_text(&message.content);
        }
        query
    }

    /// All that a text may name.
    pub(crate) fn add_text(&mut self, content: &str) {
        for (name, id) in markdown::possible_mentions(content) {
            match id {
                Some(user_id) => drop(self.user_ids.insert(user_id)),
                None => drop(self.full_names.insert(name)),
            }
        }
        let streams = markdown::possible_streams(content).into_iter();
        self.stream_names.extend(streams.map(|name| text::key(name.trim())));
    }
}
