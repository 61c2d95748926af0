//! What other nodes say of their users.

use std::collections::{BTreeMap, HashMap};

use squall_protocol::client_message::Status;
use squall_protocol::link::NodeLease;
use squall_protocol::node_presence::{NodePresence, PresenceAsk, PresenceSource};
use squall_protocol::{NodeId, RealmId, UserId};

use super::backoff::Backoff;
use super::remote::Remote;
use super::times::Times;

/// The other nodes that hold users of the realm, as far as this node heard of them.
#[derive(Debug)]
pub(super) struct Elsewhere {
    realm_id: RealmId,
    me: NodeId,
    nodes: BTreeMap<PresenceSource, Remote>,
    /// The last second at which somebody was heard of elsewhere, until it is told.
    heard_s: HashMap<UserId, u64>,
    link: BusLink,
    /// When the leases were asked for that a writer told last, and since when it told them without a break.
    leases_ms: u64,
    leases_since_ms: u64,
    /// An ask to everybody that did not come back yet, and from which change on.
    greeting: Option<(u64, Backoff)>,
    opened_ms: u64,
    /// When an ask to everybody came back: from then on this node hears the others.
    echoed_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
enum BusLink {
    Up { since_ms: u64 },
    Down { since_ms: u64 },
}

/// Other nodes of one realm; more are not listened to until one of them is silent. A node that starts again
/// and again is a new one each time.
pub(super) const NODES_MAX: usize = 256;

/// Signs of life that may be late or lost before the writers are asked whether a node lives.
const SIGNS_MISSED_MAX: u64 = 2;

/// Everybody is ahead of nobody: asks only for a sign of life.
const NO_CHANGES: u64 = u64::MAX;

impl Elsewhere {
    /// Knows nobody yet, and asks everybody.
    pub(super) fn new(realm_id: RealmId, me: NodeId, link_up: bool, times: &Times, now_ms: u64) -> Self {
        let since_ms = now_ms;
        Self {
            realm_id,
            me,
            nodes: BTreeMap::new(),
            heard_s: HashMap::new(),
            link: if link_up { BusLink::Up { since_ms } } else { BusLink::Down { since_ms } },
            leases_ms: 0,
            leases_since_ms: 0,
            greeting: Some((0, first_try(times, now_ms))),
            opened_ms: now_ms,
            echoed_ms: None,
        }
    }

    /// Takes what a node said; returns the users that it may have changed.
    pub(super) fn handle_part(&mut self, part: &NodePresence, times: &Times, now_ms: u64) -> Vec<UserId> {
        let heard_ms = part.diff.as_of_ms.min(now_ms);
        let is_news = heard_ms + times.silence_ms() > now_ms;
        let is_known = self.nodes.contains_key(&part.source);
        if part.source.node_id == self.me || !is_news || !is_known && self.nodes.len() == NODES_MAX {
            return Vec::new();
        }
        if !is_known {
            self.supersede(part.source, now_ms);
        }
        let Self { nodes, heard_s, .. } = self;
        // A copy of nothing is whole: it claims nothing.
        let node = nodes.entry(part.source).or_insert_with(|| Remote::heard(heard_ms));
        let mut users = Vec::new();
        node.handle_part(&part.diff, part.change, heard_ms, |user, heard| {
            users.push(user);
            if let Some(second) = heard {
                hear(heard_s, user, second.min(now_ms / 1000));
            }
        });
        if node.is_missing_some() && node.ask.is_none() {
            node.ask = Some(first_try(times, now_ms));
        }
        users
    }

    /// The node has loaded its realm anew: whoever is still there it says again, the others have their grace.
    fn supersede(&mut self, source: PresenceSource, now_ms: u64) {
        let first = PresenceSource { opening: 0, ..source };
        for (_, earlier) in self.nodes.range_mut(first..source) {
            earlier.superseded_ms.get_or_insert(now_ms);
        }
    }

    /// Somebody asked somebody: what is on its way then need not be asked for again.
    pub(super) fn handle_ask(&mut self, ask: &PresenceAsk, now_ms: u64) {
        if ask.from == self.me {
            if ask.to.is_none() {
                self.greeting.take_if(|(since, _)| *since >= ask.since);
                self.echoed_ms = self.echoed_ms.or(Some(now_ms));
            }
            return;
        }
        let asked = self.nodes.iter_mut().filter(|(source, _)| ask.to.is_none_or(|to| to == **source));
        for (_, node) in asked.filter(|(_, node)| ask.since <= node.change()) {
            if let Some(backoff) = &mut node.ask {
                backoff.spare_first(now_ms);
            }
        }
    }

    /// The bus is there (again), or not. Meanwhile something may have been missed, and nobody is silent who could
    /// not be heard.
    pub(super) fn handle_link(&mut self, up: bool, times: &Times, now_ms: u64) {
        self.link = match (up, self.link) {
            (true, _) => BusLink::Up { since_ms: now_ms },
            (false, BusLink::Up { .. }) => BusLink::Down { since_ms: now_ms },
            (false, down @ BusLink::Down { .. }) => down,
        };
        if up {
            let since = self.greeting.map_or(NO_CHANGES, |(since, _)| since);
            self.greeting = Some((since, first_try(times, now_ms)));
        }
    }

    /// Frames may have been lost: the next signs of life tell, so they are asked for.
    pub(super) fn handle_gap(&mut self, times: &Times, now_ms: u64) {
        self.greeting.get_or_insert((NO_CHANGES, first_try(times, now_ms)));
    }

    /// The signs of life that nodes gave to the writers, as asked for at `asked_ms`.
    pub(super) fn handle_leases(&mut self, leases: &[NodeLease], asked_ms: u64, times: &Times, now_ms: u64) {
        if self.leases_ms + SIGNS_MISSED_MAX * times.sign_of_life_ms() < asked_ms {
            self.leases_since_ms = asked_ms;
        }
        self.leases_ms = self.leases_ms.max(asked_ms);
        for lease in leases {
            let of_node = PresenceSource { node_id: lease.node_id, opening: 0 }..=PresenceSource {
                node_id: lease.node_id,
                opening: u64::MAX,
            };
            // An earlier opening of the realm is over, though the node lives.
            if let Some((_, node)) = self.nodes.range_mut(of_node).next_back() {
                node.writer_ms = node.writer_ms.max(lease.as_of_ms.min(now_ms));
            }
        }
    }

    /// The asks that are due.
    pub(super) fn poll_asks(&mut self, times: &Times, now_ms: u64) -> Vec<PresenceAsk> {
        let (realm_id, from, wait_ms_max) = (self.realm_id, self.me, times.sign_of_life_ms());
        let mut asks = Vec::new();
        if let Some((since, backoff)) = &mut self.greeting
            && backoff.poll(now_ms, wait_ms_max)
        {
            asks.push(PresenceAsk { realm_id, from, to: None, since: *since });
        }
        for (source, node) in &mut self.nodes {
            if node.ask.as_mut().is_some_and(|ask| ask.poll(now_ms, wait_ms_max)) {
                asks.push(PresenceAsk { realm_id, from, to: Some(*source), since: node.change() });
            }
        }
        asks
    }

    /// Forgets the nodes that have been silent for longer than they may; returns their users, who were last
    /// heard of at the node's last sign of life.
    pub(super) fn poll_silent(&mut self, times: &Times, now_ms: u64) -> Vec<UserId> {
        let silent: Vec<_> =
            self.nodes.iter().filter(|(_, node)| self.is_silent(node, times, now_ms)).collect();
        let silent: Vec<_> = silent.into_iter().map(|(source, _)| *source).collect();
        let mut users = Vec::new();
        for node in silent.iter().filter_map(|source| self.nodes.remove(source)) {
            for user in node.users() {
                hear(&mut self.heard_s, user, node.as_of_ms() / 1000);
                users.push(user);
            }
        }
        users
    }

    /// The best that the other nodes' devices make of `user`, if it has one there.
    pub(super) fn status(&self, user: UserId) -> Option<Status> {
        self.nodes.values().filter_map(|node| node.status(user)).max()
    }

    /// When `user` was last heard of elsewhere, if that was not told yet.
    pub(super) fn heard_s(&self, user: UserId) -> Option<u64> {
        self.heard_s.get(&user).copied()
    }

    /// That `user` is gone, and when it was last heard of, was told.
    pub(super) fn told_gone(&mut self, user: UserId) {
        self.heard_s.remove(&user);
    }

    /// Whether the bus can be reached.
    pub(super) fn is_link_up(&self) -> bool {
        matches!(self.link, BusLink::Up { .. })
    }

    /// Whether some node is not heard on the bus as it should be: its link is down, or ours, or it is gone.
    pub(super) fn is_someone_quiet(&self, times: &Times, now_ms: u64) -> bool {
        let quiet_ms = SIGNS_MISSED_MAX * times.sign_of_life_ms();
        self.nodes.values().any(|node| node.whole_ms + quiet_ms <= now_ms)
    }

    /// Whether the other nodes were asked and had the time to answer, or had time enough to be asked.
    pub(super) fn is_settled(&self, times: &Times, now_ms: u64) -> bool {
        let answered = self.echoed_ms.is_some_and(|at_ms| at_ms + times.news_ms() <= now_ms);
        answered || self.opened_ms + 2 * times.tick_ms() <= now_ms
    }

    /// A node that opened the realm anew speaks no more for its earlier opening. Any other is judged by the
    /// way it was last heard by, and only while this node can hear that way: on the bus; or by a writer that
    /// was there for a lease's time without a break, and still knows no newer lease.
    fn is_silent(&self, node: &Remote, times: &Times, now_ms: u64) -> bool {
        if let Some(at_ms) = node.superseded_ms {
            return at_ms + times.grace_ms() <= now_ms;
        }
        let silence_ms = times.silence_ms();
        let is_overdue = node.as_of_ms() + silence_ms <= now_ms;
        let asked_from_ms = node.writer_ms.max(self.leases_since_ms);
        let writer_knows = self.leases_ms >= asked_from_ms + times.node_lease_ms();
        match self.link {
            BusLink::Up { since_ms } if node.whole_ms >= node.writer_ms => {
                is_overdue && since_ms + silence_ms <= now_ms
            }
            BusLink::Up { .. } => is_overdue && writer_knows,
            BusLink::Down { since_ms } => is_overdue && writer_knows && node.writer_ms > since_ms,
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> (usize, usize) {
        (self.nodes.len(), self.heard_s.len())
    }
}

/// Due at once; the answer may take as long as news do.
fn first_try(times: &Times, now_ms: u64) -> Backoff {
    Backoff::start(now_ms, times.tick_ms().div_ceil(2))
}

fn hear(heard_s: &mut HashMap<UserId, u64>, user: UserId, second: u64) {
    let heard = heard_s.entry(user).or_default();
    *heard = second.max(*heard);
}
