//! A world: nodes, devices, a bus and a writer under one seed.

use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use squall_protocol::UserId;

use crate::bus::Bus;
use crate::client::Client;
use crate::devices::{Dead, Device, Line};
use crate::judge::{self, Breach, CutOff, Judge, RECOVERY_MS, TICK_MS, TWO_FAILURES_MS};
use crate::mutation::Mutation;
use crate::node::{Input, Node};
use crate::record::Record;
use crate::rng::Rng;
use crate::storm::Storm;
use crate::writer::Writer;

/// Everything there is, at `now_ms` by the true clock.
pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) mutation: Mutation,
    pub(crate) now_ms: u64,
    step: u64,
    /// By their place; none while it is down.
    pub(crate) nodes: Vec<Option<Node>>,
    pub(crate) starts_ms: Vec<u64>,
    pub(crate) lives: u64,
    pub(crate) sessions: u64,
    pub(crate) devices: Vec<Device>,
    pub(crate) dead: Vec<Dead>,
    pub(crate) bus: Bus,
    pub(crate) writer: Writer,
    pub(crate) record: Record,
    pub(crate) storm: Storm,
    /// When something was last not as it should be, and since when it was so without a break.
    bad_ms: u64,
    bad_since_ms: u64,
    cut_off: CutOff,
    writer_down_ms: u64,
    pub(crate) tally: Tally,
    trace: Option<Trace>,
}

/// What happened, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) worlds: u64,
    pub(crate) steps: u64,
    pub(crate) connects: u64,
    pub(crate) crashes: u64,
    pub(crate) reopenings: u64,
    told: u64,
    frames: u64,
    bytes: u64,
}

/// What went wrong, when, for whom, and what led to it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) seed: u64,
    pub(crate) step: u64,
    pub(crate) user: Option<UserId>,
    pub(crate) what: String,
    pub(crate) trace: VecDeque<String>,
}

/// The last things that touched one user or everybody.
struct Trace {
    user: Option<UserId>,
    lines: VecDeque<String>,
}

const ROUNDS: u64 = 2;
const STEP_MS: u64 = 50;
const START_MS: u64 = 1_763_818_000_000;
const TRACE_LINES_MAX: usize = 60;

impl World {
    /// Lives through the world of `seed`. A failure comes with what led to it: the world is lived through
    /// again to see that.
    pub(crate) fn run(seed: u64, mutation: Mutation) -> Result<Tally, Failure> {
        let mut world = Self::new(seed, mutation);
        let Err((user, what)) = world.live() else { return Ok(world.tally()) };
        let step = world.step;
        let mut again = Self::new(seed, mutation);
        again.trace = Some(Trace { user, lines: VecDeque::new() });
        let _ = again.live();
        let trace = again.trace.map(|trace| trace.lines).unwrap_or_default();
        Err(Failure { seed, step, user, what, trace })
    }

    fn new(seed: u64, mutation: Mutation) -> Self {
        let mut rng = Rng::new(seed);
        let nodes = rng.within(2..=4) as usize;
        let users = rng.within(3..=8) as u32;
        // Half of the users have two devices.
        let devices = (1..=users).chain(1..=users / 2).map(|user| Device {
            user: UserId(user),
            is_active: user % 2 == 0,
            line: Line::Off { back_ms: START_MS + rng.within(0..=20_000) },
        });
        Self {
            devices: devices.collect(),
            mutation,
            now_ms: START_MS,
            step: 0,
            nodes: (0..nodes).map(|_| None).collect(),
            starts_ms: (0..nodes).map(|_| START_MS + rng.within(0..=5_000)).collect(),
            lives: 0,
            sessions: 0,
            dead: Vec::new(),
            bus: Bus::new(nodes),
            writer: Writer::default(),
            record: Record::default(),
            storm: Storm::default(),
            bad_ms: START_MS,
            bad_since_ms: START_MS,
            cut_off: CutOff::default(),
            writer_down_ms: START_MS,
            tally: Tally { worlds: 1, ..Tally::default() },
            trace: None,
            rng,
        }
    }

    fn live(&mut self) -> Result<(), Breach> {
        for _ in 0..ROUNDS {
            self.begin_storm();
            let storm_ms = self.rng.within(40_000..=150_000);
            self.pass(storm_ms)?;
            self.begin_good_times();
            let good_ms = self.rng.within(150_000..=300_000);
            self.pass(good_ms)?;
            self.begin_calm();
            self.pass(TWO_FAILURES_MS + 10_000)?;
            self.all_agree()?;
        }
        Ok(())
    }

    fn all_agree(&self) -> Result<(), Breach> {
        let open = self.nodes.iter().flatten().filter_map(|node| node.open.as_ref());
        let clients: Vec<&Client> = open.filter_map(|open| open.client.as_ref()).collect();
        if clients.len() < self.nodes.len() {
            return Err((None, "a node has no clients when all is quiet".into()));
        }
        judge::all_agree(&self.record, &clients, self.now_ms)
    }

    fn pass(&mut self, ms: u64) -> Result<(), Breach> {
        for _ in 0..ms / STEP_MS {
            self.step += 1;
            self.tally.steps += 1;
            self.now_ms += STEP_MS;
            self.act();
            self.forget_dead_of_users_gone();
            self.start_nodes();
            self.run_devices(self.storm.moves);
            self.carry();
            self.run_nodes()?;
        }
        Ok(())
    }

    /// Whatever was under way arrives.
    fn carry(&mut self) {
        let stalled = self.nodes.iter().flatten().any(|node| node.is_stalled(self.now_ms));
        if stalled || !self.bus.is_good(self.now_ms) || !self.writer.is_good() {
            if self.bad_ms + RECOVERY_MS < self.now_ms {
                self.bad_since_ms = self.now_ms;
            }
            self.bad_ms = self.now_ms;
        }
        if self.writer.is_down() {
            self.writer_down_ms = self.now_ms;
        }
        let was_well = self.bad_since_ms + 5 * TICK_MS > self.now_ms && self.bad_since_ms > START_MS;
        let down = self.nodes.iter().enumerate().filter(|(place, _)| !self.bus.is_up(*place));
        let down = down.filter_map(|(_, node)| Some(node.as_ref()?.id));
        let since = |node| self.cut_off.0.get(&node).copied().or(was_well.then_some(self.bad_since_ms));
        self.cut_off = CutOff(down.filter_map(|node| Some((node, since(node)?))).collect());
        for (place, frame) in self.bus.deliver(self.now_ms) {
            if let Some(node) = &mut self.nodes[place] {
                node.tell(Input::Frame(frame));
            }
        }
        for answer in self.writer.deliver(self.now_ms) {
            if let Some(node) = self.nodes.iter_mut().flatten().find(|node| node.id == answer.to) {
                node.tell(Input::Answer(Rc::new(answer)));
            }
        }
    }

    fn run_nodes(&mut self) -> Result<(), Breach> {
        for place in 0..self.nodes.len() {
            let Some(node) = &mut self.nodes[place] else { continue };
            let of_node = |(user, what)| (user, format!("node {place}: {what}"));
            node.run(&mut self.writer, self.now_ms).map_err(|what| of_node((None, what)))?;
            for device in std::mem::take(&mut node.parted) {
                self.record.parted(node.source(), device, self.now_ms);
            }
            for frame in std::mem::take(&mut node.frames) {
                self.bus.publish(place, frame, self.now_ms, &mut self.rng);
            }
            if let Some((lease, sent_ms)) = node.ask.take() {
                self.writer.ask(node.id, lease, sent_ms, self.now_ms, &mut self.rng);
            }
            let Some(told) = node.ticked.take() else { continue };
            let Some(open) = &mut node.open else { continue };
            if self.rng.per_mille(100) {
                open.be_slow().map_err(|what| of_node((None, what)))?;
            }
            let (opened_ms, client) = (open.opened_ms, open.client.clone());
            if let Some(diff) = &told {
                self.tally.told += 1;
                if let Some(trace) = &mut self.trace {
                    trace.push_told(self.now_ms, place, diff);
                }
            }
            let Some(client) = client else { continue };
            let judge = Judge {
                record: &self.record,
                node,
                opened_ms,
                bad_ms: self.bad_ms,
                cut_off: &self.cut_off,
                writer_down_ms: self.writer_down_ms,
                now_ms: self.now_ms,
            };
            judge.judge(told.as_ref(), &client).map_err(of_node)?;
        }
        Ok(())
    }

    fn tally(&self) -> Tally {
        Tally { frames: self.bus.frames, bytes: self.bus.bytes, ..self.tally }
    }

    /// Something touched `user`.
    pub(crate) fn note(&mut self, user: UserId, what: impl FnOnce() -> String) {
        if let Some(trace) = self.trace.as_mut().filter(|trace| trace.user == Some(user)) {
            trace.push(self.now_ms, what());
        }
    }

    /// Something touched everybody.
    pub(crate) fn note_all(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(self.now_ms, what());
        }
    }
}

impl Trace {
    fn push_told(&mut self, now_ms: u64, place: usize, diff: &squall_protocol::server_message::PresenceDiff) {
        let Some(user) = self.user else { return };
        let offline = diff.offline.iter().any(|(gone, _)| *gone == user);
        let (active, idle) = (diff.active.contains(&user), diff.idle.contains(&user));
        let what = ["active", "idle", "offline"].into_iter().zip([active, idle, offline]).find(|(_, is)| *is);
        if let Some((what, _)) = what {
            self.push(now_ms, format!("is told as {what} by node {place}"));
        }
    }

    fn push(&mut self, now_ms: u64, what: String) {
        if self.lines.len() == TRACE_LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(format!("{:>7} ms  {what}", now_ms - START_MS));
    }
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.worlds += other.worlds;
        self.steps += other.steps;
        self.connects += other.connects;
        self.crashes += other.crashes;
        self.reopenings += other.reopenings;
        self.told += other.told;
        self.frames += other.frames;
        self.bytes += other.bytes;
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.map_or(String::new(), |user| format!("user {user} "));
        writeln!(f, "seed {}, step {}: {user}{}", self.seed, self.step, self.what)?;
        writeln!(f, "what led to it:")?;
        self.trace.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        write!(f, "reproduce it by: make sim SEED={} STEPS=1", self.seed)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = (self.steps * STEP_MS) as f64 / 3_600_000.0;
        writeln!(f, "{} steps in {} worlds, {hours:.1} hours", self.steps, self.worlds)?;
        let Self { connects, crashes, reopenings, told, frames, bytes, .. } = self;
        writeln!(f, "{connects} connections, {crashes} nodes died, {reopenings} realms loaded anew")?;
        write!(f, "{told} diffs told to clients; {frames} frames of {bytes} bytes between nodes")
    }
}
