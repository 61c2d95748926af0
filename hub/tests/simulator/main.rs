//! Whole clusters of hubs over a lossy bus, without a socket, a clock or a thread: a log, nodes, clients and
//! everything that can go wrong between them, under one seed. Each client is judged by a plain reference
//! model that has the whole history.
//!
//! What is checked, at every frame a client reads:
//! - It sees exactly the events it is entitled to, from its position on: in order, none twice, no silent gap.
//! - A reset comes only where there is a cause, and the session goes on exactly from the position told.
//! - Presence as the client keeps it, by snapshot and diffs, is what its node shows; and what a node shows is
//!   true of its devices: nobody is offline within grace.
//!
//! And after the faults end, within a bounded number of steps: every node stands at the log's head, every
//! client has everything.
//!
//! The environment says how much: `SEED` is the first world's seed, `STEPS` the least number of steps. A
//! failure prints its seed, and that alone reproduces it.

mod attendance;
mod bus;
mod client;
mod log;
mod mutation;
mod node;
mod reference;
mod rng;
mod shard;
mod socket;
mod storm;
mod workload;
mod world;
mod writer_link;

use mutation::Mutation;
use world::{Tally, World};

const SEED: u64 = 1;
const STEPS: u64 = 100_000;

/// A broken law must be noticed in one of so many worlds.
const MUTANT_WORLDS_MAX: u64 = 40;

#[test]
fn every_client_sees_exactly_its_part_of_the_log() {
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
    let [one, other] = [(); 2].map(|()| World::run(SEED, Mutation::None).unwrap_or_else(|it| panic!("{it}")));
    assert_eq!(one, other);
    assert_ne!(one, World::run(SEED + 1, Mutation::None).unwrap_or_else(|it| panic!("{it}")));
}

#[test]
fn skipping_the_gap_check_is_caught() {
    println!("{}", caught(Mutation::SkipGapCheck));
}

#[test]
fn stamping_the_audience_late_is_caught() {
    println!("{}", caught(Mutation::StampLate));
}

#[test]
fn forgetting_grace_is_caught() {
    println!("{}", caught(Mutation::ForgetGrace));
}

#[test]
fn a_lagging_session_that_goes_on_from_the_head_is_caught() {
    println!("{}", caught(Mutation::LagFromHead));
}

#[test]
fn ignoring_marks_is_caught() {
    println!("{}", caught(Mutation::IgnoreMarks));
}

#[test]
fn never_checking_heads_is_caught() {
    println!("{}", caught(Mutation::NeverCheckHeads));
}

#[test]
fn reloading_in_silence_is_caught() {
    println!("{}", caught(Mutation::ReloadInSilence));
}

#[test]
fn never_revoking_is_caught() {
    println!("{}", caught(Mutation::NeverRevoke));
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
