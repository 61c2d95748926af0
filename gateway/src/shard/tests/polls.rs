//! Polls of event queues in a shard.

use serde_json::Value;
use squall_protocol::client_message::TypingOp;
use squall_protocol::event::Message;
use squall_protocol::link::LogRange;
use squall_protocol::server_message::PresenceDiff;
use squall_protocol::{Destination, MessageId, SendId};
use squall_zulip::{ApiError, EventId, Params, Queue, QueueOptions};
use tokio::sync::oneshot::{self, Receiver, error::TryRecvError};

use super::*;

type Answer = Result<Bytes, ApiError>;

/// What a poll came to: an answer, or that it still waits.
struct Waiting(Receiver<Answer>);

impl Waiting {
    fn waits(&mut self) -> bool {
        matches!(self.0.try_recv(), Err(TryRecvError::Empty))
    }

    #[track_caller]
    fn events(&mut self) -> Vec<Value> {
        let answer = self.0.try_recv().expect("answered").expect("no refusal");
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        answer["events"].as_array().unwrap().clone()
    }

    #[track_caller]
    fn refusal(&mut self) -> Value {
        let error = self.0.try_recv().expect("answered").expect_err("a refusal");
        serde_json::from_slice(error.into_response().body()).unwrap()
    }
}

fn id(sequence: u64) -> EventId {
    EventId::of(at(sequence))
}

fn queue(base: u64, nonce: u64, params: &[(&str, &str)]) -> Queue {
    let params = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let options = QueueOptions::read(&Params::of(params)).unwrap();
    Queue { realm_id: REALM, user_id: ADA, base: at(base), options, nonce }
}

fn hello(n: u64) -> Event {
    Event::Message(Message {
        message_id: MessageId(n),
        sender_id: ADA,
        timestamp: n,
        to: Destination::Direct { user_ids: vec![ADA] },
        content: format!("hello {n}"),
        send_id: SendId::parse(n.to_string()).unwrap(),
    })
}

/// Ada is here, and said hello so often.
fn facts(hellos: u64) -> Vec<Event> {
    std::iter::once(ada_is_here()).chain((2..2 + hellos).map(hello)).collect()
}

impl Bench {
    fn poll_of(&mut self, queue: Queue, last: EventId, dont_block: bool) -> Waiting {
        let (reply, answer) = oneshot::channel();
        let poll = PollRequest { queue, queue_id: "q".into(), last, dont_block, reply };
        let (email, purpose) = (ada(true).email, GuestPurpose::Poll(Box::new(poll)));
        self.shard.handle_guest(GuestRequest { identity: identity(1), email, purpose });
        Waiting(answer)
    }

    /// A poll of a queue that begins at `last`.
    fn poll(&mut self, last: u64) -> Waiting {
        self.poll_of(queue(last, last, &[]), id(last), false)
    }

    /// The realm goes on to `facts`.
    fn advance(&mut self, view: &RealmView, facts: &[Event]) {
        view.store(snapshot(facts, 1_000));
        self.shard.handle_advanced(REALM);
        self.shard.work();
    }

    fn work_off(&mut self) {
        while self.shard.has_work() {
            self.shard.work();
        }
    }
}

fn contents(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["message"]["content"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_poll_waits_for_what_its_user_may_see_and_gets_it_with_its_id() {
    let mut bench = Bench::new(&[]);
    let view = view(&facts(0));
    let mut poll = bench.poll(1);
    bench.shard.handle_realm_ready(view.clone());
    bench.work_off();
    assert!(poll.waits());
    bench.advance(&view, &facts(2));
    let events = poll.events();
    assert_eq!(contents(&events), ["hello 2", "hello 3"]);
    assert_eq!(events[1]["id"], id(3).number());
    assert_eq!(bench.shard.guests.polls.len(), 0, "nothing is kept of it");
}

#[tokio::test]
async fn a_poll_behind_gets_what_it_missed_from_the_ring() {
    let mut bench = Bench::new(&[]);
    bench.shard.handle_realm_ready(view(&facts(3)));
    let mut poll = bench.poll(2);
    bench.shard.handle_realm_ready(view(&facts(3)));
    bench.work_off();
    assert_eq!(contents(&poll.events()), ["hello 3", "hello 4"]);
}

#[tokio::test]
async fn a_poll_whose_queue_wants_nothing_of_it_waits_on() {
    let mut bench = Bench::new(&[]);
    let view = view(&facts(2));
    let narrow = &[("narrow", "[[\"stream\",\"general\"]]")];
    let mut live = bench.poll_of(queue(3, 1, narrow), id(3), false);
    let mut behind = bench.poll_of(queue(1, 2, narrow), id(1), false);
    bench.shard.handle_realm_ready(view.clone());
    bench.work_off();
    bench.advance(&view, &facts(5));
    assert!(live.waits() && behind.waits());
    let now_ms = bench.shard.node.clock.now_ms();
    bench.shard.guests_due(now_ms + 56_000);
    for poll in [&mut live, &mut behind] {
        let events = poll.events();
        assert_eq!(events[0]["type"], "heartbeat");
        assert_eq!(events[0]["id"], id(6).number(), "the queue stays inside the log's window");
    }
}

#[tokio::test]
async fn a_poll_that_is_not_to_block_is_answered_at_once() {
    let mut bench = Bench::new(&[]);
    let mut nothing = bench.poll_of(queue(3, 1, &[]), id(3), true);
    let mut two = bench.poll_of(queue(1, 2, &[]), id(1), true);
    let mut none_wanted = bench.poll_of(queue(1, 3, &[("event_types", "[\"typing\"]")]), id(1), true);
    bench.shard.handle_realm_ready(view(&facts(2)));
    bench.work_off();
    assert!(nothing.events().is_empty());
    assert_eq!(two.events().len(), 2);
    assert!(none_wanted.events().is_empty());
}

#[tokio::test]
async fn a_second_poll_of_a_queue_ends_the_first() {
    let mut bench = Bench::new(&[]);
    bench.shard.handle_realm_ready(view(&facts(0)));
    let mut first = bench.poll(1);
    bench.shard.handle_realm_ready(view(&facts(0)));
    let mut second = bench.poll(1);
    assert!(first.events().is_empty());
    assert!(second.waits());
    bench.shard.handle_input(ShardInput::FinishPoll(queue(1, 1, &[]).tag()));
    assert!(second.events().is_empty());
}

#[tokio::test]
async fn a_queue_of_another_history_is_none() {
    for (base, last) in
        [(Position { epoch: Epoch(9), ..at(1) }, id(1)), (at(1), EventId::at(Sequence(1), Mark(77)))]
    {
        let mut bench = Bench::new(&[]);
        let queue = Queue { base, ..queue(1, 1, &[]) };
        let mut poll = bench.poll_of(queue, last.max(EventId::of(base)), false);
        bench.shard.handle_realm_ready(view(&facts(1)));
        let refusal = poll.refusal();
        assert_eq!(refusal["code"], "BAD_EVENT_QUEUE_ID");
        assert_eq!(refusal["msg"], "Bad event queue id: q");
    }
}

#[tokio::test]
async fn a_queue_that_knows_of_more_than_the_log_is_none_once_the_log_was_asked() {
    let mut bench = Bench::new(&[]);
    let mut poll = bench.poll_of(queue(1, 1, &[]), id(40), false);
    bench.shard.handle_realm_ready(view(&facts(1)));
    assert!(poll.waits());
    let asked = bench.told().into_iter().find_map(|told| {
        let KeeperInput::CheckHead { key, sequence, .. } = told else { return None };
        Some((key, sequence))
    });
    let (key, sequence) = asked.expect("the keepers were asked");
    assert_eq!(sequence, Sequence(40));
    bench.shard.handle_beyond_head(REALM, key);
    assert_eq!(poll.refusal()["code"], "BAD_EVENT_QUEUE_ID");
}

#[tokio::test]
async fn a_queue_older_than_the_log_is_none_and_one_older_than_the_ring_reads_it() {
    for (floor, expired) in [(0, false), (5, true)] {
        let mut bench = Bench::new(&[]);
        let all = facts(10);
        let short = Arc::new(RealmView::new(REALM, snapshot(&all, 3), 1));
        let mut poll = bench.poll(2);
        bench.shard.handle_realm_ready(short);
        bench.work_off();
        assert!(bench.told().iter().any(|told| matches!(told, KeeperInput::ReadBlock { number: 0, .. })));
        let ring = snapshot(&all, 1_000).ring;
        let events: Vec<_> = ring.after(Sequence(floor)).unwrap().cloned().collect();
        let (head, floor) = (ring.head(), Sequence(floor));
        let range = LogRange { head, floor, after_mark: Some(Mark(0)), records: vec![], changes: vec![] };
        bench.shard.handle_block(REALM, 0, Some(Arc::new(Block::new(0, &range, events))));
        bench.work_off();
        if expired {
            assert_eq!(poll.refusal()["code"], "BAD_EVENT_QUEUE_ID");
        } else {
            assert_eq!(contents(&poll.events())[..2], ["hello 3", "hello 4"]);
        }
    }
}

#[tokio::test]
async fn a_key_that_was_withdrawn_ends_its_polls() {
    let mut bench = Bench::new(&[]);
    let view = view(&facts(0));
    bench.shard.handle_realm_ready(view.clone());
    let mut poll = bench.poll(1);
    bench.shard.handle_realm_ready(view.clone());
    let gone = [facts(0), vec![Event::CredentialChanged { user_id: ADA }]].concat();
    bench.advance(&view, &gone);
    assert_eq!(poll.refusal()["code"], "INVALID_API_KEY");
    let mut later = bench.poll(1);
    assert_eq!(later.refusal()["code"], "INVALID_API_KEY");
}

#[tokio::test]
async fn the_address_beside_a_key_must_be_its_owners() {
    let mut bench = Bench::new(&[]);
    let (reply, answer) = oneshot::channel();
    let purpose = GuestPurpose::Visit(reply);
    let email = "other@demo.example".to_owned();
    bench.shard.handle_guest(GuestRequest { identity: identity(1), email, purpose });
    bench.shard.handle_realm_ready(view(&facts(0)));
    assert!(answer.await.unwrap().is_err());
}

#[tokio::test]
async fn a_realm_loaded_anew_ends_its_queues() {
    let mut bench = Bench::new(&[]);
    bench.shard.handle_realm_ready(view(&facts(0)));
    let mut poll = bench.poll(1);
    bench.shard.handle_realm_ready(view(&facts(0)));
    bench.shard.handle_realm_reset(view(&facts(0)), ReloadReason::Epoch);
    assert_eq!(poll.refusal()["code"], "BAD_EVENT_QUEUE_ID");
}

#[tokio::test]
async fn who_waits_too_long_for_a_realm_is_told_to_try_again() {
    let mut bench = Bench::new(&[]);
    let mut poll = bench.poll(1);
    let now_ms = bench.shard.node.clock.now_ms();
    bench.shard.guests_due(now_ms + 9_000);
    assert!(poll.waits());
    bench.shard.guests_due(now_ms + 11_000);
    assert_eq!(poll.refusal()["code"], "UNAVAILABLE");
}

#[tokio::test]
async fn typing_and_presence_have_the_id_of_where_the_queue_stands() {
    let mut bench = Bench::new(&[]);
    bench.shard.handle_realm_ready(view(&facts(1)));
    let mut typing = bench.poll(2);
    bench.shard.handle_realm_ready(view(&facts(1)));
    let to = Destination::Direct { user_ids: vec![ADA] };
    let message = ServerMessage::Typing { op: TypingOp::Start, sender_id: ADA, to };
    let audience = [ADA].into_iter().collect();
    bench.shard.handle_ephemeral(REALM, &audience, &Announcement::new(message));
    let events = typing.events();
    assert_eq!((&events[0]["type"], &events[0]["id"]), (&"typing".into(), &id(2).number().into()));
    let mut presence = bench.poll(2);
    let diff = PresenceDiff { as_of_ms: 5_000, from: 0, to: 1, active: vec![ADA], ..PresenceDiff::default() };
    let message = Announcement::new(ServerMessage::Presence(diff));
    bench.shard.handle_presence_diff(REALM, 0, 1, &message);
    let events = presence.events();
    assert_eq!((&events[0]["type"], &events[0]["id"]), (&"presence".into(), &id(2).number().into()));
}

#[tokio::test]
async fn a_node_that_goes_answers_its_polls_with_nothing() {
    let mut bench = Bench::new(&[]);
    bench.shard.handle_realm_ready(view(&facts(0)));
    let mut poll = bench.poll(1);
    bench.shard.handle_realm_ready(view(&facts(0)));
    bench.shard.hand_on(Duration::from_secs(1));
    assert!(poll.events().is_empty());
}

#[tokio::test]
async fn a_realm_is_let_go_a_while_after_its_last_guest() {
    let mut bench = Bench::new(&[]);
    let mut poll = bench.poll_of(queue(1, 1, &[]), id(1), true);
    bench.shard.handle_realm_ready(view(&facts(0)));
    assert!(poll.events().is_empty());
    let detached =
        |bench: &mut Bench| bench.told().iter().any(|told| matches!(told, KeeperInput::Detach { .. }));
    bench.shard.leave_empty_realms(0);
    bench.shard.leave_empty_realms(4_999);
    assert!(!detached(&mut bench), "the next poll may be on its way");
    bench.shard.leave_empty_realms(5_000);
    assert!(detached(&mut bench));
}
