//! What one socket saw, over all its connections.

use std::collections::BTreeMap;

use squall_protocol::{MessageId, Sequence};

/// A message as it was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delivery {
    pub(crate) sequence: Sequence,
    pub(crate) message_id: MessageId,
    pub(crate) number: usize,
}

/// One socket's whole story.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Which one, by index in the plan.
    pub(crate) socket: usize,
    /// In the order in which they came.
    pub(crate) deliveries: Vec<Delivery>,
    /// Answers to its sends; more than one to a send when an answer was repeated.
    pub(crate) acknowledged: BTreeMap<usize, Vec<(MessageId, Sequence)>>,
    /// Connections after the first.
    pub(crate) resumes: usize,
    /// Sends said again after a connection was lost.
    pub(crate) sends_repeated: usize,
    /// Refusals that could be tried again.
    pub(crate) refusals: usize,
    /// Resumes that the server could not do.
    pub(crate) resets: usize,
}
