//! Random histories with faults put in: each is found and named right, and none is found that was not put in.

use proptest::prelude::*;
use squall_protocol::event::Role;
use squall_protocol::{Destination, Event, StreamId, UserId};

use super::plain::{self, Finding, Told};
use super::world::{HEAD, World, stream_named};
use crate::audit::{Cause, FIRST_MAX, Fault, Findings};

/// One step of a history: what, and two choices.
type Pick = (u8, u16, u16);

/// Plays a history. With `faults` the servers do wrong now and then.
fn play(picks: &[Pick], workers: u16, faults: bool) -> World {
    let mut world = World::new(2, workers);
    // Who joins late begins later than the others.
    for client in 0..world.clients.len() - 2 {
        world.welcome(client, 0);
    }
    let mut unanswered = Vec::new();
    for (what, a, b) in picks {
        let (a, b) = (usize::from(*a), usize::from(*b));
        let client = a % world.clients.len();
        let realm = a % world.realms.len();
        match what % 16 {
            0..=3 => say(&mut world, realm, a, b, faults, &mut unanswered),
            4 => change(&mut world, realm, a / 7, b),
            5..=8 => deliver(&mut world, client, b, faults),
            9 => come_or_go(&mut world, client, b, faults),
            10 => answer(&mut world, b, faults, &mut unanswered),
            11 if world.clients[client].is_here => world.tell_position(client),
            12 => {
                for client in 0..world.clients.len() {
                    if world.clients[client].is_here {
                        world.tell_position(client);
                    }
                }
            }
            13 if b % 4 == 0 => world.round(),
            14 => catch_up(&mut world, client),
            _ => world.wait_ms(10),
        }
    }
    // Some are away when it ends; whoever is there has had the time to get all.
    for client in 0..world.clients.len() {
        let stays_away = picks.get(client).is_some_and(|pick| pick.2.is_multiple_of(5));
        let may_come = world.has_begun(client) && !is_gone(&world, client);
        if !world.clients[client].is_here && may_come && !stays_away {
            world.resume(client);
        }
        catch_up(&mut world, client);
    }
    world
}

fn is_gone(world: &World, client: usize) -> bool {
    world.clients[client].told.contains(&Told::Gone)
}

fn say(
    world: &mut World,
    realm: usize,
    a: usize,
    b: usize,
    faults: bool,
    unanswered: &mut Vec<(usize, u64)>,
) {
    let is_swallowed = faults && b.is_multiple_of(31);
    let sender = UserId((a % 6) as u32 + 1);
    let to = if b.is_multiple_of(3) {
        let mut user_ids = vec![sender, UserId((b / 3 % 6) as u32 + 1)];
        user_ids.sort_unstable();
        user_ids.dedup();
        Destination::Direct { user_ids }
    } else {
        // Only members may write.
        let mine = |stream: &u64| world.realms[realm].members(StreamId(*stream)).contains(&sender);
        let streams: Vec<u64> = (1..=4).filter(mine).collect();
        let Some(stream) = streams.get(b % streams.len().max(1)) else { return };
        Destination::Stream { stream_id: StreamId(*stream), topic: "lunch".into() }
    };
    let sequence = world.message(realm, sender, to, is_swallowed);
    unanswered.push((realm, sequence));
}

fn change(world: &mut World, realm: usize, a: usize, b: usize) {
    let user = UserId((a % 6) as u32 + 1);
    match b % 8 {
        0 => _ = world.set_role(realm, user, if b.is_multiple_of(16) { Role::Guest } else { Role::Member }),
        1 => _ = world.set_role(realm, UserId((a % 20) as u32 + 7), Role::Member),
        2 => {
            let stream = stream_named(StreamId(4), b % 16 == 2);
            _ = world.append(realm, Event::StreamCreated { stream }, false);
        }
        3 => _ = world.append(realm, Event::CredentialChanged { user_id: user }, false),
        _ => _ = world.turn(realm, b as u64 / 8 % 4 + 1, user),
    }
}

fn deliver(world: &mut World, client: usize, b: usize, faults: bool) {
    if !world.clients[client].is_here {
        return;
    }
    let Some(next) = world.next_for(client) else { return };
    let realm = world.clients[client].realm;
    let is_message = |world: &World, sequence| {
        matches!(world.realms[realm].at(sequence).map(|event| &event.event), Some(Event::Message(_)))
    };
    match b % 12 {
        0 if faults && is_message(world, next) => _ = world.drop_next(client),
        1 if faults => {
            world.deliver(client);
            world.show(client, next);
        }
        2 if faults => {
            // The one after it first, if there is one.
            world.drop_next(client);
            world.deliver(client);
            world.show(client, next);
        }
        3 if faults => {
            // The place before is somebody else's.
            let user = world.clients[client].user;
            let others = |sequence: &u64| {
                world.realms[realm].at(*sequence).is_some_and(|event| {
                    !event.audience.contains(&user)
                        && !event.is_swallowed
                        && matches!(event.event, Event::Message(_))
                })
            };
            let had = world.clients[client].told.iter().filter_map(|told| match told {
                Told::Saw(sequence) | Told::Passed(sequence) | Told::Begin(sequence) => Some(*sequence),
                Told::Answered(..) | Told::Gone => None,
            });
            let had = had.max().unwrap_or(HEAD);
            if let Some(sequence) = (had + 1..next).find(others) {
                world.show(client, sequence);
            }
            world.deliver(client);
        }
        _ => (0..b % 4 + 1).for_each(|_| _ = world.deliver(client)),
    }
}

fn come_or_go(world: &mut World, client: usize, b: usize, faults: bool) {
    match (world.clients[client].is_here, world.has_begun(client)) {
        _ if is_gone(world, client) => {}
        (true, _) if b.is_multiple_of(41) => world.leave_for_good(client),
        (true, _) if faults && b.is_multiple_of(23) => {
            world.reset(client);
            let (realm, head) =
                (world.clients[client].realm, world.realms[world.clients[client].realm].head());
            world.others.push((Fault::ResetWithoutCause, Some(client), realm, head));
        }
        (true, _) => world.disconnect(client),
        (false, false) => world.welcome(client, b as u64 % 40),
        (false, true) => match b % 8 {
            0 => {
                world.expect_reset(client, Cause::Expired);
                world.resume(client);
                world.reset(client);
            }
            1 => {
                world.expect_reset(client, Cause::Forged);
                world.resume(client);
                world.reset(client);
            }
            2 => world.welcome(client, b as u64 / 8 % 40),
            3 => {
                // It may be reset, and is not: from its first position on it may no more.
                world.expect_reset(client, Cause::Slow);
                world.resume(client);
                world.tell_position(client);
            }
            _ => world.resume(client),
        },
    }
}

fn answer(world: &mut World, b: usize, faults: bool, unanswered: &mut Vec<(usize, u64)>) {
    if unanswered.is_empty() {
        return;
    }
    let (realm, sequence) = unanswered.swap_remove(b % unanswered.len());
    let Some(Event::Message(message)) = world.realms[realm].at(sequence).map(|event| event.event.clone())
    else {
        return;
    };
    let of_sender = |client: &usize| {
        let of = &world.clients[*client];
        of.realm == realm && of.user == message.sender_id && of.is_here
    };
    let Some(client) = (0..world.clients.len()).find(of_sender) else {
        return unanswered.push((realm, sequence));
    };
    // A wrong answer is held against the event while that is not forgotten.
    let is_right = !(faults && b.is_multiple_of(7) && sequence > world.horizons[realm]);
    world.answer(client, sequence, is_right);
    if b.is_multiple_of(5) {
        // Sent again, answered again.
        world.answer(client, sequence, is_right);
    }
}

fn catch_up(world: &mut World, client: usize) {
    while world.clients[client].is_here && world.deliver(client).is_some() {}
}

/// The findings as the plain model has them, for the first ones.
fn named(seats: &[(u16, u32)], findings: &Findings) -> Vec<Finding> {
    let mut first: Vec<_> = findings
        .first
        .iter()
        .map(|offender| {
            let seat = offender.worker.zip(offender.client);
            let client = seat.and_then(|seat| seats.iter().position(|other| *other == seat));
            (offender.fault, client, usize::from(offender.realm.target), offender.sequence.0)
        })
        .collect();
    first.sort_unstable();
    first
}

fn count(findings: &[Finding], fault: Fault) -> u64 {
    findings.iter().filter(|finding| finding.0 == fault).count() as u64
}

fn picks() -> impl Strategy<Value = Vec<Pick>> {
    prop::collection::vec(any::<Pick>(), 1..400)
}

fn assert_found_and_named_right(picks: &[Pick], workers: u16) -> Vec<Finding> {
    let world = play(picks, workers, true);
    let count_of_clients = world.clients.len();
    let seat = |client: usize| (client as u16 % workers, client as u32 / u32::from(workers));
    let seats: Vec<_> = (0..count_of_clients).map(seat).collect();
    let others = world.others.clone();
    let (findings, realms, clients) = world.finish();
    let (mut expected, doubtful) = plain::judge(&realms, &clients);
    expected.extend(others);
    expected.sort_unstable();
    for fault in Fault::ALL {
        let (found, put_in) = (findings.count(fault), count(&expected, fault));
        assert_eq!(found, put_in, "{fault}: {expected:?}, found first: {:?}", findings.first);
    }
    assert!(doubtful || findings.unjudged == 0, "{} unjudged", findings.unjudged);
    let first = named(&seats, &findings);
    assert_eq!(first.len(), expected.len().min(FIRST_MAX));
    assert!(first.iter().all(|finding| expected.contains(finding)), "{first:?} of {expected:?}");
    if expected.len() <= FIRST_MAX {
        assert_eq!(first, expected);
    }
    expected
}

fn assert_nothing_found(picks: &[Pick], workers: u16) {
    let (findings, realms, clients) = play(picks, workers, false).finish();
    assert!(findings.is_clean(), "{findings:?}");
    let (expected, doubtful) = plain::judge(&realms, &clients);
    assert_eq!(expected, vec![]);
    assert!(doubtful || findings.unjudged == 0, "{} unjudged", findings.unjudged);
}

/// The findings of a history, but for who found what, and who saw it first there.
fn found_by(workers: u16, picks: &[Pick]) -> Findings {
    let (mut findings, _, _) = play(picks, workers, true).finish();
    for offender in &mut findings.first {
        (offender.worker, offender.client, offender.at_ms) = (None, None, 0);
    }
    findings.first.sort_by_key(|it| (it.realm, it.sequence, it.user, it.fault));
    if findings.faults.values().sum::<u64>() > FIRST_MAX as u64 {
        findings.first.clear();
    }
    findings
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn each_fault_is_found_and_named_right(picks in picks(), workers in 1u16..4) {
        assert_found_and_named_right(&picks, workers);
    }

    #[test]
    fn nothing_is_found_where_nothing_is_wrong(picks in picks(), workers in 1u16..4) {
        assert_nothing_found(&picks, workers);
    }

    /// How the clients are dealt to workers makes no difference.
    #[test]
    fn several_workers_find_what_one_finds(picks in picks()) {
        prop_assert_eq!(found_by(1, &picks), found_by(3, &picks));
    }
}

#[test]
fn the_histories_have_every_fault_that_can_be_put_into_them() {
    // Weyl's sequence: as good as chance here, and the same each time.
    let picks: Vec<Pick> = (1..6_000u64)
        .map(|number| number.wrapping_mul(0x9E37_79B9_7F4A_7C15))
        .map(|bits| ((bits >> 56) as u8, (bits >> 40) as u16, (bits >> 24) as u16))
        .collect();
    let found = assert_found_and_named_right(&picks, 3);
    for fault in [
        Fault::Lost,
        Fault::Duplicated,
        Fault::Reordered,
        Fault::Leaked,
        Fault::NeverSeen,
        Fault::Inconsistent,
        Fault::ResetWithoutCause,
    ] {
        assert!(count(&found, fault) > 0, "no {fault}");
    }
    assert_nothing_found(&picks, 3);
}
