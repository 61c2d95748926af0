//! How it went over time.

use serde::{Deserialize, Serialize};

use crate::latency::{self, Compact, Fold};

/// What all workers together did in one look: what the engine fills.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// Its end: seconds since the run began.
    pub at_s: f64,
    /// Its length in seconds.
    pub seconds: f64,
    /// Sockets in a session at its end.
    pub sockets: u64,
    /// Messages written in it.
    pub sends: u64,
    /// Messages acknowledged in it.
    pub acknowledged: u64,
    /// Events delivered in it.
    pub deliveries: u64,
    /// Sessions resumed in it.
    pub resumes: u64,
    /// Bytes of presence read in it.
    pub presence_bytes: u64,
    /// Bytes read in it.
    pub bytes_read: u64,
    /// From the due time to each delivery.
    pub delivered: Compact,
    /// From the due time to the acknowledgement.
    pub answered: Compact,
    /// From setting out to having caught up.
    pub resumed: Compact,
    /// By how much sends were late.
    pub late: Compact,
    /// CPU time of all workers in it, in seconds.
    pub cpu_s: f64,
    /// Memory of all workers at its end.
    pub memory_bytes: u64,
}

/// A sample as the result has it. Rates are per second; latencies are in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Its end: seconds since the run began.
    pub at_s: f64,
    /// Its length in seconds.
    pub seconds: f64,
    /// Sockets in a session at its end.
    pub sockets: u64,
    /// Messages written.
    pub sends_per_s: f64,
    /// Messages acknowledged.
    pub acknowledged_per_s: f64,
    /// Events delivered.
    pub deliveries_per_s: f64,
    /// Sessions resumed.
    pub resumes_per_s: f64,
    /// Bytes of presence read.
    pub presence_bytes_per_s: f64,
    /// Bytes read.
    pub bytes_read_per_s: f64,
    /// From the due time to each delivery.
    pub delivered: latency::Summary,
    /// From the due time to the acknowledgement.
    pub acknowledged: latency::Summary,
    /// From setting out to having caught up.
    pub resumed: latency::Summary,
    /// By how much sends were late.
    pub late: latency::Summary,
    /// Cores used by all workers together.
    pub cpu_cores: f64,
    /// Memory of all workers at its end.
    pub memory_bytes: u64,
}

impl Fold for Sample {
    fn fold(&mut self, later: Self) {
        (self.at_s, self.sockets, self.memory_bytes) = (later.at_s, later.sockets, later.memory_bytes);
        self.seconds += later.seconds;
        self.cpu_s += later.cpu_s;
        for (mine, others) in [
            (&mut self.sends, later.sends),
            (&mut self.acknowledged, later.acknowledged),
            (&mut self.deliveries, later.deliveries),
            (&mut self.resumes, later.resumes),
            (&mut self.presence_bytes, later.presence_bytes),
            (&mut self.bytes_read, later.bytes_read),
        ] {
            *mine += others;
        }
        self.delivered.add(&later.delivered);
        self.answered.add(&later.answered);
        self.resumed.add(&later.resumed);
        self.late.add(&later.late);
    }
}

impl From<&Sample> for Point {
    fn from(sample: &Sample) -> Self {
        let per_s = |count: f64| if sample.seconds > 0.0 { count / sample.seconds } else { 0.0 };
        Self {
            at_s: sample.at_s,
            seconds: sample.seconds,
            sockets: sample.sockets,
            sends_per_s: per_s(sample.sends as f64),
            acknowledged_per_s: per_s(sample.acknowledged as f64),
            deliveries_per_s: per_s(sample.deliveries as f64),
            resumes_per_s: per_s(sample.resumes as f64),
            presence_bytes_per_s: per_s(sample.presence_bytes as f64),
            bytes_read_per_s: per_s(sample.bytes_read as f64),
            delivered: sample.delivered.summary(),
            acknowledged: sample.answered.summary(),
            resumed: sample.resumed.summary(),
            late: sample.late.summary(),
            cpu_cores: per_s(sample.cpu_s),
            memory_bytes: sample.memory_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::latency::Histogram;

    fn sample(at_s: f64, sends: u64, ms: u64) -> Sample {
        let mut delivered = Histogram::default();
        delivered.record(Duration::from_millis(ms));
        Sample {
            at_s,
            seconds: 1.0,
            sends,
            sockets: 5,
            cpu_s: 0.5,
            delivered: delivered.compact(),
            ..Sample::default()
        }
    }

    #[test]
    fn two_neighbours_become_one_with_the_rates_and_percentiles_of_both() {
        let mut both = sample(1.0, 10, 2);
        both.fold(sample(2.0, 30, 8));
        let point = Point::from(&both);
        assert_eq!((point.at_s, point.seconds, point.sends_per_s, point.cpu_cores), (2.0, 2.0, 20.0, 0.5));
        assert_eq!(
            (point.delivered.count, point.delivered.p50_ms.round(), point.delivered.max_ms.round()),
            (2, 2.0, 8.0)
        );
    }

    #[test]
    fn a_sample_of_no_length_has_no_rates() {
        let point = Point::from(&Sample { sends: 5, ..Sample::default() });
        assert_eq!(point.sends_per_s, 0.0);
    }
}
