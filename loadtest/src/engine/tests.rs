//! The engine against a server that says what a test wants it to say.

mod bench;

use std::time::Duration;

use squall_protocol::client_message::{ClientMessage, Scope, Status};
use squall_protocol::link::RefusalCode;
use squall_protocol::server_message::{
    ErrorCode, PresenceDiff, PresenceSnapshot, ResetReason, ServerMessage,
};
use squall_protocol::{Codec, Destination, Epoch, Mark, Position, SendId, Sequence, UserId};

use super::*;
use crate::audit::Fault;
use bench::{Bench, HEAD, USER};

fn position(sequence: u64) -> Position {
    Position { epoch: Epoch(1), sequence: Sequence(sequence), mark: Mark(sequence as u32) }
}

#[test]
fn a_client_opens_a_session_and_answers_pings() {
    for codec in Codec::ALL {
        let mut bench = Bench::new(|plan| plan.clients[0].is_json = codec.is_text());
        let mut peer = bench.accept();
        assert_eq!(peer.codec, codec);
        let hello = bench.hello(&mut peer);
        assert_eq!((hello.token.as_str(), hello.position, hello.scope), ("the key", None, Scope::None));
        bench.welcome(&mut peer, HEAD);
        peer.say(&ServerMessage::Ping { time_ms: 1 });
        assert_eq!(bench.heard(&mut peer), ClientMessage::Pong { active: true });
        peer.frame(0x89, b"are you there?");
        assert_eq!(bench.control(&mut peer), (0x8A, b"are you there?".to_vec()));
        let tally = bench.engine.tally();
        assert_eq!((tally.open, tally.opened, tally.welcomes, tally.pings, tally.malformed), (1, 1, 1, 1, 0));
    }
}

#[test]
fn an_event_moves_the_position_that_a_resume_names() {
    let mut bench = Bench::new(|_| {});
    let mut peer = bench.open();
    peer.say(&bench::message(7, "soup"));
    bench.until("the event", |engine| engine.tally().deliveries == 1);
    peer.close(4000);
    let mut peer = bench.accept();
    assert_eq!(bench.hello(&mut peer).position, Some(position(7)));
    bench.welcome(&mut peer, position(7));
    let tally = bench.engine.tally();
    assert_eq!((tally.resumes, tally.endings[&Ending::Closed(4000)]), (1, 1));
}

#[test]
fn a_position_frame_and_a_reset_move_it_too() {
    let mut bench = Bench::new(|_| {});
    let mut peer = bench.open();
    peer.say(&ServerMessage::Position(position(20)));
    bench.until("the position", |engine| engine.tally().positions == 1);
    drop(peer);
    let mut peer = bench.accept();
    assert_eq!(bench.hello(&mut peer).position, Some(position(20)));
    bench.welcome(&mut peer, position(20));
    peer.say(&ServerMessage::Reset { reason: ResetReason::Expired, position: position(9), after_ms: 5 });
    bench.until("the reset", |engine| engine.tally().resets.get("expired") == Some(&1));
    drop(peer);
    let mut peer = bench.accept();
    assert_eq!(bench.hello(&mut peer).position, Some(position(9)));
    assert_eq!(bench.engine.tally().endings[&Ending::Broken], 2);
}

#[test]
fn what_was_not_answered_is_sent_again_with_its_id_in_its_order() {
    let mut bench = Bench::new(|_| {});
    let mut peer = bench.open();
    let first = bench.send(&mut peer);
    let second = bench.send(&mut peer);
    assert_ne!(first, second);
    peer.say(&bench::sent(&first, 7));
    bench.until("the answer", |engine| engine.tally().sends_acknowledged == 1);
    drop(peer);
    bench.until("the loss", |engine| engine.tally().open == 0);
    let third = bench.make();
    let mut peer = bench.reopen(HEAD);
    assert_eq!(bench.send_id(&mut peer), second, "the one without an answer, as it was");
    assert_eq!(bench.send_id(&mut peer).as_str(), third);
    let tally = bench.engine.tally();
    assert_eq!((tally.sends_written, tally.sends_repeated, tally.unanswered), (3, 1, 2));
}

#[test]
fn a_refusal_that_passes_is_tried_again_and_one_that_does_not_is_not() {
    let mut bench = Bench::new(|_| {});
    let mut peer = bench.open();
    let first = bench.send(&mut peer);
    let second = bench.send(&mut peer);
    peer.say(&bench::refused(&first, RefusalCode::RateLimited, Some(30)));
    peer.say(&bench::refused(&second, RefusalCode::OutOfOrder, Some(10)));
    assert_eq!([bench.send_id(&mut peer), bench.send_id(&mut peer)], [first.clone(), second.clone()]);
    peer.say(&bench::refused(&first, RefusalCode::Forbidden, None));
    peer.say(&bench::sent(&second, 7));
    bench.until("both answers", |engine| engine.tally().unanswered == 0);
    let tally = bench.engine.tally();
    assert_eq!((tally.refused_for_now, tally.refusals["Forbidden"], tally.sends_acknowledged), (2, 1, 1));
}

#[test]
fn too_many_in_flight_go_again_after_a_pause() {
    let mut bench = Bench::new(|_| {});
    let mut peer = bench.open();
    let first = bench.send(&mut peer);
    peer.say(&ServerMessage::Error { code: ErrorCode::SendsInFlight, message: "too many".into() });
    assert_eq!(bench.send_id(&mut peer), first);
}

#[test]
fn a_copy_goes_out_after_its_answer() {
    let mut bench = Bench::new(|plan| plan.load.resend = 1.0);
    let mut peer = bench.open();
    let id = bench.send(&mut peer);
    peer.say(&bench::sent(&id, 7));
    assert_eq!(bench.send_id(&mut peer), id);
    peer.say(&bench::sent(&id, 7));
    bench.until("the second answer", |engine| engine.tally().unanswered == 0);
    let tally = bench.engine.tally();
    assert_eq!((tally.sends_copied, tally.sends_acknowledged, tally.unasked_answers), (1, 1, 0));
    peer.say(&bench::sent(&id, 7));
    bench.until("an answer to nothing", |engine| engine.tally().unasked_answers == 1);
}

#[test]
fn a_client_sent_away_goes_in_good_order_and_comes_back_at_once() {
    let mut bench = Bench::new(|_| {});
    let mut peer = bench.open();
    peer.say(&ServerMessage::Goaway { after_ms: 20 });
    assert_eq!(bench.control(&mut peer), (0x88, vec![3, 0xE8]));
    let mut peer = bench.accept();
    assert_eq!(bench.hello(&mut peer).position, Some(HEAD));
    let tally = bench.engine.tally();
    assert_eq!((tally.goaways, tally.endings[&Ending::Sent]), (1, 1));
}

#[test]
fn a_client_that_must_not_come_back_stays_away() {
    let mut bench = Bench::new(|_| {});
    let mut peer = bench.accept();
    bench.hello(&mut peer);
    peer.say(&ServerMessage::Error { code: ErrorCode::Unauthorized, message: "who?".into() });
    peer.close(4401);
    bench.until("its leaving for good", |engine| engine.tally().gone == 1);
    let tally = bench.engine.tally();
    assert_eq!((tally.errors, tally.endings[&Ending::Closed(4401)], tally.opened), (1, 1, 0));
}

#[test]
fn an_answer_to_the_upgrade_that_is_wrong_is_not_believed() {
    let mut bench = Bench::new(|_| {});
    let stream = bench.accept_stream();
    bench.answer(&stream, "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n");
    bench.until("its end", |engine| engine.tally().endings.contains_key(&Ending::UpgradeWrong));
    let stream = bench.accept_stream();
    bench.answer(&stream, "HTTP/1.1 502 Bad Gateway\r\n\r\n");
    bench.until("the refusal", |engine| engine.tally().endings.contains_key(&Ending::UpgradeRefused(502)));
    let stream = bench.accept_stream();
    bench.answer(&stream, "HTTP/1.1 403 Forbidden\r\n\r\n");
    bench.until("its leaving for good", |engine| engine.tally().gone == 1);
}

#[test]
fn what_is_no_message_is_counted_and_what_is_no_frame_ends_the_connection() {
    let mut bench = Bench::new(|plan| plan.clients[0].is_json = true);
    let mut peer = bench.open();
    peer.frame(0x81, br#"{"type":"nonsense"}"#);
    bench.until("the message", |engine| engine.tally().malformed == 1);
    assert_eq!(bench.engine.tally().open, 1, "a client skips what it does not know");
    peer.frame(0x82, b"binary in the text subprotocol");
    bench.until("the frame", |engine| engine.tally().endings.get(&Ending::Unreadable) == Some(&1));
    let mut peer = bench.reopen(HEAD);
    peer.frame(0xF1, b"");
    bench.until("the reserved bits", |engine| engine.tally().endings.get(&Ending::Unreadable) == Some(&2));
    assert_eq!(bench.engine.tally().malformed, 3);
}

#[test]
fn a_welcome_of_somebody_else_is_no_welcome() {
    let mut bench = Bench::new(|_| {});
    let mut peer = bench.accept();
    bench.hello(&mut peer);
    peer.say(&bench::welcome(HEAD, UserId(USER.0 + 1)));
    bench.until("its end", |engine| engine.tally().endings.contains_key(&Ending::Unreadable));
    assert_eq!(bench.engine.tally().opened, 0);
}

#[test]
fn an_event_that_is_not_what_was_sent_is_corrupted() {
    let mut bench = Bench::new(|_| {});
    let mut peer = bench.open();
    let (message, broken) = bench::own_message(8, &bench.plan_tag());
    peer.say(&bench::message(7, "somebody else's"));
    peer.say(&message);
    peer.say(&broken);
    bench.until("the deliveries", |engine| engine.tally().deliveries == 3);
    assert_eq!(bench.engine.recorder().findings().count(Fault::Corrupted), 1);
    assert_eq!(bench.engine.tally().message_deliveries, 1, "others' messages have no time they were due");
}

#[test]
fn a_forged_position_is_named_now_and_then_and_the_true_one_is_kept() {
    let mut bench = Bench::new(|plan| plan.load.forged = 1.0);
    let mut peer = bench.open();
    peer.say(&bench::message(7, "soup"));
    bench.until("the event", |engine| engine.tally().deliveries == 1);
    drop(peer);
    let mut peer = bench.accept();
    let named = bench.hello(&mut peer).position.unwrap();
    assert_ne!(named, position(7));
    bench.welcome(&mut peer, named);
    assert_eq!(bench.engine.clients[0].position, Some(position(7)));
    peer.say(&ServerMessage::Reset { reason: ResetReason::Epoch, position: position(9), after_ms: 5 });
    bench.until("the reset", |engine| engine.tally().forged_found == 1);
    assert_eq!(bench.engine.clients[0].position, Some(position(9)));
    assert_eq!(bench.engine.tally().forged, 1);
}

#[test]
fn a_watcher_keeps_who_is_there_and_asks_where_something_is_missing() {
    let mut bench = Bench::new(|plan| plan.scope = Scope::Realm);
    let mut peer = bench.open();
    let ids = |users: &[u32]| users.iter().copied().map(UserId).collect::<Vec<_>>();
    peer.say(&ServerMessage::PresenceSnapshot(PresenceSnapshot {
        change: 5,
        active: ids(&[USER.0, 8]),
        ..PresenceSnapshot::default()
    }));
    peer.say(&ServerMessage::Presence(PresenceDiff {
        from: 5,
        to: 6,
        idle: ids(&[8]),
        ..PresenceDiff::default()
    }));
    peer.say(&ServerMessage::Presence(PresenceDiff {
        from: 9,
        to: 10,
        idle: ids(&[9]),
        ..PresenceDiff::default()
    }));
    assert_eq!(bench.heard(&mut peer), ClientMessage::PresenceRequest {});
    let (told, there) = bench.engine.rolls();
    assert_eq!(told[0].users, [(USER, Status::Active), (UserId(8), Status::Idle)]);
    assert_eq!(there[0].users, [(USER, Status::Active)]);
    assert_eq!((wrong_in(&told[0], &there[0]), bench.engine.tally().presence_breaks), (vec![], 1));
}

#[test]
fn a_load_sends_on_schedule_and_quiet_ends_it() {
    let mut bench = Bench::new(|plan| (plan.load.sends_per_s, plan.load.is_even) = (200.0, true));
    let mut peer = bench.open();
    let start = Moment::now();
    bench.engine.play(start, start + Duration::from_secs(60));
    for _ in 0..5 {
        bench.send_id(&mut peer);
    }
    assert!(Moment::now().since(start) >= Duration::from_millis(20), "5 ms apart");
    bench.engine.quiet();
    let due = bench.engine.tally().sends_due;
    bench.pass(Duration::from_millis(50));
    assert_eq!(bench.engine.tally().sends_due, due);
}

#[test]
fn goodbye_is_said_and_its_answer_awaited() {
    let mut bench = Bench::new(|_| {});
    let mut peer = bench.open();
    bench.engine.close();
    assert_eq!(bench.control(&mut peer), (0x88, vec![3, 0xE8]));
    assert!(!bench.engine.is_closed());
    peer.close(1000);
    bench.until("the end", Engine::is_closed);
    assert_eq!(bench.engine.tally().endings[&Ending::Over], 1);
}

#[test]
fn a_server_that_is_full_is_written_to_later_and_nothing_is_lost() {
    let mut bench = Bench::new(|plan| plan.payload_bytes = 10_000);
    let mut peer = bench.open();
    // More than the kernel takes at once, while nobody reads.
    let stream = bench.engine.clients[0].stream.as_ref().unwrap();
    socket2::SockRef::from(stream).set_send_buffer_size(8_192).unwrap();
    let made: Vec<String> = (0..250).map(|_| bench.make()).collect();
    bench.until("a full socket", |engine| engine.clients[0].is_full());
    for id in made {
        assert_eq!(bench.send_id(&mut peer).as_str(), id);
    }
    let destination = Destination::Direct { user_ids: vec![UserId(2)] };
    assert_eq!(bench.last_destination, Some(destination));
    assert!(SendId::parse(bench.make()).is_ok());
}
