//! What Zulip's clients say and hear, for whoever answers them: the writer its part of the API, the gateway
//! the event queues.
//!
//! [`Params`], [`credentials`] and [`ApiError`] are the envelope; [`queue`] and [`event_id`] the whole state of
//! an event queue; [`events`] turns a log's event into Zulip's; [`message`], [`people`], [`streams`],
//! [`presence`] are its objects; [`markdown`] is the text as HTML. Pure: no I/O, no clock.
#![forbid(unsafe_code)]

pub mod answer;
pub mod credentials;
pub mod emoji;
pub mod event_id;
pub mod events;
pub mod markdown;
pub mod message;
pub mod names;
pub mod narrow;
pub mod params;
pub mod people;
pub mod presence;
pub mod queue;
pub mod sends;
pub mod settings;
pub mod streams;

pub use answer::{Answer, ApiError, Quota};
pub use credentials::Credentials;
pub use event_id::EventId;
pub use names::Names;
pub use params::Params;
pub use queue::{Queue, QueueKey, QueueOptions};

/// What Zulip's version is claimed to be: what clients look up to know what they may ask.
pub const ZULIP_VERSION: &str = "11.4";

/// The feature level of that version.
pub const ZULIP_FEATURE_LEVEL: u32 = 421;
