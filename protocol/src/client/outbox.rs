//! Sends and membership changes without an answer.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::ids::SendId;

/// Writes without an answer, in the order in which they were made. They go out in that order, again after
/// each lost connection and after each refusal that passes, always with the same id and bytes.
///
/// `R` is what an answer is handed to. The size is bounded by whoever adds.
#[derive(Debug)]
pub(crate) struct Outbox<R> {
    /// By place in the order.
    entries: BTreeMap<u64, Entry<R>>,
    places: HashMap<SendId, u64>,
    next_place: u64,
    /// All before this place are in flight.
    unsent_from: u64,
    in_flight: usize,
    in_flight_max: usize,
    is_open: bool,
    /// Refused for now: nothing goes out before this time and before all answers of the round are here,
    /// or newer sends would overtake older ones that are still to be refused.
    held_until: Option<Instant>,
}

#[derive(Debug)]
struct Entry<R> {
    send_id: SendId,
    message: Bytes,
    /// On the wire of the present connection, not answered yet.
    in_flight: bool,
    replies: Vec<R>,
}

impl<R> Outbox<R> {
    pub(crate) fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            places: HashMap::new(),
            next_place: 0,
            unsent_from: 0,
            in_flight: 0,
            in_flight_max: 1,
            is_open: false,
            held_until: None,
        }
    }

    /// Takes a write. The same id with the same bytes, while it waits, is the same write; with others the
    /// reply comes back.
    pub(crate) fn add(&mut self, send_id: SendId, message: Bytes, reply: R) -> Result<(), R> {
        let known = self.places.get(&send_id).and_then(|place| self.entries.get_mut(place));
        match known {
            Some(entry) if entry.message != message => return Err(reply),
            Some(entry) => entry.replies.push(reply),
            None => {
                self.places.insert(send_id.clone(), self.next_place);
                let entry = Entry { send_id, message, in_flight: false, replies: vec![reply] };
                self.entries.insert(self.next_place, entry);
                self.next_place += 1;
            }
        }
        Ok(())
    }

    /// A session is open, in which so many may wait for their answers: everything goes out again. A refusal
    /// on an earlier connection holds nothing up: another node may take it.
    pub(crate) fn open(&mut self, in_flight_max: usize) {
        self.is_open = true;
        self.in_flight_max = in_flight_max.max(1);
        self.held_until = None;
        self.take_back();
    }

    /// The connection is lost.
    pub(crate) fn pause(&mut self) {
        self.is_open = false;
        self.take_back();
    }

    /// The next message to put on the wire.
    pub(crate) fn poll_transmit(&mut self, now: Instant) -> Option<Bytes> {
        if let Some(until) = self.held_until {
            if self.in_flight > 0 || now < until {
                return None;
            }
            self.held_until = None;
        }
        if !self.is_open || self.in_flight >= self.in_flight_max {
            return None;
        }
        let (&place, entry) =
            self.entries.range_mut(self.unsent_from..).find(|(_, entry)| !entry.in_flight)?;
        entry.in_flight = true;
        self.in_flight += 1;
        self.unsent_from = place + 1;
        Some(entry.message.clone())
    }

    /// When `poll_transmit` has to be called although nothing was heard.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.held_until.filter(|_| self.is_open && self.in_flight == 0)
    }

    /// A final answer came; gives back whom to tell, nobody if the write is unknown.
    pub(crate) fn handle_answer(&mut self, send_id: &SendId) -> Vec<R> {
        let Some(entry) = self.places.remove(send_id).and_then(|place| self.entries.remove(&place)) else {
            return Vec::new();
        };
        self.in_flight -= usize::from(entry.in_flight);
        entry.replies
    }

    /// A refusal came that passes after `wait`.
    pub(crate) fn handle_refused_for(&mut self, wait: Duration, send_id: &SendId, now: Instant) {
        let Some(&place) = self.places.get(send_id) else { return };
        let Some(entry) = self.entries.get_mut(&place) else { return };
        self.in_flight -= usize::from(entry.in_flight);
        entry.in_flight = false;
        self.unsent_from = self.unsent_from.min(place);
        self.hold(now + wait);
    }

    /// The server took fewer than it said, and does not say which it left out: all go again, fewer at a time.
    pub(crate) fn handle_too_many(&mut self, now: Instant) {
        self.in_flight_max = (self.in_flight_max / 2).max(1);
        self.take_back();
        self.hold(now + TOO_MANY_PAUSE);
    }

    /// Ends the wait of all; gives back whom to tell.
    pub(crate) fn clear(&mut self) -> impl Iterator<Item = R> {
        self.pause();
        self.places.clear();
        std::mem::take(&mut self.entries).into_values().flat_map(|entry| entry.replies)
    }

    /// Takes out what is longer than `bytes_max`; gives back whom to tell, and the sizes.
    pub(crate) fn take_larger_than(&mut self, bytes_max: usize) -> Vec<(R, usize)> {
        let larger = self.entries.values().filter(|entry| entry.message.len() > bytes_max);
        let larger: Vec<_> = larger.map(|entry| (entry.send_id.clone(), entry.message.len())).collect();
        let replies = larger.into_iter().flat_map(|(send_id, bytes)| {
            self.handle_answer(&send_id).into_iter().map(move |reply| (reply, bytes))
        });
        replies.collect()
    }

    fn take_back(&mut self) {
        self.entries.values_mut().for_each(|entry| entry.in_flight = false);
        self.in_flight = 0;
        self.unsent_from = 0;
    }

    fn hold(&mut self, until: Instant) {
        self.held_until = Some(self.held_until.map_or(until, |earlier| earlier.max(until)));
    }
}

const TOO_MANY_PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// An outbox on a wire that shows what went out.
    struct Bench {
        outbox: Outbox<String>,
        now: Instant,
    }

    fn id(text: &str) -> SendId {
        SendId::parse(text).unwrap()
    }

    impl Bench {
        fn new(in_flight_max: usize) -> Self {
            let mut outbox = Outbox::new();
            outbox.open(in_flight_max);
            Self { outbox, now: Instant::now() }
        }

        fn send(&mut self, ids: &[&str]) {
            for &text in ids {
                let added = self.outbox.add(id(text), Bytes::copy_from_slice(text.as_bytes()), text.into());
                added.unwrap();
            }
        }

        fn refuse(&mut self, text: &str, wait_ms: u64) {
            self.outbox.handle_refused_for(Duration::from_millis(wait_ms), &id(text), self.now);
        }

        fn sent(&mut self, text: &str) -> Vec<String> {
            self.outbox.handle_answer(&id(text))
        }

        fn pass(&mut self, ms: u64) {
            self.now += Duration::from_millis(ms);
        }

        /// What goes out now.
        fn out(&mut self) -> Vec<String> {
            let messages = std::iter::from_fn(|| self.outbox.poll_transmit(self.now));
            messages.map(|message| String::from_utf8(message.to_vec()).unwrap()).collect()
        }
    }

    #[test]
    fn no_more_wait_for_answers_than_the_server_takes() {
        let mut bench = Bench::new(2);
        bench.send(&["a", "b", "c", "d"]);
        assert_eq!(bench.out(), ["a", "b"]);
        assert_eq!(bench.sent("a"), ["a"]);
        assert_eq!(bench.out(), ["c"]);
    }

    #[test]
    fn what_is_refused_for_now_goes_again_in_order_before_what_is_newer() {
        let mut bench = Bench::new(256);
        bench.send(&["a", "b", "c"]);
        assert_eq!(bench.out(), ["a", "b", "c"]);
        bench.sent("a");
        bench.refuse("b", 1_200);
        bench.refuse("c", 100);
        bench.send(&["d"]);
        bench.pass(1_199);
        assert!(bench.out().is_empty());
        bench.pass(1);
        assert_eq!(bench.outbox.deadline(), Some(bench.now));
        assert_eq!(bench.out(), ["b", "c", "d"]);
        assert_eq!(bench.outbox.deadline(), None);
    }

    #[test]
    fn the_retry_waits_for_the_answers_of_the_whole_round() {
        let mut bench = Bench::new(256);
        bench.send(&["a", "b"]);
        bench.out();
        bench.refuse("a", 100);
        bench.pass(500);
        bench.send(&["c"]);
        assert!(bench.out().is_empty());
        assert_eq!(bench.outbox.deadline(), None, "an answer is awaited, not a time");
        bench.refuse("b", 100);
        bench.pass(100);
        assert_eq!(bench.out(), ["a", "b", "c"]);
    }

    #[test]
    fn a_later_send_that_was_stored_all_the_same_is_not_sent_again() {
        let mut bench = Bench::new(256);
        bench.send(&["a", "b"]);
        bench.out();
        bench.refuse("a", 100);
        bench.sent("b");
        bench.pass(100);
        assert_eq!(bench.out(), ["a"]);
    }

    #[test]
    fn refused_again_and_again_the_order_holds() {
        let mut bench = Bench::new(256);
        bench.send(&["a", "b", "c"]);
        for _ in 0..5 {
            assert_eq!(bench.out(), ["a", "b", "c"]);
            ["a", "b", "c"].iter().for_each(|text| bench.refuse(text, 50));
            bench.pass(50);
        }
    }

    #[test]
    fn a_lost_connection_takes_all_back_and_ends_the_wait_of_a_refusal() {
        let mut bench = Bench::new(256);
        bench.send(&["a", "b"]);
        bench.out();
        bench.refuse("a", 60_000);
        bench.outbox.pause();
        bench.send(&["c"]);
        bench.pass(90_000);
        assert!(bench.out().is_empty());
        assert_eq!(bench.outbox.deadline(), None);
        bench.outbox.open(256);
        assert_eq!(bench.out(), ["a", "b", "c"]);
    }

    #[test]
    fn too_many_in_flight_all_go_again_after_a_pause_fewer_at_a_time() {
        let mut bench = Bench::new(4);
        bench.send(&["a", "b", "c", "d"]);
        bench.out();
        bench.outbox.handle_too_many(bench.now);
        bench.sent("a");
        assert!(bench.out().is_empty());
        bench.pass(1_000);
        assert_eq!(bench.out(), ["b", "c"]);
        bench.sent("b");
        assert_eq!(bench.out(), ["d"]);
    }

    #[test]
    fn an_answer_to_nothing_changes_nothing() {
        let mut bench = Bench::new(1);
        assert!(bench.sent("x").is_empty());
        bench.refuse("x", 100);
        bench.send(&["a", "b"]);
        assert_eq!(bench.out(), ["a"]);
        bench.sent("a");
        assert!(bench.sent("a").is_empty());
        assert_eq!(bench.out(), ["b"]);
        assert!(bench.out().is_empty());
    }

    #[test]
    fn the_same_id_while_it_waits_is_the_same_send_and_no_other() {
        let mut bench = Bench::new(256);
        bench.send(&["a", "a"]);
        assert_eq!(bench.outbox.add(id("a"), Bytes::from_static(b"else"), "r".into()), Err("r".into()));
        assert_eq!(bench.out(), ["a"]);
        assert_eq!(bench.sent("a"), ["a", "a"]);
    }

    #[test]
    fn what_a_new_session_would_not_take_is_taken_out() {
        let mut bench = Bench::new(256);
        bench.send(&["short", "a-very-long-one"]);
        assert_eq!(bench.outbox.take_larger_than(5), [("a-very-long-one".to_owned(), 15)]);
        assert_eq!(bench.out(), ["short"]);
    }

    #[test]
    fn the_end_gives_back_everybody_who_waits() {
        let mut bench = Bench::new(1);
        bench.send(&["a", "b"]);
        bench.out();
        assert_eq!(bench.outbox.clear().collect::<Vec<_>>(), ["a", "b"]);
        assert!(bench.sent("a").is_empty());
    }
}
