//! Realm state in pages.

use rusqlite::{Row, Transaction, params};
use squall_protocol::event::Stream;
use squall_protocol::link::{PageCursor, RealmPage, UserRow};
use squall_protocol::{RealmId, Sequence, StreamId, UserId};

use super::Failure;
use super::rows::{STREAM, USER, head, stream, user};
use crate::store::page_cursor::Cursor;

pub(super) fn page(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    cursor: Option<PageCursor>,
    rows_max: usize,
) -> Result<RealmPage, Failure> {
    let as_of = head(tx, realm_id)?;
    let mut cursor = match cursor {
        None => Cursor::START,
        Some(cursor) => Cursor::parse(&cursor).map_err(Failure::Row)?,
    };
    let mut page = RealmPage { as_of, users: vec![], streams: vec![], members: vec![], next: None };
    let mut left = rows_max;
    if let Cursor::Users(after) = cursor {
        page.users = user_rows(tx, realm_id, after, left)?;
        left -= page.users.len();
        cursor = match page.users.last() {
            Some(last) if left == 0 => Cursor::Users(last.user.user_id.0),
            Some(_) | None => Cursor::Streams(0),
        };
    }
    if let (Cursor::Streams(after), 1..) = (cursor, left) {
        page.streams = stream_rows(tx, realm_id, after, left)?;
        left -= page.streams.len();
        cursor = match page.streams.last() {
            Some(last) if left == 0 => Cursor::Streams(last.stream_id.0),
            Some(_) | None => Cursor::Members(0, 0),
        };
    }
    if let (Cursor::Members(stream_id, user_id), 1..) = (cursor, left) {
        page.members = member_rows(tx, realm_id, (stream_id, user_id), left)?;
        left -= page.members.len();
        cursor = page.members.last().map_or(cursor, |last| Cursor::Members(last.0.0, last.1.0));
    }
    // A page with room left has come to the end.
    page.next = (left == 0).then(|| cursor.page_cursor());
    Ok(page)
}

fn user_rows(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    after: u32,
    limit: usize,
) -> Result<Vec<UserRow>, Failure> {
    let mut select = tx.prepare_cached(&format!(
        "SELECT {USER}, u.credential_changed, h.last_heard_s FROM users AS u
         LEFT JOIN last_heard AS h USING (user_id)
         WHERE u.realm_id = ?1 AND u.user_id > ?2 ORDER BY u.user_id LIMIT ?3"
    ))?;
    let row = |row: &Row<'_>| {
        let credential_changed = Sequence(row.get(6)?);
        Ok(UserRow { user: user(row)?, credential_changed, last_heard_s: row.get(7)? })
    };
    Ok(select.query_map(params![realm_id.0, after, limit], row)?.collect::<Result<_, _>>()?)
}

fn stream_rows(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    after: u64,
    limit: usize,
) -> Result<Vec<Stream>, Failure> {
    let mut select = tx.prepare_cached(&format!(
        "SELECT {STREAM} FROM streams AS s WHERE realm_id = ?1 AND stream_id > ?2 ORDER BY stream_id LIMIT ?3"
    ))?;
    Ok(select.query_map(params![realm_id.0, after, limit], stream)?.collect::<Result<_, _>>()?)
}

fn member_rows(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    after: (u64, u32),
    limit: usize,
) -> Result<Vec<(StreamId, UserId)>, Failure> {
    let mut select = tx.prepare_cached(
        "SELECT stream_id, user_id FROM members WHERE realm_id = ?1 AND (stream_id, user_id) > (?2, ?3)
         AND to_sequence IS NULL ORDER BY stream_id, user_id LIMIT ?4",
    )?;
    let row = |row: &Row<'_>| Ok((StreamId(row.get(0)?), UserId(row.get(1)?)));
    Ok(select.query_map(params![realm_id.0, after.0, after.1, limit], row)?.collect::<Result<_, _>>()?)
}
