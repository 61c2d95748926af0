//! Limits that both ends must know. Each has its unit in its name; SPEC.md lists them, and `welcome`
//! tells the ones a client can meet.

use std::time::Duration;

/// The greatest id: what a JavaScript number holds exactly.
pub const ID_MAX: u64 = (1 << 53) - 1;

/// The longest message from a client, and the longest WebSocket frame taken from one.
pub const FRAME_IN_BYTES_MAX: usize = 64 * 1024;

/// The longest message from a gateway that a client must take: a presence snapshot of a large realm.
pub const FRAME_OUT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The longest send id.
pub const SEND_ID_BYTES_MAX: usize = 255;

/// The longest content of a message, in characters (Zulip: `max_message_length`).
pub const CONTENT_CHARS_MAX: usize = 10_000;

/// The longest topic, in characters (Zulip: `max_topic_length`).
pub const TOPIC_CHARS_MAX: usize = 60;

/// The longest stream name, in characters (Zulip: `max_stream_name_length`).
pub const STREAM_NAME_CHARS_MAX: usize = 60;

/// The most users in a direct message, its sender included.
pub const DIRECT_USERS_MAX: usize = 50;

/// The most users in one membership change.
pub const MEMBERS_CHANGED_MAX: usize = 500;

/// The longest reason in a WebSocket close frame (RFC 6455, 5.5).
pub const CLOSE_REASON_BYTES_MAX: usize = 123;

/// How often each side must hear the other: the server pings this often.
pub const HEARTBEAT: Duration = Duration::from_secs(25);

/// How long after a ping its answer may take before the connection counts as dead.
pub const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a node counts as alive after its last sign of life.
pub const NODE_LEASE: Duration = Duration::from_secs(25);

/// How long a new connection may take to say hello.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends of one session that may wait for their answer.
pub const SENDS_IN_FLIGHT_MAX: usize = 256;

/// The most events in one commit group of a realm, and so in one publication.
pub const GROUP_EVENTS_MAX: usize = 64;

/// The most events in one answer to a log read.
pub const LOG_RANGE_EVENTS_MAX: usize = 512;

/// The most rows (users, memberships) in one page of realm state.
pub const REALM_PAGE_ROWS_MAX: usize = 5_000;

/// The most users in one frame of presence between nodes: about 20 KiB.
pub const NODE_PRESENCE_USERS_MAX: usize = 4_096;

/// Four bytes a character at most: a message at its limit still fits a frame.
const _: () = assert!(CONTENT_CHARS_MAX * 4 + TOPIC_CHARS_MAX * 4 + 1024 < FRAME_IN_BYTES_MAX);
const _: () = assert!(HEARTBEAT_TIMEOUT.as_millis() < HEARTBEAT.as_millis());
