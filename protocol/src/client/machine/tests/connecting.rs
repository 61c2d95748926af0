//! Hello, welcome, the log, and the ends of connections.

use std::time::Duration;

use crate::client::error::Cause;
use crate::client::machine::bench::{ADA, Bench, config, event, lunch, message, position, welcome};
use crate::client::update::{State, Update, Warning};
use crate::client::{Closed, Config};
use crate::client_message::{ClientMessage, Hello, Scope, Status};
use crate::close::{CloseCode, Reconnect};
use crate::codec::Codec;
use crate::ids::{Epoch, Mark, Sequence};
use crate::position::Position;
use crate::server_message::{ErrorCode, ResetReason, ServerMessage};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn it_connects_says_hello_and_begins_at_the_head() {
    for codec in Codec::ALL {
        let mut bench = Bench::new(&Config { codec, scope: Scope::None, ..config() });
        assert_eq!((bench.connects, bench.state()), (1, State::Connecting));
        let expected =
            Hello { token: "key".into(), position: None, presence: Status::Active, scope: Scope::None };
        assert_eq!(bench.welcome(), expected);
        let welcome = Box::new(welcome(position(42)));
        assert_eq!(
            bench.updates(),
            [
                Update::State(State::Connecting),
                Update::State(State::Open),
                Update::Welcome { welcome, fresh: true }
            ]
        );
        assert_eq!(bench.state(), State::Open);
        bench.say(&event(43));
        assert_eq!(bench.updates()[0].position(), Some(position(43)));
    }
}

#[test]
fn it_goes_on_from_the_position_of_an_earlier_life() {
    let mut bench = Bench::new(&Config { position: Some(position(30)), ..config() });
    assert_eq!(bench.welcome().position, Some(position(30)));
    assert!(matches!(bench.updates().last(), Some(Update::Welcome { fresh: false, .. })));
    bench.say(&event(31));
    assert_eq!(bench.updates()[0].position(), Some(position(31)));
}

#[test]
fn each_event_moves_the_position_and_one_that_was_known_is_left_out() {
    let mut bench = Bench::open();
    bench.say(&event(45));
    bench.say(&event(45));
    bench.say(&event(44));
    bench.say(&event(47));
    let out_of_order =
        |sequence| Update::Warning(Warning::OutOfOrder { sequence: Sequence(sequence), after: Sequence(45) });
    let updates = bench.updates();
    assert_eq!(updates[1..3], [out_of_order(45), out_of_order(44)]);
    let positions: Vec<_> = updates.iter().filter_map(Update::position).collect();
    assert_eq!(positions, [position(45), position(47)]);
    bench.break_off();
    bench.pass(SECOND);
    assert_eq!(bench.welcome().position, Some(position(47)));
}

#[test]
fn a_message_of_this_user_is_its_own() {
    let mut bench = Bench::open();
    for (sequence, sender_id, expected) in
        [(43, ADA, true), (44, crate::client::machine::bench::BRUNO, false)]
    {
        let (sequence, mark) = (Sequence(sequence), Mark(7));
        bench.say(&ServerMessage::Event { sequence, mark, event: message(sender_id, lunch()) });
        assert!(matches!(bench.updates()[..], [Update::Event { own, .. }] if own == expected));
    }
}

#[test]
fn an_event_of_an_unknown_kind_still_moves_the_position() {
    let mut bench = Bench::open();
    bench.say_text(r#"{"type":"event","sequence":43,"mark":7,"event":{"kind":"wave"}}"#);
    let warning = Update::Warning(Warning::UnknownEvent { sequence: Sequence(43) });
    assert_eq!(bench.updates(), [warning, Update::Position(position(43))]);
}

#[test]
fn positions_keep_an_idle_client_fresh_but_never_take_it_back() {
    let mut bench = Bench::open();
    bench.say(&ServerMessage::Position(position(88)));
    bench.say(&ServerMessage::Position(position(88)));
    assert_eq!(bench.updates(), [Update::Position(position(88))]);
    bench.say(&ServerMessage::Position(position(60)));
    bench.say(&ServerMessage::Position(Position { epoch: Epoch(1), ..position(99) }));
    assert!(bench.updates().iter().all(|update| matches!(update, Update::Warning(_))));
    bench.say(&event(89));
    assert_eq!(bench.updates()[0].position(), Some(position(89)));
}

#[test]
fn after_a_reset_it_counts_from_the_new_position() {
    let mut bench = Bench::open();
    let new = Position { epoch: Epoch(8), sequence: Sequence(5), mark: Mark(1) };
    bench.say(&ServerMessage::Reset { reason: ResetReason::Epoch, position: new, after_ms: 1_800 });
    bench.say(&event(6));
    let reset = Update::Reset {
        reason: Some(ResetReason::Epoch),
        position: new,
        after: Duration::from_millis(1_800),
    };
    let updates = bench.updates();
    assert_eq!(updates[0], reset);
    assert_eq!(updates[1].position().unwrap().epoch, Epoch(8));
    bench.say_text(
        r#"{"type":"reset","reason":"moved","position":{"epoch":9,"sequence":1,"mark":1},"after_ms":0}"#,
    );
    assert!(matches!(bench.updates()[..], [Update::Reset { reason: None, .. }]));
}

/// Which codes end the client and how long the others let it wait, for every code of SPEC.md, section 8.
#[test]
fn each_close_code_has_its_consequence() {
    for code in CloseCode::ALL {
        let mut bench = Bench::open();
        bench.send(1, "a");
        bench.close(code.number(), code.reason());
        let bound = match code.reconnect() {
            Reconnect::Resume | Reconnect::Resync => SECOND / 2,
            Reconnect::Delay => 5 * SECOND,
            Reconnect::Never => {
                let closed = Closed { code: code.number(), reason: code.reason().into() };
                assert_eq!(bench.state(), State::Closed(closed.clone()), "{code:?}");
                assert_eq!(bench.answers, [(1, Err(closed.into()))], "{code:?}");
                assert_eq!((bench.machine.deadline(), bench.connects), (None, 1), "{code:?}");
                continue;
            }
        };
        let State::Waiting { retry_in, .. } = bench.state() else { panic!("{code:?}: {:?}", bench.state()) };
        assert!(retry_in < bound, "{code:?}: {retry_in:?}");
        bench.pass(bound);
        assert_eq!(bench.welcome().position, Some(position(42)), "{code:?}");
        assert_eq!(bench.sends_written(), ["a"], "{code:?}");
    }
}

#[test]
fn failures_make_the_waits_longer_until_a_welcome() {
    let mut bench = Bench::start();
    let mut waits = Vec::new();
    for _ in 0..40 {
        bench.break_off();
        let State::Waiting { retry_in, cause } = bench.state() else { panic!("{:?}", bench.state()) };
        assert!(matches!(cause, Cause::Broken(_)));
        waits.push(retry_in);
        bench.pass(retry_in);
    }
    assert_eq!(bench.connects, 41);
    assert!(waits[0] < SECOND / 2 && waits.iter().all(|&wait| wait < 20 * SECOND));
    assert!(waits[10..].iter().any(|&wait| wait > 15 * SECOND));
    bench.welcome();
    bench.break_off();
    assert!(matches!(bench.state(), State::Waiting { retry_in, .. } if retry_in < SECOND / 2));
}

#[test]
fn the_words_of_an_error_before_the_close_are_the_reason() {
    let mut bench = Bench::start();
    bench.hello();
    bench.say(&ServerMessage::Error { code: ErrorCode::Unauthorized, message: "no such key".into() });
    bench.close(4401, "unknown token");
    let closed = Closed { code: 4401, reason: "no such key".into() };
    assert_eq!(bench.state(), State::Closed(closed));
    assert!(matches!(
        &bench.updates()[..],
        [Update::State(State::Connecting), Update::Warning(Warning::Error { .. })]
    ));
}

#[test]
fn it_waits_as_goaway_says_then_leaves_and_resumes_at_once() {
    let mut bench = Bench::open();
    bench.say(&ServerMessage::Goaway { after_ms: 1_300 });
    bench.pass(Duration::from_millis(1_299));
    bench.say(&event(43));
    assert!(bench.disconnects.is_empty());
    bench.pass(Duration::from_millis(1));
    assert_eq!((&bench.disconnects[..], bench.connects), (&[CloseCode::Normal][..], 2));
    assert_eq!(bench.welcome().position, Some(position(43)));
}

#[test]
fn a_silent_server_is_given_up_and_a_talking_one_is_not() {
    let mut bench = Bench::open();
    for _ in 0..20 {
        bench.pass(25 * SECOND);
        bench.say(&ServerMessage::Ping { time_ms: 1 });
    }
    assert_eq!(bench.written(), vec![ClientMessage::Pong { active: true }; 20]);
    bench.pass(35 * SECOND - Duration::from_millis(1));
    assert_eq!(bench.state(), State::Open);
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.disconnects, [CloseCode::HeartbeatTimeout]);
    assert!(matches!(bench.state(), State::Waiting { cause: Cause::Silent, .. }));
}

#[test]
fn an_opening_without_a_welcome_is_given_up() {
    let mut bench = Bench::start();
    bench.hello();
    bench.say(&event(43));
    bench.pass(15 * SECOND);
    assert_eq!(bench.disconnects, [CloseCode::HeartbeatTimeout]);
    bench.pass(SECOND);
    assert_eq!(bench.welcome().position, None, "what came before the welcome counts as nothing");
}

#[test]
fn a_second_welcome_changes_nothing() {
    let mut bench = Bench::open();
    bench.say(&event(50));
    bench.say(&ServerMessage::Welcome(Box::new(welcome(position(42)))));
    bench.say(&event(50));
    assert!(matches!(bench.updates()[..], [Update::Event { .. }, Update::Warning(_)]));
}

#[test]
fn a_frame_that_is_no_message_is_skipped() {
    let mut bench = Bench::open();
    for text in ["", "{}", "\"", r#"{"type":"sent"}"#, r#"{"type":"dance"}"#] {
        bench.say_text(text);
    }
    assert_eq!(bench.updates().len(), 4, "a warning each, but none for a new kind");
    bench.say(&event(43));
    assert!(matches!(bench.updates()[..], [Update::Event { .. }]));
}

#[test]
fn what_comes_between_connections_is_nobodys() {
    let mut bench = Bench::open();
    bench.break_off();
    bench.updates();
    bench.say(&event(43));
    bench.break_off();
    bench.machine.handle_opened();
    assert!(bench.updates().is_empty() && bench.written().is_empty());
}
