use proptest::prelude::*;
use squall_protocol::event::{Event, Role, Stream, User};
use squall_protocol::{Epoch, RealmId, StreamId, UserId};

use super::*;

const EPOCH: Epoch = Epoch(9);

fn mark(sequence: u64) -> Mark {
    // Groups of three share a mark.
    Mark(if sequence == 0 { 0 } else { 100 + (sequence as u32 - 1) / 3 })
}

fn at(sequence: u64) -> Position {
    Position { epoch: EPOCH, sequence: Sequence(sequence), mark: mark(sequence) }
}

/// User 2 is let in and out of stream 7 by turns; user 1 is always in.
fn fact(sequence: u64) -> Event {
    let stream =
        Stream { stream_id: StreamId(7), name: "s".into(), description: String::new(), invite_only: true };
    let user = |id| User {
        user_id: UserId(id),
        email: String::new(),
        full_name: String::new(),
        role: Role::Member,
        is_bot: false,
        is_active: true,
    };
    match sequence {
        1 => Event::UserAdded { user: user(1) },
        2 => Event::UserAdded { user: user(2) },
        3 => Event::StreamCreated { stream },
        4 => Event::MembersAdded { stream, user_ids: vec![UserId(1)], actor_id: UserId(1) },
        n if n % 6 == 0 => Event::MembersAdded { stream, user_ids: vec![UserId(2)], actor_id: UserId(1) },
        n if n % 6 == 3 => {
            Event::MembersRemoved { stream_id: StreamId(7), user_ids: vec![UserId(2)], actor_id: UserId(1) }
        }
        n => Event::Message(squall_protocol::event::Message {
            message_id: squall_protocol::MessageId(n),
            sender_id: UserId(1),
            timestamp: 0,
            to: squall_protocol::Destination::Stream { stream_id: StreamId(7), topic: "t".into() },
            content: "x".into(),
            send_id: squall_protocol::SendId::parse(format!("{n}")).unwrap(),
        }),
    }
}

fn records(from: u64, to: u64) -> Vec<EventRecord> {
    (from..=to).map(|n| EventRecord::new(Sequence(n), mark(n), &fact(n))).collect()
}

fn publication(from: u64, to: u64) -> Publication {
    let (realm_id, previous_mark) = (RealmId(1), mark(from - 1));
    Publication { realm_id, epoch: EPOCH, previous_mark, records: records(from, to) }
}

fn range(after: u64, to: u64, head: u64) -> LogRange {
    let changes = records(to + 1, head).into_iter().filter(|record| record.changes_state).collect();
    LogRange {
        head: at(head),
        floor: Sequence::ZERO,
        after_mark: Some(mark(after)),
        records: records(after + 1, to),
        changes,
    }
}

fn keeper() -> RealmKeeper {
    RealmKeeper::new(RealmState::new(at(0)), RingLimits::default())
}

fn sees(events: &[Arc<RingEvent>], user: u32) -> Vec<u64> {
    events.iter().filter(|event| event.is_for(UserId(user))).map(|event| event.sequence().0).collect()
}

#[test]
fn the_next_publication_is_taken_and_a_doubled_one_is_not() {
    let mut keeper = keeper();
    assert_eq!(keeper.handle_publication(publication(1, 3), 0), [KeeperEffect::Advanced]);
    assert_eq!(keeper.handle_publication(publication(1, 3), 0), []);
    assert_eq!(keeper.handle_publication(publication(1, 6), 0), [KeeperEffect::Advanced]);
    assert_eq!(keeper.position(), at(6));
    assert_eq!(keeper.ring().len(), 6);
}

#[test]
fn a_late_publication_closes_the_gap_without_the_log() {
    let mut keeper = keeper();
    keeper.handle_publication(publication(1, 3), 0);
    assert_eq!(keeper.handle_publication(publication(7, 9), 10), []);
    assert_eq!(keeper.handle_tick(10 + REORDER_MS - 1), []);
    let effects = keeper.handle_publication(publication(4, 6), 40);
    assert_eq!(effects, [KeeperEffect::Advanced, KeeperEffect::Advanced]);
    assert_eq!(keeper.position(), at(9));
    assert_eq!(keeper.deadline_ms(), None);
}

#[test]
fn a_lost_publication_is_read_from_the_log() {
    let mut keeper = keeper();
    keeper.handle_publication(publication(1, 3), 0);
    keeper.handle_publication(publication(7, 9), 10);
    assert_eq!(keeper.handle_tick(10 + REORDER_MS), [KeeperEffect::ReadLog(Sequence(3))]);
    assert_eq!(keeper.handle_tick(10_000), [], "one read at a time");
    keeper.handle_range(&range(3, 9, 9), 100);
    assert_eq!(keeper.position(), at(9));
}

#[test]
fn a_failed_read_is_tried_again() {
    let mut keeper = keeper();
    keeper.handle_publication(publication(4, 6), 0);
    keeper.handle_tick(REORDER_MS);
    keeper.handle_read_failed(100);
    assert_eq!(keeper.handle_tick(100 + READ_RETRY_MS), [KeeperEffect::ReadLog(Sequence(0))]);
}

#[test]
fn the_lost_tail_of_an_idle_realm_is_found_by_its_head() {
    let mut keeper = keeper();
    keeper.handle_publication(publication(1, 3), 0);
    assert_eq!(keeper.handle_head(Sequence(3), at(6), 0), []);
    assert_eq!(keeper.handle_tick(REORDER_MS), [KeeperEffect::ReadLog(Sequence(3))]);
}

#[test]
fn a_head_asked_for_before_the_keeper_moved_on_proves_nothing() {
    let mut keeper = keeper();
    keeper.handle_publication(publication(1, 6), 0);
    assert_eq!(keeper.handle_head(Sequence(3), at(3), 0), []);
    assert_eq!(keeper.handle_head(Sequence(6), at(3), 0), [KeeperEffect::Reload(ReloadReason::Epoch)]);
}

/// A keeper at 3, and what it makes of the next publication after `change`.
fn published(change: impl Fn(&mut Publication)) -> (RealmKeeper, Effects) {
    let mut keeper = keeper();
    keeper.handle_publication(publication(1, 3), 0);
    let mut other = publication(4, 6);
    change(&mut other);
    let effects = keeper.handle_publication(other, 0);
    (keeper, effects)
}

#[test]
fn a_publication_of_another_history_makes_the_keeper_ask_the_log_and_the_log_decides() {
    assert_eq!(published(|_| ()).1, [KeeperEffect::Advanced]);
    let changes: [fn(&mut Publication); 3] = [
        |other| other.epoch = Epoch(8),
        |other| other.previous_mark = Mark(1),
        |other| {
            let record = EventRecord { mark: Mark(1), ..records(3, 3).remove(0) };
            (other.previous_mark, other.records) = (mark(2), vec![record]);
        },
    ];
    for change in changes {
        let doubting = || {
            let (mut keeper, effects) = published(change);
            assert_eq!(effects, []);
            assert_eq!(keeper.handle_tick(REORDER_MS), [KeeperEffect::ReadLog(Sequence(3))]);
            keeper
        };
        let other = LogRange { after_mark: Some(Mark(1)), ..range(3, 6, 6) };
        assert_eq!(doubting().handle_range(&other, 60), [KeeperEffect::Reload(ReloadReason::Epoch)]);
        let mut keeper = doubting();
        assert_eq!(keeper.handle_range(&range(3, 3, 3), 60), [], "it was late, no more");
        assert_eq!(keeper.deadline_ms(), None);
        assert_eq!(keeper.handle_publication(publication(4, 6), 70), [KeeperEffect::Advanced]);
    }
}

#[test]
fn a_doubt_outlives_a_good_publication_and_a_failed_read() {
    let (mut keeper, _) = published(|other| other.epoch = Epoch(8));
    keeper.handle_publication(publication(4, 6), 10);
    assert_eq!(keeper.handle_tick(REORDER_MS), [KeeperEffect::ReadLog(Sequence(6))]);
    keeper.handle_read_failed(100);
    keeper.handle_publication(publication(7, 9), 110);
    assert_eq!(keeper.handle_tick(100 + READ_RETRY_MS), [KeeperEffect::ReadLog(Sequence(9))]);
}

#[test]
fn what_was_published_beyond_the_logs_head_is_forgotten_once_the_log_says_so() {
    let mut keeper = keeper();
    keeper.handle_publication(publication(1, 3), 0);
    keeper.handle_publication(publication(7, 9), 0);
    assert_eq!(keeper.handle_tick(REORDER_MS), [KeeperEffect::ReadLog(Sequence(3))]);
    assert_eq!(keeper.handle_range(&range(3, 3, 3), 60), []);
    assert!(!keeper.is_behind());
    assert_eq!(keeper.deadline_ms(), None);
}

#[test]
fn another_history_is_found_by_head_and_range() {
    let reload = [KeeperEffect::Reload(ReloadReason::Epoch)];
    let mut keeper = keeper();
    keeper.handle_publication(publication(1, 3), 0);
    assert_eq!(keeper.handle_head(Sequence(3), Position { mark: Mark(1), ..at(3) }, 0), reload);
    let pruned = LogRange { floor: Sequence(4), after_mark: None, ..range(4, 6, 6) };
    assert_eq!(reading().handle_range(&pruned, 0), [KeeperEffect::Reload(ReloadReason::Expired)]);
    let just_pruned = LogRange { floor: Sequence(3), after_mark: None, ..range(3, 6, 6) };
    assert_eq!(reading().handle_range(&just_pruned, 0), [KeeperEffect::Reload(ReloadReason::Expired)]);
    let other = LogRange { after_mark: Some(Mark(1)), ..range(3, 6, 6) };
    assert_eq!(reading().handle_range(&other, 0), reload);
    assert_eq!(reading().handle_range(&LogRange { head: at(2), ..range(3, 3, 3) }, 0), reload);
}

/// A keeper that stands at 3 and reads on from there.
fn reading() -> RealmKeeper {
    let mut keeper = keeper();
    keeper.handle_publication(publication(1, 3), 0);
    keeper.handle_head(Sequence(3), at(6), 0);
    assert_eq!(keeper.handle_tick(REORDER_MS), [KeeperEffect::ReadLog(Sequence(3))]);
    keeper
}

#[test]
fn a_read_that_publications_overtook_is_not_mistaken_for_another_history() {
    for old in [range(3, 3, 3), range(3, 6, 6)] {
        let mut keeper = reading();
        keeper.handle_publication(publication(4, 9), 0);
        assert_eq!(keeper.handle_range(&old, 0), []);
        assert_eq!(keeper.position(), at(9));
    }
}

#[test]
fn a_read_of_another_history_that_publications_of_this_one_overtook_is_found_by_its_marks() {
    let mut keeper = reading();
    keeper.handle_publication(publication(4, 6), 0);
    let mut other = range(3, 9, 9);
    other.records[2..].iter_mut().for_each(|record| record.mark = Mark(1));
    assert_eq!(keeper.handle_range(&other, 0), [KeeperEffect::Reload(ReloadReason::Epoch)]);
    assert_eq!(keeper.position(), at(6));
}

#[test]
fn a_read_from_a_place_that_the_log_forgot_meanwhile_is_done_again_from_the_next() {
    let mut keeper = reading();
    keeper.handle_publication(publication(4, 6), 0);
    let pruned = LogRange { floor: Sequence(5), after_mark: None, records: vec![], ..range(3, 9, 9) };
    assert_eq!(keeper.handle_range(&pruned, 0), []);
    assert_eq!(keeper.handle_tick(REORDER_MS), [KeeperEffect::ReadLog(Sequence(6))]);
}

#[test]
fn a_late_answer_is_not_mistaken_for_that_of_a_later_read() {
    let mut keeper = reading();
    keeper.handle_publication(publication(4, 9), 0);
    keeper.handle_publication(publication(13, 15), 0);
    assert_eq!(keeper.handle_tick(10 * REORDER_MS), [], "one read at a time");
    assert_eq!(keeper.handle_range(&range(3, 6, 6), 1_000), [], "another mark, and no contradiction");
    assert_eq!(keeper.handle_tick(1_000 + REORDER_MS), [KeeperEffect::ReadLog(Sequence(9))]);
    assert_eq!(keeper.handle_range(&range(9, 15, 15), 2_000), [KeeperEffect::Advanced]);
    assert_eq!(keeper.position(), at(15));
}

#[test]
fn a_change_of_an_unknown_kind_reloads_the_realm() {
    let mut other = publication(1, 3);
    other.records[1].body = br#"{"kind":"later"}"#.as_slice().into();
    let effects = keeper().handle_publication(other, 0);
    assert_eq!(effects, [KeeperEffect::Reload(ReloadReason::UnknownKind)]);
}

#[test]
fn a_range_of_another_history_is_not_stamped_even_if_that_overtook_this_one() {
    let mut keeper = keeper();
    keeper.handle_publication(publication(1, 60), 0);
    let other = |head| LogRange { head: Position { mark: Mark(1), ..at(head) }, ..range(3, 9, head) };
    assert_eq!(keeper.stamp(&other(30)).unwrap_err(), StampError::Foreign);
    assert_eq!(keeper.stamp(&other(63)).unwrap_err(), StampError::Ahead, "not known yet");
    keeper.handle_publication(publication(61, 66), 0);
    assert_eq!(keeper.stamp(&other(63)).unwrap_err(), StampError::Foreign);
    assert!(keeper.stamp(&range(3, 9, 63)).is_ok());
}

#[test]
fn a_range_too_old_for_the_ring_is_stale() {
    let mut keeper =
        RealmKeeper::new(RealmState::new(at(0)), RingLimits { events_max: 4, bytes_max: 1 << 20 });
    keeper.handle_publication(publication(1, 60), 0);
    assert_eq!(keeper.stamp(&range(3, 9, 30)).unwrap_err(), StampError::Stale);
    assert!(keeper.stamp(&range(3, 9, 60)).is_ok());
}

#[test]
fn a_range_before_a_change_of_an_unknown_kind_can_not_be_stamped() {
    let mut keeper = keeper();
    keeper.handle_publication(publication(1, 60), 0);
    let mut old = range(3, 9, 60);
    old.changes[0].body = br#"{"kind":"later"}"#.as_slice().into();
    assert_eq!(keeper.stamp(&old).unwrap_err(), StampError::UnknownKind);
    let hole = LogRange { records: [records(4, 5), records(7, 9)].concat(), ..range(3, 9, 60) };
    assert_eq!(keeper.stamp(&hole).unwrap_err(), StampError::Foreign);
}

proptest! {
    /// Whatever the bus loses, doubles and reorders: the ring is the log, and a range read at any time
    /// is stamped as it was live.
    #[test]
    fn any_bus_gives_the_log_and_catch_up_agrees_with_it(
        deliveries in prop::collection::vec((0usize..20, 0u64..80), 0..60),
        after in 0u64..60, length in 1u64..40, head in 0u64..60,
    ) {
        let mut reference = keeper();
        reference.handle_publication(publication(1, 60), 0);
        let live: Vec<_> = reference.ring().after(Sequence::ZERO).unwrap().cloned().collect();

        let mut keeper = keeper();
        let mut now = 0;
        for (group, wait) in deliveries {
            now += wait;
            let first = group as u64 * 3 + 1;
            keeper.handle_publication(publication(first, first + 2), now);
            if let [KeeperEffect::ReadLog(from)] = keeper.handle_tick(now)[..] {
                keeper.handle_range(&range(from.0, 60.min(from.0 + 7), 60), now);
            }
        }
        keeper.handle_head(keeper.position().sequence, at(60), now);
        while keeper.is_behind() {
            now += REORDER_MS;
            if let [KeeperEffect::ReadLog(from)] = keeper.handle_tick(now)[..] {
                keeper.handle_range(&range(from.0, 60.min(from.0 + 7), 60), now);
            }
        }
        let ring: Vec<_> = keeper.ring().after(Sequence::ZERO).unwrap().cloned().collect();
        prop_assert_eq!(ring.len(), 60);
        for user in [1, 2] {
            prop_assert_eq!(sees(&ring, user), sees(&live, user));
        }

        let to = (after + length).min(60);
        let head = head.max(to);
        let stamped = keeper.stamp(&range(after, to, head)).unwrap();
        let expected = &live[after as usize..to as usize];
        for user in [1, 2] {
            prop_assert_eq!(sees(&stamped, user), sees(expected, user));
        }
    }
}
