//! The result that tests look at.

use std::collections::BTreeMap;

use super::result::{Ended, Latency, Machine, RESULT_FORMAT, RunResult, Sockets, Tool, WorkerUse};
use crate::audit::Findings;
use crate::latency;
use crate::scenario::Shipped;

pub(crate) fn example() -> RunResult {
    let times = |count, p50_us: u32| {
        let ms = |factor: u32| f64::from(p50_us * factor) / 1000.0;
        latency::Summary {
            count,
            min_ms: ms(1) / 4.0,
            mean_ms: ms(1),
            p50_ms: ms(1),
            p90_ms: ms(2),
            p99_ms: ms(4),
            p999_ms: ms(6),
            max_ms: ms(8),
        }
    };
    let map = |pairs: &[(&str, u64)]| -> BTreeMap<String, u64> {
        pairs.iter().map(|(name, times)| ((*name).into(), *times)).collect()
    };
    RunResult {
        format: RESULT_FORMAT,
        scenario: Shipped::of("chat").unwrap().scenario().unwrap(),
        seed: 7,
        command: "loadtest chat --seed 7".into(),
        started_at_ms: 1_763_818_162_123,
        duration_s: 36.5,
        held_s: 30.0,
        ended: Ended::Complete,
        machine: Machine { cores: 2, memory_bytes: 4 << 30, kernel: "Linux 6.1".into() },
        sockets: Sockets { wanted: 1_000, opened: 1_000, most: 1_000, held: 1_000 },
        sends_per_s: 30.0,
        deliveries_per_s: 3_750.0,
        counts: map(&[
            ("sends_due", 900),
            ("sends_written", 900),
            ("sends_acknowledged", 900),
            ("deliveries", 112_500),
            ("bytes_read", 31 << 20),
        ]),
        endings: map(&[("over", 1_000)]),
        refusals: BTreeMap::new(),
        resets: BTreeMap::new(),
        latency: Latency {
            delivered: times(112_500, 1_900),
            acknowledged: times(900, 3_100),
            ..Latency::default()
        },
        series: Vec::new(),
        tool: Tool {
            workers: vec![WorkerUse { clients: 500, cpu_s: 3.2, memory_bytes: 9 << 20 }; 2],
            cpu_share_max: 0.34,
            memory_per_socket_bytes: 1_126,
            late: times(900, 100),
            turn: times(9_000, 200),
            limit: None,
        },
        audit: Findings {
            judged: 112_500,
            events: 912,
            clients: 1_000,
            acknowledged: 900,
            ..Findings::default()
        },
        notes: Vec::new(),
        expectations: Vec::new(),
    }
}
