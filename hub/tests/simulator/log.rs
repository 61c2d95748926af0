//! The writer and its database, as far as nodes see them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use squall_protocol::event::{Event, EventKind, Stream, User};
use squall_protocol::frame::Publication;
use squall_protocol::link::{EventRecord, LogRange, PageCursor, RealmPage, UserRow};
use squall_protocol::{Audience, Epoch, Mark, Position, RealmId, Sequence, StreamId, UserId};

/// One realm's log with its tables: it numbers, marks, remembers and forgets.
pub(crate) struct Log {
    epoch: Epoch,
    /// Where this world begins: what came before is in `origin` alone.
    base: Position,
    origin: Tables,
    /// Everything after `base`; what the window has let go of can no longer be read, but be gone back to.
    records: Vec<EventRecord>,
    /// None where it is of a kind that no node can read.
    events: Vec<Option<Event>>,
    floor: Sequence,
    tables: Tables,
    set_backs: u32,
}

/// What the database says now.
#[derive(Clone, Default)]
pub(crate) struct Tables {
    pub(crate) users: BTreeMap<UserId, Account>,
    pub(crate) streams: BTreeMap<StreamId, Stream>,
    pub(crate) members: BTreeSet<(StreamId, UserId)>,
}

#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) user: User,
    pub(crate) credential_changed: Sequence,
}

pub(crate) const REALM: RealmId = RealmId(1);

impl Log {
    pub(crate) fn new(base: Position, origin: Tables) -> Self {
        Self {
            epoch: base.epoch,
            base,
            tables: origin.clone(),
            origin,
            records: Vec::new(),
            events: Vec::new(),
            floor: base.sequence,
            set_backs: 0,
        }
    }

    pub(crate) fn head(&self) -> Position {
        let last = self.records.last();
        let (sequence, mark) = last.map_or((self.base.sequence, self.base.mark), |it| (it.sequence, it.mark));
        Position { epoch: self.epoch, sequence, mark }
    }

    pub(crate) fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Nothing at or before it can be read.
    pub(crate) fn floor(&self) -> Sequence {
        self.floor
    }

    /// How often the database went back.
    pub(crate) fn set_backs(&self) -> u32 {
        self.set_backs
    }

    /// Adds the next event of the commit group that has this mark.
    pub(crate) fn append(&mut self, event: Event, mark: Mark) -> &EventRecord {
        let sequence = self.head().sequence.next();
        self.tables.apply(&event, sequence);
        let record = EventRecord::new(sequence, mark, &event);
        self.push(record, Some(event))
    }

    /// Adds an event that a newer writer knows: it changes the realm in a way that nodes can't read.
    pub(crate) fn append_unknown(&mut self, mark: Mark) -> &EventRecord {
        let record = EventRecord {
            sequence: self.head().sequence.next(),
            mark,
            kind: EventKind(999),
            changes_state: true,
            audience: Audience::realm(),
            body: br#"{"kind":"later"}"#.as_slice().into(),
        };
        self.push(record, None)
    }

    fn push(&mut self, record: EventRecord, event: Option<Event>) -> &EventRecord {
        self.records.push(record);
        self.events.push(event);
        &self.records[self.records.len() - 1]
    }

    /// The group that was added after `before`.
    pub(crate) fn publication(&self, before: Position) -> Publication {
        let records = self.records[self.index(before.sequence)..].to_vec();
        Publication { realm_id: REALM, epoch: self.epoch, previous_mark: before.mark, records }
    }

    /// As the writer reads it: nothing at all where a hole would come first.
    pub(crate) fn read(&self, after: Sequence, limit: usize) -> LogRange {
        let head = self.head();
        let mut range = LogRange {
            head,
            floor: self.floor,
            after_mark: self.mark_at(after),
            records: Vec::new(),
            changes: Vec::new(),
        };
        if (self.floor..head.sequence).contains(&after) {
            let (records, later) =
                self.records[self.index(after)..].split_at(limit.min((head.sequence.0 - after.0) as usize));
            range.records = records.to_vec();
            range.changes = later.iter().filter(|record| record.changes_state).cloned().collect();
        }
        range
    }

    /// A page of the tables as they are now: users, then streams, then members.
    pub(crate) fn page(&self, cursor: Option<&PageCursor>, rows_max: usize) -> RealmPage {
        let mut page =
            RealmPage { as_of: self.head(), users: vec![], streams: vec![], members: vec![], next: None };
        let cursor = cursor.map_or("users 0", |cursor| &cursor.0);
        let mut words = cursor.split(' ');
        let table = words.next();
        let mut key = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        let next = match table {
            Some("users") => {
                let after = (Bound::Excluded(UserId(key() as u32)), Bound::Unbounded);
                page.users = self.tables.users.range(after).take(rows_max).map(|(_, it)| it.row()).collect();
                let last = page.users.last().filter(|_| page.users.len() == rows_max);
                Some(last.map_or("streams".into(), |last| format!("users {}", last.user.user_id)))
            }
            Some("streams") => {
                page.streams = self.tables.streams.values().cloned().collect();
                Some("members 0 0".into())
            }
            _ => {
                let after = (Bound::Excluded((StreamId(key()), UserId(key() as u32))), Bound::Unbounded);
                page.members = self.tables.members.range(after).take(rows_max).copied().collect();
                let last = page.members.last().filter(|_| page.members.len() == rows_max);
                last.map(|(stream, user)| format!("members {stream} {user}"))
            }
        };
        page.next = next.map(PageCursor);
        page
    }

    /// Forgets all but the newest `kept` events.
    pub(crate) fn prune(&mut self, kept: u64) {
        self.floor = self.floor.max(Sequence(self.head().sequence.0.saturating_sub(kept)));
    }

    /// A backup is restored: what came after `to` never was. Another epoch unless nobody noticed.
    pub(crate) fn set_back(&mut self, to: Sequence, epoch: Epoch) {
        let kept = self.index(to);
        self.records.truncate(kept);
        self.events.truncate(kept);
        self.tables = self.origin.clone();
        for (record, event) in self.records.iter().zip(&self.events) {
            event.iter().for_each(|event| self.tables.apply(event, record.sequence));
        }
        self.epoch = epoch;
        self.set_backs += 1;
    }

    /// The mark of `sequence`, if the database still has it.
    fn mark_at(&self, sequence: Sequence) -> Option<Mark> {
        let head = self.head();
        if sequence == head.sequence || sequence == Sequence::ZERO {
            return Some(if sequence == head.sequence { head.mark } else { Mark(0) });
        }
        let kept = sequence > self.floor && sequence < head.sequence;
        kept.then(|| self.records[self.index(sequence) - 1].mark)
    }

    /// Where in `records` what follows on `sequence` begins.
    fn index(&self, sequence: Sequence) -> usize {
        (sequence.0 - self.base.sequence.0) as usize
    }
}

impl Tables {
    pub(crate) fn members_of(&self, stream: StreamId) -> impl Iterator<Item = UserId> + '_ {
        let all = (stream, UserId(0))..=(stream, UserId(u32::MAX));
        self.members.range(all).map(|(_, user)| *user)
    }

    pub(crate) fn is_active(&self, user: UserId) -> bool {
        self.users.get(&user).is_some_and(|account| account.user.is_active)
    }

    pub(crate) fn apply(&mut self, event: &Event, sequence: Sequence) {
        match event {
            Event::Message(_)
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
            Event::StreamUpdated { stream, .. } | Event::StreamCreated { stream } => {
                self.streams.insert(stream.stream_id, stream.clone());
            }
            Event::MembersAdded { stream, user_ids, .. } => {
                self.members.extend(user_ids.iter().map(|user| (stream.stream_id, *user)));
            }
            Event::MembersRemoved { stream_id, user_ids, .. } => {
                user_ids.iter().for_each(|user| {
                    self.members.remove(&(*stream_id, *user));
                });
            }
            Event::UserAdded { user } => {
                let account = Account { user: user.clone(), credential_changed: Sequence::ZERO };
                self.users.insert(user.user_id, account);
            }
            Event::UserUpdated { user, .. } => {
                if let Some(account) = self.users.get_mut(&user.user_id) {
                    account.user = user.clone();
                    if !user.is_active {
                        account.credential_changed = sequence;
                    }
                }
            }
            Event::CredentialChanged { user_id } => {
                if let Some(account) = self.users.get_mut(user_id) {
                    account.credential_changed = sequence;
                }
            }
        }
    }
}

impl Account {
    fn row(&self) -> UserRow {
        UserRow { user: self.user.clone(), credential_changed: self.credential_changed, last_heard_s: None }
    }
}
