//! The most deliveries a second when sends are pipelined.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::SERVER_CORE;
use crate::gateway::{Gateway, Sends};
use crate::load::Load;
use crate::options::Options;
use crate::process::{Cpu, Process};
use crate::rate::start_floor;
use crate::stats::{Stats, percentile};

/// Senders of a realm.
const SENDERS: usize = 16;
/// Before it is measured.
const WARM_UP: Duration = Duration::from_secs(1);
const TURN: Duration = Duration::from_millis(100);

/// One server's part.
struct Side<'a> {
    process: &'a Process,
    load: Load,
    sends: Option<Sends>,
    sent: usize,
}

struct Block {
    cpu: Cpu,
    load: Duration,
    took: Duration,
    deliveries: usize,
    together: usize,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let gateway = Gateway::start(options, &[SERVER_CORE])?;
    let load = Load::open(gateway.address, &gateway.hellos(options), options)?;
    let mut gateway = Side { process: &gateway.process, load, sends: Some(gateway.sends(options)), sent: 0 };
    gateway.load.settle()?;
    gateway.block(options, Duration::ZERO)?;
    let process = start_floor(options, gateway.load.frame_bytes)?;
    let address = process.address_after("listening on ")?;
    let load = Load::open(address, &vec![Vec::new(); options.sockets], options)?;
    let mut floor = Side { process: &process, load, sends: None, sent: 0 };
    println!(
        "{} sockets, {} realms, {} sends in flight a realm, {} B of payload in frames of {} B",
        options.sockets, options.realms, options.in_flight, options.payload_bytes, gateway.load.frame_bytes
    );
    for (name, side) in [("gateway", &mut gateway), ("floor", &mut floor)] {
        side.block(options, WARM_UP)?;
        side.load.latencies_us.clear();
        let mut blocks = Vec::new();
        for _ in 0..options.blocks() {
            blocks.push(side.block(options, options.block)?);
        }
        report(name, &blocks);
        side.load.latencies_us.sort_unstable();
        let at = |percent| percentile(&side.load.latencies_us, percent) / 1000.0;
        println!("{name:<8} p50 {:.1} ms, p99 {:.1} ms from the send", at(50.0), at(99.0));
    }
    Ok(())
}

fn report(name: &str, blocks: &[Block]) {
    let stats = |figure: &dyn Fn(&Block) -> f64| Stats::of(blocks.iter().map(figure).collect());
    let (mut cpu, mut deliveries) = (Cpu::default(), 0);
    for block in blocks {
        cpu.add(&block.cpu);
        deliveries += block.deliveries;
    }
    println!(
        "{name:<8} {} thousand deliveries/s, {} µs CPU each ({}), {} events in one read; server {} and clients {} of a core",
        stats(&|block| block.deliveries as f64 / block.took.as_secs_f64() / 1e3),
        stats(&|block| block.cpu.total().as_secs_f64() * 1e6 / block.deliveries as f64),
        cpu.shares(deliveries),
        stats(&|block| block.deliveries as f64 / (block.deliveries - block.together).max(1) as f64),
        stats(&|block| block.cpu.total().as_secs_f64() / block.took.as_secs_f64()),
        stats(&|block| block.load.as_secs_f64() / block.took.as_secs_f64()),
    );
}

impl Side<'_> {
    /// Keeps as many sends in flight as asked for, over `time`, and then waits for the rest.
    fn block(&mut self, options: &Options, time: Duration) -> Result<Block> {
        while self.load.turn(Some(Duration::ZERO))? {}
        let (delivered, together, sent_before) = (self.load.delivered, self.load.together, self.sent);
        let (cpu, own, start) = (self.process.cpu()?, Cpu::own()?.total(), Instant::now());
        let mut first = true;
        while first || start.elapsed() < time {
            first = false;
            // Over all realms and sockets, so that no one socket's pace is everybody's.
            let done = (self.load.delivered - delivered) * options.realms / options.sockets;
            let in_flight = self.sent - sent_before - done.min(self.sent - sent_before);
            for _ in in_flight..options.in_flight * options.realms {
                let (realm, turn) = (self.sent % options.realms, self.sent / options.realms % SENDERS);
                let frame = match &self.sends {
                    Some(sends) => sends.frame(realm, self.sent)?,
                    None => vec![b'.'],
                };
                self.load.send(realm, turn, &frame, Instant::now())?;
                self.sent += 1;
            }
            self.load.turn(Some(TURN))?;
        }
        let (took, deliveries) = (start.elapsed(), self.load.delivered - delivered);
        let block = Block {
            cpu: self.process.cpu()?.since(&cpu),
            load: Cpu::own()?.total() - own,
            took,
            deliveries,
            together: self.load.together - together,
        };
        let sent = sent_before..self.sent;
        let expected: usize = sent.map(|number| self.load.sockets_of(number % options.realms)).sum();
        self.load.drain(delivered + expected, Duration::from_secs(30))?;
        Ok(block)
    }
}
