//! What Zulip's clients need beyond messages and who sees them.

use squall_bus::BoxFuture;
use squall_protocol::{MessageId, RealmId, StreamId, UserId};
use squall_zulip::names::KnownNames;

use super::PostgresStore;
use super::connection::{BEGIN_SNAPSHOT, COMMIT, Connection};
use super::failure::Failure;
use super::rows::{HEAD, all, big, column, head, message_id, number, stream_id, user};
use super::{extras, messages, realm, streams, unread};
use crate::limits::UNREAD_MAX;
use crate::secret::random_secret;
use crate::store::clauses::received;
use crate::store::{
    EditedMessage, HistoryPage, NameQuery, Own, Registration, Stamped, StoreError, ZulipStore,
};

impl ZulipStore for PostgresStore {
    fn queue_secret(&self) -> BoxFuture<'_, Result<[u8; 32], StoreError>> {
        Box::pin(self.write(|c| Box::pin(queue_secret(c))))
    }

    fn registration(
        &self,
        realm_id: RealmId,
        viewer: UserId,
        with_members: bool,
    ) -> BoxFuture<'_, Result<Stamped<Registration>, StoreError>> {
        Box::pin(self.read(move |c| Box::pin(registration(c, realm_id, viewer, with_members))))
    }

    fn message(
        &self,
        realm_id: RealmId,
        viewer: UserId,
        message_id: MessageId,
    ) -> BoxFuture<'_, Result<Stamped<HistoryPage>, StoreError>> {
        Box::pin(self.read(move |c| Box::pin(messages::one(c, realm_id, viewer, message_id))))
    }

    fn edits(
        &self,
        realm_id: RealmId,
        viewer: UserId,
        message_id: MessageId,
    ) -> BoxFuture<'_, Result<Vec<EditedMessage>, StoreError>> {
        Box::pin(self.read(move |c| {
            Box::pin(async move {
                let page = messages::one(c, realm_id, viewer, message_id).await?.value;
                if page.messages.is_empty() { Ok(Vec::new()) } else { extras::edits(c, message_id).await }
            })
        }))
    }

    fn names(&self, realm_id: RealmId, query: NameQuery) -> BoxFuture<'_, Result<KnownNames, StoreError>> {
        Box::pin(self.read(move |c| Box::pin(async move { messages::names(c, realm_id, &query).await })))
    }

    fn subscription_settings(
        &self,
        user_id: UserId,
    ) -> BoxFuture<'_, Result<Vec<(StreamId, String, String)>, StoreError>> {
        Box::pin(self.read(move |c| Box::pin(subscription_settings(c, user_id))))
    }

    fn raise_floor(&self, user_id: UserId, floor: MessageId) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.write(move |c| Box::pin(unread::raise_floor(c, user_id, floor))))
    }
}

/// Of several writers that make it at once one's is kept.
const MAKE_SECRET: &str =
    "INSERT INTO secrets (name, secret) VALUES ('queue', $1) ON CONFLICT (name) DO NOTHING";

const SECRET: &str = "SELECT secret FROM secrets WHERE name = 'queue'";

async fn queue_secret(c: &Connection) -> Result<[u8; 32], Failure> {
    if c.query(SECRET, []).await?.is_empty() {
        c.execute(MAKE_SECRET, [&&random_secret()[..]]).await?;
    }
    let rows = c.query(SECRET, []).await?;
    let secret: &[u8] = rows.first().map_or(Ok(&[][..]), |row| column(row, 0))?;
    secret.try_into().map_err(|_| Failure::Row("no secret of queues".into()))
}

const NAME: &str = "SELECT name FROM realms WHERE realm_id = $1";

const NEWEST: &str = concat!(
    "SELECT m.message_id FROM messages AS m WHERE m.realm_id = $1 AND ",
    received!("$2"),
    " ORDER BY m.message_id DESC LIMIT 1"
);

async fn registration(
    c: &Connection,
    realm_id: RealmId,
    viewer: UserId,
    with_members: bool,
) -> Result<Stamped<Registration>, Failure> {
    c.prepare(&[HEAD, realm::USERS, NAME, NEWEST]).await?;
    let (realm, viewer_id) = (big(realm_id.0), big(viewer.0));
    let ((), heads, users, name, newest) = tokio::try_join!(
        biased;
        c.batch(BEGIN_SNAPSHOT),
        c.query(HEAD, [&realm]),
        c.query(realm::USERS, [&realm]),
        c.query(NAME, [&realm]),
        c.query(NEWEST, [&realm, &viewer_id]),
    )?;
    let as_of = head(&heads, realm_id)?;
    let streams = streams::views(c, realm_id, viewer, with_members).await?;
    let own = own(c, realm_id, viewer).await?;
    c.batch(COMMIT).await?;
    let value = Registration {
        realm_name: name.first().map_or(Ok(String::new()), |row| column(row, 0))?,
        users: all(&users, user)?,
        streams,
        max_message_id: newest.first().map(|row| message_id(row, 0)).transpose()?,
        own,
    };
    Ok(Stamped { as_of, value })
}

const STARRED: &str = "SELECT message_id FROM stars WHERE user_id = $1 ORDER BY message_id";

const TOPIC_POLICIES: &str =
    "SELECT stream_id, topic, policy, updated_s FROM topic_policies WHERE user_id = $1
     ORDER BY stream_id, topic_key";

const SETTINGS: &str = "SELECT name, value FROM user_settings WHERE user_id = $1 ORDER BY name COLLATE \"C\"";

async fn own(c: &Connection, realm_id: RealmId, viewer: UserId) -> Result<Own, Failure> {
    let user = big(viewer.0);
    let starred = c.query(STARRED, [&user]).await?;
    let policies = c.query(TOPIC_POLICIES, [&user]).await?;
    let settings = c.query(SETTINGS, [&user]).await?;
    Ok(Own {
        unread: unread::newest(c, realm_id, viewer, UNREAD_MAX).await?,
        starred: all(&starred, |row| message_id(row, 0))?,
        topic_policies: all(&policies, |row| {
            let policy: i32 = column(row, 2)?;
            let policy = u32::try_from(policy).map_err(|_| Failure::Row(format!("no policy: {policy}")))?;
            Ok((stream_id(row, 0)?, column(row, 1)?, policy, number(row, 3)?))
        })?,
        subscriptions: subscription_settings(c, viewer).await?,
        settings: all(&settings, |row| Ok((column(row, 0)?, column(row, 1)?)))?,
    })
}

const SUBSCRIPTION_SETTINGS: &str = "SELECT stream_id, name, value FROM subscription_settings
     WHERE user_id = $1 ORDER BY stream_id, name COLLATE \"C\"";

async fn subscription_settings(
    c: &Connection,
    user_id: UserId,
) -> Result<Vec<(StreamId, String, String)>, Failure> {
    let rows = c.query(SUBSCRIPTION_SETTINGS, [&big(user_id.0)]).await?;
    all(&rows, |row| Ok((stream_id(row, 0)?, column(row, 1)?, column(row, 2)?)))
}
