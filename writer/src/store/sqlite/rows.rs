//! Rows to types and back.

use rusqlite::types::Type;
use rusqlite::{OptionalExtension as _, Row, Transaction};
use squall_protocol::event::{Role, Stream, User};
use squall_protocol::{Epoch, Mark, Position, RealmId, Sequence, StreamId, UserId};

use super::Failure;
use crate::store::columns::role_named;

/// A user's columns, in the order that [`user`] reads.
pub(super) const USER: &str = "u.user_id, u.email, u.full_name, u.role, u.is_bot, u.is_active";

/// A stream's columns, in the order that [`stream`] reads.
pub(super) const STREAM: &str = "s.stream_id, s.name, s.description, s.invite_only";

/// The user in the first six columns.
pub(super) fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        user_id: UserId(row.get(0)?),
        email: row.get(1)?,
        full_name: row.get(2)?,
        role: role(row, 3)?,
        is_bot: row.get(4)?,
        is_active: row.get(5)?,
    })
}

/// The stream in the first four columns.
pub(super) fn stream(row: &Row<'_>) -> rusqlite::Result<Stream> {
    Ok(Stream {
        stream_id: StreamId(row.get(0)?),
        name: row.get(1)?,
        description: row.get(2)?,
        invite_only: row.get(3)?,
    })
}

fn role(row: &Row<'_>, column: usize) -> rusqlite::Result<Role> {
    let name = row.get_ref(column)?.as_str()?;
    role_named(name).ok_or_else(|| {
        let error = format!("no role: {name}");
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
    })
}

/// The realm's head. In a read it comes first: it begins the snapshot.
pub(super) fn head(tx: &Transaction<'_>, realm_id: RealmId) -> Result<Position, Failure> {
    let mut statement =
        tx.prepare_cached("SELECT epoch, head_sequence, head_mark FROM realms WHERE realm_id = ?1")?;
    let head = statement.query_row([realm_id.0], |row| position(row, 0)).optional()?;
    head.ok_or(Failure::UnknownRealm(realm_id))
}

/// The position in three columns from `first` on.
pub(super) fn position(row: &Row<'_>, first: usize) -> rusqlite::Result<Position> {
    Ok(Position {
        epoch: Epoch(row.get(first)?),
        sequence: Sequence(row.get(first + 1)?),
        mark: Mark(row.get(first + 2)?),
    })
}

/// A set as one parameter, for `json_each`.
pub(super) fn json<T: serde::Serialize>(items: impl IntoIterator<Item = T>) -> Result<String, Failure> {
    let items: Vec<T> = items.into_iter().collect();
    serde_json::to_string(&items).map_err(|error| Failure::Row(error.to_string()))
}
