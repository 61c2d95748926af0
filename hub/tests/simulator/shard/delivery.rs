//! Events to sockets: a pass over the live sessions, and a step for each that is behind.

use std::sync::Arc;

use squall_hub::RingEvent;
use squall_hub::catch_up::{Block, PositionCheck};
use squall_hub::roster::{CatchUpStep, FanOut, SessionKey};
use squall_protocol::event::Event;
use squall_protocol::server_message::ResetReason;
use squall_protocol::{CloseCode, Sequence, json};

use super::{Peer, Shard};
use crate::mutation::Mutation;
use crate::node::Told;

/// New events on their way to live sessions.
pub(super) struct Pass {
    before: Sequence,
    fan_out: FanOut,
    next: usize,
    revoked: Vec<SessionKey>,
}

/// Small, so that a pass and a catch-up take several steps.
const BODY_BYTES_MAX: usize = 1_500;
const BLOCKS_MAX: usize = 2;

impl Shard {
    pub(super) fn handle_block(&mut self, number: u64, block: Option<Arc<Block>>) {
        let waiting = self.awaiting_block.remove(&number).unwrap_or_default();
        match block {
            Some(block) => {
                if self.blocks.len() >= BLOCKS_MAX {
                    self.blocks.clear();
                }
                self.blocks.insert(number, block);
                waiting.into_iter().for_each(|key| self.queue_if_behind(key));
            }
            None => waiting.into_iter().for_each(|key| self.close(key, CloseCode::Unavailable)),
        }
    }

    /// New events for live sessions, as far as `writes_left` goes: a pass may be interrupted anywhere.
    pub(super) fn deliver(&mut self, now_ms: u64, mut writes_left: usize) {
        while let Some(mut pass) = self.pass.take() {
            while let Some((key, mask)) = pass.fan_out.deliveries.get(pass.next).copied() {
                if writes_left == 0 {
                    self.pass = Some(pass);
                    return;
                }
                writes_left -= 1;
                pass.next += 1;
                self.deliver_to(key, mask, &pass);
            }
            pass.revoked.into_iter().for_each(|key| self.close(key, CloseCode::Revoked));
            self.begin_pass();
            self.join_waiting(now_ms);
        }
    }

    pub(super) fn begin_pass(&mut self) {
        if self.pass.is_some() {
            return;
        }
        let (Some(view), Some(roster)) = (self.view.clone(), &mut self.roster) else { return };
        let view = view.borrow();
        let before = roster.cursor();
        let fan_out = roster.fan_out(&view.ring, BODY_BYTES_MAX);
        if roster.cursor() == before {
            return;
        }
        if fan_out.events.is_empty() {
            // The shard slept past the ring: everybody is behind now.
            let behind = self.sessions();
            drop(view);
            self.close_ended(&behind);
            return behind.into_iter().for_each(|key| self.queue_if_behind(key));
        }
        let revoked = self.revoked_by(&fan_out.events);
        self.pass = Some(Pass { before, fan_out, next: 0, revoked });
    }

    fn revoked_by(&self, events: &[Arc<RingEvent>]) -> Vec<SessionKey> {
        let changed = events.iter().filter(|event| event.record().changes_state);
        let users = changed.filter_map(|event| match json::decode_event(&event.record().body).ok()? {
            Event::UserUpdated { user, .. } => Some(user.user_id),
            Event::CredentialChanged { user_id } => Some(user_id),
            Event::Message(_)
            | Event::StreamCreated { .. }
            | Event::MembersAdded { .. }
            | Event::MembersRemoved { .. }
            | Event::UserAdded { .. }
            | Event::StreamUpdated { .. }
            | Event::MessageEdited(_)
            | Event::MessagesMoved(_)
            | Event::MessagesDeleted(_)
            | Event::ReactionAdded(_)
            | Event::ReactionRemoved(_)
            | Event::FlagsAdded(_)
            | Event::FlagsRemoved(_)
            | Event::TopicPolicySet(_)
            | Event::SubscriptionSet(_)
            | Event::SettingSet(_) => None,
        });
        let users: Vec<_> = users.collect();
        let sessions = self.sessions();
        let touched =
            sessions.into_iter().filter(|key| self.user(*key).is_some_and(|it| users.contains(&it)));
        touched.filter(|key| self.is_ended(*key)).collect()
    }

    fn deliver_to(&mut self, key: SessionKey, mask: u64, pass: &Pass) {
        let Some(connection) = self.connection(key) else { return };
        let Peer::Open(open) = &connection.peer else { return };
        let user = open.session.user_id();
        let chosen = pass.fan_out.events.iter().enumerate().filter(|(bit, _)| mask & 1 << bit != 0);
        let chosen: Vec<_> = chosen.map(|(_, event)| event.clone()).collect();
        let offered = connection.socket.borrow_mut().offer(&chosen);
        if !offered.all {
            let had = offered.had.checked_sub(1).map_or(pass.before, |last| chosen[last].sequence());
            let mutation = self.mutation;
            if let Some(roster) = &mut self.roster {
                roster.lag(key, user, mutation.had(had, roster.cursor()));
            }
        }
    }

    pub(super) fn queue_if_behind(&mut self, key: SessionKey) {
        let Some(connection) = self.connection(key) else { return };
        if !connection.socket.borrow().is_clear() || !matches!(connection.peer, Peer::Open(_)) {
            return;
        }
        if self.roster.as_ref().is_some_and(|roster| roster.behind(key).is_some()) {
            if !self.catching_up.contains(&key) {
                self.catching_up.push_back(key);
            }
        } else {
            self.catch_up_presence(key);
        }
    }

    pub(super) fn catch_up_some(&mut self) {
        for _ in 0..self.catching_up.len() {
            if let Some(key) = self.catching_up.pop_front() {
                self.catch_up(key);
            }
        }
    }

    /// One step of a session that is behind.
    fn catch_up(&mut self, key: SessionKey) {
        let Some(connection) = self.connection(key) else { return };
        if !connection.socket.borrow().is_clear() {
            return;
        }
        let Peer::Open(open) = &connection.peer else { return };
        let unproven = open.unproven;
        let (Some(view), Some(roster)) = (&self.view, &self.roster) else { return };
        let Some(behind) = roster.behind(key) else { return };
        let number = Block::number_after(behind.after);
        let block = self.blocks.get(&number);
        if let Some(position) = unproven {
            return match block.map(|block| block.check(position)) {
                Some(PositionCheck::Good) => self.proven(key),
                Some(PositionCheck::Foreign) if self.mutation == Mutation::IgnoreMarks => self.proven(key),
                Some(PositionCheck::Expired) => self.reset(key, ResetReason::Expired),
                Some(PositionCheck::Foreign) => self.reset(key, ResetReason::Epoch),
                Some(PositionCheck::Beyond) | None => self.await_block(key, number),
            };
        }
        let step = roster.catch_up(key, &view.borrow().ring, block.map(|block| &**block), BODY_BYTES_MAX);
        match step {
            CatchUpStep::Events { events, upto } => self.step(key, &events, upto),
            CatchUpStep::NeedBlock(number) => self.await_block(key, number),
            CatchUpStep::Lost => self.close(key, CloseCode::SlowConsumer),
            CatchUpStep::Expired => self.reset(key, ResetReason::Expired),
            CatchUpStep::CaughtUp => {
                self.caught_up_to(key, behind.after);
                self.catch_up_presence(key);
            }
        }
    }

    fn step(&mut self, key: SessionKey, events: &[Arc<RingEvent>], upto: Sequence) {
        let Some(connection) = self.connection(key) else { return };
        let offered = connection.socket.borrow_mut().offer(events);
        if offered.all {
            self.caught_up_to(key, upto);
            self.queue_if_behind(key);
        } else if let Some(last) = offered.had.checked_sub(1) {
            self.caught_up_to(key, events[last].sequence());
        }
    }

    fn proven(&mut self, key: SessionKey) {
        if let Some(open) = self.open_session(key) {
            open.unproven = None;
        }
        self.queue_if_behind(key);
    }

    fn caught_up_to(&mut self, key: SessionKey, upto: Sequence) {
        if let Some(roster) = &mut self.roster {
            roster.caught_up_to(key, upto);
        }
    }

    fn await_block(&mut self, key: SessionKey, number: u64) {
        // One that is here did not reach far enough.
        self.blocks.remove(&number);
        let waiting = self.awaiting_block.entry(number).or_default();
        waiting.push(key);
        if waiting.len() == 1 {
            self.told.push(Told::ReadBlock(number));
        }
    }
}
