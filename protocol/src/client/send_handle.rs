//! The answers to what was sent.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::sync::{oneshot, watch};

use crate::ids::{MessageId, SendId, Sequence};

use super::error::SendError;
use super::known::Known;
use super::machine::Outcome;

/// A message that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Its id.
    pub message_id: MessageId,
    /// Its place in the log.
    pub sequence: Sequence,
}

/// A membership change that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// The log's head when it held.
    pub sequence: Sequence,
}

/// A message on its way: a future that resolves when it is committed to the database, or is not to be.
///
/// It is on its way whether or not the handle is kept.
#[derive(Debug)]
pub struct SendHandle(Pending);

/// A membership change on its way: a future that resolves when it holds, or is not to be.
///
/// It is on its way whether or not the handle is kept.
#[derive(Debug)]
pub struct ChangeHandle(Pending);

#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) send_id: SendId,
    pub(crate) answer: oneshot::Receiver<Result<Outcome, SendError>>,
    /// Says why when there is no answer.
    pub(crate) known: watch::Receiver<Known>,
}

impl SendHandle {
    pub(crate) fn new(pending: Pending) -> Self {
        Self(pending)
    }

    /// The id of the send: its event carries it, and sent again with it the message is stored once.
    #[must_use]
    pub fn send_id(&self) -> &SendId {
        &self.0.send_id
    }
}

impl ChangeHandle {
    pub(crate) fn new(pending: Pending) -> Self {
        Self(pending)
    }

    /// The id of the request.
    #[must_use]
    pub fn send_id(&self) -> &SendId {
        &self.0.send_id
    }
}

impl Future for SendHandle {
    type Output = Result<Sent, SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(self.0.poll(cx))? {
            Outcome::Sent { message_id, sequence } => Ok(Sent { message_id, sequence }),
            Outcome::Done { .. } => Err(SendError::Confused),
        })
    }
}

impl Future for ChangeHandle {
    type Output = Result<Done, SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(self.0.poll(cx))? {
            Outcome::Done { sequence } => Ok(Done { sequence }),
            Outcome::Sent { .. } => Err(SendError::Confused),
        })
    }
}

impl Pending {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Outcome, SendError>> {
        let answer = ready!(Pin::new(&mut self.answer).poll(cx));
        Poll::Ready(answer.unwrap_or_else(|_| Err(self.known.borrow().closed().into())))
    }
}
