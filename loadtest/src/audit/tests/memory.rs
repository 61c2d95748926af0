//! What the audit remembers stays bounded, however long a run is.

use squall_protocol::UserId;

use super::world::World;

/// Says and delivers `count` messages, in rounds of fifty.
fn chat(world: &mut World, count: u64) {
    for number in 0..count {
        world.post(0, 1);
        if number % 50 == 49 {
            for client in 0..world.clients.len() {
                while world.clients[client].is_here && world.deliver(client).is_some() {}
                if world.clients[client].is_here {
                    world.tell_position(client);
                }
            }
            world.wait_ms(5_000);
            world.round();
        }
    }
}

fn memory_bytes(world: &World) -> usize {
    world.recorders.iter().map(crate::audit::Recorder::memory_bytes).sum()
}

fn all_here() -> World {
    let mut world = World::new(1, 2);
    (0..world.clients.len()).for_each(|client| world.welcome(client, 0));
    world
}

#[test]
fn a_long_run_takes_no_more_than_a_short_one() {
    let mut world = all_here();
    chat(&mut world, 500);
    let short = memory_bytes(&world);
    chat(&mut world, 20_000);
    assert!(memory_bytes(&world) <= short + short / 4, "{short} bytes, then {}", memory_bytes(&world));
    assert!(world.finish().0.is_clean());
}

#[test]
fn a_client_at_rest_takes_less_than_200_bytes() {
    let mut recorder = crate::audit::Recorder::new(0, &[super::world::setup(0)]);
    let empty = recorder.memory_bytes();
    let key = super::world::setup(0).key;
    let clients: Vec<u32> = (0..1024).map(|_| recorder.client(key, UserId(1)).unwrap()).collect();
    let position = super::world::setup(0).head;
    clients.iter().for_each(|client| recorder.welcome(*client, position, false));
    let each = (recorder.memory_bytes() - empty) / clients.len();
    assert!(each <= 200, "{each} bytes");
}

#[test]
fn whoever_is_away_is_waited_for_but_not_for_ever() {
    let mut world = all_here();
    world.disconnect(7);
    chat(&mut world, 1_000);
    let waiting = memory_bytes(&world);
    assert!(waiting > 100_000, "what it may still ask for is kept: {waiting} bytes");
    world.wait_ms(crate::audit::STILL_MAX_MS);
    chat(&mut world, 1_000);
    assert!(memory_bytes(&world) < waiting / 2, "{waiting} bytes, then {}", memory_bytes(&world));
    // It comes back after all: what it gets of the forgotten part can't be judged, the rest is.
    world.resume(7);
    while world.deliver(7).is_some() {}
    world.drop_next(7);
    chat(&mut world, 50);
    let findings = world.finish().0;
    assert!(findings.unjudged > 900, "{}", findings.unjudged);
    assert!(findings.is_clean(), "{findings:?}");
}
