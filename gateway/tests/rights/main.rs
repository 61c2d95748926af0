//! Who may see and do what: tables of expectations, written down from SPEC.md's sentence on who is entitled,
//! each cell of which is tried against the started server.
//!
//! A wrong cell names the user, the way and the message; all of them are told before the test fails.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    reason = "these are tests, helpers and all: whatever else came has failed"
)]

mod cast;
mod columns;
mod documentation;
mod endpoints;
mod entitlement;
mod findings;
mod messages;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "the vocabulary is shared: this test uses a part of it")]
mod support;
mod table;
