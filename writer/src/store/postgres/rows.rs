//! Rows to types and back.

use squall_protocol::event::{EventKind, Stream, User};
use squall_protocol::link::EventRecord;
use squall_protocol::{Epoch, Mark, MessageId, Position, RealmId, Sequence, StreamId, UserId};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::failure::Failure;
use crate::store::columns::role_named;

/// A user's columns, in the order that [`user`] reads.
macro_rules! user_columns {
    () => {
        "u.user_id, u.email, u.full_name, u.role, u.is_bot, u.is_active"
    };
}
pub(super) use user_columns;

/// A stream's columns, in the order that [`stream`] reads.
macro_rules! stream_columns {
    () => {
        "s.stream_id, s.name, s.description, s.invite_only"
    };
}
pub(super) use stream_columns;

/// The realm's head, for [`head`].
pub(super) const HEAD: &str = "SELECT epoch, head_sequence, head_mark FROM realms WHERE realm_id = $1";

/// The user in the first six columns.
pub(super) fn user(row: &Row) -> Result<User, Failure> {
    let role: &str = column(row, 3)?;
    Ok(User {
        user_id: user_id(row, 0)?,
        email: column(row, 1)?,
        full_name: column(row, 2)?,
        role: role_named(role).ok_or_else(|| Failure::Row(format!("no role: {role}")))?,
        is_bot: column(row, 4)?,
        is_active: column(row, 5)?,
    })
}

/// The stream in the first four columns.
pub(super) fn stream(row: &Row) -> Result<Stream, Failure> {
    Ok(Stream {
        stream_id: stream_id(row, 0)?,
        name: column(row, 1)?,
        description: column(row, 2)?,
        invite_only: column(row, 3)?,
    })
}

/// The realm's head: what [`HEAD`] brought.
pub(super) fn head(rows: &[Row], realm_id: RealmId) -> Result<Position, Failure> {
    position(rows.first().ok_or(Failure::UnknownRealm(realm_id))?, 0)
}

/// The position in three columns from `first` on.
pub(super) fn position(row: &Row, first: usize) -> Result<Position, Failure> {
    Ok(Position {
        epoch: Epoch(number(row, first)?),
        sequence: sequence(row, first + 1)?,
        mark: mark(row, first + 2)?,
    })
}

/// An event of the log: sequence, mark, kind, changes_state, audience, body.
pub(super) fn event(row: &Row) -> Result<EventRecord, Failure> {
    let kind: i32 = column(row, 2)?;
    let audience: &str = column(row, 4)?;
    let body: String = column(row, 5)?;
    Ok(EventRecord {
        sequence: sequence(row, 0)?,
        mark: mark(row, 1)?,
        kind: EventKind(u16::try_from(kind).map_err(|_| Failure::Row(format!("no kind of event: {kind}")))?),
        changes_state: column(row, 3)?,
        // An audience of a newer version is nobody, not an error that stops the log.
        audience: serde_json::from_str(audience).unwrap_or_default(),
        body: body.into(),
    })
}

/// Each row, read by `read`.
pub(super) fn all<'a, T, C: FromIterator<T>>(
    rows: impl IntoIterator<Item = &'a Row>,
    read: impl FnMut(&'a Row) -> Result<T, Failure>,
) -> Result<C, Failure> {
    rows.into_iter().map(read).collect()
}

pub(super) fn column<'a, T: FromSql<'a>>(row: &'a Row, index: usize) -> Result<T, Failure> {
    row.try_get(index).map_err(|error| Failure::Row(error.to_string()))
}

pub(super) fn number(row: &Row, index: usize) -> Result<u64, Failure> {
    unsigned(column(row, index)?)
}

pub(super) fn optional_number(row: &Row, index: usize) -> Result<Option<u64>, Failure> {
    let value: Option<i64> = column(row, index)?;
    value.map(unsigned).transpose()
}

pub(super) fn realm_id(row: &Row, index: usize) -> Result<RealmId, Failure> {
    number(row, index).map(RealmId)
}

pub(super) fn user_id(row: &Row, index: usize) -> Result<UserId, Failure> {
    let id: i64 = column(row, index)?;
    u32::try_from(id).map(UserId).map_err(|_| Failure::Row(format!("no user id: {id}")))
}

pub(super) fn stream_id(row: &Row, index: usize) -> Result<StreamId, Failure> {
    number(row, index).map(StreamId)
}

pub(super) fn message_id(row: &Row, index: usize) -> Result<MessageId, Failure> {
    number(row, index).map(MessageId)
}

pub(super) fn sequence(row: &Row, index: usize) -> Result<Sequence, Failure> {
    number(row, index).map(Sequence)
}

pub(super) fn mark(row: &Row, index: usize) -> Result<Mark, Failure> {
    let mark: i64 = column(row, index)?;
    u32::try_from(mark).map(Mark).map_err(|_| Failure::Row(format!("no mark: {mark}")))
}

fn unsigned(value: i64) -> Result<u64, Failure> {
    u64::try_from(value).map_err(|_| Failure::Row(format!("not a number from 0 on: {value}")))
}

/// A number as a parameter. All of ours are below 2^53; what is not is no row's.
pub(super) fn big(number: impl Into<u64>) -> i64 {
    i64::try_from(number.into()).unwrap_or(i64::MAX)
}

/// Numbers as one parameter.
pub(super) fn bigs<N: Into<u64>>(numbers: impl IntoIterator<Item = N>) -> Vec<i64> {
    numbers.into_iter().map(big).collect()
}

/// A text to look for. PostgreSQL's have no NUL, and no name that is stored has a control character: one with a
/// NUL becomes one that nothing is equal to.
pub(super) fn wanted(text: &str) -> String {
    text.replace('\0', "\u{1}")
}
