//! The embedded store: one SQLite file. One thread owns the connection that writes; a few threads with
//! read-only connections of their own read, each read one snapshot.

mod commit;
mod facts;
mod file;
mod log;
mod messages;
mod page;
mod realm;
mod rows;
mod streams;
mod thread;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use squall_bus::BoxFuture;
use squall_protocol::event::User;
use squall_protocol::link::{LastHeard, LogRange, PageCursor, RealmPage};
use squall_protocol::{Epoch, Position, RealmId, Sequence, StreamId, UserId};

use super::{
    Account, Commit, Group, HistoryPage, HistoryQuery, Realm, RealmCommit, Stamped, Store, StoreError,
    StreamRef, StreamView, Topic,
};
use crate::secret::KeyHash;
use file::DataDir;
pub(crate) use file::FileError;
use thread::Threads;

/// A realm's tables in one file of a data directory, which it holds alone.
pub(crate) struct SqliteStore {
    /// Field order is drop order: the threads end before the directory is let go.
    writer: Threads,
    readers: Threads,
    dir: DataDir,
}

impl SqliteStore {
    /// Takes the directory, makes or migrates the file, starts the threads.
    pub(crate) fn open(dir: &Path, read_threads: usize) -> Result<Self, FileError> {
        let dir = DataDir::lock(dir)?;
        let writer = dir.open_for_writing()?;
        let readers = (0..read_threads.max(1)).map(|_| dir.open_for_reading()).collect::<Result<_, _>>()?;
        Ok(Self {
            writer: Threads::start("squall-write", vec![writer])?,
            readers: Threads::start("squall-read", readers)?,
            dir,
        })
    }

    /// Runs `work` in a transaction on the writing connection; it commits unless `work` fails.
    async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, Failure> + Send + 'static,
    {
        let work = move |connection: &mut Connection| {
            // Immediate: the one lock of the file is taken before anything is read.
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        self.writer.run(work).await
    }

    /// Runs `work` on a reading connection: what it reads is one snapshot. It is broken off after
    /// [`READ_TIME_MAX`].
    async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, Failure> + Send + 'static,
    {
        self.read_within(READ_TIME_MAX, work).await
    }

    async fn read_within<T, F>(&self, time: Duration, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, Failure> + Send + 'static,
    {
        let work = move |connection: &mut Connection| {
            let deadline = Instant::now() + time;
            connection.progress_handler(STEPS_BETWEEN_CHECKS, Some(move || Instant::now() > deadline))?;
            work(&connection.transaction()?)
        };
        self.readers.run(work).await
    }
}

/// How long one read may take: a search through everything must not keep the others waiting for ever.
const READ_TIME_MAX: Duration = Duration::from_secs(5);

/// Steps of SQLite's machine between two looks at the clock: about a millisecond's worth.
const STEPS_BETWEEN_CHECKS: i32 = 50_000;

/// What goes wrong inside a transaction.
#[derive(Debug)]
enum Failure {
    Sqlite(rusqlite::Error),
    UnknownRealm(RealmId),
    /// A row that this program did not write.
    Row(String),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Sqlite(error) => Self::Unavailable(error.to_string()),
            Failure::Row(words) => Self::Unavailable(words),
            Failure::UnknownRealm(realm_id) => Self::UnknownRealm(realm_id),
        }
    }
}

impl Commit for SqliteStore {
    fn commit(&self, group: Arc<Group>) -> BoxFuture<'_, Result<Vec<RealmCommit>, StoreError>> {
        Box::pin(self.writer.run(move |connection| commit::commit(connection, &group)))
    }
}

impl Store for SqliteStore {
    fn create_realm(&self, name: String, epoch: Epoch) -> BoxFuture<'_, Result<Option<RealmId>, StoreError>> {
        Box::pin(self.write(move |tx| realm::create(tx, &name, epoch)))
    }

    fn realms(&self) -> BoxFuture<'_, Result<Vec<Realm>, StoreError>> {
        Box::pin(self.read(realm::all))
    }

    fn account(&self, key: KeyHash) -> BoxFuture<'_, Result<Option<Account>, StoreError>> {
        Box::pin(self.read(move |tx| realm::account(tx, key)))
    }

    fn accounts(&self, keys: Vec<KeyHash>) -> BoxFuture<'_, Result<Vec<Option<Account>>, StoreError>> {
        Box::pin(self.read(move |tx| keys.iter().map(|key| realm::account(tx, *key)).collect()))
    }

    fn realm_page(
        &self,
        realm_id: RealmId,
        cursor: Option<PageCursor>,
        rows_max: usize,
    ) -> BoxFuture<'_, Result<RealmPage, StoreError>> {
        Box::pin(self.read(move |tx| page::page(tx, realm_id, cursor, rows_max)))
    }

    fn read_log(
        &self,
        realm_id: RealmId,
        after: Sequence,
        limit: usize,
    ) -> BoxFuture<'_, Result<LogRange, StoreError>> {
        Box::pin(self.read(move |tx| log::read(tx, realm_id, after, limit)))
    }

    fn heads(&self, realm_ids: Vec<RealmId>) -> BoxFuture<'_, Result<Vec<(RealmId, Position)>, StoreError>> {
        Box::pin(self.read(move |tx| log::heads(tx, &realm_ids)))
    }

    fn store_last_heard(&self, heard: Vec<LastHeard>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.write(move |tx| realm::store_last_heard(tx, &heard)))
    }

    fn prune_log(&self, before_s: u64, limit: usize) -> BoxFuture<'_, Result<usize, StoreError>> {
        Box::pin(self.write(move |tx| log::prune(tx, before_s, limit)))
    }

    fn users(&self, realm_id: RealmId) -> BoxFuture<'_, Result<Stamped<Vec<User>>, StoreError>> {
        Box::pin(self.read(move |tx| realm::users(tx, realm_id)))
    }

    fn users_by_email(
        &self,
        realm_id: RealmId,
        emails: Vec<String>,
    ) -> BoxFuture<'_, Result<Vec<Option<User>>, StoreError>> {
        Box::pin(self.read(move |tx| realm::users_by_email(tx, realm_id, &emails)))
    }

    fn users_by_id(
        &self,
        realm_id: RealmId,
        user_ids: Vec<UserId>,
    ) -> BoxFuture<'_, Result<Stamped<Vec<Option<User>>>, StoreError>> {
        Box::pin(self.read(move |tx| realm::users_by_id(tx, realm_id, &user_ids)))
    }

    fn streams(
        &self,
        realm_id: RealmId,
        viewer: UserId,
        with_members: bool,
    ) -> BoxFuture<'_, Result<Stamped<Vec<StreamView>>, StoreError>> {
        Box::pin(self.read(move |tx| streams::streams(tx, realm_id, viewer, with_members)))
    }

    fn stream(
        &self,
        realm_id: RealmId,
        viewer: UserId,
        stream: StreamRef,
    ) -> BoxFuture<'_, Result<Stamped<Option<StreamView>>, StoreError>> {
        Box::pin(self.read(move |tx| streams::stream(tx, realm_id, viewer, &stream)))
    }

    fn members(
        &self,
        realm_id: RealmId,
        viewer: UserId,
        stream_id: StreamId,
    ) -> BoxFuture<'_, Result<Stamped<Option<Vec<UserId>>>, StoreError>> {
        Box::pin(self.read(move |tx| streams::members(tx, realm_id, viewer, stream_id)))
    }

    fn topics(
        &self,
        realm_id: RealmId,
        viewer: UserId,
        stream_id: StreamId,
    ) -> BoxFuture<'_, Result<Stamped<Option<Vec<Topic>>>, StoreError>> {
        Box::pin(self.read(move |tx| messages::topics(tx, realm_id, viewer, stream_id)))
    }

    fn history(&self, query: HistoryQuery) -> BoxFuture<'_, Result<Stamped<HistoryPage>, StoreError>> {
        Box::pin(self.read(move |tx| messages::history(tx, &query)))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.readers.stop().await;
            self.writer.run(file::checkpoint).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "checkpoint failed; the next start does it");
            });
            self.writer.stop().await;
            self.dir.unlock();
        })
    }
}

#[cfg(test)]
mod tests;
