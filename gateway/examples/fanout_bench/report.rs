//! Medians, spread, the ratio, and whether they count.

use std::fmt;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::load::Run;
use crate::options::Options;

/// Past this share of its core the receiving side may have been what limited a run.
const LOAD_SHARE_MAX: f64 = 0.9;
/// A send this late was not sent at the rate asked for.
const LATE_MAX: Duration = Duration::from_millis(10);
/// Events that leave in one write share its cost: more of them than this, and it is another measurement.
const TOGETHER_SHARE_MAX: f64 = 0.02;

/// All runs.
pub(crate) struct Report {
    options: Options,
    gateway: Vec<Run>,
    floor: Vec<Run>,
}

impl Report {
    pub(crate) fn new(options: &Options) -> Self {
        Self { options: options.clone(), gateway: Vec::new(), floor: Vec::new() }
    }

    pub(crate) fn add(&mut self, gateway: Run, floor: Run) {
        println!("run {}: gateway {}", self.gateway.len() + 1, one(&gateway));
        println!("run {}: floor   {}", self.floor.len() + 1, one(&floor));
        self.gateway.push(gateway);
        self.floor.push(floor);
    }

    /// An error if something else than the servers decided the figures: then they say nothing.
    pub(crate) fn verdict(&self) -> Result<()> {
        let runs = || self.gateway.iter().chain(&self.floor);
        let share = runs().map(load_share).fold(0.0, f64::max);
        let late = runs().map(|run| run.late_max).max().unwrap_or_default();
        let together = runs().map(together_share).fold(0.0, f64::max);
        if share > LOAD_SHARE_MAX {
            bail!("the client was the limit: it used {:.0} % of its core", share * 100.0);
        }
        if late > LATE_MAX {
            bail!(
                "the client was the limit: a send was {late:?} late; is the machine busy with something else?"
            );
        }
        if together > TOGETHER_SHARE_MAX {
            bail!(
                "{:.0} % of a run's events came together with another, which costs less than one by one; \
                 is the machine busy with something else?",
                together * 100.0
            );
        }
        println!(
            "\nThe client was not the limit: {:.0} % of its core at most, no send later than {late:?}.",
            share * 100.0
        );
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { sockets, users, rate, duration, payload_bytes, runs, .. } = &self.options;
        writeln!(
            f,
            "\n{sockets} sockets of {users} users, {rate} events/s of {payload_bytes} B for {duration:?}, {runs} runs"
        )?;
        let (gateway, floor) = (costs(&self.gateway), costs(&self.floor));
        for (name, costs) in [("gateway", &gateway), ("floor", &floor)] {
            let (low, high) = (costs[0], costs[costs.len() - 1]);
            writeln!(
                f,
                "{name:<8} {:>6.2} µs CPU per delivery (median; {low:.2} to {high:.2})",
                median(costs)
            )?;
        }
        write!(f, "ratio    {:>6.2}", median(&gateway) / median(&floor))
    }
}

fn one(run: &Run) -> String {
    format!(
        "{:.2} µs a delivery, {} deliveries of {} B, {:.1} % together, p50 {:?}, p99 {:?}, server {:.0} % and client {:.0} % of a core",
        cost(run),
        run.deliveries,
        run.frame_bytes,
        together_share(run) * 100.0,
        run.p50,
        run.p99,
        run.server_cpu.as_secs_f64() / run.took.as_secs_f64() * 100.0,
        load_share(run) * 100.0,
    )
}

/// Microseconds of the server's CPU time per delivery, ascending.
fn costs(runs: &[Run]) -> Vec<f64> {
    let mut costs: Vec<f64> = runs.iter().map(cost).collect();
    costs.sort_unstable_by(f64::total_cmp);
    costs
}

fn cost(run: &Run) -> f64 {
    run.server_cpu.as_secs_f64() * 1e6 / run.deliveries as f64
}

fn load_share(run: &Run) -> f64 {
    run.load_cpu.as_secs_f64() / run.took.as_secs_f64()
}

fn together_share(run: &Run) -> f64 {
    run.together as f64 / run.deliveries as f64
}

fn median(ascending: &[f64]) -> f64 {
    let middle = ascending.len() / 2;
    if ascending.len() % 2 == 1 {
        ascending[middle]
    } else {
        (ascending[middle - 1] + ascending[middle]) / 2.0
    }
}
