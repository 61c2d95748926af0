//! The started product, as its users and its network see it. One behaviour a test.

mod drain;
mod entitlement;
mod liveness;
mod presence;
mod refusals;
mod resending;
mod resuming;
mod slow_reader;
mod start;
#[path = "../support/mod.rs"]
mod support;
mod talking;
mod typing;
