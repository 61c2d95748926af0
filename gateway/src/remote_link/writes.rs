//! Writes over the writers of a cluster: each done once, one session's in order, whichever writer fails.

use std::collections::HashSet;
use std::time::Duration;

use squall_protocol::SessionId;
use squall_protocol::link::{Refusal, RefusalCode, WriteOutcome, WriteRequest};
use squall_protocol::wire::{Answer, Request};
use tokio::time::Instant;

use super::Writers;

/// How long one writer may take for a batch before another gets it: longer than a writer lets a batch wait and
/// commit, or a busy moment would give each writer the others' work as well. One that is gone or frozen is found sooner.
const WRITE_TIME_MAX: Duration = Duration::from_secs(17);

/// How long a batch may take over all writers.
const WRITE_TIME_MAX_OVERALL: Duration = Duration::from_secs(25);

/// What a client is told to wait when no writer can be reached.
const RETRY_AFTER_MS: u32 = 1_000;

/// Does the writes of one batch. Nothing later of its sessions is under way meanwhile, so what a writer left
/// unanswered, or refused because it can't now, goes in the same order and with the same ids to the next one.
pub(super) async fn write(writers: &Writers, lane: usize, batch: Vec<WriteRequest>) -> Vec<WriteOutcome> {
    let deadline = Instant::now() + WRITE_TIME_MAX_OVERALL;
    let mut batch = Batch::new(batch);
    loop {
        for peer in writers.standing_by(lane) {
            let Ok(request) = Request::Write(batch.pending()).encode() else { return batch.finish() };
            let until = deadline.min(Instant::now() + WRITE_TIME_MAX);
            match peer.ask(request, until).await {
                Ok(Answer::Written(outcomes)) => {
                    batch.take(outcomes);
                    if batch.is_done() {
                        return batch.finish();
                    }
                }
                Ok(answer) => {
                    tracing::warn!(writer = peer.authority(), ?answer, "a batch of writes without outcomes");
                }
                Err(fault) => {
                    tracing::warn!(writer = peer.authority(), %fault, "a batch of writes without answer");
                }
            }
        }
        // Whoever is there was asked: that they can't is an answer, and the client's turn to wait.
        if batch.was_refused || !writers.wait_for_another(deadline).await {
            return batch.finish();
        }
    }
}

/// Writes with what became of them so far.
struct Batch {
    requests: Vec<WriteRequest>,
    outcomes: Vec<Option<WriteOutcome>>,
    /// Those still to be done, ascending.
    pending: Vec<usize>,
    /// A writer answered, and could not do some of them now.
    was_refused: bool,
}

impl Batch {
    fn new(requests: Vec<WriteRequest>) -> Self {
        let count = requests.len();
        let outcomes = (0..count).map(|_| None).collect();
        Self { requests, outcomes, pending: (0..count).collect(), was_refused: false }
    }

    fn pending(&self) -> Vec<WriteRequest> {
        self.pending.iter().map(|index| self.requests[*index].clone()).collect()
    }

    fn is_done(&self) -> bool {
        self.pending.is_empty()
    }

    /// Takes a writer's outcomes of what was pending, if they are that many. Pending is from then on what it could
    /// not do now, and what it refused only for coming after that.
    fn take(&mut self, outcomes: Vec<WriteOutcome>) {
        if outcomes.len() != self.pending.len() {
            return;
        }
        let mut stopped: HashSet<SessionId> = HashSet::new();
        let mut left = Vec::new();
        for (index, outcome) in std::mem::take(&mut self.pending).into_iter().zip(outcomes) {
            let session = self.requests[index].session_id;
            let again = match refusal_code(&outcome) {
                Some(RefusalCode::Unavailable) => {
                    stopped.insert(session);
                    true
                }
                Some(RefusalCode::OutOfOrder) => stopped.contains(&session),
                _ => false,
            };
            if again {
                left.push(index);
            }
            self.outcomes[index] = Some(outcome);
        }
        self.was_refused = !left.is_empty();
        self.pending = left;
    }

    fn finish(self) -> Vec<WriteOutcome> {
        self.outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(unreachable_writer)).collect()
    }
}

fn refusal_code(outcome: &WriteOutcome) -> Option<RefusalCode> {
    match outcome {
        WriteOutcome::Refused(refusal) => Some(refusal.code),
        WriteOutcome::Sent { .. } | WriteOutcome::Done { .. } => None,
    }
}

fn unreachable_writer() -> WriteOutcome {
    let words = "no writer can be reached; try again";
    WriteOutcome::Refused(Refusal::retryable(RefusalCode::Unavailable, words, RETRY_AFTER_MS))
}
