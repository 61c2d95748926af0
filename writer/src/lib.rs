//! Squall's writer: it checks, limits, numbers, stores and publishes what clients write, and answers what
//! they read by HTTP.
//!
//! The walk of a write: [`Writer::write`] → `rate_limit` → `lane` (groups) → `store` (one transaction:
//! lock the realm, read the facts, `decide`, store, commit) → bus → answer. What is
//! decided is decided in `decide` alone: it is pure and knows no database.
#![forbid(unsafe_code)]

mod admin;
mod api;
mod change;
mod clock;
mod config;
mod database_url;
mod decide;
pub mod demo;
mod lane;
mod limits;
mod link;
mod rate_limit;
mod secret;
mod stats;
mod store;
#[cfg(test)]
mod testing;
mod text;
mod writer;

pub use change::{NewStream, NewUser, UserChange};
pub use config::Config;
pub use database_url::{DatabaseUrl, DatabaseUrlError};
pub use link::LinkServer;
pub use secret::ApiKey;
pub use store::StoreError;
pub use writer::{CreateError, CreatedUser, OpenError, Writer};
