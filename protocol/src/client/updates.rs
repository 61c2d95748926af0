//! The program's end of the updates.

use tokio::sync::{mpsc, watch};

use crate::position::Position;

use super::error::Closed;
use super::known::Known;
use super::update::Update;

/// What a client tells, in order. Dropped, the client goes on for sending alone.
#[derive(Debug)]
pub struct Updates {
    updates: mpsc::Receiver<Update>,
    known: watch::Receiver<Known>,
    position: Option<Position>,
}

impl Updates {
    pub(crate) fn new(
        updates: mpsc::Receiver<Update>,
        known: watch::Receiver<Known>,
        position: Option<Position>,
    ) -> Self {
        Self { updates, known, position }
    }

    /// The next update. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// [`Closed`] when the client has ended for good and all was told, and from then on: a credential that
    /// is unknown or was withdrawn, a fault that the server will not bear, or a call of
    /// [`Client::close`](super::Client::close).
    pub async fn next(&mut self) -> Result<Update, Closed> {
        let Some(update) = self.updates.recv().await else { return Err(self.known.borrow().closed()) };
        self.position = update.position().or(self.position);
        Ok(update)
    }

    /// The position of the last update taken: what a program stores in order to go on from there in its
    /// next life ([`Config::position`](super::Config)). Stored before the update was dealt with, a crash
    /// between the two loses it; stored after, it is told again.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.position
    }
}
