//! The plain model: the whole history, and who was entitled to what.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use squall_hub::catch_up::Block;
use squall_protocol::event::{Event, MessageDeletion, MessageEdit, Reaction, Role};
use squall_protocol::link::EventRecord;
use squall_protocol::{Destination, Epoch, Mark, Position, Sequence, StreamId, UserId};

use crate::rng::Rng;

/// Every event ever committed, also those that a set-back took away: a tree, of which the log is one branch.
pub(crate) struct Reference {
    facts: Vec<Fact>,
    places: HashMap<(Sequence, Mark), FactId>,
    /// The log as it is now, oldest first.
    branch: Vec<FactId>,
    /// Oldest first.
    epochs: Vec<Epoch>,
    /// The last event ever that nodes can't read, and so can't stamp what came before.
    unreadable: Sequence,
    roll: Roll,
    origin: Roll,
}

/// One committed event.
pub(crate) struct Fact {
    sequence: Sequence,
    mark: Mark,
    parent: FactId,
    /// Its index in `epochs`.
    epoch: usize,
    event: Option<Event>,
    body: Bytes,
    entitled: Users,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FactId(usize);

/// Where a client is: what it was told, and the fact that this names, if there is such.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) position: Position,
    pub(crate) fact: Option<FactId>,
}

/// What a delivery did that it must not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Breach {
    #[error("the client's position {0:?} is of no history, and it was not reset")]
    Unfounded(Position),
    #[error("{0} with this mark was never committed")]
    Invented(Sequence),
    #[error("{0} does not have the content it was committed with")]
    Altered(Sequence),
    #[error("{0} came although the client is at {1} already")]
    Repeated(Sequence, Sequence),
    #[error("{0} came before {1}, which the client is entitled to: a silent gap")]
    Missed(Sequence, Sequence),
    #[error("{0} is of another history than the client's position, and it was not reset")]
    OtherHistory(Sequence),
    #[error("{0} is not for this user")]
    Leaked(Sequence),
}

/// A set of users with ids below 64.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Users(u64);

/// Who is in the realm and in its streams.
#[derive(Clone, Default)]
struct Roll {
    everyone: Users,
    guests: Users,
    members: BTreeMap<StreamId, Users>,
}

impl Reference {
    /// A history that begins with `origin`, which nobody is shown.
    pub(crate) fn new(base: Position, origin: &[Event]) -> Self {
        let mut roll = Roll::default();
        origin.iter().for_each(|event| roll.apply(event));
        let root = Fact {
            sequence: base.sequence,
            mark: base.mark,
            parent: FactId(0),
            epoch: 0,
            event: None,
            body: Bytes::new(),
            entitled: Users::default(),
        };
        Self {
            facts: vec![root],
            places: HashMap::from([((base.sequence, base.mark), FactId(0))]),
            branch: vec![FactId(0)],
            epochs: vec![base.epoch],
            unreadable: Sequence::ZERO,
            roll: roll.clone(),
            origin: roll,
        }
    }

    /// `event` was committed as `record`; none is one that nodes can't read, for everyone.
    pub(crate) fn commit(&mut self, event: Option<&Event>, record: &EventRecord) {
        event.into_iter().for_each(|event| self.roll.apply(event));
        if event.is_none() {
            self.unreadable = self.unreadable.max(record.sequence);
        }
        let id = FactId(self.facts.len());
        self.facts.push(Fact {
            sequence: record.sequence,
            mark: record.mark,
            parent: self.head(),
            epoch: self.epochs.len() - 1,
            event: event.cloned(),
            body: record.body.clone(),
            entitled: event.map_or(self.roll.everyone, |event| self.roll.entitled(event)),
        });
        self.places.insert((record.sequence, record.mark), id);
        self.branch.push(id);
    }

    /// The log ends at `to` again.
    pub(crate) fn set_back(&mut self, to: Sequence, epoch: Epoch) {
        self.branch.retain(|id| self.facts[id.0].sequence <= to);
        self.roll = self.origin.clone();
        for id in &self.branch {
            if let Some(event) = &self.facts[id.0].event {
                self.roll.apply(event);
            }
        }
        if self.epochs.last() != Some(&epoch) {
            self.epochs.push(epoch);
        }
    }

    pub(crate) fn head(&self) -> FactId {
        self.branch[self.branch.len() - 1]
    }

    /// The last event ever that nodes can't read; 0 if there was none.
    pub(crate) fn unreadable(&self) -> Sequence {
        self.unreadable
    }

    /// Whether `sequence` is in a block of the log, or before one, that nodes can't stamp because of such an
    /// event in it.
    pub(crate) fn is_barred(&self, sequence: Sequence) -> bool {
        let last = self.unreadable.0.checked_sub(1);
        last.is_some_and(|last| Block::number_after(sequence) <= Block::number_after(Sequence(last)))
    }

    /// Some place that the log had at some time, under its present epoch.
    pub(crate) fn any_place(&self, rng: &mut Rng) -> Position {
        let fact = &self.facts[rng.index(self.facts.len())];
        let epoch = self.epochs[self.epochs.len() - 1];
        Position { epoch, sequence: fact.sequence, mark: fact.mark }
    }

    /// The place that `position` names.
    pub(crate) fn place(&self, position: Position) -> Place {
        let known = self.epochs.contains(&position.epoch);
        let fact = known.then(|| self.places.get(&(position.sequence, position.mark)).copied()).flatten();
        Place { position, fact }
    }

    /// Whether `place` is of the log as it is now.
    pub(crate) fn is_current(&self, place: Place) -> bool {
        let Some(fact) = place.fact else { return false };
        let index = place.position.sequence.0 - self.facts[0].sequence.0;
        self.epochs.last() == Some(&place.position.epoch) && self.branch.get(index as usize) == Some(&fact)
    }

    /// Where `user` is after the event (`sequence`, `mark`) with this body, if that is just what it must see
    /// next.
    pub(crate) fn see(
        &self,
        user: UserId,
        place: Place,
        (sequence, mark, body): (Sequence, Mark, &Bytes),
    ) -> Result<Place, Breach> {
        let position = Position { epoch: place.position.epoch, sequence, mark };
        let id = self.place(position).fact.ok_or(Breach::Invented(sequence))?;
        let fact = &self.facts[id.0];
        if fact.body != *body {
            return Err(Breach::Altered(sequence));
        }
        if !fact.entitled.contains(user) {
            return Err(Breach::Leaked(sequence));
        }
        self.nothing_between(user, place, sequence, fact.parent)?;
        if self.epochs[..fact.epoch].contains(&place.position.epoch) {
            return Err(Breach::OtherHistory(sequence));
        }
        Ok(Place { position, fact: Some(id) })
    }

    /// Where `user` is once it was told `position`, if nothing that it must see comes before that.
    pub(crate) fn skip_to(&self, user: UserId, place: Place, position: Position) -> Result<Place, Breach> {
        let next = self.place(position);
        let id = next.fact.ok_or(Breach::Invented(position.sequence))?;
        if position.epoch != place.position.epoch {
            return Err(Breach::OtherHistory(position.sequence));
        }
        self.nothing_between(user, place, Sequence(position.sequence.0 + 1), id)?;
        Ok(next)
    }

    /// Whether `user` at `place` has all that it must have of the log as it is now.
    pub(crate) fn has_everything(&self, user: UserId, place: Place) -> Result<(), Breach> {
        let head = self.facts[self.head().0].sequence;
        if !self.is_current(place) {
            return Err(Breach::OtherHistory(head));
        }
        self.nothing_between(user, place, head.next(), self.head())
    }

    /// Walks from `last` back to `place`: `user` must not be entitled to anything on the way.
    fn nothing_between(
        &self,
        user: UserId,
        place: Place,
        before: Sequence,
        last: FactId,
    ) -> Result<(), Breach> {
        let at = place.position.sequence;
        let from = place.fact.ok_or(Breach::Unfounded(place.position))?;
        if before <= at {
            return Err(Breach::Repeated(before, at));
        }
        let mut id = last;
        while self.facts[id.0].sequence > at {
            if self.facts[id.0].entitled.contains(user) {
                return Err(Breach::Missed(before, self.facts[id.0].sequence));
            }
            id = self.facts[id.0].parent;
        }
        if id == from { Ok(()) } else { Err(Breach::OtherHistory(before)) }
    }
}

impl Roll {
    fn apply(&mut self, event: &Event) {
        match event {
            Event::Message(_)
            | Event::CredentialChanged { .. }
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
            | Event::SettingSet(_) => {}
            Event::StreamCreated { stream } => {
                self.members.insert(stream.stream_id, Users::default());
            }
            Event::MembersAdded { stream, user_ids, .. } => {
                let members = self.members.entry(stream.stream_id).or_default();
                *members = members.with(Users::of(user_ids));
            }
            Event::MembersRemoved { stream_id, user_ids, .. } => {
                let members = self.members.entry(*stream_id).or_default();
                *members = members.without(Users::of(user_ids));
            }
            Event::UserAdded { user } | Event::UserUpdated { user, .. } => {
                let it = Users::of(&[user.user_id]);
                self.everyone = self.everyone.with(it);
                let guest = user.role == Role::Guest;
                self.guests = if guest { self.guests.with(it) } else { self.guests.without(it) };
            }
        }
    }

    /// SPEC.md's table, read once the event has done what it does.
    fn entitled(&self, event: &Event) -> Users {
        let members = |stream| self.members.get(stream).copied().unwrap_or_default();
        match event {
            Event::Message(message) => match &message.to {
                Destination::Stream { stream_id, .. } => members(stream_id),
                Destination::Direct { user_ids } => Users::of(user_ids),
            },
            Event::StreamCreated { stream } if stream.invite_only => Users::default(),
            Event::StreamCreated { .. } => self.everyone.without(self.guests),
            Event::MembersAdded { stream, user_ids, .. } => {
                members(&stream.stream_id).with(Users::of(user_ids))
            }
            Event::MembersRemoved { stream_id, user_ids, .. } => members(stream_id).with(Users::of(user_ids)),
            Event::UserAdded { .. } | Event::UserUpdated { .. } => self.everyone,
            Event::CredentialChanged { user_id } => Users::of(&[*user_id]),
            Event::MessageEdited(MessageEdit { to, .. })
            | Event::MessagesDeleted(MessageDeletion { to, .. })
            | Event::ReactionAdded(Reaction { to, .. })
            | Event::ReactionRemoved(Reaction { to, .. }) => match to {
                Destination::Stream { stream_id, .. } => members(stream_id),
                Destination::Direct { user_ids } => Users::of(user_ids),
            },
            Event::MessagesMoved(moved) => members(&moved.stream_id),
            Event::FlagsAdded(flags) | Event::FlagsRemoved(flags) => Users::of(&[flags.user_id]),
            Event::TopicPolicySet(policy) => Users::of(&[policy.user_id]),
            Event::SubscriptionSet(setting) => Users::of(&[setting.user_id]),
            Event::SettingSet(setting) => Users::of(&[setting.user_id]),
            Event::StreamUpdated { stream, .. } => {
                let regulars = self.everyone.without(self.guests);
                let members = members(&stream.stream_id);
                if stream.invite_only { members } else { members.with(regulars) }
            }
        }
    }
}

impl Users {
    pub(crate) fn of(users: &[UserId]) -> Self {
        Self(users.iter().fold(0, |set, user| set | 1 << user.0))
    }

    pub(crate) fn contains(self, user: UserId) -> bool {
        self.0 & 1 << user.0 != 0
    }

    pub(crate) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}
