//! The data directory: its lock, its file, the migrations.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::Failure;

/// Applied in order, each once; the file's `user_version` says how many it has had. Never changed, only added
/// to: a new one widens, and what it leaves unused goes in a later one.
const MIGRATIONS: &[&str] = &[include_str!("schema.sql")];

/// How long a statement waits for a lock. Readers never wait in WAL mode, and we are the only writer: only
/// recovery after a crash takes one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Pages of the log file after which it is folded into the database: 16 MiB, so that a fold's own
/// writes are spread over many commits.
const WAL_PAGES: u32 = 4096;

/// Statements kept ready for each connection.
const STATEMENTS_MAX: usize = 64;

/// A directory that this process holds alone.
pub(super) struct DataDir {
    path: PathBuf,
    lock: Mutex<Option<File>>,
}

/// Why a data directory can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("{path}: in use by another process")]
    InUse { path: PathBuf },
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path}: {source}")]
    Sqlite { path: PathBuf, source: rusqlite::Error },
    #[error("{path}: made by a newer version (schema {found}, this program knows {known})")]
    Newer { path: PathBuf, found: usize, known: usize },
    #[error("can't start a thread: {0}")]
    Thread(io::Error),
}

impl DataDir {
    /// Makes the directory if it is missing, readable by its owner alone, and locks it.
    pub(super) fn lock(path: &Path) -> Result<Self, FileError> {
        let failed = |source| FileError::Io { path: path.to_owned(), source };
        create_private(path).map_err(failed)?;
        let file = path.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(file).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), lock: Mutex::new(Some(lock)) }),
            Err(TryLockError::WouldBlock) => Err(FileError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    pub(super) fn unlock(&self) {
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// The writing connection, with the schema of this version.
    pub(super) fn open_for_writing(&self) -> Result<Connection, FileError> {
        let path = self.file();
        let failed = |source| FileError::Sqlite { path: path.clone(), source };
        let mut connection = Connection::open(&path).map_err(failed)?;
        prepare(&connection).map_err(failed)?;
        // FULL: a commit is on the disk when it is acknowledged.
        let pragmas = format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
             PRAGMA wal_autocheckpoint = {WAL_PAGES};"
        );
        connection.execute_batch(&pragmas).map_err(failed)?;
        let found: usize =
            connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
        if found > MIGRATIONS.len() {
            return Err(FileError::Newer { path, found, known: MIGRATIONS.len() });
        }
        migrate(&mut connection, found).map_err(failed)?;
        Ok(connection)
    }

    /// A connection that can't write.
    pub(super) fn open_for_reading(&self) -> Result<Connection, FileError> {
        let path = self.file();
        let failed = |source| FileError::Sqlite { path: path.clone(), source };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags).map_err(failed)?;
        prepare(&connection).map_err(failed)?;
        Ok(connection)
    }

    fn file(&self) -> PathBuf {
        self.path.join("squall.sqlite")
    }
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // A plan that depends on what is bound would be made anew for each binding: more work than the statement.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(())
}

fn migrate(connection: &mut Connection, found: usize) -> rusqlite::Result<()> {
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(found) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", index + 1)?;
        transaction.commit()?;
    }
    Ok(())
}

/// Folds the log file into the database and empties it.
pub(super) fn checkpoint(connection: &mut Connection) -> Result<(), Failure> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(())
}

#[cfg(unix)]
fn create_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(not(unix))]
fn create_private(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}
