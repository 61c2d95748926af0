//! What two Squall programs must agree on.
//!
//! [`ids`] and [`position`] name things; [`event`] and [`audience`] are the facts of a realm's log;
//! [`client_message`] and [`server_message`] are what a client and a gateway say to each other
//! (SPEC.md is their prose); a [`Codec`] writes them; [`link`] is what a gateway asks of a writer and [`wire`]
//! its bytes; [`frame`] is what travels on the bus, [`node_presence`] its part about presence. No I/O, no clock;
//! but the feature `client` adds the module `client`, a user's connection to a gateway.
#![forbid(unsafe_code)]

pub mod audience;
mod binary;
#[cfg(feature = "client")]
pub mod client;
pub mod client_message;
pub mod close;
pub mod codec;
mod envelope;
pub mod event;
pub mod frame;
pub mod ids;
pub mod json;
pub mod limits;
pub mod link;
pub mod link_secret;
pub mod node_presence;
pub mod position;
pub mod server_message;
pub mod wire;

pub use audience::Audience;
pub use client_message::ClientMessage;
pub use close::CloseCode;
pub use codec::Codec;
pub use event::{Destination, Event};
pub use ids::{Epoch, Mark, MessageId, NodeId, RealmId, SendId, Sequence, SessionId, StreamId, UserId};
pub use position::Position;
pub use server_message::ServerMessage;
