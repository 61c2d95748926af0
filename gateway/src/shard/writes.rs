//! What a shard's sessions want written.

use std::collections::VecDeque;
use std::sync::Arc;

use squall_hub::roster::SessionKey;
use squall_protocol::SendId;
use squall_protocol::link::{Operation, Refusal, RefusalCode, WriteOutcome, WriteRequest};
use squall_protocol::wire::{WRITES_BYTES_MAX, WRITES_MAX};

use super::input::{ShardHandle, ShardInput};
use crate::writer_link::WriterLink;

/// On each lane one batch under way to the writer; what arrives meanwhile is the next. So a session's writes stay
/// in the order in which they were sent, under load they leave in ever larger batches by themselves, and a writer
/// that stalls holds up its own realms only.
pub(super) struct Writes {
    link: Arc<dyn WriterLink>,
    shard: ShardHandle,
    lanes: Vec<Lane>,
}

#[derive(Default)]
struct Lane {
    waiting: VecDeque<(SessionKey, WriteRequest)>,
    in_flight: bool,
}

/// What became of the writes of one batch.
pub(crate) type Outcomes = Vec<(SessionKey, SendId, WriteOutcome)>;

impl Writes {
    pub(super) fn new(link: Arc<dyn WriterLink>, shard: ShardHandle) -> Self {
        let lanes = (0..link.lanes()).map(|_| Lane::default()).collect();
        Self { link, shard, lanes }
    }

    /// Takes one more; bounded by each session's sends in flight.
    pub(super) fn push(&mut self, key: SessionKey, request: WriteRequest) {
        if let Some(lane) = self.lanes.get_mut(self.link.lane(request.realm_id)) {
            lane.waiting.push_back((key, request));
        }
    }

    /// Sends the next batch of each lane that has one and none under way.
    pub(super) fn dispatch(&mut self) {
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            if lane.in_flight || lane.waiting.is_empty() {
                continue;
            }
            lane.in_flight = true;
            let batch = lane.next_batch();
            let requests = batch.iter().map(|(_, request)| request.clone()).collect();
            let (written, shard) = (tokio::spawn(self.link.write(index, requests)), self.shard.clone());
            tokio::task::spawn_local(async move {
                // A writer that panicked has not answered either; the next batch must leave all the same.
                let outcomes = written.await.unwrap_or_default();
                shard.tell(ShardInput::Written { lane: index, outcomes: pair(batch, outcomes) });
            });
        }
    }

    /// The batch under way on a lane came back.
    pub(super) fn handle_written(&mut self, lane: usize) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.in_flight = false;
        }
    }
}

impl Lane {
    /// The longest prefix of what waits that fits one request.
    fn next_batch(&mut self) -> Vec<(SessionKey, WriteRequest)> {
        let mut bytes = 0;
        let fits = self.waiting.iter().take(WRITES_MAX).take_while(|(_, request)| {
            let fits = bytes == 0 || bytes + bytes_of(request) <= WRITES_BYTES_MAX;
            bytes += bytes_of(request);
            fits
        });
        let count = fits.count();
        self.waiting.drain(..count).collect()
    }
}

/// The text of a write: all else in it is small.
fn bytes_of(request: &WriteRequest) -> usize {
    match &request.operation {
        Operation::Send { content, .. } => content.len(),
        Operation::Subscribe { .. } | Operation::Unsubscribe { .. } => 0,
    }
}

/// Each write with its outcome; a writer that answers short has not answered.
fn pair(batch: Vec<(SessionKey, WriteRequest)>, outcomes: Vec<WriteOutcome>) -> Outcomes {
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use squall_bus::BoxFuture;
    use squall_protocol::{Destination, MessageId, RealmId, Sequence, SessionId, StreamId, UserId};
    use tokio::sync::Semaphore;
    use tokio::task::LocalSet;

    use super::*;
    use crate::shard::{ShardInbox, shard_channel};
    use crate::testing::SilentLink;

    const KEY: SessionKey = SessionKey { slot: 0, generation: 1 };

    /// The batches that were written: the lane, and the send ids of each.
    type Batches = Arc<Mutex<Vec<(usize, Vec<String>)>>>;

    /// Two lanes, odd and even realms; each answers one batch for each permit it is given.
    struct TwoLanes {
        permits: [Arc<Semaphore>; 2],
        batches: Batches,
    }

    impl SilentLink for TwoLanes {
        fn lanes(&self) -> usize {
            2
        }

        fn lane(&self, realm: RealmId) -> usize {
            (realm.0 % 2) as usize
        }

        fn write(&self, lane: usize, batch: Vec<WriteRequest>) -> BoxFuture<'static, Vec<WriteOutcome>> {
            let ids = batch.iter().map(|request| request.send_id.to_string()).collect();
            self.batches.lock().unwrap().push((lane, ids));
            let permits = self.permits[lane].clone();
            Box::pin(async move {
                permits.acquire().await.unwrap().forget();
                let sent = WriteOutcome::Sent { message_id: MessageId(1), sequence: Sequence(1) };
                vec![sent; batch.len()]
            })
        }
    }

    struct Bench {
        writes: Writes,
        inbox: ShardInbox,
        permits: [Arc<Semaphore>; 2],
        batches: Batches,
    }

    impl Bench {
        fn new() -> Self {
            let permits = [Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0))];
            let batches = Arc::default();
            let link = TwoLanes { permits: permits.clone(), batches: Arc::clone(&batches) };
            let (handle, inbox) = shard_channel();
            Self { writes: Writes::new(Arc::new(link), handle), inbox, permits, batches }
        }

        fn push(&mut self, realm: u64, send_id: &str, bytes: usize) {
            let to = Destination::Stream { stream_id: StreamId(1), topic: String::new() };
            let request = WriteRequest {
                realm_id: RealmId(realm),
                user_id: UserId(1),
                session_id: SessionId(1),
                send_id: SendId::parse(send_id).unwrap(),
                operation: Operation::Send { to, content: "x".repeat(bytes) },
            };
            self.writes.push(KEY, request);
            self.writes.dispatch();
        }

        /// Lets a lane answer its batch: the ids in it.
        async fn answer(&mut self, lane: usize) -> Vec<String> {
            self.permits[lane].add_permits(1);
            let Some(ShardInput::Written { lane: of, outcomes }) = self.inbox.recv().await else {
                panic!("expected outcomes")
            };
            assert_eq!(of, lane);
            self.writes.handle_written(of);
            self.writes.dispatch();
            outcomes.into_iter().map(|(_, send_id, _)| send_id.to_string()).collect()
        }

        fn batches_of(&self, lane: usize) -> Vec<usize> {
            let batches = self.batches.lock().unwrap();
            batches.iter().filter(|(of, _)| *of == lane).map(|(_, ids)| ids.len()).collect()
        }
    }

    #[tokio::test]
    async fn a_lane_that_stalls_holds_up_no_other() {
        let run = async {
            let mut bench = Bench::new();
            bench.push(1, "stalled", 1);
            for id in ["a", "b"] {
                bench.push(2, id, 1);
                assert_eq!(bench.answer(0).await, [id]);
            }
            bench.push(1, "later", 1);
            assert_eq!(bench.batches_of(1), [1], "one batch of a lane at a time");
            assert_eq!(bench.answer(1).await, ["stalled"]);
            assert_eq!(bench.answer(1).await, ["later"]);
        };
        LocalSet::new().run_until(run).await;
    }

    #[tokio::test]
    async fn what_waits_leaves_in_order_in_batches_that_fit_a_request() {
        let run = async {
            let mut bench = Bench::new();
            bench.push(1, "first", 1);
            let count = WRITES_MAX + 10;
            (0..count).for_each(|number| bench.push(1, &number.to_string(), 1));
            assert_eq!(bench.answer(1).await, ["first"]);
            let mut left = bench.answer(1).await;
            assert_eq!(left.len(), WRITES_MAX);
            left.extend(bench.answer(1).await);
            assert_eq!(left, (0..count).map(|number| number.to_string()).collect::<Vec<_>>());

            bench.push(1, "small", 1);
            bench.push(1, "alone", WRITES_BYTES_MAX + 1);
            bench.push(1, "half", WRITES_BYTES_MAX / 2);
            bench.push(1, "other-half", WRITES_BYTES_MAX / 2);
            bench.push(1, "more", 1);
            for expected in [&["small"][..], &["alone"], &["half", "other-half"], &["more"]] {
                assert_eq!(bench.answer(1).await, expected);
            }
        };
        LocalSet::new().run_until(run).await;
    }
}
