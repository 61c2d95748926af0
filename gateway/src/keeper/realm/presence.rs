//! The realm's presence: what shards report, what other nodes say, what is told to whom. Its times are bus time.

use std::sync::Arc;

use squall_hub::frame::Announcement;
use squall_hub::presence::Presence;
use squall_hub::roster::SessionKey;
use squall_protocol::UserId;
use squall_protocol::frame::Frame;
use squall_protocol::link::{LastHeard, NodeLease};
use squall_protocol::node_presence::{NodePresence, PresenceAsk};
use squall_protocol::server_message::{PresenceSnapshot, ServerMessage};
use tokio::sync::oneshot;

use super::super::PresenceReport;
use super::{Open, Phase, Realm};
use crate::shard::ShardInput;

impl Realm {
    /// The presence of a realm that is opened now.
    pub(super) fn new_presence(&self, last_heard: Vec<(UserId, u64)>, now_ms: u64) -> Presence {
        let presence = Presence::new(self.setup.times, last_heard, self.bus_ms(now_ms));
        match &self.setup.company {
            Some(company) => presence.among_nodes(self.id, company.open(), self.link_up),
            None => presence,
        }
    }

    pub(in super::super) fn handle_presence(&mut self, report: PresenceReport, now_ms: u64) {
        let now_ms = self.bus_ms(now_ms);
        let heard_ms = |heard_ms| self.setup.bus_offset.bus_ms(heard_ms);
        let Phase::Open(open) = &mut self.phase else { return };
        match report {
            PresenceReport::Connected { user, device, status } => {
                open.presence.handle_connect(user, device, status, now_ms);
            }
            PresenceReport::Status { device, status } => open.presence.handle_status(device, status, now_ms),
            PresenceReport::Disconnected { device, heard_ms: at_ms } => {
                open.presence.handle_disconnect(device, heard_ms(at_ms), now_ms);
            }
        }
    }

    pub(in super::super) fn handle_node_presence(&mut self, part: &NodePresence, now_ms: u64) {
        self.with_presence(now_ms, |presence, bus_ms| presence.handle_node_presence(part, bus_ms));
    }

    pub(in super::super) fn handle_presence_ask(&mut self, ask: &PresenceAsk, now_ms: u64) {
        self.with_presence(now_ms, |presence, bus_ms| presence.handle_ask(ask, bus_ms));
    }

    pub(in super::super) fn handle_link(&mut self, up: bool, now_ms: u64) {
        self.link_up = up;
        self.with_presence(now_ms, |presence, bus_ms| presence.handle_link(up, bus_ms));
    }

    pub(in super::super) fn handle_gap(&mut self, now_ms: u64) {
        self.with_presence(now_ms, |presence, bus_ms| presence.handle_gap(bus_ms));
    }

    /// What a writer knows of the nodes, having been asked at `asked_ms` by this node's clock.
    pub(in super::super) fn handle_leases(&mut self, leases: &[NodeLease], asked_ms: u64, now_ms: u64) {
        let asked_ms = self.bus_ms(asked_ms);
        self.with_presence(now_ms, |presence, bus_ms| presence.handle_leases(leases, asked_ms, bus_ms));
    }

    pub(in super::super) fn needs_writer(&self, now_ms: u64) -> bool {
        match &self.phase {
            Phase::Open(open) => open.presence.needs_writer(self.bus_ms(now_ms)),
            Phase::Loading { .. } => false,
        }
    }

    /// What is to be published to the other nodes now. Sessions that waited to hear of those are told.
    pub(in super::super) fn poll_frames(&mut self, now_ms: u64) -> Vec<Frame> {
        let bus_ms = self.bus_ms(now_ms);
        let Phase::Open(open) = &mut self.phase else { return Vec::new() };
        let frames = open.presence.poll_frames(bus_ms);
        let is_awaited = !open.unsettled.is_empty() || !open.unanswered.is_empty();
        if is_awaited && open.presence.is_settled(bus_ms) {
            let (waiting, unanswered) =
                (std::mem::take(&mut open.unsettled), std::mem::take(&mut open.unanswered));
            // A snapshot is what was told: what the others said is told first.
            self.handle_presence_tick(now_ms);
            for (shard, key, since) in waiting {
                self.tell_presence(shard, key, since, now_ms);
            }
            for reply in unanswered {
                self.answer_presence_of_all(reply, now_ms);
            }
        }
        frames
    }

    /// Tells a session everybody's presence, or what changed since a change number if that is less; once the
    /// other nodes have said who is there.
    pub(in super::super) fn tell_presence(
        &mut self,
        shard: usize,
        key: SessionKey,
        since: Option<u64>,
        now_ms: u64,
    ) {
        let bus_ms = self.bus_ms(now_ms);
        let Phase::Open(open) = &mut self.phase else { return };
        if !open.presence.is_settled(bus_ms) {
            return open.unsettled.push((shard, key, since));
        }
        let change = open.presence.change();
        let diff = since.and_then(|since| open.presence.changes_since(since, bus_ms));
        let message = match diff {
            Some(diff) => Arc::new(Announcement::new(ServerMessage::Presence(diff))),
            None => open.presence_snapshot(bus_ms),
        };
        self.setup.shards[shard].tell(ShardInput::PresenceFor { key, change, message });
    }

    /// Answers with everybody's presence as told up to the last tick, once the other nodes have said who is
    /// there; not while loading.
    pub(in super::super) fn answer_presence_of_all(
        &mut self,
        reply: oneshot::Sender<PresenceSnapshot>,
        now_ms: u64,
    ) {
        let bus_ms = self.bus_ms(now_ms);
        let Phase::Open(open) = &mut self.phase else { return };
        if !open.presence.is_settled(bus_ms) {
            return open.unanswered.push(reply);
        }
        // Whoever asked may be gone.
        let _ = reply.send(open.presence.snapshot(bus_ms));
    }

    pub(in super::super) fn handle_presence_tick(&mut self, now_ms: u64) {
        let bus_ms = self.bus_ms(now_ms);
        let Phase::Open(open) = &mut self.phase else { return };
        let Some(diff) = open.presence.poll_tick(bus_ms) else { return };
        let (from, to) = (diff.from, diff.to);
        let message = Arc::new(Announcement::new(ServerMessage::Presence(diff)));
        for shard in &self.shards {
            let input = ShardInput::PresenceDiff { realm: self.id, from, to, message: message.clone() };
            self.setup.shards[*shard].hint(input);
        }
    }

    /// Times to store now.
    pub(in super::super) fn last_heard(&mut self, now_ms: u64) -> Vec<LastHeard> {
        let bus_ms = self.bus_ms(now_ms);
        match &mut self.phase {
            Phase::Open(open) => open.presence.poll_last_heard(bus_ms),
            Phase::Loading { .. } => Vec::new(),
        }
    }

    /// The node ends: times to store of everybody who was here.
    pub(in super::super) fn everybody_left(&mut self, now_ms: u64) -> Vec<LastHeard> {
        // Later on, everybody's time is due to be stored.
        let due_ms = now_ms + 2 * 60_000;
        let batches = std::iter::from_fn(|| Some(self.last_heard(due_ms)).filter(|batch| !batch.is_empty()));
        batches.flatten().collect()
    }

    fn with_presence(&mut self, now_ms: u64, handle: impl FnOnce(&mut Presence, u64)) {
        let bus_ms = self.bus_ms(now_ms);
        if let Phase::Open(open) = &mut self.phase {
            handle(&mut open.presence, bus_ms);
        }
    }

    fn bus_ms(&self, now_ms: u64) -> u64 {
        self.setup.bus_offset.bus_ms(now_ms)
    }
}

impl Open {
    fn presence_snapshot(&mut self, bus_ms: u64) -> Arc<Announcement> {
        let change = self.presence.change();
        if let Some((at, message)) = &self.snapshot
            && *at == change
        {
            return message.clone();
        }
        let snapshot = ServerMessage::PresenceSnapshot(self.presence.snapshot(bus_ms));
        let message = Arc::new(Announcement::new(snapshot));
        self.snapshot = Some((change, message.clone()));
        message
    }
}
