//! Realms and users.

use std::collections::{BTreeMap, HashMap};

use squall_protocol::event::User;
use squall_protocol::link::LastHeard;
use squall_protocol::{Epoch, RealmId, UserId};
use tokio_postgres::Row;

use super::connection::{BEGIN_SNAPSHOT, COMMIT, Connection};
use super::failure::Failure;
use super::rows::{
    HEAD, all, big, bigs, column, head, position, realm_id as read_realm_id, user, user_columns, wanted,
};
use crate::clock::now_s;
use crate::secret::KeyHash;
use crate::store::{Account, Realm, Stamped};
use crate::text;

const CREATE: &str = "INSERT INTO realms (name, name_key, epoch, created_s) VALUES ($1, $2, $3, $4)
     ON CONFLICT (name_key) DO NOTHING RETURNING realm_id";

pub(super) async fn create(c: &Connection, name: &str, epoch: Epoch) -> Result<Option<RealmId>, Failure> {
    let parameters: [super::connection::Parameter<'_>; 4] =
        [&name, &text::key(name), &big(epoch.0), &big(now_s())];
    let rows = c.query(CREATE, parameters).await?;
    rows.first().map(|row| read_realm_id(row, 0)).transpose()
}

const ALL: &str = "SELECT realm_id, name FROM realms ORDER BY realm_id";

pub(super) async fn realms(c: &Connection) -> Result<Vec<Realm>, Failure> {
    let rows = c.query(ALL, []).await?;
    all(&rows, |row| Ok(Realm { realm_id: read_realm_id(row, 0)?, name: column(row, 1)? }))
}

const ACCOUNT: &str =
    "SELECT u.user_id, u.email, u.full_name, u.role, u.is_bot, u.is_active, r.realm_id, r.name,
     r.epoch, r.head_sequence, r.head_mark
     FROM users AS u JOIN realms AS r USING (realm_id) WHERE u.key_hash = $1 AND u.is_active";

pub(super) async fn account(c: &Connection, key: KeyHash) -> Result<Option<Account>, Failure> {
    let rows = c.query(ACCOUNT, [&&key.0[..]]).await?;
    rows.first().map(read_account).transpose()
}

const ACCOUNTS: &str =
    "SELECT u.user_id, u.email, u.full_name, u.role, u.is_bot, u.is_active, r.realm_id, r.name,
     r.epoch, r.head_sequence, r.head_mark, u.key_hash
     FROM users AS u JOIN realms AS r USING (realm_id) WHERE u.key_hash = ANY ($1) AND u.is_active";

pub(super) async fn accounts(c: &Connection, keys: &[KeyHash]) -> Result<Vec<Option<Account>>, Failure> {
    let hashes: Vec<&[u8]> = keys.iter().map(|key| &key.0[..]).collect();
    let rows = c.query(ACCOUNTS, [&hashes]).await?;
    let named = |row: &Row| Ok((column::<Vec<u8>>(row, 11)?, read_account(row)?));
    let found: HashMap<_, _> = all(&rows, named)?;
    Ok(keys.iter().map(|key| found.get(&key.0[..]).cloned()).collect())
}

fn read_account(row: &Row) -> Result<Account, Failure> {
    let realm = Realm { realm_id: read_realm_id(row, 6)?, name: column(row, 7)? };
    Ok(Account { realm, user: user(row)?, as_of: position(row, 8)? })
}

pub(super) const USERS: &str = concat!(
    "SELECT ",
    user_columns!(),
    " FROM users AS u
     WHERE realm_id = $1 ORDER BY user_id"
);

pub(super) async fn users(c: &Connection, realm_id: RealmId) -> Result<Stamped<Vec<User>>, Failure> {
    c.prepare(&[HEAD, USERS]).await?;
    let realm = big(realm_id.0);
    let ((), heads, users, ()) = tokio::try_join!(
        biased;
        c.batch(BEGIN_SNAPSHOT),
        c.query(HEAD, [&realm]),
        c.query(USERS, [&realm]),
        c.batch(COMMIT),
    )?;
    Ok(Stamped { as_of: head(&heads, realm_id)?, value: all(&users, user)? })
}

const BY_EMAIL: &str = concat!(
    "SELECT ",
    user_columns!(),
    " FROM users AS u
     WHERE realm_id = $1 AND email_key = ANY ($2)"
);

pub(super) async fn users_by_email(
    c: &Connection,
    realm_id: RealmId,
    emails: &[String],
) -> Result<Vec<Option<User>>, Failure> {
    let keys: Vec<String> = emails.iter().map(|email| wanted(&text::key(email.trim()))).collect();
    let rows = c.query(BY_EMAIL, [&big(realm_id.0), &keys]).await?;
    let found: HashMap<String, User> =
        all(&rows, |row| user(row).map(|user| (text::key(&user.email), user)))?;
    Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
}

const BY_ID: &str = concat!(
    "SELECT ",
    user_columns!(),
    " FROM users AS u
     WHERE user_id = ANY ($2) AND realm_id = $1"
);

pub(super) async fn users_by_id(
    c: &Connection,
    realm_id: RealmId,
    user_ids: &[UserId],
) -> Result<Stamped<Vec<Option<User>>>, Failure> {
    c.prepare(&[HEAD, BY_ID]).await?;
    let (realm, ids) = (big(realm_id.0), bigs(user_ids.iter().map(|user_id| user_id.0)));
    let ((), heads, rows, ()) = tokio::try_join!(
        biased;
        c.batch(BEGIN_SNAPSHOT),
        c.query(HEAD, [&realm]),
        c.query(BY_ID, [&realm, &ids]),
        c.batch(COMMIT),
    )?;
    let found: HashMap<UserId, User> = all(&rows, |row| user(row).map(|user| (user.user_id, user)))?;
    let value = user_ids.iter().map(|user_id| found.get(user_id).cloned()).collect();
    Ok(Stamped { as_of: head(&heads, realm_id)?, value })
}

/// Whoever is unknown by now is left out. In the order of ids: two who store the same users wait for each other in
/// one direction only.
const STORE_LAST_HEARD: &str = "INSERT INTO last_heard (user_id, last_heard_s)
     SELECT u.user_id, n.last_heard_s FROM unnest($1::bigint[], $2::bigint[]) AS n (user_id, last_heard_s)
     JOIN users AS u USING (user_id) ORDER BY u.user_id
     ON CONFLICT (user_id) DO UPDATE SET last_heard_s = excluded.last_heard_s
     WHERE last_heard.last_heard_s < excluded.last_heard_s";

pub(super) async fn store_last_heard(c: &Connection, heard: &[LastHeard]) -> Result<(), Failure> {
    let mut latest: BTreeMap<UserId, u64> = BTreeMap::new();
    for LastHeard { user_id, last_heard_s } in heard {
        let known = latest.entry(*user_id).or_default();
        *known = (*known).max(*last_heard_s);
    }
    let (users, times): (Vec<i64>, Vec<i64>) =
        latest.iter().map(|(user_id, time)| (big(user_id.0), big(*time))).unzip();
    c.execute(STORE_LAST_HEARD, [&users, &times]).await?;
    Ok(())
}
