//! The writer's own limits; what clients must know is in `squall_protocol::limits`.

use std::time::Duration;

use squall_protocol::limits::{CONTENT_CHARS_MAX, GROUP_EVENTS_MAX};

/// The most requests waiting for one lane; beyond it they are refused at once, to be tried again.
pub(crate) const QUEUE_REQUESTS_MAX: usize = 32 * 1024;

/// The most bytes of content waiting for one lane.
pub(crate) const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The most requests waiting for all lanes together.
pub(crate) const QUEUES_REQUESTS_MAX: usize = 4 * QUEUE_REQUESTS_MAX;

/// The most bytes of content waiting for all lanes together.
pub(crate) const QUEUES_BYTES_MAX: usize = 4 * QUEUE_BYTES_MAX;

/// How long a publication may keep its lane: the bus is a hint, and a bus that is away must not hold up commits.
pub(crate) const PUBLISH_MAX: Duration = Duration::from_millis(250);

/// How long a request may wait for the lane before it is refused, to be tried again: its client has
/// given up by then.
pub(crate) const QUEUE_AGE_MAX: Duration = Duration::from_secs(10);

/// The most bytes of content in one commit group.
pub(crate) const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The most realms in one commit group.
pub(crate) const GROUP_REALMS_MAX: usize = 256;

/// The most users made by one change; bulk creation is cut into changes of this size.
pub(crate) const USERS_CREATED_MAX: usize = 32;

/// The most streams named in one change, each good for two events.
pub(crate) const STREAMS_ENTERED_MAX: usize = 32;

/// The longest e-mail address, in characters.
pub(crate) const EMAIL_CHARS_MAX: usize = 254;

/// The longest full name, in characters (Zulip: 100).
pub(crate) const FULL_NAME_CHARS_MAX: usize = 100;

/// The longest stream description, in characters (Zulip: 1024).
pub(crate) const DESCRIPTION_CHARS_MAX: usize = 1024;

/// The longest realm name, in characters.
pub(crate) const REALM_NAME_CHARS_MAX: usize = 100;

/// What a client is told to wait when the lane is full or the database fails.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long after a message a client may send it again without an id: ten times a second apart is what the
/// official bindings do, and each try may take 15 s.
pub(crate) const RESEND_WINDOW_S: u64 = 60;

/// A sender's newest messages among which one that is sent again is looked for.
pub(crate) const RESEND_LOOKUP_MAX: usize = 1_000;

/// The most messages that a flag is put on or taken off at once.
pub(crate) const FLAGGED_MAX: usize = 1_000;

/// Unread messages told to a client when it registers, the newest (Zulip: 50,000).
pub(crate) const UNREAD_MAX: usize = 10_000;

/// The most messages that go to another topic at once.
pub(crate) const MOVED_MAX: usize = 1_000;

/// The most events that a move is told in: one for each set of users who may read some of the messages.
pub(crate) const MOVE_EVENTS_MAX: usize = 16;

/// The longest name of an emoji, and the longest code, in bytes.
pub(crate) const EMOJI_BYTES_MAX: usize = 100;

/// The longest value of a setting, in bytes of JSON.
pub(crate) const SETTING_BYTES_MAX: usize = 1_000;

/// Events pruned from the log in one transaction.
pub(crate) const PRUNE_EVENTS_MAX: usize = 2_000;

/// A node whose last lease is older than this, as the asking node counts, is not told of any more: far beyond
/// any lease with its grace.
pub(crate) const LEASE_TOLD: Duration = Duration::from_secs(5 * 60);

/// Leases that are so much older than those told of are taken from the database.
pub(crate) const LEASE_KEPT: Duration = Duration::from_secs(60 * 60);

/// How often the log is pruned.
pub(crate) const PRUNE_INTERVAL: Duration = Duration::from_secs(60);

const _: () = assert!(USERS_CREATED_MAX + STREAMS_ENTERED_MAX <= GROUP_EVENTS_MAX);
const _: () = assert!(1 + MOVE_EVENTS_MAX <= GROUP_EVENTS_MAX);
const _: () = assert!(2 * STREAMS_ENTERED_MAX <= GROUP_EVENTS_MAX);
const _: () = assert!(GROUP_EVENTS_MAX * CONTENT_CHARS_MAX * 4 <= GROUP_BYTES_MAX);
/// JSON escapes a byte by six at most, and a publication must fit a frame.
const _: () = assert!(GROUP_EVENTS_MAX * CONTENT_CHARS_MAX * 6 < squall_protocol::frame::FRAME_BYTES_MAX);
