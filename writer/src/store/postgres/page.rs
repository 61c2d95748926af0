//! Realm state in pages.

use squall_protocol::RealmId;
use squall_protocol::link::{PageCursor, RealmPage, UserRow};

use super::connection::{BEGIN_SNAPSHOT, COMMIT, Connection};
use super::failure::Failure;
use super::rows::{
    HEAD, all, big, head, optional_number, sequence, stream, stream_columns, stream_id, user, user_columns,
    user_id,
};
use crate::store::page_cursor::Cursor;

const USERS: &str = concat!(
    "SELECT ",
    user_columns!(),
    ",
     u.credential_changed, h.last_heard_s FROM users AS u LEFT JOIN last_heard AS h USING (user_id)
     WHERE u.realm_id = $1 AND u.user_id > $2 ORDER BY u.user_id LIMIT $3"
);

const STREAMS: &str = concat!(
    "SELECT ",
    stream_columns!(),
    " FROM streams AS s
     WHERE realm_id = $1 AND stream_id > $2 ORDER BY stream_id LIMIT $3"
);

const MEMBERS: &str = "SELECT stream_id, user_id FROM members
     WHERE realm_id = $1 AND (stream_id, user_id) > ($2, $3) AND to_sequence IS NULL
     ORDER BY stream_id, user_id LIMIT $4";

/// A page: users, then streams, then members, as far as there is room.
pub(super) async fn page(
    c: &Connection,
    realm_id: RealmId,
    cursor: Option<PageCursor>,
    rows_max: usize,
) -> Result<RealmPage, Failure> {
    let mut cursor = match cursor {
        None => Cursor::START,
        Some(cursor) => Cursor::parse(&cursor).map_err(Failure::Row)?,
    };
    c.prepare(&[HEAD]).await?;
    let realm = big(realm_id.0);
    let ((), heads) = tokio::try_join!(biased; c.batch(BEGIN_SNAPSHOT), c.query(HEAD, [&realm]))?;
    let as_of = head(&heads, realm_id)?;
    let mut page = RealmPage { as_of, users: vec![], streams: vec![], members: vec![], next: None };
    let mut left = rows_max;
    if let Cursor::Users(after) = cursor {
        let rows = c.query(USERS, [&realm, &big(after), &big(left as u64)]).await?;
        page.users = all(&rows, |row| {
            let credential_changed = sequence(row, 6)?;
            Ok(UserRow { user: user(row)?, credential_changed, last_heard_s: optional_number(row, 7)? })
        })?;
        left -= page.users.len();
        cursor = match page.users.last() {
            Some(last) if left == 0 => Cursor::Users(last.user.user_id.0),
            Some(_) | None => Cursor::Streams(0),
        };
    }
    if let (Cursor::Streams(after), 1..) = (cursor, left) {
        let rows = c.query(STREAMS, [&realm, &big(after), &big(left as u64)]).await?;
        page.streams = all(&rows, stream)?;
        left -= page.streams.len();
        cursor = match page.streams.last() {
            Some(last) if left == 0 => Cursor::Streams(last.stream_id.0),
            Some(_) | None => Cursor::Members(0, 0),
        };
    }
    if let (Cursor::Members(stream, user), 1..) = (cursor, left) {
        let rows = c.query(MEMBERS, [&realm, &big(stream), &big(user), &big(left as u64)]).await?;
        page.members = all(&rows, |row| Ok((stream_id(row, 0)?, user_id(row, 1)?)))?;
        left -= page.members.len();
        cursor = page.members.last().map_or(cursor, |last| Cursor::Members(last.0.0, last.1.0));
    }
    c.batch(COMMIT).await?;
    // A page with room left has come to the end.
    page.next = (left == 0).then(|| cursor.page_cursor());
    Ok(page)
}
