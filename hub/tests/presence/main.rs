//! Presence across nodes: a few nodes of one realm over a bus that loses, delays, doubles and reorders, whose
//! links break and whose clocks are minutes apart; nodes crash and start as new ones, devices come, move,
//! fall silent and leave. All under one seed, judged by a plain record of who was connected when.
//!
//! What is checked, at every tick of every node:
//! - Nobody is shown as here, or as active, for longer than the stated bound after the last connection for
//!   which that was true: two ticks after its own node's claim ended, or after the node's lease and grace if it
//!   died; while the bus was bad, both failures together after it was good again.
//! - Whoever is connected is shown within two ticks on every node, as its best device.
//! - Nobody is told as gone who moved from node to node within grace, or came back from a dead one in time.
//! - What a client has by a snapshot and the diffs that follow, quick or slow, is what the node shows.
//! - When the faults are over and nobody moves, all nodes show the same, and it is true.
//!
//! The environment says how much: `SEED` is the first world's seed, `STEPS` the least number of steps. A
//! failure prints its seed, and that alone reproduces it.

mod bus;
mod client;
mod devices;
mod judge;
mod mutation;
mod node;
mod record;
#[path = "../simulator/rng.rs"]
mod rng;
mod storm;
mod world;
mod writer;

use mutation::Mutation;
use world::{Tally, World};

const SEED: u64 = 1;
const STEPS: u64 = 200_000;

/// A broken law must be noticed in one of so many worlds.
const MUTANT_WORLDS_MAX: u64 = 40;

#[test]
fn every_node_shows_who_is_there_within_the_stated_bounds() {
    let (first, steps) = (from_environment("SEED", SEED), from_environment("STEPS", STEPS));
    let mut tally = Tally::default();
    for seed in first.. {
        match World::run(seed, Mutation::None) {
            Ok(world) => tally.add(&world),
            Err(failure) => panic!("{failure}"),
        }
        if tally.steps >= steps {
            break;
        }
    }
    println!("{tally}");
}

#[test]
fn a_seed_is_one_world() {
    let run = |seed| World::run(seed, Mutation::None).unwrap_or_else(|it| panic!("{it}"));
    assert_eq!(run(SEED), run(SEED));
    assert_ne!(run(SEED), run(SEED + 1));
}

#[test]
fn skipping_the_gap_check_is_caught() {
    println!("{}", caught(Mutation::SkipGapCheck));
}

#[test]
fn asking_nobody_is_caught() {
    println!("{}", caught(Mutation::NeverAsk));
}

#[test]
fn giving_no_signs_of_life_is_caught() {
    println!("{}", caught(Mutation::NoSignsOfLife));
}

#[test]
fn ending_no_lease_is_caught() {
    println!("{}", caught(Mutation::EndlessLease));
}

#[test]
fn forgetting_grace_across_nodes_is_caught() {
    println!("{}", caught(Mutation::NoGraceAcrossNodes));
}

#[test]
fn telling_bad_news_before_good_news_is_caught() {
    println!("{}", caught(Mutation::TellBadNewsAtOnce));
}

#[test]
fn judging_while_the_link_is_down_is_caught() {
    println!("{}", caught(Mutation::JudgeWithoutLink));
}

#[test]
fn keeping_leases_from_the_writer_is_caught() {
    println!("{}", caught(Mutation::NoLeases));
}

#[test]
fn trusting_ones_own_clock_is_caught() {
    println!("{}", caught(Mutation::OwnClock));
}

#[test]
fn going_on_with_the_numbers_of_an_earlier_opening_is_caught() {
    println!("{}", caught(Mutation::SameOpening));
}

/// How a mutation is noticed.
fn caught(mutation: Mutation) -> String {
    let mut steps = 0;
    for seed in SEED..SEED + MUTANT_WORLDS_MAX {
        match World::run(seed, mutation) {
            Ok(world) => steps += world.steps,
            Err(failure) => {
                return format!(
                    "{mutation:?}: caught after {} steps: {}",
                    steps + failure.step,
                    failure.what
                );
            }
        }
    }
    panic!("{mutation:?} is not caught in {MUTANT_WORLDS_MAX} worlds of {steps} steps");
}

fn from_environment(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")),
        Err(_) => default,
    }
}
