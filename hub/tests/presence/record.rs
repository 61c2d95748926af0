//! What really happened: every connection there was, and what was said on it. Facts are only added.

use squall_protocol::client_message::Status;
use squall_protocol::node_presence::PresenceSource;
use squall_protocol::{NodeId, SessionId, UserId};

use crate::judge::{GRACE_MS, LEASE_MS, SILENCE_MS};

#[derive(Default)]
pub(crate) struct Record {
    pub(crate) connections: Vec<Connection>,
    pub(crate) deactivated: Vec<UserId>,
}

/// A device on a node, in one opening of the realm there.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) user: UserId,
    pub(crate) device: SessionId,
    pub(crate) source: PresenceSource,
    pub(crate) from_ms: u64,
    /// When the device was gone, really.
    pub(crate) end_ms: Option<u64>,
    /// When its node noticed.
    pub(crate) noticed_ms: Option<u64>,
    /// When the node died, or loaded the realm anew.
    pub(crate) node_end_ms: Option<u64>,
    /// Whether the node lives on, and has loaded the realm anew.
    pub(crate) is_reopened: bool,
    /// What it said of its user, and when: the first on connecting.
    pub(crate) reports: Vec<(u64, Status)>,
}

/// The first sign of life of a new opening comes within this.
pub(crate) const REOPENING_HEARD_MS: u64 = 500;

/// For ever, as far as is known.
pub(crate) const OPEN: u64 = u64::MAX;

impl Record {
    pub(crate) fn connect(
        &mut self,
        user: UserId,
        device: SessionId,
        source: PresenceSource,
        status: Status,
        now_ms: u64,
    ) -> usize {
        self.connections.push(Connection {
            user,
            device,
            source,
            from_ms: now_ms,
            end_ms: None,
            noticed_ms: None,
            node_end_ms: None,
            is_reopened: false,
            reports: vec![(now_ms, status)],
        });
        self.connections.len() - 1
    }

    /// A node, which may have been stalled, has noticed that the device is gone.
    pub(crate) fn parted(&mut self, source: PresenceSource, device: SessionId, now_ms: u64) {
        let is_it =
            |it: &&mut Connection| it.source == source && it.device == device && it.noticed_ms.is_some();
        self.connections.iter_mut().filter(is_it).for_each(|it| it.noticed_ms = Some(now_ms));
    }

    /// A node died, or loaded its realm anew: returns the connections it still counted.
    pub(crate) fn end_node(&mut self, source: PresenceSource, now_ms: u64) -> Vec<usize> {
        let mut counted = Vec::new();
        for (index, connection) in self.connections.iter_mut().enumerate() {
            if connection.source == source && connection.node_end_ms.is_none() {
                connection.node_end_ms = Some(now_ms);
                if connection.noticed_ms.is_none() {
                    counted.push(index);
                }
            }
        }
        counted
    }

    /// A node died that may not have said that it loaded its realm anew.
    pub(crate) fn end_reopened(&mut self, node: NodeId, now_ms: u64) {
        let of_node = self.connections.iter_mut().filter(|connection| connection.source.node_id == node);
        for connection in
            of_node.filter(|it| it.node_end_ms.is_some_and(|end_ms| end_ms + REOPENING_HEARD_MS > now_ms))
        {
            connection.is_reopened = false;
        }
    }

    pub(crate) fn of(&self, user: UserId) -> impl Iterator<Item = &Connection> {
        self.connections.iter().filter(move |connection| connection.user == user)
    }

    pub(crate) fn is_deactivated(&self, user: UserId) -> bool {
        self.deactivated.contains(&user)
    }
}

impl Connection {
    /// Whether the device is there, really, on a node that lives.
    pub(crate) fn is_live(&self) -> bool {
        self.end_ms.is_none() && self.node_end_ms.is_none()
    }

    /// How long others keep it after the end of its node, or of the opening.
    pub(crate) fn kept_ms(&self) -> u64 {
        if self.is_reopened { GRACE_MS + REOPENING_HEARD_MS } else { SILENCE_MS }
    }

    /// Since when it is active without a break, if it is.
    pub(crate) fn active_since(&self, now_ms: u64) -> Option<u64> {
        let mut since = None;
        let mut until_ms = 0;
        for (at_ms, status) in &self.reports {
            if *status == Status::Idle {
                since = None;
            } else if since.is_none() || until_ms <= *at_ms {
                since = Some(*at_ms);
            }
            until_ms = at_ms + LEASE_MS;
        }
        since.filter(|_| now_ms < until_ms)
    }

    /// Until when its own node, as long as that lives, counts it as at least `status`; none if it never did.
    pub(crate) fn counts_until(&self, status: Status, now_ms: u64) -> Option<u64> {
        let left_ms = self.noticed_ms.unwrap_or(OPEN);
        if status == Status::Idle {
            return Some(left_ms.saturating_add(GRACE_MS));
        }
        let ends = self.reports.iter().skip(1).map(|(at_ms, _)| *at_ms).chain([OPEN]);
        let spans = self.reports.iter().zip(ends).filter(|((_, status), _)| *status == Status::Active);
        let last = spans.last().map(|((at_ms, _), end_ms)| end_ms.min(at_ms + LEASE_MS))?;
        if last >= left_ms {
            return Some(left_ms.saturating_add(GRACE_MS));
        }
        Some(if last > now_ms { OPEN } else { last })
    }
}
