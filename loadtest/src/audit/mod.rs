//! The audit: for every client, realm and sequence, whether what arrived is what SPEC.md entitles to.
//!
//! Each worker has a [`Recorder`] that notes which sequences each of its clients saw, in a byte or two each.
//! From time to time every worker hands over its [`Facts`]: what the events it saw were, which sends were
//! acknowledged, how far its clients are. The coordinator merges them into the [`Truth`] and hands an
//! [`Update`] back: all facts, and a horizon in each realm that all clients have passed. Up to it the recorder
//! knows who was a member of what at each sequence, so who is entitled to which event; it compares that with
//! what each client saw, and forgets both. So a run of hours needs no more memory than one of a minute.
//!
//! Pure: no clock, no socket; time comes in as milliseconds since the run began.
//!
//! ```text
//!  worker: Recorder ──facts()──► coordinator: Truth ──update()──► Recorder::take, then check()
//! ```
//!
//! What it can't see: an event that no client saw and no answer named (its place in the log is counted as
//! *dark*), and a membership that no event told.

mod bits;
mod book;
mod client;
mod exchange;
mod fact;
mod findings;
mod history;
mod ranges;
mod recorder;
#[cfg(test)]
mod tests;
mod trail;
mod truth;

use std::fmt;

use serde::{Deserialize, Serialize};
use squall_protocol::event::Role;
use squall_protocol::{Position, RealmId, StreamId, UserId};

pub use client::Cause;
pub use exchange::{Ack, Facts, RealmFacts, RealmUpdate, Update};
pub use fact::{Fact, MessageFact, Reach};
pub use findings::{FIRST_MAX, Fault, Findings, Offender};
pub use history::HistoryCheck;
pub use recorder::{Recorder, STILL_MAX_MS};
pub use truth::{ACKS_KEPT_MAX, Truth};

/// A realm of a run: ids are the target's own, so that two targets may have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RealmKey {
    /// The index of the target in the scenario.
    pub target: u16,
    /// The realm's id there.
    pub realm_id: RealmId,
}

/// A realm as it was when the run began: entitlement counts from here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RealmSetup {
    /// Which realm.
    pub key: RealmKey,
    /// The head of its log, as of which the rest is told.
    pub head: Position,
    /// Its users.
    pub users: Vec<(UserId, Role)>,
    /// Its streams with their members.
    pub streams: Vec<(StreamId, Vec<UserId>)>,
}

impl fmt::Display for RealmKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of target {}", self.realm_id, self.target)
    }
}
