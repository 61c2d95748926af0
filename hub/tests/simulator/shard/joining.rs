//! From an identified peer to an open session, and back to the start by a reset.

use squall_hub::keeper::ReloadReason;
use squall_hub::roster::SessionKey;
use squall_hub::{Roster, Session};
use squall_protocol::client_message::Scope;
use squall_protocol::link::Identity;
use squall_protocol::server_message::ResetReason;
use squall_protocol::{CloseCode, Position, Sequence, SessionId};

use super::{Connection, Open, Peer, Shard};
use crate::mutation::Mutation;
use crate::node::{SharedView, TIMES, Told};
use crate::socket::Wire;

/// How a joining session's position fits the realm.
enum Fit {
    At { position: Position, unproven: bool },
    Reset(ResetReason),
    Wait,
    Refused,
}

impl Shard {
    pub(super) fn handle_identified(
        &mut self,
        key: SessionKey,
        identity: Option<Option<Identity>>,
        now_ms: u64,
    ) {
        let id = SessionId(u64::from(key.generation) << 8 | self.index as u64);
        let Some(connection) = self.connection(key) else { return };
        let Peer::Identifying(greeting) = &connection.peer else { return };
        match identity {
            Some(Some(identity)) => {
                let session = Session::open(id, &identity, greeting.scope, now_ms);
                let (position, status) = (greeting.position, greeting.status);
                connection.peer = Peer::Joining { session, position, status, asked_of_head: None };
                self.joining.push(key);
                self.join_waiting(now_ms);
            }
            Some(None) => self.close(key, CloseCode::Unauthorized),
            None => self.close(key, CloseCode::Unavailable),
        }
    }

    pub(super) fn handle_ready(&mut self, view: SharedView, now_ms: u64) {
        let head = view.borrow().ring.head().sequence;
        self.roster.get_or_insert_with(|| Roster::new(head));
        self.view = Some(view);
        self.join_waiting(now_ms);
        self.begin_pass();
    }

    pub(super) fn handle_reset(&mut self, view: SharedView, why: ReloadReason, now_ms: u64) {
        let sessions = self.sessions();
        self.roster = Some(Roster::new(view.borrow().ring.head().sequence));
        self.view = Some(view);
        self.blocks.clear();
        self.awaiting_block.clear();
        self.presence_change = 0;
        self.pass = None;
        let reason = match why {
            ReloadReason::Epoch => ResetReason::Epoch,
            ReloadReason::Expired | ReloadReason::UnknownKind => ResetReason::Expired,
        };
        self.close_ended(&sessions);
        for key in sessions {
            self.reset(key, reason);
            self.report_again(key);
        }
        for key in self.joining.clone() {
            if let Some(Connection { peer: Peer::Joining { asked_of_head, .. }, .. }) = self.connection(key) {
                *asked_of_head = None;
            }
        }
        self.join_waiting(now_ms);
        self.begin_pass();
    }

    pub(super) fn join_waiting(&mut self, now_ms: u64) {
        for key in std::mem::take(&mut self.joining) {
            match self.fit(key) {
                Some(Fit::At { position, unproven }) => self.open(key, position, unproven, now_ms),
                Some(Fit::Reset(reason)) => self.open_at_named(key, reason, now_ms),
                Some(Fit::Refused) => self.close(key, CloseCode::Revoked),
                Some(Fit::Wait) => self.joining.push(key),
                None => {}
            }
        }
    }

    /// How a joining session's position fits the realm; none if there is no such session any more.
    fn fit(&mut self, key: SessionKey) -> Option<Fit> {
        let (view, cursor) = (self.view.clone(), self.roster.as_ref().map(Roster::cursor));
        let Peer::Joining { session, position, .. } = &self.connection(key)?.peer else { return None };
        let (user, as_of, named) = (session.user_id(), session.as_of(), *position);
        let (Some(view), Some(cursor)) = (view, cursor) else { return Some(Fit::Wait) };
        let view = view.borrow();
        let head = view.ring.head();
        if as_of > head.sequence {
            return Some(self.wait_for_head(key, as_of));
        }
        if !view.state.admits(user, as_of) {
            return Some(Fit::Refused);
        }
        // A shard that slept past the ring must move on before it can tell anyone where it stands.
        let Some(here) = view.ring.position_of(cursor) else { return Some(Fit::Wait) };
        let Some(named) = named else { return Some(Fit::At { position: here, unproven: false }) };
        if named.epoch != head.epoch {
            return Some(Fit::Reset(ResetReason::Epoch));
        }
        if named.sequence > head.sequence {
            return Some(self.wait_for_head(key, named.sequence));
        }
        Some(match view.ring.position_of(named.sequence) {
            Some(known) if known != named && self.mutation != Mutation::IgnoreMarks => {
                Fit::Reset(ResetReason::Epoch)
            }
            // The realm has it, this shard has yet to deliver it to others.
            Some(_) | None if named.sequence > cursor => Fit::Wait,
            Some(_) => Fit::At { position: named, unproven: false },
            None => Fit::At { position: named, unproven: true },
        })
    }

    /// One look at the log's head settles who is wrong about it.
    fn wait_for_head(&mut self, key: SessionKey, sequence: Sequence) -> Fit {
        if let Some(Connection { peer: Peer::Joining { asked_of_head, .. }, .. }) = self.connection(key)
            && asked_of_head.replace(sequence) != Some(sequence)
        {
            self.told.push(Told::CheckHead(key, sequence));
        }
        Fit::Wait
    }

    pub(super) fn handle_beyond_head(&mut self, key: SessionKey, now_ms: u64) {
        let Some(head) = self.view.as_ref().map(|view| view.borrow().ring.head().sequence) else { return };
        let Some(Connection { peer: Peer::Joining { session, position, .. }, .. }) = self.connection(key)
        else {
            return;
        };
        if session.as_of() > head {
            return self.close(key, CloseCode::Unavailable);
        }
        if position.is_some_and(|named| named.sequence > head) && self.position().is_some() {
            self.joining.retain(|other| *other != key);
            self.open_at_named(key, ResetReason::Future, now_ms);
        }
    }

    /// Opens a session at a position that it can't go on from, and tells it so.
    fn open_at_named(&mut self, key: SessionKey, reason: ResetReason, now_ms: u64) {
        let Some(Connection { peer: Peer::Joining { position: Some(named), .. }, .. }) = self.connection(key)
        else {
            return;
        };
        let named = *named;
        self.open(key, named, false, now_ms);
        self.reset(key, reason);
    }

    fn open(&mut self, key: SessionKey, position: Position, unproven: bool, now_ms: u64) {
        let knows = self.knows();
        let Some(connection) = self.connection(key) else { return };
        let joining = std::mem::replace(&mut connection.peer, Peer::Between);
        let Peer::Joining { session, status, .. } = joining else { return };
        let (user, device, scope) = (session.user_id(), session.id(), session.scope());
        let as_of = session.as_of();
        let unproven = unproven.then_some(position);
        let open = Open { session, unproven, told: position.sequence, status, presence_at: None };
        connection.peer = Peer::Open(open);
        connection.ping_ms = now_ms + TIMES.heartbeat.as_millis() as u64;
        self.say(key, Wire::Welcome { position, knows, as_of });
        if let Some(roster) = &mut self.roster {
            roster.join(key, user, position.sequence);
        }
        self.told.push(Told::Connected(user, device, status));
        if scope == Scope::Realm {
            self.told.push(Told::PresenceSince(key, None));
        }
        self.queue_if_behind(key);
    }

    /// Tells a session to start again from where the realm is, and goes on with it from there.
    pub(super) fn reset(&mut self, key: SessionKey, reason: ResetReason) {
        let knows = self.knows();
        let Some(position) = self.position() else {
            // The shard slept past the ring: the session's next turn comes when it has moved on.
            return self.catching_up.push_back(key);
        };
        let Some(open) = self.open_session(key) else { return };
        open.unproven = None;
        open.told = position.sequence;
        let user = open.session.user_id();
        if let Some(roster) = &mut self.roster {
            roster.leave(key, user);
            roster.join(key, user, position.sequence);
        }
        if self.mutation != Mutation::ReloadInSilence {
            self.say(key, Wire::Reset { reason, position, knows });
        }
        self.queue_if_behind(key);
    }

    fn report_again(&mut self, key: SessionKey) {
        let Some(open) = self.open_session(key) else { return };
        open.presence_at = None;
        let (user, device, status) = (open.session.user_id(), open.session.id(), open.status);
        let scope = open.session.scope();
        self.told.push(Told::Connected(user, device, status));
        if scope == Scope::Realm {
            self.told.push(Told::PresenceSince(key, None));
        }
    }
}
