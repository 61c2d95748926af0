//! The load tester of Squall: it holds tens of thousands of client sockets from one small machine, plays
//! scenarios on them, and proves what arrived: what was lost, doubled, reordered, leaked, or acknowledged
//! and never seen.
#![forbid(unsafe_code)]

pub mod audit;
pub mod cli;
pub mod engine;
pub mod expect;
pub mod fleet;
pub mod latency;
pub mod moment;
pub mod nearest;
mod provision;
#[cfg(test)]
mod readme;
pub mod report;
pub mod run;
pub mod scenario;
