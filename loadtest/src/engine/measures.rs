//! What a worker measures.

use serde::{Deserialize, Serialize};

use crate::latency::Histogram;

/// Times between two looks; those of messages count from when the send was due, not from when it was made.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Measures {
    /// From the beginning of a connect to the answer of the upgrade.
    pub upgraded: Histogram,
    /// From the beginning of a connect to the welcome.
    pub welcomed: Histogram,
    /// From the due time of a send to its acknowledgement.
    pub acknowledged: Histogram,
    /// From the due time of a send to each of its deliveries, to clients that were there and reading.
    pub delivered: Histogram,
    /// From the due time of a send to its deliveries to clients that were away or did not read then.
    pub caught_up: Histogram,
    /// From setting out to come back to having all that was missed.
    pub resumed: Histogram,
    /// By how much sends and other scheduled acts were late: the tool's own fault.
    pub late: Histogram,
    /// How long the tool was busy between two looks at its sockets: what is ready waits so long.
    pub turn: Histogram,
}

impl Measures {
    /// Adds what another worker measured, or the same one later.
    pub fn add(&mut self, other: &Self) {
        let Self { upgraded, welcomed, acknowledged, delivered, caught_up, resumed, late, turn } = self;
        for (mine, others) in [
            (upgraded, &other.upgraded),
            (welcomed, &other.welcomed),
            (acknowledged, &other.acknowledged),
            (delivered, &other.delivered),
            (caught_up, &other.caught_up),
            (resumed, &other.resumed),
            (late, &other.late),
            (turn, &other.turn),
        ] {
            mine.add(others);
        }
    }
}
