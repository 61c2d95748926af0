//! A program that takes its updates slowly, or not at all.

use std::time::Duration;

use crate::client::Config;
use crate::client::machine::bench::{Bench, config, event, position, sent};
use crate::client::update::{State, Update};
use crate::client_message::ClientMessage;
use crate::close::CloseCode;
use crate::ids::{Epoch, Mark, Sequence};
use crate::position::Position;
use crate::server_message::{ResetReason, ServerMessage};

/// In a session, with room for three updates.
fn narrow() -> Bench {
    let mut bench = Bench::new(&Config { updates_max: 3, ..config() });
    bench.welcome();
    bench.updates();
    bench
}

fn sequences(updates: &[Update]) -> Vec<u64> {
    updates.iter().filter_map(Update::position).map(|position| position.sequence.0).collect()
}

#[test]
fn what_there_is_no_room_for_is_left_out_and_comes_again_by_a_resume() {
    let mut bench = narrow();
    (43..=50).for_each(|sequence| bench.say(&event(sequence)));
    assert!(bench.disconnects.is_empty(), "until there is room again");
    assert_eq!(sequences(&[bench.update().unwrap()]), [43]);
    bench.say(&event(51));
    assert_eq!(sequences(&bench.updates()[..2]), [44, 45]);
    assert_eq!((&bench.disconnects[..], bench.connects), (&[CloseCode::Normal][..], 2));
    assert_eq!(bench.welcome().position, Some(position(45)));
    bench.updates();
    (46..=48).for_each(|sequence| bench.say(&event(sequence)));
    assert_eq!(sequences(&bench.updates()), [46, 47, 48]);
}

#[test]
fn sends_are_answered_and_pings_too_while_updates_are_left_out() {
    let mut bench = narrow();
    (43..=50).for_each(|sequence| bench.say(&event(sequence)));
    bench.send(1, "a");
    bench.say(&sent("a", 51));
    bench.say(&ServerMessage::Ping { time_ms: 1 });
    assert_eq!(bench.answers.len(), 1);
    assert!(bench.written().contains(&ClientMessage::Pong { active: true }));
}

#[test]
fn a_reset_that_is_left_out_comes_again() {
    let mut bench = narrow();
    (43..=46).for_each(|sequence| bench.say(&event(sequence)));
    let reset = ServerMessage::Reset {
        reason: ResetReason::Epoch,
        position: Position { epoch: Epoch(8), sequence: Sequence(5), mark: Mark(1) },
        after_ms: 0,
    };
    bench.say(&reset);
    bench.say(&event(6));
    bench.updates();
    assert_eq!(bench.welcome().position, Some(position(45)));
    bench.updates();
    bench.say(&reset);
    assert!(matches!(bench.updates()[..], [Update::Reset { .. }]));
}

#[test]
fn a_welcome_that_is_left_out_leaves_no_position() {
    let mut bench = Bench::new(&Config { updates_max: 1, ..config() });
    bench.welcome();
    bench.say(&event(43));
    bench.say(&ServerMessage::Position(position(44)));
    assert_eq!(bench.updates()[..1], [Update::State(State::Connecting)]);
    assert_eq!(bench.connects, 2);
    assert_eq!(bench.welcome().position, None);
}

#[test]
fn taken_before_the_welcome_nothing_needs_to_come_again() {
    let mut bench = narrow();
    (43..=46).for_each(|sequence| bench.say(&event(sequence)));
    bench.break_off();
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.hello().position, Some(position(45)));
    assert_eq!(sequences(&bench.updates()), [43, 44, 45]);
    assert_eq!(bench.connects, 2);
    bench.say(&ServerMessage::Welcome(Box::new(crate::client::machine::bench::welcome(position(45)))));
    bench.updates();
    bench.say(&event(46));
    assert_eq!((sequences(&bench.updates()), bench.connects), (vec![46], 2));
}

#[test]
fn a_program_that_only_sends_needs_no_updates() {
    let mut bench = narrow();
    bench.machine.handle_unheard();
    (43..=60).for_each(|sequence| bench.say(&event(sequence)));
    assert!(bench.updates().is_empty());
    bench.break_off();
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.welcome().position, Some(position(60)));
}
