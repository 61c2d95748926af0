//! Streams and members, as one user may see them.

use std::collections::HashMap;

use squall_protocol::{RealmId, StreamId, UserId};
use tokio_postgres::Row;

use super::connection::{BEGIN_SNAPSHOT, COMMIT, Connection};
use super::failure::Failure;
use super::rows::{
    HEAD, all, big, bigs, column, head, number, stream as stream_row, stream_id, user_id, wanted,
};
use crate::store::access::Access;
use crate::store::{Stamped, StreamRef, StreamView};
use crate::text;

/// That user $2 is a guest of realm $1, or not of the realm: whoever is not is shown least.
macro_rules! guest {
    () => {
        "NOT EXISTS (SELECT 1 FROM users AS v WHERE v.user_id = $2 AND v.realm_id = $1 AND v.role <> 'guest')"
    };
}

/// Streams of realm $1 that user $2 may know of.
macro_rules! view {
    ($and:literal) => {
        concat!(
            "SELECT s.stream_id, s.name, s.description, s.invite_only, s.created_s, m.user_id IS NOT NULL
             FROM streams AS s LEFT JOIN members AS m
             ON m.realm_id = s.realm_id AND m.stream_id = s.stream_id AND m.user_id = $2 AND m.to_sequence IS NULL
             WHERE s.realm_id = $1 AND (m.user_id IS NOT NULL OR NOT (s.invite_only OR ",
            guest!(),
            "))",
            $and
        )
    };
}

const STREAMS: &str = view!(" ORDER BY s.stream_id");
const STREAM_BY_ID: &str = view!(" AND s.stream_id = $3");
const STREAM_BY_NAME: &str = view!(" AND s.name_key = $3");

const MEMBERS_OF: &str = "SELECT stream_id, user_id FROM members
     WHERE realm_id = $1 AND stream_id = ANY ($2) AND to_sequence IS NULL ORDER BY stream_id, user_id";

pub(super) async fn streams(
    c: &Connection,
    realm_id: RealmId,
    viewer: UserId,
    with_members: bool,
) -> Result<Stamped<Vec<StreamView>>, Failure> {
    c.prepare(&[HEAD, STREAMS]).await?;
    let (realm, user) = (big(realm_id.0), big(viewer.0));
    let ((), heads, rows) = tokio::try_join!(
        biased;
        c.batch(BEGIN_SNAPSHOT),
        c.query(HEAD, [&realm]),
        c.query(STREAMS, [&realm, &user]),
    )?;
    let as_of = head(&heads, realm_id)?;
    let views = with_members_of(c, realm, all(&rows, view)?, with_members).await?;
    c.batch(COMMIT).await?;
    Ok(Stamped { as_of, value: views })
}

/// The streams in a snapshot that was begun.
pub(super) async fn views(
    c: &Connection,
    realm_id: RealmId,
    viewer: UserId,
    with_members: bool,
) -> Result<Vec<StreamView>, Failure> {
    let (realm, user) = (big(realm_id.0), big(viewer.0));
    let rows = c.query(STREAMS, [&realm, &user]).await?;
    with_members_of(c, realm, all(&rows, view)?, with_members).await
}

async fn with_members_of(
    c: &Connection,
    realm: i64,
    mut views: Vec<StreamView>,
    with_members: bool,
) -> Result<Vec<StreamView>, Failure> {
    if with_members {
        let own = views.iter().filter(|view| view.subscribed).map(|view| view.stream.stream_id.0);
        let rows = c.query(MEMBERS_OF, [&realm, &bigs(own)]).await?;
        let mut members: HashMap<StreamId, Vec<UserId>> = HashMap::new();
        for row in &rows {
            members.entry(stream_id(row, 0)?).or_default().push(user_id(row, 1)?);
        }
        for view in &mut views {
            view.members = members.remove(&view.stream.stream_id).unwrap_or_default();
        }
    }
    Ok(views)
}

pub(super) async fn stream(
    c: &Connection,
    realm_id: RealmId,
    viewer: UserId,
    stream: &StreamRef,
) -> Result<Stamped<Option<StreamView>>, Failure> {
    c.prepare(&[HEAD, STREAM_BY_ID, STREAM_BY_NAME]).await?;
    let (realm, user) = (big(realm_id.0), big(viewer.0));
    let find = async {
        match stream {
            StreamRef::Id(stream_id) => c.query(STREAM_BY_ID, [&realm, &user, &big(stream_id.0)]).await,
            StreamRef::Name(name) => {
                c.query(STREAM_BY_NAME, [&realm, &user, &wanted(&text::key(name.trim()))]).await
            }
        }
    };
    let ((), heads, rows, ()) = tokio::try_join!(
        biased;
        c.batch(BEGIN_SNAPSHOT),
        c.query(HEAD, [&realm]),
        find,
        c.batch(COMMIT),
    )?;
    Ok(Stamped { as_of: head(&heads, realm_id)?, value: rows.first().map(view).transpose()? })
}

fn view(row: &Row) -> Result<StreamView, Failure> {
    let (created_s, subscribed) = (number(row, 4)?, column(row, 5)?);
    Ok(StreamView { stream: stream_row(row)?, created_s, subscribed, members: Vec::new() })
}

pub(super) async fn members(
    c: &Connection,
    realm_id: RealmId,
    viewer: UserId,
    stream_id: StreamId,
) -> Result<Stamped<Option<Vec<UserId>>>, Failure> {
    c.prepare(&[HEAD, ACCESS, MEMBERS_OF]).await?;
    let (realm, user, stream) = (big(realm_id.0), big(viewer.0), big(stream_id.0));
    let streams = vec![stream];
    let ((), heads, found, rows, ()) = tokio::try_join!(
        biased;
        c.batch(BEGIN_SNAPSHOT),
        c.query(HEAD, [&realm]),
        c.query(ACCESS, [&realm, &user, &stream]),
        c.query(MEMBERS_OF, [&realm, &streams]),
        c.batch(COMMIT),
    )?;
    let as_of = head(&heads, realm_id)?;
    let value = match access(&found)? {
        Access::Unknown => None,
        Access::Intervals | Access::Whole => Some(all(&rows, |row| user_id(row, 1))?),
    };
    Ok(Stamped { as_of, value })
}

/// Whether stream $3 of realm $1 is invite-only, user $2 a member of it, and a guest; for [`access`].
pub(super) const ACCESS: &str = concat!(
    "SELECT s.invite_only, EXISTS (SELECT 1 FROM members AS m WHERE m.realm_id = $1
     AND m.stream_id = s.stream_id AND m.user_id = $2 AND m.to_sequence IS NULL), ",
    guest!(),
    " FROM streams AS s WHERE s.stream_id = $3 AND s.realm_id = $1"
);

/// What the user may see of the stream.
pub(super) fn access(rows: &[Row]) -> Result<Access, Failure> {
    let Some(row) = rows.first() else { return Ok(Access::Unknown) };
    Ok(Access::of(column(row, 0)?, column(row, 1)?, column(row, 2)?))
}
