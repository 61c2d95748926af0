//! The writer on a real PostgreSQL: several beside each other, and what becomes of them when one is stopped, the
//! server is killed, frozen, away, or set back to an older state.
#![allow(clippy::unwrap_used, reason = "a test ends where it meets what it did not expect")]

mod bench;
mod commands;
mod faults;
mod set_back;
mod side_by_side;
mod stopped_writer;
#[path = "../support/mod.rs"]
mod support;
