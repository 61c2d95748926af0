//! Streams and members, as one user may see them.

use rusqlite::{OptionalExtension as _, Row, Transaction, params};
use squall_protocol::event::Role;
use squall_protocol::{RealmId, StreamId, UserId};

use super::Failure;
use super::rows::{STREAM, USER, head, stream as stream_row, user};
use crate::store::access::Access;
use crate::store::{Stamped, StreamRef, StreamView};
use crate::text;

/// Streams of realm ?1 that user ?2, a guest if ?3, may know of.
const VIEW: &str = "s.created_s, m.user_id IS NOT NULL AS subscribed FROM streams AS s
     LEFT JOIN members AS m
     ON m.realm_id = s.realm_id AND m.stream_id = s.stream_id AND m.user_id = ?2 AND m.to_sequence IS NULL
     WHERE s.realm_id = ?1 AND (subscribed OR NOT (s.invite_only OR ?3))";

pub(super) fn streams(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    viewer: UserId,
    with_members: bool,
) -> Result<Stamped<Vec<StreamView>>, Failure> {
    let as_of = head(tx, realm_id)?;
    let guest = is_guest(tx, realm_id, viewer)?;
    let mut select = tx.prepare_cached(&format!("SELECT {STREAM}, {VIEW} ORDER BY s.stream_id"))?;
    let views = select.query_map(params![realm_id.0, viewer.0, guest], view)?;
    let mut views: Vec<StreamView> = views.collect::<Result<_, _>>()?;
    for view in views.iter_mut().filter(|view| with_members && view.subscribed) {
        view.members = members_of(tx, realm_id, view.stream.stream_id)?;
    }
    Ok(Stamped { as_of, value: views })
}

pub(super) fn stream(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    viewer: UserId,
    stream: &StreamRef,
) -> Result<Stamped<Option<StreamView>>, Failure> {
    let as_of = head(tx, realm_id)?;
    let guest = is_guest(tx, realm_id, viewer)?;
    let found = match stream {
        StreamRef::Id(stream_id) => tx
            .prepare_cached(&format!("SELECT {STREAM}, {VIEW} AND s.stream_id = ?4"))?
            .query_row(params![realm_id.0, viewer.0, guest, stream_id.0], view),
        StreamRef::Name(name) => tx
            .prepare_cached(&format!("SELECT {STREAM}, {VIEW} AND s.name_key = ?4"))?
            .query_row(params![realm_id.0, viewer.0, guest, text::key(name.trim())], view),
    };
    Ok(Stamped { as_of, value: found.optional()? })
}

fn view(row: &Row<'_>) -> rusqlite::Result<StreamView> {
    let (created_s, subscribed) = (row.get(4)?, row.get(5)?);
    Ok(StreamView { stream: stream_row(row)?, created_s, subscribed, members: Vec::new() })
}

pub(super) fn members(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    viewer: UserId,
    stream_id: StreamId,
) -> Result<Stamped<Option<Vec<UserId>>>, Failure> {
    let as_of = head(tx, realm_id)?;
    if access(tx, realm_id, viewer, stream_id)? == Access::Unknown {
        return Ok(Stamped { as_of, value: None });
    }
    Ok(Stamped { as_of, value: Some(members_of(tx, realm_id, stream_id)?) })
}

pub(super) fn members_of(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    stream_id: StreamId,
) -> Result<Vec<UserId>, Failure> {
    let mut select = tx.prepare_cached(
        "SELECT user_id FROM members WHERE realm_id = ?1 AND stream_id = ?2 AND to_sequence IS NULL
         ORDER BY user_id",
    )?;
    let members = select.query_map([realm_id.0, stream_id.0], |row| Ok(UserId(row.get(0)?)))?;
    Ok(members.collect::<Result<_, _>>()?)
}

pub(super) fn access(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    viewer: UserId,
    stream_id: StreamId,
) -> Result<Access, Failure> {
    let guest = is_guest(tx, realm_id, viewer)?;
    let mut select = tx.prepare_cached(
        "SELECT s.invite_only, EXISTS (SELECT 1 FROM members AS m WHERE m.realm_id = ?1
         AND m.stream_id = s.stream_id AND m.user_id = ?3 AND m.to_sequence IS NULL)
         FROM streams AS s WHERE s.stream_id = ?2 AND s.realm_id = ?1",
    )?;
    let found = select
        .query_row(params![realm_id.0, stream_id.0, viewer.0], |row| {
            Ok((row.get::<_, bool>(0)?, row.get::<_, bool>(1)?))
        })
        .optional()?;
    Ok(found.map_or(Access::Unknown, |(invite_only, member)| Access::of(invite_only, member, guest)))
}

fn is_guest(tx: &Transaction<'_>, realm_id: RealmId, viewer: UserId) -> Result<bool, Failure> {
    let mut select =
        tx.prepare_cached(&format!("SELECT {USER} FROM users AS u WHERE user_id = ?1 AND realm_id = ?2"))?;
    let viewer = select.query_row(params![viewer.0, realm_id.0], user).optional()?;
    // Whoever is not of the realm is shown least.
    Ok(viewer.is_none_or(|viewer| viewer.role == Role::Guest))
}
