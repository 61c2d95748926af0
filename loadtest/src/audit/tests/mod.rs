//! The recorder against a plain model that remembers everything.

mod histories;
mod memory;
mod plain;
mod sentences;
mod world;
