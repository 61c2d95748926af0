//! Realms and users.

use rusqlite::{OptionalExtension as _, Row, Transaction, params};
use squall_protocol::event::User;
use squall_protocol::link::LastHeard;
use squall_protocol::{Epoch, RealmId, UserId};

use super::Failure;
use super::rows::{USER, head, position, user};
use crate::clock::now_s;
use crate::secret::KeyHash;
use crate::store::{Account, Realm, Stamped};
use crate::text;

pub(super) fn create(tx: &Transaction<'_>, name: &str, epoch: Epoch) -> Result<Option<RealmId>, Failure> {
    let mut insert = tx.prepare_cached(
        "INSERT INTO realms (name, name_key, epoch, created_s) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (name_key) DO NOTHING RETURNING realm_id",
    )?;
    let realm_id = insert.query_row(params![name, text::key(name), epoch.0, now_s()], |row| row.get(0));
    Ok(realm_id.optional()?.map(RealmId))
}

pub(super) fn all(tx: &Transaction<'_>) -> Result<Vec<Realm>, Failure> {
    let mut select = tx.prepare_cached("SELECT realm_id, name FROM realms ORDER BY realm_id")?;
    let realm = |row: &Row<'_>| Ok(Realm { realm_id: RealmId(row.get(0)?), name: row.get(1)? });
    select.query_map([], realm)?.map(|realm| Ok(realm?)).collect()
}

pub(super) fn account(tx: &Transaction<'_>, key: KeyHash) -> Result<Option<Account>, Failure> {
    let mut select = tx.prepare_cached(&format!(
        "SELECT {USER}, r.realm_id, r.name, r.epoch, r.head_sequence, r.head_mark
         FROM users AS u JOIN realms AS r USING (realm_id) WHERE u.key_hash = ?1 AND u.is_active"
    ))?;
    let account = |row: &Row<'_>| {
        let realm = Realm { realm_id: RealmId(row.get(6)?), name: row.get(7)? };
        Ok(Account { realm, user: user(row)?, as_of: position(row, 8)? })
    };
    Ok(select.query_row([key.0], account).optional()?)
}

pub(super) fn users(tx: &Transaction<'_>, realm_id: RealmId) -> Result<Stamped<Vec<User>>, Failure> {
    let as_of = head(tx, realm_id)?;
    let mut select =
        tx.prepare_cached(&format!("SELECT {USER} FROM users AS u WHERE realm_id = ?1 ORDER BY user_id"))?;
    let users = select.query_map([realm_id.0], user)?.collect::<Result<_, _>>()?;
    Ok(Stamped { as_of, value: users })
}

pub(super) fn users_by_email(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    emails: &[String],
) -> Result<Vec<Option<User>>, Failure> {
    let mut select =
        tx.prepare_cached(&format!("SELECT {USER} FROM users AS u WHERE realm_id = ?1 AND email_key = ?2"))?;
    let mut find = |email: &String| {
        let email_key = text::key(email.trim());
        Ok(select.query_row(params![realm_id.0, email_key], user).optional()?)
    };
    emails.iter().map(&mut find).collect()
}

pub(super) fn users_by_id(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    user_ids: &[UserId],
) -> Result<Stamped<Vec<Option<User>>>, Failure> {
    let as_of = head(tx, realm_id)?;
    let mut select =
        tx.prepare_cached(&format!("SELECT {USER} FROM users AS u WHERE realm_id = ?1 AND user_id = ?2"))?;
    let mut find =
        |user_id: &UserId| Ok(select.query_row(params![realm_id.0, user_id.0], user).optional()?);
    let users = user_ids.iter().map(&mut find).collect::<Result<_, Failure>>()?;
    Ok(Stamped { as_of, value: users })
}

pub(super) fn store_last_heard(tx: &Transaction<'_>, heard: &[LastHeard]) -> Result<(), Failure> {
    // Whoever is unknown by now is left out.
    let mut upsert = tx.prepare_cached(
        "INSERT INTO last_heard (user_id, last_heard_s) SELECT user_id, ?2 FROM users WHERE user_id = ?1
         ON CONFLICT (user_id) DO UPDATE SET last_heard_s = max(last_heard_s, excluded.last_heard_s)",
    )?;
    for LastHeard { user_id, last_heard_s } in heard {
        upsert.execute(params![user_id.0, last_heard_s])?;
    }
    Ok(())
}
