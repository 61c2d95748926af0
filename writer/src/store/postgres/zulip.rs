//! What Zulip's clients need beyond messages and who sees them.

use squall_bus::BoxFuture;
use squall_protocol::{RealmId, UserId};

use super::PostgresStore;
use super::connection::{BEGIN_SNAPSHOT, COMMIT, Connection};
use super::failure::Failure;
use super::messages::received;
use super::rows::{HEAD, all, big, column, head, message_id, user};
use super::{realm, streams};
use crate::secret::random_secret;
use crate::store::{Registration, Stamped, StoreError, ZulipStore};

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
    received!(),
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
    c.batch(COMMIT).await?;
    let value = Registration {
        realm_name: name.first().map_or(Ok(String::new()), |row| column(row, 0))?,
        users: all(&users, user)?,
        streams,
        max_message_id: newest.first().map(|row| message_id(row, 0)).transpose()?,
    };
    Ok(Stamped { as_of, value })
}
