//! CPU per delivery at a fixed rate.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::floor;
use crate::gateway::{Gateway, Sends};
use crate::load::Load;
use crate::options::Options;
use crate::process::{Cpu, Process};
use crate::stats::{Stats, percentile};
use crate::{LOAD_CORE, SERVER_CORE};

/// Past this share of its core the receiving side may have been what limited a block.
const LOAD_SHARE_MAX: f64 = 0.9;
/// Events that leave in one write share its cost: more of them than this, and it is another measurement.
const TOGETHER_SHARE_MAX: f64 = 0.05;
/// How long deliveries may take after the last send.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// A server under load.
pub(crate) struct Side<'a> {
    pub(crate) process: &'a Process,
    pub(crate) load: Load,
    /// None for the floor: a byte asks for an event.
    pub(crate) sends: Option<Sends>,
    sent: usize,
}

/// What one block showed.
struct Block {
    cpu: Cpu,
    deliveries: usize,
    together: f64,
    load_share: f64,
    late: Duration,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let gateway = Gateway::start(options, &[SERVER_CORE])?;
    let load = Load::open(gateway.address, &gateway.hellos(options), options)?;
    let mut gateway = Side { process: &gateway.process, load, sends: Some(gateway.sends(options)), sent: 0 };
    gateway.load.settle()?;
    // One event, to know how long its frame is.
    gateway.block(options, options.realms)?;
    let process = start_floor(options, gateway.load.frame_bytes)?;
    let address = process.address_after("listening on ")?;
    let load = Load::open(address, &vec![Vec::new(); options.sockets], options)?;
    let mut floor = Side { process: &process, load, sends: None, sent: 0 };
    floor.block(options, options.realms)?;

    let events = (options.rate * options.block.as_secs_f64() * options.realms as f64) as usize;
    let (mut ratios, mut costs, mut floor_costs, mut cpu) = (vec![], vec![], vec![], Cpu::default());
    let (mut deliveries, mut off, mut late) = (0, 0, Duration::ZERO);
    [&mut gateway, &mut floor].into_iter().for_each(|side| side.load.latencies_us.clear());
    for _ in 0..options.blocks() {
        let (ours, bare) = (gateway.block(options, events)?, floor.block(options, events)?);
        late = late.max(ours.late).max(bare.late);
        if !ours.counts() || !bare.counts() {
            off += 1;
            continue;
        }
        ratios.push(ours.cost() / bare.cost());
        costs.push(ours.cost());
        floor_costs.push(bare.cost());
        cpu.add(&ours.cpu);
        deliveries += ours.deliveries;
    }
    let Options { sockets, users, realms, streams, rate, payload_bytes, .. } = options;
    println!(
        "{sockets} sockets of {users} users with {streams} streams each in {realms} realms, {rate} events/s of \
         {payload_bytes} B in each; clients on core {LOAD_CORE}"
    );
    if off > ratios.len() {
        bail!("{off} of {} pairs of blocks were spoilt: is the machine busy?", off + ratios.len());
    }
    println!(
        "pairs of blocks: {} count, {off} were spoilt by something else on the machine; the latest send was {late:?} late",
        ratios.len()
    );
    println!(
        "gateway  {} µs CPU a delivery (median; quartiles): {}",
        Stats::of(costs),
        cpu.shares(deliveries)
    );
    println!("floor    {} µs CPU a delivery", Stats::of(floor_costs));
    println!("ratio    {}", Stats::of(ratios));
    for (name, side) in [("gateway", &mut gateway), ("floor", &mut floor)] {
        side.load.latencies_us.sort_unstable();
        let at = |percent| percentile(&side.load.latencies_us, percent) / 1000.0;
        println!("{name:<8} p50 {:.2} ms, p99 {:.2} ms from the scheduled send", at(50.0), at(99.0));
    }
    Ok(())
}

/// Starts the floor for frames as long as the gateway's.
pub(crate) fn start_floor(options: &Options, frame_bytes: usize) -> Result<Process> {
    let floor = floor::Options { frame_bytes, realms: options.realms, codec: options.codec };
    let arguments = floor.arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Process::start(&std::env::current_exe()?, &arguments, &[SERVER_CORE])
}

impl Side<'_> {
    /// Sends `events` on schedule, realms taking turns, and waits for every delivery.
    fn block(&mut self, options: &Options, events: usize) -> Result<Block> {
        // What came while it was the other's turn.
        while self.load.turn(Some(Duration::ZERO))? {}
        let (delivered, together) = (self.load.delivered, self.load.together);
        let (cpu, own, start) = (self.process.cpu()?, Cpu::own()?.total(), Instant::now());
        let (interval, mut late, mut expected) = (
            Duration::from_secs_f64(1.0 / (options.rate * options.realms as f64)),
            Duration::ZERO,
            delivered,
        );
        for event in 0..events {
            let due = start + interval * u32::try_from(event)?;
            while let Some(wait) = due.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero()) {
                self.load.turn(Some(wait))?;
            }
            late = late.max(due.elapsed());
            let realm = event % options.realms;
            let frame = match &self.sends {
                Some(sends) => sends.frame(realm, self.sent)?,
                None => vec![b'.'],
            };
            self.load.send(realm, 0, &frame, due)?;
            self.sent += 1;
            expected += self.load.sockets_of(realm);
        }
        self.load.drain(expected, DRAIN_MAX)?;
        let took = start.elapsed();
        let deliveries = self.load.delivered - delivered;
        Ok(Block {
            cpu: self.process.cpu()?.since(&cpu),
            deliveries,
            together: (self.load.together - together) as f64 / deliveries as f64,
            load_share: (Cpu::own()?.total() - own).as_secs_f64() / took.as_secs_f64(),
            late,
        })
    }
}

impl Block {
    fn cost(&self) -> f64 {
        self.cpu.total().as_secs_f64() * 1e6 / self.deliveries as f64
    }

    /// Whether something else than the server decided its figures: then it says nothing.
    fn counts(&self) -> bool {
        self.load_share <= LOAD_SHARE_MAX && self.together <= TOGETHER_SHARE_MAX
    }
}
