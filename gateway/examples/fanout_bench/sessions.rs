//! CPU per handshake, and memory per session.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::SERVER_CORE;
use crate::gateway::Gateway;
use crate::load::Load;
use crate::options::Options;
use crate::process::Process;
use crate::rate::start_floor;

/// Any length will do: the floor writes none.
const FRAME_BYTES: usize = 400;
/// How long the messages of the burst may take to reach everybody.
const BURST_MAX: Duration = Duration::from_secs(120);
/// Longer than the gateway waits for a goodbye and for time-outs.
const AFTERWARDS: Duration = Duration::from_secs(5);

pub(crate) fn run(options: &Options) -> Result<()> {
    let floor = start_floor(options, FRAME_BYTES)?;
    let address = floor.address_after("listening on ")?;
    let opened = handshakes("floor", &floor, options, || {
        Load::open(address, &vec![Vec::new(); options.sockets], options)
    })?;
    drop((opened, floor));

    let gateway = Gateway::start(options, &[SERVER_CORE])?;
    // The realms are loaded, and what a first session makes is made.
    let first = Options { sockets: options.realms, ..options.clone() };
    let mut witnesses = Load::open(gateway.address, &gateway.hellos(&first), &first)?;
    witnesses.settle()?;
    let empty = Memory::of(&gateway.process, 0)?;
    empty.report("realms loaded, one session in each", &empty, options);
    let hellos = gateway.hellos(options);
    let mut load =
        handshakes("gateway", &gateway.process, options, || Load::open(gateway.address, &hellos, options))?;
    load.settle()?;
    while witnesses.turn(Some(Duration::ZERO))? {}
    Memory::of(&gateway.process, 0)?.report("sessions open and at rest", &empty, options);

    let sends = gateway.sends(options);
    for number in 0..options.burst * options.realms {
        let realm = number % options.realms;
        load.send(realm, 0, &sends.frame(realm, number)?, Instant::now())?;
        if number % 256 == 0 {
            load.turn(Some(Duration::ZERO))?;
        }
    }
    load.drain(options.burst * options.sockets, BURST_MAX)?;
    load.settle()?;
    drop(witnesses);
    let ring = options.burst * options.realms * ring_event_bytes(load.frame_bytes);
    Memory::of(&gateway.process, ring)?.report(
        "after the burst, less its events in the rings",
        &empty,
        options,
    );

    drop(load);
    std::thread::sleep(AFTERWARDS);
    Memory::of(&gateway.process, ring)?.report("after all left", &empty, options);
    Ok(())
}

/// What an event takes in the ring: its body, its frame and the entry.
fn ring_event_bytes(frame_bytes: usize) -> usize {
    2 * frame_bytes + 200
}

/// Opens the sockets and says what each took of the server's CPU.
fn handshakes(
    name: &str,
    process: &Process,
    options: &Options,
    open: impl FnOnce() -> Result<Load>,
) -> Result<Load> {
    let (cpu, start) = (process.cpu()?, Instant::now());
    let load = open()?;
    let (cpu, took) = (process.cpu()?.since(&cpu), start.elapsed());
    println!(
        "{name:<8} {:.1} µs CPU a handshake ({}), {:.0} a second, {} at once",
        cpu.total().as_secs_f64() * 1e6 / options.sockets as f64,
        cpu.shares(options.sockets),
        options.sockets as f64 / took.as_secs_f64(),
        options.opening,
    );
    Ok(load)
}

struct Memory {
    pss_bytes: u64,
}

impl Memory {
    /// What the process has, `less` some bytes.
    fn of(process: &Process, less: usize) -> Result<Self> {
        Ok(Self { pss_bytes: process.pss_bytes()?.saturating_sub(less as u64) })
    }

    fn report(&self, when: &str, empty: &Self, options: &Options) {
        let more = self.pss_bytes as f64 - empty.pss_bytes as f64;
        println!(
            "{when}: {:.1} MiB, {:.0} B a session more than before them",
            self.pss_bytes as f64 / (1024.0 * 1024.0),
            more / options.sockets as f64
        );
    }
}
