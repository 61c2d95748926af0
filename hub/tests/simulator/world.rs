//! A world: a log, a bus, nodes and clients under one seed.

use std::collections::VecDeque;
use std::fmt;

use squall_hub::keeper::ReloadReason;
use squall_hub::ring::RingLimits;
use squall_protocol::client_message::Scope;
use squall_protocol::server_message::ResetReason;
use squall_protocol::{Epoch, Mark, Position, Sequence, UserId};

use crate::bus::Bus;
use crate::client::{Client, Truth};
use crate::log::{Log, Tables};
use crate::mutation::Mutation;
use crate::node::{Input, Node, Options};
use crate::reference::Reference;
use crate::rng::Rng;
use crate::socket::Wire;
use crate::storm::Storm;
use crate::workload;
use crate::writer_link::WriterLink;

/// Everything there is, at `now_ms`.
pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) now_ms: u64,
    step: u64,
    pub(crate) log: Log,
    pub(crate) reference: Reference,
    pub(crate) bus: Bus,
    pub(crate) link: WriterLink,
    pub(crate) nodes: Vec<Node>,
    pub(crate) clients: Vec<Client>,
    pub(crate) options: Options,
    /// Which rare things happen in this storm.
    pub(crate) storm: Storm,
    /// Events the log keeps, at the least.
    pub(crate) window: u64,
    /// Half frames that a kernel takes, at the most.
    pub(crate) room_max: u64,
    pub(crate) tally: Tally,
    trace: Option<Trace>,
}

/// What happened, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) worlds: u64,
    pub(crate) steps: u64,
    pub(crate) events: u64,
    pub(crate) delivered: u64,
    pub(crate) connects: u64,
    pub(crate) resets: Resets,
    pub(crate) reloads: u64,
    pub(crate) set_backs: u64,
    pub(crate) restarts: u64,
    /// The most steps it took to converge after the faults had ended.
    pub(crate) calm_steps_max: u64,
}

/// Resets told, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Resets {
    expired: u64,
    epoch: u64,
    future: u64,
}

/// What went wrong, when, for whom, and what led to it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) seed: u64,
    pub(crate) step: u64,
    pub(crate) client: Option<usize>,
    pub(crate) what: String,
    pub(crate) trace: VecDeque<String>,
}

/// The last things that touched one client; only what touched everybody, without one.
struct Trace {
    client: Option<usize>,
    lines: VecDeque<String>,
    /// The events that it read in a row just now: the first, and how many.
    run: Option<(Sequence, usize)>,
}

/// A breach, and which client saw it, if any.
pub(crate) type Breach = (Option<usize>, String);

/// A world is a few storms, each followed by a calm in which everything must converge.
const STORMS: u64 = 4;
const STORM_STEPS: u64 = 450;
/// The smallest socket takes two frames a step, and a client may have missed a thousand events.
const CALM_STEPS_MAX: u64 = 1_000;
const CALM_STEP_MS: u64 = 50;

const START_MS: u64 = 1_000_000;
const TRACE_LINES_MAX: usize = 40;

impl World {
    /// Lives through the world of `seed`. A failure comes with what led to it: the world is lived through
    /// again to see that.
    pub(crate) fn run(seed: u64, mutation: Mutation) -> Result<Tally, Failure> {
        let mut world = Self::new(seed, mutation);
        let Err((client, what)) = world.live() else { return Ok(world.tally) };
        let step = world.step;
        let mut again = Self::new(seed, mutation);
        again.trace = Some(Trace { client, lines: VecDeque::new(), run: None });
        let _ = again.live();
        let trace = again.trace.map(|trace| trace.lines).unwrap_or_default();
        Err(Failure { seed, step, client, what, trace })
    }

    fn new(seed: u64, mutation: Mutation) -> Self {
        let mut rng = Rng::new(seed);
        let users = rng.within(3..=9);
        let streams = rng.within(2..=4);
        let base = Position {
            epoch: Epoch(rng.within(1..=1_000)),
            sequence: Sequence([0, 500, 1_000][rng.index(3)] + rng.within(1..=30)),
            mark: Mark(rng.next() as u32),
        };
        let origin = workload::origin(users, streams, &mut rng);
        let mut tables = Tables::default();
        origin.iter().for_each(|event| tables.apply(event, Sequence::ZERO));
        let ring = RingLimits { events_max: [8, 30, 120, 1_000][rng.index(4)], bytes_max: 1 << 20 };
        let options = Options { shards: rng.within(1..=2) as usize, ring, mutation };
        let nodes: Vec<_> =
            (0..rng.within(1..=4) as usize).map(|node| Node::start(node, 0, options, true)).collect();
        let scope = |rng: &mut Rng| if rng.per_mille(800) { Scope::Realm } else { Scope::None };
        let devices = (1..=users as u32).chain(1..=users as u32 / 2);
        let clients = devices.map(|user| Client::new(UserId(user), scope(&mut rng))).collect();
        Self {
            now_ms: START_MS,
            step: 0,
            log: Log::new(base, tables),
            reference: Reference::new(base, &origin),
            bus: Bus::new(nodes.len()),
            link: WriterLink::default(),
            nodes,
            clients,
            options,
            storm: Storm::default(),
            window: rng.within(20..=400),
            room_max: rng.within(4..=60),
            tally: Tally { worlds: 1, ..Tally::default() },
            trace: None,
            rng,
        }
    }

    fn live(&mut self) -> Result<(), Breach> {
        for _ in 0..STORMS {
            self.begin_storm();
            for _ in 0..STORM_STEPS {
                self.storm_step()?;
            }
            self.end_storm();
            self.calm()?;
        }
        Ok(())
    }

    /// The faults are over: everybody gets everything, soon.
    fn calm(&mut self) -> Result<(), Breach> {
        let mut last = (None, String::new());
        for step in 0..CALM_STEPS_MAX {
            self.connect_some(1_000);
            self.pass(CALM_STEP_MS, true)?;
            match self.is_settled() {
                Ok(()) => {
                    self.tally.calm_steps_max = self.tally.calm_steps_max.max(step);
                    return Ok(());
                }
                Err(unsettled) => last = unsettled,
            }
        }
        Err((last.0, format!("not settled {CALM_STEPS_MAX} steps after the faults ended: {}", last.1)))
    }

    fn is_settled(&self) -> Result<(), Breach> {
        let head = self.log.head();
        for (index, node) in self.nodes.iter().enumerate() {
            if node.position() != Some(head) || !node.shards.iter().all(|shard| shard.is_settled()) {
                return Err((None, format!("node {index} is at {:?}, the log at {head:?}", node.position())));
            }
        }
        let presence: Vec<_> = self.nodes.iter().map(|node| node.presence(self.now_ms)).collect();
        let truth = Truth { log: &self.log, reference: &self.reference };
        for (index, client) in self.clients.iter().enumerate() {
            let shown = client.line.as_ref().and_then(|line| presence[line.node].as_ref());
            client.is_settled(&truth, shown).map_err(|what| (Some(index), what))?;
        }
        Ok(())
    }

    /// Time passes, and with it whatever was under way.
    pub(crate) fn pass(&mut self, pause_ms: u64, in_calm: bool) -> Result<(), Breach> {
        self.step += 1;
        self.tally.steps += 1;
        self.now_ms += pause_ms;
        for (node, publication) in self.bus.deliver(self.now_ms) {
            self.nodes[node].tell(Input::Publication(publication));
        }
        for (from, answer) in self.link.deliver(&self.log, self.now_ms, &mut self.rng) {
            if let Some(node) = self.nodes.iter_mut().find(|node| node.is(from)) {
                node.answer(from, answer);
            }
        }
        self.run_nodes(in_calm)?;
        self.run_clients(in_calm)
    }

    fn run_nodes(&mut self, in_calm: bool) -> Result<(), Breach> {
        for index in 0..self.nodes.len() {
            let writes_max = if in_calm { usize::MAX } else { self.rng.within(1..=60) as usize };
            let node = &mut self.nodes[index];
            node.run(self.now_ms, writes_max);
            for (from, ask) in std::mem::take(&mut node.asks) {
                self.link.ask(from, ask, self.now_ms, &mut self.rng);
            }
            if let Some(breach) = node.breach.take() {
                return Err((None, format!("node {index}: {breach}")));
            }
            for (why, at, knows) in std::mem::take(&mut node.reloads) {
                self.judge_reload(index, why, at, knows)?;
            }
            self.write_for(index);
        }
        Ok(())
    }

    /// A keeper may lose the thread only if the log gave it cause to.
    fn judge_reload(
        &mut self,
        node: usize,
        why: ReloadReason,
        at: Position,
        knows: u32,
    ) -> Result<(), Breach> {
        self.tally.reloads += 1;
        let cause = match why {
            ReloadReason::Epoch => self.log.set_backs() > knows,
            ReloadReason::Expired => self.log.floor() >= at.sequence,
            // Where it stood when it met the event is not told: early publications may have taken it past that.
            ReloadReason::UnknownKind => self.reference.unreadable() > Sequence::ZERO,
        };
        let what = || format!("node {node} at {at:?} loaded its realm anew ({why:?}) without a cause");
        if cause { Ok(()) } else { Err((None, what())) }
    }

    fn run_clients(&mut self, in_calm: bool) -> Result<(), Breach> {
        let Self { clients, log, reference, rng, trace, tally, now_ms, .. } = self;
        let truth = Truth { log, reference };
        for (index, client) in clients.iter_mut().enumerate() {
            let frames_max = if in_calm { usize::MAX } else { rng.within(0..=12) as usize };
            let note = |wire: &Wire| {
                tally.note(wire);
                if let Some(trace) = trace.as_mut().filter(|trace| trace.client == Some(index)) {
                    trace.push_read(*now_ms, wire);
                }
            };
            client.read(frames_max, &truth, *now_ms, note).map_err(|what| (Some(index), what))?;
        }
        Ok(())
    }

    /// Something touched `client`.
    pub(crate) fn note(&mut self, client: usize, what: impl FnOnce() -> String) {
        if let Some(trace) = self.trace.as_mut().filter(|trace| trace.client == Some(client)) {
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
    /// Events in a row take one line.
    fn push_read(&mut self, now_ms: u64, wire: &Wire) {
        let Wire::Event(event) = wire else { return self.push(now_ms, format!("reads {wire}")) };
        let (first, count) = self.run.unwrap_or((event.sequence(), 0));
        if self.run.is_some() {
            self.lines.pop_back();
        }
        self.push(now_ms, format!("reads {} events from {first} on, at last {wire}", count + 1));
        self.run = Some((first, count + 1));
    }

    fn push(&mut self, now_ms: u64, what: String) {
        self.run = None;
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
        self.events += other.events;
        self.delivered += other.delivered;
        self.connects += other.connects;
        self.resets.expired += other.resets.expired;
        self.resets.epoch += other.resets.epoch;
        self.resets.future += other.resets.future;
        self.reloads += other.reloads;
        self.set_backs += other.set_backs;
        self.restarts += other.restarts;
        self.calm_steps_max = self.calm_steps_max.max(other.calm_steps_max);
    }

    fn note(&mut self, wire: &Wire) {
        match wire {
            Wire::Welcome { .. } => self.connects += 1,
            Wire::Event(_) => self.delivered += 1,
            Wire::Reset { reason: ResetReason::Expired, .. } => self.resets.expired += 1,
            Wire::Reset { reason: ResetReason::Epoch, .. } => self.resets.epoch += 1,
            Wire::Reset { reason: ResetReason::Future, .. } => self.resets.future += 1,
            Wire::Position(_)
            | Wire::Snapshot(..)
            | Wire::Diff(..)
            | Wire::Ping
            | Wire::Answer
            | Wire::Close(_) => {}
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, step {}: {}", self.seed, self.step, self.what)?;
        match self.client {
            Some(client) => writeln!(f, "what led to it at client {client}:")?,
            None => writeln!(f, "what led to it:")?,
        }
        self.trace.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        write!(f, "reproduce it by: make sim SEED={} STEPS=1", self.seed)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} steps in {} worlds, settled within {}",
            self.steps, self.worlds, self.calm_steps_max
        )?;
        writeln!(f, "{} events committed, {} delivered", self.events, self.delivered)?;
        let Resets { expired, epoch, future } = self.resets;
        writeln!(
            f,
            "{} sessions, reset {expired} as expired, {epoch} epoch, {future} future",
            self.connects
        )?;
        write!(f, "{} restarts, {} set-backs, {} reloads", self.restarts, self.set_backs, self.reloads)
    }
}
