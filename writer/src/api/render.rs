//! Messages as a reader of history gets them.

use serde_json::{Value, json};
use squall_zulip::message;

use crate::store::{HistoryPage, StoredMessage};

/// How a reader wants its messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// Content as HTML rather than as it was written.
    pub(super) html: bool,
    /// The reader computes Gravatar's addresses itself.
    pub(super) client_gravatar: bool,
}

/// A message object of `GET messages`.
pub(super) fn message(stored: &StoredMessage, page: &HistoryPage, wanted: Wanted) -> Value {
    let StoredMessage { message, sequence } = stored;
    let (mut object, _) = message::shared(message, &page.names, wanted.html);
    let avatar = message::avatar(message.sender_id, &page.names, wanted.client_gravatar);
    for (name, value) in [
        ("avatar_url", avatar),
        ("flags", json!([])),
        ("reactions", json!([])),
        ("send_id", json!(message.send_id)),
        ("sequence", json!(sequence)),
    ] {
        object.insert(name.into(), value);
    }
    object.into()
}
