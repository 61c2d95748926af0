//! Where everything is kept. SQLite for one process; another database implements [`Store`], passes
//! `conformance`, and changes nothing else.

#[cfg(test)]
mod conformance;
mod history;
mod sqlite;

use std::sync::Arc;

use squall_bus::BoxFuture;
use squall_protocol::event::{Stream, User};
use squall_protocol::frame::Publication;
use squall_protocol::link::{LastHeard, LogRange, PageCursor, RealmPage};
use squall_protocol::{Epoch, Mark, Position, RealmId, Sequence, StreamId, UserId};

pub(crate) use history::{Anchor, HistoryPage, HistoryQuery, Narrow, StoredMessage};
pub(crate) use sqlite::SqliteStore;

use crate::change::{Outcome, Request};
use crate::decide::{self, Decision};
use crate::secret::KeyHash;

/// What a lane needs of a database.
pub(crate) trait Commit: Send + Sync + 'static {
    /// One transaction: for each realm, in ascending order, locks its row, reads the facts, lets
    /// `decide::decide` decide, stores. One for each realm of the group, in its order. On an error nothing is
    /// known of the group's fate: the same requests may be tried again, their send ids tell.
    fn commit(&self, group: Arc<Group>) -> BoxFuture<'_, Result<Vec<RealmCommit>, StoreError>>;
}

/// A database. Each read is one snapshot, and its `as_of` is the log's head in that snapshot; of a realm
/// that is not there every read says `UnknownRealm`.
pub(crate) trait Store: Commit {
    /// Makes a realm; `None` if its name is taken.
    fn create_realm(&self, name: String, epoch: Epoch) -> BoxFuture<'_, Result<Option<RealmId>, StoreError>>;

    /// All realms, ascending.
    fn realms(&self) -> BoxFuture<'_, Result<Vec<Realm>, StoreError>>;

    /// The active user who has this key.
    fn account(&self, key: KeyHash) -> BoxFuture<'_, Result<Option<Account>, StoreError>>;

    /// The active users who have these keys, in their order, each as [`Store::account`] says.
    fn accounts(&self, keys: Vec<KeyHash>) -> BoxFuture<'_, Result<Vec<Option<Account>>, StoreError>> {
        Box::pin(async move {
            let mut accounts = Vec::with_capacity(keys.len());
            for key in keys {
                accounts.push(self.account(key).await?);
            }
            Ok(accounts)
        })
    }

    /// A page of at most `rows_max` rows of realm state.
    fn realm_page(
        &self,
        realm_id: RealmId,
        cursor: Option<PageCursor>,
        rows_max: usize,
    ) -> BoxFuture<'_, Result<RealmPage, StoreError>>;

    /// At most `limit` events after `after`, as [`LogRange`] says.
    fn read_log(
        &self,
        realm_id: RealmId,
        after: Sequence,
        limit: usize,
    ) -> BoxFuture<'_, Result<LogRange, StoreError>>;

    /// The heads of those of `realm_ids` that exist, ascending.
    fn heads(&self, realm_ids: Vec<RealmId>) -> BoxFuture<'_, Result<Vec<(RealmId, Position)>, StoreError>>;

    /// Keeps the later of what is stored and what is given.
    fn store_last_heard(&self, heard: Vec<LastHeard>) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Takes at most `limit` events stored before `before_s` from the old end of the log; how many it took.
    fn prune_log(&self, before_s: u64, limit: usize) -> BoxFuture<'_, Result<usize, StoreError>>;

    /// The realm's users, ascending.
    fn users(&self, realm_id: RealmId) -> BoxFuture<'_, Result<Stamped<Vec<User>>, StoreError>>;

    /// The users who bear these addresses, in their order.
    fn users_by_email(
        &self,
        realm_id: RealmId,
        emails: Vec<String>,
    ) -> BoxFuture<'_, Result<Vec<Option<User>>, StoreError>>;

    /// The users who have these ids, in their order.
    fn users_by_id(
        &self,
        realm_id: RealmId,
        user_ids: Vec<UserId>,
    ) -> BoxFuture<'_, Result<Stamped<Vec<Option<User>>>, StoreError>>;

    /// The streams `viewer` may know of, ascending: public ones unless it is a guest, and its own; these
    /// `with_members` if asked.
    fn streams(
        &self,
        realm_id: RealmId,
        viewer: UserId,
        with_members: bool,
    ) -> BoxFuture<'_, Result<Stamped<Vec<StreamView>>, StoreError>>;

    /// One stream; `None` if `viewer` may not know of it.
    fn stream(
        &self,
        realm_id: RealmId,
        viewer: UserId,
        stream: StreamRef,
    ) -> BoxFuture<'_, Result<Stamped<Option<StreamView>>, StoreError>>;

    /// The stream's members, ascending; `None` if `viewer` may not know the stream.
    fn members(
        &self,
        realm_id: RealmId,
        viewer: UserId,
        stream_id: StreamId,
    ) -> BoxFuture<'_, Result<Stamped<Option<Vec<UserId>>>, StoreError>>;

    /// The stream's topics in which `viewer` may read something, newest first; `None` if it may not know
    /// the stream.
    fn topics(
        &self,
        realm_id: RealmId,
        viewer: UserId,
        stream_id: StreamId,
    ) -> BoxFuture<'_, Result<Stamped<Option<Vec<Topic>>>, StoreError>>;

    /// Messages that `viewer` may read, ascending.
    fn history(&self, query: HistoryQuery) -> BoxFuture<'_, Result<Stamped<HistoryPage>, StoreError>>;

    /// Finishes what was begun, brings the file in order, lets go of it. Afterwards all else fails.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// What shares one transaction.
#[derive(Debug)]
pub(crate) struct Group {
    /// Seconds since the Unix epoch.
    pub(crate) now_s: u64,
    /// By realm, ascending, each realm once.
    pub(crate) realms: Vec<RealmGroup>,
}

/// A realm's part of a group.
#[derive(Debug)]
pub(crate) struct RealmGroup {
    pub(crate) realm_id: RealmId,
    /// For this group and realm alone.
    pub(crate) mark: Mark,
    /// In the order in which they are to be done.
    pub(crate) requests: Vec<Request>,
}

/// What became of a realm's part of a group, once it is committed.
#[derive(Debug)]
pub(crate) struct RealmCommit {
    /// The new events; none if there are none.
    pub(crate) publication: Option<Publication>,
    /// One for each request, in their order.
    pub(crate) outcomes: Vec<Outcome>,
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Realm {
    pub(crate) realm_id: RealmId,
    pub(crate) name: String,
}

/// Whose key it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) realm: Realm,
    pub(crate) user: User,
    pub(crate) as_of: Position,
}

/// A state read with the position it is true of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamped<T> {
    pub(crate) as_of: Position,
    pub(crate) value: T,
}

/// A stream as one user sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamView {
    pub(crate) stream: Stream,
    /// Seconds since the Unix epoch.
    pub(crate) created_s: u64,
    /// Whether the user is a member.
    pub(crate) subscribed: bool,
    /// Its members, ascending, if they were asked for and the user is one; else empty.
    pub(crate) members: Vec<UserId>,
}

/// How a client names a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StreamRef {
    Id(StreamId),
    /// Compared without case.
    Name(String),
}

/// A topic with its newest message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Topic {
    /// As the newest message spells it.
    pub(crate) name: String,
    pub(crate) max_id: squall_protocol::MessageId,
}

/// Why the store gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Busy, broken, or closed; trying later may work.
    #[error("database: {0}")]
    Unavailable(String),
    /// There is no such realm.
    #[error("no realm {0}")]
    UnknownRealm(RealmId),
}

impl RealmCommit {
    /// What a decision is to the outside, once its rows are committed.
    pub(crate) fn new(realm_id: RealmId, decision: Decision) -> Self {
        let Decision { head, previous_mark, rows, outcomes } = decision;
        let records = rows.events;
        let publication = (!records.is_empty()).then_some(Publication {
            realm_id,
            epoch: head.epoch,
            previous_mark,
            records,
        });
        Self { publication, outcomes }
    }

    /// The part of a realm that is not there.
    pub(crate) fn without_realm(part: &RealmGroup) -> Self {
        let outcomes = decide::decide_without_realm(part.realm_id, &part.requests);
        Self { publication: None, outcomes }
    }
}
