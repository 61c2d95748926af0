//! One connection to PostgreSQL.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Row, Statement};

use super::failure::Failure;
use crate::stats::DatabaseStats;

/// A session of ours, with the statements it has prepared. Statements that are polled together go out together,
/// in the order in which they are polled first: a group of them takes one round trip.
pub(super) struct Connection {
    client: Client,
    /// What moves its bytes, on the writer's own runtime.
    driver: JoinHandle<()>,
    statements: Mutex<HashMap<String, Statement>>,
    stats: Arc<DatabaseStats>,
}

/// One parameter of a statement.
pub(super) type Parameter<'a> = &'a (dyn ToSql + Sync);

/// How a session is to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Session {
    /// How long one of its statements may take.
    pub(super) statement_max: Duration,
}

/// How long a statement waits for what another session has locked: a writer that was stopped in the middle of a
/// commit holds up its realm no longer than that.
pub(super) const LOCK_MAX: Duration = Duration::from_secs(2);

/// How long a session may do nothing in a transaction before PostgreSQL ends it: the other half of the same.
pub(super) const IDLE_IN_TRANSACTION_MAX: Duration = Duration::from_secs(2);

/// How long it may take to get a session.
pub(super) const CONNECT_MAX: Duration = Duration::from_secs(2);

/// The most statements kept ready; beyond it they are prepared anew.
const STATEMENTS_MAX: usize = 256;

/// After so long without a word the peer is asked whether it is there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);

/// Begins a transaction of one snapshot, which its first statement takes.
pub(super) const BEGIN_SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Begins a transaction in which each statement sees what was committed before it.
pub(super) const BEGIN_WRITING: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

pub(super) const COMMIT: &str = "COMMIT";

/// The configuration with what is ours where it says nothing.
pub(super) fn prepare_config(config: &Config) -> Config {
    let mut config = config.clone();
    if config.get_application_name().is_none() {
        config.application_name("squall-writer");
    }
    config.keepalives_idle(KEEPALIVE_IDLE);
    config
}

impl Connection {
    /// A session; `Away` if there is none within [`CONNECT_MAX`].
    pub(super) async fn open(
        config: &Config,
        session: Session,
        runtime: &Handle,
        stats: &Arc<DatabaseStats>,
    ) -> Result<Self, Failure> {
        let connect = async {
            let (client, connection) = config.connect(NoTls).await?;
            let driver = runtime.spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(error = %Failure::from(error), "a connection to PostgreSQL broke");
                }
            });
            let connection = Self { client, driver, statements: Mutex::default(), stats: Arc::clone(stats) };
            connection.batch(&session.settings()).await?;
            Ok(connection)
        };
        stats.connects.add(1);
        let no_answer = || Failure::Away(format!("no session within {} s", CONNECT_MAX.as_secs()));
        tokio::time::timeout(CONNECT_MAX, connect).await.unwrap_or_else(|_| Err(no_answer()))
    }

    /// Whether the server, or the network, has ended it.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Ends it without a word: nothing is known of what it was doing.
    pub(super) fn abandon(self) {
        self.driver.abort();
    }

    /// Has these statements ready, so that what is polled together goes out together.
    pub(super) async fn prepare(&self, statements: &[&str]) -> Result<(), Failure> {
        let missing: Vec<&str> = {
            let ready = self.statements.lock().unwrap_or_else(PoisonError::into_inner);
            statements.iter().copied().filter(|sql| !ready.contains_key(*sql)).collect()
        };
        for sql in missing {
            self.stats.statements.add(1);
            let statement = self.client.prepare(sql).await?;
            let mut ready = self.statements.lock().unwrap_or_else(PoisonError::into_inner);
            if ready.len() >= STATEMENTS_MAX {
                ready.clear();
            }
            ready.insert(sql.to_owned(), statement);
        }
        Ok(())
    }

    /// The rows of a statement, one that is ready or is alone on its way.
    pub(super) async fn query<const N: usize>(
        &self,
        sql: &str,
        parameters: [Parameter<'_>; N],
    ) -> Result<Vec<Row>, Failure> {
        self.query_with(sql, &parameters).await
    }

    /// The same with as many parameters as there happen to be.
    pub(super) async fn query_with(
        &self,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Failure> {
        let statement = self.statement(sql).await?;
        self.stats.statements.add(1);
        Ok(self.client.query(&statement, parameters).await?)
    }

    /// The same without rows: how many it changed.
    pub(super) async fn execute<const N: usize>(
        &self,
        sql: &str,
        parameters: [Parameter<'_>; N],
    ) -> Result<u64, Failure> {
        let statement = self.statement(sql).await?;
        self.stats.statements.add(1);
        Ok(self.client.execute(&statement, &parameters).await?)
    }

    /// Statements without parameters or rows.
    pub(super) async fn batch(&self, sql: &str) -> Result<(), Failure> {
        self.stats.statements.add(1);
        Ok(self.client.batch_execute(sql).await?)
    }

    async fn statement(&self, sql: &str) -> Result<Statement, Failure> {
        let ready = |sql| {
            let statements = self.statements.lock().unwrap_or_else(PoisonError::into_inner);
            statements.get(sql).cloned()
        };
        if let Some(statement) = ready(sql) {
            return Ok(statement);
        }
        self.prepare(&[sql]).await?;
        ready(sql).ok_or_else(|| Failure::Row("a statement was lost".into()))
    }
}

impl Session {
    /// The statements that make a session so. Each of our statements is made for an index: a plan that was made,
    /// and kept, while a table was small must not walk through it once it is large. What an operator has set for the role, the database or the server
    /// stands, but for what the guarantees need.
    fn settings(self) -> String {
        let Self { statement_max } = self;
        format!(
            "SET lock_timeout = {lock};
             SET idle_in_transaction_session_timeout = {idle};
             SET statement_timeout = {statement};
             SET jit = off;
             SET enable_seqscan = off;
             SET enable_hashjoin = off;
             SET enable_mergejoin = off;
             SELECT set_config('synchronous_commit', 'on', false)
             WHERE current_setting('synchronous_commit') = 'off'",
            lock = LOCK_MAX.as_millis(),
            idle = IDLE_IN_TRANSACTION_MAX.as_millis(),
            statement = statement_max.as_millis(),
        )
    }
}
