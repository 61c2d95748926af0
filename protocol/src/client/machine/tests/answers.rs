//! Sends, membership changes and what becomes of them.

use std::time::Duration;

use bytes::Bytes;

use crate::client::Closed;
use crate::client::error::SendError;
use crate::client::machine::Outcome;
use crate::client::machine::bench::{Bench, id, position, send, sent, welcome};
use crate::client::update::{State, Update, Warning};
use crate::close::CloseCode;
use crate::ids::{MessageId, Sequence};
use crate::link::RefusalCode;
use crate::server_message::{ErrorCode, ServerMessage, Welcome};

fn refused(text: &str, code: RefusalCode, retry_after_ms: Option<u32>) -> ServerMessage {
    ServerMessage::Refused { send_id: id(text), code, message: "words".into(), retry_after_ms }
}

fn stored(sequence: u64) -> Result<Outcome, SendError> {
    Ok(Outcome::Sent { message_id: MessageId(900 + sequence), sequence: Sequence(sequence) })
}

#[test]
fn a_send_goes_out_and_is_answered() {
    let mut bench = Bench::open();
    bench.send(1, "a");
    assert_eq!(bench.written(), [send("a")]);
    bench.say(&sent("a", 43));
    bench.say(&sent("a", 43));
    assert_eq!(bench.answers, [(1, stored(43))]);
}

#[test]
fn a_membership_change_is_done() {
    let mut bench = Bench::open();
    bench.send(1, "a");
    bench.say(&ServerMessage::Done { send_id: id("a"), sequence: Sequence(44) });
    assert_eq!(bench.answers, [(1, Ok(Outcome::Done { sequence: Sequence(44) }))]);
}

#[test]
fn what_is_sent_before_the_welcome_follows_it() {
    let mut bench = Bench::start();
    bench.send(1, "a");
    bench.send(2, "b");
    bench.welcome();
    assert_eq!(bench.sends_written(), ["a", "b"]);
}

#[test]
fn unanswered_sends_go_out_again_in_order_after_each_reconnect() {
    let mut bench = Bench::open();
    (1..=3).zip(["a", "b", "c"]).for_each(|(reply, text)| bench.send(reply, text));
    bench.say(&sent("b", 43));
    for _ in 0..3 {
        bench.written();
        bench.break_off();
        bench.pass(Duration::from_secs(1));
        bench.welcome();
        assert_eq!(bench.written(), [send("a"), send("c")]);
    }
    bench.say(&sent("a", 44));
    bench.say(&sent("c", 45));
    assert_eq!(bench.answers, [(2, stored(43)), (1, stored(44)), (3, stored(45))]);
}

#[test]
fn a_refusal_that_passes_is_not_told_and_goes_again_before_newer_sends() {
    let mut bench = Bench::open();
    bench.send(1, "a");
    bench.send(2, "b");
    bench.say(&refused("a", RefusalCode::RateLimited, Some(1_200)));
    bench.say(&refused("b", RefusalCode::OutOfOrder, Some(1_200)));
    bench.send(3, "c");
    assert_eq!(bench.sends_written(), ["a", "b"]);
    bench.pass(Duration::from_millis(1_199));
    assert!(bench.written().is_empty());
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.sends_written(), ["a", "b", "c"]);
    assert!(bench.answers.is_empty());
}

#[test]
fn a_refusal_for_good_is_told_and_stops_nobody_else() {
    let mut bench = Bench::open();
    bench.send(1, "a");
    bench.send(2, "b");
    bench.say(&refused("a", RefusalCode::Forbidden, None));
    bench.say(&sent("b", 43));
    let forbidden = SendError::Refused { code: Some(RefusalCode::Forbidden), message: "words".into() };
    assert_eq!(bench.answers, [(1, Err(forbidden)), (2, stored(43))]);
}

#[test]
fn a_refusal_for_an_unknown_reason_is_one_all_the_same() {
    let mut bench = Bench::open();
    bench.send(1, "a");
    bench
        .say_text(r#"{"type":"refused","send_id":"a","code":"quota","message":"later","retry_after_ms":50}"#);
    bench.written();
    bench.pass(Duration::from_millis(50));
    assert_eq!(bench.sends_written(), ["a"]);
    bench.say_text(r#"{"type":"refused","send_id":"a","code":"quota","message":"never"}"#);
    let error = SendError::Refused { code: None, message: "never".into() };
    assert_eq!(bench.answers, [(1, Err(error))]);
}

#[test]
fn what_the_server_would_not_take_is_not_sent() {
    let mut bench = Bench::open();
    let message = Bytes::from(vec![b'x'; 65_537]);
    bench.machine.handle_write(id("a"), message, 1, bench.now);
    assert!(bench.written().is_empty());
    let too_large = SendError::TooLarge { bytes: 65_537, bytes_max: 65_536 };
    assert_eq!(bench.answers, [(1, Err(too_large))]);
}

#[test]
fn what_a_stricter_server_would_not_take_is_not_sent_again() {
    let mut bench = Bench::open();
    bench.send(1, "a");
    bench.send(2, &"b".repeat(100));
    bench.written();
    bench.break_off();
    bench.pass(Duration::from_secs(1));
    bench.hello();
    let strict = Welcome { frame_bytes_max: 150, sends_in_flight_max: 0, ..welcome(position(42)) };
    bench.say(&ServerMessage::Welcome(Box::new(strict)));
    assert_eq!(bench.sends_written(), ["a"]);
    assert!(matches!(bench.answers[..], [(2, Err(SendError::TooLarge { bytes_max: 150, .. }))]));
}

#[test]
fn one_id_is_one_send() {
    let mut bench = Bench::open();
    bench.send(1, "a");
    bench.send(2, "a");
    bench.machine.handle_write(id("a"), Bytes::from_static(b"something else"), 3, bench.now);
    assert_eq!(bench.written(), [send("a")]);
    bench.say(&sent("a", 43));
    let reused = bench.answers.remove(0);
    assert!(matches!(reused, (3, Err(SendError::Refused { code: Some(RefusalCode::SendIdReused), .. }))));
    assert_eq!(bench.answers, [(1, stored(43)), (2, stored(43))]);
}

#[test]
fn a_server_that_takes_fewer_than_it_said_gets_all_again_after_a_pause() {
    let mut bench = Bench::open();
    bench.send(1, "a");
    bench.send(2, "b");
    bench.written();
    bench.say(&ServerMessage::Error { code: ErrorCode::SendsInFlight, message: "too many".into() });
    assert!(bench.written().is_empty());
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.sends_written(), ["a", "b"]);
    let warning = Warning::Error { code: Some(ErrorCode::SendsInFlight), message: "too many".into() };
    assert_eq!(bench.updates(), [Update::Warning(warning)]);
}

#[test]
fn closing_ends_the_connection_and_whoever_waits() {
    let mut bench = Bench::open();
    bench.send(1, "a");
    bench.machine.handle_close(bench.now);
    bench.send(2, "b");
    bench.machine.handle_close(bench.now);
    assert_eq!(bench.sends_written(), ["a"]);
    let closed = Closed { code: 1000, reason: "closed by this client".into() };
    assert_eq!(bench.state(), State::Closed(closed.clone()));
    assert_eq!(bench.disconnects, [CloseCode::Normal]);
    assert_eq!(bench.answers, [(1, Err(closed.clone().into())), (2, Err(closed.into()))]);
    assert!(bench.machine.is_closed() && bench.machine.deadline().is_none());
}

#[test]
fn closing_while_waiting_needs_no_socket() {
    let mut bench = Bench::open();
    bench.break_off();
    bench.machine.handle_close(bench.now);
    bench.pass(Duration::from_secs(60));
    assert!(bench.disconnects.is_empty() && bench.connects == 1 && bench.machine.is_closed());
}
