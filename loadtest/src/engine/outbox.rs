//! One client's writes without an answer. They go out in the order in which they were made, again after each
//! lost connection and after each refusal that passes, always with the same id (SPEC.md, section 4).

use std::collections::VecDeque;
use std::time::Duration;

use squall_protocol::{StreamId, UserId};

use crate::moment::Moment;

/// There is one only while something waits for its answer.
#[derive(Debug)]
pub(crate) struct Outbox {
    writes: VecDeque<Write>,
    in_flight: usize,
    in_flight_max: usize,
    /// Refused for now: nothing goes out before this time and before all answers of the round are here,
    /// or newer writes would overtake older ones that are still to be refused.
    held_until: Option<Moment>,
}

/// A send or a membership change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Write {
    /// Its number among all of its worker's: the send id is made of it.
    pub(crate) number: u64,
    /// When it was due: latencies count from here.
    pub(crate) due: Moment,
    pub(crate) what: What,
    /// How often it was put on a wire.
    pub(crate) times: u16,
    /// It was answered before, and goes again as if that had been lost.
    pub(crate) is_copy: bool,
    /// On the wire of the present connection, not answered yet.
    in_flight: bool,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// A message to a topic of a stream.
    Stream { stream_id: StreamId, topic: u32 },
    /// A message to these users.
    Direct { user_ids: Box<[UserId]> },
    /// These users join; nobody named means oneself.
    Subscribe { stream_id: StreamId, user_ids: Box<[UserId]> },
    /// The user leaves.
    Unsubscribe { stream_id: StreamId },
}

impl What {
    /// Whether it is answered by `sent`; else by `done`.
    pub(crate) fn is_message(&self) -> bool {
        match self {
            Self::Stream { .. } | Self::Direct { .. } => true,
            Self::Subscribe { .. } | Self::Unsubscribe { .. } => false,
        }
    }
}

/// There are as many as may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl Outbox {
    /// An empty one, of a session in which so many may wait for their answers.
    pub(crate) fn new(in_flight_max: usize) -> Self {
        let in_flight_max = in_flight_max.max(1);
        Self { writes: VecDeque::new(), in_flight: 0, in_flight_max, held_until: None }
    }

    /// Takes a write.
    pub(crate) fn add(&mut self, number: u64, due: Moment, what: What) -> Result<(), Full> {
        self.push(Write { number, due, what, times: 0, is_copy: false, in_flight: false })
    }

    /// Takes a write that was answered, as if it had not been.
    pub(crate) fn add_copy(&mut self, write: Write) -> Result<(), Full> {
        self.push(Write { is_copy: true, in_flight: false, ..write })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Write> {
        self.writes.iter()
    }

    /// A session is open: everything goes out again. A refusal on an earlier connection holds nothing up.
    pub(crate) fn open(&mut self, in_flight_max: usize) {
        self.in_flight_max = in_flight_max.max(1);
        self.pause();
    }

    /// The connection is lost.
    pub(crate) fn pause(&mut self) {
        self.held_until = None;
        self.take_back();
    }

    /// The next write to put on the wire.
    pub(crate) fn poll_transmit(&mut self, now: Moment) -> Option<&Write> {
        if let Some(until) = self.held_until {
            if self.in_flight > 0 || now < until {
                return None;
            }
            self.held_until = None;
        }
        if self.in_flight >= self.in_flight_max {
            return None;
        }
        let write = self.writes.iter_mut().find(|write| !write.in_flight)?;
        write.in_flight = true;
        write.times = write.times.saturating_add(1);
        self.in_flight += 1;
        Some(write)
    }

    /// When `poll_transmit` has to be called although nothing was heard.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        self.held_until.filter(|_| self.in_flight == 0)
    }

    /// A final answer came.
    pub(crate) fn handle_answer(&mut self, number: u64) -> Option<Write> {
        let place = self.writes.iter().position(|write| write.number == number)?;
        let write = self.writes.remove(place)?;
        self.in_flight -= usize::from(write.in_flight);
        Some(write)
    }

    /// A refusal came that passes after `wait`.
    pub(crate) fn handle_refused_for(&mut self, wait: Duration, number: u64, now: Moment) {
        let Some(write) = self.writes.iter_mut().find(|write| write.number == number) else { return };
        self.in_flight -= usize::from(write.in_flight);
        write.in_flight = false;
        self.hold(now + wait);
    }

    /// The server took fewer than it said, and does not say which it left out: all go again, fewer at a time.
    pub(crate) fn handle_too_many(&mut self, now: Moment) {
        self.in_flight_max = (self.in_flight_max / 2).max(1);
        self.take_back();
        self.hold(now + TOO_MANY_PAUSE);
    }

    fn push(&mut self, write: Write) -> Result<(), Full> {
        if self.writes.len() >= WRITES_MAX {
            return Err(Full);
        }
        self.writes.push_back(write);
        Ok(())
    }

    fn take_back(&mut self) {
        self.writes.iter_mut().for_each(|write| write.in_flight = false);
        self.in_flight = 0;
    }

    fn hold(&mut self, until: Moment) {
        self.held_until = Some(self.held_until.map_or(until, |earlier| earlier.max(until)));
    }
}

/// The most writes of one client that wait: those of a minute at 17 a second.
pub(crate) const WRITES_MAX: usize = 1_024;
const TOO_MANY_PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// An outbox and the time.
    struct Bench {
        outbox: Outbox,
        now: Moment,
    }

    impl Bench {
        fn new(in_flight_max: usize) -> Self {
            Self { outbox: Outbox::new(in_flight_max), now: Moment(1) }
        }

        fn add(&mut self, numbers: &[u64]) {
            for &number in numbers {
                let what = What::Stream { stream_id: StreamId(1), topic: 0 };
                self.outbox.add(number, self.now, what).unwrap();
            }
        }

        /// What goes out now.
        fn out(&mut self) -> Vec<u64> {
            std::iter::from_fn(|| self.outbox.poll_transmit(self.now).map(|write| write.number)).collect()
        }

        fn sent(&mut self, number: u64) -> bool {
            self.outbox.handle_answer(number).is_some()
        }

        fn refuse(&mut self, number: u64, wait_ms: u64) {
            self.outbox.handle_refused_for(Duration::from_millis(wait_ms), number, self.now);
        }

        fn pass(&mut self, ms: u64) {
            self.now = self.now + Duration::from_millis(ms);
        }
    }

    #[test]
    fn no_more_wait_for_answers_than_the_server_takes() {
        let mut bench = Bench::new(2);
        bench.add(&[1, 2, 3, 4]);
        assert_eq!(bench.out(), [1, 2]);
        assert!(bench.sent(1));
        assert_eq!(bench.out(), [3]);
    }

    #[test]
    fn what_is_refused_for_now_goes_again_in_order_before_what_is_newer() {
        let mut bench = Bench::new(256);
        bench.add(&[1, 2, 3]);
        bench.out();
        bench.sent(1);
        bench.refuse(2, 1_200);
        bench.refuse(3, 100);
        bench.add(&[4]);
        bench.pass(1_199);
        assert!(bench.out().is_empty());
        bench.pass(1);
        assert_eq!(bench.outbox.deadline(), Some(bench.now));
        assert_eq!(bench.out(), [2, 3, 4]);
        assert_eq!(bench.outbox.deadline(), None);
    }

    #[test]
    fn the_retry_waits_for_the_answers_of_the_whole_round() {
        let mut bench = Bench::new(256);
        bench.add(&[1, 2]);
        bench.out();
        bench.refuse(1, 100);
        bench.pass(500);
        assert!(bench.out().is_empty());
        assert_eq!(bench.outbox.deadline(), None, "an answer is awaited, not a time");
        bench.refuse(2, 100);
        bench.pass(100);
        assert_eq!(bench.out(), [1, 2]);
    }

    #[test]
    fn a_lost_connection_takes_all_back_and_ends_the_wait_of_a_refusal() {
        let mut bench = Bench::new(256);
        bench.add(&[1, 2]);
        bench.out();
        bench.refuse(1, 60_000);
        bench.outbox.pause();
        bench.add(&[3]);
        assert_eq!(bench.outbox.deadline(), None);
        bench.outbox.open(256);
        assert_eq!(bench.out(), [1, 2, 3]);
    }

    #[test]
    fn too_many_in_flight_all_go_again_after_a_pause_fewer_at_a_time() {
        let mut bench = Bench::new(4);
        bench.add(&[1, 2, 3, 4]);
        bench.out();
        bench.outbox.handle_too_many(bench.now);
        bench.sent(1);
        assert!(bench.out().is_empty());
        bench.pass(1_000);
        assert_eq!(bench.out(), [2, 3]);
    }

    #[test]
    fn an_answer_to_nothing_changes_nothing() {
        let mut bench = Bench::new(1);
        assert!(!bench.sent(9));
        bench.refuse(9, 100);
        bench.add(&[1, 2]);
        assert_eq!(bench.out(), [1]);
        assert!(bench.sent(1) && !bench.sent(1));
        assert_eq!(bench.out(), [2]);
        assert!(!bench.outbox.is_empty());
    }

    #[test]
    fn there_is_an_end_to_what_waits() {
        let mut bench = Bench::new(1);
        bench.add(&(0..WRITES_MAX as u64).collect::<Vec<_>>());
        let what = What::Unsubscribe { stream_id: StreamId(1) };
        assert_eq!(bench.outbox.add(9, bench.now, what), Err(Full));
    }
}
