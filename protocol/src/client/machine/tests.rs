//! The client's conduct, one behaviour a test.

mod answers;
mod connecting;
mod keeping_up;
mod presence_and_typing;
