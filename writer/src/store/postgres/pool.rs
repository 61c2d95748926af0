//! A few connections that many share.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_postgres::Config;

use super::connection::{Connection, Session};
use super::failure::Failure;
use crate::stats::DatabaseStats;

/// At most so many connections, made when they are needed and kept.
pub(super) struct Pool {
    server: Arc<Server>,
    session: Session,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

/// How the server is reached, and whether it was lately.
pub(super) struct Server {
    config: Config,
    runtime: Handle,
    stats: Arc<DatabaseStats>,
    /// Taken for each attempt: a server that comes back is not overrun, and one that is away costs the many who
    /// wait the time of one attempt, not of one each.
    attempts: Semaphore,
    backoff: Mutex<Backoff>,
}

/// When the next attempt may be made.
struct Backoff {
    wait: Duration,
    not_before: Instant,
}

/// A connection for as long as one piece of work takes.
pub(super) struct Lease {
    connection: Connection,
    _permit: OwnedSemaphorePermit,
}

/// How long work waits for a connection that others use.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// Attempts to connect that may be under way at once.
const ATTEMPTS_MAX: usize = 2;

/// After an attempt that failed others are refused at once for so long, then for twice as long, up to the latter.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

impl Server {
    pub(super) fn new(config: Config, stats: Arc<DatabaseStats>) -> Self {
        let backoff = Backoff { wait: BACKOFF_MIN, not_before: Instant::now() };
        let attempts = Semaphore::new(ATTEMPTS_MAX);
        Self { config, runtime: Handle::current(), stats, attempts, backoff: Mutex::new(backoff) }
    }

    /// A new session, unless an attempt failed just now.
    async fn connect(&self, session: Session) -> Result<Connection, Failure> {
        let began = Instant::now();
        if self.backoff.lock().unwrap_or_else(PoisonError::into_inner).not_before > began {
            return Err(Failure::Away("PostgreSQL can't be reached".into()));
        }
        let connection = Connection::open(&self.config, session, &self.runtime, &self.stats).await;
        let mut backoff = self.backoff.lock().unwrap_or_else(PoisonError::into_inner);
        match &connection {
            Ok(_) => backoff.wait = BACKOFF_MIN,
            // Of several attempts that fail together the first counts.
            Err(_) if backoff.not_before > began => {}
            Err(failure) => {
                tracing::warn!(%failure, retry_in = ?backoff.wait, "PostgreSQL can't be reached");
                backoff.not_before = Instant::now() + backoff.wait;
                backoff.wait = BACKOFF_MAX.min(2 * backoff.wait);
            }
        }
        // Whatever it is, it is not about the work.
        connection.map_err(|failure| Failure::Away(failure.to_string()))
    }
}

impl Pool {
    pub(super) fn new(server: Arc<Server>, session: Session, connections_max: usize) -> Self {
        Self { server, session, permits: Arc::new(Semaphore::new(connections_max)), idle: Mutex::default() }
    }

    /// A connection, old or new.
    pub(super) async fn lease(&self) -> Result<Lease, Failure> {
        let permit = timeout(WAIT_MAX, Arc::clone(&self.permits).acquire_owned()).await;
        let permit = permit.map_err(|_| Failure::Unavailable("too much to do".into()))?;
        let permit = permit.map_err(|_| closed())?;
        if let Some(connection) = self.take_idle() {
            return Ok(Lease { connection, _permit: permit });
        }
        let _attempt = self.server.attempts.acquire().await.map_err(|_| closed())?;
        // Meanwhile somebody may have given one back.
        let connection = match self.take_idle() {
            Some(connection) => connection,
            None => self.server.connect(self.session).await?,
        };
        Ok(Lease { connection, _permit: permit })
    }

    /// Takes back what was leased, in order.
    pub(super) fn give_back(&self, lease: Lease) {
        if !lease.connection.is_closed() && !self.permits.is_closed() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(lease.connection);
        }
    }

    /// The one used last: the others may rest.
    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(connection) = idle.pop() {
            if !connection.is_closed() {
                return Some(connection);
            }
        }
        None
    }

    /// Ends what is idle without a word: the server says nothing.
    pub(super) fn abandon_idle(&self) {
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        idle.into_iter().for_each(Connection::abandon);
    }

    /// Gives no more, and ends what is idle.
    pub(super) fn close(&self) {
        self.permits.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Lease {
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Ends the connection: nothing is known of it.
    pub(super) fn abandon(self) {
        self.connection.abandon();
    }
}

fn closed() -> Failure {
    Failure::Unavailable("closed".into())
}
