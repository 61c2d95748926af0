//! A server process on one core, and what it used of it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// How long a server may take to listen.
const START_MAX: Duration = Duration::from_secs(10);

/// A child process; ended when dropped.
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    /// Starts `program` on `core`.
    pub(crate) fn start(program: &Path, arguments: &[&str], core: usize) -> Result<Self> {
        // A child inherits the affinity of the thread that starts it.
        let own = sched_getaffinity(None)?;
        stay_on(core)?;
        let child = Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        sched_setaffinity(None, &own)?;
        let mut child = child.with_context(|| format!("could not start {}", program.display()))?;
        let (sender, lines) = channel();
        let stdout = child.stdout.take().context("standard output is piped")?;
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // The lines after the addresses are read so that the server never waits for us.
                let _ = sender.send(line);
            }
        });
        Ok(Self { child, lines })
    }

    /// Waits for a line with `words` and reads the address behind them.
    pub(crate) fn address_after(&self, words: &str) -> Result<SocketAddr> {
        loop {
            let line = self.lines.recv_timeout(START_MAX).with_context(|| format!("no line {words:?}"))?;
            if let Some((_, address)) = line.split_once(words) {
                let address = address.split_whitespace().next().unwrap_or_default().trim_end_matches('/');
                return address.parse().with_context(|| format!("no address in {line:?}"));
            }
        }
    }

    /// User and system time used so far.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        cpu_of(&self.child.id().to_string())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Keeps this thread, and what it starts, on one core.
pub(crate) fn stay_on(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| format!("no core {core}: two are needed"))
}

/// User and system time that this process used so far.
pub(crate) fn own_cpu() -> Result<Duration> {
    cpu_of("self")
}

fn cpu_of(pid: &str) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is a name in parentheses, which may hold spaces; user time is the 14th, system time
    // the 15th.
    let (_, after_name) = stat.rsplit_once(')').context("no name in stat")?;
    let mut ticks = after_name.split_whitespace().skip(11).map(str::parse::<u64>);
    let user = ticks.next().context("no user time")??;
    let system = ticks.next().context("no system time")??;
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_secs_f64((user + system) as f64 / per_second as f64))
}
