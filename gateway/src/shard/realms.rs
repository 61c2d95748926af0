//! The realms a shard has sessions in, and what their keepers tell.

use std::collections::HashMap;
use std::sync::Arc;

use squall_hub::catch_up::Block;
use squall_hub::frame::Announcement;
use squall_hub::keeper::ReloadReason;
use squall_hub::roster::SessionKey;
use squall_hub::{MemberSet, Roster};
use squall_protocol::client_message::Scope;
use squall_protocol::server_message::{ErrorCode, ResetReason, ServerMessage};
use squall_protocol::{CloseCode, Epoch, Position, RealmId, Sequence, UserId};

use super::Shard;
use super::connection::{Connection, Joining, Peer};
use crate::keeper::{KeeperInput, RealmView};

/// One realm in one shard.
#[derive(Default)]
pub(super) struct ShardRealm {
    /// What the keeper shows; none until the realm is loaded.
    pub(super) view: Option<Arc<RealmView>>,
    /// Who is in it; none until the realm is loaded.
    pub(super) roster: Option<Roster>,
    /// Sessions that wait for the realm, or for it to reach what they know of.
    joining: Vec<SessionKey>,
    /// Blocks of the log for sessions that resume, and who waits for which.
    pub(super) blocks: HashMap<u64, Arc<Block>>,
    pub(super) awaiting_block: HashMap<u64, Vec<SessionKey>>,
    /// The last presence change told to the sessions here.
    presence_change: u64,
}

/// How a joining session's position fits the realm.
enum Fit {
    /// It goes on from here; unproven if the log must still vouch for it.
    At { position: Position, unproven: bool },
    /// It can't.
    Reset(ResetReason),
    /// The realm is not there yet.
    Wait,
    /// The user is no longer let in.
    Refused,
    /// There is no such session any more.
    Gone,
}

/// Blocks of the log that a shard holds for one realm's resuming sessions.
const BLOCKS_MAX: usize = 4;

/// Resets and herds spread over this much for each session, at most [`RESET_SPREAD_MS_MAX`].
const RESET_SPREAD_MS_EACH: u64 = 2;
const RESET_SPREAD_MS_MAX: u64 = 30_000;

impl Shard {
    /// Puts an identified peer into its realm, as soon as that is there.
    pub(super) fn enter_realm(&mut self, key: SessionKey, id: RealmId) {
        let realm = self.realms.entry(id).or_insert_with(|| {
            self.for_keepers.push(KeeperInput::Attach { realm: id, shard: self.index });
            ShardRealm::default()
        });
        realm.joining.push(key);
        self.join_waiting(id);
    }

    /// Takes a peer out of its realm; an empty realm is let go.
    pub(super) fn leave_realm(&mut self, key: SessionKey, id: RealmId, user: UserId) {
        let Some(realm) = self.realms.get_mut(&id) else { return };
        realm.joining.retain(|other| *other != key);
        if let Some(roster) = &mut realm.roster {
            roster.leave(key, user);
        }
        if realm.joining.is_empty() && realm.roster.as_ref().is_none_or(Roster::is_empty) {
            self.realms.remove(&id);
            self.passes.retain(|pass| pass.realm != id);
            self.for_keepers.push(KeeperInput::Detach { realm: id, shard: self.index });
        }
    }

    pub(super) fn handle_realm_ready(&mut self, view: Arc<RealmView>) {
        let id = view.realm();
        let Some(realm) = self.realms.get_mut(&id) else { return };
        if realm.roster.is_none() {
            realm.roster = Some(Roster::new(view.load().ring.head().sequence));
        }
        realm.view = Some(view);
        self.join_waiting(id);
        self.handle_advanced(id);
    }

    /// The realm's history changed, or its keeper lost the thread: everybody starts again from its head.
    pub(super) fn handle_realm_reset(&mut self, view: Arc<RealmView>, why: ReloadReason) {
        let id = view.realm();
        let Some(realm) = self.realms.get_mut(&id) else { return };
        let sessions: Vec<_> = realm.roster.iter().flat_map(Roster::sessions).collect();
        realm.roster = Some(Roster::new(view.load().ring.head().sequence));
        realm.view = Some(view.clone());
        realm.blocks.clear();
        realm.awaiting_block.clear();
        realm.presence_change = 0;
        self.passes.retain(|pass| pass.realm != id);
        let reason = match why {
            ReloadReason::Epoch => ResetReason::Epoch,
            ReloadReason::Expired | ReloadReason::UnknownKind => ResetReason::Expired,
        };
        let waiting = realm.joining.clone();
        let snapshot = view.load_full();
        let ended = self.ended(&sessions, &snapshot.state);
        ended.into_iter().for_each(|key| self.close(key, CloseCode::Revoked));
        let herd = sessions.len();
        for key in sessions {
            self.reset(key, reason, herd);
            self.report_again(key);
        }
        for key in waiting {
            // The keepers forgot what they were asked.
            if let Some(joining) = self.joining(key) {
                joining.asked_of_head = None;
            }
        }
        self.join_waiting(id);
        self.handle_advanced(id);
    }

    /// Lets in whoever waits for the realm and can be let in now.
    pub(super) fn join_waiting(&mut self, id: RealmId) {
        let Some(realm) = self.realms.get_mut(&id) else { return };
        for key in std::mem::take(&mut realm.joining) {
            self.join(key, id);
        }
    }

    fn join(&mut self, key: SessionKey, id: RealmId) {
        match self.fit(key, id) {
            Fit::At { position, unproven } => self.open(key, position, unproven),
            Fit::Reset(reason) => {
                self.open_at_named(key);
                self.reset(key, reason, 1);
            }
            Fit::Refused => self.close(key, CloseCode::Revoked),
            Fit::Gone => {}
            Fit::Wait => match self.realms.get_mut(&id) {
                Some(realm) => realm.joining.push(key),
                // Whoever was let in before it left again, and took the realm along.
                None => self.enter_realm(key, id),
            },
        }
    }

    /// Judges a joining session by the realm as it is now.
    fn fit(&mut self, key: SessionKey, id: RealmId) -> Fit {
        let Some(realm) = self.realms.get(&id) else { return Fit::Wait };
        let (Some(view), Some(roster)) = (&realm.view, &realm.roster) else { return Fit::Wait };
        let snapshot = view.load_full();
        let (cursor, head) = (roster.cursor(), snapshot.ring.head());
        let Some(joining) = self.joining(key) else { return Fit::Gone };
        let (user, as_of, named) = (joining.session.user_id(), joining.session.as_of(), joining.position);
        if as_of > head.sequence {
            return self.wait_for_head(id, key, as_of);
        }
        if !snapshot.state.admits(user, as_of) {
            return Fit::Refused;
        }
        // A shard that slept past the ring has to look first.
        let Some(live) = snapshot.ring.position_of(cursor) else { return Fit::Wait };
        let Some(named) = named else { return Fit::At { position: live, unproven: false } };
        if named.epoch != head.epoch {
            return Fit::Reset(ResetReason::Epoch);
        }
        if named.sequence > head.sequence {
            return self.wait_for_head(id, key, named.sequence);
        }
        match snapshot.ring.position_of(named.sequence) {
            Some(known) if known != named => Fit::Reset(ResetReason::Epoch),
            // The realm has it, this shard has yet to deliver it to others.
            Some(_) | None if named.sequence > cursor => Fit::Wait,
            Some(_) => Fit::At { position: named, unproven: false },
            None => Fit::At { position: named, unproven: true },
        }
    }

    fn joining(&mut self, key: SessionKey) -> Option<&mut Joining> {
        match &mut self.connection(key)?.peer {
            Peer::Joining(joining) => Some(joining),
            Peer::Asking | Peer::Greeting | Peer::Identifying(_) | Peer::Open(_) | Peer::Closing => None,
        }
    }

    /// The session knows of more than the keeper does: one look at the log's head settles whose fault it is.
    fn wait_for_head(&mut self, realm: RealmId, key: SessionKey, sequence: Sequence) -> Fit {
        if let Some(joining) = self.joining(key)
            && joining.asked_of_head.replace(sequence) != Some(sequence)
        {
            self.for_keepers.push(KeeperInput::CheckHead { realm, shard: self.index, key, sequence });
        }
        Fit::Wait
    }

    /// The log does not go as far as this session asked about.
    pub(super) fn handle_beyond_head(&mut self, id: RealmId, key: SessionKey) {
        let Some(head) = self.realms.get(&id).and_then(|realm| realm.view.as_ref()) else { return };
        let head = head.load().ring.head().sequence;
        let Some(joining) = self.joining(key) else { return };
        if joining.session.as_of() > head {
            // The log went back since the token was checked: what was found then proves nothing now.
            let words = "the realm's log went back".into();
            return self.fail(key, ErrorCode::Unavailable, words, CloseCode::Unavailable);
        }
        if joining.position.is_none_or(|named| named.sequence <= head) {
            return;
        }
        if self.roster_position(id).is_none() {
            // The next look lets it ask again.
            if let Some(joining) = self.joining(key) {
                joining.asked_of_head = None;
            }
            return;
        }
        if let Some(realm) = self.realms.get_mut(&id) {
            realm.joining.retain(|other| *other != key);
        }
        self.open_at_named(key);
        self.reset(key, ResetReason::Future, 1);
    }

    /// Opens a session at a position that it can't go on from, just before it is told so.
    fn open_at_named(&mut self, key: SessionKey) {
        if let Some(named) = self.joining(key).and_then(|joining| joining.position) {
            self.open(key, named, false);
        }
    }

    /// Tells a session to start again from where the realm is, and goes on with it from there.
    pub(super) fn reset(&mut self, key: SessionKey, reason: ResetReason, herd: usize) {
        let Some(open) = self.connection(key).and_then(Connection::open) else { return };
        let (id, user) = (open.session.realm_id(), open.session.user_id());
        // A shard that slept past the ring knows no position until it has looked: it comes here again.
        let Some(position) = self.roster_position(id) else { return self.queue_if_behind(key) };
        if let Some(open) = self.connection(key).and_then(Connection::open) {
            open.unproven = None;
        }
        if let Some(roster) = self.realms.get_mut(&id).and_then(|realm| realm.roster.as_mut()) {
            roster.leave(key, user);
            roster.join(key, user, position.sequence);
        }
        let spread_ms = (herd as u64 * RESET_SPREAD_MS_EACH).min(RESET_SPREAD_MS_MAX);
        let after_ms = fastrand::u64(0..=spread_ms) as u32;
        self.say(key, &ServerMessage::Reset { reason, position, after_ms });
        self.told(key, position.sequence);
        self.queue_if_behind(key);
    }

    /// A part of the log is there: whoever waited for it goes on.
    pub(super) fn handle_block(&mut self, id: RealmId, number: u64, block: Option<Arc<Block>>) {
        let Some(realm) = self.realms.get_mut(&id) else { return };
        let waiting = realm.awaiting_block.remove(&number).unwrap_or_default();
        match block {
            Some(block) => {
                if realm.blocks.len() >= BLOCKS_MAX {
                    // Whoever still needs one asks again: the keeper has them.
                    realm.blocks.clear();
                }
                realm.blocks.insert(number, block);
                waiting.into_iter().for_each(|key| self.queue_if_behind(key));
            }
            // The client comes back later, and resumes then.
            None => waiting.into_iter().for_each(|key| self.close(key, CloseCode::Unavailable)),
        }
    }

    pub(super) fn handle_ephemeral(&mut self, id: RealmId, audience: &MemberSet, message: &Announcement) {
        let Some(roster) = self.realms.get(&id).and_then(|realm| realm.roster.as_ref()) else { return };
        // Sessions behind do without.
        for key in roster.live_of(audience) {
            if self.connection(key).is_some_and(|connection| connection.is_clear()) {
                self.announce(key, message);
            }
        }
    }

    /// Sends a presence message that leads to `change`.
    pub(super) fn tell_presence(&mut self, key: SessionKey, change: u64, message: &Announcement) {
        let Some(open) = self.connection(key).and_then(Connection::open) else { return };
        open.presence_at = Some(change);
        self.announce(key, message);
    }

    /// Sends a diff to whoever it follows on for. A slow session gets all it missed in one when it is clear.
    pub(super) fn handle_presence_diff(&mut self, id: RealmId, from: u64, to: u64, message: &Announcement) {
        let Some(realm) = self.realms.get_mut(&id) else { return };
        realm.presence_change = to;
        let sessions: Vec<_> = realm.roster.iter().flat_map(Roster::sessions).collect();
        for key in sessions {
            let Some(connection) = self.connection(key) else { continue };
            let clear = connection.is_clear();
            let Some(open) = connection.open() else { continue };
            if open.session.scope() == Scope::None {
                continue;
            }
            match open.presence_at {
                Some(at) if at == from && clear => self.tell_presence(key, to, message),
                Some(at) if at < from && clear => self.catch_up_presence(key),
                // Slow, or its snapshot is on its way, or was newer than this diff.
                Some(_) | None => {}
            }
        }
    }

    /// A slow session is clear again: it hears what changed in presence meanwhile.
    pub(super) fn catch_up_presence(&mut self, key: SessionKey) {
        let Some(open) = self.connection(key).and_then(Connection::open) else { return };
        let (id, at) = (open.session.realm_id(), open.presence_at);
        let newest = self.realms.get(&id).map_or(0, |realm| realm.presence_change);
        if let Some(at) = at.filter(|at| *at < newest) {
            if let Some(open) = self.connection(key).and_then(Connection::open) {
                open.presence_at = None;
            }
            self.ask_presence(id, key, Some(at));
        }
    }

    /// The position of live sessions, for one that is live and has nothing on its way.
    pub(super) fn live_position(&self, id: RealmId, key: SessionKey) -> Option<Position> {
        let realm = self.realms.get(&id)?;
        let on_its_way = self.passes.iter().any(|pass| pass.realm == id);
        let behind = realm.roster.as_ref()?.behind(key).is_some();
        if on_its_way || behind { None } else { realm.position() }
    }

    fn roster_position(&self, id: RealmId) -> Option<Position> {
        self.realms.get(&id)?.position()
    }
}

impl ShardRealm {
    /// The life of the log that its events are of.
    pub(super) fn epoch(&self) -> Option<Epoch> {
        Some(self.view.as_ref()?.load().ring.base().epoch)
    }

    /// Where live sessions stand.
    fn position(&self) -> Option<Position> {
        self.view.as_ref()?.load().ring.position_of(self.roster.as_ref()?.cursor())
    }
}
