//! What a shard's sessions want written.

use std::sync::Arc;

use squall_hub::roster::SessionKey;
use squall_protocol::link::{Refusal, RefusalCode, WriteOutcome, WriteRequest};

use super::input::{ShardHandle, ShardInput};
use crate::writer_link::WriterLink;

/// One batch under way to the writer; what arrives meanwhile is the next. So a session's writes stay in the
/// order in which they were sent, and under load they leave in ever larger batches by themselves.
pub(super) struct Writes {
    link: Arc<dyn WriterLink>,
    shard: ShardHandle,
    waiting: Vec<(SessionKey, WriteRequest)>,
    in_flight: bool,
}

/// The most writes in one batch.
const BATCH_MAX: usize = 1_024;

impl Writes {
    pub(super) fn new(link: Arc<dyn WriterLink>, shard: ShardHandle) -> Self {
        Self { link, shard, waiting: Vec::new(), in_flight: false }
    }

    /// Takes one more; bounded by each session's sends in flight.
    pub(super) fn push(&mut self, key: SessionKey, request: WriteRequest) {
        self.waiting.push((key, request));
    }

    /// Sends the next batch, if there is one and none is under way.
    pub(super) fn dispatch(&mut self) {
        if self.in_flight || self.waiting.is_empty() {
            return;
        }
        self.in_flight = true;
        let batch: Vec<_> = self.waiting.drain(..self.waiting.len().min(BATCH_MAX)).collect();
        let requests = batch.iter().map(|(_, request)| request.clone()).collect();
        let (written, shard) = (tokio::spawn(self.link.write(requests)), self.shard.clone());
        tokio::task::spawn_local(async move {
            // A writer that panicked has not answered either; the next batch must leave all the same.
            let outcomes = written.await.unwrap_or_default();
            shard.tell(ShardInput::Written(pair(batch, outcomes)));
        });
    }

    /// The batch under way came back.
    pub(super) fn handle_written(&mut self) {
        self.in_flight = false;
    }
}

/// Each write with its outcome; a writer that answers short has not answered.
fn pair(
    batch: Vec<(SessionKey, WriteRequest)>,
    outcomes: Vec<WriteOutcome>,
) -> Vec<(SessionKey, squall_protocol::SendId, WriteOutcome)> {
    let unanswered = || {
        WriteOutcome::Refused(Refusal::retryable(
            RefusalCode::Unavailable,
            "the writer gave no answer",
            RETRY_MS,
        ))
    };
    let outcomes = outcomes.into_iter().map(Some).chain(std::iter::repeat(None));
    (batch.into_iter().zip(outcomes))
        .map(|((key, request), outcome)| (key, request.send_id, outcome.unwrap_or_else(unanswered)))
        .collect()
}

const RETRY_MS: u32 = 1_000;
