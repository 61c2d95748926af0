//! Guests: HTTP requests that need a realm. Each waits for it as a joining session does; a visit then has what
//! it came for, a poll is in the roster like a session until there is something to tell (`polls`).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use slab::Slab;
use squall_hub::RealmState;
use squall_hub::roster::SessionKey;
use squall_protocol::link::Identity;
use squall_protocol::{CloseCode, RealmId, Sequence};
use squall_zulip::queue::QueueTag;
use squall_zulip::{ApiError, EventId, Queue};
use tokio::sync::oneshot;

use super::Shard;
use crate::keeper::{KeeperInput, RealmView, Snapshot};

/// An HTTP request that needs its caller's realm.
pub(crate) struct GuestRequest {
    pub(crate) identity: Identity,
    /// The address that the caller named beside its key: it must be its own.
    pub(crate) email: String,
    pub(crate) purpose: GuestPurpose,
}

/// What a guest comes for.
pub(crate) enum GuestPurpose {
    /// To see the realm.
    Visit(oneshot::Sender<Result<Arc<RealmView>, ApiError>>),
    /// To wait for events.
    Poll(Box<PollRequest>),
}

/// A poll of an event queue that is its caller's.
pub(crate) struct PollRequest {
    pub(crate) queue: Queue,
    pub(crate) queue_id: String,
    /// The last event that the client had; not before the queue's beginning.
    pub(crate) last: EventId,
    pub(crate) dont_block: bool,
    pub(crate) reply: oneshot::Sender<Result<Bytes, ApiError>>,
}

/// The guests of one shard.
#[derive(Default)]
pub(super) struct Guests {
    present: Slab<Guest>,
    generation: u32,
    /// Who is polling which queue.
    pub(super) polls: HashMap<QueueTag, SessionKey>,
    /// When each has waited long enough.
    due: BTreeSet<(u64, SessionKey)>,
}

pub(super) struct Guest {
    generation: u32,
    identity: Identity,
    email: String,
    /// The keepers are asked whether the log's head is beyond this; once is enough.
    asked_of_head: Option<Sequence>,
    due_ms: u64,
    purpose: Purpose,
}

enum Purpose {
    Visit(oneshot::Sender<Result<Arc<RealmView>, ApiError>>),
    Poll(Box<Poll>),
}

/// A poll, waiting for its realm or in its roster.
pub(super) struct Poll {
    pub(super) queue: Queue,
    pub(super) queue_id: String,
    pub(super) last: EventId,
    pub(super) dont_block: bool,
    /// It is in the roster.
    pub(super) is_open: bool,
    /// The log has not been asked yet whether its last event is of this history.
    pub(super) unproven: bool,
    /// It has its place among those that are caught up.
    pub(super) queued_to_catch_up: bool,
    reply: oneshot::Sender<Result<Bytes, ApiError>>,
}

/// Slots from here on are guests', below it are connections'.
const GUEST_BIT: u32 = 1 << 31;

/// How long a guest waits for its realm.
const JOIN_MAX_MS: u64 = 10_000;

/// How long an open poll waits before it hears that the line is alive: so much and a random part of so much.
const HEARTBEAT_MS: u64 = 45_000;
const HEARTBEAT_SPREAD_MS: u64 = 10_000;

/// A poll that can't be told right now where it stands is told a little later.
const HEARTBEAT_RETRY_MS: u64 = 500;

/// Whether a key is a guest's.
pub(super) fn is_guest(key: SessionKey) -> bool {
    key.slot & GUEST_BIT != 0
}

impl Guests {
    fn add(&mut self, request: GuestRequest, now_ms: u64) -> SessionKey {
        let GuestRequest { identity, email, purpose } = request;
        self.generation = self.generation.wrapping_add(1);
        let due_ms = now_ms + JOIN_MAX_MS;
        let purpose = match purpose {
            GuestPurpose::Visit(reply) => Purpose::Visit(reply),
            GuestPurpose::Poll(request) => Purpose::Poll(Box::new(Poll::new(*request))),
        };
        let generation = self.generation;
        let guest = Guest { generation, identity, email, asked_of_head: None, due_ms, purpose };
        let key = SessionKey { slot: self.present.insert(guest) as u32 | GUEST_BIT, generation };
        self.due.insert((due_ms, key));
        key
    }

    pub(super) fn get(&self, key: SessionKey) -> Option<&Guest> {
        let guest = self.present.get((key.slot & !GUEST_BIT) as usize)?;
        (is_guest(key) && guest.generation == key.generation).then_some(guest)
    }

    fn get_mut(&mut self, key: SessionKey) -> Option<&mut Guest> {
        let guest = self.present.get_mut((key.slot & !GUEST_BIT) as usize)?;
        (is_guest(key) && guest.generation == key.generation).then_some(guest)
    }

    fn take(&mut self, key: SessionKey) -> Option<Guest> {
        let guest = self.get(key)?;
        let (due_ms, tag) = (guest.due_ms, guest.poll().map(|poll| poll.queue.tag()));
        self.due.remove(&(due_ms, key));
        if let Some(tag) = tag.filter(|tag| self.polls.get(tag) == Some(&key)) {
            self.polls.remove(&tag);
        }
        self.present.try_remove((key.slot & !GUEST_BIT) as usize)
    }

    fn set_due(&mut self, key: SessionKey, due_ms: u64) {
        let Some(guest) = self.get_mut(key) else { return };
        let before = std::mem::replace(&mut guest.due_ms, due_ms);
        self.due.remove(&(before, key));
        self.due.insert((due_ms, key));
    }

    fn pop_due(&mut self, now_ms: u64) -> Option<SessionKey> {
        let (due_ms, key) = *self.due.first()?;
        if due_ms > now_ms {
            return None;
        }
        self.due.pop_first();
        Some(key)
    }

    fn keys(&self) -> Vec<SessionKey> {
        let key = |(slot, guest): (usize, &Guest)| SessionKey {
            slot: slot as u32 | GUEST_BIT,
            generation: guest.generation,
        };
        self.present.iter().map(key).collect()
    }
}

impl Guest {
    pub(super) fn realm_id(&self) -> RealmId {
        self.identity.realm_id
    }

    /// Whether the realm lets it in, as it came.
    pub(super) fn is_admitted(&self, state: &RealmState) -> bool {
        let Identity { user_id, as_of, .. } = &self.identity;
        state.admits(*user_id, as_of.sequence)
    }

    /// The poll, if it is one.
    pub(super) fn poll(&self) -> Option<&Poll> {
        match &self.purpose {
            Purpose::Poll(poll) => Some(poll),
            Purpose::Visit(_) => None,
        }
    }

    fn owns_its_address(&self, snapshot: &Snapshot) -> bool {
        let named = self.email.trim().to_lowercase();
        let user = snapshot.state.directory().user(self.identity.user_id);
        user.is_some_and(|user| user.email.to_lowercase() == named)
    }
}

impl Poll {
    fn new(request: PollRequest) -> Self {
        let PollRequest { queue, queue_id, last, dont_block, reply } = request;
        let last = last.max(EventId::of(queue.base));
        let (is_open, unproven, queued_to_catch_up) = (false, false, false);
        Self { queue, queue_id, last, dont_block, is_open, unproven, queued_to_catch_up, reply }
    }
}

impl Shard {
    /// Takes in a guest. An older poll of the same queue has waited long enough, wherever it is.
    pub(super) fn handle_guest(&mut self, request: GuestRequest) {
        let (now_ms, realm) = (self.node.clock.now_ms(), request.identity.realm_id);
        if let GuestPurpose::Poll(poll) = &request.purpose {
            let tag = poll.queue.tag();
            self.finish_poll_of(tag);
            if let Some(other) = self.node.queues.begin_poll(tag, self.index) {
                self.node.tell_shard(other, super::ShardInput::FinishPoll(tag));
            }
        }
        let key = self.guests.add(request, now_ms);
        if let Some(poll) = self.poll(key) {
            let tag = poll.queue.tag();
            self.guests.polls.insert(tag, key);
        }
        self.enter_realm(key, realm);
    }

    pub(super) fn poll(&mut self, key: SessionKey) -> Option<&mut Poll> {
        match &mut self.guests.get_mut(key)?.purpose {
            Purpose::Poll(poll) => Some(poll),
            Purpose::Visit(_) => None,
        }
    }

    /// Lets a guest in if its realm is there; else it waits on.
    pub(super) fn join_guest(&mut self, key: SessionKey, id: RealmId) {
        let Some(realm) = self.realms.get(&id) else { return self.enter_realm(key, id) };
        let (Some(view), Some(roster)) = (realm.view.clone(), &realm.roster) else {
            return self.wait_on(key, id);
        };
        let (snapshot, cursor) = (view.load_full(), roster.cursor());
        let Some(guest) = self.guests.get(key) else { return };
        let as_of = guest.identity.as_of.sequence;
        if as_of > snapshot.ring.head().sequence {
            self.ask_of_head(key, id, as_of);
            return self.wait_on(key, id);
        }
        if !guest.is_admitted(&snapshot.state) || !guest.owns_its_address(&snapshot) {
            return self.refuse_guest(key, ApiError::invalid_key());
        }
        match &guest.purpose {
            Purpose::Visit(_) => self.let_visit(key, view),
            Purpose::Poll(_) => self.join_poll(key, id, &snapshot, cursor),
        }
    }

    fn let_visit(&mut self, key: SessionKey, view: Arc<RealmView>) {
        if let Some(Guest { purpose: Purpose::Visit(reply), .. }) = self.guests.take(key) {
            // Whoever asked may be gone.
            let _ = reply.send(Ok(view));
        }
    }

    fn join_poll(&mut self, key: SessionKey, id: RealmId, snapshot: &Snapshot, cursor: Sequence) {
        let Some(poll) = self.poll(key) else { return };
        let (last, epoch, tag) = (poll.last, poll.queue.base.epoch, poll.queue.tag());
        let sequence = last.sequence();
        let head = snapshot.ring.head();
        if epoch != head.epoch || self.node.queues.is_forgotten(tag) {
            return self.lose_queue(key);
        }
        // A shard that slept past the ring has to look first.
        if snapshot.ring.position_of(cursor).is_none() {
            return self.wait_on(key, id);
        }
        if sequence > head.sequence {
            self.ask_of_head(key, id, sequence);
            return self.wait_on(key, id);
        }
        let known = snapshot.ring.position_of(sequence);
        if known.is_some_and(|known| !last.is_of(known.mark)) {
            return self.lose_queue(key);
        }
        if sequence > cursor {
            // The realm has it, this shard has yet to deliver it to others.
            return self.wait_on(key, id);
        }
        self.open_poll(key, id, sequence, known.is_none());
    }

    fn open_poll(&mut self, key: SessionKey, id: RealmId, after: Sequence, unproven: bool) {
        let now_ms = self.node.clock.now_ms();
        let Some(poll) = self.poll(key) else { return };
        poll.is_open = true;
        poll.unproven = unproven;
        let user = poll.queue.user_id;
        self.guests.set_due(key, now_ms + HEARTBEAT_MS + fastrand::u64(0..=HEARTBEAT_SPREAD_MS));
        if let Some(roster) = self.realms.get_mut(&id).and_then(|realm| realm.roster.as_mut()) {
            roster.join(key, user, after);
        }
        self.queue_if_behind(key);
        self.answer_if_not_blocking(key);
    }

    fn wait_on(&mut self, key: SessionKey, id: RealmId) {
        if let Some(realm) = self.realms.get_mut(&id) {
            realm.joining.push(key);
        }
    }

    fn ask_of_head(&mut self, key: SessionKey, realm: RealmId, sequence: Sequence) {
        if let Some(guest) = self.guests.get_mut(key)
            && guest.asked_of_head.replace(sequence) != Some(sequence)
        {
            self.node.keepers.tell(KeeperInput::CheckHead { realm, shard: self.index, key, sequence });
        }
    }

    /// The log does not go as far as this guest asked about.
    pub(super) fn guest_beyond_head(&mut self, key: SessionKey, head: Sequence) {
        let Some(guest) = self.guests.get(key) else { return };
        if guest.identity.as_of.sequence > head {
            return self.refuse_guest(key, ApiError::unavailable("The realm's log went back; try again."));
        }
        if self.poll(key).is_some_and(|poll| poll.last.sequence() > head) {
            self.lose_queue(key);
        }
    }

    /// The keepers forgot what they were asked.
    pub(super) fn guest_asks_anew(&mut self, key: SessionKey) {
        if let Some(guest) = self.guests.get_mut(key) {
            guest.asked_of_head = None;
        }
    }

    /// Ends a guest whose connection, were it a session's, would be closed with this code.
    pub(super) fn close_guest(&mut self, key: SessionKey, code: CloseCode) {
        if code == CloseCode::Revoked {
            self.refuse_guest(key, ApiError::invalid_key());
        } else {
            self.refuse_guest(key, ApiError::unavailable("Not now; try again."));
        }
    }

    /// The queue can't be gone on with: its client registers anew.
    pub(super) fn lose_queue(&mut self, key: SessionKey) {
        let Some(poll) = self.poll(key) else { return };
        let error = ApiError::bad_queue(&poll.queue_id);
        self.refuse_guest(key, error);
    }

    fn refuse_guest(&mut self, key: SessionKey, error: ApiError) {
        match self.remove_guest(key) {
            Some(Purpose::Visit(reply)) => drop(reply.send(Err(error))),
            Some(Purpose::Poll(poll)) => drop(poll.reply.send(Err(error))),
            None => {}
        }
    }

    /// Answers a poll. Should its client be gone, nothing is lost: its next poll names the same last event.
    pub(super) fn answer_poll(&mut self, key: SessionKey, answer: Bytes) {
        if let Some(Purpose::Poll(poll)) = self.remove_guest(key) {
            let _ = poll.reply.send(Ok(answer));
        }
    }

    fn remove_guest(&mut self, key: SessionKey) -> Option<Purpose> {
        let guest = self.guests.take(key)?;
        let Guest { identity, purpose, .. } = guest;
        if let Some(realm) = self.realms.get_mut(&identity.realm_id) {
            realm.joining.retain(|other| *other != key);
            if let Some(roster) = &mut realm.roster {
                roster.leave(key, identity.user_id);
            }
        }
        if let Purpose::Poll(poll) = &purpose {
            self.node.queues.end_poll(poll.queue.tag(), self.index);
        }
        Some(purpose)
    }

    /// Those who have waited long enough: for their realm, or for events.
    pub(super) fn guests_due(&mut self, now_ms: u64) {
        while let Some(key) = self.guests.pop_due(now_ms) {
            let Some(guest) = self.guests.get(key) else { continue };
            let id = guest.realm_id();
            if !self.poll(key).is_some_and(|poll| poll.is_open) {
                self.refuse_guest(key, ApiError::unavailable("The realm is not there yet; try again."));
            } else if let Some(position) = self.live_position(id, key) {
                self.answer_with_heartbeat(key, EventId::of(position));
            } else {
                self.guests.set_due(key, now_ms + HEARTBEAT_RETRY_MS);
            }
        }
    }

    /// A newer poll of the queue came, or the queue is given up.
    pub(super) fn finish_poll_of(&mut self, tag: QueueTag) {
        if let Some(key) = self.guests.polls.get(&tag).copied() {
            self.answer_with_nothing(key);
        }
    }

    /// The node is going: each poll ends, and its client asks elsewhere.
    pub(super) fn drain_guests(&mut self) {
        for key in self.guests.keys() {
            if self.poll(key).is_some() {
                self.answer_with_nothing(key);
            } else {
                self.close_guest(key, CloseCode::GoingAway);
            }
        }
    }
}
