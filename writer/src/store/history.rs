//! What is asked of the messages, and the answer.

use squall_protocol::event::Message;
use squall_protocol::{MessageId, RealmId, Sequence, StreamId, UserId};
use squall_zulip::names::KnownNames;

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
}

/// A message and its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredMessage {
    pub(crate) message: Message,
    pub(crate) sequence: Sequence,
}
