//! The writer: its clock is the true one; it keeps leases and the times users were last heard of.

use std::collections::BTreeMap;

use squall_protocol::link::{LastHeard, NodeLease};
use squall_protocol::{NodeId, UserId};

use crate::rng::Rng;

#[derive(Default)]
pub(crate) struct Writer {
    leases: BTreeMap<NodeId, u64>,
    last_heard: BTreeMap<UserId, u64>,
    is_down: bool,
    /// How long an answer may take.
    slow_ms: u64,
    in_flight: Vec<Answer>,
}

/// An answer to a read of heads, on its way.
pub(crate) struct Answer {
    pub(crate) to: NodeId,
    /// When it was asked for, by the asker's clock.
    pub(crate) sent_ms: u64,
    pub(crate) time_ms: u64,
    /// None if the asker brought no lease.
    pub(crate) leases: Option<Vec<NodeLease>>,
    /// None if the writer could not be reached.
    pub(crate) is_answered: bool,
    due_ms: u64,
}

const PROMPT_MS: u64 = 6;

/// Leases older than this are not told.
const TOLD_MS: u64 = 300_000;

impl Writer {
    pub(crate) fn set_slow(&mut self, slow_ms: u64) {
        self.slow_ms = slow_ms;
    }

    pub(crate) fn set_down(&mut self, down: bool) {
        self.is_down = down;
    }

    pub(crate) fn is_down(&self) -> bool {
        self.is_down
    }

    pub(crate) fn is_good(&self) -> bool {
        !self.is_down && self.slow_ms == 0
    }

    pub(crate) fn ask(
        &mut self,
        to: NodeId,
        lease: Option<NodeLease>,
        sent_ms: u64,
        now_ms: u64,
        rng: &mut Rng,
    ) {
        let (there_ms, back_ms) =
            (rng.within(0..=PROMPT_MS + self.slow_ms), rng.within(0..=PROMPT_MS + self.slow_ms));
        let time_ms = now_ms + there_ms;
        let is_answered = !self.is_down;
        let leases = lease.filter(|_| is_answered).map(|lease| {
            let newest = self.leases.entry(lease.node_id).or_default();
            *newest = lease.as_of_ms.max(*newest);
            let told = self.leases.iter().filter(|(_, as_of_ms)| **as_of_ms + TOLD_MS >= lease.as_of_ms);
            told.map(|(node_id, as_of_ms)| NodeLease { node_id: *node_id, as_of_ms: *as_of_ms }).collect()
        });
        self.in_flight.push(Answer { to, sent_ms, time_ms, leases, is_answered, due_ms: time_ms + back_ms });
    }

    /// What reaches nodes by now.
    pub(crate) fn deliver(&mut self, now_ms: u64) -> Vec<Answer> {
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.in_flight).into_iter().partition(|answer| answer.due_ms <= now_ms);
        self.in_flight = later;
        due
    }

    /// False if it can't now.
    pub(crate) fn store_last_heard(&mut self, rows: &[LastHeard]) -> bool {
        for row in rows.iter().filter(|_| !self.is_down) {
            let heard_s = self.last_heard.entry(row.user_id).or_default();
            *heard_s = row.last_heard_s.max(*heard_s);
        }
        !self.is_down
    }

    pub(crate) fn last_heard(&self) -> Vec<(UserId, u64)> {
        self.last_heard.iter().map(|(user, heard_s)| (*user, *heard_s)).collect()
    }
}
