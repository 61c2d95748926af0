//! Send to acknowledged, and send to delivered, at a low rate of sends over many realms.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::SERVER_CORE;
use crate::gateway::Gateway;
use crate::load::Load;
use crate::options::Options;
use crate::stats::percentile;

const FSYNCS: usize = 200;

/// `rate` is that of all realms together.
pub(crate) fn run(options: &Options) -> Result<()> {
    let gateway = Gateway::start(options, &[SERVER_CORE])?;
    let mut load = Load::open(gateway.address, &gateway.hellos(options), options)?;
    load.settle()?;
    let sends = gateway.sends(options);
    let mut fsyncs = fsyncs_us(gateway.data_dir())?;
    let events = (options.rate * options.duration.as_secs_f64()) as usize;
    let (cpu, start, interval) =
        (gateway.process.cpu()?, Instant::now(), Duration::from_secs_f64(1.0 / options.rate));
    let (mut late, mut expected) = (Duration::ZERO, 0);
    for event in 0..events {
        let due = start + interval * u32::try_from(event)?;
        while let Some(wait) = due.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero()) {
            load.turn(Some(wait))?;
        }
        late = late.max(due.elapsed());
        let realm = event % options.realms;
        load.send(realm, event / options.realms, &sends.frame(realm, event)?, due)?;
        expected += load.sockets_of(realm);
    }
    load.drain(expected, Duration::from_secs(10))?;
    let cpu = gateway.process.cpu()?.since(&cpu);
    fsyncs.extend(fsyncs_us(gateway.data_dir())?);
    println!(
        "{} sessions in {} realms, {} sends/s over all of them; the latest send was {late:?} late",
        options.sockets, options.realms, options.rate
    );
    for (what, figures) in [
        ("fsync of 4 KiB", &mut fsyncs),
        ("send to acknowledged", &mut load.answers_us),
        ("send to delivered", &mut load.latencies_us),
    ] {
        figures.sort_unstable();
        let at = |percent| percentile(figures, percent) / 1000.0;
        println!("{what:<22} p50 {:.3} ms, p90 {:.3} ms, p99 {:.3} ms", at(50.0), at(90.0), at(99.0));
    }
    println!("{:.0} µs CPU a send ({})", cpu.total().as_secs_f64() * 1e6 / events as f64, cpu.shares(events));
    Ok(())
}

/// Appending 4 KiB and having it on the disk, again and again.
fn fsyncs_us(dir: &Path) -> Result<Vec<u32>> {
    let mut file = File::create(dir.join("fsync"))?;
    let mut times = Vec::with_capacity(FSYNCS);
    for _ in 0..FSYNCS {
        let start = Instant::now();
        file.write_all(&[b'x'; 4_096])?;
        file.sync_data()?;
        times.push(u32::try_from(start.elapsed().as_micros())?);
    }
    Ok(times)
}
