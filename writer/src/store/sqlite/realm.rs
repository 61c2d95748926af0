//! Realms, users, streams, members.

use rusqlite::{OptionalExtension as _, Row, Transaction, params};
use squall_protocol::event::{Role, User};
use squall_protocol::link::{LastHeard, PageCursor, RealmPage, UserRow};
use squall_protocol::{Epoch, RealmId, Sequence, StreamId, UserId};

use super::Failure;
use super::rows::{STREAM, USER, head, position, stream, user};
use crate::clock::now_s;
use crate::secret::KeyHash;
use crate::store::{Account, Realm, Stamped, StreamView};
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

pub(super) fn streams(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    viewer: UserId,
) -> Result<Stamped<Vec<StreamView>>, Failure> {
    let as_of = head(tx, realm_id)?;
    let guest = is_guest(tx, realm_id, viewer)?;
    let mut select = tx.prepare_cached(&format!(
        "SELECT {STREAM}, s.created_s, m.user_id IS NOT NULL AS subscribed FROM streams AS s
         LEFT JOIN members AS m
         ON m.realm_id = s.realm_id AND m.stream_id = s.stream_id AND m.user_id = ?2 AND m.to_sequence IS NULL
         WHERE s.realm_id = ?1 AND (subscribed OR NOT (s.invite_only OR ?3)) ORDER BY s.stream_id"
    ))?;
    let view = |row: &Row<'_>| {
        Ok(StreamView { stream: stream(row)?, created_s: row.get(4)?, subscribed: row.get(5)? })
    };
    let streams = select.query_map(params![realm_id.0, viewer.0, guest], view)?.collect::<Result<_, _>>()?;
    Ok(Stamped { as_of, value: streams })
}

pub(super) fn members(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    viewer: UserId,
    stream_id: StreamId,
) -> Result<Stamped<Option<Vec<UserId>>>, Failure> {
    let as_of = head(tx, realm_id)?;
    let access = access(tx, realm_id, viewer, stream_id)?;
    if !access.is_known() {
        return Ok(Stamped { as_of, value: None });
    }
    let mut select = tx.prepare_cached(
        "SELECT user_id FROM members WHERE realm_id = ?1 AND stream_id = ?2 AND to_sequence IS NULL
         ORDER BY user_id",
    )?;
    let members = select.query_map([realm_id.0, stream_id.0], |row| Ok(UserId(row.get(0)?)))?;
    Ok(Stamped { as_of, value: Some(members.collect::<Result<_, _>>()?) })
}

/// What a user may see of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// It may not know that the stream is there.
    Unknown,
    /// What was sent while it was a member.
    Intervals,
    /// All of it.
    Whole,
}

impl Access {
    pub(super) fn is_known(self) -> bool {
        self != Self::Unknown
    }
}

/// A former member of an invite-only stream knows it no more, though its messages of that time stay its own.
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
    Ok(match found {
        Some((false, _)) if !guest => Access::Whole,
        Some((_, true)) => Access::Intervals,
        Some((_, false)) | None => Access::Unknown,
    })
}

fn is_guest(tx: &Transaction<'_>, realm_id: RealmId, viewer: UserId) -> Result<bool, Failure> {
    let mut select =
        tx.prepare_cached(&format!("SELECT {USER} FROM users AS u WHERE user_id = ?1 AND realm_id = ?2"))?;
    let viewer = select.query_row(params![viewer.0, realm_id.0], user).optional()?;
    // Whoever is not of the realm is shown least.
    Ok(viewer.is_none_or(|viewer| viewer.role == Role::Guest))
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

/// Where a page goes on: after this row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cursor {
    Users(u32),
    Streams(u64),
    Members(u64, u32),
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let cursor = match parts.next()? {
            "users" => Self::Users(parts.next()?.parse().ok()?),
            "streams" => Self::Streams(parts.next()?.parse().ok()?),
            "members" => Self::Members(parts.next()?.parse().ok()?, parts.next()?.parse().ok()?),
            _ => return None,
        };
        parts.next().is_none().then_some(cursor)
    }

    fn page_cursor(self) -> PageCursor {
        PageCursor(match self {
            Self::Users(user_id) => format!("users:{user_id}"),
            Self::Streams(stream_id) => format!("streams:{stream_id}"),
            Self::Members(stream_id, user_id) => format!("members:{stream_id}:{user_id}"),
        })
    }
}

pub(super) fn page(
    tx: &Transaction<'_>,
    realm_id: RealmId,
    cursor: Option<PageCursor>,
    rows_max: usize,
) -> Result<RealmPage, Failure> {
    let as_of = head(tx, realm_id)?;
    let mut cursor = match cursor {
        None => Cursor::Users(0),
        Some(PageCursor(text)) => {
            Cursor::parse(&text).ok_or_else(|| Failure::Row(format!("no page cursor: {text:?}")))?
        }
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
) -> Result<Vec<squall_protocol::event::Stream>, Failure> {
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
