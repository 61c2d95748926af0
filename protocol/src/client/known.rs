//! What a client knows now, for whoever looks.

use crate::server_message::Welcome;

use super::error::Closed;
use super::presence::Presence;
use super::server_clock::ServerClock;
use super::update::State;

/// Kept by the machine, looked at through [`Client`](super::Client).
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) state: State,
    /// Of the present or the last session.
    pub(crate) welcome: Option<Welcome>,
    pub(crate) presence: Presence,
    /// None before the first `welcome`.
    pub(crate) clock: Option<ServerClock>,
}

impl Known {
    pub(crate) fn new() -> Self {
        Self { state: State::Connecting, welcome: None, presence: Presence::default(), clock: None }
    }

    /// Why the client has ended, once it has.
    pub(crate) fn closed(&self) -> Closed {
        match &self.state {
            State::Closed(closed) => closed.clone(),
            State::Connecting | State::Open | State::Waiting { .. } => Closed::task_gone(),
        }
    }
}
