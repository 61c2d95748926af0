//! The schema, brought up to date by whichever writer comes first.

use std::time::Duration;

use super::connection::{BEGIN_WRITING, COMMIT, Connection};
use super::failure::Failure;
use super::rows::number;
use crate::clock::now_s;

/// Applied in order, each once; the database's `schema_versions` say which. Never changed, only added to: a new one
/// widens, so that writers of the version before go on beside those of this; what it leaves unused goes in a later
/// one, when no writer uses it any more.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("schema.sql"),
    include_str!("leases.sql"),
    include_str!("secrets.sql"),
    include_str!("surface.sql"),
];

/// How far ahead of this program a schema may be: the next version's still serves this one's statements.
const AHEAD_MAX: u64 = 1;

/// How long one migration may take, and how long a writer waits for another that is at it.
pub(super) const MIGRATION_MAX: Duration = Duration::from_secs(10 * 60);

/// Why a database is not for this program.
#[derive(Debug, thiserror::Error)]
pub(super) enum SchemaError {
    #[error("made by a newer version (schema {found}, this program knows {known} and can do with {most})")]
    Newer { found: u64, known: u64, most: u64 },
    #[error("PostgreSQL {0} is too old: 13 or newer is needed")]
    Server(String),
    #[error("its encoding is {0}, not UTF8")]
    Encoding(String),
    #[error("{0}")]
    Failed(String),
}

/// Of several writers one at a time.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtext('squall'), hashtext('migrate'))";

/// Looks at the server, then brings the schema up to `migrations`. On a session with all the time it needs.
pub(super) async fn migrate(c: &Connection, migrations: &[&str]) -> Result<(), SchemaError> {
    check_server(c).await?;
    let failed = |failure: Failure| SchemaError::Failed(failure.to_string());
    let known = migrations.len() as u64;
    c.batch(&format!("SET lock_timeout = {}", MIGRATION_MAX.as_millis())).await.map_err(failed)?;
    loop {
        let found = step(c, migrations).await.map_err(failed)?;
        if found > known + AHEAD_MAX {
            return Err(SchemaError::Newer { found, known, most: known + AHEAD_MAX });
        }
        if found > known {
            tracing::warn!(found, known, "the database has the next version's schema");
        }
        if found >= known {
            return Ok(());
        }
    }
}

/// Applies the first migration that is missing, in a transaction of its own; how many there were before.
async fn step(c: &Connection, migrations: &[&str]) -> Result<u64, Failure> {
    c.batch(BEGIN_WRITING).await?;
    c.batch(LOCK).await?;
    c.batch(
        "CREATE TABLE IF NOT EXISTS schema_versions (version bigint PRIMARY KEY, applied_s bigint NOT NULL)",
    )
    .await?;
    let rows = c.query("SELECT coalesce(max(version), 0) FROM schema_versions", []).await?;
    let found = rows.first().map_or(Ok(0), |row| number(row, 0))?;
    let missing = usize::try_from(found).ok().and_then(|found| migrations.get(found));
    if let Some(migration) = missing {
        let version = found + 1;
        tracing::info!(version, "migrating the database");
        c.batch(migration).await?;
        c.batch(&format!("INSERT INTO schema_versions VALUES ({version}, {})", now_s())).await?;
    }
    c.batch(COMMIT).await?;
    Ok(found)
}

async fn check_server(c: &Connection) -> Result<(), SchemaError> {
    const SETTINGS: &str =
        "SELECT current_setting('server_version_num')::bigint, current_setting('server_version'),
         current_setting('server_encoding'), current_setting('fsync'), current_setting('full_page_writes')";
    let rows = c.query(SETTINGS, []).await.map_err(|failure| SchemaError::Failed(failure.to_string()))?;
    let Some(row) = rows.first() else { return Err(SchemaError::Failed("no settings".into())) };
    if row.get::<_, i64>(0) < 130_000 {
        return Err(SchemaError::Server(row.get(1)));
    }
    let encoding: &str = row.get(2);
    if encoding != "UTF8" {
        return Err(SchemaError::Encoding(encoding.into()));
    }
    for (setting, column) in [("fsync", 3), ("full_page_writes", 4)] {
        if row.get::<_, &str>(column) == "off" {
            tracing::warn!("PostgreSQL has {setting} off: what is acknowledged may be lost with its machine");
        }
    }
    Ok(())
}
