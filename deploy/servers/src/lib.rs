//! The real servers that Squall runs with, started by its tests: each on free loopback ports, in a temporary
//! directory of its own, stopped by its pid when it is dropped. A server that is not installed is a panic
//! with the instruction that installs it, never a test that is skipped.
//!
//! For tests only: what fails here panics.
#![forbid(unsafe_code)]
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "for tests only: what fails here has failed them"
)]

mod cable;
mod postgres;
mod process;
mod redis;

pub use cable::Cable;
pub use postgres::{Postgres, PostgresCopy};
pub use process::{Process, free_port, installed, until};
pub use redis::{Redis, RedisCluster, Reply, Sentinels};
