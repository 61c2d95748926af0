//! The pure state of a node.
//!
//! A realm's [`RealmKeeper`] advances the [`RealmState`] by the log and appends stamped events to the
//! [`Ring`]; a shard's [`Roster`] says who of its sessions gets which of them; a [`Session`] turns a
//! client's messages into effects; [`presence`] says who is there. Everything is given `now` (milliseconds
//! since the Unix epoch, never going backwards) and returns effects that its caller must perform: no
//! tokio, no clock, no socket.
#![forbid(unsafe_code)]

pub mod catch_up;
pub mod frame;
pub mod id_map;
pub mod keeper;
pub mod loader;
pub mod member_set;
pub mod presence;
pub mod realm_state;
pub mod ring;
pub mod roster;
pub mod session;

pub use id_map::IdMap;
pub use keeper::RealmKeeper;
pub use loader::RealmLoader;
pub use member_set::MemberSet;
pub use realm_state::RealmState;
pub use ring::{Ring, RingEvent};
pub use roster::Roster;
pub use session::Session;
