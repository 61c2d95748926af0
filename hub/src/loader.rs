//! Loading a realm's state from pages that may stand at different positions.

use std::collections::BTreeMap;

use squall_protocol::link::{LogRange, PageCursor, RealmPage};
use squall_protocol::{Mark, Position, Sequence, UserId, json};

use crate::realm_state::RealmState;

/// Gathers pages and, where they differ in position, the log between the oldest and the newest of them.
///
/// The state it ends with is exact at the newest page's position: replaying every change since the oldest
/// page leaves each user and membership as its last change left it, and what did not change is as its page
/// says. All of it must be of one history: each page's mark is compared with the log's.
#[derive(Debug)]
pub struct RealmLoader {
    state: Option<RealmState>,
    /// Where the pages stand.
    stands: BTreeMap<Sequence, Mark>,
    replayed: Sequence,
    cursor: Option<PageCursor>,
    paged: bool,
    last_heard: Vec<(UserId, u64)>,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadStep {
    /// Fetch the page at this cursor and give it to [`RealmLoader::handle_page`].
    Page(Option<PageCursor>),
    /// Read the log after this sequence and give it to [`RealmLoader::handle_range`].
    Log(Sequence),
    /// Nothing: [`RealmLoader::finish`].
    Done,
}

/// A realm as the database had it at one position.
#[derive(Debug)]
pub struct LoadedRealm {
    /// Users, streams, members.
    pub state: RealmState,
    /// When users were last heard of, as far as known: seconds since the Unix epoch.
    pub last_heard: Vec<(UserId, u64)>,
}

/// The pages don't fit together: start again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the realm's log changed while its state was being loaded")]
pub struct LoadError;

impl Default for RealmLoader {
    fn default() -> Self {
        Self {
            state: None,
            stands: BTreeMap::new(),
            replayed: Sequence::ZERO,
            cursor: None,
            paged: false,
            last_heard: Vec::new(),
        }
    }
}

impl RealmLoader {
    /// What it needs first, or next.
    #[must_use]
    pub fn step(&self) -> LoadStep {
        match &self.state {
            Some(state) if self.paged && self.replayed >= state.position().sequence => LoadStep::Done,
            Some(_) if self.paged => LoadStep::Log(self.replayed),
            Some(_) | None => LoadStep::Page(self.cursor.clone()),
        }
    }

    /// The realm, once [`RealmLoader::step`] says so.
    pub fn finish(self) -> Result<LoadedRealm, LoadError> {
        let mut state = self.state.ok_or(LoadError)?;
        state.shrink();
        Ok(LoadedRealm { state, last_heard: self.last_heard })
    }

    /// Takes a page in.
    pub fn handle_page(&mut self, page: RealmPage) -> Result<(), LoadError> {
        let state = self.state.get_or_insert_with(|| RealmState::new(page.as_of));
        if state.position().epoch != page.as_of.epoch {
            return Err(LoadError);
        }
        state.stand_at(newer(state.position(), page.as_of));
        let Position { sequence, mark, .. } = page.as_of;
        if *self.stands.entry(sequence).or_insert(mark) != mark {
            return Err(LoadError);
        }
        self.replayed = self.stands.first_key_value().map_or(sequence, |(oldest, _)| *oldest);
        for row in &page.users {
            state.insert_user(row);
            self.last_heard.extend(row.last_heard_s.map(|at| (row.user.user_id, at)));
        }
        page.streams.iter().for_each(|stream| state.insert_stream(stream));
        page.members.iter().for_each(|(stream, user)| state.insert_member(*stream, *user));
        self.paged = page.next.is_none();
        self.cursor = page.next;
        Ok(())
    }

    /// Takes a part of the log in.
    pub fn handle_range(&mut self, range: &LogRange) -> Result<(), LoadError> {
        let state = self.state.as_mut().ok_or(LoadError)?;
        let upto = state.position();
        let is_of_pages = |sequence, mark| self.stands.get(&sequence).is_none_or(|page| Some(*page) == mark);
        let goes_on = range.head.epoch == upto.epoch && is_of_pages(self.replayed, range.after_mark);
        if !goes_on || range.records.is_empty() {
            return Err(LoadError);
        }
        for record in range.records.iter().take_while(|record| record.sequence <= upto.sequence) {
            if record.sequence != self.replayed.next() || !is_of_pages(record.sequence, Some(record.mark)) {
                return Err(LoadError);
            }
            if record.changes_state {
                state.apply(&json::decode_event(&record.body).map_err(|_| LoadError)?, record.sequence);
            }
            self.replayed = record.sequence;
        }
        Ok(())
    }
}

fn newer(one: Position, other: Position) -> Position {
    if other.sequence > one.sequence { other } else { one }
}

#[cfg(test)]
mod tests {
    use squall_protocol::event::{Event, Role, Stream, User};
    use squall_protocol::link::{EventRecord, UserRow};
    use squall_protocol::{Epoch, Mark, StreamId};

    use super::*;

    fn at(sequence: u64) -> Position {
        Position { epoch: Epoch(1), sequence: Sequence(sequence), mark: Mark(sequence as u32) }
    }

    fn user(id: u32) -> UserRow {
        let user = User {
            user_id: UserId(id),
            email: String::new(),
            full_name: String::new(),
            role: Role::Member,
            is_bot: false,
            is_active: true,
        };
        UserRow { user, credential_changed: Sequence::ZERO, last_heard_s: Some(u64::from(id)) }
    }

    fn page(sequence: u64, next: Option<&str>) -> RealmPage {
        let next = next.map(|cursor| PageCursor(cursor.into()));
        RealmPage { as_of: at(sequence), users: vec![], streams: vec![], members: vec![], next }
    }

    fn stream() -> Stream {
        Stream { stream_id: StreamId(7), name: String::new(), description: String::new(), invite_only: true }
    }

    fn range(first: u64, events: &[Event], head: u64) -> LogRange {
        let records =
            (first..).zip(events).map(|(n, e)| EventRecord::new(Sequence(n), Mark(n as u32), e)).collect();
        let after_mark = Some(Mark(first as u32 - 1));
        LogRange { head: at(head), floor: Sequence::ZERO, after_mark, records, changes: vec![] }
    }

    #[test]
    fn pages_of_one_position_need_no_log() {
        let mut loader = RealmLoader::default();
        assert_eq!(loader.step(), LoadStep::Page(None));
        loader.handle_page(RealmPage { users: vec![user(1)], ..page(5, Some("b")) }).unwrap();
        assert_eq!(loader.step(), LoadStep::Page(Some(PageCursor("b".into()))));
        loader.handle_page(RealmPage { users: vec![user(2)], ..page(5, None) }).unwrap();
        assert_eq!(loader.step(), LoadStep::Done);
        let realm = loader.finish().unwrap();
        assert_eq!(realm.state.position(), at(5));
        assert_eq!(realm.last_heard, [(UserId(1), 1), (UserId(2), 2)]);
    }

    /// The second page already knows that user 2 left and came back; user 1 left after its page was read.
    #[test]
    fn pages_of_several_positions_are_brought_to_the_newest() {
        let mut loader = RealmLoader::default();
        let members = vec![(StreamId(7), UserId(1))];
        loader
            .handle_page(RealmPage { users: vec![user(1), user(2)], members, ..page(5, Some("b")) })
            .unwrap();
        let members = vec![(StreamId(7), UserId(2))];
        loader.handle_page(RealmPage { members, ..page(8, None) }).unwrap();
        assert_eq!(loader.step(), LoadStep::Log(Sequence(5)));
        let left = |id| Event::MembersRemoved {
            stream_id: StreamId(7),
            user_ids: vec![UserId(id)],
            actor_id: UserId(id),
        };
        let joined = Event::MembersAdded { stream: stream(), user_ids: vec![UserId(2)], actor_id: UserId(2) };
        loader.handle_range(&range(6, &[left(1), left(2), joined, left(2)], 9)).unwrap();
        assert_eq!(loader.step(), LoadStep::Done);
        let state = loader.finish().unwrap().state;
        assert_eq!(state.members(StreamId(7)).unwrap().iter().collect::<Vec<_>>(), [UserId(2)]);
        assert_eq!(state.position(), at(8));
    }

    #[test]
    fn pages_of_two_histories_are_not_mixed() {
        let loader = || {
            let mut loader = RealmLoader::default();
            loader.handle_page(page(5, Some("b"))).unwrap();
            loader
        };
        let other = Position { mark: Mark(99), ..at(5) };
        assert!(loader().handle_page(RealmPage { as_of: other, ..page(5, None) }).is_err());

        let fact = Event::CredentialChanged { user_id: UserId(1) };
        let facts = || range(6, &[fact.clone(), fact.clone(), fact.clone()], 8);
        let loader = || {
            let mut loader = loader();
            loader.handle_page(page(8, None)).unwrap();
            loader
        };
        assert!(loader().handle_range(&facts()).is_ok());
        let gone = LogRange { after_mark: None, ..facts() };
        assert!(loader().handle_range(&gone).is_err(), "nothing vouches for the first page");
        let before = LogRange { after_mark: Some(Mark(99)), ..facts() };
        assert!(loader().handle_range(&before).is_err(), "the first page is of another history");
        let mut after = facts();
        after.records[2].mark = Mark(99);
        assert!(loader().handle_range(&after).is_err(), "the last page is of another history");
    }

    #[test]
    fn another_epoch_or_a_hole_starts_it_again() {
        let mut loader = RealmLoader::default();
        loader.handle_page(page(5, Some("b"))).unwrap();
        let other = Position { epoch: Epoch(2), ..at(8) };
        assert!(loader.handle_page(RealmPage { as_of: other, ..page(8, None) }).is_err());
        loader.handle_page(page(8, None)).unwrap();
        let fact = Event::CredentialChanged { user_id: UserId(1) };
        assert!(loader.handle_range(&range(7, std::slice::from_ref(&fact), 8)).is_err(), "6 is missing");
        assert!(loader.handle_range(&range(6, &[], 8)).is_err(), "6 to 8 are pruned");
    }
}
