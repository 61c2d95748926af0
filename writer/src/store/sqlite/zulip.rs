//! What Zulip's clients need beyond messages and who sees them.

use rusqlite::{OptionalExtension as _, Transaction, params};
use squall_bus::BoxFuture;
use squall_protocol::{MessageId, RealmId, StreamId, UserId};
use squall_zulip::names::KnownNames;

use super::{Failure, SqliteStore, extras, messages, realm, streams, unread};
use crate::limits::UNREAD_MAX;
use crate::secret::random_secret;
use crate::store::clauses::received;
use crate::store::{
    EditedMessage, HistoryPage, NameQuery, Own, Registration, Stamped, StoreError, ZulipStore,
};

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

    fn message(
        &self,
        realm_id: RealmId,
        viewer: UserId,
        message_id: MessageId,
    ) -> BoxFuture<'_, Result<Stamped<HistoryPage>, StoreError>> {
        Box::pin(self.read(move |tx| messages::one(tx, realm_id, viewer, message_id)))
    }

    fn edits(
        &self,
        realm_id: RealmId,
        viewer: UserId,
        message_id: MessageId,
    ) -> BoxFuture<'_, Result<Vec<EditedMessage>, StoreError>> {
        Box::pin(self.read(move |tx| {
            let page = messages::one(tx, realm_id, viewer, message_id)?.value;
            if page.messages.is_empty() { Ok(Vec::new()) } else { extras::edits(tx, message_id) }
        }))
    }

    fn names(&self, realm_id: RealmId, query: NameQuery) -> BoxFuture<'_, Result<KnownNames, StoreError>> {
        Box::pin(self.read(move |tx| messages::names(tx, realm_id, &query)))
    }

    fn subscription_settings(
        &self,
        user_id: UserId,
    ) -> BoxFuture<'_, Result<Vec<(StreamId, String, String)>, StoreError>> {
        Box::pin(self.read(move |tx| subscription_settings(tx, user_id)))
    }

    fn raise_floor(&self, user_id: UserId, floor: MessageId) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.write(move |tx| unread::raise_floor(tx, user_id, floor)))
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
            "SELECT m.message_id FROM messages AS m WHERE m.realm_id = ?1 AND {}
             ORDER BY m.message_id DESC LIMIT 1",
            received!("?2")
        ))?
        .query_row(params![realm_id.0, viewer.0], |row| Ok(MessageId(row.get(0)?)))
        .optional()?;
    let streams = streams::streams(tx, realm_id, viewer, with_members)?.value;
    let own = own(tx, realm_id, viewer)?;
    Ok(Stamped { as_of, value: Registration { realm_name, users, streams, max_message_id, own } })
}

fn own(tx: &Transaction<'_>, realm_id: RealmId, viewer: UserId) -> Result<Own, Failure> {
    let mut starred =
        tx.prepare_cached("SELECT message_id FROM stars WHERE user_id = ?1 ORDER BY message_id")?;
    let starred = starred.query_map([viewer.0], |row| Ok(MessageId(row.get(0)?)))?;
    let mut policies = tx.prepare_cached(
        "SELECT stream_id, topic, policy, updated_s FROM topic_policies WHERE user_id = ?1
         ORDER BY stream_id, topic_key",
    )?;
    let policies = policies
        .query_map([viewer.0], |row| Ok((StreamId(row.get(0)?), row.get(1)?, row.get(2)?, row.get(3)?)))?;
    let mut settings =
        tx.prepare_cached("SELECT name, value FROM user_settings WHERE user_id = ?1 ORDER BY name")?;
    let settings = settings.query_map([viewer.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Own {
        unread: unread::newest(tx, realm_id, viewer, UNREAD_MAX)?,
        starred: starred.collect::<Result<_, _>>()?,
        topic_policies: policies.collect::<Result<_, _>>()?,
        subscriptions: subscription_settings(tx, viewer)?,
        settings: settings.collect::<Result<_, _>>()?,
    })
}

fn subscription_settings(
    tx: &Transaction<'_>,
    user_id: UserId,
) -> Result<Vec<(StreamId, String, String)>, Failure> {
    let mut select = tx.prepare_cached(
        "SELECT stream_id, name, value FROM subscription_settings WHERE user_id = ?1 ORDER BY stream_id, name",
    )?;
    let settings =
        select.query_map([user_id.0], |row| Ok((StreamId(row.get(0)?), row.get(1)?, row.get(2)?)))?;
    Ok(settings.collect::<Result<_, _>>()?)
}
