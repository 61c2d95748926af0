//! A server process on one core, what it used of it, and of memory.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// How long a server may take to listen, and to end: under valgrind it takes long.
const START_MAX: Duration = Duration::from_secs(60);
const END_MAX: Duration = Duration::from_secs(60);

/// A child process; ended when dropped.
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
}

/// CPU time by the name of the thread.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cpu(BTreeMap<String, Duration>);

impl Process {
    /// Starts `program` on `cores`.
    pub(crate) fn start(program: &Path, arguments: &[&str], cores: &[usize]) -> Result<Self> {
        // A child inherits the affinity of the thread that starts it.
        let own = sched_getaffinity(None)?;
        stay_on_any(cores)?;
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

    /// CPU time used so far.
    pub(crate) fn cpu(&self) -> Result<Cpu> {
        Cpu::of(&self.child.id().to_string())
    }

    /// Its share of the memory it has mapped, in bytes.
    pub(crate) fn pss_bytes(&self) -> Result<u64> {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id()))?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss")?;
        Ok(line.split_whitespace().next().context("no number")?.parse::<u64>()? * 1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Asked first: it may have something to write at its end, under valgrind its profile.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let start = Instant::now();
        while start.elapsed() < END_MAX && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(5));
        }
        // It may have ended already; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Cpu {
    /// What this process used so far.
    pub(crate) fn own() -> Result<Self> {
        Self::of("self")
    }

    /// In nanoseconds, unlike `stat`. Threads that ended are not in it: ours live as long as the process.
    fn of(pid: &str) -> Result<Self> {
        let mut by_thread = BTreeMap::new();
        for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
            let task = task?.path();
            let name = std::fs::read_to_string(task.join("comm"))?.trim().to_owned();
            let schedstat = std::fs::read_to_string(task.join("schedstat"))?;
            let nanoseconds = schedstat.split_whitespace().next().context("no run time")?.parse()?;
            *by_thread.entry(name).or_default() += Duration::from_nanos(nanoseconds);
        }
        Ok(Self(by_thread))
    }

    /// All threads together.
    pub(crate) fn total(&self) -> Duration {
        self.0.values().sum()
    }

    /// What was used since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let before = |name| earlier.0.get(name).copied().unwrap_or_default();
        Self(self.0.iter().map(|(name, cpu)| (name.clone(), cpu.saturating_sub(before(name)))).collect())
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (name, cpu) in &other.0 {
            *self.0.entry(name.clone()).or_default() += *cpu;
        }
    }

    /// Microseconds for each of `count`, the busiest thread first.
    pub(crate) fn shares(&self, count: usize) -> String {
        let mut threads: Vec<_> = self.0.iter().collect();
        threads.sort_by_key(|(_, cpu)| std::cmp::Reverse(**cpu));
        let share = |(name, cpu): &(&String, &Duration)| {
            format!("{name} {:.2}", cpu.as_secs_f64() * 1e6 / count as f64)
        };
        threads.iter().take(4).map(share).collect::<Vec<_>>().join(", ")
    }
}

/// Keeps this thread, and what it starts, on one core.
pub(crate) fn stay_on(core: usize) -> Result<()> {
    stay_on_any(&[core])
}

fn stay_on_any(cores: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    sched_setaffinity(None, &set).with_context(|| format!("no cores {cores:?}: two are needed"))
}
