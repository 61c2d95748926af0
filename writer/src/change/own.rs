//! What a user can change for itself alone.

use squall_protocol::event::Flag;
use squall_protocol::{MessageId, StreamId};

/// One of it.
#[derive(Debug, Clone)]
pub(crate) enum OwnChange {
    /// A flag on messages, put on or taken off: at most `FLAGGED_MAX`, and those that the user may not read are
    /// left out.
    Flag { flag: Flag, add: bool, message_ids: Vec<MessageId> },
    /// The next `FLAGGED_MAX` unread messages are read.
    MarkRead { scope: ReadScope },
    /// What the user thinks of a topic: Zulip's number.
    TopicPolicy { stream_id: StreamId, topic: String, policy: u32 },
    /// A setting of a subscription; the value as JSON.
    Subscription { stream_id: StreamId, name: String, value: String },
    /// A setting; the value as JSON.
    Setting { name: String, value: String },
}

/// Of which messages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ReadScope {
    /// All that the user received.
    All,
    /// Those of a stream.
    Stream(StreamId),
    /// Those of a topic, as `text::key` makes it.
    Topic(StreamId, String),
}
