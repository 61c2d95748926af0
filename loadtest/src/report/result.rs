//! The result of a run, with everything. Written as JSON; units are in the names: `_ms`, `_s`, `_bytes`, `_per_s`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::timeline::Point;
use crate::audit::Findings;
use crate::expect::Outcome;
use crate::latency::{Limit, Summary};
use crate::scenario::Scenario;

/// The number of this form of the result: a field is added without changing it, and none is renamed or taken
/// away.
pub const RESULT_FORMAT: u32 = 1;

/// A run, wholly told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// [`RESULT_FORMAT`].
    pub format: u32,
    /// What was to be done, flags included.
    pub scenario: Scenario,
    /// What all chance came from.
    pub seed: u32,
    /// Runs the same again.
    pub command: String,
    /// When it began: milliseconds since the Unix epoch.
    pub started_at_ms: u64,
    /// How long it took, from the first connect to the last close.
    pub duration_s: f64,
    /// How long the load was held: what rates are per second of.
    pub held_s: f64,
    /// How it ended.
    pub ended: Ended,
    /// Where it ran.
    pub machine: Machine,
    /// The client sockets.
    pub sockets: Sockets,
    /// Messages sent in a second, while the load was held.
    pub sends_per_s: f64,
    /// Events delivered in a second, while the load was held.
    pub deliveries_per_s: f64,
    /// How often what happened; the names are in [`super::COUNTS`].
    pub counts: BTreeMap<String, u64>,
    /// Connections that ended, by how.
    pub endings: BTreeMap<String, u64>,
    /// Writes refused for good, by the refusal's code.
    pub refusals: BTreeMap<String, u64>,
    /// Resets, by their reason.
    pub resets: BTreeMap<String, u64>,
    /// How long things took.
    pub latency: Latency,
    /// How it went over time.
    pub series: Vec<Point>,
    /// The load tester itself.
    pub tool: Tool,
    /// What the audit found.
    pub audit: Findings,
    /// What a reader should know besides.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What became of each `--expect`.
    pub expectations: Vec<Outcome>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// It did all that the scenario says.
    Complete,
    /// It was ended early, by Ctrl-C; what was done until then is reported and audited.
    Interrupted,
}

/// The machine of the load tester.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Its cores.
    pub cores: u32,
    /// Its memory.
    pub memory_bytes: u64,
    /// Its kernel, as `uname -sr` says it.
    pub kernel: String,
}

/// The client sockets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sockets {
    /// As many as the scenario wants.
    pub wanted: u64,
    /// Clients that were welcomed at least once.
    pub opened: u64,
    /// The most that were in a session at once.
    pub most: u64,
    /// In a session when the load ended, before goodbye.
    pub held: u64,
}

/// How long things took. What a message took counts from when its send was due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// From the due time of a send to each of its deliveries, to clients that were there and reading.
    pub delivered: Summary,
    /// From the due time of a send to its acknowledgement.
    pub acknowledged: Summary,
    /// From the due time of a send to its deliveries to clients that were away or did not read then.
    pub caught_up: Summary,
    /// From setting out to come back to having all that was missed.
    pub resumed: Summary,
    /// From the beginning of a connect to the answer of the upgrade.
    pub upgraded: Summary,
    /// From the beginning of a connect to the welcome.
    pub welcomed: Summary,
}

/// What the load tester used, and whether it was the limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// Each worker process.
    pub workers: Vec<WorkerUse>,
    /// The greatest share of its core that a worker used in one look, while the load was held.
    pub cpu_share_max: f64,
    /// Memory of all workers that is due to their sockets, for each socket.
    pub memory_per_socket_bytes: u64,
    /// By how much sends and other scheduled acts were late.
    pub late: Summary,
    /// How long turns of the workers' loops took: what is ready waits so long.
    pub turn: Summary,
    /// Why latencies are those of the load tester; none if they are the servers'.
    pub limit: Option<Limit>,
}

/// One worker process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerUse {
    /// Its clients.
    pub clients: u64,
    /// The CPU time it used.
    pub cpu_s: f64,
    /// Its memory: its own and its part of what is shared.
    pub memory_bytes: u64,
}

/// How the program ends, for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The run was done, the audit found nothing, all expectations were met.
    Good = 0,
    /// The audit found something, or an expectation was missed.
    Faulty = 1,
    /// The command line, the scenario or an expectation makes no sense.
    Usage = 2,
    /// The run itself failed: no server, no descriptors, a worker that died.
    Failed = 3,
}

impl RunResult {
    /// How the program is to end.
    #[must_use]
    pub fn exit(&self) -> Exit {
        let is_met = self.expectations.iter().all(Outcome::is_met);
        if self.audit.is_clean() && is_met { Exit::Good } else { Exit::Faulty }
    }

    /// It as JSON, for a file.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }
}

impl Exit {
    /// For the operating system.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }
}
