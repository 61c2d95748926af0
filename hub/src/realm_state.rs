//! Who is in a realm and in its streams, as of one sequence.

use imbl::HashMap;
use squall_protocol::event::{Event, Role, Stream, User};
use squall_protocol::link::{EventRecord, UserRow};
use squall_protocol::{Audience, Destination, Position, Sequence, StreamId, UserId, json};

use crate::member_set::MemberSet;

/// Realm state at [`RealmState::position`]: what stamping an event and judging a session need, no more.
///
/// Cloning is O(1): the keeper publishes a copy to the shards after each batch.
#[derive(Debug, Clone)]
pub struct RealmState {
    position: Position,
    streams: HashMap<StreamId, MemberSet>,
    /// What is known of users is kept by fact, not by user: a set has two bytes for each.
    everyone: MemberSet,
    regulars: MemberSet,
    admins: MemberSet,
    bots: MemberSet,
    inactive: MemberSet,
    /// Since when only newer sessions are good, of users for whom that ever changed.
    credentials: HashMap<UserId, Sequence>,
}

/// What a node knows of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserFacts {
    /// What it may do.
    pub role: Role,
    /// A program: it has no presence.
    pub is_bot: bool,
    /// False once deactivated.
    pub is_active: bool,
    /// Sessions identified before this sequence are no longer good.
    pub credential_changed: Sequence,
}

/// Why a record could not be taken in: the realm must be loaded anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdvanceError {
    /// It changes realm state in a way this version does not know.
    #[error("event {sequence} of the unknown kind {kind} changes realm state")]
    UnknownKind {
        /// Which event.
        sequence: Sequence,
        /// The number of its kind.
        kind: u16,
    },
    /// It is not the next one.
    #[error("event {found} where {expected} was expected")]
    NotNext {
        /// What came.
        found: Sequence,
        /// What should have.
        expected: Sequence,
    },
}

impl RealmState {
    /// An empty realm at `position`.
    #[must_use]
    pub fn new(position: Position) -> Self {
        Self {
            position,
            streams: HashMap::new(),
            everyone: MemberSet::default(),
            regulars: MemberSet::default(),
            admins: MemberSet::default(),
            bots: MemberSet::default(),
            inactive: MemberSet::default(),
            credentials: HashMap::new(),
        }
    }

    /// The last event taken in.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// What is known of `user`.
    #[must_use]
    pub fn user(&self, user: UserId) -> Option<UserFacts> {
        if !self.everyone.contains(user) {
            return None;
        }
        let role = if self.admins.contains(user) {
            Role::Admin
        } else if self.regulars.contains(user) {
            Role::Member
        } else {
            Role::Guest
        };
        Some(UserFacts {
            role,
            is_bot: self.bots.contains(user),
            is_active: !self.inactive.contains(user),
            credential_changed: self.credentials.get(&user).copied().unwrap_or(Sequence::ZERO),
        })
    }

    /// Everybody, deactivated users too.
    #[must_use]
    pub fn everyone(&self) -> &MemberSet {
        &self.everyone
    }

    /// The members of `stream`, if it exists.
    #[must_use]
    pub fn members(&self, stream: StreamId) -> Option<&MemberSet> {
        self.streams.get(&stream)
    }

    /// Whether `user` may write (and so be typing) there.
    #[must_use]
    pub fn may_write(&self, user: UserId, to: &Destination) -> bool {
        match to {
            Destination::Stream { stream_id, .. } => {
                self.members(*stream_id).is_some_and(|members| members.contains(user))
            }
            Destination::Direct { user_ids } => user_ids.iter().all(|other| self.everyone.contains(*other)),
        }
    }

    /// Whether a session of `user`, identified as of `as_of`, may go on.
    #[must_use]
    pub fn admits(&self, user: UserId, as_of: Sequence) -> bool {
        self.user(user).is_some_and(|facts| facts.is_active && facts.credential_changed <= as_of)
    }

    /// Takes in the next record and says who may see it: after the change it makes, so that a membership
    /// change reaches its subject.
    pub fn advance(&mut self, record: &EventRecord) -> Result<MemberSet, AdvanceError> {
        let expected = self.position.sequence.next();
        if record.sequence != expected {
            return Err(AdvanceError::NotNext { found: record.sequence, expected });
        }
        if record.changes_state {
            self.apply(&read(record)?, record.sequence);
        }
        self.position.sequence = record.sequence;
        self.position.mark = record.mark;
        Ok(self.audience(&record.audience))
    }

    /// Who is meant by `audience` now.
    #[must_use]
    pub fn audience(&self, audience: &Audience) -> MemberSet {
        let mut set = MemberSet::default();
        if audience.realm {
            set.union_with(&self.everyone);
        }
        if audience.regulars {
            set.union_with(&self.regulars);
        }
        if audience.admins {
            set.union_with(&self.admins);
        }
        for stream in &audience.streams {
            if let Some(members) = self.streams.get(stream) {
                set.union_with(members);
            }
        }
        for user in &audience.users {
            set.insert(*user);
        }
        set
    }

    /// Goes back to `to` by undoing `records`, which are all the state-changing ones after it, ascending.
    /// Good for stamping only: audiences are exact, `credential_changed` is left as it was.
    pub fn rewind(&mut self, records: &[EventRecord], to: Position) -> Result<(), AdvanceError> {
        for record in records.iter().rev().filter(|record| record.changes_state) {
            self.undo(&read(record)?);
        }
        self.position = to;
        Ok(())
    }

    pub(crate) fn stand_at(&mut self, position: Position) {
        self.position = position;
    }

    /// Gives back what growing left over.
    pub(crate) fn shrink(&mut self) {
        self.sets_of_users().into_iter().for_each(MemberSet::shrink);
        self.streams.iter_mut().for_each(|(_, members)| members.shrink());
    }

    pub(crate) fn insert_user(&mut self, row: &UserRow) {
        self.set_user(&row.user, Some(row.credential_changed));
    }

    pub(crate) fn insert_stream(&mut self, stream: &Stream) {
        self.streams.entry(stream.stream_id).or_default();
    }

    pub(crate) fn insert_member(&mut self, stream: StreamId, user: UserId) {
        self.streams.entry(stream).or_default().insert(user);
    }

    /// Applies one event's change. Idempotent: the last change of a user or a membership wins.
    pub(crate) fn apply(&mut self, event: &Event, sequence: Sequence) {
        match event {
            Event::Message(_) => {}
            Event::StreamCreated { stream } => self.insert_stream(stream),
            Event::MembersAdded { stream, user_ids, .. } => {
                let members = self.streams.entry(stream.stream_id).or_default();
                user_ids.iter().for_each(|user| members.insert(*user));
            }
            Event::MembersRemoved { stream_id, user_ids, .. } => {
                let members = self.streams.entry(*stream_id).or_default();
                user_ids.iter().for_each(|user| members.remove(*user));
            }
            Event::UserAdded { user } => self.set_user(user, None),
            Event::UserUpdated { user, .. } => {
                // Whoever was away and is back needs a new session anyway; whoever is put out needs none.
                let changed = (!user.is_active).then_some(sequence);
                self.set_user(user, changed);
            }
            Event::CredentialChanged { user_id } => {
                if self.everyone.contains(*user_id) {
                    self.credentials.insert(*user_id, sequence);
                }
            }
        }
    }

    fn undo(&mut self, event: &Event) {
        match event {
            Event::Message(_) | Event::CredentialChanged { .. } => {}
            Event::StreamCreated { stream } => {
                self.streams.remove(&stream.stream_id);
            }
            Event::MembersAdded { stream, user_ids, .. } => {
                let members = self.streams.entry(stream.stream_id).or_default();
                user_ids.iter().for_each(|user| members.remove(*user));
            }
            Event::MembersRemoved { stream_id, user_ids, .. } => {
                let members = self.streams.entry(*stream_id).or_default();
                user_ids.iter().for_each(|user| members.insert(*user));
            }
            Event::UserAdded { user } => self.remove_user(user.user_id),
            Event::UserUpdated { previous, .. } => self.set_user(previous, None),
        }
    }

    fn set_user(&mut self, user: &User, credential_changed: Option<Sequence>) {
        match credential_changed {
            Some(Sequence::ZERO) => drop(self.credentials.remove(&user.user_id)),
            Some(changed) => drop(self.credentials.insert(user.user_id, changed)),
            None => {}
        }
        self.everyone.insert(user.user_id);
        put(&mut self.regulars, user.user_id, user.role != Role::Guest);
        put(&mut self.admins, user.user_id, user.role == Role::Admin);
        put(&mut self.bots, user.user_id, user.is_bot);
        put(&mut self.inactive, user.user_id, !user.is_active);
    }

    fn remove_user(&mut self, user: UserId) {
        self.credentials.remove(&user);
        for set in self.sets_of_users() {
            set.remove(user);
        }
    }

    fn sets_of_users(&mut self) -> [&mut MemberSet; 5] {
        [&mut self.everyone, &mut self.regulars, &mut self.admins, &mut self.bots, &mut self.inactive]
    }

    /// What it takes in memory, roughly.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let of_users = [&self.everyone, &self.regulars, &self.admins, &self.bots, &self.inactive];
        let sets = of_users.into_iter().chain(self.streams.values()).map(MemberSet::bytes).sum::<usize>();
        let entries = self.streams.len() * ENTRY_BYTES + self.credentials.len() * ENTRY_BYTES;
        size_of::<Self>() + sets + entries
    }
}

/// An entry of a persistent map, with its share of the nodes.
const ENTRY_BYTES: usize = 64;

fn put(set: &mut MemberSet, user: UserId, inside: bool) {
    if inside { set.insert(user) } else { set.remove(user) }
}

fn read(record: &EventRecord) -> Result<Event, AdvanceError> {
    json::decode_event(&record.body)
        .map_err(|_| AdvanceError::UnknownKind { sequence: record.sequence, kind: record.kind.0 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use squall_protocol::{Epoch, Mark};

    use super::*;

    fn user(id: u32, role: Role) -> User {
        User {
            user_id: UserId(id),
            email: format!("u{id}@x"),
            full_name: String::new(),
            role,
            is_bot: false,
            is_active: true,
        }
    }

    fn stream(id: u64) -> Stream {
        Stream {
            stream_id: StreamId(id),
            name: format!("s{id}"),
            description: String::new(),
            invite_only: false,
        }
    }

    fn history(events: &[Event]) -> Vec<EventRecord> {
        (1..)
            .zip(events)
            .map(|(sequence, event)| EventRecord::new(Sequence(sequence), Mark(1), event))
            .collect()
    }

    fn start() -> RealmState {
        RealmState::new(Position::start(Epoch(1)))
    }

    #[test]
    fn a_membership_change_reaches_its_subject() {
        let records = history(&[
            Event::UserAdded { user: user(1, Role::Member) },
            Event::UserAdded { user: user(2, Role::Member) },
            Event::StreamCreated { stream: stream(7) },
            Event::MembersAdded {
                stream: stream(7),
                user_ids: vec![UserId(1), UserId(2)],
                actor_id: UserId(1),
            },
            Event::MembersRemoved { stream_id: StreamId(7), user_ids: vec![UserId(2)], actor_id: UserId(1) },
        ]);
        let mut state = start();
        let stamps: Vec<_> = records.iter().map(|record| state.advance(record).unwrap()).collect();
        assert!(stamps[3].contains(UserId(2)), "added: sees it");
        assert!(stamps[4].contains(UserId(2)), "removed: still sees its removal");
        assert!(!state.members(StreamId(7)).unwrap().contains(UserId(2)));
    }

    #[test]
    fn a_record_out_of_turn_or_of_an_unknown_changing_kind_is_refused() {
        let mut records = history(&[Event::CredentialChanged { user_id: UserId(1) }]);
        records[0].body = br#"{"kind":"later"}"#.as_slice().into();
        assert!(matches!(start().advance(&records[0]), Err(AdvanceError::UnknownKind { .. })));
        records[0].sequence = Sequence(2);
        assert!(matches!(start().advance(&records[0]), Err(AdvanceError::NotNext { .. })));
    }

    #[test]
    fn an_unknown_kind_that_changes_nothing_is_taken() {
        let mut record = history(&[Event::CredentialChanged { user_id: UserId(1) }]).remove(0);
        record.body = br#"{"kind":"later"}"#.as_slice().into();
        record.changes_state = false;
        assert!(start().advance(&record).unwrap().contains(UserId(1)));
    }

    #[test]
    fn a_changed_key_or_a_deactivation_ends_older_sessions() {
        let mut off = user(1, Role::Member);
        off.is_active = false;
        let records = history(&[
            Event::UserAdded { user: user(1, Role::Member) },
            Event::CredentialChanged { user_id: UserId(1) },
            Event::UserUpdated { user: off.clone(), previous: user(1, Role::Member) },
            Event::UserUpdated { user: user(1, Role::Member), previous: off },
        ]);
        let mut state = start();
        state.advance(&records[0]).unwrap();
        assert!(state.admits(UserId(1), Sequence(1)));
        state.advance(&records[1]).unwrap();
        assert!(!state.admits(UserId(1), Sequence(1)));
        assert!(state.admits(UserId(1), Sequence(2)));
        state.advance(&records[2]).unwrap();
        assert!(!state.admits(UserId(1), Sequence(9)), "deactivated");
        state.advance(&records[3]).unwrap();
        assert!(!state.admits(UserId(1), Sequence(2)), "back, but not with the old session");
        assert!(state.admits(UserId(1), Sequence(4)));
    }

    /// One random but valid step: additions and removals never name who was in or out already.
    fn step(state: &RealmState, pick: (u8, u32, u64, u8)) -> Event {
        let (what, who, which, role) = pick;
        let (who, which) = (UserId(who % 12 + 1), StreamId(which % 4 + 1));
        let role = [Role::Admin, Role::Member, Role::Guest][usize::from(role % 3)];
        let present = state.user(who);
        match (what % 4, present, state.members(which)) {
            (_, None, _) => Event::UserAdded { user: user(who.0, role) },
            (0, Some(facts), _) => {
                Event::UserUpdated { user: user(who.0, role), previous: user(who.0, facts.role) }
            }
            (_, _, None) => Event::StreamCreated { stream: stream(which.0) },
            (_, _, Some(members)) if members.contains(who) => {
                Event::MembersRemoved { stream_id: which, user_ids: vec![who], actor_id: who }
            }
            (_, _, Some(_)) => {
                Event::MembersAdded { stream: stream(which.0), user_ids: vec![who], actor_id: who }
            }
        }
    }

    proptest! {
        /// Rewinding and stamping again gives the stamps that were given live.
        #[test]
        fn rewinding_stamps_as_live(picks in prop::collection::vec(any::<(u8, u32, u64, u8)>(), 1..120), cut in any::<prop::sample::Index>()) {
            let mut state = start();
            let mut records = Vec::new();
            let mut stamps = Vec::new();
            for (sequence, pick) in (1..).zip(picks) {
                let record = EventRecord::new(Sequence(sequence), Mark(1), &step(&state, pick));
                stamps.push(state.advance(&record).unwrap());
                records.push(record);
            }
            let cut = cut.index(records.len());
            let mut back = state.clone();
            let to = Position { sequence: Sequence(cut as u64), ..back.position() };
            back.rewind(&records[cut..], to).unwrap();
            for (record, stamp) in records[cut..].iter().zip(&stamps[cut..]) {
                prop_assert_eq!(&back.advance(record).unwrap(), stamp);
            }
        }
    }
}
