//! The tool as a user starts it, on real gateways: each kind of scenario, small; what goes wrong on the way;
//! what it refuses to begin.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "these are tests, helpers and all: what is not there has failed"
)]

mod course;
mod kinds;
mod refusals;
#[path = "../support/mod.rs"]
mod support;
