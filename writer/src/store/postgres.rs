//! The store in PostgreSQL: any number of writers beside each other. What must be serial is so by the lock on a
//! realm's row, which a commit takes first.

mod commit;
mod connection;
mod extras;
mod facts;
mod failure;
mod insert;
mod lease;
mod log;
mod messages;
mod migrations;
mod page;
mod pool;
mod realm;
mod rows;
mod streams;
mod surface;
mod surface_rows;
mod unread;
mod zulip;

use std::sync::Arc;
use std::time::Duration;

use squall_bus::BoxFuture;
use squall_protocol::event::User;
use squall_protocol::link::{LastHeard, LogRange, NodeLease, PageCursor, RealmPage};
use squall_protocol::{Epoch, Position, RealmId, Sequence, StreamId, UserId};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Config;

use super::{
    Account, Commit, Group, HistoryPage, HistoryQuery, LanePlan, Realm, RealmCommit, Stamped, Store,
    StoreError, StreamRef, StreamView, Topic,
};
use crate::database_url::DatabaseUrl;
use crate::secret::KeyHash;
use crate::stats::DatabaseStats;
use connection::{Connection, LOCK_MAX, Session};
use failure::Failure;
use migrations::{MIGRATION_MAX, MIGRATIONS};
use pool::{Pool, Server};

/// All realms in one database, through two pools, so that commits that wait for a lock leave reads alone.
pub(crate) struct PostgresStore {
    inner: Arc<Inner>,
    runtime: Handle,
    commits_max: usize,
}

struct Inner {
    writing: Pool,
    reading: Pool,
    stats: Arc<DatabaseStats>,
}

/// What a transaction is for.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Commit,
    Read,
    Write,
}

/// How the store is to be opened.
#[derive(Debug, Clone)]
pub(crate) struct PostgresOptions {
    pub(crate) url: DatabaseUrl,
    /// Commits under way at once, at least one. One connection more is for what else is written.
    commits_max: usize,
    /// Reads under way at once, at least one.
    reads_max: usize,
    /// How long a server that can't be reached is waited for.
    wait: Duration,
}

/// Why the store was not opened.
#[derive(Debug, thiserror::Error)]
#[error("{url}: {reason}")]
pub(crate) struct PostgresError {
    url: DatabaseUrl,
    reason: String,
}

/// How long one statement of a commit may take; what it waits for a lock is in it.
const WRITE_STATEMENT_MAX: Duration = Duration::from_secs(4);

/// How long one statement of a read may take: a search through everything must not keep a connection for ever.
const READ_STATEMENT_MAX: Duration = Duration::from_secs(4);

/// How long a whole transaction may take, seen from here: a server that is frozen, or a network that is cut, says
/// nothing. Beyond it the connection is given up, and of a commit nothing is known.
const TRANSACTION_MAX: Duration = Duration::from_secs(5);

/// Between two attempts to reach a server at the start.
const START_INTERVAL: Duration = Duration::from_millis(250);

const _: () = assert!(LOCK_MAX.as_millis() < WRITE_STATEMENT_MAX.as_millis());
const _: () = assert!(WRITE_STATEMENT_MAX.as_millis() < TRANSACTION_MAX.as_millis());
const _: () = assert!(READ_STATEMENT_MAX.as_millis() < TRANSACTION_MAX.as_millis());

impl PostgresOptions {
    /// So many connections in all: a third for reads, one for small writes, the others for commits.
    pub(crate) fn new(url: DatabaseUrl, connections: usize, wait: Duration) -> Self {
        let reads_max = (connections / 3).max(1);
        Self { url, commits_max: connections.saturating_sub(reads_max + 1).max(1), reads_max, wait }
    }
}

impl PostgresStore {
    /// Waits for the server, brings its schema up to date. The connections run on the current runtime.
    pub(crate) async fn open(
        options: PostgresOptions,
        stats: Arc<DatabaseStats>,
    ) -> Result<Self, PostgresError> {
        Self::open_with(options, stats, MIGRATIONS).await
    }

    async fn open_with(
        options: PostgresOptions,
        stats: Arc<DatabaseStats>,
        migrations: &[&str],
    ) -> Result<Self, PostgresError> {
        let PostgresOptions { url, commits_max, reads_max, wait } = options;
        let config = connection::prepare_config(url.config());
        let failed = |reason: String| PostgresError { url: url.clone(), reason };
        let first = first_connection(&config, wait, &stats).await.map_err(failed)?;
        migrations::migrate(&first, migrations).await.map_err(|error| failed(error.to_string()))?;
        let server = Arc::new(Server::new(config, Arc::clone(&stats)));
        let pool = |statement_max, connections| {
            Pool::new(Arc::clone(&server), Session { statement_max }, connections)
        };
        let inner = Inner {
            writing: pool(WRITE_STATEMENT_MAX, commits_max + 1),
            reading: pool(READ_STATEMENT_MAX, reads_max),
            stats,
        };
        Ok(Self { inner: Arc::new(inner), runtime: Handle::current(), commits_max })
    }

    /// Reads on a connection of its own. Not given up with whoever asked: a connection in the middle of
    /// something is of no use to the next.
    async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c Connection) -> BoxFuture<'c, Result<T, Failure>> + Send + 'static,
    {
        self.spawn(Kind::Read, work).await
    }

    /// Writes in one transaction.
    async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c Connection) -> BoxFuture<'c, Result<T, Failure>> + Send + 'static,
    {
        self.spawn(Kind::Write, work).await
    }

    async fn spawn<T, F>(&self, kind: Kind, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c Connection) -> BoxFuture<'c, Result<T, Failure>> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        let task = self.runtime.spawn(async move {
            let stats = &inner.stats;
            let (pool, counter) = match kind {
                Kind::Commit => (&inner.writing, &stats.commits),
                Kind::Read => (&inner.reading, &stats.reads),
                Kind::Write => (&inner.writing, &stats.writes),
            };
            counter.add(1);
            let result = run(pool, work).await;
            if matches!(result, Err(Failure::Silent)) {
                // The others would be waited for just as long, one after the other.
                inner.reading.abandon_idle();
                inner.writing.abandon_idle();
            }
            stats.failures.add(usize::from(result.is_err()));
            result
        });
        match task.await {
            Ok(result) => Ok(result?),
            Err(error) => Err(StoreError::Unavailable(error.to_string())),
        }
    }
}

/// Has the work done on a connection of the pool, in bounded time. What is left of a transaction is rolled back;
/// a connection of which nothing is known is given up.
async fn run<T, F>(pool: &Pool, work: F) -> Result<T, Failure>
where
    F: for<'c> FnOnce(&'c Connection) -> BoxFuture<'c, Result<T, Failure>>,
{
    let lease = pool.lease().await?;
    let result = timeout(TRANSACTION_MAX, work(lease.connection())).await;
    let result = result.unwrap_or(Err(Failure::Silent));
    let sound = match &result {
        Ok(_) => true,
        Err(failure) if failure.leaves_connection() => {
            matches!(timeout(LOCK_MAX, lease.connection().batch("ROLLBACK")).await, Ok(Ok(())))
        }
        Err(_) => false,
    };
    if sound {
        pool.give_back(lease)
    } else {
        lease.abandon()
    }
    result
}

/// A connection for the schema. A server that can't be reached, or is still starting, is waited for; one that
/// refuses us is not.
async fn first_connection(
    config: &Config,
    wait: Duration,
    stats: &Arc<DatabaseStats>,
) -> Result<Connection, String> {
    let began = Instant::now();
    let session = Session { statement_max: MIGRATION_MAX };
    let mut said = false;
    loop {
        let failure = match Connection::open(config, session, &Handle::current(), stats).await {
            Ok(connection) => return Ok(connection),
            Err(failure) => failure,
        };
        if failure.is_refusal() || began.elapsed() >= wait {
            return Err(failure.to_string());
        }
        if !said {
            tracing::warn!(error = %failure, "waiting for PostgreSQL");
            said = true;
        }
        sleep(START_INTERVAL).await;
    }
}

impl Commit for PostgresStore {
    fn commit(&self, group: Arc<Group>) -> BoxFuture<'_, Result<Vec<RealmCommit>, StoreError>> {
        Box::pin(async move {
            let stats = &self.inner.stats;
            stats.committed_requests.add(group.realms.iter().map(|part| part.requests.len()).sum());
            self.spawn(Kind::Commit, move |c| Box::pin(async move { commit::commit(c, &group).await })).await
        })
    }

    fn lane_plan(&self) -> LanePlan {
        LanePlan::PerRealm { commits_max: self.commits_max }
    }
}

impl Store for PostgresStore {
    fn create_realm(&self, name: String, epoch: Epoch) -> BoxFuture<'_, Result<Option<RealmId>, StoreError>> {
        Box::pin(self.write(move |c| Box::pin(async move { realm::create(c, &name, epoch).await })))
    }

    fn realms(&self) -> BoxFuture<'_, Result<Vec<Realm>, StoreError>> {
        Box::pin(self.read(|c| Box::pin(realm::realms(c))))
    }

    fn account(&self, key: KeyHash) -> BoxFuture<'_, Result<Option<Account>, StoreError>> {
        Box::pin(self.read(move |c| Box::pin(realm::account(c, key))))
    }

    fn realm_page(
        &self,
        realm_id: RealmId,
        cursor: Option<PageCursor>,
        rows_max: usize,
    ) -> BoxFuture<'_, Result<RealmPage, StoreError>> {
        Box::pin(self.read(move |c| Box::pin(page::page(c, realm_id, cursor, rows_max))))
    }

    fn read_log(
        &self,
        realm_id: RealmId,
        after: Sequence,
        limit: usize,
    ) -> BoxFuture<'_, Result<LogRange, StoreError>> {
        Box::pin(self.read(move |c| Box::pin(log::read(c, realm_id, after, limit))))
    }

    fn heads(&self, realm_ids: Vec<RealmId>) -> BoxFuture<'_, Result<Vec<(RealmId, Position)>, StoreError>> {
        Box::pin(self.read(move |c| Box::pin(async move { log::heads(c, &realm_ids).await })))
    }

    fn renew_lease(
        &self,
        lease: NodeLease,
        since_ms: u64,
    ) -> BoxFuture<'_, Result<Vec<NodeLease>, StoreError>> {
        Box::pin(self.write(move |c| Box::pin(lease::renew(c, lease, since_ms))))
    }

    fn renew_epoch(&self, realm_id: RealmId, seen: Position) -> BoxFuture<'_, Result<Position, StoreError>> {
        Box::pin(self.write(move |c| Box::pin(log::renew_epoch(c, realm_id, seen))))
    }

    fn store_last_heard(&self, heard: Vec<LastHeard>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.write(move |c| Box::pin(async move { realm::store_last_heard(c, &heard).await })))
    }

    fn prune_log(&self, before_s: u64, limit: usize) -> BoxFuture<'_, Result<usize, StoreError>> {
        Box::pin(self.write(move |c| Box::pin(log::prune(c, before_s, limit))))
    }

    fn users(&self, realm_id: RealmId) -> BoxFuture<'_, Result<Stamped<Vec<User>>, StoreError>> {
        Box::pin(self.read(move |c| Box::pin(realm::users(c, realm_id))))
    }

    fn users_by_email(
        &self,
        realm_id: RealmId,
        emails: Vec<String>,
    ) -> BoxFuture<'_, Result<Vec<Option<User>>, StoreError>> {
        Box::pin(
            self.read(move |c| Box::pin(async move { realm::users_by_email(c, realm_id, &emails).await })),
        )
    }

    fn users_by_id(
        &self,
        realm_id: RealmId,
        user_ids: Vec<UserId>,
    ) -> BoxFuture<'_, Result<Stamped<Vec<Option<User>>>, StoreError>> {
        Box::pin(
            self.read(move |c| Box::pin(async move { realm::users_by_id(c, realm_id, &user_ids).await })),
        )
    }

    fn streams(
        &self,
        realm_id: RealmId,
        viewer: UserId,
        with_members: bool,
    ) -> BoxFuture<'_, Result<Stamped<Vec<StreamView>>, StoreError>> {
        Box::pin(self.read(move |c| Box::pin(streams::streams(c, realm_id, viewer, with_members))))
    }

    fn stream(
        &self,
        realm_id: RealmId,
        viewer: UserId,
        stream: StreamRef,
    ) -> BoxFuture<'_, Result<Stamped<Option<StreamView>>, StoreError>> {
        Box::pin(
            self.read(move |c| Box::pin(async move { streams::stream(c, realm_id, viewer, &stream).await })),
        )
    }

    fn members(
        &self,
        realm_id: RealmId,
        viewer: UserId,
        stream_id: StreamId,
    ) -> BoxFuture<'_, Result<Stamped<Option<Vec<UserId>>>, StoreError>> {
        Box::pin(self.read(move |c| Box::pin(streams::members(c, realm_id, viewer, stream_id))))
    }

    fn topics(
        &self,
        realm_id: RealmId,
        viewer: UserId,
        stream_id: StreamId,
    ) -> BoxFuture<'_, Result<Stamped<Option<Vec<Topic>>>, StoreError>> {
        Box::pin(self.read(move |c| Box::pin(messages::topics(c, realm_id, viewer, stream_id))))
    }

    fn history(&self, query: HistoryQuery) -> BoxFuture<'_, Result<Stamped<HistoryPage>, StoreError>> {
        Box::pin(self.read(move |c| Box::pin(async move { messages::history(c, &query).await })))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.inner.reading.close();
            self.inner.writing.close();
        })
    }
}

#[cfg(test)]
mod tests;
