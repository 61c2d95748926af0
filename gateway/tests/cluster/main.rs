//! Gateways and writers as processes of their own, as their users, operators and failures see them. One behaviour a
//! test.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    reason = "these are tests, helpers and all: whatever else came has failed"
)]

mod api;
mod epoch;
mod hand_on;
mod herd;
mod readiness;
mod secret;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "the vocabulary is shared: this test uses a part of it")]
mod support;
mod talking;
mod two_writers;
mod writer_failures;
