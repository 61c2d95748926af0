//! The started product, as its users and its network see it. One behaviour a test.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    reason = "these are tests, helpers and all: whatever else came has failed"
)]

mod broken_frames;
mod drain;
mod entitlement;
mod http_refusals;
mod liveness;
mod presence;
mod refusals;
mod refused_writes;
mod resending;
mod resuming;
mod slow_reader;
mod start;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "the vocabulary is shared: this test uses a part of it")]
mod support;
mod talking;
mod typing;
