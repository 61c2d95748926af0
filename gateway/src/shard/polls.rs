//! Events to polls: what a session's socket gets in frames, a waiting poll gets in one answer.
//!
//! Who sees what comes from the same roster, stamps and blocks as for sessions. A poll whose queue wants none of
//! what its user may see waits on.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use squall_hub::RingEvent;
use squall_hub::catch_up::{Block, PositionCheck};
use squall_hub::roster::{CatchUpStep, Roster, SessionKey};
use squall_protocol::client_message::Status;
use squall_protocol::server_message::{PresenceDiff, ServerMessage};
use squall_protocol::{Event, RealmId, Sequence, json};
use squall_zulip::EventId;
use squall_zulip::events::{EventList, Listener, SharedMessage, presence, typing};
use squall_zulip::presence::Shown;

use super::Shard;
use super::delivery::{Pass, STEP_BODY_BYTES_MAX, chosen};
use super::guests::is_guest;
use crate::keeper::Snapshot;
use crate::zulip::RealmNames;

/// The events of a pass as polls are told them: each read once, each message rendered once for each view.
#[derive(Default)]
pub(super) struct Telling(HashMap<Sequence, Rc<Told>>);

struct Told {
    /// None: of a kind that this version does not know.
    event: Option<Event>,
    plain: OnceCell<Rc<SharedMessage>>,
    html: OnceCell<Rc<SharedMessage>>,
}

impl Telling {
    fn of(&mut self, event: &RingEvent) -> Rc<Told> {
        let told = self.0.entry(event.sequence()).or_insert_with(|| {
            let event = json::decode_event(&event.record().body).ok();
            Rc::new(Told { event, plain: OnceCell::new(), html: OnceCell::new() })
        });
        told.clone()
    }

    /// Adds what `listener` hears of `events`.
    fn tell<'a>(
        &mut self,
        events: impl Iterator<Item = &'a Arc<RingEvent>>,
        listener: &Listener<'_>,
        list: &mut EventList,
    ) {
        for ring_event in events {
            let told = self.of(ring_event);
            let Some(event) = &told.event else { continue };
            let id = EventId::at(ring_event.sequence(), ring_event.mark());
            let mut shared = |html: bool| {
                let view = if html { &told.html } else { &told.plain };
                let shared = view.get_or_init(|| Rc::new(told.shared(listener, html)));
                shared.clone()
            };
            listener.hear(event, id, &mut shared, list);
        }
    }
}

impl Told {
    fn shared(&self, listener: &Listener<'_>, html: bool) -> SharedMessage {
        match &self.event {
            Some(Event::Message(message)) => SharedMessage::new(message, listener.realm, html),
            Some(_) | None => SharedMessage::default(),
        }
    }
}

impl Shard {
    /// A live poll's part of a pass.
    pub(super) fn deliver_to_poll(&mut self, key: SessionKey, mask: u64, pass: &mut Pass) {
        let Some(snapshot) = self.snapshot(pass.realm) else { return };
        let Pass { fan_out, telling, .. } = pass;
        let mut list = EventList::default();
        self.listen(key, &snapshot, |listener| {
            telling.tell(chosen(&fan_out.events, mask), listener, &mut list);
        });
        self.answer_with(key, list);
    }

    /// One step of a poll that is behind.
    pub(super) fn catch_up_poll(&mut self, key: SessionKey) {
        let Some(id) = self.guests.get(key).map(|guest| guest.realm_id()) else { return };
        let Some(poll) = self.poll(key) else { return };
        poll.queued_to_catch_up = false;
        let (unproven, last) = (poll.unproven, poll.last);
        let Some(realm) = self.realms.get(&id) else { return };
        let (Some(view), Some(roster)) = (&realm.view, &realm.roster) else { return };
        let Some(behind) = roster.behind(key) else { return self.answer_if_not_blocking(key) };
        let number = Block::number_after(behind.after);
        let block = realm.blocks.get(&number);
        if unproven {
            return match block.map(|block| block.check_mark(last.sequence(), |mark| last.is_of(mark))) {
                Some(PositionCheck::Good) => {
                    if let Some(poll) = self.poll(key) {
                        poll.unproven = false;
                    }
                    self.queue_if_behind(key);
                }
                Some(PositionCheck::Expired | PositionCheck::Foreign) => self.lose_queue(key),
                Some(PositionCheck::Beyond) | None => self.await_block(key, id, number),
            };
        }
        match roster.catch_up(key, &view.load().ring, block.map(|block| &**block), STEP_BODY_BYTES_MAX) {
            CatchUpStep::Events { events, upto } => self.poll_step(key, id, &events, upto),
            CatchUpStep::NeedBlock(number) => self.await_block(key, id, number),
            CatchUpStep::Lost | CatchUpStep::Expired => self.lose_queue(key),
            CatchUpStep::CaughtUp => {
                self.caught_up_to(key, id, behind.after);
                self.answer_if_not_blocking(key);
            }
        }
    }

    fn poll_step(&mut self, key: SessionKey, id: RealmId, events: &[Arc<RingEvent>], upto: Sequence) {
        let Some(snapshot) = self.snapshot(id) else { return };
        let mut list = EventList::default();
        self.listen(key, &snapshot, |listener| {
            Telling::default().tell(events.iter(), listener, &mut list);
        });
        if !list.is_empty() {
            return self.answer_with(key, list);
        }
        self.caught_up_to(key, id, upto);
        self.queue_if_behind(key);
        self.answer_if_not_blocking(key);
    }

    /// A poll that is behind has its turn.
    pub(super) fn queue_poll_if_behind(&mut self, key: SessionKey) {
        let Some(id) = self.guests.get(key).map(|guest| guest.realm_id()) else { return };
        let roster = self.realms.get(&id).and_then(|realm| realm.roster.as_ref());
        if roster.is_some_and(|roster| roster.behind(key).is_some())
            && let Some(poll) = self.poll(key)
            && !std::mem::replace(&mut poll.queued_to_catch_up, true)
        {
            self.catching_up.push_back(key);
        }
    }

    /// A poll that has all there is, and was not to wait for more, is answered.
    pub(super) fn answer_if_not_blocking(&mut self, key: SessionKey) {
        let Some(guest) = self.guests.get(key) else { return };
        let id = guest.realm_id();
        let is_open = self.poll(key).is_some_and(|poll| poll.is_open && poll.dont_block);
        let behind = self.realms.get(&id).and_then(|realm| realm.roster.as_ref()?.behind(key)).is_some();
        if is_open && !behind {
            self.answer_with_nothing(key);
        }
    }

    pub(super) fn answer_with_nothing(&mut self, key: SessionKey) {
        let Some(poll) = self.poll(key) else { return };
        let answer = EventList::default().into_answer(&poll.queue_id);
        self.answer_poll(key, answer);
    }

    pub(super) fn answer_with_heartbeat(&mut self, key: SessionKey, id: EventId) {
        let mut list = EventList::default();
        list.push_heartbeat(id);
        self.answer_with(key, list);
    }

    /// Answers a poll with these events; without one it waits on.
    fn answer_with(&mut self, key: SessionKey, list: EventList) {
        if list.is_empty() {
            return;
        }
        let Some(poll) = self.poll(key) else { return };
        let answer = list.into_answer(&poll.queue_id);
        self.answer_poll(key, answer);
    }

    /// Tells a live poll who is typing, as of where it stands.
    pub(super) fn tell_poll_typing(&mut self, key: SessionKey, id: RealmId, message: &ServerMessage) {
        let ServerMessage::Typing { op, sender_id, to } = message else { return };
        // One that has events on its way is told those: their answer is nearer than any typing.
        let Some(position) = self.live_position(id, key) else { return };
        let Some(snapshot) = self.snapshot(id) else { return };
        let mut list = EventList::default();
        self.listen(key, &snapshot, |listener| {
            typing(listener, *op, *sender_id, to, EventId::of(position), &mut list);
        });
        self.answer_with(key, list);
    }

    /// Tells live polls what changed in presence.
    pub(super) fn tell_polls_presence(&mut self, id: RealmId, message: &ServerMessage) {
        let ServerMessage::Presence(diff) = message else { return };
        let Some(realm) = self.realms.get(&id) else { return };
        let keys: Vec<_> =
            realm.roster.iter().flat_map(Roster::sessions).filter(|key| is_guest(*key)).collect();
        let Some(snapshot) = self.snapshot(id) else { return };
        let shown = shown(diff);
        for key in keys {
            let Some(position) = self.live_position(id, key) else { continue };
            let mut list = EventList::default();
            self.listen(key, &snapshot, |listener| {
                presence(listener, &shown, diff.as_of_ms, EventId::of(position), &mut list);
            });
            self.answer_with(key, list);
        }
    }

    fn snapshot(&self, id: RealmId) -> Option<Arc<Snapshot>> {
        Some(self.realms.get(&id)?.view.as_ref()?.load_full())
    }

    fn listen(&self, key: SessionKey, snapshot: &Snapshot, tell: impl FnOnce(&Listener<'_>)) {
        let Some(poll) = self.guests.get(key).and_then(super::guests::Guest::poll) else { return };
        let realm = RealmNames(&snapshot.state);
        let (viewer, queue_id, options) = (poll.queue.user_id, &*poll.queue_id, &poll.queue.options);
        tell(&Listener { viewer, queue_id, options, realm: &realm });
    }
}

fn shown(diff: &PresenceDiff) -> Vec<Shown> {
    let now_s = diff.as_of_ms / 1000;
    let here = |status| move |user_id: &_| Shown { user_id: *user_id, status: Some(status), heard_s: now_s };
    (diff.active.iter().map(here(Status::Active)))
        .chain(diff.idle.iter().map(here(Status::Idle)))
        .chain(diff.offline.iter().map(|(user_id, heard_s)| Shown {
            user_id: *user_id,
            status: None,
            heard_s: *heard_s,
        }))
        .collect()
}
