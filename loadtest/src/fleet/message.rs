//! What coordinator and workers say to each other.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use squall_protocol::{SendId, UserId};

use crate::audit::{Facts, Findings, RealmKey, Update};
use crate::engine::{Measures, Plan, Roll, Tally};
use crate::moment::Moment;

/// From the coordinator.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToWorker {
    /// The first: what to do, and how often to report.
    Plan { plan: Box<Plan>, report_every: Duration },
    /// Open the clients, from then on.
    Open { start: Moment },
    /// Play the load.
    Play { start: Moment, end: Moment },
    /// Begin nothing new.
    Quiet,
    /// Tell what was learned: answered by `Gathered`.
    Gather,
    /// What all workers learned.
    Update(Update),
    /// Say goodbye everywhere; whoever is there has got all it will get. Answered by `Gathered`.
    Close,
    /// Judge what is left, and end: answered by `Finished`.
    Finish,
}

/// From a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromWorker {
    /// The plan is taken.
    Ready {
        /// Memory of the process before it was.
        memory_bytes: u64,
    },
    /// How it goes.
    Progress(Box<Progress>),
    /// What was learned since the last time.
    Gathered(Box<Gathered>),
    /// The last message.
    Finished(Box<Progress>, Box<Findings>),
    /// It can't go on.
    Failed(String),
}

/// What a worker learned.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Gathered {
    /// For the audit.
    pub(crate) facts: Facts,
    /// Deliveries that clients still wait for, as far as is known.
    pub(crate) outstanding: u64,
    /// The first writes that have no answer: the realm, the user, the send id.
    pub(crate) unanswered: Vec<(RealmKey, UserId, SendId)>,
    /// Its counts of now.
    pub(crate) tally: Tally,
    /// Who is there by the watchers of presence.
    pub(crate) told: Vec<Roll>,
    /// Who is there of its users.
    pub(crate) there: Vec<Roll>,
}

/// How a worker does.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Since the start.
    pub(crate) tally: Tally,
    /// Since the last one.
    pub(crate) measures: Measures,
    /// When.
    pub(crate) at: Moment,
    /// CPU time since the start.
    pub(crate) cpu: Duration,
    /// Memory of the process: its own and its part of what is shared (PSS).
    pub(crate) memory_bytes: u64,
}
