//! What waits for one server of Redis.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use squall_protocol::RealmId;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use super::wire::Answer;

/// A bounded queue in front of a connection. It takes nothing while there is none.
#[derive(Debug)]
pub(super) struct Outbound {
    waiting_max: usize,
    bytes_max: usize,
    patience: Duration,
    waiting: Mutex<Waiting>,
    /// Something waits.
    work: Notify,
    /// Something was taken.
    room: Notify,
}

/// One command to be.
#[derive(Debug)]
pub(super) enum Order {
    Publish { realm: RealmId, frame: Bytes },
    Ask { words: Vec<String>, reply: oneshot::Sender<Result<Answer, String>> },
}

#[derive(Debug, Default)]
struct Waiting {
    orders: VecDeque<Order>,
    bytes: usize,
    open: bool,
    /// Somebody waited for room in vain, and nothing was taken since: others need not try.
    stalled: bool,
}

/// Why an order was not taken.
#[derive(Debug)]
pub(super) enum NotTaken {
    /// There is no connection.
    Away,
    /// Too much waits already.
    Full(Order),
}

impl Outbound {
    pub(super) fn new(waiting_max: usize, bytes_max: usize, patience: Duration) -> Self {
        let (waiting, work, room) = (Mutex::default(), Notify::new(), Notify::new());
        Self { waiting_max, bytes_max, patience, waiting, work, room }
    }

    /// Puts an order behind all others at once.
    pub(super) fn offer(&self, order: Order) -> Result<(), NotTaken> {
        let mut waiting = self.lock();
        if !waiting.open {
            return Err(NotTaken::Away);
        }
        let size = order.bytes();
        let fits = waiting.orders.is_empty()
            || (waiting.orders.len() < self.waiting_max && waiting.bytes + size <= self.bytes_max);
        if !fits {
            return Err(NotTaken::Full(order));
        }
        waiting.bytes += size;
        waiting.orders.push_back(order);
        drop(waiting);
        self.work.notify_one();
        Ok(())
    }

    /// Tries again with an order for which there was no room, as long as patience lasts.
    pub(super) async fn offer_again(&self, order: Order) -> Result<(), NotTaken> {
        if self.lock().stalled {
            return Err(NotTaken::Full(order));
        }
        let mut order = Some(order);
        let tried = timeout(self.patience, async {
            loop {
                let room = self.room.notified();
                let Some(again) = order.take() else { return Ok(()) };
                match self.offer(again) {
                    Err(NotTaken::Full(refused)) => order = Some(refused),
                    taken @ (Ok(()) | Err(NotTaken::Away)) => return taken,
                }
                room.await;
            }
        });
        match tried.await {
            Ok(taken) => taken,
            Err(_) => {
                self.lock().stalled = true;
                order.map_or(Ok(()), |order| Err(NotTaken::Full(order)))
            }
        }
    }

    /// There is a connection.
    pub(super) fn open(&self) {
        self.lock().open = true;
    }

    /// There is none any more; what waited is given back.
    pub(super) fn close(&self) -> Vec<Order> {
        let mut waiting = self.lock();
        let orders = std::mem::take(&mut *waiting).orders;
        drop(waiting);
        // Whoever waits for room learns that it is of no use.
        self.room.notify_waiters();
        orders.into()
    }

    pub(super) fn is_open(&self) -> bool {
        self.lock().open
    }

    /// The next orders, at least one, with about so many bytes at most; cancel-safe.
    pub(super) async fn take(&self, orders_max: usize, bytes_max: usize) -> Vec<Order> {
        loop {
            let work = self.work.notified();
            let taken = self.lock().take(orders_max, bytes_max);
            if !taken.is_empty() {
                self.room.notify_waiters();
                return taken;
            }
            work.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn take(&mut self, orders_max: usize, bytes_max: usize) -> Vec<Order> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while taken.len() < orders_max
            && let Some(next) = self.orders.front()
        {
            let size = next.bytes();
            if bytes + size > bytes_max && !taken.is_empty() {
                break;
            }
            bytes += size;
            self.bytes -= size;
            self.stalled = false;
            taken.extend(self.orders.pop_front().filter(|order| !order.is_forgotten()));
        }
        taken
    }
}

impl Order {
    fn bytes(&self) -> usize {
        match self {
            Self::Publish { frame, .. } => frame.len(),
            Self::Ask { words, .. } => words.iter().map(String::len).sum(),
        }
    }

    /// Nobody waits for the answer any more.
    fn is_forgotten(&self) -> bool {
        matches!(self, Self::Ask { reply, .. } if reply.is_closed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbound() -> Outbound {
        let outbound = Outbound::new(2, 100, Duration::from_millis(20));
        outbound.open();
        outbound
    }

    fn frame(size: usize) -> Order {
        Order::Publish { realm: RealmId(1), frame: Bytes::from(vec![0; size]) }
    }

    fn sizes(orders: &[Order]) -> Vec<usize> {
        orders.iter().map(Order::bytes).collect()
    }

    #[tokio::test]
    async fn orders_leave_in_their_order_and_within_bounds() {
        let outbound = Outbound::new(10, 1000, Duration::from_millis(20));
        outbound.open();
        for size in [1, 2, 3, 50, 4] {
            outbound.offer(frame(size)).unwrap();
        }
        assert_eq!(sizes(&outbound.take(2, 1000).await), [1, 2]);
        assert_eq!(sizes(&outbound.take(10, 20).await), [3]);
        assert_eq!(sizes(&outbound.take(10, 20).await), [50], "one alone is taken whatever its size");
        assert_eq!(sizes(&outbound.take(10, 20).await), [4]);
    }

    #[tokio::test]
    async fn a_full_queue_waits_a_moment_once_and_then_not_at_all_until_there_is_room() {
        let outbound = outbound();
        outbound.offer(frame(1)).unwrap();
        outbound.offer(frame(2)).unwrap();
        let Err(NotTaken::Full(third)) = outbound.offer(frame(3)) else { panic!("there is no room") };
        let start = std::time::Instant::now();
        let Err(NotTaken::Full(third)) = outbound.offer_again(third).await else { panic!("still no room") };
        assert!(start.elapsed() >= Duration::from_millis(20));
        // With a patience that nobody could wait for, only the fact that others waited explains the answer.
        let stalled = Outbound { patience: Duration::from_secs(3600), ..outbound };
        let Err(NotTaken::Full(third)) = stalled.offer_again(third).await else { panic!("still no room") };
        assert_eq!(sizes(&stalled.take(1, 100).await), [1]);
        stalled.offer_again(third).await.unwrap();
        assert_eq!(sizes(&stalled.take(9, 100).await), [2, 3]);
    }

    #[tokio::test]
    async fn whoever_waits_for_room_gets_it() {
        let outbound = std::sync::Arc::new(Outbound::new(1, 100, Duration::from_secs(3600)));
        outbound.open();
        outbound.offer(frame(1)).unwrap();
        let waiting = std::sync::Arc::clone(&outbound);
        let waiting = tokio::spawn(async move { waiting.offer_again(frame(2)).await.is_ok() });
        tokio::task::yield_now().await;
        assert_eq!(sizes(&outbound.take(1, 100).await), [1]);
        assert!(waiting.await.unwrap());
        assert_eq!(sizes(&outbound.take(1, 100).await), [2]);
    }

    #[tokio::test]
    async fn without_a_connection_nothing_is_taken_and_what_waited_is_given_back() {
        let outbound = outbound();
        outbound.offer(frame(60)).unwrap();
        assert!(matches!(outbound.offer(frame(50)), Err(NotTaken::Full(_))), "bytes are bounded too");
        assert_eq!(sizes(&outbound.close()), [60]);
        assert!(matches!(outbound.offer(frame(1)), Err(NotTaken::Away)));
        assert!(matches!(outbound.offer_again(frame(1)).await, Err(NotTaken::Away)));
        outbound.open();
        outbound.offer(frame(100)).unwrap();
    }

    #[tokio::test]
    async fn a_question_whose_asker_is_gone_is_not_asked() {
        let outbound = outbound();
        let (reply, answer) = oneshot::channel();
        outbound.offer(Order::Ask { words: vec!["PING".into()], reply }).unwrap();
        drop(answer);
        outbound.offer(frame(7)).unwrap();
        assert_eq!(sizes(&outbound.take(9, 100).await), [7]);
    }
}
