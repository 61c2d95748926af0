//! One sentence each: what the audit says of one thing that goes wrong.

use squall_protocol::event::Role;
use squall_protocol::{Destination, Epoch, Mark, MessageId, Position, SendId, Sequence, StreamId, UserId};

use super::world::{World, setup};
use crate::audit::{Cause, Fault, Findings, HistoryCheck, Recorder, Truth};

/// A world in which all are there, and the clients of user 1, 2 and 3.
fn all_here() -> World {
    let mut world = World::new(1, 1);
    (0..world.clients.len()).for_each(|client| world.welcome(client, 0));
    world
}

fn deliver_all(world: &mut World) {
    for client in 0..world.clients.len() {
        while world.clients[client].is_here && world.deliver(client).is_some() {}
    }
}

fn end(mut world: World) -> Findings {
    deliver_all(&mut world);
    world.finish().0
}

fn assert_only(findings: &Findings, fault: Fault, count: u64) {
    assert_eq!(findings.count(fault), count, "{findings:?}");
    assert_eq!(findings.faults.len(), 1, "{findings:?}");
}

#[test]
fn a_member_is_entitled_from_the_event_that_adds_it_to_the_one_that_removes_it() {
    let mut world = all_here();
    world.post(0, 2);
    let added = world.turn(0, 2, UserId(4));
    let between = world.post(0, 2);
    let removed = world.turn(0, 2, UserId(4));
    world.post(0, 2);
    let audience = |sequence| world.realms[0].at(sequence).unwrap().audience.contains(&UserId(4));
    assert!(audience(added) && audience(between) && audience(removed));
    assert!(!audience(added - 1) && !audience(removed + 1));
    let findings = end(world);
    assert!(findings.is_clean(), "{findings:?}");
    // Users 1 and 2 (two sessions each) see five events, user 4 three.
    assert_eq!((findings.judged, findings.unjudged, findings.events, findings.dark), (23, 0, 5, 0));
}

#[test]
fn one_session_of_a_user_that_misses_what_the_other_sees_has_lost_it() {
    let mut world = all_here();
    let sequence = world.post(0, 2);
    world.drop_next(6);
    let findings = end(world);
    assert_only(&findings, Fault::Lost, 1);
    let first = &findings.first[0];
    assert_eq!((first.client, first.user, first.sequence.0), (Some(6), Some(UserId(1)), sequence));
    assert_eq!(first.what, format!("message {} of user 1 to stream 2", sequence + 999));
}

#[test]
fn whoever_was_removed_may_not_see_what_comes_after() {
    let mut world = all_here();
    world.turn(0, 1, UserId(3));
    let after = world.post(0, 1);
    deliver_all(&mut world);
    world.show(2, after);
    assert_only(&end(world), Fault::Leaked, 1);
}

#[test]
fn a_guest_may_not_see_that_a_stream_was_made_until_it_is_no_guest() {
    let mut world = all_here();
    let made = |world: &mut World, id| {
        let stream = super::world::stream_named(StreamId(id), false);
        world.append(0, squall_protocol::Event::StreamCreated { stream }, false)
    };
    let first = made(&mut world, 8);
    world.set_role(0, UserId(6), Role::Member);
    let second = made(&mut world, 9);
    let audience = |sequence| world.realms[0].at(sequence).unwrap().audience.contains(&UserId(6));
    assert_eq!((audience(first), audience(second)), (false, true));
    world.show(5, first);
    assert_only(&end(world), Fault::Leaked, 1);
}

#[test]
fn a_direct_message_is_for_its_users_alone() {
    let mut world = all_here();
    let to = Destination::Direct { user_ids: vec![UserId(1), UserId(4)] };
    let sequence = world.message(0, UserId(1), to, false);
    world.show(4, sequence);
    let findings = end(world);
    assert_only(&findings, Fault::Leaked, 1);
    assert!(findings.first[0].what.starts_with("direct message"), "{}", findings.first[0]);
}

#[test]
fn a_reset_needs_a_reason_and_a_forged_position_a_reset() {
    let mut world = all_here();
    world.post(0, 1);
    world.reset(0);
    let findings = end(world);
    assert_only(&findings, Fault::ResetWithoutCause, 1);

    let mut world = all_here();
    deliver_all(&mut world);
    world.disconnect(0);
    world.expect_reset(0, Cause::Forged);
    world.resume(0);
    world.post(0, 1);
    let findings = end(world);
    assert_only(&findings, Fault::ForgeryTaken, 1);
}

#[test]
fn a_reason_ends_with_the_session_it_was_for() {
    let mut world = all_here();
    world.disconnect(0);
    world.expect_reset(0, Cause::Expired);
    world.resume(0);
    world.disconnect(0);
    world.resume(0);
    world.reset(0);
    assert_only(&end(world), Fault::ResetWithoutCause, 1);
}

#[test]
fn what_was_missed_before_a_reset_is_not_owed_and_what_comes_after_is() {
    let mut world = all_here();
    world.disconnect(0);
    world.post(0, 1);
    world.expect_reset(0, Cause::Expired);
    world.resume(0);
    world.reset(0);
    world.post(0, 1);
    world.drop_next(0);
    assert_only(&end(world), Fault::Lost, 1);
}

fn round_with_positions(world: &mut World) {
    for client in 0..world.clients.len() {
        if world.clients[client].is_here {
            world.tell_position(client);
        }
    }
    world.round();
}

#[test]
fn what_only_a_client_saw_that_joined_behind_the_others_is_known_in_time() {
    let mut world = World::new(1, 1);
    (0..7).for_each(|client| world.welcome(client, 0));
    // For user 2 alone: the other session of it is the only one to see it, when all the others have passed.
    world.message(0, UserId(2), Destination::Direct { user_ids: vec![UserId(2)] }, false);
    world.drop_next(1);
    round_with_positions(&mut world);
    world.welcome(7, 1);
    round_with_positions(&mut world);
    let findings = end(world);
    assert_only(&findings, Fault::Lost, 1);
    assert_eq!(findings.first[0].client, Some(1));
}

#[test]
fn a_client_that_begins_anew_further_back_is_judged_from_there() {
    let mut world = all_here();
    let last = (0..3).map(|_| world.post(0, 1)).last().unwrap();
    (0..3).for_each(|_| _ = world.deliver(0));
    for client in 1..world.clients.len() {
        (0..2).for_each(|_| _ = world.deliver(client));
    }
    // It is ahead of the others, and goes back behind them.
    world.disconnect(0);
    world.welcome(0, 2);
    let lost = world.drop_next(0);
    assert_eq!((lost, world.deliver(0)), (Some(last - 1), Some(last)));
    (0..3).for_each(|_| world.round());
    let findings = end(world);
    assert_only(&findings, Fault::Lost, 1);
    assert_eq!((findings.first[0].client, Some(findings.first[0].sequence.0)), (Some(0), lost));
}

#[test]
fn an_acknowledged_message_that_nobody_saw_is_never_seen() {
    let mut world = all_here();
    let to = Destination::Stream { stream_id: StreamId(1), topic: "x".into() };
    let sequence = world.message(0, UserId(1), to, true);
    world.answer(0, sequence, true);
    world.post(0, 1);
    let findings = end(world);
    assert_only(&findings, Fault::NeverSeen, 1);
    assert_eq!((findings.dark, findings.acknowledged), (1, 1));
}

#[test]
fn an_answer_that_names_another_message_is_inconsistent() {
    let mut world = all_here();
    let sequence = world.post(0, 1);
    world.answer(0, sequence, false);
    assert_only(&end(world), Fault::Inconsistent, 1);

    let mut world = all_here();
    world.post(0, 1);
    let change = world.turn(0, 2, UserId(5));
    let (recorder, client) = world.recorder(0);
    recorder.sent(client, &SendId::parse("x").unwrap(), MessageId(1), Sequence(change));
    assert_only(&end(world), Fault::Inconsistent, 1);
}

#[test]
fn one_send_that_became_two_messages_is_stored_twice() {
    let mut world = all_here();
    for _ in 0..2 {
        let to = Destination::Stream { stream_id: StreamId(1), topic: "x".into() };
        world.send(0, UserId(1), to, SendId::parse("same").unwrap(), false);
    }
    assert_only(&end(world), Fault::StoredTwice, 1);
}

#[test]
fn a_position_with_another_mark_than_its_event_is_inconsistent() {
    for knows_before in [true, false] {
        let mut world = all_here();
        let sequence = world.post(0, 2);
        if knows_before {
            deliver_all(&mut world);
        }
        let position = Position { mark: Mark(999_999), ..world.position(0, sequence) };
        let (recorder, client) = world.recorder(4);
        recorder.position(client, position);
        assert_only(&end(world), Fault::Inconsistent, 1);
    }
}

#[test]
fn two_marks_of_a_place_that_nobody_saw_are_inconsistent() {
    let mut world = all_here();
    for (client, mark) in [(2, 7), (3, 7), (4, 8)] {
        let position = Position { mark: Mark(mark), ..world.position(0, 60) };
        let (recorder, client) = world.recorder(client);
        recorder.position(client, position);
    }
    let findings = end(world);
    assert_only(&findings, Fault::Inconsistent, 1);
    assert_eq!(findings.first[0].client, Some(4));
}

#[test]
fn a_position_that_goes_back_is_inconsistent() {
    let mut world = all_here();
    let sequence = world.post(0, 1);
    deliver_all(&mut world);
    let position = world.position(0, sequence - 1);
    let (recorder, client) = world.recorder(0);
    recorder.position(client, position);
    assert_only(&end(world), Fault::Inconsistent, 1);
}

#[test]
fn a_log_that_is_set_back_ends_the_audit_of_its_realm() {
    let mut world = all_here();
    world.post(0, 1);
    let position = Position { epoch: Epoch(6), ..world.position(0, 11) };
    let (recorder, client) = world.recorder(0);
    recorder.position(client, position);
    deliver_all(&mut world);
    world.show(3, 11);
    let findings = end(world);
    assert_only(&findings, Fault::Inconsistent, 1);
    assert_eq!(findings.realms_set_back, 1);
}

#[test]
fn bytes_that_differ_are_corrupted_in_a_worker_and_across_workers() {
    let mut world = all_here();
    let sequence = world.post(0, 2);
    world.show(0, sequence);
    let (recorder, client) = world.recorder(1);
    recorder.corrupted(client, Sequence(sequence));
    deliver_all(&mut world);
    // It came, though wrong: it is not lost as well, and delivered again it is doubled.
    let findings = end(world);
    assert_eq!((findings.count(Fault::Corrupted), findings.count(Fault::Lost)), (1, 0));

    let setups = [setup(0)];
    let mut truth = Truth::new(&setups);
    let mut workers = [Recorder::new(0, &setups), Recorder::new(1, &setups)];
    for (worker, user) in workers.iter_mut().zip([1, 2]) {
        let client = worker.client(setups[0].key, UserId(user)).unwrap();
        worker.welcome(client, setups[0].head, false);
        let event = squall_protocol::Event::CredentialChanged { user_id: UserId(user) };
        worker.learn(setups[0].key, Sequence(11), Mark(3), &event);
    }
    for (worker, number) in workers.iter_mut().zip(0..) {
        truth.merge(number, worker.facts());
    }
    assert_only(&truth.finish(), Fault::Corrupted, 1);
}

#[test]
fn a_membership_change_that_was_acknowledged_must_hold() {
    let mut world = all_here();
    let added = world.turn(0, 2, UserId(4));
    let removed = world.turn(0, 2, UserId(4));
    let (recorder, client) = world.recorder(3);
    recorder.done(client, Sequence(added), StreamId(2), &[], true);
    recorder.done(client, Sequence(removed), StreamId(2), &[UserId(4)], false);
    recorder.done(client, Sequence(removed), StreamId(2), &[], true);
    let findings = end(world);
    assert_only(&findings, Fault::NotInForce, 1);
    assert_eq!(findings.first[0].what, "1 users said to be members of stream 2");
}

#[test]
fn what_is_outstanding_is_what_is_known_and_has_not_come() {
    let mut world = all_here();
    let sequence = world.post(0, 2);
    world.answer(0, sequence, true);
    let outstanding = |world: &World| world.recorders[0].outstanding();
    assert_eq!(outstanding(&world), 1, "an answer is ahead of its event");
    world.show(0, sequence);
    assert_eq!(outstanding(&world), 3, "user 1 has another session, user 2 has two");
    world.disconnect(1);
    assert_eq!(outstanding(&world), 2);
    deliver_all(&mut world);
    assert_eq!(outstanding(&world), 0);
}

#[test]
fn whoever_is_away_at_the_end_is_judged_up_to_where_it_was() {
    let mut world = all_here();
    world.post(0, 1);
    deliver_all(&mut world);
    world.disconnect(0);
    world.leave_for_good(1);
    world.post(0, 1);
    let findings = end(world);
    assert!(findings.is_clean(), "{findings:?}");
    assert_eq!((findings.clients, findings.clients_away), (8, 2));
}

#[test]
fn the_history_must_have_what_was_acknowledged_once() {
    let setups = [setup(0)];
    let key = setups[0].key;
    let (mut truth, mut recorder) = (Truth::new(&setups), Recorder::new(0, &setups));
    let client = recorder.client(key, UserId(1)).unwrap();
    recorder.welcome(client, setups[0].head, false);
    let id = |text: &str| SendId::parse(text).unwrap();
    for (sequence, send_id) in [(11, "there"), (12, "another"), (13, "nowhere"), (11, "there")] {
        recorder.sent(client, &id(send_id), MessageId(sequence), Sequence(sequence));
    }
    recorder.close();
    truth.merge(0, recorder.facts());
    let mut history = HistoryCheck::new();
    history.stored(Sequence(11), MessageId(11), UserId(1), &id("there"));
    history.stored(Sequence(12), MessageId(12), UserId(2), &id("another"));
    history.stored(Sequence(14), MessageId(14), UserId(1), &id("there"));
    truth.check_history(key, &history);
    let findings = truth.finish();
    assert_eq!(findings.count(Fault::Inconsistent), 1, "sequence 12 is of another sender");
    assert_eq!(findings.count(Fault::NotStored), 1, "sequence 13");
    assert_eq!(findings.count(Fault::StoredTwice), 1, "sequence 14");
    assert_eq!((findings.acknowledged, findings.in_history), (3, Some(1)));
}

#[test]
fn numbers_that_no_honest_server_sends_are_survived() {
    let mut world = all_here();
    deliver_all(&mut world);
    world.disconnect(0);
    world.expect_reset(0, Cause::Forged);
    world.resume(0);
    let most = squall_protocol::limits::ID_MAX;
    for (client, sequence) in [(0, 0), (0, most), (1, most), (1, 0), (2, 1)] {
        let (recorder, client) = world.recorder(client);
        recorder.event(client, Sequence(sequence));
        recorder.position(client, Position { sequence: Sequence(sequence), ..setup(0).head });
        recorder.sent(client, &SendId::parse("x").unwrap(), MessageId(most), Sequence(most));
        recorder.done(client, Sequence(most), StreamId(most), &[UserId(u32::MAX)], true);
        recorder.learn(setup(0).key, Sequence(sequence), Mark(0), &event_of_no_use());
    }
    for nobody in [99, u32::MAX] {
        let (recorder, _) = world.recorder(0);
        recorder.event(nobody, Sequence(11));
        recorder.welcome(nobody, setup(0).head, true);
        recorder.gone(nobody);
    }
    world.round();
    let findings = end(world);
    assert!(
        findings.count(Fault::ForgeryTaken) == 1 && findings.count(Fault::NotInForce) > 0,
        "{findings:?}"
    );
}

fn event_of_no_use() -> squall_protocol::Event {
    squall_protocol::Event::CredentialChanged { user_id: UserId(1) }
}

#[test]
fn facts_and_updates_survive_the_way_between_processes() {
    let mut world = all_here();
    world.turn(0, 2, UserId(4));
    let sequence = world.post(0, 1);
    world.answer(0, sequence, true);
    deliver_all(&mut world);
    let facts = world.recorders[0].facts();
    let text = serde_json::to_string(&facts).unwrap();
    assert_eq!(serde_json::from_str::<crate::audit::Facts>(&text).unwrap(), facts);
    let mut truth = Truth::new(&[setup(0)]);
    truth.merge(0, facts);
    let update = truth.update();
    assert_eq!(update.realms[0].facts.len(), 2);
    let text = serde_json::to_string(&update).unwrap();
    assert_eq!(serde_json::from_str::<crate::audit::Update>(&text).unwrap(), update);
}
