//! What may be shown, and what must be, by the record of what happened.

use std::collections::{BTreeMap, BTreeSet};

use squall_protocol::client_message::Status;
use squall_protocol::server_message::PresenceDiff;
use squall_protocol::{NodeId, UserId};

use crate::client::{Client, Told};
use crate::node::Node;
use crate::record::{Connection, OPEN, Record};

pub(crate) const TICK_MS: u64 = 1_000;
pub(crate) const GRACE_MS: u64 = 20_000;
pub(crate) const LEASE_MS: u64 = 35_000;
/// How long a device can be gone before its node notices.
pub(crate) const NOTICE_MS: u64 = 35_000;
/// Node lease and grace.
pub(crate) const SILENCE_MS: u64 = 45_000;
/// `Times::error_of_two_failures`.
pub(crate) const TWO_FAILURES_MS: u64 = NOTICE_MS + GRACE_MS + SILENCE_MS;

const TWO_TICKS_MS: u64 = 2 * TICK_MS;
/// Steps of the simulation, and what nodes can't know of bus time.
const SLACK_MS: u64 = 200;
/// How long a bad bus has its effects after it is good again: signs of life, asks, answers.
pub(crate) const RECOVERY_MS: u64 = 12_000;
/// A node's last sign of life is at most so old when it dies.
const SIGN_OF_LIFE_MS: u64 = 5_500;
/// A node publishes what it knows within this.
const PUBLISH_MS: u64 = 500;
const MINUTE_MS: u64 = 60_000;

/// A breach, and which user it is about, if it is about one.
pub(crate) type Breach = (Option<UserId>, String);

/// Judges what one node told at its tick and what it shows after it.
pub(crate) struct Judge<'a> {
    pub(crate) record: &'a Record,
    pub(crate) node: &'a Node,
    pub(crate) opened_ms: u64,
    /// When the bus, a link, a node's pace or the writer was last not as it should be.
    pub(crate) bad_ms: u64,
    pub(crate) cut_off: &'a CutOff,
    /// When the writer was down last.
    pub(crate) writer_down_ms: u64,
    pub(crate) now_ms: u64,
}

/// Since when the nodes' links are down, of those whose links are, and all was well before.
#[derive(Default)]
pub(crate) struct CutOff(pub(crate) BTreeMap<NodeId, u64>);

impl CutOff {
    fn of(&self, node: NodeId) -> Option<u64> {
        self.0.get(&node).copied()
    }
}

impl Judge<'_> {
    pub(crate) fn judge(&self, told: Option<&PresenceDiff>, shown: &Client) -> Result<(), Breach> {
        let users: BTreeSet<_> = self.record.connections.iter().map(|connection| connection.user).collect();
        for user in &users {
            let shown = shown.status(*user);
            self.not_too_much(*user, shown).map_err(|what| (Some(*user), what))?;
            self.not_too_little(*user, shown).map_err(|what| (Some(*user), what))?;
        }
        for (user, heard_s) in told.into_iter().flat_map(|diff| &diff.offline) {
            self.no_false_leave(*user).map_err(|what| (Some(*user), what))?;
            self.no_leave_by_silence(*user).map_err(|what| (Some(*user), what))?;
            self.heard_when_it_was(*user, *heard_s).map_err(|what| (Some(*user), what))?;
        }
        Ok(())
    }

    /// Whoever is shown is, or was until a bounded time ago.
    fn not_too_much(&self, user: UserId, shown: Option<Status>) -> Result<(), String> {
        let Some(status) = shown else { return Ok(()) };
        let until =
            self.record.of(user).filter_map(|connection| self.may_show_until(connection, status)).max();
        let until_ms = until.ok_or_else(|| format!("is shown as {status:?} and never was"))?;
        if self.now_ms <= until_ms {
            return Ok(());
        }
        Err(format!("is shown as {status:?} {} ms too long", self.now_ms - until_ms))
    }

    fn may_show_until(&self, connection: &Connection, status: Status) -> Option<u64> {
        let counts_until_ms = connection.counts_until(status, self.now_ms)?;
        let node_end_ms = connection.node_end_ms.unwrap_or(OPEN);
        // What the node said last may have been the claim, if it died before it could take it back.
        let (end_ms, until_ms) = if node_end_ms < counts_until_ms.saturating_add(PUBLISH_MS) {
            (node_end_ms, node_end_ms.saturating_add(connection.kept_ms()))
        } else {
            (counts_until_ms, counts_until_ms)
        };
        let in_bad_times = self.bad_ms.saturating_add(RECOVERY_MS) > end_ms;
        let excused_ms = if in_bad_times { self.bad_ms + TWO_FAILURES_MS } else { 0 };
        Some(until_ms.max(excused_ms).saturating_add(TWO_TICKS_MS + SLACK_MS))
    }

    /// Whoever is connected is shown as its best device.
    fn not_too_little(&self, user: UserId, shown: Option<Status>) -> Result<(), String> {
        if self.record.is_deactivated(user) {
            return Ok(());
        }
        for connection in self.record.of(user).filter(|connection| connection.is_live()) {
            let here = connection.source == self.node.source();
            let active = connection.active_since(self.now_ms).map(|since_ms| (since_ms, Status::Active));
            for (since_ms, status) in active.into_iter().chain([(connection.from_ms, Status::Idle)]) {
                let since_ms = since_ms.max(if here { 0 } else { self.opened_ms });
                let must_be_known = if here {
                    since_ms < self.now_ms
                } else {
                    self.bad_ms + RECOVERY_MS < self.now_ms
                        && since_ms + TWO_TICKS_MS + SLACK_MS < self.now_ms
                };
                if must_be_known && shown < Some(status) {
                    let for_ms = self.now_ms - since_ms;
                    return Err(format!(
                        "is {status:?} for {for_ms} ms on {:?}, and is shown as {shown:?}",
                        connection.source
                    ));
                }
            }
        }
        Ok(())
    }

    /// Nobody is told as gone who was there without a break longer than grace.
    fn no_false_leave(&self, user: UserId) -> Result<(), String> {
        let is_good = self.bad_ms + MINUTE_MS < self.now_ms && self.opened_ms + 5 * TICK_MS < self.now_ms;
        if !is_good || self.record.is_deactivated(user) {
            return Ok(());
        }
        // From the present back, as long as something held it.
        let mut from_ms = self.now_ms;
        while let Some(earlier) = self
            .record
            .of(user)
            .filter(|it| it.from_ms < from_ms && self.holds_until(it) >= from_ms)
            .map(|it| it.from_ms)
            .min()
        {
            from_ms = earlier;
        }
        if from_ms + 3 * TICK_MS < self.now_ms {
            return Err(format!("is told as gone, and was there for {} ms", self.now_ms - from_ms));
        }
        Ok(())
    }

    /// A node without the bus does not take the others' silence for an end; nor do the others its own, as long
    /// as it can tell a writer that it lives.
    fn no_leave_by_silence(&self, user: UserId) -> Result<(), String> {
        for connection in self.record.of(user).filter(|connection| connection.is_live()) {
            let its_cut_off_ms = self.cut_off.of(connection.source.node_id);
            let its_cut_off_ms =
                its_cut_off_ms.filter(|since_ms| self.writer_down_ms + RECOVERY_MS < *since_ms);
            let own_cut_off_ms = self.cut_off.of(self.node.id);
            let is_known = |cut_off_ms: u64| {
                self.opened_ms + RECOVERY_MS < cut_off_ms
                    && connection.from_ms + TWO_TICKS_MS + SLACK_MS < cut_off_ms
            };
            if own_cut_off_ms.or(its_cut_off_ms).is_some_and(is_known) {
                return Err(format!("is told as gone while {:?} can't be heard", connection.source));
            }
        }
        Ok(())
    }

    /// Until when a connection holds its user.
    fn holds_until(&self, connection: &Connection) -> u64 {
        let noticed_ms = connection.noticed_ms.unwrap_or(OPEN);
        if noticed_ms < connection.from_ms + PUBLISH_MS {
            // A visit between two ticks is kept by grace only where the user was shown before.
            return noticed_ms;
        }
        let grace_ms = noticed_ms.saturating_add(GRACE_MS);
        match connection.node_end_ms {
            // It may not have said that the user came; and nobody tells of a node that died before.
            Some(end_ms) if connection.from_ms + PUBLISH_MS > end_ms => end_ms,
            Some(end_ms) if self.opened_ms + TWO_TICKS_MS > end_ms => end_ms,
            Some(end_ms) if connection.is_reopened => grace_ms.min(end_ms + GRACE_MS),
            Some(end_ms) => grace_ms.min(end_ms + SILENCE_MS - SIGN_OF_LIFE_MS),
            None => grace_ms,
        }
    }

    /// The time told is that of the last sign of life, or that up to which a node that died vouched.
    fn heard_when_it_was(&self, user: UserId, heard_s: u64) -> Result<(), String> {
        let (mut earliest_ms, mut latest_ms) = (0, 0);
        for connection in self.record.of(user) {
            earliest_ms = earliest_ms.max(connection.reports.last().map_or(0, |(at_ms, _)| *at_ms));
            // Its node vouches for it until it notices, or dies.
            let vouched_ms = connection.noticed_ms.and(connection.end_ms).unwrap_or(self.now_ms);
            let node_end_ms = connection.node_end_ms.unwrap_or(0);
            latest_ms = latest_ms.max(if node_end_ms > 0 { node_end_ms } else { vouched_ms });
        }
        // What a node takes back without the bus is not heard.
        latest_ms = latest_ms.max(if self.bad_ms + MINUTE_MS > self.now_ms { self.bad_ms } else { 0 });
        let excused_ms =
            if self.bad_ms + 3 * MINUTE_MS > self.now_ms { 3 * MINUTE_MS } else { 2 * MINUTE_MS };
        let told_ms = heard_s * 1000;
        if told_ms > latest_ms + SLACK_MS || told_ms + excused_ms < earliest_ms {
            return Err(format!(
                "was last heard between {earliest_ms} and {latest_ms}, and is told as {told_ms}"
            ));
        }
        Ok(())
    }
}

/// All nodes show the same of those who are there, and it is true.
pub(crate) fn all_agree(record: &Record, shown: &[&Client], now_ms: u64) -> Result<(), Breach> {
    let users: BTreeSet<_> = record.connections.iter().map(|connection| connection.user).collect();
    for user in users {
        let live = record.of(user).filter(|connection| connection.is_live());
        let status = |connection: &Connection| {
            if connection.active_since(now_ms).is_some() { Status::Active } else { Status::Idle }
        };
        let truth = live.map(status).max().filter(|_| !record.is_deactivated(user));
        for client in shown {
            let told = client.shown.get(&user).copied();
            if told.and_then(Told::status) != truth {
                return Err((
                    Some(user),
                    format!("is {truth:?} when all is quiet, and is shown as {told:?}"),
                ));
            }
        }
    }
    Ok(())
}
