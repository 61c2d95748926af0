//! How far a run is: what the engine fills, and the live view shows.

/// A part of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Realms, streams and users are made.
    Making,
    /// Sockets are opened.
    Opening,
    /// The load is held.
    Holding,
    /// Nothing new is sent; what is under way arrives.
    Settling,
    /// The history is read, and the audit closed.
    Checking,
}

/// How far a run is. Counts are since its beginning, rates and latencies of the last look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Where it is.
    pub phase: Phase,
    /// Since the run began.
    pub at_s: f64,
    /// How much of the phase is done, of `of`: users made, sockets open, seconds held or settled, realms read.
    pub done: u64,
    /// All there is to do in the phase; 0: not known.
    pub of: u64,
    /// Sockets in a session.
    pub sockets: u64,
    /// Messages written.
    pub sends: u64,
    /// Messages written in a second.
    pub sends_per_s: f64,
    /// Events delivered.
    pub deliveries: u64,
    /// Events delivered in a second.
    pub deliveries_per_s: f64,
    /// Half of the deliveries took at most so long; 0: there were none.
    pub delivered_p50_ms: f64,
    /// 99 of a hundred deliveries took at most so long; 0: there were none.
    pub delivered_p99_ms: f64,
    /// Sessions resumed.
    pub resumes: u64,
    /// Deliveries that are still to come, as far as the audit knows.
    pub outstanding: u64,
    /// What the audit found so far.
    pub faults: u64,
    /// The greatest share of its core that a worker used.
    pub cpu_share: f64,
    /// How late sends were: 99 of a hundred at most so much.
    pub late_p99_ms: f64,
}

impl Phase {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Making => "making",
            Self::Opening => "opening",
            Self::Holding => "holding",
            Self::Settling => "settling",
            Self::Checking => "checking",
        }
    }

    /// What its `done` and `of` count.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Making => "users",
            Self::Opening => "sockets",
            Self::Holding | Self::Settling => "s",
            Self::Checking => "realms",
        }
    }
}

impl Progress {
    /// The beginning of a phase.
    #[must_use]
    pub fn of(phase: Phase) -> Self {
        Self {
            phase,
            at_s: 0.0,
            done: 0,
            of: 0,
            sockets: 0,
            sends: 0,
            sends_per_s: 0.0,
            deliveries: 0,
            deliveries_per_s: 0.0,
            delivered_p50_ms: 0.0,
            delivered_p99_ms: 0.0,
            resumes: 0,
            outstanding: 0,
            faults: 0,
            cpu_share: 0.0,
            late_p99_ms: 0.0,
        }
    }
}
