//! What presence across nodes costs a node: `cargo run --release -p squall-hub --example presence_cost`.
//!
//! Two nodes of one realm hand each other their frames; the sender's and the receiver's work is timed apart, from
//! the first report to the diff for clients, with the frames encoded and decoded as on the bus.
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a program for people, that times")]

use std::time::{Duration, Instant};

use squall_hub::presence::{Presence, Times, TimesConfig, TimesError};
use squall_protocol::client_message::Status;
use squall_protocol::frame::Frame;
use squall_protocol::node_presence::PresenceSource;
use squall_protocol::{NodeId, RealmId, SessionId, UserId};

const REALM: RealmId = RealmId(1);
const START_MS: u64 = 1_763_818_000_000;
const TICK_MS: u64 = 1_000;
const PUBLISH_MS: u64 = 250;

/// A sender and a receiver, and what they cost so far.
struct Pair {
    sender: Presence,
    receiver: Presence,
    now_ms: u64,
    cost: Cost,
}

#[derive(Debug, Default, Clone, Copy)]
struct Cost {
    frames: u64,
    bytes: u64,
    sent: Duration,
    received: Duration,
}

fn main() -> Result<(), TimesError> {
    let times = Times::new(TimesConfig::among_nodes())?;
    idle(times);
    println!();
    println!("changes a second    frames  bytes a change  sender, µs a change  receiver, µs a change");
    for changes in [1, 10, 100, 1_000] {
        steady(times, changes);
    }
    println!();
    storm(times);
    Ok(())
}

impl Pair {
    fn new(times: Times, users: u32) -> Self {
        let node = |id: u64| {
            let source = PresenceSource { node_id: NodeId((1 << 52) + id), opening: 1 };
            Presence::new(times, [], START_MS).among_nodes(REALM, source, true)
        };
        let mut pair = Self { sender: node(1), receiver: node(2), now_ms: START_MS, cost: Cost::default() };
        (0..users).for_each(|user| pair.connect(user, user, Status::Active));
        pair.pass(5 * TICK_MS);
        pair.cost = Cost::default();
        pair
    }

    fn connect(&mut self, user: u32, device: u32, status: Status) {
        let began = Instant::now();
        self.sender.handle_connect(UserId(user), SessionId(device.into()), status, self.now_ms);
        self.cost.sent += began.elapsed();
    }

    fn report(&mut self, device: u32, status: Status) {
        let began = Instant::now();
        self.sender.handle_status(SessionId(device.into()), status, self.now_ms);
        self.cost.sent += began.elapsed();
    }

    /// A second passes; what it cost, with what was done since the last.
    fn second(&mut self) -> Cost {
        self.pass(TICK_MS);
        std::mem::take(&mut self.cost)
    }

    /// Time passes, and every frame arrives.
    fn pass(&mut self, ms: u64) {
        for _ in 0..ms / PUBLISH_MS {
            self.now_ms += PUBLISH_MS;
            let tick = self.now_ms.is_multiple_of(TICK_MS);
            let began = Instant::now();
            let frames: Vec<_> = self.sender.poll_frames(self.now_ms).iter().map(Frame::encode).collect();
            if tick {
                self.sender.poll_tick(self.now_ms);
            }
            self.cost.sent += began.elapsed();
            let began = Instant::now();
            for bytes in &frames {
                match Frame::decode(bytes) {
                    Ok(Some(Frame::NodePresence(part))) => {
                        self.receiver.handle_node_presence(&part, self.now_ms);
                    }
                    Ok(Some(Frame::PresenceAsk(ask))) => self.receiver.handle_ask(&ask, self.now_ms),
                    Ok(Some(Frame::Events(_) | Frame::Ephemeral(_)) | None) | Err(_) => {}
                }
            }
            if tick {
                self.receiver.poll_tick(self.now_ms);
            }
            self.cost.received += began.elapsed();
            // What the receiver says is not of interest; each hears itself too, as on any bus.
            let echo = frames.iter().filter_map(|bytes| Frame::decode(bytes).ok().flatten());
            for frame in echo.chain(self.receiver.poll_frames(self.now_ms)) {
                if let Frame::PresenceAsk(ask) = frame {
                    self.sender.handle_ask(&ask, self.now_ms);
                    self.receiver.handle_ask(&ask, self.now_ms);
                }
            }
            self.cost.frames += frames.len() as u64;
            self.cost.bytes += frames.iter().map(|bytes| bytes.len() as u64).sum::<u64>();
        }
    }
}

/// A realm where nothing happens.
fn idle(times: Times) {
    let mut pair = Pair::new(times, 100);
    // The users' `active` ends; what is told of that comes once.
    pair.pass(100 * TICK_MS);
    let seconds: Vec<_> = (0..1_000).map(|_| pair.second()).collect();
    let (frames, bytes) = totals(&seconds);
    println!(
        "an idle realm, a second: {:.2} frames of {:.0} bytes out of a node, {:.2} µs to look at it, {:.2} µs to \
         hear one other node",
        frames / seconds.len() as f64,
        bytes / frames,
        median(&seconds, |cost| cost.sent),
        median(&seconds, |cost| cost.received),
    );
}

/// So many users turn away or back each second.
fn steady(times: Times, changes: u32) {
    const USERS: u32 = 10_000;
    let mut pair = Pair::new(times, USERS);
    let second = |second| {
        let status = if second % 2 == 0 { Status::Idle } else { Status::Active };
        (0..changes).for_each(|turn| pair.report(turn * 7 % USERS, status));
        pair.second()
    };
    let seconds: Vec<_> = (0..30).map(second).collect();
    let ((frames, bytes), changes) = (totals(&seconds), f64::from(changes));
    println!(
        "{changes:>16} {:>9.2} {:>15.1} {:>20.2} {:>22.2}",
        frames / seconds.len() as f64,
        bytes / seconds.len() as f64 / changes,
        median(&seconds, |cost| cost.sent) / changes,
        median(&seconds, |cost| cost.received) / changes,
    );
}

/// A node died, and all its users come to another within a second.
fn storm(times: Times) {
    const USERS: u32 = 10_000;
    let second = |_| {
        let mut pair = Pair::new(times, 0);
        for part in 0..4 {
            let users = part * USERS / 4..(part + 1) * USERS / 4;
            users.for_each(|user| pair.connect(user, user, Status::Active));
            pair.pass(PUBLISH_MS);
        }
        pair.second()
    };
    let seconds: Vec<_> = (0..9).map(second).collect();
    let (frames, bytes) = totals(&seconds[..1]);
    println!(
        "{USERS} users come within a second: {frames} frames of {bytes} bytes, {:.1} ms on their node, {:.1} ms on \
         each other",
        median(&seconds, |cost| cost.sent) / 1e3,
        median(&seconds, |cost| cost.received) / 1e3
    );
}

fn totals(seconds: &[Cost]) -> (f64, f64) {
    let frames: u64 = seconds.iter().map(|cost| cost.frames).sum();
    let bytes: u64 = seconds.iter().map(|cost| cost.bytes).sum();
    (frames as f64, bytes as f64)
}

/// In microseconds. A second in which something else ran does not count.
fn median(seconds: &[Cost], of: impl Fn(&Cost) -> Duration) -> f64 {
    let mut times: Vec<_> = seconds.iter().map(of).collect();
    times.sort_unstable();
    micros(times[times.len() / 2])
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
