//! The history by HTTP, as a witness beside the sockets.

use std::collections::HashMap;

use squall_protocol::{MessageId, SendId, Sequence, UserId};

use super::fact::{MessageFact, send_digest};

/// The messages of one realm, as its history has them.
#[derive(Debug, Clone, Default)]
pub struct HistoryCheck {
    stored: HashMap<Sequence, MessageFact>,
}

impl HistoryCheck {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A message of the history; a message read twice, by two readers, counts once.
    pub fn stored(&mut self, sequence: Sequence, message_id: MessageId, sender_id: UserId, send_id: &SendId) {
        let fact = MessageFact { message_id, sender_id, send_digest: send_digest(send_id) };
        self.stored.insert(sequence, fact);
    }

    /// The message at this place.
    pub(super) fn at(&self, sequence: Sequence) -> Option<&MessageFact> {
        self.stored.get(&sequence)
    }

    /// Messages that are the same send as an earlier one.
    pub(super) fn repeated(&self) -> Vec<(Sequence, MessageFact)> {
        let mut in_order: Vec<_> = self.stored.iter().collect();
        in_order.sort_unstable_by_key(|(sequence, _)| **sequence);
        let mut first = HashMap::new();
        let repeated = in_order.into_iter().filter(|(sequence, fact)| {
            *first.entry((fact.sender_id, fact.send_digest)).or_insert(**sequence) != **sequence
        });
        repeated.map(|(sequence, fact)| (*sequence, *fact)).collect()
    }
}
