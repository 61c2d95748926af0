//! Who is there, who types, and what is said of this user.

use std::time::Duration;

use crate::client::Config;
use crate::client::machine::bench::{ADA, BRUNO, Bench, TIME_MS, config, event, lunch};
use crate::client::presence::{Seen, Standing};
use crate::client::update::Update;
use crate::client_message::{ClientMessage, Status, TypingOp};
use crate::event::Destination;
use crate::ids::UserId;
use crate::server_message::{PresenceDiff, PresenceSnapshot, ServerMessage};

const SECOND: Duration = Duration::from_secs(1);

fn snapshot(change: u64) -> ServerMessage {
    ServerMessage::PresenceSnapshot(PresenceSnapshot {
        as_of_ms: TIME_MS,
        change,
        active: vec![BRUNO],
        ..PresenceSnapshot::default()
    })
}

fn diff(from: u64, idle: Vec<UserId>) -> ServerMessage {
    let to = from + 1;
    ServerMessage::Presence(PresenceDiff { as_of_ms: TIME_MS, from, to, idle, ..PresenceDiff::default() })
}

fn typing(op: TypingOp, sender_id: UserId, to: Destination) -> ServerMessage {
    ServerMessage::Typing { op, sender_id, to }
}

fn told(op: TypingOp) -> Update {
    Update::Typing { op, sender_id: BRUNO, to: lunch() }
}

impl Bench {
    fn seen(&self, user: UserId) -> Option<Seen> {
        let known = self.known.borrow();
        known.presence.of(user, known.clock.unwrap().ms_at(self.now))
    }
}

#[test]
fn presence_is_shown_by_the_servers_clock() {
    let mut bench = Bench::open();
    assert_eq!(bench.seen(BRUNO), None);
    bench.say(&snapshot(71));
    bench.say(&diff(71, vec![ADA]));
    bench.pass(3 * SECOND);
    assert_eq!(bench.seen(BRUNO), Some(Seen { standing: Standing::Active, last_heard_ms: TIME_MS + 3_000 }));
    assert_eq!(bench.seen(ADA).unwrap().standing, Standing::Idle);
    assert!(matches!(bench.updates()[..], [Update::PresenceSnapshot(_), Update::Presence(_)]));
    bench.say(&ServerMessage::Pong { time_ms: TIME_MS + 60_000 });
    assert_eq!(bench.seen(ADA).unwrap().last_heard_ms, TIME_MS + 60_000);
}

#[test]
fn a_gap_in_presence_asks_for_a_snapshot_once_and_tells_nothing_before_it() {
    let mut bench = Bench::open();
    bench.say(&diff(70, vec![BRUNO]));
    assert!(bench.written().is_empty(), "a snapshot follows every welcome");
    bench.say(&snapshot(71));
    bench.updates();
    bench.say(&diff(72, vec![BRUNO]));
    bench.say(&diff(73, vec![BRUNO]));
    assert_eq!(bench.written(), [ClientMessage::PresenceRequest {}]);
    assert!(bench.updates().is_empty());
    bench.say(&snapshot(80));
    bench.say(&diff(80, vec![BRUNO]));
    assert_eq!(bench.seen(BRUNO).unwrap().standing, Standing::Idle);
    assert_eq!(bench.updates().len(), 2);
}

#[test]
fn when_the_connection_is_lost_everybody_was_last_heard_of_then() {
    let mut bench = Bench::open();
    bench.say(&snapshot(71));
    bench.pass(4 * SECOND);
    bench.say(&ServerMessage::Position(crate::client::machine::bench::position(43)));
    bench.pass(2 * SECOND);
    bench.break_off();
    let lost = |standing| Some(Seen { standing, last_heard_ms: TIME_MS + 4_000 });
    assert_eq!(bench.seen(BRUNO), lost(Standing::Active));
    bench.pass(60 * SECOND);
    assert_eq!(bench.seen(BRUNO), lost(Standing::Offline));
}

#[test]
fn what_this_user_does_is_said_at_hello_when_it_changes_and_in_each_pong() {
    let mut bench = Bench::new(&Config { presence: Status::Idle, ..config() });
    assert_eq!(bench.welcome().presence, Status::Idle);
    bench.machine.handle_status(Status::Idle);
    bench.say(&ServerMessage::Ping { time_ms: TIME_MS });
    bench.machine.handle_status(Status::Active);
    bench.say(&ServerMessage::Ping { time_ms: TIME_MS });
    let expected = [
        ClientMessage::Pong { active: false },
        ClientMessage::Presence { status: Status::Active },
        ClientMessage::Pong { active: true },
    ];
    assert_eq!(bench.written(), expected);
    bench.break_off();
    bench.machine.handle_status(Status::Idle);
    assert!(bench.written().is_empty());
    bench.pass(SECOND);
    assert_eq!(bench.welcome().presence, Status::Idle);
}

#[test]
fn typing_of_others_is_told_once_and_ends_by_a_stop_or_silence() {
    let mut bench = Bench::open();
    bench.say(&typing(TypingOp::Start, BRUNO, lunch()));
    bench.pass(10 * SECOND);
    bench.say(&typing(TypingOp::Start, BRUNO, lunch()));
    bench.say(&typing(TypingOp::Start, ADA, lunch()));
    assert_eq!(bench.updates(), [told(TypingOp::Start)]);
    bench.say(&typing(TypingOp::Stop, BRUNO, lunch()));
    bench.say(&typing(TypingOp::Stop, BRUNO, lunch()));
    assert_eq!(bench.updates(), [told(TypingOp::Stop)]);
    bench.say(&typing(TypingOp::Start, BRUNO, lunch()));
    bench.pass(15 * SECOND);
    assert_eq!(bench.updates(), [told(TypingOp::Start), told(TypingOp::Stop)]);
}

#[test]
fn typing_ends_with_a_message_of_that_sender_there_and_with_the_connection() {
    let mut bench = Bench::open();
    bench.say(&typing(TypingOp::Start, BRUNO, lunch()));
    bench.say(&event(43));
    let updates = bench.updates();
    assert_eq!(updates[..2], [told(TypingOp::Start), told(TypingOp::Stop)]);
    assert!(matches!(updates[2..], [Update::Event { .. }]));
    bench.say(&typing(TypingOp::Start, BRUNO, lunch()));
    bench.break_off();
    assert_eq!(bench.updates()[..2], [told(TypingOp::Start), told(TypingOp::Stop)]);
}

#[test]
fn a_direct_conversation_is_told_whole() {
    let mut bench = Bench::open();
    let direct = |user_ids: &[UserId]| Destination::Direct { user_ids: user_ids.to_vec() };
    bench.say(&typing(TypingOp::Start, BRUNO, direct(&[ADA])));
    bench.say(&typing(TypingOp::Stop, BRUNO, direct(&[BRUNO, ADA])));
    let told = |op| Update::Typing { op, sender_id: BRUNO, to: direct(&[ADA, BRUNO]) };
    assert_eq!(bench.updates(), [told(TypingOp::Start), told(TypingOp::Stop)]);
}

#[test]
fn this_users_typing_is_said_paced_and_stopped_after_a_pause() {
    let mut bench = Bench::open();
    for _ in 0..12 {
        bench.machine.handle_key(lunch(), bench.now);
        bench.pass(SECOND);
    }
    bench.pass(10 * SECOND);
    bench.machine.handle_key(lunch(), bench.now);
    bench.machine.handle_typing_stopped();
    bench.machine.handle_typing_stopped();
    let said = |op| ClientMessage::Typing { op, to: lunch() };
    use TypingOp::{Start, Stop};
    assert_eq!(bench.written(), [Start, Start, Stop, Start, Stop].map(said));
    bench.break_off();
    bench.machine.handle_key(lunch(), bench.now);
    assert!(bench.written().is_empty(), "while there is no connection there is nobody to tell");
}
