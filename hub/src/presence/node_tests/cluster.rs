//! A few nodes of one realm on one bus, in one time.

use std::collections::{BTreeMap, VecDeque};

use squall_protocol::client_message::Status;
use squall_protocol::frame::Frame;
use squall_protocol::link::NodeLease;
use squall_protocol::node_presence::PresenceSource;
use squall_protocol::server_message::PresenceDiff;
use squall_protocol::{NodeId, RealmId, SessionId, UserId};

use super::super::{Presence, Times, TimesConfig};

pub(super) const START_MS: u64 = 1_763_818_000_000;
pub(super) const SECOND: u64 = 1_000;
const STEP_MS: u64 = 10;
const TICK_MS: u64 = 1_000;
const PUBLISH_MS: u64 = 250;
const REALM: RealmId = RealmId(1);

/// Time passes in steps of 10 ms; a frame takes one.
pub(super) struct Cluster {
    pub(super) now_ms: u64,
    /// By name. A name that starts again is another node.
    pub(super) nodes: BTreeMap<&'static str, Node>,
    in_flight: VecDeque<(&'static str, Frame)>,
    /// Every frame that was published since the test looked, and by whom.
    pub(super) published: Vec<(&'static str, Frame)>,
    /// Which frames get lost: from, to.
    pub(super) loses: fn(&'static str, &'static str, &Frame) -> bool,
    lives: u64,
}

pub(super) struct Node {
    pub(super) presence: Presence,
    pub(super) id: NodeId,
    openings: u64,
    phase_ms: u64,
    pub(super) link_up: bool,
    /// What its clients were told since the test looked.
    pub(super) told: Vec<PresenceDiff>,
}

pub(super) fn times() -> Times {
    Times::new(TimesConfig::among_nodes()).unwrap()
}

impl Cluster {
    /// These nodes, settled, each with ticks of its own.
    pub(super) fn of(names: &[&'static str]) -> Self {
        let mut cluster = Self::default();
        names.iter().for_each(|name| cluster.start(name));
        cluster.wait(3 * SECOND);
        cluster.look();
        cluster
    }

    pub(super) fn start(&mut self, name: &'static str) {
        self.lives += 1;
        let id = NodeId(self.lives * 1_000);
        // Such that no two nodes tick in one moment.
        let phase_ms = self.lives * 370 % TICK_MS;
        let source = PresenceSource { node_id: id, opening: 1 };
        let presence = Presence::new(times(), [], self.now_ms).among_nodes(REALM, source, true);
        let node = Node { presence, id, openings: 1, phase_ms, link_up: true, told: Vec::new() };
        self.nodes.insert(name, node);
    }

    pub(super) fn kill(&mut self, name: &'static str) {
        self.nodes.remove(name);
    }

    /// The node loads its realm anew; its devices are still there.
    pub(super) fn reopen(&mut self, name: &'static str, devices: &[(UserId, SessionId, Status)]) {
        let now_ms = self.now_ms;
        let node = self.node(name);
        node.openings += 1;
        let source = PresenceSource { node_id: node.id, opening: node.openings };
        node.presence = Presence::new(times(), [], now_ms).among_nodes(REALM, source, node.link_up);
        for (user, device, status) in devices {
            node.presence.handle_connect(*user, *device, *status, now_ms);
        }
    }

    pub(super) fn node(&mut self, name: &'static str) -> &mut Node {
        self.nodes.get_mut(name).unwrap()
    }

    pub(super) fn connect(&mut self, name: &'static str, user: UserId, device: SessionId, status: Status) {
        let now_ms = self.now_ms;
        self.node(name).presence.handle_connect(user, device, status, now_ms);
    }

    pub(super) fn close(&mut self, name: &'static str, device: SessionId) {
        let now_ms = self.now_ms;
        self.node(name).presence.handle_disconnect(device, now_ms, now_ms);
    }

    pub(super) fn set_link(&mut self, name: &'static str, up: bool) {
        let now_ms = self.now_ms;
        let node = self.node(name);
        node.link_up = up;
        node.presence.handle_link(up, now_ms);
    }

    pub(super) fn wait(&mut self, ms: u64) {
        for _ in 0..ms / STEP_MS {
            self.now_ms += STEP_MS;
            self.deliver();
            self.run();
        }
    }

    fn deliver(&mut self) {
        for (from, frame) in std::mem::take(&mut self.in_flight) {
            for (to, node) in self.nodes.iter_mut().filter(|(_, node)| node.link_up) {
                if (self.loses)(from, to, &frame) {
                    continue;
                }
                match &frame {
                    Frame::NodePresence(part) => node.presence.handle_node_presence(part, self.now_ms),
                    Frame::PresenceAsk(ask) => node.presence.handle_ask(ask, self.now_ms),
                    Frame::Events(_) | Frame::Ephemeral(_) => panic!("not of presence: {frame:?}"),
                }
            }
        }
    }

    fn run(&mut self) {
        for (name, node) in &mut self.nodes {
            let age_ms = self.now_ms - START_MS + TICK_MS - node.phase_ms;
            if age_ms.is_multiple_of(PUBLISH_MS) {
                let frames = node.presence.poll_frames(self.now_ms);
                self.published.extend(frames.iter().map(|frame| (*name, frame.clone())));
                self.in_flight.extend(frames.into_iter().map(|frame| (*name, frame)));
            }
            if age_ms.is_multiple_of(TICK_MS) {
                node.told.extend(node.presence.poll_tick(self.now_ms));
            }
        }
    }

    /// All nodes that live by the writer's account, told to `name`.
    pub(super) fn tell_leases(&mut self, name: &'static str, of: &[&'static str]) {
        let as_of_ms = self.now_ms;
        let lease = |name| NodeLease { node_id: self.nodes[name].id, as_of_ms };
        let leases: Vec<_> = of.iter().map(|name| lease(*name)).collect();
        self.node(name).presence.handle_leases(&leases, as_of_ms, as_of_ms);
    }

    /// What `name` shows of `user`.
    pub(super) fn shown(&self, name: &'static str, user: UserId) -> Option<Seen> {
        let snapshot = self.nodes[name].presence.snapshot(self.now_ms);
        let offline = snapshot.offline.iter().find(|(gone, _)| *gone == user);
        let gone = offline.map(|(_, heard_s)| Seen::Gone(heard_s - START_MS / 1000));
        let idle = snapshot.idle.contains(&user).then_some(Seen::Here(Status::Idle));
        let active = snapshot.active.contains(&user).then_some(Seen::Here(Status::Active));
        active.or(idle).or(gone)
    }

    /// What `names` show of `user`, if they all show the same.
    pub(super) fn all_show(&self, names: &[&'static str], user: UserId) -> Option<Seen> {
        let shown: Vec<_> = names.iter().map(|name| self.shown(name, user)).collect();
        assert!(shown.windows(2).all(|pair| pair[0] == pair[1]), "{names:?} differ: {shown:?}");
        shown[0]
    }

    /// Forgets what was told and published so far.
    pub(super) fn look(&mut self) {
        self.published.clear();
        self.nodes.values_mut().for_each(|node| node.told.clear());
    }

    /// How many users were named to clients of any node since the test looked.
    pub(super) fn named(&self) -> usize {
        let told = self.nodes.values().flat_map(|node| &node.told);
        told.map(|diff| diff.active.len() + diff.idle.len() + diff.offline.len()).sum()
    }

    /// How many frames `name` published since the test looked, and the bytes of them.
    pub(super) fn cost(&self, name: &'static str) -> (usize, usize) {
        let frames = self.published.iter().filter(|(from, _)| *from == name);
        let sizes: Vec<_> = frames.map(|(_, frame)| frame.encode().len()).collect();
        (sizes.len(), sizes.iter().sum())
    }
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            now_ms: START_MS,
            nodes: BTreeMap::new(),
            in_flight: VecDeque::new(),
            published: Vec::new(),
            loses: |_, _, _| false,
            lives: 0,
        }
    }
}

/// What a node shows of a user; the time in seconds since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    Here(Status),
    Gone(u64),
}
