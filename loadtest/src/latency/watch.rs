//! Whether the tool was the limit, so that its figures are of itself and not of the server.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Histogram;

/// A worker that uses more than this share of its core is busy.
pub const CPU_SHARE_MAX: f64 = 0.9;

/// More than this share of a worker's looks may not be busy ones.
pub const BUSY_LOOKS_SHARE_MAX: f64 = 0.05;

/// The longest that 99 of a hundred sends may be late: latency counts from the due time, so this is in it.
pub const LATE_MAX: Duration = Duration::from_millis(10);

/// The longest that 99 of a hundred turns of a worker's loop may take: what arrives meanwhile waits so long.
pub const TURN_MAX: Duration = Duration::from_millis(20);

/// What a worker told of itself for one look.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// The worker.
    pub worker: u16,
    /// The time since its last look.
    pub elapsed: Duration,
    /// The CPU time it used in it.
    pub cpu: Duration,
}

/// Watches the workers while the load is held.
#[derive(Debug, Clone, Default)]
pub struct SelfWatch {
    workers: Vec<Worker>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Worker {
    looks: u64,
    busy: u64,
    most: f64,
    cpu: Duration,
    elapsed: Duration,
}

/// "The load generator was the limit", and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// Each reason, in words with its numbers.
    pub reasons: Vec<String>,
}

impl SelfWatch {
    /// Takes in a look.
    pub fn look(&mut self, look: Look) {
        let index = usize::from(look.worker);
        if index >= self.workers.len() {
            self.workers.resize(index + 1, Worker::default());
        }
        if look.elapsed.is_zero() {
            return;
        }
        let share = look.cpu.as_secs_f64() / look.elapsed.as_secs_f64();
        let worker = &mut self.workers[index];
        worker.looks += 1;
        worker.busy += u64::from(share > CPU_SHARE_MAX);
        worker.most = worker.most.max(share);
        worker.cpu += look.cpu;
        worker.elapsed += look.elapsed;
    }

    /// The greatest share of a core that any worker used in a look.
    #[must_use]
    pub fn cpu_share_max(&self) -> f64 {
        self.workers.iter().map(|worker| worker.most).fold(0.0, f64::max)
    }

    /// The share of a core that a worker used, on average over all of them.
    #[must_use]
    pub fn cpu_share_mean(&self) -> f64 {
        let cpu: Duration = self.workers.iter().map(|worker| worker.cpu).sum();
        let elapsed: Duration = self.workers.iter().map(|worker| worker.elapsed).sum();
        if elapsed.is_zero() { 0.0 } else { cpu.as_secs_f64() / elapsed.as_secs_f64() }
    }

    /// The verdict: by how much sends were late, and how long turns of the loops took.
    #[must_use]
    pub fn limit(&self, late: &Histogram, turn: &Histogram) -> Option<Limit> {
        let mut reasons = Vec::new();
        for (number, worker) in self.workers.iter().enumerate() {
            let busy = worker.busy as f64 / worker.looks.max(1) as f64;
            if busy > BUSY_LOOKS_SHARE_MAX {
                reasons.push(format!(
                    "worker {number} used more than {:.0} % of its core in {} of {} looks, {:.0} % at most",
                    CPU_SHARE_MAX * 100.0,
                    worker.busy,
                    worker.looks,
                    worker.most * 100.0
                ));
            }
        }
        for (what, times, max) in
            [("sends were late by", late, LATE_MAX), ("turns of its loop took", turn, TURN_MAX)]
        {
            let p99 = times.quantile(0.99);
            if p99 > max {
                let (p99, max) = (p99.as_secs_f64() * 1000.0, max.as_millis());
                reasons.push(format!("{what} {p99:.1} ms (p99), more than {max} ms"));
            }
        }
        (!reasons.is_empty()).then_some(Limit { reasons })
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the load generator was the limit: {}", self.reasons.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(shares: &[f64]) -> SelfWatch {
        let mut watch = SelfWatch::default();
        for share in shares {
            let second = Duration::from_secs(1);
            watch.look(Look { worker: 1, elapsed: second, cpu: second.mul_f64(*share) });
        }
        watch
    }

    fn times(ms: u64) -> Histogram {
        let mut histogram = Histogram::default();
        histogram.record(Duration::from_millis(ms));
        histogram
    }

    #[test]
    fn a_tool_with_room_to_spare_is_no_limit() {
        let watch = watch(&[0.5; 30]);
        assert_eq!(watch.limit(&times(1), &times(1)), None);
        assert_eq!((watch.cpu_share_max(), watch.cpu_share_mean()), (0.5, 0.5));
        let empty = SelfWatch::default();
        assert_eq!(empty.limit(&Histogram::default(), &Histogram::default()), None);
        assert_eq!(empty.cpu_share_mean(), 0.0);
    }

    #[test]
    fn one_busy_look_of_many_is_no_limit_and_more_are() {
        let mut shares = vec![0.3; 30];
        shares[7] = 0.97;
        assert_eq!(watch(&shares).limit(&times(1), &times(1)), None);
        shares[8] = 0.95;
        let limit = watch(&shares).limit(&times(1), &times(1)).unwrap();
        assert_eq!(
            limit.to_string(),
            "the load generator was the limit: worker 1 used more than 90 % of its core in 2 of 30 looks, 97 % at most"
        );
    }

    #[test]
    fn late_sends_and_long_turns_are_a_limit() {
        let limit = watch(&[0.1]).limit(&times(15), &times(25)).unwrap();
        assert_eq!(limit.reasons.len(), 2);
        assert!(limit.reasons[0].starts_with("sends were late by 15.0 ms (p99), more than 10 ms"), "{limit}");
        assert!(
            limit.reasons[1].starts_with("turns of its loop took 25.0 ms (p99), more than 20 ms"),
            "{limit}"
        );
    }
}
