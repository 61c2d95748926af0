//! One realm in a worker: its events in their order, and who was entitled to each.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use squall_protocol::event::Role;
use squall_protocol::{Epoch, Mark, StreamId, UserId};

use super::bits::Bits;
use super::fact::{Fact, Reach};
use super::ranges::Ranges;
use super::{RealmKey, RealmSetup};

/// The part of a realm's log that is not checked yet, and the memberships at its beginning.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) key: RealmKey,
    pub(super) epoch: Epoch,
    /// Where the run began.
    head: u64,
    members: Members,
    /// Known events above the horizon.
    open: BTreeMap<u64, Fact>,
    /// Events up to the horizon, ascending, each with its audience.
    stamped: VecDeque<Stamped>,
    /// Up to here all clients have passed, and all events are known.
    horizon: u64,
    /// Up to here events were forgotten.
    floor: u64,
    /// Places up to the horizon whose events are known, forgotten or not.
    known: Ranges,
    /// Marks that were told as positions, where the event is not known: those that differ, by whom first.
    marks: BTreeMap<u64, Vec<(Mark, u32)>>,
    /// Membership changes that were acknowledged, by the sequence at which they hold.
    claims: BTreeMap<u64, Vec<Claim>>,
}

/// An event and who was entitled to it.
#[derive(Debug, Clone)]
pub(super) struct Stamped {
    pub(super) fact: Fact,
    audience: Audience,
}

/// A set, and some users besides.
#[derive(Debug, Clone)]
struct Audience {
    set: Option<Arc<Bits>>,
    users: Box<[u32]>,
}

/// Who is in the realm and in its streams, at one place of the log.
#[derive(Debug, Clone)]
struct Members {
    /// Users by their index in sets.
    indexes: HashMap<UserId, u32>,
    everyone: Arc<Bits>,
    regulars: Arc<Bits>,
    streams: HashMap<StreamId, Arc<Bits>>,
    nobody: Arc<Bits>,
}

/// "These users are members, or are none."
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) client: u32,
    pub(super) stream_id: StreamId,
    pub(super) user_ids: Vec<UserId>,
    pub(super) is_member: bool,
}

/// What became of an event that was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    New,
    Known,
    /// Another event has that place.
    Differs,
    /// It belongs where everybody has passed, and nobody knew of it then.
    Late,
}

/// Two marks of one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MarkConflict {
    /// Who was told another mark than others.
    pub(super) client: u32,
    pub(super) sequence: u64,
}

impl Book {
    pub(super) fn new(setup: &RealmSetup) -> Self {
        let head = setup.head.sequence.0;
        Self {
            key: setup.key,
            epoch: setup.head.epoch,
            head,
            members: Members::new(setup),
            open: BTreeMap::new(),
            stamped: VecDeque::new(),
            horizon: head,
            floor: head,
            known: Ranges::default(),
            marks: BTreeMap::new(),
            claims: BTreeMap::new(),
        }
    }

    /// The index of a user in sets.
    pub(super) fn index(&mut self, user: UserId) -> u32 {
        self.members.index(user)
    }

    pub(super) fn horizon(&self) -> u64 {
        self.horizon
    }

    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    pub(super) fn head(&self) -> u64 {
        self.head
    }

    /// Whether some event after `after`, up to `last`, is not known: a membership may have changed there.
    pub(super) fn is_dark(&self, after: u64, last: u64) -> bool {
        !self.known.covers(after.max(self.head), last)
    }

    /// Events up to the horizon that are not forgotten, ascending.
    pub(super) fn stamped(&self) -> &VecDeque<Stamped> {
        &self.stamped
    }

    /// The place in [`Self::stamped`] of the first event after `sequence`.
    pub(super) fn first_after(&self, sequence: u64) -> usize {
        self.stamped.partition_point(|stamped| stamped.fact.sequence.0 <= sequence)
    }

    /// Whether this event is known, of those that are not forgotten.
    pub(super) fn fact(&self, sequence: u64) -> Option<&Fact> {
        self.open.get(&sequence).or_else(|| {
            let index =
                self.stamped.binary_search_by_key(&sequence, |stamped| stamped.fact.sequence.0).ok()?;
            self.stamped.get(index).map(|stamped| &stamped.fact)
        })
    }

    /// Takes in an event; also finds who was told another mark for its place.
    pub(super) fn tell(&mut self, fact: Fact) -> (Told, Vec<MarkConflict>) {
        let sequence = fact.sequence.0;
        if let Some(known) = self.fact(sequence) {
            return (if known.digest == fact.digest { Told::Known } else { Told::Differs }, Vec::new());
        }
        if sequence <= self.horizon {
            return (Told::Late, Vec::new());
        }
        let told = self.marks.remove(&sequence).unwrap_or_default();
        let wrong = told.into_iter().filter(|(mark, _)| *mark != fact.mark);
        let conflicts = wrong.map(|(_, client)| MarkConflict { client, sequence }).collect();
        self.open.insert(sequence, fact);
        (Told::New, conflicts)
    }

    /// Holds a mark that `client` was told against what is known of its place. False if it is another; if
    /// nothing is known, that is found out later.
    pub(super) fn hold_mark(&mut self, sequence: u64, mark: Mark, client: u32) -> bool {
        if let Some(fact) = self.fact(sequence) {
            return fact.mark == mark;
        }
        if sequence > self.floor {
            let marks = self.marks.entry(sequence).or_default();
            if marks.len() < MARKS_EACH_MAX && marks.iter().all(|(other, _)| *other != mark) {
                marks.push((mark, client));
            }
        }
        true
    }

    /// Notes a membership that is said to hold at `sequence`. False if it fails already; what lies behind the
    /// horizon can't be told any more, and counts as true.
    pub(super) fn claim(&mut self, sequence: u64, claim: Claim) -> bool {
        if sequence > self.horizon {
            self.claims.entry(sequence).or_default().push(claim);
            return true;
        }
        sequence < self.horizon || self.members.bears_out(&claim)
    }

    /// Moves the horizon, and says which events have which audience up to it. Gives back the claims that
    /// turned out false, with their sequences.
    pub(super) fn stamp(&mut self, horizon: u64) -> Vec<(u64, Claim)> {
        let mut refuted = Vec::new();
        if horizon <= self.horizon {
            return refuted;
        }
        let above = self.open.split_off(&(horizon + 1));
        for (sequence, fact) in std::mem::replace(&mut self.open, above) {
            self.judge_claims(sequence, &mut refuted);
            let audience = self.members.audience(&fact);
            self.known.insert(sequence);
            self.stamped.push_back(Stamped { fact, audience });
        }
        self.judge_claims(horizon + 1, &mut refuted);
        self.horizon = horizon;
        refuted
    }

    /// Forgets events up to `sequence`, at most the horizon. Gives back whoever was told another mark than
    /// others there.
    pub(super) fn forget(&mut self, sequence: u64) -> Vec<MarkConflict> {
        let sequence = sequence.min(self.horizon);
        if sequence <= self.floor {
            return Vec::new();
        }
        self.floor = sequence;
        let count = self.first_after(sequence);
        self.stamped.drain(..count);
        if self.stamped.capacity() > 4 * self.stamped.len().max(SPARE_EVENTS_MAX) {
            self.stamped.shrink_to(2 * self.stamped.len());
        }
        let above = self.marks.split_off(&(sequence + 1));
        conflicts(std::mem::replace(&mut self.marks, above))
    }

    /// Whoever was told another mark than others, where the event never became known.
    pub(super) fn unresolved(&mut self) -> Vec<MarkConflict> {
        conflicts(std::mem::take(&mut self.marks))
    }

    /// All known events after the floor with their audiences, by what is known now: those above the horizon
    /// may still change.
    pub(super) fn preview(&self) -> Vec<Stamped> {
        let mut members = self.members.clone();
        let open =
            self.open.values().map(|fact| Stamped { fact: fact.clone(), audience: members.audience(fact) });
        self.stamped.iter().cloned().chain(open.collect::<Vec<_>>()).collect()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let facts = self.stamped.iter().map(|stamped| &stamped.fact).chain(self.open.values());
        let lists: usize = facts.map(Fact::list_bytes).sum();
        let users: usize = self.stamped.iter().map(|stamped| stamped.audience.users.len() * 4).sum();
        let events = self.stamped.capacity() * size_of::<Stamped>() + self.open.len() * 2 * size_of::<Fact>();
        lists + users + events + self.marks.len() * 96 + self.claims.len() * 128 + self.members.memory_bytes()
    }

    /// Judges claims at sequences before `before`.
    fn judge_claims(&mut self, before: u64, refuted: &mut Vec<(u64, Claim)>) {
        while let Some(entry) = self.claims.first_entry().filter(|entry| *entry.key() < before) {
            let (sequence, claims) = entry.remove_entry();
            let wrong = claims.into_iter().filter(|claim| !self.members.bears_out(claim));
            refuted.extend(wrong.map(|claim| (sequence, claim)));
        }
    }
}

fn conflicts(marks: BTreeMap<u64, Vec<(Mark, u32)>>) -> Vec<MarkConflict> {
    let others = |(sequence, told): (u64, Vec<(Mark, u32)>)| {
        told.into_iter().skip(1).map(move |(_, client)| MarkConflict { client, sequence })
    };
    marks.into_iter().flat_map(others).collect()
}

impl Stamped {
    /// Whether the user of this index was entitled to it.
    pub(super) fn is_for(&self, user: u32) -> bool {
        self.audience.set.as_ref().is_some_and(|set| set.contains(user))
            || self.audience.users.contains(&user)
    }
}

impl Members {
    fn new(setup: &RealmSetup) -> Self {
        let mut members = Self {
            indexes: HashMap::new(),
            everyone: Arc::default(),
            regulars: Arc::default(),
            streams: HashMap::new(),
            nobody: Arc::default(),
        };
        for (user, role) in &setup.users {
            members.set_user(*user, *role);
        }
        for (stream, users) in &setup.streams {
            members.streams.entry(*stream).or_default();
            members.set_members(*stream, users, true);
        }
        members
    }

    fn index(&mut self, user: UserId) -> u32 {
        let next = self.indexes.len() as u32;
        *self.indexes.entry(user).or_insert(next)
    }

    /// Applies the change that an event makes, then says who may see it.
    fn audience(&mut self, fact: &Fact) -> Audience {
        let of = |set: &Arc<Bits>| Audience { set: Some(set.clone()), users: Box::default() };
        match &fact.reach {
            Reach::Stream(stream) => of(self.members(*stream)),
            Reach::Users(users) => Audience { set: None, users: self.indexes_of(users) },
            Reach::Regulars => of(&self.regulars),
            Reach::Nobody => of(&self.nobody),
            Reach::Added(stream, users) => {
                self.set_members(*stream, users, true);
                of(self.members(*stream))
            }
            Reach::Removed(stream, users) => {
                self.set_members(*stream, users, false);
                Audience { users: self.indexes_of(users), ..of(self.members(*stream)) }
            }
            Reach::User(user, role) => {
                self.set_user(*user, *role);
                of(&self.everyone)
            }
        }
    }

    fn members(&self, stream: StreamId) -> &Arc<Bits> {
        self.streams.get(&stream).unwrap_or(&self.nobody)
    }

    fn set_members(&mut self, stream: StreamId, users: &[UserId], inside: bool) {
        let indexes = self.indexes_of(users);
        let members = Arc::make_mut(self.streams.entry(stream).or_default());
        indexes.iter().for_each(|index| members.put(*index, inside));
    }

    fn set_user(&mut self, user: UserId, role: Role) {
        let index = self.index(user);
        Arc::make_mut(&mut self.everyone).insert(index);
        Arc::make_mut(&mut self.regulars).put(index, role != Role::Guest);
    }

    fn indexes_of(&mut self, users: &[UserId]) -> Box<[u32]> {
        users.iter().map(|user| self.index(*user)).collect()
    }

    fn bears_out(&self, claim: &Claim) -> bool {
        let members = self.members(claim.stream_id);
        claim.user_ids.iter().all(|user| {
            let is_member = self.indexes.get(user).is_some_and(|index| members.contains(*index));
            is_member == claim.is_member
        })
    }

    fn memory_bytes(&self) -> usize {
        let streams: usize = self.streams.values().map(|set| set.memory_bytes() + 64).sum();
        streams + self.indexes.len() * 16 + self.everyone.memory_bytes() + self.regulars.memory_bytes()
    }
}

/// The most marks of one place that are told apart.
const MARKS_EACH_MAX: usize = 8;

/// Events that an emptied book keeps room for.
const SPARE_EVENTS_MAX: usize = 64;
