//! What Zulip's clients need beyond messages and who sees them.

use rusqlite::{OptionalExtension as _, Transaction, params};
use squall_bus::BoxFuture;
use squall_protocol::{MessageId, RealmId, UserId};

use super::messages::RECEIVED;
use super::{Failure, SqliteStore, realm, streams};
use crate::secret::random_secret;
use crate::store::{Registration, Stamped, StoreError, ZulipStore};

impl ZulipStore for SqliteStore {
    fn queue_secret(&self) -> BoxFuture<'_, Result<[u8; 32], StoreError>> {
        Box::pin(self.write(queue_secret))
    }

    fn registration(
        &self,
        realm_id: RealmId,
        viewer: UserId,
        with_members: bool,
    ) -> BoxFuture<'_, Result<Stamped<Registration>, StoreError>> {
        Box::pin(self.read(move |tx| registration(tx, realm_id, viewer, with_members)))
    }
}

fn queue_secret(tx: &Transaction<'_>) -> Result<[u8; 32], Failure> {
    tx.execute(
        "INSERT INTO secrets (name, secret) VALUES ('queue', ?1) ON CONFLICT (name) DO NOTHING",
        [random_secret()],
    )?;
    Ok(tx.query_row("SELECT secret FROM secrets WHERE name = 'queue'", [], |row| row.get(0))?)
}

fn registration(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    viewer: UserId,
    with_members: bool,
) -> Result<Stamped<Registration>, Failure> {
    let Stamped { as_of, value: users } = realm::users(tx, realm_id)?;
    let realm_name = tx
        .prepare_cached("SELECT name FROM realms WHERE realm_id = ?1")?
        .query_row([realm_id.0], |row| row.get(0))?;
    let max_message_id = tx
        .prepare_cached(&format!(
            "SELECT m.message_id FROM messages AS m WHERE m.realm_id = ?1 AND {RECEIVED}
             ORDER BY m.message_id DESC LIMIT 1"
        ))?
        .query_row(params![realm_id.0, viewer.0], |row| Ok(MessageId(row.get(0)?)))
        .optional()?;
    let streams = streams::streams(tx, realm_id, viewer, with_members)?.value;
    Ok(Stamped { as_of, value: Registration { realm_name, users, streams, max_message_id } })
}
