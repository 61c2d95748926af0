//! The bus on real Redis servers: the suite every bus passes, and what it says when Redis fails it.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests, some of which measure"
)]

mod bench;
mod cluster;
mod conformance;
mod faults;
mod frames;
mod latency;
mod sentinel;
mod setting_up;
